import type { Batch } from '../batch.ts'
import { Drop } from '../drop.ts'
import type { Element } from '../element.ts'
import { type Frame, type FramePool, NO_FRAME } from '../frame-pool.ts'
import { u32 } from '../wire/bytes.ts'
import { HLEN } from '../wire/ethernet.ts'
import { Addressed, Kind } from './addressed.ts'
import * as explain from './explain.ts'
import { firstRule } from './first-rule.ts'
import {
  Bit,
  compileRules,
  DEEP,
  DST_MAC,
  ETHER_TYPE,
  FROM,
  type MacRule,
  PORT,
  PROTOCOL,
  SET_DST,
  SET_SRC,
  SRC_MAC,
  TO,
  WORDS,
} from './mac-rule.ts'

/*
 * Rewrites MAC addresses by rules: what `snat` and `dnat` of ebtables do.
 *
 *     frame -> rule 1 -> rule 2 -> ... -> otherwise
 *                |          `- does not match: the next one
 *                `- matches: set the source, the destination, both or none, and on; or drop.    The first match wins.
 *
 * Only the Ethernet header is written, 6 or 12 bytes of it, so that whatever checksums and offload metadata say stays
 * true. MACs in ARP and neighbour discovery stay as they are: see `L2BridgeEngine` for those. A frame that others hold too
 * is copied before it is written to, and not at all where the addresses are right as they stand.
 *
 * The headers behind Ethernet are looked at once a frame, and only when a rule is reached that asks.
 */

/** Settings of a `MacRewrite`. */
export interface MacRewriteOptions {
  /** What becomes of frames that no rule matches. Default `accept`. */
  otherwise?: 'accept' | 'drop'
}

/** Sets MAC addresses by ordered rules; the first that matches wins. */
export class MacRewrite implements Element {
  readonly rules: readonly MacRule[]
  readonly #pool: FramePool
  readonly #words: Int32Array
  readonly #hits: Float64Array
  readonly #first: (frames: Uint32Array, from: number, n: number) => number
  readonly #found: Addressed = new Addressed()

  /** @throws RangeError that names the rule, the key and the value */
  constructor(pool: FramePool, rules: readonly MacRule[], options: MacRewriteOptions = {}) {
    this.rules = rules
    this.#pool = pool
    this.#words = compileRules(rules, options.otherwise ?? 'accept')
    this.#hits = new Float64Array(rules.length + 1)
    this.#first = firstRule(pool, this.#words)
  }

  /** Frames that each rule has matched, in the order of the rules; last, those that none has. */
  get hits(): number[] {
    return [...this.#hits]
  }

  process(batch: Batch): void {
    const pool = this.#pool
    const { frames, length: n } = batch
    const plain = this.#words[0] === 0 && pool.trace === null
    let kept = 0
    for (let i = 0; i < n; i++) {
      const next = plain ? this.#first(frames, i, n) : i
      // While nothing was dropped or copied, frames are where they belong.
      if (kept !== i) for (let k = i; k < next; k++) frames[kept + k - i] = frames[k] as number
      kept += next - i
      ;(this.#hits[0] as number) += next - i
      i = next
      if (i === n) break
      const f = frames[i] as Frame
      if ((pool.len[f] as number) < HLEN) {
        pool.drop(f, Drop.Runt)
        continue
      }
      const g = this.#search(f)
      if (g !== NO_FRAME) frames[kept++] = g
    }
    batch.length = kept
  }

  /** Takes a frame through all rules: gives it, or `NO_FRAME` where it has ended. */
  #search(f: Frame): Frame | -1 {
    const pool = this.#pool
    const { data, off, len, port } = pool
    const w = this.#words
    const o = off[f] as number
    const dstHi = data.getUint16(o, true)
    const dstLo = data.getInt32(o + 2, true)
    const srcHi = data.getUint16(o + 6, true)
    const srcLo = data.getInt32(o + 8, true)
    const from = port[f] as number
    let looked = false
    let rule = 0
    let place = 0
    // The row behind the rules has no conditions: a match is always found.
    for (; ; rule += WORDS, place++) {
      const differs =
        ((from ^ w[rule + PORT]!) & w[rule + PORT + 1]!) |
        ((dstHi ^ w[rule + DST_MAC]!) & w[rule + DST_MAC + 1]!) |
        ((dstLo ^ w[rule + DST_MAC + 2]!) & w[rule + DST_MAC + 3]!) |
        ((srcHi ^ w[rule + SRC_MAC]!) & w[rule + SRC_MAC + 1]!) |
        ((srcLo ^ w[rule + SRC_MAC + 2]!) & w[rule + SRC_MAC + 3]!)
      if (differs !== 0) continue
      const wants = (w[rule] as number) & DEEP
      if (wants === 0) break
      if (!looked) this.#found.find(pool.bytes, o, o + (len[f] as number))
      looked = true
      if (this.#matchesDeep(rule, wants)) break
    }
    ;(this.#hits[place] as number)++
    if (((w[rule] as number) & Bit.Drop) !== 0) {
      if (pool.trace !== null) explain.ruled(pool, f, this.rules, place, true)
      pool.drop(f, Drop.MacRule)
      return NO_FRAME
    }
    const newDstHi = (dstHi & w[rule + SET_DST + 1]!) | w[rule + SET_DST]!
    const newDstLo = (dstLo & w[rule + SET_DST + 3]!) | w[rule + SET_DST + 2]!
    const newSrcHi = (srcHi & w[rule + SET_SRC + 1]!) | w[rule + SET_SRC]!
    const newSrcLo = (srcLo & w[rule + SET_SRC + 3]!) | w[rule + SET_SRC + 2]!
    if (((newDstHi ^ dstHi) | (newDstLo ^ dstLo) | (newSrcHi ^ srcHi) | (newSrcLo ^ srcLo)) === 0) {
      if (pool.trace !== null) explain.ruled(pool, f, this.rules, place, false)
      return f
    }
    const g = pool.refs[f] === 1 ? f : pool.own(f)
    if (g === NO_FRAME) return NO_FRAME
    const at = off[g] as number
    data.setUint16(at, newDstHi, true)
    data.setInt32(at + 2, newDstLo, true)
    data.setUint16(at + 6, newSrcHi, true)
    data.setInt32(at + 8, newSrcLo, true)
    if (pool.trace !== null) explain.ruled(pool, g, this.rules, place, false)
    return g
  }

  /** Whether the frame that was looked at meets the conditions behind Ethernet. */
  #matchesDeep(rule: number, wants: number): boolean {
    const w = this.#words
    const found = this.#found
    if ((wants & Bit.EtherType) !== 0 && w[rule + ETHER_TYPE] !== found.etherType) return false
    if ((wants & Bit.Protocol) !== 0 && w[rule + PROTOCOL] !== found.protocol) return false
    if ((wants & Bit.From) !== 0 && !this.#inPrefix(found.from, rule + FROM)) return false
    return (wants & Bit.To) === 0 || this.#inPrefix(found.to, rule + TO)
  }

  /** Whether the address at `at` is in the prefix of the words from `p` on. */
  #inPrefix(at: number, p: number): boolean {
    const w = this.#words
    const { bytes } = this.#pool
    const { kind } = this.#found
    if (kind === Kind.None || (w[p] === Kind.IPv6) !== (kind === Kind.IPv6)) return false
    if (((u32(bytes, at) & (w[p + 5] as number)) ^ (w[p + 1] as number)) !== 0) return false
    if (kind !== Kind.IPv6) return true
    for (let i = 1; i < 4; i++) {
      if ((u32(bytes, at + 4 * i) & (w[p + 5 + i] as number)) !== w[p + 1 + i]) return false
    }
    return true
  }
}
