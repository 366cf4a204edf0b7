import { fdbKey } from '../switch/fdb.ts'
import { parseMac } from '../wire/ethernet.ts'

/*
 * A MAC address as two words, the way the machine reads them from a frame: the first two bytes and the last four,
 * little-endian. Comparing and copying it thus is two loads and two stores, at any offset.
 */

/** A MAC address, ready for the data path. */
export interface MacWords {
  /** The first two bytes. */
  readonly hi: number
  /** The last four. */
  readonly lo: number
}

/** Reads a MAC that a person wrote. Throws a TypeError that shows the text where it is none. */
export function macWords(text: string): MacWords {
  const [hi, lo] = fdbKey(parseMac(text))
  return { hi, lo }
}

/** Like `macWords`, for a setting: what is thrown names its key. */
export function namedMac(key: string, text: string): MacWords {
  try {
    return macWords(text)
  } catch (error) {
    throw new TypeError(`${key}: ${(error as Error).message}`, { cause: error })
  }
}

/** Reads the MAC of a station: a unicast address that is not zero. Throws with `key` and the value where it is not. */
export function stationMac(key: string, text: string): MacWords {
  const mac = namedMac(key, text)
  if ((mac.hi & 1) !== 0 || (mac.hi | mac.lo) === 0) {
    throw new RangeError(`${key} must be the address of a station, not ${text}`)
  }
  return mac
}

/** Tells whether the MAC at `o` is this one. */
export function isMac(d: DataView, o: number, mac: MacWords): boolean {
  return d.getInt32(o + 2, true) === mac.lo && d.getUint16(o, true) === mac.hi
}

/** Writes a MAC at `o`. */
export function putMac(d: DataView, o: number, mac: MacWords): void {
  d.setUint16(o, mac.hi, true)
  d.setInt32(o + 2, mac.lo, true)
}

/** Copies the MAC at `from` to `to`. */
export function moveMac(d: DataView, to: number, from: number): void {
  const hi = d.getUint16(from, true)
  const lo = d.getInt32(from + 2, true)
  d.setUint16(to, hi, true)
  d.setInt32(to + 2, lo, true)
}
