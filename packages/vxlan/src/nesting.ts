import type { FramePool } from '@l2l3/switch-core'
import { equal, eth, ipv4, ipv6, u16 } from '@l2l3/switch-core/wire'
import * as flow from './flow-hash.ts'
import * as geneve from './geneve.ts'
import * as vxlan from './vxlan.ts'

/*
 * How deep a packet is wrapped already. A tunnel whose outside is routed into itself would wrap its own packets until no
 * headroom is left, and two tunnels can do that to each other; so what is wrapped more than so many times is not wrapped
 * again (compare RFC 2473, 4.1.1: the tunnel encapsulation limit).
 *
 *     | Ethernet | IP | UDP 4789 | VXLAN | Ethernet | IP | GRE | IP | ...
 *                 `--------- 1 ---------'            `--- 2 ---'
 */

/** Layers that are looked at, at most. */
const MOST = 8

/** UDP ports that are tunnels', whoever uses them: VXLAN, its old port, Weave's, GENEVE. */
export const TUNNEL_PORTS: readonly number[] = [vxlan.PORT, vxlan.LINUX_PORT, 6784, geneve.PORT]

/** Which protocols and which UDP ports may be tunnels': Entry p is protocol p, entry 256 + p the UDP port
 * p as it is read from a frame in little-endian order: a load for every frame. */
export function tunnelSigns(ports: readonly number[] = TUNNEL_PORTS): Uint8Array {
  const signs = new Uint8Array(256 + 65_536)
  for (const protocol of [4, 41, 47]) signs[protocol] = 1
  for (const port of ports) signs[256 + (((port & 0xff) << 8) | (port >>> 8))] = 1
  return signs
}

/** Tells whether a frame that has just been wrapped was in more than `most` tunnels before, or is the outside of this one.
 * @param o where the outer Ethernet header starts
 * @param found what `wrap` found */
export function nestsTooDeep(
  pool: FramePool,
  o: number,
  end: number,
  found: Int32Array,
  ports: readonly number[],
  most: number,
): boolean {
  const b = pool.bytes
  const l3 = found[flow.Found.L3] as number
  if (tunnelDepth(b, l3, end, false, ports) > most) return true
  // Inside as outside, addresses, protocol, port and tunnel header: the tunnel's own packet has come round.
  const outer = o + 14
  const v6 = found[flow.Found.Version] === 6
  if (v6 !== (b[outer] as number) >>> 4 > 4) return false
  const [addresses, size, protocol, header] = v6 ? [8, 32, 6, 40] : [12, 8, 9, 20]
  if (b[l3 + protocol] !== b[outer + protocol] || !equal(b, l3 + addresses, b, outer + addresses, size)) return false
  if (found[flow.Found.Protocol] !== 17) return true
  const l4 = found[flow.Found.L4] as number
  const outerL4 = outer + header
  return end - l4 >= 16 && equal(b, l4 + 2, b, outerL4 + 2, 2) && equal(b, l4 + 8, b, outerL4 + 8, 8)
}

/** Tells how many tunnels the packet in `[o, end)` is inside of: 0 to 8. An Ethernet frame, or a bare IP packet.
 * @param ports UDP ports of tunnels; GENEVE's is 6081, others are taken for VXLAN's */
export function tunnelDepth(
  b: Uint8Array,
  o: number,
  end: number,
  ethernet: boolean,
  ports: readonly number[] = TUNNEL_PORTS,
): number {
  let at = o
  let frame = ethernet
  for (let depth = 0; depth < MOST; depth++) {
    if (frame) {
      if (end - at < eth.HLEN) return depth
      let type = eth.type(b, at)
      at += eth.HLEN
      for (let tags = 0; (type === 0x8100 || type === 0x88a8) && tags < 2 && end - at >= 4; tags++) {
        type = u16(b, at + 2)
        at += 4
      }
      if (type !== 0x0800 && type !== 0x86dd) return depth
    }
    if (end - at < 1) return depth
    const v6 = (b[at] as number) >>> 4 === 6
    const l4 = v6 ? ipv6.checkHeader(b, at, end) : ipv4.checkHeader(b, at, end)
    if (l4 === -1 || (!v6 && ipv4.fragmentOffset(b, at) !== 0)) return depth
    const protocol = v6 ? ipv6.nextHeader(b, at) : ipv4.protocol(b, at)
    at = l4
    frame = true
    if (protocol === ipv4.Protocol.IpIp || protocol === ipv4.Protocol.Ipv6) frame = false
    else if (protocol === ipv4.Protocol.Gre) {
      if (end - at < 4) return depth
      const bits = b[at] as number
      frame = u16(b, at + 2) === eth.EtherType.Teb
      at += 4 + ((bits & 0x80) >>> 5) + ((bits & 0x20) >>> 3) + ((bits & 0x10) >>> 2)
    } else if (protocol === ipv4.Protocol.Udp) {
      const port = end - at < 16 ? 0 : u16(b, at + 2)
      if (!ports.includes(port)) return depth
      at += 8
      at += port === geneve.PORT ? geneve.HLEN + geneve.optionsLength(b, at) : vxlan.HLEN
    } else return depth
  }
  return MOST
}
