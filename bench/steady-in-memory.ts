/**
 * Does anything stay behind, and what does a thing weigh? One variant a process, `node --expose-gc`; prints one JSON line.
 *
 *   heap-switch    how much the heap grows over `n` frames of known unicast, in bytes, after as many as it takes to be warm
 *   heap-nat       the same with a NAT between two ports: known flows, and every 64th frame a new one, while old ones expire
 *   heap-vxlan     the same through an encapsulation and its decapsulation
 *   heap-router    the same through a router with a thousand routes
 *   heap-chain     the same through MAC rewrite, filter, NAT and VXLAN in a row, with flows that come and go
 *   pool           resident bytes a frame of a default pool of `n`, every byte of it touched
 *   fdb            resident bytes an address of `n` that are learnt
 *   flow           resident bytes a flow of `n` that a NAT tracks
 *   route4 route6  resident bytes a route of `n`
 *
 * What is resident is what the kernel counts for the process, before and after, garbage collected both times.
 */
import { NeighbourTable } from '@l2l3/arp'
import { Addresses6, Filter, Nat, Passage, SourceNat } from '@l2l3/nat'
import {
  type Batch,
  Fdb,
  type Frame,
  FramePool,
  Loop,
  MacRewrite,
  Pipeline,
  RealClock,
  Router,
  RouteTable4,
  RouteTable6,
  Switch,
  VirtualClock,
} from '@l2l3/switch-core'
import { ipv4, parseIpv4, udp } from '@l2l3/switch-core/wire'
import { Decap, Encap } from '@l2l3/vxlan'
import { SourcePort } from './source-port.ts'

interface Variant {
  readonly kind:
    | 'heap-switch'
    | 'heap-nat'
    | 'heap-vxlan'
    | 'heap-router'
    | 'heap-chain'
    | 'pool'
    | 'fdb'
    | 'flow'
    | 'route4'
    | 'route6'
  readonly n: number
}

const { kind, n } = JSON.parse(process.argv[2] ?? '{}') as Variant
const SIZE = 64
const WARM = 2_000_000

function collect(): NodeJS.MemoryUsage {
  const gc = (globalThis as { gc?: () => void }).gc
  if (gc === undefined) throw new Error('run with --expose-gc')
  // Twice: what the first frees by a weak reference is collected by the second.
  gc()
  gc()
  return process.memoryUsage()
}

/** A UDP packet of 64 bytes from a client to a server. */
function packet(client: number, port: number, server = 1): Uint8Array {
  const b = new Uint8Array(SIZE)
  b.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0])
  const l4 = ipv4.write(b, 14, {
    src: parseIpv4('10.0.0.0') + client,
    dst: parseIpv4('198.51.100.0') + server,
    protocol: 17,
    payload: SIZE - 34,
  })
  udp.write(b, l4, port, 53, SIZE - 42)
  return b
}

/** An element that hands everything to a port's link. */
function pushTo(loop: Loop, port: SourcePort): { process(batch: Batch): void } {
  const link = loop.link(port)
  return {
    process(batch) {
      link.pushAll(batch.frames, 0, batch.length)
      batch.length = 0
    },
  }
}

/** Turns the loop until `frames` more have been received; gives how many bytes the heap has grown by. */
function growth(pool: FramePool, turn: () => void): number {
  const until = (frames: number): void => {
    const end = pool.report().received + frames
    while (pool.ledger.received < end) for (let i = 0; i < 256; i++) turn()
  }
  until(WARM)
  const before = collect().heapUsed
  until(n)
  const bytes = collect().heapUsed - before
  const { balanced, dropped, sent, received } = pool.report()
  if (!balanced) throw new Error(`the ledger does not balance: ${JSON.stringify(pool.report())}`)
  if (Object.values(dropped).some((count) => count > 0))
    throw new Error(`frames were dropped: ${JSON.stringify(dropped)}`)
  // What is flooded or lost is not what is asked for.
  if (sent > received * 1.01) throw new Error(`${sent} frames were sent of ${received}`)
  return bytes
}

function heapSwitch(): number {
  const pool = new FramePool({ frames: 1024, frameSize: SIZE })
  const clock = new RealClock()
  const loop = new Loop(pool, clock)
  const sw = new Switch(pool, clock)
  const { data, off, len } = pool
  for (let p = 0; p < 4; p++) {
    let next = 0
    const port = new SourcePort(pool, `p${p}`, (rows, count) => {
      for (let i = 0; i < count; i++) {
        const [f, k] = [rows[i] as number, next++ & 255]
        const o = off[f] as number
        len[f] = SIZE
        data.setUint32(o, 0x02000000)
        data.setUint16(o + 4, (((p + 1) & 3) << 8) | k)
        data.setUint32(o + 6, 0x02000000)
        data.setUint16(o + 10, (p << 8) | k)
        data.setUint16(o + 12, 0x0800)
      }
    })
    loop.add(port, sw.addPort(loop.link(port)))
  }
  return growth(pool, () => loop.turn())
}

/** A NAT of two sides, in time of its own. */
function natted(maxFlows: number) {
  const pool = new FramePool({ frames: 512, frameSize: 2 * SIZE })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const addresses = new Addresses6({ max: 16 })
  const source = new SourceNat(addresses, { outside: { of4: () => parseIpv4('203.0.113.1'), of6: () => 0 } })
  const nat = new Nat(loop, { addresses, source: [source], maxFlows, profile: 'linux', timeouts: { udp: 30 } })
  const passage = new Passage(nat, nat.addSide('inside'), nat.addSide('outside'))
  const common = packet(1, 1024)
  for (let f = 0; f < 512; f++) pool.bytes.set(common, f * pool.stride + pool.headroom)
  return { pool, clock, loop, passage, out: pushTo(loop, new SourcePort(pool, 'out')) }
}

/** Fills rows in with UDP: of 64 frames 63 belong to 1,024 flows that stay, and one begins a flow: a new client, a new port. */
function withNewFlows({ data, off, len }: FramePool): (rows: Uint32Array, count: number) => void {
  let next = 0
  return (rows, count) => {
    for (let i = 0; i < count; i++) {
      const f = rows[i] as number
      const o = off[f] as number
      const k = next++
      const isNew = (k & 63) === 0
      len[f] = SIZE
      data.setUint32(o, 0x02000000)
      data.setUint32(o + 4, 0x00020200)
      data.setUint32(o + 8, 0x00000001)
      data.setUint16(o + 22, 0x4011)
      data.setUint32(o + 26, isNew ? 0x0a010000 + ((k >>> 6) & 0xffff) : 0x0a000000 + (k & 1023))
      data.setUint32(o + 30, 0xc6336401)
      data.setUint16(o + 34, 1024)
      data.setUint16(o + 24, 0)
      data.setUint16(o + 40, 0)
      let sum = 0
      for (let w = 14; w < 34; w += 2) sum += data.getUint16(o + w)
      sum = (sum & 0xffff) + (sum >>> 16)
      data.setUint16(o + 24, ~(sum + (sum >>> 16)) & 0xffff)
    }
  }
}

function heapNat(): number {
  const { pool, clock, loop, passage, out } = natted(65_536)
  loop.add(new SourcePort(pool, 'in', withNewFlows(pool)), new Pipeline(passage, out))
  // A new flow a batch, 30 s until it expires: some ten thousand of them at a time.
  return growth(pool, () => {
    clock.advance(3e6)
    loop.turn()
  })
}

/** MAC rewrite, filter, NAT and VXLAN in a row, as in `chain-in-memory.ts`, with flows that come and go. */
function heapChain(): number {
  const { pool, clock, loop, passage } = natted(65_536)
  const rewrite = new MacRewrite(pool, [{ match: { dstMac: '02:00:00:00:00:02' }, setSrc: '02:00:00:00:00:99' }])
  const filter = new Filter(loop, { maxFlows: 65_536, timeouts: { udp: 30 } })
  const rules = [{ action: 'allow', direction: 'out', remoteAddresses: ['198.51.100.0/24'], priority: 100 }] as const
  const { out: allow } = filter.addPort('pod', { rules, defaults: 'block' })
  const ends = { vni: 4096, udpChecksum: false, local: '192.0.2.1', remote: '192.0.2.2' } as const
  const encap = new Encap(pool, { ...ends, out: loop.link(new SourcePort(pool, 'out')) })
  loop.add(new SourcePort(pool, 'in', withNewFlows(pool)), new Pipeline(rewrite, allow, passage, encap))
  return growth(pool, () => {
    clock.advance(3e6)
    loop.turn()
  })
}

/** From one interface of a router to a neighbour at the other, by one of a thousand routes. */
function heapRouter(): number {
  const pool = new FramePool({ frames: 512, frameSize: 2 * SIZE })
  const loop = new Loop(pool, new RealClock())
  loop.clock.update()
  const out = loop.link(new SourcePort(pool, 'out'))
  const router = new Router(pool, loop.clock)
  const inside = router.addInterface({ name: 'in', mac: '02:00:00:00:00:02', out, addresses: ['172.16.0.1/24'] })
  const outside = router.addInterface({ name: 'out', mac: '02:00:00:00:00:03', out, addresses: ['192.0.2.1/24'] })
  const neighbours = new NeighbourTable(pool, loop.clock, { mac: '02:00:00:00:00:03', out })
  neighbours.add('192.0.2.2', '02:00:00:00:00:04')
  outside.neighbours = neighbours
  router.addRoute({ to: '10.0.0.0/8', via: '172.16.0.2' })
  for (let i = 0; i < 1000; i++) router.addRoute({ to: `198.51.${i >> 2}.${(i & 3) << 6}/26`, via: '192.0.2.2' })
  const common = packet(1, 1024)
  for (let f = 0; f < 512; f++) pool.bytes.set(common, f * pool.stride + pool.headroom)
  loop.add(new SourcePort(pool, 'in', withNewFlows(pool)), inside)
  return growth(pool, () => loop.turn())
}

function heapVxlan(): number {
  const pool = new FramePool({ frames: 1024 })
  const loop = new Loop(pool, new RealClock())
  const { data, off, len } = pool
  const common = packet(1, 1024)
  let next = 0
  const source = new SourcePort(pool, 'in', (rows, count) => {
    for (let i = 0; i < count; i++) {
      const f = rows[i] as number
      const o = off[f] as number
      len[f] = SIZE
      pool.bytes.set(common, o)
      data.setUint16(o + 34, next++ & 0xffff)
    }
  })
  const ends = { encapsulation: 'vxlan', vni: 4096, udpChecksum: false } as const
  const decap = new Decap(pool, { ...ends, local: '192.0.2.2', out: loop.link(new SourcePort(pool, 'out')) })
  const wrap = { local: '192.0.2.1', remote: '192.0.2.2', out: loop.link(decap) }
  loop.add(source, new Encap(pool, { ...ends, ...wrap }))
  return growth(pool, () => loop.turn())
}

/** Resident bytes that `make` adds, over `n`. What it gives is kept until they are counted. */
function resident(make: () => unknown): number {
  const before = collect().rss
  const kept = make()
  const bytes = (collect().rss - before) / n
  if (kept === undefined) throw new Error('nothing was made')
  return bytes
}

let seed = 1
const random = (below: number): number => {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return Math.floor((seed / 2 ** 32) * below)
}

const kinds: Record<Variant['kind'], () => number> = {
  'heap-switch': heapSwitch,
  'heap-nat': heapNat,
  'heap-vxlan': heapVxlan,
  'heap-router': heapRouter,
  'heap-chain': heapChain,
  pool: () =>
    resident(() => {
      const pool = new FramePool({ frames: n })
      pool.bytes.fill(1)
      // Its columns as well.
      const rows = new Uint32Array(n)
      pool.releaseAll(rows, pool.allocAll(rows, n))
      return pool
    }),
  fdb: () =>
    resident(() => {
      const fdb = new Fdb({ maxEntries: n })
      for (let i = 0; i < n; i++) fdb.learn(2, Math.imul(i, 0x9e3779b1), i & 63, false)
      if (fdb.size < n * 0.99) throw new Error(`${fdb.size} were learnt`)
      return fdb
    }),
  flow: () =>
    resident(() => {
      const { pool, passage } = natted(n)
      const batch = { frames: new Uint32Array(1), length: 0 } as unknown as Batch
      for (let i = 0; i < n; i++) {
        const f = pool.from(packet(1 + (i >>> 11), 1024 + (i & 31), (i >>> 5) & 63)) as Frame
        pool.ledger.receive(1)
        batch.frames[0] = f
        batch.length = 1
        passage.process(batch)
        if (batch.length === 1) pool.sent(f)
        else throw new Error(`flow ${i} was dropped: ${JSON.stringify(pool.report().dropped)}`)
      }
      return { pool, passage }
    }),
  route4: () =>
    resident(() => {
      const table = new RouteTable4()
      for (let i = 0; i < n; i++)
        table.insert(Uint32Array.of((0x01000000 + Math.imul(i, 256) * 13) >>> 0), 24, i & 0xffff)
      return table
    }),
  route6: () =>
    resident(() => {
      const table = new RouteTable6()
      for (let i = 0; i < n; i++)
        table.insert(Uint32Array.of(0x20010000 + random(1 << 13), random(2 ** 16) * 2 ** 16, 0, 0), 48, i & 0xffff)
      return table
    }),
}

process.stdout.write(`${JSON.stringify({ kind, n, value: kinds[kind]() })}\n`)
