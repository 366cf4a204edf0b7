import { randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import { type Native, native } from './native.ts'
import { type Netns, netnsPath } from './netns.ts'
import { checkOutcome, EAGAIN, errnoName, TapError } from './tap-error.ts'
import { checkInterfaceName } from './tap-options.ts'

/*
 * An ICMP echo client (RFC 792, RFC 4443 4.1) for machines without the `ping` program, and for programs that want figures
 * rather than text. The socket is opened inside the wanted namespace; everything after that happens here:
 *
 *     type 8 or 128 | code 0 | checksum | identifier | sequence | 32 bytes, random and ours | ...
 *
 * An answer counts when identifier, sequence and the random bytes are those of a request that has not been answered yet.
 */

/** What to ask, and how often. */
export interface PingOptions {
  /** IP version. Default: that of `to`. */
  family?: 4 | 6
  /** The address that is asked; a link-local one needs `device`, or ends in `%NAME`. */
  to: string
  /** How many requests, 1 to 65,535. Default 3. */
  count?: number
  /** Milliseconds from one request to the next, 0 to 3,600,000. Default 200. */
  intervalMs?: number
  /** How long the last request waits for its answer, in milliseconds. Default 1,000. */
  timeoutMs?: number
  /** The namespace that asks. Default: that of this process. */
  netns?: Netns
  /** The interface that the requests leave by. Default: the one that the route says. */
  device?: string
}

/** What came back. */
export interface PingResult {
  readonly sent: number
  readonly received: number
  /** Round-trip times in milliseconds of the requests that were answered, in the order of the requests. */
  readonly rttMs: number[]
}

const COOKIE = 32
const HEADER = 8
const MESSAGE = HEADER + COOKIE + 24

function checkNumber(key: string, value: number | undefined, otherwise: number, low: number, high: number): number {
  const n = value ?? otherwise
  if (!Number.isInteger(n) || n < low || n > high) {
    throw new TapError('ERR_OUT_OF_RANGE', key, value, `must be a whole number from ${low} to ${high}`)
  }
  return n
}

function checkTarget(options: PingOptions): { family: 4 | 6; address: string; device: string } {
  const to: unknown = options.to
  const [address = '', scope] = typeof to === 'string' ? to.split('%', 2) : []
  const family = isIP(address)
  if (family !== 4 && family !== 6) throw new TapError('ERR_INVALID_ARG_VALUE', 'to', to, 'is not an IP address')
  if (options.family !== undefined && options.family !== family) {
    throw new TapError('ERR_INVALID_ARG_VALUE', 'family', options.family, `${address} is an IPv${family} address`)
  }
  const device = options.device ?? scope
  return { family, address, device: device === undefined ? '' : checkInterfaceName(device, 'device') }
}

/** The sum of RFC 1071 over a message of even length. */
function checksum(message: Uint8Array): number {
  let sum = 0
  for (let i = 0; i < message.length; i += 2) sum += ((message[i] as number) << 8) | (message[i + 1] as number)
  sum = (sum & 0xffff) + (sum >>> 16)
  return ~(sum + (sum >>> 16)) & 0xffff
}

/** One run of requests over one socket. */
class Echo {
  readonly #native: Native
  readonly #socket: number
  readonly #raw: boolean
  readonly #family: 4 | 6
  readonly #message: Buffer = Buffer.alloc(MESSAGE)
  readonly #into: Buffer = Buffer.alloc(2048)
  readonly #sentAt: number[] = []
  readonly #rtt: number[] = []
  received = 0

  constructor(addon: Native, socket: number, raw: boolean, family: 4 | 6) {
    this.#native = addon
    this.#socket = socket
    this.#raw = raw
    this.#family = family
    this.#message[0] = family === 6 ? 128 : 8
    this.#message.set(randomBytes(2), 4)
    this.#message.set(randomBytes(COOKIE), HEADER)
  }

  get sent(): number {
    return this.#sentAt.length
  }

  /** Sends the next request. One that the kernel refuses (no neighbour, no route any more) is one without an answer. */
  ask(): void {
    const message = this.#message
    message.writeUInt16BE((this.sent + 1) & 0xffff, 6)
    message.writeUInt16BE(0, 2)
    if (this.#family === 4) message.writeUInt16BE(checksum(message), 2)
    this.#sentAt.push(performance.now())
    this.#native.send(this.#socket, message)
  }

  /** Takes in everything that has come. */
  hear(): void {
    // Errors that wait in the socket (a host that is unreachable) come one a call, each once: the bound is for the rest.
    for (let i = 0; i < 256; i++) {
      const n = this.#native.receive(this.#socket, this.#into)
      if (n === -EAGAIN) return
      if (n > 0) this.#take(this.#into.subarray(0, n), performance.now())
    }
  }

  #take(packet: Buffer, now: number): void {
    // A raw IPv4 socket gives the IP header too (raw(7)).
    const start = this.#family === 4 && this.#raw ? ((packet[0] as number) & 15) * 4 : 0
    const message = packet.subarray(start)
    if (message.length < HEADER + COOKIE || message[0] !== (this.#family === 6 ? 129 : 0)) return
    if (this.#raw && message.readUInt16BE(4) !== this.#message.readUInt16BE(4)) return
    if (this.#message.compare(message, HEADER, HEADER + COOKIE, HEADER, HEADER + COOKIE) !== 0) return
    const i = message.readUInt16BE(6) - 1
    if (!(i >= 0 && i < this.sent) || this.#rtt[i] !== undefined) return
    this.#rtt[i] = now - (this.#sentAt[i] as number)
    this.received++
  }

  result(): PingResult {
    return { sent: this.sent, received: this.received, rttMs: this.#rtt.filter((ms) => ms !== undefined) }
  }
}

/** Sends ICMP echo requests and waits for the answers. Throws (rejects with) a `TapError` where an option is wrong, the
 * namespace or the route is missing, or the socket is not allowed; a host that does not answer is a result. */
export async function ping(options: PingOptions): Promise<PingResult> {
  const { family, address, device } = checkTarget(options)
  const count = checkNumber('count', options.count, 3, 1, 65_535)
  const interval = checkNumber('intervalMs', options.intervalMs, 200, 0, 3_600_000)
  const timeout = checkNumber('timeoutMs', options.timeoutMs, 1000, 0, 3_600_000)
  const netns = options.netns === undefined ? null : netnsPath(options.netns)

  const addon = native()
  const socket = addon.icmp(netns, family, address, device)
  checkOutcome(socket, 'to', options.to, {
    'netns-open': ['netns', options.netns],
    'netns-enter': ['netns', options.netns],
    device: ['device', device],
  })
  const waiter = addon.waiter()
  try {
    if (waiter < 0) throw new TapError(errnoName(-waiter), 'to', options.to, 'no descriptor to be had for waiting')
    addon.add(waiter, socket.fd)
    const echo = new Echo(addon, socket.handle, socket.raw, family)
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      const ask = (): void => {
        echo.ask()
        timer = echo.sent < count ? setTimeout(ask, interval) : setTimeout(resolve, timeout)
      }
      addon.watch(waiter, () => {
        echo.hear()
        if (echo.received === count) resolve()
      })
      ask()
    })
    clearTimeout(timer)
    return echo.result()
  } finally {
    if (waiter >= 0) addon.close(waiter)
    addon.close(socket.handle)
  }
}
