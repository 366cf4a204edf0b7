import { randomInt } from 'node:crypto'
import { existsSync } from 'node:fs'
import { ALL_OFFLOADS, FramePool, Loop, MAX_FRAME, MemoryPort, type Port, RealClock } from '@l2l3/switch-core'
import type { Pollable, Runner } from '@l2l3/tap-io'
import { type Address, isLinkLocal, onLink } from '../address.ts'
import type { CheckResult } from '../check-result.ts'
import { buildFabric, type Fabric, type Snapshot, snapshot } from '../fabric.ts'
import { gatewaysOf } from '../mode.ts'
import { type MadeNamespace, RunDirectory } from '../run-directory.ts'
import type { CheckSpec, DeviceSpec, EndpointSpec, PortSpec, SocketSpec, Topology } from '../topology.ts'
import {
  inNamespace,
  installed,
  ipBatch,
  namespaceInode,
  probeNamespaces,
  removeNamespaces,
  removeRemains,
} from './ip.ts'
import { linuxCheck } from './linux-checks.ts'

/*
 * A topology on Linux: for each endpoint a network namespace with a TAP in it, and the nodes in this process.
 *
 *     namespace l2l3-<topology>.red          namespace l2l3-<topology>.blue
 *     eth0 10.0.0.1/24  (TAP)                eth0 10.0.0.2/24  (TAP)
 *           |  fd                                  |  fd
 *     +-----+--------------------------------------+-----+
 *     |            this process: nodes, cables           |
 *     +--------------------------------------------------+
 *
 * What is made is written down before it is made (`RunDirectory`), and removed on `close`, when building fails, when
 * the process exits for whatever reason, or else by the next process that builds the same topology. What was not made
 * here is not touched: a namespace or an interface of the same name that exists already is an error.
 */

/** Settings of `upOnLinux`. */
export interface LinuxOptions {
  /** Stops building, and checks; the world is removed then. */
  readonly signal?: AbortSignal
  /** Is told what is being done, to people. */
  readonly onProgress?: (text: string) => void
  /** Is told of a port that has failed and was taken out. */
  readonly onPortFailed?: (label: string, error: Error) => void
}

/** Name of an endpoint's namespace. Neither name can have a dot in it: no two topologies come to the same. */
export function namespaceName(topology: Pick<Topology, 'name'>, endpoint: Pick<EndpointSpec, 'name'>): string {
  return `l2l3-${topology.name}.${endpoint.name}`
}

/** Says why a topology cannot be built on this machine by this user, and what helps; null where it can. */
export async function linuxProblem(): Promise<string | null> {
  if (process.platform !== 'linux')
    return `namespaces and TAP devices are to be had on Linux only, and this is ${process.platform}`
  if (process.getuid?.() !== 0) return 'namespaces and TAP devices need root, and this process has none (use sudo)'
  if (!installed('ip')) return 'the program ip is missing: apt-get install iproute2'
  const { tunAvailable } = await import('@l2l3/tap-io')
  const tun = tunAvailable()
  if (!tun.ok) return tun.reason
  try {
    probeNamespaces()
    return null
  } catch (error) {
    return `network namespaces are not to be had: ${(error as Error).message}`
  }
}

/** A topology that runs on Linux. */
export class LinuxWorld implements AsyncDisposable {
  readonly topology: Topology
  readonly fabric: Fabric
  /** The directory of this run. */
  readonly directory: RunDirectory
  readonly #remove: () => void
  readonly #runner: Runner
  readonly #abort: AbortController
  readonly #running: Set<Promise<unknown>> = new Set()
  #closed: Promise<void> | undefined

  /** Use `upOnLinux`. */
  constructor(fabric: Fabric, directory: RunDirectory, runner: Runner, abort: AbortController, remove: () => void) {
    this.topology = fabric.topology
    this.fabric = fabric
    this.directory = directory
    this.#runner = runner
    this.#abort = abort
    this.#remove = remove
  }

  /** Settles when the world stops, and rejects where its loop has failed. */
  get stopped(): Promise<void> {
    return this.#runner.done
  }

  /** Tries a check. */
  check(check: CheckSpec): Promise<CheckResult> {
    const { topology } = this
    const servers = check.servers.map((endpoint) => namespaceName(topology, endpoint))
    const place = { from: namespaceName(topology, check.from), servers, signal: this.#abort.signal }
    const result = linuxCheck(check, place)
    const running: Promise<unknown> = result.catch(() => {}).then(() => this.#running.delete(running))
    this.#running.add(running)
    return result
  }

  /** Tries the checks of the topology, one after the other; `onResult` is told of each. */
  async runChecks(onResult: (result: CheckResult) => void = () => {}): Promise<CheckResult[]> {
    const results: CheckResult[] = []
    for (const check of this.topology.checks) {
      const result = await this.check(check)
      // What Ctrl-C ended has not failed.
      this.#abort.signal.throwIfAborted()
      results.push(result)
      onResult(result)
    }
    return results
  }

  /** Ports, address tables and ledger at this moment. */
  snapshot(): Snapshot {
    return snapshot(this.fabric)
  }

  /** Stops, and removes all that was made. May be called again. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#abort.abort(new Error('the topology is being removed'))
    await Promise.all(this.#running)
    try {
      await this.#runner.stop()
      this.#leave()
    } catch {
      // What an element has thrown was told when it was: here all goes.
    }
    this.#remove()
  }

  /** Has the nodes say that they go, in a last turn. */
  #leave(): void {
    for (const node of this.fabric.nodes) node.leave?.()
    this.fabric.ground.loop.turn()
  }
}

/**
 * Builds a topology on Linux. Needs root, /dev/net/tun and iproute2.
 *
 * @throws Error with a sentence for people: what is missing, what is in the way, what was refused. Nothing is left
 * then.
 *
 * @example
 * await using world = await upOnLinux(topology)
 * const results = await world.runChecks()
 */
export async function upOnLinux(topology: Topology, options: LinuxOptions = {}): Promise<LinuxWorld> {
  const { signal, onProgress = () => {} } = options
  const problem = await linuxProblem()
  if (problem !== null) throw new Error(problem)
  signal?.throwIfAborted()
  const directory = RunDirectory.claim(topology.name, 'linux', (remains) => {
    onProgress(`removing what process ${remains.pid} left behind`)
    removeRemains(remains)
  })
  const made: MadeNamespace[] = []
  const taps: SystemPort[] = []
  const remove = (): void => {
    process.off('exit', remove)
    for (const tap of taps) tap.close()
    // What could not be removed stays on record, for the next process that builds this topology.
    if (removeNamespaces(made).length === 0) directory.release()
  }
  process.on('exit', remove)
  try {
    makeNamespaces(topology, directory, made)
    const fabric = await plugIn(topology, options, taps)
    for (const node of topology.nodes) {
      onProgress(`node ${node.name}: ${node.ports.map((port) => port.name).join(', ')}`)
    }
    await Promise.all(
      topology.nodes.flatMap((node) =>
        node.ports.map(async (port) => {
          if (port.endpoint !== null) await configure(topology, port.endpoint, gatewaysOf(node, port), signal)
        }),
      ),
    )
    const { runOnEventLoop } = await import('@l2l3/tap-io')
    signal?.throwIfAborted()
    const abort = new AbortController()
    signal?.addEventListener('abort', () => abort.abort(signal.reason), { once: true, signal: abort.signal })
    return new LinuxWorld(fabric, directory, runOnEventLoop(fabric.ground.loop, taps), abort, remove)
  } catch (error) {
    remove()
    throw error
  }
}

/** A port that the system is behind. */
type SystemPort = Port & Pollable

/** Makes the namespaces, each noted before it exists; `made` gets them. */
function makeNamespaces(topology: Topology, directory: RunDirectory, made: MadeNamespace[]): void {
  const names = topology.endpoints.map((endpoint) => namespaceName(topology, endpoint))
  for (const name of names) {
    if (existsSync(`/run/netns/${name}`)) {
      throw new Error(
        `network namespace ${name} exists, and was not made by this topology: remove it (ip netns del ${name})`,
      )
    }
  }
  made.push(...names.map((name) => ({ name, inode: null })))
  directory.note(made)
  ipBatch(names.map((name) => `netns add ${name}`))
  made.splice(0, made.length, ...names.map((name) => ({ name, inode: namespaceInode(name) })))
  directory.note(made)
}

/** Opens the TAPs and builds the nodes on them. */
async function plugIn(topology: Topology, options: LinuxOptions, taps: SystemPort[]): Promise<Fabric> {
  const tapIo = await import('@l2l3/tap-io')
  const pool = new FramePool({ frames: 1024, frameSize: MAX_FRAME })
  const clock = new RealClock()
  const labels = new Map<unknown, string>()
  const loop = new Loop(pool, clock, {
    onPortFailed: (port, error) => options.onPortFailed?.(labels.get(port) ?? port.name, error),
  })
  return buildFabric(
    topology,
    // Where strangers send frames, they must not know which addresses share a slot of a table.
    { pool, clock, loop, seed: randomInt(2 ** 32) },
    {
      plug: (spec) => {
        const { label, endpoint } = spec
        const port =
          endpoint === null
            ? open(tapIo, pool, spec)
            : tapIo.TapPort.open(pool, {
                name: 'eth0',
                netns: namespaceName(topology, endpoint),
                mac: endpoint.mac,
                mtu: endpoint.mtu,
                up: false,
              })
        if (port === null) return null
        taps.push(port)
        labels.set(port, label)
        return port
      },
      // Super-frames cross cables in this process as they are.
      cableEnd: (label) => new MemoryPort(pool, label, { offloads: ALL_OFFLOADS }),
    },
  )
}

/** Opens what a port without a host is; null where it is nothing. */
function open(
  tapIo: typeof import('@l2l3/tap-io'),
  pool: FramePool,
  { label, device, options }: PortSpec,
): SystemPort | null {
  if (device === null) return null
  const { kind, ...rest } = device
  const { mtu } = options as { mtu?: number }
  switch (kind) {
    case 'tap': {
      const { name, ...how } = rest as Extract<DeviceSpec, { kind: 'tap' }>
      if (existsSync(`/sys/class/net/${name}`)) {
        throw new Error(`port ${label}: interface ${name} exists, and was not made by this topology`)
      }
      return tapIo.TapPort.open(pool, {
        ...how,
        name,
        up: true,
        ...(mtu === undefined ? {} : { mtu: Math.min(mtu, 65_521) }),
      })
    }
    case 'nic': {
      const { name, ...how } = rest as Extract<DeviceSpec, { kind: 'nic' }>
      return tapIo.AfPacketPort.open(pool, { ...how, device: name })
    }
    case 'udp': {
      const how = rest as SocketSpec
      // What a tunnel leaves for the frame inside, by which super-frames are told apart.
      const innerMtu = Math.max(576, (mtu ?? 1500) - (how.address.includes(':') ? 70 : 50))
      return tapIo.UdpUnderlayPort.open(pool, { innerMtu, ...how })
    }
  }
}

/** Addresses an endpoint, and sets its default routes. A gateway in none of its networks is first made one on the link,
 * as Calico's plugin does it: `ip route add 169.254.1.1 dev eth0 scope link`. Duplicate address detection would hold IPv6 back for a second, and is off; so is the search
 * for routers, of which there are none. */
async function configure(
  topology: Topology,
  endpoint: EndpointSpec,
  gateways: readonly Address[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const conf = '/proc/sys/net/ipv6/conf/eth0'
  const quiet = `if [ -d ${conf} ]; then echo 0 > ${conf}/accept_dad; echo 0 > ${conf}/router_solicitations; fi`
  const addresses = endpoint.addresses.map(({ family, text, prefix }) => {
    return `ip addr add ${text}/${prefix} dev eth0${family === 6 ? ' nodad' : ''}`
  })
  const routes = gateways.flatMap((gateway) => {
    const { text, family } = gateway
    const known = isLinkLocal(gateway) || endpoint.addresses.some((own) => onLink(own, gateway.bytes))
    const toLink = known ? [] : [`ip -${family} route add ${text} dev eth0 scope link`]
    return [...toLink, `ip -${family} route add default via ${text} dev eth0`]
  })
  const script = [quiet, 'ip link set lo up', 'ip link set eth0 up', ...addresses, ...routes]
  await inNamespace(namespaceName(topology, endpoint), script.join('\n'), signal)
}
