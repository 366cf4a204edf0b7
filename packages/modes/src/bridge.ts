import {
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
}

/** Settings of a bridge. */
export interface BridgeSpec {
  /** Its name, and its interface's in the router. */
  readonly name: string
  readonly ports: readonly BridgePort[]
  /** The node's interface on it. Default: none. */
  readonly gateway?: Omit<InterfaceSpec, 'name'>
  /** Of its table of MACs. */
  readonly table?: Pick<SwitchOptions, 'ageing' | 'maxEntries'>
}

/** A port that is plugged in to a switch. */
export interface BridgeSide extends Part {
  readonly name: string
  readonly side: SwitchPort
}

/** Plugs a port in to a switch. */
export function bridgePort(wires: Wires, bridge: Switch, { name, label, port, ...settings }: BridgePort): BridgeSide {
  const { loop } = wires.ground
  const out = wires.link(port, label ?? name)
  const side = bridge.addPort(out, { ...settings, name })
  loop.add(port, side)
  return {
    ...{ name, side },
    end() {
      loop.remove(port)
      bridge.removePort(side)
      wires.end(out)
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
  readonly #stop: () => void

  constructor(wires: Wires, router: Router, { name, ports, gateway, table = {} }: BridgeSpec) {
    const { pool, clock, loop, seed = 0 } = wires.ground
    this.name = name
    this.switch = new Switch(pool, clock, { name, seed, ...table })
    this.#stop = loop.every(SECOND, this.switch)
    this.ports = new Parts((spec) => bridgePort(wires, this.switch, spec))
    this.ports.become(ports)
    this.gateway = gateway === undefined ? null : this.#join(wires, router, gateway)
  }

  /** Joins the switch to the router. */
  #join(wires: Wires, router: Router, own: Omit<InterfaceSpec, 'name'>): JoinedLink {
    const { name } = this
    const entry = new Entrance()
    const up = this.switch.addPort(wires.link(entry, name), { name })
    const gateway = joinedLink(wires, router, { ...own, name }, wires.link(up, `${name} (switch)`))
    entry.next = new Pipeline(gateway.neighbours.input, gateway.iface)
    this.switch.addStatic(own.mac, up)
    return {
      ...gateway,
      end() {
        gateway.end()
        wires.end(up.link)
      },
    }
  }

  /** Takes other ports and addresses as it is; false where it has to be made anew. */
  become(next: BridgeSpec, before: BridgeSpec): boolean {
    const rest = ({ gateway, ports: _, ...other }: BridgeSpec): unknown => [other, { ...gateway, addresses: [] }]
    if (!same(rest(next), rest(before)) || (next.gateway === undefined) !== (this.gateway === null)) return false
    this.ports.become(next.ports)
    this.gateway?.setAddresses(next.gateway?.addresses ?? [])
    return true
  }

  /** Forgets what was learnt of a station: its MAC, and its addresses where the gateway knows them. */
  forget(mac: string): void {
    forgetStation(this.switch, mac)
    if (this.gateway !== null) forgetNeighbours(this.gateway, mac)
  }

  end(): void {
    this.#stop()
    this.gateway?.end()
    this.ports.clear()
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
