import { type BridgePort, type BridgeSide, bridgePort, forgetStation, type Ground, Parts, Wires } from '@l2l3/modes'
import {
  type FdbEntry,
  type MirrorOptions,
  SECOND,
  Switch,
  type SwitchOptions,
  type SwitchPort,
  type SwitchPortOptions,
  type VlanRange,
} from '@l2l3/switch-core'
import { parseMac } from '../address.ts'
import { didYouMean } from '../did-you-mean.ts'
import type { FdbRow, Mode, PortRow, Report, Schema } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec } from '../topology.ts'
import { ModeNode } from './mode-node.ts'

/*
 * mode: switch - the learning switch with VLANs, as it is.
 *
 *      endpoint   endpoint        uplink
 *          |          |             |
 *      +---+----------+-------------+---+
 *      |    switch: FDB, VLANs, mirror  |
 *      +--------------------------------+
 */

const flag = (description: string): Schema => ({ type: 'boolean', description })
const vlanId: Schema = { type: 'integer', minimum: 1, maximum: 4094 }
const vlanRanges: Schema = {
  type: 'array',
  minItems: 1,
  items: { type: ['integer', 'string'], minimum: 1, maximum: 4094, pattern: '^[0-9]{1,4}(-[0-9]{1,4})?$' },
}

const options = {
  vlanAware: flag('Whether VLAN tags are looked at. Default: true where a port has `vlan`, else false.'),
  tpid: {
    enum: ['802.1Q', '802.1ad'],
    description: 'Which tag counts: 802.1Q (0x8100, the default) or 802.1ad (0x88a8).',
  },
  ageing: {
    type: 'number',
    minimum: 0,
    maximum: 1_000_000,
    description: 'Seconds until an address that is not heard is forgotten. Default 300.',
  },
  maxEntries: {
    type: 'integer',
    minimum: 1,
    maximum: 1_048_576,
    description: 'Addresses the switch holds at most. Default 8192.',
  },
  atLimit: {
    enum: ['refuse', 'evict'],
    description:
      'What happens to a new address when the table is full: it is not learnt (refuse, the default) or takes the ' +
      'place of an idle one (evict).',
  },
  seed: {
    type: 'integer',
    minimum: 0,
    maximum: 0xffffffff,
    description: "Seed of the address table's hash. Default: drawn at random on Linux, else 0.",
  },
  stpGroupWhenOff: {
    enum: ['flood', 'filter'],
    description: 'Frames to 01-80-C2-00-00-00: flood (the default, as Linux does) or filter (802.1D).',
  },
  groupForwardMask: {
    type: 'integer',
    minimum: 0,
    maximum: 0xfff8,
    multipleOf: 8,
    description:
      'Reserved groups 01-80-C2-00-00-0x to forward all the same: bit x; bits 0 to 2 cannot be set. Default 0.',
  },
  static: {
    type: 'array',
    description: 'Addresses bound to a port for good.',
    items: {
      type: 'object',
      required: ['mac', 'port'],
      additionalProperties: false,
      properties: {
        mac: { type: 'string', description: "The station's MAC address." },
        port: { type: 'string', description: 'A port of this node.' },
        vlan: { ...vlanId, description: 'Its VLAN, in a VLAN-aware switch. Default 1.' },
      },
    },
  },
  mirrors: {
    type: 'array',
    description: 'Ports whose frames are copied to another port.',
    items: {
      type: 'object',
      required: ['ports', 'to'],
      additionalProperties: false,
      properties: {
        ports: { type: 'array', minItems: 1, items: { type: 'string' }, description: 'Ports to look at.' },
        to: { type: 'string', description: 'The port that gets the copies.' },
        direction: { enum: ['in', 'out', 'both'], description: 'Frames that come in, go out, or both (the default).' },
      },
    },
  },
} as const

/** Options of a port of a switch. */
export const portOptions: Readonly<Record<string, Schema>> = {
  vlan: {
    type: 'object',
    description:
      'The port\'s VLANs: access N; trunk [N, "N-M"] with native N and untagged [N]; or tunnel N (QinQ). ' +
      'Default access 1.',
    additionalProperties: false,
    properties: {
      access: { ...vlanId, description: 'VLAN of untagged frames, which leave untagged.' },
      trunk: { ...vlanRanges, description: 'VLANs whose frames come and leave with a tag.' },
      native: { ...vlanId, description: 'With trunk: the VLAN of untagged frames.' },
      untagged: { ...vlanRanges, description: 'With trunk: further VLANs whose frames leave without a tag.' },
      tunnel: { ...vlanId, description: 'All frames, tagged or not, belong to this VLAN and get one more tag.' },
    },
    oneOf: [{ required: ['access'] }, { required: ['trunk'] }, { required: ['tunnel'] }],
    dependencies: { native: ['trunk'], untagged: ['trunk'] },
  },
  learning: { enum: [true, false, 'sticky'], description: 'Whether source addresses are learnt here. Default true.' },
  hairpin: flag('Frames may leave by the port they came from. Default false.'),
  isolated: flag('The port exchanges no frames with other isolated ports. Default false.'),
  unknownUnicastFlood: flag('Frames to an unknown address are flooded to this port. Default true.'),
  multicastFlood: flag('Multicast is flooded to this port. Default true.'),
  broadcastFlood: flag('Broadcasts are flooded to this port. Default true.'),
  macs: {
    type: 'array',
    items: { type: 'string' },
    description: 'The only source addresses that frames may come with. Default: any.',
  },
  mtu: {
    type: 'integer',
    minimum: 68,
    maximum: 65_535,
    description:
      'Longest payload of a frame that leaves by the port; at an endpoint also the MTU of its interface. ' +
      'Default: any, 1500 at the interface.',
  },
  storm: {
    type: 'object',
    required: ['rate'],
    additionalProperties: false,
    description: 'Allowance for flooded frames that come from here. Default: none.',
    properties: {
      rate: { type: 'integer', minimum: 1, maximum: 1e8, description: 'Flooded frames a second.' },
      burst: { type: 'integer', minimum: 1, maximum: 1e8, description: 'Frames at once. Default a tenth of the rate.' },
      kinds: {
        type: 'array',
        minItems: 1,
        items: { enum: ['broadcast', 'multicast', 'unknown'] },
        description: 'What counts. Default all three.',
      },
    },
  },
}

interface StaticEntry {
  mac: string
  port: string
  vlan?: number
}

interface Mirror {
  ports: string[]
  to: string
  direction?: 'in' | 'out' | 'both'
}

interface Options extends Omit<SwitchOptions, 'tpid' | 'name'> {
  tpid?: '802.1Q' | '802.1ad'
  static?: StaticEntry[]
  mirrors?: Mirror[]
}

function vlanAware(node: NodeSpec): boolean {
  return (node.options as Options).vlanAware ?? node.ports.some((p) => p.options.vlan !== undefined)
}

function check(node: NodeSpec, report: Report): void {
  const names = node.ports.map((p) => p.name)
  const known = (name: string, path: (string | number)[]): void => {
    if (names.includes(name)) return
    report(path, `node ${node.name} has no port "${name}"${didYouMean(name, names) || `; it has ${names.join(', ')}`}`)
  }
  const station = (mac: string, path: (string | number)[]): void => {
    try {
      parseMac(mac)
    } catch (error) {
      report(path, (error as Error).message)
    }
  }
  const { static: entries = [], mirrors = [] } = node.options as Options
  entries.forEach((entry, i) => {
    station(entry.mac, ['static', i, 'mac'])
    known(entry.port, ['static', i, 'port'])
    if (entry.vlan !== undefined && !vlanAware(node)) report(['static', i, 'vlan'], 'needs a VLAN-aware switch')
  })
  mirrors.forEach((mirror, i) => {
    mirror.ports.forEach((name, j) => {
      known(name, ['mirrors', i, 'ports', j])
    })
    known(mirror.to, ['mirrors', i, 'to'])
    if (mirror.ports.includes(mirror.to)) report(['mirrors', i, 'to'], `port ${mirror.to} cannot be mirrored to itself`)
  })
  for (const port of node.ports) checkPort(node, port, report, station)
}

function checkPort(
  node: NodeSpec,
  port: PortSpec,
  report: Report,
  station: (mac: string, path: (string | number)[]) => void,
): void {
  const { vlan, macs = [] } = port.options as SwitchPortOptions
  macs.forEach((mac, i) => {
    station(mac, [...port.path, 'macs', i])
  })
  if (vlan === undefined) return
  if (!vlanAware(node)) report([...port.path, 'vlan'], `needs a VLAN-aware switch, and vlanAware is false`)
  for (const key of ['trunk', 'untagged'] as const) {
    const list = (vlan as { trunk?: readonly VlanRange[]; untagged?: readonly VlanRange[] })[key] ?? []
    list.forEach((range, i) => {
      const [low = 0, high = low] = String(range).split('-').map(Number)
      if (low >= 1 && high <= 4094 && low <= high) return
      report(
        [...port.path, 'vlan', key, i],
        `expected a VLAN id from 1 to 4094 or a range such as "20-29", not "${range}"`,
      )
    })
  }
}

class SwitchNode extends ModeNode {
  readonly #switch: Switch
  readonly #wires: Wires
  readonly #sides: Parts<BridgePort, BridgeSide>
  /** Static addresses that are there, by VLAN and MAC. */
  readonly #statics: Map<string, StaticEntry> = new Map()
  /** What ends each mirror. */
  readonly #mirrors: (() => void)[] = []

  constructor(spec: NodeSpec, ground: Ground) {
    super(spec, ground)
    const { tpid, static: _static, mirrors: _mirrors, ...rest } = spec.options as Options
    const bridge = new Switch(ground.pool, ground.clock, {
      seed: ground.seed ?? 0,
      ...rest,
      name: spec.name,
      vlanAware: vlanAware(spec),
      tpid: tpid === '802.1ad' ? 0x88a8 : 0x8100,
    })
    this.#switch = bridge
    this.#wires = new Wires(ground, 0)
    this.#sides = new Parts((port) => bridgePort(this.#wires, bridge, port))
    ground.loop.every(SECOND, bridge)
  }

  protected become(): void {
    const { static: entries = [], mirrors = [] } = this.spec.options as Options
    // A mirror brings as much again to the port that it leads to, from each port, both ways.
    this.#wires.resize(this.spec.ports.length * (1 + mirrors.length))
    this.#sides.become(
      this.plugged.map(({ spec: { name, label, options: own }, port }) => {
        return { ...(own as SwitchPortOptions), name, label, port }
      }),
    )
    this.#setStatics(entries)
    this.#setMirrors(mirrors)
  }

  forget({ mac }: EndpointSpec): void {
    forgetStation(this.#switch, mac)
  }

  #setStatics(entries: readonly StaticEntry[]): void {
    const vlanOf = ({ vlan }: StaticEntry): number => vlan ?? (this.#switch.vlanAware ? 1 : 0)
    const next = new Map(entries.map((entry) => [`${vlanOf(entry)} ${parseMac(entry.mac)}`, entry]))
    for (const [key, entry] of [...this.#statics]) {
      if (next.get(key)?.port === entry.port) continue
      this.#switch.deleteAddress(parseMac(entry.mac), vlanOf(entry))
      this.#statics.delete(key)
    }
    for (const [key, entry] of next) {
      const to = this.#side(entry.port)
      // One that was there may have gone with its port, and that port have come again.
      if (to !== undefined) this.#switch.addStatic(parseMac(entry.mac), to, vlanOf(entry))
      this.#statics.set(key, entry)
    }
  }

  /** Mirrors look at ports, and those come and go: they begin anew, between two frames. */
  #setMirrors(mirrors: readonly Mirror[]): void {
    for (const stop of this.#mirrors.splice(0)) stop()
    for (const { ports, to, direction } of mirrors) {
      const out = this.#side(to)
      const seen = ports.map((name) => this.#side(name)).filter((side) => side !== undefined)
      if (out === undefined || seen.length === 0) continue
      const mirror: MirrorOptions = { ports: seen, to: out }
      this.#mirrors.push(this.#switch.mirror(direction === undefined ? mirror : { ...mirror, direction }))
    }
  }

  #side(name: string): SwitchPort | undefined {
    return this.#sides.get(name)?.side
  }

  ports(): PortRow[] {
    return this.plugged.flatMap(({ spec: { name }, port }) => {
      const side = this.#side(name)
      if (side === undefined) return []
      return {
        node: this.spec.name,
        port: name,
        state: port.failure !== null ? port.failure.message : port.closed || !side.up ? 'down' : 'up',
        ...side.counters,
        portDropped: port.counters.rxDropped + port.counters.txDropped,
        offloads: port.offloadText,
      }
    })
  }

  fdb(): FdbRow[] {
    const names = new Map(this.#switch.ports.map(({ index, name }) => [index, name]))
    const row = ({ mac, vlan, port, kind, age }: FdbEntry): FdbRow => {
      return { node: this.spec.name, mac, vlan, port: names.get(port) ?? String(port), kind, age }
    }
    return Array.from(this.#switch.fdb.list(), row)
  }
}

/** Whether tags are looked at may come of the ports, and is the whole switch's. */
function checkChange(before: NodeSpec, next: NodeSpec, report: Report): void {
  if (vlanAware(before) === vlanAware(next)) return
  const tagged = next.ports.find((port) => port.options.vlan !== undefined)
  const text = `would make the switch look at VLAN tags${vlanAware(next) ? '' : ' no more'}`
  report(tagged === undefined ? [] : [...tagged.path, 'vlan'], text)
}

/** The learning switch. */
export const switchMode: Mode = {
  name: 'switch',
  options,
  portOptions,
  check,
  changes: ['static', 'mirrors'],
  checkChange,
  build: (node, ground) => new SwitchNode(node, ground),
}
