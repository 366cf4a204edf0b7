import { eth, ipv4, ipv6, describe as say, u16, udp } from '@l2l3/switch-core/wire'
import * as geneve from './geneve.ts'
import * as vxlan from './vxlan.ts'

/*
 * A tunnelled frame as a line for people:
 *
 *     02:..:0a > 02:..:0b, IPv4 192.168.77.1:55845 > 192.168.77.2:4789 UDP length 106 | VXLAN vni 4096 | 66:..:01 > 66:..:02, IPv4 ..
 *
 * Tunnels are known by their UDP port. What is inside of one may be in another.
 */

/** UDP ports and what is behind them, besides the usual ones. */
export interface TunnelPorts {
  readonly [port: number]: 'vxlan' | 'geneve'
}

const USUAL: TunnelPorts = {
  [vxlan.PORT]: 'vxlan',
  [vxlan.LINUX_PORT]: 'vxlan',
  6784: 'vxlan',
  [geneve.PORT]: 'geneve',
}
const MOST = 8

/** Says in one line what a frame is, and what is in it if it is a VXLAN or GENEVE packet. Takes any bytes. */
export function describeTunnel(b: Uint8Array, o = 0, end: number = b.length, ports: TunnelPorts = {}): string {
  const parts = [say(b, o, end)]
  let at = o
  for (let depth = 0; depth < MOST; depth++) {
    const header = tunnelAt(b, at, end, { ...USUAL, ...ports })
    if (header === null) break
    parts.push(header.kind === 'vxlan' ? vxlan.describe(b, header.at) : geneve.describe(b, header.at))
    at = header.inner
    end = header.end
    if (!header.ethernet) break
    parts.push(say(b, at, end))
  }
  return parts.join(' | ')
}

interface Header {
  readonly kind: 'vxlan' | 'geneve'
  readonly at: number
  readonly inner: number
  readonly end: number
  readonly ethernet: boolean
}

/** Where the tunnel header of the frame at `o` is, or null. */
function tunnelAt(b: Uint8Array, o: number, end: number, ports: TunnelPorts): Header | null {
  if (!eth.fits(o, end)) return null
  let l3 = o + eth.HLEN
  let type = eth.type(b, o)
  for (let tags = 0; (type === 0x8100 || type === 0x88a8) && tags < 2 && end - l3 >= 4; tags++) {
    type = u16(b, l3 + 2)
    l3 += 4
  }
  let l4 = -1
  if (type === eth.EtherType.IPv4) {
    l4 = ipv4.check(b, l3, end)
    if (l4 === -1 || ipv4.protocol(b, l3) !== 17 || ipv4.isFragment(b, l3)) return null
  } else if (type === eth.EtherType.IPv6) {
    l4 = ipv6.check(b, l3, end)
    if (l4 === -1 || ipv6.nextHeader(b, l3) !== 17) return null
  } else return null
  const at = udp.check(b, l4, end)
  const kind = at === -1 ? undefined : ports[udp.dstPort(b, l4)]
  if (kind === undefined) return null
  const last = l4 + udp.length(b, l4)
  const inner = kind === 'geneve' ? geneve.check(b, at, last) : vxlan.fits(at, last) ? at + vxlan.HLEN : -1
  if (inner === -1) return null
  const ethernet = kind === 'vxlan' || geneve.protocol(b, at) === geneve.ETHERNET
  return { kind, at, inner, end: last, ethernet }
}
