import { linkLocal, Memberships, NeighbourTable } from '@l2l3/arp'
import {
  type Link,
  MILLISECOND,
  Pipeline,
  type Port,
  type ReversePathFilter,
  type Router,
  type RouterInterface,
} from '@l2l3/switch-core'
import { formatIpv6, parseMac } from '@l2l3/switch-core/wire'
import type { Wires } from './ground.ts'
import type { Part } from './parts.ts'

/** How often neighbour tables and memberships look at their timers. */
const NEIGHBOUR_TICK: number = 100 * MILLISECOND

/** A port of a routed node. */
export interface RoutedPort {
  /** Name of the interface; unique in the node. */
  readonly name: string
  /** Name of the link to it, in a trace. Default: its name. */
  readonly label?: string
  readonly port: Port
  /** MAC of the node's interface at the port. */
  readonly mac: string
  /** The node's addresses there, with prefix. */
  readonly addresses: readonly string[]
  /** The longest IP packet that leaves, in bytes. Default 1,500. */
  readonly mtu?: number
  /** Which sources may come in (RFC 3704). Default `off`. */
  readonly rpFilter?: ReversePathFilter
  /** Whether broadcasts to its network are let in from elsewhere. Default false. */
  readonly directedBroadcast?: boolean
}

/** What a routed port is besides the port: the interface on the link. */
export interface InterfaceSpec extends Omit<RoutedPort, 'port' | 'label'> {
  /** Whether what comes in and is routed on loses one of its time to live. Default true. */
  readonly decrementTtl?: boolean
}

/** A link that a router is on: its interface there, and the table that finds MACs. */
export interface JoinedLink extends Part {
  readonly name: string
  readonly iface: RouterInterface
  readonly neighbours: NeighbourTable
  /** The way out. */
  readonly out: Link
  /** Gives the interface other addresses; those that stay in their places stay as they are. */
  setAddresses(addresses: readonly string[]): void
}

/** A port that is joined to a router. */
export interface RoutedLink extends JoinedLink {
  readonly port: Port
  /** The multicast groups that the node is in there; of uplinks. */
  readonly groups?: Memberships
}

/** A port of a network that others are on too. */
export interface Uplink extends RoutedLink {
  readonly groups: Memberships
}

/**
 * Joins a port to a router, the way out. The way in is the caller's to put together, with `neighbours.input` before
 * `iface`:
 *
 *     port --> ( ... neighbours.input ... iface ) --> router
 *     port <------------- out <------ neighbours <--- router
 *
 * @param askFrom the IPv4 address that asks where the interface has none
 */
export function routedLink(wires: Wires, router: Router, spec: RoutedPort, askFrom?: string): RoutedLink {
  const { port, label, ...own } = spec
  return { port, ...joinedLink(wires, router, own, wires.link(port, label ?? spec.name), askFrom) }
}

/** Joins a link to a router, as `routedLink` does with a port's. */
export function joinedLink(wires: Wires, router: Router, spec: InterfaceSpec, out: Link, askFrom?: string): JoinedLink {
  const { pool, clock, loop, seed = 0 } = wires.ground
  const { name, mac, addresses, mtu, rpFilter, directedBroadcast, decrementTtl } = spec
  const iface = router.addInterface({
    ...{ name, mac, out, addresses },
    ...(mtu === undefined ? {} : { mtu }),
    ...(rpFilter === undefined ? {} : { reversePathFilter: rpFilter }),
    ...(directedBroadcast === undefined ? {} : { directedBroadcast }),
    ...(decrementTtl === undefined ? {} : { decrementTtl }),
  })
  const neighbours = new NeighbourTable(pool, clock, {
    ...{ mac, out, addresses, client: iface, router: true, seed },
    ...(askFrom === undefined ? {} : { askFrom }),
  })
  iface.neighbours = neighbours
  const stop = loop.every(NEIGHBOUR_TICK, neighbours)
  let now = addresses
  return {
    ...{ name, iface, neighbours, out },
    setAddresses(next) {
      const kept = next.findIndex((address, i) => address !== now[i])
      const from = kept < 0 ? next.length : kept
      for (const gone of now.slice(from)) {
        router.removeAddress(iface, gone)
        neighbours.addresses.remove(gone)
      }
      for (const come of next.slice(from)) {
        router.addAddress(iface, come)
        neighbours.addresses.add(come)
      }
      now = next
    },
    end() {
      stop()
      router.removeInterface(iface)
      neighbours.flush()
      wires.end(out)
    },
  }
}

/**
 * Joins a port to a router, both ways, and to the groups of its IPv6 addresses: a switch that snoops would keep from it what
 * its neighbours ask (RFC 4861, 7.2.1).
 *
 *     port --> neighbours.input, groups.input, iface --> router
 */
export function uplink(wires: Wires, router: Router, spec: RoutedPort): Uplink {
  const { pool, clock, loop } = wires.ground
  const { mac, addresses } = spec
  const link = routedLink(wires, router, spec)
  const groups = new Memberships(pool, clock, { mac, addresses, out: link.out })
  for (const address of addresses) groups.joinSolicitedNode(address)
  const stop = loop.every(NEIGHBOUR_TICK, groups)
  loop.add(spec.port, new Pipeline(link.neighbours.input, groups.input, link.iface))
  let now = addresses
  return {
    ...link,
    groups,
    setAddresses(next) {
      link.setAddresses(next)
      for (const address of next) if (!now.includes(address)) groups.joinSolicitedNode(address)
      for (const address of now) if (!next.includes(address)) groups.leaveSolicitedNode(address)
      now = next
    },
    end() {
      loop.remove(spec.port)
      groups.close()
      stop()
      link.end()
    },
  }
}

/** The addresses of a port, and the link-local one where it speaks IPv6 and has none. */
export function withLinkLocal({ mac, addresses }: Pick<InterfaceSpec, 'mac' | 'addresses'>): readonly string[] {
  const six = addresses.filter((a) => a.includes(':'))
  if (six.length === 0 || six.some((a) => /^fe[89ab]/i.test(a))) return addresses
  return [...addresses, `${formatIpv6(linkLocal(parseMac(mac)))}/64`]
}
