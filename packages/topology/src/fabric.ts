import { FaultPort, type LedgerReport, MemoryPort, type Port } from '@l2l3/switch-core'
import {
  type BuiltNode,
  type FdbRow,
  type FlowRow,
  type Ground,
  MODES,
  type Mode,
  type NeighbourRow,
  type PortRow,
  type RouteRow,
  type ServiceRow,
} from './mode.ts'
import type { NodeSpec, PortSpec, Topology } from './topology.ts'

/*
 * What all worlds share: the nodes, built in one pool, clock and loop, and the cables between them. A world decides
 * what is behind the other ports: a host in memory, a TAP, a capture file, nothing.
 */

/** A topology's nodes, with something plugged in to each port that is used. */
export interface Fabric {
  /** What runs: `applyTo` changes it. */
  topology: Topology
  readonly ground: Ground
  readonly nodes: readonly BuiltNode[]
  /** What is plugged in, by label ("node/port"). */
  readonly ports: Map<string, Port>
  /** The same, but where the wire has faults what is behind them: where captures watch, and hosts are. */
  readonly wires: Map<string, Port>
  /** The other end of a port that is an end of a cable. */
  readonly cables: ReadonlyMap<Port, Port>
}

/** Settings of `buildFabric`. */
export interface FabricOptions {
  /** Makes what a port without a cable is plugged in to; null leaves it unplugged, and the node does not have it. */
  plug(port: PortSpec, node: NodeSpec): Port | null
  /** Makes an end of a cable. Default: a `MemoryPort`. */
  cableEnd?(label: string): MemoryPort
}

/** Builds the nodes of a topology and joins them. */
export function buildFabric(topology: Topology, ground: Ground, options: FabricOptions): Fabric {
  const end = options.cableEnd ?? ((label: string) => new MemoryPort(ground.pool, label))
  const specs = new Map(topology.nodes.flatMap((node) => node.ports.map((port) => [port.label, port])))
  const ports = new Map<string, Port>()
  const wires = new Map<string, Port>()
  const cables = new Map<Port, Port>()
  const plug = (label: string, wire: Port): Port => {
    const port = withFaults(wire, specs.get(label) as PortSpec, topology.seed, ground)
    ports.set(label, port)
    wires.set(label, wire)
    return port
  }
  for (const [a, b] of topology.links) {
    const [from, to] = [end(a), end(b)]
    MemoryPort.connect(from, to)
    const [near, far] = [plug(a, from), plug(b, to)]
    cables.set(near, far).set(far, near)
  }
  const nodes = topology.nodes.map((spec) => {
    const node = (MODES.get(spec.mode) as Mode).build(spec, ground)
    for (const port of spec.ports) {
      const cable = ports.get(port.label)
      const wire = cable === undefined ? options.plug(port, spec) : null
      const plugged = cable ?? (wire === null ? null : plug(port.label, wire))
      if (plugged !== null) node.attach(port.name, plugged)
    }
    node.ready()
    return node
  })
  return { topology, ground, nodes, ports, wires, cables }
}

/**
 * Puts the faults of a port's wire before it, if it has any. Each has dice of its own, made of the topology's seed and the
 * port's label: they fall the same whatever else is in the topology.
 */
export function withFaults(wire: Port, spec: PortSpec, seed: number, ground: Ground): Port {
  const { faults, label } = spec
  if (faults === undefined) return wire
  return new FaultPort(wire, ground.loop, { ...faults, seed: seedOf(`${seed} ${label}`) })
}

/** 32-bit FNV-1a of a text. */
function seedOf(text: string): number {
  let hash = 0x811c9dc5
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

/** Flows of a node that a snapshot has, of the many that there may be. */
const FLOWS = 1000

/** A running topology at one moment, as plain data: what `l2l3 show` shows. */
export interface Snapshot {
  readonly name: string
  readonly ports: readonly PortRow[]
  readonly fdb: readonly FdbRow[]
  readonly neighbours: readonly NeighbourRow[]
  readonly routes: readonly RouteRow[]
  /** Of each node `FLOWS` at most. */
  readonly flows: readonly FlowRow[]
  readonly services: readonly ServiceRow[]
  readonly ledger: LedgerReport
}

/** Takes a snapshot. */
export function snapshot(fabric: Fabric): Snapshot {
  return {
    name: fabric.topology.name,
    ports: fabric.nodes.flatMap((node) => node.ports()),
    fdb: fabric.nodes.flatMap((node) => node.fdb()),
    neighbours: fabric.nodes.flatMap((node) => node.neighbours?.() ?? []),
    routes: fabric.nodes.flatMap((node) => node.routes?.() ?? []),
    flows: fabric.nodes.flatMap((node) => node.flows?.(FLOWS) ?? []),
    services: fabric.nodes.flatMap((node) => node.services?.() ?? []),
    ledger: fabric.ground.pool.report(),
  }
}
