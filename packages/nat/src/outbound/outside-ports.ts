import { ANSWER } from '../tuple.ts'
import { checkKeys } from './known-keys.ts'
import { NO_ROW, RowIndex } from './row-index.ts'
import { readSeed } from './source-nat-options.ts'

/*
 * Who has an outside port: (kind, address, port) -> one mapping, or a reservation.
 *
 *     203.0.113.1 udp 5000  ->  NAT 1, mapping 17         what comes there belongs to 10.22.0.11:5000
 *     203.0.113.1 tcp 8080  ->  reserved for a:80         a port mapping listens there, and leads to a:80
 *     any         tcp 8443  ->  reserved                  on all addresses
 *
 * The kind is that of any packet of the flow; its zone does not count, since an outside address is one for all zones inside.
 *
 * A NAT of RFC 4787 gives a port to one inside endpoint alone (REQ-3: no overloading), and finds by it whom a packet
 * from outside is for. Linux does neither: there a port is taken towards one remote endpoint only, which the table of
 * flows knows, and nothing is entered here. NATs that use the same address share one of these tables.
 *
 * Whom a reservation is for may still have the port as its own: what it sends from a:80 may leave from where a:80 is
 * reached. A port that mappings of several zones listen at is for the first of them alone.
 */

/** What of a kind makes a port another port: protocol, family and which query it is. The zone is that of the inside; and an
 * answer has the port of its question. */
const OWNED = 0xffff & ~ANSWER
/** Bit of a key's kind, free in those of flows: the port is reserved, whoever may have it still. */
const RESERVED = 1 << 13
/** The address of a reservation on all addresses. */
export const ANY_ADDRESS = 0

/** Settings of `OutsidePorts`. */
export interface OutsidePortsOptions {
  /** Ports in use or reserved at most, 1 to 16,777,216. Default 131,072. One takes 32 to 36 bytes. */
  maxPorts?: number
  /** Seed of the hash, 32 bits. Default 0; on a network one that strangers do not know. */
  seed?: number
}

/** The outside ports that have an owner. */
export class OutsidePorts {
  readonly #index: RowIndex
  readonly #owner: Uint16Array
  readonly #mapping: Int32Array
  /** Of a reservation: the inside port and the zone that it is for; the address is in `#mapping`, 0: for nobody, and how
   * many have it is in `#owner`. */
  readonly #insidePort: Uint16Array
  readonly #zone: Uint16Array
  #reservations = 0
  #owners = 0
  /** Numbers of NATs that left. */
  readonly #spare: number[] = []

  constructor(options: OutsidePortsOptions = {}) {
    checkKeys('', options, ['maxPorts', 'seed'] satisfies (keyof OutsidePortsOptions)[])
    this.#index = new RowIndex('maxPorts', options.maxPorts ?? 131_072, 3, readSeed(options.seed ?? 0))
    this.#owner = new Uint16Array(this.#index.max)
    this.#mapping = new Int32Array(this.#index.max)
    this.#insidePort = new Uint16Array(this.#index.max)
    this.#zone = new Uint16Array(this.#index.max)
  }

  /** Ports that have an owner, and reservations. */
  get size(): number {
    return this.#index.size
  }

  /** A number for one more NAT that uses the table. */
  join(): number {
    return this.#spare.pop() ?? ++this.#owners
  }

  /** Says that a NAT uses the table no more: it owns no port, and its number is for another. */
  leave(owner: number): void {
    this.#spare.push(owner)
  }

  /** Where a port stands in the table that a mapping owns, or -1: for `owner` and `mapping`. */
  find(kind: number, address: number, port: number): number {
    const { key } = this.#index
    key[0] = kind & OWNED
    key[1] = address
    key[2] = port
    return this.#index.find()
  }

  /** Whether a port has no owner. */
  isUnowned(kind: number, address: number, port: number): boolean {
    return this.#index.size === 0 || this.find(kind, address, port) === NO_ROW
  }

  /** Whether a port is reserved, and not for this inside endpoint.
   * @param kind with the zone of the inside */
  isReserved(kind: number, address: number, port: number, inside = 0, insidePort = 0): boolean {
    if (this.#reservations === 0) return false
    const one = this.find(kind | RESERVED, address, port)
    if (one !== NO_ROW && !this.#isFor(one, kind, inside, insidePort)) return true
    const all = this.find(kind | RESERVED, ANY_ADDRESS, port)
    return all !== NO_ROW && !this.#isFor(all, kind, inside, insidePort)
  }

  /** Whether a port has no owner and is not reserved for another inside endpoint. */
  isFree(kind: number, address: number, port: number, inside = 0, insidePort = 0): boolean {
    return this.isUnowned(kind, address, port) && !this.isReserved(kind, address, port, inside, insidePort)
  }

  #isFor(row: number, kind: number, inside: number, insidePort: number): boolean {
    return (
      inside !== 0 &&
      this.#mapping[row] === (inside | 0) &&
      this.#insidePort[row] === insidePort &&
      this.#zone[row] === kind >>> 16
    )
  }

  /** The NAT that has the port of a row. */
  owner(row: number): number {
    return this.#owner[row] as number
  }

  /** The mapping of that NAT. */
  mapping(row: number): number {
    return this.#mapping[row] as number
  }

  /** Gives a free port to a mapping; false where the table is full. */
  take(kind: number, address: number, port: number, owner: number, mapping: number): boolean {
    const { key } = this.#index
    key[0] = kind & OWNED
    key[1] = address
    key[2] = port
    const row = this.#index.add()
    if (row === NO_ROW) return false
    this.#owner[row] = owner
    this.#mapping[row] = mapping
    return true
  }

  /** Gives a port back. */
  free(kind: number, address: number, port: number): void {
    const row = this.find(kind, address, port)
    if (row !== NO_ROW) this.#index.remove(row)
  }

  /** Keeps a port from being given out; who has it already keeps it. It may be reserved several times, for mappings of
   * several zones. False where the table is full.
   * @param kind with the zone of the inside
   * @param address the outside address, or `ANY_ADDRESS`
   * @param inside the address of whom it is for, who may have it; 0: nobody */
  reserve(kind: number, address: number, port: number, inside = 0, insidePort = 0): boolean {
    const row = this.find(kind | RESERVED, address, port)
    if (row !== NO_ROW) {
      if (this.#owner[row] === 0xffff) return false
      this.#owner[row]!++
      return true
    }
    if (!this.take(kind | RESERVED, address, port, 1, inside)) return false
    const added = this.find(kind | RESERVED, address, port)
    this.#insidePort[added] = insidePort
    this.#zone[added] = kind >>> 16
    this.#reservations++
    return true
  }

  /** Ends a reservation; false where there was none. */
  unreserve(kind: number, address: number, port: number, inside = 0, insidePort = 0): boolean {
    const row = this.find(kind | RESERVED, address, port)
    if (row === NO_ROW) return false
    if (this.#isFor(row, kind, inside, insidePort)) this.#mapping[row] = 0
    if (--this.#owner[row]! > 0) return true
    this.#index.remove(row)
    this.#reservations--
    return true
  }
}
