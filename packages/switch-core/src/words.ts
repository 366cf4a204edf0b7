import { formatIpv4, formatIpv6 } from './wire/address.ts'
import { u16 } from './wire/bytes.ts'
import { EtherType, formatMac } from './wire/ethernet.ts'

/*
 * Words that sentences about frames are made of: see `trace.ts`. Nothing here is called while nobody traces.
 */

/** How long ago something was: "just now", "350 ms ago", "2.5 s ago", "12 min ago". */
export function ago(ms: number): string {
  if (ms < 1) return 'just now'
  if (ms < 1000) return `${Math.round(ms)} ms ago`
  const s = ms / 1000
  if (s < 10) return `${Number(s.toFixed(1))} s ago`
  return s < 120 ? `${Math.round(s)} s ago` : `${Math.round(s / 60)} min ago`
}

/** "a", "a and b", "a, b and c"; of very many the first eight and how many more. */
export function listText(words: readonly string[]): string {
  const shown = words.length > 9 ? [...words.slice(0, 8), `${words.length - 8} more`] : words
  const last = shown.at(-1) ?? 'nobody'
  return shown.length < 2 ? last : `${shown.slice(0, -1).join(', ')} and ${last}`
}

/** "1 byte", "2 bytes". */
export function count(n: number, one: string, more = `${one}s`): string {
  return `${n} ${n === 1 ? one : more}`
}

/** What a MAC that is sent to is: "broadcast", "group 01:00:5e:00:00:01", "02:00:00:00:00:0b". */
export function destinationMac(b: Uint8Array, o: number): string {
  const mac = formatMac(b, o)
  if (mac === 'ff:ff:ff:ff:ff:ff') return 'broadcast'
  return ((b[o] as number) & 1) !== 0 ? `group ${mac}` : mac
}

/** The destination of the IPv4 or IPv6 packet at `l3`. */
export function destinationIp(b: Uint8Array, l3: number): string {
  return (b[l3] as number) >>> 4 === 6 ? formatIpv6(b, l3 + 24) : formatIpv4(word(b, l3 + 16))
}

/** The source of the IPv4 or IPv6 packet at `l3`. */
export function sourceIp(b: Uint8Array, l3: number): string {
  return (b[l3] as number) >>> 4 === 6 ? formatIpv6(b, l3 + 8) : formatIpv4(word(b, l3 + 12))
}

/** The EtherType of the frame at `o`, untagged: "IPv4", "ARP", "EtherType 0x88cc". */
export function etherType(b: Uint8Array, o: number): string {
  const type = u16(b, o + 12)
  if (type === EtherType.IPv4) return 'IPv4'
  if (type === EtherType.IPv6) return 'IPv6'
  if (type === EtherType.Arp) return 'ARP'
  return type < 0x600 ? '802.3' : `EtherType 0x${type.toString(16).padStart(4, '0')}`
}

/** An address and a port: "10.0.0.1:80", "[fd00::1]:80". */
export function endpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}

const PROTOCOLS: Readonly<Record<number, string>> = {
  ...{ 0: 'hop-by-hop options', 1: 'ICMP', 2: 'IGMP', 4: 'IPv4', 6: 'TCP', 17: 'UDP', 33: 'DCCP', 41: 'IPv6' },
  ...{ 47: 'GRE', 50: 'ESP', 51: 'AH', 58: 'ICMPv6', 89: 'OSPF', 132: 'SCTP', 136: 'UDP-Lite' },
}

/** The name of an IP protocol, "TCP", or "protocol 99". */
export function protocolName(protocol: number): string {
  return PROTOCOLS[protocol] ?? `protocol ${protocol}`
}

function word(b: Uint8Array, o: number): number {
  return ((u16(b, o) << 16) | u16(b, o + 2)) >>> 0
}
