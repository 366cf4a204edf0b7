import { type FlannelOptions, type FlannelSettings, flannel } from '@l2l3/modes'
import { type Address, derivedMac, firstHost, onLink, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Mode, Report } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import {
  announcement,
  checkNear,
  checkNoVteps,
  checkOneOfEach,
  checkPeers,
  clusterOptions,
  oneOrTwo,
  type RawCluster,
  underlayAddresses,
} from './cluster-keys.ts'
import {
  type Build,
  checkUnused,
  gateOptions,
  KUBE_CHANGES,
  kubeOptions,
  LinuxModeNode,
  type SettingsOf,
  tryToBuild,
  uplinksOf,
} from './linux-node.ts'
import { endpointOptions } from './nat-schema.ts'
import { checkPolicies, policiesOf } from './policies.ts'
import {
  checkRouted,
  icmpOf,
  mtu,
  type RoutedOptions,
  routedOptions,
  routesOf,
  rpFilter,
  uplinkKeys,
} from './routed.ts'
import { udpPort, vni } from './tunnel-schema.ts'

/* mode: flannel - see `flannel` in @l2l3/modes. */

const options = {
  ...routedOptions,
  rpFilter: rpFilter('off'),
  ...clusterOptions,
  ...kubeOptions,
  network: oneOrTwo('The whole network, of each IP version: 10.244.0.0/16. Needed.'),
  subnet: oneOrTwo("The node's part of it: 10.244.1.0/24, whose first address is the gateway's. Needed."),
  backend: {
    enum: ['vxlan', 'host-gw', 'udp', 'ipip'],
    description:
      'How packets get to another node: as frames in UDP (vxlan, the default), as they are (host-gw), as packets in UDP, in IP.',
  },
  directRouting: {
    type: 'boolean',
    description: 'vxlan, ipip: whether nodes on the link are reached without it (DirectRouting). Default false.',
  },
  vni: { ...vni, description: 'vxlan: its number. Default 1.' },
  backendPort: { ...udpPort, description: 'vxlan, udp: the UDP port. Default 8472, 8285.' },
  vtepMac: oneOrTwo("vxlan: MAC of the node's end, and of the IPv6 one. Default: 0a:58 and the node's address."),
  ipMasq: {
    type: 'boolean',
    description: 'Whether what leaves the network, and comes to it, is masqueraded. Default true.',
  },
  randomFully: { type: 'boolean', description: 'Whether that draws its ports (--random-fully). Default true.' },
  bridge: {
    type: 'object',
    additionalProperties: false,
    description: "The node's interface on the pods' bridge, cni0.",
    properties: {
      mac: { type: 'string', description: 'Its MAC address. Default: made from the names, 02:....' },
      mtu: { ...mtu, description: 'Its MTU. Default 1500; what the backend leaves, in the original.' },
    },
  },
} as const

interface Options
  extends RoutedOptions,
    RawCluster,
    Pick<FlannelOptions, 'backend' | 'directRouting' | 'vni' | 'vtepMac' | 'ipMasq' | 'randomFully'> {
  network?: string | string[]
  subnet?: string | string[]
  backendPort?: number
  bridge?: { mac?: string; mtu?: number }
}

const of = (node: NodeSpec): Options => node.options as Options

/** The networks that an option names; those that are none are reported. */
function networks(node: NodeSpec, key: 'network' | 'subnet', report: Report = () => {}): Address[] {
  return [of(node)[key] ?? []].flat().flatMap((text) => attempt(report, [key], () => parseNetwork(text)) ?? [])
}

/** The first address of each subnet: the bridge's. */
function gatewaysOf(node: NodeSpec, report: Report = () => {}): Address[] {
  return networks(node, 'subnet').flatMap((network) => attempt(report, ['subnet'], () => firstHost(network)) ?? [])
}

const settings: SettingsOf<FlannelSettings> = (spec, plugged) => ({
  pods: plugged.flatMap(({ spec: { name, label, endpoint, options: own }, port }) =>
    endpoint === null ? [] : [{ ...own, name, label, port }],
  ),
  uplinks: uplinksOf(spec, plugged),
  peers: of(spec).peers ?? [],
  routes: routesOf(spec, plugged),
  ...policiesOf(spec),
})

const build: Build<FlannelSettings> = (ground, now, node) => {
  const { backend, directRouting, vni: number, backendPort: port, vtepMac, ipMasq, randomFully, bridge = {} } = of(node)
  const { network = [], subnet = [] } = of(node)
  const known = Object.entries({ backend, directRouting, vni: number, port, vtepMac, ipMasq, randomFully })
  const { mac = derivedMac('cni0', node.name, 'gateway', 'interface'), mtu: longest } = bridge
  return flannel(ground, {
    ...{ ...icmpOf(node), ...gateOptions(node), network, subnet },
    ...Object.fromEntries(known.filter(([, value]) => value !== undefined)),
    ...now,
    gateway: {
      mac: parseMac(mac),
      addresses: gatewaysOf(node).map(({ text, prefix }) => `${text}/${prefix}`),
      ...(longest === undefined ? {} : { mtu: longest }),
    },
  })
}

function check(node: NodeSpec, report: Report): void {
  let fine = true
  const note: Report = (path, message, at) => {
    fine = false
    report(path, message, at)
  }
  for (const key of ['network', 'subnet'] as const) {
    if (of(node)[key] === undefined) note([], `the key "${key}" is missing`)
  }
  const [all, own] = [networks(node, 'network', note), networks(node, 'subnet', note)]
  checkOneOfEach('network', all, note)
  checkOneOfEach('subnet', own, note)
  for (const { text, prefix, bytes } of own) {
    const whole = all.find((network) => onLink(network, bytes))
    if (whole === undefined) note(['subnet'], `${text}/${prefix} is in no network of flannel`)
  }
  const { backend = 'vxlan', vtepMac = [], bridge = {} } = of(node)
  for (const text of [vtepMac].flat()) attempt(note, ['vtepMac'], () => parseMac(text))
  if (bridge.mac !== undefined) attempt(note, ['bridge', 'mac'], () => parseMac(bridge.mac as string))
  const unused = (keys: readonly string[], backends: readonly string[]): void => {
    if (!backends.includes(backend)) {
      checkUnused(node, keys, `is of backend ${backends.join(' or ')}, not ${backend}`, note)
    }
  }
  unused(['vni', 'vtepMac'], ['vxlan'])
  if (backend !== 'vxlan') checkNoVteps(node, note, `is of backend vxlan, not ${backend}`)
  unused(['backendPort'], ['vxlan', 'udp'])
  unused(['directRouting'], ['vxlan', 'ipip'])
  if (of(node).ipMasq === false) checkUnused(node, ['randomFully'], 'is of ipMasq, which is false', note)
  const gateways = gatewaysOf(node, note)
  for (const { name, endpoint, path } of node.ports) {
    if (name === 'cni0') note(path, '"cni0" is the name of the bridge; choose another', 'key')
    for (const { text, prefix, bytes } of endpoint?.addresses ?? []) {
      if (gateways.some((g) => g.text === text)) note([...path, 'ip'], `${text} is the address of the gateway`)
      else if (!gateways.some((g) => onLink(g, bytes))) {
        note([...path, 'ip'], `${text}/${prefix} is not in the node's subnet, ${[of(node).subnet].flat().join(', ')}`)
      }
    }
  }
  if (backend === 'host-gw') checkNear(node, 'host-gw', note)
  if (underlayAddresses(node).length === 0) note([], `node ${node.name} has no address at a port without a host`)
  checkRouted(node, note)
  checkPeers(node, note)
  checkPolicies(node, gateways, note)
  if (fine) tryToBuild(node, settings, build, report)
}

/** Pods as flannel and the CNI bridge plugin have them. */
export const flannelMode: Mode = {
  name: 'flannel',
  options,
  portOptions: { mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' } },
  endpointKeys: endpointOptions,
  uplinkKeys,
  check,
  gateways: (node, { endpoint }) =>
    gatewaysOf(node).filter(({ family }) => endpoint?.addresses.some((a) => a.family === family)),
  announces: (node) => {
    const { subnet = [], backend = 'vxlan', vtepMac } = of(node)
    return announcement(node, [subnet].flat(), backend === 'vxlan' ? { vtepMac } : {})
  },
  changes: ['routes', 'peers', ...KUBE_CHANGES],
  build: (node, ground) => new LinuxModeNode<FlannelSettings>(node, ground, settings, build),
}
