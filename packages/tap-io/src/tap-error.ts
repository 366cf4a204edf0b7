import { getSystemErrorMap } from 'node:util'
import { type Outcome, STEPS, type Step } from './native.ts'

/*
 * Errors of configuration, in words. The kernel answers with a number that means different things at different steps: EINVAL
 * from TUNSETIFF is a device of another kind, from SIOCSIFMTU an MTU out of range. Here each pair gets its sentence, and what
 * to do about it.
 */

/** An error about one setting: `code` is the errno's name or an `ERR_` code, `key` the setting, `value` what it was. */
export class TapError extends Error {
  override readonly name = 'TapError'
  readonly code: string
  readonly key: string
  readonly value: unknown

  constructor(code: string, key: string, value: unknown, what: string) {
    super(`${key} ${show(value)}: ${what} (${code})`)
    this.code = code
    this.key = key
    this.value = value
  }
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value)
  if (value instanceof Uint8Array) return Buffer.from(value.subarray(0, 32)).toString('hex')
  return String(value)
}

/** errno of Linux; those that the data path tells apart are exported. `os.constants.errno` lacks some of them. */
const EPERM = 1
const ENOENT = 2
export const EIO = 5
const ENXIO = 6
const E2BIG = 7
export const EBADF = 9
export const EAGAIN = 11
export const ENOMEM = 12
const EACCES = 13
const EBUSY = 16
const EEXIST = 17
export const ENODEV = 19
export const EINVAL = 22
const ENOTTY = 25
export const EBADFD = 77
export const EMSGSIZE = 90
const EPFNOSUPPORT = 96
const EADDRINUSE = 98
const EADDRNOTAVAIL = 99
export const ENETDOWN = 100
export const ENETUNREACH = 101
export const ENOBUFS = 105
export const EHOSTUNREACH = 113

const BEYOND_LIBUV: Readonly<Record<number, readonly [string, string]>> = {
  [EBADFD]: ['EBADFD', 'file descriptor in bad state'],
}

/** An errno's name, such as `EBUSY`. */
export function errnoName(errno: number): string {
  return BEYOND_LIBUV[errno]?.[0] ?? getSystemErrorMap().get(-errno)?.[0] ?? `errno ${errno}`
}

/** What an errno means, in words. */
export function errnoText(errno: number): string {
  return BEYOND_LIBUV[errno]?.[1] ?? getSystemErrorMap().get(-errno)?.[1] ?? 'unknown error'
}

const ROOT =
  'run as root (sudo), in a container with --cap-add NET_ADMIN, or in a user namespace of your own: unshare -Urnm'

/** What is meant by an errno at a step, and what to do; where it is not known, the errno's own text stands. */
const WORDS: Readonly<Partial<Record<Step, Readonly<Record<number, string>>>>> = {
  'netns-open': {
    [ENOENT]: 'there is no such network namespace; see `ip netns list`, or make it: ip netns add NAME',
    [EACCES]: `no permission to open the namespace; ${ROOT}`,
    [EPERM]: `no permission to open the namespace; ${ROOT}`,
  },
  'netns-enter': {
    [EPERM]: `no permission to enter the namespace; ${ROOT}`,
    [EINVAL]: 'the file is not a network namespace',
  },
  'tun-open': {
    [ENOENT]:
      '/dev/net/tun is missing; make it: mkdir -p /dev/net && mknod /dev/net/tun c 10 200 && chmod 666 /dev/net/tun (in a container: --device /dev/net/tun)',
    [ENODEV]: 'the kernel has no TUN/TAP driver; load it: modprobe tun',
    [ENXIO]: 'the kernel has no TUN/TAP driver; load it: modprobe tun',
    [EACCES]: `no permission to open /dev/net/tun; ${ROOT}, or allow it to all: chmod 666 /dev/net/tun`,
    [EPERM]: `no permission to open /dev/net/tun; ${ROOT} (in a container: --device /dev/net/tun)`,
  },
  attach: {
    [EPERM]: `no permission to create or attach the device; ${ROOT}`,
    [EBUSY]: 'the device is in use by another program (a second one may attach only with multiQueue on both)',
    [EINVAL]:
      'a device of this name exists and is no TAP/TUN, of the other kind, or differs in multiQueue; see `ip -d link show`',
    [EEXIST]: 'a device of this name exists already',
    [E2BIG]: 'the device has as many queues as it may',
  },
  'vnet-header': { [EINVAL]: 'the kernel does not take the size of the virtio-net header; open with offloads: false' },
  persist: { [EPERM]: `no permission; ${ROOT}` },
  mac: {
    [EADDRNOTAVAIL]: 'the kernel refuses it: group addresses and zero are no addresses of an interface',
    [EINVAL]: 'the kernel refuses the address; a TUN device has none',
    [EPERM]: `no permission; ${ROOT}`,
  },
  mtu: {
    [EINVAL]: 'the kernel refuses the MTU; a TAP takes 68 to 65521, a TUN to 65535',
    [EPERM]: `no permission; ${ROOT}`,
  },
  'queue-length': { [EPERM]: `no permission; ${ROOT}` },
  up: { [EPERM]: `no permission; ${ROOT}` },
  info: {
    [EBADFD]: 'the device was deleted',
    [EBADF]: 'the descriptor was closed under the port',
    [ENOTTY]: 'the descriptor was closed under the port and is something else now',
    [ENODEV]: 'the device was deleted',
  },
  move: {
    [EEXIST]: 'an interface of the same name is in that namespace already',
    [EPERM]: `no permission to move the device; ${ROOT}`,
    [EINVAL]: 'the file is not a network namespace, or the device may not be moved',
  },
  socket: {
    [EPERM]: `no permission for an ICMP socket; ${ROOT}, or: sysctl -w net.ipv4.ping_group_range="0 2147483647"`,
  },
  connect: {
    [ENETUNREACH]: 'no route leads there (is the interface up and does it have an address?)',
    [EHOSTUNREACH]: 'no route leads there',
    [EINVAL]: 'the kernel refuses the address; a link-local one (fe80::) needs `device`',
  },
  device: {
    [ENODEV]: 'there is no such interface',
    [EPERM]: `no permission to bind to an interface; ${ROOT}`,
    [EPFNOSUPPORT]: 'the interface is not an Ethernet one',
  },
  packet: { [EPERM]: `no permission for a packet socket; ${ROOT}` },
  fanout: { [EINVAL]: 'the group is one of another kind: of another mode, or on another interface' },
  bind: {
    [EADDRINUSE]: 'the port is taken: a tunnel device of the kernel, or another program, has it (see `ss -lun`)',
    [EADDRNOTAVAIL]: 'no interface here has this address',
    [EACCES]: `no permission for a port below 1024; ${ROOT}`,
    [EINVAL]: 'the kernel refuses the address; a link-local one (fe80::) needs `device`',
  },
  group: {
    [ENODEV]: 'no interface for multicast: give `device`, or a route to the group',
    [EADDRNOTAVAIL]: 'no interface for multicast: give `device`, or a route to the group',
  },
  memory: { [ENOMEM]: 'no memory' },
}

/** Says in words what went wrong. */
export function explain(outcome: Outcome): string {
  const step = STEPS[outcome.step] ?? 'none'
  return WORDS[step]?.[outcome.errno] ?? `${step}: ${errnoText(outcome.errno)}`
}

/** Throws a `TapError` where a native call failed; `settings` gives key and value of the setting that each step is about. */
export function checkOutcome(
  outcome: Outcome,
  key: string,
  value: unknown,
  settings: Readonly<Partial<Record<Step, readonly [key: string, value: unknown]>>> = {},
): void {
  if (outcome.errno === 0) return
  const [atKey, atValue] = settings[STEPS[outcome.step] as Step] ?? [key, value]
  throw new TapError(errnoName(outcome.errno), atKey, atValue, explain(outcome))
}
