/* A worker thread of the tests: a TAP on its event loop, which is left open on purpose. */
import { parentPort, workerData } from 'node:worker_threads'
import { FramePool, Loop, RealClock } from '@l2l3/switch-core'
import { runOnEventLoop, TapPort } from '@l2l3/tap-io'

const pool = new FramePool({ frames: 64 })
const loop = new Loop(pool, new RealClock())
const tap = TapPort.open(pool, { name: 'eth0', netns: workerData.netns })
loop.add(tap, tap)
loop.every(1e6, { tick: () => {} })
runOnEventLoop(loop, [tap])
parentPort?.postMessage('ready')
