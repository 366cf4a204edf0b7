import { eth, formatMac, icmpv6 } from '@l2l3/switch-core/wire'
import { parseHost, parseStationMac } from './address.ts'
import { AddressIndex, NO_ROW } from './address-index.ts'

/** An entry as people see it. */
export interface KnownNeighbour {
  readonly address: string
  readonly mac: string
  /** Whether advertisements for it have the R flag. */
  readonly router: boolean
}

/**
 * Which address is where, as configuration or a control plane says: what `Responder` and `Suppressor` answer from. One
 * may serve many ports. Nothing in a frame changes it.
 */
export class KnownNeighbours {
  readonly #index: AddressIndex
  readonly #macs: Uint8Array
  readonly #flags: Uint8Array

  /** @param maxEntries 1 to 1,048,576; default 4,096
   * @param seed of the hash; 0 for runs that must repeat. To be drawn at random where those who are not trusted choose
   * the addresses */
  constructor(maxEntries = 4096, seed = 0) {
    this.#index = new AddressIndex(maxEntries, seed)
    this.#macs = new Uint8Array(maxEntries * 6)
    this.#flags = new Uint8Array(maxEntries)
  }

  get size(): number {
    return this.#index.size
  }

  /** Says that `address` is at `mac`, whatever was said before. Throws where one of them makes no sense, or there is no
   * room. */
  set(address: string, mac: string, router = false): void {
    const a = parseHost('address', address)
    const bytes = parseStationMac('mac', mac)
    let row = a.family === 4 ? this.#index.find4(a.v4) : this.#index.find6(a.v6, 0)
    if (row === NO_ROW) row = a.family === 4 ? this.#index.add4(a.v4) : this.#index.add6(a.v6, 0)
    if (row === NO_ROW) throw new RangeError(`address ${address}: no room (maxEntries ${this.#index.max})`)
    this.#macs.set(bytes, row * 6)
    this.#flags[row] = router ? icmpv6.NaFlag.Router : 0
  }

  /** Takes an address out; false where it was not there. */
  delete(address: string): boolean {
    const a = parseHost('address', address)
    const row = a.family === 4 ? this.#index.find4(a.v4) : this.#index.find6(a.v6, 0)
    if (row === NO_ROW) return false
    this.#index.remove(row)
    return true
  }

  /** Lists the entries. */
  *list(): Generator<KnownNeighbour> {
    for (let row = 0; row < this.#index.max; row++) {
      if (this.#index.family[row] === 0) continue
      const mac = formatMac(this.#macs, row * 6)
      yield { address: this.#index.text(row), mac, router: this.#flags[row] !== 0 }
    }
  }

  /** Writes the MAC of an IPv4 address to `mac`; false where it is not known. */
  lookup4(ip: number, mac: Uint8Array): boolean {
    const row = this.#index.find4(ip)
    if (row === NO_ROW) return false
    eth.copyMac(mac, 0, this.#macs, row * 6)
    return true
  }

  /** Writes the MAC of the IPv6 address at `at` to `mac`, and gives the flags of its advertisements, 0 or R; -1 where
   * it is not known. */
  lookup6(b: Uint8Array, at: number, mac: Uint8Array): number {
    const row = this.#index.find6(b, at)
    if (row === NO_ROW) return -1
    eth.copyMac(mac, 0, this.#macs, row * 6)
    return this.#flags[row]
  }
}
