import { CaptureError, CaptureReader, detectCapture, openCapture, type PacketRecord } from '@l2l3/switch-core/pcap'
import { describe, expect, it } from 'vitest'
import { hex, join } from './hex.ts'

/** Capture files written out byte by byte, and what they say. */

/* web (02:00:00:00:00:0a) asks all for db; 14 bytes of it are enough here. */
const ASK = hex('ffffffffffff 02000000000a 0806')
const TIME = 1_700_000_000_000_000_000n // 0x6553f100 s

const PCAP = {
  'little-endian microseconds': hex(`
    d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000
    00f15365 40e20100 0e000000 3c000000 ffffffffffff02000000000a0806`),
  'big-endian microseconds': hex(`
    a1b2c3d4 0002 0004 00000000 00000000 00040000 00000001
    6553f100 0001e240 0000000e 0000003c ffffffffffff02000000000a0806`),
  'little-endian nanoseconds': hex(`
    4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000
    00f15365 00ca5b07 0e000000 3c000000 ffffffffffff02000000000a0806`),
  'big-endian nanoseconds': hex(`
    a1b23c4d 0002 0004 00000000 00000000 00040000 00000001
    6553f100 075bca00 0000000e 0000003c ffffffffffff02000000000a0806`),
}

const read = (bytes: Uint8Array) => Array.from(openCapture(bytes))

/** The error that reading the bytes ends with. */
function malformed(bytes: Uint8Array, file = 'web.pcap'): CaptureError {
  try {
    for (const _ of openCapture(bytes, { file }));
  } catch (error) {
    if (error instanceof CaptureError) return error
    throw error
  }
  throw new Error('the file was read without an error')
}

describe('pcap', () => {
  it.each(Object.entries(PCAP))('reads %s', (_, bytes) => {
    const reader = openCapture(bytes)
    expect(reader.format).toBe('pcap')
    const [record, ...rest] = Array.from(reader)
    expect(rest).toEqual([])
    expect(record).toEqual({
      time: TIME + 123_456_000n,
      data: ASK,
      length: 60,
      interface: { id: 0, section: 0, name: undefined, description: undefined, linkType: 1, snaplen: 262_144, fcs: 0 },
      direction: undefined,
      comments: [],
      position: 24,
    })
    expect(reader.done).toBe(true)
  })

  it('keeps link types that it does not know, and says where frames end with a check sequence', () => {
    const header = (link: string) => hex(`d4c3b2a1 0200 0400 00000000 00000000 ffff0000 ${link} ${'00'.repeat(16)}`)
    expect(read(header('65000000'))[0]?.interface).toMatchObject({ linkType: 101, fcs: 0 })
    expect(read(header('71000000'))[0]?.interface).toMatchObject({ linkType: 113, fcs: 0 })
    // Bit 26: the top four bits count 16-bit words of FCS.
    expect(read(header('01000024'))[0]?.interface).toMatchObject({ linkType: 1, fcs: 4 })
  })

  it('reads a file without records', () => {
    expect(read(PCAP['big-endian nanoseconds'].subarray(0, 24))).toEqual([])
  })

  it('names file, position and cause of what is wrong', () => {
    const good = PCAP['little-endian microseconds']
    const claim = good.slice()
    claim.set(hex('ffffffff'), 32)
    const error = malformed(claim)
    expect(error.message).toBe(
      'web.pcap: at byte 32: the record claims 4294967295 captured bytes; at most 262144 are taken',
    )
    expect(error).toMatchObject({ name: 'CaptureError', file: 'web.pcap', position: 32 })

    const old = good.slice()
    old[4] = 1
    expect(malformed(old).message).toBe('web.pcap: at byte 4: pcap version 1.4 is not read, only 2.4')
    expect(malformed(hex('474554202f20485454502f312e31')).message).toBe(
      'web.pcap: at byte 0: neither pcap nor pcapng: the file begins with 47455420',
    )
  })

  it.each([
    [0, 0, 'the file ends within its first four bytes'],
    [3, 3, 'the file ends within its first four bytes'],
    [4, 4, 'the file ends within the file header'],
    [23, 23, 'the file ends within the file header'],
    [25, 25, 'the file ends within a record header'],
    [40, 40, 'the file ends within a record of 14 bytes'],
    [53, 53, 'the file ends within a record of 14 bytes'],
  ])('says what a file of %i bytes ends within', (length, position, reason) => {
    expect(malformed(PCAP['little-endian microseconds'].subarray(0, length))).toMatchObject({ position, reason })
  })

  it('gives the records before the place that is wrong, and the same error ever after', () => {
    const good = PCAP['little-endian microseconds']
    const reader = openCapture(join(good, good.subarray(24), hex('0000')), { file: 'web.pcap' })
    expect(reader.next()?.position).toBe(24)
    expect(reader.next()?.position).toBe(54)
    for (let i = 0; i < 2; i++) {
      expect(() => reader.next()).toThrow('web.pcap: at byte 86: the file ends within a record header')
    }
  })
})

/* Blocks of a little-endian section; each names itself and its length twice. */
const SHB = '0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000'
const IDB = '01000000 14000000 0100 0000 00000400 14000000'
/** An Enhanced Packet Block on interface `id` (8 digits) at a time (16 digits, high word first) with 14 bytes. */
const epb = (id: string, time: string) =>
  `06000000 30000000 ${id} ${time} 0e000000 0e000000 ffffffffffff02000000000a0806 0000 30000000`

describe('pcapng', () => {
  it('reads names, resolution, direction and comments', () => {
    const [record, ...rest] = read(
      hex(`${SHB}
      01000000 30000000 0100 0000 00000400 | interface |
        0200 0400 706f6431                 | if_name pod1 |
        0300 0300 766d31 00                | if_description vm1 |
        0900 0100 09 000000                | if_tsresol 10^-9 |
        0000 0000                          | end |
      30000000
      06000000 54000000 00000000 fe9c9717 00002a36 0e000000 3c000000
        ffffffffffff02000000000a0806 0000
        0100 0500 52756e74 21 000000       | opt_comment Runt! |
        0200 0400 02000000                 | epb_flags outbound |
        0100 0600 7a77c3b669 21 0000       | opt_comment zwöi! |
        0000 0000
      54000000`),
    )
    expect(rest).toEqual([])
    expect(record).toMatchObject({
      time: TIME,
      data: ASK,
      length: 60,
      interface: { id: 0, section: 0, name: 'pod1', description: 'vm1', linkType: 1, snaplen: 262_144 },
      direction: 'outbound',
      comments: ['Runt!', 'zwöi!'],
      position: 76,
    })
  })

  it.each([
    // tsresol 10^-6: 1,700,000,000.123456 s
    ['microseconds where nothing is said', '', 1_700_000_000_123_456n, TIME + 123_456_000n],
    ['seconds', '0900 0100 00 000000', 1_700_000_000n, TIME],
    ['milliseconds', '0900 0100 03 000000', 1_700_000_000_123n, TIME + 123_000_000n],
    ['picoseconds', '0900 0100 0c 000000', 1_700_000_000_123_456n, 1_700_000_000_123n],
    ['1/1024 s', '0900 0100 8a 000000', 1_700_000_000n * 1024n + 256n, TIME + 250_000_000n],
    ['2^-32 s', '0900 0100 a0 000000', (1_700_000_000n << 32n) + (1n << 31n), TIME + 500_000_000n],
    ['2^0 s', '0900 0100 80 000000', 1_700_000_000n, TIME],
    ['an offset of a day', '0e00 0800 8051010000000000', 1_000_000n, 86_401_000_000_000n],
    ['an offset of minus one second', '0e00 0800 ffffffffffffffff', 2_000_000n, 1_000_000_000n],
    ['the last microsecond that 64 bits hold', '', 2n ** 64n - 1n, (2n ** 64n - 1n) * 1000n],
  ])('reads times: %s', (_, option, units, time) => {
    const total = (20 + hex(option).length).toString(16)
    const idb = `01000000 ${total}000000 0100 0000 00000400 ${option} ${total}000000`
    const words = new DataView(new ArrayBuffer(8))
    words.setUint32(0, Number(units >> 32n), true)
    words.setUint32(4, Number(units & 0xffffffffn), true)
    const digits = Array.from(new Uint8Array(words.buffer), (b) => b.toString(16).padStart(2, '0')).join('')
    expect(read(hex(SHB + idb + epb('00000000', digits)))[0]?.time).toBe(time)
  })

  it('reads several sections of either byte order, each with interfaces of its own', () => {
    const big = `0a0d0d0a 0000001c 1a2b3c4d 0001 0000 ffffffffffffffff 0000001c
      00000001 00000020 0065 0000 00000000 0002 0003 646232 00 0000 0000 00000020
      00000006 00000024 00000000 00000000 0000000a 00000002 00000002 4500 0000 00000024`
    const records = read(
      hex(`${SHB}${IDB}${IDB}${epb('01000000', '0000000001000000')}${big}${SHB}${IDB}
      ${epb('00000000', '0000000002000000')}`),
    )
    expect(records.map(({ time, interface: on }) => [time, on.section, on.id, on.name, on.linkType])).toEqual([
      [1000n, 0, 1, undefined, 1],
      [10_000n, 1, 0, 'db2', 101],
      [2000n, 2, 0, undefined, 1],
    ])
    expect(records[1]?.data).toEqual(hex('4500'))
  })

  it('reads Simple Packet Blocks, which have no time and are cut at the snaplen', () => {
    const idb = '01000000 14000000 0100 0000 05000000 14000000'
    const spb = '03000000 18000000 3c000000 ffffffffff 000000 18000000'
    expect(read(hex(SHB + idb + spb))).toMatchObject([{ time: undefined, data: hex('ffffffffff'), length: 60 }])
  })

  it('reads the obsolete Packet Block', () => {
    const pb = `02000000 38000000 0000 0700 00000000 05000000 0e000000 0e000000
      ffffffffffff02000000000a0806 0000 0200 0400 01000000 38000000`
    expect(read(hex(SHB + IDB + pb))).toMatchObject([{ time: 5000n, data: ASK, length: 14, direction: 'inbound' }])
  })

  it('passes over blocks that it does not know, of any length', () => {
    const unknown = join(hex('ad0b0000 b8880100'), new Uint8Array(100_524), hex('b8880100'))
    const file = join(hex(SHB), unknown, hex(IDB), unknown, hex(epb('00000000', '0000000001000000')), unknown)
    expect(read(file).map((r) => r.position)).toEqual([28 + 100_536 + 20 + 100_536])
  })

  it.each([
    ['a first block without byte order', '0a0d0d0a 1c000000 11223344', 8, 'no byte-order magic'],
    [
      'version 2',
      '0a0d0d0a 1c000000 4d3c2b1a 0200 0000 ffffffffffffffff 1c000000',
      12,
      'pcapng version 2.0 is not read',
    ],
    ['a section header too short', '0a0d0d0a 18000000 4d3c2b1a 0100 0000 ffffffff 18000000', 4, 'has the length 24'],
    ['a length that is no multiple of 4', `${SHB} 01000000 15000000 00000000`, 32, 'has the length 21'],
    ['a length of 0', `${SHB} 99000000 00000000 00000000`, 32, 'has the length 0'],
    [
      'two lengths',
      `${SHB} 01000000 14000000 0100 0000 00000400 18000000`,
      44,
      'ends with the length 24 and began with 20',
    ],
    ['two lengths of a block passed over', `${SHB} 99000000 10000000 00000000 11000000`, 40, 'ends with the length 17'],
    ['a block of 4 GiB', `${SHB} 06000000 fcffffff 00000000`, 32, 'claims 4294967292 bytes; at most 1310720 are taken'],
    ['a packet without interface', `${SHB}${epb('00000000', '0000000000000000')}`, 36, 'has described 0'],
    ['a simple packet without interface', `${SHB} 03000000 10000000 00000000 10000000`, 28, 'has described 0'],
    [
      'a packet longer than its block',
      `${SHB}${IDB}${epb('00000000', '0000000000000000').replace('0e000000', '13000000')}`,
      68,
      'claims 19 captured bytes, its block has 16',
    ],
    [
      'a simple packet longer than its block',
      `${SHB}${IDB} 03000000 10000000 01000000 10000000`,
      56,
      'claims 1 captured bytes, its block has 0',
    ],
    [
      'an option longer than its block',
      `${SHB} 01000000 18000000 0100 0000 00000400 0200 0100 18000000`,
      44,
      'option 2 claims 1 bytes, of which the block has 0',
    ],
    [
      'a resolution of two bytes',
      `${SHB} 01000000 1c000000 0100 0000 00000400 0900 0200 09090000 1c000000`,
      46,
      'if_tsresol has 2 bytes, not 1',
    ],
  ])('finds %s', (_, text, position, reason) => {
    const error = malformed(hex(text), 'pod1.pcapng')
    expect(error.message).toContain(reason)
    expect(error.message).toMatch(new RegExp(`^pod1.pcapng: at byte ${position}: `))
  })

  it('says what a file ends within, wherever it was cut', () => {
    const file = hex(`${SHB}${IDB} 99000000 10000000 00000000 10000000 ${epb('00000000', '0000000001000000')}`)
    const ends = new Set([28, 48, 64, file.length])
    for (let n = 0; n <= file.length; n++) {
      if (ends.has(n)) expect(() => read(file.subarray(0, n)), `${n} bytes`).not.toThrow()
      else expect(malformed(file.subarray(0, n)), `${n} bytes`).toMatchObject({ position: n })
    }
  })
})

describe('a stream', () => {
  const big = hex(`${SHB}${IDB}${epb('00000000', '0000000001000000')}${IDB} 99000000 10000000 00000000 10000000
    ${epb('01000000', '0000000002000000')}`)

  it.each([...Object.values(PCAP), big].map((file, i) => [i, file] as const))('of single bytes, file %i', (_, file) => {
    const reader = new CaptureReader()
    const records: PacketRecord[] = []
    for (let i = 0; i < file.length; i++) {
      const chunk = file.slice(i, i + 1)
      reader.push(chunk)
      chunk.fill(0xee) // the chunk is the program's again
      records.push(...reader)
      expect(reader.done).toBe(false)
    }
    reader.end()
    expect(reader.next()).toBe(undefined)
    expect(reader.done).toBe(true)
    expect(records).toEqual(read(file))
    expect(() => reader.push(file)).toThrow('after the end')
  })

  it('is taken from its source only as far as records are wanted', () => {
    let taken = 0
    const source = (function* () {
      for (let at = 0; at < big.length; at += 4) {
        taken += 4
        yield big.subarray(at, at + 4)
      }
    })()
    const reader = openCapture(source)
    expect([reader.format, taken]).toEqual(['pcapng', 4])
    expect(reader.peek()?.time).toBe(1000n)
    expect(reader.next()?.time).toBe(1000n)
    expect(taken).toBe(28 + 20 + 48)
    expect(reader.interfaces.length).toBe(1)
    expect(reader.next()?.time).toBe(2000n)
    expect(reader.interfaces.length).toBe(2)
  })

  it('passes on what its source throws', () => {
    const source = (function* () {
      yield big.subarray(0, 60)
      throw new Error('EIO: i/o error, read')
    })()
    const reader = openCapture(source)
    expect(() => reader.next()).toThrow('EIO')
  })
})

it('recognises formats by four bytes', () => {
  expect(Object.values(PCAP).map((file) => detectCapture(file))).toEqual(['pcap', 'pcap', 'pcap', 'pcap'])
  expect(detectCapture(hex('0a0d0d0a'))).toBe('pcapng')
  expect(detectCapture(hex('0a0d0d'))).toBe(undefined)
  expect(detectCapture(hex('1f8b0800'))).toBe(undefined)
})

it('checks its settings', () => {
  expect(() => new CaptureReader({ maxRecord: 63 })).toThrow('maxRecord must be a whole number from 64 to 16777216')
})
