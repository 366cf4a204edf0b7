/**
 * What does it cost to read the headers of a frame, and to sum up its bytes, on one core?
 *
 * One variant a process, as in `switch-in-memory.ts`; prints one JSON line. Frames lie in the arena of a pool, as many as there are
 * in rings of receive buffers.
 *
 *   parse           Ethernet, IPv4 and UDP of 64-byte frames in one pass (`classifier`), which checks all lengths; then addresses
 *                   and ports, by the pool's DataView
 *   parse-codecs    the same header by header, by the functions that each codec has for its own, over bytes
 *   parse-bare      the same fields read from a DataView at fixed offsets, without a check of lengths
 *   checksum        RFC 1071 over 1,460 bytes
 *   checksum-js     the same of memory that is no pool's, by JavaScript
 *   checksum-bare   the same, two bytes at a time
 */
import { FramePool } from '@l2l3/switch-core'
import { checksum, classifier, Depth, eth, ipv4, Layers, udp } from '@l2l3/switch-core/wire'
import { Bench } from 'tinybench'

interface Variant {
  readonly kind: 'parse' | 'parse-codecs' | 'parse-bare' | 'checksum' | 'checksum-js' | 'checksum-bare'
  /** Milliseconds of measuring. */
  readonly time: number
}

const { kind, time } = JSON.parse(process.argv[2] ?? '{}') as Variant
const FRAMES = 256
const SUMMED = 1460
const pool = new FramePool({ frames: FRAMES })
const { bytes, off, len } = pool
const data = kind === 'checksum-js' ? new DataView(new ArrayBuffer(bytes.length)) : pool.data
for (let i = 0; i < bytes.length; i++) data.setUint8(i, Math.imul(i, 0x9e3779b1) >>> 24)
const rows = new Uint32Array(FRAMES)
pool.allocAll(rows, FRAMES)
for (let i = 0; i < FRAMES; i++) {
  const o = off[rows[i] as number] as number
  bytes.set([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0], o)
  const l4 = ipv4.write(bytes, o + 14, { src: 0x0a000000 + i, dst: 0x0a010000 + i, protocol: 17, payload: 30 })
  udp.write(bytes, l4, 1024 + i, 53, 22)
  len[rows[i] as number] = 64
}

/** Somewhere for results to go, so that no work is left out. */
const sink = new Float64Array(1)
// By themselves, as modules of the packages have them: the bundler makes a getter of each name behind `ipv4`.
const { fits, type } = eth
const { check, isFragment, protocol, src, dst, SRC: IP_SRC, DST: IP_DST } = ipv4
const { check: checkUdp, srcPort, dstPort, DST_PORT } = udp
const layers = new Layers()
const parse = classifier(pool)

const work: Record<Variant['kind'], () => void> = {
  parse() {
    let sum = 0
    for (let i = 0; i < FRAMES; i++) {
      if (parse(rows[i] as number, layers) !== Depth.Transport || layers.protocol !== 17) continue
      const { l3, l4 } = layers
      sum += data.getInt32(l3 + IP_SRC, false) ^ data.getInt32(l3 + IP_DST, false)
      sum += data.getUint16(l4, false) + data.getUint16(l4 + DST_PORT, false)
    }
    if (sum === 0) throw new Error('nothing was parsed')
    sink[0] = sum
  },
  'parse-codecs'() {
    let sum = 0
    for (let i = 0; i < FRAMES; i++) {
      const f = rows[i] as number
      const o = off[f] as number
      const end = o + (len[f] as number)
      if (!fits(o, end) || type(bytes, o) !== 0x0800) continue
      const ip = o + 14
      const l4 = check(bytes, ip, end)
      if (l4 < 0 || isFragment(bytes, ip) || protocol(bytes, ip) !== 17) continue
      if (checkUdp(bytes, l4, end) < 0) continue
      sum += (src(bytes, ip) ^ dst(bytes, ip)) + srcPort(bytes, l4) + dstPort(bytes, l4)
    }
    if (sum === 0) throw new Error('nothing was parsed')
    sink[0] = sum
  },
  'parse-bare'() {
    let sum = 0
    for (let i = 0; i < FRAMES; i++) {
      const o = off[rows[i] as number] as number
      if (data.getUint16(o + 12, true) !== 8 || data.getUint8(o + 23) !== 17) continue
      sum += data.getInt32(o + 26, true) ^ data.getInt32(o + 30, true)
      sum += data.getUint16(o + 34, true) + data.getUint16(o + 36, true)
    }
    if (sum === 0) throw new Error('nothing was parsed')
    sink[0] = sum
  },
  checksum: sums,
  'checksum-js': sums,
  'checksum-bare'() {
    let all = 0
    for (let i = 0; i < FRAMES; i++) {
      const o = off[rows[i] as number] as number
      let sum = 0
      for (let k = o; k < o + SUMMED; k += 2) sum += data.getUint16(k)
      sum = (sum & 0xffff) + (sum >>> 16)
      all ^= ~(sum + (sum >>> 16)) & 0xffff
    }
    sink[0] = all
  },
}

function sums(): void {
  let sum = 0
  for (let i = 0; i < FRAMES; i++) {
    const o = off[rows[i] as number] as number
    sum ^= checksum.checksum(data, o, o + SUMMED)
  }
  sink[0] = sum
}

const run = work[kind]
for (let i = 0; i < 800; i++) run()
const bench = new Bench({ time, warmupTime: 50 })
bench.add(kind, run)
await bench.run()
const result = bench.tasks[0]?.result
if (result?.state !== 'completed') throw new Error(`bench: ${JSON.stringify(result)}`)
process.stdout.write(`${JSON.stringify({ kind, ns: (result.latency.p50 * 1e6) / FRAMES })}\n`)
