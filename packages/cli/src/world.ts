import {
  buildInMemory,
  type CheckResult,
  type Fabric,
  RunDirectory,
  removeRemains,
  type Snapshot,
  snapshot,
  type Topology,
  upOnLinux,
} from '@l2l3/topology'
import { ControlServer } from './control.ts'
import { note } from './output.ts'

/* A topology that runs, on Linux or in memory, and answers `l2l3 show`: the same to the commands that use it. */

/** A world that runs. */
export interface RunningWorld {
  readonly fabric: Fabric
  /** Tries the checks of the topology in order, and tells `onResult` of each. */
  runChecks(onResult: (result: CheckResult) => void): Promise<CheckResult[]>
  snapshot(): Snapshot
  /** Rejects where the world fails while it runs; never settles otherwise. */
  readonly failed: Promise<never>
  /** Stops, and removes what was made. */
  close(): Promise<void>
}

/** Settings of `startWorld`. */
export interface WorldOptions {
  readonly memory: boolean
  /** In memory: nobody else can ask it, and it may run beside others of its name, since it makes nothing they could clash over. */
  readonly unseen?: boolean
  readonly signal: AbortSignal
  readonly onProgress?: (text: string) => void
}

/** Builds a topology and opens its control socket, if it has one. */
export async function startWorld(topology: Topology, options: WorldOptions): Promise<RunningWorld> {
  const world = options.memory ? inMemory(topology, options) : await onLinux(topology, options)
  try {
    const control = world.directory === null ? null : await answers(world.directory.socketPath, world.fabric)
    return {
      ...world,
      snapshot: () => snapshot(world.fabric),
      close: async () => {
        control?.close()
        await world.close()
      },
    }
  } catch (error) {
    await world.close()
    throw error
  }
}

function answers(path: string, fabric: Fabric): Promise<ControlServer> {
  return ControlServer.listen(path, () => snapshot(fabric)).catch((error: Error) => {
    throw new Error(`the control socket ${path} cannot be opened: ${error.message}`)
  })
}

interface Bare extends Omit<RunningWorld, 'snapshot'> {
  /** Null where it is unseen. */
  readonly directory: RunDirectory | null
}

async function onLinux(topology: Topology, { signal, onProgress }: WorldOptions): Promise<Bare> {
  const world = await upOnLinux(topology, {
    signal,
    ...(onProgress === undefined ? {} : { onProgress }),
    onPortFailed: (label, error) => note(`l2l3: port ${label} has failed and is out of service: ${error.message}`),
  })
  return {
    fabric: world.fabric,
    directory: world.directory,
    failed: new Promise((_, reject) => world.stopped.catch(reject)),
    runChecks: (onResult) => world.runChecks(onResult),
    close: () => world.close(),
  }
}

function inMemory(topology: Topology, { signal, unseen }: WorldOptions): Bare {
  if (unseen) RunDirectory.clear(topology.name, removeRemains)
  const directory = unseen ? null : RunDirectory.claim(topology.name, 'memory', removeRemains)
  const remove = (): void => directory?.release()
  process.on('exit', remove)
  const world = buildInMemory(topology)
  return {
    fabric: world.fabric,
    directory,
    failed: new Promise(() => {}),
    runChecks: async (onResult) => {
      const results: CheckResult[] = []
      for (const check of topology.checks) {
        // Meanwhile the process hears signals and answers questions.
        const result = await world.checkInTurns(check, signal)
        results.push(result)
        onResult(result)
      }
      return results
    },
    close: async () => {
      process.off('exit', remove)
      remove()
    },
  }
}
