import { ANSWER } from '../tuple.ts'
import { NO_ROW, RowIndex } from './row-index.ts'

/*
 * Who has an outside port: (kind, address, port) -> one mapping, or a reservation.
 *
 *     203.0.113.1 udp 5000  ->  NAT 1, mapping 17         what comes there belongs to 10.22.0.11:5000
 *     203.0.113.1 tcp 8080  ->  reserved                  a port mapping listens there
 *     any         tcp 8443  ->  reserved                  on all addresses
 *
 * The kind is that of any packet of the flow; its zone does not count, since an outside address is one for all zones inside.
 *
 * A NAT of RFC 4787 gives a port to one inside endpoint alone (REQ-3: no overloading), and finds by it whom a packet
 * from outside is for. Linux does neither: there a port is taken towards one remote endpoint only, which the table of
 * flows knows, and nothing is entered here. NATs that use the same address share one of these tables.
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
  /** Ports in use or reserved at most, 1 to 16,777,216. Default 131,072. One takes 28 to 32 bytes. */
  maxPorts?: number
  /** Seed of the hash, 32 bits. Default 0; on a network one that strangers do not know. */
  seed?: number
}

/** The outside ports that have an owner. */
export class OutsidePorts {
  readonly #index: RowIndex
  readonly #owner: Uint16Array
  readonly #mapping: Int32Array
  #reservations = 0
  #owners = 0

  constructor(options: OutsidePortsOptions = {}) {
    this.#index = new RowIndex('maxPorts', options.maxPorts ?? 131_072, 3, options.seed ?? 0)
    this.#owner = new Uint16Array(this.#index.max)
    this.#mapping = new Int32Array(this.#index.max)
  }

  /** Ports that have an owner, and reservations. */
  get size(): number {
    return this.#index.size
  }

  /** A number for one more NAT that uses the table. */
  join(): number {
    return ++this.#owners
  }

  /** Where a port stands in the table that a mapping owns, or -1: for `owner` and `mapping`. */
  find(kind: number, address: number, port: number): number {
    const { key } = this.#index
    key[0] = kind & OWNED
    key[1] = address
    key[2] = port
    return this.#index.find()
  }

  /** Whether a port has no owner and is not reserved. */
  isFree(kind: number, address: number, port: number): boolean {
    if (this.#index.size === 0) return true
    if (this.find(kind, address, port) !== NO_ROW) return false
    if (this.#reservations === 0) return true
    return (
      this.find(kind | RESERVED, address, port) === NO_ROW && this.find(kind | RESERVED, ANY_ADDRESS, port) === NO_ROW
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

  /** Keeps a port from being given out; who has it already keeps it. False where it is reserved, or the table is full.
   * @param address the outside address, or `ANY_ADDRESS` */
  reserve(kind: number, address: number, port: number): boolean {
    if (this.find(kind | RESERVED, address, port) !== NO_ROW) return false
    if (!this.take(kind | RESERVED, address, port, 0, NO_ROW)) return false
    this.#reservations++
    return true
  }

  /** Ends a reservation; false where there was none. */
  unreserve(kind: number, address: number, port: number): boolean {
    const row = this.find(kind | RESERVED, address, port)
    if (row === NO_ROW) return false
    this.#index.remove(row)
    this.#reservations--
    return true
  }
}
