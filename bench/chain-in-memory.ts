/**
 * What does a chain of five elements cost, in memory, on one core - four, and the port they end at? It is an endpoint's way out of an l2bridge or overlay node: its
 * MAC addresses are rewritten, its filter is asked, its flow is translated, and what comes out is put into a tunnel.
 *
 *     port ─> MacRewrite ─> Filter (of the endpoint) ─> Passage (outbound NAT) ─> Encap (VXLAN) ─> link ─> port
 *
 * One variant a process, as in `switch-in-memory.ts`; prints one JSON line. 64-byte frames of UDP, of 1,024 known flows in random order.
 *
 *     chain      the elements of the packages, with all that they do: checks, flows renewed and counted, states, ledger, offload metadata
 *     open       the same without the filter
 *     rewrite, filter, nat, encap      one of the elements alone, between the same ports
 *     empty      ports, loop and link, and no element
 *     bare       one hand-written loop that does the same to the bytes: two MAC addresses, a flow looked up and found allowed, a flow looked
 *                up and translated with both checksums, an outer header - without ports, links, ledger, counters, states or limits
 */
import { Addresses6, Filter, Nat, Passage, SourceNat } from '@l2l3/nat'
import { type Batch, type Element, FramePool, Loop, MacRewrite, Pipeline, RealClock } from '@l2l3/switch-core'
import { ipv4, parseIpv4, udp } from '@l2l3/switch-core/wire'
import { Encap } from '@l2l3/vxlan'
import { Bench } from 'tinybench'
import { SourcePort } from './source-port.ts'

interface Variant {
  readonly kind: 'chain' | 'open' | 'rewrite' | 'filter' | 'nat' | 'encap' | 'empty' | 'bare'
  /** Milliseconds of measuring. */
  readonly time: number
}

const { kind, time } = JSON.parse(process.argv[2] ?? '{}') as Variant
const SIZE = 64
const FLOWS = 1024
const RING = 256
const BLOCK = 64 * 1024
const pool = new FramePool({ frames: RING, frameSize: 128 })

function packet(i: number): Uint8Array {
  const b = new Uint8Array(SIZE)
  b.set([0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 8, 0])
  const l4 = ipv4.write(b, 14, {
    src: parseIpv4('10.244.1.2'),
    dst: parseIpv4('198.51.100.0') + (i & 63),
    protocol: 17,
    payload: SIZE - 34,
  })
  udp.write(b, l4, 1024 + (i >>> 6), 53, SIZE - 42)
  udp.fillChecksum(b, 14, l4)
  return b
}

/** Where flows differ or an element writes: the words of a frame at these offsets are written anew. */
const WRITTEN = [2, 8, 22, 26, 30, 34, 38] as const
const words = new Int32Array(FLOWS * 7)
let seed = 1
const order = Uint32Array.from({ length: FLOWS }, (_, i) => i)
for (let i = FLOWS - 1; i > 0; i--) {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  const j = Math.floor((seed / 2 ** 32) * (i + 1))
  ;[order[i], order[j]] = [order[j] as number, order[i] as number]
}
for (let i = 0; i < FLOWS; i++) {
  const view = new DataView(packet(order[i] as number).buffer)
  for (const [w, o] of WRITTEN.entries()) words[7 * i + w] = view.getInt32(o, true)
}
// Rows keep what all packets have in common.
for (let f = 0; f < RING; f++) pool.bytes.set(packet(0), f * pool.stride + pool.headroom)

/** Writes flows into rows, in turn, in words of the widths in which they are read. */
function flowWriter(): (rows: Uint32Array, n: number) => void {
  const { data, off, len } = pool
  let at = 0
  return (rows, n) => {
    for (let i = 0; i < n; i++) {
      const f = rows[i] as number
      const o = off[f] as number
      len[f] = SIZE
      data.setUint16(o, 2, true)
      data.setInt32(o + 2, words[at] as number, true)
      data.setUint16(o + 6, 2, true)
      data.setInt32(o + 8, words[at + 1] as number, true)
      data.setInt32(o + 22, words[at + 2] as number, true)
      data.setInt32(o + 26, words[at + 3] as number, true)
      data.setInt32(o + 30, words[at + 4] as number, true)
      data.setInt32(o + 34, words[at + 5] as number, true)
      data.setInt32(o + 38, words[at + 6] as number, true)
      at += 7
      if (at === words.length) at = 0
    }
  }
}

function chain(): () => void {
  const loop = new Loop(pool, new RealClock())
  loop.clock.update()
  const source = new SourcePort(pool, 'source', flowWriter())
  const sink = loop.link(source, 'sink')
  const toSink: Element = {
    process(batch: Batch): void {
      sink.pushAll(batch.frames, 0, batch.length)
      batch.length = 0
    },
  }
  const rewrite = (): Element =>
    new MacRewrite(pool, [
      { match: { dstMac: '02:00:00:00:00:01' }, setSrc: '02:00:00:00:00:98', setDst: '02:00:00:00:00:99' },
    ])
  const filter = (): Element => {
    const rules = [{ action: 'allow', direction: 'out', remoteAddresses: ['198.51.100.0/24'], priority: 100 }] as const
    return new Filter(loop, { maxFlows: 8192, timeouts: { udp: 3600 } }).addPort('pod', { rules, defaults: 'block' })
      .out
  }
  const nat = (): Element => {
    const addresses = new Addresses6({ max: 16 })
    const source = [new SourceNat(addresses, { outside: { of4: () => parseIpv4('203.0.113.1'), of6: () => 0 } })]
    const timeouts = { udp: 3600, udpStream: 3600 }
    const engine = new Nat(loop, { addresses, source, maxFlows: 8192, profile: 'linux', timeouts })
    return new Passage(engine, engine.addSide('inside'), engine.addSide('outside'))
  }
  const encap = (): Element =>
    new Encap(pool, { vni: 4096, udpChecksum: false, local: '192.0.2.1', remote: '192.0.2.2', out: sink })
  const elements: Record<Exclude<Variant['kind'], 'bare'>, () => Element[]> = {
    chain: () => [rewrite(), filter(), nat(), encap()],
    open: () => [rewrite(), nat(), encap()],
    rewrite: () => [rewrite(), toSink],
    filter: () => [filter(), toSink],
    nat: () => [nat(), toSink],
    encap: () => [encap()],
    empty: () => [toSink],
  }
  loop.add(source, new Pipeline(...elements[kind as Exclude<Variant['kind'], 'bare'>]()))
  return () => {
    for (let i = 0; i < BLOCK / 64; i++) loop.turn()
  }
}

/** Slots of a table of flows: the tuple in three words, what takes its place in two, the delta of the checksums, when it was seen. */
const FLOW = 8

function bareLoop(): () => void {
  const { data, off, len } = pool
  const mask = 2 * 8192 - 1
  const hash = (a: number, b: number, c: number): number => {
    const h = Math.imul(a, 0x9e3779b1) + Math.imul((b << 16) | (b >>> 16), 0x85ebca6b) + Math.imul(c, 0xc2b2ae35)
    return Math.imul(h ^ (h >>> 15), 0x2c1b3c6d) >>> 18
  }
  const fresh = new DataView(Uint8Array.of(203, 0, 113, 1).buffer).getInt32(0, true)
  const [allowed, translated] = [new Int32Array((mask + 1) * FLOW), new Int32Array((mask + 1) * FLOW)]
  for (let i = 0; i < FLOWS; i++) {
    const key = [words[7 * i + 3], words[7 * i + 4], words[7 * i + 5]] as [number, number, number]
    let delta = (~key[0] & 0xffff) + (~key[0] >>> 16) + (fresh & 0xffff) + (fresh >>> 16)
    delta = (delta & 0xffff) + (delta >>> 16)
    delta = (delta & 0xffff) + (delta >>> 16)
    for (const table of [allowed, translated]) {
      let slot = hash(...key)
      while (table[slot * FLOW + 7] !== 0) slot = (slot + 1) & mask
      table.set([...key, fresh, key[2], delta, 0, 1], slot * FLOW)
    }
  }
  const template = new Int32Array(13)
  const bytes = new Uint8Array(template.buffer)
  bytes.set([8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 0, 0x12, 0xb5], 12)
  bytes.set([8, 0, 0, 0, 0, 0x10, 0, 0], 42)
  let base = 0
  for (let i = 14; i < 34; i += 2) base += (bytes[i] as number) | ((bytes[i + 1] as number) << 8)
  const swap = (v: number): number => ((v & 255) << 8) | (v >>> 8)
  const write = flowWriter()
  const rows = new Uint32Array(64)
  const last = mask * FLOW + FLOW - 1
  let id = 0
  return () => {
    for (let done = 0; done < BLOCK; done += 64) {
      pool.allocAll(rows, 64)
      write(rows, 64)
      for (let i = 0; i < 64; i++) {
        const f = rows[i] as number
        const o = off[f] as number
        if ((len[f] as number) < 42 || (data.getInt32(o + 12, true) & 0xffffff) !== 0x450008) continue
        if (data.getUint16(o, true) !== 2 || data.getInt32(o + 2, true) !== 0x0100_0000) continue
        data.setInt32(o + 2, 0x9900_0000 | 0, true)
        data.setInt32(o + 8, 0x9800_0000 | 0, true)
        const src = data.getInt32(o + 26, true)
        const dst = data.getInt32(o + 30, true)
        const ports = data.getInt32(o + 34, true)
        const slot = hash(src, dst, ports) * FLOW
        let at = slot
        while (allowed[at] !== src || allowed[at + 1] !== dst || allowed[at + 2] !== ports) at = (at + FLOW) & last
        allowed[at + 6] = done
        at = slot
        while (translated[at] !== src || translated[at + 1] !== dst || translated[at + 2] !== ports)
          at = (at + FLOW) & last
        translated[at + 6] = done
        data.setInt32(o + 26, translated[at + 3] as number, true)
        data.setInt32(o + 34, translated[at + 4] as number, true)
        const delta = translated[at + 5] as number
        let s = (~data.getUint16(o + 24, true) & 0xffff) + delta
        data.setUint16(o + 24, ~(s + (s >>> 16)), true)
        s = (~data.getUint16(o + 40, true) & 0xffff) + delta
        data.setUint16(o + 40, ~(s + (s >>> 16)), true)
        const length = (len[f] as number) + 36
        const to = o - 50
        id = (id + 1) & 0xffff
        s = base + swap(length) + id
        s = (s & 0xffff) + (s >>> 16)
        for (let w = 0; w < 12; w++) data.setInt32(to + 4 * w, template[w] as number, true)
        data.setUint16(to + 48, template[12] as number, true)
        data.setInt32(to + 16, swap(length) | (id << 16), true)
        data.setUint16(to + 24, ~((s & 0xffff) + (s >>> 16)), true)
        data.setUint16(to + 34, 0xc000 | (hash(src, dst, ports) & 0x3fff), true)
        data.setUint16(to + 38, swap(length - 20), true)
        off[f] = to
        len[f] = length + 14
      }
      pool.releaseAll(rows, 64)
    }
  }
}

const run = kind === 'bare' ? bareLoop() : chain()
for (let i = 0; i < 30; i++) run()
const before = pool.report().sent
const bench = new Bench({ time, warmupTime: 100 })
bench.add('chain', run)
await bench.run()
const result = bench.tasks[0]?.result
if (result?.state !== 'completed') throw new Error(`bench: ${JSON.stringify(result)}`)
const ns = (result.latency.p50 * 1e6) / BLOCK
// The bare loop keeps no account.
const { balanced, dropped, sent } = { ...pool.report(), ...(kind === 'bare' && { balanced: true }) }
const lost = Object.values(dropped).some((n) => n > 0) || (kind !== 'bare' && sent === before)
if (lost) throw new Error(`frames did not arrive: ${JSON.stringify(pool.report())}`)
process.stdout.write(`${JSON.stringify({ kind, ns, mpps: 1e3 / ns, balanced, sent })}\n`)
