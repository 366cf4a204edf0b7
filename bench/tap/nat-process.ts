/**
 * Our NAT as a process: `nat-process.ts INSIDE OUTSIDE` opens a TAP named e0 in each of the two namespaces, puts mode nat
 * between them, says "ready", and works until its standard input ends. Then it prints the ledger.
 */
import { writeSync } from 'node:fs'
import { nat } from '@l2l3/modes'
import { FramePool, Loop, MAX_FRAME, RealClock } from '@l2l3/switch-core'
import { runBlocking, TapPort } from '@l2l3/tap-io'
import { inputEnded } from './input-ended.ts'

const namespaces = process.argv.slice(2)

const pool = new FramePool({ frameSize: MAX_FRAME, frames: 512 })
const loop = new Loop(pool, new RealClock())
const taps = namespaces.map((netns) => TapPort.open(pool, { name: 'e0', netns, mtu: 1500 }))
const [inside, outside] = taps as [TapPort, TapPort]
nat(
  { pool, clock: loop.clock, loop },
  {
    gateway: { mac: '02:00:00:73:00:01', addresses: ['10.73.0.1/24'] },
    inside: [{ name: 'lan', port: inside }],
    uplinks: [{ name: 'uplink', port: outside, mac: '02:00:00:73:01:01', addresses: ['10.73.1.1/24'] }],
  },
)
writeSync(1, 'ready\n')
runBlocking(loop, taps, { spinMicros: 50, until: inputEnded() })
for (const tap of taps) tap.close()
loop.abandon()
writeSync(1, `${JSON.stringify(pool.report())}\n`)
process.exit(0)
