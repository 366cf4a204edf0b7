import type { Addresses6 } from '../addresses6.ts'
import { IPV6 } from '../tuple.ts'
import { Affinity } from './affinity.ts'
import type { BalancerSettings } from './balancer-options.ts'
import { type Frontend, holdAddress, letGo, makeFrontend } from './frontend.ts'
import { Frontends, NO_FRONTEND, NODE_PORT } from './frontends.ts'
import {
  type BackendOptions,
  checkBackends,
  type Distribution,
  type ReadBackend,
  type ReadService,
  readBackends,
  readService,
  type ServiceOptions,
  type ServiceProtocol,
} from './options.ts'
import { ALL, type Backend, type BackendInfo, LOCAL, Service } from './service.ts'

/*
 * The services of a node: configuration in, and for the data path a frontend by its address, a backend by its tag.
 *
 *     (address, kind, port) --> Frontend --> Service --> Backend --> tag, kept with each flow
 *                               ClusterIP    its sets      ^            |
 *                               NodePort                   +------------+
 *
 * Services and backends come, change and go while flows go on. What is asked for is read and checked before anything is
 * touched: a change that throws has changed nothing. A backend that is taken out stays known by its tag until its last
 * flow is over; then the tag is free for another.
 */

/** A service as people see it. */
export interface ServiceInfo {
  readonly name: string
  readonly protocol: ServiceProtocol
  /** `ClusterIP 10.96.0.10:80`, `NodePort *:30080`. */
  readonly frontends: readonly string[]
  readonly distribution: Distribution
  /** Seconds; 0: clients are not remembered. */
  readonly affinityTimeout: number
  readonly backends: readonly BackendInfo[]
  /** Flows that were given a backend. */
  readonly flows: number
  /** Flows that went where their client was before. */
  readonly remembered: number
  /** Packets that found no backend. */
  readonly refused: number
}

/** Frontends of a service at most. */
const MAX_FRONTENDS = 64

/** The services of a node. */
export class ServiceTable {
  readonly #addresses: Addresses6
  readonly #settings: BalancerSettings
  readonly #changed: (taken: ReadonlySet<Backend>, opened: ReadonlySet<Frontend>) => void
  readonly #services: Map<string, Service> = new Map()
  readonly #index: Frontends
  /** By the number that the index gives; null where it is free. */
  readonly #frontends: (Frontend | null)[] = []
  readonly #spare: number[] = []
  /** By tag; nobody has 0. */
  readonly #backends: (Backend | null)[] = [null]
  readonly #spareTags: number[] = []
  /** Backends with flows that the change that goes on has taken out. */
  readonly #taken: Backend[] = []
  #clients: Affinity | null = null
  #numbers = 0

  /** @param changed is told, once for a change, of the backends that were taken out and have flows, and of the frontends
   * that lead somewhere and did not before */
  constructor(
    addresses: Addresses6,
    settings: BalancerSettings,
    changed: (taken: ReadonlySet<Backend>, opened: ReadonlySet<Frontend>) => void,
  ) {
    this.#addresses = addresses
    this.#settings = settings
    this.#changed = changed
    this.#index = new Frontends(settings.seed)
  }

  /** Where clients were last; null while no service wants them remembered. */
  get clients(): Affinity | null {
    return this.#clients
  }

  /** How many services there are. */
  get size(): number {
    return this.#services.size
  }

  /** Puts in a service. Throws where an option makes no sense, or its name or a frontend is taken. */
  add(options: ServiceOptions): void {
    const read = readService(options, this.#settings.defaults)
    if (this.#services.has(read.name)) throw new RangeError(`service ${read.name} is there already`)
    if (this.#services.size >= this.#settings.maxServices) {
      throw new RangeError(`service ${read.name}: there are ${this.#settings.maxServices} already (maxServices)`)
    }
    this.#put(read, new Service(++this.#numbers, read))
  }

  /** Changes a service: all of it is given anew. Its flows go on, its clients are remembered, and a backend that was
   * there before stays the same. Throws as `add` does. */
  update(options: ServiceOptions): void {
    const read = readService(options, this.#settings.defaults)
    const service = this.#named(read.name)
    if (read.protocol !== service.read.protocol) {
      throw new RangeError(`service ${read.name}: with protocol ${read.protocol} it would be another service`)
    }
    this.#put(read, service)
  }

  /** Takes a service out, with its backends; false where it was not there. */
  remove(name: string): boolean {
    const service = this.#services.get(name)
    if (service === undefined) return false
    this.#services.delete(name)
    this.#change(service, () => {
      this.#unlist(service)
      for (const backend of [...service.backends]) if (backend !== null) this.#takeOut(backend)
    })
    return true
  }

  /** Says which backends a service has from now on; those that were there before stay the same. */
  setBackends(name: string, backends: readonly BackendOptions[]): void {
    const service = this.#named(name)
    const read = readBackends(`service ${name}`, backends, this.#settings.defaults)
    const held = this.#holdNew(service, read)
    this.#change(service, () => this.#reconcile(service, read, held))
  }

  /** Adds a backend to a service. Throws where it has one with this address and port, or as many as it may. */
  addBackend(name: string, backend: BackendOptions): void {
    const service = this.#named(name)
    const [read] = readBackends(`service ${name}`, [backend], this.#settings.defaults) as [ReadBackend]
    if (service.find(read.key) !== null) throw new RangeError(`service ${name}: backend ${read.key} is there already`)
    const here = service.backends.filter((b) => b !== null)
    checkBackends(`service ${name}`, [...here, read], this.#settings.defaults)
    const address = holdAddress(`service ${name}`, this.#addresses, read.words)
    this.#change(service, () => this.#putIn(service, read, address))
  }

  /** Takes a backend out of a service; false where it was not there. */
  removeBackend(name: string, address: string, port: number): boolean {
    const service = this.#named(name)
    const [read] = readBackends(`service ${name}`, [{ address, port }], this.#settings.defaults) as [ReadBackend]
    const backend = service.find(read.key)
    if (backend === null) return false
    this.#change(service, () => this.#takeOut(backend))
    return true
  }

  /** A service for people; null where there is none of this name. */
  get(name: string): ServiceInfo | null {
    const service = this.#services.get(name)
    return service === undefined ? null : this.#info(service)
  }

  /** Lists the services. */
  *list(): Generator<ServiceInfo> {
    for (const service of this.#services.values()) yield this.#info(service)
  }

  /** The frontend that listens at an address and port, or null. */
  find(address: number, kind: number, port: number): Frontend | null {
    const n = this.#index.find(address, kind, port)
    return n === NO_FRONTEND ? null : this.#frontends[n]
  }

  /** The node port of this number, or null. */
  findNodePort(kind: number, port: number): Frontend | null {
    const n = this.#index.find(0, kind, port | NODE_PORT)
    return n === NO_FRONTEND ? null : this.#frontends[n]
  }

  /** The backend with this tag, taken out or not; null where there is none. */
  backend(tag: number): Backend | null {
    return this.#backends[tag] ?? null
  }

  /** A flow to the backend with this tag is over. */
  ended(tag: number): void {
    const backend = this.#backends[tag]
    if (backend === null || backend === undefined) return
    backend.active--
    if (backend.removed && backend.active === 0) this.#forget(backend)
  }

  #named(name: string): Service {
    const service = this.#services.get(name)
    if (service === undefined) throw new RangeError(`there is no service ${name}`)
    return service
  }

  /** Makes a service what was read. What can fail comes first, and is undone. */
  #put(read: ReadService, service: Service): void {
    if (read.frontends.length > MAX_FRONTENDS) {
      throw new RangeError(`service ${read.name}: ${read.frontends.length} frontends; ${MAX_FRONTENDS} are the most`)
    }
    const frontends = this.#makeFrontends(service, read)
    let held: Map<string, number>
    try {
      held = this.#holdNew(service, read.backends)
    } catch (error) {
      for (const frontend of frontends) letGo(this.#addresses, frontend)
      throw error
    }
    const { affinityEntries, seed } = this.#settings
    if (read.affinity > 0) this.#clients ??= new Affinity(affinityEntries, seed)
    this.#change(service, () => {
      this.#unlist(service)
      for (const frontend of frontends) {
        const at = this.#spare.pop() ?? this.#frontends.length
        this.#frontends[at] = frontend
        service.frontends.push(at)
        this.#index.add(frontend.address, frontend.word, frontend.port, at)
      }
      service.read = read
      this.#services.set(read.name, service)
      this.#reconcile(service, read.backends, held)
    })
  }

  /** Changes a service, and tells what has come of it. */
  #change(service: Service, change: () => void): void {
    const before = new Map(this.#frontendsOf(service).map((f) => [keyOf(f), reach(f)]))
    change()
    service.arrange()
    const opened = this.#frontendsOf(service).filter((f) => (reach(f) & ~(before.get(keyOf(f)) ?? 0)) !== 0)
    const taken = new Set(this.#taken.splice(0))
    if (taken.size > 0 || opened.length > 0) this.#changed(taken, new Set(opened))
  }

  #frontendsOf(service: Service): Frontend[] {
    return service.frontends.map((at) => this.#frontends[at] as Frontend)
  }

  /** Makes the frontends of a service, and holds their addresses. Throws where one is taken, and holds none then. */
  #makeFrontends(service: Service, read: ReadService): Frontend[] {
    const made: Frontend[] = []
    try {
      for (const one of read.frontends) {
        const frontend = makeFrontend(this.#addresses, this.#settings, service, read, one)
        made.push(frontend)
        const { address, word, port } = frontend
        const owner = this.find(address, word, port)?.service ?? service
        const twin = made.find((f) => f !== frontend && f.address === address && f.word === word && f.port === port)
        if (owner === service && twin === undefined) continue
        const whose = owner === service ? 'given twice' : `taken by service ${owner.name}`
        throw new RangeError(`service ${read.name}: ${frontend.text} is ${whose}`)
      }
    } catch (error) {
      for (const frontend of made) letGo(this.#addresses, frontend)
      throw error
    }
    return made
  }

  /** Takes the frontends of a service out. */
  #unlist(service: Service): void {
    for (const at of service.frontends) {
      const frontend = this.#frontends[at] as Frontend
      this.#index.remove(frontend.address, frontend.word, frontend.port)
      letGo(this.#addresses, frontend)
      this.#frontends[at] = null
      this.#spare.push(at)
    }
    service.frontends.length = 0
  }

  /** Numbers for the addresses of those backends that the service does not have yet, all or none of them. */
  #holdNew(service: Service, backends: readonly ReadBackend[]): Map<string, number> {
    const held = new Map<string, number>()
    try {
      for (const { key, words } of backends) {
        if (service.find(key) === null) held.set(key, holdAddress(`service ${service.name}`, this.#addresses, words))
      }
    } catch (error) {
      for (const { key, words } of backends) if (words.length === 4) this.#addresses.release(held.get(key) ?? 0)
      throw error
    }
    return held
  }

  #reconcile(service: Service, wanted: readonly ReadBackend[], held: ReadonlyMap<string, number>): void {
    const keys = new Set(wanted.map((b) => b.key))
    for (const b of [...service.backends]) if (b !== null && !keys.has(b.key)) this.#takeOut(b)
    for (const read of wanted) {
      const address = held.get(read.key)
      if (address !== undefined) this.#putIn(service, read, address)
      else service.find(read.key)?.become(read)
    }
  }

  #putIn(service: Service, read: ReadBackend, address: number): void {
    const tag = this.#spareTags.pop() ?? this.#backends.length
    this.#backends[tag] = service.put(read, ++this.#numbers, tag, address)
  }

  #takeOut(backend: Backend): void {
    backend.service.take(backend)
    if (backend.active > 0) this.#taken.push(backend)
    else this.#forget(backend)
  }

  #forget(backend: Backend): void {
    this.#backends[backend.tag] = null
    this.#spareTags.push(backend.tag)
    if (backend.family === 6) this.#addresses.release(backend.address)
  }

  #info(service: Service): ServiceInfo {
    const { read, name, flows, remembered, refused } = service
    const texts = this.#frontendsOf(service).map((f) => f.text)
    return {
      name,
      protocol: read.protocol,
      frontends: [...new Set(texts)],
      distribution: read.distribution,
      affinityTimeout: read.affinity / 1e9,
      backends: [...service.list()],
      flows,
      remembered,
      refused,
    }
  }
}

/** What a frontend is known by through changes. */
function keyOf({ word, text }: Frontend): string {
  return `${word} ${text}`
}

/** Who may serve what comes by a frontend: bits `ALL` and `LOCAL` of those of its service's sets that it gives packets to and
 * that have someone. 0: it leads nowhere. */
function reach({ service, word, treatment: { local, podsGetAll } }: Frontend): number {
  const ipv6 = (word & IPV6) !== 0
  let bits = 0
  if ((!local || podsGetAll) && service.set(ipv6, false).lots > 0) bits |= ALL
  if (local && service.set(ipv6, true).lots > 0) bits |= LOCAL
  return bits
}
