import {
  type Batch,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  L2BridgeEngine,
  type L2BridgeOptions,
  type L2BridgePod,
  type Link,
  type Port,
  SECOND,
} from '@l2l3/switch-core'
import { type Ground, linkTo } from './ground.ts'

/** A pod, and the port it is on. */
export interface L2BridgePodPort {
  readonly name: string
  readonly label?: string
  readonly port: Port
  readonly mac: string
  /** Without prefix. */
  readonly ips: readonly string[]
  /** Longest payload of a frame that the pod gets, in bytes. Default: any. */
  readonly mtu?: number
}

/** A port, and the name of the link to it in a trace. */
interface Plug {
  readonly port: Port
  readonly label?: string
}

/** Settings of an l2bridge node; the engine's are `L2BridgeOptions`. */
export interface L2BridgeModeOptions extends L2BridgeOptions {
  readonly pods: readonly L2BridgePodPort[]
  /** The port to the world; null where nothing is plugged in. */
  readonly uplink: Plug | null
  /** The port to the node itself, which has `hostMac`; null where it has none. Default null. */
  readonly host?: Plug | null
}

/** A node of pods behind its MAC. */
export interface L2BridgeNode {
  readonly engine: L2BridgeEngine
  /** By the names of their ports. */
  readonly pods: ReadonlyMap<string, L2BridgePod>
}

/**
 * mode: l2bridge - pods share the node's network and its MAC.
 *
 *     pod 02:..:01   pod 02:..:02   host 00:0d:3a:00:00:01
 *        |              |              |
 *     +--+--------------+--------------+--------------+
 *     |  l2bridge engine: switch, ARP answers         |
 *     |  out: source := host MAC, ARP and ND included |
 *     |  in: destination := pod MAC, by IP address    |
 *     +----------------------+------------------------+
 *                            | 00:0d:3a:00:00:01
 *                          uplink
 */
export function l2bridge(ground: Ground, options: L2BridgeModeOptions): L2BridgeNode {
  const { loop, pool } = ground
  const { pods, uplink, host = null, ...settings } = options
  const wire = (spec: Plug): Link => linkTo(ground, spec.port, spec.label ?? spec.port.name, pods.length + 2)
  const out = uplink === null ? new Unplugged(pool) : new Onto(wire(uplink))
  const engine = new L2BridgeEngine(loop, out, { seed: ground.seed ?? 0, ...settings })
  loop.every(SECOND, engine)
  if (uplink !== null) loop.add(uplink.port, engine.ingress)
  if (host !== null) loop.add(host.port, engine.attachHost(wire(host)))
  const added = pods.map((spec): [string, L2BridgePod] => {
    const { mac, ips, mtu } = spec
    const pod = engine.addPod(wire(spec), { mac, ips, ...(mtu === undefined ? {} : { port: { mtu } }) })
    loop.add(spec.port, pod)
    return [spec.name, pod]
  })
  return { engine, pods: new Map(added) }
}

/** The near end of a link: what comes here goes on to it, as a step that a trace can see. */
class Onto implements Element {
  readonly #link: Link

  constructor(link: Link) {
    this.#link = link
  }

  process(batch: Batch): void {
    this.#link.pushAll(batch.frames, 0, batch.length)
    batch.length = 0
  }
}

/** A socket with nothing plugged in. */
class Unplugged implements Element {
  readonly #pool: FramePool

  constructor(pool: FramePool) {
    this.#pool = pool
  }

  process(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) this.#pool.drop(batch.frames[i] as Frame, Drop.PortDown)
    batch.length = 0
  }
}
