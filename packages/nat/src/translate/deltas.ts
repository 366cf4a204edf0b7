import type { Addresses6 } from '../addresses6.ts'
import { DNAT, DNAT_DELTA, RECORD_SHIFT, SNAT, SNAT_DELTA, STATE } from '../conntrack/record.ts'
import { IPV6, QUERY } from '../tuple.ts'

/*
 * What a translation adds to checksums, computed once a flow (RFC 1624: ~m + m' for each word m that becomes m').
 *
 *     DNAT_DELTA   original direction: destination as it came -> source of the answers
 *     SNAT_DELTA   original direction: source as it came      -> destination of the answers
 *
 * In the direction of the answers both are undone, which adds the complement: -x is ~x in ones-complement. Words are summed as
 * they stand in the record, in the byte order of a little-endian machine; a ones-complement sum does not care (RFC 1071, 2 B).
 */

/** Fills in the deltas of a flow whose tuples and DNAT and SNAT flags stand. */
export function putDeltas(records: Int32Array, flow: number, addresses: Addresses6): void {
  const at = flow << RECORD_SHIFT
  const state = records[at + STATE] as number
  const ports = records[at + 2] as number
  const answers = records[at + 6] as number
  const kind = records[at + 3] as number
  if ((state & DNAT) !== 0) {
    // The destination port stands in the upper half as it is read from a frame, the answers' source port in the lower.
    const p = change(ports >>> 16, answers & 0xffff)
    records[at + DNAT_DELTA] = delta(kind, records[at + 1] as number, records[at + 4] as number, p, addresses)
  }
  if ((state & SNAT) !== 0) {
    // The identifier of a query stands in one place only: where both halves change it, one of them counts.
    const once = (kind & QUERY) !== 0 && (state & DNAT) !== 0
    const p = once ? 0 : change(ports & 0xffff, answers >>> 16)
    records[at + SNAT_DELTA] = delta(kind, records[at] as number, records[at + 5] as number, p, addresses)
  }
}

function delta(kind: number, from: number, to: number, port: number, addresses: Addresses6): number {
  const v6 = (kind & IPV6) !== 0
  const a = v6 ? change(swap16(addresses.sum(from)), swap16(addresses.sum(to))) : change(fold(from), fold(to))
  // ICMP has no pseudo-header, ICMPv6 has one.
  const upper = (kind & QUERY) !== 0 && !v6 ? port : add(a, port)
  return (upper << 16) | a
}

function change(from: number, to: number): number {
  return add(~from & 0xffff, to)
}

function fold(word: number): number {
  return add(word & 0xffff, word >>> 16)
}

function add(a: number, b: number): number {
  const s = a + b
  return (s & 0xffff) + (s >>> 16)
}

function swap16(v: number): number {
  return ((v & 0xff) << 8) | (v >>> 8)
}
