import { type Link, Pipeline, type Port, type Router, SECOND } from '@l2l3/switch-core'
import { formatIpv6, parseIpv6 } from '@l2l3/switch-core/wire'
import { geneve, PROFILES, type ProfileOptions, tunnelSettings, Vtep, type VtepOptions, vxlan } from '@l2l3/vxlan'
import { type Ground, linkTo } from './ground.ts'

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

/** A socket that is joined: its port takes what a VTEP sends. */
export interface JoinedSocket extends SocketUplink {
  readonly out: Link
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
  readonly #ground: Ground
  readonly #router: Router
  readonly #settings: Pick<VtepOptions, 'ageing' | 'maxEntries' | 'groups'>
  readonly #sockets: readonly JoinedSocket[]
  readonly #byPlace: Map<string, { vtep: Vtep; settings: string; first: string; socket: JoinedSocket | undefined }> =
    new Map()

  /**
   * @param settings what is the same for all
   * @param sockets underlays that need no router
   */
  constructor(
    ground: Ground,
    router: Router,
    settings: Pick<VtepOptions, 'ageing' | 'maxEntries' | 'groups'> = {},
    sockets: readonly SocketUplink[] = [],
  ) {
    this.#ground = ground
    this.#router = router
    this.#settings = settings
    this.#sockets = sockets.map((s) => ({ ...s, out: linkTo(ground, s.port, s.label ?? s.name, sockets.length + 8) }))
  }

  get vteps(): Vtep[] {
    return Array.from(this.#byPlace.values(), ({ vtep }) => vtep)
  }

  /** The sockets that carry an end; undefined where the router does. */
  socketOf(end: VtepEnd): JoinedSocket | undefined {
    return this.#sockets.find((s) => s.address === end.local && s.udpPort === portOf(end))
  }

  /** Has the loop poll the sockets: what comes in goes to their VTEP. */
  listen(): void {
    const { loop } = this.#ground
    for (const socket of this.#sockets) {
      const ends = Array.from(this.#byPlace.values()).flatMap((end) => (end.socket === socket ? end.vtep : []))
      loop.add(socket.port, new Pipeline(...ends))
    }
  }

  /** Gives the VTEP of a network, made if it is not there. Throws where the network wants another than those before. */
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
      if (there.settings === settings) return there.vtep
      throw new Error(
        `outer headers and what is understood must be as in ${there.first}, whose end it shares: ` +
          `${encapsulation} at ${local}`,
      )
    }
    const { pool, clock, loop, seed = 0 } = this.#ground
    const socket = this.socketOf(end)
    const vtep = new Vtep(pool, clock, {
      ...{ ...outer, ...this.#settings, local, port, encapsulation, out: socket?.out ?? this.#router, seed },
      ...(gbp === undefined ? {} : { gbp }),
      ...(knownOptions === undefined ? {} : { knownOptions }),
    })
    loop.every(SECOND, vtep)
    this.#byPlace.set(place, { vtep, settings, first: network, socket })
    return vtep
  }
}

/** An address as it is written usually: two ways to write one are one address. */
function usual(address: string): string {
  return address.includes(':') ? formatIpv6(parseIpv6(address)) : address
}
