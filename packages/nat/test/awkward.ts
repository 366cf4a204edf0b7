/**
 * A bench for single packets: a pool, frames from hex with an Ethernet header in front, and a look at the bytes behind
 * them. And what the kernel made of such packets (see fixtures/README.md).
 */
import { readFileSync } from 'node:fs'
import { Drop, type Frame, FramePool, NO_FRAME } from '@l2l3/switch-core'
import { expect } from 'vitest'

export const ETH4 = '02000000000202000000000c0800'
export const ETH6 = '02000000000202000000000c86dd'

export const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(hex.replaceAll(/[\s|]/g, '').match(/../g) ?? [], (x) => Number.parseInt(x, 16))
export const hexOf = (b: Uint8Array): string => Buffer.from(b).toString('hex')

/** The guard that stands behind every frame. */
const GUARD = 0xa5

export class Bench {
  readonly pool: FramePool
  readonly #guarded: Set<Frame> = new Set()

  constructor(frames = 64) {
    this.pool = new FramePool({ frames })
  }

  /** A frame around an IP packet, in hex or bytes; all that is behind it in its slot is marked. */
  frame(ip: string | Uint8Array): Frame {
    const packet = typeof ip === 'string' ? bytesOf(ip) : ip
    const f = this.pool.alloc()
    if (f === NO_FRAME) throw new Error('pool spent')
    const o = this.pool.off[f] as number
    this.pool.ledger.receive(1)
    this.#guarded.add(f)
    this.pool.bytes.fill(GUARD, o - 32, o + this.pool.room(f))
    this.pool.bytes.set(bytesOf((packet[0] ?? 0) >>> 4 === 6 ? ETH6 : ETH4), o)
    this.pool.bytes.set(packet, o + 14)
    this.pool.len[f] = 14 + packet.length
    return f
  }

  l3(f: Frame): number {
    return (this.pool.off[f] as number) + 14
  }
  end(f: Frame): number {
    return (this.pool.off[f] as number) + (this.pool.len[f] as number)
  }
  /** The IP packet in a frame, in hex. */
  ip(f: Frame): string {
    return hexOf(this.pool.bytes.subarray(this.l3(f), this.end(f)))
  }

  /** Expects that nothing before and behind the frame was touched; of a copy nothing is known. */
  intact(f: Frame): void {
    if (!this.#guarded.has(f)) return
    const { bytes, off } = this.pool
    const o = off[f] as number
    for (let i = o - 32; i < o; i++) if (bytes[i] !== GUARD) expect.fail(`byte ${i - o} of the frame was written`)
    for (let i = this.end(f); i < o + this.pool.room(f); i++) {
      if (bytes[i] !== GUARD) expect.fail(`byte ${i - this.end(f)} behind the frame was written`)
    }
  }

  drop(f: Frame): void {
    this.#guarded.delete(f)
    this.pool.drop(f, Drop.Malformed)
  }

  balanced(): void {
    expect(this.pool.report().balanced).toBe(true)
  }
}

/** The Internet checksum, written to be seen through: 0xffff over anything that is right. */
export function naiveSum(b: Uint8Array, from: number, to: number, more = 0): number {
  let s = more
  for (let i = from; i < to; i++) s += (i - from) % 2 === 0 ? (b[i] as number) * 256 : (b[i] as number)
  while (s > 0xffff) s = (s % 0x10000) + Math.floor(s / 0x10000)
  return s
}

/** The sum of a pseudo-header: the addresses, the protocol, the length. */
export function naivePseudo(packet: Uint8Array, ip: number, protocol: number, length: number): number {
  const v6 = (packet[ip] as number) >>> 4 === 6
  return naiveSum(packet, ip + (v6 ? 8 : 12), ip + (v6 ? 40 : 20), protocol + length)
}

/** CRC32c bit by bit (RFC 9260, appendix A), of an SCTP packet with its checksum taken as zero; the bytes as they are sent. */
export function naiveCrc32c(packet: Uint8Array): string {
  let crc = 0xffffffff
  for (const [i, byte] of packet.entries()) {
    crc ^= i >= 8 && i < 12 ? 0 : byte
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  const out = ~crc >>> 0
  return hexOf(Uint8Array.of(out & 255, (out >>> 8) & 255, (out >>> 16) & 255, out >>> 24))
}

export interface KernelError {
  name: string
  from: 'in' | 'out'
  opening: [string, string]
  error: [string, string | null]
}
export interface KernelFragments {
  name: string
  from: 'in' | 'out'
  sent: string[]
  came: string[]
}

/** What Linux made of it. */
export const kernel: { kernel: string; errors: KernelError[]; fragments: KernelFragments[]; firstSegments: number[] } =
  JSON.parse(readFileSync(new URL('fixtures/kernel-nat.json', import.meta.url), 'utf8'))
