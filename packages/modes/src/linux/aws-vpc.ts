import { awsSnat, markedMasquerade } from '@l2l3/nat'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import type { L3Pod } from '../l3.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import type { Chain } from '../nat-outbound.ts'
import type { RoutedPort } from '../routed-link.ts'
import type { RoutedPod } from '../routed-pod.ts'
import { type RoutedNode, routedNode } from '../router.ts'
import type { Route } from '../routes.ts'
import { gateOf } from './gate-of.ts'
import { hostOf, nodeAddress } from './peers.ts'

/** A pod, and the node's end of its link. */
export interface AwsPod extends L3Pod {
  /** MAC of the node's end, which the pod is told: no two are the same. */
  readonly hostMac: string
}

/** Settings of a node that change while it runs. */
export interface AwsVpcSettings extends Pick<NatPolicies, 'portMappings' | 'services'> {
  readonly pods: readonly AwsPod[]
  /** Its ENIs: the first is the primary one. */
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
}

/** Settings of a node. */
export interface AwsVpcOptions extends AwsVpcSettings, NatGateOptions, Omit<HostOptions, 'nat'> {
  /** CIDRs of the VPC. */
  readonly vpc: readonly string[]
  /** Further networks to which pods keep their addresses (`AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS`). Default: none. */
  readonly excludeSnat?: readonly string[]
  /** Whether nothing is translated (`AWS_VPC_K8S_CNI_EXTERNALSNAT`). Default false. */
  readonly externalSnat?: boolean
  /** How ports are chosen (`AWS_VPC_K8S_CNI_RANDOMIZESNAT`). Default `prng`. */
  readonly randomizeSnat?: 'prng' | 'hashrandom' | 'none'
  /** Names of uplinks that are branch ENIs, by which nothing is translated (`vlan+`). Default: none. */
  readonly branchEnis?: readonly string[]
}

/**
 * mode: aws-vpc - pods have addresses of the VPC, on links of their own, and never ask by ARP: the gateway's MAC is told them.
 *
 *     pod 10.0.1.5/32, default via 169.254.1.1, which is at the node's end for good
 *      | a MAC for each link      no proxy ARP
 *     ++--------------------------------------------------------------------+
 *     | router: 10.0.1.5/32 -> this link, default -> the VPC's router       |
 *     | AWS-SNAT-CHAIN-0: to the VPC, excluded -> as it is; else the        |-- eth0 10.0.1.10, the primary ENI
 *     |                   primary address of the primary ENI                |-- eth1 ...
 *     +---------------------------------------------------------------------+
 *
 * The VPC's fabric knows which ENI has which pod's address: segments and routers around the node stand for it. One table of
 * routes stands for those of all ENIs: packets of a pod leave by the way to their destination, where the original has them leave
 * by the pod's ENI (rule 1536), except what its rules send by the main table. Answers to who came by a node port so leave by the
 * primary ENI, which is what connmark 0x80 is for.
 */
export function awsVpc(ground: Ground, options: AwsVpcOptions): RoutedNode<AwsVpcSettings> {
  const settings = ({ pods, uplinks, routes = [], ...policies }: AwsVpcSettings): HostSettings => {
    const askFrom = nodeAddress(uplinks, 4)
    const own = ({ hostMac: mac, ...pod }: AwsPod): RoutedPod => ({
      ...{ ...pod, gateway: { mac, addresses: ['fe80::1/64'] } },
      ...(askFrom === undefined ? {} : { askFrom }),
    })
    return {
      ...{ uplinks, pods: pods.map(own), routes },
      policies: {
        ...{ chain: snat(options, uplinks), inside: [] },
        ...{ portMappings: policies.portMappings ?? [], services: policies.services ?? [] },
      },
    }
  }
  const nat = gateOf(options)
  return routedNode(new HostNode(ground, settings(options), { ...options, nat }), settings)
}

/** What kube-proxy marked, then AWS-SNAT-CHAIN-0. */
function snat(options: AwsVpcOptions, uplinks: readonly RoutedPort[]): Chain {
  const { vpc, excludeSnat = [], externalSnat = false, randomizeSnat = 'prng', branchEnis = [] } = options
  const primary = nodeAddress(uplinks.slice(0, 1), 4)
  return ({ masquerade, links }) => {
    const marked = markedMasquerade(masquerade())
    if (externalSnat || primary === undefined) return marked
    const nat = masquerade({ to: [primary], ports: randomizeSnat === 'none' ? 'preserve' : 'random' })
    const vlans = branchEnis.flatMap((name) => links.get(name) ?? [])
    const local = uplinks.flatMap((link) => link.addresses).map(hostOf)
    const about = { vpc: [...vpc, ...excludeSnat], vlans, nat }
    return [...marked, ...awsSnat({ ...about, local: local.filter((text) => !text.includes(':')) })]
  }
}
