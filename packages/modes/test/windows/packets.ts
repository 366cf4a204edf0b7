import { formatIpv4, formatMac, ipv4, parseIpv4, u16, udp } from '@l2l3/switch-core/wire'
import { expect } from 'vitest'

/* Frames with UDP, written and read as people do. */

/** `02:..:01 > 02:..:02, 10.0.0.1#1 > 10.0.0.2#2` as a frame, in hex. */
export function datagram(text: string, ttl = 128): string {
  const [macs, ends] = text.split(', ') as [string, string]
  const [from, to] = macs.split(' > ') as [string, string]
  const [src, sport, dst, dport] = ends.split(/[#> ]+/) as [string, string, string, string]
  const b = Buffer.alloc(29)
  ipv4.write(b, 0, { src: parseIpv4(src), dst: parseIpv4(dst), protocol: 17, payload: 9, ttl })
  udp.write(b, 20, Number(sport), Number(dport), 1)
  udp.fillChecksum(b, 0, 20)
  return `${to}${from}0800`.replaceAll(':', '') + b.toString('hex')
}

/** What `datagram` was given, and the TTL; checksums are right. */
export function sentence(frame: string): string {
  const b = Buffer.from(frame, 'hex')
  const ip = 14
  expect([ipv4.checksumOk(b, ip), udp.checksumOk(b, ip, 34)]).toEqual([true, true])
  const end = (address: number, port: number): string => `${formatIpv4(address)}#${u16(b, port)}`
  const ends = `${end(ipv4.src(b, ip), 34)} > ${end(ipv4.dst(b, ip), 36)}`
  return `${formatMac(b, 6)} > ${formatMac(b)}, ${ends}, ttl ${b[22]}`
}
