import { type Address, isLinkLocal, onLink } from '../address.ts'
import { gatewaysOf } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec, Topology } from '../topology.ts'
import { namespaceName } from './dataplane.ts'
import { inNamespace } from './ip.ts'

/* Hosts: stock Linux in a namespace, whose interface `eth0` is there already, and gets its addresses and routes here. */

/** An endpoint and by which addresses it reaches other networks. */
export interface Host {
  readonly endpoint: EndpointSpec
  readonly gateways: readonly Address[]
}

/** The hosts on ports of a node. */
export function hostsOf(node: NodeSpec): Host[] {
  return node.ports.flatMap((port: PortSpec) =>
    port.endpoint === null ? [] : [{ endpoint: port.endpoint, gateways: gatewaysOf(node, port) }],
  )
}

/** Addresses an endpoint, and sets its default routes. A gateway in none of its networks is first made one on the link,
 * as Calico's plugin does it: `ip route add 169.254.1.1 dev eth0 scope link`. Neighbours that it is told are permanent. */
export async function configureHost(topology: Topology, host: Host, signal: AbortSignal | undefined): Promise<void> {
  const { endpoint, gateways } = host
  const further = (endpoint.routes ?? []).map(({ to, via }) => {
    return `ip -${to.family} route add ${to.text}/${to.prefix} via ${via.text} dev eth0 onlink`
  })
  const routes = gateways.flatMap((gateway) => {
    const { text, family } = gateway
    const known = isLinkLocal(gateway) || endpoint.addresses.some((own) => onLink(own, gateway.bytes))
    const toLink = known ? [] : [`ip -${family} route add ${text} dev eth0 scope link`]
    return [...toLink, `ip -${family} route add default via ${text} dev eth0`]
  })
  const neighbours = (endpoint.neighbours ?? []).map(({ address, mac }) => {
    return `ip neigh replace ${address.text} lladdr ${mac} dev eth0 nud permanent`
  })
  const own = [...addressed('eth0', endpoint.addresses), ...neighbours]
  const script = [quiet('eth0'), 'ip link set lo up', ...own, ...routes, ...further]
  await inNamespace(namespaceName(topology, endpoint), script.join('\n'), signal)
}

/** Shell lines that bring an interface up with these addresses. */
export function addressed(device: string, addresses: readonly Address[]): string[] {
  const lines = addresses.map(({ family, text, prefix }) => {
    return `ip addr add ${text}/${prefix} dev ${device}${family === 6 ? ' nodad' : ''}`
  })
  return [`ip link set ${device} up`, ...lines]
}

/** A shell line that turns off what would delay IPv6 on an interface, or ask for routers where there are none: duplicate
 * address detection would hold it back for a second. */
export function quiet(device: string): string {
  const conf = `/proc/sys/net/ipv6/conf/${device}`
  return `if [ -d ${conf} ]; then echo 0 > ${conf}/accept_dad; echo 0 > ${conf}/router_solicitations; fi`
}
