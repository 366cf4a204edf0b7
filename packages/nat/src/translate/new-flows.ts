import { Drop } from '@l2l3/switch-core'
import { ipv6 } from '@l2l3/switch-core/wire'
import type { Addresses6 } from '../addresses6.ts'
import type { Conntrack } from '../conntrack/conntrack.ts'
import { NO_FLOW } from '../conntrack/flow-table.ts'
import * as R from '../conntrack/record.ts'
import type { OutsidePorts } from '../outbound/outside-ports.ts'
import { ALL_IDS, firstOf, linuxClass, sizeOf } from '../outbound/port-range.ts'
import type { Dice32 } from '../outbound/port-search.ts'
import {
  type DestinationPolicy,
  NewFlow,
  type OutsideAddresses,
  type ReplyCheck,
  type SourcePolicy,
} from '../policy.ts'
import { IPV6, isTranslatable, opposite, Proto, QUERY, Tuple } from '../tuple.ts'
import { putDelta } from './deltas.ts'

/*
 * How a flow comes to be: one at a time, in two rounds, with the packet that begins it.
 *
 *     open      where does it go?                destination policies      ┐ the packet's destination is rewritten
 *       (routing; the packet may end here, or be for the node: then `close`, and nothing was)
 *     settle    under which source?              source policies           ┘ its source is
 *               is the tuple of the answers free?  else another port
 *               into the table
 *
 * A flow whose source nobody wants to translate may still need another port: two inside destinations of one client may become
 * the same one, and then the answers of both would look alike. As in Linux, its port then changes where it has one.
 */

/** What `open` gives when the packet goes on: its flow waits for `settle`. */
export const OPENED = -1
/** What `open` gives for a packet that belongs to no flow: it is for the node itself. */
export const UNTRACKED = -2

/** Whether a packet's flow is translated; or passes as it is; or is dropped if a source policy would translate it. */
export type Transposition = 'translate' | 'pass' | 'drop'

/** Ports that are tried. */
const TRIES = 128
/** Flows that are ended to make room for an address: others may have theirs in common. */
const EVICTIONS = 8

/** Whom new flows ask. */
export interface Policies {
  readonly destination: readonly DestinationPolicy[]
  readonly source: readonly SourcePolicy[]
  /** Asked instead of `source` about flows that a destination policy wants masqueraded. */
  readonly masquerade: SourcePolicy | null
  readonly outside: OutsideAddresses | null
  /** Ports that the engine's own masquerade leaves to whom they belong. */
  readonly outsidePorts: OutsidePorts | null
}

/** Makes flows. */
export class NewFlows implements ReplyCheck {
  readonly question: NewFlow
  readonly #conntrack: Conntrack
  readonly #addresses: Addresses6
  readonly #policies: Policies
  readonly #dice: Dice32
  readonly #reply: Tuple = new Tuple()
  readonly #check: Tuple = new Tuple()
  /** A flow waits for `settle`. */
  isOpen = false
  /** Number of the destination policy that decided, from 1; 0: none. */
  #destination = 0
  #state = 0
  /** Zone of the answers. */
  #outZone = 0
  #transposition: Transposition = 'translate'
  /** The new destination, which is held; 0: none. */
  #held = 0

  constructor(conntrack: Conntrack, addresses: Addresses6, policies: Policies, dice: Dice32) {
    this.question = new NewFlow(addresses)
    this.#conntrack = conntrack
    this.#addresses = addresses
    this.#policies = policies
    this.#dice = dice
  }

  /**
   * First round. `tuple` is that of a packet of no flow at `l3` of `b`, which begins one in `state`. Gives a drop reason, OPENED or UNTRACKED.
   */
  open(
    tuple: Tuple,
    b: Uint8Array,
    l3: number,
    inside: number,
    toLocal: boolean,
    state: number,
    transposition: Transposition,
    now: number,
  ): Drop | -1 | -2 {
    this.close()
    const q = this.question
    q.reset()
    q.original.copy(tuple)
    if ((tuple.kind & IPV6) !== 0) {
      q.original.src = this.#intern(b, l3 + ipv6.SRC)
      q.original.dst = this.#intern(b, l3 + ipv6.DST)
      if (q.original.src === 0 || q.original.dst === 0) {
        this.#forget()
        this.#conntrack.counters.refused++
        return Drop.ConntrackFull
      }
    }
    q.tuple.copy(q.original)
    q.in = inside
    q.out = 0
    q.toLocal = toLocal
    q.now = now
    this.#state = state
    this.#destination = 0
    this.isOpen = true
    this.#transposition = transposition
    if (transposition === 'translate') {
      const { destination } = this.#policies
      for (let i = 0; i < destination.length; i++) {
        if (!(destination[i] as DestinationPolicy).decide(q)) continue
        if (q.drop !== -1) {
          this.#forget()
          return q.drop
        }
        this.#destination = i + 1
        q.destinationTag = q.tag
        break
      }
    }
    if (this.#destination === 0 && toLocal) {
      this.close()
      return UNTRACKED
    }
    if (q.toAddress !== 0) {
      q.tuple.dst = q.toAddress
      this.#held = q.toAddress
      if ((tuple.kind & IPV6) !== 0) this.#addresses.hold(q.toAddress)
      setDestinationPort(q.tuple, q.toPort)
    }
    return OPENED
  }

  /** The number of an address, held; 0 where there is no room, not even by ending flows as `whenFull` says. */
  #intern(b: Uint8Array, at: number): number {
    for (let i = 0; i < EVICTIONS; i++) {
      const row = this.#addresses.intern(b, at)
      if (row !== 0 || !this.#conntrack.makeRoom(IPV6)) return row
    }
    return this.#addresses.intern(b, at)
  }

  /**
   * Second round: the packet leaves by the side `out`. Gives the flow, or a drop reason below 0 as `-2 - reason`. Either way nothing is
   * open any more.
   */
  settle(out: number, outZone: number): number {
    const q = this.question
    const t = q.tuple
    this.#outZone = outZone
    const routeBy = q.routeBy
    q.out = out
    q.resetRound()
    const source = this.#askSources()
    let src = t.src
    let port = t.srcPort
    if (q.drop !== -1) return this.#refuse(q.drop)
    let fixed = false
    let owned = false
    if (source !== 0 && q.toAddress !== 0) {
      if (this.#transposition === 'drop') return this.#refuse(Drop.NatUnsupported, source)
      src = q.toAddress
      port = q.toPort
      fixed = true
    } else if (q.masquerade) {
      // Also where an exception decided: it is one from the translation of what leaves, not from a service's or a port mapping's.
      src = q.sourceAddress !== 0 ? q.sourceAddress : this.#outsideOf(out, t)
      if (src === 0) return this.#refuse(Drop.NatUnsupported)
      owned = this.#isOwned(t.kind, src, port)
    }
    const { protocol } = t
    const query = (t.kind & QUERY) !== 0
    if (!isTranslatable(t.kind)) port = 0
    const reply = this.#reply
    this.#answersTo(reply, t, src, port, query)
    if (owned || this.#conntrack.find(reply) !== NO_FLOW) {
      const other = fixed || !isTranslatable(t.kind) ? -1 : this.#anotherPort(t, src, port, query)
      if (other === -1) return this.#refuse(Drop.NatPortsSpent, source)
      port = other
      this.#answersTo(reply, t, src, port, query)
    }
    const state = this.#stateOf(q, reply, routeBy, protocol, source)
    const flow = this.#conntrack.insert(q.original, reply, state, this.#conntrack.firstTimeout(protocol, this.#state))
    if (flow === NO_FLOW) return this.#refuse(Drop.ConntrackFull, source)
    this.#fill(flow, reply, routeBy, source !== 0 ? q.tag : 0)
    this.#forget()
    return flow
  }

  /** Gives up the flow that is open, if there is one: its packet did not leave. */
  close(): void {
    if (!this.isOpen) return
    const policy = this.#policies.destination[this.#destination - 1]
    policy?.ended?.(this.question.destinationTag, NO_FLOW)
    this.#forget()
  }

  /** For policies: see `ReplyCheck`. */
  taken(kind: number, remote: number, remotePort: number, external: number, externalPort: number): boolean {
    const zoned = ((this.#outZone << 16) | (opposite(kind) & 0xffff)) >>> 0
    const t = this.#check.set(remote, external, remotePort, externalPort, zoned)
    return this.#conntrack.find(t) !== NO_FLOW
  }

  /** Asks about the source; gives the number of the policy that decided, from 1, 0 for none, 255 for the masquerader. */
  #askSources(): number {
    const q = this.question
    const { source, masquerade } = this.#policies
    if (q.masquerade && masquerade !== null) return masquerade.decide(q, this) ? MASQUERADER : 0
    if (this.#transposition === 'pass') return 0
    for (let i = 0; i < source.length; i++) if ((source[i] as SourcePolicy).decide(q, this)) return i + 1
    return 0
  }

  #outsideOf(out: number, { kind, dst }: Tuple): number {
    const { outside } = this.#policies
    if (outside === null) return 0
    return (kind & IPV6) !== 0 ? outside.of6(out, dst) : outside.of4(out, dst)
  }

  /** Fills in the tuple of the answers to packets from `src`:`port`. */
  #answersTo(reply: Tuple, t: Tuple, src: number, port: number, query: boolean): void {
    const kind = ((this.#outZone << 16) | (opposite(t.kind) & 0xffff)) >>> 0
    reply.set(t.dst, src, query ? port : t.dstPort, port, kind)
  }

  /** Whether an outside port belongs to an inside endpoint: a NAT that owns its ports gave it one. */
  #isOwned(kind: number, address: number, port: number): boolean {
    const { outsidePorts } = this.#policies
    return outsidePorts !== null && isTranslatable(kind) && !outsidePorts.isUnowned(kind, address, port)
  }

  /** A port whose answers nobody else gets, or -1. */
  #anotherPort(t: Tuple, src: number, port: number, query: boolean): number {
    const range = query ? ALL_IDS : linuxClass(port)
    const size = sizeOf(range)
    let at = (this.#dice() >>> 0) % size
    for (let i = 0; i < TRIES; i++) {
      const candidate = firstOf(range) + at
      const free = !this.taken(t.kind, t.dst, query ? candidate : t.dstPort, src, candidate)
      if (free && !this.#isOwned(t.kind, src, candidate)) return candidate
      if (++at === size) at = 0
    }
    return -1
  }

  #stateOf(q: NewFlow, reply: Tuple, routeBy: number, protocol: number, source: number): number {
    const o = q.original
    let state = this.#state
    // An identifier is at both ends, and either half may write it.
    if (reply.src !== o.dst || reply.srcPort !== o.dstPort) state |= R.DNAT
    if (reply.dst !== o.src || reply.dstPort !== o.srcPort) state |= R.SNAT
    if ((o.kind & QUERY) !== 0 && reply.src === o.dst && reply.dst !== o.src) state &= ~R.DNAT
    if ((o.kind & QUERY) !== 0 && reply.dst === o.src && reply.src !== o.dst) state &= ~R.SNAT
    if (routeBy !== 0) state |= R.ROUTED
    const udp = protocol === Proto.Udp || protocol === Proto.UdpLite
    if (udp && !this.#conntrack.inboundRefresh) {
      if ((state & R.SNAT) !== 0) state |= R.NO_REFRESH << 1
      else if ((state & R.DNAT) !== 0) state = (state | R.NO_REFRESH) & ~R.FAST
    }
    return state | (this.#destination << R.DESTINATION_POLICY) | (source << R.SOURCE_POLICY)
  }

  #fill(flow: number, reply: Tuple, routeBy: number, sourceTag: number): void {
    const { records, rest } = this.#conntrack
    const { original, destinationTag } = this.question
    rest[(flow << R.REST_SHIFT) + R.DESTINATION_TAG] = destinationTag
    rest[(flow << R.REST_SHIFT) + R.SOURCE_TAG] = sourceTag
    if ((original.kind & IPV6) !== 0) {
      this.#addresses.hold(original.src)
      this.#addresses.hold(original.dst)
      this.#addresses.hold(reply.src)
      this.#addresses.hold(reply.dst)
      this.#addresses.hold(routeBy)
    }
    putDelta(records, flow, this.#addresses)
    if (routeBy !== 0) records[(flow << R.RECORD_SHIFT) + R.DELTA] = routeBy
  }

  /** Ends what is open with a reason; what the source policy of this number holds is given back. */
  #refuse(why: Drop, source = 0): number {
    if (source !== 0) this.#sourcePolicy(source)?.ended?.(this.question.tag, NO_FLOW)
    this.close()
    return -2 - why
  }

  #sourcePolicy(number: number): SourcePolicy | undefined {
    const { source, masquerade } = this.#policies
    return number === MASQUERADER ? (masquerade ?? undefined) : source[number - 1]
  }

  /** A flow is about to be taken out: policies and addresses are told. */
  ended(flow: number): void {
    const { records, rest } = this.#conntrack
    const at = flow << R.RECORD_SHIFT
    const state = records[at + R.STATE] as number
    const destination = (state >>> R.DESTINATION_POLICY) & 255
    const source = state >>> R.SOURCE_POLICY
    if (destination !== 0) {
      this.#policies.destination[destination - 1]?.ended?.(
        (rest[(flow << R.REST_SHIFT) + R.DESTINATION_TAG] as number) >>> 0,
        flow,
      )
    }
    if (source !== 0)
      this.#sourcePolicy(source)?.ended?.((rest[(flow << R.REST_SHIFT) + R.SOURCE_TAG] as number) >>> 0, flow)
    if (((records[at + 3] as number) & IPV6) === 0) return
    this.#addresses.release(records[at] as number)
    this.#addresses.release(records[at + 1] as number)
    this.#addresses.release(records[at + 4] as number)
    this.#addresses.release(records[at + 5] as number)
    if ((state & R.ROUTED) !== 0) this.#addresses.release(records[at + R.DELTA] as number)
  }

  /** Gives back what the open question holds of addresses. */
  #forget(): void {
    this.isOpen = false
    const { original } = this.question
    if ((original.kind & IPV6) !== 0) {
      this.#addresses.release(original.src)
      this.#addresses.release(original.dst)
      this.#addresses.release(this.#held)
    }
    this.#held = 0
  }
}

/** The number of the masquerader in the place of a source policy's. */
const MASQUERADER = 255

function setDestinationPort(t: Tuple, port: number): void {
  if (!isTranslatable(t.kind)) return
  t.ports = ((t.kind & QUERY) !== 0 ? (port << 16) | port : (t.srcPort << 16) | port) >>> 0
}
