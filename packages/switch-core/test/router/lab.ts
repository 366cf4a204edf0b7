/**
 * A router on the bench:
 *
 *     alice 10.0.0.2, 2001:db8:a::2 ── eth0 10.0.0.1/24   [router]   eth1 10.0.1.1/24 ── bob 10.0.1.2, 2001:db8:b::2
 *     02:00:00:00:00:0a                2001:db8:a::1/64              2001:db8:b::1/64    02:00:00:00:00:0b
 *                                      fe80::1/64                    fe80::1/64
 *                                      02:00:00:00:00:a0             02:00:00:00:00:b0
 *
 * Frames go in as bytes and come out as hex by interface. The ledger is looked at each time.
 */
import { expect } from 'vitest'
import {
  type DropName,
  type Frame,
  FramePool,
  type FramePoolOptions,
  Loop,
  MemoryPort,
  type NeighbourClient,
  type Neighbours,
  Router,
  type RouterInterface,
  type RouterInterfaceOptions,
  type RouterOptions,
  VirtualClock,
} from '../../src/index.ts'
import {
  checksum,
  formatIpv4,
  formatIpv6,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  parseIpv4,
  parseIpv6,
  parseMac,
} from '../../src/wire/index.ts'

/** A table of neighbours that was written by hand. Frames to others wait, until they are given up. */
export class StaticNeighbours implements Neighbours {
  readonly #pool: FramePool
  readonly #client: NeighbourClient
  readonly #macs: Map<string, Uint8Array> = new Map()
  readonly #waiting: Frame[] = []

  constructor(pool: FramePool, client: NeighbourClient, macs: Record<string, string>) {
    this.#pool = pool
    this.#client = client
    for (const [ip, mac] of Object.entries(macs)) this.#macs.set(ip, parseMac(mac))
  }

  resolve4(f: Frame, ip: number): boolean {
    return this.#resolve(f, formatIpv4(ip))
  }

  resolve6(f: Frame, bytes: Uint8Array, at: number): boolean {
    return this.#resolve(f, formatIpv6(bytes, at))
  }

  giveUp(): void {
    for (const f of this.#waiting.splice(0)) this.#client.failed(f)
  }

  #resolve(f: Frame, ip: string): boolean {
    const mac = this.#macs.get(ip)
    if (mac) this.#pool.bytes.set(mac, this.#pool.off[f] as number)
    else this.#waiting.push(f)
    return mac !== undefined
  }
}

export const ALICE = '02000000000a'
export const BOB = '02000000000b'
export const ETH0 = '0200000000a0'
export const ETH1 = '0200000000b0'
export const ALL = 'ffffffffffff'

const NEIGHBOURS: Record<string, string>[] = [
  { '10.0.0.2': '02:00:00:00:00:0a', '2001:db8:a::2': '02:00:00:00:00:0a', 'fe80::a': '02:00:00:00:00:0a' },
  { '10.0.1.2': '02:00:00:00:00:0b', '2001:db8:b::2': '02:00:00:00:00:0b', 'fe80::b': '02:00:00:00:00:0b' },
]

export class Lab {
  readonly pool: FramePool
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop
  readonly router: Router
  readonly ports: MemoryPort[] = []
  readonly neighbours: StaticNeighbours[] = []

  constructor(
    options: RouterOptions = {},
    interfaces: Partial<RouterInterfaceOptions>[] = [],
    pool: FramePoolOptions = {},
  ) {
    this.pool = new FramePool({ frames: 256, frameSize: 4000, ...pool })
    this.loop = new Loop(this.pool, this.clock)
    this.router = new Router(this.pool, this.clock, options)
    this.plug('02:00:00:00:00:a0', ['10.0.0.1/24', '2001:db8:a::1/64', 'fe80::1/64'], NEIGHBOURS[0], interfaces[0])
    this.plug('02:00:00:00:00:b0', ['10.0.1.1/24', '2001:db8:b::1/64', 'fe80::1/64'], NEIGHBOURS[1], interfaces[1])
  }

  plug(
    mac: string,
    addresses: string[],
    neighbours: Record<string, string> = {},
    options: Partial<RouterInterfaceOptions> = {},
  ): RouterInterface {
    const name = `eth${this.ports.length}`
    const port = new MemoryPort(this.pool, name)
    const iface = this.router.addInterface({ name, mac, addresses, out: this.loop.link(port), ...options })
    const table = new StaticNeighbours(this.pool, iface, neighbours)
    iface.neighbours = table
    this.neighbours.push(table)
    this.ports.push(port)
    this.loop.add(port, iface)
    return iface
  }

  eth(i: number): RouterInterface {
    return this.router.interfaces[i] as RouterInterface
  }

  /** Sends frames into interface `i` and says what came out, by interface. */
  send(i: number, ...frames: (string | Uint8Array)[]): Record<number, string[]> {
    for (const f of frames) this.ports[i]?.inject(typeof f === 'string' ? hex(f) : f)
    this.loop.settle()
    return this.collect()
  }

  collect(held = 0): Record<number, string[]> {
    this.loop.settle()
    const out: Record<number, string[]> = {}
    for (const [i, port] of this.ports.entries()) {
      const frames = port.takeAll().map((b) => Buffer.from(b).toString('hex'))
      if (frames.length > 0) out[i] = frames
    }
    expect(this.pool.report()).toMatchObject({ balanced: true, held })
    return out
  }

  /** Drops so far, by reason. */
  get drops(): Partial<Record<DropName, number>> {
    return this.pool.report().dropped
  }
}

/** Bytes of hex text; blanks and `|` are for reading. */
export function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replace(/[\s|]/g, ''), 'hex'))
}

/** Hex text without the blanks, as frames come out of the lab. */
export function flat(text: string): string {
  return text.replace(/[\s|]/g, '')
}

export interface Packet4 {
  to?: string
  from?: string
  src?: string
  dst?: string
  ttl?: number
  tos?: number
  id?: number
  flags?: number
  offset?: number
  protocol?: number
  options?: string
  /** Hex. */
  payload?: string
}

/** An IPv4 frame; from alice to bob, by the router, unless said otherwise. */
export function packet4(p: Packet4 = {}): string {
  const payload = hex(p.payload ?? `1388 0007 000c 0000 c0ffee00`)
  const b = new Uint8Array(80 + payload.length)
  b.set(hex(`${p.to ?? ETH0}${p.from ?? ALICE}0800`))
  const at = ipv4.write(b, 14, {
    src: parseIpv4(p.src ?? '10.0.0.2'),
    dst: parseIpv4(p.dst ?? '10.0.1.2'),
    ttl: p.ttl ?? 64,
    tos: p.tos ?? 0,
    id: p.id ?? 0x1234,
    flags: p.flags ?? 0,
    fragmentOffset: p.offset ?? 0,
    protocol: p.protocol ?? 17,
    payload: payload.length,
    ...(p.options ? { options: hex(p.options) } : {}),
  })
  b.set(payload, at)
  return Buffer.from(b.subarray(0, at + payload.length)).toString('hex')
}

export interface Packet6 {
  to?: string
  from?: string
  src?: string
  dst?: string
  hops?: number
  next?: number
  trafficClass?: number
  flowLabel?: number
  /** Hex. */
  payload?: string
}

/** An IPv6 frame; from alice to bob, by the router, unless said otherwise. */
export function packet6(p: Packet6 = {}): string {
  const payload = hex(p.payload ?? `1388 0007 000c 0000 c0ffee00`)
  const b = new Uint8Array(54 + payload.length)
  b.set(hex(`${p.to ?? ETH0}${p.from ?? ALICE}86dd`))
  const at = ipv6.write(b, 14, {
    src: parseIpv6(p.src ?? '2001:db8:a::2'),
    dst: parseIpv6(p.dst ?? '2001:db8:b::2'),
    hopLimit: p.hops ?? 64,
    nextHeader: p.next ?? 17,
    trafficClass: p.trafficClass ?? 0,
    flowLabel: p.flowLabel ?? 0,
    payload: payload.length,
  })
  b.set(payload, at)
  return Buffer.from(b).toString('hex')
}

/** An ICMP message with its checksum: type, code, bytes 4 to 7, data. */
export function icmp4(type: number, code: number, rest = 0, data = ''): string {
  const b = new Uint8Array(8 + hex(data).length)
  b.set(hex(data), icmp.write(b, 0, type, code, rest))
  icmp.fillChecksum(b, 0, b.length)
  return Buffer.from(b).toString('hex')
}

/** An ICMPv6 frame with its checksum: `packet6` around type, code, bytes 4 to 7, data. */
export function frame6(p: Packet6, type: number, code: number, rest = 0, data = ''): string {
  const b = new Uint8Array(8 + hex(data).length)
  b.set(hex(data), icmpv6.write(b, 0, type, code, rest))
  const frame = hex(packet6({ next: 58, ...p, payload: Buffer.from(b).toString('hex') }))
  const at = frame.length - b.length
  icmpv6.fillChecksum(frame, 14, at, frame.length)
  return Buffer.from(frame).toString('hex')
}

/** What an ICMP error says, after its checksums have been looked at. */
export function errorOf(frame: string | undefined): {
  to: string
  src: string
  dst: string
  tos: number
  ttl: number
  type: number
  code: number
  rest: number
  length: number
  quote: string
} {
  const b = hex(frame ?? '')
  const v6 = b[14]! >>> 4 === 6
  const l4 = v6 ? 54 : 34
  const data = new DataView(b.buffer)
  if (v6) expect(icmpv6.checksumOk(b, 14, l4, b.length)).toBe(true)
  else expect([ipv4.checksumOk(b, 14), checksum.verify(b, l4, b.length)]).toEqual([true, true])
  return {
    to: Buffer.from(b.subarray(0, 6)).toString('hex'),
    src: v6 ? formatIpv6(b, 22) : formatIpv4(ipv4.src(b, 14)),
    dst: v6 ? formatIpv6(b, 38) : formatIpv4(ipv4.dst(b, 14)),
    tos: v6 ? ipv6.trafficClass(b, 14) : b[15]!,
    ttl: v6 ? b[21]! : b[22]!,
    type: b[l4]!,
    code: b[l4 + 1]!,
    rest: data.getUint32(l4 + 4),
    length: b.length - 14,
    quote: Buffer.from(b.subarray(l4 + 8)).toString('hex'),
  }
}
