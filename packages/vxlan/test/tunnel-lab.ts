/** Helpers of the tests of VXLAN and GENEVE: hosts with names, frames as hex, a sink that keeps what it gets. */
import { Batch, type Element, type Frame, FramePool, type Link, Loop, type Port, VirtualClock } from '@l2l3/switch-core'
import { eth, ipv4, ipv6, parseIpv4, parseIpv6, parseMac, udp } from '@l2l3/switch-core/wire'
import { expect } from 'vitest'

export const ANN = '66:00:00:00:00:01'
export const BEN = '66:00:00:00:00:02'

/** Bytes of hex in which spaces and bars are for reading. */
export function hex(text: string): Buffer {
  return Buffer.from(text.replace(/[\s|]/g, ''), 'hex')
}

/** Keeps the bytes of what it is given, and lets go of the frames. */
export class Sink implements Element {
  readonly frames: Buffer[] = []
  readonly ports: number[] = []
  readonly pool: FramePool
  constructor(pool: FramePool) {
    this.pool = pool
  }
  process(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) this.send(batch.frames[i] as Frame)
    batch.length = 0
  }
  send(f: Frame): void {
    this.frames.push(this.pool.copyOut(f))
    this.ports.push(this.pool.port[f] as number)
    this.pool.sent(f)
  }
  take(): Buffer[] {
    return this.frames.splice(0)
  }
}

export interface Bench {
  readonly pool: FramePool
  readonly clock: VirtualClock
  readonly loop: Loop
}

export function bench(options: ConstructorParameters<typeof FramePool>[0] = {}): Bench {
  const pool = new FramePool({ frames: 64, ...options })
  const clock = new VirtualClock()
  return { pool, clock, loop: new Loop(pool, clock) }
}

/** A row with these bytes, entered in the ledger. */
export function put(pool: FramePool, bytes: Uint8Array): Frame {
  const f = pool.from(bytes)
  expect(f).not.toBe(-1)
  pool.ledger.receive(1)
  return f as Frame
}

/** Gives frames to an element in a batch; what stays in it is let go of, and returned. */
export function feed(pool: FramePool, element: Element, ...frames: Frame[]): Buffer[] {
  const batch = new Batch(Math.max(64, frames.length))
  for (const f of frames) batch.push(f)
  element.process(batch)
  const kept: Buffer[] = []
  for (let i = 0; i < batch.length; i++) {
    kept.push(pool.copyOut(batch.frames[i] as Frame))
    pool.sent(batch.frames[i] as Frame)
  }
  return kept
}

/** An Ethernet frame of UDP over IPv4 or IPv6, checksums right. */
export function udpFrame(o: {
  from?: string
  to?: string
  src?: string
  dst?: string
  ports?: readonly [number, number]
  data?: Uint8Array
  tos?: number
  ttl?: number
  df?: boolean
  tag?: number
}): Buffer {
  const data = o.data ?? Buffer.from('hello, tunnel')
  const v6 = (o.src ?? '').includes(':')
  const tag = o.tag === undefined ? 0 : 4
  const b = Buffer.alloc(14 + tag + (v6 ? 40 : 20) + 8 + data.length)
  eth.write(b, 0, parseMac(o.to ?? BEN), parseMac(o.from ?? ANN), v6 ? 0x86dd : 0x0800)
  if (o.tag !== undefined) {
    b.writeUInt16BE(v6 ? 0x86dd : 0x0800, 16)
    b.writeUInt16BE(0x8100, 12)
    b.writeUInt16BE(o.tag, 14)
  }
  const l3 = 14 + tag
  const l4 = v6
    ? ipv6.write(b, l3, {
        src: parseIpv6(o.src as string),
        dst: parseIpv6(o.dst as string),
        nextHeader: 17,
        payload: 8 + data.length,
        trafficClass: o.tos ?? 0,
        hopLimit: o.ttl ?? 64,
      })
    : ipv4.write(b, l3, {
        src: parseIpv4(o.src ?? '10.244.1.1'),
        dst: parseIpv4(o.dst ?? '10.244.2.1'),
        protocol: 17,
        payload: 8 + data.length,
        tos: o.tos ?? 0,
        ttl: o.ttl ?? 64,
        flags: o.df === true ? 0x4000 : 0,
      })
  const [sport, dport] = o.ports ?? [20_000, 9]
  udp.write(b, l4, sport, dport, data.length)
  b.set(data, l4 + 8)
  udp.fillChecksum(b, l3, l4)
  return b
}

/** Has the pool's ledger balance, and gives what was dropped. */
export function dropped(pool: FramePool): Record<string, number> {
  const report = pool.report()
  expect(report.balanced).toBe(true)
  return report.dropped as Record<string, number>
}

/** Wraps a frame as often as it takes for the identification, which is counted, to be `id`; gives the last. */
export function wrapUntil(
  id: number,
  inner: Uint8Array,
  make: (b: Bench, out: { send(f: Frame): void }) => Element,
): Buffer {
  const b = bench()
  let last: Buffer = Buffer.alloc(0)
  let left = id
  const encap = make(b, {
    send(f) {
      if (--left === 0) last = b.pool.copyOut(f)
      b.pool.sent(f)
    },
  })
  const batch = new Batch()
  while (left > 0) {
    batch.length = 0
    for (let i = Math.min(60, left); i > 0; i--) batch.push(b.pool.from(inner) as Frame)
    b.pool.ledger.receive(batch.length)
    encap.process(batch)
  }
  expect(dropped(b.pool)).toEqual({})
  return last
}

/** A link that is delivered when the test says so. */
export function linkTo(b: Bench, element: Element | Port, name = 'link'): Link {
  return b.loop.link(element, name)
}
