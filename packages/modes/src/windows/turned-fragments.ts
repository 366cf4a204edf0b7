import type { Frame, FramePool } from '@l2l3/switch-core'
import { ipv4, ipv6, u16, u32 } from '@l2l3/switch-core/wire'

/*
 * Later fragments go where the first of their packet went.
 *
 *     pod ─> answer to its own loopback flow, first fragment: its ports are those of a flow    back to the pod
 *                                             later ones: they have no ports                   likewise: remembered
 *
 * What comes here has passed the port's NAT, which lets no fragment by before the first. So a ring of the packets that came last is
 * enough: destination, identification and protocol, and what became of the first.
 */

/** First fragments that are remembered. */
const REMEMBERED = 64
const FRAGMENT_HEADER = 44

/** What became of first fragments at a port. */
export class TurnedFragments {
  readonly #pool: FramePool
  /** Identification, and protocol << 1 | whether it was turned back; -1: none. */
  readonly #ids: Int32Array = new Int32Array(REMEMBERED)
  readonly #kinds: Int32Array = new Int32Array(REMEMBERED).fill(-1)
  readonly #destinations: Int32Array = new Int32Array(REMEMBERED)
  #next = 0
  #id = 0
  #protocol = 0
  #later = false

  constructor(pool: FramePool) {
    this.#pool = pool
  }

  /** Whether a packet of IP is a later fragment of one that was turned back.
   * @param to its destination, as a number */
  follows(f: Frame, to: number): boolean {
    if (!this.#read(f) || !this.#later) return false
    for (let i = 1; i <= REMEMBERED; i++) {
      const at = (this.#next + REMEMBERED - i) % REMEMBERED
      if (this.#ids[at] !== this.#id || (this.#kinds[at] as number) >> 1 !== this.#protocol) continue
      if (this.#destinations[at] !== to) continue
      return ((this.#kinds[at] as number) & 1) === 1
    }
    return false
  }

  /** Remembers what became of a packet of IP, where it is a first fragment. */
  note(f: Frame, to: number, turned: boolean): void {
    if (!this.#read(f) || this.#later) return
    this.#ids[this.#next] = this.#id
    this.#destinations[this.#next] = to
    this.#kinds[this.#next] = (this.#protocol << 1) | (turned ? 1 : 0)
    this.#next = (this.#next + 1) % REMEMBERED
  }

  /** Reads what a fragment says of itself; false for what is none. */
  #read(f: Frame): boolean {
    const { bytes: b, off, len } = this.#pool
    const l3 = (off[f] as number) + 14
    if ((b[l3] as number) >>> 4 === 4) {
      const word = u16(b, l3 + 6) & 0x3fff
      this.#later = (word & 0x1fff) !== 0
      this.#id = u16(b, l3 + 4)
      this.#protocol = b[l3 + ipv4.PROTOCOL] as number
      return word !== 0
    }
    const at = l3 + 40
    if (b[l3 + ipv6.NEXT_HEADER] !== FRAGMENT_HEADER || (len[f] as number) < 14 + 48) return false
    const word = u16(b, at + 2)
    this.#later = (word & 0xfff8) !== 0
    this.#id = u32(b, at + 4) | 0
    this.#protocol = b[at] as number
    return (word & 0xfff9) !== 0
  }
}
