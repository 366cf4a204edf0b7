/**
 * Headers on the wire, as functions over bytes and an offset. Read `ethernet` first: all others are made like it.
 *
 * A header is a view and not an object: `check` looks at the lengths once and gives where the payload starts, or -1, for
 * any bytes at all; field readers trust it. `write` puts a header down and returns where the payload goes. Nothing
 * here throws but what reads text (`parseMac`, `parseIpv4`, `parseIpv6`).
 *
 * `checksum` is RFC 1071 and 1624; `vlan` pushes and pops tags of a frame in its pool; `classify` notes in one pass where
 * all layers of a frame are, and `classifier` makes a faster one for the frames of a pool; `describe` says what a frame is, in a line for people.
 */
export { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from './address.ts'
export * as arp from './arp.ts'
export { copy, equal, put16, put32, u16, u32 } from './bytes.ts'
export * as checksum from './checksum.ts'
export { classifier, classify, Depth, type FrameBytes, Layers } from './classify.ts'
export { describe } from './describe.ts'
export * as eth from './ethernet.ts'
export { formatMac, parseMac } from './ethernet.ts'
export * as icmp from './icmp.ts'
export * as icmpv6 from './icmpv6.ts'
export * as igmp from './igmp.ts'
export * as ipv4 from './ipv4.ts'
export * as ipv6 from './ipv6.ts'
export * as mld from './mld.ts'
export * as tcp from './tcp.ts'
export * as udp from './udp.ts'
export * as vlan from './vlan.ts'
