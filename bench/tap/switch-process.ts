/**
 * Our switch as a process: `switch-process.ts MODE NAMESPACE...` opens a TAP named e0 in each namespace, joins them by a
 * `Switch`, says "ready", and switches until its standard input ends. Then it prints the ledger.
 *
 *   blocking     spins for up to 50 us when idle, then sleeps inside the addon
 *   event-loop   a guest of Node's event loop
 *   busy         turns without ever waiting
 */
import { writeSync } from 'node:fs'
import { FramePool, Loop, MAX_FRAME, RealClock, SECOND, Switch } from '@l2l3/switch-core'
import { runBlocking, runOnEventLoop, TapPort } from '@l2l3/tap-io'
import { inputEnded } from './input-ended.ts'

const [mode = '', ...namespaces] = process.argv.slice(2)

const pool = new FramePool({ frameSize: MAX_FRAME, frames: 512 })
const clock = new RealClock()
const loop = new Loop(pool, clock)
const sw = new Switch(pool, clock)
loop.every(SECOND, sw)
const taps = namespaces.map((netns) => TapPort.open(pool, { name: 'e0', netns, mtu: 1500 }))
for (const tap of taps) loop.add(tap, sw.addPort(loop.link(tap), { name: tap.ifname }))

writeSync(1, 'ready\n')
switch (mode) {
  case 'blocking':
    runBlocking(loop, taps, { spinMicros: 50, until: inputEnded() })
    break
  case 'busy': {
    const over = inputEnded()
    while (Atomics.load(over, 0) === 0) loop.turn()
    break
  }
  case 'event-loop': {
    const runner = runOnEventLoop(loop, taps)
    process.stdin.resume().on('end', () => void runner.stop())
    await runner.done
    break
  }
  default:
    throw new Error(`no such mode: ${mode}`)
}
for (const tap of taps) tap.close()
loop.abandon()
writeSync(1, `${JSON.stringify(pool.report())}\n`)
process.exit(0)
