import { type AclOptions, Filter, type FilterPort } from '@l2l3/nat'
import {
  AddressTable,
  AZURE_FABRIC_MAC,
  type Batch,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  type Link,
  type MacWords,
  NO_FRAME,
  Pipeline,
  type Port,
  putMac,
  stationMac,
} from '@l2l3/switch-core'
import { arp, eth, formatIpv4, formatMac, ipv4, ipv6, parseMac, u16 } from '@l2l3/switch-core/wire'
import { type Ground, Wires } from '../ground.ts'
import { Parts, same } from '../parts.ts'

/** A virtual machine on the physical host: a node with pods. */
export interface FabricVm {
  readonly name: string
  readonly label?: string
  readonly port: Port
  /** The MAC of its NIC: all of its addresses are behind it. */
  readonly mac: string
  /** Its addresses, those of its pods included; without prefix. */
  readonly ips: readonly string[]
  /** What may pass its port (a network security group). Default: all. */
  readonly acl?: AclOptions
}

/** Settings of a fabric that change. */
export interface FabricSettings {
  readonly vms: readonly FabricVm[]
}

/** Settings of a fabric. */
export interface FabricOptions extends FabricSettings {
  /** The MAC that it has for everybody. Default `AZURE_FABRIC_MAC`. */
  readonly mac?: string
  /** What is for nobody here leaves by this port, to this MAC: the router of the network. Default: it is dropped. */
  readonly uplink?: { readonly port: Port; readonly label?: string; readonly gatewayMac: string } | null
}

/** A physical host. */
export interface FabricNode {
  readonly filter: Filter
  /** By the names of their ports. */
  readonly vms: ReadonlyMap<string, FilterPort>
  change(next: FabricSettings): void
}

/**
 * mode: fabric - the physical host under l2tunnel nodes: it applies policy to every frame, and gives it to whom it is for, by IP address,
 * also to the port that it came from (modes.md 3).
 *
 *     vm 1 (hostM 1: its own, pods 1)     vm 2 (hostM 2: its own, pods 2)
 *        |                                   |
 *     [ policy ]                          [ policy ]
 *     +--+-----------------------------------+--+
 *     |  who has the address?  dst := its hostM |  12:34:56:78:9a:bc: source of all that it sends, and the answer to
 *     |                        src := fabric    |  whatever is asked for by ARP
 *     +--------------------+--------------------+
 *                          | to gatewayMac
 *                        uplink
 *
 * No IP header is touched: a hairpin takes no TTL ([I]). Broadcasts and multicasts end here, as in a network without them.
 */
export function fabric(ground: Ground, options: FabricOptions): FabricNode {
  const { loop, pool } = ground
  const { mac = AZURE_FABRIC_MAC, uplink = null } = options
  const wires = new Wires(ground, options.vms.length + 1)
  const filter = new Filter(loop, { seed: ground.seed ?? 0 })
  const core = new Core(pool, mac, uplink?.gatewayMac ?? null)
  if (uplink !== null) {
    core.uplink = wires.link(uplink.port, uplink.label ?? uplink.port.name)
    loop.add(uplink.port, new Entry(core, core.uplink))
  }
  const vms = new Parts(
    (spec: FabricVm) => {
      const { name, port, ips, label, acl = { defaults: 'allow' } } = spec
      const policy = filter.addPort(name, acl)
      const nic = wires.link(port, label ?? name)
      const link = wires.link(new Pipeline(policy.in, new Onto(nic)), `${name} (policy)`)
      const number = core.add(name, spec.mac, ips, link)
      const entry = new Entry(core, nic)
      policy.againOut = loop.link(new Pipeline(policy.out, entry), `${name} out, fragments`)
      policy.againIn = loop.link(new Pipeline(policy.in, new Onto(nic)), `${name} in, fragments`)
      loop.add(port, new Pipeline(policy.out, entry))
      return {
        ...{ name, policy },
        end() {
          loop.remove(port)
          core.remove(number, ips)
          filter.removePort(policy)
          wires.end(link)
          wires.end(nic)
        },
      }
    },
    ({ policy }, spec, before) => {
      if (!same({ ...spec, acl: null }, { ...before, acl: null })) return false
      policy.setRules(spec.acl ?? { defaults: 'allow' })
      return true
    },
  )
  const change = ({ vms: next }: FabricSettings): void => {
    wires.resize(next.length + 1)
    const stay = new Set(next.map((spec) => spec.name))
    for (const { name } of vms.list) if (!stay.has(name)) vms.remove(name)
    vms.become(next)
  }
  change(options)
  return {
    filter,
    get vms() {
      return new Map(vms.list.map(({ name, policy }) => [name, policy]))
    },
    change,
  }
}

interface Owner {
  readonly name: string
  readonly mac: MacWords
  readonly link: Link
}

/** Who has which address. */
class Core {
  readonly pool: FramePool
  readonly mac: MacWords
  readonly macBytes: Uint8Array
  readonly gateway: MacWords | null
  uplink: Link | null = null
  readonly #table: AddressTable = new AddressTable(65_536)
  readonly #owners: (Owner | null)[] = []

  constructor(pool: FramePool, mac: string, gatewayMac: string | null) {
    this.pool = pool
    this.mac = stationMac('mac', mac)
    this.macBytes = parseMac(mac)
    this.gateway = gatewayMac === null ? null : stationMac('gatewayMac', gatewayMac)
  }

  /** Adds a machine; throws where one of its addresses is taken, and has added nothing then. */
  add(name: string, mac: string, ips: readonly string[], link: Link): number {
    const words = stationMac(`${name}: mac`, mac)
    const free = this.#owners.indexOf(null)
    const number = free < 0 ? this.#owners.length : free
    const added: string[] = []
    try {
      for (const ip of ips) {
        this.#table.add(ip, number)
        added.push(ip)
      }
    } catch (error) {
      for (const ip of added) this.#table.delete(ip)
      throw error
    }
    this.#owners[number] = { name, mac: words, link }
    return number
  }

  remove(number: number, ips: readonly string[]): void {
    for (const ip of ips) this.#table.delete(ip)
    this.#owners[number] = null
  }

  owner(at: number, six: boolean): Owner | null {
    const { bytes } = this.pool
    const number = six ? this.#table.find6(bytes, at) : this.#table.find4(bytes, at)
    return number < 0 ? null : (this.#owners[number] ?? null)
  }
}

/** What comes in by a port: answered, given to whom it is for, or sent on. */
class Entry implements Element {
  readonly #core: Core
  readonly #back: Link

  /** @param back leads out by the port again: for answers */
  constructor(core: Core, back: Link) {
    this.#core = core
    this.#back = back
  }

  process(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) this.#take(batch.frames[i] as Frame)
    batch.length = 0
  }

  #take(f: Frame): void {
    const { pool } = this.#core
    const { bytes: b, off, len } = pool
    const o = off[f] as number
    const end = o + (len[f] as number)
    if (end - o < eth.HLEN) {
      pool.drop(f, Drop.Runt)
      return
    }
    const type = u16(b, o + eth.TYPE)
    const l3 = o + eth.HLEN
    if (type === eth.EtherType.Arp) this.#arp(f, l3, end)
    else if (((b[o] as number) & 1) !== 0) pool.drop(f, Drop.BlockBroadcast)
    else if (type === eth.EtherType.IPv4) {
      if (ipv4.checkHeader(b, l3, end) === -1) pool.drop(f, Drop.Malformed)
      else this.#give(f, l3 + ipv4.DST, false)
    } else if (type === eth.EtherType.IPv6) {
      if (ipv6.checkHeader(b, l3, end) === -1) pool.drop(f, Drop.Malformed)
      else this.#give(f, l3 + ipv6.DST, true)
    } else pool.drop(f, Drop.BlockNonIp)
  }

  /** Says the fabric's MAC to whoever asks; who asks for himself is told nothing. */
  #arp(f: Frame, l3: number, end: number): void {
    const { pool, macBytes } = this.#core
    if (!arp.check(pool.bytes, l3, end) || arp.op(pool.bytes, l3) !== arp.Op.Request) {
      pool.drop(f, Drop.Consumed)
      return
    }
    if (arp.spa(pool.bytes, l3) === arp.tpa(pool.bytes, l3) || arp.spa(pool.bytes, l3) === 0) {
      pool.drop(f, Drop.Consumed)
      return
    }
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const { bytes: b } = pool
    const o = pool.off[g] as number
    const at = o + eth.HLEN
    const asked = arp.tpa(b, at)
    arp.answer(b, at, macBytes)
    b.copyWithin(o, o + 6, o + 12)
    b.set(macBytes, o + 6)
    if (pool.trace?.follows(g as Frame)) {
      pool.trace.note(g as Frame, 'fabric', `who has ${formatIpv4(asked)}? Whoever it is: ${formatMac(macBytes)}`)
    }
    this.#back.push(g as Frame)
  }

  #give(f: Frame, to: number, six: boolean): void {
    const { pool, mac, gateway, uplink } = this.#core
    const owner = this.#core.owner(to, six)
    const link = owner === null ? uplink : owner.link
    const next = owner === null ? gateway : owner.mac
    if (link === null || next === null || (owner === null && link === this.#back)) {
      pool.drop(f, Drop.UnknownEndpoint)
      return
    }
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const o = pool.off[g] as number
    putMac(pool.data, o, next)
    putMac(pool.data, o + 6, mac)
    if (pool.trace?.follows(g as Frame)) {
      const whose =
        owner === null ? 'nobody here has the address: to the gateway' : `the address is behind ${owner.name}`
      pool.trace.note(g as Frame, 'fabric', `${whose}, destination MAC is ${formatMac(pool.bytes, o)}; the TTL stays`)
    }
    link.push(g as Frame)
  }
}

/** The near end of a link. */
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
