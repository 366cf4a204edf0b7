import { type Batch, Drop, type Frame, type FramePool, Offload, Port } from '@l2l3/switch-core'
import {
  type Info,
  type Native,
  native,
  OPEN_MULTI_QUEUE,
  OPEN_TUN,
  OPEN_TUNNELS,
  OPEN_UP,
  OPEN_VNET,
  type Opened,
  type Outcome,
  poolArrays,
  RESULT_ERROR,
  RESULT_LONGEST,
  RESULT_OVERSIZE,
  RESULT_RUNT,
  RESULT_STATUS,
  STEPS,
  TUN_F_CSUM,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_UDP_TUNNEL_GSO,
  TUN_F_UDP_TUNNEL_GSO_CSUM,
  TUN_F_USO4,
  TUN_F_USO6,
} from './native.ts'
import { type Netns, netnsPath } from './netns.ts'
import { checkOutcome, EIO, errnoName, explain, TapError } from './tap-error.ts'
import { checkBoolean, checkMac, checkMtu, checkOptions, type TapOptions } from './tap-options.ts'
import { dropFor, isGone } from './write-status.ts'

/*
 * A port on a TAP or TUN: a network interface of the kernel whose cable ends in this process.
 *
 *     kernel stack -> interface -> queue -> read(fd)  -> slot of the arena, columns filled  -> elements
 *     kernel stack <- interface <---------- write(fd) <- slot of the arena, header of its own <- elements
 *
 * A batch costs one call of the addon, which reads or writes frame by frame straight between the descriptor and the arena.
 * With offloads on, each frame travels with a virtio-net header: super-frames of up to 64 KiB cross whole, and checksums
 * that nobody on this machine needs are never computed. Where the kernel can (Linux 6.17), so do super-frames that are
 * encapsulated in VXLAN or GENEVE: the header then has 24 bytes instead of 12. It is tried once, at opening.
 *
 * What goes wrong with a frame is a counted drop. What goes wrong with the device:
 *
 *     interface down           frames written are dropped as PortDown; the port lives on and works again when it is up
 *     queue full, no memory    PortFull
 *     device deleted, its namespace gone     the port fails: `failure` says why
 *     `fd` closed by somebody else           found by `check`, which fails the port. Until then it works on: it reads and
 *                                            writes by a descriptor of its own, and never what got the number meanwhile
 *
 * A TUN port carries bare IP packets: a frame then begins with the IP header, and Ethernet elements make no sense of it.
 */

/** A device as it is now. */
export interface TapInfo {
  /** The name that the interface has now. */
  readonly ifname: string
  readonly ifindex: number
  readonly kind: 'tap' | 'tun'
  /** MAC address of the interface; zero for a TUN. */
  readonly mac: string
  readonly mtu: number
  /** Frames that wait to be read at most, of each queue. */
  readonly queueLength: number
  readonly up: boolean
  readonly persist: boolean
  readonly multiQueue: boolean
  /** What is left to the kernel, and taken from it, unfinished. */
  readonly offloads: {
    readonly checksum: boolean
    readonly tso4: boolean
    readonly tso6: boolean
    /** UDP super-frames: Linux 6.2 and later. */
    readonly uso: boolean
    /** Super-frames inside UDP tunnels: Linux 6.17 and later. */
    readonly tunnel: boolean
  }
}

/** Rows that go to the addon in one call. */
const CALL = 256

const IFF_TUN = 0x0001
const IFF_PERSIST = 0x0800
const IFF_MULTI_QUEUE = 0x0100

function portOffloads(mask: number): number {
  const uso = TUN_F_USO4 | TUN_F_USO6
  return (
    (mask & TUN_F_CSUM ? Offload.Checksum : 0) |
    (mask & TUN_F_TSO4 ? Offload.Tso4 : 0) |
    (mask & TUN_F_TSO6 ? Offload.Tso6 : 0) |
    ((mask & uso) === uso ? Offload.Uso : 0) |
    (mask & TUN_F_UDP_TUNNEL_GSO ? Offload.Tunnel : 0) |
    (mask & TUN_F_UDP_TUNNEL_GSO_CSUM ? Offload.TunnelChecksum : 0)
  )
}

function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (octet) => octet.toString(16).padStart(2, '0')).join(':')
}

/**
 * A port on a TAP or TUN device.
 *
 * @example
 * const pool = new FramePool({ frameSize: MAX_FRAME })
 * using tap = TapPort.open(pool, { name: 'tap0', netns: 'blue', mtu: 1500 })
 */
export class TapPort extends Port {
  /** The interface's name when it was opened. */
  readonly ifname: string
  readonly #native: Native
  readonly #rows: Uint32Array = new Uint32Array(CALL)
  readonly #result: Int32Array = new Int32Array(RESULT_STATUS + CALL)
  readonly #handle: number
  readonly #tun: boolean
  #fd: number
  #offer = 1
  #longest = 0

  private constructor(pool: FramePool, addon: Native, opened: Opened, tun: boolean) {
    super(pool, opened.name, portOffloads(opened.offloads))
    this.ifname = opened.name
    this.#native = addon
    this.#handle = opened.handle
    this.#fd = opened.fd
    this.#tun = tun
    addon.bind(opened.handle, pool.frames, pool.stride, pool.frameSize, poolArrays(pool, this.#rows, this.#result))
  }

  /** Creates or attaches a device. Throws a `TapError` with code, key and value where an option is wrong or the kernel
   * refuses, and an Error where the addon is not built. */
  static open(pool: FramePool, options: TapOptions = {}): TapPort {
    const checked = checkOptions(pool, options)
    const addon = native()
    const flags =
      (checked.tun ? OPEN_TUN : 0) |
      (checked.multiQueue ? OPEN_MULTI_QUEUE : 0) |
      (checked.offloads ? OPEN_VNET : 0) |
      (checked.tunnelOffloads ? OPEN_TUNNELS : 0) |
      (checked.up ? OPEN_UP : 0)
    const numbers = Int32Array.of(checked.mtu, checked.persist, checked.queueLength)
    const opened = addon.open(checked.netns, checked.name, flags, checked.mac, numbers)
    checkOutcome(opened, 'name', checked.name, {
      'netns-open': ['netns', options.netns],
      'netns-enter': ['netns', options.netns],
      'vnet-header': ['offloads', checked.offloads],
      offload: ['offloads', checked.offloads],
      persist: ['persist', options.persist],
      mac: ['mac', options.mac],
      mtu: ['mtu', options.mtu],
      'queue-length': ['queueLength', options.queueLength],
      up: ['up', checked.up],
    })
    try {
      return new TapPort(pool, addon, opened, checked.tun)
    } catch (error) {
      addon.close(opened.handle)
      throw error
    }
  }

  /** A descriptor of the device, to wait for; -1 once the port is closed or has failed. */
  get fd(): number {
    return this.#fd
  }

  /** Length in bytes of the longest frame of the last batch that was not empty: tells bulk transfer from small talk. */
  get longest(): number {
    return this.#longest
  }

  /** The device as it is now; throws a `TapError` where it is gone. */
  info(): TapInfo {
    const info = this.#control('info', this.ifname, (addon, handle) => addon.info(handle)) as Info
    return {
      ifname: info.name,
      ifindex: info.index,
      kind: info.tunFlags & IFF_TUN ? 'tun' : 'tap',
      mac: formatMac(info.tunFlags & IFF_TUN ? new Uint8Array(6) : info.mac),
      mtu: info.mtu,
      queueLength: info.queueLength,
      up: info.up,
      persist: (info.tunFlags & IFF_PERSIST) !== 0,
      multiQueue: (info.tunFlags & IFF_MULTI_QUEUE) !== 0,
      offloads: {
        checksum: (this.offloads & Offload.Checksum) !== 0,
        tso4: (this.offloads & Offload.Tso4) !== 0,
        tso6: (this.offloads & Offload.Tso6) !== 0,
        uso: (this.offloads & Offload.Uso) !== 0,
        tunnel: (this.offloads & Offload.Tunnel) !== 0,
      },
    }
  }

  /** Sets the interface's MAC address: that of the kernel's end. */
  setMac(mac: string): void {
    const bytes = checkMac(mac, 'mac')
    this.#control('mac', mac, (addon, handle) => addon.setMac(handle, bytes))
  }

  /** Sets the interface's MTU, 68 to 65,521, of a TUN to 65,535. */
  setMtu(mtu: number): void {
    checkMtu(mtu, 'mtu', this.#tun)
    this.#control('mtu', mtu, (addon, handle) => addon.setMtu(handle, mtu))
  }

  /** Brings the interface up or down. */
  setUp(up: boolean): void {
    checkBoolean(up, 'up')
    this.#control('up', up, (addon, handle) => addon.setUp(handle, up))
  }

  /** Says whether the device stays when it is closed. */
  setPersist(persist: boolean): void {
    checkBoolean(persist, 'persist')
    this.#control('persist', persist, (addon, handle) => addon.setPersist(handle, persist))
  }

  /** Moves the interface into another namespace, and brings it up there if it was up. The kernel takes its addresses off;
   * the port goes on as if nothing had been. */
  moveToNamespace(target: Netns): void {
    const path = netnsPath(target, 'target')
    const { up } = this.info()
    this.#control('target', target, (addon, handle) => addon.move(handle, path))
    if (up) this.setUp(true)
  }

  /** Looks whether the device still exists and `fd` is still its descriptor, and fails the port where not: for a loop that
   * was woken for nothing. */
  check(): void {
    if (this.#fd < 0) return
    const errno = this.#native.check(this.#handle)
    if (errno !== 0) this.#gone(errno)
  }

  #control(key: string, value: unknown, call: (addon: Native, handle: number) => Outcome): Outcome {
    if (this.#fd < 0) {
      const why = this.failure === null ? 'the port is closed' : `the port has failed: ${this.failure.message}`
      throw new TapError('ERR_PORT_CLOSED', key, value, why)
    }
    const outcome = call(this.#native, this.#handle)
    checkOutcome(outcome, key, value)
    return outcome
  }

  /** Whether the columns are still where the addon knows them to be: somebody may have transferred a buffer of the pool to
   * another thread, after which its memory is not ours. (Asking in C costs 220 ns a call, measured.) */
  #whole(): boolean {
    const { bytes, off, len, flags, gsoType, gsoSize, hdrLen, csumStart, csumOffset, outerL4, innerL3 } = this.pool
    const whole =
      bytes.length !== 0 &&
      off.length !== 0 &&
      len.length !== 0 &&
      flags.length !== 0 &&
      gsoType.length !== 0 &&
      gsoSize.length !== 0 &&
      hdrLen.length !== 0 &&
      csumStart.length !== 0 &&
      csumOffset.length !== 0 &&
      outerL4.length !== 0 &&
      innerL3.length !== 0
    if (!whole)
      this.fail(new TapError('ERR_POOL_DETACHED', 'pool', this.ifname, 'a buffer of the pool was transferred away'))
    return whole
  }

  /** One call of the addon: as many rows as came the last time, twice as many when that was all that were offered. A queue
   * that is empty is asked with one row (measured: 1.6 us off a flood ping, against eight rows and a call until it is
   * empty). */
  protected read(batch: Batch): void {
    if (!this.#whole()) return
    const { pool } = this
    const rows = this.#rows
    const most = Math.min(batch.capacity, this.#offer, CALL)
    const n = pool.allocAll(rows, most)
    if (n === 0) {
      this.#discard(batch.capacity)
      return
    }
    const got = this.#native.read(this.#handle, n)
    for (let i = 0; i < got; i++) batch.frames[i] = rows[i] as number
    batch.length = got
    for (let i = n - 1; i >= got; i--) pool.release(rows[i] as Frame)
    this.#noteRead()
    pool.ledger.receive(got)
    this.#offer = got === n ? Math.min(2 * n, CALL) : Math.max(1, got)
  }

  /** Empties the queue of frames for which the pool has no row: left there, they would keep the loop awake. */
  #discard(most: number): void {
    const n = this.#native.discard(this.#handle, Math.min(most, CALL))
    if (n > 0) this.refused(Drop.PoolSpent, n)
    this.#noteRead()
  }

  #noteRead(): void {
    const result = this.#result
    if (result[RESULT_LONGEST] !== 0) this.#longest = result[RESULT_LONGEST] as number
    if (result[RESULT_OVERSIZE] !== 0) this.refused(Drop.Oversize, result[RESULT_OVERSIZE] as number)
    if (result[RESULT_RUNT] !== 0) this.refused(Drop.Runt, result[RESULT_RUNT] as number)
    // EIO: the interface is down, on kernels that say so. Anything else would be said again for ever.
    const errno = result[RESULT_ERROR] as number
    if (errno !== 0 && errno !== EIO) this.#gone(errno)
  }

  protected write(batch: Batch): void {
    const { frames } = batch
    const rows = this.#rows
    let start = 0
    while (start < batch.length && this.#fd >= 0 && this.#whole()) {
      const n = Math.min(batch.length - start, CALL)
      for (let i = 0; i < n; i++) rows[i] = frames[start + i] as number
      const sent = this.#native.write(this.#handle, n)
      if (sent === n) this.leftAll(rows, n)
      else this.#settle(n)
      start += n
    }
    for (; start < batch.length; start++) this.lost(frames[start] as Frame, Drop.PortError)
  }

  /** Ends the frames of a call that did not send them all. */
  #settle(n: number): void {
    const { flags, gsoType } = this.pool
    for (let i = 0; i < n; i++) {
      const f = this.#rows[i] as Frame
      const status = this.#result[RESULT_STATUS + i] as number
      if (status === 0) this.left(f)
      else this.lost(f, dropFor(status, ((flags[f] as number) & 1) !== 0 || gsoType[f] !== 0))
    }
    const errno = this.#result[RESULT_ERROR] as number
    if (isGone(errno)) this.#gone(errno)
  }

  /** The device or its descriptor is gone: fails the port, and lets go of a descriptor that would wake its waiter for ever. */
  #gone(errno: number): void {
    const state = this.#native.check(this.#handle)
    const outcome = { step: STEPS.indexOf('info'), errno: state !== 0 ? state : errno }
    this.fail(new TapError(errnoName(outcome.errno), 'port', this.ifname, explain(outcome)))
    this.#release()
  }

  #release(): void {
    if (this.#fd < 0) return
    this.#fd = -1
    this.#native.close(this.#handle)
  }

  protected override shut(): void {
    this.#release()
  }
}
