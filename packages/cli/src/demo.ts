import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type Fabric, linuxProblem, namespaceName, Tracer, traceText } from '@l2l3/topology'
import { loadTopology } from './load.ts'
import { colorsFor, note, say } from './output.ts'
import { interruptible } from './signals.ts'
import { checkLine, checkSummary, dropTable, fdbTable, ledgerLine, portTable } from './tables.ts'
import { openWorld } from './world.ts'

/** Options of the demonstration. */
export interface DemoOptions {
  /** Path of the topology. Default: examples/two-namespaces.yaml of the repository. */
  topology?: string
  /** In memory, also where Linux would do. */
  memory?: boolean
}

const EXAMPLE: string = fileURLToPath(new URL('../../../examples/two-namespaces.yaml', import.meta.url))

/**
 * Shows a topology at work: builds it on Linux where that is possible, else in memory and says why; runs its checks;
 * then shows the address table, the counters and the path of the first frame with its bytes; removes everything. Gives
 * the exit status: 0 where all checks passed.
 */
export async function demo(options: DemoOptions = {}): Promise<number> {
  const path = options.topology ?? EXAMPLE
  if (options.topology === undefined && !existsSync(path)) {
    throw new Error(`the example ${path} is not here; give a topology: l2l3 demo TOPOLOGY`)
  }
  const topology = loadTopology(path)
  const { bold, dim, yellow } = colorsFor(process.stdout)
  const title = (text: string): void => say(`\n${bold(text)}`)
  return interruptible(async (signal) => {
    const problem = options.memory ? 'it was asked for' : await linuxProblem()
    const memory = problem !== null
    if (memory) say(yellow(`Running in memory, with small built-in hosts: ${problem.replace(/\.$/, '')}.`))
    title(`Building ${topology.name}`)
    for (const endpoint of topology.endpoints) {
      const { name, node, mac, addresses } = endpoint
      const host = memory ? `host ${name}` : `namespace ${namespaceName(topology, endpoint)}, TAP eth0`
      say(`  ${host}  ${dim(`${mac}  ${addresses.map((a) => `${a.text}/${a.prefix}`).join('  ')}  on ${node}`)}`)
    }
    const open = await openWorld(topology, { memory, unseen: true, signal, onProgress: (text) => say(`  ${text}`) })
    const { world, fabric } = open
    try {
      const tracer = new Tracer(fabric as Fabric, isFirst)
      title('Checks')
      const results = await world.runChecks((result) => say(checkLine(result)), signal)
      const trace = tracer.stop()
      const now = await world.snapshot()
      title('Addresses learnt (FDB)')
      say(fdbTable(now))
      title('Counters')
      say(portTable(now))
      say(`\n  dropped frames by reason\n${dropTable(now)}\n${ledgerLine(now)}`)
      title('The path of the first frame')
      if (trace !== null) for (const line of traceText(trace, { colors: colorsFor(process.stdout) })) say(line)
      say(`\n${checkSummary(results)}`)
      if (!now.ledger.balanced) note('l2l3: the ledger does not balance: frames were lost without a reason')
      return results.every((result) => result.ok) && now.ledger.balanced && tracer.found ? 0 : 1
    } finally {
      await open[Symbol.asyncDispose]()
      say(memory ? 'Nothing to remove.' : 'Everything is removed.')
    }
  })
}

/** Whether a frame is one that a check may begin with: ARP, IPv4, or a neighbour solicitation. A kernel also tells of
 * itself unasked (multicast listener reports), and those are passed over. */
function isFirst(b: Uint8Array): boolean {
  const type = ((b[12] as number) << 8) | (b[13] as number)
  if (type === 0x0806 || type === 0x0800) return true
  return type === 0x86dd && b[20] === 58 && b[54] === 135
}
