import type { CheckResult } from '@l2l3/topology'
import { loadTopology } from './load.ts'
import { note, say } from './output.ts'
import { aborted, interruptible } from './signals.ts'
import { checkLine, checkSummary, dropTable, fdbTable, ledgerLine, portTable } from './tables.ts'
import { type RunningWorld, startWorld } from './world.ts'

/** Options of `l2l3 up`. */
export interface UpOptions {
  check?: boolean
  memory?: boolean
  json?: boolean
}

/** Milliseconds between two tables on a terminal. */
const REFRESH = 3000

/** Builds a topology; runs its checks and ends, or runs until it is told to stop. Gives the exit status. */
export function up(path: string, options: UpOptions): Promise<number> {
  const topology = loadTopology(path)
  return interruptible(async (signal) => {
    const memory = options.memory === true
    const world = await startWorld(topology, { memory, unseen: options.check === true, signal, onProgress: note })
    try {
      if (options.check) return await check(world, options.json === true)
      const where = options.memory ? 'in memory' : 'on Linux'
      note(`${topology.name} is up ${where}, as process ${process.pid}. Ctrl-C ends it; see also: l2l3 show`)
      const redraw = process.stdout.isTTY ? setInterval(() => draw(world), REFRESH) : undefined
      try {
        await Promise.race([aborted(signal), world.failed])
      } finally {
        clearInterval(redraw)
      }
      return 0
    } finally {
      await world.close()
    }
  })
}

async function check(world: RunningWorld, json: boolean): Promise<number> {
  const results = await Promise.race([world.runChecks((result) => json || say(checkLine(result))), world.failed])
  const { ledger } = world.snapshot()
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

function draw(world: RunningWorld): void {
  const now = world.snapshot()
  const tables = [portTable(now), fdbTable(now), `  drops\n${dropTable(now)}`, ledgerLine(now)]
  process.stdout.write(`\x1b[2J\x1b[H${now.name}\n\n${tables.join('\n\n')}\n`)
}
