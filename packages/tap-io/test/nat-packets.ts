import { icmp, icmpv6, ipv4, ipv6, parseIpv4, parseIpv6, tcp, udp } from '@l2l3/switch-core/wire'

/* Packets for the NAT tests: built whole, with every checksum, and read back with every checksum looked at. */

/** Who is where. Inside, pods on one bridge with a gateway; outside, two servers on the uplink's network. */
export const MAC = {
  p1: '020000000001',
  p2: '020000000002',
  gateway: '0200000000fe',
  uplink: '020000000201',
  x: '020000000202',
  y: '020000000203',
} as const
export const P1 = '10.22.0.11'
export const P2 = '10.22.0.12'
export const GATEWAY = '10.22.0.1'
export const OUTSIDE = '203.0.113.1'
export const X = '203.0.113.2'
export const Y = '203.0.113.3'

/** By which port of the NAT router a host is. */
export type Side = 'p1' | 'p2' | 'up'

const MACS: Readonly<Record<string, string>> = { [P1]: MAC.p1, [P2]: MAC.p2, [X]: MAC.x, [Y]: MAC.y }

export interface Ip {
  src: string
  dst: string
  /** MAC addresses; by default those of `src` and of the router on its side. */
  from?: string
  to?: string
  ttl?: number
  tos?: number
  id?: number
  /** Bits of the flags and offset word. */
  flags?: number
  offset?: number
}

/** An end with its port: "10.22.0.11:5000", "[fd00::1]:53". */
function end(text: string): { host: string; port: number } {
  const at = text.lastIndexOf(':')
  return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) }
}

function routerMac(host: string): string {
  return host.startsWith('10.22.') || host.startsWith('fd22') ? MAC.gateway : MAC.uplink
}

function hostMac(host: string): string {
  const known = MACS[host]
  if (known !== undefined) return known
  return host.startsWith('fd22') ? (host.endsWith('12') ? MAC.p2 : MAC.p1) : host.startsWith('10.22.') ? MAC.p1 : MAC.x
}

/** An IP packet in its frame. `fill` writes the payload's checksum. */
export function packet(
  h: Ip,
  protocol: number,
  payload: Uint8Array,
  fill?: (b: Buffer, l3: number, l4: number) => void,
) {
  const six = h.src.includes(':')
  const b = Buffer.alloc(14 + (six ? 40 : 20) + payload.length)
  b.write(`${h.to ?? routerMac(h.src)}${h.from ?? hostMac(h.src)}${six ? '86dd' : '0800'}`, 'hex')
  const common = { ttl: h.ttl ?? 64, tos: h.tos ?? 0 }
  const l4 = six
    ? ipv6.write(b, 14, {
        src: parseIpv6(h.src),
        dst: parseIpv6(h.dst),
        hopLimit: common.ttl,
        trafficClass: common.tos,
        nextHeader: protocol,
        payload: payload.length,
      })
    : ipv4.write(b, 14, {
        ...common,
        src: parseIpv4(h.src),
        dst: parseIpv4(h.dst),
        id: h.id ?? 0x1234,
        flags: h.flags ?? 0,
        fragmentOffset: h.offset ?? 0,
        protocol,
        payload: payload.length,
      })
  b.set(payload, l4)
  fill?.(b, 14, l4)
  return b.toString('hex')
}

/** A datagram: `datagram('10.22.0.11:5000', '203.0.113.2:9999', { data: 'x' })`. */
export function datagram(
  from: string,
  to: string,
  o: Partial<Ip> & { data?: string | Uint8Array; checksum?: 'none' | 'wrong' } = {},
): string {
  const [src, dst] = [end(from), end(to)]
  const data = Buffer.from(o.data ?? 'x')
  const b = new Uint8Array(8 + data.length)
  b.set(data, udp.write(b, 0, src.port, dst.port, data.length))
  return packet({ src: src.host, dst: dst.host, ...o }, 17, b, (all, l3, l4) => {
    if (o.checksum === 'none') return
    udp.fillChecksum(all, l3, l4)
    if (o.checksum === 'wrong') all[l4 + 7]! ^= 1
  })
}

/** A segment: flags as letters of "SAFRP". */
export function segment(
  from: string,
  to: string,
  flags: string,
  o: Partial<Ip> & { seq?: number; ack?: number; data?: string; window?: number; mss?: number } = {},
): string {
  const [src, dst] = [end(from), end(to)]
  const data = Buffer.from(o.data ?? '')
  const bits = { F: 1, S: 2, R: 4, P: 8, A: 16 } as Record<string, number>
  const b = Buffer.alloc(24 + data.length)
  const at = tcp.write(b, 0, {
    srcPort: src.port,
    dstPort: dst.port,
    seq: o.seq ?? 1000,
    ack: o.ack ?? 0,
    flags: [...flags].reduce((sum, f) => sum | (bits[f] as number), 0),
    ...(o.window === undefined ? {} : { window: o.window }),
    ...(o.mss === undefined ? {} : { options: Uint8Array.of(2, 4, o.mss >> 8, o.mss & 255) }),
  })
  b.set(data, at)
  return packet({ src: src.host, dst: dst.host, ...o }, 6, b.subarray(0, at + data.length), (all, l3, l4) => {
    tcp.fillChecksum(all, l3, l4, all.length)
  })
}

/** An echo request (or reply) with an identifier. */
export function echo(
  src: string,
  dst: string,
  id: number,
  o: Partial<Ip> & { reply?: boolean; seq?: number; data?: string } = {},
): string {
  const six = src.includes(':')
  const data = Buffer.from(o.data ?? 'abcdefgh')
  const b = new Uint8Array(8 + data.length)
  const type = six ? (o.reply ? 129 : 128) : o.reply ? 0 : 8
  b.set(data, (six ? icmpv6 : icmp).write(b, 0, type, 0, ((id << 16) | (o.seq ?? 1)) >>> 0))
  return packet({ src, dst, ...o }, six ? 58 : 1, b, (all, l3, l4) => {
    if (six) icmpv6.fillChecksum(all, l3, l4, all.length)
    else icmp.fillChecksum(all, l4, all.length)
  })
}

/** An ICMP error of `src` about a packet, as it stands in its frame. */
export function complaint(
  src: string,
  about: string,
  type: number,
  code: number,
  o: Partial<Ip> & { rest?: number; dst?: string; quote?: number } = {},
): string {
  const b = Buffer.from(about, 'hex')
  const six = b[12] === 0x86
  const whole = b.subarray(14)
  const quoted = whole.subarray(0, o.quote ?? whole.length)
  const message = Buffer.alloc(8 + quoted.length)
  message.set(quoted, (six ? icmpv6 : icmp).write(message, 0, type, code, o.rest ?? 0))
  const dst = o.dst ?? read(about).src
  return packet({ src, dst, ...o }, six ? 58 : 1, message, (all, l3, l4) => {
    if (six) icmpv6.fillChecksum(all, l3, l4, all.length)
    else icmp.fillChecksum(all, l4, all.length)
  })
}

/** Cuts the packet in a frame into fragments with so many bytes of payload each; the last has the rest. */
export function fragments(frame: string, ...sizes: number[]): string[] {
  const b = Buffer.from(frame, 'hex')
  const payload = b.subarray(34)
  const out: string[] = []
  for (let at = 0, i = 0; at < payload.length; i++) {
    const n = Math.min(sizes[Math.min(i, sizes.length - 1)] as number, payload.length - at)
    const f = Buffer.concat([b.subarray(0, 34), payload.subarray(at, at + n)])
    f.writeUInt16BE(20 + n, 16)
    f.writeUInt16BE((at >> 3) | (at + n < payload.length ? 0x2000 : 0), 20)
    ipv4.fillChecksum(f, 14)
    out.push(f.toString('hex'))
    at += n
  }
  return out
}

/** What a frame says. */
export interface Read {
  src: string
  dst: string
  ttl: number
  tos: number
  id: number
  protocol: number
  offset: number
  more: boolean
  /** Ports, or of an echo its identifier as both. */
  sport: number
  dport: number
  type: number
  code: number
  rest: number
  length: number
  /** Behind the transport header; of an error the packet that it is about. */
  data: Buffer
  /** Names of checksums that are wrong. */
  wrong: string[]
  ethSrc: string
  ethDst: string
}

/** Reads a frame with an IP packet. */
export function read(frame: string): Read {
  const b = Buffer.from(frame, 'hex')
  const six = b[12] === 0x86
  const wrong: string[] = []
  const l4 = six ? 54 : 14 + (b[14]! & 15) * 4
  const end = six ? 54 + b.readUInt16BE(18) : 14 + b.readUInt16BE(16)
  const protocol = b[six ? 20 : 23] as number
  const word = six ? 0 : b.readUInt16BE(20)
  const offset = (word & 0x1fff) * 8
  const more = (word & 0x2000) !== 0
  if (!six && !ipv4.checksumOk(b, 14)) wrong.push('ip')
  const whole = offset === 0 && !more
  const r: Read = {
    ...{ src: address(b, six ? 22 : 26, six), dst: address(b, six ? 38 : 30, six) },
    ...{ ttl: b[six ? 21 : 22] as number, tos: six ? (b.readUInt16BE(14) >> 4) & 255 : (b[15] as number) },
    ...{ id: six ? 0 : b.readUInt16BE(18), protocol, offset, more, sport: 0, dport: 0, type: 0, code: 0, rest: 0 },
    ...{ length: end - 14, data: b.subarray(l4, end), wrong },
    ...{ ethDst: frame.slice(0, 12), ethSrc: frame.slice(12, 24) },
  }
  if (offset > 0) return r
  if (protocol === 17 || protocol === 6) {
    r.sport = b.readUInt16BE(l4)
    r.dport = b.readUInt16BE(l4 + 2)
    r.data = b.subarray(protocol === 17 ? l4 + 8 : l4 + (b[l4 + 12]! >> 4) * 4, end)
    const ok = protocol === 17 ? udp.checksumOk : (x: Buffer, l3: number, o: number) => tcp.checksumOk(x, l3, o, end)
    if (whole && !ok(b, 14, l4)) wrong.push(protocol === 17 ? 'udp' : 'tcp')
  } else if (protocol === 1 || protocol === 58) {
    r.type = b[l4] as number
    r.code = b[l4 + 1] as number
    r.rest = b.readUInt32BE(l4 + 4)
    r.data = b.subarray(l4 + 8, end)
    if ([0, 8, 128, 129].includes(r.type)) r.sport = r.dport = r.rest >>> 16
    if (whole && !(six ? icmpv6.checksumOk(b, 14, l4, end) : icmp.checksumOk(b, l4, end))) wrong.push('icmp')
  }
  return r
}

function address(b: Uint8Array, at: number, six: boolean): string {
  if (!six) return b.subarray(at, at + 4).join('.')
  const words = Array.from({ length: 8 }, (_, i) => (b[at + 2 * i]! << 8) | b[at + 2 * i + 1]!)
  const text = words.map((w) => w.toString(16)).join(':')
  return text.replace(/(^|:)0(:0)+(:|$)/, '::')
}

/** The packet that an ICMP error is about, as if it stood in a frame. */
export function embedded(frame: string): Read {
  const { data } = read(frame)
  const head = data[0]! >> 4 === 6 ? `${'0'.repeat(24)}86dd` : `${'0'.repeat(24)}0800`
  // What was cut off is filled up, so that it can be read; its checksum says nothing then.
  const want = data[0]! >> 4 === 6 ? 40 + data.readUInt16BE(4) : data.readUInt16BE(2)
  const whole = Buffer.concat([data, Buffer.alloc(Math.max(0, want - data.length))])
  const r = read(head + whole.toString('hex'))
  if (data.length < want) r.wrong = r.wrong.filter((w) => w === 'ip')
  return r
}

const NAMES: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmp6' }

/** A packet in a line: "udp 203.0.113.1:5000 > 203.0.113.2:9999". What is wrong stands behind it. */
export function line(frame: string | Read): string {
  const r = typeof frame === 'string' ? read(frame) : frame
  const name = NAMES[r.protocol] ?? String(r.protocol)
  const host = (ip: string, port: number): string => (ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`)
  const flaws = r.wrong.map((w) => ` WRONG ${w} checksum`).join('')
  if (r.offset > 0) return `${name} ${r.src} > ${r.dst} fragment at ${r.offset}${flaws}`
  if (name.startsWith('icmp')) {
    const id = [0, 8, 128, 129].includes(r.type) ? ` id ${r.sport}` : ''
    return `${name} ${r.src} > ${r.dst} ${r.type}/${r.code}${id}${flaws}`
  }
  return `${name} ${host(r.src, r.sport)} > ${host(r.dst, r.dport)}${r.more ? ' first fragment' : ''}${flaws}`
}
