import {
  type BridgeMasquerade,
  bridge,
  dockerMac,
  type LinuxBridgeOptions,
  type LinuxBridgePort,
  type LinuxBridgeSettings,
} from '@l2l3/modes'
import {
  type Address,
  derivedMac,
  isLinkLocal,
  onLink,
  parseHostAddress,
  parseIp,
  parseMac,
  parseNetwork,
} from '../address.ts'
import { attempt } from '../attempt.ts'
import type { BridgeConf } from '../cni/plugins.ts'
import type { Expanding, Mode, RawNode, Report, Schema } from '../mode.ts'
import type { NodeSpec, PortSpec } from '../topology.ts'
import { type CniNode, cniKey, type Expanded, expandCni, runtimeKey } from './cni-key.ts'
import { defaultRouted, hostRoutes, hostRoutesKey } from './cni-routes.ts'
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

/* mode: bridge - see `bridge` in @l2l3/modes. */

const flag = (description: string): Schema => ({ type: 'boolean', description })
const texts = (description: string): Schema => ({ type: 'array', items: { type: 'string' }, description })
const vlanKeys: Readonly<Record<'vlan' | 'vlanTrunk', Schema>> = {
  vlan: { type: 'integer', minimum: 0, maximum: 4094, description: 'Access VLAN; 0, the default, for none.' },
  vlanTrunk: {
    type: 'array',
    items: { type: ['integer', 'string'], minimum: 1, maximum: 4094, pattern: '^[0-9]{1,4}(-[0-9]{1,4})?$' },
    description: 'Tagged VLANs: ids, and ranges such as "20-29". Default: none.',
  },
}

const options = {
  ...routedOptions,
  rpFilter: rpFilter('off'),
  ...kubeOptions,
  cni: cniKey,
  preset: {
    enum: ['cni', 'docker0', 'kubenet'],
    description:
      "Whose bridge it is: the CNI plugin's (the default), Docker's, with its masquerade, its guard of containers' addresses and its " +
      "MACs 02:42:..., or kubenet's, with its masquerade.",
  },
  bridge: { type: 'string', description: 'Its name. Default cni0, docker0 or cbr0.' },
  gateway: {
    type: 'object',
    required: ['ip'],
    additionalProperties: false,
    description: "The node's interface on the bridge (isGateway). Default: none, and pods reach each other alone.",
    properties: {
      ip: { ...uplinkKeys.ip, description: 'Its addresses with their prefixes: one, or a list.' },
      mac: { type: 'string', description: 'Its MAC address. Default: made from the names, 02:....' },
      mtu: { type: 'integer', minimum: 68, maximum: 65_535, description: 'Its MTU. Default 1500.' },
    },
  },
  defaultGateway: {
    type: ['boolean', 'array'],
    items: { type: 'string' },
    description:
      "Who pods' default gateway is: the node (true, the default where it has an interface), nobody, or others on the bridge.",
  },
  ipMasq: flag(
    "Whether what leaves pods' network gets the node's address. Default false; true with docker0 and kubenet.",
  ),
  ipMasqBackend: {
    enum: ['iptables', 'nftables'],
    description: "In whose order the plugin's rules are. Default iptables.",
  },
  nonMasqueradeCidrs: texts('kubenet: networks to which nothing is masqueraded. Default 10.0.0.0/8.'),
  hairpinMode: flag('Whether frames may leave by the port they came from. Default false.'),
  portIsolation: flag('Whether pods do not reach each other on the bridge. Default false.'),
  macspoofchk: flag('Whether what a pod sends with another MAC than its own is dropped. Default false.'),
  vlan: { ...vlanKeys.vlan, description: "Access VLAN of pods, and the gateway's; 0, the default, for none." },
  vlanTrunk: {
    ...vlanKeys.vlanTrunk,
    description: 'Tagged VLANs of pods: ids, and ranges such as "20-29". Default: none.',
  },
  preserveDefaultVlan: flag('Whether VLAN 1 stays on pods’ ports beside their own. Default true.'),
  icc: flag('docker0: whether containers may speak with each other. Default true.'),
} as const

interface Options
  extends RoutedOptions,
    Pick<
      LinuxBridgeOptions,
      'hairpinMode' | 'portIsolation' | 'macspoofchk' | 'vlan' | 'vlanTrunk' | 'preserveDefaultVlan' | 'icc'
    > {
  preset?: 'cni' | 'docker0' | 'kubenet'
  bridge?: string
  gateway?: { ip: string | string[]; mac?: string; mtu?: number }
  defaultGateway?: boolean | string[]
  ipMasq?: boolean
  ipMasqBackend?: 'iptables' | 'nftables'
  nonMasqueradeCidrs?: string[]
}

const of = (node: NodeSpec): Options => node.options as Options

const GATEWAY_NEEDED = 'needs the key "gateway" beside it (isGateway): without, no pod reaches the node'

const NAMES = { cni: 'cni0', docker0: 'docker0', kubenet: 'cbr0' } as const

const nameOf = (node: NodeSpec): string => of(node).bridge ?? NAMES[of(node).preset ?? 'cni']

/** The node's addresses on the bridge; those that are none are reported. */
function gatewayAddresses(node: NodeSpec, report: Report = () => {}): Address[] {
  const { ip = [] } = of(node).gateway ?? {}
  return [ip].flat().flatMap((text, i) => {
    const at = Array.isArray(ip) ? ['gateway', 'ip', i] : ['gateway', 'ip']
    return attempt(report, at, () => parseHostAddress(text)) ?? []
  })
}

/** By whom pods reach other networks. */
function podGateways(node: NodeSpec, report: Report = () => {}): Address[] {
  const { defaultGateway = true } = of(node)
  if (defaultGateway === false) return []
  if (defaultGateway === true) return gatewayAddresses(node)
  return defaultGateway.flatMap((text, i) => attempt(report, ['defaultGateway', i], () => parseIp(text)) ?? [])
}

const isBridged = ({ endpoint, options: own }: PortSpec): boolean => endpoint === null && own.bridged === true

const settings: SettingsOf<LinuxBridgeSettings> = (spec, plugged) => {
  const bridged = plugged.filter((p) => isBridged(p.spec))
  return {
    pods: plugged.flatMap(({ spec: { name, label, endpoint, options: own }, port }) => {
      if (endpoint === null) return []
      const ips = endpoint.addresses.map(({ text, prefix }) => `${text}/${prefix}`)
      return [{ ...ports(own), name, label, port, mac: endpoint.mac, ips }]
    }),
    bridged: bridged.map(({ spec: { name, label, options: own }, port }) => ({ ...ports(own), name, label, port })),
    uplinks: uplinksOf(
      spec,
      plugged.filter((p) => !isBridged(p.spec)),
    ),
    routes: routesOf(spec, plugged),
    ...policiesOf(spec),
  }
}

/** A port's own settings. */
function ports(own: Readonly<Record<string, unknown>>): Pick<LinuxBridgePort, 'mtu' | 'vlan' | 'vlanTrunk'> {
  const { mtu: longest, vlan, vlanTrunk } = own as Partial<LinuxBridgePort>
  return given({ mtu: longest, vlan, vlanTrunk })
}

const build: Build<LinuxBridgeSettings> = (ground, now, node) => {
  const { preset = 'cni', gateway, nonMasqueradeCidrs: nonMasquerade } = of(node)
  const { hairpinMode, portIsolation, macspoofchk, vlan, vlanTrunk, preserveDefaultVlan, icc } = of(node)
  const own = gatewayAddresses(node)
  const { mac, mtu: longest } = gateway ?? {}
  const usual = preset === 'docker0' ? own.find((a) => a.family === 4) : undefined
  const derived = usual === undefined ? derivedMac('bridge', node.name, 'gateway', 'interface') : dockerMac(usual.text)
  return bridge(ground, {
    ...icmpOf(node),
    ...gateOptions(node),
    ...given({ hairpinMode, portIsolation, macspoofchk, vlan, vlanTrunk, preserveDefaultVlan, icc, nonMasquerade }),
    ...now,
    ...{ name: nameOf(node), masquerade: masquerade(of(node)), guarded: preset === 'docker0' },
    vlanFiltering: looksAtTags(node),
    ...(gateway === undefined
      ? {}
      : {
          gateway: {
            mac: mac === undefined ? derived : parseMac(mac),
            addresses: own.map(({ text, prefix }) => `${text}/${prefix}`),
            ...given({ mtu: longest }),
          },
        }),
  })
}

function masquerade({ preset = 'cni', ipMasq, ipMasqBackend = 'iptables' }: Options): BridgeMasquerade {
  if (!(ipMasq ?? preset !== 'cni')) return 'off'
  return preset === 'docker0' ? 'docker' : preset === 'kubenet' ? 'kubenet' : ipMasqBackend
}

/** Whether the bridge looks at tags: where anybody is in a VLAN. */
function looksAtTags(node: NodeSpec): boolean {
  return [node.options, ...node.ports.map((p) => p.options)].some(({ vlan = 0, vlanTrunk = [] }) => {
    return (vlan as number) > 0 || (vlanTrunk as unknown[]).length > 0
  })
}

/** Those settings that have a value. */
function given<T extends object>(all: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as never
}

function check(node: NodeSpec, report: Report): void {
  let fine = true
  const note: Report = (path, message, at) => {
    fine = false
    report(path, message, at)
  }
  const { gateway, defaultGateway, preset = 'cni', icc, nonMasqueradeCidrs, ipMasq, ipMasqBackend } = of(node)
  const own = gatewayAddresses(node, note)
  const next = podGateways(node, note)
  if (gateway?.mac !== undefined) attempt(note, ['gateway', 'mac'], () => parseMac(gateway.mac as string))
  if (defaultGateway === true && gateway === undefined) {
    note(['defaultGateway'], 'needs the key "gateway" beside it: the node has no interface on the bridge')
  }
  if (icc !== undefined && preset !== 'docker0') note(['icc'], 'is of Docker: needs preset docker0', 'key')
  if (nonMasqueradeCidrs !== undefined && preset !== 'kubenet') {
    note(['nonMasqueradeCidrs'], 'is of kubenet: needs preset kubenet', 'key')
  }
  if (ipMasqBackend !== undefined && preset !== 'cni')
    note(['ipMasqBackend'], 'is of the CNI plugin: needs preset cni', 'key')
  else if (masquerade(of(node)) === 'off') {
    checkUnused(node, ['ipMasqBackend', 'nonMasqueradeCidrs'], 'is of ipMasq, which is false', note)
  }
  if (gateway === undefined) {
    if (ipMasq === true) note(['ipMasq'], GATEWAY_NEEDED, 'key')
    checkUnused(node, ['services', 'portMappings'], GATEWAY_NEEDED, note)
  }
  nonMasqueradeCidrs?.forEach((text, i) => void attempt(note, ['nonMasqueradeCidrs', i], () => parseNetwork(text)))
  for (const { label, path, options: port } of [{ label: node.name, path: [], options: node.options }, ...node.ports]) {
    const { vlan = 0, vlanTrunk = [] } = port as { vlan?: number; vlanTrunk?: unknown[] }
    if (vlan > 0 && vlanTrunk.length > 0)
      note([...path, 'vlanTrunk'], `does not go together with vlan, which ${label} has`)
  }
  for (const port of node.ports) {
    const { name, endpoint, path, interface: side } = port
    if (name === nameOf(node)) note(path, `"${name}" is the name of the bridge; choose another`, 'key')
    if (endpoint !== null && port.options.bridged !== undefined)
      note([...path, 'bridged'], 'is of ports without a host', 'key')
    if (isBridged(port) && side.addresses.length > 0)
      note([...path, 'ip'], 'a port of the bridge has no address of its own')
    if (endpoint === null && !isBridged(port) && (port.options.vlan ?? port.options.vlanTrunk) !== undefined) {
      note(path, 'VLANs are of ports of the bridge: needs "bridged: true"', 'key')
    }
    for (const { text, prefix, family, bytes } of endpoint?.addresses ?? []) {
      const of4or6 = [...own, ...next].filter((g) => g.family === family)
      if (of4or6.some((g) => g.text === text)) note([...path, 'ip'], `${text} is the address of the gateway`)
      else if (own.some((g) => g.family === family) && !own.some((g) => onLink(g, bytes))) {
        const networks = own.filter((g) => g.family === family).map((g) => `${g.text}/${g.prefix}`)
        note([...path, 'ip'], `${text}/${prefix} is not in the network of the gateway, ${networks.join(', ')}`)
      }
    }
    checkReach(port, next, note)
  }
  for (const port of node.ports.filter((p) => p.endpoint === null)) {
    for (const { text, bytes } of port.interface.addresses) {
      const inside = own.find((g) => !isLinkLocal(g) && onLink(g, bytes))
      if (inside !== undefined)
        note([...port.path, 'ip'], `${text} is in the network of the bridge, ${inside.text}/${inside.prefix}`)
    }
  }
  checkRouted(node, note)
  checkPolicies(node, own, note)
  if (fine) tryToBuild(node, settings, build, report)
}

/** Reports a host that has its default gateway in none of its networks. */
function checkReach({ endpoint, path }: PortSpec, next: readonly Address[], report: Report): void {
  for (const gateway of next) {
    const own = endpoint?.addresses.filter((a) => a.family === gateway.family) ?? []
    if (own.length === 0 || isLinkLocal(gateway) || own.some((a) => onLink(a, gateway.bytes))) continue
    const [{ text, prefix }] = own as [Address]
    report([...path, 'ip'], `its default gateway, ${gateway.text}, is not in the network of ${text}/${prefix}`)
  }
}

/** Keys that a configuration decides. */
const DECIDED = [
  ...['preset', 'bridge', 'gateway', 'defaultGateway', 'ipMasq', 'ipMasqBackend', 'nonMasqueradeCidrs', 'hairpinMode'],
  ...['portIsolation', 'macspoofchk', 'vlan', 'vlanTrunk', 'preserveDefaultVlan', 'icc'],
]

/** What the plugin's configuration says, in the mode's keys. */
function fromCni({ plugin, networks, routes }: CniNode<BridgeConf>): Expanded {
  const { bridge: name, isGateway, isDefaultGateway, ipMasq, ipMasqBackend, vlan, vlanTrunk } = plugin
  const { hairpinMode, preserveDefaultVlan, macspoofchk, portIsolation } = plugin
  const own = networks.map(({ gateway, subnet }) => `${gateway}/${subnet.split('/')[1]}`)
  const leads = isGateway && own.length > 0
  const routed = isDefaultGateway ? networks.map((n) => n.gateway) : defaultRouted(networks, routes)
  return {
    node: {
      ...{ bridge: name, hairpinMode, preserveDefaultVlan, macspoofchk, portIsolation, vlan, vlanTrunk },
      ...(leads ? { gateway: { ip: own } } : {}),
      // The plugin writes its rules without an address on the bridge, too: no packet comes to them.
      ipMasq: ipMasq && leads,
      ...(ipMasq && leads && ipMasqBackend !== null ? { ipMasqBackend } : {}),
      defaultGateway: routed.length === 0 ? false : routed,
    },
    pod: (pod) => {
      const { mac, mtu: longest } = pod.plugin as BridgeConf
      return {
        ...(pod.ips.length === 0 ? {} : { ip: pod.ips.map((ip) => ip.address) }),
        ...(mac === null ? {} : { mac }),
        ...(longest === 0 ? {} : { mtu: longest }),
        ...hostRoutes(pod.ips, routes),
      }
    },
  }
}

function expand(raw: RawNode, at: Expanding): RawNode {
  const read = expandCni(raw, at, 'bridge', DECIDED, fromCni)
  if (read.preset !== 'docker0') return read
  const pods = Object.entries(read.endpoints ?? {}).map(([name, pod]) => {
    const ip = [pod?.ip ?? []].flat().find((text) => !text.includes(':'))
    const mac = attempt(
      () => {},
      [],
      () => dockerMac(parseIp((ip ?? '').split('/')[0] as string).text),
    )
    return [name, mac === undefined ? pod : { mac, ...pod }]
  })
  return { ...read, endpoints: Object.fromEntries(pods) }
}

/** Whether tags are looked at may come of the ports, and is the whole bridge's. */
function checkChange(before: NodeSpec, next: NodeSpec, report: Report): void {
  if (looksAtTags(before) === looksAtTags(next)) return
  report([], `would make the bridge look at VLAN tags${looksAtTags(next) ? '' : ' no more'}`)
}

/** Pods on a bridge of the host. */
export const bridgeMode: Mode = {
  name: 'bridge',
  options,
  portOptions: {
    mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' },
    vlan: { ...vlanKeys.vlan, description: 'At an endpoint or a bridged port: its access VLAN. Default: the node’s.' },
    vlanTrunk: { ...vlanKeys.vlanTrunk, description: 'At an endpoint or a bridged port: its tagged VLANs.' },
    bridged: flag(
      'Of a port without a host: whether it is a port of the bridge, as a NIC is that is put on it. Default false.',
    ),
  },
  endpointKeys: { runtimeConfig: runtimeKey, routes: hostRoutesKey },
  uplinkKeys,
  expand,
  check,
  gateways: (node, { endpoint }) =>
    podGateways(node).filter(({ family }) => endpoint?.addresses.some((a) => a.family === family)),
  changes: ['routes', ...KUBE_CHANGES],
  checkChange,
  build: (node, ground) => new LinuxModeNode<LinuxBridgeSettings>(node, ground, settings, build),
}
