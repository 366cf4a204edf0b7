import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FramePool } from '@l2l3/switch-core'

/*
 * The one door to native code: what the addon exports, and how it is loaded. Nothing here explains errors: the addon gives
 * the step that failed and its errno, and `tap-error.ts` finds the words.
 */

/** Steps that can fail, in the order of `enum step` in addon/tun-tap.h. */
export const STEPS = [
  'none',
  'netns-open',
  'netns-enter',
  'tun-open',
  'attach',
  'vnet-header',
  'offload',
  'persist',
  'mac',
  'mtu',
  'up',
  'info',
  'move',
  'socket',
  'connect',
  'device',
  'memory',
  'queue-length',
  'bind',
  'group',
  'packet',
  'fanout',
] as const
/** A step of a native call. */
export type Step = (typeof STEPS)[number]

/** Flags of `Native.open`. */
export const OPEN_TUN = 1
export const OPEN_MULTI_QUEUE = 2
export const OPEN_VNET = 4
export const OPEN_UP = 8
export const OPEN_TUNNELS = 16

/** Flags of `Native.openPacket`. */
export const PACKET_EVERYTHING = 1

/** Flags of `Native.openUdp`. */
export const UDP_CHECKSUM = 1
export const UDP_ZERO_CHECKSUM = 2
export const UDP_DONT_FRAGMENT = 4
export const UDP_ROWS = 8
export const UDP_TRAINS = 16
export const UDP_MERGE = 32

/** Indices of the result array of a batch. */
export const RESULT_ERROR = 0
export const RESULT_OVERSIZE = 1
export const RESULT_RUNT = 2
export const RESULT_BAD_OFFLOAD = 3
export const RESULT_LONGEST = 4
export const RESULT_STATUS = 5

/** What became of a frame that was to be written: 0 sent, above 0 an errno, below 0 one of these. */
export const STATUS_OUTSIDE = -1
export const STATUS_RUNT = -2
export const STATUS_BAD_OFFLOAD = -3
export const STATUS_NOT_IP = -4
export const STATUS_MALFORMED = -5
export const STATUS_FRAGMENT = -6

/** Bits of TUNSETOFFLOAD (linux/if_tun.h). */
export const TUN_F_CSUM = 0x01
export const TUN_F_TSO4 = 0x02
export const TUN_F_TSO6 = 0x04
export const TUN_F_USO4 = 0x20
export const TUN_F_USO6 = 0x40
export const TUN_F_UDP_TUNNEL_GSO = 0x80
export const TUN_F_UDP_TUNNEL_GSO_CSUM = 0x100

/** The arrays of a pool that go to `Native.bind`, in the order of `columns` in addon/addon.c, and then the port's own. */
export function poolArrays(pool: FramePool, rows: Uint32Array, result: Int32Array): ArrayBufferView[] {
  const { bytes, off, len, flags, gsoType, gsoSize, hdrLen, csumStart, csumOffset, outerL4, innerL3 } = pool
  return [bytes, off, len, flags, gsoType, gsoSize, hdrLen, csumStart, csumOffset, outerL4, innerL3, rows, result]
}

/** The step that failed (an index of `STEPS`) and its errno, 0 where all went well. */
export interface Outcome {
  readonly step: number
  readonly errno: number
}

/** A device that was opened; the further fields are there when `errno` is 0. */
export interface Opened extends Outcome {
  readonly handle: number
  readonly fd: number
  readonly name: string
  readonly offloads: number
  /** Bytes of the virtio-net header; 0 without. */
  readonly header: number
}

/** UDP sockets that were opened; the further fields are there when `errno` is 0. */
export interface OpenedUdp extends Outcome {
  readonly handle: number
  readonly fd: number
  /** Which of rows, trains and merging are to be had. */
  readonly flags: number
  /** The port of each socket; the first is the one that receives. */
  readonly ports: readonly number[]
}

/** A packet socket that was opened; the further fields are there when `errno` is 0. */
export interface OpenedPacket extends Outcome {
  readonly handle: number
  readonly fd: number
  /** Number and MAC address of the interface. */
  readonly index: number
  readonly mac: string
}

/** A device as it is now; the further fields are there when `errno` is 0. */
export interface Info extends Outcome {
  readonly name: string
  readonly tunFlags: number
  readonly index: number
  readonly mac: Uint8Array
  readonly mtu: number
  readonly queueLength: number
  readonly up: boolean
}

/** A socket for ICMP echo; the further fields are there when `errno` is 0. */
export interface IcmpSocket extends Outcome {
  readonly handle: number
  readonly fd: number
  readonly raw: boolean
}

/** The addon. Handles are small numbers, good in the thread that got them; a call with a wrong one throws. */
export interface Native {
  /** Creates or attaches a device inside the namespace at path `netns` (null: here). `numbers` are MTU (0: leave),
   * persistence (-1: leave, 0, 1) and the length of the queue (0: leave). */
  open(
    netns: string | null,
    name: string,
    flags: number,
    mac: Uint8Array | null,
    numbers: Int32Array<ArrayBuffer>,
  ): Opened
  /** Gives a port its pool: the arrays of `poolArrays`, in their order. */
  bind(handle: number, frames: number, stride: number, frameSize: number, arrays: readonly ArrayBufferView[]): void
  /** Fills the first `count` of `rows` with frames; gives how many. */
  read(handle: number, count: number): number
  /** Sends the first `count` of `rows`; gives how many left, with a status for each in `result`. */
  write(handle: number, count: number): number
  /** Reads and forgets frames, up to `count` that the kernel holds; gives how many. */
  discard(handle: number, count: number): number
  info(handle: number): Info
  setMac(handle: number, mac: Uint8Array): Outcome
  setMtu(handle: number, mtu: number): Outcome
  setUp(handle: number, up: boolean): Outcome
  setPersist(handle: number, persist: boolean): Outcome
  move(handle: number, netns: string): Outcome
  /** 0 while the device exists and the descriptor that `open` gave is still its own, else an errno: EBADFD the device is
   * gone, EBADF the descriptor was closed, ENOTTY its number belongs to something else now. */
  check(handle: number): number
  /** Closes anything that has a handle; not the descriptor that `open` gave where its number is not ours any more. */
  close(handle: number): void
  /** A handle, or an errno below 0. */
  waiter(): number
  add(waiter: number, fd: number): number
  remove(waiter: number, fd: number): number
  /** Fills `fds` with those in error. */
  errors(waiter: number, fds: Int32Array): number
  /** Spins, then sleeps (nanoseconds); true once something is readable. */
  idle(waiter: number, spin: number, sleep: number): boolean
  /** Calls `callback` from the event loop while something is readable. */
  watch(waiter: number, callback: () => void): boolean
  pause(waiter: number, on: boolean): void
  /** Opens UDP sockets. `numbers` are port, sockets, flags, TTL, bytes of the buffers, what is inside (1 VXLAN, 2 GENEVE)
   * and its MTU;
   * `groups` has 16 bytes for each multicast group. */
  openUdp(
    netns: string | null,
    address: string,
    device: string,
    numbers: Int32Array<ArrayBuffer>,
    groups: Uint8Array,
  ): OpenedUdp
  /** Opens a packet socket on an interface. `numbers` are flags, fanout (group and mode << 16, or -1) and bytes of the
   * buffers. */
  openPacket(netns: string | null, device: string, numbers: Int32Array<ArrayBuffer>): OpenedPacket
  icmp(netns: string | null, family: 4 | 6, address: string, device: string): IcmpSocket
  /** Bytes sent, or an errno below 0. */
  send(socket: number, message: Uint8Array): number
  /** Bytes received, or an errno below 0. */
  receive(socket: number, into: Uint8Array): number
  /** flock(2), exclusive and without waiting, of a descriptor of Node's; 0 or an errno. The lock ends when that is closed. */
  lockFile(fd: number): number
  /** Closes many handles at once. */
  closeAll(handles: Uint32Array): void
  /** Makes a network namespace that has a path as its name. Gives an errno. */
  makeNetns(path: string): number
  /** Takes away the name of a network namespace, given as a path. Gives an errno. */
  removeNetns(path: string): number
  /** The number of an interface in a namespace, or an errno below 0. */
  interfaceIndex(netns: string, device: string): number
  /** Writes keys (lines `/proc/sys/net/...=value`) in a namespace, and sends messages to rtnetlink there until one is refused. `result`
   * gets how many were taken (-1: it did not come to that), and an errno. */
  configure(netns: string, keys: string, messages: Uint8Array, result: Int32Array): void
}

const FILE = join(dirname(dirname(fileURLToPath(import.meta.url))), 'build', 'tun-tap.node')

let loaded: Native | undefined

/** Whether something can be used here, and if not, why, with the command that helps. */
export type Availability = { readonly ok: true } | { readonly ok: false; readonly reason: string }

function load(): Native {
  loaded ??= createRequire(import.meta.url)(FILE) as Native
  return loaded
}

/** Says whether the addon is built and loads. */
export function addonAvailable(): Availability {
  if (process.platform !== 'linux') {
    return { ok: false, reason: `TAP devices are a thing of Linux; this is ${process.platform}.` }
  }
  try {
    load()
    return { ok: true }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason =
      code === 'MODULE_NOT_FOUND'
        ? 'The tun-tap addon is not built: run `npm run setup` at the root of the repository (it needs a C compiler: apt-get install --no-install-recommends gcc libc6-dev).'
        : `The tun-tap addon does not load (${message}): remove packages/tap-io/build and run \`npm run setup\`.`
    return { ok: false, reason }
  }
}

/** The addon; throws an Error that says what to do where it is not to be had. */
export function native(): Native {
  if (loaded !== undefined) return loaded
  const available = addonAvailable()
  if (!available.ok) throw new Error(available.reason)
  return load()
}
