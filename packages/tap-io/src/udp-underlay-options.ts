import { isIP } from 'node:net'
import { type FramePool, MAX_FRAME } from '@l2l3/switch-core'
import type { Netns } from './netns.ts'
import { netnsPath } from './netns.ts'
import { TapError } from './tap-error.ts'
import { checkBoolean, checkInterfaceName } from './tap-options.ts'

/** What is inside the datagrams. */
export type UdpInside = 'vxlan' | 'geneve' | 'other'

/** Settings of a UDP underlay. */
export interface UdpUnderlayOptions {
  /** Local address; the sockets have its IP version. Default `0.0.0.0`; `::` is any of IPv6. */
  address?: string
  /** Port that the tunnels speak to here; 0 takes any. Default 4789, VXLAN's. */
  port?: number
  /** Sockets to send by, 1 to 64: a frame's source port picks one, so that flows differ in their source port. Default 8. */
  sockets?: number
  /** The namespace that the sockets are opened in. Default: that of this process. */
  netns?: Netns
  /** The interface that is sent and received by; needed for link-local addresses and for `groups`. Default: any. */
  device?: string
  /** Multicast groups to join, at most 64. Beside an `address` of the host, what is for that and for these is heard, and the
   * port must be free on all of the host's addresses. */
  groups?: readonly string[]
  /** TTL, or hop limit, of the sockets: cheapest where the frames' own is the same. 1 to 255, default 64. */
  ttl?: number
  /** Whether datagrams have a UDP checksum. A frame's own field is not looked at: it is the socket's matter. Without, the
   * kernel sends no rows. Default true. */
  checksum?: boolean
  /** Of IPv6: takes datagrams without a UDP checksum (RFC 6935). Default false. */
  zeroChecksum?: boolean
  /** Whether datagrams may not be fragmented: those longer than the path's MTU are dropped as TooBig. Default false. */
  dontFragment?: boolean
  /** How super-frames and rows of equally long frames leave: `rows` by UDP_SEGMENT, up to 64 segments a message, or a message
   * each: `single`. Default rows, where the kernel can (Linux 4.18). */
  send?: 'rows' | 'single'
  /** How trains of datagrams of one flow come: `merge` takes them whole by UDP_GRO and makes super-frames of what is one flow
   * inside, `split` makes a frame of each datagram, `single` asks for no trains. Default merge, where the kernel can (Linux
   * 5.0) and the pool's `frameSize` is `MAX_FRAME`; else split. */
  receive?: 'merge' | 'split' | 'single'
  /** What is in the datagrams: merging must know. Default: `geneve` for port 6081, `vxlan` for 4789 and 8472, else `other`,
   * which is never merged. */
  inside?: UdpInside
  /** MTU of what is inside, 576 to 65,535. A kernel's tunnel at the other end of a veth hands over super-frames whole, without
   * a word; what is longer than this, with an inner checksum that is not done, is one: TCP will be cut to this length, UDP
   * is refused as Oversize. Default 1,450, over IPv6 1,430. */
  innerMtu?: number
  /** Bytes of each socket's buffers, as far as the kernel allows; 4,096 to 2^30. Default 4 MiB. */
  bufferSize?: number
}

/** Options that have been checked and filled in. */
export interface CheckedUdpOptions {
  readonly netns: string | null
  readonly address: string
  readonly device: string
  readonly port: number
  readonly sockets: number
  readonly ttl: number
  readonly checksum: boolean
  readonly zeroChecksum: boolean
  readonly dontFragment: boolean
  readonly rows: boolean
  readonly receive: 'merge' | 'split' | 'single'
  readonly inside: UdpInside
  readonly innerMtu: number
  readonly bufferSize: number
  /** 16 bytes for each group. */
  readonly groups: Uint8Array
}

const KEYS: ReadonlySet<string> = new Set([
  'address',
  'port',
  'sockets',
  'netns',
  'device',
  'groups',
  'ttl',
  'checksum',
  'zeroChecksum',
  'dontFragment',
  'send',
  'receive',
  'inside',
  'innerMtu',
  'bufferSize',
])

function whole(value: unknown, key: string, otherwise: number, least: number, most: number): number {
  if (value === undefined) return otherwise
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw new TapError('ERR_OUT_OF_RANGE', key, value, `must be a whole number from ${least} to ${most}`)
  }
  return value
}

function flag(value: unknown, key: string, otherwise: boolean): boolean {
  return value === undefined ? otherwise : checkBoolean(value, key)
}

function oneOf<T extends string>(value: unknown, key: string, otherwise: T, ...choices: readonly T[]): T {
  if (value === undefined) return otherwise
  if (choices.includes(value as T)) return value as T
  throw new TapError('ERR_INVALID_ARG_VALUE', key, value, `must be one of ${choices.join(', ')}`)
}

/** The octets of an address that `isIP` takes, without a zone. */
function octets(address: string): number[] {
  if (isIP(address) === 4) return address.split('.').map(Number)
  const [front = '', back] = address
    .replace(/^(.*:)(\d+\.\d+\.\d+\.\d+)$/, (_, head: string, tail: string) => {
      const [a, b, c, d] = tail.split('.').map(Number) as [number, number, number, number]
      return `${head}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
    })
    .split('::')
  const words = (text: string): number[] =>
    text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16))
  const [head, tail] = [words(front), words(back ?? '')]
  const all =
    back === undefined ? head : [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]
  return all.flatMap((word) => [word >> 8, word & 255])
}

function checkGroups(groups: unknown, family: number): Uint8Array {
  if (groups === undefined) return new Uint8Array(0)
  if (!Array.isArray(groups))
    throw new TapError('ERR_INVALID_ARG_TYPE', 'groups', groups, 'must be a list of addresses')
  if (groups.length > 64) throw new TapError('ERR_OUT_OF_RANGE', 'groups', groups, 'must be 64 at most')
  const bytes = new Uint8Array(16 * groups.length)
  for (const [i, group] of groups.entries()) {
    const first = typeof group === 'string' && isIP(group) === family ? octets(group) : []
    const multicast = family === 4 ? (first[0] ?? 0) >>> 4 === 14 : first[0] === 0xff
    if (!multicast) {
      throw new TapError('ERR_INVALID_ARG_VALUE', 'groups', group, `is not a multicast address of IPv${family}`)
    }
    bytes.set(first, 16 * i)
  }
  return bytes
}

/** Checks the options of a UDP underlay against its pool; throws a `TapError` that names key and value. */
export function checkUdpOptions(pool: FramePool, options: UdpUnderlayOptions): CheckedUdpOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TapError('ERR_INVALID_ARG_TYPE', 'options', options, 'must be an object')
  }
  for (const key of Object.keys(options)) {
    if (!KEYS.has(key)) {
      throw new TapError(
        'ERR_INVALID_ARG_VALUE',
        key,
        options[key as keyof UdpUnderlayOptions],
        'is not an option of a UDP underlay',
      )
    }
  }
  const address = options.address ?? '0.0.0.0'
  const family = typeof address === 'string' && !address.includes('%') ? isIP(address) : 0
  if (family === 0)
    throw new TapError('ERR_INVALID_ARG_VALUE', 'address', address, 'is not an IP address without a zone')
  const port = whole(options.port, 'port', 4789, 0, 65_535)
  const large = pool.frameSize >= MAX_FRAME
  const receive = oneOf(options.receive, 'receive', large ? 'merge' : 'split', 'merge', 'split', 'single')
  if (receive === 'merge' && !large) {
    throw new TapError(
      'ERR_INVALID_ARG_VALUE',
      'receive',
      receive,
      `super-frames need a pool with a frameSize of ${MAX_FRAME} (MAX_FRAME), and this one has ${pool.frameSize}`,
    )
  }
  const usual: UdpInside = port === 6081 ? 'geneve' : port === 4789 || port === 8472 ? 'vxlan' : 'other'
  return {
    netns: options.netns === undefined ? null : netnsPath(options.netns),
    address,
    device: options.device === undefined ? '' : checkInterfaceName(options.device, 'device'),
    port,
    sockets: whole(options.sockets, 'sockets', 8, 1, 64),
    ttl: whole(options.ttl, 'ttl', 64, 1, 255),
    checksum: flag(options.checksum, 'checksum', true),
    zeroChecksum: flag(options.zeroChecksum, 'zeroChecksum', false),
    dontFragment: flag(options.dontFragment, 'dontFragment', false),
    rows: oneOf(options.send, 'send', 'rows', 'rows', 'single') === 'rows',
    receive,
    inside: oneOf(options.inside, 'inside', usual, 'vxlan', 'geneve', 'other'),
    innerMtu: whole(options.innerMtu, 'innerMtu', family === 4 ? 1450 : 1430, 576, 65_535),
    bufferSize: whole(options.bufferSize, 'bufferSize', 4 << 20, 4096, 2 ** 30),
    groups: checkGroups(options.groups, family),
  }
}
