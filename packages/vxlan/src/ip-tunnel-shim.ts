import type { Drop, Frame } from '@l2l3/switch-core'
import { ipv4 } from '@l2l3/switch-core/wire'

/*
 * What a tunnel has between the outer IP header and what it carries: nothing (IPIP), a GRE header, a UDP header, STT's. Each is
 * one of these, and `IpTunnel` does with it all that tunnels have in common.
 */

/** What an `IpTunnel` found in the packet that a header is written for. */
export interface Inside {
  /** 4 or 6; 0 for a frame with anything else. */
  version: number
  /** A hash of its flow, 32 bits, signed. */
  hash: number
}

/** What stands between the outer IP header and the inner packet or frame. */
export interface Shim {
  /** Its name for people: `gre`. */
  readonly name: string
  /** Bytes that it writes. */
  readonly length: number
  /** Whether Ethernet frames are carried; else IP packets. */
  readonly ethernet: boolean
  /** The outer protocol for a packet of this version. */
  protocolFor(version: number): number
  /** Tells whether an outer packet with this protocol is of this kind. */
  carries(protocol: number): boolean
  /** Writes the header at `o`, in front of what goes on to `end`. The outer IP header at `ip` is written already. */
  write(f: Frame, ip: number, o: number, end: number, inside: Inside): void
  /**
   * Looks at `[o, end)` behind an outer header with `protocol` at `ip`. Gives where the inner packet starts, or -1 with
   * `why` set.
   */
  read(f: Frame, ip: number, o: number, end: number, protocol: number): number
  /** Why `read` gave -1. */
  why: Drop
  /** The packet is taken, and the caller owns the frame: the header is at `o`. False where it must end all the same, `why`. */
  opened(f: Frame, o: number): boolean
  /** Tells whether the quote `[o, end)` of an ICMP error, 8 bytes or more, is of a header that this shim can have written. */
  wrote(b: Uint8Array, o: number, end: number, protocol: number): boolean
}

/** Nothing between: IPv4 and IPv6 in IP (RFC 2003, RFC 4213, RFC 2473). */
export class NoShim implements Shim {
  readonly name: string
  readonly length = 0
  readonly ethernet = false
  why: Drop = 0
  readonly #v4: boolean
  readonly #v6: boolean

  constructor(name: string, carriesV4: boolean, carriesV6: boolean) {
    this.name = name
    this.#v4 = carriesV4
    this.#v6 = carriesV6
  }

  protocolFor(version: number): number {
    return version === 4 ? ipv4.Protocol.IpIp : ipv4.Protocol.Ipv6
  }

  carries(protocol: number): boolean {
    return (this.#v4 && protocol === ipv4.Protocol.IpIp) || (this.#v6 && protocol === ipv4.Protocol.Ipv6)
  }

  write(): void {}

  read(_f: Frame, _ip: number, o: number): number {
    return o
  }

  opened(): boolean {
    return true
  }

  wrote(): boolean {
    return true
  }
}
