import { CaptureError, CaptureReader, PcapngWriter, PcapWriter } from '@l2l3/switch-core/pcap'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { join } from './hex.ts'

/**
 * Readers and hostile files: valid files with bytes changed, cut out, doubled and made up. Whatever comes, a reader
 * gives records or throws a CaptureError, ends, and holds no more than it was given.
 */

const collected = (write: (sink: (chunk: Uint8Array) => void) => PcapWriter | PcapngWriter) => {
  const chunks: Uint8Array[] = []
  write((chunk) => chunks.push(chunk)).flush()
  return join(...chunks)
}

const FILES = (['little', 'big'] as const).flatMap((byteOrder) => [
  collected((sink) => {
    const writer = new PcapWriter(sink, { byteOrder })
    for (let i = 0; i < 5; i++) writer.write({ time: BigInt(i) << 30n, data: new Uint8Array(20 * i).fill(i) })
    return writer
  }),
  collected((sink) => {
    const writer = new PcapngWriter(sink, { byteOrder })
    for (const name of ['web', 'db']) writer.interface(name, { description: 'a host' })
    for (let i = 0; i < 5; i++) {
      const data = new Uint8Array(20 * i).fill(i)
      writer.write({ time: BigInt(i) << 50n, data, interface: i & 1, direction: 'inbound', comments: ['why', `${i}`] })
    }
    return writer
  }),
])

/** Values that lengths and types are made of, which random bytes would hardly hit. */
const word = fc.constantFrom(
  0,
  1,
  2,
  3,
  5,
  6,
  12,
  16,
  20,
  28,
  32,
  0x0a0d0d0a,
  0x1a2b3c4d,
  2 ** 31,
  2 ** 32 - 4,
  2 ** 32 - 1,
)

const mutation = fc.oneof(
  fc.record({ what: fc.constant('byte' as const), at: fc.nat(), value: fc.nat(255) }),
  fc.record({ what: fc.constant('word' as const), at: fc.nat(), value: word, littleEndian: fc.boolean() }),
  fc.record({ what: fc.constant('cut' as const), at: fc.nat(), value: fc.nat(50) }),
  fc.record({ what: fc.constant('double' as const), at: fc.nat(), value: fc.nat(50) }),
)

function mutate(file: Uint8Array, how: typeof mutation extends fc.Arbitrary<infer M> ? M : never): Uint8Array {
  const bytes = file.slice()
  const at = how.at % (bytes.length + 1)
  if (how.what === 'byte' && at < bytes.length) bytes[at] = how.value
  if (how.what === 'word' && at + 4 <= bytes.length) {
    new DataView(bytes.buffer).setUint32(at & ~3, how.value, how.littleEndian)
  }
  if (how.what === 'cut') return join(bytes.subarray(0, at), bytes.subarray(at + how.value))
  if (how.what === 'double') return join(bytes.subarray(0, at + how.value), bytes.subarray(at))
  return bytes
}

/** Reads all of it in chunks; every record must fit in what was given. */
function survive(file: Uint8Array, chunk: number): void {
  const reader = new CaptureReader({ file: 'hostile' })
  let held = 0
  try {
    for (let at = 0; at < file.length; at += chunk) {
      reader.push(file.subarray(at, at + chunk))
      for (const record of reader) {
        held += record.data.length
        expect(record.position).toBeLessThan(file.length)
      }
      expect(reader.position).toBeLessThanOrEqual(file.length)
    }
    reader.end()
    reader.next()
  } catch (error) {
    if (!(error instanceof CaptureError)) throw error
    expect(error.position).toBeLessThanOrEqual(file.length)
    expect(error.message).toMatch(/^hostile: at byte \d+: ./)
  }
  expect(held).toBeLessThanOrEqual(file.length)
}

it('survives valid files that were spoilt', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...FILES),
      fc.array(mutation, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 500 }),
      (file, how, chunk) => survive(how.reduce(mutate, file), chunk),
    ),
    { numRuns: 5000 },
  )
})

it('survives every word of a valid file being every suspicious value', () => {
  for (const file of FILES) {
    for (let at = 0; at < file.length; at += 4) {
      for (const value of [0, 1, 3, 4, 12, 16, 0x0a0d0d0a, 0x7fffffff, 0xfffffffc, 0xffffffff]) {
        for (const littleEndian of [true, false]) survive(mutate(file, { what: 'word', at, value, littleEndian }), 1000)
      }
    }
  }
})

it('survives noise behind a valid beginning', () => {
  fc.assert(
    fc.property(fc.constantFrom(...FILES), fc.nat(60), fc.uint8Array({ maxLength: 400 }), (file, head, noise) => {
      survive(join(file.subarray(0, head), noise), 64)
    }),
    { numRuns: 2000 },
  )
})

it('does not believe a length before the bytes have come', () => {
  gc?.()
  const before = process.memoryUsage().arrayBuffers
  const readers: CaptureReader[] = []
  for (const file of FILES) {
    for (let at = 4; at < 60; at += 4) {
      const reader = new CaptureReader({ maxRecord: 1 << 24 })
      reader.push(
        mutate(file, { what: 'word', at, value: 1 << 24, littleEndian: file[8] !== 0x1a && file[0] !== 0xa1 }),
      )
      try {
        for (const _ of reader);
      } catch (error) {
        if (!(error instanceof CaptureError)) throw error
      }
      readers.push(reader)
    }
  }
  expect(readers.length).toBe(56)
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 << 20)
})

it('passes over a block of 4 GiB without holding it', () => {
  const reader = new CaptureReader()
  reader.push((FILES[1] as Uint8Array).subarray(0, 28))
  reader.push(Uint8Array.of(0x99, 0, 0, 0, 0xfc, 0xff, 0xff, 0xff, 0, 0, 0, 0))
  expect(reader.next()).toBe(undefined)
  gc?.()
  const before = process.memoryUsage().arrayBuffers
  const chunk = new Uint8Array(1 << 24)
  for (let i = 0; i < 255; i++) {
    reader.push(chunk)
    expect(reader.next()).toBe(undefined)
  }
  expect(reader.position).toBe(28 + 12 + 255 * 2 ** 24)
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 25)
})
