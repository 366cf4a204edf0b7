import { type ConntrackOptions, Filter, Side } from '@l2l3/nat'
import type { Frame, LocalTaker, RouterOptions } from '@l2l3/switch-core'
import { ipv4, parseIpv4, u16, u32 } from '@l2l3/switch-core/wire'
import { type ProfileOptions, takers, type Vtep } from '@l2l3/vxlan'
import { type Ground, Wires } from '../ground.ts'
import { HostNode, icmp } from '../host-node.ts'
import { Parts } from '../parts.ts'
import type { RoutedPort, Uplink } from '../routed-link.ts'
import type { Route } from '../routes.ts'
import { VtepEnds } from '../vtep-ends.ts'
import { DistributedRouter, fits, type OverlaySpec } from './distributed-router.ts'
import { checkOverlay } from './overlay-check.ts'
import { type HnsOverlayNetwork, type HnsOverlayPod, virtualIps } from './overlay-network.ts'

/** Settings of an overlay node that change while it runs. */
export interface HnsOverlaySettings {
  readonly pods: readonly HnsOverlayPod[]
  readonly networks: readonly HnsOverlayNetwork[]
  /** The host's interface on the underlay, whose first IPv4 address is the provider address; null where nothing is plugged in. */
  readonly uplink: RoutedPort | null
  /** Of the host. */
  readonly routes?: readonly Route[]
}

/** Settings of an overlay node. */
export interface HnsOverlayModeOptions
  extends HnsOverlaySettings,
    Pick<RouterOptions, 'echo' | 'icmpRate' | 'icmpBurst' | 'icmpSource'> {
  /** The MAC of the node's distributed router, which other nodes are told (`DrMacAddress`). */
  readonly drMac: string
  /** The UDP port of all nodes (`VxlanPort`). Default 4789. */
  readonly vxlanPort?: number
  /** Fields of the outer header that differ from those of profile `windows-vfp`, which are our choice. */
  readonly outer?: ProfileOptions
  /** Whether the distributed router takes one off the TTL. Nobody says whether Windows' does; HNV's did. Default true, our choice. */
  readonly drDecrementTtl?: boolean
  /** Whether only nodes that `remoteSubnets` and `remoteEndpoints` name may send here. Default true, our choice. */
  readonly knownPeersOnly?: boolean
  /** Whether OutBoundNAT translates echoes, too. VFP cannot. Default false. */
  readonly icmpTransposition?: boolean
  /** What becomes of ICMP that would need translation: it leaves with the pod's address, or is dropped as `NatUnsupported`
   * (modes.md 2.4). Default `pass`. */
  readonly untransposed?: 'pass' | 'drop'
  /** The tables of flows: each network has one at its pods' ports, and one towards the host. */
  readonly conntrack?: ConntrackOptions
  /** How long VNIs of other nodes may be: 16 bits, as in RemoteSubnetRoute of hcsshim and flannel, or 24, as in VXLAN. Default
   * `uint16`. */
  readonly isolationIds?: 'uint16' | 'uint24'
}

/** An overlay node. */
export interface HnsOverlayNode {
  /** The host's stack, which carries the tunnels. */
  readonly host: HostNode
  readonly links: readonly Uplink[]
  readonly networks: readonly DistributedRouter[]
  readonly vteps: readonly Vtep[]
  /** Makes the node what is said, while frames pass; all of it is given anew. */
  change(next: HnsOverlaySettings): void
  /** Ends the flows of addresses that nobody has any more, in a network. */
  forget(network: string, addresses: readonly string[]): void
}

/** Ports of the host that networks share out, where there are several: each has 3,072 for OutBoundNAT. */
const FIRST_PORT = 16_384
const PORTS_EACH = 3072
/** Networks of a node at most. */
export const MOST_NETWORKS: number = (65_536 - FIRST_PORT) / PORTS_EACH

/**
 * mode: overlay - pods of Windows on networks that span nodes: HNS networks of type Overlay, as win-overlay, flannel, Calico and
 * ovn-kubernetes' hybrid overlay make them (modes.md 4).
 *
 *     web 10.244.1.5     db 10.244.1.6          web 10.244.1.5
 *        |                  |                      |
 *     +--+------------------+--+               +---+------------------+
 *     | network, VNI 4096      |               | another, VNI 5000    |
 *     | 10.244.1.1 is drMac    |               | 10.244.1.1 is drMac  |      (distributed-router.ts)
 *     +----+--------------+----+               +----+------------+----+
 *          | VXLAN        | OutBoundNAT             | VXLAN      | OutBoundNAT
 *     +----+--------------+-------------------------+------------+----+
 *     | host's router     whose port is it?  <- from outside          |
 *     +----------------------------+----------------------------------+
 *                   uplink: hostMac, provider address
 *
 * Networks know nothing of each other, and may have the same addresses. What comes to the host from outside goes to the network that
 * knows its flow, or that has the port; what is nobody's is the host's own.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function overlay(ground: Ground, options: HnsOverlayModeOptions): HnsOverlayNode {
  checkOverlay(options)
  const { drMac, vxlanPort, outer = {}, drDecrementTtl = true, knownPeersOnly = true } = options
  const { icmpTransposition = false, untransposed = 'pass' } = options
  const address = (options.uplink?.addresses ?? []).find((a) => !a.includes(':')) as string
  const hostIp = address.slice(0, address.indexOf('/'))
  const hostMac = options.uplink?.mac as string
  const uplinks = ({ uplink, networks, pods }: HnsOverlaySettings): RoutedPort[] => {
    if (uplink === null) return []
    const vips = virtualIps(policiesOf(networks, pods)).map((vip) => `${vip}/32`)
    return [{ ...uplink, addresses: [...new Set([...uplink.addresses, ...vips])] }]
  }
  const host = new HostNode(ground, { uplinks: uplinks(options), routes: options.routes ?? [] }, icmp(options))
  const wires = new Wires(ground, 1)
  const ends = new VtepEnds(wires, host.router)
  const place = {
    ...{ wires, host, ends, drMac, hostMac, hostIp, drDecrementTtl, knownPeersOnly },
    ...{ icmp: icmp(options), icmpTransposition, untranslated: untransposed, conntrack: options.conntrack ?? {} },
    vxlan: { ...outer, ...(vxlanPort === undefined ? {} : { port: vxlanPort }) },
    filter: new Filter(ground.loop, { seed: ground.seed ?? 0 }),
  }
  const networks = new Parts(
    (spec: OverlaySpec) => new DistributedRouter(place, spec),
    (network, spec, before) => {
      if (fixed(spec) !== fixed(before)) return false
      network.become(spec)
      return true
    },
  )
  const slots = new Map<string, number>()
  const owners = new HostPorts()
  const become = (next: HnsOverlaySettings): void => {
    wires.resize(1 + next.pods.length + 2 * next.networks.length)
    for (const name of [...slots.keys()]) if (!next.networks.some((n) => n.name === name)) slots.delete(name)
    for (const { name } of next.networks) if (!slots.has(name)) slots.set(name, firstFree(slots))
    networks.become(
      next.networks.map((network): OverlaySpec => {
        const pods = next.pods.filter((pod) => pod.network === network.name)
        const { name } = network
        return {
          ...{ name, network, pods },
          virtualIps: [...new Set(virtualIps(policiesOf([network], pods)))],
          natPorts: next.networks.length > 1 ? portsOf(slots.get(name) as number) : undefined,
          mtu: fits(host, 50, network),
        }
      }),
    )
    owners.become(networks.list, next)
    host.router.onLocal = takers(...ends.vteps.map((end) => end.take), owners.take(ground, hostIp))
  }
  become(options)
  return {
    host,
    get links() {
      return host.uplinks
    },
    get networks() {
      return networks.list
    },
    get vteps() {
      return ends.vteps
    },
    change(next) {
      checkOverlay({ ...options, ...next })
      host.change({ uplinks: uplinks(next), routes: next.routes ?? [] })
      become(next)
    },
    forget(name, addresses) {
      const network = networks.get(name)
      network?.gate.forget(addresses)
      const gone = new Set(addresses)
      network?.vfp.nat.endFlows(({ original, reply }) =>
        [original.src, original.dst, reply.src, reply.dst].some((ip) => gone.has(ip)),
      )
    },
  }
}

function policiesOf(networks: readonly HnsOverlayNetwork[], pods: readonly HnsOverlayPod[]) {
  return [...networks, ...pods].flatMap((one) => one.outboundNat ?? [])
}

/** What of a network is not changed while it is there, as a text. */
function fixed({ network, mtu }: OverlaySpec): string {
  const { remoteSubnets: _, remoteEndpoints: _e, outboundNat: _o, services: _s, portMappings: _p, ...rest } = network
  return JSON.stringify([rest, mtu])
}

function firstFree(slots: ReadonlyMap<string, number>): number {
  const taken = new Set(slots.values())
  let slot = 0
  while (taken.has(slot)) slot++
  return slot
}

function portsOf(slot: number): string {
  const first = FIRST_PORT + slot * PORTS_EACH
  return `${first}-${first + PORTS_EACH - 1}`
}

const TCP = 6
const UDP = 17
/** First fragments whose owner is remembered. */
const REMEMBERED = 64

/** Whose packets are that come to the host from outside: a network's, or the host's own. */
class HostPorts {
  #networks: readonly DistributedRouter[] = []
  /** Protocol << 16 | port: node ports and port mappings. */
  readonly #ports: Map<number, DistributedRouter> = new Map()
  /* Later fragments have no port, and go where the first did: source, identification and protocol of those that came last. */
  readonly #sources: Uint32Array = new Uint32Array(REMEMBERED)
  readonly #ids: Uint32Array = new Uint32Array(REMEMBERED)
  readonly #owners: (DistributedRouter | null)[] = new Array(REMEMBERED).fill(null)
  #next = 0

  become(networks: readonly DistributedRouter[], { networks: specs }: HnsOverlaySettings): void {
    this.#networks = networks
    this.#ports.clear()
    this.#owners.fill(null)
    for (const { name, services = [], portMappings = [] } of specs) {
      const network = networks.find((n) => n.name === name) as DistributedRouter
      for (const { protocol = 'tcp', nodePort } of services) {
        if (nodePort !== undefined) this.#ports.set(((protocol === 'udp' ? UDP : TCP) << 16) | nodePort, network)
      }
      for (const { protocol, port } of portMappings) {
        const number = protocol === 'udp' || protocol === UDP ? UDP : TCP
        const [first, last = first] = String(port).split('-').map(Number) as [number, number?]
        for (let p = first; p <= last; p++) this.#ports.set((number << 16) | p, network)
      }
    }
  }

  /** Hands packets to their networks. */
  take({ pool }: Ground, hostIp: string): LocalTaker {
    const outside = new Side(0, 'outside', {})
    const own = parseIpv4(hostIp)
    return (f) => {
      const { bytes: b, off } = pool
      const l3 = (off[f] as number) + 14
      if ((b[l3] as number) >>> 4 !== 4) return false
      const owner = this.#ownerOf(f, b, l3, u32(b, l3 + ipv4.DST) === own, outside)
      if (owner === null) return false
      if (pool.trace?.follows(f))
        pool.trace.note(f, 'overlay', `its flow, or its port, is that of network ${owner.name}`)
      owner.entrance.push(f)
      return true
    }
  }

  #ownerOf(f: Frame, b: Uint8Array, l3: number, toHost: boolean, outside: Side): DistributedRouter | null {
    const fragment = u16(b, l3 + 6) & 0x3fff
    if ((fragment & 0x1fff) !== 0) return this.#remembered(b, l3)
    let owner: DistributedRouter | null = null
    for (let i = 0; i < this.#networks.length && owner === null; i++) {
      const network = this.#networks[i] as DistributedRouter
      if (network.gate.nat.knows(f, l3, outside)) owner = network
    }
    const protocol = b[l3 + ipv4.PROTOCOL] as number
    if (owner === null && toHost && (protocol === TCP || protocol === UDP)) {
      const l4 = l3 + (((b[l3] as number) & 15) << 2)
      owner = this.#ports.get((protocol << 16) | u16(b, l4 + 2)) ?? null
    }
    if (fragment !== 0) this.#remember(b, l3, owner)
    return owner
  }

  #idOf(b: Uint8Array, l3: number): number {
    return ((u16(b, l3 + 4) << 8) | (b[l3 + ipv4.PROTOCOL] as number)) >>> 0
  }

  #remember(b: Uint8Array, l3: number, owner: DistributedRouter | null): void {
    const at = this.#next
    this.#sources[at] = u32(b, l3 + ipv4.SRC)
    this.#ids[at] = this.#idOf(b, l3)
    this.#owners[at] = owner
    this.#next = (at + 1) % REMEMBERED
  }

  #remembered(b: Uint8Array, l3: number): DistributedRouter | null {
    const source = u32(b, l3 + ipv4.SRC)
    const id = this.#idOf(b, l3)
    for (let i = 1; i <= REMEMBERED; i++) {
      const at = (this.#next + REMEMBERED - i) % REMEMBERED
      if (this.#sources[at] === source && this.#ids[at] === id) return this.#owners[at] ?? null
    }
    return null
  }
}
