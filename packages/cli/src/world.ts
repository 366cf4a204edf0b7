import {
  changes,
  type Fabric,
  memoryWorld,
  parseTopology,
  RunDirectory,
  removeRemains,
  type Topology,
  upOnLinux,
  type Wait,
  type World,
} from '@l2l3/topology'
import { type Answers, ControlServer, type TraceQuestion } from './control.ts'
import { socketOf } from './runs.ts'

/* A world that runs and answers other commands: built, with its control socket open, and all of it closed in the right order. */

/** Settings of `openWorld`. */
export interface WorldOptions {
  readonly memory: boolean
  /** On Linux: the underlay is real, and each node a process of its own. */
  readonly real?: boolean
  /** On Linux: what is done where no frame is to be moved. */
  readonly wait?: Wait
  /** In memory: nobody else can ask it, and it may run beside others of its name, since it makes nothing they could clash over. */
  readonly unseen?: boolean
  readonly signal: AbortSignal
  readonly onProgress?: (text: string) => void
  /** Is told of a port that has failed and was taken out. */
  readonly onPortFailed?: (label: string, error: Error) => void
  /** Is told of a node whose process has ended, and how. */
  readonly onNodeEnded?: (node: string, why: string) => void
  /** Called where `l2l3 down` asks for the end. */
  readonly onDown?: () => void
}

/** A world that others can ask. */
export interface OpenWorld extends AsyncDisposable {
  readonly world: World
  /** Namespaces of segments that are real, in words: "segment lan". */
  readonly bridges: ReadonlyMap<string, string>
  /** The nodes, where they are in this process; null where they are not. */
  readonly fabric: Fabric | null
}

/** Builds a topology and opens its control socket, unless it is unseen. */
export async function openWorld(topology: Topology, options: WorldOptions): Promise<OpenWorld> {
  const { memory, unseen, real, wait, signal, onProgress, onPortFailed, onNodeEnded } = options
  const closers: (() => void | Promise<void>)[] = []
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  try {
    let world: World & { readonly fabric?: Fabric; readonly bridges?: ReadonlyMap<string, string> }
    if (memory) {
      if (unseen) RunDirectory.clear(topology.name, removeRemains)
      else closers.push(claim(topology.name))
      world = memoryWorld(topology)
    } else {
      const told = {
        ...(onProgress && { onProgress }),
        ...(onPortFailed && { onPortFailed }),
        ...(onNodeEnded && { onNodeEnded }),
      }
      world = await upOnLinux(topology, { signal, ...told, ...(real ? { real } : {}), ...(wait && { wait }) })
    }
    closers.push(() => world.close())
    if (!memory || !unseen) {
      const path = socketOf(topology.name)
      const control = await ControlServer.listen(path, answers(world, options.onDown)).catch((error: Error) => {
        throw new Error(`the control socket ${path} cannot be opened: ${error.message}`)
      })
      closers.push(() => control.close())
    }
    const { fabric = null, bridges = new Map() } = world
    return { world, fabric, bridges, [Symbol.asyncDispose]: close }
  } catch (error) {
    await close()
    throw error
  }
}

/** Takes the name of a world in memory, and gives the function that gives it back. */
function claim(name: string): () => void {
  const directory = RunDirectory.claim(name, 'memory', removeRemains)
  const release = (): void => {
    process.off('exit', release)
    directory.release()
  }
  process.on('exit', release)
  return release
}

/** What is given of optional settings. */
function defined(within: Omit<TraceQuestion, 'filter'>): { count?: number; rate?: number } {
  const { count, rate } = within
  return { ...(count === undefined ? {} : { count }), ...(rate === undefined ? {} : { rate }) }
}

/** What a world answers to those who ask. Changes are made one after the other. */
function answers(world: World, onDown: () => void = () => {}): Answers {
  let last: Promise<unknown> = Promise.resolve()
  return {
    snapshot: () => world.snapshot(),
    apply: (text, file, dry) => {
      const done = last.then(async () => {
        const next = parseTopology(text, file)
        const made = changes(world.topology, next)
        if (!dry && made.length > 0) await world.apply(next)
        return made
      })
      last = done.catch(() => {})
      return done
    },
    trace: ({ filter = '', ...within }, onTrace, signal) =>
      world.trace(filter, { ...defined(within), onTrace, signal }),
    down: onDown,
  }
}
