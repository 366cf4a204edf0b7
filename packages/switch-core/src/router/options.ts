import { put32, u32 } from '../wire/bytes.ts'
import * as ipv4 from '../wire/ipv4.ts'

/*
 * IPv4 options on their way through a router (RFC 791, 3.1; RFC 1812, 5.3.13).
 *
 *     record route    7 | length | pointer | address | address | ...              pointer counts from 1, 4 is the first
 *     timestamp      68 | length | pointer | overflow, flag | (address) time | ...
 *
 * A router writes its address, or the time, where the pointer says, and moves the pointer on; where there is no room
 * left it writes nothing, and counts the overflow of timestamps. Source routes (131, 137) are not followed. Options
 * that contradict themselves are answered with "parameter problem", which says at which byte. All others pass as they
 * are.
 */

const RECORD_ROUTE = 7
const TIMESTAMP = 68
const LOOSE_SOURCE_ROUTE = 131
const STRICT_SOURCE_ROUTE = 137

/** The options are in order. */
export const OPTIONS_OK = 0
/** One of them is a source route. */
export const SOURCE_ROUTED = -1

/** Looks at the options of a header of `header` bytes: `OPTIONS_OK`, `SOURCE_ROUTED`, or where in the header the
 * problem is. */
export function checkOptions(b: Uint8Array, ip: number, header: number): number {
  const end = ip + header
  let answer = OPTIONS_OK
  for (let i = ip + ipv4.HLEN; i < end; ) {
    const kind = b[i] as number
    if (kind === 0) break
    if (kind === 1) {
      i++
      continue
    }
    const n = i + 1 < end ? (b[i + 1] as number) : 0
    if (n < 2 || n > end - i) return i - ip
    const problem = kind === RECORD_ROUTE ? checkRoute(b, i, n) : kind === TIMESTAMP ? checkTime(b, i, n) : 0
    if (problem !== 0) return i + problem - ip
    if (kind === LOOSE_SOURCE_ROUTE || kind === STRICT_SOURCE_ROUTE) answer = SOURCE_ROUTED
    i += n
  }
  return answer
}

function checkRoute(b: Uint8Array, i: number, n: number): number {
  if (n < 3) return 1
  const pointer = b[i + 2] as number
  return pointer < 4 || (pointer <= n && pointer + 3 > n) ? 2 : 0
}

function checkTime(b: Uint8Array, i: number, n: number): number {
  if (n < 4) return 1
  const pointer = b[i + 2] as number
  if (pointer < 5) return 2
  const flag = b[i + 3]! & 15
  if (pointer <= n) return pointer + (flag === 0 ? 3 : 7) > n ? 2 : 0
  return b[i + 3]! >>> 4 === 15 && flag !== 3 ? 3 : 0
}

/** Writes what this router has to say into options that passed `checkOptions`; the header checksum is the caller's.
 * @param address the router's address on the way to the next hop
 * @param time milliseconds since midnight UTC
 * @param isOwn tells whether an address is one of the router's, whichever way it leads */
export function record(
  b: Uint8Array,
  ip: number,
  header: number,
  address: number,
  time: number,
  isOwn: (ip: number) => boolean,
): void {
  const end = ip + header
  for (let i = ip + ipv4.HLEN; i < end && b[i] !== 0; ) {
    const kind = b[i] as number
    if (kind === RECORD_ROUTE && b[i + 2]! <= b[i + 1]!) {
      put32(b, i + b[i + 2]! - 1, address)
      b[i + 2]! += 4
    } else if (kind === TIMESTAMP) stamp(b, i, address, time, isOwn)
    i += kind === 1 ? 1 : (b[i + 1] as number)
  }
}

function stamp(b: Uint8Array, i: number, address: number, time: number, isOwn: (ip: number) => boolean): void {
  const flag = b[i + 3]! & 15
  const pointer = b[i + 2] as number
  if (pointer > b[i + 1]!) {
    if (flag !== 3) b[i + 3]! += 16
    return
  }
  const at = i + pointer - 1
  if (flag === 0) put32(b, at, time)
  else if (flag === 1) {
    put32(b, at, address)
    put32(b, at + 4, time)
  } else if (flag === 3 && isOwn(u32(b, at))) put32(b, at + 4, time)
  else return
  b[i + 2]! += flag === 0 ? 4 : 8
}

/** Leaves nothing but record route and timestamp: no-operations stand in place of the others. */
export function keepRecords(b: Uint8Array, ip: number, header: number): void {
  const end = ip + header
  for (let i = ip + ipv4.HLEN; i < end && b[i] !== 0; ) {
    const kind = b[i] as number
    const n = kind === 1 ? 1 : (b[i + 1] as number)
    if (kind !== RECORD_ROUTE && kind !== TIMESTAMP) b.fill(1, i, i + n)
    i += n
  }
}
