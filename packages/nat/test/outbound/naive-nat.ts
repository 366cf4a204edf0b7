/**
 * A source NAT written to be obviously right: lists of objects, searched from the beginning. It does not choose ports, it
 * says of a chosen one whether it may be, and which ports there would have been.
 */

export interface NaiveOptions {
  mapping: 'linux' | 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent'
  filtering: 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent'
  ports: 'preserve' | 'random'
  portClass: 'linux' | 'any'
  range: readonly [number, number] | null
  parity: boolean
  limit: number
}

export interface NaiveFlow {
  readonly inside: string
  readonly insidePort: number
  readonly remote: string
  readonly remotePort: number
  /** The outside port it got. */
  port: number
  /** Mapping that it lives by. */
  mapping: NaiveMapping
}

export interface NaiveMapping {
  readonly inside: string
  readonly insidePort: number
  readonly remote: string
  readonly remotePort: number
  readonly port: number
  flows: number
  /** Whether another has taken its place for flows to come. */
  replaced: boolean
}

export class NaiveNat {
  flows: NaiveFlow[] = []
  mappings: NaiveMapping[] = []
  readonly o: NaiveOptions

  constructor(o: NaiveOptions) {
    this.o = o
  }

  /** The remote end as far as a mapping depends on it. */
  #scope(remote: string, remotePort: number): [string, number] {
    if (this.o.mapping === 'address-dependent') return [remote, 0]
    if (this.o.mapping === 'address-and-port-dependent') return [remote, remotePort]
    return ['', 0]
  }

  /** The reply of another flow would look the same. */
  taken(remote: string, remotePort: number, port: number): boolean {
    return this.flows.some((f) => f.remote === remote && f.remotePort === remotePort && f.port === port)
  }

  /** Whether a new mapping may have this port towards a remote end. */
  free(remote: string, remotePort: number, port: number): boolean {
    if (this.o.mapping !== 'linux' && this.mappings.some((m) => m.port === port)) return false
    return !this.taken(remote, remotePort, port)
  }

  /** The ports that may stand for an inside port, whether free or not. */
  candidates(insidePort: number): number[] {
    const { range, portClass, parity } = this.o
    const linux = insidePort < 512 ? [1, 511] : insidePort < 1024 ? [600, 1023] : [1024, 65_535]
    const [low, high] = range ?? (portClass === 'linux' ? linux : [1024, 65_535])
    const all = Array.from({ length: (high as number) - (low as number) + 1 }, (_, i) => (low as number) + i)
    return parity ? all.filter((port) => (port & 1) === (insidePort & 1)) : all
  }

  /** What must become of a new flow: the one port it may have, a choice among several, or none. */
  expect(
    inside: string,
    insidePort: number,
    remote: string,
    remotePort: number,
  ): { only?: number; among?: number[] } | null {
    const [r, rp] = this.#scope(remote, remotePort)
    const reuses = this.o.mapping !== 'linux' || this.o.ports === 'preserve'
    const known = this.mappings.find(
      (m) => !m.replaced && m.inside === inside && m.insidePort === insidePort && m.remote === r && m.remotePort === rp,
    )
    if (reuses && known !== undefined) {
      if (!this.taken(remote, remotePort, known.port)) return { only: known.port }
      if (this.o.mapping !== 'linux') return null
    }
    if (this.mappings.length >= this.o.limit) return null
    const inRange = this.o.range === null || (insidePort >= this.o.range[0] && insidePort <= this.o.range[1])
    if (this.o.ports === 'preserve' && inRange && this.free(remote, remotePort, insidePort)) return { only: insidePort }
    const among = this.candidates(insidePort).filter((port) => this.free(remote, remotePort, port))
    return among.length === 0 ? null : { among }
  }

  /** The flow got a port. */
  add(inside: string, insidePort: number, remote: string, remotePort: number, port: number): NaiveFlow {
    const [r, rp] = this.#scope(remote, remotePort)
    const reuses = this.o.mapping !== 'linux' || this.o.ports === 'preserve'
    const same = this.mappings.filter(
      (m) => !m.replaced && m.inside === inside && m.insidePort === insidePort && m.remote === r && m.remotePort === rp,
    )
    let mapping = reuses ? same.find((m) => m.port === port && !m.replaced) : undefined
    if (mapping === undefined) {
      for (const m of same) m.replaced = true
      mapping = { inside, insidePort, remote: r, remotePort: rp, port, flows: 0, replaced: !reuses }
      this.mappings.push(mapping)
    }
    mapping.flows++
    const flow = { inside, insidePort, remote, remotePort, port, mapping }
    this.flows.push(flow)
    return flow
  }

  end(flow: NaiveFlow): void {
    this.flows.splice(this.flows.indexOf(flow), 1)
    if (--flow.mapping.flows === 0) this.mappings.splice(this.mappings.indexOf(flow.mapping), 1)
  }

  /** For whom a packet from outside is: inside end, `filtered`, or null: not for anyone behind the NAT. */
  inbound(remote: string, port: number): string | null {
    if (this.o.mapping === 'linux') return null
    const m = this.mappings.find((one) => one.port === port)
    if (m === undefined) return null
    const sentTo = this.flows.some((f) => f.mapping === m && f.remote === remote)
    const letsIn = this.o.filtering === 'endpoint-independent' || (this.o.filtering === 'address-dependent' && sentTo)
    return letsIn ? `${m.inside}:${m.insidePort}` : 'filtered'
  }
}
