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
  /** Is told of the hosts that are plugged in next, to make at once what is made faster so. */
  prepare?(hosts: readonly HostPort[]): void | Promise<void>
  /** Makes the host of a port and what it is plugged in to; null where there is nothing to plug in. Where it throws, it has left
   * nothing behind but what `prepare` has made. */
  plug(port: PortSpec, node: NodeSpec): Port | null | Promise<Port | null>
  /** Closes ports of hosts that go, together. Default: one after the other. */
  close?(ports: readonly Port[]): void
  /** Removes hosts, whose ports are closed, and of those that were not plugged in what `prepare` has made. */
  unplug(hosts: readonly HostPort[]): void | Promise<void>
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
  const plug = async (some: readonly HostPort[]): Promise<void> => {
    if (some.length > 0) await hosts.prepare?.(some)
    for (const { port, node } of some) {
      const wire = await hosts.plug(port, node)
      if (wire !== null) made.set(port.label, wire)
    }
  }
  try {
    await plug(come)
  } catch (error) {
    closeAll(hosts, [...made.values()])
    await hosts.unplug([...come].reverse())
    throw error
  }
  const before = replaced.map((pair) => pair.before)
  closePorts(fabric, before, hosts)
  if (before.length > 0) await hosts.unplug(before)
  await plug(replaced.map((pair) => pair.next))
  changeFabric(fabric, next, made, hosts)
  if (gone.length > 0) await hosts.unplug(gone)
  return list
}

/** Makes nodes and ports what `next` says, with what hosts that come are plugged in to by label. */
function changeFabric(fabric: Fabric, next: Topology, made: ReadonlyMap<string, Port>, hosts: HostMaker): void {
  const { ground, ports, wires } = fabric
  const { replaced, gone } = hostChanges(fabric.topology, next)
  const left = [...replaced.map((pair) => pair.before), ...gone]
  closePorts(fabric, left, hosts)
  for (const { port } of left) {
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

/** Closes ports, with what waits in them: nothing comes from there any more, and what is on its way there is dropped. */
function closePorts({ ground, ports }: Fabric, some: readonly HostPort[], hosts: HostMaker): void {
  const open = some.flatMap(({ port }) => ports.get(port.label) ?? [])
  for (const port of open) ground.loop.remove(port)
  closeAll(hosts, open)
}

function closeAll(hosts: HostMaker, ports: readonly Port[]): void {
  if (hosts.close !== undefined) hosts.close(ports)
  else for (const port of ports) port.close()
}
