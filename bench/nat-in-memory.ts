/**
 * How fast does the NAT translate, in memory, on one core?
 *
 * One variant a process: `nat-in-memory.ts '{"kind":"udp","flows":65536,"time":500}'` prints one JSON line. `memory.ts` runs them all,
 * in interleaved rounds.
 *
 *     udp, tcp     64-byte frames of known flows, in random order: port -> loop -> passage (find the flow, rewrite source address, port and
 *                  both checksums, renew, count) -> link -> port, ledger included
 *     answers      the same flows, the other way
 *     new          each frame begins a flow: policies asked, a port found, both tuples put in - and, as the clock goes on, as many flows
 *                  expire and are swept out
 *     empty        ports, loop and link without a NAT
 *     bare         the reference: the same frames through one hand-written loop over one table with an entry a flow, without ports, links,
 *                  ledger, counters, states or limits
 *
 * The source port takes rows from the pool and writes what makes the flow into them; they stay in the cache, as receive buffers do.
 */
import { Addresses6, Nat, Passage, SourceNat } from '@l2l3/nat'
import {
  type Batch,
  type Clock,
  type Frame,
  FramePool,
  Loop,
  makeBuffer,
  Pipeline,
  RealClock,
  VirtualClock,
} from '@l2l3/switch-core'
import { ipv4, parseIpv4, tcp, udp } from '@l2l3/switch-core/wire'
import { Bench } from 'tinybench'
import { SourcePort } from './source-port.ts'

interface Variant {
  readonly kind: 'udp' | 'tcp' | 'answers' | 'new' | 'empty' | 'bare'
  readonly flows: number
  /** Milliseconds of measuring. */
  readonly time: number
  readonly counters?: boolean
  /** Leaves the tables no room beside the frames: the fast run is that in JavaScript. */
  readonly javascript?: boolean
}

const SIZE = 64
const RING = 256
/** Words of a flow in the list that frames are made of: those of the packet at 22, 26, 30, 34 and at the checksum. */
const WORDS = 5
/** Forwards about this many frames a call. */
const BLOCK = 64 * 1024

const variant = JSON.parse(process.argv[2] ?? '{}') as Variant
const { kind, flows, time } = variant
const isTcp = kind === 'tcp'
const SUM = isTcp ? 48 : 38

/** The packet of a flow: 64 servers, each with up to 65,536 clients that differ in address or port. */
function packet(i: number, flags: number = tcp.Flag.Ack): Uint8Array {
  const b = new Uint8Array(SIZE)
  b.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0])
  const l4 = ipv4.write(b, 14, {
    src: parseIpv4('10.0.0.0') + ((i * 7) % 65_521) + 1,
    dst: parseIpv4('198.51.100.0') + (i & 63),
    protocol: isTcp ? 6 : 17,
    payload: SIZE - 34,
  })
  const port = 1024 + ((i >>> 6) % 64_000)
  if (isTcp) {
    tcp.write(b, l4, { srcPort: port, dstPort: 443, seq: 1, ack: 1, flags })
    tcp.fillChecksum(b, 14, l4, SIZE)
  } else {
    udp.write(b, l4, port, 53, SIZE - 42)
    udp.fillChecksum(b, 14, l4)
  }
  return b
}

let seed = 1
const random = (n: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * n)
}

/** The words of all flows' packets, in random order. */
function wordsOf(packets: Iterable<Uint8Array>, n: number): Int32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i)
  for (let i = n - 1; i > 0; i--) {
    const j = random(i + 1)
    ;[order[i], order[j]] = [order[j] as number, order[i] as number]
  }
  const words = new Int32Array(n * WORDS)
  let k = 0
  for (const b of packets) {
    const data = new DataView(b.buffer, b.byteOffset)
    const at = (order[k++] as number) * WORDS
    for (const [w, o] of [22, 26, 30, 34, SUM].entries()) words[at + w] = data.getInt32(o, true)
  }
  return words
}

/** Writes flows from a list into rows, in turn: what a NIC does by DMA, it does with five stores, of the widths in which they are
 * read. A closure, as the loops of the pool are. */
function flowWriter(pool: FramePool, words: Int32Array): (rows: Uint32Array, n: number) => void {
  const { data, off, len } = pool
  const sum = SUM
  let next = 0
  return (rows, n) => {
    let at = next
    for (let i = 0; i < n; i++) {
      const f = rows[i] as number
      const o = off[f] as number
      len[f] = SIZE
      data.setInt32(o + 22, words[at] as number, true)
      data.setInt32(o + 26, words[at + 1] as number, true)
      data.setInt32(o + 30, words[at + 2] as number, true)
      data.setInt32(o + 34, words[at + 3] as number, true)
      data.setInt32(o + sum, words[at + 4] as number, true)
      at += WORDS
      if (at === words.length) at = 0
    }
    next = at
  }
}

/** The machine's clock, and some time that did not pass. */
class SkippingClock implements Clock {
  readonly #real: RealClock = new RealClock()
  readonly epoch: bigint = this.#real.epoch
  now = 0
  skipped = 0
  update(): void {
    this.#real.update()
    this.now = this.#real.now + this.skipped
  }
}

// Room for the tables of all flows.
const tables = variant.javascript === true ? 0 : (4 << 20) + 160 * flows
const pool = new FramePool({ frames: RING, frameSize: SIZE, tables })
// Rows keep what all packets have in common.
for (let f = 0; f < RING; f++) pool.bytes.set(packet(0), f * pool.stride + pool.headroom)
let run: () => void
let perCall = BLOCK
let bytesPerFlow = 0

/** A NAT between two ports, all flows known. */
function natLoop(): () => void {
  const clock = kind === 'new' ? new VirtualClock() : new SkippingClock()
  const loop = new Loop(pool, clock)
  const addresses = new Addresses6({ max: 16 })
  const source = new SourceNat(addresses, {
    outside: { of4: () => parseIpv4('203.0.113.1'), of6: () => 0 },
  })
  const nat = new Nat(loop, {
    addresses,
    source: [source],
    maxFlows: flows,
    counters: variant.counters ?? true,
    profile: 'linux',
    timeouts: { udp: kind === 'new' ? 30 : 3600, udpStream: 3600 },
  })
  bytesPerFlow = nat.conntrack.bytes / flows
  const [inside, outside] = [nat.addSide('inside'), nat.addSide('outside')]
  const out = new SourcePort(pool, 'out')
  const toOut = loop.link(out)
  const push = {
    process(batch: Batch): void {
      toOut.pushAll(batch.frames, 0, batch.length)
      batch.length = 0
    },
  }
  const outward = new Passage(nat, inside, outside)
  const inward = new Passage(nat, outside, inside)

  const each = (make: (i: number) => Uint8Array, passage: Passage, see?: (f: Frame) => void): void => {
    const batch = { frames: new Uint32Array(1), length: 0 } as unknown as Batch
    for (let i = 0; i < flows; i++) {
      const f = pool.from(make(i)) as Frame
      pool.ledger.receive(1)
      batch.frames[0] = f
      batch.length = 1
      passage.process(batch)
      if (batch.length !== 1) throw new Error(`flow ${i} was dropped: ${JSON.stringify(pool.report().dropped)}`)
      see?.(f)
      pool.sent(f)
    }
  }
  const port = new SourcePort(pool, 'in')
  if (kind === 'empty') {
    port.make = flowWriter(
      pool,
      wordsOf(
        Array.from({ length: flows }, (_, i) => packet(i)),
        flows,
      ),
    )
    loop.add(port, push)
    return () => {
      for (let done = 0; done < BLOCK; done += 64) loop.turn()
    }
  }
  if (kind === 'new') {
    // A table that is half full when as many flows expire as are made: a frame each 60 s / flows.
    const every = (60e9 / flows) | 0
    const words = wordsOf(
      (function* () {
        for (let i = 0; i < flows * 2; i++) yield packet(i)
      })(),
      flows * 2,
    )
    port.make = flowWriter(pool, words)
    loop.add(port, new Pipeline(outward, push))
    return () => {
      for (let done = 0; done < BLOCK; done += 64) {
        ;(clock as VirtualClock).advance(every * 64)
        loop.turn()
      }
    }
  }
  clock.update()
  /** What answers the packet that has come out: ends exchanged. */
  const answers: Uint8Array[] = []
  const answer = (f: Frame): void => {
    const b = Uint8Array.from(pool.view(f))
    b.copyWithin(26, 30, 34)
    b.set(pool.view(f).subarray(26, 30), 30)
    b.copyWithin(34, 36, 38)
    b.set(pool.view(f).subarray(34, 36), 36)
    answers.push(b)
  }
  each((i) => packet(i, tcp.Flag.Syn), outward, answer)
  if (isTcp) {
    each((i) => {
      const b = answers[i] as Uint8Array
      b[47] = tcp.Flag.Syn | tcp.Flag.Ack
      return b
    }, inward)
    each((i) => packet(i), outward)
    each((i) => packet(i), outward)
  }
  if (kind === 'answers') {
    // A stream is one that lasts.
    ;(clock as SkippingClock).skipped = 3e9
    clock.update()
    each((i) => answers[i] as Uint8Array, inward)
  }
  port.make = flowWriter(
    pool,
    kind === 'answers'
      ? wordsOf(answers, flows)
      : wordsOf(
          (function* () {
            for (let i = 0; i < flows; i++) yield packet(i)
          })(),
          flows,
        ),
  )
  loop.add(port, new Pipeline(kind === 'answers' ? inward : outward, push))
  const turns = Math.ceil(BLOCK / 64)
  return () => {
    for (let i = 0; i < turns; i++) loop.turn()
  }
}

/** One loop over one table: key, translation, sums. */
function bareLoop(): () => void {
  const bits = Math.ceil(Math.log2(flows * 2))
  // From the start of a page on: no entry is in two cache lines.
  const table = new Int32Array(makeBuffer(32 << bits, false), 0, 8 << bits)
  const mask = (1 << bits) - 1
  const shift = 32 - bits
  const hash = (a: number, b: number, c: number): number =>
    (Math.imul((a << 16) | (a >>> 16), 0x9e3779b1) +
      Math.imul((b << 16) | (b >>> 16), 0x85ebca6b) +
      Math.imul(c, 0xc2b2ae35)) |
    0
  const mix = (h: number): number => Math.imul(h ^ (h >>> 15), 0x2c1b3c6d) >>> shift
  const fresh = new DataView(Uint8Array.from([203, 0, 113, 1]).buffer).getInt32(0, true)
  const all: Uint8Array[] = []
  for (let i = 0; i < flows; i++) {
    const b = packet(i)
    all.push(b)
    const data = new DataView(b.buffer)
    const key = [26, 30, 34].map((o) => data.getInt32(o, true)) as [number, number, number]
    let slot = mix(hash(...key))
    while (table[slot * 8 + 7] !== 0) slot = (slot + 1) & mask
    let sum = (~key[0] & 0xffff) + (~key[0] >>> 16) + (fresh & 0xffff) + (fresh >>> 16)
    sum = (sum & 0xffff) + (sum >>> 16)
    sum = (sum & 0xffff) + (sum >>> 16)
    table.set([...key, fresh, key[2], sum, 0, 1], slot * 8)
  }
  const words = wordsOf(all, flows)
  const write = flowWriter(pool, words)
  const { data, off, len } = pool
  const rows = new Uint32Array(64)
  const slots = new Int32Array(64)
  const sink = new Int32Array(1)
  pool.allocAll(rows, 64)
  return () => {
    for (let done = 0; done < BLOCK; done += 64) {
      write(rows, 64)
      let touched = 0
      for (let i = 0; i < 64; i++) {
        const o = off[rows[i] as number] as number
        const slot = mix(hash(data.getInt32(o + 26, true), data.getInt32(o + 30, true), data.getInt32(o + 34, true)))
        slots[i] = slot
        touched ^= table[slot * 8] as number
      }
      sink[0] = touched
      for (let i = 0; i < 64; i++) {
        const f = rows[i] as number
        const o = off[f] as number
        if ((len[f] as number) < 42) continue
        const src = data.getInt32(o + 26, true)
        const dst = data.getInt32(o + 30, true)
        const ports = data.getInt32(o + 34, true)
        let at = (slots[i] as number) * 8
        while (table[at] !== src || table[at + 1] !== dst || table[at + 2] !== ports) at = (at + 8) & (table.length - 1)
        data.setInt32(o + 26, table[at + 3] as number, true)
        data.setInt32(o + 34, table[at + 4] as number, true)
        const sum = table[at + 5] as number
        let s = (~data.getUint16(o + 24, true) & 0xffff) + sum
        data.setUint16(o + 24, ~(s + (s >>> 16)), true)
        s = (~data.getUint16(o + 40, true) & 0xffff) + sum
        data.setUint16(o + 40, ~(s + (s >>> 16)), true)
        table[at + 6] = done
      }
    }
  }
}

run = kind === 'bare' ? bareLoop() : natLoop()
perCall = BLOCK
for (let i = 0; i < 30; i++) run()
const bench = new Bench({ time, warmupTime: 100 })
bench.add('translate', run)
await bench.run()
const result = bench.tasks[0]?.result
if (result?.state !== 'completed') throw new Error(`bench: ${JSON.stringify(result)}`)
const ns = (result.latency.p50 * 1e6) / perCall
// The bare loop keeps no account.
const { balanced, dropped, sent } = { ...pool.report(), ...(kind === 'bare' && { balanced: true }) }
if (Object.values(dropped).some((n) => n > 0)) throw new Error(`dropped: ${JSON.stringify(dropped)}`)
process.stdout.write(`${JSON.stringify({ ...variant, ns, mpps: 1e3 / ns, bytesPerFlow, balanced, sent })}\n`)
