import { type L3Options, type L3Pod, type L3Settings, l3, POD_GATEWAY, POD_GATEWAY_MAC, podGateway6 } from '@l2l3/modes'
import { parseIp, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Mode, Report } from '../mode.ts'
import type { EndpointSpec, NodeSpec } from '../topology.ts'
import {
  checkRouted,
  icmpOf,
  mtu,
  type Plugged,
  RoutedModeNode,
  type RoutedOptions,
  routedOptions,
  routedPort,
  routesOf,
  rpFilter,
  uplinkKeys,
} from './routed.ts'

/* mode: l3 - see `l3` in @l2l3/modes. */

const options = {
  ...routedOptions,
  gatewayMac: {
    type: 'string',
    description:
      "MAC of every pod's gateway; its link-local address is the IPv6 gateway. Default ee:ee:ee:ee:ee:ee, which makes " +
      'that fe80::ecee:eeff:feee:eeee.',
  },
  blocks: {
    type: 'array',
    items: { type: 'string' },
    description: 'Address blocks of the node: what no pod has of them is dropped in silence. Default: none.',
  },
  rpFilter: rpFilter('strict'),
  antiSpoofing: {
    type: 'boolean',
    description: 'Whether a pod may send only with its own MAC and addresses, ARP and ND included. Default false.',
  },
  proxyArp: {
    type: 'object',
    additionalProperties: false,
    description: 'What the answers to pods depend on.',
    properties: {
      answerProbes: { type: 'boolean', description: 'Whether probes (sender 0.0.0.0) are answered. Default false.' },
      requireRoute: { type: 'boolean', description: 'Whether only what has a route is answered for. Default true.' },
      routeLocalnet: { type: 'boolean', description: 'Whether 127.0.0.0/8 is an address like others. Default false.' },
      delayMaxMs: {
        type: 'integer',
        minimum: 0,
        maximum: 60_000,
        description: 'Answers leave after a random time below this, in milliseconds. Default 0: at once.',
      },
    },
  },
} as const

interface Options extends RoutedOptions, Pick<L3Options, 'gatewayMac' | 'blocks' | 'antiSpoofing' | 'proxyArp'> {}

function check(node: NodeSpec, report: Report): void {
  const { gatewayMac, blocks = [] } = node.options as Options
  if (gatewayMac !== undefined) attempt(report, ['gatewayMac'], () => parseMac(gatewayMac))
  blocks.forEach((text, i) => {
    attempt(report, ['blocks', i], () => parseNetwork(text))
  })
  for (const { endpoint, path } of node.ports) {
    for (const { text, prefix, bytes } of endpoint?.addresses ?? []) {
      const whole = bytes.length * 8
      if (prefix !== whole) report([...path, 'ip'], `expected ${text}/${whole}: a pod is alone on its link`)
    }
  }
  checkRouted(node, report)
}

function macOf(node: NodeSpec): string {
  const { gatewayMac = POD_GATEWAY_MAC } = node.options as Options
  return parseMac(gatewayMac)
}

function pod({ spec, port }: Plugged): L3Pod {
  const { name, mac, addresses } = spec.endpoint as EndpointSpec
  return {
    name,
    label: spec.label,
    port,
    mac,
    ips: addresses.map((a) => a.text),
    ...(spec.options as { mtu?: number }),
  }
}

/** Pods on /32 links behind proxy ARP. */
export const l3Mode: Mode = {
  name: 'l3',
  options,
  portOptions: { mtu },
  uplinkKeys,
  check,
  gateways: (node, { endpoint }) =>
    [POD_GATEWAY, podGateway6(macOf(node))]
      .map(parseIp)
      .filter(({ family }) => endpoint?.addresses.some((a) => a.family === family)),
  changes: ['routes', 'blocks'],
  build: (node, ground) =>
    new RoutedModeNode<L3Settings>(
      node,
      ground,
      (spec, plugged) => {
        const isPod = ({ spec: own }: Plugged): boolean => own.endpoint !== null
        return {
          pods: plugged.filter(isPod).map(pod),
          uplinks: plugged.filter((p) => !isPod(p)).map((p) => ({ ...routedPort(p, spec), rpFilter: 'off' })),
          routes: routesOf(spec, plugged),
          blocks: (spec.options as Options).blocks ?? [],
        }
      },
      (on, settings) => {
        const { antiSpoofing = false, proxyArp = {}, rpFilter: filter = 'strict' } = node.options as Options
        const fixed = { ...icmpOf(node), gatewayMac: macOf(node), antiSpoofing, proxyArp, rpFilter: filter }
        return l3(on, { ...fixed, ...settings })
      },
    ),
}
