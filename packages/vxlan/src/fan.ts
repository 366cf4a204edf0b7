import { type Prefix, parsePrefix } from '@l2l3/switch-core'

/*
 * The address rule of Ubuntu's FAN networking (fanctl(8); modes.md 15).
 *
 * The overlay's prefix is wider than the underlay's part that tells nodes apart, so that a node's address says which
 * subnet of the overlay it has, and an overlay address says on which node it is. Nothing has to be learnt or told.
 *
 *     underlay  172.16.0.0/16     172 . 16 .( 3 . 4 )              a node
 *     overlay   250.0.0.0/8       250 .( 3  .  4 ). 15             an address on it: host bits 8
 *                                 '-8-''---16---''-8-'
 *
 * The overlay address carries, behind its prefix, the underlay address' host bits, and what is left at the end is the
 * node's to give out.
 */

/** Two prefixes that a FAN is made of. */
export interface FanOptions {
  /** The wide prefix that containers have addresses in: `250.0.0.0/8`. */
  overlay: string
  /** The prefix that nodes have addresses in: `172.16.0.0/16`; its host bits are what an overlay address carries. */
  underlay: string
}

function prefix(key: string, text: string): { base: number; length: number } {
  let p: Prefix
  try {
    p = parsePrefix(text)
  } catch (error) {
    throw new TypeError(`${key}: ${(error as Error).message}`, { cause: error })
  }
  if (p.words.length !== 1) throw new TypeError(`${key} must be an IPv4 prefix, not ${text}`)
  return { base: p.words[0] as number, length: p.length }
}

function mask(length: number): number {
  return length === 0 ? 0 : (0xffff_ffff << (32 - length)) >>> 0
}

/** The rule of one FAN: which node an overlay address is on, which subnet a node has. */
export class FanMapping {
  /** Bits of an overlay address that a node gives out itself: 8 leave 253 for containers. */
  readonly hostBits: number
  readonly #overlay: number
  readonly #overlayMask: number
  readonly #underlay: number
  readonly #underlayMask: number
  readonly #nodeMask: number

  /** Throws where a prefix is none, or the overlay has no room for the node's bits and at least two host bits. */
  constructor(options: FanOptions) {
    const overlay = prefix('overlay', options.overlay)
    const underlay = prefix('underlay', options.underlay)
    const nodeBits = 32 - underlay.length
    this.hostBits = 32 - overlay.length - nodeBits
    if (this.hostBits < 2) {
      throw new RangeError(
        `overlay ${options.overlay} has ${32 - overlay.length} bits: too few for the ${nodeBits} of underlay ${options.underlay} and two of its own`,
      )
    }
    this.#overlay = overlay.base
    this.#overlayMask = mask(overlay.length)
    this.#underlay = underlay.base
    this.#underlayMask = mask(underlay.length)
    this.#nodeMask = ~this.#underlayMask >>> 0
  }

  /** The node that an overlay address is on; -1 where the address is none of this overlay. */
  nodeOf(address: number): number {
    if ((address & this.#overlayMask) >>> 0 !== this.#overlay) return -1
    return (this.#underlay | ((address >>> this.hostBits) & this.#nodeMask)) >>> 0
  }

  /** The first address of the subnet that a node gives out, of `32 - hostBits` bits; -1 where the node is not in the
   * underlay. */
  subnetOf(node: number): number {
    if ((node & this.#underlayMask) >>> 0 !== this.#underlay) return -1
    return (this.#overlay | (((node & this.#nodeMask) << this.hostBits) >>> 0)) >>> 0
  }
}
