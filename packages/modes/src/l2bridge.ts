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
import { forgetStation } from './bridge.ts'
import { type Ground, Wires } from './ground.ts'
import { Parts } from './parts.ts'

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

/** Settings of an l2bridge node that change while it runs. */
export interface L2BridgeSettings {
  readonly pods: readonly L2BridgePodPort[]
  /** The port to the node itself, which has `hostMac`; null where it has none. Default null. */
  readonly host?: Plug | null
  /** The node's own addresses: ARP for them is answered with `hostMac`. */
  readonly hostIps?: readonly string[]
}

/** Settings of an l2bridge node; the engine's are `L2BridgeOptions`. */
export interface L2BridgeModeOptions extends L2BridgeSettings, Omit<L2BridgeOptions, 'hostIps'> {
  /** The port to the world; null where nothing is plugged in. */
  readonly uplink: Plug | null
}

/** A node of pods behind its MAC. */
export interface L2BridgeNode {
  readonly engine: L2BridgeEngine
  /** By the names of their ports. */
  readonly pods: ReadonlyMap<string, L2BridgePod>
  /** Makes the node what is said, while frames pass; all of it is given anew. */
  change(next: L2BridgeSettings): void
  /** Forgets what was learnt of a station that is where it was no more. */
  forget(mac: string): void
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
  const { pods: first, uplink, host: _, hostIps: _ips, ...settings } = options
  const wires = new Wires(ground, first.length + 2)
  const wire = (spec: Plug): Link => wires.link(spec.port, spec.label ?? spec.port.name)
  const out = uplink === null ? new Unplugged(pool) : new Onto(wire(uplink))
  const engine = new L2BridgeEngine(loop, out, { seed: ground.seed ?? 0, ...settings })
  loop.every(SECOND, engine)
  if (uplink !== null) loop.add(uplink.port, engine.ingress)
  const hosts = new Parts((spec: Plug & { readonly name: string }) => {
    const link = wire(spec)
    loop.add(spec.port, engine.attachHost(link))
    return {
      end() {
        loop.remove(spec.port)
        engine.detachHost()
        wires.end(link)
      },
    }
  })
  const pods = new Parts((spec: L2BridgePodPort) => {
    const { name, port, mac, ips, mtu } = spec
    const link = wire(spec)
    const pod = engine.addPod(link, { mac, ips, ...(mtu === undefined ? {} : { port: { mtu } }) })
    loop.add(port, pod)
    return {
      ...{ name, pod },
      end() {
        loop.remove(port)
        engine.removePod(pod)
        wires.end(link)
      },
    }
  })
  const change = ({ pods: next, host = null, hostIps = [] }: L2BridgeSettings): void => {
    wires.resize(next.length + 2)
    // An address that a pod gives up may be the node's, and the other way round.
    const stay = new Set(next.map((spec) => spec.name))
    for (const { name } of pods.list) if (!stay.has(name)) pods.remove(name)
    engine.setHostIps(hostIps)
    hosts.become(host === null ? [] : [{ ...host, name: 'host' }])
    pods.become(next)
  }
  change(options)
  return {
    engine,
    get pods() {
      return new Map(pods.list.map(({ name, pod }) => [name, pod]))
    },
    change,
    forget: (mac) => forgetStation(engine.switch, mac),
  }
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
    const { trace } = this.#pool
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (trace?.follows(f)) trace.note(f, 'l2bridge', 'nothing is plugged in at the uplink')
      this.#pool.drop(f, Drop.PortDown)
    }
    batch.length = 0
  }
}
