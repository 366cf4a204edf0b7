import type { BridgedNode, HostNode } from '@l2l3/modes'
import { type Address, derivedMac, onLink, parseHostAddress, parseMac } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { FdbRow, NeighbourRow, PortRow, Report, Schema } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec } from '../topology.ts'
import { underlayAddresses } from './cluster-keys.ts'
import { LinuxModeNode } from './linux-node.ts'
import { mtu, uplinkKeys } from './routed.ts'

/* Nodes whose bridges reach those of other nodes through tunnels: what they show besides what every host does, and the keys and
 * checks that these modes have in common. */

/** A node with tunnels on its bridges. */
export class BridgedModeNode<S> extends LinuxModeNode<S> {
  get #built(): BridgedNode<S> | null {
    return this.node as BridgedNode<S> | null
  }

  /** The host that has the bridges. */
  get #inside(): HostNode | null {
    return this.#built?.inside ?? null
  }

  override forget(host: EndpointSpec): void {
    super.forget(host)
    const addresses = host.addresses.map((a) => a.text)
    this.#inside?.forget(host.mac, addresses)
    for (const { network } of this.#built?.overlays ?? []) {
      for (const entry of [...(network?.entries() ?? [])]) {
        if (entry.mac === host.mac && entry.kind === 'dynamic') network?.deleteAddress(entry.mac)
      }
    }
  }

  override ports(): PortRow[] {
    const node = this.spec.name
    const sides = new Map(
      this.#inside?.bridges.flatMap((bridge) => bridge.ports.list.map(({ name, side }) => [name, side])),
    )
    const own = super.ports().map((row) => {
      const side = sides.get(row.port)
      if (side === undefined) return row
      return { ...row, state: side.up ? row.state : 'down', dropped: side.counters.dropped }
    })
    const tunnels = (this.#built?.overlays ?? []).map(({ side, id, local, remotes }): PortRow => {
      const { rxFrames, rxBytes, txFrames, txBytes, dropped } = side.counters
      return {
        ...{ node, port: side.name, state: 'up', rxFrames, rxBytes, txFrames, txBytes, dropped },
        ...{ portDropped: 0, offloads: '-' },
        tunnel: `${id}, ${local} to ${[...new Set(remotes())].join(', ') || 'nobody yet'}`,
      }
    })
    return [...own, ...tunnels]
  }

  override fdb(): FdbRow[] {
    const node = this.spec.name
    const inside = (this.#inside?.bridges ?? []).flatMap(({ switch: bridge }) => {
      const names = new Map(bridge.ports.map(({ index, name }) => [index, name]))
      return Array.from(bridge.fdb.list(), ({ mac, vlan, port, kind, age }): FdbRow => {
        return { node, mac, vlan, port: names.get(port) ?? String(port), kind, age }
      })
    })
    const far = (this.#built?.overlays ?? []).flatMap(({ network }) =>
      Array.from(network?.entries() ?? [], ({ mac, remote, kind, age }): FdbRow => {
        return { node, mac, vlan: 0, port: remote, kind, age }
      }),
    )
    return [...super.fdb(), ...inside, ...far]
  }

  override neighbours(): NeighbourRow[] {
    const inside = (this.#inside?.links ?? []).flatMap(({ name, neighbours }) =>
      Array.from(neighbours.list(), ({ address, mac, state }): NeighbourRow => {
        return { node: this.spec.name, port: name, address, mac, state }
      }),
    )
    return [...super.neighbours(), ...inside]
  }
}

/** Key of a gateway on a bridge. */
export const gatewayKey = (description: string): Schema => ({
  type: 'object',
  required: ['ip'],
  additionalProperties: false,
  description,
  properties: {
    ip: { ...uplinkKeys.ip, description: 'Its addresses with their prefixes: one, or a list.' },
    mac: { type: 'string', description: 'Its MAC address. Default: made from the names, 02:....' },
    mtu: { ...mtu, description: 'Its MTU. Default 1500.' },
  },
})

/** A gateway as the file has it. */
export interface RawGateway {
  ip: string | string[]
  mac?: string
  mtu?: number
}

/** The addresses of a gateway; those that are none are reported. */
export function gatewayAddresses(raw: RawGateway | undefined, report: Report = () => {}): Address[] {
  return [raw?.ip ?? []].flat().flatMap((text) => attempt(report, ['ip'], () => parseHostAddress(text)) ?? [])
}

/** A gateway as the modes' functions take it.
 * @param macOf its MAC, where the file gives none */
export function gatewayOf(
  node: NodeSpec,
  raw: RawGateway,
  macOf: (addresses: readonly Address[]) => string = () => derivedMac('bridge', node.name, 'gateway', 'interface'),
): { mac: string; addresses: string[]; mtu?: number } {
  const all = gatewayAddresses(raw)
  return {
    mac: parseMac(raw.mac ?? macOf(all)),
    addresses: all.map(({ text, prefix }) => `${text}/${prefix}`),
    ...(raw.mtu === undefined ? {} : { mtu: raw.mtu }),
  }
}

/** Reports hosts that are not in the network of a gateway, or have its address. */
export function checkHosts(ports: readonly PortSpec[], gateways: readonly Address[], report: Report): void {
  for (const { endpoint, path } of ports) {
    for (const { text, prefix, family, bytes } of endpoint?.addresses ?? []) {
      const own = gateways.filter((g) => g.family === family)
      if (own.some((g) => g.text === text)) report([...path, 'ip'], `${text} is the address of the gateway`)
      else if (own.length > 0 && !own.some((g) => onLink(g, bytes))) {
        const networks = own.map((g) => `${g.text}/${g.prefix}`).join(', ')
        report([...path, 'ip'], `${text}/${prefix} is not in the network of the gateway, ${networks}`)
      }
    }
  }
}

/** Reports a node without an IPv4 address that tunnels could go from. */
export function checkUnderlay(node: NodeSpec, report: Report): void {
  if (!underlayAddresses(node).some((a) => a.family === 4)) {
    report([], `node ${node.name} has no IPv4 address at a port without a host: tunnels go from there`)
  }
}

/** The first IPv4 address among the keys of a host; undefined where there is none. */
export function firstIpv4({ ip = [] }: Readonly<{ ip?: string | string[] }>): string | undefined {
  const text = [ip].flat().find((a) => !a.includes(':'))
  const address = attempt(
    () => {},
    [],
    () => parseHostAddress(text ?? ''),
  )
  return address?.text
}

/** Those settings that have a value. */
export function given<T extends object>(settings: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as never
}

/** Reports what a mode is checked for, and says whether it was fine. */
export function noted(report: Report, check: (note: Report) => void): boolean {
  let fine = true
  check((path, message, at) => {
    fine = false
    report(path, message, at)
  })
  return fine
}
