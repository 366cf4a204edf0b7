/**
 * Fragments through a NAT that only sees addresses and ports: whichever comes first, what Linux lets through goes
 * through, as it came, and what waits is bounded.
 */
import { createHash } from 'node:crypto'
import { Drop, type DropName, dropSentence, type Frame, NO_FRAME, SECOND, VirtualClock } from '@l2l3/switch-core'
import { ipv4, ipv6, u32 } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { Fragments, type FragmentsOptions, Turn } from '../../src/fragments/fragments.ts'
import { Bench, bytesOf, hexOf, kernel } from '../awkward.ts'

/** One fragment of a UDP datagram of IPv4: `at` and `n` in bytes of the datagram. */
function piece(id: number, at: number, n: number, more: boolean, protocol = 17, src = 0x0a16000b): Uint8Array {
  const packet = new Uint8Array(20 + n).fill(id & 255)
  const flags = more ? ipv4.Flag.MoreFragments : 0
  ipv4.write(packet, 0, { src, dst: 0xcb007102, protocol, payload: n, id, flags, fragmentOffset: at })
  if (at === 0) packet.set(bytesOf('1388 270f 0fa0 0000'), 20)
  return packet
}

/** One fragment of IPv6, behind a fragment header. */
function piece6(id: number, at: number, n: number, more: boolean): Uint8Array {
  const packet = new Uint8Array(48 + n).fill(id & 255)
  const src = bytesOf('fd00002200000000000000000000000b')
  const dst = bytesOf('20010db8011300000000000000000002')
  ipv6.write(packet, 0, { src, dst, nextHeader: 44, payload: 8 + n })
  packet.set(Uint8Array.of(17, 0, at >>> 8, (at & 0xf8) | (more ? 1 : 0), 0, 0, id >>> 8, id & 255), 40)
  if (at === 0) packet.set(bytesOf('1388 270f 0fa0 0000'), 48)
  return packet
}

/** An engine that has nothing but fragments: flows are the ports of the first. */
class Lab extends Bench {
  readonly clock: VirtualClock = new VirtualClock()
  readonly fragments: Fragments
  /** Fragments that went on: flow, offset in bytes. */
  passed: [number, number][] = []
  dropped: string[] = []
  /** What `bind` is told for first fragments; null: the others are refused. */
  refuse: Drop | null = null
  zone = 0
  #ready: Frame[] = []

  constructor(options: FragmentsOptions = {}, frames = 256) {
    super(frames)
    this.fragments = new Fragments(
      this.pool,
      this.clock,
      {
        ready: (f, token) => {
          expect(token).toBe(77)
          this.#ready.push(f)
        },
        ended: (f, token, why) => {
          expect(token).toBe(77)
          this.#drop(f, why)
        },
      },
      options,
    )
  }

  #drop(f: Frame, why: Drop): void {
    const name = (Object.keys(Drop) as DropName[]).find((n) => Drop[n] === why) as DropName
    expect(dropSentence(name)).toBeTruthy()
    this.dropped.push(name)
    this.pool.drop(f, why)
  }

  /** A fragment comes in; what waited for it follows. Gives what became of it. */
  in(packet: Uint8Array): Turn {
    const turn = this.#accept(this.frame(packet))
    for (let f = this.#ready.shift(); f !== undefined; f = this.#ready.shift()) this.#accept(f)
    this.balanced()
    return turn
  }

  #accept(f: Frame): Turn {
    const { bytes } = this.pool
    const l3 = this.l3(f)
    const before = this.ip(f)
    const v6 = (bytes[l3] as number) >>> 4 === 6
    const turn = this.fragments.accept(f, l3, this.end(f), this.zone, 77)
    if (turn === Turn.Held) return turn
    expect(this.ip(f)).toBe(before)
    this.intact(f)
    if (turn === Turn.Dropped) {
      this.#drop(f, this.fragments.why)
      return turn
    }
    if (turn === Turn.First && this.refuse !== null) {
      this.fragments.refuse(this.refuse)
      this.#drop(f, this.refuse)
      return turn
    }
    const at = v6
      ? ((bytes[l3 + 42] as number) << 8) | ((bytes[l3 + 43] as number) & 0xf8)
      : ipv4.fragmentOffset(bytes, l3)
    if (turn === Turn.First) {
      this.fragments.bind(u32(bytes, l3 + (v6 ? 48 : 20)), 0xfeedbeef)
      this.passed.push([u32(bytes, l3 + (v6 ? 48 : 20)), at])
    } else if (turn === Turn.Follows) {
      expect(this.fragments.stamp).toBe(0xfeedbeef)
      this.passed.push([this.fragments.flow, at])
    }
    this.pool.sent(f)
    return turn
  }
}

const FLOW = 0x1388270f

describe.each([
  ['IPv4', piece],
  ['IPv6', piece6],
] as const)('fragments of %s', (_, cut) => {
  const three = (id: number): Uint8Array[] => [
    cut(id, 0, 1480, true),
    cut(id, 1480, 1480, true),
    cut(id, 2960, 1048, false),
  ]

  it('follow the first, and are forgotten when all have passed', () => {
    const lab = new Lab()
    expect(three(1).map((p) => lab.in(p))).toEqual([Turn.First, Turn.Follows, Turn.Follows])
    expect(lab.passed).toEqual([
      [FLOW, 0],
      [FLOW, 1480],
      [FLOW, 2960],
    ])
    expect(lab.fragments.packets).toBe(0)
    expect(lab.fragments.counters).toMatchObject({ passed: 3, held: 0, complete: 1 })
  })

  it.each([[[2, 1, 0]], [[1, 2, 0]], [[1, 0, 2]], [[2, 0, 1]], [[0, 2, 1]]])(
    'wait for the first, which leaves before them: %j',
    (order) => {
      const lab = new Lab()
      const pieces = three(2)
      for (const i of order) lab.in(pieces[i] as Uint8Array)
      expect(lab.passed[0]).toEqual([FLOW, 0])
      expect(lab.passed.map(([flow]) => flow)).toEqual([FLOW, FLOW, FLOW])
      expect(lab.passed.map(([, at]) => at).sort((a, b) => a - b)).toEqual([0, 1480, 2960])
      expect(lab.fragments).toMatchObject({ packets: 0, held: 0, heldBytes: 0 })
    },
  )

  it('of different packets, zones and senders do not mix', () => {
    const lab = new Lab()
    lab.in(cut(3, 0, 16, true))
    expect(lab.in(cut(4, 16, 16, false))).toBe(Turn.Held)
    lab.zone = 1
    expect(lab.in(cut(3, 16, 16, false))).toBe(Turn.Held)
    lab.zone = 0
    const other = cut(3, 16, 16, false)
    other[cut === piece ? 15 : 23] = 0x0c
    expect(lab.in(other)).toBe(Turn.Held)
    expect(lab.in(cut(3, 16, 16, false))).toBe(Turn.Follows)
  })

  it('are dropped as the first was', () => {
    const lab = new Lab()
    const [a, b, c] = three(5) as [Uint8Array, Uint8Array, Uint8Array]
    lab.in(b)
    lab.refuse = Drop.NatFiltered
    lab.in(a)
    expect(lab.in(c)).toBe(Turn.Dropped)
    expect(lab.dropped).toEqual(['NatFiltered', 'NatFiltered', 'NatFiltered'])
  })

  it('once twice is a duplicate, and the rest goes on', () => {
    const lab = new Lab()
    const [a, b, c] = three(6) as [Uint8Array, Uint8Array, Uint8Array]
    for (const p of [a, b, b, a]) lab.in(p)
    expect(lab.dropped).toEqual(['FragmentOverlap', 'FragmentOverlap'])
    expect(lab.in(c)).toBe(Turn.Follows)
    expect(lab.fragments.counters.complete).toBe(1)
  })

  it.each([
    ['starts in one that has passed', 1472, 1480, true],
    ['ends in one that has passed', 2000, 1480, true],
    ['covers one that has passed', 1480, 2400, true],
    ['is not the end, but behind it', 4008, 8, true],
    ['is another end', 4008, 8, false],
    ['ends the packet before what has passed', 1480, 8, false],
  ])('are all refused after one that %s', (_, at, n, more) => {
    const lab = new Lab()
    const [a, , c] = three(7) as [Uint8Array, Uint8Array, Uint8Array]
    lab.in(a)
    lab.in(c)
    lab.in(cut(7, at, n, more))
    expect(lab.in(cut(7, 1480, 1480, true))).toBe(Turn.Dropped)
    expect(lab.dropped).toEqual(['FragmentOverlap', 'FragmentOverlap'])
    // For as long as fragments are remembered.
    lab.clock.advance(30 * SECOND)
    lab.fragments.tick(lab.clock.now)
    expect(lab.in(a)).toBe(Turn.First)
  })

  it('wait so long, and no longer', () => {
    const lab = new Lab()
    const [a, b] = three(8) as [Uint8Array, Uint8Array]
    lab.in(b)
    lab.clock.advance(2 * SECOND - 1)
    lab.fragments.tick(lab.clock.now)
    expect(lab.fragments.held).toBe(1)
    lab.clock.advance(1)
    lab.fragments.tick(lab.clock.now)
    expect(lab.dropped).toEqual(['FragmentTimeout'])
    expect(lab.fragments).toMatchObject({ held: 0, heldBytes: 0, packets: 0 })
    // Without a tick in time it is the same.
    lab.in(b)
    lab.clock.advance(2 * SECOND)
    lab.in(a)
    expect(lab.dropped).toEqual(['FragmentTimeout', 'FragmentTimeout'])
    lab.clock.advance(30 * SECOND)
    expect(lab.in(b)).toBe(Turn.Held)
    expect(lab.fragments.counters).toMatchObject({ timedOut: 2, held: 3 })
  })

  it('are at most so many of one packet', () => {
    const lab = new Lab({ heldPerPacket: 3 })
    for (let i = 1; i <= 4; i++) lab.in(cut(9, 8 * i, 8, true))
    expect(lab.dropped).toEqual(['FragmentQueueFull'])
    lab.in(cut(9, 0, 8, true))
    expect(lab.passed.length).toBe(4)
  })

  it('that make no sense are malformed', () => {
    const lab = new Lab()
    for (const [at, n, more] of [
      [8, 7, true],
      [8, 0, false],
      [0, 1001, true],
      [65_528, 100, false],
      [64_800, 1480, true],
    ] as const) {
      expect(lab.in(cut(10, at, n, more))).toBe(Turn.Dropped)
    }
    expect(lab.dropped).toEqual(Array(5).fill('Malformed'))
    expect(lab.fragments.packets).toBe(0)
  })
})

describe('cuts within a header', () => {
  it.each([
    ['a TCP header that ends in the second', 6, 0, 16],
    ['a TCP header of 8 bytes', 6, 0, 8],
    ['TCP at offset 1 (RFC 3128)', 6, 8, 80],
    ['TCP at offset 2', 6, 16, 80],
    ['SCTP at offset 1', 132, 8, 80],
    ['an SCTP header of 8 bytes', 132, 0, 8],
  ])('are refused: %s', (_, protocol, at, n) => {
    const lab = new Lab()
    expect(lab.in(piece(1, at, n, true, protocol))).toBe(Turn.Dropped)
    expect(lab.dropped).toEqual(['FragmentOverlap'])
    expect(lab.fragments.packets).toBe(0)
  })

  it('are no cuts within when the header is whole', () => {
    const lab = new Lab()
    expect(lab.in(piece(1, 0, 24, true, 6))).toBe(Turn.First)
    expect(lab.in(piece(1, 24, 8, false, 6))).toBe(Turn.Follows)
    expect(lab.in(piece(2, 0, 8, true, 17))).toBe(Turn.First)
    expect(lab.in(piece(2, 8, 8, false, 17))).toBe(Turn.Follows)
  })

  it('are malformed where a chain of IPv6 headers is cut (RFC 7112)', () => {
    const packet = piece6(1, 0, 16, true)
    packet[40] = 60 // destination options, 256 x 8 bytes long
    packet[49] = 255
    const lab = new Lab()
    expect(lab.in(packet)).toBe(Turn.Dropped)
    expect(lab.dropped).toEqual(['Malformed'])
  })
})

it('takes a whole packet, and an atomic fragment, for what it is', () => {
  const lab = new Lab()
  expect(lab.in(piece(1, 0, 100, false))).toBe(Turn.Whole)
  expect(lab.in(piece6(1, 0, 100, false))).toBe(Turn.Whole)
})

it('refuses the rest where the engine says nothing about the first', () => {
  const bench = new Bench()
  const clock = new VirtualClock()
  const drop = (f: Frame, _: number, why: Drop): void => bench.pool.drop(f, why)
  const fragments = new Fragments(bench.pool, clock, { ready: () => {}, ended: drop })
  const a = bench.frame(piece(1, 0, 8, true))
  expect(fragments.accept(a, bench.l3(a), bench.end(a), 0, 0)).toBe(Turn.First)
  const b = bench.frame(piece(1, 8, 8, false))
  expect(fragments.accept(b, bench.l3(b), bench.end(b), 0, 0)).toBe(Turn.Dropped)
  expect(fragments.why).toBe(Drop.InvalidState)
  // Too late, and for another one.
  fragments.bind(1, 1)
  fragments.refuse(Drop.NatFiltered)
  expect(fragments.accept(b, bench.l3(b), bench.end(b), 0, 0)).toBe(Turn.Dropped)
  expect(fragments.why).toBe(Drop.InvalidState)
})

it('holds a copy of a frame that others hold, too', () => {
  const lab = new Lab()
  const f = lab.frame(piece(1, 8, 8, true))
  lab.pool.share(f, 1)
  expect(lab.fragments.accept(f, lab.l3(f), lab.end(f), 0, 77)).toBe(Turn.Held)
  expect(lab.fragments.accept(f, lab.l3(f), lab.end(f), 0, 77)).toBe(Turn.Held)
  expect(lab.fragments.held).toBe(2)
  lab.in(piece(1, 0, 8, true))
  expect(lab.passed.length).toBe(2)
  expect(lab.dropped).toEqual(['FragmentOverlap'])
  lab.balanced()
  expect(lab.pool.held()).toBe(0)
})

describe('a flood', () => {
  it('of 10,000 fragments without a first puts out its own, and packets whose first has passed go on', () => {
    const lab = new Lab({ packets: 64, heldFrames: 32 }, 128)
    for (let i = 0; i < 20; i++) lab.in(piece(40_000 + i, 0, 1000, true))
    const spare = lab.pool.spare
    for (let i = 0; i < 10_000; i++) {
      expect(lab.in(piece(i, 1000, 1000, true, 17, 0x0a160000 + (i >>> 8)))).toBe(Turn.Held)
      expect(lab.fragments.held).toBeLessThanOrEqual(32)
      expect(lab.fragments.packets).toBeLessThanOrEqual(64)
      expect(lab.pool.spare).toBeGreaterThanOrEqual(spare - 32)
    }
    expect(lab.dropped.length).toBe(10_000 - lab.fragments.held)
    expect(new Set(lab.dropped)).toEqual(new Set(['FragmentQueueFull']))
    for (let i = 0; i < 20; i++) expect(lab.in(piece(40_000 + i, 1000, 1000, false))).toBe(Turn.Follows)
    // And a new one finds room.
    expect(lab.in(piece(50_000, 0, 1000, true))).toBe(Turn.First)
    expect(lab.in(piece(50_000, 1000, 8, false))).toBe(Turn.Follows)
  })

  it('is bounded in bytes', () => {
    const lab = new Lab({ heldBytes: 10_000 })
    for (let i = 0; i < 100; i++) {
      lab.in(piece(i, 1000, 1400, true))
      expect(lab.fragments.heldBytes).toBeLessThanOrEqual(10_000)
    }
    expect(lab.fragments.held).toBe(6)
    // One packet alone is bounded, too.
    const one = new Lab({ heldBytes: 5000 })
    for (let i = 0; i < 10; i++) one.in(piece(1, 1400 * i + 1400, 1400, true))
    expect(one.fragments.held).toBe(3)
    expect(one.dropped.length).toBe(7)
  })

  it('of first fragments fills the table: new ones are refused, those in it go on, and time makes room', () => {
    const lab = new Lab({ packets: 16 })
    for (let i = 0; i < 16; i++) expect(lab.in(piece(i, 0, 1000, true))).toBe(Turn.First)
    expect(lab.in(piece(99, 0, 1000, true))).toBe(Turn.Dropped)
    expect(lab.in(piece(99, 1000, 1000, false))).toBe(Turn.Dropped)
    expect(lab.dropped).toEqual(['FragmentQueueFull', 'FragmentQueueFull'])
    for (let i = 0; i < 16; i++) expect(lab.in(piece(i, 1000, 1000, false))).toBe(Turn.Follows)
    for (let i = 0; i < 16; i++) expect(lab.in(piece(i, 0, 1000, true))).toBe(Turn.First)
    lab.clock.advance(30 * SECOND)
    lab.fragments.tick(lab.clock.now)
    expect(lab.fragments.packets).toBe(0)
    expect(lab.in(piece(99, 0, 1000, true))).toBe(Turn.First)
  })

  it('of firsts takes the place of those who wait for one', () => {
    const lab = new Lab({ packets: 16, waitingPackets: 16 })
    for (let i = 0; i < 16; i++) lab.in(piece(i, 1000, 1000, true))
    expect(lab.in(piece(100, 0, 1000, true))).toBe(Turn.First)
    expect(lab.dropped).toEqual(['FragmentQueueFull'])
    expect(lab.in(piece(15, 0, 1000, true))).toBe(Turn.First)
    expect(lab.passed.length).toBe(3)
  })

  it('does not spend the pool', () => {
    const lab = new Lab({}, 64)
    for (let i = 0; i < 1000; i++) lab.in(piece(i, 8, 8, true))
    expect(lab.pool.spare).toBe(48)
    expect(lab.fragments.held).toBe(16)
  })
})

describe('settings', () => {
  const clock = new VirtualClock()
  const { pool } = new Bench()
  const waiter = { ready: (): void => {}, ended: (): void => {} }
  it.each([
    ['packets', 1],
    ['packets', 65_537],
    ['waitingPackets', 0],
    ['heldFrames', 65],
    ['heldPerPacket', 0],
    ['heldBytes', -1],
    ['waitTime', 0],
    ['timeout', 0.5],
    ['seed', 2 ** 33],
  ])('out of range throw by name: %s %d', (key, value) => {
    expect(() => new Fragments(pool, clock, waiter, { [key]: value })).toThrow(key)
  })
})

describe('what Linux let through', () => {
  it.each(kernel.fragments.filter((c) => c.name !== 'overlap'))(
    'goes through, in the same pieces: $name',
    ({ sent, came }) => {
      const lab = new Lab()
      // Of a piece: offset, more, payload without ports and checksum; of IPv4 its identification and length, too. (For IPv6
      // Linux takes an identification of its own when it cuts again.)
      const essence = (hex: string): string => {
        const p = bytesOf(hex)
        const v6 = (p[0] as number) >>> 4 === 6
        const first = v6 ? ((p[42] as number) | ((p[43] as number) & 0xf8)) === 0 : ipv4.fragmentOffset(p, 0) === 0
        const payload = p.subarray((v6 ? 48 : 20) + (first ? 8 : 0))
        return `${hexOf(v6 ? p.subarray(40, 44) : p.subarray(2, 8))} ${createHash('md5').update(payload).digest('hex')}`
      }
      const went: string[] = []
      const release = lab.pool.sent.bind(lab.pool)
      lab.pool.sent = (f): void => {
        went.push(essence(lab.ip(f)))
        release(f)
      }
      for (const hex of sent) lab.in(bytesOf(hex))
      expect(went.sort()).toEqual(came.map(essence).sort())
      expect(lab.pool.held()).toBe(0)
    },
  )

  it('is nothing of a packet with an overlap, of which ours has let the first go on', () => {
    const { sent, came } = kernel.fragments.find((c) => c.name === 'overlap') as (typeof kernel.fragments)[0]
    expect(came).toEqual([])
    const lab = new Lab()
    for (const hex of sent) lab.in(bytesOf(hex))
    expect(lab.passed.length).toBe(1)
    expect(lab.dropped).toEqual(['FragmentOverlap', 'FragmentOverlap'])
  })
})

it('ends with no frame forgotten', () => {
  const lab = new Lab()
  for (let i = 0; i < 100; i++) lab.in(piece(i, 8, 8, true))
  lab.clock.advance(60 * SECOND)
  lab.fragments.tick(lab.clock.now)
  expect(lab.pool.held()).toBe(0)
  expect(lab.pool.alloc()).not.toBe(NO_FRAME)
})
