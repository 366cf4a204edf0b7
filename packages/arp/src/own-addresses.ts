import { type Clock, checkRange, MILLISECOND, SECOND, type Ticker } from '@l2l3/switch-core'
import { arp, copy, equal, eth, icmpv6, ipv6 } from '@l2l3/switch-core/wire'
import { type Address, isUnspecified, parseAddress, parseHost } from './address.ts'
import { AddressIndex, NO_ROW } from './address-index.ts'
import type { Dice } from './dice.ts'
import { Kind, type Message } from './message.ts'
import type { Speaker } from './speaker.ts'
import { type ErrorHook, type Watcher, Watchers } from './watchers.ts'

/*
 * The addresses of an interface: claimed, announced and defended.
 *
 *                      probes unanswered                      somebody else says that he has it
 *   add ──> TENTATIVE ───────────────────> OWNED, announced ─────────────────────────────────> defended, or given up
 *                │ somebody has it, or wants it too
 *                └──────────────────────────────────> DUPLICATE: not ours
 *
 *   IPv4 (RFC 5227)   0-1 s, three probes 1-2 s apart, 2 s of silence; two announcements 2 s apart; defended by an
 *                     announcement, at most once in 10 s
 *   IPv6 (RFC 4862)   0-1 s, one solicitation from ::, 1 s of silence; then one unsolicited advertisement. No defence
 *                     beyond answering solicitations: an advertisement that claims an address of ours is counted and
 *                     told, and changes nothing, so that a forged one neither makes us speak nor takes the address
 *
 * A tentative address is not answered for, and not sent from. Addresses are few and added by hand.
 */

/** What has become of an address. `conflict`: somebody else claimed an address of ours, and we keep it; `lost`: the
 * same, and we gave it up, which happens in IPv4 only. */
export type OwnAddressChange = 'ready' | 'duplicate' | 'conflict' | 'lost'

/** An address as people see it. */
export interface OwnAddress {
  /** e.g. "10.0.0.1/24" */
  readonly address: string
  readonly state: 'tentative' | 'owned' | 'duplicate'
}

/** How an address is taken. */
export interface ClaimOptions {
  /** Asks first whether somebody has it. Default false: it is ours at once. */
  probe?: boolean
  /** Tells all when it is ours. Default: as `probe`. */
  announce?: boolean
}

/** What happens when somebody else claims an IPv4 address of ours (RFC 5227, 2.4): it is defended always, at most once in
 * 10 s (`always`, for routers and servers, whose address must not change); or once, and given up at a second claim
 * within 10 s (`once`); or given up at once (`never`). IPv6 addresses are kept whatever this says. */
export type Defence = 'always' | 'once' | 'never'

/** What happened to addresses. */
export interface OwnAddressCounters {
  /** Claims of others to addresses of ours. */
  conflicts: number
  /** Claims that were answered by an announcement; IPv4 only. */
  defences: number
  /** Watchers that were taken off because they threw. */
  watchersLost: number
}

const TENTATIVE = 1
const OWNED = 2
const DUPLICATE = 3
const STATES = ['', 'tentative', 'owned', 'duplicate'] as const

/** RFC 5227, 1.1. */
const PROBE_WAIT = SECOND
const PROBE_NUM = 3
const PROBE_MIN = SECOND
const PROBE_MAX = 2 * SECOND
const ANNOUNCE_WAIT = 2 * SECOND
const ANNOUNCE_NUM = 2
const ANNOUNCE_INTERVAL = 2 * SECOND
const DEFEND_INTERVAL = 10 * SECOND
/** RFC 4861, 10: RetransTimer, which is also how long duplicate address detection listens. */
const DAD_WAIT = 1000 * MILLISECOND

const UNSPECIFIED = new Uint8Array(16)

/** The addresses of one interface. */
export class OwnAddresses implements Ticker {
  readonly counters: OwnAddressCounters = { conflicts: 0, defences: 0, watchersLost: 0 }
  readonly #speaker: Speaker
  readonly #clock: Clock
  readonly #dice: Dice
  readonly #defence: Defence
  readonly #naFlags: number
  readonly #index: AddressIndex
  readonly #state: Uint8Array
  readonly #prefix: Uint8Array
  readonly #announce: Uint8Array
  /** Probes and announcements that were sent. */
  readonly #said: Uint8Array
  readonly #due: Float64Array
  readonly #defended: Float64Array
  readonly #watchers = new Watchers<OwnAddressChange, OwnAddress>(this.counters)
  readonly #v6 = new Uint8Array(16)
  /** No row from here on has an address: rows are given from the lowest up. */
  #top = 0

  /** @param router sets the R flag in advertisements
   * @param max addresses at most, 1 to 65,536 */
  constructor(speaker: Speaker, clock: Clock, dice: Dice, defence: Defence = 'always', router = false, max = 256) {
    if (!['always', 'once', 'never'].includes(defence)) {
      throw new RangeError(`defence must be 'always', 'once' or 'never', not ${String(defence)}`)
    }
    checkRange('addresses', max, 1, 65_536)
    this.#speaker = speaker
    this.#clock = clock
    this.#dice = dice
    this.#defence = defence
    this.#naFlags = icmpv6.NaFlag.Override | (router ? icmpv6.NaFlag.Router : 0)
    this.#index = new AddressIndex(max)
    this.#state = new Uint8Array(max)
    this.#prefix = new Uint8Array(max)
    this.#announce = new Uint8Array(max)
    this.#said = new Uint8Array(max)
    this.#due = new Float64Array(max)
    this.#defended = new Float64Array(max)
  }

  /** Takes an address, as `10.0.0.1/24` or `fe80::1/64`; without a prefix it is one host's. Throws where it is no
   * host's (the first and last of an IPv4 prefix are the subnet's, RFC 1122, 3.2.1.3; not in a /31, RFC 3021), is
   * there already, or there are too many. */
  add(address: string, options: ClaimOptions = {}): void {
    const a = parseAddress('address', address)
    parseHost('address', address.split('/')[0])
    if (a.family === 4 && a.prefix < 31) {
      const host = a.v4 & (2 ** (32 - a.prefix) - 1)
      const all = (2 ** (32 - a.prefix) - 1) | 0
      if (host === 0 || host === all) throw new TypeError(`address: ${address} is its whole subnet's, not one host's`)
    }
    if (this.#find(a) !== NO_ROW) throw new RangeError(`address: ${address} is there already`)
    const row = a.family === 4 ? this.#index.add4(a.v4) : this.#index.add6(a.v6, 0)
    if (row === NO_ROW) throw new RangeError(`addresses: more than ${this.#index.max}`)
    this.#top = Math.max(this.#top, row + 1)
    this.#prefix[row] = a.prefix
    this.#announce[row] = (options.announce ?? options.probe ?? false) ? 1 : 0
    this.#said[row] = 0
    this.#defended[row] = Number.NEGATIVE_INFINITY
    this.#due[row] = Number.POSITIVE_INFINITY
    if (options.probe) {
      this.#state[row] = TENTATIVE
      this.#due[row] = this.#clock.now + this.#dice() * PROBE_WAIT
    } else this.#ready(row, this.#clock.now)
  }

  /** Gives an address up; false where it was not there. The prefix does not matter. */
  remove(address: string): boolean {
    const row = this.#find(parseAddress('address', address))
    if (row === NO_ROW) return false
    this.#index.remove(row)
    this.#state[row] = 0
    while (this.#top > 0 && this.#state[this.#top - 1] === 0) this.#top--
    return true
  }

  /** Lists the addresses. */
  *list(): Generator<OwnAddress> {
    for (let row = 0; row < this.#top; row++) if (this.#state[row] !== 0) yield this.#entry(row)
  }

  /** Has `watcher` called when an address is ready, found to be a duplicate, claimed by others, or lost; until the
   * function that is returned is called. A watcher that throws is taken off, and counted. */
  watch(watcher: Watcher<OwnAddressChange, OwnAddress>): () => void {
    return this.#watchers.add(watcher)
  }

  /** Is told of the error of a watcher that threw. Default null: it is only counted. */
  get onWatcherError(): ErrorHook | null {
    return this.#watchers.onError
  }
  set onWatcherError(hook: ErrorHook | null) {
    this.#watchers.onError = hook
  }

  /** Tells whether an IPv4 address is ours, and not tentative. */
  owns4(ip: number): boolean {
    const row = this.#index.find4(ip)
    return row !== NO_ROW && this.#state[row] === OWNED
  }

  /** Tells whether the IPv6 address at `at` is ours, and not tentative. */
  owns6(b: Uint8Array, at: number): boolean {
    const row = this.#index.find6(b, at)
    return row !== NO_ROW && this.#state[row] === OWNED
  }

  /** The address to ask for `target` from: the first of ours whose prefix holds it, else the first; 0 without any. */
  source4(target: number): number {
    let first = 0
    for (let row = 0; row < this.#top; row++) {
      if (this.#state[row] !== OWNED || this.#index.family[row] !== 4) continue
      const ip = this.#index.ip4(row)
      const bits = this.#prefix[row]
      if (bits === 0 || (ip ^ target) >>> (32 - bits) === 0) return ip
      if (first === 0) first = ip
    }
    return first
  }

  /** Writes the address to ask for the one at `at` from: the first of ours whose prefix holds it, else the first that
   * is link-local, else the first; false without any. */
  source6(target: Uint8Array, at: number, to: Uint8Array): boolean {
    let best = NO_ROW
    for (let row = 0; row < this.#top; row++) {
      if (this.#state[row] !== OWNED || this.#index.family[row] !== 6) continue
      this.#index.copy6(row, this.#v6, 0)
      const local = this.#v6[0] === 0xfe && (this.#v6[1] & 0xc0) === 0x80
      if (best === NO_ROW || local) {
        best = row
        copy(to, 0, this.#v6, 0, 16)
      }
      if (samePrefix(this.#v6, target, at, this.#prefix[row])) {
        copy(to, 0, this.#v6, 0, 16)
        return true
      }
    }
    return best !== NO_ROW
  }

  /** Looks whether a message is somebody else's claim to an address of ours, or to one that we are about to take. True:
   * it is, has been dealt with, and nothing is to be learnt from it. */
  contested(kind: number, b: Uint8Array, m: Message): boolean {
    return kind === Kind.Arp ? this.#contested4(b, m.at) : this.#contested6(kind, b, m)
  }

  /** Sends what is due: probes and announcements. */
  tick(now: number): void {
    for (let row = 0; row < this.#top; row++) {
      if (this.#state[row] === 0 || now < this.#due[row]) continue
      if (this.#state[row] === TENTATIVE) this.#probe(row, now)
      else this.#announceNow(row, now)
    }
  }

  #contested4(b: Uint8Array, at: number): boolean {
    const spa = arp.spa(b, at)
    // A probe claims what it asks for (RFC 5227, 2.1.1).
    const row = this.#index.find4(spa === 0 ? arp.tpa(b, at) : spa)
    if (row === NO_ROW || this.#state[row] === DUPLICATE) return false
    if (spa === 0 && this.#state[row] !== TENTATIVE) return false
    this.#conflict(row)
    return true
  }

  #contested6(kind: number, b: Uint8Array, m: Message): boolean {
    const row = this.#index.find6(b, m.at + icmpv6.TARGET)
    if (row === NO_ROW || this.#state[row] === DUPLICATE) return false
    if (kind === Kind.Solicitation) {
      if (this.#state[row] !== TENTATIVE) return false
      // Somebody who solicits a tentative address is ignored, unless he wants the address too (RFC 4862, 5.4.3).
      if (isUnspecified(b, m.l3 + ipv6.SRC)) this.#conflict(row)
      return true
    }
    this.#conflict(row)
    return true
  }

  #conflict(row: number): void {
    this.counters.conflicts++
    const { now } = this.#clock
    if (this.#state[row] === TENTATIVE) {
      this.#end(row, 'duplicate')
      return
    }
    if (this.#index.family[row] === 6) {
      this.#tell('conflict', row)
      return
    }
    const recently = now - this.#defended[row] < DEFEND_INTERVAL
    if (this.#defence === 'never' || (this.#defence === 'once' && recently)) {
      this.#end(row, 'lost')
      return
    }
    if (!recently) {
      this.#defended[row] = now
      this.counters.defences++
      this.#say(row)
    }
    this.#tell('conflict', row)
  }

  /** The address is not ours. */
  #end(row: number, change: OwnAddressChange): void {
    this.#state[row] = DUPLICATE
    this.#due[row] = Number.POSITIVE_INFINITY
    this.#tell(change, row)
  }

  #probe(row: number, now: number): void {
    const four = this.#index.family[row] === 4
    if (this.#said[row] === (four ? PROBE_NUM : 1)) {
      this.#said[row] = 0
      this.#ready(row, now)
      return
    }
    this.#said[row]++
    if (four) {
      this.#speaker.ask4(0, this.#index.ip4(row))
      const last = this.#said[row] === PROBE_NUM
      this.#due[row] = now + (last ? ANNOUNCE_WAIT : PROBE_MIN + this.#dice() * (PROBE_MAX - PROBE_MIN))
    } else {
      this.#index.copy6(row, this.#v6, 0)
      this.#speaker.ask6(UNSPECIFIED, this.#v6, 0)
      this.#due[row] = now + DAD_WAIT
    }
  }

  #ready(row: number, now: number): void {
    this.#state[row] = OWNED
    this.#due[row] = Number.POSITIVE_INFINITY
    if (this.#announce[row] === 1) this.#announceNow(row, now)
    this.#tell('ready', row)
  }

  #announceNow(row: number, now: number): void {
    this.#say(row)
    const done = ++this.#said[row] === ANNOUNCE_NUM || this.#index.family[row] === 6
    this.#due[row] = done ? Number.POSITIVE_INFINITY : now + ANNOUNCE_INTERVAL
  }

  /** Tells all that the address is ours. */
  #say(row: number): void {
    const ip = this.#index.ip4(row)
    if (this.#index.family[row] === 4) {
      this.#speaker.ask4(ip, ip, eth.BROADCAST)
      return
    }
    this.#index.copy6(row, this.#v6, 0)
    this.#speaker.announce6(this.#v6, this.#naFlags)
  }

  #find(a: Address): number {
    return a.family === 4 ? this.#index.find4(a.v4) : this.#index.find6(a.v6, 0)
  }

  #entry(row: number): OwnAddress {
    const address = `${this.#index.text(row)}/${this.#prefix[row]}`
    return { address, state: STATES[this.#state[row]] as OwnAddress['state'] }
  }

  #tell(change: OwnAddressChange, row: number): void {
    if (this.#watchers.any) this.#watchers.tell(change, this.#entry(row))
  }
}

/** Tells whether two addresses have the first `bits` bits in common. */
function samePrefix(a: Uint8Array, b: Uint8Array, at: number, bits: number): boolean {
  const whole = bits >>> 3
  if (!equal(a, 0, b, at, whole)) return false
  const rest = bits & 7
  return rest === 0 || ((a[whole] ^ b[at + whole]) & (0xff00 >>> rest) & 0xff) === 0
}
