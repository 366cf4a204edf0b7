/**
 * A node of ours as a process: `tunnel-process.ts NODE HOSTS UNDERLAY` opens a TAP named e0 in the namespace of its hosts and one
 * named uNODE in that of the underlay, puts mode vtep between them, says "ready", and works until its standard input ends.
 * Then it prints the ledger.
 */
import { writeSync } from 'node:fs'
import { vtep } from '@l2l3/modes'
import { FramePool, Loop, MAX_FRAME, RealClock } from '@l2l3/switch-core'
import { runBlocking, TapPort } from '@l2l3/tap-io'
import { inputEnded } from './input-ended.ts'

const [number = '', hosts = '', underlay = ''] = process.argv.slice(2)

const pool = new FramePool({ frameSize: MAX_FRAME, frames: 512 })
const loop = new Loop(pool, new RealClock())
const inside = TapPort.open(pool, { name: 'e0', netns: hosts, mtu: 1450 })
const uplink = TapPort.open(pool, { name: `u${number}`, netns: underlay, mtu: 1500, up: true })
vtep(
  { pool, clock: loop.clock, loop },
  {
    ports: [{ name: 'host', port: inside, network: 'blue' }],
    networks: [
      { name: 'blue', vni: 42, local: `172.30.72.${number}`, remotes: [`172.30.72.${number === '1' ? 2 : 1}`] },
    ],
    uplinks: [
      { name: 'uplink', port: uplink, mac: `02:00:00:00:72:0${number}`, addresses: [`172.30.72.${number}/24`] },
    ],
  },
)
writeSync(1, `ready ${uplink.offloadText}\n`)
runBlocking(loop, [inside, uplink], { spinMicros: 50, until: inputEnded() })
for (const tap of [inside, uplink]) tap.close()
loop.abandon()
writeSync(1, `${JSON.stringify(pool.report())}\n`)
process.exit(0)
