import { type IpvlanL2Node, type IpvlanL3Settings, ipvlanL2, ipvlanL3, POD_GATEWAY, podGateway6 } from '@l2l3/modes'
import { type Address, parseIp } from '../address.ts'
import type { IpvlanConf } from '../cni/plugins.ts'
import type { BuiltNode, Expanding, Mode, RawNode, Report } from '../mode.ts'
import type { NodeSpec, PortSpec } from '../topology.ts'
import { type CniNode, cniKey, type Expanded, expandCni, runtimeKey } from './cni-key.ts'
import { defaultRouted, hostRoutes, hostRoutesKey } from './cni-routes.ts'
import {
  type Build,
  checkAlone,
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
import { checkShared, parentMac, SharedNode, type SharedOptions, sharedGateways, sharedOptions } from './shared-node.ts'

/* mode: ipvlan - see `ipvlanL2` and `ipvlanL3` in @l2l3/modes. */

const options = {
  ...sharedOptions,
  ...routedOptions,
  ...kubeOptions,
  cni: cniKey,
  variant: {
    enum: ['l2', 'l3', 'l3s'],
    description:
      "Who moves packets: the interface, by addresses (l2, the default), or the node's stack, by routes (l3), its packet filter and " +
      'NAT included (l3s).',
  },
  bcqueuelen: {
    type: 'integer',
    minimum: 1,
    maximum: 65_536,
    description: 'l2: broadcasts from outside that wait to be copied at most. Default 1000.',
  },
} as const

interface Options extends SharedOptions, RoutedOptions {
  variant?: 'l2' | 'l3' | 'l3s'
  bcqueuelen?: number
}

const of = (node: NodeSpec): Options => node.options as Options
const variantOf = (node: NodeSpec): 'l2' | 'l3' | 'l3s' => of(node).variant ?? 'l2'

/** Keys of routing, and of l3s alone. */
const OF_L3 = Object.keys(routedOptions)
const OF_L3S = Object.keys(kubeOptions)
const OF_L2 = ['parent', 'gateway', 'bcqueuelen']

const settings: SettingsOf<IpvlanL3Settings> = (spec, plugged) => ({
  pods: podsOf(plugged),
  uplink: uplinksOf(spec, plugged)[0] ?? null,
  routes: routesOf(spec, plugged),
  ...(variantOf(spec) === 'l3s' ? { policies: policiesOf(spec) } : {}),
})

/** Builds a node of l3 or l3s. */
const build: Build<IpvlanL3Settings> = (ground, now, node) =>
  ipvlanL3(ground, {
    ...{ ...icmpOf(node), ...now, parentMac: parentMac(node) },
    ...(variantOf(node) === 'l3s' ? { nat: gateOptions(node) } : {}),
  })

function check(node: NodeSpec, report: Report): void {
  let fine = true
  const note: Report = (path, message, at) => {
    fine = false
    report(path, message, at)
  }
  const variant = variantOf(node)
  for (const key of Object.keys(node.options)) {
    if (variant === 'l2' && [...OF_L3, ...OF_L3S].includes(key))
      note([key], `is of variant l3${OF_L3S.includes(key) ? 's' : ' or l3s'}, not l2`, 'key')
    if (variant === 'l3' && OF_L3S.includes(key))
      note([key], 'is of variant l3s: in l3 the node’s NAT is not in the way', 'key')
    if (variant !== 'l2' && OF_L2.includes(key)) note([key], `is of variant l2, not ${variant}`, 'key')
  }
  checkShared(node, note)
  const mac = quietMac(node)
  for (const { endpoint, path, interface: own } of node.ports) {
    if (endpoint !== null && mac !== undefined && endpoint.mac !== mac) {
      note([...path, 'mac'], `all pods have the MAC of the interface, ${mac}`)
    }
    if (endpoint === null && variant === 'l2' && own.addresses.length > 0) {
      note([...path, 'ip'], 'in l2 the node itself is an endpoint, the one that "parent" names')
    }
  }
  if (variant === 'l2') return
  checkAlone(node, note)
  checkRouted(node, note)
  if (variant === 'l3s') checkPolicies(node, [], note)
  if (fine) tryToBuild(node, settings, build, report)
}

function quietMac(node: Pick<NodeSpec, 'name' | 'options'>): string | undefined {
  try {
    return parentMac(node)
  } catch {
    return undefined
  }
}

class IpvlanL2ModeNode extends SharedNode {
  #node: IpvlanL2Node | null = null

  protected become(): void {
    const now = { parent: this.parent, pods: podsOf(this.pods) }
    const { bcqueuelen } = of(this.spec)
    if (this.#node !== null) this.#node.change(now)
    else {
      this.#node = ipvlanL2(this.ground, {
        ...{ ...now, parentMac: parentMac(this.spec), uplink: this.uplink },
        ...(bcqueuelen === undefined ? {} : { broadcastQueue: bcqueuelen }),
      })
    }
  }
}

/** Keys that a configuration decides. */
const DECIDED = ['variant', 'gateway']

/** What the plugin's configuration says, in the mode's keys. The interface, `master`, is the node's uplink. */
function fromCni({ plugin, networks, routes }: CniNode<IpvlanConf>): Expanded {
  const l2 = plugin.mode === 'l2'
  const gateway = l2 ? defaultRouted(networks, routes) : []
  return {
    node: { variant: plugin.mode, ...(gateway.length === 0 ? {} : { gateway }) },
    pod: (pod) => {
      const { mtu: longest } = pod.plugin as IpvlanConf
      const whole = pod.ips.map(({ address }) => `${address.split('/')[0]}/${address.includes(':') ? 128 : 32}`)
      return {
        ...(pod.ips.length === 0 ? {} : { ip: l2 ? pod.ips.map((ip) => ip.address) : whole }),
        ...(longest === 0 ? {} : { mtu: longest }),
        ...(l2 ? hostRoutes(pod.ips, routes) : {}),
      }
    },
  }
}

function expand(raw: RawNode, at: Expanding): RawNode {
  const read = expandCni(raw, at, 'ipvlan', DECIDED, fromCni)
  const mac = quietMac({ name: at.name, options: read })
  if (mac === undefined) return read
  const pods = Object.entries(read.endpoints ?? {}).map(([name, pod]) => [name, { mac, ...pod }])
  return { ...read, endpoints: Object.fromEntries(pods) }
}

/** In l3 a pod sends all to the MAC that it has itself, as an interface without ARP does: what it calls its gateway is nobody's. */
function gateways(node: NodeSpec, { endpoint }: PortSpec): Address[] {
  const mac = quietMac(node)
  const told = mac === undefined ? [] : [POD_GATEWAY, podGateway6(mac)].map(parseIp)
  const all = variantOf(node) === 'l2' ? sharedGateways(node) : told
  return all.filter(({ family }) => endpoint?.addresses.some((a) => a.family === family))
}

/** Pods with addresses of their own on one interface, and its MAC. */
export const ipvlanMode: Mode = {
  name: 'ipvlan',
  options,
  portOptions: { mtu },
  endpointKeys: { runtimeConfig: runtimeKey, routes: hostRoutesKey },
  uplinkKeys,
  sharedMac: true,
  expand,
  check,
  gateways,
  neighbours: (node, port) =>
    variantOf(node) === 'l2' ? [] : gateways(node, port).map((address) => ({ address, mac: parentMac(node) })),
  changes: ['routes', ...KUBE_CHANGES],
  build: (node, ground): BuiltNode =>
    variantOf(node) === 'l2'
      ? new IpvlanL2ModeNode(node, ground)
      : new LinuxModeNode<IpvlanL3Settings>(node, ground, settings, build),
}
