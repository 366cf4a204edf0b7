// The runs that most frames go by, in WebAssembly and in JavaScript, beside the long ways: the same bytes, columns, tables,
// counters and account.
import {
  Batch,
  type Element,
  type Frame,
  type FramePool,
  type FramePoolOptions,
  Link,
  nextPortId,
} from '@l2l3/switch-core'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { Decap, Encap, ovn, type TunnelNetwork, Vtep } from '../src/index.ts'
import { OuterTable } from '../src/outer.ts'
import { ANN, BEN, bench, hex, udpFrame } from './tunnel-lab.ts'

const CEM = '66:00:00:00:00:03'
const NOBODY = '66:00:00:00:00:09'
const GATEWAY = '66:00:00:00:00:fe'
/** The port that frames came in by. */
const GIVEN = 60_000
const OURS = '66:00:00:00:00:aa'

/** Listens to nothing; but while somebody listens, no fast way is entered. */
const LISTENER = { follows: () => false, note(): void {}, derived(): void {} }

/** A frame, and how it stands in its row. */
interface Given {
  readonly bytes: Uint8Array
  readonly held?: 'alone' | 'shared'
  readonly work?: 'none' | 'right' | 'missing' | 'super'
  /** Came out of the network that it is given to. */
  readonly back?: boolean
}

/** Gives frames to an element in batches of `size`; what others hold too is let go of afterwards, as it was. */
function give(pool: FramePool, element: Element, frames: readonly Given[], size: number, horizon = 0): void {
  const batch = new Batch(Math.max(size, 1))
  const others: [Frame, string][] = []
  const flush = (): void => {
    element.process(batch)
    // What is not for it.
    for (let i = 0; i < batch.length; i++) pool.sent(batch.frames[i] as Frame)
    batch.length = 0
    for (const [f, bytes] of others.splice(0)) {
      expect(pool.copyOut(f).toString('hex')).toBe(bytes)
      pool.sent(f)
    }
  }
  for (const { bytes, held, work, back } of frames) {
    const f = pool.from(bytes) as Frame
    expect(f).not.toBe(-1)
    pool.ledger.receive(1)
    pool.port[f] = back === true ? horizon : GIVEN
    if (work === 'right') pool.flags[f] = 2
    if (work === 'missing' || work === 'super') {
      pool.flags[f] = 1
      pool.csumStart[f] = bytes.length > 42 ? 34 : 0
      pool.csumOffset[f] = 6
      pool.hdrLen[f] = 42
      pool.gsoType[f] = work === 'super' && bytes.length > 300 ? 5 : 0
      pool.gsoSize[f] = 100
    }
    if (held === 'shared') {
      pool.share(f, 1)
      others.push([f, pool.copyOut(f).toString('hex')])
    }
    batch.push(f)
    if (batch.length === size) flush()
  }
  flush()
}

/** Writes down what it is given: bytes, and columns that mean something. */
class Clerk implements Element {
  readonly lines: string[] = []
  readonly bytes: Buffer[] = []
  readonly #pool: FramePool
  /** Numbers of networks count from here. */
  readonly #first = nextPortId()
  constructor(pool: FramePool) {
    this.#pool = pool
  }
  process(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) this.send(batch.frames[i] as Frame)
    batch.length = 0
  }
  send(f: Frame): void {
    const p = this.#pool
    const unfinished = ((p.flags[f] as number) | (p.gsoType[f] as number)) !== 0
    const columns = unfinished
      ? [p.flags, p.gsoType, p.gsoSize, p.hdrLen, p.csumStart, p.csumOffset].map((c) => c[f] as number)
      : []
    if (((p.gsoType[f] as number) & 0x60) !== 0) columns.push(p.outerL4[f] as number, p.innerL3[f] as number)
    this.bytes.push(p.copyOut(f))
    const port = p.port[f] as number
    this.lines.push(
      `${port > this.#first && port !== GIVEN ? `+${port - this.#first}` : port} [${columns}] ${p.copyOut(f).toString('hex')}`,
    )
    p.sent(f)
  }
}

const inner = fc.oneof(
  {
    weight: 10,
    arbitrary: fc
      .record({
        from: fc.constantFrom(ANN, BEN, CEM, OURS, '01:00:00:00:00:01', '00:00:00:00:00:00'),
        to: fc.constantFrom(ANN, BEN, BEN, BEN, CEM, CEM, NOBODY, GATEWAY, 'ff:ff:ff:ff:ff:ff'),
        v6: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
        tos: fc.constantFrom(0, 0, 1, 2, 3, 0xb8),
        ttl: fc.constantFrom(1, 64),
        df: fc.boolean(),
        n: fc.constantFrom(0, 1, 18, 19, 400),
        // 4789: a tunnel's own, seemingly.
        port: fc.constantFrom(9, 9, 9, 9, 53, 4789),
        tagged: fc.integer({ min: 0, max: 7 }).map((n) => n === 0),
      })
      .map(({ v6, n, port, tagged, ...o }) =>
        udpFrame({
          ...o,
          ...(v6 ? { src: 'fd00::1', dst: 'fd00::2' } : {}),
          ...(tagged ? { tag: 5 } : {}),
          ports: [20_000 + n, port],
          data: Buffer.alloc(n, 0x5a),
        }),
      ),
  },
  // A fragment, options, TCP, ARP; whatever.
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      ...[
        '450000180001200040110000 0a010203 0a010204 00010002',
        '46000020000100004011000001010101 0a010203 0a010204 01',
      ]
        .concat('4500002c000140004006000 00a010203 0a010204 0050 0051 00000000 00000000 5002 1000 0000 0000 02040000')
        .map((ip) => hex(`660000000002 660000000001 0800 ${ip}`)),
      hex('660000000002 660000000001 0806 0001080006040001 660000000001 0a010203 000000000000 0a010204'),
    ),
  },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 80 }) },
)
const given = fc.record({
  bytes: inner,
  held: fc.constantFrom('alone', 'alone', 'alone', 'shared'),
  work: fc.constantFrom('none', 'none', 'none', 'none', 'right', 'missing', 'super'),
  back: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
}) as fc.Arbitrary<Given>

/** What befalls a packet on its way: bytes are written over, its end is cut off. */
const harm = fc.record({
  edits: fc.array(
    fc.oneof(
      fc.tuple(fc.nat(90), fc.nat(255)),
      // Congestion, over IPv4 and IPv6; VXLAN's flags and VNI; a source that is not known.
      fc.constantFrom<[number, number]>([15, 3], [15, 0x30], [42, 0x88], [48, 0x20], [48, 0x30], [29, 9], [37, 9]),
    ),
    { maxLength: 2 },
  ),
  cut: fc.constantFrom(0, 0, 0, 0, 0, 1, 30),
  held: fc.constantFrom('alone', 'alone', 'alone', 'shared'),
  work: fc.constantFrom('none', 'none', 'none', 'none', 'right', 'missing'),
  hurt: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
})
const way = fc.record({
  frames: fc.array(given, { maxLength: 90 }),
  harms: fc.array(harm, { minLength: 1, maxLength: 40 }),
  size: fc.constantFrom(1, 5, 64, 100),
  geneve: fc.boolean(),
  v6: fc.boolean(),
  options: fc.constantFrom(0, 1, 2),
  profile: fc.constantFrom('linux' as const, 'rfc' as const, 'windows-vfp' as const, 'ovs' as const),
  checksum: fc.boolean(),
  ttl: fc.constantFrom<(number | 'inherit')[]>(64, 'inherit'),
  df: fc.constantFrom('clear' as const, 'set' as const, 'inherit' as const),
  tos: fc.constantFrom<(number | 'inherit')[]>(0, 'inherit'),
  innerVlan: fc.constantFrom('keep' as const, 'drop' as const),
  flowLabel: fc.constantFrom<(number | 'hash')[]>(0, 5, 'hash'),
})
type Way = typeof way extends fc.Arbitrary<infer T> ? T : never

function settings(w: Way) {
  const [local, remote] = w.v6 ? ['fd00::1', 'fd00::2'] : ['192.168.77.1', '192.168.77.2']
  const { profile, ttl, df, tos, innerVlan, flowLabel, checksum } = w
  const common = { profile, ttl, df, tos, innerVlan, flowLabel, zeroChecksum6: true, ipId: 'counter' } as const
  const sums = { udpChecksum: checksum, udpChecksum6: checksum }
  const all = [ovn.option(1, 2), { class: 0x103, type: 1, data: Uint8Array.of(1, 2, 3, 4) }]
  const options = w.geneve ? all.slice(0, w.options) : []
  const encapsulation: 'vxlan' | 'geneve' = w.geneve ? 'geneve' : 'vxlan'
  return { ends: { ...common, ...sums, encapsulation }, local, remote, options } as const
}

/** Packets with what befell them. */
function harmed(packets: readonly Uint8Array[], harms: Way['harms']): Given[] {
  return packets.map((packet, i) => {
    const { edits, cut, hurt, held, work } = harms[i % harms.length] as (typeof harms)[number]
    const b = Uint8Array.from(packet)
    if (hurt) for (const [at, value] of edits) if (at < b.length) b[at] = value
    return { bytes: b.subarray(0, Math.max(1, b.length - (hurt ? cut : 0))), held, work } as Given
  })
}

const WAYS: Readonly<Record<string, FramePoolOptions>> = {
  'in WebAssembly': {},
  'in WebAssembly, on shared memory': { shared: true },
  'in JavaScript': { tables: 0 },
}

/** Does it by the fast ways and by the long ones: what came of it is the same. */
function alike<T>(run: (listening: boolean, pool: FramePoolOptions) => T): T {
  const long = run(true, {})
  for (const pool of Object.values(WAYS)) expect(run(false, pool)).toEqual(long)
  return long
}

describe('the fast ways do what the long ways do', () => {
  it('Encap, then Decap of what was harmed on the way', () => {
    let through = 0
    fc.assert(
      fc.property(way, fc.boolean(), (w, anyVni) => {
        const { ends, local, remote, options } = settings(w)
        const done = alike((listening, pool) => {
          const b = bench({ frames: 256, frameSize: 700, ...pool })
          if (listening) b.pool.trace = LISTENER
          const [wire, inside] = [new Clerk(b.pool), new Clerk(b.pool)]
          give(b.pool, new Encap(b.pool, { ...ends, vni: 7, local, remote, options, out: wire }), w.frames, w.size)
          const out = b.loop.link(inside)
          const vni = anyVni ? 'any' : 7
          const decap = new Decap(b.pool, { ...ends, vni, local: remote, out, knownOptions: options })
          for (const part of parts(harmed(wire.bytes, w.harms), 50)) {
            give(b.pool, decap, part, w.size)
            b.loop.settle()
          }
          return { wire: wire.lines, inside: inside.lines, report: b.pool.report() }
        })
        expect(done.report).toMatchObject({ balanced: true, held: 0 })
        through += done.inside.length
      }),
      { numRuns: 80 },
    )
    expect(through).toBeGreaterThan(100)
  })

  it('VTEPs: known, learnt and flooded addresses, prefixes, limits, two networks', () => {
    let through = 0
    const more = fc.record({
      learning: fc.boolean(),
      knownPeersOnly: fc.boolean(),
      splitHorizon: fc.boolean(),
      own: fc.boolean(),
      gateway: fc.boolean(),
      one: fc.boolean(),
    })
    fc.assert(
      fc.property(way, more, (w, m) => {
        const { ends, local, remote, options } = settings(w)
        const knownOptions = options
        const done = alike((listening, pool) => {
          const b = bench({ frames: 512, frameSize: 700, ...pool })
          if (listening) b.pool.trace = LISTENER
          const [wire, inside] = [new Clerk(b.pool), new Clerk(b.pool)]
          const toWire = m.one ? wire : b.loop.link(wire, 'wire', 512)
          const sender = new Vtep(b.pool, b.clock, { ...ends, local, knownOptions, out: toWire })
          const net = sender.addNetwork({
            ...{ vni: 7, options, mtu: 300, oversize: 'inner', splitHorizon: m.splitHorizon },
            ...(m.gateway ? { gateway: GATEWAY } : {}),
            out: b.loop.link(inside, 'back', 512),
          })
          const third = w.v6 ? 'fd00::3' : '192.168.77.3'
          net.addStatic(BEN, remote)
          net.addStatic(CEM, { address: third, vni: 8 })
          net.addFlood(remote)
          net.addFlood(third)
          if (m.gateway) net.addRoute({ to: '10.244.0.0/16', remote: third, mac: CEM, decrementTtl: true })
          for (const part of parts(w.frames, 30)) {
            give(b.pool, net, part, w.size, net.horizon)
            b.loop.settle()
          }
          const receiver = new Vtep(b.pool, b.clock, { ...ends, local: remote, knownOptions, out: wire, maxRemotes: 3 })
          const nets = [7, 8].map((vni) => {
            const { learning, knownPeersOnly } = m
            const own = m.own ? { mac: OURS, destinations: [BEN, CEM] } : {}
            return receiver.addNetwork({ vni, learning, knownPeersOnly, ...own, out: b.loop.link(inside, 'in', 512) })
          })
          nets[0]?.addFlood(local)
          // By a port in batches, or as a router hands them over.
          const into = m.one ? takerOf(b.pool, receiver) : receiver
          for (const part of parts(harmed(wire.bytes.splice(0), w.harms), 50)) {
            b.clock.advance(1e8)
            give(b.pool, into, part, w.size)
            b.loop.settle()
          }
          const counters = [sender.counters, receiver.counters]
          const tables = [net, ...nets].map(shown)
          return { wire: wire.lines, inside: inside.lines, report: b.pool.report(), counters, tables }
        })
        expect(done.report).toMatchObject({ balanced: true, held: 0 })
        through += done.inside.length
      }),
      { numRuns: 80 },
    )
    expect(through).toBeGreaterThan(100)
  })
})

for (const [way, options] of Object.entries(WAYS)) {
  it(`takes common frames ${way}, also where there are more far ends than there was room for at first`, () => {
    const b = bench({ frames: 128, ...options })
    const wire = new Clerk(b.pool)
    const ends = { vni: 7, local: '192.168.77.1', remote: '192.168.77.2', udpChecksum: false } as const
    const encap = new Encap(b.pool, { ...ends, out: wire })
    const inside = new Clerk(b.pool)
    const decap = new Decap(b.pool, { vni: 7, local: ends.remote, out: b.loop.link(inside) })
    const frames = Array.from({ length: 40 }, (_, i) => ({
      bytes: udpFrame({ from: ANN, to: BEN, tos: i % 3, ports: [i, 9], data: Buffer.alloc(i + 18) }),
    }))
    const stores = vi.spyOn(DataView.prototype, 'setInt32')
    const loads = vi.spyOn(DataView.prototype, 'getInt32')
    for (let round = 0; round < 2; round++) {
      stores.mockClear()
      loads.mockClear()
      give(b.pool, encap, frames, 40)
      expect(stores.mock.calls.length).toBe(way === 'in JavaScript' ? 40 * 12 : 0)
      give(
        b.pool,
        decap,
        wire.bytes.splice(0).map((bytes) => ({ bytes })),
        40,
      )
      b.loop.settle()
      expect(inside.bytes.splice(0)).toEqual(frames.map(({ bytes }) => Buffer.from(bytes)))
      if (way !== 'in JavaScript') expect(loads).not.toHaveBeenCalled()
      if (round === 0) {
        const table = OuterTable.of(b.pool)
        const first = table.optionsOf(0)
        while (table.size < 9_100) table.add(first)
      }
    }
    stores.mockRestore()
    loads.mockRestore()
  })
}

it('any packets in a batch: nothing beyond a frame is written, and every one is accounted for', () => {
  const b = bench({ frames: 128, frameSize: 300 })
  const inside = new Clerk(b.pool)
  const out = new Link(b.pool, { schedule() {} }, inside, 'inside', 512)
  const ends = [
    new Vtep(b.pool, b.clock, { local: '192.168.77.2', out, maxRemotes: 4 }),
    new Vtep(b.pool, b.clock, {
      ...{ local: 'fd00::2', encapsulation: 'geneve', zeroChecksum6: true },
      ...{ out, knownOptions: [ovn.option(1, 1)] },
    }),
  ]
  for (const end of ends) end.addNetwork({ vni: 0x1000, out })
  const [vxlan, geneve] = [
    hex(
      '020000000002 020000000001 0800 4500004e000000004011 0000 c0a84d01 c0a84d02 c001 12b5 003a 0000 08000000 00100000',
    ),
    hex(`020000000002 020000000001 86dd 60000000 0042 1140 fd000000000000000000000000000001 fd000000000000000000000000000002
      c001 17c1 0042 0000 02406558 00100000 0102800100010001`),
  ]
  const packet = fc
    .record({
      v6: fc.boolean(),
      inner: fc.uint8Array({ minLength: 12, maxLength: 60 }),
      edits: fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 2 }),
      long: fc.integer({ min: 0, max: 7 }).map((n) => n === 0),
    })
    .map(({ v6, inner: x, edits, long }) => {
      const bytes = Buffer.concat([v6 ? geneve : vxlan, x])
      if (!long) {
        bytes.writeUInt16BE(bytes.length - (v6 ? 54 : 14), v6 ? 18 : 16)
        bytes.writeUInt16BE(bytes.length - (v6 ? 54 : 34), v6 ? 58 : 38)
      }
      for (const [at, value] of edits) if (at < bytes.length) bytes[at] = value
      return bytes
    })
  let came = 0
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 64 }), (packets) => {
      for (const end of ends) {
        const batch = new Batch(64)
        b.pool.bytes.fill(0xa5)
        const ranges = packets.map((bytes) => {
          const f = b.pool.from(bytes) as Frame
          b.pool.ledger.receive(1)
          batch.push(f)
          return [b.pool.off[f] as number, bytes.length] as const
        })
        end.process(batch)
        for (let i = 0; i < batch.length; i++) b.pool.sent(batch.frames[i] as Frame)
        inside.process(out.take())
        came += inside.lines.splice(0).length
        inside.bytes.length = 0
        for (const [at, n] of ranges) b.pool.bytes.fill(0xa5, at, at + n)
        expect(b.pool.bytes.every((v) => v === 0xa5)).toBe(true)
        expect(b.pool.report()).toMatchObject({ balanced: true, held: 0 })
      }
    }),
    { numRuns: 100 },
  )
  expect(came).toBeGreaterThan(100)
})

/** An array in pieces. */
function parts<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size))
}

/** A VTEP's way in for a router, as an element. */
function takerOf(pool: FramePool, vtep: Vtep): Element {
  return {
    process(batch) {
      for (let i = 0; i < batch.length; i++) {
        const f = batch.frames[i] as Frame
        if (!vtep.take(f, undefined as never)) pool.sent(f)
      }
      batch.length = 0
    },
  }
}

/** What a network counts and knows. */
function shown(net: TunnelNetwork): unknown {
  return { counters: net.counters, entries: [...net.entries()], remotes: net.remotes() }
}
