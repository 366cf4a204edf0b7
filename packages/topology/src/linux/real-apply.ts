import { alike } from '../alike.ts'
import { checkChanges, type HostPort, hostChanges } from '../changes.ts'
import { gatewaysOf } from '../mode.ts'
import { problemOf } from '../places.ts'
import type { Topology } from '../topology.ts'
import { TopologyError } from '../topology-error.ts'
import { changeRoutes, makeHost, unplugHost } from './bridges.ts'
import { namespaceName } from './dataplane.ts'
import type { Host } from './hosts.ts'
import type { NodeProcess } from './node-process.ts'
import { type BridgePlan, type PartPlan, planReal, type RealPlan } from './real-plan.ts'
import type { Site } from './site.ts'

/*
 * Changing what runs where the underlay is real. Each process changes the node that it is, and asks for the namespaces of hosts
 * that come; hosts and routes of segments are the kernel's, and are changed here.
 */

/** What runs. */
export interface RealSite {
  readonly topology: Topology
  readonly plan: RealPlan
  readonly nodes: readonly NodeProcess[]
  readonly site: Site
  readonly signal: AbortSignal
}

/**
 * Makes what runs into what `next` says, and gives its plan.
 *
 * @throws TopologyError where something needs a restart, and an Error where a node whose process has ended would change; nothing
 * is changed then
 */
export async function applyReal(now: RealSite, next: Topology): Promise<RealPlan> {
  checkChanges(now.topology, next)
  const { come, replaced, gone } = hostChanges(now.topology, next)
  const moved = replaced.filter((pair) => pair.before.node.name !== pair.next.node.name)
  if (moved.length > 0) throw new TopologyError(moved.map((pair) => whyNot(next, pair.before, pair.next)))
  const plan = planReal(next)
  const changing = now.nodes.flatMap((node): [NodeProcess, PartPlan][] => {
    const part = plan.parts.find((p) => p.node.name === node.name)
    return part === undefined || alike(part.topology, node.part.topology) ? [] : [[node, part]]
  })
  const dead = changing.find(([node]) => !node.alive)?.[0]
  if (dead !== undefined) throw new Error(`node ${dead.name} cannot change: ${dead.ended}`)
  // Hosts of the kernel that go, before others come that may have their addresses.
  for (const host of [...gone, ...replaced.map((pair) => pair.before)]) await dropKernelHost(now, now.plan, host)
  for (const [node, part] of changing) await node.apply(part)
  for (const host of [...come, ...replaced.map((pair) => pair.next)]) await addKernelHost(now, next, plan, host)
  for (const router of plan.routers) {
    const before = now.plan.routers.find((r) => r.netns === router.netns)
    if (before !== undefined) await changeRoutes(before, router, now.signal)
  }
  return plan
}

function whyNot(next: Topology, before: HostPort, { node, port }: HostPort): ReturnType<typeof problemOf> {
  const what = `endpoint ${port.name} from ${before.node.name} to ${node.name}`
  const place = node.segment === undefined ? ['nodes', node.name, 'endpoints'] : ['segments', node.segment, 'hosts']
  const why = 'where nodes are processes of their own, an endpoint goes from one to another by being taken off first'
  return problemOf(next, [...place, port.name], `${what}: needs a restart: ${why}`, 'key')
}

/** The bridge that a host is on, and the name of its plug there; null for one on a node. */
function plugOf(plan: RealPlan, { node, port }: HostPort): { bridge: BridgePlan; plug: string } | null {
  if (node.segment === undefined) return null
  for (const bridge of plan.bridges) {
    for (const [plug, { endpoint }] of bridge.hosts) if (endpoint.name === port.name) return { bridge, plug }
  }
  return null
}

async function dropKernelHost({ topology, site, signal }: RealSite, plan: RealPlan, host: HostPort): Promise<void> {
  const on = plugOf(plan, host)
  if (on === null) return
  await unplugHost(on.bridge, on.plug, signal)
  await site.take([namespaceName(topology, { name: host.port.name })])
}

async function addKernelHost(
  { site, signal }: RealSite,
  next: Topology,
  plan: RealPlan,
  host: HostPort,
): Promise<void> {
  const on = plugOf(plan, host)
  const { endpoint } = host.port
  if (on === null || endpoint === null) return
  const made: Host = { endpoint, gateways: gatewaysOf(host.node, host.port) }
  await site.add([namespaceName(next, endpoint)])
  await makeHost(next, on.bridge, on.plug, made, signal)
}
