import type { AclOptions, OutboundNatSettingsV2, PortMapping } from '@l2l3/nat'
import type { Port } from '@l2l3/switch-core'
import type { OutboundOptions } from '../nat-outbound.ts'
import type { GuardOptions } from './port-policies.ts'
import type { WindowsService, WindowsServiceOptions } from './services.ts'
import type { OutboundNatPolicy } from './vfp-nat.ts'

/* What an overlay network of Windows is configured by: networks, endpoints, and what is on other nodes (modes.md 4.1). */

/** A subnet that another node has: `RemoteSubnetRoute`. */
export interface RemoteSubnet {
  /** `10.244.2.0/24` (`DestinationPrefix`). */
  readonly to: string
  /** The node's address on the underlay (`ProviderAddress`). */
  readonly providerAddress: string
  /** The MAC of its distributed router (`DistributedRouterMacAddress`): decapsulation there is for frames to it. */
  readonly drMac: string
  /** Its VNI (`IsolationId`). Default: the network's. */
  readonly vni?: number
}

/** An endpoint on another node that is known by its own MAC: HNS' remote endpoint (flag 1), as of a subnet that spans nodes. */
export interface RemoteEndpoint {
  readonly ip: string
  readonly mac: string
  readonly providerAddress: string
  readonly vni?: number
}

/** A network of an overlay node, as far as this node goes. */
export interface HnsOverlayNetwork {
  readonly name: string
  /** The VNI (`VSID`, `IsolationId`): 4,096 or more. */
  readonly vni: number
  /** The node's subnet: `10.244.1.0/24`. */
  readonly subnet: string
  /** Default: its first address. */
  readonly gateway?: string
  readonly remoteSubnets?: readonly RemoteSubnet[]
  readonly remoteEndpoints?: readonly RemoteEndpoint[]
  /** What sources become where a service is not DSR: an address of the subnet that no pod has, an endpoint of the host's own
   * (kube-proxy's `--source-vip`). Default: the host's address. */
  readonly sourceVip?: string
  /** OutBoundNAT of all its pods, besides their own. Default: none, and then no pod speaks to the outside. */
  readonly outboundNat?: readonly OutboundNatPolicy[]
  readonly services?: readonly WindowsService[]
  readonly portMappings?: readonly PortMapping[]
  /** How services are done. `sourceVips` is `sourceVip`. */
  readonly balancer?: Omit<WindowsServiceOptions, 'sourceVips'>
  /** Networks that are the cluster's: of a service that is not DSR, backends elsewhere get the host's address and not the SourceVIP
   * (modes.md 4.3). Default: not known. */
  readonly clusterPrefixes?: readonly string[]
}

/** A pod of an overlay node. */
export interface HnsOverlayPod {
  readonly name: string
  readonly label?: string
  readonly port: Port
  /** The network's name. */
  readonly network: string
  /** Default: 0e:2a and the IPv4 address. */
  readonly mac?: string
  /** IPv4, without prefix. */
  readonly ip: string
  /** OutBoundNAT besides the network's. */
  readonly outboundNat?: readonly OutboundNatPolicy[]
  /** Default: HNS' default port ACLs. */
  readonly acl?: AclOptions
  readonly guards?: GuardOptions | false
}

/** An OutBoundNAT policy of either schema in the words of the second. */
function settingsOf(policy: OutboundNatPolicy): OutboundNatSettingsV2 {
  if ('Settings' in policy) return policy.Settings
  const { ExceptionList = [], Destinations = [], VIP = '', MaxPortPoolUsage = 0 } = policy
  return { Exceptions: ExceptionList, Destinations, VirtualIP: VIP, MaxPortPoolUsage }
}

/** A policy of HNS as a rule between the network and the host; one with destinations (loopback DSR) is the port's, and null here.
 * @param from the pods' addresses
 * @param own the host's, which sources become where the policy has no virtual one
 * @param ports which ones are given out; undefined: any
 * @param icmp whether it is about ICMP, too: the NAT translates that, or drops it */
export function outboundRule(
  policy: OutboundNatPolicy,
  from: readonly string[],
  own: readonly string[],
  ports: string | undefined,
  icmp: boolean,
): OutboundOptions | null {
  const { Exceptions = [], Destinations = [], VirtualIP = '', MaxPortPoolUsage = 0 } = settingsOf(policy)
  if (Destinations.length > 0) return null
  return {
    ...{ behaviour: 'hns', from, exceptions: Exceptions },
    addresses: VirtualIP === '' ? own : [VirtualIP],
    ...(icmp ? { icmpTransposition: true } : {}),
    ...(ports === undefined ? {} : { portRange: ports }),
    ...(MaxPortPoolUsage === 0 ? {} : { maxPortPoolUsage: MaxPortPoolUsage }),
  }
}

/** The virtual addresses that policies translate to: the host has them, too. */
export function virtualIps(policies: readonly OutboundNatPolicy[]): string[] {
  return policies.flatMap((policy) => settingsOf(policy).VirtualIP || [])
}
