import type { Addresses6 } from '../addresses6.ts'
import { IPV6 } from '../tuple.ts'
import { NO_ROW, RowIndex } from './row-index.ts'

/*
 * Whom an inside endpoint has sent to: what address-dependent filtering asks (RFC 4787, 5: a packet from outside comes in
 * if the inside endpoint has sent to its address before, whatever the port).
 *
 *     mapping | remote address  ->  flows
 *
 * Only a mapping that is for all destinations needs it; one that is for an address says itself whom it is for. A peer
 * lives as long as a flow with it does.
 */

/** The peers of the mappings of one NAT. */
export class Peers {
  readonly #index: RowIndex
  readonly #addresses: Addresses6
  readonly #flows: Uint32Array
  readonly #kind: Uint16Array

  constructor(addresses: Addresses6, max: number, seed: number) {
    this.#index = new RowIndex('maxPeers', max, 2, seed)
    this.#addresses = addresses
    this.#flows = new Uint32Array(max)
    this.#kind = new Uint16Array(max)
  }

  /** Peers there are. */
  get size(): number {
    return this.#index.size
  }

  /** Whether a mapping has sent to an address. */
  has(mapping: number, remote: number): boolean {
    return this.#find(mapping, remote) !== NO_ROW
  }

  /** Counts one more flow of a mapping with an address, and gives the row; `NO_ROW` where there is no room. */
  hold(kind: number, mapping: number, remote: number): number {
    let row = this.#find(mapping, remote)
    if (row === NO_ROW) {
      row = this.#index.add()
      if (row === NO_ROW) return NO_ROW
      this.#flows[row] = 0
      this.#kind[row] = kind & IPV6
      if ((kind & IPV6) !== 0) this.#addresses.hold(remote)
    }
    this.#flows[row]!++
    return row
  }

  /** Counts one flow less, and gives the mapping. */
  release(row: number): number {
    const mapping = this.#index.word(row, 0)
    if (--this.#flows[row]! === 0) {
      if (this.#kind[row] !== 0) this.#addresses.release(this.#index.word(row, 1))
      this.#index.remove(row)
    }
    return mapping
  }

  #find(mapping: number, remote: number): number {
    const { key } = this.#index
    key[0] = mapping
    key[1] = remote
    return this.#index.find()
  }
}
