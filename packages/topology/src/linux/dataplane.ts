import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { ALL_OFFLOADS, FramePool, Loop, MAX_FRAME, MemoryPort, type Port, RealClock } from '@l2l3/switch-core'
import { type CaptureSink, PortCapture } from '@l2l3/switch-core/pcap'
import type { Pollable, Runner } from '@l2l3/tap-io'
import { applyTo } from '../apply.ts'
import type { HostPort } from '../changes.ts'
import { buildFabric, type Fabric, type Snapshot, snapshot } from '../fabric.ts'
import { gatewaysOf } from '../mode.ts'
import type { DeviceSpec, EndpointSpec, PortSpec, SocketSpec, Topology } from '../topology.ts'
import { type LiveTraceOptions, type LiveTraceReport, traceFabric } from '../trace/live.ts'
import type { Host } from './hosts.ts'

/*
 * What moves frames in a process: pool, clock and loop, the nodes, and what they are plugged in to.
 *
 *     namespace l2l3-<topology>.red          namespace l2l3-<topology>.blue
 *     eth0 10.0.0.1/24  (TAP)                eth0 10.0.0.2/24  (TAP)
 *           |  fd                                  |  fd
 *     +-----+--------------------------------------+-----+
 *     |            a process: nodes, cables              |
 *     +--------------------------------------------------+
 *
 * All nodes of a topology are in one, or each is in one of its own (`node-process`). The namespaces are there before.
 */

/** Name of an endpoint's namespace. Neither name can have a dot in it: no two topologies come to the same. */
export function namespaceName(topology: Pick<Topology, 'name'>, endpoint: Pick<EndpointSpec, 'name'>): string {
  return `l2l3-${topology.name}.${endpoint.name}`
}

/** Where the cable of a port ends that leads out of the process: a TAP that is made in a namespace. */
export interface WireEnd {
  readonly netns: string
  /** Of the interface. */
  readonly name: string
  readonly mtu: number
}

/** Who makes namespaces for hosts that come while frames pass. */
export interface HostPlaces {
  make(hosts: readonly Host[]): Promise<void>
  configure(host: Host): Promise<void>
  /** Of hosts that have none it is not asked in vain: they are passed over. */
  remove(hosts: readonly Host[]): Promise<void>
}

/** What a process does where no frame is to be moved: it sleeps in Node's event loop at once, spins for a moment first, or polls
 * its ports busily and never sleeps. */
export type Wait = 'event-loop' | 'spin' | 'busy'

/** Microseconds of a spin, by the way of waiting. */
const SPIN: Readonly<Record<Wait, number>> = { 'event-loop': 0, spin: 50, busy: Number.POSITIVE_INFINITY }

/** Settings of a dataplane, as plain data but for the function. */
export interface DataplaneOptions {
  /** Ports that lead to a TAP in a namespace, by label. */
  readonly wires?: ReadonlyMap<string, WireEnd>
  /** Default `event-loop`. */
  readonly wait?: Wait
  /** Is told of a port that has failed and was taken out. */
  readonly onPortFailed?: (label: string, error: Error) => void
}

/** A port that the system is behind. */
type SystemPort = Port & Pollable
type TapIo = typeof import('@l2l3/tap-io')

/** Frames that wait in a TAP for a node to read them, where the topology does not say how many. */
const QUEUE = 256

/** Milliseconds that are waited at most for what hosts said before the start. */
const CATCH_UP = 30_000

/** Milliseconds after which a capture shows what has passed. */
const CAPTURE_DELAY = 200

/** The nodes of a topology, on ports of the system. */
export class Dataplane {
  readonly fabric: Fabric
  readonly #tapIo: TapIo
  readonly #plugged: Map<string, SystemPort>
  readonly #wait: Wait
  readonly #captures: Set<{ refresh(): void; end(): void }> = new Set()
  #runner: Runner | undefined

  private constructor(tapIo: TapIo, fabric: Fabric, plugged: Map<string, SystemPort>, wait: Wait) {
    this.#tapIo = tapIo
    this.#wait = wait
    this.fabric = fabric
    this.#plugged = plugged
  }

  /** Opens the ports and builds the nodes on them. Throws an Error where a port cannot be had; none is open then. */
  static async open(topology: Topology, options: DataplaneOptions = {}): Promise<Dataplane> {
    const tapIo = await import('@l2l3/tap-io')
    // Room for the tables of many switches; what they do not take is address space, no memory.
    const pool = new FramePool({ frames: 1024, frameSize: MAX_FRAME, tables: 64 << 20 })
    const clock = new RealClock()
    const plugged = new Map<string, SystemPort>()
    let ports: ReadonlyMap<string, Port> = plugged
    const loop = new Loop(pool, clock, {
      onPortFailed: (port, error) => {
        const [label] = [...ports].find(([, other]) => other === port) ?? [port.name]
        options.onPortFailed?.(label, error)
      },
    })
    try {
      const fabric = buildFabric(
        topology,
        // Where strangers send frames, they must not know which addresses share a slot of a table.
        { pool, clock, loop, seed: randomInt(2 ** 32) },
        {
          plug: (spec) => {
            const port = open(tapIo, pool, topology, spec, options.wires?.get(spec.label))
            if (port === null) return null
            plugged.set(spec.label, port)
            return port
          },
          // Super-frames cross cables in this process as they are.
          cableEnd: (label) => new MemoryPort(pool, label, { offloads: ALL_OFFLOADS }),
        },
      )
      ports = fabric.ports
      return new Dataplane(tapIo, fabric, plugged, options.wait ?? 'event-loop')
    } catch (error) {
      tapIo.closeTogether(plugged.values())
      throw error
    }
  }

  /** Moves frames from now on. Gives what settles when it stops, and rejects where the loop has failed. */
  start(): Promise<void> {
    const { loop } = this.fabric.ground
    this.#runner = this.#tapIo.runOnEventLoop(loop, this.#plugged.values(), { spinMicros: SPIN[this.#wait] })
    return this.#runner.done
  }

  /** Settles when all ports have been asked for what waited there before the start, or after half a minute: hosts say to groups
   * that they are there, and a thousand of them on one switch make millions of frames of it, in which a check would drown.
   * Rejects with the signal's reason. */
  async caughtUp(signal: AbortSignal | undefined): Promise<void> {
    const { loop } = this.fabric.ground
    const until = performance.now() + CATCH_UP
    do {
      await setImmediate()
      signal?.throwIfAborted()
    } while (loop.behind && performance.now() < until)
  }

  snapshot(): Snapshot {
    return snapshot(this.fabric)
  }

  /** Traces frames; see `World.trace`. */
  trace(filter: string, options: LiveTraceOptions): Promise<LiveTraceReport> {
    const report = traceFabric(this.fabric, filter, options)
    // It may have set a timer, of which a loop that sleeps would not know.
    this.#runner?.wake()
    return report
  }

  /** Writes what passes every port, and ports that come, until the function that comes back is called. A sink that throws
   * gets no more. */
  capture(sink: (label: string) => CaptureSink): () => void {
    const { wires, ground } = this.fabric
    const captures = new Map<Port, PortCapture>()
    const capture = {
      refresh: (): void => {
        const now = new Set(wires.values())
        for (const [port, one] of captures) {
          if (now.has(port)) continue
          one.close()
          captures.delete(port)
        }
        for (const [label, port] of wires) {
          if (captures.has(port)) continue
          const one = new PortCapture(port, ground.clock, sink(label), label)
          captures.set(port, one)
          // So that a file has its header at once.
          one.flush()
        }
      },
      end: (): void => {
        clearInterval(timer)
        for (const one of captures.values()) one.close()
        this.#captures.delete(capture)
      },
    }
    const timer = setInterval(() => {
      for (const one of captures.values()) one.flush()
    }, CAPTURE_DELAY)
    try {
      capture.refresh()
    } catch (error) {
      capture.end()
      throw error
    }
    this.#captures.add(capture)
    return capture.end
  }

  /**
   * Makes what runs into what `next` says; see `World.apply`.
   *
   * @param hosts makes the namespaces of hosts that come, sets each up once its interface is there, and removes them
   */
  async apply(next: Topology, hosts: HostPlaces): Promise<void> {
    const { pool } = this.fabric.ground
    await applyTo(this.fabric, next, {
      prepare: (some) => hosts.make(some.flatMap(hostOf)),
      plug: async (spec, node) => {
        const [host] = hostOf({ port: spec, node })
        if (host === undefined) return null
        let port: SystemPort | null = null
        try {
          port = open(this.#tapIo, pool, next, spec, undefined) as SystemPort
          await hosts.configure(host)
          this.#plugged.set(spec.label, port)
          this.#runner?.watch(port)
          return port
        } catch (error) {
          port?.close()
          throw error
        }
      },
      close: (ports) => this.#tapIo.closeTogether(ports),
      unplug: async (some) => {
        for (const { port } of some) if (this.#plugged.get(port.label)?.closed) this.#plugged.delete(port.label)
        await hosts.remove(some.flatMap(hostOf))
      },
    })
    for (const capture of this.#captures) capture.refresh()
    this.#runner?.wake()
  }

  /** Has the nodes say that they go, in a last turn, and moves nothing any more. */
  async stop(): Promise<void> {
    try {
      await this.#runner?.stop()
      for (const node of this.fabric.nodes) node.leave?.()
      this.fabric.ground.loop.turn()
    } catch {
      // What an element has thrown was told when it was: here all goes.
    }
    for (const { end } of this.#captures) end()
  }

  /** Closes the ports. May be called again, and while the process exits. */
  close(): void {
    this.#tapIo.closeTogether(this.#plugged.values())
  }
}

/** The host on a port, if it has one. */
function hostOf({ port, node }: HostPort): Host[] {
  return port.endpoint === null ? [] : [{ endpoint: port.endpoint, gateways: gatewaysOf(node, port) }]
}

/** Opens what a port leads to; null where it is nothing. */
function open(
  tapIo: TapIo,
  pool: FramePool,
  topology: Topology,
  { label, endpoint, device, options }: PortSpec,
  wire: WireEnd | undefined,
): SystemPort | null {
  const queueLength = topology.queue ?? QUEUE
  if (wire !== undefined) return tapIo.TapPort.open(pool, { ...wire, queueLength, up: true })
  if (endpoint !== null) {
    const { mac, mtu } = endpoint
    const netns = namespaceName(topology, endpoint)
    return tapIo.TapPort.open(pool, { name: 'eth0', netns, mac, mtu, queueLength, up: false })
  }
  if (device === null) return null
  const { kind, ...rest } = device
  const { mtu } = options as { mtu?: number }
  switch (kind) {
    case 'tap': {
      const { name, queue = queueLength, ...how } = rest as Extract<DeviceSpec, { kind: 'tap' }>
      if (existsSync(`/sys/class/net/${name}`)) {
        throw new Error(`port ${label}: interface ${name} exists, and was not made by this topology`)
      }
      return tapIo.TapPort.open(pool, {
        ...how,
        name,
        queueLength: queue,
        up: true,
        ...(mtu === undefined ? {} : { mtu: Math.min(mtu, 65_521) }),
      })
    }
    case 'nic': {
      const { name, ...how } = rest as Extract<DeviceSpec, { kind: 'nic' }>
      return tapIo.AfPacketPort.open(pool, { ...how, device: name })
    }
    case 'udp': {
      const how = rest as SocketSpec
      // What a tunnel leaves for the frame inside, by which super-frames are told apart.
      const innerMtu = Math.max(576, (mtu ?? 1500) - (how.address.includes(':') ? 70 : 50))
      return tapIo.UdpUnderlayPort.open(pool, { innerMtu, ...how })
    }
  }
}
