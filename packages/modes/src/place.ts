import {
  type DestinationPolicy,
  type FlowEnder,
  type NewFlow,
  type ReplyCheck,
  type Side,
  type SourcePolicy,
  type StandingFlow,
  Tuple,
} from '@l2l3/nat'

/*
 * A node has one NAT, and virtual switches have rules at each of their ports: VFP on Windows, OVN's logical switches. So policies are
 * at a place: they are asked about flows that begin there, and not about others.
 *
 *     place      begins there                                    policies
 *     pod        what a pod sends, or is sent, at its port       services in DSR, loopback DSR; OVN's load balancers
 *     uplink     what crosses the uplink                         OutBoundNAT, port mappings, services from outside that are DSR
 *     host       what comes to the host's port                   services that are not DSR: the host's multiplexer
 *
 * Every port has a zone of its own, since the same flow is seen at several. Services and mappings are the same in all zones of their
 * place: while they are asked, the zone is taken off.
 *
 * Of Windows read on in this order: `windows/services` (what kube-proxy has HNS do, and what not), `windows/vfp-nat` (the flows of a
 * node and who decides), `windows/port-policies` (a pod's port) with `address-fix-up`, `host-redirect` and `broadcast-guard`; of OVN,
 * `linux/ovn-balancer`.
 */

/** Where in the node a flow begins. */
export type Place = 'pod' | 'uplink' | 'host'

/** Which sides are at which place, by their numbers; and their zones. */
export class Places {
  readonly #bySide: (Place | undefined)[] = []
  readonly #byZone: (Place | undefined)[] = []

  set(side: Side, place: Place | undefined): void {
    this.#bySide[side.number] = place
    this.#byZone[side.zone] = place
  }

  of(side: number): Place | undefined {
    return this.#bySide[side]
  }

  ofZone(zone: number): Place | undefined {
    return this.#byZone[zone]
  }
}

/** A destination policy at a place. */
export class PlacedDestination implements DestinationPolicy {
  readonly #places: Places
  readonly #place: Place
  readonly #policy: DestinationPolicy

  constructor(places: Places, place: Place, policy: DestinationPolicy) {
    this.#places = places
    this.#place = place
    this.#policy = policy
  }

  /** Flows that stand are asked about without their zone, too, if they began here. */
  attached(engine: FlowEnder): void {
    const seen = new SeenHere(this.#policy)
    this.#policy.attached?.({
      endWhere: (match) =>
        engine.endWhere((flow) => {
          if (this.#places.ofZone(flow.tuple.kind >>> 16) !== this.#place) return false
          return match(seen.is(flow, flow.policy === this))
        }),
    })
  }

  decide(flow: NewFlow): boolean {
    if (this.#places.of(flow.in) !== this.#place) return false
    const { tuple } = flow
    const { kind } = tuple
    tuple.kind = kind & 0xffff
    const decided = this.#policy.decide(flow)
    tuple.kind = kind
    return decided
  }

  ended(tag: number, flow: number): void {
    this.#policy.ended?.(tag, flow)
  }
}

/** A source policy at a place. */
export class PlacedSource implements SourcePolicy {
  readonly #places: Places
  readonly #place: Place
  readonly #policy: SourcePolicy

  constructor(places: Places, place: Place, policy: SourcePolicy) {
    this.#places = places
    this.#place = place
    this.#policy = policy
  }

  decide(flow: NewFlow, reply: ReplyCheck): boolean {
    return this.#places.of(flow.in) === this.#place && this.#policy.decide(flow, reply)
  }

  ended(tag: number, flow: number): void {
    this.#policy.ended?.(tag, flow)
  }
}

/** A standing flow as a policy sees it that does not know of places. */
class SeenHere implements StandingFlow {
  readonly tuple: Tuple = new Tuple()
  policy: DestinationPolicy | null = null
  tag = 0
  readonly #policy: DestinationPolicy
  #flow: StandingFlow | null = null

  constructor(policy: DestinationPolicy) {
    this.#policy = policy
  }

  /** Becomes a flow. */
  is(flow: StandingFlow, own: boolean): this {
    this.tuple.copy(flow.tuple)
    this.tuple.kind = flow.tuple.kind & 0xffff
    this.policy = own ? this.#policy : null
    this.tag = flow.tag
    this.#flow = flow
    return this
  }

  get toLocal(): boolean {
    return this.#flow?.toLocal ?? false
  }
}
