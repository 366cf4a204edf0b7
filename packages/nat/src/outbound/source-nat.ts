import { Drop } from '@l2l3/switch-core'
import type { Addresses6 } from '../addresses6.ts'
import { PROTOCOL_NAMES } from '../conntrack/listing.ts'
import type { DestinationPolicy, NewFlow, OutsideAddresses, ReplyCheck, SourcePolicy } from '../policy.ts'
import { IPV6, isTranslatable, plainKind, QUERY } from '../tuple.ts'
import { type MappingInfo, Mappings } from './mappings.ts'
import { OutsidePorts } from './outside-ports.ts'
import { Peers } from './peers.ts'
import { NO_PORT, PortSearch, seededDice32 } from './port-search.ts'
import { NO_ROW } from './row-index.ts'
import {
  checkSourceNatOptions,
  MAX_MAPPINGS,
  Scope,
  type SourceNatOptions,
  type SourceNatSettings,
} from './source-nat-options.ts'

/*
 * One source NAT: gives a new flow an outside address and port, and says for whom a packet from outside is.
 *
 *     10.22.0.11:5000 -> 198.51.100.7:53
 *        |  is there a mapping for it?                        its outside endpoint, if the reply's tuple is free
 *        |  may there be one more?                            MaxPortPoolUsage
 *        |  which outside address?                            the interface's, the wanted one, or one of the pool
 *        v  which port?                                       its own, or a free one by class, range and parity
 *     203.0.113.1:5000 -> 198.51.100.7:53
 *
 * Where mappings own their ports, a packet to 203.0.113.1:5000 that belongs to no flow is for 10.22.0.11:5000, if the
 * filter lets it in; if it comes from a host behind the same NAT, its source becomes that host's outside endpoint
 * (`turned`). Where they do not, only replies come in, by the table of flows; everything else is the node's own.
 *
 * The tag of a flow is what it lives by: 1 + the mapping; where the filter is by address and the mapping for all, 1 + the
 * peer, or, where the table of peers is full, 1 + its size + the mapping: the flow goes on as any other, only that its
 * remote address lets no further packets in. COUNTED where it counts against the limit alone.
 */

/** The tag of a flow that counts against the limit and has no mapping. */
const COUNTED = 0xff_ffff
/** Addresses of a pool that are tried at most. */
const ADDRESSES = 8

/** Counts of what happened at a source NAT. */
export interface SourceNatCounters {
  /** Flows that got an outside endpoint. */
  translated: number
  /** Of them, those that got the one of an earlier flow. */
  reused: number
  /** New flows that were refused because no port was free, or none may be used any more. */
  spent: number
  /** New flows that cannot be translated: by protocol, or because the interface has no address of their family. */
  unsupported: number
  /** Flows from outside that the filter let in. */
  admitted: number
  /** Packets from outside that it did not let in. */
  filtered: number
  /** Flows from behind the NAT to behind the NAT. */
  turned: number
}

const NO_OUTSIDE: OutsideAddresses = { of4: () => 0, of6: () => 0 }

/** Translates sources. As a policy it takes every flow that it is asked about; `OutboundNat` chooses which. */
export class SourceNat implements SourcePolicy {
  readonly counters: SourceNatCounters = {
    translated: 0,
    reused: 0,
    spent: 0,
    unsupported: 0,
    admitted: 0,
    filtered: 0,
    turned: 0,
  }
  /** Decides about packets from outside to a port that is in use. */
  readonly inbound: DestinationPolicy
  readonly #settings: SourceNatSettings
  readonly #outside: OutsideAddresses
  readonly #addresses: Addresses6
  readonly #pool4: Uint32Array
  readonly #pool6: Uint32Array
  readonly #ports: OutsidePorts
  readonly #owner: number
  readonly #mappings: Mappings
  readonly #peers: Peers | null
  readonly #search: PortSearch
  /** Peers at most, 0: there are none. */
  readonly #maxPeers: number
  /** Whether flows look for a mapping of an earlier one. */
  readonly #remembers: boolean
  #used = 0

  /** Throws a TypeError or RangeError with key and value. */
  constructor(addresses: Addresses6, options: SourceNatOptions) {
    const s = checkSourceNatOptions(options)
    this.#settings = s
    this.#addresses = addresses
    this.#outside = options.outside ?? NO_OUTSIDE
    this.#pool4 = Uint32Array.from(s.to.filter((words) => words.length === 1).map((words) => words[0] as number))
    this.#pool6 = Uint32Array.from(s.to.filter((words) => words.length === 4).map((words) => intern(addresses, words)))
    this.#ports = options.outsidePorts ?? new OutsidePorts({ maxPorts: s.owns ? s.maxMappings : 1, seed: s.seed })
    this.#owner = this.#ports.join()
    this.#remembers = s.owns || s.choice.preserve
    this.#mappings = new Mappings(addresses, this.#remembers ? s.maxMappings : 1, s.seed)
    const hasPeers = s.filter === Scope.Address && s.scope === Scope.Any
    this.#maxPeers = hasPeers ? Math.max(1, Math.min(s.maxMappings, MAX_MAPPINGS - s.maxMappings)) : 0
    this.#peers = hasPeers ? new Peers(addresses, this.#maxPeers, s.seed) : null
    this.#search = new PortSearch(s.choice, this.#ports, options.random ?? seededDice32(s.seed))
    this.inbound = { decide: (flow) => this.admit(flow), ended: (tag) => this.ended(tag) }
  }

  /** Ports in use, as `maxPortPoolUsage` counts them: one for each inside endpoint that has it. */
  get used(): number {
    return this.#used
  }

  /** Gives up what it holds besides mappings, of which it has none any more: it decides nothing from now on. */
  close(): void {
    for (const address of this.#pool6) this.#addresses.release(address)
    this.#ports.leave(this.#owner)
  }

  /** The mappings, in no order. No packet may come meanwhile. */
  mappings(): IterableIterator<MappingInfo> {
    return this.#mappings.list()
  }

  /** Gives the flow an outside endpoint, or a reason to drop it; or leaves it as it is, if its protocol is not translated.
   * False where this NAT has addresses, but none of the flow's family. */
  decide(flow: NewFlow, reply: ReplyCheck): boolean {
    const { kind, src, dst } = flow.tuple
    const v6 = (kind & IPV6) !== 0
    const masquerades = this.#pool4.length + this.#pool6.length === 0
    const pool = v6 ? this.#pool6 : this.#pool4
    if (!masquerades && pool.length === 0) return false
    if (this.#settings.protocols[kind & 255] === 0) {
      if (flow.tells) flow.why = notAmong(this.#settings.protocols, kind)
      if (this.#settings.dropOthers) return this.#refuse(flow, Drop.NatUnsupported)
      return true
    }
    let wanted = flow.sourceAddress
    if (wanted === 0 && masquerades) {
      wanted = v6 ? this.#outside.of6(flow.out, dst) : this.#outside.of4(flow.out, dst)
      if (wanted === 0) return this.#refuse(flow, Drop.NatUnsupported)
    }
    if (!isTranslatable(kind))
      return this.#addressAlone(flow, reply, wanted !== 0 ? wanted : this.#choose(pool, src, dst, 0))
    return this.#translate(flow, reply, wanted, pool)
  }

  /** A flow that got an endpoint, or was let in, is over. */
  ended(tag: number): void {
    const local = tag & COUNTED
    if (local === 0) return
    if (local === COUNTED) {
      this.#used--
      return
    }
    const peers = this.#peers
    if (peers === null || local > this.#maxPeers) this.#release(local - 1 - this.#maxPeers)
    else this.#release(peers.release(local - 1))
  }

  /** Says for whom a packet of no flow is that came to a port which one of the mappings owns: true. */
  admit(flow: NewFlow): boolean {
    const { kind, src, dst, dstPort } = flow.tuple
    // A query from outside to an identifier in use is for the node: its own hosts want to be pinged.
    if (!this.#settings.owns || (kind & QUERY) !== 0) return false
    const row = this.#ownedBy(kind, dst, dstPort)
    if (row === NO_ROW) return false
    const turned = this.#isInside(kind, src)
    if (!turned && !this.#letsIn(row, src)) {
      this.counters.filtered++
      if (flow.tells) flow.why = `port ${dstPort} is in use, and its filter lets only those in that were sent to`
      return this.#drop(flow, Drop.NatFiltered)
    }
    this.#mappings.hold(row)
    flow.toAddress = this.#mappings.inside(row)
    flow.toPort = this.#mappings.insidePort(row)
    flow.tag = this.#tag(kind, row, src)
    if (flow.tells)
      flow.why = turned ? 'the outside endpoint of a host beside it' : 'the mapping of an earlier flow lets it in'
    if (turned) {
      flow.masquerade = true
      // What masquerades here has the address that the packet was sent to; a pool knows the one of the sender.
      flow.sourceAddress = this.#pool4.length + this.#pool6.length === 0 ? dst : 0
      this.counters.turned++
    } else this.counters.admitted++
    return true
  }

  /** Whether mappings own their ports. */
  get owns(): boolean {
    return this.#settings.owns
  }

  /** The address that a flow which is turned round gets if it would have left by an interface; 0: one of the pool. */
  outsideOf(flow: NewFlow, out: number): number {
    if (this.#pool4.length + this.#pool6.length > 0) return 0
    const { kind, dst } = flow.original
    // By an interface that nobody named it is the address that the packet was sent to.
    if (out === 0) return dst
    return (kind & IPV6) !== 0 ? this.#outside.of6(out, dst) : this.#outside.of4(out, dst)
  }

  /** Whether a flow in its second round is one that `admit` has turned round. */
  turned(flow: NewFlow): boolean {
    if (!flow.masquerade || !this.#settings.owns) return false
    const { kind, src, dst, dstPort } = flow.original
    return this.#ownedBy(kind, dst, dstPort) !== NO_ROW && this.#isInside(kind, src)
  }

  #translate(flow: NewFlow, reply: ReplyCheck, wanted: number, pool: Uint32Array): boolean {
    const { kind, src, dst, srcPort, dstPort } = flow.tuple
    const { scope, owns, limit } = this.#settings
    const query = (kind & QUERY) !== 0
    let row = NO_ROW
    if (this.#remembers) {
      const remotePort = scope === Scope.Endpoint && !query ? dstPort : 0
      row = this.#mappings.find(plainKind(kind), src, srcPort, scope === Scope.Any ? 0 : dst, remotePort, wanted)
      if (row !== NO_ROW) {
        const address = this.#mappings.outside(row)
        const port = this.#mappings.outsidePort(row)
        if (!reply.taken(kind, dst, query ? port : dstPort, address, port)) {
          this.#mappings.hold(row)
          this.counters.reused++
          if (flow.tells) flow.why = 'by the mapping of an earlier flow'
          return this.#answer(flow, address, port, this.#tag(kind, row, dst))
        }
        if (owns) return this.#refuse(flow, Drop.NatPortsSpent)
      }
    }
    if (this.#used >= limit) return this.#refuse(flow, Drop.NatPortsSpent)
    const tries = wanted !== 0 ? 1 : Math.min(ADDRESSES, pool.length)
    for (let i = 0; i < tries; i++) {
      const address = wanted !== 0 ? wanted : this.#choose(pool, src, dst, i)
      const port = this.#search.find(kind, src, srcPort, dst, dstPort, address, reply)
      if (port !== NO_PORT) {
        const tag = this.#remember(kind, dst, address, port, row)
        if (flow.tells) flow.why = port === srcPort ? 'its port is kept' : `port ${srcPort} is not to be had`
        return tag === 0 ? this.#refuse(flow, Drop.NatPortsSpent) : this.#answer(flow, address, port, tag)
      }
      if (this.#settings.paired) break
    }
    return this.#refuse(flow, Drop.NatPortsSpent)
  }

  /** Makes the mapping that was not found, or in place of the one that did not serve; 0 where it must be and there is no
   * room for it. */
  #remember(kind: number, remote: number, address: number, port: number, instead: number): number {
    const row = this.#remembers ? this.#mappings.add(address, port, instead) : NO_ROW
    if (row === NO_ROW) {
      if (this.#settings.owns) return 0
      this.#used++
      return COUNTED
    }
    this.#used++
    if (!this.#settings.owns) return row + 1
    if (!this.#ports.take(kind, address, port, this.#owner, row)) {
      this.#release(row)
      return 0
    }
    return this.#tag(kind, row, remote)
  }

  /** The tag of a flow of a mapping; its remote address is a peer from now on. */
  #tag(kind: number, row: number, remote: number): number {
    const peer = this.#peers === null ? NO_ROW : this.#peers.hold(kind, row, remote)
    return peer === NO_ROW ? this.#maxPeers + row + 1 : peer + 1
  }

  #release(row: number): void {
    const m = this.#mappings
    if (!m.release(row)) return
    if (this.#settings.owns && this.#ownedBy(m.kind(row), m.outside(row), m.outsidePort(row)) === row) {
      this.#ports.free(m.kind(row), m.outside(row), m.outsidePort(row))
    }
    m.remove(row)
    this.#used--
  }

  /** A protocol without ports: one inside host at a time may talk to a remote one. */
  #addressAlone(flow: NewFlow, reply: ReplyCheck, address: number): boolean {
    const { kind, dst } = flow.tuple
    if (reply.taken(kind, dst, 0, address, 0)) return this.#refuse(flow, Drop.NatUnsupported)
    return this.#answer(flow, address, 0, 0)
  }

  /** The mapping of this NAT that owns an outside port, or `NO_ROW`. */
  #ownedBy(kind: number, address: number, port: number): number {
    const at = this.#ports.find(kind, address, port)
    return at === NO_ROW || this.#ports.owner(at) !== this.#owner ? NO_ROW : this.#ports.mapping(at)
  }

  #letsIn(row: number, remote: number): boolean {
    const { filter } = this.#settings
    if (filter === Scope.Any) return true
    // An endpoint that was sent to has a flow, and its packets do not come here.
    if (filter === Scope.Endpoint) return false
    return this.#peers === null ? this.#mappings.remote(row) === remote : this.#peers.has(row, remote)
  }

  #isInside(kind: number, address: number): boolean {
    const { inside } = this.#settings
    if (inside.empty) return false
    return (kind & IPV6) === 0 ? inside.includes4(address) : inside.includes6(this.#addresses.words, address << 2)
  }

  /** The `i`-th address to try: by the inside host, and the remote one if several inside flows may differ. */
  #choose(pool: Uint32Array, src: number, dst: number, i: number): number {
    if (pool.length === 1) return pool[0] as number
    const v6 = pool === this.#pool6
    let h = this.#hash(this.#settings.seed, src, v6)
    if (!this.#settings.paired) h = this.#hash(h, dst, v6)
    return pool[((h >>> 0) + i) % pool.length] as number
  }

  #hash(seed: number, address: number, v6: boolean): number {
    if (!v6) return mixed(seed, address)
    const { words } = this.#addresses
    let h = seed
    for (let w = 0; w < 4; w++) h = mixed(h, words[(address << 2) + w] as number)
    return h
  }

  #answer(flow: NewFlow, address: number, port: number, tag: number): boolean {
    flow.toAddress = address
    flow.toPort = port
    flow.tag = tag
    this.counters.translated++
    return true
  }

  #refuse(flow: NewFlow, why: Drop): boolean {
    if (why === Drop.NatUnsupported) this.counters.unsupported++
    else this.counters.spent++
    return this.#drop(flow, why)
  }

  #drop(flow: NewFlow, why: Drop): boolean {
    flow.drop = why
    return true
  }
}

function mixed(seed: number, word: number): number {
  let h = Math.imul(seed ^ word ^ 0x9e37_79b1, 0x85eb_ca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2_ae35)
  return h ^ (h >>> 16)
}

function intern(addresses: Addresses6, words: Uint32Array): number {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  words.forEach((word, i) => {
    view.setUint32(4 * i, word)
  })
  const row = addresses.intern(bytes, 0)
  if (row === 0) throw new RangeError('to: the table of IPv6 addresses is full')
  return row
}

/** That a protocol is none of those that are translated, and which they are. */
function notAmong(protocols: Uint8Array, kind: number): string {
  const name = (protocol: number): string => PROTOCOL_NAMES[protocol] ?? `protocol ${protocol}`
  const translated = [...protocols.keys()].filter((protocol) => protocols[protocol] !== 0).map(name)
  return `${name(kind & 255)} is not translated here, only ${translated.join(', ')}`
}
