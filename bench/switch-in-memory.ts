/**
 * How fast does the switch forward known unicast, in memory, on one core?
 *
 * One variant a process (V8's feedback of one poisons the next): `switch-in-memory.ts '{"size":64,"macs":1024,...}'`
 * prints one JSON line. `memory.ts` runs them all, in interleaved rounds.
 *
 * The complete path is timed: port -> loop -> switch (source checks, learning, lookup, counters; with `vlan` also
 * classification, membership and per-VLAN counters) -> link -> port, ledger included. The source port takes rows
 * from the pool and writes the addresses of each frame into them; they stay in the cache, as receive buffers do.
 *
 * `bare` is the reference: the same frames through one hand-written loop over the same tables - read two addresses, learn,
 * look up, count - without ports, links, VLANs, ledger or limits. Its hash is the switch's, as it is in C (`fused.c` says why).
 */
import { Batch, type Frame, FramePool, Loop, RealClock, Switch } from '@l2l3/switch-core'
import { Bench } from 'tinybench'
import { SourcePort } from './source-port.ts'

interface Variant {
  readonly kind: 'switch' | 'vlan' | 'bare'
  readonly size: number
  readonly macs: number
  readonly ports: number
  /** Milliseconds of measuring. */
  readonly time: number
}

/** Writes addresses into rows, in turn from the list of each port: what a NIC does by DMA, it does with four stores, of the widths
 * in which they are read (a load that spans two stores waits for both). One closure for all ports, over views of the arena where
 * a word is aligned (a frame starts at 2 modulo 4): a frame then costs 3 ns instead of 7 (measured). */
function addressWriter(
  pool: FramePool,
  lists: readonly Int32Array[],
  size: number,
): (port: number) => SourcePort['make'] {
  const { data, off, len } = pool
  const halves = new Uint16Array(pool.bytes.buffer, 0, pool.bytes.length >> 1)
  const words = new Int32Array(pool.bytes.buffer, 0, pool.bytes.length >> 2)
  const headers = new Int32Array(lists.reduce((sum, list) => sum + list.length, 0))
  const first = new Int32Array(lists.length + 1)
  for (const [i, list] of lists.entries()) {
    headers.set(list, first[i])
    first[i + 1] = (first[i] as number) + list.length
  }
  const next = first.slice()
  const write = (port: number, rows: Uint32Array, n: number): void => {
    const [start, end] = [first[port] as number, first[port + 1] as number]
    let at = next[port] as number
    for (let i = 0; i < n; i++) {
      const f = rows[i] as number
      const half = (off[f] as number) >>> 1
      len[f] = size
      halves[half] = headers[at] as number
      words[(half + 1) >>> 1] = headers[at + 1] as number
      halves[half + 3] = headers[at + 2] as number
      data.setInt32((half << 1) + 8, headers[at + 3] as number, true)
      halves[half + 6] = 0x0008
      at += 4
      if (at === end) at = start
    }
    next[port] = at
  }
  return (port) => (rows, n) => write(port, rows, n)
}

const variant = JSON.parse(process.argv[2] ?? '{}') as Variant
const { kind, size, macs, ports, time } = variant

/** As many rows as a few ports with rings of receive buffers have; those that come free are used first. */
const RING = 256
const pool = new FramePool({ frames: ports * RING, frameSize: Math.max(64, size), tables: (4 << 20) + 64 * macs })
let seed = 1
const random = (n: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * n)
}
const mac = (i: number): number[] => [0x02, 0x00, 0x5e, i >> 16, (i >> 8) & 255, i & 255]
// Every MAC sends and is sent to, in random order; MAC i lives on port i % ports.
const senders = Array.from({ length: Math.max(4096, macs) }, (_, i) => i % macs)
for (let i = senders.length - 1; i > 0; i--) {
  const j = random(i + 1)
  ;[senders[i], senders[j]] = [senders[j] as number, senders[i] as number]
}
const headers = Array.from({ length: ports }, (_, port) => {
  const bytes: number[] = []
  for (const src of senders.filter((s) => s % ports === port)) {
    let dst = random(macs)
    while (dst % ports === port) dst = random(macs)
    bytes.push(...mac(dst).slice(0, 2), 0, 0, ...mac(dst).slice(2), ...mac(src).slice(0, 2), 0, 0, ...mac(src).slice(2))
  }
  return new Int32Array(Uint8Array.from(bytes).buffer)
})

/** Forwards about this many frames a call. */
const BLOCK = 64 * 1024
let run: () => void

if (kind === 'bare') run = bareLoop()
else {
  const clock = new RealClock()
  const loop = new Loop(pool, clock)
  const sw = new Switch(pool, clock, { maxEntries: Math.max(8192, macs), vlanAware: kind === 'vlan' })
  const writer = addressWriter(pool, headers, size)
  for (let i = 0; i < ports; i++) {
    const port = new SourcePort(pool, `p${i}`, writer(i))
    loop.add(port, sw.addPort(loop.link(port)))
  }
  const turns = Math.ceil(BLOCK / (ports * 64))
  run = () => {
    for (let i = 0; i < turns; i++) loop.turn()
  }
  // Learn all addresses first, so that nothing is flooded while the time is taken.
  for (let i = 0; i < Math.ceil(senders.length / ports / 64) + 1; i++) loop.turn()
}

function bareLoop(): () => void {
  const slots = 2 ** Math.ceil(Math.log2(Math.max(8192, macs) * 2))
  const table = new Int32Array(slots * 4)
  const mask = slots - 1
  const shift = 32 - Math.log2(slots)
  const { salt } = new Switch(pool, new RealClock()).fdb
  const counts = new Float64Array(ports * 4)
  const out = Array.from({ length: ports }, () => new Batch(64))
  const { data, off, len } = pool
  const find = (hi: number, lo: number): number => {
    let h = Math.imul(lo ^ salt, 0x9e3779b1) ^ Math.imul(hi, 0x85ebca6b)
    h = Math.imul(h ^ (h >>> 16), 0x7feb352d)
    let slot = Math.imul(h ^ (h >>> 15), 0x846ca68b) >>> shift
    for (;;) {
      const at = slot << 2
      if (table[at + 2] === 0 || (table[at] === lo && table[at + 1] === hi)) return at
      slot = (slot + 1) & mask
    }
  }
  const rows = headers.map(() =>
    Uint32Array.from({ length: RING }, () => {
      const f = pool.alloc() as Frame
      pool.len[f] = size
      return f
    }),
  )
  const next = new Uint32Array(ports)
  return () => {
    for (let done = 0; done < BLOCK; done += ports * 64) {
      for (let p = 0; p < ports; p++) {
        const list = headers[p] as Int32Array
        const ring = rows[p] as Uint32Array
        let at = next[p] as number
        for (let i = 0; i < 64; i++) {
          const f = ring[(done + i) & (RING - 1)] as number
          const o = off[f] as number
          data.setUint16(o, list[at] as number, true)
          data.setInt32(o + 2, list[at + 1] as number, true)
          data.setUint16(o + 6, list[at + 2] as number, true)
          data.setInt32(o + 8, list[at + 3] as number, true)
          at += 4
          if (at === list.length) at = 0
          const srcLo = data.getInt32(o + 8, true)
          const srcHi = data.getUint16(o + 6, true)
          const src = find(srcHi, srcLo)
          table[src] = srcLo
          table[src + 1] = srcHi
          table[src + 2] = p + 1
          table[src + 3] = 1
          const to = (table[find(data.getUint16(o, true), data.getInt32(o + 2, true)) + 2] as number) - 1
          if (to < 0) continue
          ;(counts[to * 4] as number)++
          ;(counts[to * 4 + 1] as number) += len[f] as number
          const batch = out[to] as Batch
          batch.frames[batch.length] = f
          batch.length = (batch.length + 1) & 63
        }
        next[p] = at
      }
    }
  }
}

const turnSize = ports * 64
const perCall = Math.ceil(BLOCK / turnSize) * turnSize
for (let i = 0; i < 30; i++) run()
const bench = new Bench({ time, warmupTime: 100 })
bench.add('forward', run)
await bench.run()
const result = bench.tasks[0]?.result
if (result?.state !== 'completed') throw new Error(`bench: ${JSON.stringify(result)}`)
const ns = (result.latency.p50 * 1e6) / perCall
// The bare loop keeps no account.
const { balanced, dropped, sent } = { ...pool.report(), ...(kind === 'bare' && { balanced: true }) }
process.stdout.write(`${JSON.stringify({ ...variant, ns, mpps: 1e3 / ns, balanced, dropped, sent })}\n`)
