/**
 * An interface on the bench: `wire` is the port to the outside, frames go in as bytes and come out as hex, on a virtual
 * clock. Messages are made here by hand, byte for byte, so that they do not depend on what is tested; ND checksums come
 * from a sum of their own.
 */
import {
  type Batch,
  type DropName,
  type Element,
  type Frame,
  FramePool,
  type Link,
  Loop,
  MemoryPort,
  MILLISECOND,
  type NeighbourClient,
  SECOND,
  VirtualClock,
} from '@l2l3/switch-core'
import { expect } from 'vitest'
import { type NeighbourOptions, NeighbourTable } from '../src/index.ts'

export const ALL = 'ffffffffffff'
export const ZERO = '000000000000'
/** Hosts: the interface itself is .1, the others are neighbours. */
export const US = '020000000001'
export const ANN = '02000000000a'
export const BEN = '02000000000b'
export const EVE = '0200000000ee'

export const mac = (hex: string): string => (hex.match(/../g) as string[]).join(':')

export function hex4(ip: string): string {
  return ip
    .split('.')
    .map((x) => Number(x).toString(16).padStart(2, '0'))
    .join('')
}

/** The 16 bytes of an IPv6 address without an embedded IPv4 one. */
export function hex6(ip: string): string {
  const [head = '', tail] = ip.split('::')
  const words = (s: string): string[] => (s === '' ? [] : s.split(':').map((w) => w.padStart(4, '0')))
  if (tail === undefined) return words(head).join('')
  const missing = 8 - words(head).length - words(tail).length
  return [...words(head), ...new Array<string>(missing).fill('0000'), ...words(tail)].join('')
}

export function arp(dst: string, src: string, op: 1 | 2, sha: string, spa: string, tha: string, tpa: string): string {
  return `${dst}${src}0806 0001 0800 06 04 000${op}${sha}${hex4(spa)}${tha}${hex4(tpa)}`.replaceAll(' ', '')
}

/** A broadcast request. */
export const whoHas = (sha: string, spa: string, tpa: string): string => arp(ALL, sha, 1, sha, spa, ZERO, tpa)
/** A unicast answer. */
export const isAt = (to: string, toIp: string, sha: string, spa: string): string => arp(to, sha, 2, sha, spa, to, toIp)

/** An ND message in IPv6, with its checksum. */
export function icmp6(dst: string, src: string, from: string, to: string, body: string, hopLimit = 'ff'): string {
  const length = (body.length / 2).toString(16).padStart(4, '0')
  const pseudo = `${hex6(from)}${hex6(to)}0000${length}0000003a`
  const words = `${pseudo}${body}`
    .padEnd(Math.ceil((pseudo.length + body.length) / 4) * 4, '0')
    .match(/..../g) as string[]
  let sum = words.reduce((s, w) => s + Number.parseInt(w, 16), 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  const checksum = (~sum & 0xffff).toString(16).padStart(4, '0')
  const withSum = `${body.slice(0, 4)}${checksum}${body.slice(8)}`
  return `${dst}${src}86dd60000000${length}3a${hopLimit}${hex6(from)}${hex6(to)}${withSum}`
}

/** The solicited-node group of an address, and its MAC. */
export function solicitedNode(target: string): { ip: string; mac: string } {
  const h = hex6(target)
  const tail = h.slice(26)
  return { ip: `ff02::1:ff${tail.slice(0, 2)}:${tail.slice(2)}`, mac: `3333ff${tail}` }
}

/** A solicitation to the target's group, with the sender's MAC; from :: without it. */
export function ns(sha: string, from: string, target: string): string {
  const group = solicitedNode(target)
  const option = from === '::' ? '' : `0101${sha}`
  return icmp6(group.mac, sha, from, group.ip, `8700000000000000${hex6(target)}${option}`)
}

/** An advertisement. `flags` is the byte with R, S and O; `tlla` null leaves the option out. */
export function na(
  dst: string,
  src: string,
  from: string,
  to: string,
  target: string,
  flags: number,
  tlla: string | null,
): string {
  const option = tlla === null ? '' : `0201${tlla}`
  const body = `88000000${flags.toString(16).padStart(2, '0')}000000${hex6(target)}${option}`
  return icmp6(dst, src, from, to, body)
}

export const R = 0x80
export const S = 0x40
export const O = 0x20

/** Takes what is left of a batch. */
export class Sink implements Element {
  readonly frames: string[] = []
  readonly #pool: FramePool
  constructor(pool: FramePool) {
    this.#pool = pool
  }
  process(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      this.frames.push(this.#pool.view(f).toString('hex'))
      this.#pool.sent(f)
    }
    batch.length = 0
  }
  take(): string[] {
    return this.frames.splice(0)
  }
}

/** A port with an element behind it, and a sink for what the element lets through. */
export class Bench {
  readonly pool: FramePool
  readonly clock = new VirtualClock()
  readonly loop: Loop
  readonly wire: MemoryPort
  readonly out: Link
  readonly through: Sink

  constructor(frames = 256) {
    this.pool = new FramePool({ frames })
    this.loop = new Loop(this.pool, this.clock)
    this.wire = new MemoryPort(this.pool, 'wire')
    this.out = this.loop.link(this.wire, 'out', 1024)
    this.through = new Sink(this.pool)
  }

  attach(element: Element): void {
    const { through } = this
    this.loop.add(this.wire, {
      process(batch) {
        element.process(batch)
        through.process(batch)
      },
    })
  }

  /** Sends frames in, and gives what comes back. */
  send(...frames: string[]): string[] {
    for (const f of frames) this.wire.inject(Buffer.from(f.replaceAll(' ', ''), 'hex'))
    this.loop.settle()
    return this.heard()
  }

  /** What came out by the wire. */
  heard(): string[] {
    const out = this.wire.takeAll().map((b) => Buffer.from(b).toString('hex'))
    expect(this.pool.report()).toMatchObject({ balanced: true })
    return out
  }

  /** Lets time pass in steps of `step` milliseconds, and gives what came out. */
  wait(seconds: number, step = 100): string[] {
    const out: string[] = []
    for (let ms = 0; ms < seconds * 1000; ms += step) {
      this.clock.advance(Math.min(step, seconds * 1000 - ms) * MILLISECOND)
      this.loop.settle()
      out.push(...this.heard())
    }
    return out
  }

  get drops(): Partial<Record<DropName, number>> {
    return this.pool.report().dropped
  }
}

/** An interface with a neighbour table: 10.0.0.1/24 and fe80::1 unless said otherwise; frames for others are `send`. */
export class Interface extends Bench implements NeighbourClient {
  readonly table: NeighbourTable
  /** What came back for want of an answer. */
  readonly failures: string[] = []

  constructor(options: Partial<NeighbourOptions> = {}, frames = 256) {
    super(frames)
    this.table = new NeighbourTable(this.pool, this.clock, {
      mac: mac(US),
      out: this.out,
      addresses: ['10.0.0.1/24', 'fe80::1/64'],
      client: this,
      random: () => 0.5,
      ...options,
    })
    this.attach(this.table.input)
    this.loop.every(SECOND / 10, this.table)
  }

  resolved(f: Frame): void {
    this.out.push(f)
  }

  failed(f: Frame): void {
    this.failures.push(this.pool.view(f).toString('hex'))
    this.pool.drop(f, 17)
  }

  /** Has the table resolve a next hop for a frame that ends in `tag`; gives what went out, requests and frames. */
  to(ip: string, tag = '01'): string[] {
    const f = this.pool.from(Buffer.from(`${'00'.repeat(6)}${US}88b5${tag}`, 'hex')) as Frame
    this.pool.ledger.originate(1)
    const known = ip.includes(':')
      ? this.table.resolve6(f, Buffer.from(hex6(ip), 'hex'), 0)
      : this.table.resolve4(f, Number.parseInt(hex4(ip), 16))
    if (known) this.out.push(f)
    this.loop.settle()
    return this.heard()
  }

  state(ip: string): string {
    const n = this.table.get(ip)
    return n === undefined ? 'none' : n.mac === null ? n.state : `${n.state} ${n.mac.replaceAll(':', '')}`
  }
}

/** A frame that `to` has sent, as it looks on the wire. */
export const data = (dst: string, tag = '01'): string => `${dst}${US}88b5${tag}`
