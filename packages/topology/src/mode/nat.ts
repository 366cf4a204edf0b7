import { type NatModeOptions, type NatNode, type NatSettings, nat, natProfile, type OutboundOptions } from '@l2l3/modes'
import { type Address, derivedMac, onLink, parseHostAddress, parseMac } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { FdbRow, FlowRow, Mode, NeighbourRow, PortRow, Report, RouteRow, ServiceRow } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec } from '../topology.ts'
import { ModeNode } from './mode-node.ts'
import { endpointOptions, options } from './nat-schema.ts'
import { checkPolicies, flowRows, ownAddresses, policiesOf, type RawPolicies, serviceRows } from './policies.ts'
import { checkRouted, icmpOf, mtu, type RoutedOptions, routedPort, routesOf, uplinkKeys } from './routed.ts'

/* mode: nat - see `nat` in @l2l3/modes. */

interface RawInside {
  ip: string | string[]
  mac?: string
  mtu?: number
}

interface Options extends RoutedOptions, RawPolicies {
  inside?: RawInside
}

const of = (node: NodeSpec): Options => node.options as Options

/** The addresses of the gateway; those that are none are left out. */
function gatewayAddresses(node: NodeSpec, report: Report = () => {}): Address[] {
  const { ip = [] } = of(node).inside ?? {}
  return [ip].flat().flatMap((text, i) => {
    const at = Array.isArray(ip) ? ['inside', 'ip', i] : ['inside', 'ip']
    return attempt(report, at, () => parseHostAddress(text)) ?? []
  })
}

const uplinksOf = (node: NodeSpec): readonly PortSpec[] => node.ports.filter((p) => p.endpoint === null)

function check(node: NodeSpec, report: Report): void {
  const { inside } = of(node)
  if (inside === undefined) {
    report([], 'the key "inside" is missing: the gateway of the hosts')
    return
  }
  const gateways = gatewayAddresses(node, report)
  if (inside.mac !== undefined) attempt(report, ['inside', 'mac'], () => parseMac(inside.mac as string))
  for (const { name, endpoint, path } of node.ports) {
    if (name === 'inside') report(path, '"inside" is the name of the gateway\'s interface; choose another', 'key')
    for (const { text, prefix, family, bytes } of endpoint?.addresses ?? []) {
      const own = gateways.filter((g) => g.family === family)
      if (own.some((g) => g.text === text)) report([...path, 'ip'], `${text} is the address of the gateway`)
      else if (!own.some((g) => onLink(g, bytes))) {
        const networks = own.map((g) => `${g.text}/${g.prefix}`).join(', ')
        if (networks === '') report([...path, 'ip'], `inside.ip has no IPv${family} address for ${text}/${prefix}`)
        else report([...path, 'ip'], `${text}/${prefix} is not in the network of the gateway, ${networks}`)
      }
    }
  }
  for (const port of uplinksOf(node)) {
    if (port.options.isolated !== undefined) report([...port.path, 'isolated'], 'is a key of ports with a host', 'key')
    for (const { text, bytes, prefix } of port.interface.addresses) {
      const own = gateways.find((g) => onLink(g, bytes) || onLink({ ...g, bytes, prefix } as Address, g.bytes))
      if (own !== undefined) {
        report([...port.path, 'ip'], `${text} is in the network of the inside, ${own.text}/${own.prefix}`)
      }
    }
  }
  checkRouted(node, report)
  checkPolicies(node, gateways, report)
}

class NatModeNode extends ModeNode {
  #node: NatNode | null = null

  protected become(): void {
    if (this.#node === null) this.#node = nat(this.ground, { ...this.#fixed(), ...this.#settings() })
    else this.#node.change(this.#settings())
  }

  forget({ mac, addresses }: EndpointSpec): void {
    this.#node?.host.forget(
      mac,
      addresses.map((a) => a.text),
    )
  }

  leave(): void {
    this.#node?.host.leave()
  }

  /** What stays as long as the node runs. */
  #fixed(): Omit<NatModeOptions, keyof NatSettings> {
    const { spec } = this
    const { inside, portMappingRules, balancer, conntrack, mss, invalid } = of(spec)
    const { mac = derivedMac('inside', spec.name, 'gateway', 'interface'), mtu: longest } = inside as RawInside
    return {
      ...icmpOf(spec),
      ownAddresses: ownAddresses(spec),
      gateway: {
        mac: parseMac(mac),
        addresses: gatewayAddresses(spec).map(({ text, prefix }) => `${text}/${prefix}`),
        ...(longest === undefined ? {} : { mtu: longest }),
      },
      ...(portMappingRules === undefined ? {} : { portMappingRules }),
      ...(balancer === undefined ? {} : { balancer }),
      ...(conntrack === undefined ? {} : { conntrack }),
      ...(mss === undefined ? {} : { mss }),
      ...(invalid === undefined ? {} : { invalid }),
    }
  }

  #settings(): NatSettings {
    const { spec, plugged } = this
    const { outbound } = of(spec)
    return {
      inside: plugged.flatMap(({ spec: { name, label, endpoint, options: own }, port }) => {
        return endpoint === null ? [] : [{ ...own, name, label, port }]
      }),
      uplinks: plugged.filter((p) => p.spec.endpoint === null).map((p) => routedPort(p, spec)),
      routes: routesOf(spec, plugged),
      ...(outbound === undefined ? {} : { outbound: outbound.map((rule) => this.#reachable(rule)) }),
      ...policiesOf(spec),
    }
  }

  ports(): PortRow[] {
    return this.plugged.map(({ spec: { name }, port }) => {
      const side = this.#node?.inside.get(name)
      const link = this.#node?.uplinks.find((l) => l.name === name)
      const { rxFrames, rxBytes, txFrames, txBytes, rxDropped, txDropped } = port.counters
      return {
        ...{ node: this.spec.name, port: name },
        state: port.failure !== null ? port.failure.message : port.closed ? 'down' : 'up',
        ...{ rxFrames, rxBytes, txFrames, txBytes },
        dropped: side?.counters.dropped ?? link?.iface.counters.rxDropped ?? 0,
        portDropped: rxDropped + txDropped,
        offloads: port.offloadText,
      }
    })
  }

  fdb(): FdbRow[] {
    const node = this.#node
    if (node === null) return []
    const names = new Map(node.switch.ports.map((port) => [port.index, port.name]))
    return Array.from(node.switch.fdb.list(), ({ mac, vlan, port, kind, age }) => {
      return { node: this.spec.name, mac, vlan, port: names.get(port) ?? String(port), kind, age }
    })
  }

  neighbours(): NeighbourRow[] {
    const node = this.#node
    if (node === null) return []
    return [node.gateway, ...node.uplinks].flatMap(({ name, neighbours }) =>
      Array.from(neighbours.list(), ({ address, mac, state }) => {
        return { node: this.spec.name, port: name, address, mac, state }
      }),
    )
  }

  routes(): RouteRow[] {
    return Array.from(this.#node?.router.routes() ?? [], ({ to, kind, hops, metric }) => {
      const via = hops.map((hop) => (hop.via === undefined ? hop.dev : `${hop.via} ${hop.dev}`))
      return { node: this.spec.name, to, kind, via, metric }
    })
  }

  flows(limit: number): FlowRow[] {
    return this.#node === null ? [] : flowRows(this.spec.name, this.#node.nat, limit)
  }

  services(): ServiceRow[] {
    return this.#node === null ? [] : serviceRows(this.spec.name, this.#node)
  }

  /** A rule without uplinks where nothing is plugged in. */
  #reachable(rule: OutboundOptions): OutboundOptions {
    const { uplinks } = rule
    if (uplinks === undefined) return rule
    return { ...rule, uplinks: uplinks.filter((name) => this.plugged.some(({ spec }) => spec.name === name)) }
  }
}

/** Timeouts come with the first rule, and are those of the flows that there are. */
function checkChange(before: NodeSpec, next: NodeSpec, report: Report): void {
  const [was, is] = [before, next].map((node) => natProfile(of(node).outbound))
  if (was !== is)
    report(['outbound'], `its first rule would change the timeouts of flows, from those of ${was} to ${is}`)
}

/** Hosts on a network of their own behind the node's addresses. */
export const natMode: Mode = {
  name: 'nat',
  options,
  portOptions: {
    mtu: { ...mtu, description: 'MTU of the interface, the host’s at an endpoint. Default 1500.' },
    ...endpointOptions,
  },
  uplinkKeys,
  check,
  changes: ['routes', 'outbound', 'portMappings', 'services'],
  checkChange,
  gateways: (node) => [4, 6].flatMap((family) => gatewayAddresses(node).find((a) => a.family === family) ?? []),
  build: (node, ground) => new NatModeNode(node, ground),
}
