import type { Port } from '@l2l3/switch-core'
import type { Ground } from '../ground.ts'
import type { HostNode } from '../host-node.ts'
import { type L2BridgeNode, l2bridge } from '../windows/l2bridge.ts'
import { type HnsOverlayNode, overlay } from '../windows/overlay.ts'
import { type TransparentNode, transparent } from '../windows/transparent.ts'
import { type WinNatNode, winnat } from '../windows/winnat.ts'
import { Hns, type HnsChange, type HnsOptions } from './api.ts'
import { refuse } from './error.ts'
import { hnsPlan } from './plan.ts'
import { type HnsHost, type HnsNodeOptions, hnsNodeOptions } from './settings.ts'

/*
 * A node that is configured by the calls of HNS, while frames pass:
 *
 *     const node = new HnsNode(ground, host)
 *     const network = node.hns.createNetwork(document)                the kind of node: L2Bridge, L2Tunnel, Overlay, NAT, Transparent
 *     const web = node.hns.createEndpoint(network.id, document)
 *     node.attach(web.id, port)                                       from now on frames pass
 *     node.hns.addPolicy(web.id, policies)                            from the next packet on
 *     node.hns.createLoadBalancer(document)
 *     node.detach(web.id)
 *
 * The node is made when the first endpoint is attached. From then on every call is tried on it before it stands: one that the node
 * cannot do throws an HnsError, and neither what HNS keeps nor the node has changed. Others than those that a call is about go on as
 * they were: flows, tables, neighbours.
 *
 * What is fixed when the node is made: the network of an L2Bridge, its host endpoint and VLAN; of an overlay the distributed router's
 * MAC and the UDP port. Calls that would change that are refused.
 */

/** A node of one of the kinds. */
type Built =
  | { readonly mode: 'l2bridge'; readonly node: L2BridgeNode }
  | { readonly mode: 'overlay'; readonly node: HnsOverlayNode }
  | { readonly mode: 'transparent'; readonly node: TransparentNode }
  | { readonly mode: 'winnat'; readonly node: WinNatNode }

interface Plug {
  readonly port: Port
  readonly label?: string
}

/** A running node behind the calls of HNS. */
export class HnsNode {
  /** The calls. `attach` and `detach` of the node say besides which port it is. */
  readonly hns: Hns
  readonly #ground: Ground
  readonly #host: HnsHost
  /** By ID of their endpoint. */
  readonly #plugs: Map<string, Plug> = new Map()
  #built: Built | null = null
  /** What is fixed in it, as a text. */
  #fixed = ''

  /** @param host what no document says: the adapter, its MAC and addresses */
  constructor(ground: Ground, host: HnsHost, options: HnsOptions = {}) {
    this.#ground = ground
    this.#host = host
    this.hns = new Hns(options)
    this.hns.guard({
      changes: (change) => this.#become(change),
      undone: () => this.#become(null),
    })
  }

  /** The node; null before an endpoint is attached. */
  get node(): Built | null {
    return this.#built
  }

  /** The host's router and bridges, where the kind of node has them; null of an L2Bridge, and before there is a node. */
  get host(): HostNode | null {
    return this.#built === null || this.#built.mode === 'l2bridge' ? null : this.#built.node.host
  }

  /** Attaches an endpoint: it is behind this port from now on. Throws an HnsError, and then it is not.
   * @param label name of the link to it, in a trace */
  attach(id: string, port: Port, label?: string): void {
    const key = id.toLowerCase()
    const before = this.#plugs.get(key)
    if (before !== undefined) refuse({ document: `endpoint ${id}`, path: '$' }, port.name, 'is attached')
    this.#plugs.set(key, { port, ...(label === undefined ? {} : { label }) })
    try {
      this.hns.attach(id, label ?? port.name)
    } catch (error) {
      this.#plugs.delete(key)
      this.#become(null)
      throw error
    }
  }

  /** Takes an endpoint off its port. Throws an HnsError. */
  detach(id: string): void {
    this.hns.detach(id)
  }

  /** Makes the node what HNS says. */
  #become(change: HnsChange | null): void {
    const { hns } = this
    const state = {
      networks: hns.listNetworks(),
      endpoints: hns.listEndpoints(),
      loadBalancers: hns.listLoadBalancers(),
    }
    // Also without a node: what could not be is refused at once.
    const plan = hnsPlan(state)
    if (plan.networks.length === 0) {
      if (this.#built === null) return
      refuse({ document: 'node', path: '$' }, change?.what, 'the last network of a node that runs stays')
    }
    const wanted = hnsNodeOptions(plan, this.#host, ({ endpoint }) => {
      return endpoint.attachedTo === null ? undefined : this.#plugs.get(endpoint.id)
    })
    const fixed = fixedOf(wanted)
    if (this.#built === null) {
      if (!state.endpoints.some((e) => e.attachedTo !== null && this.#plugs.has(e.id))) return
      this.#built = build(this.#ground, wanted)
      this.#fixed = fixed
    } else {
      if (fixed !== this.#fixed) {
        refuse({ document: 'node', path: '$' }, change?.what, 'would change what is fixed in a node that runs')
      }
      apply(this.#built, wanted)
    }
    if (change?.what === 'endpoint-detached') {
      const { endpoint } = change
      this.#plugs.delete(endpoint.id)
      const ips = endpoint.addresses.map((a) => a.address)
      const network = hns.getNetwork(endpoint.network)
      const { mode, node } = this.#built
      if (mode === 'l2bridge') node.forget(endpoint.mac, ips)
      else if (mode === 'overlay') node.forget(network?.name ?? endpoint.network, ips)
      else node.host.forget(endpoint.mac, ips)
    }
  }
}

/** What of a node's options is not changed while it runs. */
function fixedOf({ mode, options }: HnsNodeOptions): string {
  if (mode === 'l2bridge') {
    const { hostMac, tunnelMac, vlan, vfp, stack } = options
    return JSON.stringify([mode, hostMac, tunnelMac, vlan, vfp, stack])
  }
  if (mode === 'overlay') return JSON.stringify([mode, options.drMac, options.vxlanPort])
  return JSON.stringify([mode, mode === 'winnat' ? options.prefix : null])
}

function build(ground: Ground, { mode, options }: HnsNodeOptions): Built {
  if (mode === 'l2bridge') return { mode, node: l2bridge(ground, options) }
  if (mode === 'overlay') return { mode, node: overlay(ground, options) }
  if (mode === 'transparent') return { mode, node: transparent(ground, options) }
  return { mode, node: winnat(ground, options) }
}

function apply(built: Built, { mode, options }: HnsNodeOptions): void {
  if (built.mode === 'l2bridge' && mode === 'l2bridge') built.node.change(options)
  else if (built.mode === 'overlay' && mode === 'overlay') built.node.change(options)
  else if (built.mode === 'transparent' && mode === 'transparent') built.node.change(options)
  else if (built.mode === 'winnat' && mode === 'winnat') built.node.change(options)
}
