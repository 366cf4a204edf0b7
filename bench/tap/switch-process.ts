/**
 * Our switch as a process: `switch-process.ts MODE NAMESPACE...` opens a TAP named e0 in each namespace, joins them by a
 * `Switch`, says "ready", and switches until its standard input ends. Then it prints the ledger.
 *
 *   blocking          spins for up to 50 us when idle, then sleeps inside the addon
 *   spin-N            the same with N us
 *   busy              turns without ever waiting
 *   event-loop        a guest of Node's event loop, which sleeps there at once
 *   event-loop-N      one that spins for N us before, as `l2l3 up --wait spin` does for 50
 *   event-loop-busy   one that never sleeps
 *   workers-N         N worker threads, each with a queue of each TAP
 */
import { writeSync } from 'node:fs'
import { FramePool, Loop, MAX_FRAME, RealClock, SECOND, Switch } from '@l2l3/switch-core'
import { runBlocking, runOnEventLoop, startWorkers, TapPort } from '@l2l3/tap-io'
import { inputEnded } from './input-ended.ts'

const [mode = '', ...namespaces] = process.argv.slice(2)
const [, kind, number] = /^([a-z-]+?)(?:-(\d+))?$/.exec(mode) ?? []

/** Frames that wait in a TAP: what topologies have where they do not say. */
const QUEUE = 256

/** Says what became of all frames, and ends. */
function end(report: unknown): never {
  writeSync(1, `${JSON.stringify(report)}\n`)
  process.exit(0)
}

function inputOver(): Promise<void> {
  return new Promise((resolve) => process.stdin.resume().on('end', resolve))
}

async function inWorkers(workers: number): Promise<never> {
  const url = JSON.stringify(new URL('switch-worker.ts', import.meta.url).href)
  // `--import tsx` does not reach worker threads on Node 20.
  const script = `import('tsx/esm/api').then(({ register }) => (register(), import(${url})))`
  const thread = { eval: true, execArgv: ['--conditions=@l2l3/source'] }
  const threads = startWorkers(script, { workers, data: namespaces, thread })
  await threads.ready
  writeSync(1, 'ready\n')
  await inputOver()
  const reports = (await threads.stop()) as { balanced: boolean; held: number }[]
  const held = reports.reduce((sum, report) => sum + report.held, 0)
  return end({ balanced: reports.every((report) => report.balanced), held, workers: reports })
}

if (kind === 'workers') await inWorkers(Number(number))

const pool = new FramePool({ frameSize: MAX_FRAME, frames: 512 })
const clock = new RealClock()
const loop = new Loop(pool, clock)
const sw = new Switch(pool, clock)
loop.every(SECOND, sw)
const taps = namespaces.map((netns) => TapPort.open(pool, { name: 'e0', netns, mtu: 1500, queueLength: QUEUE }))
for (const tap of taps) loop.add(tap, sw.addPort(loop.link(tap), { name: tap.ifname }))

writeSync(1, 'ready\n')
switch (kind) {
  case 'blocking':
    runBlocking(loop, taps, { spinMicros: 50, until: inputEnded() })
    break
  case 'spin':
    runBlocking(loop, taps, { spinMicros: Number(number), until: inputEnded() })
    break
  case 'busy':
    runBlocking(loop, taps, { spinMicros: Number.POSITIVE_INFINITY, until: inputEnded() })
    break
  case 'event-loop':
  case 'event-loop-busy': {
    const spinMicros = kind === 'event-loop' ? Number(number ?? 0) : Number.POSITIVE_INFINITY
    const runner = runOnEventLoop(loop, taps, { spinMicros })
    await inputOver()
    await runner.stop()
    break
  }
  default:
    throw new Error(`no such mode: ${mode}`)
}
for (const tap of taps) tap.close()
loop.abandon()
end(pool.report())
