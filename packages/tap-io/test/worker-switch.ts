/* A worker thread of the tests: one of those that share the queues of two TAP devices. */
import { FramePool, Loop, MAX_FRAME, RealClock, SECOND, Switch } from '@l2l3/switch-core'
import { runWorker, TapPort, workerPlace } from '@l2l3/tap-io'

const { data, worker } = workerPlace()
const { namespaces, fails } = data as { namespaces: string[]; fails?: boolean }
if (fails && worker === 1) throw new Error('worker 1 fails')
const pool = new FramePool({ frames: 64, frameSize: MAX_FRAME })
const loop = new Loop(pool, new RealClock())
const sw = new Switch(pool, loop.clock)
loop.every(SECOND, sw)
const ports = namespaces.map((netns) => TapPort.open(pool, { name: 'eth0', netns, multiQueue: true }))
for (const port of ports) loop.add(port, sw.addPort(loop.link(port)))
runWorker({ loop, ports, fdb: sw.fdb })
