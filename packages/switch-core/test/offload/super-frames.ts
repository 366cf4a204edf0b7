import { eth, ipv4, ipv6, parseIpv4, parseIpv6, parseMac, put16, tcp, udp, vlan } from '../../src/wire/index.ts'

/* Super-frames as a kernel hands them over, and what they stand for by the letter: the oracle of these tests. Written
 * for being read, with an array per segment and a checksum of five lines. */

export const ANA = { mac: parseMac('02:00:00:00:00:0a'), ip: parseIpv4('10.0.0.1'), ip6: parseIpv6('2001:db8::a') }
export const BEN = { mac: parseMac('02:00:00:00:00:0b'), ip: parseIpv4('10.0.0.2'), ip6: parseIpv6('2001:db8::b') }

export interface Shape {
  transport: 'tcp' | 'udp'
  version: 4 | 6
  /** TCIs, outermost first; the outer of two is an S-tag. */
  tags?: number[]
  payload: number
  size: number
  /** TCP flags. */
  flags?: number
  seq?: number
  id?: number
  /** Bytes of options: IPv4 header options, or a destination options header of IPv6; multiple of 8. */
  ipOptions?: number
  /** Bytes of TCP options; multiple of 4. */
  tcpOptions?: number
}

export interface SuperFrame {
  bytes: Uint8Array
  gsoType: number
  csumStart: number
  csumOffset: number
  l3: number
  l4: number
  data: number
}

/** The ones-complement sum, word by word (RFC 1071). */
export function naiveSum(b: Uint8Array, from: number, to: number, s = 0): number {
  for (let i = from; i < to; i++) s += (b[i] as number) * (((i - from) & 1) === 0 ? 256 : 1)
  while (s > 65535) s = (s % 65536) + Math.floor(s / 65536)
  return s
}

function pseudoOf(b: Uint8Array, l3: number, version: number, protocol: number, length: number): number {
  const [from, to] = version === 4 ? [l3 + 12, l3 + 20] : [l3 + 8, l3 + 40]
  return naiveSum(b, from, to, protocol + length)
}

/** Writes a super-frame with the sum of its pseudo-header in the checksum field, as Linux does. */
export function superFrame(s: Shape): SuperFrame {
  const b = new Uint8Array(65_553 + 200)
  let o = eth.write(b, 0, BEN.mac, ANA.mac, 0)
  const tags = s.tags ?? []
  for (const [i, tci] of tags.entries()) {
    put16(b, o - 2, i === 0 && tags.length > 1 ? 0x88a8 : 0x8100)
    put16(b, o, vlan.makeTci(tci))
    o += 4
  }
  put16(b, o - 2, s.version === 4 ? 0x0800 : 0x86dd)
  const l3 = o
  const protocol = s.transport === 'tcp' ? 6 : 17
  const options = s.ipOptions ?? 0
  const th = s.transport === 'tcp' ? 20 + (s.tcpOptions ?? 0) : 8
  let l4: number
  if (s.version === 4) {
    l4 = ipv4.write(b, l3, {
      src: ANA.ip,
      dst: BEN.ip,
      protocol,
      payload: th + s.payload,
      id: s.id ?? 0,
      flags: ipv4.Flag.DontFragment,
      options: new Uint8Array(options).fill(1),
    })
  } else {
    const payload = options + th + s.payload
    l4 = ipv6.write(b, l3, { src: ANA.ip6, dst: BEN.ip6, nextHeader: options > 0 ? 60 : protocol, payload })
    if (options > 0) {
      b[l4] = protocol
      b[l4 + 1] = options / 8 - 1
      b[l4 + 2] = 1
      b[l4 + 3] = options - 4
      l4 += options
    }
  }
  let data: number
  if (s.transport === 'tcp') {
    const flags = s.flags ?? tcp.Flag.Ack
    data = tcp.write(b, l4, {
      srcPort: 5000,
      dstPort: 80,
      seq: s.seq ?? 0,
      ack: 77,
      flags,
      options: new Uint8Array(s.tcpOptions ?? 0).fill(1),
    })
  } else data = udp.write(b, l4, 5000, 9999, s.payload)
  for (let i = 0; i < s.payload; i++) b[data + i] = (i * 7 + (i >> 8)) & 255
  const end = data + s.payload
  const csumOffset = s.transport === 'tcp' ? 16 : 6
  put16(b, l4 + csumOffset, pseudoOf(b, l3, s.version, protocol, end - l4))
  const gsoType = s.transport === 'udp' ? 5 : s.version === 4 ? 1 : 4
  return { bytes: b.slice(0, end), gsoType, csumStart: l4, csumOffset, l3, l4, data }
}

/** What a super-frame stands for on the wire. */
export function segmentsOf(s: Shape): Uint8Array[] {
  const f = superFrame(s)
  const count = Math.max(1, Math.ceil(s.payload / s.size))
  return Array.from({ length: count }, (_, i) => {
    const part = f.bytes.slice(f.data + i * s.size, Math.min(f.data + (i + 1) * s.size, f.bytes.length))
    const b = Uint8Array.from([...f.bytes.slice(0, f.data), ...part])
    const v = new DataView(b.buffer)
    if (s.version === 4) {
      v.setUint16(f.l3 + 2, b.length - f.l3)
      v.setUint16(f.l3 + 4, ((s.id ?? 0) + i) & 0xffff)
      v.setUint16(f.l3 + 10, 0)
      v.setUint16(f.l3 + 10, 0xffff - naiveSum(b, f.l3, f.l3 + 20 + (s.ipOptions ?? 0)))
    } else v.setUint16(f.l3 + 4, b.length - f.l3 - 40)
    const field = f.l4 + f.csumOffset
    if (s.transport === 'tcp') {
      v.setUint32(f.l4 + 4, (s.seq ?? 0) + i * s.size)
      let flags = s.flags ?? 0x10
      if (i < count - 1) flags &= ~0x09
      if (i > 0) flags &= ~0x80
      b[f.l4 + 13] = flags
    } else v.setUint16(f.l4 + 4, b.length - f.l4)
    v.setUint16(field, 0)
    const protocol = s.transport === 'tcp' ? 6 : 17
    const whole = naiveSum(b, f.l4, b.length, pseudoOf(b, f.l3, s.version, protocol, b.length - f.l4))
    v.setUint16(field, s.transport === 'udp' && whole === 0xffff ? 0xffff : 0xffff - whole)
    return b
  })
}
