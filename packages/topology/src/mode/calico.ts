import { type CalicoOptions, type CalicoSettings, calico, POD_GATEWAY, POD_GATEWAY_MAC, podGateway6 } from '@l2l3/modes'
import { onLink, parseIp, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Mode, Report } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import {
  announcement,
  checkNoVteps,
  checkOneOfEach,
  checkPeers,
  clusterOptions,
  oneOrTwo,
  type RawCluster,
} from './cluster-keys.ts'
import { l3Mode } from './l3.ts'
import {
  type Build,
  checkAlone,
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
import { checkRouted, icmpOf, mtu, type RoutedOptions, routesOf, uplinkKeys } from './routed.ts'
import { udpPort, vni } from './tunnel-schema.ts'

/* mode: calico - see `calico` in @l2l3/modes. */

const options = {
  ...l3Mode.options,
  ...clusterOptions,
  ...kubeOptions,
  encapsulation: {
    enum: ['none', 'ipip', 'vxlan'],
    description: 'How packets get to another node: as they are (none, the default), in IP, or as frames in UDP.',
  },
  crossSubnet: {
    type: 'boolean',
    description: 'Whether nodes on the link are reached without encapsulation (CrossSubnet). Default false.',
  },
  pools: {
    type: 'array',
    description: "Networks that pods' addresses are from. Default: none.",
    items: {
      type: 'object',
      required: ['cidr'],
      additionalProperties: false,
      properties: {
        cidr: { type: 'string', description: 'The network: 10.244.0.0/16.' },
        natOutgoing: {
          type: 'boolean',
          description: "Whether what leaves it for no pool gets the node's address. Default false.",
        },
      },
    },
  },
  natExclusions: {
    type: 'array',
    items: { type: 'string' },
    description: "Networks besides the pools that see pods' own addresses, such as the nodes'. Default: none.",
  },
  natOutgoingAddress: {
    type: 'string',
    description: "The address in place of the node's, of what is of its IP version.",
  },
  natPortRange: {
    type: 'string',
    pattern: '^[0-9]{1,5}(-[0-9]{1,5})?$',
    description: 'Ports that TCP and UDP are translated to: 32768-60999. Default: as Linux chooses.',
  },
  vni: { ...vni, description: 'vxlan: its number. Default 4096.' },
  vxlanPort: { ...udpPort, description: 'vxlan: the UDP port. Default 4789.' },
  vtepMac: oneOrTwo("vxlan: MAC of the node's end, and of the IPv6 one. Default: 66 and the SHA-1 of the name."),
  tunnelIp: oneOrTwo("The node's address inside, of each IP version. Default: the first of its first block."),
} as const

interface Options
  extends RoutedOptions,
    RawCluster,
    Pick<
      CalicoOptions,
      | 'gatewayMac'
      | 'antiSpoofing'
      | 'proxyArp'
      | 'blocks'
      | 'encapsulation'
      | 'crossSubnet'
      | 'pools'
      | 'natExclusions'
      | 'natOutgoingAddress'
      | 'natPortRange'
      | 'vni'
      | 'vtepMac'
      | 'tunnelIp'
    > {
  vxlanPort?: number
}

const of = (node: NodeSpec): Options => node.options as Options

const settings: SettingsOf<CalicoSettings> = (spec, plugged) => ({
  pods: podsOf(plugged),
  // Which sources may come in is a question to pods.
  uplinks: uplinksOf(spec, plugged).map((link) => ({ ...link, rpFilter: 'off' })),
  blocks: of(spec).blocks ?? [],
  peers: of(spec).peers ?? [],
  routes: routesOf(spec, plugged),
  ...policiesOf(spec),
})

const build: Build<CalicoSettings> = (ground, now, node) => {
  const { gatewayMac, antiSpoofing, proxyArp, rpFilter } = of(node)
  const { encapsulation, crossSubnet, pools, natExclusions, natOutgoingAddress, natPortRange } = of(node)
  const { vni: number, vxlanPort: port, vtepMac, tunnelIp } = of(node)
  const given = {
    ...{ gatewayMac, antiSpoofing, proxyArp, rpFilter, encapsulation, crossSubnet, pools, natExclusions },
    ...{ natOutgoingAddress, natPortRange, vni: number, port, vtepMac, tunnelIp },
  }
  const known = Object.entries(given).filter(([, value]) => value !== undefined)
  return calico(ground, {
    ...icmpOf(node),
    ...gateOptions(node),
    ...Object.fromEntries(known),
    ...now,
    name: node.name,
  })
}

function check(node: NodeSpec, report: Report): void {
  let fine = true
  const note: Report = (path, message, at) => {
    fine = false
    report(path, message, at)
  }
  const { gatewayMac, blocks = [], pools = [], natExclusions = [], vtepMac = [], tunnelIp = [] } = of(node)
  if (gatewayMac !== undefined) attempt(note, ['gatewayMac'], () => parseMac(gatewayMac))
  blocks.forEach((text, i) => void attempt(note, ['blocks', i], () => parseNetwork(text)))
  pools.forEach(({ cidr }, i) => void attempt(note, ['pools', i, 'cidr'], () => parseNetwork(cidr)))
  natExclusions.forEach((text, i) => void attempt(note, ['natExclusions', i], () => parseNetwork(text)))
  checkNatAddress(node, note)
  for (const text of [vtepMac].flat()) attempt(note, ['vtepMac'], () => parseMac(text))
  const inside = [tunnelIp].flat().flatMap((text) => attempt(note, ['tunnelIp'], () => parseIp(text)) ?? [])
  checkOneOfEach('tunnelIp', inside, note)
  const { encapsulation = 'none' } = of(node)
  if (encapsulation !== 'vxlan') {
    const why = `is of encapsulation vxlan, not ${encapsulation}`
    checkUnused(node, ['vni', 'vxlanPort', 'vtepMac'], why, note)
    checkNoVteps(node, note, why)
  }
  if (encapsulation === 'none') {
    checkUnused(node, ['crossSubnet', 'tunnelIp'], 'is of encapsulation ipip or vxlan, and there is none', note)
  }
  if (!pools.some((pool) => pool.natOutgoing)) {
    const ofNat = ['natExclusions', 'natOutgoingAddress', 'natPortRange']
    checkUnused(node, ofNat, 'is of pools with natOutgoing, and there is none', note)
  }
  checkAlone(node, note)
  checkRouted(node, note)
  checkPeers(node, note)
  checkPolicies(node, [], note)
  if (fine) tryToBuild(node, settings, build, report)
}

/** Reports an address to translate to that nobody would answer for: it is of a link of the node, and not the node's. One that is on no
 * link is for others' routes to lead here. */
function checkNatAddress(node: NodeSpec, report: Report): void {
  const { natOutgoingAddress: given, pools = [] } = of(node)
  const at = ['natOutgoingAddress']
  const to = given === undefined ? undefined : attempt(report, at, () => parseIp(given))
  if (to === undefined) return
  const near = node.ports.flatMap((p) => (p.endpoint === null ? p.interface.addresses : []))
  const link = near.find((a) => onLink(a, to.bytes))
  if (link !== undefined && !near.some((a) => a.text === to.text)) {
    report(
      at,
      `${to.text} is in the network of ${link.text}/${link.prefix}, and no address of the node: nobody would answer for it`,
    )
  }
  const pool = pools.find((p) => p.natOutgoing && p.cidr.includes(':') === (to.family === 6))
  if (pool === undefined && pools.some((p) => p.natOutgoing)) {
    report(at, `no pool with natOutgoing is of IPv${to.family}, as ${to.text} is`)
  }
}

/** Pods as Calico has them. */
export const calicoMode: Mode = {
  name: 'calico',
  options,
  portOptions: { mtu },
  uplinkKeys,
  check,
  gateways: (node, { endpoint }) =>
    [POD_GATEWAY, podGateway6(parseMac(of(node).gatewayMac ?? POD_GATEWAY_MAC))]
      .map(parseIp)
      .filter(({ family }) => endpoint?.addresses.some((a) => a.family === family)),
  announces: (node) => {
    const { blocks = [], encapsulation, vtepMac, tunnelIp } = of(node)
    return announcement(node, blocks, encapsulation === 'vxlan' ? { vtepMac, tunnelIp } : {})
  },
  changes: ['routes', 'blocks', 'peers', ...KUBE_CHANGES],
  build: (node, ground) => new LinuxModeNode<CalicoSettings>(node, ground, settings, build),
}
