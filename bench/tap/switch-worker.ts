/** A worker thread of `switch-process.ts`: a queue of each TAP, a pool, a loop and a switch of its own. */
import { FramePool, Loop, MAX_FRAME, RealClock, SECOND, Switch } from '@l2l3/switch-core'
import { runWorker, TapPort, workerPlace } from '@l2l3/tap-io'

const namespaces = workerPlace().data as string[]
const pool = new FramePool({ frameSize: MAX_FRAME, frames: 512 })
const loop = new Loop(pool, new RealClock())
const sw = new Switch(pool, loop.clock)
loop.every(SECOND, sw)
const ports = namespaces.map((netns) => TapPort.open(pool, { name: 'e0', netns, mtu: 1500, multiQueue: true }))
for (const port of ports) loop.add(port, sw.addPort(loop.link(port)))
runWorker({ loop, ports, fdb: sw.fdb, spinMicros: 50 })
