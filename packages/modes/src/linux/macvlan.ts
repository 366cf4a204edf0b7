import { Macvlan, type MacvlanChild, type MacvlanMode, type MacvlanOptions, type Port } from '@l2l3/switch-core'
import type { Ground } from '../ground.ts'
import { Parts } from '../parts.ts'
import { type Plug, SharedInterface } from './shared-interface.ts'

/** A pod, and the port it is on. */
export interface MacvlanPod {
  readonly name: string
  /** Name of the link to it, in a trace. Default: its name. */
  readonly label?: string
  readonly port: Port
  readonly mac: string
  /** Default: the node's. */
  readonly mode?: MacvlanMode
}

/** Settings of a macvlan node that change while it runs. */
export interface MacvlanSettings {
  readonly pods: readonly MacvlanPod[]
  /** The port to the node's own stack on the interface; null where it has none. Default null. */
  readonly parent?: Plug | null
}

/** Settings of a macvlan node; the engine's are `MacvlanOptions`. */
export interface MacvlanModeOptions extends MacvlanSettings, MacvlanOptions {
  /** The interface that is shared; null where nothing is plugged in. */
  readonly uplink: Plug | null
}

/** A node whose pods share an interface by their MACs. */
export interface MacvlanNode {
  readonly engine: Macvlan
  /** By the names of their ports. */
  readonly pods: ReadonlyMap<string, MacvlanChild>
  /** Makes the node what is said, while frames pass; all of it is given anew. */
  change(next: MacvlanSettings): void
}

/**
 * mode: macvlan - pods with MACs of their own on one interface of the node, without a bridge and without learning.
 *
 *     pod 02:..:0a   pod 02:..:0b   parent 02:..:ff
 *        |              |              |
 *     +--+--------------+--------------+--------------+
 *     |  macvlan: who is it for, by destination MAC   |   bridge   private   vepa   passthru
 *     +----------------------+------------------------+
 *                            |
 *                          uplink      a switch outside, and the network's router: gateway of the pods
 *
 * Nothing is written to: frames are outside as pods send them. Pods and the node itself never meet.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function macvlan(ground: Ground, options: MacvlanModeOptions): MacvlanNode {
  const { pods: first, parent: _, uplink, ...settings } = options
  const shared = new SharedInterface(ground, 'macvlan', first.length)
  const engine = new Macvlan(ground.loop, shared.wire(uplink), settings)
  shared.carry(uplink, engine)
  const pods = new Parts((spec: MacvlanPod) => {
    const { name, port, mac, mode } = spec
    const link = shared.link(spec)
    const child = engine.addChild(link, { mac, ...(mode === undefined ? {} : { mode }) })
    return { name, child, ...shared.plug(port, link, child, () => engine.removeChild(child)) }
  })
  const change = ({ pods: next, parent = null }: MacvlanSettings): void => {
    shared.resize(next.length)
    shared.setParent(parent)
    pods.become(next)
  }
  change(options)
  return {
    engine,
    get pods() {
      return new Map(pods.list.map(({ name, child }) => [name, child]))
    },
    change,
  }
}
