import { calicoNatOutgoing, markedMasquerade } from '@l2l3/nat'
import { calicoMac } from '@l2l3/vxlan'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import { blackholes, type L3Link, type L3Settings, l3Pods } from '../l3.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import type { Chain } from '../nat-outbound.ts'
import { type RoutedNode, routedNode } from '../router.ts'
import type { RoutedTunnel } from '../tunnels.ts'
import { gateOf } from './gate-of.ts'
import {
  type ClusterPeer,
  directRoutes,
  type Family,
  familyOf,
  hostOf,
  nodeAddress,
  ofFamily,
  type PeerWay,
  peerWays,
  tunnelSubnets,
} from './peers.ts'

/** How packets get to another node: as they are, in IP, or as frames in UDP. */
export type CalicoEncapsulation = 'none' | 'ipip' | 'vxlan'

/** A network that pods' addresses are from. */
export interface CalicoPool {
  /** `10.244.0.0/16` */
  readonly cidr: string
  /** Whether what leaves it for no pool at all gets the node's address. Default false. */
  readonly natOutgoing?: boolean
}

/** Settings of a node that change while it runs. */
export interface CalicoSettings extends L3Settings, Pick<NatPolicies, 'portMappings' | 'services'> {
  readonly peers?: readonly ClusterPeer[]
}

/** Settings of a node. */
export interface CalicoOptions extends CalicoSettings, L3Link, NatGateOptions, Omit<HostOptions, 'nat'> {
  /** The node's name, which its VTEP's MACs are made of. */
  readonly name: string
  /** Default `none`. */
  readonly encapsulation?: CalicoEncapsulation
  /** Whether nodes on the link are reached without it (`CrossSubnet`). Default false. */
  readonly crossSubnet?: boolean
  /** Default: none, nothing is translated. */
  readonly pools?: readonly CalicoPool[]
  /** Whether nodes, too, see pods' own addresses (`natOutgoingExclusions: IPPoolsAndHostIPs`): prefixes of the nodes. Default:
   * none. */
  readonly natExclusions?: readonly string[]
  /** The address in place of the uplink's, of what is of its IP version (`natOutgoingAddress`). */
  readonly natOutgoingAddress?: string
  /** Ports of TCP and UDP that are translated to (`natPortRange`): `32768-60999`. */
  readonly natPortRange?: string
  /** VXLAN. Default 4096. */
  readonly vni?: number
  /** VXLAN: of UDP. Default 4789. */
  readonly port?: number
  /** VXLAN: MACs in place of 66 and the SHA-1 of the name, of the IPv4 and the IPv6 device. */
  readonly vtepMac?: string | readonly string[]
  /** The node's addresses inside the tunnel. Default: the first of its first block. */
  readonly tunnelIp?: string | readonly string[]
}

/**
 * mode: calico - pods on links of their own with a gateway that is nowhere (see `l3`), blocks of addresses that nodes tell each
 * other, three ways to get there, and what felix and kube-proxy write into netfilter.
 *
 *     pod 10.244.1.5/32, default via 169.254.1.1
 *      | ee:ee:ee:ee:ee:ee      proxy ARP, strict reverse path
 *     ++------------------------------------------------------------------------------+
 *     | 10.244.1.5/32 -> this link     10.244.1.0/26 -> blackhole                     |
 *     | 10.244.2.0/26 -> none    via 192.0.2.2                                        |
 *     |               -> ipip    tunl0: IP in IP to 192.0.2.2, outer TTL and DF as inside
 *     |               -> vxlan   vxlan.calico: VNI 4096, from and to 66:SHA-1(name)   |
 *     | NAT: marked -> masquerade; from pools with natOutgoing to no pool -> masquerade
 *     +------------------------------------+------------------------------------------+
 *                                          | 192.0.2.1
 *
 * Who is not known as a peer is not heard in a tunnel: felix lets only nodes in. Throws a TypeError or RangeError with key and
 * value for settings that make no sense.
 */
export function calico(ground: Ground, options: CalicoOptions): RoutedNode<CalicoSettings> {
  const { encapsulation = 'none', crossSubnet = false, pools = [] } = options
  const chain = natOutgoing(options)
  const settings = (next: CalicoSettings): HostSettings => {
    const { uplinks, blocks = [], routes = [], peers = [], portMappings, services } = next
    const ways = peerWays(peers, uplinks)
    const wraps = ({ onLink, family }: PeerWay): boolean =>
      encapsulation !== 'none' && !(crossSubnet && onLink) && !(encapsulation === 'ipip' && family === 6)
    const inside = ways.filter(wraps)
    // Without a tunnel a node that is not on the link is where the fabric's routes say: BGP told them.
    const direct = ways.filter((way) => !wraps(way) && way.onLink)
    return {
      uplinks,
      pods: l3Pods(next, { ...options, proxyArp: { routeLocalnet: true, ...options.proxyArp } }),
      tunnels: tunnels(options, next, inside),
      routes: [...blackholes(blocks), ...directRoutes(direct), ...routes],
      policies: { chain, inside: [], portMappings: portMappings ?? [], services: services ?? [] },
    }
  }
  const nat = gateOf(
    options,
    pools.map((pool) => pool.cidr),
  )
  return routedNode(new HostNode(ground, settings(options), { ...options, nat }), settings)
}

/** The node's ends of the tunnel, one for each IP version that it has an address of and blocks to reach or to be reached at. */
function tunnels(options: CalicoOptions, next: CalicoSettings, inside: readonly PeerWay[]): RoutedTunnel[] {
  const { encapsulation = 'none', name, vni = 4096, port = 4789 } = options
  if (encapsulation === 'none') return []
  const families: readonly Family[] = encapsulation === 'ipip' ? [4] : [4, 6]
  return families.flatMap((family): RoutedTunnel[] => {
    const local = nodeAddress(next.uplinks, family)
    const own = ofFamily(options.tunnelIp, family) ?? ofFamily(next.blocks, family)
    if (local === undefined || own === undefined) return []
    const far = inside.filter((way) => way.family === family)
    const addresses = [`${hostOf(own)}/${family === 6 ? 128 : 32}`]
    if (encapsulation === 'ipip') {
      const known = { subnets: tunnelSubnets(far), peers: [...new Set(far.map((way) => `${way.address}/32`))] }
      return [{ name: 'tunl0', type: 'ipip', local, addresses, ttl: 'inherit', df: 'inherit', ...known }]
    }
    const v6 = family === 6
    const mac = [options.vtepMac ?? []].flat()[v6 ? 1 : 0] ?? calicoMac(name, v6)
    const subnets = tunnelSubnets(far, (way) => way.vtepMac ?? calicoMac(way.node, v6))
    const device = {
      name: v6 ? 'vxlan-v6.calico' : 'vxlan.calico',
      mac,
      vni,
      port,
      learning: false,
      knownPeersOnly: true,
    }
    return [{ ...device, type: 'vxlan', local, addresses, subnets }]
  })
}

/** What kube-proxy marked, then cali-nat-outgoing, of both IP versions. */
function natOutgoing(options: CalicoOptions): Chain {
  const { pools = [], natExclusions: hosts = [], natOutgoingAddress: to, natPortRange: portRange } = options
  return ({ masquerade }) => {
    const rules = ([4, 6] as const).flatMap((family) => {
      // What is of the other version gets the node's address as ever.
      const source = to !== undefined && familyOf(to) === family ? { to: [to] } : {}
      const of = (list: readonly string[]): string[] => list.filter((text) => familyOf(text) === family)
      const masqueradePools = of(pools.filter((pool) => pool.natOutgoing).map((pool) => pool.cidr))
      if (masqueradePools.length === 0) return []
      const about = { family, masqueradePools, allPools: of(pools.map((pool) => pool.cidr)), hosts: of(hosts) }
      const ranged = portRange === undefined ? {} : { ranged: masquerade({ ...source, portRange }) }
      return calicoNatOutgoing({ ...about, nat: masquerade(source), ...ranged })
    })
    return [...markedMasquerade(masquerade()), ...rules]
  }
}
