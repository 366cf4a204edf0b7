import type { Addresses6 } from '../addresses6.ts'
import { checkKeys } from '../outbound/known-keys.ts'
import type { OutsidePorts } from '../outbound/outside-ports.ts'
import { firstOf, lastOf } from '../outbound/port-range.ts'
import { readSeed } from '../outbound/source-nat-options.ts'
import type { DestinationPolicy, FlowEnder, NewFlow, StandingFlow } from '../policy.ts'
import { Frontends, NO_FRONTEND, NODE_PORT } from '../service/frontends.ts'
import { IPV6, Proto } from '../tuple.ts'
import { formatMapping, overlap, type PortMapping, type ReadMapping, readMapping } from './port-mapping.ts'

/*
 * The ports of the node that are for inside hosts.
 *
 *     203.0.113.1:8080   one look by address and port: a mapping with that address
 *     *:8080             a second one by port alone, if the packet is for the node itself: a mapping on all addresses
 *
 * The source stays (modes.md 18.10), unless it is one of `masqueradeFrom`: a host of the same network would answer
 * the client directly, and the client would not know the answer (18.8).
 *
 * Mappings come and go at run time. The flows of one that ends go on, as they do in Linux. But where a port gets another
 * mapping, flows of UDP that still go to the old one are ended, so that a client who never stops asking finds the new one:
 * portmap deletes them from the table too (modes.md 17.3). So a mapping is remembered while it has flows.
 */

/** Settings of `PortMappings`. */
export interface PortMappingsOptions {
  /** Keeps the ports of mappings that are `reserved` from being given out by a NAT that owns its ports, but to whom they
   * lead to. */
  outsidePorts?: OutsidePorts
  /** Seed of the hash, 32 bits. Default 0. */
  seed?: number
}

/** A mapping as it stands in the table. */
interface Entry {
  readonly mapping: ReadMapping
  readonly address: number
  readonly to: number
  readonly toPort: number
  readonly firstPort: number
  /** Flows that it has. */
  flows: number
  /** Whether it ended: its flows go on. */
  gone: boolean
}

/** Decides for whom a packet is that comes to a mapped port. */
export class PortMappings implements DestinationPolicy {
  readonly #addresses: Addresses6
  readonly #options: PortMappingsOptions
  readonly #ports: Frontends
  /** By number; a flow's tag is its mapping's number plus one. */
  readonly #entries: (Entry | null)[] = []
  #engines: readonly FlowEnder[] = []

  constructor(addresses: Addresses6, options: PortMappingsOptions = {}) {
    checkKeys('', options, ['outsidePorts', 'seed'] satisfies (keyof PortMappingsOptions)[])
    this.#addresses = addresses
    this.#options = options
    this.#ports = new Frontends(readSeed(options.seed ?? 0))
  }

  /** Adds a mapping, and gives a number by which it can be removed. Throws a TypeError or RangeError with key and value,
   * an Error where another mapping has the port. */
  add(mapping: PortMapping, key = 'portMapping'): number {
    return this.#add(readMapping(key, mapping), key)
  }

  /** Adds all of them or, if one is wrong, none. */
  addAll(mappings: readonly PortMapping[], key = 'portMappings'): number[] {
    const read = mappings.map((mapping, i) => readMapping(`${key}[${i}]`, mapping))
    const added: number[] = []
    try {
      for (const [i, mapping] of read.entries()) added.push(this.#add(mapping, `${key}[${i}]`))
    } catch (error) {
      for (const number of added) this.remove(number)
      throw error
    }
    return added
  }

  /** For the engine. */
  attached(engine: FlowEnder): void {
    this.#engines = [...this.#engines, engine]
  }

  /** For the engine: a flow is over. */
  ended(tag: number): void {
    const entry = this.#entries[tag - 1] ?? null
    if (entry === null) return
    entry.flows--
    if (entry.gone) this.#forget(tag - 1, entry)
  }

  /** Takes a mapping away; its flows go on. False where it is none. */
  remove(number: number): boolean {
    const entry = this.#entries[number] ?? null
    if (entry === null || entry.gone) return false
    const { mapping, address } = entry
    entry.gone = true
    for (let port = firstOf(mapping.ports); port <= lastOf(mapping.ports); port++) {
      this.#ports.remove(address, mapping.kind | 0, listenPort(mapping, port))
    }
    this.#unreserve(entry, lastOf(mapping.ports))
    this.#forget(number, entry)
    return true
  }

  /** Reserves the ports of a mapping; false, and none is, where the table has no room. */
  #reserve(entry: Entry): boolean {
    const { outsidePorts } = this.#options
    const { mapping, address, to, toPort, firstPort } = entry
    if (outsidePorts === undefined || !mapping.reserved) return true
    for (let port = firstPort; port <= lastOf(mapping.ports); port++) {
      if (outsidePorts.reserve(mapping.kind, address, port, to, toPort + port - firstPort)) continue
      this.#unreserve(entry, port - 1)
      return false
    }
    return true
  }

  /** Ends the reservations of a mapping's ports up to `last`. */
  #unreserve({ mapping, address, to, toPort, firstPort }: Entry, last: number): void {
    const { outsidePorts } = this.#options
    if (outsidePorts === undefined || !mapping.reserved) return
    for (let port = firstPort; port <= last; port++) {
      outsidePorts.unreserve(mapping.kind, address, port, to, toPort + port - firstPort)
    }
  }

  #forget(number: number, entry: Entry): void {
    if (entry.flows > 0) return
    this.#entries[number] = null
    if ((entry.mapping.kind & IPV6) !== 0) {
      this.#addresses.release(entry.address)
      this.#addresses.release(entry.to)
    }
  }

  /** The mappings, for people: `tcp *:8080 -> 10.22.0.11:80`. */
  list(): string[] {
    return this.#entries.filter((entry) => entry !== null && !entry.gone).map((entry) => formatMapping(entry!.mapping))
  }

  decide(flow: NewFlow): boolean {
    if (this.#ports.size === 0) return false
    const { kind, src, dst, dstPort } = flow.tuple
    const k = kind | 0
    let number = this.#ports.find(dst, k, dstPort)
    if (number === NO_FRONTEND) {
      if (!flow.toLocal) return false
      number = this.#ports.find(0, k, dstPort | NODE_PORT)
      if (number === NO_FRONTEND) return false
    }
    const entry = this.#entries[number] as Entry
    const { mapping, to, toPort, firstPort } = entry
    if (mapping.local && !flow.toLocal) return false
    if (mapping.notIn.size > 0 && mapping.notIn.has(flow.in)) return false
    if (mapping.when !== null) {
      const { words } = flow.addresses
      const fits = (kind & IPV6) === 0 ? mapping.when.fits4(src, dst) : mapping.when.fits6(words, src << 2, dst << 2)
      if (!fits) return false
    }
    flow.toAddress = to
    flow.toPort = toPort + dstPort - firstPort
    flow.tag = number + 1
    entry.flows++
    if (flow.tells) flow.why = `port mapping ${formatMapping(mapping)}`
    const from = mapping.masqueradeFrom
    if (!from.empty) {
      const wants = (kind & IPV6) === 0 ? from.includes4(src) : from.includes6(flow.addresses.words, src << 2)
      if (wants) flow.masquerade = true
    }
    return true
  }

  #add(mapping: ReadMapping, key: string): number {
    const others = this.#entries.filter((entry) => entry !== null && overlap(entry.mapping, mapping))
    const other = others.find((entry) => !entry!.gone)
    if (other) throw new Error(`${key}: ${formatMapping(mapping)} has a port of ${formatMapping(other.mapping)}`)
    const address = mapping.address === null ? 0 : this.#number(mapping.address, `${key}.address`)
    const to = this.#number(mapping.to, `${key}.to`)
    const free = this.#entries.indexOf(null)
    const number = free === -1 ? this.#entries.length : free
    const [first, last] = [firstOf(mapping.ports), lastOf(mapping.ports)]
    const entry: Entry = { mapping, address, to, toPort: mapping.toPort, firstPort: first, flows: 0, gone: false }
    this.#entries[number] = entry
    if (!this.#reserve(entry)) {
      this.#forget(number, entry)
      throw new RangeError(
        `${key}: ${formatMapping(mapping)} is more ports than can be reserved (outsidePorts: maxPorts)`,
      )
    }
    for (let port = first; port <= last; port++) {
      this.#ports.add(address, mapping.kind | 0, listenPort(mapping, port), number)
    }
    if (isDatagram(mapping.kind)) this.#endStale(mapping, address, number + 1)
    return number
  }

  /** Ends what would keep clients from a new mapping: flows that would now be its, and are of an old one, of a service, or of
   * nobody. */
  #endStale(mapping: ReadMapping, address: number, tag: number): void {
    const [first, last] = [firstOf(mapping.ports), lastOf(mapping.ports)]
    const match = (flow: StandingFlow): boolean => {
      const { kind, dst, dstPort } = flow.tuple
      if (kind !== mapping.kind || dstPort < first || dstPort > last) return false
      if (flow.policy === this && flow.tag === tag) return false
      if (mapping.address !== null && dst !== address) return false
      return !mapping.local || flow.toLocal
    }
    for (const engine of this.#engines) engine.endWhere(match)
  }

  #number(words: Uint32Array, key: string): number {
    if (words.length === 1) return words[0] as number
    const bytes = new Uint8Array(16)
    const view = new DataView(bytes.buffer)
    words.forEach((word, i) => {
      view.setUint32(4 * i, word)
    })
    const row = this.#addresses.intern(bytes, 0)
    if (row === 0) throw new RangeError(`${key}: the table of IPv6 addresses is full`)
    return row
  }
}

function isDatagram(kind: number): boolean {
  return (kind & 255) === Proto.Udp || (kind & 255) === Proto.UdpLite
}

/** How a port stands in the table: on all of the node's addresses it has a mark. */
function listenPort(mapping: ReadMapping, port: number): number {
  return mapping.address === null ? port | NODE_PORT : port
}
