import { type OverlayPort, type SocketUplink, type VtepNode, type VtepSettings, vtep } from '@l2l3/modes'
import type { SwitchPortOptions } from '@l2l3/switch-core'
import type { Address } from '../address.ts'
import type { FdbRow, Mode, NeighbourRow, PortRow, RouteRow } from '../mode.ts'
import type { EndpointSpec, NodeSpec } from '../topology.ts'
import { ModeNode } from './mode-node.ts'
import { icmpOf, mtu, type Plugged, routedPort, routesOf, uplinkKeys } from './routed.ts'
import { check } from './vtep-check.ts'
import {
  built,
  isUnderlay,
  localOf,
  networkOf,
  networksOf,
  ownAddresses,
  socketOf,
  vtepOptions,
} from './vtep-networks.ts'
import { options, sideOptions, udp } from './vtep-schema.ts'

/* mode: vtep - see `vtep` in @l2l3/modes. */

class VtepModeNode extends ModeNode {
  #node: VtepNode | null = null

  protected become(): void {
    const { spec, plugged } = this
    const own = ownAddresses(spec)
    const underlay = plugged.filter((p) => isUnderlay(p.spec))
    const there = (uplink: string): boolean => underlay.some((p) => p.spec.name === uplink)
    const settings: VtepSettings = {
      ports: plugged.flatMap((p) => (isUnderlay(p.spec) ? [] : [overlayPort(spec, p)])),
      networks: networksOf(spec).map(([name, raw]) => {
        const { multicast, ...rest } = built(spec, name, raw, localOf(raw, own) as Address)
        return multicast === undefined || !there(multicast.uplink) ? rest : { ...rest, multicast }
      }),
      uplinks: underlay.filter((p) => socketOf(p.spec) === null).map((p) => routedPort(p, spec)),
      routes: routesOf(spec, underlay),
    }
    if (this.#node !== null) {
      this.#node.change(settings)
      return
    }
    const { ageing, maxEntries } = vtepOptions(spec)
    this.#node = vtep(this.ground, {
      ...{ ...icmpOf(spec), ...settings },
      sockets: underlay.flatMap((p) => socketUplink(p) ?? []),
      addresses: own.map((a) => a.text),
      ...(ageing === undefined ? {} : { ageing }),
      ...(maxEntries === undefined ? {} : { maxEntries }),
    })
  }

  forget({ mac }: EndpointSpec): void {
    this.#node?.forget(mac)
  }

  leave(): void {
    this.#node?.host.leave()
  }

  ports(): PortRow[] {
    const node = this.#node
    if (node === null) return []
    const sides = new Map(node.networks.flatMap((n) => [...n.sides]))
    const plugged = this.plugged.map(({ spec: { name }, port }): PortRow => {
      const link = node.links.find((l) => l.name === name)
      const { rxFrames, rxBytes, txFrames, txBytes, rxDropped, txDropped } = port.counters
      return {
        ...{ node: this.spec.name, port: name },
        state: port.failure !== null ? port.failure.message : port.closed ? 'down' : 'up',
        ...{ rxFrames, rxBytes, txFrames, txBytes },
        dropped: sides.get(name)?.counters.dropped ?? link?.iface.counters.rxDropped ?? 0,
        portDropped: rxDropped + txDropped,
        offloads: port.offloadText,
      }
    })
    const tunnels = node.networks.flatMap(({ tunnels: list }) =>
      list.map(({ side, id, local, remotes }): PortRow => {
        const { rxFrames, rxBytes, txFrames, txBytes, dropped } = side.counters
        return {
          ...{ node: this.spec.name, port: side.name, state: 'up' },
          ...{ rxFrames, rxBytes, txFrames, txBytes, dropped, portDropped: 0, offloads: '-' },
          tunnel: `${id}, ${local} to ${remotes().join(', ') || 'nobody yet'}`,
        }
      }),
    )
    return [...plugged, ...tunnels]
  }

  fdb(): FdbRow[] {
    return (this.#node?.networks ?? []).flatMap(({ switch: bridge, tunnels }) => {
      const node = this.spec.name
      const names = new Map(bridge.ports.map((port) => [port.index, port.name]))
      const rows: FdbRow[] = []
      for (const { side, id, remotes, network } of tunnels) {
        const vniText = network === null ? id : `vni ${network.vni}`
        if (network === null) names.set(side.index, `${remotes()[0]} ${vniText}`)
        else {
          const name = (to: string): string => (to.includes(' ') ? to : `${to} ${vniText}`)
          for (const { mac, remote: to, kind, age } of network.entries()) {
            rows.push({ node, mac, vlan: 0, port: name(to), kind, age })
          }
          for (const to of network.flood) {
            rows.push({ node, mac: '00:00:00:00:00:00', vlan: 0, port: name(to), kind: 'flood', age: 0 })
          }
          // The switch knows the same addresses: that they are behind the tunnel says less.
          names.delete(side.index)
        }
      }
      for (const { mac, vlan, port, kind, age } of bridge.fdb.list()) {
        const name = names.get(port)
        if (name !== undefined) rows.push({ node, mac, vlan, port: name, kind, age })
      }
      return rows
    })
  }

  neighbours(): NeighbourRow[] {
    return (this.#node?.links ?? []).flatMap(({ name, neighbours }) =>
      Array.from(neighbours.list(), ({ address, mac, state }) => {
        return { node: this.spec.name, port: name, address, mac, state }
      }),
    )
  }

  routes(): RouteRow[] {
    const node = this.spec.name
    const own = Array.from(this.#node?.router.routes() ?? [], ({ to, kind, hops, metric }): RouteRow => {
      const via = hops.map((hop) => (hop.via === undefined ? hop.dev : `${hop.via} ${hop.dev}`))
      return { node, to, kind, via, metric }
    })
    const inside = (this.#node?.networks ?? []).flatMap(({ tunnels }) =>
      tunnels.flatMap(({ network: net }) =>
        Array.from(net?.routes() ?? [], ({ to, remote: by }): RouteRow => {
          return { node, to, kind: 'static', via: [by.includes(' ') ? by : `${by} vni ${net?.vni}`], metric: 0 }
        }),
      ),
    )
    return [...own, ...inside]
  }
}

function socketUplink({ spec, port }: Plugged): SocketUplink | null {
  const socket = socketOf(spec)
  if (socket === null) return null
  const { name, label } = spec
  const { address, port: udpPort = 4789 } = socket
  return { name, label, port, address, udpPort, ...(spec.options as { mtu?: number }) }
}

function overlayPort(node: NodeSpec, { spec, port }: Plugged): OverlayPort {
  const { network: _, ...settings } = spec.options as SwitchPortOptions & { network?: string }
  return { ...settings, name: spec.name, label: spec.label, port, network: networkOf(node, spec) as string }
}

/** Networks that span nodes. */
export const vtepMode: Mode = {
  name: 'vtep',
  options,
  portOptions: {
    network: {
      type: 'string',
      description: 'The network that the port is in. Default: the only one; at an uplink: none.',
    },
    mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' },
    ...sideOptions,
  },
  uplinkKeys: { ...uplinkKeys, udp },
  scope: ({ network: named }) => (typeof named === 'string' ? named : ''),
  check,
  changes: ['routes', 'networks'],
  build: (node, ground) => new VtepModeNode(node, ground),
}
