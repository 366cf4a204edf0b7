import { formatIpv4 } from '@l2l3/switch-core/wire'
import type { Addresses6 } from '../addresses6.ts'
import { IPV6, Proto, QUERY, Query, Tuple } from '../tuple.ts'
import type { Conntrack } from './conntrack.ts'
import * as R from './record.ts'
import { TCP_STATE_NAMES } from './tcp.ts'

/*
 * Flows as people see them: plain objects, made when somebody asks.
 */

/** One direction of a flow. */
export interface FlowDirection {
  /** e.g. "10.0.0.1" */
  readonly src: string
  readonly dst: string
  /** Ports; of a query of ICMP its identifier, in both; 0 where the protocol has none. */
  readonly srcPort: number
  readonly dstPort: number
  /** 0 where nothing is counted. */
  readonly packets: number
  readonly bytes: number
  readonly zone: number
}

/** A flow at a moment. */
export interface FlowInfo {
  /** Tells it from all others there ever were, up to 2^32 of them. */
  readonly id: number
  /** e.g. "tcp", or the protocol's number as text. */
  readonly protocol: string
  readonly family: 4 | 6
  /** Which query of ICMP; null for everything else. */
  readonly query: 'echo' | 'timestamp' | 'information' | 'address-mask' | null
  /** The state, as Linux names it: of TCP ("ESTABLISHED"), else null. */
  readonly state: string | null
  /** Packets as they came from who began. */
  readonly original: FlowDirection
  /** Packets as the answers come. */
  readonly reply: FlowDirection
  readonly seenReply: boolean
  readonly assured: boolean
  /** Whether its destination, and its source, are translated. */
  readonly dnat: boolean
  readonly snat: boolean
  /** Seconds until it ends if nothing comes. */
  readonly expiresIn: number
  /** Seconds since its first packet; 2,147,483 (24 days) where they are more. */
  readonly age: number
}

/** Names of protocols. */
export const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  [Proto.Icmp]: 'icmp',
  [Proto.Tcp]: 'tcp',
  [Proto.Udp]: 'udp',
  [Proto.Dccp]: 'dccp',
  [Proto.Icmpv6]: 'icmpv6',
  [Proto.Sctp]: 'sctp',
  [Proto.UdpLite]: 'udplite',
}
/** Names of the queries of ICMP, by their bits. */
export const QUERY_NAMES: Readonly<Record<number, FlowInfo['query']>> = {
  [Query.Echo]: 'echo',
  [Query.Timestamp]: 'timestamp',
  [Query.Information]: 'information',
  [Query.AddressMask]: 'address-mask',
}

const tuple = new Tuple()

/** What is known of a flow. */
export function flowInfo(conntrack: Conntrack, addresses: Addresses6, flow: number): FlowInfo {
  const { records, rest, ms } = conntrack
  const at = flow << R.RECORD_SHIFT
  const state = records[at + R.STATE] as number
  const direction = (d: number): FlowDirection => {
    const t = conntrack.tuple(flow, d, tuple)
    const text = (address: number): string => ((t.kind & IPV6) !== 0 ? addresses.format(address) : formatIpv4(address))
    return {
      src: text(t.src),
      dst: text(t.dst),
      srcPort: t.srcPort,
      dstPort: t.dstPort,
      packets: conntrack.counted((flow << 1) | d, 0),
      bytes: conntrack.counted((flow << 1) | d, 1),
      zone: t.zone,
    }
  }
  const original = direction(0)
  const { kind } = tuple
  return {
    id: conntrack.id(flow),
    protocol: PROTOCOL_NAMES[kind & 255] ?? String(kind & 255),
    family: (kind & IPV6) !== 0 ? 6 : 4,
    query: QUERY_NAMES[kind & QUERY] ?? null,
    state: (kind & 255) === Proto.Tcp ? (TCP_STATE_NAMES[state & R.PROTO_STATE] as string) : null,
    original,
    reply: direction(1),
    seenReply: (state & R.SEEN_REPLY) !== 0,
    assured: (state & R.ASSURED) !== 0,
    dnat: (state & R.DNAT) !== 0,
    snat: (state & R.SNAT) !== 0,
    expiresIn: (((records[at + R.EXPIRES] as number) - ms) | 0) / 1000,
    age: Math.min((ms - (rest[(flow << R.REST_SHIFT) + R.CREATED] as number)) >>> 0, 2 ** 31 - 1) / 1000,
  }
}

/** All flows whose time is not up, in the order of their records. Flows that come and go meanwhile may be among them or not. */
export function* listFlows(conntrack: Conntrack, addresses: Addresses6): IterableIterator<FlowInfo> {
  for (let flow = conntrack.next(0); flow >= 0; flow = conntrack.next(flow + 1)) {
    yield flowInfo(conntrack, addresses, flow)
  }
}
