import { type PtpOptions, type PtpSettings, ptp } from '@l2l3/modes'
import { type Address, derivedMac, onLink, parseIp, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { PtpConf } from '../cni/plugins.ts'
import type { Expanding, Mode, RawNode, Report } from '../mode.ts'
import type { NodeSpec, PortSpec } from '../topology.ts'
import { announcement, checkNear, checkNoVteps, checkPeers, clusterOptions, type RawCluster } from './cluster-keys.ts'
import { type CniNode, cniKey, type Expanded, expandCni, runtimeKey } from './cni-key.ts'
import { defaultRouted, hostRoutes, hostRoutesKey } from './cni-routes.ts'
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

/* mode: ptp - see `ptp` in @l2l3/modes. */

const texts = { type: 'array', items: { type: 'string' } } as const

const options = {
  ...routedOptions,
  rpFilter: rpFilter('off'),
  ...clusterOptions,
  ...kubeOptions,
  cni: cniKey,
  preset: {
    enum: ['ptp', 'kindnet'],
    description:
      "Whose it is: the CNI plugin's alone (ptp, the default), or kindnet's, which adds a route to each other node's pods and a " +
      'masquerade that leaves all pods alone.',
  },
  gateways: {
    ...texts,
    description: "The gateway of all pods, of each IP version: an address of the host's end of each link. Needed.",
  },
  podCidrs: {
    ...texts,
    description: "Networks that pods' addresses are given out of: to them nothing is masqueraded. Default: none.",
  },
  ipMasq: {
    type: 'boolean',
    description: "Whether what leaves podCidrs gets the node's address. Default false; true with kindnet.",
  },
  ipMasqBackend: {
    enum: ['iptables', 'nftables'],
    description: "In whose order the plugin's rules are. Default iptables.",
  },
  noMasqueradeCidrs: {
    ...texts,
    description: 'kindnet: networks to which nothing is masqueraded, besides pods. Default: none.',
  },
  defaultGateway: { type: 'boolean', description: 'Whether pods have a default route. Default true.' },
} as const

interface Options extends RoutedOptions, RawCluster, Partial<Pick<PtpOptions, 'gateways' | 'podCidrs'>> {
  preset?: 'ptp' | 'kindnet'
  ipMasq?: boolean
  ipMasqBackend?: 'iptables' | 'nftables'
  noMasqueradeCidrs?: string[]
  defaultGateway?: boolean
}

const of = (node: NodeSpec): Options => node.options as Options

/** The host's end of a pod's link. */
const hostMac = (node: NodeSpec, name: string): string => parseMac(derivedMac('veth', node.name, name, 'interface'))

function gateways(node: NodeSpec, report: Report = () => {}): Address[] {
  return (of(node).gateways ?? []).flatMap((text, i) => attempt(report, ['gateways', i], () => parseIp(text)) ?? [])
}

const settings: SettingsOf<PtpSettings> = (spec, plugged) => ({
  pods: podsOf(plugged).map((pod) => ({ ...pod, hostMac: hostMac(spec, pod.name) })),
  uplinks: uplinksOf(spec, plugged),
  peers: of(spec).preset === 'kindnet' ? (of(spec).peers ?? []) : [],
  routes: routesOf(spec, plugged),
  ...policiesOf(spec),
})

const build: Build<PtpSettings> = (ground, now, node) => {
  const { preset = 'ptp', podCidrs = [], ipMasqBackend = 'iptables', noMasqueradeCidrs = [] } = of(node)
  const { ipMasq = preset === 'kindnet' } = of(node)
  return ptp(ground, {
    ...{ ...icmpOf(node), ...gateOptions(node), ...now, podCidrs, noMasquerade: noMasqueradeCidrs },
    gateways: gateways(node).map(({ text }) => text),
    masquerade: !ipMasq ? 'off' : preset === 'kindnet' ? 'kindnet' : ipMasqBackend,
  })
}

function check(node: NodeSpec, report: Report): void {
  let fine = true
  const note: Report = (path, message, at) => {
    fine = false
    report(path, message, at)
  }
  const { preset = 'ptp', podCidrs = [], ipMasq, noMasqueradeCidrs } = of(node)
  if (of(node).gateways === undefined) note([], 'the key "gateways" is missing: an address for each IP version')
  const own = gateways(node, note)
  const cidrs = podCidrs.flatMap((text, i) => attempt(note, ['podCidrs', i], () => parseNetwork(text)) ?? [])
  noMasqueradeCidrs?.forEach((text, i) => void attempt(note, ['noMasqueradeCidrs', i], () => parseNetwork(text)))
  own.forEach(({ family, text }, i) => {
    if (own.findIndex((other) => other.family === family) < i) {
      note(['gateways', i], `${text} is the second of IPv${family}: pods have one`)
    }
  })
  const kindnet = preset === 'kindnet'
  if (kindnet) checkUnused(node, ['ipMasqBackend'], 'is of the CNI plugin: needs preset ptp', note)
  else {
    const ofKindnet = ['noMasqueradeCidrs', 'peers', 'cluster', 'announce']
    checkUnused(node, ofKindnet, 'is of kindnet: needs preset kindnet', note)
  }
  if (!(ipMasq ?? kindnet)) {
    checkUnused(node, [kindnet ? 'noMasqueradeCidrs' : 'ipMasqBackend'], 'is of ipMasq, which is false', note)
  } else if (podCidrs.length === 0) {
    note([], 'the key "podCidrs" is missing: what is masqueraded is what leaves them')
  }
  for (const { endpoint, path } of node.ports) {
    for (const { text, family, bytes } of endpoint?.addresses ?? []) {
      if (own.some((g) => g.text === text)) note([...path, 'ip'], `${text} is the address of the gateway`)
      else if (!own.some((g) => g.family === family))
        note([...path, 'ip'], `gateways has no IPv${family} address for ${text}`)
      else if (cidrs.some((c) => c.family === family) && !cidrs.some((c) => onLink(c, bytes))) {
        note([...path, 'ip'], `${text} is in none of podCidrs, ${podCidrs.join(', ')}`)
      }
    }
  }
  checkAlone(node, note)
  checkRouted(node, note)
  checkPeers(node, note)
  checkNoVteps(node, note)
  if (kindnet) checkNear(node, 'kindnet', note)
  checkPolicies(node, [], note)
  if (fine) tryToBuild(node, settings, build, report)
}

/** Keys that a configuration decides. */
const DECIDED = ['gateways', 'podCidrs', 'ipMasq', 'ipMasqBackend', 'defaultGateway']

/** What the plugin's configuration says, in the mode's keys. */
function fromCni({ plugin, networks, routes }: CniNode<PtpConf>): Expanded {
  const { ipMasq, ipMasqBackend } = plugin
  return {
    node: {
      gateways: networks.map((n) => n.gateway).filter((text, i, all) => all.indexOf(text) === i),
      podCidrs: networks.map((n) => n.subnet),
      ipMasq,
      ...(ipMasq && ipMasqBackend !== null ? { ipMasqBackend } : {}),
      defaultGateway: defaultRouted(networks, routes).length > 0,
    },
    pod: (pod) => {
      const { mtu: longest } = pod.plugin as PtpConf
      if (pod.ips.length === 0) return longest === 0 ? {} : { mtu: longest }
      // The plugin takes the subnet off the link and routes it by the gateway: but for that a pod is alone.
      const own = pod.ips.map(({ subnet: to, gateway: via }) => ({ to, via }))
      const further = hostRoutes(pod.ips, routes).routes ?? []
      const whole = pod.ips.map(({ address }) => `${address.split('/')[0]}/${address.includes(':') ? 128 : 32}`)
      return {
        ...{ ip: whole, routes: [...own, ...further] },
        ...(longest === 0 ? {} : { mtu: longest }),
      }
    },
  }
}

function expand(raw: RawNode, at: Expanding): RawNode {
  const read = expandCni(raw, at, 'ptp', DECIDED, fromCni)
  // kindnet masquerades by itself: its configuration says ipMasq false.
  if (raw.cni === undefined || read.preset !== 'kindnet') return read
  const { ipMasq: _, ...rest } = read
  return rest as RawNode
}

/** Pods on links of their own, of which the host has the other end. */
export const ptpMode: Mode = {
  name: 'ptp',
  options,
  portOptions: { mtu },
  endpointKeys: { runtimeConfig: runtimeKey, routes: hostRoutesKey },
  uplinkKeys,
  expand,
  check,
  gateways: (node: NodeSpec, { endpoint }: PortSpec) =>
    of(node).defaultGateway === false
      ? []
      : gateways(node).filter(({ family }) => endpoint?.addresses.some((a) => a.family === family)),
  announces: (node) => (of(node).preset === 'kindnet' ? announcement(node, of(node).podCidrs ?? []) : undefined),
  changes: ['routes', 'peers', ...KUBE_CHANGES],
  build: (node, ground) => new LinuxModeNode<PtpSettings>(node, ground, settings, build),
}
