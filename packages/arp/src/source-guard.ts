import { type Batch, Drop, type Element, type Frame, type FramePool } from '@l2l3/switch-core'
import { eth, icmpv6, ipv4, ipv6, u16 } from '@l2l3/switch-core/wire'
import { isUnspecified } from './address.ts'
import * as explain from './explain.ts'
import { Kind, Message, readMessage } from './message.ts'
import type { PortBindings } from './port-bindings.ts'

/*
 * Anti-spoofing at a port: what comes in may only have the port's own sources.
 *
 *   every frame      Ethernet source one of the port's MACs                                   else MacGuard
 *   IPv4             source goes with that MAC; 0.0.0.0 only from a DHCP client (68 -> 67)    else IPv4Guard
 *   IPv6             source goes with that MAC; :: only in duplicate address detection,
 *                    router solicitations and multicast listener reports                      else IPv6Guard
 *   ND               addresses claimed go with that MAC; malformed ND, router
 *                    advertisements and redirects are not for hosts to send                   else IPv6Guard
 *   headers that do not fit                                                                   Malformed
 *   other types      through, or with `blockNonIp`                                            BlockNonIp
 *
 * ARP is the ArpGuard's. Up to two VLAN tags are looked through; a third does not pass.
 */

/** Settings of a source guard. */
export interface SourceGuardOptions {
  /** Whether a DHCP client may ask from 0.0.0.0. Default true. */
  dhcpClient?: boolean
  /** Whether router advertisements and redirects may come from here. Default false. */
  router?: boolean
  /** Whether only ARP and IP may come from here. Default false. */
  blockNonIp?: boolean
}

const MLD_REPORT = 131
const MLD_DONE = 132
const MLD2_REPORT = 143

const upper = new ipv6.Upper()

/** Drops frames whose sources are not the port's. */
export class SourceGuard implements Element {
  /** The pairs in force; may be replaced at any time. */
  bindings: PortBindings
  readonly #pool: FramePool
  readonly #dhcp: boolean
  readonly #router: boolean
  readonly #blockNonIp: boolean
  readonly #m = new Message()

  constructor(pool: FramePool, bindings: PortBindings, options: SourceGuardOptions = {}) {
    this.#pool = pool
    this.bindings = bindings
    this.#dhcp = options.dhcpClient ?? true
    this.#router = options.router ?? false
    this.#blockNonIp = options.blockNonIp ?? false
  }

  process(batch: Batch): void {
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const why = this.#judge(f)
      if (why === -1) batch.frames[n++] = f
      else {
        if (this.#pool.trace !== null) this.#say(f, why)
        this.#pool.drop(f, why)
      }
    }
    batch.length = n
  }

  /** Says which source it is. */
  #say(f: Frame, why: Drop): void {
    const version = why === Drop.IPv4Guard ? 4 : why === Drop.IPv6Guard ? 6 : 0
    if (version !== 0 || why === Drop.MacGuard) explain.source(this.#pool, f, version, this.#m.l3)
  }

  /** The reason to drop a frame, or -1. */
  #judge(f: Frame): Drop | -1 {
    const b = this.#pool.bytes
    const o = this.#pool.off[f]
    const end = o + this.#pool.len[f]
    if (!eth.fits(o, end)) return Drop.Runt
    const mac = o + eth.SRC
    if (!this.bindings.hasMac(b, mac)) return Drop.MacGuard
    const m = this.#m
    const kind = readMessage(this.#pool, f, m)
    if (m.etherType === eth.EtherType.IPv4) return this.#judge4(b, mac, m.l3, end)
    if (m.etherType === eth.EtherType.IPv6) return this.#judge6(b, mac, kind, end)
    if (m.etherType === eth.EtherType.Vlan || m.etherType === eth.EtherType.ServiceVlan) return Drop.Malformed
    return this.#blockNonIp && m.etherType !== eth.EtherType.Arp ? Drop.BlockNonIp : -1
  }

  #judge4(b: Uint8Array, mac: number, l3: number, end: number): Drop | -1 {
    if (ipv4.checkHeader(b, l3, end) === -1) return Drop.Malformed
    const src = ipv4.src(b, l3)
    if (this.bindings.has4(b, mac, src)) return -1
    return src === 0 && this.#dhcp && isDhcpRequest(b, l3, end) ? -1 : Drop.IPv4Guard
  }

  #judge6(b: Uint8Array, mac: number, kind: number, end: number): Drop | -1 {
    const m = this.#m
    if (ipv6.checkHeader(b, m.l3, end) === -1) return Drop.Malformed
    if (kind === Kind.Malformed) return Drop.IPv6Guard
    if (kind === Kind.Other) return this.#judgeOther6(b, mac, m.l3, end)
    const src = m.l3 + ipv6.SRC
    const probe = isUnspecified(b, src)
    if (!probe && !this.bindings.has6(b, mac, src)) return Drop.IPv6Guard
    if (kind === Kind.Solicitation) return this.#claims(b, mac) ? -1 : Drop.IPv6Guard
    if (kind === Kind.Advertisement) {
      const good = !probe && this.#claims(b, mac) && this.bindings.has6(b, mac, m.at + icmpv6.TARGET)
      return good ? -1 : Drop.IPv6Guard
    }
    if (icmpv6.type(b, m.at) !== icmpv6.Type.RouterSolicitation) return this.#router && !probe ? -1 : Drop.IPv6Guard
    const option = icmpv6.option(b, m.at, m.end, icmpv6.Option.SourceLinkLayer)
    return option === -1 || eth.equalMac(b, option + 2, b, mac) ? -1 : Drop.IPv6Guard
  }

  /** Whether the MAC in the link-layer option, where there is one, is the frame's. */
  #claims(b: Uint8Array, mac: number): boolean {
    return this.#m.lladdr === -1 || eth.equalMac(b, this.#m.lladdr, b, mac)
  }

  #judgeOther6(b: Uint8Array, mac: number, l3: number, end: number): Drop | -1 {
    const src = l3 + ipv6.SRC
    if (this.bindings.has6(b, mac, src)) {
      // A packet that cannot be walked through might be ND to somebody else.
      const packetEnd = Math.min(end, l3 + ipv6.HLEN + ipv6.payloadLength(b, l3))
      return ipv6.check(b, l3, end) !== -1 && ipv6.upper(b, l3, packetEnd, upper) ? -1 : Drop.Malformed
    }
    return isUnspecified(b, src) && isListenerReport(b, l3, end) ? -1 : Drop.IPv6Guard
  }
}

function isDhcpRequest(b: Uint8Array, l3: number, end: number): boolean {
  const l4 = ipv4.check(b, l3, end)
  if (l4 === -1 || ipv4.protocol(b, l3) !== ipv4.Protocol.Udp || ipv4.isFragment(b, l3) || end - l4 < 8) return false
  return u16(b, l4) === 68 && u16(b, l4 + 2) === 67
}

/** Whether it is a message of a multicast listener, which may come from :: (RFC 3810, 5.2.13). */
function isListenerReport(b: Uint8Array, l3: number, end: number): boolean {
  if (ipv6.check(b, l3, end) === -1) return false
  const packetEnd = l3 + ipv6.HLEN + ipv6.payloadLength(b, l3)
  if (!ipv6.upper(b, l3, packetEnd, upper) || upper.fragment !== -1) return false
  if (upper.protocol !== ipv4.Protocol.Icmpv6 || packetEnd - upper.offset < icmpv6.HLEN) return false
  const type = icmpv6.type(b, upper.offset)
  return type === MLD_REPORT || type === MLD_DONE || type === MLD2_REPORT
}
