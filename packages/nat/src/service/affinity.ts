import { checkRange } from '@l2l3/switch-core'
import { mix } from './rendezvous.ts'

/*
 * Which client was at which backend last: session affinity with a timeout (kube-proxy's `ClientIP`, 10,800 seconds).
 *
 *     client, service --- hash ---> a bucket of eight entries, 40 bytes each
 *
 *     entry:  client's address (4 words, IPv4 in the last) | service | kind | backend's row | backend's number | until
 *
 * The time counts from the client's last NEW connection, as with the `recent` match of iptables that kube-proxy builds it
 * of. Nothing is swept: an entry that is over is found to be so when it is looked at, and is the first to make room. A
 * full bucket gives up the entry that would be over first. So the table has a size and no time is spent on it but one
 * look into one bucket a flow.
 *
 * Who is forgotten early, because very many clients came, loses little: the backend for a client that is not remembered
 * is picked by the client's address, which gives the one it had as long as the same backends are there.
 */

const WAYS = 8
const WORDS = 8

/** What a search gives that finds nothing. */
export const NO_ENTRY = -1

/** The address of a client as four words, and what else of it counts. */
export class Client {
  /** The address's words: an IPv4 address stands in the last, behind zeros. */
  readonly words: Int32Array = new Int32Array(4)
  /** What tells clients of one address apart: family, protocol, zone. */
  kind = 0

  /** Becomes the client with this IPv4 address. */
  is4(address: number): void {
    const w = this.words
    w[0] = w[1] = w[2] = 0
    w[3] = address
  }

  /** Becomes the client whose IPv6 address stands in four words at `at`. */
  is6(words: Uint32Array, at: number): void {
    for (let i = 0; i < 4; i++) this.words[i] = words[at + i]
  }

  /** A hash of the client; `seed` keeps it from being guessed. */
  hash(seed: number): number {
    const w = this.words
    return mix(mix(mix(mix(mix(this.kind ^ seed) ^ w[0]) ^ w[1]) ^ w[2]) ^ w[3])
  }
}

/** Remembers the backends of clients. */
export class Affinity {
  /** How many clients at most. */
  readonly entries: number
  readonly #words: Int32Array
  readonly #until: Float64Array
  readonly #mask: number
  readonly #seed: number

  /** @param entries clients remembered at most, 8 to 4,194,304; rounded up to a power of two
   * @param seed of the hash */
  constructor(entries: number, seed: number) {
    checkRange('affinityEntries', entries, WAYS, 1 << 22)
    this.entries = 2 ** Math.ceil(Math.log2(entries))
    this.#words = new Int32Array(this.entries * WORDS)
    this.#until = new Float64Array(this.entries)
    this.#mask = this.entries / WAYS - 1
    this.#seed = seed
  }

  /** The entry of a client with a service, or `NO_ENTRY` where there is none or it is over. */
  find(service: number, client: Client, now: number): number {
    const first = this.#bucket(service, client)
    for (let e = first; e < first + WAYS; e++) {
      if (this.#until[e] > now && this.#is(e, service, client)) return e
    }
    return NO_ENTRY
  }

  /** The row of the backend in an entry, if its number is still `numbers[row]`; else -1: the backend is gone. */
  backend(entry: number, numbers: Int32Array): number {
    const row = this.#words[entry * WORDS + 6]
    return numbers[row] === this.#words[entry * WORDS + 7] ? row : -1
  }

  /** Says that a client was at a backend. Time in nanoseconds.
   * @param row the backend's row with its service
   * @param number the backend's number, which no other backend ever has */
  remember(service: number, client: Client, row: number, number: number, now: number, timeout: number): void {
    const first = this.#bucket(service, client)
    let place = first
    for (let e = first; e < first + WAYS; e++) {
      if (this.#is(e, service, client)) {
        place = e
        break
      }
      // Over or never used comes first of all; what is over is as good as what was never used.
      if (this.#until[e] < this.#until[place]) place = e
    }
    const at = place * WORDS
    const words = this.#words
    for (let i = 0; i < 4; i++) words[at + i] = client.words[i]
    words[at + 4] = service
    words[at + 5] = client.kind
    words[at + 6] = row
    words[at + 7] = number
    this.#until[place] = now + timeout
  }

  /** How many clients are remembered at `now`, of one service or of all: counted, for people. */
  count(now: number, service = 0): number {
    let n = 0
    for (let e = 0; e < this.entries; e++) {
      if (this.#until[e] > now && (service === 0 || this.#words[e * WORDS + 4] === service)) n++
    }
    return n
  }

  #bucket(service: number, client: Client): number {
    return ((client.hash(this.#seed ^ Math.imul(service, 0x9e3779b1)) & this.#mask) >>> 0) * WAYS
  }

  #is(entry: number, service: number, client: Client): boolean {
    const w = this.#words
    const c = client.words
    const at = entry * WORDS
    return (
      w[at + 3] === c[3] &&
      w[at + 4] === service &&
      w[at + 5] === client.kind &&
      w[at] === c[0] &&
      w[at + 1] === c[1] &&
      w[at + 2] === c[2]
    )
  }
}
