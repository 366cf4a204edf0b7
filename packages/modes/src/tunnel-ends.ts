/*
 * Which packets are a tunnel's: its protocol, both ends, and the key of GRE tell it from others. Two tunnels that are the same in
 * all of these cannot be told apart, and the second would never get a packet.
 */

/** What tunnels carry that IP itself has a number for, or GRE a protocol type. */
export type Carried = 'IPv4 in IP' | 'IPv6 in IP' | 'gre' | 'gretap' | 'flannel-udp'

/** The ends of a node's tunnels other than VXLAN and GENEVE. */
export class TunnelEnds {
  readonly #names: Map<string, string> = new Map()

  /**
   * Notes a tunnel. Throws a RangeError where another would take its packets.
   * @param remote an address; `any` where packets of all ends are taken
   * @param number the key of GRE, the UDP port of flannel
   */
  add(name: string, carried: readonly Carried[], local: string, remote: string, number: number | undefined): void {
    for (const what of carried) {
      const end = `${what} ${local} ${remote} ${number ?? ''}`
      const other = this.#names.get(end)
      if (other !== undefined) {
        const told = number === undefined ? '' : what === 'flannel-udp' ? ` on port ${number}` : ` with key ${number}`
        throw new RangeError(`${name}: ${what} from ${local} to ${remote}${told} is ${other}'s already`)
      }
      this.#names.set(end, name)
    }
  }
}
