import type { Room } from '@l2l3/switch-core'
import { tcp, u16 } from '@l2l3/switch-core/wire'
import { ANSWER, type Place, Proto, QUERY } from '../tuple.ts'
import { FlowTable, type FlowTableOptions } from './flow-table.ts'
import * as R from './record.ts'
import { Segment, segmentOf, TCP_IGNORED, TCP_INVALID, TcpState, tcpNext, tcpTimeouts } from './tcp.ts'
import { type TimeoutProfile, type Timeouts, timeoutsOf } from './timeouts.ts'

/*
 * Connection tracking: what a packet does to its flow.
 *
 * `begin` says whether a packet may be the first of a flow, and what state that has; `packet` moves a flow along. Both read the
 * upper-layer header and nothing behind it. What each protocol has of states:
 *
 *     TCP       those of tcp.ts. Assured once both sides have acknowledged. An open connection whose packets are plain ACKs
 *               changes no state: such packets are FAST.
 *               Sequence numbers are not followed, so that anyone who knows the ports may end a connection here with a reset.
 *               But it lives on if the side whose reset that was does: then it was not its own (RFC 7857, 2.2).
 *     UDP       unanswered, answered, and - two seconds after its first packet - a stream, which is assured and lasts longer
 *     ICMP      a query and its answers; each renews it
 *     SCTP      opening, established, closing, by the chunks that come first in packets; aborted, like a reset of TCP
 *     others    nothing but time
 *
 * FAST flags in a record say that a plain packet of a direction only renews the flow: the fast run (fast-run.ts) then need not
 * come here.
 */

/** What a packet is to its flow. */
export const Verdict = {
  /** It belongs there. */
  Pass: 0,
  /** It cannot be: impossible flags, lengths that contradict each other, a segment that the state does not allow. */
  Invalid: 1,
  /** It opens a new connection where a closed one was: the flow is to be removed, and one made anew. */
  Reopen: 2,
  /** It belongs there and ended the flow, which is to be removed once the packet is on its way. */
  Last: 3,
} as const
/** A value of `Verdict`. */
export type Verdict = (typeof Verdict)[keyof typeof Verdict]

/** Settings of connection tracking. */
export interface ConntrackOptions extends FlowTableOptions {
  /** Which timeouts. Default `linux`. */
  profile?: TimeoutProfile
  /** Changes to them, in seconds. */
  timeouts?: Partial<Timeouts>
  /** Whether a connection of TCP is picked up in its middle: its first packet need not be a SYN (Linux'
   * nf_conntrack_tcp_loose). Default true. */
  tcpLoose?: boolean
  /** Whether a flow ends at once with a reset, or with the last ACK after both FINs, instead of staying for the timeouts
   * `tcpClose` and `tcpTimeWait`. A reset that is forged then ends a flow for good. Default false. */
  tcpEndAtOnce?: boolean
  /** Whether packets that go against a source translation renew flows of UDP (RFC 4787, REQ-6 asks for it of the others only; WinNAT's
   * "UDP inbound refresh"). Default true, but false with the profile `winnat`. */
  inboundRefresh?: boolean
}

/** UDP is a stream when it is still there this long after its first packet (milliseconds). */
const STREAM_AFTER = 2000

/* States of SCTP in a record. */
const SCTP_OPENING = 1
const SCTP_ESTABLISHED = 2
const SCTP_CLOSING = 3
const SCTP_ABORTED = 4

/** Connections of TCP of which a SYN that was let pass unbelieved is remembered, at most; a power of two. */
const IGNORED = 256

/** Tracks flows. */
export class Conntrack extends FlowTable {
  readonly timeouts: Timeouts
  readonly tcpLoose: boolean
  readonly tcpEndAtOnce: boolean
  readonly inboundRefresh: boolean
  readonly #tcp: Int32Array
  /** Of SYNs that changed nothing: id of the flow, and the number that acknowledges it. */
  readonly #ignored: Int32Array = new Int32Array(IGNORED * 2)

  /** @param room see `FlowTable` */
  constructor(options: ConntrackOptions = {}, room: Room | null = null) {
    super(options, room)
    this.timeouts = timeoutsOf(options.profile, options.timeouts)
    this.tcpLoose = options.tcpLoose ?? true
    this.tcpEndAtOnce = options.tcpEndAtOnce ?? false
    this.inboundRefresh = options.inboundRefresh ?? options.profile !== 'winnat'
    this.#tcp = tcpTimeouts(this.timeouts)
  }

  /** The state word of a flow whose first packet this is, or -1 where a flow cannot begin so. `kind` is its kind, `place` says where
   * its upper-layer header is, and that is whole. */
  begin(b: Uint8Array, place: Place, kind: number): number {
    const { l4, end } = place
    switch (place.protocol) {
      case Proto.Tcp: {
        if (!tcpSound(b, place)) return -1
        const segment = segmentOf(tcp.flags(b, l4))
        if (segment === TCP_INVALID) return -1
        const state = tcpNext(0, segment, TcpState.None)
        if (state < 0 || (state === TcpState.Established && !this.tcpLoose)) return -1
        return state
      }
      case Proto.Udp:
      case Proto.UdpLite:
        return udpSound(b, place) ? R.FAST : -1
      case Proto.Sctp:
        return end - l4 < 12 ? -1 : sctpAfter(b, place, SCTP_OPENING, false)
      case Proto.Icmp:
      case Proto.Icmpv6:
        return (kind & QUERY) !== 0 && (kind & ANSWER) === 0 ? R.FAST : -1
      default:
        return R.FAST
    }
  }

  /** How long a flow lasts that begins with this state, in milliseconds. */
  firstTimeout(protocol: number, state: number): number {
    switch (protocol) {
      case Proto.Tcp: {
        const first = state & R.PROTO_STATE
        const { tcpUnacknowledged } = this.timeouts
        return first === TcpState.Established
          ? Math.min(this.#tcp[first] as number, tcpUnacknowledged * 1000)
          : (this.#tcp[first] as number)
      }
      case Proto.Udp:
      case Proto.UdpLite:
        return this.timeouts.udp * 1000
      case Proto.Icmp:
      case Proto.Icmpv6:
        return this.timeouts.icmp * 1000
      case Proto.Sctp:
        return this.#sctpTimeout(state & R.PROTO_STATE)
      case Proto.Dccp:
        return this.timeouts.sctpEstablished * 1000
      default:
        return this.timeouts.generic * 1000
    }
  }

  /** Has a packet of a direction do to its flow what it does. */
  packet(flow: number, direction: number, b: Uint8Array, place: Place): Verdict {
    const at = flow << R.RECORD_SHIFT
    switch (place.protocol) {
      case Proto.Tcp:
        return this.#tcpPacket(at, direction, b, place)
      case Proto.Udp:
      case Proto.UdpLite:
        if (!udpSound(b, place)) return Verdict.Invalid
        this.#udpPacket(at, direction)
        return Verdict.Pass
      case Proto.Sctp:
        return this.#sctpPacket(at, direction, b, place)
      default:
        this.#renewAny(at, direction)
        return Verdict.Pass
    }
  }

  /** Renews a flow by a packet whose upper-layer header is not there: a later fragment. */
  renew(flow: number, direction: number): void {
    this.#refresh(flow << R.RECORD_SHIFT, direction)
  }

  #refresh(at: number, direction: number): void {
    const { records } = this
    if (((records[at + R.STATE] as number) & (R.NO_REFRESH << direction)) !== 0) return
    records[at + R.EXPIRES] = this.ms + (records[at + R.TIMEOUT] as number)
  }

  #renewAny(at: number, direction: number): void {
    const { records } = this
    if (direction === 1) {
      const state = records[at + R.STATE] as number
      if ((state & R.SEEN_REPLY) === 0) records[at + R.STATE] = state | R.SEEN_REPLY | (R.FAST << 1)
    }
    this.#refresh(at, direction)
  }

  #udpPacket(at: number, direction: number): void {
    const { records } = this
    let state = records[at + R.STATE] as number
    // The first answer makes no stream, however late it comes.
    const answered = (state & R.SEEN_REPLY) !== 0
    if (direction === 1) state |= R.SEEN_REPLY
    if ((state & R.SEEN_REPLY) !== 0) {
      // Until it is a stream, each packet may be the one that makes it one.
      state &= ~(R.FAST | (R.FAST << 1))
      const created = this.rest[(at >>> (R.RECORD_SHIFT - R.REST_SHIFT)) + R.CREATED] as number
      if (answered && (this.ms - created) >>> 0 > STREAM_AFTER) {
        state |= R.ASSURED | R.FAST | (R.FAST << 1)
        records[at + R.TIMEOUT] = this.timeouts.udpStream * 1000
      }
      // Who may not renew cannot go the fast way, which does.
      if ((state & R.NO_REFRESH) !== 0) state &= ~R.FAST
      if ((state & (R.NO_REFRESH << 1)) !== 0) state &= ~(R.FAST << 1)
    }
    records[at + R.STATE] = state
    this.#refresh(at, direction)
  }

  #tcpPacket(at: number, direction: number, b: Uint8Array, place: Place): Verdict {
    const { records, timeouts } = this
    if (!tcpSound(b, place)) return Verdict.Invalid
    const segment = segmentOf(tcp.flags(b, place.l4))
    if (segment === TCP_INVALID) return Verdict.Invalid
    let state = records[at + R.STATE] as number
    const before = state & R.PROTO_STATE
    let after = tcpNext(direction, segment, before)
    if (after === TCP_INVALID) return Verdict.Invalid
    // A SYN on what was closed, or reset, opens anew (RFC 9293, 3.6.1).
    if (after === TcpState.SynSent && before >= TcpState.TimeWait) return Verdict.Reopen
    const challenge = direction === 1 && before === TcpState.LastAck && segment === Segment.Ack && this.#isIgnored(at)
    if (after === TCP_IGNORED || challenge) {
      if (segment === Segment.SynAck && this.#acknowledgesIgnored(at, tcp.ack(b, place.l4))) {
        // The other side believed the SYN: both begin anew, and so does their flow.
        after = TcpState.SynRecv
        state &= ~(R.RESET | (R.RESET << 1))
      } else {
        if (direction === 0 && segment === Segment.Syn) this.#ignore(at, b, place)
        // It changes no state, but it is an answer (nf_conntrack_in).
        if (direction === 1) records[at + R.STATE] = state | R.SEEN_REPLY
        return Verdict.Pass
      }
    }
    const revived = before === TcpState.Close && (state & (R.RESET << direction)) !== 0 && (state & R.ASSURED) !== 0
    if (segment === Segment.Rst) state |= R.RESET << direction
    else if (revived) {
      after = segment === Segment.Fin ? TcpState.FinWait : TcpState.Established
      state &= ~(R.RESET | (R.RESET << 1))
    }
    const seenReply = (state & R.SEEN_REPLY) !== 0
    let timeout = segment === Segment.Rst ? timeouts.tcpClose * 1000 : (this.#tcp[after] as number)
    let last = false
    let refresh = true
    if (!seenReply) {
      // A reset before any answer, or as the only one: there was no connection.
      if (segment === Segment.Rst) last = true
      // Asking again and again does not keep the door open.
      if (segment === Segment.Syn && before === TcpState.SynSent) refresh = false
      if (after === TcpState.Established) timeout = Math.min(timeout, timeouts.tcpUnacknowledged * 1000)
    } else if (revived && after === TcpState.Established) {
      timeout = Math.min(timeout, timeouts.tcpUnacknowledged * 1000)
    } else if (after === TcpState.Established) {
      if ((state & R.SEEN_REPLY) !== 0 && (before === TcpState.SynRecv || before === TcpState.Established)) {
        state |= R.ASSURED
      }
    }
    if (direction === 1) state |= R.SEEN_REPLY
    state &= ~(R.PROTO_STATE | R.FAST | (R.FAST << 1))
    state |= after
    if (after === TcpState.Established && (state & R.ASSURED) !== 0 && !revived) state |= R.FAST | (R.FAST << 1)
    records[at + R.STATE] = state
    if (refresh) {
      records[at + R.TIMEOUT] = timeout
      records[at + R.EXPIRES] = this.ms + timeout
    }
    if (
      this.tcpEndAtOnce &&
      (segment === Segment.Rst || (after === TcpState.TimeWait && before === TcpState.LastAck))
    ) {
      last = true
    }
    return last ? Verdict.Last : Verdict.Pass
  }

  /** Remembers the SYN that passes and changes nothing. */
  #ignore(at: number, b: Uint8Array, { l4, end }: Place): void {
    const slot = ((at >>> R.RECORD_SHIFT) & (IGNORED - 1)) << 1
    this.#ignored[slot] = this.id(at >>> R.RECORD_SHIFT)
    this.#ignored[slot + 1] = tcp.seq(b, l4) + 1 + (end - l4 - tcp.headerLength(b, l4))
  }

  /** Whether the last SYN of a flow was one of those. */
  #isIgnored(at: number): boolean {
    const flow = at >>> R.RECORD_SHIFT
    return this.#ignored[(flow & (IGNORED - 1)) << 1] === (this.id(flow) | 0)
  }

  #acknowledgesIgnored(at: number, ack: number): boolean {
    if (!this.#isIgnored(at)) return false
    const slot = ((at >>> R.RECORD_SHIFT) & (IGNORED - 1)) << 1
    if (this.#ignored[slot + 1] !== (ack | 0)) return false
    this.#ignored[slot] = 0
    return true
  }

  #sctpPacket(at: number, direction: number, b: Uint8Array, place: Place): Verdict {
    if (place.end - place.l4 < 12) return Verdict.Invalid
    const { records } = this
    let state = records[at + R.STATE] as number
    if (direction === 1) state |= R.SEEN_REPLY
    const before = state & R.PROTO_STATE
    // Who goes on after an abort in its name has not sent it.
    const revived = before === SCTP_ABORTED && (state & (R.RESET << direction)) !== 0 && (state & R.ASSURED) !== 0
    const after = sctpAfter(b, place, before, revived)
    state &= ~(R.RESET << direction)
    if (after === SCTP_ABORTED) state |= R.RESET << direction
    if (after === SCTP_ESTABLISHED && (state & R.SEEN_REPLY) !== 0) state |= R.ASSURED
    records[at + R.STATE] = (state & ~R.PROTO_STATE) | after
    records[at + R.TIMEOUT] = this.#sctpTimeout(after)
    this.#refresh(at, direction)
    return Verdict.Pass
  }

  #sctpTimeout(state: number): number {
    const { sctpOpening, sctpEstablished, sctpClosing } = this.timeouts
    return (state === SCTP_OPENING ? sctpOpening : state === SCTP_ESTABLISHED ? sctpEstablished : sctpClosing) * 1000
  }
}

/** Whether the TCP header is whole. A first fragment has been seen to have it. */
function tcpSound(b: Uint8Array, { l4, end }: Place): boolean {
  return tcp.check(b, l4, end) !== -1
}

/** Whether a UDP header's length fits the packet: a first fragment tells the length of the whole, a super-frame may have none. */
function udpSound(b: Uint8Array, place: Place): boolean {
  const { l4, end } = place
  if (end - l4 < 8) return false
  if (place.isFragment || place.protocol === Proto.UdpLite) return true
  const length = u16(b, l4 + 4)
  return length === 0 ? end - l4 > 0xffff : length >= 8 && length <= end - l4
}

/** The state of an association after a packet, by its first chunk (RFC 9260, 3.2): data and acknowledgements leave it, but that they
 * may revive one that was aborted. */
function sctpAfter(b: Uint8Array, { l4, end }: Place, before: number, revived: boolean): number {
  if (end - l4 < 16) return before
  switch (b[l4 + 12]) {
    // INIT, INIT ACK: also of an association that starts anew (5.2).
    case 1:
    case 2:
      return before === SCTP_ESTABLISHED ? before : SCTP_OPENING
    case 6:
      return SCTP_ABORTED
    // SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE
    case 7:
    case 8:
    case 14:
      return SCTP_CLOSING
    // COOKIE ACK, and what only an association that is open sends: DATA, SACK, HEARTBEAT and its answer
    case 0:
    case 3:
    case 4:
    case 5:
    case 11:
      return before === SCTP_CLOSING || (before === SCTP_ABORTED && !revived) ? before : SCTP_ESTABLISHED
    default:
      return before
  }
}
