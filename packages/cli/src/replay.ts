import { type ReplayDirection, replayFiles } from '@l2l3/topology'
import { loadTopology } from './load.ts'
import { note, say } from './output.ts'

/** Options of `l2l3 replay`. */
export interface ReplayCommandOptions {
  in: (readonly [port: string, path: string])[]
  out: string
  /** Of captures that say which way frames went. */
  direction?: ReplayDirection
}

/** Plays captures into a topology, records what its ports send, and prints the ledger as one JSON object. */
export function replayCommand(path: string, options: ReplayCommandOptions): number {
  const { in: inputs, out, direction } = options
  const { ledger, settled, undirected } = replayFiles(loadTopology(path), { inputs, out, direction })
  if (!settled) note('l2l3: frames went round in a loop of links, and were cut short')
  if (undirected > 0) {
    const frames = undirected === 1 ? '1 frame was' : `${undirected} frames were`
    note(`l2l3: ${frames} played without regard to --direction: the captures do not say which way they went`)
  }
  say(JSON.stringify(ledger))
  if (!ledger.balanced) note('l2l3: the ledger does not balance: frames were lost without a reason')
  return ledger.balanced ? 0 : 1
}
