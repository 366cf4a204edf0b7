import { formatIpv6, parseIpv6 } from '@l2l3/switch-core/wire'
import { PROFILES } from '@l2l3/vxlan'
import { checkKeys, ICMP_KEYS, keysOf, ROUTED_KEYS, SIDE_KEYS } from './known-keys.ts'
import { withLinkLocal } from './routed-link.ts'
import type { OverlayNetwork, OverlayPort, VtepModeOptions } from './vtep.ts'

/*
 * What is wrong with the settings of a node with networks as a whole, before anything is built: names that lead nowhere, ends
 * that are not there. What is wrong with a number or an address is for those to say who take it.
 */

const NODE_KEYS = keysOf<VtepModeOptions>({
  ...ICMP_KEYS,
  ...{ ports: true, networks: true, uplinks: true, routes: true, sockets: true, addresses: true },
  ...{ ageing: true, maxEntries: true },
})

const PORT_KEYS = keysOf<OverlayPort>({ ...SIDE_KEYS, name: true, label: true, port: true, network: true })

const NETWORK_KEYS = [
  'profile',
  ...Object.keys(PROFILES.linux),
  ...keysOf<Omit<OverlayNetwork, keyof typeof PROFILES.linux | 'profile'>>({
    ...{ name: true, encapsulation: true, vni: true, local: true, port: true },
    ...{ remotes: true, multicast: true, static: true, prefixes: true },
    ...{ learning: true, unknown: true, knownPeersOnly: true, mac: true, destinations: true, gateway: true },
    ...{ mtu: true, oversize: true, group: true, options: true, gbp: true, knownOptions: true },
    ...{ vnis: true, labels: true, answers: true, isolated: true },
    ...{ key: true, checksum: true, sequence: true },
  }),
]

const ENCAPSULATIONS = ['vxlan', 'geneve', 'gretap'] satisfies OverlayNetwork['encapsulation'][]

/** Throws a TypeError or RangeError with key and value. */
export function checkVtep(options: VtepModeOptions): void {
  checkKeys('', options, NODE_KEYS)
  const { networks, ports, uplinks, sockets = [], addresses = [] } = options
  const names = networks.map((network) => network.name)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw new RangeError(`networks: there are two of the name ${JSON.stringify(twice)}`)
  for (const spec of uplinks) checkKeys(`uplink ${spec.name}`, spec, Object.keys(ROUTED_KEYS))
  for (const port of ports) {
    checkKeys(`port ${port.name}`, port, PORT_KEYS)
    if (names.includes(port.network)) continue
    const there = names.length === 0 ? 'there are none' : `there are ${names.join(', ')}`
    throw new RangeError(`network of port ${port.name}: there is no network ${JSON.stringify(port.network)}; ${there}`)
  }
  const own = [
    ...uplinks.flatMap((spec) => withLinkLocal(spec).map((text) => text.split('/')[0] ?? '')),
    ...sockets.map((socket) => socket.address),
    ...addresses,
  ].map(usual)
  for (const network of networks) checkNetwork(network, own)
}

function checkNetwork(network: OverlayNetwork, own: readonly string[]): void {
  const { name, encapsulation = 'vxlan', local, remotes = [], multicast, static: entries = [], prefixes = [] } = network
  checkKeys(`network ${name}`, network, NETWORK_KEYS)
  if (!ENCAPSULATIONS.includes(encapsulation)) {
    const given = JSON.stringify(encapsulation)
    throw new TypeError(`encapsulation of ${name} must be one of ${ENCAPSULATIONS.join(', ')}, not ${given}`)
  }
  if (!own.includes(usual(local))) {
    throw new RangeError(`local of ${name}: ${local} is not an address of the node; it has ${own.join(', ') || 'none'}`)
  }
  if (multicast !== undefined && remotes.length > 0) {
    throw new RangeError(
      `multicast of ${name}: the group ${multicast.group} is in place of remotes, and both are given: ` +
        'far ends would get what is for all twice',
    )
  }
  const far = { remotes, static: entries.map((e) => e.remote), prefixes: prefixes.map((p) => p.remote) }
  for (const [key, list] of Object.entries(far)) {
    for (const remote of list) {
      const address = typeof remote === 'string' ? remote : remote.address
      if (own.includes(usual(address))) throw new RangeError(`${key} of ${name}: ${address} is the node itself`)
    }
  }
}

/** An address as it is written usually: two ways to write one are one address. What is none is for others to refuse. */
function usual(address: string): string {
  try {
    return address.includes(':') ? formatIpv6(parseIpv6(address)) : address
  } catch {
    return address
  }
}
