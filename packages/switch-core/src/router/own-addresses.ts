/*
 * The router's own IPv4 addresses, to be asked for every packet: may it come from there? A hash set in one typed array,
 * at most a quarter full, so that the answer is nearly always one load.
 */

/** A set of IPv4 addresses; 0.0.0.0 is never in it. */
export class OwnAddresses {
  #slots: Uint32Array = new Uint32Array(16)
  #shift = 28

  /** Puts these addresses in, and no others. */
  fill(addresses: readonly number[]): void {
    const bits = Math.max(4, Math.ceil(Math.log2(addresses.length * 4 + 1)))
    this.#slots = new Uint32Array(2 ** bits)
    this.#shift = 32 - bits
    for (const ip of addresses) if (!this.has(ip)) this.#slots[this.#place(ip)] = ip
  }

  has(ip: number): boolean {
    return ip !== 0 && this.#slots[this.#place(ip)] === ip
  }

  /** The slot where `ip` is, or the empty one where it would be. */
  #place(ip: number): number {
    const slots = this.#slots
    let i = Math.imul(ip, 0x9e37_79b1) >>> this.#shift
    while (slots[i] !== 0 && slots[i] !== ip) i = (i + 1) & (slots.length - 1)
    return i
  }
}
