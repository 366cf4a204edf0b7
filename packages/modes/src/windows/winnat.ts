import type { AclOptions, ConntrackOptions, FragmentsOptions } from '@l2l3/nat'
import { formatPrefix, formatWords, masked, type Prefix, parseInterfaceAddress } from '@l2l3/switch-core'
import type { BridgePort } from '../bridge.ts'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import type { NatGateOptions } from '../nat-gate.ts'
import type { PortMappingOptions, PortMappingRules } from '../nat-mappings.ts'
import type { OutboundOptions } from '../nat-outbound.ts'
import type { RoutedPort } from '../routed-link.ts'
import type { Route } from '../routes.ts'
import { Firewalls } from './firewalls.ts'
import { InsideGuard } from './inside-guard.ts'

/** The prefix that Windows has for its NAT where nothing is said (modes.md 6). */
export const WINNAT_PREFIX = '172.16.0.0/16'

/** A network behind the NAT: an internal switch, and the host's vNIC on it, which is the gateway. */
export interface WinNatNetwork {
  /** Its name, and that of the host's interface there. */
  readonly name: string
  /** The host's address there with the length of the network's prefix: `172.16.0.1/20`. */
  readonly gateway: string
  /** MAC of the host's vNIC there. */
  readonly mac: string
  readonly mtu?: number
  /** Its containers. */
  readonly ports: readonly WinNatPort[]
}

/** A container's port. */
export interface WinNatPort extends Omit<BridgePort, 'acl' | 'out' | 'guards' | 'translation'> {
  /** Rules of its firewall: those of the host alone, no switch rules (modes.md 16). Default: none, and no default port ACLs. */
  readonly acl?: AclOptions
}

/** Settings of a WinNAT node that change while it runs. */
export interface WinNatSettings {
  readonly networks: readonly WinNatNetwork[]
  /** Where the host itself has addresses: those that containers are seen with. */
  readonly uplinks: readonly RoutedPort[]
  readonly routes?: readonly Route[]
  /** Ports of the host that lead to containers. */
  readonly portMappings?: readonly PortMappingOptions[]
}

/** What is not public of WinNAT, and chosen here (modes.md 6). */
export type WinNatBehaviour = Pick<OutboundOptions, 'mapping' | 'filtering' | 'ports' | 'portClass' | 'pooling'>

/** Settings of a WinNAT node. */
export interface WinNatOptions extends WinNatSettings, Omit<HostOptions, 'nat'> {
  /** The one prefix that is translated on this host, of which all networks are parts. Default `WINNAT_PREFIX`. */
  readonly prefix?: string
  /** Default: mapping `endpoint-independent`, filtering `address-dependent` - the one thing that is known -, a port is kept where
   * it is free. */
  readonly nat?: WinNatBehaviour
  /** Which port mappings there may be. Default `docker-windows`: one port of TCP or UDP at all of the host's addresses. */
  readonly portMappingRules?: PortMappingRules
  /** The table of flows. Timeouts are WinNAT's where nothing else is said. */
  readonly conntrack?: ConntrackOptions
  readonly fragments?: FragmentsOptions
  readonly mss?: NatGateOptions['mss']
  readonly invalid?: NatGateOptions['invalid']
}

/** A node with WinNAT. */
export interface WinNatNode {
  readonly host: HostNode
  /** Makes the node what is said, while frames pass; all of it is given anew. */
  change(next: WinNatSettings): void
}

/**
 * mode: winnat - containers on internal switches behind the host's address, as Docker's network `nat` on Windows (modes.md 6).
 *
 *     container 172.16.0.11    container 172.16.0.12        container 172.16.16.11
 *        |                        |                            |
 *     +--+------------------------+--+                      +--+--------------+
 *     | internal switch, network nat |                      | network lab     |     parts of one prefix
 *     +--------------+---------------+                      +------+----------+
 *                    | 172.16.0.1, host vNIC                       | 172.16.16.1
 *     +--------------+---------------------------------------------+----------+
 *     | router of the host: from one network to another, and from outside to  |
 *     | a container's own address: dropped. TTL - 1. Leaving: WinNAT.         |
 *     +--------------------------------+--------------------------------------+
 *                                      | 203.0.113.1
 *                                    uplink
 *
 * ICMP queries are translated (WinNAT has a timeout for them), IPv6 is not there. Between nodes there are port mappings alone.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function winnat(ground: Ground, options: WinNatOptions): WinNatNode {
  const { prefix = WINNAT_PREFIX, nat = {}, portMappingRules = 'docker-windows', ...more } = options
  const firewalls = new Firewalls(ground)
  const judged = (networks: readonly WinNatNetwork[]) =>
    networks.flatMap(({ ports }) => ports.map(({ name, acl = null }) => ({ name, acl })))
  const settings = ({ networks, uplinks, routes = [], portMappings = [] }: WinNatSettings): HostSettings => {
    checkWinNat(prefix, networks, portMappings)
    const bridges = networks.map(({ name, gateway, mac, mtu, ports }) => {
      const plugs = ports.map(({ acl = null, ...port }) => ({ ...port, ...firewalls.of({ name: port.name, acl }) }))
      return { name, ports: plugs, gateway: { mac, addresses: [gateway], ...(mtu === undefined ? {} : { mtu }) } }
    })
    return { bridges, uplinks, routes, policies: { outbound: [{ ...nat, behaviour: 'winnat' }], portMappings } }
  }
  const { conntrack, fragments, mss, invalid } = more
  const host = new HostNode(ground, settings(options), {
    ...more,
    nat: {
      portMappingRules,
      ...(conntrack === undefined ? {} : { conntrack }),
      ...(fragments === undefined ? {} : { fragments }),
      ...(mss === undefined ? {} : { mss }),
      ...(invalid === undefined ? {} : { invalid }),
    },
  })
  const guard = new InsideGuard(host.router, (host.nat as NonNullable<typeof host.nat>).nat)
  const watch = (): void => guard.watch(host.bridges.flatMap(({ gateway }) => gateway?.iface ?? []))
  watch()
  return {
    host,
    change(next) {
      host.change(settings(next))
      firewalls.settle(judged(next.networks))
      watch()
    },
  }
}

/** Throws a TypeError or RangeError with key and value for networks that Windows would not have behind one NAT. */
export function checkWinNat(
  prefix: string,
  networks: readonly Pick<WinNatNetwork, 'name' | 'gateway'>[],
  portMappings: readonly PortMappingOptions[] = [],
): void {
  const whole = networkOf('prefix', prefix)
  const seen: { readonly name: string; readonly own: Prefix }[] = []
  for (const [i, { name, gateway }] of networks.entries()) {
    const key = `networks[${i}].gateway`
    const own = networkOf(key, gateway)
    const shown = formatPrefix(own.words, own.length)
    if (own.length > 30) throw new RangeError(`${key}: ${gateway} leaves no address for a container`)
    if (own.length < whole.length || !covers(whole, own)) {
      const why = 'a host has one prefix for NAT, and networks are parts of it'
      throw new RangeError(`${key}: ${shown} is not in ${prefix}: ${why} (modes.md 6)`)
    }
    const other = seen.find((o) => covers(o.own, own) || covers(own, o.own))
    if (other !== undefined) throw new RangeError(`${key}: ${shown} overlaps network ${other.name}`)
    seen.push({ name, own })
  }
  for (const [i, { to }] of portMappings.entries()) {
    const key = `portMappings[${i}].to`
    const at = networkOf(key, to)
    if (!seen.some(({ own }) => covers(own, at))) throw new RangeError(`${key}: ${to} is in no network of the NAT`)
  }
}

/** The network of an address with its prefix. */
function networkOf(key: string, text: string): Prefix {
  let own: Prefix
  try {
    own = parseInterfaceAddress(text)
  } catch (error) {
    throw new TypeError(`${key}: ${(error as Error).message}`, { cause: error })
  }
  if (own.words.length !== 1) throw new RangeError(`${key}: WinNAT has no IPv6: ${formatWords(own.words)}`)
  return { words: masked(own.words, own.length), length: own.length }
}

function covers(outer: Prefix, inner: Prefix): boolean {
  const mask = outer.length === 0 ? 0 : -1 << (32 - outer.length)
  return inner.length >= outer.length && (((outer.words[0] as number) ^ (inner.words[0] as number)) & mask) === 0
}
