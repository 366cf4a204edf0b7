/**
 * What do rules cost, in memory, on one core?
 *
 * One variant a process: `acl-in-memory.ts '{"kind":"known","rules":10000,"flows":65536,"time":500}'` prints one JSON line. `memory.ts`
 * runs them all, in interleaved rounds.
 *
 *     known    64-byte frames of flows that were let pass, in random order, through the port of an endpoint: their flow is found, renewed,
 *              counted. Writing what makes a flow into the rows is part of it, and alone is `empty`
 *     refused  frames of flows that were refused, and that are remembered as such
 *     first    the search among rules for flows never seen, alone
 *     linear   the same question put to one rule after the other, as they count
 *
 * Rules are those of a cluster's policies: prefixes of 24 bits of the other side, with a protocol and a port, ranges of ports now and then;
 * one in four looks at the endpoint too. None of them matches the flows but the last, which allows, so that a search has to go all the way.
 */
import { type AclRule, AclRules, Filter } from '@l2l3/nat'
import { type Batch, type Frame, FramePool, Loop, VirtualClock } from '@l2l3/switch-core'
import { formatIpv4, ipv4, parseIpv4, udp } from '@l2l3/switch-core/wire'
import { Bench } from 'tinybench'

interface Variant {
  readonly kind: 'known' | 'refused' | 'first' | 'linear' | 'empty'
  readonly rules: number
  readonly flows: number
  /** Milliseconds of measuring. */
  readonly time: number
}

const SIZE = 64
const BLOCK = 32 * 1024
const BATCH = 64
const { kind, rules: count, flows, time } = JSON.parse(process.argv[2] ?? '{}') as Variant

let seed = 1
const random = (n: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * n)
}

const last: AclRule = {
  action: kind === 'refused' ? 'block' : 'allow',
  direction: 'out',
  protocols: [17],
  remoteAddresses: ['198.51.100.0/24'],
  priority: 65_000,
}
const rules: AclRule[] = Array.from({ length: Math.max(0, count - 1) }, (_, i): AclRule => {
  const ports = i % 5 === 0 ? ['8000-8080'] : [1024 + (i % 4000)]
  return {
    action: i % 3 === 0 ? 'allow' : 'block',
    direction: 'out',
    protocols: [i % 2 === 0 ? 6 : 17],
    remoteAddresses: [`${formatIpv4(parseIpv4('10.0.0.0') + i * 256)}/24`],
    remotePorts: ports,
    ...(i % 4 === 0 ? { localAddresses: ['10.244.0.0/16'] } : {}),
    priority: 100 + (i % 60_000),
  }
})
const all = count === 0 ? [] : [...rules, last]

/** The frame of a flow: one endpoint, 64 servers, a port each. */
function packet(i: number): Uint8Array {
  const b = new Uint8Array(SIZE)
  b.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0])
  const l4 = ipv4.write(b, 14, {
    src: parseIpv4('10.244.1.2') + ((i >>> 16) & 15),
    dst: parseIpv4('198.51.100.0') + (i & 63),
    protocol: 17,
    payload: SIZE - 34,
  })
  udp.write(b, l4, 1024 + ((i >>> 6) % 64_000), 53, SIZE - 42)
  udp.fillChecksum(b, 14, l4)
  return b
}

function frames(): () => void {
  const pool = new FramePool({ frames: 256, frameSize: SIZE })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const filter = new Filter(loop, { maxFlows: Math.max(1024, flows), timeouts: { udp: 3600 }, refusals: 1 << 18 })
  const port = filter.addPort('pod', { rules: all, defaults: 'allow' })
  const words = new Int32Array(flows * 3)
  const rows = new Uint32Array(BATCH)
  pool.allocAll(rows, BATCH)
  const { data, off, len } = pool
  const common = packet(0)
  for (let i = 0; i < BATCH; i++) {
    pool.bytes.set(common, off[rows[i] as number] as number)
    len[rows[i] as number] = SIZE
  }
  const order = Uint32Array.from({ length: flows }, (_, i) => i)
  for (let i = flows - 1; i > 0; i--) {
    const j = random(i + 1)
    ;[order[i], order[j]] = [order[j] as number, order[i] as number]
  }
  const batch = { frames: new Uint32Array(BATCH), length: 0 } as unknown as Batch
  for (let i = 0; i < flows; i++) {
    const b = packet(i)
    const view = new DataView(b.buffer)
    const at = (order[i] as number) * 3
    for (const [w, o] of [26, 30, 34].entries()) words[at + w] = view.getInt32(o, true)
    if (kind !== 'known') continue
    const f = pool.from(b) as Frame
    pool.ledger.receive(1)
    batch.frames[0] = f
    batch.length = 1
    port.out.process(batch)
    if (batch.length !== 1) throw new Error(`flow ${i} was dropped: ${JSON.stringify(pool.report().dropped)}`)
    pool.sent(f)
  }
  let at = 0
  return () => {
    for (let done = 0; done < BLOCK; done += BATCH) {
      for (let i = 0; i < BATCH; i++) {
        const o = off[rows[i] as number] as number
        data.setInt32(o + 26, words[at] as number, true)
        data.setInt32(o + 30, words[at + 1] as number, true)
        data.setInt32(o + 34, words[at + 2] as number, true)
        at += 3
        if (at === words.length) at = 0
        batch.frames[i] = rows[i] as number
      }
      batch.length = BATCH
      if (kind === 'empty') continue
      // What is refused is dropped: another holds the rows, so that they are still there afterwards.
      if (kind === 'refused') for (let i = 0; i < BATCH; i++) pool.share(rows[i] as Frame, 1)
      port.out.process(batch)
      if (kind === 'refused' ? batch.length !== 0 : batch.length !== BATCH) throw new Error(`${batch.length} passed`)
    }
  }
}

/** Questions to the rules alone. */
function questions(): () => void {
  const acl = new AclRules({ rules: all, defaults: 'allow' })
  const q = {
    out: true,
    family: 4 as const,
    protocol: 17,
    localPort: 0,
    remotePort: 53,
    local: new Int32Array(4),
    remote: new Int32Array(4),
  } as unknown as Parameters<AclRules['judge']>[0]
  const ordered = acl.rules.toSorted((a, b) => a.priority - b.priority)
  let k = 0
  let hits = 0
  return () => {
    const n = kind === 'linear' ? 64 : BLOCK
    for (let i = 0; i < n; i++) {
      k = (k + 7919) % flows
      q.local[0] = 0x0af40102 + (k & 15)
      q.remote[0] = 0xc6336400 + (k & 63)
      q.localPort = 1024 + (k & 0x7fff)
      if (kind === 'first') hits += acl.judge(q) ? 1 : 0
      else hits += ordered.findIndex((rule) => rule.direction === 'out' && rule.matches(q)) >= 0 ? 1 : 0
    }
    if (hits === 0) throw new Error('nothing matched')
  }
}

const isQuestion = kind === 'first' || kind === 'linear'
const run = isQuestion ? questions() : frames()
const perCall = kind === 'linear' ? 64 : BLOCK
for (let i = 0; i < 20; i++) run()
const bench = new Bench({ time, warmupTime: 100 })
bench.add('acl', run)
await bench.run()
const result = bench.tasks[0]?.result
if (result?.state !== 'completed') throw new Error(`bench: ${JSON.stringify(result)}`)
const ns = (result.latency.p50 * 1e6) / perCall
process.stdout.write(`${JSON.stringify({ kind, rules: count, flows, ns })}\n`)
