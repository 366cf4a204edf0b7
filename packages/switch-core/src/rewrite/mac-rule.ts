import { checkRange } from '../frame-pool.ts'
import { formatIpv4, parseIpv4, parseIpv6 } from '../wire/address.ts'
import { u32 } from '../wire/bytes.ts'
import { Kind } from './addressed.ts'
import { namedMac } from './mac-words.ts'

/*
 * A rule as people write it, and as the data path reads it: a row of 32-bit words.
 *
 *   word 0       conditions behind the Ethernet header, and whether to drop: bits of `Bit`
 *   1, 2         port, and its mask
 *   3..6         destination MAC: hi, its mask, lo, its mask          7..10   source MAC, likewise
 *   11..14       destination to write: hi, bits of it to keep, lo, bits to keep        15..18  source, likewise
 *   19, 20       EtherType, protocol
 *   21..29       address the frame is from: kind, four words, mask    30..38  address it is for, likewise
 *
 * A condition that is not given has a mask of zero, and an address that stays is kept by all its bits, so that Ethernet
 * is matched and written without a branch per condition.
 */

/** What a frame must be for a rule to apply: all that is given. */
export interface MacMatch {
  /** The port it came in on: `Port.id`, or 0 for a frame that was made here. */
  port?: number
  /** Source MAC: an address, an address and a mask as in ebtables (`02:00:00:00:00:00/ff:ff:ff:00:00:00`), or
   * `unicast`, `multicast` (broadcast included), `broadcast`. */
  srcMac?: string
  /** Destination MAC, likewise. */
  dstMac?: string
  /** EtherType behind VLAN tags, of which two are passed; 0 to 0xffff. */
  etherType?: number
  /** Upper-layer protocol of IPv4 or IPv6; 0 to 255. */
  protocol?: number
  /** Prefix that the sender's address is in: source of IPv4 or IPv6, `spa` of ARP. An address alone is itself. */
  from?: string
  /** Prefix of the address that the frame is for: destination of IPv4 or IPv6, `tpa` of ARP, target of a neighbour
   * solicitation. */
  to?: string
}

/** What is done with frames that match: addresses set, and on; or the end. */
export interface MacRule {
  /** Left out: every frame. */
  match?: MacMatch
  /** Source MAC to write. */
  setSrc?: string
  /** Destination MAC to write. */
  setDst?: string
  /** `accept` (the default) keeps the frame for the next element; `drop` ends it as `MacRule`. */
  action?: 'accept' | 'drop'
}

/** Words of a compiled rule. */
export const WORDS = 40

/** What word 0 says. */
export const Bit = { EtherType: 1, Protocol: 2, From: 4, To: 8, Drop: 16 } as const
/** The conditions for which the headers behind Ethernet are looked at. */
export const DEEP: number = Bit.EtherType | Bit.Protocol | Bit.From | Bit.To

/* Where things stand in a rule. */
export const PORT = 1
export const DST_MAC = 3
export const SRC_MAC = 7
export const SET_DST = 11
export const SET_SRC = 15
export const ETHER_TYPE = 19
export const PROTOCOL = 20
export const FROM = 21
export const TO = 30

const MATCH_KEYS: readonly string[] = ['port', 'srcMac', 'dstMac', 'etherType', 'protocol', 'from', 'to']
const RULE_KEYS: readonly string[] = ['match', 'setSrc', 'setDst', 'action']

/** Compiles rules, `WORDS` words each, and behind them one without conditions that says what is done with all other
 * frames. Throws with the rule's place, the key and the value where something is wrong. */
export function compileRules(rules: readonly MacRule[], otherwise: 'accept' | 'drop'): Int32Array {
  if (otherwise !== 'accept' && otherwise !== 'drop') {
    throw new RangeError(`otherwise must be 'accept' or 'drop', not ${String(otherwise)}`)
  }
  const words = new Int32Array((rules.length + 1) * WORDS)
  for (const [i, rule] of rules.entries()) {
    try {
      compileRule(words, i * WORDS, rule)
    } catch (error) {
      const { message } = error as Error
      throw new RangeError(`rules[${i}]: ${message}`, { cause: error })
    }
  }
  compileRule(words, rules.length * WORDS, { action: otherwise })
  return words
}

function compileRule(w: Int32Array, at: number, rule: MacRule): void {
  const match = rule.match ?? {}
  for (const key of Object.keys(rule)) if (!RULE_KEYS.includes(key)) throw new RangeError(`no such key: ${key}`)
  for (const key of Object.keys(match)) if (!MATCH_KEYS.includes(key)) throw new RangeError(`no such key: match.${key}`)
  let bits = 0
  if (match.port !== undefined) w.set([checkRange('match.port', match.port, 0, 65_535), 0xffff], at + PORT)
  if (match.dstMac !== undefined) w.set(maskedMac('match.dstMac', match.dstMac), at + DST_MAC)
  if (match.srcMac !== undefined) w.set(maskedMac('match.srcMac', match.srcMac), at + SRC_MAC)
  if (match.etherType !== undefined) {
    bits |= Bit.EtherType
    w[at + ETHER_TYPE] = checkRange('match.etherType', match.etherType, 0, 0xffff)
  }
  if (match.protocol !== undefined) {
    bits |= Bit.Protocol
    w[at + PROTOCOL] = checkRange('match.protocol', match.protocol, 0, 255)
  }
  if (match.from !== undefined) {
    bits |= Bit.From
    w.set(prefix('match.from', match.from), at + FROM)
  }
  if (match.to !== undefined) {
    bits |= Bit.To
    w.set(prefix('match.to', match.to), at + TO)
  }
  w.set(toWrite('setDst', rule.setDst), at + SET_DST)
  w.set(toWrite('setSrc', rule.setSrc), at + SET_SRC)
  const action = rule.action ?? 'accept'
  if (action !== 'accept' && action !== 'drop') {
    throw new RangeError(`action must be 'accept' or 'drop', not ${String(action)}`)
  }
  if (action === 'drop') {
    if (rule.setSrc !== undefined || rule.setDst !== undefined)
      throw new RangeError('a rule that drops sets no address')
    bits |= Bit.Drop
  }
  w[at] = bits
}

/** An address to write, or none: hi, bits to keep, lo, bits to keep. */
function toWrite(key: string, text: string | undefined): number[] {
  if (text === undefined) return [0, 0xffff, 0, -1]
  const mac = namedMac(key, text)
  return [mac.hi, 0, mac.lo, 0]
}

/** A MAC and its mask: hi, mask, lo, mask. */
function maskedMac(key: string, text: string): number[] {
  // The group bit is the lowest of the first byte, and so of the first word.
  if (text === 'unicast') return [0, 1, 0, 0]
  if (text === 'multicast') return [1, 1, 0, 0]
  if (text === 'broadcast') return [0xffff, 0xffff, -1, -1]
  const [address = '', mask, ...more] = String(text).split('/')
  if (more.length > 0) throw new TypeError(`${key}: not an address and a mask: ${JSON.stringify(text)}`)
  const mac = namedMac(key, address)
  const m = mask === undefined ? { hi: 0xffff, lo: -1 } : namedMac(key, mask)
  if ((mac.hi & ~m.hi) !== 0 || (mac.lo & ~m.lo) !== 0) {
    throw new RangeError(`${key}: ${text} has bits outside its mask`)
  }
  return [mac.hi, m.hi, mac.lo, m.lo]
}

/** Kind, four words of the prefix, four of its mask. */
function prefix(key: string, text: string): number[] {
  const [address = '', length, ...more] = String(text).split('/')
  const six = address.includes(':')
  const bits = length === undefined ? (six ? 128 : 32) : /^\d{1,3}$/.test(length) ? Number(length) : -1
  if (more.length > 0 || bits < 0 || bits > (six ? 128 : 32)) {
    throw new RangeError(`${key} must be an address or a prefix, not ${JSON.stringify(text)}`)
  }
  let words: number[]
  try {
    const ip = six ? parseIpv6(address) : null
    words = ip === null ? [parseIpv4(address), 0, 0, 0] : [0, 4, 8, 12].map((i) => u32(ip, i))
  } catch (error) {
    throw new TypeError(`${key}: ${(error as Error).message}`, { cause: error })
  }
  const masks = [0, 1, 2, 3].map((i) => {
    const n = Math.max(0, Math.min(32, bits - 32 * i))
    return n === 0 ? 0 : (-1 << (32 - n)) >>> 0
  })
  if (words.some((word, i) => (word & ~(masks[i] as number)) !== 0)) {
    const net = six ? 'host bits' : `host bits: ${formatIpv4(((words[0] as number) & (masks[0] as number)) >>> 0)}`
    throw new RangeError(`${key}: ${text} has ${net}`)
  }
  return [six ? Kind.IPv6 : Kind.IPv4, ...words, ...masks].map((word) => word | 0)
}
