import { type RouterSettings, router } from '@l2l3/modes'
import { onLink } from '../address.ts'
import type { Mode, Report } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import {
  checkRouted,
  icmpOf,
  mtu,
  RoutedModeNode,
  routedOptions,
  routedPort,
  routesOf,
  rpFilter,
  uplinkKeys,
} from './routed.ts'
import { checkTunnels, tunnelsKey, tunnelsOf } from './tunnels.ts'

/* mode: router - see `router` in @l2l3/modes. */

const endpointKeys = {
  gateway: {
    ...uplinkKeys.ip,
    description: "The node's addresses at the port with their prefixes, one or a list: the host's default gateways.",
  },
  gatewayMac: { ...uplinkKeys.mac },
} as const

function check(node: NodeSpec, report: Report): void {
  for (const { endpoint, interface: own, path } of node.ports) {
    for (const { text, prefix, family, bytes } of endpoint?.addresses ?? []) {
      if (own.addresses.some((a) => onLink(a, bytes))) continue
      const gateways = own.addresses.filter((a) => a.family === family).map((a) => `${a.text}/${a.prefix}`)
      if (gateways.length > 0) {
        report([...path, 'ip'], `${text}/${prefix} is not in the network of its gateway, ${gateways.join(', ')}`)
      } else report(path, `the key "gateway" is missing an IPv${family} address for ${text}/${prefix}`)
    }
  }
  checkRouted(node, report)
  checkTunnels(node, report)
}

/** The router: a network at each port. */
export const routerMode: Mode = {
  name: 'router',
  options: { ...routedOptions, rpFilter: rpFilter('off'), tunnels: tunnelsKey },
  portOptions: {
    mtu,
    rpFilter: { ...rpFilter('off'), description: "Of this port; see the node's rpFilter, which is the default." },
    directedBroadcast: {
      type: 'boolean',
      description: "Whether packets from elsewhere to its network's broadcast address get there. Default false.",
    },
  },
  endpointKeys,
  uplinkKeys,
  check,
  gateways: (_node, port) =>
    [4, 6].flatMap((family) => port.interface.addresses.find((a) => a.family === family) ?? []),
  changes: ['routes', 'tunnels'],
  build: (node, ground) =>
    new RoutedModeNode<RouterSettings>(
      node,
      ground,
      (spec, plugged) => ({
        ports: plugged.map((p) => routedPort(p, spec)),
        tunnels: tunnelsOf(spec),
        routes: routesOf(spec, plugged),
      }),
      (on, settings) => router(on, { ...icmpOf(node), ...settings }),
    ),
}
