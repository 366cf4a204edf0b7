/*
 * Twins: a node of the kernel's and one of ours, which take the same frames.
 *
 *     frames --> TAPs --> namespace, set up by a script          --> TAPs --> frames
 *     frames --> MemoryPorts --> a mode's function               --> MemoryPorts --> frames
 *
 * What is compared is all that comes out, by port, byte for byte, but for what the kernel draws: the identification of packets that
 * it makes itself, and the source port of UDP that carries frames; and with them checksums, which are verified instead.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { FramePool, Loop, MemoryPort, type Port, VirtualClock } from '@l2l3/switch-core'
import { expect } from 'vitest'
import type { Ground } from '../../modes/src/index.ts'
import { TapPort } from '../src/index.ts'
import { drain, frameOf, send } from './frames.ts'
import { inNamespace, namespace } from './lab.ts'

/** Frames that came out, in hex, by port. */
export type Out = Record<string, string[]>

export interface Twin {
  /** Sends a frame in by a port; gives what came out. */
  send(port: string, frame: string): Promise<Out>
  close(): void
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** The sum of 16-bit words with carries folded (RFC 1071): 0xffff where a checksum in them is right. */
function sum(...parts: Buffer[]): number {
  let total = 0
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) total += (part[i] as number) * 256 + (part[i + 1] ?? 0)
  }
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16)
  return total
}

/** Blanks what is drawn in an IPv4 packet, and in those that it carries. */
function blank(b: Buffer, drawn: (b: Buffer) => boolean): void {
  const header = ((b[0] as number) & 15) * 4
  expect(sum(b.subarray(0, header)), `header checksum of ${hex(b)}`).toBe(0xffff)
  const end = b.readUInt16BE(2)
  const upper = b.subarray(header, end)
  const carries = b[9] === 17 && [4789, 8472].includes(upper.readUInt16BE(2))
  const error = b[9] === 1 && [3, 11].includes(upper[0] as number)
  if (carries || error || drawn(b)) {
    b.fill(0, 4, 6)
    b.fill(0, 10, 12)
  }
  if (!carries) return
  if (upper.readUInt16BE(6) !== 0) {
    const pseudo = Buffer.concat([b.subarray(12, 20), Buffer.from([0, 17]), upper.subarray(4, 6)])
    expect(sum(pseudo, upper), `UDP checksum of ${hex(b)}`).toBe(0xffff)
    upper.fill(0xff, 6, 8)
  }
  upper.fill(0, 0, 2)
  if (upper.readUInt16BE(28) === 0x0800) blank(upper.subarray(30), drawn)
}

function masked(bytes: Uint8Array): string {
  const b = Buffer.from(bytes)
  if (b.length >= 34 && b.readUInt16BE(12) === 0x0800) blank(b.subarray(14), () => false)
  return hex(b)
}

function collect(came: Iterable<readonly [string, Uint8Array[]]>): Out {
  return Object.fromEntries(
    Array.from(came, ([name, list]) => [name, list.map(masked)] as const).filter(([, l]) => l.length > 0),
  )
}

/** The kernel's.
 * @param ports names of its interfaces with their MACs
 * @param script sets it up, in the namespace, which has no IPv6 */
export async function kernelTwin(ports: Readonly<Record<string, string>>, script: string): Promise<Twin> {
  const netns = namespace()
  const pool = new FramePool({ frames: 512, frameSize: 4000 })
  const taps = new Map<string, TapPort>()
  for (const [name, mac] of Object.entries(ports)) {
    taps.set(name, TapPort.open(pool, { name, netns, mac, offloads: false }))
  }
  await inNamespace(netns, 'sh', '-ec', `cd /proc/sys/net/ipv4\n${script}`)
  const came = (): Map<string, Uint8Array[]> => new Map(Array.from(taps, ([name, tap]) => [name, drain(tap)]))
  await sleep(20)
  came()
  return {
    async send(port, frame) {
      send(taps.get(port) as Port, frameOf(pool, Buffer.from(frame.replaceAll(' ', ''), 'hex')))
      // Until it has been silent for a while.
      const all = new Map(Array.from(taps.keys(), (name) => [name, [] as Uint8Array[]]))
      for (let quiet = 0; quiet < 3; quiet++) {
        await sleep(4)
        for (const [name, list] of came()) {
          if (list.length > 0) quiet = 0
          all.get(name)?.push(...list)
        }
      }
      return collect(all)
    },
    close() {
      for (const tap of taps.values()) tap.close()
    },
  }
}

/** Ours. */
export function ourTwin(
  ports: readonly string[],
  build: (ground: Ground, port: (name: string) => MemoryPort) => void,
): Twin {
  const pool = new FramePool({ frames: 512, frameSize: 4000 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const all = new Map(ports.map((name) => [name, new MemoryPort(pool, name)]))
  build({ pool, clock, loop }, (name) => all.get(name) as MemoryPort)
  loop.settle()
  for (const port of all.values()) port.takeAll()
  return {
    async send(port, frame) {
      all.get(port)?.inject(Buffer.from(frame.replaceAll(' ', ''), 'hex'))
      loop.settle()
      expect(pool.report().balanced).toBe(true)
      return collect(Array.from(all, ([name, p]) => [name, p.takeAll()] as const))
    },
    close() {
      for (const port of all.values()) port.close()
    },
  }
}

/** An IPv4 packet in a frame, with its checksums. */
export function packet(options: {
  dst: string
  src: string
  from: string
  to: string
  ttl?: number
  /** Default UDP, 5000 to 7000. */
  echo?: boolean
  df?: boolean
  /** Bytes behind the UDP or ICMP header. */
  bytes?: number
}): string {
  const { dst, src, from, to, ttl = 64, echo = false, df = false, bytes = 4 } = options
  const ip = (text: string): number[] => text.split('.').map(Number)
  const b = Buffer.alloc(28 + bytes)
  b.writeUInt16BE(0x4500, 0)
  b.writeUInt16BE(b.length, 2)
  b.writeUInt16BE(0x1234, 4)
  b.writeUInt16BE(df ? 0x4000 : 0, 6)
  b.set([ttl, echo ? 1 : 17], 8)
  b.set([...ip(from), ...ip(to)], 12)
  b.writeUInt16BE(0xffff - sum(b.subarray(0, 20)), 10)
  const upper = b.subarray(20)
  for (let i = 0; i < bytes; i++) upper[8 + i] = i & 255
  if (echo) {
    upper.set([8, 0], 0)
    upper.writeUInt16BE(0x77, 4)
    upper.writeUInt16BE(0xffff - sum(upper), 2)
  } else {
    upper.writeUInt16BE(5000, 0)
    upper.writeUInt16BE(7000, 2)
    upper.writeUInt16BE(upper.length, 4)
    const pseudo = Buffer.concat([b.subarray(12, 20), Buffer.from([0, 17]), upper.subarray(4, 6)])
    upper.writeUInt16BE(0xffff - sum(pseudo, upper), 6)
  }
  return `${dst}${src}0800${hex(b)}`
}

/** A frame in VXLAN, from one node to another, in a frame. */
export function wrapped(
  outer: { dst: string; src: string; from: string; to: string; port: number; vni: number },
  frame: string,
): string {
  const inner = Buffer.from(frame.replaceAll(' ', ''), 'hex')
  const ip = (text: string): number[] => text.split('.').map(Number)
  const b = Buffer.alloc(36)
  b.writeUInt16BE(0x4500, 0)
  b.writeUInt16BE(36 + inner.length, 2)
  b.set([64, 17], 8)
  b.set([...ip(outer.from), ...ip(outer.to)], 12)
  b.writeUInt16BE(0xffff - sum(b.subarray(0, 20)), 10)
  b.writeUInt16BE(40_000, 20)
  b.writeUInt16BE(outer.port, 22)
  b.writeUInt16BE(16 + inner.length, 24)
  b[28] = 8
  b.writeUIntBE(outer.vni, 32, 3)
  return `${outer.dst}${outer.src}0800${hex(b)}${hex(inner)}`
}
