import type { FilterPort } from '@l2l3/nat'
import {
  type Element,
  type Link,
  Pipeline,
  type Port,
  type Router,
  SECOND,
  Switch,
  type SwitchOptions,
  type SwitchPort,
  type SwitchPortOptions,
} from '@l2l3/switch-core'
import { Entrance } from './entrance.ts'
import type { Wires } from './ground.ts'
import { type Part, Parts, same } from './parts.ts'
import type { MakePortTranslation } from './port-translation.ts'
import { type InterfaceSpec, type JoinedLink, joinedLink } from './routed-link.ts'

/*
 * A bridge: a learning switch with ports, and an interface of the node on it where it is somebody's gateway.
 *
 *     port          port
 *      |             |
 *     +--------------------------+
 *     | switch                   |
 *     +------------+-------------+
 *                  |  gateway
 *           [ neighbours ]
 *                  |
 *               router
 */

/** A port of a bridge: a pod, or another switch. */
export interface BridgePort extends SwitchPortOptions {
  readonly name: string
  /** Name of the link to it, in a trace. Default: its name. */
  readonly label?: string
  readonly port: Port
  /** What frames pass before they leave by it: a filter of the host's. Default: nothing. */
  readonly out?: Element
  /** What frames pass first that come in by it, made with the way back to it: who guards, who answers. As `out` it is the same only
   * as itself. Default: nothing. */
  readonly guards?: (back: Link) => readonly Element[]
  /** The rules that judge what the host there sends and gets. Default: none. */
  readonly acl?: FilterPort
  /** What translates between the host there and the bridge: behind the rules on the way in to the bridge, before them on the way out.
   * As `out` it is the same only as itself. Default: nothing. */
  readonly translation?: MakePortTranslation
}

/** The node's interface on a bridge. */
export interface BridgeGateway extends Omit<InterfaceSpec, 'name'> {
  /** The VLAN that it is in, of a bridge that looks at tags. Default 1. */
  readonly vlan?: number
}

/** A further interface of the node on a bridge. */
export interface BridgeInterface extends BridgeGateway {
  /** In the router; no port of the bridge, and no other interface, has it. */
  readonly name: string
}

/** Settings of a bridge. */
export interface BridgeSpec {
  /** Its name, and its interface's in the router. */
  readonly name: string
  readonly ports: readonly BridgePort[]
  /** The node's interface on it, in a VLAN where it looks at tags. Default: none. */
  readonly gateway?: BridgeGateway
  /** Further interfaces of the node on it, with names of their own: one in each VLAN, say. Default: none. */
  readonly interfaces?: readonly BridgeInterface[]
  /** Of its table of MACs, and whether it looks at tags. */
  readonly table?: Pick<SwitchOptions, 'ageing' | 'maxEntries' | 'vlanAware'>
}

/** A port that is plugged in to a switch. */
export interface BridgeSide extends Part {
  readonly name: string
  readonly side: SwitchPort
}

/** Plugs a port in to a switch. */
export function bridgePort(
  wires: Wires,
  bridge: Switch,
  { name, label, port, out: filter, guards, acl, translation, ...settings }: BridgePort,
): BridgeSide {
  const { loop } = wires.ground
  const judged = acl === undefined ? port : new Pipeline(acl.in, port)
  const filtered = filter === undefined ? judged : new Pipeline(filter, judged)
  const translated = translation?.() ?? null
  const out = wires.link(translated === null ? filtered : new Pipeline(translated.toPort, filtered), label ?? name)
  const side = bridge.addPort(out, { ...settings, name })
  const onward = translated === null ? side : new Pipeline(translated.fromPort, side)
  const judging = acl === undefined ? onward : new Pipeline(acl.out, onward)
  translated?.goOn(loop.link(onward, `${name} out, fragments`), out)
  const entry = guards === undefined ? judging : new Pipeline(...guards(out), judging)
  if (acl !== undefined) {
    // Fragments that waited go on from where they did.
    acl.againIn = loop.link(judged, `${name} in, fragments`)
    acl.againOut = loop.link(judging, `${name} out, fragments`)
  }
  loop.add(port, entry)
  return {
    ...{ name, side },
    end() {
      loop.remove(port)
      bridge.removePort(side)
      wires.end(out)
      translated?.end()
    },
  }
}

/** A bridge of a node. */
export class Bridge implements Part {
  readonly name: string
  readonly switch: Switch
  readonly ports: Parts<BridgePort, BridgeSide>
  /** The node's interface on it. */
  readonly gateway: JoinedLink | null
  /** Its further interfaces. */
  readonly interfaces: Parts<BridgeInterface, JoinedLink>
  readonly #stop: () => void

  constructor(wires: Wires, router: Router, { name, ports, gateway, interfaces = [], table = {} }: BridgeSpec) {
    const { pool, clock, loop, seed = 0 } = wires.ground
    this.name = name
    this.switch = new Switch(pool, clock, { name, seed, ...table })
    this.#stop = loop.every(SECOND, this.switch)
    this.ports = new Parts((spec) => bridgePort(wires, this.switch, spec))
    this.ports.become(ports)
    this.gateway = gateway === undefined ? null : this.#join(wires, router, { ...gateway, name })
    this.interfaces = new Parts(
      (spec) => this.#join(wires, router, spec),
      (link, spec, before) => {
        if (!same({ ...spec, addresses: [] }, { ...before, addresses: [] })) return false
        link.setAddresses(spec.addresses)
        return true
      },
    )
    this.interfaces.become(interfaces)
  }

  /** Joins the switch to the router. */
  #join(wires: Wires, router: Router, { vlan, ...own }: BridgeInterface): JoinedLink {
    const { name } = own
    const entry = new Entrance()
    const tags = vlan === undefined ? {} : { vlan: { access: vlan } }
    const up = this.switch.addPort(wires.link(entry, name), { name, ...tags })
    const gateway = joinedLink(wires, router, own, wires.link(up, `${name} (switch)`))
    entry.next = new Pipeline(gateway.neighbours.input, gateway.iface)
    const bridge = this.switch
    const within = bridge.vlanAware ? (vlan ?? 1) : 0
    bridge.addStatic(own.mac, up, within)
    return {
      ...gateway,
      end() {
        gateway.end()
        bridge.deleteAddress(own.mac, within)
        bridge.removePort(up)
        wires.end(up.link)
      },
    }
  }

  /** Takes other ports and addresses as it is; false where it has to be made anew. */
  become(next: BridgeSpec, before: BridgeSpec): boolean {
    const rest = ({ gateway, ports: _, interfaces: _more, ...other }: BridgeSpec): unknown => [
      other,
      { ...gateway, addresses: [] },
    ]
    if (!same(rest(next), rest(before)) || (next.gateway === undefined) !== (this.gateway === null)) return false
    this.ports.become(next.ports)
    this.gateway?.setAddresses(next.gateway?.addresses ?? [])
    this.interfaces.become(next.interfaces ?? [])
    return true
  }

  /** Forgets what was learnt of a station: its MAC, and its addresses where the gateway knows them. */
  forget(mac: string): void {
    forgetStation(this.switch, mac)
    for (const link of [this.gateway ?? [], this.interfaces.list].flat()) forgetNeighbours(link, mac)
  }

  end(): void {
    this.#stop()
    this.gateway?.end()
    this.interfaces.clear()
    this.ports.clear()
    this.switch.close()
  }
}

/** Has a switch forget an address that it has learnt. */
export function forgetStation(bridge: Switch, mac: string): void {
  for (const entry of [...bridge.fdb.list()]) {
    if (entry.mac === mac && entry.kind === 'dynamic') bridge.deleteAddress(mac, entry.vlan)
  }
}

/** Has a table of neighbours forget those with a MAC that nobody has configured. */
export function forgetNeighbours({ neighbours }: Pick<JoinedLink, 'neighbours'>, mac: string): void {
  for (const entry of [...neighbours.list()]) {
    if (entry.mac === mac && entry.state !== 'permanent') neighbours.remove(entry.address)
  }
}
