import { type CheckResult, namespaceName, type Topology, type Wait, type World } from '@l2l3/topology'
import { CaptureFiles } from './capture-files.ts'
import { LiveView } from './live.ts'
import { loadTopology } from './load.ts'
import { note, say } from './output.ts'
import { aborted, interruptible } from './signals.ts'
import { checkLine, checkSummary } from './tables.ts'
import { openWorld } from './world.ts'

/** Options of `l2l3 up`. */
export interface UpOptions {
  check?: boolean
  memory?: boolean
  /** On Linux: segments are namespaces with a bridge, and each node is a process. */
  real?: boolean
  /** On Linux: what is done where no frame is to be moved. */
  wait?: Wait
  json?: boolean
  /** Directory that gets a capture of each port. */
  pcap?: string
  /** In place of the topology's seed. */
  seed?: number
}

/** Builds a topology; runs its checks and ends, or runs until it is told to stop. Gives the exit status. */
export function up(path: string, options: UpOptions): Promise<number> {
  const { seed, check = false, memory = false, real = false, json = false, pcap, wait } = options
  const loaded = loadTopology(path)
  const topology = seed === undefined ? loaded : { ...loaded, seed }
  for (const { name, notes = [] } of topology.nodes) for (const text of notes) note(`l2l3: node ${name}: ${text}`)
  return interruptible(async (signal) => {
    const ended = new AbortController()
    const told = new Messages()
    await using open = await openWorld(topology, {
      ...{ memory, real, unseen: check, signal, onProgress: note, ...(wait && { wait }) },
      onPortFailed: (label, error) =>
        told.say(`l2l3: port ${label} has failed and is out of service: ${error.message}`),
      onNodeEnded: (node, why) => told.say(`l2l3: node ${node} has ended: ${why}`),
      onDown: () => ended.abort(),
    })
    const { world } = open
    const files = pcap === undefined ? null : await CaptureFiles.start(world, pcap, (text) => told.say(`l2l3: ${text}`))
    try {
      if (check) return await tryChecks(world, json, signal)
      const where = memory ? 'in memory' : 'on Linux'
      note(
        `${topology.name} is up ${where}, as process ${process.pid}. Ctrl-C or l2l3 down ends it; see also: l2l3 show`,
      )
      const hint = memory ? STILL : howToEnter(topology)
      if (hint !== null) note(hint)
      for (const [what, namespace] of open.bridges) note(`Watch ${what}: ip netns exec ${namespace} tcpdump -eni br0`)
      const view = process.stdout.isTTY ? showLive(world, where, memory, told) : null
      try {
        await Promise.race([aborted(signal), aborted(ended.signal), stopped(world)])
      } finally {
        view?.stop()
        told.live = null
      }
      return 0
    } finally {
      await files?.stop()
    }
  })
}

/** Why tables do not change by themselves in memory. */
const STILL =
  'In memory hosts send nothing by themselves, and the clock stands still meanwhile: --check has them try the checks.'

/** How to get into a pod; null where there is none. */
function howToEnter(topology: Topology): string | null {
  const [first] = topology.endpoints
  if (first === undefined) return null
  const others = topology.endpoints.slice(1).map((endpoint) => endpoint.name)
  const more = others.length === 0 ? '' : `  (others: ${others.join(', ')})`
  return `Enter a pod: ip netns exec ${namespaceName(topology, first)} bash${more}`
}

/** Notes on standard error; while the terminal shows tables, in a line among them, and on standard error at the end. */
class Messages {
  #waiting: string[] = []
  #live: ((text: string) => void) | null = null

  /** Where notes go meanwhile; null for standard error, which then gets what was said. */
  set live(show: ((text: string) => void) | null) {
    this.#live = show
    if (show === null)
      this.#waiting.splice(0).forEach((text) => {
        note(text)
      })
  }

  say(text: string): void {
    if (this.#live === null) {
      note(text)
      return
    }
    this.#live(text)
    // A port that fails again and again is not to fill the memory.
    if (this.#waiting.length < 100) this.#waiting.push(text)
  }
}

function showLive(world: World, where: string, memory: boolean, told: Messages): LiveView {
  const since = performance.now()
  let last: string | null = null
  told.live = (text) => {
    last = text
  }
  return new LiveView(
    process.stdout,
    () => world.snapshot(),
    () => {
      const { name } = world.topology
      const hint = memory ? STILL : howToEnter(world.topology)
      const seconds = Math.floor((performance.now() - since) / 1000)
      const title = `${name} ${where}, process ${process.pid}, up ${duration(seconds)}. Ctrl-C ends it.`
      return [title, ...(hint === null ? [] : [hint]), ...(last === null ? [] : [last])]
    },
  )
}

/** 3725 is "1:02:05". */
function duration(seconds: number): string {
  const two = (n: number): string => String(n).padStart(2, '0')
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
}

/** Rejects where the world fails while it runs. One that stops without having failed is ended by somebody else, who says
 * so. */
function stopped(world: World): Promise<never> {
  return new Promise((_, reject) => world.stopped.catch(reject))
}

async function tryChecks(world: World, json: boolean, signal: AbortSignal): Promise<number> {
  const onResult = (result: CheckResult): void => {
    if (!json) say(checkLine(result))
  }
  const results = await Promise.race([world.runChecks(onResult, signal), stopped(world)])
  const { ledger } = await world.snapshot()
  if (json) say(JSON.stringify({ checks: results.map(plain), ledger }))
  else if (results.length === 0) say('the topology has no checks')
  else say(`\n${checkSummary(results)}`)
  if (!ledger.balanced) note('l2l3: the ledger does not balance: frames were lost without a reason')
  return results.every((result) => result.ok) && ledger.balanced ? 0 : 1
}

function plain({ check, text, ok, detail, ...measured }: CheckResult): Record<string, unknown> {
  const { kind, from, to, address, expect } = check
  return { kind, from: from.name, to, address: address.text, expect, ok, text, detail, ...measured }
}
