import { Batch, type Element, type Frame, FramePool, Link, VirtualClock } from '@l2l3/switch-core'
import { expect, test } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../test-support/heap.ts'
import { FlannelUdp, greTunnel, gretapTunnel, ipipTunnel, SleeveTunnel, sttTunnel } from '../src/index.ts'
import { ETH4, flat, hex, MAC, packet, type Wrapper } from './ip-tunnel-lab.ts'

/** Hundreds of thousands of frames, wrapped and unwrapped again, leave no trace on the heap. */

type Ends = (pool: FramePool, clock: VirtualClock, options: { out: Link; into: Link }) => [near: Wrapper, far: Wrapper]

const TWO = { local: '192.168.77.1', remote: '192.168.77.2', mac: MAC }
const TURNED = { local: '192.168.77.2', remote: '192.168.77.1', mac: MAC }
const NEAR = { local: TWO.local, remote: TWO.remote, name: '02:00:00:00:01:01', peer: '02:00:00:00:01:02' }
const FAR = { local: TWO.remote, remote: TWO.local, name: NEAR.peer, peer: NEAR.name }
const GRE = { key: 7, checksum: true, sequence: true }

test.each<[string, Ends]>([
  ['ipip', (p, c, l) => [ipipTunnel(p, c, { ...TWO, ...l }), ipipTunnel(p, c, { ...TURNED, ...l })]],
  ['gre', (p, c, l) => [greTunnel(p, c, { ...TWO, ...GRE, ...l }), greTunnel(p, c, { ...TURNED, ...GRE, ...l })]],
  ['gretap', (p, c, l) => [gretapTunnel(p, c, { ...TWO, ...l }), gretapTunnel(p, c, { ...TURNED, ...l })]],
  [
    'stt',
    (p, c, l) => [sttTunnel(p, c, { ...TWO, context: 7n, ...l }), sttTunnel(p, c, { ...TURNED, context: 7n, ...l })],
  ],
  [
    'flannel udp',
    (p, c, l) => {
      const end = (local: string, via: string) =>
        new FlannelUdp(p, c, { local, mac: MAC, address: '10.244.1.0', routes: [{ to: '10.0.0.0/8', via }], ...l })
      return [end(TWO.local, TWO.remote), end(TWO.remote, TWO.local)]
    },
  ],
  ['sleeve', (p, c, l) => [new SleeveTunnel(p, c, { ...NEAR, ...l }), new SleeveTunnel(p, c, { ...FAR, ...l })]],
])('%s', (_name, make) => {
  const pool = new FramePool({ frames: 256 })
  let inside = 0
  const count: Element = {
    process: (batch) => {
      inside += batch.length
      for (let i = 0; i < batch.length; i++) pool.sent(batch.frames[i] as Frame)
    },
  }
  let far: Wrapper | null = null
  const never = { schedule: () => {} }
  const out = new Link(pool, never, { process: (batch) => far?.decap.process(batch) })
  const into = new Link(pool, never, count)
  const [near, other] = make(pool, new VirtualClock(), { out, into })
  far = other
  const frame = hex(flat(ETH4 + packet()))
  const batch = new Batch()
  const deliver = (link: Link) => {
    const frames = link.take()
    link.target.process(frames)
    frames.length = 0
  }
  const run = (n: number): void => {
    for (let i = 0; i < n; i += 32) {
      for (let j = 0; j < 32; j++) {
        const f = pool.alloc() as Frame
        pool.bytes.set(frame, pool.off[f])
        pool.len[f] = frame.length
        pool.ledger.originate(1)
        batch.push(f)
      }
      near.process(batch)
      deliver(out)
      deliver(into)
    }
  }
  run(64_000)
  expect(heapGrowth(() => run(256_000))).toBeLessThan(HEAP_LIMIT)
  expect(inside).toBe(pool.ledger.originated)
  expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
})
