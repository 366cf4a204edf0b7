import {
  type CaptureWriter,
  type CaptureWriterOptions,
  openCapture,
  type PacketRecord,
  type PacketToWrite,
  PcapngWriter,
  PcapWriter,
  type PcapWriterOptions,
} from '@l2l3/switch-core/pcap'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hex, join } from './hex.ts'

/** What writers write, byte by byte; and that readers read all of it. */

const ASK = hex('ffffffffffff 02000000000a 0806')
const TIME = 1_700_000_000_123_456_789n

/** The file that a writer writes. */
function written<W extends CaptureWriter>(
  Kind: new (sink: (chunk: Uint8Array) => void, options: PcapWriterOptions) => W,
  options: PcapWriterOptions,
  write: (writer: W) => void,
): Uint8Array {
  const chunks: Uint8Array[] = []
  const writer = new Kind((chunk) => chunks.push(chunk), options)
  write(writer)
  writer.flush()
  return join(...chunks)
}

describe('pcap', () => {
  const one = (options: PcapWriterOptions) =>
    written(PcapWriter, options, (w) => w.write({ time: TIME, data: ASK, length: 60 }))

  it('is little-endian and in nanoseconds unless told otherwise', () => {
    expect(one({})).toEqual(
      hex(`4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000
        00f15365 15cd5b07 0e000000 3c000000 ffffffffffff02000000000a0806`),
    )
  })

  it('is big-endian, in microseconds, of another link type and snaplen', () => {
    expect(one({ byteOrder: 'big', resolution: 'us', linkType: 101, snaplen: 64 })).toEqual(
      hex(`a1b2c3d4 0002 0004 00000000 00000000 00000040 00000065
        6553f100 0001e240 0000000e 0000003c ffffffffffff02000000000a0806`),
    )
  })

  it('cuts frames at the snaplen and says how long they were', () => {
    const file = written(PcapWriter, { snaplen: 64 }, (w) => w.write({ time: 0n, data: new Uint8Array(65).fill(7) }))
    expect(Array.from(openCapture(file))).toMatchObject([{ data: new Uint8Array(64).fill(7), length: 65 }])
  })

  it('has a header when nothing was written', () => {
    expect(Array.from(openCapture(written(PcapWriter, {}, () => {})))).toEqual([])
  })

  it('refuses times that 32 bits of seconds do not hold', () => {
    const write = (time: bigint) => written(PcapWriter, {}, (w) => w.write({ time, data: ASK }))
    expect(Array.from(openCapture(write(2n ** 32n * 1_000_000_000n - 1n)))[0]?.time).toBe(4_294_967_295_999_999_999n)
    expect(() => write(2n ** 32n * 1_000_000_000n)).toThrow('time must be from 0 to below')
    expect(() => write(-1n)).toThrow(RangeError)
  })

  it('checks lengths and settings', () => {
    expect(() => written(PcapWriter, {}, (w) => w.write({ time: 0n, data: ASK, length: 13 }))).toThrow('length')
    expect(() => written(PcapWriter, { snaplen: 63 }, () => {})).toThrow('snaplen')
    expect(() => written(PcapWriter, { linkType: 65_536 }, () => {})).toThrow('linkType')
    expect(() => written(PcapWriter, { chunk: -1 }, () => {})).toThrow('chunk')
  })
})

describe('pcapng', () => {
  const one = (options: CaptureWriterOptions) =>
    written(PcapngWriter, options, (w) =>
      w.write({
        time: TIME,
        data: ASK,
        length: 60,
        interface: w.interface('pod1'),
        direction: 'outbound',
        comments: ['Runt!'],
      }),
    )

  it('names interfaces, directions and comments, in nanoseconds', () => {
    expect(one({})).toEqual(
      hex(`0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000
        01000000 28000000 0100 0000 00000400
          0200 0400 706f6431 | if_name pod1 | 0900 0100 09 000000 | if_tsresol 10^-9 | 0000 0000 28000000
        06000000 48000000 00000000 fe9c9717 15cd853d 0e000000 3c000000 ffffffffffff02000000000a0806 0000
          0100 0500 52756e74 21 000000 | opt_comment Runt! | 0200 0400 02000000 | outbound | 0000 0000 48000000`),
    )
  })

  it('is big-endian where asked', () => {
    expect(one({ byteOrder: 'big' })).toEqual(
      hex(`0a0d0d0a 0000001c 1a2b3c4d 0001 0000 ffffffffffffffff 0000001c
        00000001 00000028 0001 0000 00040000 0002 0004 706f6431 0009 0001 09 000000 0000 0000 00000028
        00000006 00000048 00000000 17979cfe 3d85cd15 0000000e 0000003c ffffffffffff02000000000a0806 0000
          0001 0005 52756e74 21 000000 0002 0004 00000002 0000 0000 00000048`),
    )
  })

  it('writes times over all 64 bits', () => {
    for (const time of [0n, 1n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 2n]) {
      const file = written(PcapngWriter, {}, (w) => w.write({ time, data: ASK, interface: w.interface('a') }))
      expect(Array.from(openCapture(file))[0]?.time).toBe(time)
    }
  })

  it('describes interfaces of other link types', () => {
    const file = written(PcapngWriter, {}, (w) => {
      w.interface('tun0', { linkType: 101, description: 'raw IP' })
      w.write({ time: 0n, data: hex('4500') })
    })
    expect(Array.from(openCapture(file))[0]?.interface).toMatchObject({ linkType: 101, description: 'raw IP' })
  })

  it('refuses an interface that it was not told of, and a comment that does not fit', () => {
    expect(() => written(PcapngWriter, {}, (w) => w.write({ time: 0n, data: ASK }))).toThrow(
      'interface 0 is not one of 0',
    )
    expect(() =>
      written(PcapngWriter, {}, (w) => {
        w.write({ time: 0n, data: ASK, interface: w.interface('a'), comments: ['x'.repeat(65_536)] })
      }),
    ).toThrow('bytes of option 1 must be a whole number from 0 to 65535')
  })
})

describe('chunks', () => {
  it('come out when they are full, and are the sink’s to keep', () => {
    const chunks: Uint8Array[] = []
    const writer = new PcapWriter((chunk) => chunks.push(chunk), { chunk: 100 })
    for (let i = 0; i < 5; i++) writer.write({ time: 0n, data: new Uint8Array(30).fill(i) })
    writer.write({ time: 0n, data: new Uint8Array(500).fill(5) })
    writer.flush()
    writer.flush()
    expect(chunks.map((c) => c.length)).toEqual([24 + 46, 2 * 46, 2 * 46, 516])
    expect(Array.from(openCapture(join(...chunks)), (r) => r.data[0])).toEqual([0, 1, 2, 3, 4, 5])
  })

  it('are records where the chunk is 0', () => {
    const sizes: number[] = []
    const writer = new PcapWriter((chunk) => sizes.push(chunk.length), { chunk: 0 })
    writer.write({ time: 0n, data: ASK })
    expect(sizes).toEqual([24, 30])
  })

  it('pass on what the sink throws', () => {
    const full = () => {
      throw new Error('ENOSPC: no space left on device, write')
    }
    expect(() => new PcapWriter(full, { chunk: 0 })).toThrow('ENOSPC')
  })
})

const packet = fc.record({
  time: fc.bigInt({ min: 0n, max: 2n ** 32n * 1_000_000_000n - 1n }),
  data: fc.uint8Array({ maxLength: 300 }),
  more: fc.nat(100),
  interface: fc.nat(2),
  direction: fc.constantFrom(undefined, 'inbound' as const, 'outbound' as const),
  comments: fc.array(fc.string({ unit: 'grapheme', maxLength: 20 }), { maxLength: 3 }),
})
const settings = fc.record({ byteOrder: fc.constantFrom('little' as const, 'big' as const), chunk: fc.nat(2000) })

const back = (r: PacketRecord): PacketToWrite => ({
  time: r.time as bigint,
  data: r.data,
  length: r.length,
  interface: r.interface.id,
  direction: r.direction,
  comments: r.comments,
})

it('reads back from pcapng whatever was written', () => {
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 20 }), settings, (packets, options) => {
      const wanted = packets.map(({ more, ...p }) => ({ ...p, length: p.data.length + more }))
      const file = written(PcapngWriter, options, (w) => {
        for (const name of ['a', 'b', 'c']) w.interface(name)
        for (const p of wanted) w.write(p)
      })
      expect(Array.from(openCapture(file), back)).toEqual(wanted)
    }),
    { numRuns: 200 },
  )
})

it('reads back from pcap whatever it can carry', () => {
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 20 }), settings, fc.boolean(), (packets, options, micro) => {
      const wanted = packets.map(({ more, time, data }) => ({
        time: micro ? (time / 1000n) * 1000n : time,
        data,
        length: data.length + more,
        interface: 0,
        direction: undefined,
        comments: [],
      }))
      const file = written(PcapWriter, { ...options, resolution: micro ? 'us' : 'ns' }, (w) => {
        for (const p of wanted) w.write(p)
      })
      expect(Array.from(openCapture(file), back)).toEqual(wanted)
    }),
    { numRuns: 200 },
  )
})
