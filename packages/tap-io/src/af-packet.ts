import { release } from 'node:os'
import { Drop, type FramePool, MAX_FRAME, Offload } from '@l2l3/switch-core'
import { type Native, native, type OpenedPacket, PACKET_EVERYTHING } from './native.ts'
import { NativePort } from './native-port.ts'
import type { Netns } from './netns.ts'
import { netnsPath } from './netns.ts'
import { checkOutcome, EMSGSIZE, ENETDOWN, TapError } from './tap-error.ts'
import { checkBoolean, checkInterfaceName } from './tap-options.ts'

/*
 * A port on an interface that exists: a NIC, one end of a veth.
 *
 *     wire -> NIC -+-> packet socket -> receive        the kernel's stack sees what comes in as well, and answers what is for
 *                  `-> kernel's stack                  its own addresses: give it none there, or take others for the switch
 *     wire <- NIC <--- packet socket <- process
 *
 * What this host sends by the interface, the kernel or we, is not received. A VLAN tag that the kernel has taken out of a frame
 * is put back. A checksum that the sender has left undone is known as such, and crosses, in a pool of any kind. With offloads -
 * in a pool for super-frames - TCP and UDP super-frames cross, too, as they do on a TAP; those inside tunnels are received whole,
 * and cut here before they are sent: a packet socket knows no tunnels. A super-frame that is longer than the pool's frames is
 * refused as Oversize: in a pool for frames of an MTU, a veth's other end needs `ethtool -K ... tso off` to be fast. One of a
 * kind that virtio-net has no word for, such as UFO, is refused as BadOffload.
 *
 *     interface down             frames are dropped as PortDown; the port lives on and works again when it is up
 *     interface gone, or moved   the port fails: `failure` says why
 *     namespace deleted          only its name is: the port keeps it, and what is in it, until it is closed
 */

/** How several ports share what comes in by one interface (packet(7), PACKET_FANOUT). */
export interface Fanout {
  /** Number of the group, 0 to 65,535: ports that say the same share. */
  group: number
  /** `hash`: a flow stays with one port. `balance`: in turns. `cpu`: by the core it came in on. `rollover`: the first until it
   * is full. `random`. `queue`: by the NIC's queue. Default hash. */
  mode?: 'hash' | 'balance' | 'cpu' | 'rollover' | 'random' | 'queue'
}

/** Settings of a port on an interface that exists. */
export interface AfPacketOptions {
  /** The interface, such as `eth0`. */
  device: string
  /** The namespace that it is in. Default: that of this process. */
  netns?: Netns
  /** What may leave unfinished (PACKET_VNET_HDR): true, super-frames and checksums, which needs a pool with a `frameSize` of
   * `MAX_FRAME` and is the default there; false, nothing. Default in other pools: checksums. What comes in is as the sender left
   * it in any case. */
  offloads?: boolean
  /** Receives what is for other stations, too. Default true. */
  promiscuous?: boolean
  /** Shares what comes in with other ports on the interface. */
  fanout?: Fanout
  /** Bytes of the socket's buffers, as far as the kernel allows; 4,096 to 2^30. Default 4 MiB. */
  bufferSize?: number
}

const KEYS: ReadonlySet<string> = new Set(['device', 'netns', 'offloads', 'promiscuous', 'fanout', 'bufferSize'])
/** The numbers of linux/if_packet.h. */
const MODES = { hash: 0, balance: 1, cpu: 2, rollover: 3, random: 4, queue: 5 } as const

function checkFanout(fanout: unknown): number {
  if (fanout === undefined) return -1
  const { group, mode = 'hash' } = Object(fanout) as Partial<Fanout>
  if (!Number.isInteger(group) || (group as number) < 0 || (group as number) > 65_535) {
    throw new TapError('ERR_OUT_OF_RANGE', 'fanout.group', group, 'must be a whole number from 0 to 65535')
  }
  if (!Object.hasOwn(MODES, mode)) {
    throw new TapError('ERR_INVALID_ARG_VALUE', 'fanout.mode', mode, `must be one of ${Object.keys(MODES).join(', ')}`)
  }
  return (group as number) | (MODES[mode] << 16)
}

function checkAfPacketOptions(pool: FramePool, options: AfPacketOptions) {
  if (typeof options !== 'object' || options === null) {
    throw new TapError('ERR_INVALID_ARG_TYPE', 'options', options, 'must be an object')
  }
  for (const key of Object.keys(options)) {
    if (!KEYS.has(key)) {
      const value = options[key as keyof AfPacketOptions]
      throw new TapError('ERR_INVALID_ARG_VALUE', key, value, 'is not an option of a packet socket')
    }
  }
  const large = pool.frameSize >= MAX_FRAME
  const { offloads } = options
  if (offloads !== undefined && checkBoolean(offloads, 'offloads') && !large) {
    throw new TapError(
      'ERR_INVALID_ARG_VALUE',
      'offloads',
      true,
      `super-frames need a pool with a frameSize of ${MAX_FRAME} (MAX_FRAME), and this one has ${pool.frameSize}`,
    )
  }
  const { bufferSize = 4 << 20 } = options
  if (!Number.isInteger(bufferSize) || bufferSize < 4096 || bufferSize > 2 ** 30) {
    throw new TapError('ERR_OUT_OF_RANGE', 'bufferSize', bufferSize, `must be a whole number from 4096 to ${2 ** 30}`)
  }
  return {
    device: checkInterfaceName(options.device, 'device'),
    netns: options.netns === undefined ? null : netnsPath(options.netns),
    offloads: offloads === false ? 0 : large ? packetOffloads() : Offload.Checksum,
    promiscuous: options.promiscuous === undefined ? true : checkBoolean(options.promiscuous, 'promiscuous'),
    fanout: checkFanout(options.fanout),
    bufferSize,
  }
}

/** What a packet socket can leave to the kernel: UDP super-frames since Linux 6.2, and no way to ask. */
function packetOffloads(): number {
  const [major = 0, minor = 0] = release().split('.').map(Number)
  const uso = major > 6 || (major === 6 && minor >= 2)
  return Offload.Checksum | Offload.Tso4 | Offload.Tso6 | (uso ? Offload.Uso : 0)
}

/**
 * A port on an interface that exists, by a packet socket.
 *
 * @example
 * const pool = new FramePool({ frameSize: MAX_FRAME })
 * using uplink = AfPacketPort.open(pool, { device: 'eth0' })
 */
export class AfPacketPort extends NativePort {
  /** The interface's name when it was opened. */
  readonly device: string
  /** The interface's number. */
  readonly ifindex: number
  /** The interface's MAC address when it was opened. */
  readonly mac: string

  private constructor(pool: FramePool, addon: Native, opened: OpenedPacket, device: string, offloads: number) {
    super(pool, addon, opened, device, offloads)
    this.device = device
    this.ifindex = opened.index
    this.mac = opened.mac
  }

  /** Opens a packet socket on an interface. Throws a `TapError` with code, key and value where an option is wrong or the kernel
   * refuses, and an Error where the addon is not built. */
  static open(pool: FramePool, options: AfPacketOptions): AfPacketPort {
    const o = checkAfPacketOptions(pool, options)
    const addon = native()
    const flags = o.promiscuous ? PACKET_EVERYTHING : 0
    const opened = addon.openPacket(o.netns, o.device, Int32Array.of(flags, o.fanout, o.bufferSize))
    checkOutcome(opened, 'device', o.device, {
      'netns-open': ['netns', options.netns],
      'netns-enter': ['netns', options.netns],
      fanout: ['fanout', `group ${options.fanout?.group}, ${options.fanout?.mode ?? 'hash'}`],
    })
    try {
      return new AfPacketPort(pool, addon, opened, o.device, o.offloads)
    } catch (error) {
      addon.close(opened.handle)
      throw error
    }
  }

  protected override reason(status: number, unfinished: boolean): Drop {
    if (status === EMSGSIZE) return Drop.TooBig
    if (status === ENETDOWN) return Drop.PortDown
    return super.reason(status, unfinished)
  }
}
