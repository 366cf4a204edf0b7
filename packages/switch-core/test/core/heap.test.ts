import {
  type Batch,
  type Element,
  type Frame,
  FramePool,
  Loop,
  MemoryPort,
  Pipeline,
  VirtualClock,
} from '@l2l3/switch-core'
import { CapturePort, PcapngWriter } from '@l2l3/switch-core/pcap'
import { expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'

/** A million frames leave no trace on the heap. */

const MILLION = 1_000_000
/** Frames after which the compiler's own memory has come and gone. */
const WARM_UP = 500_000

it('through ports, a pipeline, links and a cable', () => {
  const pool = new FramePool({ frames: 512 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const [web, left, right] = ['web', 'left', 'right'].map((name) => new MemoryPort(pool, name)) as MemoryPort[]
  MemoryPort.connect(left as MemoryPort, right as MemoryPort)
  let delivered = 0
  /** Puts a header in front and takes it off. */
  const encap: Element = {
    process(batch) {
      for (let i = 0; i < batch.length; i++) pool.prepend(batch.frames[i] as Frame, 50)
    },
  }
  const decap: Element = {
    process(batch) {
      for (let i = 0; i < batch.length; i++) pool.strip(batch.frames[i] as Frame, 50)
    },
  }
  const link = loop.link(left as MemoryPort)
  const fork: Element = {
    process(batch: Batch) {
      for (let i = 0; i < batch.length; i++) link.push(batch.frames[i] as Frame)
      batch.length = 0
    },
  }
  const end: Element = {
    process(batch: Batch) {
      for (let i = 0; i < batch.length; i++) {
        if (i % 8 === 0) pool.drop(batch.frames[i] as Frame, 0)
        else pool.sent(batch.frames[i] as Frame)
      }
      delivered += batch.length
      batch.length = 0
    },
  }
  loop.add(web as MemoryPort, new Pipeline(encap, fork))
  loop.add(right as MemoryPort, new Pipeline(decap, end))
  loop.every(1000, { tick() {} })
  const hello = new Uint8Array(64).fill(2)
  const run = (frames: number) => {
    for (const until = delivered + frames; delivered < until; clock.advance(100)) {
      for (let i = 0; i < 64; i++) (web as MemoryPort).inject(hello)
      loop.turn()
    }
  }
  run(WARM_UP)
  expect(heapGrowth(() => run(MILLION))).toBeLessThan(HEAP_LIMIT)
  expect(delivered).toBeGreaterThanOrEqual(1.5 * MILLION)
  loop.settle()
  expect(pool.report()).toMatchObject({ held: 0, balanced: true })
})

it('into a capture file', () => {
  const pool = new FramePool({ frames: 512 })
  const clock = new VirtualClock(1_700_000_000_123_456_789n)
  const loop = new Loop(pool, clock)
  const web = new MemoryPort(pool, 'web')
  let written = 0
  const to = new PcapngWriter((chunk) => {
    written += chunk.length
  })
  loop.add(web, new CapturePort(pool, 'file', { clock, to }))
  const hello = new Uint8Array(64).fill(2)
  const run = (frames: number) => {
    for (let n = 0; n < frames; n += 64, clock.advance(100)) {
      for (let i = 0; i < 64; i++) web.inject(hello)
      loop.turn()
    }
  }
  run(WARM_UP)
  expect(heapGrowth(() => run(MILLION))).toBeLessThan(HEAP_LIMIT)
  expect(written).toBeGreaterThan(1.5 * MILLION * 108 - 65_536)
})
