/**
 * What does it cost to read the headers of a frame, and to sum up its bytes, on one core?
 *
 * One variant a process, as in `switch-in-memory.ts`; prints one JSON line.
 *
 *   parse           Ethernet, IPv4 and UDP of 64-byte frames by the codecs: lengths checked, type, protocol, addresses, ports
 *   parse-bare      the same fields read from a DataView at fixed offsets, without a check
 *   checksum        RFC 1071 over 1,460 bytes of a pool's DataView
 *   checksum-bare   the same, two bytes at a time
 */
import { checksum, eth, ipv4, udp } from '@l2l3/switch-core/wire'
import { Bench } from 'tinybench'

interface Variant {
  readonly kind: 'parse' | 'parse-bare' | 'checksum' | 'checksum-bare'
  /** Milliseconds of measuring. */
  readonly time: number
}

const { kind, time } = JSON.parse(process.argv[2] ?? '{}') as Variant
const FRAMES = 1024
const SLOT = 1536
const SUMMED = 1460
const bytes = new Uint8Array(FRAMES * SLOT + 64)
const data = new DataView(bytes.buffer)
for (let i = 0; i < bytes.length; i++) bytes[i] = Math.imul(i, 0x9e3779b1) >>> 24
for (let i = 0; i < FRAMES; i++) {
  // A frame starts at 2 modulo 4, as in a pool.
  const o = i * SLOT + 2
  bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0], o)
  const l4 = ipv4.write(bytes, o + 14, { src: 0x0a000000 + i, dst: 0x0a010000 + i, protocol: 17, payload: 30 })
  udp.write(bytes, l4, 1024 + i, 53, 22)
}

/** Somewhere for results to go, so that no work is left out. */
const sink = new Float64Array(1)

const work: Record<Variant['kind'], () => void> = {
  parse() {
    let sum = 0
    for (let i = 0, o = 2; i < FRAMES; i++, o += SLOT) {
      const end = o + 64
      if (!eth.fits(o, end) || eth.type(bytes, o) !== 0x0800) continue
      const ip = o + 14
      const l4 = ipv4.check(bytes, ip, end)
      if (l4 < 0 || ipv4.isFragment(bytes, ip) || ipv4.protocol(bytes, ip) !== 17) continue
      if (udp.check(bytes, l4, end) < 0) continue
      sum += (ipv4.src(bytes, ip) ^ ipv4.dst(bytes, ip)) + udp.srcPort(bytes, l4) + udp.dstPort(bytes, l4)
    }
    if (sum === 0) throw new Error('nothing was parsed')
    sink[0] = sum
  },
  'parse-bare'() {
    let sum = 0
    for (let i = 0, o = 2; i < FRAMES; i++, o += SLOT) {
      if (data.getUint16(o + 12, true) !== 8 || data.getUint8(o + 23) !== 17) continue
      sum += data.getInt32(o + 26, true) ^ data.getInt32(o + 30, true)
      sum += data.getUint16(o + 34, true) + data.getUint16(o + 36, true)
    }
    if (sum === 0) throw new Error('nothing was parsed')
    sink[0] = sum
  },
  checksum() {
    let sum = 0
    for (let i = 0, o = 2; i < FRAMES; i++, o += SLOT) sum ^= checksum.checksum(data, o, o + SUMMED)
    sink[0] = sum
  },
  'checksum-bare'() {
    let all = 0
    for (let i = 0, o = 2; i < FRAMES; i++, o += SLOT) {
      let sum = 0
      for (let k = o; k < o + SUMMED; k += 2) sum += data.getUint16(k)
      sum = (sum & 0xffff) + (sum >>> 16)
      all ^= ~(sum + (sum >>> 16)) & 0xffff
    }
    sink[0] = all
  },
}

const run = work[kind]
for (let i = 0; i < 200; i++) run()
const bench = new Bench({ time, warmupTime: 50 })
bench.add(kind, run)
await bench.run()
const result = bench.tasks[0]?.result
if (result?.state !== 'completed') throw new Error(`bench: ${JSON.stringify(result)}`)
process.stdout.write(`${JSON.stringify({ kind, ns: (result.latency.p50 * 1e6) / FRAMES })}\n`)
