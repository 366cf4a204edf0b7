import { type Frame, GsoType } from '@l2l3/switch-core'
import { checksum, ipv4, u32 } from '@l2l3/switch-core/wire'
import { expect, it } from 'vitest'
import { OuterTable, tunnelSettings, Vtep, vxlan, WRAPPED } from '../src/index.ts'
import { ANN, BEN, bench, dropped, feed, linkTo, put, Sink, udpFrame } from './tunnel-lab.ts'

/** Tables that grow, and places in them that are used again. */

it('headers: as many as are wanted, and places of those that went are taken again', () => {
  const { pool } = bench()
  const table = OuterTable.of(pool)
  expect(OuterTable.of(pool)).toBe(table)
  const make = (i: number): number =>
    table.add({
      src: '192.0.2.1',
      dst: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`,
      protocol: 17,
      udpPort: 4789,
      tunnel: Uint8Array.of(8, 0, 0, 0, 0, 0, 1, 0),
      settings: tunnelSettings(),
    })
  const rows = Array.from({ length: 10_000 }, (_, i) => make(i + 1))
  expect(table.size).toBe(10_000)
  for (const i of [0, 4711, 9999]) {
    const f = put(pool, udpFrame({}))
    expect(table.wrap(f, rows[i] as number)).toBe(WRAPPED)
    expect(u32(pool.bytes, (pool.off[f] as number) + 30)).toBe(0x0a00_0000 + i + 1)
    expect(ipv4.checksumOk(pool.bytes, (pool.off[f] as number) + 14)).toBe(true)
    pool.sent(f)
  }
  table.remove(rows[5] as number)
  expect(() => table.optionsOf(rows[5] as number)).toThrow(/there is no outer header/)
  expect(make(77)).toBe(rows[5])
  expect(table.size).toBe(10_000)
})

it('networks: more than a thousand at one end, each with its own frames; none when the end is closed', () => {
  const b = bench()
  const { pool, clock } = b
  const sinks: Sink[] = []
  const wire = new Sink(pool)
  // Small tables: those of the default size are a quarter of a megabyte each.
  const vteps = ['192.0.2.1', '192.0.2.2'].map(
    (local) => new Vtep(pool, clock, { local, out: wire, maxEntries: 16 }),
  ) as [Vtep, Vtep]
  const nets = Array.from({ length: 1500 }, (_, i) => {
    const vni = (i * 7919) & 0xffffff
    const sink = new Sink(pool)
    sinks.push(sink)
    vteps[1].addNetwork({ vni, out: linkTo(b, sink) })
    const net = vteps[0].addNetwork({ vni, out: linkTo(b, sink) })
    net.addFlood('192.0.2.2')
    return net
  })
  for (const i of [0, 1, 1234, 1499]) {
    const frame = udpFrame({ from: ANN, to: BEN, data: Buffer.from(`network ${i}`) })
    feed(pool, nets[i] as (typeof nets)[0], put(pool, frame))
    const [out] = wire.take() as [Buffer]
    expect(vxlan.vni(out, 42)).toBe((i * 7919) & 0xffffff)
    expect(feed(pool, vteps[1], put(pool, out))).toEqual([])
    b.loop.settle()
    expect(sinks[i]?.take()).toEqual([frame])
  }
  vteps[1].close()
  feed(pool, nets[0] as (typeof nets)[0], put(pool, udpFrame({})))
  const [out] = wire.take() as [Buffer]
  expect(feed(pool, vteps[1], put(pool, out))).toEqual([out])
  expect(() => vteps[1].addNetwork({ vni: 1, out: linkTo(b, wire) })).toThrow('the VTEP 192.0.2.2 is closed')
  expect(dropped(pool)).toEqual({})
  expect(vteps[1].networks).toEqual([])
})

it('a VTEP cuts a train of datagrams, and a super-frame that is in a tunnel already', () => {
  const b = bench({ frameSize: 9000, headroom: 256 })
  const { pool, clock } = b
  const inside = new Sink(pool)
  const sent: Frame[] = []
  const vtep = (local: string, remote: string, out: { send(f: Frame): void }): ReturnType<Vtep['addNetwork']> => {
    const net = new Vtep(pool, clock, { local, out }).addNetwork({ vni: 1, out: linkTo(b, inside) })
    net.addFlood(remote)
    return net
  }
  const wire = new Sink(pool)
  const second = vtep('10.0.0.1', '10.0.0.2', wire)
  const first = vtep('192.0.2.1', '192.0.2.2', { send: (f) => sent.push(f) })
  const frame = udpFrame({ data: Buffer.alloc(3000, 'x') })
  const f = put(pool, frame)
  const o = pool.off[f] as number
  const sum = checksum.pseudo(pool.bytes, o + 14, 17, frame.length - 34)
  pool.bytes.set([sum >>> 8, sum & 255], o + 40)
  pool.gsoType[f] = GsoType.Udp
  pool.gsoSize[f] = 1400
  pool.flags[f] = 1
  pool.csumStart[f] = 34
  pool.csumOffset[f] = 6
  pool.hdrLen[f] = 42
  feed(pool, first, f)
  feed(pool, second, ...sent)
  expect(wire.frames.map((x) => x.length)).toEqual([1542, 1542, 342])
  expect(second.counters.txBytes).toBe(1542 + 1542 + 342)
  expect(dropped(pool)).toEqual({})
})
