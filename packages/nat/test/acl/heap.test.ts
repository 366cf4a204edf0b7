// A million frames leave no trace on the heap: of known flows, of new ones, and of refused ones.
import type { Batch, Frame } from '@l2l3/switch-core'
import { expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'
import type { AclOptions, AclRule } from '../../src/index.ts'
import { hex, udpPacket } from '../engine/lab.ts'
import { FilterLab } from './lab.ts'

const MILLION = 1_000_000
const v4 = hex(udpPacket('10.1.0.2#5000 > 203.0.113.2#53', { nosum: true }))
const v6 = hex(udpPacket('fd00:1::2#5000 > 2001:db8:7::2#53'))

/** Has `n` packets of so many flows pass, `gap` nanoseconds apart, some of them of IPv6. */
function pump(lab: FilterLab, n: number, flows: number, gap: number, from = 0): void {
  const { pool } = lab
  const batch = { frames: new Uint32Array(64), length: 0 } as unknown as Batch
  for (let done = 0; done < n; done += 64) {
    for (let i = 0; i < 64; i++) {
      const f = pool.alloc() as Frame
      const o = pool.off[f] as number
      const k = (from + done + i) % flows
      const six = (k & 15) === 15
      const packet = six ? v6 : v4
      pool.bytes.set(packet, o + 14)
      pool.bytes[o] = 2
      pool.bytes[o + 12] = six ? 0x86 : 8
      pool.bytes[o + 13] = six ? 0xdd : 0
      const port = o + 14 + (six ? 40 : 20)
      pool.bytes[port] = 16 + ((k >>> 8) & 127)
      pool.bytes[port + 1] = k
      pool.bytes[port + 3] = k >>> 15
      pool.len[f] = 14 + packet.length
      pool.ledger.receive(1)
      batch.frames[i] = f
    }
    batch.length = 64
    lab.port.out.process(batch)
    for (let i = 0; i < batch.length; i++) pool.sent(batch.frames[i] as Frame)
    lab.clock.advance(gap * 64)
    lab.loop.turn()
  }
}

const rules = (action: AclRule['action']): AclOptions => {
  return {
    rules: Array.from({ length: 500 }, (_, i): AclRule => {
      return { action, direction: 'out', remoteAddresses: [`10.${i >>> 8}.${i & 255}.0/24`], priority: i }
    }),
  }
}

it('known flows', () => {
  const lab = new FilterLab(rules('block'))
  pump(lab, 300_000, 1024, 100)
  expect(heapGrowth(() => pump(lab, MILLION, 1024, 100))).toBeLessThan(HEAP_LIMIT)
  expect(lab.filter.conntrack.counters.made).toBe(1024)
}, 60_000)

it('new flows, which expire', () => {
  const lab = new FilterLab(rules('block'), { maxFlows: 8192, whenFull: 'evict', timeouts: { udp: 1 } })
  let from = 0
  const more = (n: number): void => {
    pump(lab, n, 1 << 20, 200_000, from)
    from += n
  }
  more(200_000)
  expect(heapGrowth(() => more(MILLION))).toBeLessThan(HEAP_LIMIT)
  expect(lab.filter.conntrack.counters.made).toBeGreaterThan(1_000_000)
  expect(lab.pool.report()).toMatchObject({ balanced: true, held: 0 })
}, 120_000)

it('refused flows', () => {
  const lab = new FilterLab({ ...rules('allow'), defaults: 'block' })
  pump(lab, 200_000, 1 << 20, 100)
  expect(heapGrowth(() => pump(lab, MILLION, 1 << 20, 100))).toBeLessThan(HEAP_LIMIT)
  expect(lab.filter.conntrack.size).toBe(0)
  expect(lab.pool.report()).toMatchObject({ balanced: true, held: 0 })
}, 120_000)
