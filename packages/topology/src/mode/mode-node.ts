import type { Port } from '@l2l3/switch-core'
import type { BuiltNode, FdbRow, Ground, PortRow } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec } from '../topology.ts'

/** A port that something is plugged in to. */
export interface Plugged {
  readonly spec: PortSpec
  readonly port: Port
}

/**
 * What is the same in nodes of all modes: which ports are plugged in, and that a node is built of its spec as it is changed by
 * the next one. A mode says in `become` what it makes of `spec` and `plugged`:
 *
 *     become(): void {
 *       const settings = { ports: this.plugged.map(...), routes: ... }
 *       if (this.#node === null) this.#node = router(this.ground, settings)
 *       else this.#node.change(settings)
 *     }
 */
export abstract class ModeNode implements BuiltNode {
  protected readonly ground: Ground
  #spec: NodeSpec
  #ports: Map<string, Port> = new Map()

  constructor(spec: NodeSpec, ground: Ground) {
    this.#spec = spec
    this.ground = ground
  }

  get spec(): NodeSpec {
    return this.#spec
  }

  /** What is plugged in, in the order of the spec's ports. */
  protected get plugged(): readonly Plugged[] {
    return this.#spec.ports.flatMap((spec) => {
      const port = this.#ports.get(spec.name)
      return port === undefined ? [] : [{ spec, port }]
    })
  }

  attach(name: string, port: Port): void {
    this.#ports.set(name, port)
  }

  ready(): void {
    this.become()
  }

  change(next: NodeSpec, plugged: ReadonlyMap<string, Port>): void {
    this.#spec = next
    const ports = new Map<string, Port>()
    for (const { name } of next.ports) {
      const port = plugged.get(name) ?? this.#ports.get(name)
      if (port !== undefined) ports.set(name, port)
    }
    this.#ports = ports
    this.become()
  }

  /** Makes the node what `spec` and `plugged` say: builds it, or changes what is built. */
  protected abstract become(): void
  abstract forget(host: EndpointSpec): void
  abstract ports(): PortRow[]
  abstract fdb(): FdbRow[]
}
