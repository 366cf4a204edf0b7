import { Batch, type Element, type Frame, FramePool, Link, VirtualClock } from '@l2l3/switch-core'
import { udp } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Decap, Encap, geneve, ovn, Vtep, vxlan } from '../src/index.ts'
import { tunnelDepth } from '../src/nesting.ts'
import { BEN, hex, udpFrame } from './tunnel-lab.ts'

/** Any bytes, in and out of tunnels: nothing is thrown, no byte outside a frame is read into it or written, every frame is
 * accounted for. */

class Rig {
  readonly pool = new FramePool({ frames: 64, frameSize: 400, headroom: 128 })
  readonly clock = new VirtualClock()
  readonly elements: Element[]
  readonly vtep: Vtep
  readonly out: Link
  readonly #batch = new Batch()

  constructor() {
    const { pool, clock } = this
    this.out = new Link(pool, { schedule() {} }, { process: (b) => this.#letGo(b) }, 'out', 64)
    const { out } = this
    this.vtep = new Vtep(pool, clock, { local: '192.168.77.2', out, maxRemotes: 8, maxEntries: 16 })
    const net = this.vtep.addNetwork({ vni: 4096, out, mtu: 200, oversize: 'inner' })
    net.addFlood('192.168.77.1')
    net.addStatic(BEN, '192.168.77.3')
    net.addRoute({ to: '10.244.0.0/16', remote: '192.168.77.4', mac: BEN, decrementTtl: true })
    const over6 = new Vtep(pool, clock, {
      local: 'fd00::2',
      encapsulation: 'geneve',
      out,
      knownOptions: [ovn.option(1, 1)],
    })
    over6.addNetwork({ vni: 'any', out }).addFlood('fd00::1')
    const take = (vtep: Vtep): Element => ({
      process(b) {
        let kept = 0
        for (let i = 0; i < b.length; i++) {
          const f = b.frames[i] as Frame
          // A router has seen to as much.
          if ((pool.len[f] as number) < 54 || !vtep.take(f, undefined as never)) b.frames[kept++] = f
        }
        b.length = kept
      },
    })
    this.elements = [
      this.vtep,
      over6,
      take(this.vtep),
      take(over6),
      net,
      new Decap(pool, { vni: 4096, local: '192.168.77.2', out }),
      new Decap(pool, { vni: 'any', encapsulation: 'geneve', out, profile: 'rfc' }),
      new Encap(pool, { vni: 1, local: '192.168.77.1', remote: '192.168.77.2', out }),
      new Encap(pool, { vni: 1, encapsulation: 'geneve', local: 'fd00::1', remote: 'fd00::2', out }),
    ]
  }

  #letGo(b: Batch): void {
    for (let i = 0; i < b.length; i++) this.pool.sent(b.frames[i] as Frame)
    b.length = 0
  }

  feed(element: Element, bytes: Uint8Array): void {
    const { pool } = this
    const f = pool.from(bytes) as Frame
    pool.ledger.receive(1)
    const end = (pool.off[f] as number) + bytes.length
    const behind = [end, (f + 1) * pool.stride] as const
    pool.bytes.fill(0xa5, ...behind)
    this.#batch.push(f)
    element.process(this.#batch)
    expect(pool.bytes.subarray(...behind).every((v) => v === 0xa5)).toBe(true)
    for (let i = 0; i < this.#batch.length; i++) {
      expect(pool.copyOut(this.#batch.frames[i] as Frame)).toEqual(Buffer.from(bytes))
      pool.sent(this.#batch.frames[i] as Frame)
    }
    this.#batch.length = 0
    this.out.target.process(this.out.take())
    expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
    this.clock.advance(1e8)
    this.vtep.tick(this.clock.now)
  }
}

const inner = udpFrame({ to: BEN })
const OUTER = '02000000000b 02000000000a 0800 45000000e7c700004011 0000 c0a84d01 c0a84d02 c215'
function wrapped(port: number, header: string): Buffer {
  const b = Buffer.concat([hex(`${OUTER} ${port.toString(16).padStart(4, '0')} 0000 0000 ${header}`), inner])
  b.writeUInt16BE(b.length - 14, 16)
  b.writeUInt16BE(b.length - 34, 38)
  return b
}
const samples = [
  inner,
  udpFrame({ to: BEN, src: 'fd00::1', dst: 'fd00::2' }),
  udpFrame({ data: Buffer.alloc(280) }),
  udpFrame({ data: Buffer.alloc(280), df: true }),
  wrapped(4789, '0800000000100000'),
  wrapped(4789, '8800000700100000'),
  wrapped(6081, '0240655800000700 0102800100058000'),
  wrapped(6081, '0440655800000700 0102800100058000 0103010100000000'),
  hex(`02000000000b 02000000000a 86dd 60000000 0043 11 40 fd00000000000000 0000000000000001 fd00000000000000
    0000000000000002 c215 17c1 0043 0000 0040655800000700 ${inner.toString('hex')}`),
  // ICMP: too big, about a packet of ours.
  hex(`02000000000b 02000000000a 0800 45000038000000004001 0000 c0a84d09 c0a84d02 0304 0000 0000 0400
    4500 05dc 0001 4000 4011 0000 c0a84d02 c0a84d01 c215 12b5 05c8 0000`),
]

const mutated = fc
  .record({
    sample: fc.constantFrom(...samples),
    cut: fc.nat(400),
    edits: fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 5 }),
    sum: fc.boolean(),
  })
  .map(({ sample, cut, edits, sum }) => {
    const b = Buffer.from(sample)
    for (const [at, value] of edits) if (at < b.length) b[at] = value
    if (sum && b.length > 60 && b[12] === 8 && b[14] === 0x45 && udp.length(b, 34) === b.length - 34) {
      udp.fillChecksum(b, 14, 34)
    }
    return new Uint8Array(b.subarray(0, Math.max(1, cut)))
  })

it('any bytes, and packets cut and edited, through every way in and out', () => {
  const rig = new Rig()
  fc.assert(
    fc.property(
      fc.oneof(
        { weight: 1, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 300 }) },
        { weight: 6, arbitrary: mutated },
      ),
      fc.nat(),
      (bytes, which) => {
        rig.feed(rig.elements[which % rig.elements.length] as Element, bytes)
      },
    ),
    { numRuns: 20_000 },
  )
  const { dropped } = rig.pool.report()
  for (const why of [
    'Malformed',
    'UnknownVni',
    'TunnelFlags',
    'TunnelReserved',
    'TunnelOptions',
    'BadChecksum',
    'Runt',
  ] as const) {
    expect(dropped[why] ?? 0, why).toBeGreaterThan(0)
  }
})

it('the codecs read any bytes that their check has passed', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 8, maxLength: 300 }), (b) => {
      expect(vxlan.describe(b, 0)).toMatch(/^VXLAN/)
      if (geneve.check(b, 0, b.length) === -1) return
      expect(geneve.describe(b, 0)).toMatch(/^GENEVE/)
      geneve.checkOptions(b, 0, new Set())
      const h = geneve.toJSON(b, 0)
      for (const o of h.options) expect(geneve.option(b, 0, o.class, o.type)).toBeGreaterThan(0)
      expect(ovn.ports(b, 0)).toBeGreaterThanOrEqual(-1)
    }),
  )
})

it('depth is found in any bytes, and ends', () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), mutated), fc.boolean(), (b, ethernet) => {
      const depth = tunnelDepth(b, 0, b.length, ethernet)
      expect(depth >= 0 && depth <= 8).toBe(true)
    }),
  )
  expect(tunnelDepth(samples[4] as Uint8Array, 0, (samples[4] as Uint8Array).length, true)).toBe(1)
})
