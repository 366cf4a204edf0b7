import { setImmediate } from 'node:timers/promises'
import { configureInterface, type RouteSetup } from '@l2l3/tap-io'
import { type Address, isLinkLocal, onLink } from '../address.ts'
import { gatewaysOf } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec, Topology } from '../topology.ts'
import { namespaceName } from './dataplane.ts'

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
 * as Calico's plugin does it: `ip route add 169.254.1.1 dev eth0 scope link`. Neighbours that it is told are permanent.
 *
 * @throws Error that says what was refused, as where the signal is aborted */
export async function configureHost(topology: Topology, host: Host, signal: AbortSignal | undefined): Promise<void> {
  const { endpoint, gateways } = host
  // Between two hosts, frames of those that are there already pass.
  await setImmediate()
  signal?.throwIfAborted()
  const further = (endpoint.routes ?? []).map(({ to, via }) => ({ to, via: via.bytes, onlink: true }))
  const routes = gateways.flatMap((gateway): RouteSetup[] => {
    const { bytes } = gateway
    const known = isLinkLocal(gateway) || endpoint.addresses.some((own) => onLink(own, bytes))
    const toLink = known ? [] : [{ to: { bytes, prefix: bytes.length * 8 }, via: null }]
    return [...toLink, { to: { bytes: new Uint8Array(bytes.length), prefix: 0 }, via: bytes }]
  })
  const netns = namespaceName(topology, endpoint)
  const neighbours = (endpoint.neighbours ?? []).map(({ address, mac }) => ({ address: address.bytes, mac }))
  try {
    configureInterface(netns, 'eth0', { addresses: endpoint.addresses, neighbours, routes: [...routes, ...further] })
  } catch (error) {
    throw new Error(`setting up ${netns} failed: ${(error as Error).message}`)
  }
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
