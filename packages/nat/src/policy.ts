import type { Drop } from '@l2l3/switch-core'
import type { Addresses6 } from './addresses6.ts'
import { Tuple } from './tuple.ts'

/*
 * Who decides about a new flow.
 *
 * The engine keeps flows and rewrites packets; where a flow goes and under which source is for policies to say. They are
 * asked for the first packet of a flow only, in two rounds, each a list in order of which the first that decides wins:
 *
 *     packet of no flow
 *        |   before routing   DestinationPolicy.decide: port mappings, services,   -> toAddress, toPort
 *        |                    inbound filters of an outbound NAT                   -> routeBy, drop, masquerade
 *        v   routing
 *        |   after routing    SourcePolicy.decide: outbound NAT                    -> toAddress, toPort
 *        v
 *     flow: original tuple, reply tuple, the tags of both policies
 *
 * A policy that decides may put a number of its own into `tag` - a backend, a mapping - and gets it back exactly once, by
 * `ended`, when the flow is over or could not be made. So what it counts or holds in `decide` it gives back in `ended`.
 */

/** The question that a policy is asked, and its answer. One object, filled again each time; no policy keeps it. */
export class NewFlow {
  /** The packet as it is now: in the second round its destination is translated already. */
  readonly tuple: Tuple = new Tuple()
  /** The packet as it came in: the same in the first round. */
  readonly original: Tuple = new Tuple()
  /** What IPv6 addresses in tuples and answers are numbers of. */
  readonly addresses: Addresses6
  /** Number of the interface that the packet came in by; 0 for packets of the node itself. */
  in = 0
  /** Number of the interface that it is about to leave by; 0 in the first round. */
  out = 0
  /** Whether the destination, as it came, is an address of this node. */
  toLocal = false
  /** The time, in nanoseconds of the clock. */
  now = 0

  /* Answers; all are reset before each round but `masquerade`, `sourceAddress` and `destinationTag`, which the first
   * round leaves to the second. */
  /** The new destination (first round) or source (second round): an IPv4 address or a number of `addresses`. The policy
   * need not hold the number for the flow: the engine does. */
  toAddress = 0
  /** The port that goes with it; for a query of ICMP its identifier. */
  toPort = 0
  /** Set in the first round: the source has to be translated too (hairpin, a service that is not DSR). */
  masquerade = false
  /** Set in the first round beside `masquerade`: the source to use; 0: that of the interface it leaves by. */
  sourceAddress = 0
  /** Set in the first round: route by this address and leave the destination as it is. The flow is not translated. */
  routeBy = 0
  /** The packet is dropped, and no flow made; -1: it is not. */
  drop: Drop | -1 = -1
  /** Beside `drop`: the sender is told (TCP reset, else ICMP port unreachable). */
  reject = false
  /** A number of the policy's own, 32 bits, kept with the flow. */
  tag = 0
  /** Whether somebody wants to know why: then a policy that decides puts that into `why`. */
  tells = false
  /** Why, in words without a full stop: which rule, mapping or backend, and how it was chosen. */
  why = ''
  /** In the second round: the tag of the first round's policy, 0 where none decided. */
  destinationTag = 0

  constructor(addresses: Addresses6) {
    this.addresses = addresses
  }

  /** Clears the answers before the first round. */
  reset(): void {
    this.masquerade = false
    this.sourceAddress = 0
    this.destinationTag = 0
    this.resetRound()
  }

  /** Clears the answers of a round. */
  resetRound(): void {
    this.toAddress = 0
    this.toPort = 0
    this.routeBy = 0
    this.drop = -1
    this.reject = false
    this.tag = 0
    this.why = ''
  }
}

/** Whether the tuple of the answers to a flow is free. */
export interface ReplyCheck {
  /** Tells whether a flow exists one of whose directions is a packet from `remote`:`remotePort` to
   * `external`:`externalPort`. `kind` is that of the new flow's own packets; of a query, both ports are the identifier. */
  taken(kind: number, remote: number, remotePort: number, external: number, externalPort: number): boolean
}

/** A flow that stands, for the question whether it is to end. One object, filled again for each flow; nobody keeps it. */
export interface StandingFlow {
  /** Its first packet, as it came. */
  readonly tuple: Tuple
  /** Who decided where it goes, null where nobody did, and with which tag. */
  readonly policy: DestinationPolicy | null
  readonly tag: number
  /** Whether its destination, as it came, is an address of this node. Worked out when it is asked for. */
  readonly toLocal: boolean
}

/** Ends flows before their time: the engine. For configuration, not for the data path. */
export interface FlowEnder {
  /** Ends the flows for which `match` is true, and says how many there were. Policies are told of each by `ended`, before
   * this returns. It is one pass over all flows: whoever has several reasons to end some asks once. */
  endWhere(match: (flow: StandingFlow) => boolean): number
}

/** Decides where a new flow goes. */
export interface DestinationPolicy {
  /** An engine is going to ask it. */
  attached?(engine: FlowEnder): void
  /** True: it decided, by `toAddress` and `toPort`, `routeBy` or `drop` (or by nothing: the flow goes on as it is, and
   * later policies are not asked). */
  decide(flow: NewFlow): boolean
  /** A flow, about which `decide` said true without dropping it, is over or was not made after all. */
  ended?(tag: number, flow: number): void
}

/** Decides under which source a new flow leaves. */
export interface SourcePolicy {
  /** True: it decided, by `toAddress` and `toPort` as the new source, or by `drop`; or by nothing, with `toAddress` 0:
   * the source stays (an exception), unless the flow is one to `masquerade`. Of two candidates a policy takes one that
   * `reply` says is free. */
  decide(flow: NewFlow, reply: ReplyCheck): boolean
  /** As in `DestinationPolicy`. */
  ended?(tag: number, flow: number): void
}

/** The addresses that packets get as their source when they leave by an interface. Of several, that one by which the node
 * itself would speak to the destination. */
export interface OutsideAddresses {
  /** The IPv4 address of an interface towards `to`, 0 where it has none. */
  of4(out: number, to: number): number
  /** The number of its IPv6 address in `Addresses6` (global, not link-local) towards the one with the number `to`, 0 where
   * it has none. */
  of6(out: number, to: number): number
}
