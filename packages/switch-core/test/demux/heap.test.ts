// A million frames through macvlan and ipvlan leave no trace on the heap.
import { expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'
import { type Batch, type Frame, FramePool, Ipvlan, Loop, Macvlan, MemoryPort, VirtualClock } from '../../src/index.ts'

const A = '02000000000a'
const PARENT = '0e00000000ff'
const frame = (dst: string, src: string): Uint8Array =>
  Buffer.from(`${dst}${src}08004500001c000100004011${'66ce'}0a0000010a0000021388138800080000`, 'hex')

it.each(['macvlan', 'ipvlan l2', 'ipvlan l3'])(
  '%s',
  (kind) => {
    const pool = new FramePool({ frames: 1024 })
    const loop = new Loop(pool, new VirtualClock())
    const end = {
      process(batch: Batch): void {
        for (let i = 0; i < batch.length; i++) pool.sent(batch.frames[i] as Frame)
        batch.length = 0
      },
    }
    const [wire, a, b] = ['wire', 'a', 'b'].map((name) => new MemoryPort(pool, name)) as [
      MemoryPort,
      MemoryPort,
      MemoryPort,
    ]
    const parentMac = '0e:00:00:00:00:ff'
    if (kind === 'macvlan') {
      const macvlan = new Macvlan(loop, loop.link(end), { parentMac })
      loop.add(wire, macvlan.ingress)
      loop.add(a, macvlan.addChild(loop.link(end), { mac: '02:00:00:00:00:0a' }))
      loop.add(b, macvlan.addChild(loop.link(end), { mac: '02:00:00:00:00:0b' }))
    } else {
      const ipvlan = new Ipvlan(loop, loop.link(end), { parentMac, mode: kind === 'ipvlan l2' ? 'l2' : 'l3' })
      ipvlan.attachParent(loop.link(end))
      loop.add(wire, ipvlan.ingress)
      loop.add(a, ipvlan.addChild(loop.link(end), { ips: ['10.0.0.1'] }))
      loop.add(b, ipvlan.addChild(loop.link(end), { ips: ['10.0.0.2'] }))
    }
    const to = kind === 'macvlan' ? A : PARENT
    const sent: readonly (readonly [MemoryPort, Uint8Array])[] = [
      [wire, frame(to, '02000000eeee')],
      [wire, frame('ffffffffffff', '02000000eeee')],
      [a, frame(PARENT, to)],
      [b, frame(to, '02000000000b')],
    ]
    const run = (n: number): void => {
      for (let i = 0; i < n; i += 64) {
        for (let k = 0; k < 16; k++) for (const [from, bytes] of sent) from.inject(bytes)
        loop.turn()
      }
    }
    run(300_000)
    expect(heapGrowth(() => run(1_000_000))).toBeLessThan(HEAP_LIMIT)
    loop.settle()
    expect(pool.report()).toMatchObject({ held: 0, balanced: true, dropped: {} })
  },
  120_000,
)
