/*
 * The router's own IPv4 addresses, to be asked for every packet: may it come from there? A hash set in one typed array,
 * at most a quarter full, so that the answer is nearly always one load.
 */

/** A set of IPv4 addresses; 0.0.0.0 is never in it. */
export class OwnAddresses {
  #slots: Uint32Array = new Uint32Array(16)
  #shift = 28
  #size = 0

  /** Puts an address in. */
  add(ip: number): void {
    if (ip === 0 || this.has(ip)) return
    if (++this.#size * 4 > this.#slots.length) {
      const before = this.#slots
      this.#slots = new Uint32Array(before.length * 2)
      this.#shift--
      for (const other of before) if (other !== 0) this.#slots[this.#place(other)] = other
    }
    this.#slots[this.#place(ip)] = ip
  }

  /** Takes an address out. */
  delete(ip: number): void {
    if (!this.has(ip)) return
    const slots = this.#slots
    const mask = slots.length - 1
    let i = this.#place(ip)
    slots[i] = 0
    this.#size--
    // What follows without a gap may have been put there because this slot was taken.
    for (i = (i + 1) & mask; slots[i] !== 0; i = (i + 1) & mask) {
      const other = slots[i] as number
      slots[i] = 0
      slots[this.#place(other)] = other
    }
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
