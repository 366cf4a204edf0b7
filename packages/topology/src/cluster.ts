import type { Mode, Modes } from './mode.ts'
import type { EndpointSpec, NodeSpec } from './topology.ts'

/*
 * What nodes of a file know of each other without being told: a controller of the network writes down on each node which of
 * the others has which pods, and so does this.
 *
 *     n1: { mode: calico, blocks: [10.244.1.0/26] }      n1.peers = [{ node: n2, subnets: [10.244.2.0/26], address: 192.0.2.2 }]
 *     n2: { mode: calico, blocks: [10.244.2.0/26] }      n2.peers = [{ node: n1, ... }]
 *
 * A cluster is all nodes of one mode and one `cluster` name. Peers that the file gives itself come first, and one of a node's
 * name takes the place of what that node announces.
 */

interface ClusterOptions {
  readonly cluster?: string
  readonly announce?: boolean
  readonly peers?: readonly { readonly node: string }[]
}

const of = (node: NodeSpec): ClusterOptions => node.options as ClusterOptions

/** Nodes that know their peers. */
export function withPeers(nodes: readonly NodeSpec[], modes: Modes): NodeSpec[] {
  const known = new Map(nodes.map((node) => [node, modes.get(node.mode)?.announces?.(node)]))
  const told = nodes.flatMap((node) => {
    const peer = known.get(node) ?? null
    return peer === null || of(node).announce === false ? [] : [{ from: node, peer }]
  })
  return nodes.map((node) => {
    if (known.get(node) === undefined) return node
    const own = of(node).peers ?? []
    const others = told.filter(({ from, peer }) => {
      const near = from.mode === node.mode && of(from).cluster === of(node).cluster
      return near && from !== node && !own.some((given) => given.node === peer.node)
    })
    return { ...node, options: { ...node.options, peers: [...own, ...others.map(({ peer }) => peer)] } }
  })
}

/** A node whose hosts know the neighbours that its mode tells them. */
export function withNeighbours(node: NodeSpec, mode: Mode): NodeSpec {
  const { neighbours } = mode
  if (neighbours === undefined) return node
  const ports = node.ports.map((port) => {
    const { endpoint } = port
    if (endpoint === null) return port
    const told: EndpointSpec = { ...endpoint, neighbours: neighbours(node, port) }
    return { ...port, endpoint: told }
  })
  return { ...node, ports }
}
