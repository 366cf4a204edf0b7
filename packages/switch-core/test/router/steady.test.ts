// A million packets through the router: nothing is allocated per frame. Any bytes at all: nothing is lost, nothing gets
// out that should not.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'
import { type Batch, type Frame, FramePool, Loop, NO_FRAME, Port, Router, VirtualClock } from '../../src/index.ts'
import { ipv4, ipv6, parseIpv6 } from '../../src/wire/index.ts'
import { errorOf, hex, Lab, packet4, packet6 } from './lab.ts'

/** Makes packets from a list of images, a batch a turn; ends what it is given. */
class Traffic extends Port {
  readonly #images: readonly Uint8Array[]
  #next = 0
  constructor(pool: FramePool, name: string, images: readonly Uint8Array[]) {
    super(pool, name)
    this.#images = images
  }
  protected override read(batch: Batch): void {
    const { bytes, off, len, ledger } = this.pool
    for (let i = 0; i < 32 && this.#images.length > 0; i++) {
      const f = this.pool.alloc()
      if (f === NO_FRAME) {
        this.refused(4)
        continue
      }
      const image = this.#images[this.#next++ % this.#images.length] as Uint8Array
      bytes.set(image, off[f] as number)
      len[f] = image.length
      ledger.receive(1)
      batch.push(f as Frame)
    }
  }
  protected override write(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) this.left(batch.frames[i] as Frame)
  }
}

function growth(images: readonly Uint8Array[]): number {
  const pool = new FramePool({ frames: 1024 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const router = new Router(pool, clock)
  for (let i = 0; i < 2; i++) {
    const port = new Traffic(pool, `t${i}`, i === 0 ? images : [])
    const addresses = [`10.0.${i}.1/24`, `2001:db8:${i === 0 ? 'a' : 'b'}::1/64`]
    const iface = router.addInterface({
      name: `eth${i}`,
      mac: i === 0 ? '02:00:00:00:00:a0' : '02:00:00:00:00:b0',
      addresses,
      mtu: i === 0 ? 1500 : 600,
      out: loop.link(port),
      neighbours: { resolve4: () => true, resolve6: () => true },
    })
    loop.add(port, iface)
  }
  for (let i = 0; i < 1000; i++) router.addRoute({ to: `192.${i >> 8}.${i & 255}.0/24`, via: '10.0.1.2' })
  const spin = (frames: number): void => {
    const until = pool.ledger.received + frames
    while (pool.ledger.received < until) {
      loop.turn()
      clock.advance(1e5)
    }
  }
  spin(200_000)
  const grown = heapGrowth(() => spin(1_000_000))
  expect(pool.report()).toMatchObject({ balanced: true })
  return grown
}

const forwarded = Array.from({ length: 512 }, (_, i) => {
  if (i % 4 === 3) return hex(packet6({ dst: `2001:db8:b::${i.toString(16)}` }))
  return hex(packet4({ dst: i & 1 ? `10.0.1.${2 + (i % 200)}` : `192.${i & 1}.${i & 255}.${1 + (i % 200)}` }))
})
const hard = [
  ...forwarded.slice(0, 8),
  hex(packet4({ ttl: 1 })),
  hex(packet6({ hops: 1 })),
  hex(packet4({ dst: '203.0.113.1' })),
  hex(packet4({ payload: '00'.repeat(1000) })),
  hex(packet4({ payload: '00'.repeat(1000), flags: 0x4000 })),
  hex(packet4({ options: '07 0b 04 00000000 00000000 00' })),
  hex(packet4({ src: '127.0.0.1' })),
]

describe('a million packets', () => {
  it.each([
    ['forwarded, both families', forwarded],
    ['with errors, fragments, options and martians among them', hard],
  ])(
    '%s: the heap grows by less than 64 KiB',
    (_, images) => {
      expect(growth(images)).toBeLessThan(HEAP_LIMIT)
    },
    120_000,
  )
})

describe('garbage', () => {
  const any = fc.uint8Array({ maxLength: 120 })
  const mac = fc.constantFrom('0200000000a0', 'ffffffffffff', '333300000001', '02000000000b')
  /** A packet that was right, with some bytes changed and the header checksum perhaps mended. */
  const spoiled = fc
    .record({
      v6: fc.boolean(),
      to: mac,
      src: fc.constantFrom('10.0.0.2', '10.0.1.2', '0.0.0.0', '10.0.0.1', '192.0.2.1'),
      dst: fc.constantFrom(
        '10.0.1.2',
        '10.0.0.1',
        '10.0.1.255',
        '192.0.2.1',
        '224.0.0.1',
        '255.255.255.255',
        '10.0.1.77',
      ),
      src6: fc.constantFrom('2001:db8:a::2', 'fe80::a', '::', '2001:db8:b::1', 'ff02::1'),
      dst6: fc.constantFrom('2001:db8:b::2', '2001:db8:a::1', 'fe80::1', 'ff02::1', '2001:db8:f::1', '2001:db8:b::77'),
      protocol: fc.constantFrom(0, 1, 6, 17, 43, 44, 58, 59, 60, 253),
      ttl: fc.constantFrom(0, 1, 2, 64),
      flags: fc.constantFrom(0, 0x2000, 0x4000, 0x6000),
      offset: fc.constantFrom(0, 0, 0, 8, 65_528),
      options: fc.uint8Array({ maxLength: 20 }),
      payload: fc.uint8Array({ maxLength: 400 }),
      changes: fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 3 }),
      mend: fc.boolean(),
      cut: fc.nat(20),
    })
    .map((p) => {
      const payload = Buffer.from(p.payload).toString('hex')
      const b = hex(
        p.v6
          ? packet6({ to: p.to, src: p.src6, dst: p.dst6, next: p.protocol, hops: p.ttl, payload })
          : packet4({ ...p, options: Buffer.from(p.options).toString('hex'), payload }),
      )
      for (const [at, byte] of p.changes) if (at < b.length) b[at] = byte
      if (!p.v6 && p.mend && ipv4.checkHeader(b, 14, b.length) !== -1) ipv4.fillChecksum(b, 14)
      return p.cut < 5 ? b.subarray(0, Math.max(0, b.length - p.cut)) : b
    })
  const columns = fc.record({
    flags: fc.constantFrom(0, 0, 1, 2, 255),
    gsoType: fc.constantFrom(0, 0, 0, 1, 4, 5, 0x81, 9),
    gsoSize: fc.constantFrom(0, 1, 8, 100, 1460, 65_535),
    hdrLen: fc.nat(65_535),
    csumStart: fc.constantFrom(0, 34, 54, 60, 400, 65_535),
    csumOffset: fc.constantFrom(0, 6, 16, 65_535),
  })

  it('is dropped for a reason, forwarded or answered, and what leaves is right', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(1), fc.oneof(any, spoiled, spoiled), columns), { maxLength: 30 }),
        fc.boolean(),
        (sent, directed) => {
          const lab = new Lab({ icmpRate: Number.POSITIVE_INFINITY }, [
            { mtu: 100 },
            { mtu: 68, directedBroadcast: directed },
          ])
          lab.router.addRoute({ to: '192.0.2.0/25', hops: [{ via: '10.0.1.2' }, { via: '10.0.0.2' }] })
          for (const [i, bytes, meta] of sent) {
            const f = lab.pool.from(bytes) as Frame
            for (const [column, value] of Object.entries(meta))
              (lab.pool as never as Record<string, number[]>)[column]![f] = value
            lab.ports[i]?.injectFrame(f)
          }
          lab.loop.settle()
          // Some next hops do not answer, nor do some of those who are to be told.
          for (let round = 0; round < 3; round++) {
            for (const n of lab.neighbours) n.giveUp()
            lab.loop.settle()
          }
          for (const frames of Object.values(lab.collect())) for (const f of frames) check(f)
        },
      ),
      { numRuns: 400 },
    )
  })

  /** What the router sends is a packet: lengths, checksum and addresses in order. */
  function check(frame: string): void {
    const b = hex(frame)
    const v6 = b[14]! >>> 4 === 6
    if (v6) {
      expect(ipv6.check(b, 14, b.length)).not.toBe(-1)
      expect([b[22] === 0xff, b[38] === 0xff]).toEqual([false, false])
      expect(Buffer.from(b.subarray(22, 38))).not.toEqual(Buffer.from(parseIpv6('::1')))
    } else {
      expect(ipv4.check(b, 14, b.length)).not.toBe(-1)
      expect(ipv4.totalLength(b, 14)).toBe(b.length - 14)
      expect(ipv4.checksumOk(b, 14)).toBe(true)
      expect(ipv4.src(b, 14) >>> 24).not.toBe(127)
      expect(ipv4.dst(b, 14) >>> 28).toBeLessThan(14)
    }
    expect(b[v6 ? 21 : 22]).toBeGreaterThan(0)
    const own = v6 || [0x0a000001, 0x0a000101].includes(ipv4.src(b, 14))
    const error = v6
      ? b[20] === 58 && b[54]! < 5 && b[21] === 64
      : b[23] === 1 && [3, 11, 12].includes(b[34]!) && b[22] === 64
    if (own && error && !ipv4.isFragment(b, 14)) errorOf(frame)
  }
})
