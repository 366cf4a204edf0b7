import type { Address } from '../address.ts'
import type { CheckResult } from '../check-result.ts'
import type { CheckKind, EndpointSpec } from '../topology.ts'

/** What every trial may be told; see "Checks" in docs/topology.md. */
export interface TrialOptions {
  /** IP version. Default: IPv4 where both ends have it. */
  readonly family?: 4 | 6
  /** Seconds until an answer counts as absent. */
  readonly timeout?: number
  /** Nodes and ports that the first packet must pass, in this order. */
  readonly path?: readonly string[]
}

/** Settings of a ping, and of datagrams. */
export interface PingOptions extends TrialOptions {
  /** How many; all must be answered. Default 3. */
  readonly count?: number
  /** Bytes of payload of each. */
  readonly bytes?: number
}

/** Settings of what goes to a port. */
export interface PortTrialOptions extends TrialOptions {
  readonly port?: number
  /** The endpoint that must get it, or several of which one must. */
  readonly server?: string | readonly string[]
  /** The port of theirs that it must arrive at. */
  readonly serverPort?: number
}

/** Settings of a transfer over TCP. */
export interface TcpOptions extends PortTrialOptions {
  /** Bytes of payload in all: a number, or "10 MB". */
  readonly bytes?: number | string
}

/** Settings of a series of datagrams. */
export interface UdpOptions extends PortTrialOptions, PingOptions {}

/** Settings of an HTTP request. */
export interface HttpOptions extends PortTrialOptions {
  readonly url?: string
  readonly status?: number
  readonly body?: string
}

/** A host of a lab, to try things from. What it tries gives a result, whether it worked or not: `ok`, and `detail` in words.
 * A trial that means nothing, as of an endpoint that is not there, rejects with a TopologyError. */
export class LabHost {
  readonly name: string
  /** Lower case with colons. */
  readonly mac: string
  readonly addresses: readonly Address[]
  /** On Linux the name of its network namespace, for `ip netns exec`; null in memory. */
  readonly namespace: string | null
  readonly #attempt: (kind: CheckKind, trial: Readonly<Record<string, unknown>>) => Promise<CheckResult>

  /** Use `Lab.host`. */
  constructor(
    { name, mac, addresses }: EndpointSpec,
    namespace: string | null,
    attempt: (kind: CheckKind, trial: Readonly<Record<string, unknown>>) => Promise<CheckResult>,
  ) {
    this.name = name
    this.mac = mac
    this.addresses = addresses
    this.namespace = namespace
    this.#attempt = attempt
  }

  /** Pings an endpoint or an address. */
  ping(to: string, options: PingOptions = {}): Promise<CheckResult> {
    return this.#try('ping', to, options)
  }

  /** Sends bytes over a TCP connection; they must arrive as they were sent. */
  tcp(to: string, options: TcpOptions = {}): Promise<CheckResult> {
    return this.#try('tcp', to, options)
  }

  /** Sends datagrams to an echo service; they must come back as they were sent. */
  udp(to: string, options: UdpOptions = {}): Promise<CheckResult> {
    return this.#try('udp', to, options)
  }

  /** Gets a page from a small server there. */
  http(to: string, options: HttpOptions = {}): Promise<CheckResult> {
    return this.#try('http', to, options)
  }

  /** Asks who has an address, as arping does. */
  arp(
    to: string,
    options: TrialOptions & { readonly count?: number; readonly mac?: string } = {},
  ): Promise<CheckResult> {
    return this.#try('arp', to, options)
  }

  /** Traces the route. `via` has the addresses of the hops before the end that must be seen. */
  traceroute(to: string, options: TrialOptions & { readonly via?: readonly string[] } = {}): Promise<CheckResult> {
    return this.#try('traceroute', to, options)
  }

  /** Looks into its neighbour cache, after what was sent before. */
  neigh(to: string, options: TrialOptions & { readonly mac?: string } = {}): Promise<CheckResult> {
    return this.#try('neigh', to, options)
  }

  #try(kind: CheckKind, to: string, options: object): Promise<CheckResult> {
    return this.#attempt(kind, { from: this.name, to, ...options })
  }
}
