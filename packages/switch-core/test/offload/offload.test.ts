import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'
import { Batch } from '../../src/batch.ts'
import { DROP_NAMES, type Drop, type DropName } from '../../src/drop.ts'
import { type Frame, FramePool, MAX_FRAME } from '../../src/frame-pool.ts'
import { finish, needsFinishing } from '../../src/offload.ts'
import { MemoryPort } from '../../src/port/memory.ts'
import { ALL_OFFLOADS, Offload } from '../../src/port/port.ts'
import { checksum as ck, ipv4, ipv6, put16, tcp, udp } from '../../src/wire/index.ts'
import { hex, show } from '../wire/hex.ts'
import { type Shape, type SuperFrame, segmentsOf, superFrame } from './super-frames.ts'

/* A port that carries nothing unfinished, seen from both sides: what it was given to write, and what was lost. */
class Wire {
  readonly pool: FramePool
  readonly frames: Uint8Array[] = []
  readonly lost: DropName[] = []
  readonly writes: number[] = []
  /** Keeps the rows that were written, as a cable whose far side does not read. */
  keep = false
  readonly kept: Frame[] = []

  constructor(pool: FramePool) {
    this.pool = pool
  }

  send(batch: Batch, offloads = 0): void {
    const write = (b: Batch) => {
      this.writes.push(b.length)
      for (const f of b.frames.subarray(0, b.length)) {
        expect(this.pool.refs[f]).toBeGreaterThan(0)
        this.frames.push(this.pool.copyOut(f as Frame))
        if (this.keep) this.kept.push(f as Frame)
        else this.pool.sent(f as Frame)
      }
    }
    const lost = (f: Frame, why: Drop) => {
      this.lost.push(DROP_NAMES[why] as DropName)
      this.pool.drop(f, why)
    }
    if (needsFinishing(this.pool, batch, offloads)) finish(this.pool, batch, offloads, write, lost)
    else write(batch)
    batch.length = 0
    expect(this.pool.report().balanced).toBe(true)
  }
}

const pools: FramePool[] = []
afterEach(() => {
  for (const pool of pools.splice(0)) expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
})

function bigPool(frames = 256): FramePool {
  const pool = new FramePool({ frames, frameSize: MAX_FRAME })
  pools.push(pool)
  return pool
}

function put(pool: FramePool, s: SuperFrame, size: number, extraType = 0): Frame {
  const f = pool.from(s.bytes) as Frame
  pool.ledger.receive(1)
  pool.port[f] = 7
  pool.flags[f] = 1
  pool.gsoType[f] = s.gsoType | extraType
  pool.gsoSize[f] = size
  pool.hdrLen[f] = s.data
  pool.csumStart[f] = s.csumStart
  pool.csumOffset[f] = s.csumOffset
  return f
}

function put1(pool: FramePool, bytes: Uint8Array): Frame {
  const f = pool.from(bytes) as Frame
  pool.ledger.receive(1)
  return f
}

function batchOf(...frames: Frame[]): Batch {
  const batch = new Batch()
  for (const f of frames) batch.push(f)
  return batch
}

const hexes = (frames: readonly Uint8Array[]) => frames.map((b) => show(b))

test('a plain batch needs nothing; each kind of work needs its own bit', () => {
  const pool = bigPool(4)
  const f = pool.from(new Uint8Array(60)) as Frame
  const needs = (flags: number, gsoType: number, offloads: number) => {
    pool.flags[f] = flags
    pool.gsoType[f] = gsoType
    return needsFinishing(pool, batchOf(f), offloads)
  }
  const { Checksum, Tso4, Tso6, Uso, Tunnel, TunnelChecksum } = Offload
  expect(needs(0, 0, 0)).toBe(false)
  expect(needs(2, 0, 0)).toBe(false)
  expect(needs(1, 0, 0)).toBe(true)
  expect(needs(1, 0, Checksum)).toBe(false)
  for (const [gsoType, bit] of [
    [1, Tso4],
    [4, Tso6],
    [5, Uso],
    [0x81, Tso4],
    [0x84, Tso6],
  ] as const) {
    expect(needs(1, gsoType, Checksum | bit)).toBe(false)
    expect(needs(1, gsoType, bit)).toBe(true)
    expect(needs(1, gsoType, 15 & ~bit)).toBe(true)
  }
  for (const gsoType of [2, 3, 6, 0x61, 0x65, 0x20, 0x40, 0x80, 0xff]) expect(needs(1, gsoType, 63)).toBe(true)
  // Inside UDP: the bit of the inner kind, the tunnel's, and one more where the outer checksum is wanted.
  for (const gsoType of [0x21, 0x41, 0xa1]) {
    expect(needs(1, gsoType, 15)).toBe(true)
    expect(needs(1, gsoType, Checksum | Tso4 | Tunnel)).toBe(false)
    expect(needs(1, gsoType, Checksum | Tso6 | Uso | Tunnel)).toBe(true)
    expect(needs(9, gsoType, Checksum | Tso4 | Tunnel)).toBe(true)
    expect(needs(9, gsoType, Checksum | Tso4 | Tunnel | TunnelChecksum)).toBe(false)
  }
  pool.release(f)
})

test('a port says in words what it carries', () => {
  const pool = bigPool(4)
  const say = (offloads: number) => new MemoryPort(pool, 'm', { offloads }).offloadText
  const { Checksum, Tso4, Tso6, Uso, Tunnel } = Offload
  expect(say(0)).toBe('none')
  expect(say(ALL_OFFLOADS)).toBe('checksum, tso, uso, tunnel')
  expect(say(Checksum | Tso4)).toBe('checksum, tso4')
  expect(say(Checksum | Tso6 | Uso | Tunnel)).toBe('checksum, tso6, uso, tunnel without checksum')
})

/* What a kernel hands over for the masquerade of 10.22.0.11: the field holds the sum of the pseudo-header. */
const FINISHED = '02000000000b02000000000a0800 4500001d54b64000 4011 9ff6 0a16000b cb007102 1392 270f 0009 0717 78'

test('a missing UDP checksum comes out as the kernel’s', () => {
  const pool = bigPool(4)
  const bytes = hex(FINISHED)
  put16(bytes, 40, ck.pseudo4(bytes, 14, 17, 9))
  const f = put1(pool, bytes)
  pool.flags[f] = 1
  pool.csumStart[f] = 34
  pool.csumOffset[f] = 6
  const wire = new Wire(pool)
  wire.send(batchOf(f))
  expect(hexes(wire.frames)).toEqual([show(hex(FINISHED))])
  expect(pool.flags[f]).toBe(0)
})

test('zero is sent as ffff in UDP, and as zero in TCP (RFC 768)', () => {
  const pool = bigPool(4)
  const wire = new Wire(pool)
  for (const [offset, field] of [
    [6, 'ffff'],
    [16, '0000'],
  ] as const) {
    // Words from the start on that add up to ffff.
    const bytes = new Uint8Array(34 + 20)
    put16(bytes, 34, 0xfff0)
    put16(bytes, 36, 0x000f)
    const f = put1(pool, bytes)
    pool.flags[f] = 1
    pool.csumStart[f] = 34
    pool.csumOffset[f] = offset
    wire.send(batchOf(f))
    expect(show(wire.frames.at(-1) as Uint8Array, 34 + offset, 36 + offset)).toBe(field)
  }
})

test('a shared frame is copied before its checksum is written', () => {
  const pool = bigPool(4)
  const bytes = hex(FINISHED)
  put16(bytes, 40, ck.pseudo4(bytes, 14, 17, 9))
  const f = put1(pool, bytes)
  pool.flags[f] = 1
  pool.csumStart[f] = 34
  pool.csumOffset[f] = 6
  pool.share(f, 1)
  const wire = new Wire(pool)
  wire.send(batchOf(f))
  expect(hexes(wire.frames)).toEqual([show(hex(FINISHED))])
  expect(show(pool.view(f))).toBe(show(bytes))
  expect(pool.flags[f]).toBe(1)
  pool.sent(f)
})

test('a shared frame and no row for the copy: a counted drop, and the other holder has its frame', () => {
  const pool = bigPool(1)
  const f = put1(pool, hex(FINISHED))
  pool.flags[f] = 1
  pool.csumStart[f] = 34
  pool.csumOffset[f] = 6
  pool.share(f, 1)
  const wire = new Wire(pool)
  wire.send(batchOf(f))
  expect(wire.lost).toEqual(['PoolSpent'])
  expect(show(pool.view(f))).toBe(show(hex(FINISHED)))
  pool.sent(f)
})

test('three segments of TCP over IPv4, byte for byte', () => {
  const pool = bigPool()
  const flags = tcp.Flag.Ack | tcp.Flag.Psh | tcp.Flag.Fin | tcp.Flag.Cwr
  const s = superFrame({ transport: 'tcp', version: 4, payload: 10, size: 4, seq: 0xfffffffe, id: 0xffff, flags })
  const wire = new Wire(pool)
  wire.send(batchOf(put(pool, s, 4, 0x80)))
  const eth = '02000000000b02000000000a0800'
  expect(hexes(wire.frames)).toEqual(
    [
      `${eth} 4500002cffff4000400626ca0a0000010a000002 13880050fffffffe0000004d 5090 ffff 790e 0000 00070e15`,
      `${eth} 4500002c00004000400626ca0a0000010a000002 13880050000000020000004d 5010 ffff 4153 0000 1c232a31`,
      `${eth} 4500002a00014000400626cb0a0000010a000002 13880050000000060000004d 5019 ffff 4f5d 0000 383f`,
    ].map((t) => t.replace(/ /g, '')),
  )
  expect(pool.report()).toMatchObject({ received: 1, copied: 2, sent: 3, held: 0, balanced: true })
})

const shape: fc.Arbitrary<Shape> = fc
  .record({
    transport: fc.constantFrom('tcp' as const, 'udp' as const),
    version: fc.constantFrom(4 as const, 6 as const),
    tags: fc.constantFrom<number[]>([], [100], [200, 100]),
    payload: fc.oneof(fc.nat(200), fc.nat(5000), fc.nat(65_000)),
    size: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 300, max: 9000 }), fc.constantFrom(1448, 1460)),
    flags: fc.nat(255),
    seq: fc.nat(0xffffffff),
    id: fc.nat(0xffff),
    ipOptions: fc.constantFrom(0, 8, 16, 40),
    tcpOptions: fc.constantFrom(0, 12, 40),
  })
  // Small segments of large frames only make the test slow.
  .map((s) => ({ ...s, payload: Math.min(s.payload, s.size * 150) }))

test('any super-frame becomes what it stands for, in order, in batches of bounded size', () => {
  const pool = bigPool(300)
  const wire = new Wire(pool)
  fc.assert(
    fc.property(shape, fc.boolean(), (s, partial) => {
      fc.pre(Math.ceil(s.payload / s.size) <= (s.transport === 'tcp' ? 1366 : 128))
      wire.frames.length = wire.writes.length = wire.lost.length = 0
      const big = superFrame(s)
      const before = put1(pool, new Uint8Array([1, 2, 3]))
      const f = put(pool, big, s.size)
      const after = put1(pool, new Uint8Array([4]))
      if (!partial) {
        // A sender that has computed the checksum of the whole says so by not setting the flag.
        pool.flags[f] = 0
        const at = pool.off[f] as number
        const [b, l3, l4, end] = [pool.bytes, at + big.l3, at + big.l4, at + big.bytes.length]
        if (s.transport === 'tcp') tcp.fillChecksum(b, l3, l4, end)
        else udp.fillChecksum(b, l3, l4)
      }
      const batch = batchOf(before, f, after)
      wire.send(batch)
      expect(wire.lost).toEqual([])
      expect(hexes(wire.frames)).toEqual(['010203', ...hexes(segmentsOf(s)), '04'])
      expect(Math.max(...wire.writes)).toBeLessThanOrEqual(batch.capacity)
      expect(pool.spare).toBe(pool.frames)
    }),
    { numRuns: 150 },
  )
})

test('a super-frame that stands for more segments than any sender makes is refused', () => {
  const pool = bigPool(1500)
  const wire = new Wire(pool)
  for (const [transport, size, most] of [
    ['tcp', 2, 1366],
    ['udp', 2, 128],
  ] as const) {
    for (const segments of [most, most + 1]) {
      wire.frames.length = wire.lost.length = 0
      const s: Shape = { transport, version: 4, payload: segments * size, size }
      wire.send(batchOf(put(pool, superFrame(s), size)))
      expect([transport, wire.frames.length, wire.lost]).toEqual(
        segments === most ? [transport, most, []] : [transport, 0, ['BadOffload']],
      )
    }
  }
})

test('segments are true in the eyes of the codecs, and have the port and no metadata', () => {
  const pool = bigPool()
  const wire = new Wire(pool)
  wire.keep = true
  const s: Shape = { transport: 'tcp', version: 6, payload: 4000, size: 1440, tags: [5], ipOptions: 8, tcpOptions: 12 }
  wire.send(batchOf(put(pool, superFrame(s), s.size)))
  expect(wire.kept.length).toBe(3)
  const found = new ipv6.Upper()
  for (const f of wire.kept) {
    const o = pool.off[f] as number
    const end = o + (pool.len[f] as number)
    expect(ipv6.check(pool.bytes, o + 18, end)).toBe(o + 58)
    expect(ipv6.upper(pool.bytes, o + 18, end, found)).toBe(true)
    expect(tcp.checksumOk(pool.bytes, o + 18, found.offset, end)).toBe(true)
    expect([pool.port[f], pool.flags[f], pool.gsoType[f]]).toEqual([7, 0, 0])
    expect(o % 4).toBe(2)
    pool.sent(f)
  }
})

test('what the port can carry passes as it is, and only the rest is finished', () => {
  const pool = bigPool()
  const tso = superFrame({ transport: 'tcp', version: 4, payload: 3000, size: 1460 })
  const uso = superFrame({ transport: 'udp', version: 4, payload: 30, size: 20 })
  const wire = new Wire(pool)
  wire.send(batchOf(put(pool, tso, 1460), put(pool, uso, 20)), Offload.Checksum | Offload.Tso4)
  expect(hexes(wire.frames)).toEqual([
    show(tso.bytes),
    ...hexes(segmentsOf({ transport: 'udp', version: 4, payload: 30, size: 20 })),
  ])
})

test('a shared super-frame is cut for one port and stays whole for the other', () => {
  const pool = bigPool()
  const s: Shape = { transport: 'tcp', version: 4, payload: 5000, size: 1000 }
  const big = superFrame(s)
  const f = put(pool, big, 1000)
  pool.share(f, 1)
  const wire = new Wire(pool)
  wire.send(batchOf(f))
  expect(hexes(wire.frames)).toEqual(hexes(segmentsOf(s)))
  expect(show(pool.view(f))).toBe(show(big.bytes))
  expect([pool.gsoType[f], pool.flags[f], pool.refs[f]]).toEqual([1, 1, 1])
  wire.send(batchOf(f))
  expect(wire.frames.length).toBe(10)
})

test('a UDP super-frame over IPv4 without a checksum makes segments without', () => {
  const pool = bigPool()
  const s = superFrame({ transport: 'udp', version: 4, payload: 30, size: 20 })
  put16(s.bytes, s.l4 + 6, 0)
  const f = put(pool, s, 20)
  pool.flags[f] = 0
  const wire = new Wire(pool)
  wire.send(batchOf(f))
  expect(wire.frames.map((b) => udp.checksum(b, 34))).toEqual([0, 0])
})

test('behind a routing header with hops left, the pseudo-header is the sender’s (RFC 8200, 8.1)', () => {
  // ana -> router, with ben behind it: the checksum speaks of ben.
  const pool = bigPool()
  const s = superFrame({ transport: 'tcp', version: 6, payload: 2500, size: 1000, ipOptions: 24 })
  const ben = s.bytes.slice(s.l3 + 24, s.l3 + 40)
  s.bytes[s.l3 + 6] = 43
  s.bytes.set([6, 2, 2, 1, 0, 0, 0, 0, ...ben], s.l3 + 40)
  s.bytes.set([0xfe, 0x80, ...new Array<number>(13).fill(0), 1], s.l3 + 24)
  const f = put(pool, s, 1000)
  const wire = new Wire(pool)
  wire.send(batchOf(f))
  expect(wire.frames.length).toBe(3)
  for (const b of wire.frames) {
    b.set(ben, s.l3 + 24)
    expect(tcp.checksumOk(b, s.l3, s.l4, b.length)).toBe(true)
  }
  // Without the sender's sum nobody can tell.
  const g = put(pool, s, 1000)
  pool.flags[g] = 0
  wire.send(batchOf(g))
  expect(wire.lost).toEqual(['BadOffload'])
})

test('45 segments through a pool of 5 rows: what waits is written to make room', () => {
  const pool = bigPool(5)
  const s: Shape = { transport: 'tcp', version: 4, payload: 65_000, size: 1448 }
  const wire = new Wire(pool)
  wire.send(batchOf(put(pool, superFrame(s), 1448)))
  expect(hexes(wire.frames)).toEqual(hexes(segmentsOf(s)))
  expect(Math.max(...wire.writes)).toBeLessThanOrEqual(4)
})

test('a pool that stays spent: the segments before have left, the rest is one drop', () => {
  const pool = bigPool(5)
  const s: Shape = { transport: 'tcp', version: 4, payload: 65_000, size: 1448 }
  const wire = new Wire(pool)
  wire.keep = true
  wire.send(batchOf(put(pool, superFrame(s), 1448)))
  expect(hexes(wire.frames)).toEqual(hexes(segmentsOf(s)).slice(0, 4))
  expect(wire.lost).toEqual(['PoolSpent'])
  expect(pool.report()).toMatchObject({ received: 1, copied: 4, held: 4, dropped: { PoolSpent: 1 }, balanced: true })
  for (const f of wire.kept) pool.sent(f)
})

test('a write that itself finishes frames does not disturb the batch it is in', () => {
  const pool = bigPool()
  const s: Shape = { transport: 'udp', version: 4, payload: 2000, size: 20 }
  const inner = new Wire(pool)
  const outer: Uint8Array[] = []
  finish(
    pool,
    batchOf(put(pool, superFrame(s), 20)),
    0,
    (b) => {
      for (const f of b.frames.subarray(0, b.length)) {
        outer.push(pool.copyOut(f as Frame))
        pool.sent(f as Frame)
      }
      inner.send(batchOf(put(pool, superFrame({ ...s, id: 9 }), 20)))
    },
    (f, why) => pool.drop(f, why),
  )
  expect(hexes(outer)).toEqual(hexes(segmentsOf(s)))
  expect(hexes(inner.frames)).toEqual([0, 1].flatMap(() => hexes(segmentsOf({ ...s, id: 9 }))))
})

test('a segment that no slot can hold is a drop', () => {
  const big = new FramePool({ frames: 4, frameSize: 2000 })
  const s = superFrame({ transport: 'tcp', version: 4, payload: 1000, size: 1000 })
  const f = put(big, s, 1000)
  // The row is longer than a fresh one may be: it was grown into its headroom.
  big.off[f] = f * big.stride
  big.len[f] = 2054
  big.bytes.set(superFrame({ transport: 'tcp', version: 4, payload: 2000, size: 2000 }).bytes, f * big.stride)
  big.gsoSize[f] = 2000
  const wire = new Wire(big)
  wire.send(batchOf(f))
  expect(wire.lost).toEqual(['BadOffload'])
})

test('every contradiction between metadata and headers is BadOffload', () => {
  const pool = bigPool(8)
  const base: Shape = { transport: 'tcp', version: 4, payload: 3000, size: 1000 }
  const s = superFrame(base)
  const spoil: Record<string, (f: Frame, o: number, b: Uint8Array) => void> = {
    'segments of no bytes': (f) => (pool.gsoSize[f] = 0),
    'a kind that does not exist': (f) => (pool.gsoType[f] = 2),
    'UDP fragmentation, which is not segmentation': (f) => (pool.gsoType[f] = 3),
    'ECN of nothing': (f) => (pool.gsoType[f] = 0x80),
    'TCP over IPv6 that is over IPv4': (f) => (pool.gsoType[f] = 4),
    'UDP that is TCP': (f) => (pool.gsoType[f] = 5),
    'a checksum that starts elsewhere': (f) => (pool.csumStart[f] = 36),
    'a checksum that goes elsewhere': (f) => (pool.csumOffset[f] = 6),
    'an EtherType that is not IP': (_, o, b) => (b[o + 12] = 0x09),
    'a version that is not 4': (_, o, b) => (b[o + 14] = 0x55),
    'a header length below 20': (_, o, b) => (b[o + 14] = 0x44),
    'another protocol': (_, o, b) => (b[o + 23] = 17),
    'a fragment': (_, o, b) => (b[o + 20] = 0x20),
    'a later fragment': (_, o, b) => (b[o + 21] = 1),
    'a total length that is not the frame’s': (_, o, b) => (b[o + 17] = (b[o + 17] as number) ^ 1),
    'a TCP header below 20': (_, o, b) => (b[o + 46] = 0x40),
    'a frame cut in the TCP header': (f) => (pool.len[f] = 50),
    'a frame cut in the IP header': (f) => (pool.len[f] = 30),
    'a frame cut in the Ethernet header': (f) => (pool.len[f] = 13),
    'an empty frame': (f) => (pool.len[f] = 0),
  }
  for (const [what, change] of Object.entries(spoil)) {
    const f = put(pool, s, 1000)
    change(f, pool.off[f] as number, pool.bytes)
    const wire = new Wire(pool)
    wire.send(batchOf(f))
    expect(wire.lost, what).toEqual(['BadOffload'])
    expect(wire.frames, what).toEqual([])
  }
})

test('a missing checksum that starts or goes outside the frame is BadOffload', () => {
  const pool = bigPool(8)
  for (const [start, offset] of [
    [0, 0],
    [13, 6],
    [34, 24],
    [43, 0],
    [34, 65_535],
    [65_535, 65_535],
    [65_535, 0],
  ] as const) {
    const f = put1(pool, hex(FINISHED))
    pool.flags[f] = 1
    pool.csumStart[f] = start
    pool.csumOffset[f] = offset
    const wire = new Wire(pool)
    wire.send(batchOf(f))
    expect(wire.lost, `${start} + ${offset}`).toEqual(['BadOffload'])
  }
})

test('garbage in every column and in the frame: no throw, no write outside, the ledger balances', () => {
  const pool = new FramePool({ frames: 16, frameSize: 600 })
  const u16 = fc.oneof(fc.nat(80), fc.nat(0xffff))
  fc.assert(
    fc.property(
      fc.record({ transport: fc.constantFrom('tcp', 'udp'), version: fc.constantFrom(4, 6), payload: fc.nat(400) }),
      fc.array(fc.tuple(fc.nat(100), fc.nat(255)), { maxLength: 4 }),
      fc.record({ flags: fc.nat(255), gsoType: fc.constantFrom(0, 1, 4, 5, 0x81, 3, 0x21, 0xff), gsoSize: u16 }),
      fc.record({ start: u16, offset: u16, cut: fc.nat(600), trust: fc.nat(3) }),
      (h, pokes, gso, c) => {
        pool.bytes.fill(0xee)
        const s = superFrame({ ...(h as Pick<Shape, 'transport' | 'version' | 'payload'>), size: 100 })
        const f = put(pool, s, gso.gsoSize)
        for (const [at, value] of pokes) pool.bytes[(pool.off[f] as number) + at] = value
        if (c.trust < 3) pool.gsoType[f] = gso.gsoType
        if (c.trust < 2) {
          pool.flags[f] = gso.flags
          pool.csumStart[f] = c.start
          pool.csumOffset[f] = c.offset
        }
        if (c.trust < 1) pool.len[f] = Math.min(pool.len[f] as number, c.cut)
        const wire = new Wire(pool)
        wire.send(batchOf(f))
        expect(pool.spare).toBe(pool.frames)
        // Headrooms and what lies behind the longest frame are as they were, in every slot.
        for (let k = 0; k < pool.frames; k++) {
          const at = k * pool.stride
          const head = pool.bytes.subarray(at, at + pool.headroom)
          const tail = pool.bytes.subarray(at + pool.headroom + pool.frameSize, at + pool.stride)
          expect(head.every((x) => x === 0xee) && tail.every((x) => x === 0xee)).toBe(true)
        }
      },
    ),
    { numRuns: 1000 },
  )
})

test('the heap does not grow with the frames', () => {
  const pool = bigPool(128)
  const s = superFrame({ transport: 'tcp', version: 4, payload: 14_480, size: 1448, id: 1 })
  const batch = new Batch()
  let segments = 0
  const write = (b: Batch) => {
    segments += b.length
    for (let i = 0; i < b.length; i++) pool.sent(b.frames[i] as Frame)
  }
  const lost = (f: Frame, why: Drop) => pool.drop(f, why)
  const round = () => {
    batch.length = 0
    batch.push(put(pool, s, 1448))
    if (needsFinishing(pool, batch, 0)) finish(pool, batch, 0, write, lost)
  }
  let rounds = 0
  const run = (): void => {
    for (let i = 0; i < 20_000; i++, rounds++) round()
  }
  run()
  expect(heapGrowth(run)).toBeLessThan(HEAP_LIMIT)
  expect(segments).toBe(10 * rounds)
})

test('IPv4 checksums of all segments are right, with options, tags and any id', () => {
  const pool = bigPool()
  const wire = new Wire(pool)
  const s = superFrame({
    transport: 'udp',
    version: 4,
    payload: 100,
    size: 30,
    tags: [1, 2],
    ipOptions: 40,
    id: 65_535,
  })
  wire.send(batchOf(put(pool, s, 30)))
  expect(wire.frames.map((b) => [ipv4.checksumOk(b, 22), ipv4.id(b, 22), ipv4.check(b, 22, b.length)])).toEqual([
    [true, 65_535, 82],
    [true, 0, 82],
    [true, 1, 82],
    [true, 2, 82],
  ])
})
