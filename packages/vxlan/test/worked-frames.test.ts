import { describe, expect, it } from 'vitest'
import { Decap, Encap, geneve, ovn, vxlan } from '../src/index.ts'
import { bench, feed, hex, linkTo, put, Sink, wrapUntil } from './tunnel-lab.ts'

/** The worked frames of modes.md, appendix A: byte for byte. */

const A1 = hex(`
  02000000000b 02000000000a 0800
  4501 0086 e7ac 0000 40 11 7765 c0a84d01 c0a84d02
  da25 12b5 0072 1ac7
  08 000000 001000 00
  660000000002 660000000001 0800
  45b9 0054 0000 4000 09 01 5809 0af40100 0af40200  0800 7f1e 463c 0001 c0b5006b 00000000`)

const A2 = hex(`
  02000000000b 02000000000a 0800 | 4500006ee7c700004011 7763 c0a84d01 c0a84d02
  | c215 12b5 005a 4c28 | 0800000000100000
  | 660000000002 660000000001 0800 4500003cfe34400040112395 0af40100 0af40200 4e20 0009 0028 1106 ${'78'.repeat(32)}`)

/** The identification is the sender's counter: frames are sent until it is there. */
function encapsulated(inner: Buffer, id: number, port: number): Buffer {
  return wrapUntil(
    id,
    inner,
    (b, out) =>
      new Encap(b.pool, {
        local: '192.168.77.1',
        remote: '192.168.77.2',
        vni: 0x1000,
        sportRange: [port, port],
        dstMac: hex('02000000000b'),
        srcMac: hex('02000000000a'),
        out,
      }),
  )
}

describe('A1, A2: what Linux 6.18 sends', () => {
  it('A2, an inner UDP datagram', () => {
    expect(encapsulated(A2.subarray(50), 0xe7c7, 0xc215).toString('hex')).toBe(A2.toString('hex'))
  })

  it('A1, ECN copied, TOS and DF not; the headers, since 48 bytes of the payload are not in the specification', () => {
    const inner = Buffer.concat([A1.subarray(50), Buffer.alloc(0x54 + 14 - (A1.length - 50))])
    const out = encapsulated(inner, 0xe7ac, 0xda25)
    expect(out.subarray(0, 40).toString('hex')).toBe(A1.subarray(0, 40).toString('hex'))
    expect(out.subarray(42, A1.length).toString('hex')).toBe(A1.subarray(42).toString('hex'))
  })

  it('A2 comes out again as it went in', () => {
    const b = bench()
    const sink = new Sink(b.pool)
    const decap = new Decap(b.pool, { vni: 0x1000, local: '192.168.77.2', out: linkTo(b, sink) })
    expect(feed(b.pool, decap, put(b.pool, A2))).toEqual([])
    b.loop.settle()
    expect(sink.frames.map((f) => f.toString('hex'))).toEqual([A2.subarray(50).toString('hex')])
  })
})

describe('A9, A10: how OVN says where a packet is', () => {
  it('A9 GENEVE: datapath 7, from port 5 to port 0x8000', () => {
    const b = Buffer.alloc(16)
    expect(geneve.write(b, 0, { vni: 7, options: [ovn.option(5, 0x8000)] })).toBe(16)
    expect(b.toString('hex')).toBe('0240655800000700' + '0102800100058000')
    expect(geneve.checkOptions(b, 0, new Set([ovn.OPTION]))).toBe(geneve.Options.Ok)
    expect(ovn.ports(b, 0)).toBe((5 << 16) | 0x8000)
    expect(geneve.vni(b, 0)).toBe(7)
    expect(geneve.describe(b, 0)).toBe('GENEVE vni 7, critical option 0x0102/0x80 00058000')
  })

  it('A10 VXLAN: datapath 7, to port 3', () => {
    expect(ovn.vxlanVni(7, 3)).toBe(0x003007)
    expect(ovn.vxlanDatapath(0x003007)).toBe(7)
    expect(ovn.vxlanEgress(0x003007)).toBe(3)
    const b = Buffer.alloc(8)
    vxlan.write(b, 0, ovn.vxlanVni(7, 3))
    expect(b.toString('hex')).toBe('0800000000300700')
    expect(vxlan.describe(b, 0)).toBe('VXLAN vni 12295')
  })

  it('A9 through an encap and back', () => {
    const b = bench()
    const inner = A2.subarray(50)
    const wire = new Sink(b.pool)
    const ends = { encapsulation: 'geneve', vni: 7, profile: 'ovs' } as const
    const out = { local: '192.168.77.1', remote: '192.168.77.2', out: wire, options: [ovn.option(5, 0x8000)] }
    feed(b.pool, new Encap(b.pool, { ...ends, ...out }), put(b.pool, inner))
    const frame = wire.take()[0] as Buffer
    expect(frame.subarray(42, 58).toString('hex')).toBe('02406558000007000102800100058000')
    const sink = new Sink(b.pool)
    const knownOptions = [{ class: ovn.CLASS, type: ovn.TYPE }]
    feed(b.pool, new Decap(b.pool, { ...ends, out: linkTo(b, sink), knownOptions }), put(b.pool, frame))
    b.loop.settle()
    expect(sink.frames).toEqual([inner])
  })
})
