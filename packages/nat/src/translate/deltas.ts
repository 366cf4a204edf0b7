import type { Addresses6 } from '../addresses6.ts'
import { DELTA, RECORD_SHIFT } from '../conntrack/record.ts'
import { IPV6, QUERY } from '../tuple.ts'

/*
 * What a translation adds to checksums, computed once a flow (RFC 1624: ~m + m' for each word m that becomes m').
 *
 * In the direction of the answers all is undone, which adds the complement: -x is ~x in ones-complement. Words are summed as they
 * stand in the record, in the byte order of a little-endian machine; a ones-complement sum does not care (RFC 1071, 2 B).
 */

/** Fills in the delta of a flow whose tuples stand. */
export function putDelta(records: Int32Array, flow: number, addresses: Addresses6): void {
  const at = flow << RECORD_SHIFT
  const kind = records[at + 3] as number
  const v6 = (kind & IPV6) !== 0
  // Packets come with the ends of the original tuple, and leave with those of the answers, exchanged.
  const source = change(sum(records[at] as number, v6, addresses), sum(records[at + 5] as number, v6, addresses))
  const destination = change(
    sum(records[at + 1] as number, v6, addresses),
    sum(records[at + 4] as number, v6, addresses),
  )
  const a = add(source, destination)
  const ports = records[at + 2] as number
  const answers = records[at + 6] as number
  // The identifier of a query stands in one place.
  const query = (kind & QUERY) !== 0
  let p = change(ports & 0xffff, answers >>> 16)
  if (!query) p = add(p, change(ports >>> 16, answers & 0xffff))
  // ICMP has no pseudo-header, ICMPv6 has one.
  records[at + DELTA] = ((query && !v6 ? p : add(a, p)) << 16) | a
}

/** The sum of an address as it stands in a record. */
function sum(word: number, v6: boolean, addresses: Addresses6): number {
  return v6 ? swap16(addresses.sum(word)) : fold(word)
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
