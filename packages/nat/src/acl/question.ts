import { ipv4, ipv6, u32 } from '@l2l3/switch-core/wire'
import type { Addresses6 } from '../addresses6.ts'
import { hasPorts, IPV6, type Place, type Tuple } from '../tuple.ts'

/** What rules are asked: who speaks to whom, seen from the endpoint. One object, filled again each time. */
export class Question {
  /** The endpoint began the flow. */
  out = false
  family: 4 | 6 = 4
  protocol = 0
  /** Ports; -1 where the protocol has none, or they are not known. */
  localPort = -1
  remotePort = -1
  /** Addresses, four words each, the most significant first; of IPv4 the first, and zeros. */
  readonly local: Int32Array = new Int32Array(4)
  readonly remote: Int32Array = new Int32Array(4)

  /** Fills it from a packet. Ports count where the tuple has them. */
  fromPacket(out: boolean, b: Uint8Array, l3: number, place: Place, tuple: Tuple, ported: boolean): void {
    this.out = out
    this.protocol = place.protocol
    const source = out ? this.local : this.remote
    const destination = out ? this.remote : this.local
    if (place.version === 4) {
      this.family = 4
      source[0] = ipv4.src(b, l3)
      destination[0] = ipv4.dst(b, l3)
      for (let i = 1; i < 4; i++) {
        source[i] = 0
        destination[i] = 0
      }
    } else {
      this.family = 6
      for (let i = 0; i < 4; i++) {
        source[i] = u32(b, l3 + ipv6.SRC + 4 * i)
        destination[i] = u32(b, l3 + ipv6.DST + 4 * i)
      }
    }
    this.#ports(tuple, ported && hasPorts(place.protocol))
  }

  /** Fills it from the tuple of a flow's first packet. */
  fromTuple(out: boolean, tuple: Tuple, addresses: Addresses6): void {
    this.out = out
    this.protocol = tuple.kind & 255
    const source = out ? this.local : this.remote
    const destination = out ? this.remote : this.local
    const six = (tuple.kind & IPV6) !== 0
    this.family = six ? 6 : 4
    const { words } = addresses
    for (let i = 0; i < 4; i++) {
      source[i] = six ? (words[tuple.src * 4 + i] as number) : i === 0 ? tuple.src : 0
      destination[i] = six ? (words[tuple.dst * 4 + i] as number) : i === 0 ? tuple.dst : 0
    }
    this.#ports(tuple, hasPorts(this.protocol))
  }

  #ports(tuple: Tuple, ported: boolean): void {
    const source = ported ? tuple.ports >>> 16 : -1
    const destination = ported ? tuple.ports & 0xffff : -1
    this.localPort = this.out ? source : destination
    this.remotePort = this.out ? destination : source
  }
}
