import { KnownNeighbours } from '@l2l3/arp'
import { Passage } from '@l2l3/nat'
import { Pipeline, parseInterfaceAddress, type SwitchPort } from '@l2l3/switch-core'
import { formatIpv4, formatMac, parseMac } from '@l2l3/switch-core/wire'
import { ovnMac, type ProfileOptions, type TunnelNetwork, takers, type Vtep } from '@l2l3/vxlan'
import { Entrance } from '../entrance.ts'
import { type Ground, Wires } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import type { NatGateOptions, NatPolicies } from '../nat-gate.ts'
import { same } from '../parts.ts'
import type { RoutedPort } from '../routed-link.ts'
import type { Route } from '../routes.ts'
import { underlayMtu } from '../underlay.ts'
import { VtepEnds } from '../vtep-ends.ts'
import { type BridgedPod, podPort } from './bridged-pods.ts'
import { gateOf } from './gate-of.ts'
import { HybridBridge, type HybridPeer } from './hybrid-bridge.ts'

/** The VNI of ovn-kubernetes' hybrid overlay. */
export const HYBRID_VNI = 4097
/** VXLAN and outer headers: 50 bytes. */
const OVERHEAD = 50

/** Settings of a node that change while it runs. */
export interface OvnHybridSettings extends Pick<NatPolicies, 'services'> {
  readonly pods: readonly BridgedPod[]
  readonly uplinks: readonly RoutedPort[]
  /** The nodes with Windows. */
  readonly peers?: readonly HybridPeer[]
  readonly routes?: readonly Route[]
}

/** Settings of a node. */
export interface OvnHybridOptions extends OvnHybridSettings, NatGateOptions, Omit<HostOptions, 'nat'> {
  /** The node's subnet: its first address is the logical router's, its third the distributed router's. */
  readonly subnet: string
  /** Default: the third of `subnet`. */
  readonly drIp?: string
  /** What the nodes with Windows are told. Default: 0a:58 and `drIp`. */
  readonly drMac?: string
  /** Default 4097. */
  readonly vni?: number
  /** The UDP port of all nodes. Default 4789. */
  readonly vxlanPort?: number
  /** What of the outer header is other than Open vSwitch'. */
  readonly outer?: ProfileOptions
  /** The address by which the node's gateway router speaks to the cluster: what comes from there, node ports, is drIp's to the nodes with
   * Windows. Default 100.64.0.2. */
  readonly gatewayRouterIp?: string
}

/** A node that runs. */
export interface OvnHybridNode {
  readonly host: HostNode
  readonly drIp: string
  readonly drMac: string
  readonly vni: number
  /** The address of its end of the tunnel; null where it has none. */
  readonly local: string | null
  readonly network: TunnelNetwork | null
  change(next: OvnHybridSettings): void
}

/**
 * mode: ovn-hybrid - the Linux side of ovn-kubernetes' hybrid overlay: pods of a logical switch, and a way to the nodes with Windows that
 * goes by a bridge of its own (modes.md 4.4). OVN's own tunnels between Linux nodes are mode `ovn`'s.
 *
 *     pod 10.244.3.5    pod 10.244.3.6
 *      |                 |
 *     ++-----------------++
 *     |  logical switch   +----- ext ──> [ br-ext: rules of hybrid-bridge.ts ] ── VXLAN 4097 ──+
 *     +---------+---------+              10.244.3.3 is drMac                                   |
 *               | 10.244.3.1                                                                   |
 *     +---------+-------------------------------------------------------------------------------+---+
 *     | logical router:  10.244.4.0/24 (Windows) via 10.244.3.3, TTL - 1                            |
 *     |                  else NAT of the gateway router -> uplink 192.0.2.3                          |
 *     +----------------------------------------------------------------------------------------------+
 *
 * What comes from Windows goes from br-ext to pods, past the router: only the services that pods asked for there are undone on the way.
 * Node ports with a backend on Windows are masqueraded as the gateway router's address, which br-ext makes drIp, and back.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function ovnHybrid(ground: Ground, options: OvnHybridOptions): OvnHybridNode {
  const { subnet, vni = HYBRID_VNI, vxlanPort, outer = {}, gatewayRouterIp = '100.64.0.2' } = options
  const { words, length } = parseInterfaceAddress(subnet)
  if (words.length !== 1) throw new RangeError(`subnet must be IPv4, not ${subnet}`)
  if (length > 29) throw new RangeError(`subnet ${subnet} has no room for its routers and pods`)
  const nth = (n: number): string => formatIpv4(((words[0] as number) + n) >>> 0)
  const { drIp = nth(3) } = options
  const drMac = formatMac(parseMac(options.drMac ?? ovnMac(drIp)))
  const router = { ip: nth(1), mac: ovnMac(nth(1)) }
  const farEnds = (peers: readonly HybridPeer[]): string[] => peers.map((peer) => peer.address)

  const settings = ({ pods, uplinks, peers = [], routes = [], services }: OvnHybridSettings): HostSettings => ({
    bridges: [
      {
        name: 'switch',
        ports: pods.map(podPort),
        gateway: { mac: router.mac, addresses: [`${router.ip}/${length}`] },
      },
    ],
    uplinks,
    routes: [...peers.map((peer): Route => ({ to: peer.subnet, via: drIp, port: 'switch' })), ...routes],
    // The gateway router's SNAT: all that leaves by an uplink.
    policies: { outbound: [{}], inside: [subnet], services: services ?? [] },
  })
  const gate = gateOf(options, [subnet])
  const balancer = { sourceVips: [gatewayRouterIp], ...gate.balancer }
  const host = new HostNode(ground, settings(options), { ...options, nat: { ...gate, balancer } })

  const wires = new Wires(ground, 2)
  const { switch: bridge } = host.bridges[0] as (typeof host.bridges)[0]
  const pods = new KnownNeighbours(4096, ground.seed ?? 0)
  const [out, into] = [new Entrance(), new Entrance()]
  const ext: SwitchPort = bridge.addPort(wires.link(out, 'br-ext'), { name: 'ext' })
  // What comes back from Windows goes past the router: who has translated it on its way there knows it here.
  const { nat } = host.nat as NonNullable<typeof host.nat>
  const tracked = new Passage(nat, nat.addSide('ext'), nat.addSide('pods'))
  const toPods = wires.link(new Pipeline(tracked, ext), 'br-ext (pods)')
  // Fragments that waited go on from where they did.
  tracked.from.again = toPods
  const rules = new HybridBridge(ground.pool, {
    ...{ subnet, drIp, drMac, pods, gatewayRouter: { ip: gatewayRouterIp, mac: router.mac } },
    ...{ toOvn: wires.link(ext, 'br-ext (ext)'), toPods },
    ...{ toTunnel: wires.link(into, 'br-ext (ext-vxlan)') },
  })
  out.next = rules.fromOvn

  const ends = new VtepEnds(wires, host.router)
  const own = options.uplinks.flatMap((link) => link.addresses).find((a) => !a.includes(':'))
  const local = own === undefined ? null : own.slice(0, own.indexOf('/'))
  let end: Vtep | null = null
  let network: TunnelNetwork | null = null
  if (local !== null) {
    end = ends.of('ext-vxlan', {
      ...{ encapsulation: 'vxlan', local, profile: 'ovs', ...outer },
      ...(vxlanPort === undefined ? {} : { port: vxlanPort }),
    })
    // Who asks by ARP is answered where the question came from: that alone is learnt.
    network = end.addNetwork({
      ...{ vni, out: wires.link(rules.fromTunnel, 'ext-vxlan'), learning: true, unknown: 'drop' },
    })
    into.next = network
    host.router.onLocal = takers(end.take)
  }
  let far: readonly HybridPeer[] = []
  const become = ({ pods: list, peers = [] }: OvnHybridSettings): void => {
    const macs = new Map(
      list.flatMap(({ mac, ips }) => ips.flatMap((ip) => (ip.includes(':') ? [] : [[ip, mac] as const]))),
    )
    for (const { address } of [...pods.list()]) if (!macs.has(address)) pods.delete(address)
    for (const [address, mac] of macs) pods.set(address, mac)
    rules.setPeers(peers)
    if (network === null || same(far, peers)) return
    for (const { subnet: to } of far) network.deleteRoute(to)
    for (const { subnet: to, address } of peers) network.addRoute({ to, remote: address })
    for (const { address } of far) network.forget(address)
    const links = host.uplinks.map((link) => link.iface)
    network.setMtu(underlayMtu(host.router, farEnds(peers), links) - OVERHEAD)
    far = peers
  }
  become(options)
  return {
    ...{ host, drIp, drMac, vni, local, network },
    change(next) {
      host.change(settings(next))
      become(next)
    },
  }
}
