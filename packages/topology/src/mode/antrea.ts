import { type AntreaOptions, type AntreaSettings, antrea, antreaGatewayMac } from '@l2l3/modes'
import { type Address, firstHost, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Mode, Report } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import { checkHosts, checkUnderlay, given, noted } from './bridged-node.ts'
import {
  announcement,
  checkNoVteps,
  checkOneOfEach,
  checkPeers,
  clusterOptions,
  oneOrTwo,
  type RawCluster,
} from './cluster-keys.ts'
import {
  type Build,
  checkUnused,
  gateOptions,
  KUBE_CHANGES,
  kubeOptions,
  LinuxModeNode,
  podsOf,
  type SettingsOf,
  tryToBuild,
  uplinksOf,
} from './linux-node.ts'
import { checkPolicies, policiesOf } from './policies.ts'
import { checkRouted, icmpOf, mtu, type RoutedOptions, routedOptions, routesOf, uplinkKeys } from './routed.ts'
import { udpPort, vni } from './tunnel-schema.ts'

/* mode: antrea - see `antrea` in @l2l3/modes. */

const options = {
  ...routedOptions,
  ...clusterOptions,
  ...kubeOptions,
  podCidr: oneOrTwo("The node's own pods, 10.10.1.0/24, whose first address is the gateway's. Needed."),
  tunnelType: { enum: ['geneve', 'vxlan', 'gre'], description: 'Default geneve.' },
  tunnelPort: { ...udpPort, description: 'geneve, vxlan: the UDP port. Default 6081, 4789.' },
  vni: { ...vni, minimum: 0, description: 'geneve, vxlan: the number in the header. Default 0.' },
  spoofGuard: { type: 'boolean', description: 'Whether pods may send only from their own addresses. Default true.' },
  gatewayMac: { type: 'string', description: 'MAC of antrea-gw0. Default: 0a:58 and its address.' },
  gatewayMtu: { ...mtu, description: 'MTU of antrea-gw0. Default 1500.' },
} as const

interface Options extends RoutedOptions, RawCluster, Pick<AntreaOptions, 'tunnelType' | 'vni' | 'spoofGuard'> {
  podCidr?: string | string[]
  tunnelPort?: number
  gatewayMac?: string
  gatewayMtu?: number
}

const of = (node: NodeSpec): Options => node.options as Options

/** antrea-gw0: the first address of each of the node's networks. */
function gateways(node: NodeSpec, report: Report = () => {}): Address[] {
  return [of(node).podCidr ?? []].flat().flatMap((text) => {
    return attempt(report, ['podCidr'], () => firstHost(parseNetwork(text))) ?? []
  })
}

const settings: SettingsOf<AntreaSettings> = (spec, plugged) => ({
  pods: podsOf(plugged),
  uplinks: uplinksOf(spec, plugged),
  peers: of(spec).peers ?? [],
  routes: routesOf(spec, plugged),
  ...policiesOf(spec),
})

const build: Build<AntreaSettings> = (ground, now, node) => {
  const { tunnelType, tunnelPort: port, vni: number, spoofGuard, gatewayMac, gatewayMtu } = of(node)
  const own = gateways(node)
  return antrea(ground, {
    ...{ ...icmpOf(node), ...gateOptions(node), ...now },
    ...given({ tunnelType, port, vni: number, spoofGuard }),
    gateway: {
      mac: parseMac(gatewayMac ?? antreaGatewayMac(own[0]?.text ?? '0.0.0.0')),
      addresses: own.map(({ text, prefix }) => `${text}/${prefix}`),
      ...given({ mtu: gatewayMtu }),
    },
  })
}

function check(node: NodeSpec, report: Report): void {
  const fine = noted(report, (note) => {
    const { podCidr, gatewayMac, tunnelType } = of(node)
    if (podCidr === undefined) note([], 'the key "podCidr" is missing')
    if (gatewayMac !== undefined) attempt(note, ['gatewayMac'], () => parseMac(gatewayMac))
    if (tunnelType === 'gre') checkUnused(node, ['tunnelPort', 'vni'], 'is of geneve or vxlan, not gre', note)
    const own = gateways(node, note)
    checkOneOfEach('podCidr', own, note)
    checkHosts(node.ports, own, note)
    checkUnderlay(node, note)
    checkRouted(node, note)
    checkPeers(node, note)
    checkNoVteps(node, note)
    checkPolicies(node, own, note)
  })
  if (fine) tryToBuild(node, settings, build, report)
}

/** Antrea with encapsulation. */
export const antreaMode: Mode = {
  name: 'antrea',
  options,
  portOptions: { mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' } },
  uplinkKeys,
  check,
  gateways: (node, { endpoint }) =>
    gateways(node).filter(({ family }) => endpoint?.addresses.some((a) => a.family === family)),
  announces: (node) => announcement(node, [of(node).podCidr ?? []].flat()),
  changes: ['routes', 'peers', ...KUBE_CHANGES],
  build: (node, ground) => new LinuxModeNode<AntreaSettings>(node, ground, settings, build),
}
