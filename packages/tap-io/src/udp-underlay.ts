import { Drop, type FramePool, Offload } from '@l2l3/switch-core'
import {
  type Native,
  native,
  type OpenedUdp,
  UDP_CHECKSUM,
  UDP_DONT_FRAGMENT,
  UDP_MERGE,
  UDP_ROWS,
  UDP_TRAINS,
  UDP_ZERO_CHECKSUM,
} from './native.ts'
import { NativePort } from './native-port.ts'
import { checkOutcome, EHOSTUNREACH, EMSGSIZE, ENETDOWN, ENETUNREACH } from './tap-error.ts'
import { checkUdpOptions, type UdpInside, type UdpUnderlayOptions } from './udp-underlay-options.ts'

/*
 * An underlay of UDP sockets: for tunnels between nodes of which none is root.
 *
 *     Encap -> | Ethernet | IP | UDP | VXLAN ... | -> process: address, port, TOS and TTL are taken from the outer headers,
 *                                                     which stay behind; the payload is what the socket sends
 *     Decap <- | Ethernet | IP | UDP | VXLAN ... | <- receive: the outer headers are made again from what the kernel tells
 *
 * So a tunnel does not see whether its underlay is a socket, a TAP or a NIC. What is the socket's: the source address, the
 * source port (the frame's picks one of several sockets), the UDP checksum, the IP id, whether it may be fragmented.
 *
 * It takes super-frames inside UDP whole. They are cut while they are written, a row of up to 64 segments a system call
 * (UDP_SEGMENT): headers and inner checksums are made aside, the payload is sent from where it lies. Equally long frames to
 * one place leave as rows, too. What comes as a train (UDP_GRO) becomes one super-frame again where it is one flow inside.
 *
 * A kernel's tunnel at the other end of a veth leaves inner checksums undone, and super-frames whole, and a socket is not told:
 * both are found by what stands in the checksum, and get their metadata.
 *
 * A node that is told that a packet was too big is not told which tunnel it was in: the kernel's path MTU shows as a frame
 * dropped as TooBig (with `dontFragment`) or fragmented.
 */

/** What a UDP underlay does, once it is open. */
export interface UdpUnderlayInfo {
  readonly address: string
  readonly port: number
  /** The ports that it sends from. */
  readonly sourcePorts: readonly number[]
  readonly send: 'rows' | 'single'
  readonly receive: 'merge' | 'split' | 'single'
  readonly inside: UdpInside
}

const INSIDE = { other: 0, vxlan: 1, geneve: 2 } as const

/**
 * A port on UDP sockets.
 *
 * @example
 * const pool = new FramePool({ frameSize: MAX_FRAME })
 * using underlay = UdpUnderlayPort.open(pool, { address: '192.0.2.1', port: 4789 })
 */
export class UdpUnderlayPort extends NativePort {
  readonly info: UdpUnderlayInfo

  private constructor(pool: FramePool, addon: Native, opened: OpenedUdp, name: string, info: UdpUnderlayInfo) {
    const { Checksum, Tso4, Tso6, Uso, Tunnel, TunnelChecksum } = Offload
    super(pool, addon, opened, name, Checksum | Tso4 | Tso6 | Uso | Tunnel | TunnelChecksum)
    this.info = info
  }

  /** Opens the sockets. Throws a `TapError` with code, key and value where an option is wrong or the kernel refuses, and an
   * Error where the addon is not built. */
  static open(pool: FramePool, options: UdpUnderlayOptions = {}): UdpUnderlayPort {
    const o = checkUdpOptions(pool, options)
    const addon = native()
    const flags =
      (o.checksum ? UDP_CHECKSUM : 0) |
      (o.zeroChecksum ? UDP_ZERO_CHECKSUM : 0) |
      (o.dontFragment ? UDP_DONT_FRAGMENT : 0) |
      (o.rows ? UDP_ROWS : 0) |
      (o.receive !== 'single' ? UDP_TRAINS : 0) |
      (o.receive === 'merge' && o.inside !== 'other' ? UDP_MERGE : 0)
    const numbers = Int32Array.of(o.port, o.sockets, flags, o.ttl, o.bufferSize, INSIDE[o.inside], o.innerMtu)
    const opened = addon.openUdp(o.netns, o.address, o.device, numbers, o.groups)
    checkOutcome(opened, 'address', o.address, {
      'netns-open': ['netns', options.netns],
      'netns-enter': ['netns', options.netns],
      device: ['device', o.device],
      bind: ['address', `${o.address} port ${o.port}`],
      group: ['groups', options.groups],
    })
    const [port = 0] = opened.ports
    const info: UdpUnderlayInfo = {
      address: o.address,
      port,
      sourcePorts: opened.ports,
      send: opened.flags & UDP_ROWS ? 'rows' : 'single',
      receive: opened.flags & UDP_MERGE ? 'merge' : opened.flags & UDP_TRAINS ? 'split' : 'single',
      inside: o.inside,
    }
    try {
      const host = o.address.includes(':') ? `[${o.address}]` : o.address
      return new UdpUnderlayPort(pool, addon, opened, `udp ${host}:${port}`, info)
    } catch (error) {
      addon.close(opened.handle)
      throw error
    }
  }

  override get offloadText(): string {
    const { send, receive } = this.info
    const out = send === 'rows' ? 'UDP_SEGMENT' : 'a datagram each'
    const into = { merge: 'UDP_GRO, merged', split: 'UDP_GRO, split', single: 'a datagram each' }[receive]
    return `out ${out}, in ${into}`
  }

  protected override reason(status: number, unfinished: boolean): Drop {
    if (status === EMSGSIZE) return Drop.TooBig
    if (status === ENETUNREACH) return Drop.NoRoute
    if (status === EHOSTUNREACH) return Drop.Unreachable
    if (status === ENETDOWN) return Drop.PortDown
    return super.reason(status, unfinished)
  }
}
