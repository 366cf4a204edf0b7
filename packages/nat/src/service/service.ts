import { formatWords } from '@l2l3/switch-core'
import type { Distribution, ReadBackend, ReadService } from './options.ts'
import { Rendezvous } from './rendezvous.ts'

/*
 * A service at run time: its backends, and of them those that may be picked.
 *
 *     rows       0     1     2     3 ...            a backend keeps its row; a freed one is taken by the next to come
 *     backends   A     B     -     D
 *     sets       [ IPv4 all ] [ IPv4 local ] [ IPv6 all ] [ IPv6 local ]
 *
 * A set holds the backends of one family that are not on their way out; where all of them are, it holds those
 * (Kubernetes' rule for terminating endpoints). What was picked is a row.
 *
 * Each backend has a number that none had before it: whoever remembered row 2 as B finds with it that B is gone.
 */

/** A backend. */
export class Backend {
  /* What is asked for with each new flow stands first, and together. */
  /** IPv4 address, or number in `Addresses6`, of which the backend has a hold. */
  readonly address: number
  readonly port: number
  /** What the engine keeps with the flows to it: never 0. */
  readonly tag: number
  /** Bits of sets that it is in: `ALL`, `LOCAL`. */
  sets = 0
  /** Flows to it now, and ever. */
  active = 0
  flows = 0
  /** Whether it has been taken out; there are flows to it, else it would not be here any more. */
  removed = false

  readonly service: Service
  /** Never that of another. */
  readonly number: number
  /** In the service. */
  readonly row: number
  /** 4 or 6. */
  readonly family: 4 | 6
  readonly words: Uint32Array
  readonly salt: number
  /** `10.0.0.1:80`. */
  readonly key: string
  local: boolean
  weight: number
  draining: boolean

  constructor(service: Service, row: number, number: number, tag: number, address: number, read: ReadBackend) {
    this.service = service
    this.row = row
    this.number = number
    this.tag = tag
    this.family = read.words.length === 1 ? 4 : 6
    this.words = read.words
    this.address = address
    this.port = read.port
    this.salt = read.salt
    this.key = read.key
    this.local = read.local
    this.weight = read.weight
    this.draining = read.draining
  }

  /** Takes over what may change about a backend. `Service.arrange` follows. */
  become(read: ReadBackend): void {
    this.local = read.local
    this.weight = read.weight
    this.draining = read.draining
  }
}

/** Bits in `Backend.sets`, and by family the index of a set. */
export const ALL = 1
export const LOCAL = 2

/** A service and its backends. */
export class Service {
  readonly name: string
  /** Never that of another: 1 or more. */
  readonly number: number
  #read: ReadService
  /** What tells a client: nothing, its address, or its address and protocol; and for how many nanoseconds it is
   * remembered. */
  distribution: Distribution
  affinity: number
  /** Its frontends, by their numbers in the table. */
  readonly frontends: number[] = []
  /** By row; null where the row is free. */
  readonly backends: (Backend | null)[] = []
  /** Numbers of the backends, by row; 0 where the row is free. */
  numbers: Int32Array = new Int32Array(4)
  /** How many backends there are. */
  size = 0
  /** Flows that were given a backend; packets that found none; flows of clients that were remembered. */
  flows = 0
  refused = 0
  remembered = 0
  readonly #all4: Rendezvous = new Rendezvous()
  readonly #local4: Rendezvous = new Rendezvous()
  readonly #all6: Rendezvous = new Rendezvous()
  readonly #local6: Rendezvous = new Rendezvous()

  constructor(number: number, read: ReadService) {
    this.name = read.name
    this.number = number
    this.#read = read
    this.distribution = read.distribution
    this.affinity = read.affinity
  }

  /** What it was configured to be. */
  get read(): ReadService {
    return this.#read
  }
  set read(read: ReadService) {
    this.#read = read
    this.distribution = read.distribution
    this.affinity = read.affinity
  }

  /** The backends that packets of a family may go to. */
  set(ipv6: boolean, local: boolean): Rendezvous {
    if (ipv6) return local ? this.#local6 : this.#all6
    return local ? this.#local4 : this.#all4
  }

  /** The backend with this address and port (`10.0.0.1:80`), or null. */
  find(key: string): Backend | null {
    return this.backends.find((b) => b !== null && b.key === key) ?? null
  }

  /** Puts in a backend that is not there yet. `arrange` follows. */
  put(read: ReadBackend, number: number, tag: number, address: number): Backend {
    const free = this.backends.indexOf(null)
    const row = free === -1 ? this.backends.length : free
    const backend = new Backend(this, row, number, tag, address, read)
    this.backends[row] = backend
    if (row >= this.numbers.length) {
      const more = new Int32Array(this.numbers.length * 2)
      more.set(this.numbers)
      this.numbers = more
    }
    this.numbers[row] = number
    this.size++
    return backend
  }

  /** Takes a backend out. `arrange` follows. */
  take(backend: Backend): void {
    this.backends[backend.row] = null
    this.numbers[backend.row] = 0
    this.size--
    backend.removed = true
  }

  /** Sorts the backends into sets. */
  arrange(): void {
    const here = this.backends.filter((b) => b !== null)
    for (const b of here) b.sets = 0
    for (const family of [4, 6] as const) {
      const of = here.filter((b) => b.family === family && b.weight > 0)
      fill(this.set(family === 6, false), of, ALL)
      const local = of.filter((b) => b.local)
      fill(this.set(family === 6, true), local, LOCAL)
    }
  }

  /** Counts for people. */
  *list(): Generator<BackendInfo> {
    for (const b of this.backends) if (b !== null) yield info(b)
  }
}

function fill(set: Rendezvous, backends: readonly Backend[], bit: number): void {
  const ready = backends.filter((b) => !b.draining)
  const members = ready.length > 0 ? ready : backends
  for (const b of members) b.sets |= bit
  set.set(members)
}

/** A backend as people see it. */
export interface BackendInfo {
  readonly address: string
  readonly port: number
  readonly local: boolean
  readonly weight: number
  readonly draining: boolean
  /** Whether it gets new flows. */
  readonly inUse: boolean
  /** Flows to it now. */
  readonly active: number
  /** Flows to it ever. */
  readonly flows: number
}

function info(b: Backend): BackendInfo {
  const { port, local, weight, draining, active, flows } = b
  return { address: formatWords(b.words), port, local, weight, draining, inUse: b.sets !== 0, active, flows }
}
