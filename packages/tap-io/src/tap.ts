import { type FramePool, Offload } from '@l2l3/switch-core'
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
  TUN_F_CSUM,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_UDP_TUNNEL_GSO,
  TUN_F_UDP_TUNNEL_GSO_CSUM,
  TUN_F_USO4,
  TUN_F_USO6,
} from './native.ts'
import { NativePort } from './native-port.ts'
import { type Netns, netnsPath } from './netns.ts'
import { checkOutcome, TapError } from './tap-error.ts'
import { checkBoolean, checkMac, checkMtu, checkOptions, type TapOptions } from './tap-options.ts'

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
export class TapPort extends NativePort {
  /** The interface's name when it was opened. */
  readonly ifname: string
  readonly #tun: boolean

  private constructor(pool: FramePool, addon: Native, opened: Opened, tun: boolean) {
    super(pool, addon, opened, opened.name, portOffloads(opened.offloads))
    this.ifname = opened.name
    this.#tun = tun
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

  #control(key: string, value: unknown, call: (addon: Native, handle: number) => Outcome): Outcome {
    if (this.fd < 0) {
      const why = this.failure === null ? 'the port is closed' : `the port has failed: ${this.failure.message}`
      throw new TapError('ERR_PORT_CLOSED', key, value, why)
    }
    const outcome = call(this.addon, this.handle)
    checkOutcome(outcome, key, value)
    return outcome
  }
}
