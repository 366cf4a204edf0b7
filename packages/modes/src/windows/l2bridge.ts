import { type AclOptions, Filter, type PortMapping } from '@l2l3/nat'
import {
  type Batch,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  L2BridgeEngine,
  type L2BridgeOptions,
  type L2BridgePod,
  type Link,
  Pipeline,
  type Port,
  SECOND,
} from '@l2l3/switch-core'
import { forgetStation } from '../bridge.ts'
import { Entrance } from '../entrance.ts'
import { type Ground, Wires } from '../ground.ts'
import { Parts, same } from '../parts.ts'
import type { Route } from '../routes.ts'
import type { LocalEndpoints } from './address-fix-up.ts'
import { HostStack, type HostStackOptions } from './host-stack.ts'
import { type GuardOptions, PortPolicies } from './port-policies.ts'
import type { WindowsService } from './services.ts'
import { uplinkPolicies } from './uplink-policies.ts'
import { type OutboundNatPolicy, VfpNat, type VfpNatOptions } from './vfp-nat.ts'
import { vlanAccess } from './vlan-access.ts'

/** A port of the node that leads to a pod: HNS' PortMapping policy, or the CNI's hostPort. */
export interface PodPortMapping extends Pick<PortMapping, 'protocol' | 'port' | 'toPort' | 'address'> {}

/** A pod, the port it is on, and its policies, which need `vfp`. */
export interface L2BridgePodPort {
  readonly name: string
  readonly label?: string
  readonly port: Port
  readonly mac: string
  /** Without prefix. */
  readonly ips: readonly string[]
  /** Longest payload of a frame that the pod gets, in bytes. Default: any. */
  readonly mtu?: number
  readonly guards?: GuardOptions | false
  readonly acl?: AclOptions
  readonly outboundNat?: readonly OutboundNatPolicy[]
  /** `ROUTE`/`SDNRoute` with NeedEncap: prefixes that lead to the host's port. */
  readonly sdnRoutes?: readonly string[]
  readonly portMappings?: readonly PodPortMapping[]
}

/** A port, and the name of the link to it in a trace. */
interface Plug {
  readonly port: Port
  readonly label?: string
}

/** Settings of an l2bridge node that change while it runs. */
export interface L2BridgeSettings {
  readonly pods: readonly L2BridgePodPort[]
  /** The port to the node itself, which has `hostMac`; null where it has none, or is the built-in `stack`. Default null. */
  readonly host?: Plug | null
  /** The node's own addresses: ARP for them is answered with `hostMac`. Those of `stack` need not be said. */
  readonly hostIps?: readonly string[]
  readonly services?: readonly WindowsService[]
  /** Routes of `stack`. */
  readonly routes?: readonly Route[]
}

/** Settings of an l2bridge node; the engine's are `L2BridgeOptions`. */
export interface L2BridgeModeOptions extends L2BridgeSettings, Omit<L2BridgeOptions, 'hostIps'> {
  /** The port to the world; null where nothing is plugged in. */
  readonly uplink: Plug | null
  /** The VLAN that the pods' ports are in; the uplink is tagged then. Default: none. */
  readonly vlan?: number
  /** VFP's layers at the ports: guards, access control, services, NAT. Default: none, the engine alone. */
  readonly vfp?: VfpNatOptions
  /** The host behind the switch. Default: none, or what is on `host`. */
  readonly stack?: HostStackOptions
}

/** A node of pods behind its MAC. */
export interface L2BridgeNode {
  readonly engine: L2BridgeEngine
  readonly vfp: VfpNat | null
  readonly stack: HostStack | null
  /** By the names of their ports. */
  readonly pods: ReadonlyMap<string, L2BridgePod>
  /** Makes the node what is said, while frames pass; all of it is given anew. */
  change(next: L2BridgeSettings): void
  /** Forgets what was learnt of a station that is where it was no more, and the flows of its addresses. */
  forget(mac: string, addresses?: readonly string[]): void
}

/**
 * mode: l2bridge - pods share the node's network and its MAC (modes.md 2). With `tunnelMac` it is l2tunnel (modes.md 3).
 *
 *     pod x.3          pod x.4          host endpoint x.2 ── stack ── management, hostIP
 *        |                |                   |                          |
 *     [ VFP: guards, ACL, services, routes ]  |          services that are not DSR, answers
 *        |                |                   |                          | hostM
 *     +--+----------------+-------------------+--------------------------+--+
 *     |  l2bridge engine: switch, ARP answers                               |
 *     |  out: source := hostM, ARP and ND included                          |
 *     |  in: destination := pod MAC, by IP address                          |
 *     +----------------------------+----------------------------------------+
 *                                  |
 *       OutBoundNAT; port mappings, services from outside that are DSR
 *                                  |
 *                           [ VLAN's tag ]
 *                                  | hostM
 *                                uplink
 */
export function l2bridge(ground: Ground, options: L2BridgeModeOptions): L2BridgeNode {
  const { loop, pool } = ground
  const { pods: first, uplink, host: _h, hostIps: _i, services: _s, routes: _r, ...fixed } = options
  const { vlan, vfp: vfpOptions, stack: stackOptions, ...settings } = fixed
  const wires = new Wires(ground, first.length + 4)
  const wire = (spec: Plug): Link => wires.link(spec.port, spec.label ?? spec.port.name)
  const vfp = vfpOptions === undefined ? null : new VfpNat(ground, vfpOptions)
  const filter = vfp === null ? undefined : new Filter(loop, { seed: ground.seed ?? 0 })

  const access = vlan === undefined ? null : vlanAccess(pool, vlan)
  const nic = uplink === null ? new Unplugged(pool) : new Onto(wire(uplink))
  const toNic = access === null ? nic : new Pipeline(access.out, nic)
  const out = new Entrance()
  const engine = new L2BridgeEngine(loop, out, { seed: ground.seed ?? 0, ...settings })
  loop.every(SECOND, engine)
  const endpoints = endpointsOf(engine)
  const ends = { toNic, toSwitch: engine.ingress, toPod: loop.link(engine.uplinkPort, 'preserved'), endpoints }
  const policies = vfp === null ? { out: toNic, in: engine.ingress } : uplinkPolicies(ground, vfp, ends)
  out.next = policies.out
  if (uplink !== null) loop.add(uplink.port, access === null ? policies.in : new Pipeline(access.in, policies.in))

  const stack = stackOptions === undefined ? null : new HostStack(wires, engine, options.hostMac, vfp, stackOptions)
  const ofStack = [...(stackOptions?.addresses ?? []).map(withoutPrefix), ...(vfpOptions?.sourceVips ?? [])]
  const hosts = new Parts((spec: Plug & { readonly name: string }) => {
    const link = wire(spec)
    loop.add(spec.port, engine.attachHost(link))
    return {
      end() {
        loop.remove(spec.port)
        engine.detachHost()
        wires.end(link)
      },
    }
  })
  const port = vfp === null ? null : { ground, vfp, endpoints, hostMac: options.hostMac, ...(filter && { filter }) }
  const pods = new Parts(
    (spec: L2BridgePodPort) => {
      const { name, port: plug, mac, ips, mtu } = spec
      const layers = port === null ? null : new PortPolicies(port, spec, plug)
      const link = wires.link(layers?.in ?? plug, spec.label ?? plug.name)
      const pod = engine.addPod(link, { mac, ips, port: { name, ...(mtu === undefined ? {} : { mtu }) } })
      if (layers !== null) layers.toSwitch = pod
      loop.add(plug, layers?.out ?? pod)
      return {
        ...{ name, pod, layers },
        end() {
          loop.remove(plug)
          engine.removePod(pod)
          layers?.end()
          wires.end(link)
        },
      }
    },
    ({ layers }, spec, before) => {
      if (!same(plain(spec), plain(before))) return false
      if (!same(spec.acl, before.acl)) layers?.setAcl(spec.acl ?? {})
      layers?.setRoutes(spec.sdnRoutes ?? [])
      return true
    },
  )
  const change = ({ pods: next, host = null, hostIps = [], services = [], routes = [] }: L2BridgeSettings): void => {
    wires.resize(next.length + 4)
    // An address that a pod gives up may be the node's, and the other way round.
    const stay = new Set(next.map((spec) => spec.name))
    for (const { name } of pods.list) if (!stay.has(name)) pods.remove(name)
    engine.setHostIps([...new Set([...hostIps, ...ofStack, ...virtualIps(next)])])
    hosts.become(host === null ? [] : [{ ...host, name: 'host' }])
    pods.become(next)
    stack?.setRoutes(routes)
    vfp?.setPolicies({ services, endpoints: next, portMappings: mappingsOf(next) })
  }
  change(options)
  return {
    ...{ engine, vfp, stack },
    get pods() {
      return new Map(pods.list.map(({ name, pod }) => [name, pod]))
    },
    change,
    forget(mac, addresses = []) {
      forgetStation(engine.switch, mac)
      stack?.forget(mac)
      vfp?.forget(addresses)
    },
  }
}

const withoutPrefix = (address: string): string => address.split('/')[0] as string

/** What a pod's port is made of: other settings change while it is there. */
function plain({
  acl: _acl,
  outboundNat: _nat,
  sdnRoutes: _routes,
  portMappings: _mappings,
  ...rest
}: L2BridgePodPort) {
  return rest
}

/** Sources that OutBoundNAT gives to packets and that nobody else has: who is on the link asks for them. */
function virtualIps(pods: readonly L2BridgePodPort[]): string[] {
  const own = new Set(pods.flatMap(({ ips }) => ips))
  return pods.flatMap(({ outboundNat = [] }) =>
    outboundNat.flatMap((policy) => {
      const vip = 'Settings' in policy ? policy.Settings.VirtualIP : policy.VIP
      return vip === undefined || vip === '' || own.has(vip) ? [] : [vip]
    }),
  )
}

/** Port mappings of pods as the node has them: what pods send to them is answered by way of the node. */
function mappingsOf(pods: readonly L2BridgePodPort[]): PortMapping[] {
  const inside = pods.flatMap(({ ips }) => ips)
  return pods.flatMap(({ ips, portMappings = [] }) =>
    portMappings.flatMap((mapping) => {
      const six = mapping.address?.includes(':')
      const to = ips.filter((ip) => six === undefined || ip.includes(':') === six)
      return to.map((ip) => ({ ...mapping, to: ip, masqueradeFrom: inside }))
    }),
  )
}

/** The endpoints of an engine, by address. */
function endpointsOf(engine: L2BridgeEngine): LocalEndpoints {
  const { endpoints, settings } = engine
  const macOf = (owner: number) => (owner < 0 ? null : owner === 0 ? settings.hostMac : engine.podMac(owner))
  return {
    mac4: (b, at) => macOf(endpoints.find4(b, at)),
    mac6: (b, at) => macOf(endpoints.find6(b, at)),
  }
}

/** The near end of a link: what comes here goes on to it, as a step that a trace can see. */
class Onto implements Element {
  readonly #link: Link

  constructor(link: Link) {
    this.#link = link
  }

  process(batch: Batch): void {
    this.#link.pushAll(batch.frames, 0, batch.length)
    batch.length = 0
  }
}

/** A socket with nothing plugged in. */
class Unplugged implements Element {
  readonly #pool: FramePool

  constructor(pool: FramePool) {
    this.#pool = pool
  }

  process(batch: Batch): void {
    const { trace } = this.#pool
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (trace?.follows(f)) trace.note(f, 'l2bridge', 'nothing is plugged in at the uplink')
      this.#pool.drop(f, Drop.PortDown)
    }
    batch.length = 0
  }
}
