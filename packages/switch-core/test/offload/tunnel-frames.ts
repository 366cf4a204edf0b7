import { eth, ipv4, ipv6, parseIpv4, parseIpv6, put16, udp } from '../../src/wire/index.ts'
import { naiveSum, type Shape, type SuperFrame, segmentsOf, superFrame } from './super-frames.ts'

/* Tunnel super-frames, and what they stand for by the letter: every segment of the inner frame, encapsulated by itself. */

export interface Outer {
  /** Version of the outer IP packet. */
  over: 4 | 6
  /** Bytes of the tunnel's header: 8 for VXLAN, more for GENEVE with options. */
  header: number
  /** Whether the outer UDP checksum is wanted. */
  summed: boolean
  /** Outer IPv4 id. */
  outerId?: number
}

export interface TunnelFrame extends SuperFrame {
  outerL4: number
  innerL3: number
}

const VTEP_A = { ip: parseIpv4('192.0.2.1'), ip6: parseIpv6('fd00::a') }
const VTEP_B = { ip: parseIpv4('192.0.2.2'), ip6: parseIpv6('fd00::b') }
const MAC_A = Uint8Array.of(2, 0, 0, 0, 1, 0xa)
const MAC_B = Uint8Array.of(2, 0, 0, 0, 1, 0xb)

/** Bytes in front of the inner frame. */
function overhead({ over, header }: Outer): number {
  return 14 + (over === 4 ? 20 : 40) + 8 + header
}

/** Puts outer headers in front of `inner`; the UDP checksum is zero. */
function encapsulate(inner: Uint8Array, t: Outer, id: number): Uint8Array {
  const b = new Uint8Array(overhead(t) + inner.length)
  const payload = 8 + t.header + inner.length
  const l3 = eth.write(b, 0, MAC_B, MAC_A, t.over === 4 ? 0x0800 : 0x86dd)
  const l4 =
    t.over === 4
      ? ipv4.write(b, l3, { src: VTEP_A.ip, dst: VTEP_B.ip, protocol: 17, payload, id, flags: 0 })
      : ipv6.write(b, l3, { src: VTEP_A.ip6, dst: VTEP_B.ip6, nextHeader: 17, payload })
  const at = udp.write(b, l4, 49_200, t.header === 8 ? 4789 : 6081, t.header + inner.length)
  b[at] = t.header === 8 ? 8 : (t.header - 8) / 4
  put16(b, at + 2, t.header === 8 ? 0 : 0x6558)
  b[at + 6] = 42
  for (let i = 8; i < t.header; i++) b[at + i] = i
  b.set(inner, at + t.header)
  return b
}

function outerPseudo(b: Uint8Array, t: Outer, length: number): number {
  return naiveSum(b, t.over === 4 ? 26 : 22, t.over === 4 ? 34 : 54, 17 + length)
}

/** A tunnel super-frame, as a kernel's VXLAN or GENEVE device hands it over. */
export function tunnelFrame(s: Shape, t: Outer): TunnelFrame {
  const inner = superFrame(s)
  const bytes = encapsulate(inner.bytes, t, t.outerId ?? 0)
  const n = overhead(t)
  const l4 = t.over === 4 ? 34 : 54
  if (t.summed) put16(bytes, l4 + 6, outerPseudo(bytes, t, bytes.length - l4))
  return {
    bytes,
    gsoType: inner.gsoType | (t.over === 4 ? 0x20 : 0x40),
    csumStart: inner.csumStart + n,
    csumOffset: inner.csumOffset,
    l3: inner.l3 + n,
    l4: inner.l4 + n,
    data: inner.data + n,
    outerL4: l4,
    innerL3: inner.l3 + n,
  }
}

/** What it stands for on the wire. */
export function tunnelSegmentsOf(s: Shape, t: Outer): Uint8Array[] {
  const l4 = t.over === 4 ? 34 : 54
  return segmentsOf(s).map((inner, i) => {
    const b = encapsulate(inner, t, ((t.outerId ?? 0) + i) & 0xffff)
    if (!t.summed) return b
    const whole = naiveSum(b, l4, b.length, outerPseudo(b, t, b.length - l4))
    put16(b, l4 + 6, whole === 0xffff ? 0xffff : 0xffff - whole)
    return b
  })
}
