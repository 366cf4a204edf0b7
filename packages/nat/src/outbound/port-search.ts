import type { ReplyCheck } from '../policy.ts'
import { QUERY } from '../tuple.ts'
import type { OutsidePorts } from './outside-ports.ts'
import {
  ALL_IDS,
  ANY_CLASS,
  firstOf,
  lastOf,
  linuxClass,
  type PortClass,
  type PortRange,
  sizeOf,
  within,
} from './port-range.ts'

/*
 * Finds a free port to stand for a port.
 *
 *     is the port itself free?   yes: it stays (port preservation)
 *     else a random place in the range, and from there the next ones, 128 at most
 *     else another random place, and 64 from there; then 32, 16, 8
 *
 * So does Linux (nf_nat_l4proto_unique_tuple), and for its reason: with a full range a search through all of it would
 * stall the node for each new flow. A range of up to 1,024 ports is searched through whole, so that a small pool can be
 * used up to its last port; above, a search may give up while a few ports of many thousand are left.
 *
 * With parity only every other port is looked at (RFC 4787 REQ-4: what is even stays even, for RTP and RTCP). Identifiers
 * of queries know neither range nor parity.
 */

/** Ranges up to this size are searched whole. */
const WHOLE = 1024
/** Ports that are looked at from the first place. */
const TRIES = 128
/** What a search gives that finds no port. */
export const NO_PORT = -1

/** Gives 32 random bits, signed or not. */
export type Dice32 = () => number

/** Dice that fall the same way for the same seed (mulberry32). */
export function seededDice32(seed: number): Dice32 {
  const state = new Int32Array(1)
  state[0] = seed
  return () => {
    const s = (state[0] = (state[0] as number) + 0x6d2b79f5)
    let t = Math.imul(s ^ (s >>> 15), 1 | s)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return t ^ (t >>> 14)
  }
}

/** How ports are chosen. */
export interface PortChoice {
  /** Whether the port itself is tried first. */
  readonly preserve: boolean
  /** Whether a port keeps its parity. */
  readonly parity: boolean
  readonly portClass: PortClass
  /** The range that was configured, 0: none. */
  readonly range: PortRange
  /** Whether ports of mappings are left to those whom they are for. */
  readonly heedsReserved: boolean
}

/** Chooses outside ports. */
export class PortSearch {
  readonly #choice: PortChoice
  readonly #ports: OutsidePorts
  readonly #dice: Dice32
  /** Who asks. */
  #inside = 0
  #insidePort = 0

  constructor(choice: PortChoice, ports: OutsidePorts, dice: Dice32) {
    this.#choice = choice
    this.#ports = ports
    this.#dice = dice
  }

  /** A port of `address` that is nobody's, and from which `remote` has no flow yet, or `NO_PORT`.
   * @param kind of the flow
   * @param inside the inside address
   * @param port the inside port; of a query its identifier */
  find(
    kind: number,
    inside: number,
    port: number,
    remote: number,
    remotePort: number,
    address: number,
    reply: ReplyCheck,
  ): number {
    this.#inside = inside
    this.#insidePort = port
    const { preserve, parity, range } = this.#choice
    const query = (kind & QUERY) !== 0
    const among = this.#rangeFor(query, port)
    if (preserve && (query || range === 0 || within(range, port))) {
      if (this.#isFree(kind, remote, query ? port : remotePort, address, port, reply)) return port
    }
    const step = parity && !query ? 2 : 1
    const first = firstOf(among) + (step === 2 ? (firstOf(among) ^ port) & 1 : 0)
    const size = step === 1 ? sizeOf(among) : ((lastOf(among) - first) >> 1) + 1
    for (let tries = size <= WHOLE ? size : TRIES; size > 0; tries >>= 1) {
      let at = (this.#dice() >>> 0) % size
      for (let i = 0; i < tries; i++) {
        const candidate = first + step * at
        const from = query ? candidate : remotePort
        if (this.#isFree(kind, remote, from, address, candidate, reply)) return candidate
        if (++at === size) at = 0
      }
      if (tries === size || tries < 16) break
    }
    return NO_PORT
  }

  #isFree(kind: number, remote: number, remotePort: number, address: number, port: number, reply: ReplyCheck): boolean {
    const ports = this.#ports
    if (!ports.isUnowned(kind, address, port)) return false
    if (this.#choice.heedsReserved && ports.isReserved(kind, address, port, this.#inside, this.#insidePort))
      return false
    return !reply.taken(kind, remote, remotePort, address, port)
  }

  #rangeFor(query: boolean, port: number): PortRange {
    if (query) return ALL_IDS
    if (this.#choice.range !== 0) return this.#choice.range
    return this.#choice.portClass === 'linux' ? linuxClass(port) : ANY_CLASS
  }
}
