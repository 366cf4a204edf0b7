/* A worker thread of the tests: a cable between two namespaces, run by `runBlocking`. */
import { parentPort, workerData } from 'node:worker_threads'
import { FramePool, Loop, MAX_FRAME, RealClock } from '@l2l3/switch-core'
import { runBlocking, TapPort } from '@l2l3/tap-io'

const { alice, bob, over, options } = workerData as {
  alice: string
  bob: string
  over: Int32Array
  options?: { spinMicros: number }
}
const pool = new FramePool({ frames: 64, frameSize: MAX_FRAME })
const failed: string[] = []
const loop = new Loop(pool, new RealClock(), { onPortFailed: (_, error) => failed.push(error.message) })
const ends = [alice, bob].map((netns) => TapPort.open(pool, { name: 'eth0', netns })) as [TapPort, TapPort]
loop.add(ends[0], ends[1])
loop.add(ends[1], ends[0])
parentPort?.postMessage({ ready: true })
runBlocking(loop, ends, { ...options, until: over })
for (const end of ends) end.close()
parentPort?.postMessage({ report: pool.report(), failed })
