import { KnownNeighbours, ProxyArp, Responder } from '@l2l3/arp'
import type { ConntrackOptions, Filter } from '@l2l3/nat'
import {
  type Link,
  type MacWords,
  Pipeline,
  parseInterfaceAddress,
  Router,
  type RouterInterface,
  type RouterOptions,
  SECOND,
  Switch,
  type SwitchPort,
  stationMac,
} from '@l2l3/switch-core'
import { formatIpv4, formatMac, parseIpv4, parseMac, u32 } from '@l2l3/switch-core/wire'
import type { ProfileOptions, TunnelNetwork, Vtep } from '@l2l3/vxlan'
import { Entrance } from '../entrance.ts'
import type { Wires } from '../ground.ts'
import { overlayMac } from '../hns/cni.ts'
import type { HostNode } from '../host-node.ts'
import { NatGate } from '../nat-gate.ts'
import { type Part, Parts, same } from '../parts.ts'
import { underlayMtu } from '../underlay.ts'
import type { VtepEnds } from '../vtep-ends.ts'
import type { LocalEndpoints } from './address-fix-up.ts'
import { KnownHops, NO_MAC } from './known-hops.ts'
import { behind, Decapsulated, keepKnown, NoIpv6, ToHost } from './overlay-elements.ts'
import { type HnsOverlayNetwork, type HnsOverlayPod, outboundRule } from './overlay-network.ts'
import { PortPolicies } from './port-policies.ts'
import { placeServices } from './services.ts'
import { VfpNat } from './vfp-nat.ts'

/*
 * A network of an overlay node: its pods on a switch, and the node's share of the router that all nodes are together.
 *
 *     pod ── policies of its port ── ARP answers ──+
 *     pod ── policies of its port ── ARP answers ──+ switch ── 0e:2a.. of remote endpoints ──+
 *                                                  |                                          |
 *                                   10.244.1.1, drMac                                         |
 *     +--------------------------------------------+-----------------------------+            |
 *     | router:  10.244.1.0/24  -> the endpoint's MAC, TTL - 1                    |            |
 *     |          10.244.2.0/24  -> drMac of node 2, TTL - 1 ────────────────────────── VXLAN network ── underlay
 *     |          0.0.0.0/0      -> NAT -> the host's router, as the host's own    |
 *     +---------------------------------------------------------------------------+
 *
 * The router makes one hop of what goes from pod to pod, on the node where it is sent: out of the tunnel nothing is taken off the TTL.
 * It asks nobody: endpoints are known, and so are the routers of other nodes. Pods' questions are answered at their ports - the gateway
 * and everything behind the tunnel is at drMac, an endpoint at its own MAC - and nothing that is for all leaves the node.
 */

/** What a network needs of its node. */
export interface OverlayPlace {
  readonly wires: Wires
  /** The host: its router carries tunnels, and what leaves as the host's own. */
  readonly host: HostNode
  readonly ends: VtepEnds
  readonly drMac: string
  /** The host's MAC on the uplink. */
  readonly hostMac: string
  /** The host's address on the underlay, which is the provider address. */
  readonly hostIp: string
  readonly vxlan: ProfileOptions & { readonly port?: number }
  readonly drDecrementTtl: boolean
  readonly knownPeersOnly: boolean
  readonly icmp: RouterOptions
  /** Whether NAT translates echoes. */
  readonly icmpTransposition: boolean
  /** What becomes of packets that NAT does not know: ICMP. */
  readonly untranslated: 'pass' | 'drop'
  readonly conntrack: ConntrackOptions
  readonly filter: Filter
}

/** A network with its pods; `slot` is which share of the host's ports is its own. */
export interface OverlaySpec {
  readonly name: string
  readonly network: HnsOverlayNetwork
  readonly pods: readonly HnsOverlayPod[]
  readonly virtualIps: readonly string[]
  /** From which ports OutBoundNAT gives out; undefined: it keeps a pod's port where it can. */
  readonly natPorts: string | undefined
  /** The longest inner packet. */
  readonly mtu: number
}

/** A pod that is plugged in. */
interface PodSide extends Part {
  readonly name: string
  readonly side: SwitchPort
  readonly policies: PortPolicies
}

/** The MAC of a pod. */
export function macOf({ mac, ip }: Pick<HnsOverlayPod, 'mac' | 'ip'>): string {
  return formatMac(parseMac(mac ?? overlayMac(ip)))
}

/** MACs of endpoints, for services that lead to them. */
class EndpointMacs implements LocalEndpoints {
  readonly #byIp: Map<number, MacWords> = new Map()

  keep(pods: readonly HnsOverlayPod[]): void {
    this.#byIp.clear()
    for (const pod of pods) this.#byIp.set(parseIpv4(pod.ip) | 0, stationMac('mac', macOf(pod)))
  }

  mac4(b: Uint8Array, at: number): MacWords | null {
    return this.#byIp.get(u32(b, at) | 0) ?? null
  }

  mac6(): null {
    return null
  }
}

/** A network of an overlay node. Throws a TypeError or RangeError with key and value for settings that make no sense. */
export class DistributedRouter implements Part {
  readonly name: string
  readonly switch: Switch
  readonly router: Router
  /** The interfaces: to the pods, to other nodes, to the host. */
  readonly gateway: RouterInterface
  readonly tunnel: RouterInterface
  readonly external: RouterInterface
  /** What stands at the pods' ports, and what stands between the network and the host. */
  readonly vfp: VfpNat
  readonly gate: NatGate
  readonly network: TunnelNetwork
  /** Where packets from outside come in. */
  readonly entrance: Link
  /** The switch's port to remote endpoints. */
  readonly tunnelSide: SwitchPort
  readonly #place: OverlayPlace
  readonly #vtep: Vtep
  readonly #pods: Parts<HnsOverlayPod, PodSide>
  readonly #known: KnownNeighbours
  readonly #routers: KnownNeighbours
  readonly #endpoints: EndpointMacs = new EndpointMacs()
  readonly #decapsulated: Decapsulated
  readonly #sides: readonly RouterInterface[]
  readonly #undo: (() => void)[] = []
  #spec: OverlaySpec

  constructor(place: OverlayPlace, spec: OverlaySpec) {
    const { wires, host, drMac, hostMac, hostIp, ends, drDecrementTtl, knownPeersOnly } = place
    const { pool, clock, loop, seed = 0 } = wires.ground
    const { name, network } = spec
    const { vni, subnet, sourceVip } = network
    this.#place = place
    this.#spec = spec
    this.name = name
    this.switch = new Switch(pool, clock, { name, seed })
    // Undone last, when all its ports have gone.
    this.#undo.push(() => this.switch.close(), loop.every(SECOND, this.switch))
    this.router = new Router(pool, clock, place.icmp)
    this.#known = new KnownNeighbours(4096, seed)
    this.#routers = new KnownNeighbours(4096, seed)

    const gateway = gatewayOf(network)
    const inward = new Entrance()
    const up = this.#port(inward, name)
    this.switch.addStatic(drMac, up)
    this.gateway = this.router.addInterface({
      ...{ name, mac: drMac, out: this.#link(up, `${name} (switch)`), decrementTtl: drDecrementTtl },
      addresses: [`${gateway}/${subnet.slice(subnet.indexOf('/') + 1)}`],
      neighbours: new KnownHops(pool, this.#known, `endpoint of ${name}`),
    })
    inward.next = this.gateway

    const own = { encapsulation: 'vxlan' as const, local: hostIp, profile: 'windows-vfp' as const, ...place.vxlan }
    this.#vtep = ends.of(name, own)
    this.#undo.push(() => ends.release(this.#vtep))
    const [out, way] = [new Entrance(), new Entrance()]
    this.tunnelSide = this.#port(way, `${name} (tunnel)`, { learning: false })
    this.tunnel = this.router.addInterface({
      ...{ name: `${name} (tunnel)`, mac: drMac, mtu: spec.mtu, out: this.#link(way, `${name} (wraps)`) },
      ...{ neighbours: new KnownHops(pool, this.#routers, 'router of another node'), decrementTtl: false },
    })
    this.#decapsulated = new Decapsulated(
      pool,
      drMac,
      this.#link(this.tunnel, `${name} (unwrapped)`),
      this.#link(this.tunnelSide, `${name} (unwrapped, bridged)`),
    )
    out.next = this.#decapsulated
    this.network = this.#vtep.addNetwork({
      ...{ vni, mtu: spec.mtu, out: this.#link(out, `${name} (out of the tunnel)`) },
      ...{ learning: false, unknown: 'drop', knownPeersOnly },
    })
    way.next = this.network

    this.external = this.router.addInterface({
      ...{ name: `${name} (host)`, mac: hostMac, addresses: [`${hostIp}/32`], neighbours: NO_MAC },
      ...{ out: this.#link(new ToHost(host.router), `${name} (host)`), decrementTtl: false },
    })
    this.router.addRoute({ to: '0.0.0.0/0', dev: this.external })
    this.entrance = this.#link(this.external, `${name} (from outside)`)

    const sides = [this.gateway, this.tunnel, this.external]
    if (sourceVip !== undefined) sides.push(this.#sourceVip(sourceVip))
    this.#sides = sides
    const { balancer = {}, clusterPrefixes } = network
    const vips = sourceVip === undefined ? {} : { sourceVips: [sourceVip] }
    const flows = {
      conntrack: place.conntrack,
      icmpTransposition: place.icmpTransposition,
      untransposed: place.untranslated,
    }
    this.vfp = new VfpNat(wires.ground, { ...balancer, ...vips, hostIps: [hostIp], ...flows })
    const { nodePortAddresses } = balancer
    this.gate = new NatGate(
      wires.ground,
      this.router,
      [],
      {
        balancer: {
          style: 'windows',
          ...vips,
          ...(clusterPrefixes === undefined ? {} : { clusterPrefixes }),
          ...(nodePortAddresses === undefined ? {} : { nodePortAddresses }),
        },
        // A packet of a flow that is on its way already: VFP has its own view of flows, and this one only translates.
        invalid: 'pass',
        ...flows,
      },
      [],
    )
    this.#undo.push(() => this.gate.nat.close())
    this.gate.setSides(sides.map(named))
    this.#pods = new Parts(
      (pod) => this.#plug(pod),
      (side, pod, before) => {
        if (!same({ ...pod, acl: 0, outboundNat: 0 }, { ...before, acl: 0, outboundNat: 0 })) return false
        if (!same(pod.acl, before.acl)) side.policies.setAcl(pod.acl ?? {})
        return true
      },
    )
    this.become(spec)
  }

  /** The ports of its pods, by name. */
  get sides(): ReadonlyMap<string, SwitchPort> {
    return new Map(this.#pods.list.map(({ name, side }) => [name, side]))
  }

  get mtu(): number {
    return this.#spec.mtu
  }

  /** The VNI as a text, and where it leads. */
  get id(): string {
    return `vxlan vni ${this.#spec.network.vni}`
  }

  /** This node's end. */
  get local(): string {
    return this.#place.hostIp
  }

  remotes(): string[] {
    return this.network.remotes().map((r) => r.address)
  }

  /** Everything it knows of where addresses are: endpoints of this node and of others, and routers. */
  *known(): Generator<{ readonly address: string; readonly mac: string; readonly where: 'endpoint' | 'router' }> {
    for (const { address, mac } of this.#known.list()) yield { address, mac, where: 'endpoint' }
    for (const { address, mac } of this.#routers.list()) yield { address, mac, where: 'router' }
  }

  /** Takes other pods, other nodes and other policies as it is. */
  become(spec: OverlaySpec): void {
    const before = this.#spec
    this.#spec = spec
    const { network, pods, virtualIps, natPorts } = spec
    const { remoteEndpoints = [], services = [], portMappings = [], sourceVip, balancer } = network
    const { drMac, hostMac, hostIp, icmpTransposition, untranslated } = this.#place
    keepKnown(
      this.#known,
      new Map([
        [gatewayOf(network), drMac],
        ...(sourceVip === undefined ? [] : [[sourceVip, hostMac] as const]),
        ...remoteEndpoints.map(({ ip, mac }) => [ip, mac] as const),
        ...pods.map((pod) => [pod.ip, macOf(pod)] as const),
      ]),
    )
    this.#endpoints.keep(pods)
    this.#pods.become(pods)
    this.#setRemotes(before.network, network)
    this.#decapsulated.bridged = remoteEndpoints.length > 0
    for (const vip of before.virtualIps) this.router.removeAddress(this.external, `${vip}/32`)
    for (const vip of virtualIps) this.router.addAddress(this.external, `${vip}/32`)
    const all = network.outboundNat ?? []
    const endpoints = pods.map(({ name, ip, outboundNat = [] }) => {
      return { name, ips: [ip], outboundNat: [...outboundNat, ...all] }
    })
    this.vfp.setPolicies({ services, endpoints })
    const placed = placeServices(services, balancer)
    // What is to be dropped is what would be translated if ICMP were.
    const aboutIcmp = icmpTransposition || untranslated === 'drop'
    const outbound = endpoints.flatMap(({ ips, outboundNat }) =>
      outboundNat.flatMap((policy) => outboundRule(policy, ips, [hostIp], natPorts, aboutIcmp) ?? []),
    )
    const elsewhere = merged([...placed.uplink, ...placed.host])
    this.gate.setPolicies(
      { outbound, services: elsewhere, portMappings },
      [network.subnet],
      [this.external, this.tunnel].map(named),
    )
  }

  end(): void {
    this.#pods.clear()
    this.router.gate = null
    for (const iface of [...this.#sides]) this.router.removeInterface(iface)
    this.#vtep.removeNetwork(this.network)
    for (const undo of this.#undo.reverse()) undo()
  }

  #link(target: Parameters<Wires['link']>[0], name: string): Link {
    const { wires } = this.#place
    const link = wires.link(target, name)
    this.#undo.push(() => wires.end(link))
    return link
  }

  /** A port of the switch to which nothing is flooded that is not for all. */
  #port(target: Entrance, name: string, more: { learning?: boolean } = {}): SwitchPort {
    const quiet = { unknownUnicastFlood: false, multicastFlood: false, broadcastFlood: false }
    return this.switch.addPort(this.#link(target, name), { name, ...quiet, ...more })
  }

  /** The host's own endpoint in the network: what answers services that are not DSR comes back to it. */
  #sourceVip(address: string): RouterInterface {
    const { hostMac, drDecrementTtl } = this.#place
    const { name } = this
    const entry = new Entrance()
    const side = this.#port(entry, `${name} (source VIP)`)
    this.switch.addStatic(hostMac, side)
    const iface = this.router.addInterface({
      ...{ name: `${name} (source VIP)`, mac: hostMac, addresses: [`${address}/32`] },
      ...{ out: this.#link(side, `${name} (source VIP, switch)`), decrementTtl: drDecrementTtl, neighbours: NO_MAC },
    })
    entry.next = iface
    return iface
  }

  #plug(pod: HnsOverlayPod): PodSide {
    const { wires, drMac, filter } = this.#place
    const { pool, clock, loop } = wires.ground
    const { name, label = name, port, ip, acl, guards } = pod
    const mac = macOf(pod)
    const toPort = wires.link(port, `${label} (answers)`)
    const policies = new PortPolicies(
      { ground: wires.ground, vfp: this.vfp, endpoints: this.#endpoints, filter },
      { name, mac, ips: [ip], ...(acl === undefined ? {} : { acl }), ...(guards === undefined ? {} : { guards }) },
      port,
    )
    const inward = wires.link(policies.in, label)
    const side = this.switch.addPort(inward, { name, learning: false, unknownUnicastFlood: false })
    this.switch.addStatic(mac, side)
    const answers = { out: toPort, known: this.#known }
    const proxy = { mac: drMac, out: toPort, routes: behind(this.router, this.tunnel), interface: this.gateway }
    policies.toSwitch = new Pipeline(new Responder(pool, answers), new ProxyArp(pool, clock, proxy), side)
    loop.add(port, new Pipeline(new NoIpv6(pool), policies.out))
    return {
      ...{ name, side, policies },
      end: () => {
        loop.remove(port)
        this.switch.removePort(side)
        policies.end()
        wires.end(inward)
        wires.end(toPort)
      },
    }
  }

  #setRemotes(before: HnsOverlayNetwork, next: HnsOverlayNetwork): void {
    const { router, network, tunnel } = this
    const was = this.#remotes
    const { remoteSubnets = [], remoteEndpoints = [], vni } = next
    if (!same(was.subnets, remoteSubnets)) {
      for (const { to } of was.subnets) {
        router.deleteRoute(to)
        network.deleteRoute(to)
      }
      keepKnown(this.#routers, routersOf(next))
      for (const { to, providerAddress, vni: there = vni } of remoteSubnets) {
        router.addRoute({ to, via: providerAddress, dev: tunnel })
        network.addRoute({ to, remote: { address: providerAddress, vni: there } })
      }
    }
    if (!same(was.endpoints, remoteEndpoints)) {
      for (const { mac } of was.endpoints) {
        network.deleteAddress(mac)
        this.switch.deleteAddress(mac)
      }
      for (const { mac, providerAddress, vni: there = vni } of remoteEndpoints) {
        network.addStatic(mac, { address: providerAddress, vni: there })
        this.switch.addStatic(mac, this.tunnelSide)
      }
    }
    for (const { providerAddress: address, vni: there = before.vni } of [...was.subnets, ...was.endpoints]) {
      network.forget({ address, vni: there })
    }
    this.#remotes = { subnets: remoteSubnets, endpoints: remoteEndpoints }
  }

  #remotes: {
    readonly subnets: NonNullable<HnsOverlayNetwork['remoteSubnets']>
    readonly endpoints: NonNullable<HnsOverlayNetwork['remoteEndpoints']>
  } = { subnets: [], endpoints: [] }
}

/** The gateway of a network. */
export function gatewayOf({ subnet, gateway }: Pick<HnsOverlayNetwork, 'subnet' | 'gateway'>): string {
  if (gateway !== undefined) return gateway
  const { words } = parseInterfaceAddress(subnet)
  return formatIpv4(((words[0] as number) + 1) >>> 0)
}

/** The longest inner packet of a network: what the underlay takes to all of its far ends. */
export function fits(
  host: HostNode,
  overhead: number,
  { remoteSubnets = [], remoteEndpoints = [] }: HnsOverlayNetwork,
): number {
  const far = [...remoteSubnets, ...remoteEndpoints].map((r) => r.providerAddress)
  return (
    underlayMtu(
      host.router,
      far,
      host.uplinks.map((l) => l.iface),
    ) - overhead
  )
}

function routersOf({ name, remoteSubnets = [] }: HnsOverlayNetwork): Map<string, string> {
  const macs = new Map<string, string>()
  for (const { providerAddress, drMac } of remoteSubnets) {
    const other = macs.get(providerAddress)
    if (other !== undefined && other !== formatMac(parseMac(drMac))) {
      throw new RangeError(`remoteSubnets of ${name}: ${providerAddress} has drMac ${other}, and another, ${drMac}`)
    }
    macs.set(providerAddress, formatMac(parseMac(drMac)))
  }
  return macs
}

function named(iface: RouterInterface): { name: string; iface: RouterInterface } {
  return { name: iface.name, iface }
}

/** Services of which a part is done here and a part there: one of each name. */
function merged<T extends { readonly name: string }>(services: readonly T[]): T[] {
  const names = new Set<string>()
  return services.map((service) => {
    const name = names.has(service.name) ? `${service.name} (host)` : service.name
    names.add(name)
    return { ...service, name }
  })
}
