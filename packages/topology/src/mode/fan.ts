import { type FanModeOptions, type FanSettings, fan, fanGateway } from '@l2l3/modes'
import { type Address, derivedMac, parseHostAddress, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Mode, Report } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import { checkHosts, checkUnderlay, given, noted } from './bridged-node.ts'
import { underlayAddresses } from './cluster-keys.ts'
import {
  type Build,
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
import { outerKeys } from './tunnel-schema.ts'

/* mode: fan - see `fan` in @l2l3/modes. */

const options = {
  ...routedOptions,
  ...kubeOptions,
  overlay: { type: 'string', description: 'The wide network, of which each node has a part: 250.0.0.0/8. Needed.' },
  underlay: { type: 'string', description: "The nodes' network: 172.16.0.0/16. Needed." },
  masquerade: { type: 'boolean', description: 'Whether what leaves the overlay is masqueraded. Default true.' },
  bridge: {
    type: 'object',
    additionalProperties: false,
    description: "The node's interface on the pods' bridge, which has the first address of the node's part.",
    properties: {
      mac: { type: 'string', description: 'Its MAC address. Default: made from the names, 02:....' },
      mtu: { ...mtu, description: 'Its MTU. Default 1500.' },
    },
  },
  outer: {
    type: 'object',
    additionalProperties: false,
    description: 'The outer header. Default: TTL 64, DF as inside.',
    properties: { ttl: outerKeys.ttl, df: outerKeys.df, tos: outerKeys.tos },
  },
} as const

interface Options extends RoutedOptions, Pick<FanModeOptions, 'masquerade' | 'outer'> {
  overlay?: string
  underlay?: string
  bridge?: { mac?: string; mtu?: number }
}

const of = (node: NodeSpec): Options => node.options as Options

/** The address of which the node's part is computed; undefined where there is none. */
const localOf = (node: NodeSpec): string | undefined => underlayAddresses(node).find((a) => a.family === 4)?.text

/** The pods' gateway. Throws a RangeError where the prefixes make no FAN, or the node is not in the underlay. */
function gatewayOf(node: NodeSpec): Address {
  const { overlay = '', underlay = '' } = of(node)
  try {
    return parseHostAddress(fanGateway({ overlay, underlay }, localOf(node) ?? ''))
  } catch (error) {
    throw new RangeError((error as Error).message, { cause: error })
  }
}

function gateways(node: NodeSpec): Address[] {
  return [
    attempt(
      () => {},
      [],
      () => gatewayOf(node),
    ) ?? [],
  ].flat()
}

const settings: SettingsOf<FanSettings> = (spec, plugged) => ({
  pods: podsOf(plugged),
  uplinks: uplinksOf(spec, plugged),
  routes: routesOf(spec, plugged),
  ...policiesOf(spec),
})

const build: Build<FanSettings> = (ground, now, node) => {
  const { overlay = '', underlay = '', masquerade, outer, bridge = {} } = of(node)
  const { mac = derivedMac('fan', node.name, 'gateway', 'interface'), mtu: longest } = bridge
  return fan(ground, {
    ...{ ...icmpOf(node), ...gateOptions(node), ...given({ masquerade, outer }), ...now, overlay, underlay },
    local: localOf(node) ?? '',
    bridge: { mac: parseMac(mac), ...given({ mtu: longest }) },
  })
}

function check(node: NodeSpec, report: Report): void {
  const fine = noted(report, (note) => {
    const { overlay, underlay, bridge = {} } = of(node)
    for (const [key, text] of Object.entries({ overlay, underlay })) {
      if (text === undefined) note([], `the key "${key}" is missing`)
      else attempt(note, [key], () => parseNetwork(text))
    }
    if (bridge.mac !== undefined) attempt(note, ['bridge', 'mac'], () => parseMac(bridge.mac as string))
    checkHosts(node.ports, gateways(node), note)
    checkUnderlay(node, note)
    checkRouted(node, note)
    checkPolicies(node, gateways(node), note)
  })
  if (fine && attempt(report, ['underlay'], () => gatewayOf(node)) !== undefined) {
    tryToBuild(node, settings, build, report)
  }
}

/** Ubuntu's FAN. */
export const fanMode: Mode = {
  name: 'fan',
  options,
  portOptions: { mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' } },
  uplinkKeys,
  check,
  gateways: (node) => gateways(node),
  changes: ['routes', ...KUBE_CHANGES],
  build: (node, ground) => new LinuxModeNode<FanSettings>(node, ground, settings, build),
}
