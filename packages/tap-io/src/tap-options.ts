import { type FramePool, MAX_FRAME } from '@l2l3/switch-core'
import type { Netns } from './netns.ts'
import { netnsPath } from './netns.ts'
import { TapError } from './tap-error.ts'

/** Settings of a TAP or TUN port. */
export interface TapOptions {
  /** Name of the interface: 1 to 15 characters; one `%d` in it is a number that the kernel picks. An interface of that name
   * is attached, else one is made. Default `tap%d` or `tun%d`. */
  name?: string
  /** `tap`: frames are Ethernet frames. `tun`: they are bare IP packets, without an Ethernet header. Default `tap`. */
  kind?: 'tap' | 'tun'
  /** Whether the device stays when it is closed. Not given: as it was; a new one goes. */
  persist?: boolean
  /** Lets several ports be queues of one device, each opened with this and the same offloads. Default false. */
  multiQueue?: boolean
  /** Exchanges super-frames and unfinished checksums with the kernel (IFF_VNET_HDR), as far as it can. Needs a pool with a
   * `frameSize` of `MAX_FRAME`, and is the default there; else it is off. */
  offloads?: boolean
  /** With `offloads`: exchanges super-frames inside UDP tunnels (VXLAN, GENEVE) too, where the kernel can. Off, they are cut
   * by us, or by the kernel before we read them. Default true. */
  tunnelOffloads?: boolean
  /** The namespace that the device is made in or attached from. Default: that of this process. */
  netns?: Netns
  /** MAC address of the interface - the kernel's end, not the port's - as `02:00:00:00:00:01`. Default: the kernel picks. */
  mac?: string
  /** MTU of the interface in bytes: 68 to 65,521 (with the Ethernet header that is 65,535), of a TUN 68 to 65,535. Default:
   * 1,500, or as it was. */
  mtu?: number
  /** Frames that wait in the kernel for this port to read them at most (txqueuelen), of each queue; 1 to 10,000. More are
   * dropped there. A short queue keeps the delay of an overload short: 200 instead of 1,000 brought the 99th percentile of
   * one-way delays under a flood of UDP from 12 to 6 ms (measured). Default: the kernel's 1,000, or as it was. */
  queueLength?: number
  /** Brings the interface up. Default true. */
  up?: boolean
}

/** Options that have been checked and filled in: what C gets. */
export interface CheckedOptions {
  readonly name: string
  readonly tun: boolean
  readonly persist: number
  readonly multiQueue: boolean
  readonly offloads: boolean
  readonly tunnelOffloads: boolean
  readonly netns: string | null
  readonly mac: Uint8Array | null
  readonly mtu: number
  readonly queueLength: number
  readonly up: boolean
}

const KEYS: ReadonlySet<string> = new Set([
  'name',
  'kind',
  'persist',
  'multiQueue',
  'offloads',
  'tunnelOffloads',
  'netns',
  'mac',
  'mtu',
  'queueLength',
  'up',
])

/** Checks the name of an interface (net/core/dev.c, `dev_valid_name`); `template` allows one `%d`. */
export function checkInterfaceName(name: unknown, key: string, template = false): string {
  if (typeof name !== 'string') throw new TapError('ERR_INVALID_ARG_TYPE', key, name, 'must be a string')
  const length = Buffer.byteLength(name)
  if (length < 1 || length > 15 || name === '.' || name === '..' || /[/:\s\0]/.test(name)) {
    throw new TapError(
      'ERR_INVALID_ARG_VALUE',
      key,
      name,
      'is not a name of an interface: 1 to 15 bytes without slash, colon and white space',
    )
  }
  if (name.includes('%') && !(template && /^[^%]*%d[^%]*$/.test(name))) {
    throw new TapError(
      'ERR_INVALID_ARG_VALUE',
      key,
      name,
      'may have a percent sign only in one `%d`, which becomes a number',
    )
  }
  return name
}

/** Checks a MAC address for an interface: six octets, not a group address, not zero. */
export function checkMac(mac: unknown, key: string): Uint8Array {
  if (typeof mac !== 'string' || !/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(mac)) {
    throw new TapError('ERR_INVALID_ARG_VALUE', key, mac, 'must be a MAC address such as 02:00:00:00:00:01')
  }
  const bytes = Uint8Array.from(mac.split(/[:-]/), (octet) => Number.parseInt(octet, 16))
  if (((bytes[0] as number) & 1) !== 0) {
    throw new TapError('ERR_INVALID_ARG_VALUE', key, mac, 'is a group address; an interface needs an individual one')
  }
  if (bytes.every((octet) => octet === 0)) throw new TapError('ERR_INVALID_ARG_VALUE', key, mac, 'is the zero address')
  return bytes
}

function checkWhole(value: unknown, key: string, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw new TapError('ERR_OUT_OF_RANGE', key, value, `must be a whole number from ${least} to ${most}`)
  }
  return value
}

/** Checks an MTU: that of a TAP leaves room for the Ethernet header in 65,535 bytes (drivers/net/tun.c, `tun_net_init`). */
export function checkMtu(mtu: unknown, key: string, tun: boolean): number {
  return checkWhole(mtu, key, 68, tun ? 65_535 : 65_521)
}

/** Checks a yes or no. */
export function checkBoolean(value: unknown, key: string): boolean {
  if (typeof value !== 'boolean') throw new TapError('ERR_INVALID_ARG_TYPE', key, value, 'must be true or false')
  return value
}

/** Checks the options of a port against its pool; throws a `TapError` that names key and value. */
export function checkOptions(pool: FramePool, options: TapOptions): CheckedOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TapError('ERR_INVALID_ARG_TYPE', 'options', options, 'must be an object')
  }
  for (const key of Object.keys(options)) {
    if (!KEYS.has(key)) {
      throw new TapError('ERR_INVALID_ARG_VALUE', key, options[key as keyof TapOptions], 'is not an option of a TAP')
    }
  }
  const kind = options.kind ?? 'tap'
  if (kind !== 'tap' && kind !== 'tun') {
    throw new TapError('ERR_INVALID_ARG_VALUE', 'kind', kind, "must be 'tap' or 'tun'")
  }
  const large = pool.frameSize >= MAX_FRAME
  const offloads = options.offloads === undefined ? large : checkBoolean(options.offloads, 'offloads')
  if (offloads && !large) {
    throw new TapError(
      'ERR_INVALID_ARG_VALUE',
      'offloads',
      true,
      `super-frames need a pool with a frameSize of ${MAX_FRAME} (MAX_FRAME), and this one has ${pool.frameSize}`,
    )
  }
  if (kind === 'tun' && options.mac !== undefined) {
    throw new TapError('ERR_INVALID_ARG_VALUE', 'mac', options.mac, 'a TUN device has no MAC address')
  }
  return {
    name: options.name === undefined ? `${kind}%d` : checkInterfaceName(options.name, 'name', true),
    tun: kind === 'tun',
    persist: options.persist === undefined ? -1 : Number(checkBoolean(options.persist, 'persist')),
    multiQueue: options.multiQueue === undefined ? false : checkBoolean(options.multiQueue, 'multiQueue'),
    offloads,
    tunnelOffloads:
      options.tunnelOffloads === undefined
        ? offloads
        : checkBoolean(options.tunnelOffloads, 'tunnelOffloads') && offloads,
    netns: options.netns === undefined ? null : netnsPath(options.netns),
    mac: options.mac === undefined ? null : checkMac(options.mac, 'mac'),
    mtu: options.mtu === undefined ? 0 : checkMtu(options.mtu, 'mtu', kind === 'tun'),
    queueLength: options.queueLength === undefined ? 0 : checkWhole(options.queueLength, 'queueLength', 1, 10_000),
    up: options.up === undefined ? true : checkBoolean(options.up, 'up'),
  }
}
