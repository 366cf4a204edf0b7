import { createRequire } from 'node:module'
import { isMainThread } from 'node:worker_threads'
import { type Batch, checkRange, Drop, type Frame, type FramePool } from '@l2l3/switch-core'
import { type ArrivalOptions, ArrivalPort, dropForMessage } from './arrival-port.ts'
import { TapError } from './tap-error.ts'
import { checkInterfaceName } from './tap-options.ts'

/*
 * A port on a NIC that exists, by way of libpcap and the optional peer `cap`: the uplink of a switch whose other ports are
 * TAPs. It sees what the NIC sees, the kernel goes on using it too, and there are things to know:
 *
 *  - libpcap shows both directions. The filter `inbound` is always on, so that what this host sends - the kernel's frames and
 *    our own - does not come in again as if somebody else had sent it. (The first frame after opening is lost by it: libpcap
 *    runs the filter itself on what may have come before the kernel had it, and `inbound` is something only the kernel knows.)
 *  - The NIC is in promiscuous mode. Whatever is addressed to the kernel's own MAC address is seen here as well.
 *  - With GRO, or on a veth, frames come that are longer than the MTU, up to 64 KiB, merged, with checksums that nobody has
 *    computed, and without the metadata that says so. They cannot be forwarded truly: they are refused as `Oversize`. Turn
 *    it off: `ethtool -K NIC gro off`, and `ethtool -K PEER tx off` at the other end of a veth.
 *  - It works on the main thread only, and costs several objects a frame: an uplink for convenience, not for speed.
 */

/** What is used of the package `cap`. */
interface Cap {
  open(device: string, filter: string, bufferSize: number, buffer: Buffer): string
  on(event: 'packet', listener: (bytes: number, truncated: boolean) => void): void
  send(buffer: Buffer, bytes: number): void
  close(): boolean
}

/** Settings of a port on a NIC. */
export interface CapOptions extends ArrivalOptions {
  /** The NIC, such as `eth0`. */
  device: string
  /** A further filter, in the language of pcap-filter(7), for what comes in. */
  filter?: string
  /** MTU of the NIC: longer frames (and 18 bytes for the Ethernet header and a VLAN tag) are refused as `Oversize`. 68 to
   * 65,535; default 1,500. */
  mtu?: number
  /** The kernel's buffer for what comes in, in bytes; 65,536 to 2^30. Default 4 MiB. */
  bufferSize?: number
}

/* `cap` does not keep its buffer alive, and its object must not be collected once it was opened, or failed to open: its
 * destructor would hand memory to libuv that was never, or still is, a handle there. */
const kept: Set<Cap> = new Set()

function loadCap(): new () => Cap {
  try {
    return (createRequire(import.meta.url)('cap') as { Cap: new () => Cap }).Cap
  } catch (error) {
    const advice = 'install it beside @l2l3/tap-io: apt-get install libpcap-dev g++ make python3, then npm install cap'
    throw new TapError(
      'ERR_PEER_MISSING',
      'cap',
      'cap',
      `the optional package is not there or not built; ${advice} - ${(error as Error).message}`,
    )
  }
}

/** A port on an existing NIC. */
export class CapPort extends ArrivalPort {
  readonly device: string
  readonly #cap: Cap
  readonly #longest: number
  readonly #in: Buffer = Buffer.alloc(65_536)
  readonly #out: Buffer = Buffer.alloc(65_553)
  readonly #arena: Buffer

  private constructor(pool: FramePool, cap: Cap, options: CapOptions, filter: string, bufferSize: number, mtu: number) {
    super(pool, options.device, options)
    this.device = options.device
    this.#cap = cap
    this.#longest = mtu + 18
    this.#arena = Buffer.from(pool.bytes.buffer, pool.bytes.byteOffset, pool.bytes.length)
    let link: string
    try {
      link = cap.open(options.device, filter, bufferSize, this.#in)
    } catch (error) {
      const advice = 'capturing needs root or CAP_NET_RAW; `ip link` lists the interfaces'
      throw new TapError('ERR_CAP_OPEN', 'device', options.device, `${(error as Error).message.trim()}; ${advice}`)
    }
    if (link !== 'ETHERNET') {
      cap.close()
      throw new TapError('ERR_CAP_OPEN', 'device', options.device, `is no Ethernet interface but of link type ${link}`)
    }
    cap.on('packet', (bytes, truncated) => {
      if (this.closed || this.failure !== null) return
      if (truncated || bytes > this.#longest) this.refused(Drop.Oversize)
      else if (bytes < 14) this.refused(Drop.Runt)
      else this.arrived(this.#in.subarray(0, bytes))
    })
  }

  /** Opens a NIC. Throws a `TapError` where `cap` is not installed, the thread is a worker, or the NIC cannot be opened. */
  static open(pool: FramePool, options: CapOptions): CapPort {
    const device = checkInterfaceName(options.device, 'device')
    const mtu = checkRange('mtu', options.mtu ?? 1500, 68, 65_535)
    const bufferSize = checkRange('bufferSize', options.bufferSize ?? 4 << 20, 65_536, 2 ** 30)
    const filter = options.filter ?? ''
    if (typeof filter !== 'string' || filter.includes('\0')) {
      throw new TapError('ERR_INVALID_ARG_TYPE', 'filter', filter, 'must be a filter expression')
    }
    if (!isMainThread) throw new TapError('ERR_CAP_THREAD', 'device', device, 'cap works on the main thread only')
    const cap = new (loadCap())()
    kept.add(cap)
    return new CapPort(pool, cap, options, filter === '' ? 'inbound' : `inbound and (${filter})`, bufferSize, mtu)
  }

  protected write(batch: Batch): void {
    const { off, len } = this.pool
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const length = len[f] as number
      const why = length < 14 ? Drop.Runt : this.#send(off[f] as number, length)
      if (why === null) this.left(f)
      else this.lost(f, why)
    }
  }

  /** Sends bytes of the arena; says why not, or null. */
  #send(start: number, length: number): Drop | null {
    if (this.failure !== null) return Drop.PortError
    if (length > this.#out.length) return Drop.Oversize
    try {
      this.#arena.copy(this.#out, 0, start, start + length)
      this.#cap.send(this.#out, length)
      return null
    } catch (error) {
      const { message } = error as Error
      if (/no such device/i.test(message)) {
        this.fail(new TapError('ENODEV', 'device', this.device, `the interface is gone: ${message}`))
      }
      return dropForMessage(message)
    }
  }

  protected override shut(): void {
    super.shut()
    this.#cap.close()
  }
}
