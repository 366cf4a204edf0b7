import { type LedgerReport, MemoryPort, type Port } from '@l2l3/switch-core'
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
  readonly topology: Topology
  readonly ground: Ground
  readonly nodes: readonly BuiltNode[]
  /** What is plugged in, by label ("node/port"). */
  readonly ports: ReadonlyMap<string, Port>
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
  const ports = new Map<string, Port>()
  const cables = new Map<Port, Port>()
  for (const [a, b] of topology.links) {
    const [from, to] = [end(a), end(b)]
    MemoryPort.connect(from, to)
    ports.set(a, from).set(b, to)
    cables.set(from, to).set(to, from)
  }
  const nodes = topology.nodes.map((spec) => {
    const node = (MODES.get(spec.mode) as Mode).build(spec, ground)
    for (const port of spec.ports) {
      const plugged = ports.get(port.label) ?? options.plug(port, spec)
      if (plugged === null) continue
      ports.set(port.label, plugged)
      node.attach(port.name, plugged)
    }
    node.ready()
    return node
  })
  return { topology, ground, nodes, ports, cables }
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
