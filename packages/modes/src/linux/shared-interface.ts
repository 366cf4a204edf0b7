import type { Element, Link, Port } from '@l2l3/switch-core'
import { type Ground, Wires } from '../ground.ts'
import type { Part } from '../parts.ts'
import { Unplugged } from '../unplugged.ts'

/*
 * What macvlan and ipvlan have in common: an interface of the node, an engine that says whose a frame is, and the node's own stack
 * on the interface, which may be there or not.
 *
 *     pods' ports -- links --> engine <-- link -- parent's port
 *                                |
 *                              wire: the uplink's port
 */

/** A port, and the name of the link to it in a trace. */
export interface Plug {
  readonly port: Port
  readonly label?: string
}

/** What the engine of a shared interface has for the wire and for the parent. */
interface SharedEngine {
  readonly ingress: Element
  readonly fromParent: Element
  attachParent(link: Link): void
  detachParent(): void
}

/** The wires of a shared interface. */
export class SharedInterface {
  readonly #wires: Wires
  readonly #by: string
  #engine: SharedEngine | null = null
  #parent: { readonly port: Port; readonly link: Link } | null = null

  /** @param by the mode's name, in a trace
   * @param pods how many there are at first */
  constructor(ground: Ground, by: string, pods: number) {
    this.#by = by
    this.#wires = new Wires(ground, pods + 2)
  }

  /** Says how many pods there are now. */
  resize(pods: number): void {
    this.#wires.resize(pods + 2)
  }

  link({ port, label }: Plug): Link {
    return this.#wires.link(port, label ?? port.name)
  }

  /** The link to the interface; where nothing is plugged in, frames end there. */
  wire(uplink: Plug | null): Link {
    return uplink === null
      ? this.#wires.link(new Unplugged(this.#wires.ground.pool, this.#by), 'uplink')
      : this.link(uplink)
  }

  /** Has the engine take what comes in by the interface. */
  carry(uplink: Plug | null, engine: SharedEngine): void {
    this.#engine = engine
    if (uplink !== null) this.#wires.ground.loop.add(uplink.port, engine.ingress)
  }

  /** Says by which port the node's own stack is on the interface from now on. */
  setParent(parent: Plug | null): void {
    const engine = this.#engine as SharedEngine
    const { loop } = this.#wires.ground
    if (this.#parent?.port === parent?.port) return
    if (this.#parent !== null) {
      loop.remove(this.#parent.port)
      engine.detachParent()
      this.#wires.end(this.#parent.link)
      this.#parent = null
    }
    if (parent === null) return
    const link = this.link(parent)
    engine.attachParent(link)
    loop.add(parent.port, engine.fromParent)
    this.#parent = { port: parent.port, link }
  }

  /** Has a child of the engine take what a pod sends; the part ends it.
   * @param remove takes the child out of the engine */
  plug(port: Port, link: Link, child: Element, remove: () => void): Part {
    const { loop } = this.#wires.ground
    loop.add(port, child)
    return {
      end: () => {
        loop.remove(port)
        remove()
        this.#wires.end(link)
      },
    }
  }
}
