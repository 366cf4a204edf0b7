import type { Clock, FramePool, Loop, Port } from '@l2l3/switch-core'
import type { Path } from './document.ts'
import { switchMode } from './mode/switch.ts'
import type { NodeSpec } from './topology.ts'

/*
 * What a node is: its mode. A mode brings the schema of its options, checks what a schema cannot say, and builds the
 * node. The rest of this package - endpoints, links, worlds, checks - is the same for all modes.
 */

/** A JSON Schema (draft 07) of a part of the file. */
export interface Schema {
  readonly [keyword: string]: unknown
}

/** Reports a problem at a place inside the node. */
export type Report = (path: Path, message: string) => void

/** What a node is built in: one pool, clock and loop for the whole topology. */
export interface Ground {
  readonly pool: FramePool
  readonly clock: Clock
  readonly loop: Loop
}

/** A row of a node's port table. */
export interface PortRow {
  readonly node: string
  readonly port: string
  /** `up`, `down`, or why it failed. */
  readonly state: string
  readonly rxFrames: number
  readonly rxBytes: number
  readonly txFrames: number
  readonly txBytes: number
  /** Frames that came from here and that the node dropped. */
  readonly dropped: number
  /** Frames the port itself could not take in or send. */
  readonly portDropped: number
}

/** A row of a node's address table. */
export interface FdbRow {
  readonly node: string
  readonly mac: string
  /** 0 in a node that does not look at VLANs. */
  readonly vlan: number
  readonly port: string
  readonly kind: string
  /** Milliseconds since the address was last heard. */
  readonly age: number
}

/** A node that runs. */
export interface BuiltNode {
  readonly spec: NodeSpec
  /** Plugs a port in under the node's name for it. Every port is plugged in once. */
  attach(name: string, port: Port): void
  /** Called once all ports are plugged in: static entries, mirrors. */
  ready(): void
  ports(): PortRow[]
  fdb(): FdbRow[]
}

/** A kind of node. */
export interface Mode {
  /** What `mode:` says. */
  readonly name: string
  /** Options of the node, by key. */
  readonly options: Readonly<Record<string, Schema>>
  /** Options of each of its ports, by key. */
  readonly portOptions: Readonly<Record<string, Schema>>
  /** Reports what the schema cannot say. Paths start inside the node. */
  check(node: NodeSpec, report: Report): void
  build(node: NodeSpec, ground: Ground): BuiltNode
}

/** All modes, by name. */
export const MODES: ReadonlyMap<string, Mode> = new Map([switchMode].map((mode) => [mode.name, mode]))
