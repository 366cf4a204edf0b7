import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Batch } from '../../src/batch.ts'
import { type Frame, FramePool, MAX_FRAME } from '../../src/frame-pool.ts'
import { finish } from '../../src/offload.ts'
import {
  arp,
  classify,
  Depth,
  eth,
  formatIpv4,
  formatIpv6,
  formatMac,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  Layers,
  put16,
  tcp,
  udp,
} from '../../src/wire/index.ts'
import { type Shape, superFrame } from '../offload/super-frames.ts'
import { hex, show } from './hex.ts'

/* What we write, tshark reads, and finds every checksum right. */

const tshark = spawnSync('tshark', ['--version']).status === 0

/** Dissects frames: one list of values per frame, in the order of `fields`. */
function dissect(frames: readonly Uint8Array[], fields: readonly string[]): string[][] {
  const dir = mkdtempSync(join(tmpdir(), 'wire-'))
  const header = Buffer.from(hex('d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000'))
  const records = frames.flatMap((b) => {
    const r = Buffer.alloc(16)
    r.writeUInt32LE(b.length, 8)
    r.writeUInt32LE(b.length, 12)
    return [r, Buffer.from(b)]
  })
  try {
    writeFileSync(join(dir, 'a.pcap'), Buffer.concat([header, ...records]))
    const options = ['ip.check_checksum', 'tcp.check_checksum', 'udp.check_checksum'].flatMap((o) => [
      '-o',
      `${o}:TRUE`,
    ])
    const names = fields.flatMap((f) => ['-e', f])
    const args = ['-r', join(dir, 'a.pcap'), '-n', ...options, '-T', 'fields', '-E', 'occurrence=f', ...names]
    const run = spawnSync('tshark', args, { encoding: 'utf8', maxBuffer: 1 << 26 })
    expect(run.status, run.stderr).toBe(0)
    return run.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => line.split('\t'))
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const STATUS = [
  'ip.checksum.status',
  'tcp.checksum.status',
  'udp.checksum.status',
  'icmp.checksum.status',
  'icmpv6.checksum.status',
]
const BAD = '0'
const GOOD = '1'

const mac = fc.uint8Array({ minLength: 6, maxLength: 6 }).map((b) => b.map((x, i) => (i === 0 ? x & 0xfe : x)))
const ip6 = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((b) => b.map((x, i) => (i === 0 ? 0x20 : i === 1 ? 1 : x)))
const fields = fc.record({
  dst: mac,
  src: mac,
  from: fc.nat(0xdfffffff),
  to: fc.nat(0xdfffffff),
  from6: ip6,
  to6: ip6,
  ports: fc.tuple(fc.integer({ min: 40000, max: 41000 }), fc.integer({ min: 50000, max: 51000 })),
  seq: fc.nat(0xffffffff),
  ttl: fc.integer({ min: 1, max: 255 }),
  tos: fc.nat(255),
  id: fc.nat(0xffff),
  flags: fc.constantFrom(0x02, 0x10, 0x18, 0x11, 0x04),
  data: fc.uint8Array({ minLength: 1, maxLength: 200 }),
  mss: fc.integer({ min: 536, max: 9000 }),
})
type Fields = typeof fields extends fc.Arbitrary<infer T> ? T : never

function ip(b: Uint8Array, h: Fields, version: number, protocol: number, payload: number): number {
  const at = eth.write(b, 0, h.dst, h.src, version === 4 ? eth.EtherType.IPv4 : eth.EtherType.IPv6)
  return version === 4
    ? ipv4.write(b, at, { src: h.from, dst: h.to, protocol, payload, id: h.id, ttl: h.ttl, tos: h.tos })
    : ipv6.write(b, at, {
        src: h.from6,
        dst: h.to6,
        nextHeader: protocol,
        payload,
        hopLimit: h.ttl,
        trafficClass: h.tos,
        flowLabel: h.id,
      })
}

function udpFrame(h: Fields, version: number): Uint8Array {
  const b = new Uint8Array(400)
  const o = ip(b, h, version, 17, 8 + h.data.length)
  const data = udp.write(b, o, h.ports[0], h.ports[1], h.data.length)
  b.set(h.data, data)
  udp.fillChecksum(b, 14, o)
  return b.slice(0, data + h.data.length)
}

function tcpFrame(h: Fields, version: number): Uint8Array {
  const b = new Uint8Array(400)
  const options = new Uint8Array([1, 2, 4, h.mss >> 8, h.mss])
  const o = ip(b, h, version, 6, 28 + h.data.length)
  const head = { srcPort: h.ports[0], dstPort: h.ports[1], seq: h.seq, ack: 7, flags: h.flags, window: h.id, options }
  const data = tcp.write(b, o, head)
  b.set(h.data, data)
  const end = data + h.data.length
  tcp.fillChecksum(b, 14, o, end)
  return b.slice(0, end)
}

function echoFrame(h: Fields, version: number): Uint8Array {
  const b = new Uint8Array(400)
  const rest = ((h.id << 16) | 5) >>> 0
  const o = ip(b, h, version, version === 4 ? 1 : 58, 8 + h.data.length)
  const data = (version === 4 ? icmp : icmpv6).write(b, o, version === 4 ? 8 : 128, 0, rest)
  b.set(h.data, data)
  const end = data + h.data.length
  if (version === 4) icmp.fillChecksum(b, o, end)
  else icmpv6.fillChecksum(b, 14, o, end)
  return b.slice(0, end)
}

function ndFrame(h: Fields): Uint8Array {
  const b = new Uint8Array(86)
  const o = ip(b, { ...h, ttl: 255 }, 6, 58, 32)
  icmpv6.writeNa(b, o, h.to6, h.src, icmpv6.NaFlag.Solicited)
  icmpv6.fillChecksum(b, 14, o, 86)
  return b
}

function arpFrame(h: Fields): Uint8Array {
  const b = new Uint8Array(42)
  const o = eth.write(b, 0, h.dst, h.src, eth.EtherType.Arp)
  arp.write(b, o, arp.Op.Reply, h.src, h.from, h.dst, h.to)
  return b
}

const samples = fc.sample(fields, { numRuns: 60, seed: 7 })
const reason = tshark ? '' : ' (skipped: no tshark)'

test.skipIf(!tshark)(`tshark reads the fields that were written${reason}`, () => {
  const frames = samples.flatMap((h) => [udpFrame(h, 4), tcpFrame(h, 4), echoFrame(h, 4), arpFrame(h)])
  const names = ['eth.dst', 'eth.src', 'ip.src', 'ip.dst', 'ip.ttl', 'ip.id', 'ip.dsfield', 'udp.srcport', 'udp.length']
  names.push('tcp.dstport', 'tcp.seq_raw', 'tcp.flags', 'tcp.window_size_value', 'tcp.options.mss_val')
  names.push('icmp.ident', 'icmp.seq', 'arp.opcode', 'arp.src.proto_ipv4', 'arp.dst.hw_mac', ...STATUS)
  const rows = dissect(frames, names)
  const x = (n: number, digits: number) => `0x${n.toString(16).padStart(digits, '0')}`
  const expected = samples.flatMap((h) => {
    const macs = [formatMac(h.dst), formatMac(h.src)]
    const ips = [formatIpv4(h.from), formatIpv4(h.to), `${h.ttl}`, x(h.id, 4), x(h.tos, 2)]
    const none = (n: number) => new Array<string>(n).fill('')
    const head = [`${h.ports[1]}`, `${h.seq}`, x(h.flags, 4), `${h.id}`, `${h.mss}`]
    return [
      [...macs, ...ips, `${h.ports[0]}`, `${8 + h.data.length}`, ...none(10), GOOD, '', GOOD, '', ''],
      [...macs, ...ips, '', '', ...head, ...none(5), GOOD, GOOD, '', '', ''],
      [...macs, ...ips, ...none(7), `${h.id}`, '5', ...none(3), GOOD, '', '', GOOD, ''],
      [...macs, ...none(14), '2', formatIpv4(h.from), formatMac(h.dst), ...none(5)],
    ]
  })
  expect(rows).toEqual(expected)
})

test.skipIf(!tshark)(`over IPv6 too, and a wrong bit does not escape it${reason}`, () => {
  const frames = samples.flatMap((h) => [udpFrame(h, 6), tcpFrame(h, 6), echoFrame(h, 6), ndFrame(h)])
  const names = ['ipv6.src', 'ipv6.dst', 'ipv6.hlim', 'ipv6.tclass.dscp', 'icmpv6.nd.na.target_address', ...STATUS]
  const rows = dissect(frames, names)
  const expected = samples.flatMap((h) => {
    const ips = (hops: number) => [formatIpv6(h.from6), formatIpv6(h.to6), `${hops}`, `${h.tos >> 2}`]
    return [
      [...ips(h.ttl), '', '', '', GOOD, '', ''],
      [...ips(h.ttl), '', '', GOOD, '', '', ''],
      [...ips(h.ttl), '', '', '', '', '', GOOD],
      [...ips(255), formatIpv6(h.to6), '', '', '', '', GOOD],
    ]
  })
  expect(rows).toEqual(expected)
  const [good] = samples
  const wrong = udpFrame(good as Fields, 6)
  put16(wrong, 14 + 40 + 6, 0x1234)
  expect(dissect([wrong], STATUS)).toEqual([['', '', BAD, '', '']])
})

test.skipIf(!tshark)(`segments of super-frames have checksums that are right, and follow each other${reason}`, () => {
  const shapes: Shape[] = [
    { transport: 'tcp', version: 4, payload: 20_001, size: 1448, tcpOptions: 12, flags: 0x98, id: 65_530 },
    { transport: 'tcp', version: 4, payload: 5000, size: 1460, tags: [200, 100], ipOptions: 8, flags: 0x19 },
    { transport: 'tcp', version: 6, payload: 20_001, size: 1428, tcpOptions: 12, seq: 0xfffff000 },
    { transport: 'tcp', version: 6, payload: 5001, size: 1000, tags: [7], ipOptions: 16 },
    { transport: 'udp', version: 4, payload: 9001, size: 1200 },
    { transport: 'udp', version: 6, payload: 9001, size: 1200, ipOptions: 8, tags: [7] },
  ]
  const pool = new FramePool({ frames: 100, frameSize: MAX_FRAME })
  const frames: Uint8Array[] = []
  for (const s of shapes) {
    const big = superFrame(s)
    const f = pool.from(big.bytes) as Frame
    pool.flags[f] = 1
    pool.gsoType[f] = big.gsoType
    pool.gsoSize[f] = s.size
    pool.csumStart[f] = big.csumStart
    pool.csumOffset[f] = big.csumOffset
    const batch = new Batch()
    batch.push(f)
    const write = (b: Batch) => {
      for (const g of b.frames.subarray(0, b.length)) {
        frames.push(pool.copyOut(g as Frame))
        pool.release(g as Frame)
      }
    }
    finish(pool, batch, 0, write, (_, why) => expect.fail(`lost: ${why}`))
  }
  expect(frames.length).toBe(14 + 4 + 15 + 6 + 8 + 8)
  const rows = dissect(frames, ['tcp.len', 'udp.length', '_ws.malformed', ...STATUS])
  const at = new Layers()
  for (const [i, b] of frames.entries()) {
    expect(classify(b, 0, b.length, at)).toBe(Depth.Transport)
    expect(at.end).toBe(b.length)
    const isTcp = at.protocol === 6
    const length = b.length - at.payload
    const lengths = isTcp ? [`${length}`, ''] : ['', `${length + 8}`]
    const v4 = at.etherType === 0x0800 ? GOOD : ''
    expect(rows[i], show(b, 0, 80)).toEqual([...lengths, '', v4, isTcp ? GOOD : '', isTcp ? '' : GOOD, '', ''])
  }
})
