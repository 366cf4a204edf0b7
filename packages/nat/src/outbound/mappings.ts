import { formatIpv4 } from '@l2l3/switch-core/wire'
import type { Addresses6 } from '../addresses6.ts'
import { IPV6 } from '../tuple.ts'
import { NO_ROW, RowIndex } from './row-index.ts'

/*
 * Which outside endpoint stands for which inside endpoint, and how many flows say so.
 *
 *     key                                                                       mapping
 *     kind | inside address | inside port, remote port | remote address | wanted   ->  outside address, port; flows
 *
 *     endpoint-independent            remote address and port are 0: one mapping for all destinations
 *     address-dependent               the remote port is 0
 *     address-and-port-dependent      both count
 *     linux                           as endpoint-independent; where the port is taken towards somebody, another mapping
 *                                     takes its place for those to come
 *
 * A mapping lives as long as a flow does that was made by it, so it needs no timer of its own: the timeouts of the
 * flows are its timeouts (RFC 4787 REQ-5), and what refreshes them refreshes it (REQ-6). `wanted` keeps those apart that
 * an inside endpoint has by different interfaces, or by an address that was asked for; 0 in a pool.
 *
 * A mapping takes 40 to 44 bytes, and holds its IPv6 addresses in `Addresses6`.
 */

const KIND = 0
const INSIDE = 1
const PORTS = 2
const REMOTE = 3
const WANTED = 4

/** A mapping as people see it. */
export interface MappingInfo {
  /** IP protocol number. */
  readonly protocol: number
  /** e.g. "10.22.0.11" */
  readonly inside: string
  readonly insidePort: number
  /** e.g. "203.0.113.1" */
  readonly outside: string
  readonly outsidePort: number
  /** The remote address it is for; null: for all. */
  readonly remote: string | null
  /** The remote port it is for; null: for all. */
  readonly remotePort: number | null
  readonly zone: number
  /** Flows that live by it. */
  readonly flows: number
}

/** The mappings of one NAT. */
export class Mappings {
  readonly #index: RowIndex
  readonly #addresses: Addresses6
  readonly #outside: Uint32Array
  readonly #outsidePort: Uint16Array
  readonly #flows: Uint32Array
  readonly #replaced: Uint8Array

  /** @param max mappings at most, 1 to 16,777,214
   * @param seed of the hash, 32 bits */
  constructor(addresses: Addresses6, max: number, seed: number) {
    this.#index = new RowIndex('maxMappings', max, 5, seed)
    this.#addresses = addresses
    this.#outside = new Uint32Array(max)
    this.#outsidePort = new Uint16Array(max)
    this.#flows = new Uint32Array(max)
    this.#replaced = new Uint8Array(max)
  }

  /** Mappings there are. */
  get size(): number {
    return this.#index.size
  }

  /** The mapping of an inside endpoint, or `NO_ROW`; a `remote` or `remotePort` that does not count is 0. What it asks
   * for is what `add` adds. */
  find(kind: number, inside: number, insidePort: number, remote: number, remotePort: number, wanted: number): number {
    const { key } = this.#index
    key[KIND] = kind
    key[INSIDE] = inside
    key[PORTS] = (insidePort << 16) | remotePort
    key[REMOTE] = remote
    key[WANTED] = wanted
    return this.#index.find()
  }

  /** Adds what `find` has just not found, or in place of `instead`, which it has found, and which goes on for the flows
   * that it has. Gives the mapping with one flow, or `NO_ROW` where there is no room. */
  add(outside: number, outsidePort: number, instead: number = NO_ROW): number {
    const row = this.#index.add()
    if (row === NO_ROW) return NO_ROW
    if (instead !== NO_ROW) {
      this.#index.hide(instead)
      this.#replaced[instead] = 1
    }
    this.#outside[row] = outside
    this.#outsidePort[row] = outsidePort
    this.#flows[row] = 1
    this.#replaced[row] = 0
    this.#holdAll(row, true)
    return row
  }

  /** Counts one more flow. */
  hold(row: number): void {
    this.#flows[row]!++
  }

  /** Counts one flow less; true where it was the last, and the mapping is about to go: `remove` it then. */
  release(row: number): boolean {
    return --this.#flows[row]! === 0
  }

  /** Takes a mapping out that has no flow. */
  remove(row: number): void {
    this.#holdAll(row, false)
    if (this.#replaced[row] === 1) this.#index.free(row)
    else this.#index.remove(row)
  }

  /** The kind that was asked for. */
  kind(row: number): number {
    return this.#index.word(row, KIND) >>> 0
  }
  inside(row: number): number {
    return this.#index.word(row, INSIDE) >>> 0
  }
  insidePort(row: number): number {
    return this.#index.word(row, PORTS) >>> 16
  }
  /** The remote address it is for, 0: any. */
  remote(row: number): number {
    return this.#index.word(row, REMOTE) >>> 0
  }
  /** The remote port it is for, 0: any. */
  remotePort(row: number): number {
    return this.#index.word(row, PORTS) & 0xffff
  }
  outside(row: number): number {
    return this.#outside[row] as number
  }
  outsidePort(row: number): number {
    return this.#outsidePort[row] as number
  }
  flows(row: number): number {
    return this.#flows[row] as number
  }

  /** All mappings, in no order. None may be added or removed meanwhile. */
  *list(): IterableIterator<MappingInfo> {
    for (let row = 0; row < this.#flows.length; row++) {
      if (this.#flows[row] === 0) continue
      const kind = this.kind(row)
      yield {
        protocol: kind & 255,
        inside: this.#text(kind, this.inside(row)),
        insidePort: this.insidePort(row),
        outside: this.#text(kind, this.outside(row)),
        outsidePort: this.outsidePort(row),
        remote: this.remote(row) === 0 ? null : this.#text(kind, this.remote(row)),
        remotePort: this.remotePort(row) === 0 ? null : this.remotePort(row),
        zone: kind >>> 16,
        flows: this.flows(row),
      }
    }
  }

  #text(kind: number, address: number): string {
    return (kind & IPV6) === 0 ? formatIpv4(address) : this.#addresses.format(address)
  }

  #holdAll(row: number, hold: boolean): void {
    if ((this.kind(row) & IPV6) === 0) return
    const a = this.#addresses
    if (hold) {
      a.hold(this.inside(row))
      a.hold(this.remote(row))
      a.hold(this.outside(row))
    } else {
      a.release(this.inside(row))
      a.release(this.remote(row))
      a.release(this.outside(row))
    }
  }
}
