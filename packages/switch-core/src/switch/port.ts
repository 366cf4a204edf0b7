import type { Batch } from '../batch.ts'
import type { Element } from '../element.ts'
import { checkRange } from '../frame-pool.ts'
import type { Link } from '../link.ts'
import { parseMac } from '../wire/ethernet.ts'
import { fdbKey } from './fdb.ts'
import { BROADCAST, MULTICAST, StormBucket, type StormOptions, UNKNOWN } from './storm.ts'
import type { Switch } from './switch.ts'
import { NOT_MEMBER, type PortVlans, type VlanTable, vlanTable } from './vlan.ts'

/** What can be set on a port of a switch, at any time. */
export interface SwitchPortOptions {
  /** The name that people see. Default "port N". */
  name?: string
  /** VLANs of the port, in a VLAN-aware switch. Default `{ access: 1 }`. */
  vlan?: PortVlans
  /** Whether source addresses are learnt here; `'sticky'`: they are, and do not move to another port until they age out
   * or are flushed. Default true. */
  learning?: boolean | 'sticky'
  /** Frames may leave by the port they came from (reflective relay). Default false. */
  hairpin?: boolean
  /** The port exchanges no frames with other isolated ports. Default false. */
  isolated?: boolean
  /** Whether frames to an unknown unicast address are flooded to this port. Default true. */
  unknownUnicastFlood?: boolean
  /** Whether frames to a multicast address are flooded to this port. Default true. */
  multicastFlood?: boolean
  /** Whether broadcasts are flooded to this port. Default true. */
  broadcastFlood?: boolean
  /** The only source addresses that frames may come with (MAC spoof check). Default: any. */
  macs?: readonly string[]
  /** Longest payload, in bytes behind the Ethernet header and tag, of a frame that leaves here; 68 to 65,535. Default:
   * any. A super-frame counts as its segments. */
  mtu?: number
  /** Allowance for flooded frames that come from here. Default: none, storm protection is off. */
  storm?: StormOptions
}

/** What a switch has counted at a port. */
export interface SwitchPortCounters {
  rxFrames: number
  rxBytes: number
  /** Frames handed to the port's link; what the link or the port behind it drops is counted there. */
  txFrames: number
  txBytes: number
  /** Frames that came from here and that the switch dropped. */
  dropped: number
}

/* A port's settings as bits: the data path tests several at once. */
export const HAIRPIN: number = 1 << 0
export const ISOLATED: number = 1 << 1
export const NO_LEARNING: number = 1 << 2
export const STICKY: number = 1 << 3
export const DOWN: number = 1 << 4
export const GUARD: number = 1 << 5
export const STORM: number = 1 << 6
export const MTU: number = 1 << 7
export const MIRROR_RX: number = 1 << 8
export const MIRROR_TX: number = 1 << 9
/** The port is the output of a mirror. */
export const MIRROR_OUT: number = 1 << 10
/** Bits 16, 17, 18: no flooding to this port of broadcast, multicast, unknown unicast. */
export const NO_FLOOD_SHIFT = 16
/** What takes a frame that comes in off the fast path. */
export const SLOW_IN: number = DOWN | GUARD | MIRROR_RX | MIRROR_OUT
/** What takes a frame that goes out off the fast path. */
export const SLOW_OUT: number = DOWN | MTU | MIRROR_TX | MIRROR_OUT

const FLAGS = [
  'hairpin',
  'isolated',
  'unknownUnicastFlood',
  'multicastFlood',
  'broadcastFlood',
] as const satisfies readonly (keyof SwitchPortOptions)[]

/** Runs `make`, and has an error of it name the key. */
function named<T>(key: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    throw new RangeError(`${key}: ${(error as Error).message}`)
  }
}

/**
 * A port of a switch. As an element it is the way in: frames that it processes have come to the switch here. The way
 * out is the link it was made with.
 */
export class SwitchPort implements Element {
  /** The switch's number for the port, from 0; used again after the port is removed. */
  readonly index: number
  readonly link: Link
  readonly #switch: Switch
  #name: string
  #options: SwitchPortOptions = {}
  #up = true
  #mirror = 0

  /* For the switch. */
  /** Settings as bits. */
  flags = 0
  vlans: VlanTable
  /** Allowed sources: `fdbKey` words in pairs. */
  macs: Int32Array = new Int32Array(0)
  mtu = 0
  storm: StormBucket | null = null
  mirrorIn: readonly SwitchPort[] = []
  mirrorOut: readonly SwitchPort[] = []

  /** Use `Switch.addPort`. */
  constructor(owner: Switch, index: number, link: Link, options: SwitchPortOptions) {
    this.#switch = owner
    this.index = index
    this.link = link
    this.#name = `port ${index}`
    this.vlans = vlanTable({ access: 1 })
    this.set(options)
  }

  get name(): string {
    return this.#name
  }
  /** The settings in force, those left out included as they were given. */
  get options(): Readonly<SwitchPortOptions> {
    return this.#options
  }
  get up(): boolean {
    return this.#up
  }
  get counters(): SwitchPortCounters {
    return this.#switch.portCounters(this.index)
  }

  /** Changes settings; those not named stay. Throws a RangeError with the key and the value, and then nothing has
   * changed. */
  set(change: SwitchPortOptions): void {
    const o = { ...this.#options, ...change }
    const key = (name: string): string => `${o.name ?? this.#name}: ${name}`
    if (o.vlan !== undefined && !this.#switch.vlanAware)
      throw new RangeError(`${key('vlan')} needs a VLAN-aware switch`)
    const vlans = vlanTable(o.vlan ?? { access: 1 }, key('vlan'))
    const mtu = o.mtu === undefined ? 0 : checkRange(key('mtu'), o.mtu, 68, 65_535)
    const macs = new Int32Array(named(key('macs'), () => (o.macs ?? []).flatMap((mac) => fdbKey(parseMac(mac)))))
    // A bucket that is in use keeps its level unless it is set anew.
    const fresh = (): StormBucket | null =>
      o.storm === undefined ? null : named(key('storm'), () => new StormBucket(o.storm!, this.#switch.clock.now))
    const storm = 'storm' in change ? fresh() : this.storm
    for (const flag of FLAGS) {
      const value = o[flag]
      if (value !== undefined && typeof value !== 'boolean') {
        throw new RangeError(`${key(flag)} takes true or false, not ${String(value)}`)
      }
    }
    if (o.learning !== undefined && typeof o.learning !== 'boolean' && o.learning !== 'sticky') {
      throw new RangeError(`${key('learning')} takes true, false or 'sticky', not ${String(o.learning)}`)
    }
    const before = this.vlans
    this.#options = o
    this.#name = o.name ?? this.#name
    this.vlans = vlans
    this.mtu = mtu
    this.macs = macs
    this.storm = storm
    this.#compile()
    // What was learnt in a VLAN that the port has left would be a dead end.
    this.#switch.forget(this, (vlan) => before.member[vlan] !== NOT_MEMBER && vlans.member[vlan] === NOT_MEMBER)
  }

  /** Takes the port down, as a cable that is pulled: what was learnt here is forgotten. Or up again. */
  setUp(up: boolean): void {
    this.#up = up
    if (!up) this.#switch.forget(this, () => true)
    this.#compile()
  }

  /** For the switch: the ports that get copies of what comes in here and of what leaves, and whether this is one. */
  setMirrors(mirrorIn: readonly SwitchPort[], mirrorOut: readonly SwitchPort[], isOutput: boolean): void {
    this.mirrorIn = mirrorIn
    this.mirrorOut = mirrorOut
    this.#mirror =
      (mirrorIn.length > 0 ? MIRROR_RX : 0) | (mirrorOut.length > 0 ? MIRROR_TX : 0) | (isOutput ? MIRROR_OUT : 0)
    this.#compile()
  }

  process(batch: Batch): void {
    this.#switch.forward(batch, this)
  }

  #compile(): void {
    const o = this.#options
    const noFlood =
      (o.broadcastFlood === false ? BROADCAST : 0) |
      (o.multicastFlood === false ? MULTICAST : 0) |
      (o.unknownUnicastFlood === false ? UNKNOWN : 0)
    this.flags =
      (o.hairpin ? HAIRPIN : 0) |
      (o.isolated ? ISOLATED : 0) |
      (o.learning === false ? NO_LEARNING : 0) |
      (o.learning === 'sticky' ? STICKY : 0) |
      (this.#up ? 0 : DOWN) |
      (o.macs === undefined ? 0 : GUARD) |
      (this.storm === null ? 0 : STORM) |
      (this.mtu === 0 ? 0 : MTU) |
      (noFlood << NO_FLOOD_SHIFT) |
      this.#mirror
    this.#switch.portChanged(this)
  }
}
