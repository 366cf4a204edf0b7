import type { RoutedPort } from '../routed-link.ts'
import type { Route } from '../routes.ts'
import type { TunnelSubnet } from '../tunnels.ts'
import { isWithin } from '../underlay.ts'

/*
 * The other nodes of a cluster, as each node knows them: who has which pods, and how to get there.
 *
 *     { node: n2, subnets: [10.244.2.0/24], address: 192.0.2.2 }
 *
 *     on the link, and no tunnel wanted there   route 10.244.2.0/24 via 192.0.2.2
 *     else                                      a subnet of the tunnel, with 192.0.2.2 for its far end
 *
 * Each prefix goes to the address of its own IP version.
 */

/** Another node. */
export interface ClusterPeer {
  readonly node: string
  /** Networks of its pods: `10.244.2.0/24`. */
  readonly subnets: readonly string[]
  /** Its address on the underlay, of each version that it has: one, or two. */
  readonly address: string | readonly string[]
  /** VXLAN: the MACs of its ends, in the order of its addresses. Default: what the mode makes of its name or address. */
  readonly vtepMac?: string | readonly string[]
  /** VXLAN: its addresses inside, of each version. Default: the first of its first subnet. */
  readonly tunnelIp?: string | readonly string[]
}

/** IP versions. */
export type Family = 4 | 6

/** The version of an address or a prefix. */
export const familyOf = (text: string): Family => (text.includes(':') ? 6 : 4)

/** The first of these that is of a version. */
export function ofFamily(list: string | readonly string[] | undefined, family: Family): string | undefined {
  return [list ?? []].flat().find((text) => familyOf(text) === family)
}

/** An address without its prefix. */
export const hostOf = (text: string): string => text.split('/')[0] as string

/** The first address of a node at its uplinks; undefined where it has none of that version. */
export function nodeAddress(uplinks: readonly Pick<RoutedPort, 'addresses'>[], family: Family): string | undefined {
  const all = uplinks.flatMap((spec) => spec.addresses).map(hostOf)
  return ofFamily(
    all.filter((text) => !/^fe[89ab]/i.test(text)),
    family,
  )
}

/** What a peer is in one IP version. */
export interface PeerWay {
  readonly node: string
  readonly family: Family
  readonly subnets: readonly string[]
  readonly address: string
  readonly vtepMac: string | undefined
  readonly tunnelIp: string
  /** Whether it is in a network of an uplink: no gateway is between. */
  readonly onLink: boolean
}

/** Peers by IP version: a peer has one way for each of which it has an address and a subnet. */
export function peerWays(
  peers: readonly ClusterPeer[],
  uplinks: readonly Pick<RoutedPort, 'addresses'>[],
): readonly PeerWay[] {
  const networks = uplinks.flatMap((spec) => spec.addresses)
  return peers.flatMap(({ node, subnets, address, vtepMac, tunnelIp }) =>
    [address].flat().flatMap((far, i): PeerWay[] => {
      const family = familyOf(far)
      const own = subnets.filter((text) => familyOf(text) === family)
      if (own.length === 0) return []
      const inside = ofFamily(tunnelIp, family) ?? hostOf(own[0] as string)
      const onLink = networks.some((network) => familyOf(network) === family && isWithin(far, network))
      return [
        { node, family, subnets: own, address: far, vtepMac: [vtepMac ?? []].flat()[i], tunnelIp: inside, onLink },
      ]
    }),
  )
}

/** Routes to the subnets of peers by their own addresses. */
export function directRoutes(ways: readonly PeerWay[]): Route[] {
  return ways.flatMap(({ subnets, address }) => subnets.map((to) => ({ to, via: address })))
}

/** Subnets of peers as a tunnel has them. */
export function tunnelSubnets(ways: readonly PeerWay[], macOf?: (way: PeerWay) => string): TunnelSubnet[] {
  return ways.flatMap((way) => {
    const { subnets, address, tunnelIp } = way
    const frames = macOf === undefined ? {} : { mac: macOf(way), via: tunnelIp }
    return subnets.map((to): TunnelSubnet => ({ to, remote: address, ...frames }))
  })
}
