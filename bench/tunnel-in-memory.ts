/**
 * What does a tunnel cost: wrapping a frame in VXLAN or GENEVE and taking it out again, in memory, on one core?
 *
 * One variant a process, as in `switch-in-memory.ts`; `memory.ts` runs them all, in interleaved rounds.
 *
 * A source makes frames of UDP between 1,024 pairs of hosts, a batch at a time, into rows of the pool. They go through
 * `Encap`, a link, `Decap`, a link to a port that lets go of them: parsing, flow hash, outer header with its checksum, all
 * acceptance rules, ECN, ledger.
 *
 *   vxlan       no outer UDP checksum, as RFC 7348 and Open vSwitch have it
 *   checksum    the same with outer UDP checksums, made and verified, as Linux has it: every byte is summed up twice
 *   geneve      GENEVE with OVN's option
 *   vxlan6      over IPv6, no checksum
 *   vtep        from a `Vtep` with 1,024 far ends, a MAC behind each, to one that learns 1,024 MACs and
 *               has each of their addresses written over with its own; no checksum
 *   vtep-local  the same, where the receiver gets packets one by one, as a router hands them over
 *   bare        one hand-written loop: the header copied as it stands, lengths, hash, header checksum; then read and taken off
 *   empty       the same without a tunnel: what a frame costs the bench
 *
 * Beside it, `fused-tunnel.c` is the same loop in C.
 */
import { type Frame, FramePool, Loop, RealClock } from '@l2l3/switch-core'
import { checksum } from '@l2l3/switch-core/wire'
import { Decap, Encap, type EncapOptions, Vtep } from '@l2l3/vxlan'
import { Bench } from 'tinybench'
import { SourcePort } from './source-port.ts'

interface Variant {
  readonly kind: 'vxlan' | 'checksum' | 'geneve' | 'vxlan6' | 'vtep' | 'vtep-local' | 'bare' | 'empty'
  readonly size: number
  /** Milliseconds of measuring. */
  readonly time: number
}

const variant = JSON.parse(process.argv[2] ?? '{}') as Variant
const { kind, size, time } = variant
const FLOWS = 1024
const RING = 256
const pool = new FramePool({ frames: RING * 2, frameSize: Math.max(64, size) })

/** Ethernet, IPv4 and UDP headers of all flows, 11 words each, the last half of it used. */
const WORDS = 11
const headers = new Int32Array(FLOWS * WORDS)
for (let i = 0; i < FLOWS; i++) {
  const b = new Uint8Array(headers.buffer, i * WORDS * 4, WORDS * 4)
  const [hi, lo] = [i >> 8, i & 255]
  b.set([0x02, 0, 0x5e, 1, hi, lo, 0x02, 0, 0x5e, 0, hi, lo, 8, 0])
  b.set([0x45, 0, (size - 14) >> 8, (size - 14) & 255, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, hi, lo, 10, 1, hi, lo], 14)
  b.set([0x27, 0x10 + (i & 7), 0x1f, 0x90, (size - 34) >> 8, (size - 34) & 255, 0, 0], 34)
}

/** Writes headers into rows, as a NIC does by DMA. A closure, as the loops of the pool are. */
function headerWriter(): (rows: Uint32Array, n: number) => void {
  const { data, off, len } = pool
  let next = 0
  return (rows, n) => {
    let at = next
    for (let i = 0; i < n; i++) {
      const f = rows[i] as number
      const o = off[f] as number
      len[f] = size
      data.setUint16(o, headers[at] as number, true)
      data.setInt32(o + 2, ((headers[at] as number) >>> 16) | ((headers[at + 1] as number) << 16), true)
      for (let w = 1; w < WORDS; w++) data.setInt32(o + 4 * w, headers[at + w] as number, true)
      at += WORDS
      if (at === headers.length) at = 0
    }
    next = at
  }
}

const BLOCK = 64 * 1024
const loop = new Loop(pool, new RealClock())
const source = new SourcePort(pool, 'source', headerWriter())
const sink = loop.link(source, 'sink')
const v6 = kind === 'vxlan6'
const [local, remote] = v6 ? ['fd00::1', 'fd00::2'] : ['192.0.2.1', '192.0.2.2']
const ends = {
  encapsulation: kind === 'geneve' ? 'geneve' : 'vxlan',
  vni: 4096,
  udpChecksum: kind === 'checksum',
  udpChecksum6: false,
  zeroChecksum6: true,
} as const
const option = { class: 0x0102, type: 0x80, data: Uint8Array.of(0, 5, 0x80, 0) }

if (kind === 'empty') {
  loop.add(source, {
    process(b) {
      sink.pushAll(b.frames, 0, b.length)
      b.length = 0
    },
  })
} else if (kind === 'bare') bareLoop()
else if (kind === 'vtep' || kind === 'vtep-local') vteps()
else {
  const decap = new Decap(pool, { ...ends, local: remote, out: sink, knownOptions: [option] })
  const out = loop.link(decap, 'underlay')
  const more: Partial<EncapOptions> = kind === 'geneve' ? { options: [option] } : {}
  loop.add(source, new Encap(pool, { ...ends, local, remote, out, ...more }))
}

function vteps(): void {
  const receiver = new Vtep(pool, loop.clock, { ...ends, local: '192.0.2.2', out: sink })
  receiver.addNetwork({ vni: ends.vni, out: sink })
  const { data } = pool
  const here = 0xc000_0202
  // The receiver stands for all far ends, and its address in place of theirs.
  const out = loop.link({
    process(b) {
      for (let i = 0; i < b.length; i++) {
        const f = b.frames[i] as Frame
        const l3 = (pool.off[f] as number) + 14
        const there = data.getUint32(l3 + 16, false)
        data.setUint16(l3 + 10, checksum.update32(data.getUint16(l3 + 10, false), there, here), false)
        data.setUint32(l3 + 16, here, false)
        if (kind === 'vtep-local' && !receiver.take(f, undefined as never)) throw new Error('the receiver left a frame')
      }
      if (kind === 'vtep') receiver.process(b)
      b.length = 0
    },
  })
  const sender = new Vtep(pool, loop.clock, { ...ends, local: '192.0.2.1', out })
  const network = sender.addNetwork({ vni: ends.vni, out: sink })
  for (let i = 0; i < FLOWS; i++) {
    const [hi, lo] = [i >> 8, i & 255]
    const mac = [0x02, 0, 0x5e, 1, hi, lo].map((v) => v.toString(16).padStart(2, '0')).join(':')
    network.addStatic(mac, `198.51.${hi}.${lo}`)
  }
  loop.add(source, network)
}

function bareLoop(): void {
  const { data, off, len } = pool
  const template = new Int32Array(32)
  const bytes = new Uint8Array(template.buffer)
  bytes.set([8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0, 0, 0x12, 0xb5], 12)
  bytes.set([8, 0, 0, 0, 0, 0x10, 0, 0], 42)
  let base = 0
  for (let i = 14; i < 34; i += 2) base += (bytes[i] as number) | ((bytes[i + 1] as number) << 8)
  const swap = (v: number): number => ((v & 255) << 8) | (v >>> 8)
  let id = 0
  const wrap = (frames: Uint32Array, n: number): void => {
    for (let i = 0; i < n; i++) {
      const f = frames[i] as number
      const at = off[f] as number
      const o = at - 50
      const length = (len[f] as number) + 36
      let h = Math.imul(data.getInt32(at + 26, true), 0x9e3779b1) ^ Math.imul(data.getInt32(at + 30, true), 0x85ebca6b)
      h ^= Math.imul(data.getInt32(at + 34, true), 0xc2b2ae35)
      h = Math.imul(h ^ (h >>> 16), 0x7feb352d)
      id = (id + 1) & 0xffff
      let s = base + swap(length) + id
      s = (s & 0xffff) + (s >>> 16)
      for (let w = 0; w < 12; w++) data.setInt32(o + 4 * w, template[w] as number, true)
      data.setUint16(o + 48, template[12] as number, true)
      data.setInt32(o + 16, swap(length) | (id << 16), true)
      data.setUint16(o + 24, ~((s & 0xffff) + (s >>> 16)), true)
      data.setUint16(o + 34, 0xc000 | (h >>> 18), true)
      data.setUint16(o + 38, swap(length - 20), true)
      off[f] = o
      len[f] = length + 14
    }
  }
  const unwrap = (frames: Uint32Array, n: number): number => {
    let kept = 0
    for (let i = 0; i < n; i++) {
      const f = frames[i] as number
      const o = off[f] as number
      if (data.getUint16(o + 12, true) !== 8 || data.getUint16(o + 36, true) !== 0xb512) continue
      if (data.getInt32(o + 42, true) !== 8 || data.getInt32(o + 46, true) !== 0x1000) continue
      off[f] = o + 50
      len[f] = (len[f] as number) - 50
      frames[kept++] = f
    }
    return kept
  }
  loop.add(source, {
    process(b) {
      wrap(b.frames, b.length)
      b.length = unwrap(b.frames, b.length)
      sink.pushAll(b.frames, 0, b.length)
      b.length = 0
    },
  })
}

const turns = BLOCK / 64
const run = (): void => {
  for (let i = 0; i < turns; i++) loop.turn()
}
for (let i = 0; i < 30; i++) run()
const before = pool.report().sent
const bench = new Bench({ time, warmupTime: 100 })
bench.add('tunnel', run)
await bench.run()
const result = bench.tasks[0]?.result
if (result?.state !== 'completed') throw new Error(`bench: ${JSON.stringify(result)}`)
const ns = (result.latency.p50 * 1e6) / BLOCK
const { balanced, dropped, sent } = pool.report()
const whole = Object.values(dropped).every((n) => n === 0) && sent > before
process.stdout.write(
  `${JSON.stringify({ ...variant, ns, mpps: 1e3 / ns, balanced: balanced && whole, dropped, sent })}\n`,
)
