import { type CiliumOptions, type CiliumSettings, cilium } from '@l2l3/modes'
import { type Address, ipText, onLink, parseIp, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Mode, Report, Schema } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import { given, noted } from './bridged-node.ts'
import {
  announcement,
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
import { udpPort } from './tunnel-schema.ts'

/* mode: cilium - see `cilium` in @l2l3/modes. */

const identity = (description: string): Schema => ({ type: 'integer', minimum: 1, maximum: 0xffffff, description })

const options = {
  ...routedOptions,
  ...clusterOptions,
  ...kubeOptions,
  podCidr: oneOrTwo("The node's own pods: 10.0.1.0/24. Needed."),
  router: oneOrTwo("cilium_host, the pods' gateway. Default: the first address of podCidr."),
  tunnelProtocol: { enum: ['vxlan', 'geneve'], description: 'Default vxlan.' },
  tunnelPort: { ...udpPort, description: 'The UDP port. Default 8472 of vxlan, 6081 of geneve.' },
  masquerade: { type: 'boolean', description: 'Whether what leaves the cluster is masqueraded. Default true.' },
  hostIdentity: identity('The identity in tunnels of what the node itself says. Default 1.'),
} as const

interface Options
  extends RoutedOptions,
    RawCluster,
    Pick<CiliumOptions, 'tunnelProtocol' | 'tunnelPort' | 'masquerade' | 'hostIdentity'> {
  podCidr?: string | string[]
  router?: string | string[]
}

const of = (node: NodeSpec): Options => node.options as Options

/** cilium_host: as given, or the first address of each of the node's networks. */
function routersOf(node: NodeSpec, report: Report = () => {}): Address[] {
  const { router, podCidr = [] } = of(node)
  if (router !== undefined)
    return [router].flat().flatMap((text) => attempt(report, ['router'], () => parseIp(text)) ?? [])
  return [podCidr].flat().flatMap((text) => {
    const network = attempt(report, ['podCidr'], () => parseNetwork(text))
    if (network === undefined) return []
    const first = network.bytes.slice()
    first[first.length - 1] = (first[first.length - 1] as number) | 1
    return [parseIp(ipText(first))]
  })
}

const settings: SettingsOf<CiliumSettings> = (spec, plugged) => ({
  pods: podsOf(plugged).map((pod) => {
    const { options: own } = spec.ports.find((port) => port.name === pod.name) as NodeSpec['ports'][0]
    return { ...pod, identity: (own as { identity?: number }).identity ?? 0 }
  }),
  uplinks: uplinksOf(spec, plugged),
  peers: of(spec).peers ?? [],
  routes: routesOf(spec, plugged),
  ...policiesOf(spec),
})

const build: Build<CiliumSettings> = (ground, now, node) => {
  const { tunnelProtocol, tunnelPort, masquerade, hostIdentity, podCidr = [] } = of(node)
  return cilium(ground, {
    ...{ ...icmpOf(node), ...gateOptions(node), ...now, podCidr },
    ...given({ tunnelProtocol, tunnelPort, masquerade, hostIdentity }),
    router: routersOf(node).map((a) => a.text),
  })
}

function check(node: NodeSpec, report: Report): void {
  const fine = noted(report, (note) => {
    const { podCidr } = of(node)
    if (podCidr === undefined) note([], 'the key "podCidr" is missing')
    const networks = [podCidr ?? []]
      .flat()
      .flatMap((text) => attempt(note, ['podCidr'], () => parseNetwork(text)) ?? [])
    const routers = routersOf(node, note)
    checkOneOfEach('podCidr', networks, note)
    if (of(node).router !== undefined) checkOneOfEach('router', routers, note)
    for (const { endpoint, options: own, path } of node.ports) {
      if (endpoint === null) continue
      if ((own as { identity?: number }).identity === undefined) {
        note(path, 'the key "identity" is missing: the number that the pod has in tunnels')
      }
      for (const { text, bytes } of endpoint.addresses) {
        if (routers.some((r) => r.text === text)) note([...path, 'ip'], `${text} is the address of cilium_host`)
        else if (!networks.some((network) => onLink(network, bytes))) {
          note([...path, 'ip'], `${text} is not in podCidr, ${[podCidr ?? []].flat().join(', ')}`)
        }
      }
    }
    if (underlayAddresses(node).length === 0) note([], `node ${node.name} has no address at a port without a host`)
    checkAlone(node, note)
    checkRouted(node, note)
    checkPeers(node, note)
    checkNoVteps(node, note)
    checkPolicies(node, [], note)
  })
  if (fine) tryToBuild(node, settings, build, report)
}

/** Cilium with tunnel routing. */
export const ciliumMode: Mode = {
  name: 'cilium',
  options,
  portOptions: {
    mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' },
    identity: identity('At an endpoint: its security identity, the VNI of what it sends. Needed.'),
  },
  uplinkKeys,
  check,
  gateways: (node, { endpoint }) =>
    routersOf(node).filter(({ family }) => endpoint?.addresses.some((a) => a.family === family)),
  announces: (node) => announcement(node, [of(node).podCidr ?? []].flat()),
  changes: ['routes', 'peers', ...KUBE_CHANGES],
  build: (node, ground) => new LinuxModeNode<CiliumSettings>(node, ground, settings, build),
}
