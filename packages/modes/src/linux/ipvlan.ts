import { markedMasquerade } from '@l2l3/nat'
import { Ipvlan, type IpvlanChild, type IpvlanOptions, type Port } from '@l2l3/switch-core'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import type { Chain } from '../nat-outbound.ts'
import { Parts } from '../parts.ts'
import type { RoutedPort } from '../routed-link.ts'
import { type RoutedNode, routedNode } from '../router.ts'
import type { Route } from '../routes.ts'
import { type Plug, SharedInterface } from './shared-interface.ts'

/** A pod, and the port it is on. Its MAC is the interface's. */
export interface IpvlanPod {
  readonly name: string
  /** Name of the link to it, in a trace. Default: its name. */
  readonly label?: string
  readonly port: Port
  /** Without prefix. */
  readonly ips: readonly string[]
  /** In l3 and l3s: MTU of the link. Default 1,500. */
  readonly mtu?: number
}

/** Settings of an ipvlan node in mode l2 that change while it runs. */
export interface IpvlanL2Settings {
  readonly pods: readonly IpvlanPod[]
  /** The port to the node's own stack on the interface; null where it has none. Default null. */
  readonly parent?: Plug | null
}

/** Settings of an ipvlan node in mode l2; the engine's are `IpvlanOptions`. */
export interface IpvlanL2Options extends IpvlanL2Settings, Pick<IpvlanOptions, 'parentMac' | 'broadcastQueue'> {
  /** The interface that is shared; null where nothing is plugged in. */
  readonly uplink: Plug | null
}

/** A node whose pods share an interface by their addresses. */
export interface IpvlanL2Node {
  readonly engine: Ipvlan
  /** By the names of their ports. */
  readonly pods: ReadonlyMap<string, IpvlanChild>
  /** Makes the node what is said, while frames pass; all of it is given anew. */
  change(next: IpvlanL2Settings): void
}

/**
 * mode: ipvlan, l2 - pods on one interface of the node, with its MAC and addresses of their own.
 *
 *     pod 192.0.2.11   pod 192.0.2.12   parent 192.0.2.10     all with the MAC of the interface
 *        |                |                |
 *     +--+----------------+----------------+----------+
 *     |  ipvlan: who is it for, by destination IP     |    ARP by tpa, ND by target; broadcasts to all
 *     +----------------------+------------------------+
 *                            |
 *                          uplink      the network's router: gateway of the pods
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function ipvlanL2(ground: Ground, options: IpvlanL2Options): IpvlanL2Node {
  const { pods: first, parent: _, uplink, ...settings } = options
  const shared = new SharedInterface(ground, 'ipvlan', first.length)
  const engine = new Ipvlan(ground.loop, shared.wire(uplink), { ...settings, mode: 'l2' })
  shared.carry(uplink, engine)
  const pods = new Parts((spec: IpvlanPod) => {
    const { name, port, ips } = spec
    const link = shared.link(spec)
    const child = engine.addChild(link, { ips })
    return { name, child, ...shared.plug(port, link, child, () => engine.removeChild(child)) }
  })
  const change = ({ pods: next, parent = null }: IpvlanL2Settings): void => {
    shared.resize(next.length)
    shared.setParent(parent)
    pods.become(next)
  }
  change(options)
  return {
    engine,
    get pods() {
      return new Map(pods.list.map(({ name, child }) => [name, child]))
    },
    change,
  }
}

/** Settings of an ipvlan node in mode l3 or l3s that change while it runs. */
export interface IpvlanL3Settings {
  readonly pods: readonly IpvlanPod[]
  /** The interface that is shared, with the node's own addresses; null where nothing is plugged in. Its MAC is `parentMac`. */
  readonly uplink: RoutedPort | null
  readonly routes?: readonly Route[]
  /** In l3s: port mappings and services of the node, which pods use too. Default: none. */
  readonly policies?: Pick<NatPolicies, 'portMappings' | 'services'>
}

/** Settings of an ipvlan node in mode l3 or l3s. */
export interface IpvlanL3Options extends IpvlanL3Settings, Omit<HostOptions, 'nat'> {
  readonly parentMac: string
  /** l3s: the packet filter and the NAT of the node are in the way. Default: they are not, as in l3. */
  readonly nat?: NatGateOptions
}

/** What port mappings and services have marked is masqueraded, and nothing else. */
const marked: Chain = ({ masquerade }) => markedMasquerade(masquerade())

/**
 * mode: ipvlan, l3 and l3s - the same, but the node's stack routes what pods send and get.
 *
 *     pod 10.99.0.11/32   pod 10.99.0.12/32       no ARP, on neither side: all have the MAC of the interface
 *        |                   |                    default dev eth0
 *     +--+-------------------+------------------------------+
 *     |  router of the node: 10.99.0.11/32 by its link      |    TTL - 1
 *     |  l3s: conntrack, port mappings, services            |
 *     +----------------------+------------------------------+
 *                            | 192.0.2.10
 *                          uplink     who is there needs a route to the pods
 *
 * Broadcasts and multicasts stay where they are, either side.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function ipvlanL3(ground: Ground, options: IpvlanL3Options): RoutedNode<IpvlanL3Settings> {
  const { parentMac, nat } = options
  const settings = ({ pods, uplink, routes = [], policies = {} }: IpvlanL3Settings): HostSettings => ({
    uplinks: uplink === null ? [] : [{ ...uplink, mac: parentMac }],
    pods: pods.map((pod) => {
      const known = pod.ips.map((address) => ({ address, mac: parentMac }))
      return { ...pod, mac: parentMac, gateway: { mac: parentMac, addresses: [] }, neighbours: known }
    }),
    ...{ routes, ...(nat === undefined ? {} : { policies: { chain: marked, ...policies } }) },
  })
  return routedNode(new HostNode(ground, settings(options), options), settings)
}
