import { createRequire } from 'node:module'
import { type Batch, checkRange, Drop, type Frame, type FramePool } from '@l2l3/switch-core'
import { type ArrivalOptions, ArrivalPort, dropForMessage } from './arrival-port.ts'
import { TapError } from './tap-error.ts'

/*
 * A port on a raw IP socket, by way of the optional peer `raw-socket`: one protocol of the host's IPv4, such as 4 (IPIP), 47
 * (GRE) or 1 (ICMP).
 *
 * A frame here is not an Ethernet frame. It is an IPv4 packet, from the first byte of its IPv4 header:
 *
 *     off[f]                                       off[f] + len[f]
 *     | IPv4 header (20 bytes or more) | payload of the protocol |
 *
 * both for what comes in and for what is sent, so that Ethernet elements make no sense of it: put it behind elements that
 * take off and put on the outer headers. What is sent goes to the destination in its header, which leaves as it stands but
 * for the checksum, and for an identification or source address of zero, which the kernel fills in (raw(7), IP_HDRINCL).
 * The kernel puts fragments together before they come in, and does not cut what is sent: longer than the MTU is `Oversize`.
 * About 155,000 packets a second were measured; an address in text a packet is part of the price.
 */

/** What is used of the package `raw-socket`. */
interface RawSocket {
  on(event: 'message', listener: (message: Buffer, source: string) => void): void
  on(event: 'error', listener: (error: Error) => void): void
  setOption(level: number, option: number, value: number): void
  send(
    buffer: Buffer,
    offset: number,
    length: number,
    to: string,
    done: (error: Error | null, bytes: number) => void,
  ): void
  close(): void
}

interface RawSocketModule {
  createSocket(options: { protocol: number; addressFamily: number; bufferSize: number }): RawSocket
  readonly AddressFamily: { readonly IPv4: number }
  readonly SocketLevel: { readonly IPPROTO_IP: number }
  readonly SocketOption: { readonly IP_HDRINCL: number }
}

/** Settings of a port on a raw socket. */
export interface RawSocketOptions extends ArrivalOptions {
  /** The IP protocol, 1 to 254: 1 ICMP, 4 IPIP, 47 GRE. */
  protocol: number
}

/** Packets that are handed to the library and not yet sent, at most. */
const UNDER_WAY = 256

function loadRawSocket(): RawSocketModule {
  try {
    return createRequire(import.meta.url)('raw-socket') as RawSocketModule
  } catch (error) {
    const advice = 'install it beside @l2l3/tap-io: apt-get install g++ make python3, then npm install raw-socket'
    throw new TapError(
      'ERR_PEER_MISSING',
      'raw-socket',
      'raw-socket',
      `the optional package is not there or not built; ${advice} - ${(error as Error).message}`,
    )
  }
}

/** A port on one IP protocol of this host. */
export class RawSocketPort extends ArrivalPort {
  readonly protocol: number
  readonly #socket: RawSocket
  /** Rows that the library has, in the order in which it sends them. */
  readonly #underWay: Uint32Array = new Uint32Array(UNDER_WAY)
  #first = 0
  #count = 0

  private constructor(pool: FramePool, socket: RawSocket, options: RawSocketOptions) {
    super(pool, `ip-proto-${options.protocol}`, options)
    this.protocol = options.protocol
    this.#socket = socket
    socket.on('message', (message) => {
      if (message.length < 20) this.refused(Drop.Runt)
      else this.arrived(message)
    })
    socket.on('error', (error) => {
      while (this.#count > 0) this.lost(this.#next(), Drop.PortError)
      this.fail(
        new TapError('ERR_RAW_SOCKET', 'protocol', this.protocol, `the raw socket has failed: ${error.message}`),
      )
    })
  }

  /** Opens a raw socket. Throws a `TapError` where `raw-socket` is not installed or the socket is not allowed. */
  static open(pool: FramePool, options: RawSocketOptions): RawSocketPort {
    const protocol = checkRange('protocol', options.protocol, 1, 254)
    const raw = loadRawSocket()
    let socket: RawSocket
    try {
      socket = raw.createSocket({ protocol, addressFamily: raw.AddressFamily.IPv4, bufferSize: 65_536 })
      socket.setOption(raw.SocketLevel.IPPROTO_IP, raw.SocketOption.IP_HDRINCL, 1)
    } catch (error) {
      const what = `${(error as Error).message}; a raw socket needs root or CAP_NET_RAW`
      throw new TapError('ERR_RAW_SOCKET', 'protocol', protocol, what)
    }
    return new RawSocketPort(pool, socket, options)
  }

  protected write(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const why = this.#refusal(f)
      if (why === null) this.#send(f)
      else this.lost(f, why)
    }
  }

  /** Why a frame cannot be sent, or null. */
  #refusal(f: Frame): Drop | null {
    const { bytes, off, len } = this.pool
    const [o, length] = [off[f] as number, len[f] as number]
    if (length < 20) return Drop.Runt
    const headerLength = ((bytes[o] as number) & 15) * 4
    const totalLength = ((bytes[o + 2] as number) << 8) | (bytes[o + 3] as number)
    if ((bytes[o] as number) >> 4 !== 4 || headerLength < 20 || headerLength > length) return Drop.Malformed
    if (totalLength < headerLength || totalLength > length || bytes[o + 9] !== this.protocol) return Drop.Malformed
    if (this.failure !== null) return Drop.PortError
    return this.#count === UNDER_WAY ? Drop.PortFull : null
  }

  #send(f: Frame): void {
    const { bytes, off } = this.pool
    const o = off[f] as number
    const length = ((bytes[o + 2] as number) << 8) | (bytes[o + 3] as number)
    const to = `${bytes[o + 16]}.${bytes[o + 17]}.${bytes[o + 18]}.${bytes[o + 19]}`
    this.#underWay[(this.#first + this.#count++) % UNDER_WAY] = f
    this.#socket.send(this.pool.view(f) as Buffer, 0, length, to, (error) => this.#sent(error))
  }

  /** The library is done with the frame that it has had longest. */
  #sent(error: Error | null): void {
    if (this.#count === 0) return
    const f = this.#next()
    if (error === null) this.left(f)
    else this.lost(f, dropForMessage(error.message))
  }

  #next(): Frame {
    const f = this.#underWay[this.#first] as Frame
    this.#first = (this.#first + 1) % UNDER_WAY
    this.#count--
    return f
  }

  protected override shut(): void {
    super.shut()
    while (this.#count > 0) this.lost(this.#next(), Drop.PortClosed)
    this.#socket.close()
  }
}
