import type { Topology } from '../topology.ts'
import { namespaceName, type WireEnd } from './dataplane.ts'
import { addressed, configureHost, type Host, quiet } from './hosts.ts'
import { inNamespace } from './ip.ts'
import type { BridgePlan, RealPlan, RouterPlan } from './real-plan.ts'

/* The kernel's part of a real underlay: bridges, routers and hosts, in namespaces that are there already. */

/** Makes bridges, routers, and the hosts on bridges. TAPs of nodes are plugged in later, by `plugIn`. */
export async function makeUnderlay(topology: Topology, plan: RealPlan, signal: AbortSignal | undefined): Promise<void> {
  const plugs = plan.routers.flatMap(({ netns, interfaces }) =>
    interfaces.map(({ bridge, plug, ...end }) => ({ bridge, plug, end: { ...end, netns } })),
  )
  await Promise.all(
    plan.bridges.map((bridge) => {
      const hosts = bridge.hosts.map(([plug, { endpoint }]) => {
        return veth(bridge, plug, { ...endpoint, netns: namespaceName(topology, endpoint), device: 'eth0' })
      })
      const routers = plugs.filter((p) => p.bridge === bridge).map(({ plug, end }) => veth(bridge, plug, end))
      return inNamespace(bridge.netns, [bridgeScript(bridge), ...hosts, ...routers].join('\n'), signal)
    }),
  )
  await Promise.all([
    ...plan.routers.map((router) => inNamespace(router.netns, routerScript(router), signal)),
    ...plan.bridges.map(async ({ hosts }) => {
      for (const [, host] of hosts) await configureHost(topology, host, signal)
    }),
  ])
}

/** Makes a host on a bridge, in a namespace that is there already. */
export async function makeHost(
  topology: Topology,
  bridge: BridgePlan,
  plug: string,
  host: Host,
  signal: AbortSignal,
): Promise<void> {
  const netns = namespaceName(topology, host.endpoint)
  await inNamespace(bridge.netns, veth(bridge, plug, { ...host.endpoint, netns, device: 'eth0' }), signal)
  await configureHost(topology, host, signal)
}

/** Takes a host off its bridge. */
export async function unplugHost(bridge: BridgePlan, plug: string, signal: AbortSignal): Promise<void> {
  await inNamespace(bridge.netns, `ip link del dev ${plug}`, signal)
}

/** Makes the routes of a router what `next` says. */
export async function changeRoutes(before: RouterPlan, next: RouterPlan, signal: AbortSignal): Promise<void> {
  const [was, is] = [routesOf(before), routesOf(next)]
  const lines = [
    ...was.filter((route) => !is.includes(route)).map((route) => `ip ${route.replace('route', 'route del')}`),
    ...is.filter((route) => !was.includes(route)).map((route) => `ip ${route.replace('route', 'route add')}`),
  ]
  if (lines.length > 0) await inNamespace(next.netns, lines.join('\n'), signal)
}

/** Plugs TAPs of a node in to their bridges. */
export async function plugIn(taps: readonly WireEnd[], signal: AbortSignal | undefined): Promise<void> {
  await Promise.all(taps.map(({ netns, name }) => inNamespace(netns, `ip link set dev ${name} master br0`, signal)))
}

/** Nothing but frames pass here: the namespace has no addresses, and says nothing by itself. */
function bridgeScript({ cable }: BridgePlan): string {
  // A cable floods what comes in, and keeps link-local groups (LLDP and the like) from nobody.
  const how = cable ? 'ageing_time 0 group_fwd_mask 65528' : ''
  return [
    'for key in all default; do conf=/proc/sys/net/ipv6/conf/$key/disable_ipv6; [ ! -e $conf ] || echo 1 > $conf; done',
    // Where br_netfilter is loaded, bridged packets would pass firewalls.
    'for conf in /proc/sys/net/bridge/bridge-nf-call-*; do [ ! -e $conf ] || echo 0 > $conf; done',
    'ip link set lo up',
    `ip link add name br0 type bridge mcast_snooping 0 ${how}`,
    'ip link set br0 up',
  ].join('\n')
}

/** The end of a veth in the namespace of a host or router. */
interface FarEnd {
  readonly netns: string
  readonly device: string
  readonly mac: string
  readonly mtu: number
}

/** Shell lines that plug a host or a router in to the bridge of this namespace. */
function veth({ mtu }: BridgePlan, plug: string, far: FarEnd): string {
  const peer = `name ${far.device} address ${far.mac} mtu ${far.mtu} netns ${far.netns}`
  return `ip link add name ${plug} mtu ${mtu} type veth peer ${peer}\nip link set dev ${plug} master br0 up`
}

/** The kernel as the router: it forwards, and sends no redirects, since a node's next hop is what its routes say. */
function routerScript(router: RouterPlan): string {
  const { interfaces } = router
  const lines = interfaces.flatMap(({ device, addresses }) => [quiet(device), ...addressed(device, addresses)])
  return [
    'echo 1 > /proc/sys/net/ipv4/ip_forward',
    'for key in all default; do echo 0 > /proc/sys/net/ipv4/conf/$key/send_redirects; echo 0 > /proc/sys/net/ipv4/conf/$key/rp_filter; done',
    'if [ -d /proc/sys/net/ipv6/conf ]; then echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; fi',
    'ip link set lo up',
    ...lines,
    ...routesOf(router).map((route) => `ip ${route.replace('route', 'route add')}`),
  ].join('\n')
}

/** The routes of a router, as words for `ip`: "-4 route 10.0.0.0/8 via 192.0.2.1". */
function routesOf({ interfaces }: RouterPlan): string[] {
  return interfaces.flatMap(({ routes }) =>
    routes.map(({ to, via }) => `-${via.includes(':') ? 6 : 4} route ${to} via ${via}`),
  )
}
