import { Drop } from '@l2l3/switch-core'
import type { Addresses6 } from '../addresses6.ts'
import type { PrefixSet } from '../outbound/prefix-set.ts'
import type { DestinationPolicy, FlowEnder, NewFlow, StandingFlow } from '../policy.ts'
import { IPV6, Proto } from '../tuple.ts'
import { Client, NO_ENTRY } from './affinity.ts'
import { type BalancerOptions, type BalancerSettings, readSettings } from './balancer-options.ts'
import { type Frontend, holdAddress } from './frontend.ts'
import { mix, NOBODY } from './rendezvous.ts'
import { ALL, type Backend, LOCAL } from './service.ts'
import { ServiceTable } from './service-table.ts'
import { Source, type Style } from './treatment.ts'

/*
 * Services: a new flow to an address that no host has goes to one of several that have the service.
 *
 *     10.0.1.5:4000 -> 10.96.0.10:80      which frontend?   ClusterIP of default/web, TCP
 *                                         who may serve?    all its backends, or those on this node
 *                                         who does?         the one that the client was at last, or who draws the highest lot
 *     10.0.1.5:4000 -> 10.0.2.7:8080      and the source is masqueraded where it has to be
 *
 * It is asked once a flow; the engine keeps the answer for the packets that follow, and undoes it in those that come
 * back. What is asked about every flow, of services or not, is one look into the table of frontends, and a second one for
 * packets to the node itself. Integers all the way; what an address, a policy, a style of service mean was worked out
 * when it was configured (`treatment`).
 *
 * Backends come and go while flows go on. A flow keeps its backend for as long as it lives; what happens to it when the
 * backend is taken out is `whenRemoved`'s to say. Since backends draw lots each for itself, no new flow of the others
 * goes elsewhere than it would have.
 */

/** Gives new flows to backends of services. A `DestinationPolicy` of the engine. */
export class Balancer implements DestinationPolicy {
  readonly addresses: Addresses6
  /** The services: to be added, changed, listed and taken out at any time. */
  readonly services: ServiceTable
  readonly style: Style
  readonly #settings: BalancerSettings
  /** Who ends flows to backends that are taken out. */
  readonly #engines: FlowEnder[] = []
  readonly #source6: number
  readonly #client: Client = new Client()
  /** How the last backend was chosen, where somebody wants to know. */
  #how = ''

  /** @param addresses those of the engine that it decides for
   * Throws a TypeError or RangeError with key and value where an option makes no sense. */
  constructor(addresses: Addresses6, options: BalancerOptions = {}) {
    const settings = readSettings(options)
    this.addresses = addresses
    this.style = settings.style
    this.#settings = settings
    this.#source6 = settings.source6 === null ? 0 : holdAddress('sourceVips', addresses, settings.source6)
    this.services = new ServiceTable(addresses, settings, (taken, opened) => this.#changed(taken, opened))
  }

  /** Clients remembered at `now`, in nanoseconds. */
  clients(now: number): number {
    return this.services.clients?.count(now) ?? 0
  }

  attached(engine: FlowEnder): void {
    this.#engines.push(engine)
  }

  decide(flow: NewFlow): boolean {
    const frontend = this.#frontendOf(flow)
    return frontend !== null && this.#serve(flow, frontend)
  }

  ended(tag: number): void {
    this.services.ended(tag)
  }

  /** By which frontend a flow comes; null where it comes by none. */
  #frontendOf(flow: NewFlow | StandingFlow): Frontend | null {
    const { dst, kind, ports } = flow.tuple
    const port = ports & 0xffff
    const frontend = this.services.find(dst, kind, port)
    if (frontend !== null) return frontend
    const nodePort = this.services.findNodePort(kind, port)
    if (nodePort === null || !flow.toLocal) return null
    const { nodePorts } = this.#settings
    return nodePorts.empty || this.#includes(nodePorts, dst, kind) ? nodePort : null
  }

  #serve(flow: NewFlow, frontend: Frontend): boolean {
    const { service, treatment: how } = frontend
    const { tuple } = flow
    const ipv6 = (tuple.kind & IPV6) !== 0
    let { local } = how
    let masquerade = how.source === Source.Masquerade
    if (how.podsGetAll || how.source === Source.Outsiders) {
      const pod = this.#includes(this.#settings.pods, tuple.src, tuple.kind)
      if (how.source === Source.Outsiders) masquerade = !pod
      if (how.podsGetAll && pod) local = false
    }
    const row = this.#pick(flow, frontend, ipv6, local)
    if (row === NOBODY) return this.#nobody(flow, frontend, ipv6)
    const backend = service.backends[row] as Backend
    if (flow.tells) {
      const only = local ? ' of this node' : ''
      flow.why = `service ${service.name} ${frontend.text}: backend ${backend.key}${only}, ${this.#how}`
    }
    if (how.preserve) flow.routeBy = backend.address
    else {
      if (this.#answersPast(tuple.src, backend.address, tuple.kind)) masquerade = true
      flow.toAddress = backend.address
      flow.toPort = backend.port
      flow.masquerade = masquerade
      if (masquerade && this.#knowsSource(backend.address, tuple.kind)) {
        flow.sourceAddress = ipv6 ? this.#source6 : this.#settings.source4
      }
    }
    flow.tag = backend.tag
    backend.active++
    backend.flows++
    service.flows++
    return true
  }

  /** The row of the backend that a flow goes to, or `NOBODY`. */
  #pick(flow: NewFlow, frontend: Frontend, ipv6: boolean, local: boolean): number {
    const { service } = frontend
    const { distribution, affinity: timeout } = service
    const { seed } = this.#settings
    const { tuple, now } = flow
    const set = service.set(ipv6, local)
    if (set.lots === 0) return NOBODY
    const client = this.#client
    if (ipv6) client.is6(this.addresses.words, tuple.src * 4)
    else client.is4(tuple.src)
    // A client that is told by its address alone is the same one whatever it speaks.
    client.kind = distribution === 'source-ip' ? tuple.kind & ~0xff : tuple.kind
    if (flow.tells)
      this.#how = distribution === '5-tuple' ? 'by the hash of the 5-tuple' : `by the hash of the client's address`
    if (distribution === '5-tuple') return set.pick(mix(client.hash(seed) ^ tuple.ports) ^ frontend.salt)
    const affinity = this.services.clients
    if (timeout === 0 || affinity === null) return set.pick(client.hash(seed))
    const entry = affinity.find(service.number, client, now)
    let row = entry === NO_ENTRY ? NOBODY : affinity.backend(entry, service.numbers)
    if (row !== NOBODY && ((service.backends[row] as Backend).sets & (local ? LOCAL : ALL)) !== 0) {
      service.remembered++
      if (flow.tells) this.#how = 'where the client was last (affinity)'
    } else row = set.pick(client.hash(seed))
    affinity.remember(service.number, client, row, service.numbers[row], now, timeout)
    return row
  }

  /** Nobody may serve the packet. True where that is its end. */
  #nobody(flow: NewFlow, frontend: Frontend, ipv6: boolean): boolean {
    const { service, treatment: how } = frontend
    service.refused++
    // Either others have backends, and the policy keeps them from being used, or there is none anywhere.
    const what = service.set(ipv6, false).lots > 0 ? how.elsewhere : service.read.empty
    if (flow.tells) {
      const where = service.set(ipv6, false).lots > 0 ? ' on this node' : ''
      flow.why = `service ${service.name} ${frontend.text} has no backend${where}`
    }
    if (what === 'pass') return false
    flow.drop = Drop.NoBackend
    flow.reject = what === 'reject'
    return true
  }

  /** Whether the answer of a backend to a client would not come by here: to itself, or over a bridge that both are at. */
  #answersPast(client: number, backend: number, kind: number): boolean {
    const { bridged, hairpin } = this.#settings
    if (client === backend) return hairpin
    for (let i = 0; i < bridged.length; i++) {
      const network = bridged[i]
      if (this.#includes(network, client, kind) && this.#includes(network, backend, kind)) return true
    }
    return false
  }

  /** Whether a backend knows a way to the SourceVIP. */
  #knowsSource(backend: number, kind: number): boolean {
    const { style, pods } = this.#settings
    return style === 'linux' || pods.empty || this.#includes(pods, backend, kind)
  }

  #includes(set: PrefixSet, address: number, kind: number): boolean {
    return (kind & IPV6) !== 0 ? set.includes6(this.addresses.words, address * 4) : set.includes4(address)
  }

  /** Ends flows that a change has left behind: those of backends that were taken out, as `whenRemoved` says; and of UDP
   * those that would now come by a frontend that was just opened, and go elsewhere - because there was nobody behind it when
   * they began, or because it was another's. They would go on past the service for as long as they live, which kube-proxy
   * does not let them either. Those of TCP find out by themselves. */
  #changed(taken: ReadonlySet<Backend>, opened: ReadonlySet<Frontend>): void {
    const left = new Set([...taken].filter((backend) => this.#endsWith(backend)))
    const reached = new Set([...opened].filter(({ service }) => service.read.protocol === 'udp'))
    if (left.size === 0 && reached.size === 0) return
    const match = (flow: StandingFlow): boolean => {
      const backend = flow.policy === this ? this.services.backend(flow.tag) : null
      if (backend !== null && left.has(backend)) return true
      if (reached.size === 0 || (flow.tuple.kind & 0xff) !== Proto.Udp) return false
      // One that was taken out and keeps its flows keeps them from others, too.
      if (backend?.removed === true) return false
      const frontend = this.#frontendOf(flow)
      return frontend !== null && reached.has(frontend) && backend?.service !== frontend.service
    }
    for (const engine of this.#engines) engine.endWhere(match)
  }

  #endsWith(backend: Backend): boolean {
    const { whenRemoved } = this.#settings
    return whenRemoved === 'end' || (whenRemoved === 'end-udp' && backend.service.read.protocol === 'udp')
  }
}
