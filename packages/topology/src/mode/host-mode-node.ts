import type { HostNode } from '@l2l3/modes'
import type { FdbRow, FlowRow, NeighbourRow, PortRow, RouteRow, ServiceRow } from '../mode.ts'
import type { EndpointSpec } from '../topology.ts'
import { ModeNode } from './mode-node.ts'
import { flowRows, serviceRows } from './policies.ts'

/* What nodes that are a host with bridges show of themselves: ports of its bridges and its uplinks, what their tables know, and the
 * flows of its NAT, where it has one. */

export abstract class HostModeNode extends ModeNode {
  /** The host; null before it is built. */
  protected abstract get host(): HostNode | null

  forget({ mac, addresses }: EndpointSpec): void {
    this.host?.forget(
      mac,
      addresses.map((a) => a.text),
    )
  }

  leave(): void {
    this.host?.leave()
  }

  ports(): PortRow[] {
    const sides = new Map(this.host?.bridges.flatMap((b) => b.ports.list.map(({ name, side }) => [name, side])))
    const links = [...(this.host?.uplinks ?? []), ...(this.host?.pods ?? [])]
    return this.plugged.map(({ spec: { name }, port }) => {
      const side = sides.get(name)
      const link = links.find((l) => l.name === name)
      const { rxFrames, rxBytes, txFrames, txBytes, rxDropped, txDropped } = port.counters
      return {
        ...{ node: this.spec.name, port: name },
        state: port.failure !== null ? port.failure.message : port.closed || side?.up === false ? 'down' : 'up',
        ...{ rxFrames, rxBytes, txFrames, txBytes },
        dropped: side?.counters.dropped ?? link?.iface.counters.rxDropped ?? 0,
        portDropped: rxDropped + txDropped,
        offloads: port.offloadText,
      }
    })
  }

  fdb(): FdbRow[] {
    return (this.host?.bridges ?? []).flatMap(({ switch: bridge }) => {
      const names = new Map(bridge.ports.map(({ index, name }) => [index, name]))
      return Array.from(bridge.fdb.list(), ({ mac, vlan, port, kind, age }) => {
        return { node: this.spec.name, mac, vlan, port: names.get(port) ?? String(port), kind, age }
      })
    })
  }

  neighbours(): NeighbourRow[] {
    const { host } = this
    if (host === null) return []
    return host.links.flatMap(({ name, neighbours }) =>
      Array.from(neighbours.list(), ({ address, mac, state }) => {
        return { node: this.spec.name, port: name, address, mac, state }
      }),
    )
  }

  routes(): RouteRow[] {
    return Array.from(this.host?.router.routes() ?? [], ({ to, kind, hops, metric }) => {
      const via = hops.map((hop) => (hop.via === undefined ? hop.dev : `${hop.via} ${hop.dev}`))
      return { node: this.spec.name, to, kind, via, metric }
    })
  }

  flows(limit: number): FlowRow[] {
    const gate = this.host?.nat ?? null
    return gate === null ? [] : flowRows(this.spec.name, gate.nat, limit)
  }

  services(): ServiceRow[] {
    const gate = this.host?.nat ?? null
    return gate === null ? [] : serviceRows(this.spec.name, gate)
  }
}
