import { checkRange } from '@l2l3/switch-core'
import { equal } from '@l2l3/switch-core/wire'
import { linkLocal, parseHost, parseStationMac } from './address.ts'

/** A pair of addresses that a port may use. */
export interface Binding {
  readonly mac: string
  /** IPv4 or IPv6. */
  readonly address: string
}

/**
 * Which addresses a port may use: the pairs (MAC, IP) that its guards compare with. A port has few, so they stand in a
 * row and are looked through.
 */
export class PortBindings {
  readonly #macs: Uint8Array
  readonly #macs4: Uint8Array
  readonly #ips: Uint32Array
  readonly #macs6: Uint8Array
  readonly #ips6: Uint8Array

  /** Throws where an address makes no sense, or there are more than 1,024.
   * @param linkLocals whether each MAC's own link-local address (EUI-64) goes with it */
  constructor(bindings: readonly Binding[], linkLocals = true) {
    checkRange('bindings', bindings.length, 0, 1024)
    const pairs = bindings.map((b) => [parseStationMac('mac', b.mac), parseHost('address', b.address)] as const)
    const four = pairs.filter(([, a]) => a.family === 4)
    const six = pairs.filter(([, a]) => a.family === 6).map(([mac, a]) => [mac, a.v6] as const)
    if (linkLocals) for (const [mac] of pairs) six.push([mac, linkLocal(mac)])
    this.#macs = concat(pairs.map(([mac]) => mac))
    this.#macs4 = concat(four.map(([mac]) => mac))
    this.#ips = Uint32Array.from(four, ([, a]) => a.v4)
    this.#macs6 = concat(six.map(([mac]) => mac))
    this.#ips6 = concat(six.map(([, ip]) => ip))
  }

  /** Tells whether the MAC at `at` is one of the port's. */
  hasMac(b: Uint8Array, at: number): boolean {
    for (let i = 0; i < this.#macs.length; i += 6) if (equal(this.#macs, i, b, at, 6)) return true
    return false
  }

  /** Tells whether the MAC at `at` may use an IPv4 address. */
  has4(b: Uint8Array, at: number, ip: number): boolean {
    for (let i = 0; i < this.#ips.length; i++) {
      if (this.#ips[i] === ip && equal(this.#macs4, i * 6, b, at, 6)) return true
    }
    return false
  }

  /** Tells whether the MAC at `at` may use the IPv6 address at `ip`. */
  has6(b: Uint8Array, at: number, ip: number): boolean {
    for (let i = 0, j = 0; j < this.#ips6.length; i += 6, j += 16) {
      if (equal(this.#ips6, j, b, ip, 16) && equal(this.#macs6, i, b, at, 6)) return true
    }
    return false
  }
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, p) => sum + p.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
