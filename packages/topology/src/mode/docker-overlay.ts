import { type DockerOverlayOptions, type DockerOverlaySettings, dockerOverlay, type StationsPeer } from '@l2l3/modes'
import { dockerMac } from '@l2l3/vxlan'
import { parseIp, parseMac } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Mode, Report } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import {
  BridgedModeNode,
  checkHosts,
  checkUnderlay,
  firstIpv4,
  gatewayAddresses,
  gatewayKey,
  gatewayOf,
  given,
  noted,
  type RawGateway,
} from './bridged-node.ts'
import { clusterOptions, type RawCluster, underlayAddresses } from './cluster-keys.ts'
import { type Build, podsOf, type SettingsOf, tryToBuild, uplinksOf } from './linux-node.ts'
import { checkRouted, icmpOf, mtu, type RoutedOptions, routedOptions, routesOf, uplinkKeys } from './routed.ts'
import { checkRoute, farEnd } from './tunnel-keys.ts'
import { udpPort, vni } from './tunnel-schema.ts'

/* mode: docker-overlay - see `dockerOverlay` in @l2l3/modes. */

const options = {
  ...routedOptions,
  cluster: clusterOptions.cluster,
  announce: clusterOptions.announce,
  peers: {
    type: 'array',
    description: 'Nodes that are not in the file, or are other than they tell. Default: those of the cluster.',
    items: {
      type: 'object',
      required: ['node', 'address', 'stations'],
      additionalProperties: false,
      properties: {
        node: { type: 'string', description: "The node's name." },
        address: { type: 'string', description: "The node's address on the underlay." },
        stations: {
          type: 'array',
          description: 'Containers there.',
          items: {
            type: 'object',
            required: ['mac', 'ips'],
            additionalProperties: false,
            properties: {
              mac: { type: 'string', description: 'Its MAC address.' },
              ips: { type: 'array', items: { type: 'string' }, description: 'Its addresses, without prefix.' },
            },
          },
        },
      },
    },
  },
  gateway: gatewayKey("The bridge's own interface: the network's gateway address, which leads nowhere. Default: none."),
  vni: { ...vni, description: 'Its number. Default 4096.' },
  dataPathPort: { ...udpPort, description: 'The UDP port of all nodes. Default 4789.' },
  overlayMtu: { ...mtu, description: "The longest packet inside. Default: the underlay's less 50." },
} as const

interface Options extends RoutedOptions, Omit<RawCluster, 'peers'>, Pick<DockerOverlayOptions, 'vni'> {
  peers?: StationsPeer[]
  gateway?: RawGateway
  dataPathPort?: number
  overlayMtu?: number
}

const of = (node: NodeSpec): Options => node.options as Options

const settings: SettingsOf<DockerOverlaySettings> = (spec, plugged) => ({
  pods: podsOf(plugged),
  uplinks: uplinksOf(spec, plugged),
  peers: of(spec).peers ?? [],
  routes: routesOf(spec, plugged),
})

const build: Build<DockerOverlaySettings> = (ground, now, node) => {
  const { gateway, vni: number, dataPathPort: port, overlayMtu } = of(node)
  return dockerOverlay(ground, {
    ...{ ...icmpOf(node), ...now },
    ...given({ vni: number, port, mtu: overlayMtu }),
    ...(gateway === undefined
      ? {}
      : { gateway: gatewayOf(node, gateway, ([first]) => dockerMac(first?.text ?? '10.0.0.1')) }),
  })
}

/** Reports far ends that are none, and stations that are. */
export function checkStations(node: NodeSpec, report: Report): void {
  const all = node.ports.flatMap((p) => p.interface.addresses)
  const local = underlayAddresses(node).find((a) => a.family === 4)
  of(node).peers?.forEach(({ address, stations }, i) => {
    const at = ['peers', i, 'address']
    const far = local === undefined ? undefined : farEnd(report, at, address, local, all)
    if (far !== undefined) checkRoute(report, at, far, node)
    stations.forEach(({ mac, ips }, j) => {
      attempt(report, ['peers', i, 'stations', j, 'mac'], () => parseMac(mac))
      for (const ip of ips) attempt(report, ['peers', i, 'stations', j, 'ips'], () => parseIp(ip))
    })
  })
}

function check(node: NodeSpec, report: Report): void {
  const fine = noted(report, (note) => {
    const { gateway } = of(node)
    if (gateway?.mac !== undefined) attempt(note, ['gateway', 'mac'], () => parseMac(gateway.mac as string))
    const own = gatewayAddresses(gateway, (path, message, at) => note(['gateway', ...path], message, at))
    checkHosts(node.ports, own, note)
    checkUnderlay(node, note)
    checkRouted(node, note)
    checkStations(node, note)
  })
  if (fine) tryToBuild(node, settings, build, report)
}

/** Docker's overlay network. */
export const dockerOverlayMode: Mode = {
  name: 'docker-overlay',
  options,
  portOptions: { mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' } },
  uplinkKeys,
  macOf: (endpoint) => {
    const ip = firstIpv4(endpoint)
    return ip === undefined ? undefined : dockerMac(ip)
  },
  check,
  announces: (node) => {
    const address = underlayAddresses(node).find((a) => a.family === 4)?.text
    if (address === undefined) return null
    const stations = node.ports.flatMap(({ endpoint }) =>
      endpoint === null ? [] : [{ mac: endpoint.mac, ips: endpoint.addresses.map((a) => a.text) }],
    )
    return { node: node.name, address, stations } satisfies StationsPeer
  },
  changes: ['routes', 'peers'],
  build: (node, ground) => new BridgedModeNode<DockerOverlaySettings>(node, ground, settings, build),
}
