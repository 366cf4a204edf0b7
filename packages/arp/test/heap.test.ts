import { Batch, type Frame, FramePool, VirtualClock } from '@l2l3/switch-core'
import { expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../test-support/heap.ts'
import { NeighbourTable } from '../src/index.ts'
import { ANN, mac, US, whoHas } from './lab.ts'

/** A million look-ups, and a million questions answered, leave no trace on the heap. */

const MILLION = 1_000_000

function table(): { pool: FramePool; table: NeighbourTable } {
  const pool = new FramePool({ frames: 64 })
  const t = new NeighbourTable(pool, new VirtualClock(), {
    mac: mac(US),
    addresses: ['10.0.0.1/24', 'fe80::1/64'],
    out: { push: (f) => pool.sent(f) },
  })
  return { pool, table: t }
}

it('look-ups, IPv4 and IPv6', () => {
  const { pool, table: t } = table()
  const v6 = new Uint8Array(16)
  v6.set([0xfe, 0x80])
  for (let i = 0; i < 200; i++) {
    t.add(`10.0.1.${1 + i}`, mac(ANN))
    t.add(`fe80::${(256 + i).toString(16)}`, mac(ANN))
  }
  const f = pool.alloc() as Frame
  pool.len[f] = 60
  let asked = 0
  let found = 0
  const run = (n: number): void => {
    asked += 2 * n
    for (let i = 0; i < n; i++) {
      if (t.resolve4(f, 0x0a000101 + (i % 200))) found++
      v6[14] = 1
      v6[15] = i % 200
      if (t.resolve6(f, v6, 0)) found++
    }
  }
  run(MILLION / 2)
  expect(heapGrowth(() => run(MILLION))).toBeLessThan(HEAP_LIMIT)
  expect(found).toBe(asked)
})

it('questions', () => {
  const { pool, table: t } = table()
  const question = Buffer.from(whoHas(ANN, '10.0.0.10', '10.0.0.1'), 'hex')
  const batch = new Batch()
  let asked = 0
  const run = (n: number): void => {
    asked += n
    for (let i = 0; i < n; i++) {
      const f = pool.alloc() as Frame
      pool.bytes.set(question, pool.off[f])
      pool.len[f] = question.length
      pool.ledger.receive(1)
      batch.push(f)
      t.input.process(batch)
    }
  }
  run(MILLION / 2)
  expect(heapGrowth(() => run(MILLION))).toBeLessThan(HEAP_LIMIT)
  expect(t.counters.answered).toBe(asked)
})
