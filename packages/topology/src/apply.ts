import type { Port } from '@l2l3/switch-core'
import { alike } from './alike.ts'
import { type Change, checkChanges, type HostPort, hostChanges } from './changes.ts'
import { type Fabric, withFaults } from './fabric.ts'
import { problemOf } from './places.ts'
import type { NodeSpec, PortSpec, Topology } from './topology.ts'
import { TopologyError } from './topology-error.ts'

/*
 * Making what runs into what another topology says, while traffic flows.
 *
 *     checkChanges       what cannot be taken is refused here, and nothing has changed
 *     plug               hosts that come are made; where one cannot be, those made before are removed again
 *     unplug, plug       hosts that are replaced: names are free only when the old ones are gone
 *     --- at one instant, between two turns of the loop ---
 *     node.change        all nodes become what they shall be; ports that go are closed, with what waits in them
 *     node.forget        all nodes forget hosts that are gone
 *     ------------------------------------------------------
 *     unplug             hosts that went are removed
 *
 * A world says what a host is: a namespace with a TAP, a small host in memory.
 */

/** What a world does for apply. */
export interface HostMaker {
  /** Makes the host of a port and what it is plugged in to; null where there is nothing to plug in. Where it throws, it has left
   * nothing behind. */
  plug(port: PortSpec, node: NodeSpec): Port | null | Promise<Port | null>
  /** Removes the host of a port, whose wire is closed. */
  unplug(port: PortSpec, node: NodeSpec): void | Promise<void>
}

const running: WeakMap<Fabric, Promise<unknown>> = new WeakMap()

/**
 * Makes what runs into what `next` says, and gives the changes. One change waits for another.
 *
 * @throws TopologyError where something needs a restart; nothing is changed then
 */
export function applyTo(fabric: Fabric, next: Topology, hosts: HostMaker): Promise<Change[]> {
  const before = running.get(fabric) ?? Promise.resolve()
  const result = before.then(() => carryOut(fabric, next, hosts))
  running.set(
    fabric,
    result.catch(() => {}),
  )
  return result
}

/** Says what makes `next` of what runs. Throws a TopologyError where something needs a restart. */
export function checkApply(fabric: Fabric, next: Topology): Change[] {
  const list = checkChanges(fabric.topology, next)
  const most = fabric.ground.pool.frameSize - 18
  const long = next.nodes.flatMap((node) => {
    return node.ports.flatMap(({ endpoint, path }) => {
      if (endpoint === null || endpoint.mtu <= most) return []
      const text = `endpoint ${endpoint.name} mtu ${endpoint.mtu}: needs a restart: frames of what runs have ${most} bytes at most`
      return [problemOf(next, ['nodes', node.name, ...path, 'mtu'], text)]
    })
  })
  if (long.length > 0) throw new TopologyError(long)
  return list
}

async function carryOut(fabric: Fabric, next: Topology, hosts: HostMaker): Promise<Change[]> {
  const list = checkApply(fabric, next)
  const { come, replaced, gone } = hostChanges(fabric.topology, next)
  const made = new Map<string, Port>()
  const plugged: HostPort[] = []
  const plug = async ({ port, node }: HostPort): Promise<void> => {
    const wire = await hosts.plug(port, node)
    plugged.push({ port, node })
    if (wire !== null) made.set(port.label, wire)
  }
  try {
    for (const host of come) await plug(host)
  } catch (error) {
    for (const { port, node } of plugged.reverse()) {
      made.get(port.label)?.close()
      await hosts.unplug(port, node)
    }
    throw error
  }
  for (const { before, next: host } of replaced) {
    closePort(fabric, before.port.label)
    await hosts.unplug(before.port, before.node)
    await plug(host)
  }
  changeFabric(fabric, next, made)
  for (const { port, node } of gone) await hosts.unplug(port, node)
  return list
}

/** Makes nodes and ports what `next` says, with what hosts that come are plugged in to by label. */
function changeFabric(fabric: Fabric, next: Topology, made: ReadonlyMap<string, Port>): void {
  const { ground, ports, wires } = fabric
  const { replaced, gone } = hostChanges(fabric.topology, next)
  const left = [...replaced.map((pair) => pair.before), ...gone]
  for (const { port } of left) {
    closePort(fabric, port.label)
    ports.delete(port.label)
    wires.delete(port.label)
  }
  for (const spec of next.nodes) {
    const node = fabric.nodes.find((n) => n.spec.name === spec.name)
    const plugged = new Map<string, Port>()
    for (const port of spec.ports) {
      const wire = made.get(port.label)
      if (wire === undefined) continue
      const end = withFaults(wire, port, next.seed, ground)
      plugged.set(port.name, end)
      ports.set(port.label, end)
      wires.set(port.label, wire)
    }
    if (plugged.size > 0 || !alike(node?.spec, spec)) node?.change(spec, plugged)
  }
  for (const { port } of left) {
    if (port.endpoint !== null) for (const node of fabric.nodes) node.forget(port.endpoint)
  }
  fabric.topology = next
}

/** Closes a port, with what waits in it: nothing comes from there any more, and what is on its way there is dropped. */
function closePort({ ground, ports }: Fabric, label: string): void {
  const port = ports.get(label)
  if (port === undefined) return
  ground.loop.remove(port)
  port.close()
}
