/**
 * One end of a tunnel on the bench, between two ports whose frames are bytes:
 *
 *     inside  ── frames of the interface ──>  tunnel  ──>  underlay
 *             <── unwrapped ───────────────   decap   <──
 *
 * The ledger is looked at each time.
 */
import {
  type DropName,
  type Element,
  FramePool,
  type FramePoolOptions,
  type Link,
  Loop,
  MemoryPort,
  VirtualClock,
} from '@l2l3/switch-core'
import { checksum, icmp, icmpv6, ipv4, ipv6, parseIpv4, parseIpv6, udp } from '@l2l3/switch-core/wire'
import { expect } from 'vitest'

/** Bytes of hex text; blanks and `|` are for reading. */
export function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replace(/[\s|]/g, ''), 'hex'))
}

/** Bytes as hex. */
export function show(b: Uint8Array): string {
  return Buffer.from(b).toString('hex')
}

/** Hex without the blanks. */
export function flat(text: string): string {
  return text.replace(/[\s|]/g, '')
}

export const MAC = '02:00:00:00:00:aa'
/** Fourteen bytes in front of what the tunnel's interface sends and gets. */
export const ETH4: string = flat('02000000 00aa 0200000000aa 0800')
export const ETH6: string = flat('02000000 00aa 0200000000aa 86dd')
/** In front of what the tunnel sends: the underlay writes the addresses. */
export const OUT4: string = flat('000000000000 000000000000 0800')
export const OUT6: string = flat('000000000000 000000000000 86dd')

/** What a tunnel has: an element that wraps, and one that unwraps. */
export interface Wrapper extends Element {
  readonly decap: Element
}

export class Lab<T extends Wrapper> {
  readonly pool: FramePool
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop
  readonly inside: MemoryPort
  readonly underlay: MemoryPort
  readonly tunnel: T

  constructor(
    make: (pool: FramePool, clock: VirtualClock, links: { out: Link; into: Link }) => T,
    options: { pool?: FramePoolOptions; offloads?: number } = {},
  ) {
    this.pool = new FramePool({ frames: 128, frameSize: 4000, ...options.pool })
    this.loop = new Loop(this.pool, this.clock)
    this.inside = new MemoryPort(this.pool, 'inside', { offloads: options.offloads ?? 0 })
    this.underlay = new MemoryPort(this.pool, 'underlay', { offloads: options.offloads ?? 0 })
    this.tunnel = make(this.pool, this.clock, { out: this.loop.link(this.underlay), into: this.loop.link(this.inside) })
    this.loop.add(this.inside, this.tunnel)
    this.loop.add(this.underlay, this.tunnel.decap)
  }

  /** Sends frames as the interface does; gives what leaves by the underlay. */
  wrap(...frames: (string | Uint8Array)[]): string[] {
    for (const f of frames) expect(this.inside.inject(typeof f === 'string' ? hex(f) : f)).toBe(true)
    return this.collect().out
  }

  /** Brings frames from the underlay; gives what comes out inside. */
  unwrap(...frames: (string | Uint8Array)[]): string[] {
    for (const f of frames) expect(this.underlay.inject(typeof f === 'string' ? hex(f) : f)).toBe(true)
    return this.collect().into
  }

  collect(): { out: string[]; into: string[] } {
    this.loop.settle()
    const out = this.underlay.takeAll().map(show)
    const into = this.inside.takeAll().map(show)
    expect(this.pool.report()).toMatchObject({ balanced: true, held: 0 })
    return { out, into }
  }

  /** Drops so far, by reason. */
  get drops(): Partial<Record<DropName, number>> {
    return this.pool.report().dropped
  }
}

export interface Packet {
  src?: string
  dst?: string
  ttl?: number
  tos?: number
  id?: number
  df?: boolean
  protocol?: number
  /** Hex, or how many zero bytes. */
  payload?: string | number
}

function bytesOf(payload: string | number | undefined): Uint8Array {
  return typeof payload === 'number' ? new Uint8Array(payload) : hex(payload ?? '1388 1b58 0008 0000')
}

/** An IP packet, of the version of its addresses; from 10.244.1.5:5000 to 10.244.2.7:7000 with an empty datagram, unless said
 * otherwise. */
export function packet(p: Packet = {}): string {
  const payload = bytesOf(p.payload)
  const b = new Uint8Array(40 + payload.length)
  const src = p.src ?? '10.244.1.5'
  const dst = p.dst ?? '10.244.2.7'
  const at = src.includes(':')
    ? ipv6.write(b, 0, {
        src: parseIpv6(src),
        dst: parseIpv6(dst),
        nextHeader: p.protocol ?? 17,
        payload: payload.length,
        trafficClass: p.tos ?? 0,
        hopLimit: p.ttl ?? 63,
      })
    : ipv4.write(b, 0, {
        src: parseIpv4(src),
        dst: parseIpv4(dst),
        protocol: p.protocol ?? 17,
        payload: payload.length,
        tos: p.tos ?? 0,
        ttl: p.ttl ?? 63,
        id: p.id ?? 1,
        flags: p.df ? ipv4.Flag.DontFragment : 0,
      })
  b.set(payload, at)
  return show(b.subarray(0, at + payload.length))
}

/** An ICMP, or ICMPv6, error with its checksums. */
export function error(p: Packet, type: number, code: number, rest: number, quote: string): string {
  const data = hex(quote)
  const v6 = (p.src ?? '').includes(':')
  const b = new Uint8Array(8 + data.length)
  b.set(data, v6 ? icmpv6.write(b, 0, type, code, rest) : icmp.write(b, 0, type, code, rest))
  if (!v6) icmp.fillChecksum(b, 0, b.length)
  const whole = hex(packet({ ...p, protocol: v6 ? 58 : 1, payload: show(b) }))
  if (v6) icmpv6.fillChecksum(whole, 0, 40, whole.length)
  return show(whole)
}

/** A UDP datagram with its checksum, for `Packet.payload`. */
export function datagram(src: string, dst: string, data: number, from = 5000, to = 7000): string {
  const b = hex(packet({ src, dst, payload: 8 + data }))
  const l4 = b.length - 8 - data
  udp.write(b, l4, from, to, data)
  for (let i = 0; i < data; i++) b[l4 + 8 + i] = i
  udp.fillChecksum(b, 0, l4)
  return show(b.subarray(l4))
}

/** What an answer "too big" says, after its checksums have been looked at. */
export function answerOf(frame: string | undefined): Record<string, string | number> {
  const b = hex(frame ?? '')
  const v6 = b[14]! >>> 4 === 6
  const l4 = v6 ? 54 : 34
  if (v6) expect(icmpv6.checksumOk(b, 14, l4, b.length)).toBe(true)
  else expect([ipv4.checksumOk(b, 14), checksum.verify(b, l4, b.length)]).toEqual([true, true])
  const at = v6 ? 22 : 26
  const n = v6 ? 16 : 4
  return {
    macs: show(b.subarray(0, 12)),
    src: show(b.subarray(at, at + n)),
    dst: show(b.subarray(at + n, at + 2 * n)),
    type: b[l4]!,
    code: b[l4 + 1]!,
    mtu: new DataView(b.buffer).getUint32(l4 + 4),
    length: b.length - 14,
    quote: show(b.subarray(l4 + 8)),
  }
}
