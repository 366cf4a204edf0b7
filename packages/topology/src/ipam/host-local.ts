import { readFileSync } from 'node:fs'
import { type Address, parseIp } from '../address.ts'
import { type AddressRange, type RangeOptions, type RangeSet, rangeSets } from './range.ts'
import { type Dns, parseResolvConf } from './resolv-conf.ts'
import { type Attachment, type Reservation, Store } from './store.ts'

/*
 * Gives out the addresses of a network on one machine, as CNI's host-local plugin does and beside it: both keep the same
 * directory (`store`), so that what one has given out is taken for the other, and what one began the other ends.
 *
 *     add    one address of each set of ranges, in turn: behind the last one, at the end from the beginning again. So an
 *            address that was given back rests as long as it can before somebody else gets it.
 *     check  whether an interface has addresses
 *     del    gives back all of an interface; that there are none is no error
 *     gc     gives back those of interfaces that are not there any more
 */

/** A route of a result. Beyond `dst` and `gw` CNI 1.1 has metrics and such, which are passed on. */
export interface IpamRoute {
  readonly dst: string
  readonly gw?: string
  readonly mtu?: number
  readonly advmss?: number
  readonly priority?: number
  readonly table?: number
  readonly scope?: number
}

/** What is given out, and what is said with it. */
export interface HostLocalOptions {
  /** Name of the network, and of its directory: letters, digits, "_", "." and "-", the first one a letter or digit. */
  readonly network: string
  /** An interface gets one address of each set. */
  readonly ranges: readonly (readonly RangeOptions[])[]
  readonly routes?: readonly IpamRoute[]
  /** A file such as /etc/resolv.conf, whose name servers go into results; read at each `add`. */
  readonly resolvConf?: string | null
  /** Default /var/lib/cni/networks. */
  readonly dataDir?: string
}

/** How an address is asked for. */
export interface AddOptions {
  /** Addresses to be given out: each has to be in a set of its own. */
  readonly requested?: readonly string[]
  /**
   * What an interface gets that has an address of a set already. `refuse`, the default and what the plugin does: an
   * error, as the runtime has to say `del` first. `same`: the address that it has.
   */
  readonly again?: 'refuse' | 'same'
}

/** An address that was given out. */
export interface IpamAddress {
  /** With its prefix. */
  readonly address: string
  readonly gateway: string
}

/** The result of an IPAM plugin (CNI 1.1, section 5), without its version. */
export interface IpamResult {
  readonly ips: readonly IpamAddress[]
  readonly routes?: readonly IpamRoute[]
  readonly dns: Dns
}

/** No address could be given out; nothing was taken. */
export class IpamError extends Error {
  override readonly name = 'IpamError'
}

/** An allocator of addresses. Any number of them, in any number of processes, may work on the same network. */
export class HostLocal {
  readonly network: string
  readonly #sets: readonly RangeSet[]
  readonly #store: Store
  readonly #routes: readonly IpamRoute[]
  readonly #resolvConf: string | null

  /** @throws RangeError - with the key and its value */
  constructor(options: HostLocalOptions) {
    const { network, ranges, routes = [], resolvConf = null, dataDir = '/var/lib/cni/networks' } = options
    named('network', network)
    this.network = network
    this.#sets = rangeSets(ranges)
    this.#routes = routes
    this.#resolvConf = resolvConf
    this.#store = new Store(dataDir, network)
  }

  /**
   * Gives an interface its addresses, one of each set, in the order of the sets.
   *
   * @throws IpamError - where a set has none left, or the wish cannot be granted
   * @throws RangeError - for an id, a name or an address that is none
   */
  async add(to: Attachment, { requested = [], again = 'refuse' }: AddOptions = {}): Promise<IpamResult> {
    checked(to)
    const wishes = this.#wishes(requested)
    const dns = this.#resolvConf === null ? {} : parseResolvConf(readFileSync(this.#resolvConf, 'utf8'))
    const ips = await this.#store.locked(() => {
      const has = this.#store.of(to)
      const taken: string[] = []
      try {
        return this.#sets.map((set, i) => {
          const [address, range, isNew] = this.#one(to, i, set, has, wishes[i], again)
          if (isNew) taken.push(address)
          return { address: `${address}/${range.prefix}`, gateway: range.gateway }
        })
      } catch (error) {
        for (const address of taken) this.#store.release(address)
        throw error
      }
    })
    return { ips, ...(this.#routes.length === 0 ? {} : { routes: this.#routes }), dns }
  }

  /** Whether an interface has an address, whichever. */
  async check(of: Attachment): Promise<boolean> {
    checked(of)
    return await this.#store.locked(() => this.#store.of(of).length > 0)
  }

  /** Gives back what an interface has; of old files without an interface, those of its container if it has no others. */
  async del(of: Attachment): Promise<void> {
    checked(of)
    await this.#store.locked(() => {
      const has = this.#store.of(of)
      const own = has.filter((r) => r.ifname !== '')
      for (const { address } of own.length > 0 ? own : has) this.#store.release(address.text)
    })
  }

  /** Gives back what belongs to none of these interfaces; says what that was. */
  async gc(valid: readonly Attachment[]): Promise<Reservation[]> {
    valid.forEach(checked)
    return await this.#store.locked(() => {
      const lost = this.#store
        .list()
        .filter(
          (r) => !valid.some((v) => v.containerId === r.containerId && (v.ifname === r.ifname || r.ifname === '')),
        )
      for (const { address } of lost) this.#store.release(address.text)
      return lost
    })
  }

  /** All that is given out, whoever did it, in no order. */
  async list(): Promise<Reservation[]> {
    return await this.#store.locked(() => this.#store.list())
  }

  /** The address that is wished for of each set. */
  #wishes(requested: readonly string[]): (Address | undefined)[] {
    const wishes: (Address | undefined)[] = this.#sets.map(() => undefined)
    for (const text of requested) {
      const address = parseIp(text)
      const set = this.#sets.findIndex((s, i) => s.rangeOf(address) !== undefined && wishes[i] === undefined)
      if (set === -1) {
        throw new IpamError(`${this.network}: the requested address ${text} is in no range, or the second of its set`)
      }
      wishes[set] = address
    }
    return wishes
  }

  #one(
    to: Attachment,
    index: number,
    set: RangeSet,
    has: readonly Reservation[],
    wish: Address | undefined,
    again: 'refuse' | 'same',
  ): [address: string, range: AddressRange, isNew: boolean] {
    const store = this.#store
    const old = has.find(({ address }) => set.rangeOf(address) !== undefined)?.address
    if (old !== undefined && (again === 'refuse' || (wish !== undefined && wish.text !== old.text))) {
      throw new IpamError(`${this.network}: ${to.containerId} ${to.ifname} has the address ${old.text} already`)
    }
    if (old !== undefined) return [old.text, set.rangeOf(old) as AddressRange, false]
    if (wish !== undefined) {
      const range = set.rangeOf(wish) as AddressRange
      if (wish.text === range.gateway) throw new IpamError(`${this.network}: ${wish.text} is the gateway's address`)
      if (!store.reserve(to, wish.text, index)) throw new IpamError(`${this.network}: ${wish.text} is taken`)
      return [wish.text, range, true]
    }
    // What is known to be taken is not tried; that what is tried was free is for the file system to say.
    const taken = new Set(store.list().map(({ address }) => address.text))
    for (const { text, range } of set.after(store.last(index))) {
      if (!taken.has(text) && store.reserve(to, text, index)) return [text, range, true]
    }
    throw new IpamError(`${this.network}: no IP addresses available in range set ${index}: ${set}`)
  }
}

function named(key: string, name: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) {
    const expected = 'a name of letters, digits, "_", "." and "-" that begins with a letter or digit'
    throw new RangeError(`${key}: expected ${expected}, not ${JSON.stringify(name)}`)
  }
}

function checked({ containerId, ifname }: Attachment): void {
  named('containerId', containerId)
  if (!/^[^\s/:]{1,15}$/.test(ifname) || Buffer.byteLength(ifname) > 15 || /^\.{1,2}$/.test(ifname)) {
    throw new RangeError(`ifname: expected the name of an interface, not ${JSON.stringify(ifname)}`)
  }
}
