import { type Batch, type Element, type Link, type Port, type Router, SECOND } from '@l2l3/switch-core'
import { formatIpv6, parseIpv6 } from '@l2l3/switch-core/wire'
import { geneve, PROFILES, type ProfileOptions, tunnelSettings, Vtep, type VtepOptions, vxlan } from '@l2l3/vxlan'
import type { Wires } from './ground.ts'

/** UDP sockets as an underlay: they route by themselves, and take frames of one address and port. */
export interface SocketUplink {
  readonly name: string
  readonly label?: string
  readonly port: Port
  /** The address and UDP port that they are bound to. */
  readonly address: string
  readonly udpPort: number
  /** The longest packet that the kernel sends from there. Default 1,500. */
  readonly mtu?: number
}

/** A socket that is joined: its port takes what a VTEP sends, and as an element it gives what comes in to the VTEPs of its
 * address. */
class JoinedSocket implements Element {
  readonly spec: SocketUplink
  readonly out: Link
  vteps: readonly Vtep[] = []

  constructor(wires: Wires, spec: SocketUplink) {
    this.spec = spec
    this.out = wires.link(spec.port, spec.label ?? spec.name)
    wires.ground.loop.add(spec.port, this)
  }

  process(batch: Batch): void {
    for (let i = 0; i < this.vteps.length; i++) (this.vteps[i] as Vtep).process(batch)
  }
}

/** A VTEP, and who uses it. */
interface End {
  readonly vtep: Vtep
  /** What has to be the same for all networks that share it. */
  readonly settings: string
  readonly first: string
  readonly socket: JoinedSocket | undefined
  readonly stop: () => void
  users: number
}

/** A VTEP as it is configured with each of its networks. */
export interface VtepEnd extends ProfileOptions, Pick<VtepOptions, 'local' | 'port' | 'gbp' | 'knownOptions'> {
  readonly encapsulation: 'vxlan' | 'geneve'
}

/** The UDP port of an end. */
export function portOf({ encapsulation, port }: Pick<VtepEnd, 'encapsulation' | 'port'>): number {
  return port ?? (encapsulation === 'vxlan' ? vxlan.PORT : geneve.PORT)
}

/** The fields of a profile among other settings. */
export function outerOf(settings: ProfileOptions): ProfileOptions {
  const keys = ['profile', ...Object.keys(PROFILES.linux)]
  return Object.fromEntries(
    Object.entries(settings).filter(([key, value]) => keys.includes(key) && value !== undefined),
  )
}

/**
 * The VTEPs of a node. Packets are told apart by encapsulation, address and UDP port before their VNI is looked at: networks
 * that share those share a VTEP, and what is a VTEP's, not a network's, has to be the same for them. An address and a port are
 * one encapsulation's.
 */
export class VtepEnds {
  readonly #wires: Wires
  readonly #router: Router
  readonly #settings: Pick<VtepOptions, 'ageing' | 'maxEntries'>
  readonly #sockets: readonly JoinedSocket[]
  readonly #byPlace: Map<string, End> = new Map()
  #groups: readonly string[] = []

  /**
   * @param settings what is the same for all
   * @param sockets underlays that need no router
   */
  constructor(
    wires: Wires,
    router: Router,
    settings: Pick<VtepOptions, 'ageing' | 'maxEntries'> = {},
    sockets: readonly SocketUplink[] = [],
  ) {
    this.#wires = wires
    this.#router = router
    this.#settings = settings
    this.#sockets = sockets.map((spec) => new JoinedSocket(wires, spec))
  }

  get vteps(): Vtep[] {
    return Array.from(this.#byPlace.values(), ({ vtep }) => vtep)
  }

  /** Says which multicast groups are taken for. */
  setGroups(groups: readonly string[]): void {
    this.#groups = groups
    for (const vtep of this.vteps) vtep.setGroups(groups)
  }

  /** The socket that carries an end; undefined where the router does. */
  socketOf(end: VtepEnd): (SocketUplink & { readonly out: Link }) | undefined {
    const socket = this.#socketOf(end)
    return socket === undefined ? undefined : { ...socket.spec, out: socket.out }
  }

  /** Gives the VTEP of a network, made if it is not there; the network `release`s it. Throws where the network wants another
   * than those before. */
  of(network: string, end: VtepEnd): Vtep {
    const { encapsulation, local, gbp, knownOptions } = end
    const outer = outerOf(end)
    const port = portOf(end)
    const place = `${usual(local)} ${port}`
    const settings = JSON.stringify([tunnelSettings(outer, encapsulation), gbp ?? false, knownOptions ?? []])
    const there = this.#byPlace.get(place)
    if (there !== undefined && there.vtep.encapsulation !== encapsulation) {
      throw new RangeError(
        `port ${port} at ${local} is that of ${there.first}, which is ${there.vtep.encapsulation}, not ${encapsulation}`,
      )
    }
    if (there !== undefined) {
      if (there.settings !== settings) {
        throw new Error(
          `outer headers and what is understood must be as in ${there.first}, whose end it shares: ` +
            `${encapsulation} at ${local}`,
        )
      }
      there.users++
      return there.vtep
    }
    const { pool, clock, loop, seed = 0 } = this.#wires.ground
    const socket = this.#socketOf(end)
    const vtep = new Vtep(pool, clock, {
      ...{ ...outer, ...this.#settings, local, port, encapsulation, out: socket?.out ?? this.#router, seed },
      groups: this.#groups,
      ...(gbp === undefined ? {} : { gbp }),
      ...(knownOptions === undefined ? {} : { knownOptions }),
    })
    const stop = loop.every(SECOND, vtep)
    this.#byPlace.set(place, { vtep, settings, first: network, socket, stop, users: 1 })
    if (socket !== undefined) socket.vteps = [...socket.vteps, vtep]
    return vtep
  }

  /** Says that a network uses a VTEP no more: the last one closes it. */
  release(vtep: Vtep): void {
    for (const [place, end] of this.#byPlace) {
      if (end.vtep !== vtep || --end.users > 0) continue
      this.#byPlace.delete(place)
      end.stop()
      vtep.close()
      if (end.socket !== undefined) end.socket.vteps = end.socket.vteps.filter((v) => v !== vtep)
    }
  }

  #socketOf(end: VtepEnd): JoinedSocket | undefined {
    return this.#sockets.find(({ spec }) => spec.address === end.local && spec.udpPort === portOf(end))
  }
}

/** An address as it is written usually: two ways to write one are one address. */
function usual(address: string): string {
  return address.includes(':') ? formatIpv6(parseIpv6(address)) : address
}
