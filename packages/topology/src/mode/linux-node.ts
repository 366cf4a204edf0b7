import type { Ground, HostNode, RoutedNode } from '@l2l3/modes'
import { FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import type { FdbRow, NeighbourRow, PortRow, Report, Schema } from '../mode.ts'
import type { EndpointSpec, NodeSpec } from '../topology.ts'
import { HostModeNode } from './host-mode-node.ts'
import type { Plugged } from './mode-node.ts'
import { options as natOptions } from './nat-schema.ts'
import { ownAddresses } from './policies.ts'
import { routedPort } from './routed.ts'
import { tunnelFdb, tunnelNeighbours, tunnelRows } from './tunnels.ts'

/* Nodes of container networks on Linux: a host of @l2l3/modes, with pods on bridges or links of their own, tunnels, and the NAT
 * that kube-proxy, portmap and the plugin write. */

/** Keys of kube-proxy, portmap and the table of flows. */
export const kubeOptions: Readonly<Record<string, Schema>> = Object.fromEntries(
  ['portMappings', 'services', 'balancer', 'conntrack', 'mss', 'invalid'].map((key) => [
    key,
    natOptions[key] as Schema,
  ]),
)

/** Those of them that may change while a node runs. */
export const KUBE_CHANGES: readonly string[] = ['portMappings', 'services']

/** Makes of a spec, and what is plugged in, those settings that change. */
export type SettingsOf<S> = (spec: NodeSpec, plugged: readonly Plugged[]) => S

/** Builds a node with them. */
export type Build<S> = (ground: Ground, settings: S, spec: NodeSpec) => RoutedNode<S>

/** A node of a container network. */
export class LinuxModeNode<S> extends HostModeNode {
  readonly #settings: SettingsOf<S>
  readonly #build: Build<S>
  #node: RoutedNode<S> | null = null

  constructor(spec: NodeSpec, ground: Ground, settings: SettingsOf<S>, build: Build<S>) {
    super(spec, ground)
    this.#settings = settings
    this.#build = build
  }

  /** What was built; null before. */
  protected get node(): RoutedNode<S> | null {
    return this.#node
  }

  protected get host(): HostNode | null {
    return this.#node?.host ?? null
  }

  protected become(): void {
    const settings = this.#settings(this.spec, this.plugged)
    if (this.#node === null) this.#node = this.#build(this.ground, settings, this.spec)
    else this.#node.change(settings)
  }

  override ports(): PortRow[] {
    return [...super.ports(), ...tunnelRows(this.spec.name, this.host?.tunnels ?? [])]
  }

  override fdb(): FdbRow[] {
    return [...super.fdb(), ...tunnelFdb(this.spec.name, this.host?.tunnels ?? [])]
  }

  override neighbours(): NeighbourRow[] {
    return [...super.neighbours(), ...tunnelNeighbours(this.spec.name, this.host?.tunnels ?? [])]
  }
}

/** Those settings of the NAT that stay as long as the node runs. */
export function gateOptions(node: NodeSpec): Record<string, unknown> {
  const keys = ['balancer', 'conntrack', 'mss', 'invalid']
  const given = Object.fromEntries(keys.flatMap((key) => (key in node.options ? [[key, node.options[key]]] : [])))
  return { ...given, ownAddresses: ownAddresses(node) }
}

/** The node's uplinks among what is plugged in. */
export function uplinksOf(node: NodeSpec, plugged: readonly Plugged[]): ReturnType<typeof routedPort>[] {
  return plugged.filter((p) => p.spec.endpoint === null).map((p) => routedPort(p, node))
}

/** A port with a host, as the modes' functions take it: a pod on a link of its own. */
export interface PodOfFile {
  readonly name: string
  readonly label: string
  readonly port: Plugged['port']
  readonly mac: string
  readonly ips: readonly string[]
  readonly mtu?: number
}

/** Pods on links of their own among what is plugged in. */
export function podsOf(plugged: readonly Plugged[]): PodOfFile[] {
  return plugged.flatMap(({ spec, port }) => {
    if (spec.endpoint === null) return []
    const { name, mac, addresses } = spec.endpoint as EndpointSpec
    return [
      {
        ...{ name, label: spec.label, port, mac, ips: addresses.map((a) => a.text) },
        ...(spec.options as { mtu?: number }),
      },
    ]
  })
}

/** Reports a pod that is not alone on its link. */
export function checkAlone(node: NodeSpec, report: Report): void {
  for (const { endpoint, path } of node.ports) {
    for (const { text, prefix, bytes } of endpoint?.addresses ?? []) {
      const whole = bytes.length * 8
      if (prefix !== whole) report([...path, 'ip'], `expected ${text}/${whole}: a pod is alone on its link`)
    }
  }
}

/** Reports keys that the file gives and that mean nothing to the node as it is.
 * @param why completes "vni ..." */
export function checkUnused(node: NodeSpec, keys: readonly string[], why: string, report: Report): void {
  for (const key of keys) if (key in node.options) report([key], why, 'key')
}

/** Builds a node for a moment, where nothing was found wrong with it, and reports why that fails. */
export function tryToBuild<S>(node: NodeSpec, settings: SettingsOf<S>, build: Build<S>, report: Report): void {
  const pool = new FramePool({ frames: 8, frameSize: 2048 })
  const clock = new VirtualClock()
  const ground = { pool, clock, loop: new Loop(pool, clock) }
  const small: NodeSpec = { ...node, options: { ...node.options, conntrack: { maxFlows: 16 } } }
  const trial = new LinuxModeNode<S>(small, ground, settings, build)
  for (const { name } of node.ports) trial.attach(name, new MemoryPort(pool, name))
  try {
    trial.ready()
  } catch (error) {
    report([], (error as Error).message)
  }
}
