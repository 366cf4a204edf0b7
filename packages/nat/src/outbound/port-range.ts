import { checkRange } from '@l2l3/switch-core'

/*
 * Which ports may stand for a port.
 *
 *          1 ------ 511 | 512 -- [600 ------ 1023] | 1024 -------------------------- 65535
 *          credentials    rsh and the like            everyone else
 *
 * Linux keeps a translated port in the class of the original (modes.md 18.2: 400 became 339 and 43, 700 became 866 and
 * 711, 5000 became 23374 and 6309), since a server may believe who comes from below 1024, and some programs of the
 * r-family below 512; from the middle class it gives out 600 and up. RFC 4787 REQ-3 asks for the same with one limit, at
 * 1024. Whoever configures a range means that range: there are no classes then. Identifiers of ICMP queries are as
 * good as ports but have no classes: 0 to 65535 (Linux nf_nat_core.c).
 *
 * A range is one number, first port in the upper half: comparing and handing on allocates nothing.
 */

/** How new ports are chosen for old ones: `linux` by the classes above, `any` from all of 1024 to 65535. */
export type PortClass = 'linux' | 'any'

/** Ports from the upper to the lower 16 bits, both included. */
export type PortRange = number

const LOW: PortRange = range(1, 511)
const MIDDLE: PortRange = range(600, 1023)
const HIGH: PortRange = range(1024, 65_535)
/** What identifiers of ICMP queries are taken from. */
export const ALL_IDS: PortRange = range(0, 65_535)

/** Makes a range of its ends. */
export function range(first: number, last: number): PortRange {
  return ((first << 16) | last) >>> 0
}

/** The first port of a range. */
export function firstOf(r: PortRange): number {
  return r >>> 16
}

/** The last port of a range. */
export function lastOf(r: PortRange): number {
  return r & 0xffff
}

/** How many ports are in a range. */
export function sizeOf(r: PortRange): number {
  return lastOf(r) - firstOf(r) + 1
}

/** Whether a port is in a range. */
export function within(r: PortRange, port: number): boolean {
  return port >= r >>> 16 && port <= (r & 0xffff)
}

/** The range from which Linux gives out a new port for this one. */
export function linuxClass(port: number): PortRange {
  return port < 512 ? LOW : port < 1024 ? MIDDLE : HIGH
}

/** The range of `any`. */
export const ANY_CLASS: PortRange = HIGH

/** Reads `1024-65535`, or one port; throws a TypeError or RangeError with key and value. */
export function readPortRange(key: string, text: string | number): PortRange {
  const m = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(text))
  if (m === null) throw new TypeError(`${key} must be a port or "first-last", not ${JSON.stringify(text)}`)
  const first = checkRange(key, Number(m[1]), 1, 65_535)
  const last = checkRange(key, Number(m[2] ?? m[1]), 1, 65_535)
  if (last < first) throw new RangeError(`${key}: ${JSON.stringify(text)} ends before it begins`)
  return range(first, last)
}

/** Writes a range for people. */
export function formatPortRange(r: PortRange): string {
  return sizeOf(r) === 1 ? String(firstOf(r)) : `${firstOf(r)}-${lastOf(r)}`
}
