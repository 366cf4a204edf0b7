/**
 * What do the tables of a routed mode cost - routes, neighbours, services, MAC rules - and a frame that a router forwards?
 *
 * One variant a process, as in `switch-in-memory.ts`; `memory.ts` runs them all, in interleaved rounds.
 *
 *   routes4, routes6   `lookup` in a table of `n` routes of BGP-like lengths, over 4,096 addresses that have routes
 *   neighbours4        `resolve4` over `n` known neighbours, the write of the MAC included
 *   services           `decide` about a new TCP flow to one of `n` services, each with five backends, and its end
 *   services50         the same with 50 backends
 *   affinity           the same with five backends and clients that are remembered, of which there are 4,096
 *   no-service         `decide` about a flow to none of `n` services
 *   rewrite            a batch through `MacRewrite` with one rule on a MAC address
 *   forward4           a batch through a `Router` with `n` routes, from the interface to the link: checks, lookup, TTL,
 *                      checksum, neighbour; the frames are filled in anew each time, which `empty` measures, to be taken
 *                      off
 */
import { NeighbourTable } from '@l2l3/arp'
import { Addresses6, Balancer, NewFlow } from '@l2l3/nat'
import {
  Batch,
  type Frame,
  FramePool,
  Loop,
  MacRewrite,
  RealClock,
  Router,
  RouteTable4,
  RouteTable6,
} from '@l2l3/switch-core'
import { Bench } from 'tinybench'

interface Variant {
  readonly kind:
    | 'routes4'
    | 'routes6'
    | 'neighbours4'
    | 'services'
    | 'services50'
    | 'affinity'
    | 'no-service'
    | 'rewrite'
    | 'forward4'
  readonly n: number
  /** Milliseconds of measuring. */
  readonly time: number
  /** The same without the work: what a frame costs the bench. */
  readonly empty?: boolean
}

const { kind, n, time, empty } = JSON.parse(process.argv[2] ?? '{}') as Variant
let seed = 1
const random = (below: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}
const LOOKUPS = 4096
const mask = (length: number): number => (length === 0 ? 0 : (0xffffffff << (32 - length)) >>> 0)
/** Prefix lengths as in a full table: six of ten are /24. */
const length4 = (): number => (random(10) < 6 ? 24 : 16 + random(8))

/** Random IPv4 prefixes and an address in each of some of them. */
function prefixes4(): { words: Uint32Array; length: number }[] {
  return Array.from({ length: n }, () => {
    const length = length4()
    return { words: Uint32Array.of((((1 + random(222)) << 24) | random(1 << 24)) & mask(length)), length }
  })
}

function text(ip: number): string {
  return [ip >>> 24, (ip >>> 16) & 255, (ip >>> 8) & 255, ip & 255].join('.')
}

function routes4(): () => void {
  const table = new RouteTable4()
  const all = prefixes4()
  for (const [i, { words, length }] of all.entries()) table.insert(words, length, i & 0xffff)
  const addresses = Uint32Array.from({ length: LOOKUPS }, () => {
    const { words, length } = all[random(all.length)] as (typeof all)[number]
    return ((words[0] as number) | (random(2 ** 24) & ~mask(length))) >>> 0
  })
  let found = 0
  return () => {
    for (let i = 0; i < LOOKUPS; i++) found += table.lookup(addresses[i] as number) >= 0 ? 1 : 0
    if (found === 0) throw new Error('no address has a route')
  }
}

function routes6(): () => void {
  const table = new RouteTable6()
  const all = Array.from({ length: n }, () => {
    const length = random(100) < 45 ? 48 : 32 + random(16)
    const words = Uint32Array.of(0x20010000 | random(1 << 13), random(2 ** 16) * 2 ** 16 + random(2 ** 16), 0, 0)
    words[1] = (words[1] as number) & mask(length - 32)
    return { words, length }
  })
  for (const [i, { words, length }] of all.entries()) table.insert(words, length, i & 0xffff)
  const bytes = new Uint8Array(LOOKUPS * 16)
  for (let i = 0; i < LOOKUPS; i++) {
    const { words } = all[random(all.length)] as (typeof all)[number]
    new DataView(bytes.buffer, i * 16).setUint32(0, words[0] as number)
    new DataView(bytes.buffer, i * 16).setUint32(4, words[1] as number)
    bytes[i * 16 + 15] = 1
  }
  let found = 0
  return () => {
    for (let i = 0; i < LOOKUPS; i++) found += table.lookup(bytes, i * 16) >= 0 ? 1 : 0
    if (found === 0) throw new Error('no address has a route')
  }
}

const pool = new FramePool({ frames: 2048 })
const loop = new Loop(pool, new RealClock())
loop.clock.update()
/** Lets go of what it gets. */
const sink = loop.link({
  process(batch) {
    pool.releaseAll(batch.frames, batch.length)
    batch.length = 0
  },
})

function neighbours(count: number): NeighbourTable {
  const table = new NeighbourTable(pool, loop.clock, { mac: '02:00:00:00:00:01', out: sink, maxEntries: count })
  for (let i = 0; i < count; i++)
    table.add(text(0x0a000000 + i + 2), `02:00:5e:${hex(i >> 16)}:${hex(i >> 8)}:${hex(i)}`)
  return table
}

function hex(byte: number): string {
  return (byte & 255).toString(16).padStart(2, '0')
}

function neighbours4(): () => void {
  const table = neighbours(n)
  const f = pool.alloc() as Frame
  pool.len[f] = 64
  const addresses = Uint32Array.from({ length: LOOKUPS }, () => 0x0a000000 + random(n) + 2)
  return () => {
    for (let i = 0; i < LOOKUPS; i++) if (!table.resolve4(f, addresses[i] as number)) throw new Error('not known')
  }
}

/** New flows of 4,096 clients to services of `backends` each: the question, the answer, and that the flow is over. */
function services(backends: number, distribution: '5-tuple' | 'source-ip', known = true): () => void {
  const balancer = new Balancer(new Addresses6(), { clusterPrefixes: ['10.0.0.0/8'] })
  for (let i = 0; i < n; i++) {
    balancer.services.add({
      name: `service ${i}`,
      port: 80,
      clusterIps: [text(0x0a600000 + i + 1)],
      distribution,
      backends: Array.from({ length: backends }, (_, k) => ({
        address: text(0x0af40000 + i * 64 + k + 1),
        port: 8080,
      })),
    })
  }
  const flow = new NewFlow(balancer.addresses)
  const to = Uint32Array.from({ length: LOOKUPS }, () => (known ? 0x0a600000 : 0x0b000000) + random(n) + 1)
  return () => {
    for (let i = 0; i < LOOKUPS; i++) {
      flow.reset()
      flow.tuple.set(0x0a010000 + i, to[i] as number, 1024 + i, 80, 6)
      if (balancer.decide(flow) !== known) throw new Error('another answer was expected')
      if (known) balancer.ended(flow.tag)
    }
  }
}

/** Runs `work` on batches of 64 plain UDP frames to `addresses`, until it has seen LOOKUPS of them. */
function onBatches(addresses: Uint32Array, work: (batch: Batch) => void): () => void {
  const header = Buffer.from(
    '02000000000102000000000208004500002e00004000401100000a0100020a0200020035003500080000',
    'hex',
  )
  const batch = new Batch(64)
  const { data, off, len, bytes } = pool
  const rows = new Uint32Array(pool.frames)
  pool.allocAll(rows, rows.length)
  for (const f of rows) bytes.set(header, off[f])
  pool.releaseAll(rows, rows.length)
  let next = 0
  return () => {
    for (let done = 0; done < LOOKUPS; done += 64) {
      batch.length = pool.allocAll(batch.frames, 64)
      for (let i = 0; i < batch.length; i++) {
        // What a router writes - addresses, TTL, checksum - and the destination.
        const f = batch.frames[i] as number
        const o = off[f] as number
        len[f] = 60
        const to = addresses[next++ & (LOOKUPS - 1)] as number
        data.setUint32(o, 0x02000000)
        data.setUint32(o + 4, 0x00010200)
        data.setUint32(o + 8, 0x00000002)
        data.setUint16(o + 22, 0x4011)
        data.setUint32(o + 30, to)
        // The checksum, of which all but the destination is known.
        let sum = 0x4500 + 0x2e + 0x4000 + 0x4011 + 0x0a01 + 0x0002 + (to >>> 16) + (to & 0xffff)
        sum = (sum & 0xffff) + (sum >>> 16)
        data.setUint16(o + 24, ~(sum + (sum >>> 16)) & 0xffff)
      }
      work(batch)
      loop.turn()
    }
  }
}

/** Frames from 10.1.0.2 to addresses that have routes, all by one next hop. */
function forward4(): () => void {
  const router = new Router(pool, loop.clock)
  const inside = router.addInterface({ name: 'in', mac: '02:00:00:00:00:01', out: sink, addresses: ['10.1.0.1/24'] })
  const outside = router.addInterface({ name: 'out', mac: '02:00:00:00:00:03', out: sink, addresses: ['10.0.0.1/16'] })
  outside.neighbours = neighbours(16)
  const all = prefixes4().filter(({ words }) => ![0, 10, 127].includes((words[0] as number) >>> 24))
  for (const { words, length } of all) {
    router.addRoute({ to: `${text(words[0] as number)}/${length}`, via: '10.0.0.2', metric: random(2 ** 31) })
  }
  const addresses = Uint32Array.from({ length: LOOKUPS }, () => {
    const { words, length } = all[random(all.length)] as (typeof all)[number]
    return ((words[0] as number) | (1 & ~mask(length))) >>> 0
  })
  return onBatches(addresses, empty ? (batch) => passOn(batch) : (batch) => inside.process(batch))
}

function passOn(batch: Batch): void {
  sink.pushAll(batch.frames, 0, batch.length)
  batch.length = 0
}

function rewrite(): () => void {
  const element = new MacRewrite(pool, [{ match: { dstMac: '02:00:00:00:00:01' }, setSrc: '02:00:00:00:00:99' }])
  const addresses = new Uint32Array(LOOKUPS).fill(0x0a020002)
  if (empty) return onBatches(addresses, passOn)
  return onBatches(addresses, (batch) => {
    element.process(batch)
    passOn(batch)
  })
}

/** Median nanoseconds per lookup or frame. */
async function measure(run: () => void): Promise<number> {
  for (let i = 0; i < 200; i++) run()
  const bench = new Bench({ time, warmupTime: 100 })
  bench.add('run', run)
  await bench.run()
  const result = bench.tasks[0]?.result
  if (result?.state !== 'completed') throw new Error(`bench: ${JSON.stringify(result)}`)
  return (result.latency.p50 * 1e6) / LOOKUPS
}

const kinds: Record<Variant['kind'], () => () => void> = {
  routes4,
  routes6,
  neighbours4,
  services: () => services(5, '5-tuple'),
  services50: () => services(50, '5-tuple'),
  affinity: () => services(5, 'source-ip'),
  'no-service': () => services(5, '5-tuple', false),
  rewrite,
  forward4,
}
const ns = await measure(kinds[kind]())
const { dropped } = pool.report()
if (Object.keys(dropped).length > 0) throw new Error(`frames were dropped: ${JSON.stringify(dropped)}`)
process.stdout.write(`${JSON.stringify({ kind, n, empty: empty === true, ns })}\n`)
