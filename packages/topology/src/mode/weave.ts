import { type WeaveOptions, type WeavePeer, type WeaveSettings, weave } from '@l2l3/modes'
import { derivedMac, parseMac } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Mode, Report, Schema } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import {
  BridgedModeNode,
  checkHosts,
  checkUnderlay,
  gatewayAddresses,
  gatewayKey,
  gatewayOf,
  given,
  noted,
  type RawGateway,
} from './bridged-node.ts'
import { clusterOptions, type RawCluster, underlayAddresses } from './cluster-keys.ts'
import {
  type Build,
  gateOptions,
  KUBE_CHANGES,
  kubeOptions,
  podsOf,
  type SettingsOf,
  tryToBuild,
  uplinksOf,
} from './linux-node.ts'
import { checkPolicies, policiesOf } from './policies.ts'
import { checkRouted, icmpOf, mtu, type RoutedOptions, routedOptions, routesOf, uplinkKeys } from './routed.ts'
import { checkRoute, farEnd } from './tunnel-keys.ts'
import { udpPort } from './tunnel-schema.ts'

/* mode: weave - see `weave` in @l2l3/modes. */

const peerName = (description: string): Schema => ({ type: 'string', description })
const shortId = (description: string): Schema => ({ type: 'integer', minimum: 0, maximum: 0xfff, description })
const sleeve = (description: string): Schema => ({ type: 'boolean', description })

const options = {
  ...routedOptions,
  ...kubeOptions,
  cluster: clusterOptions.cluster,
  announce: clusterOptions.announce,
  peers: {
    type: 'array',
    description: 'Nodes that are not in the file, or are other than they tell. Default: those of the cluster.',
    items: {
      type: 'object',
      required: ['node', 'address', 'name', 'shortId'],
      additionalProperties: false,
      properties: {
        node: { type: 'string', description: "The node's name." },
        address: { type: 'string', description: "The node's address on the underlay." },
        name: peerName("The peer's name in the mesh: six bytes, written like a MAC."),
        shortId: shortId("The peer's number in the mesh."),
        sleeve: sleeve('Whether it has sleeve only. Default false.'),
      },
    },
  },
  gateway: gatewayKey("The node's interface on the bridge, the pods' gateway. Needed."),
  peerName: peerName("The node's name in the mesh: six bytes, written like a MAC. Default: the MAC of the bridge."),
  shortId: shortId("The node's number in the mesh. Default: the last 12 bits of its name."),
  sleeve: sleeve('Whether it has sleeve only, and no fast datapath. Default false.'),
  meshPort: {
    ...udpPort,
    maximum: 65_534,
    description: 'The UDP port of sleeve; fastdp has the next one. Default 6783.',
  },
} as const

interface Options extends RoutedOptions, Omit<RawCluster, 'peers'>, Pick<WeaveOptions, 'sleeve'> {
  peers?: WeavePeer[]
  gateway?: RawGateway
  peerName?: string
  shortId?: number
  meshPort?: number
}

const of = (node: NodeSpec): Options => node.options as Options

/** What the node is in the mesh. */
function meshOf(node: NodeSpec): Omit<WeavePeer, 'node' | 'address'> {
  const { gateway, peerName: own, shortId: number, sleeve: slow } = of(node)
  const name = parseMac(own ?? gateway?.mac ?? derivedMac('bridge', node.name, 'gateway', 'interface'))
  return {
    name,
    shortId: number ?? Number.parseInt(name.replaceAll(':', '').slice(-3), 16),
    ...given({ sleeve: slow }),
  }
}

const settings: SettingsOf<WeaveSettings> = (spec, plugged) => ({
  pods: podsOf(plugged),
  uplinks: uplinksOf(spec, plugged),
  peers: of(spec).peers ?? [],
  routes: routesOf(spec, plugged),
  ...policiesOf(spec),
})

const build: Build<WeaveSettings> = (ground, now, node) => {
  const { gateway, meshPort: port } = of(node)
  return weave(ground, {
    ...{ ...icmpOf(node), ...gateOptions(node), ...now, ...meshOf(node), ...given({ port }) },
    gateway: gatewayOf(node, gateway as RawGateway),
  })
}

function check(node: NodeSpec, report: Report): void {
  const { gateway, peerName: own, peers = [] } = of(node)
  const fine = noted(report, (note) => {
    if (gateway === undefined) note([], 'the key "gateway" is missing: the node on the pods\' bridge')
    if (gateway?.mac !== undefined) attempt(note, ['gateway', 'mac'], () => parseMac(gateway.mac as string))
    if (own !== undefined) attempt(note, ['peerName'], () => parseMac(own))
    const gateways = gatewayAddresses(gateway, (path, message, at) => note(['gateway', ...path], message, at))
    checkHosts(node.ports, gateways, note)
    checkUnderlay(node, note)
    checkRouted(node, note)
    checkPolicies(node, gateways, note)
    const all = node.ports.flatMap((p) => p.interface.addresses)
    const local = underlayAddresses(node).find((a) => a.family === 4)
    peers.forEach(({ address, name }, i) => {
      attempt(note, ['peers', i, 'name'], () => parseMac(name))
      const at = ['peers', i, 'address']
      const far = local === undefined ? undefined : farEnd(note, at, address, local, all)
      if (far !== undefined) checkRoute(note, at, far, node)
    })
  })
  if (fine) tryToBuild(node, settings, build, report)
}

/** Weave, fast datapath and sleeve. */
export const weaveMode: Mode = {
  name: 'weave',
  options,
  portOptions: { mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' } },
  uplinkKeys,
  check,
  gateways: (node, { endpoint }) =>
    gatewayAddresses(of(node).gateway).filter(({ family }) => endpoint?.addresses.some((a) => a.family === family)),
  announces: (node) => {
    const address = underlayAddresses(node).find((a) => a.family === 4)?.text
    const mesh = attempt(
      () => {},
      [],
      () => meshOf(node),
    )
    return address === undefined || mesh === undefined ? null : { node: node.name, address, ...mesh }
  },
  changes: ['routes', 'peers', ...KUBE_CHANGES],
  build: (node, ground) => new BridgedModeNode<WeaveSettings>(node, ground, settings, build),
}
