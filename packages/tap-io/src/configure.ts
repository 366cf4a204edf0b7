import { formatIpv6 } from '@l2l3/switch-core/wire'
import { native } from './native.ts'
import { type Netns, netnsPath } from './netns.ts'
import { linkUp, newAddress, newRoute, permanentNeighbour, type RouteSetup } from './rtnetlink.ts'
import { errnoName, errnoText, TapError } from './tap-error.ts'
import { checkMac } from './tap-options.ts'

/*
 * An interface in a namespace as a host has it: up, with addresses, routes and neighbours. No program is run: a thousand hosts take
 * a second or two, where each line of a script would be a process.
 */

/** What an interface gets. Addresses have 4 or 16 bytes, in network order. */
export interface InterfaceSetup {
  readonly addresses: readonly { readonly bytes: Uint8Array; readonly prefix: number }[]
  /** Neighbours that it is told of for good. */
  readonly neighbours?: readonly { readonly address: Uint8Array; readonly mac: string }[]
  /** In this order. */
  readonly routes?: readonly RouteSetup[]
}

/** The number of a namespace's loopback interface. */
const LOOPBACK = 1

/**
 * Brings an interface and the loopback of its namespace up, and gives it addresses, neighbours and routes. What would delay IPv6 there
 * is turned off: duplicate address detection would hold it back for a second, and there is no router to ask for.
 *
 * @throws TapError - what could not be had, with the errno's name as its code: the namespace, the interface, an address, a route
 */
export function configureInterface(netns: Netns, device: string, setup: InterfaceSetup): void {
  const addon = native()
  const path = netnsPath(netns)
  const index = addon.interfaceIndex(path, device)
  if (index < 0) throw problem('device', device, -index)
  const steps: [key: string, value: string, message: Uint8Array][] = [
    ['device', 'lo', linkUp(LOOPBACK)],
    ['device', device, linkUp(index)],
    ...setup.addresses.map(({ bytes, prefix }): [string, string, Uint8Array] => {
      return ['address', `${ipText(bytes)}/${prefix}`, newAddress(index, bytes, prefix)]
    }),
    ...(setup.neighbours ?? []).map(({ address, mac }): [string, string, Uint8Array] => {
      return ['neighbour', ipText(address), permanentNeighbour(index, address, checkMac(mac, 'mac'))]
    }),
    ...(setup.routes ?? []).map((route): [string, string, Uint8Array] => {
      return ['route', routeText(route), newRoute(index, route)]
    }),
  ]
  const ipv6 = `/proc/sys/net/ipv6/conf/${device}`
  const keys = `${ipv6}/accept_dad=0\n${ipv6}/router_solicitations=0\n`
  const result = new Int32Array(2)
  addon.configure(path, keys, Buffer.concat(steps.map(([, , message]) => message)), result)
  const [done, errno] = result as unknown as [number, number]
  if (errno === 0) return
  const [key, value] = steps[done] ?? ['netns', String(netns)]
  throw problem(key, value, errno)
}

function problem(key: string, value: string, errno: number): TapError {
  return new TapError(errnoName(errno), key, value, errnoText(errno))
}

function routeText({ to, via }: RouteSetup): string {
  const network = to.prefix === 0 ? 'default' : `${ipText(to.bytes)}/${to.prefix}`
  return via === null ? `${network} on the link` : `${network} via ${ipText(via)}`
}

function ipText(bytes: Uint8Array): string {
  return bytes.length === 4 ? bytes.join('.') : formatIpv6(bytes)
}
