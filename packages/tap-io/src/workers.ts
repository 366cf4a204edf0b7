import { parentPort, Worker, type WorkerOptions, workerData } from 'node:worker_threads'
import { checkRange, type Fdb, FdbExchange, type Loop, MILLISECOND } from '@l2l3/switch-core'
import { type BlockingOptions, runBlocking } from './run-blocking.ts'
import type { Pollable } from './wait-set.ts'

/*
 * One switch on several cores: worker threads that share the queues of the same TAP devices among them.
 *
 *                  e0 of red                 e0 of blue
 *                queue 0  queue 1          queue 0  queue 1
 *                   |        `--------.-------'--------|
 *     worker 0: pool, loop, switch    |   worker 1: pool, loop, switch
 *                   `-----------------'
 *
 * Each opens every device with `multiQueue`, and so gets a queue of each. The kernel keeps a flow on the queue on which the device last
 * wrote to it, so a flow stays with one worker both ways, and its frames keep their order. What workers share is what they have heard:
 * `FdbExchange`. A NAT or a router has to find its flow on the worker that made it, which holds for the same reason as long as
 * translation does not change the flow's hash on one side: measure before relying on it.
 *
 * On two cores, which sender and receiver want as well, a second worker gains little (docs/performance.md): one thread is the default.
 */

/** What a worker thread is told: its place among the others. */
export interface WorkerPlace {
  /** Its number, from 0. */
  readonly worker: number
  readonly workers: number
  /** Not 0 when all are to end. */
  readonly over: Int32Array
  /** For `FdbExchange`. */
  readonly fdb: SharedArrayBuffer
  /** What `startWorkers` was given for all. */
  readonly data: unknown
}

/** Settings of `startWorkers`. */
export interface WorkersOptions {
  /** How many threads, 1 to 64. */
  workers: number
  /** Handed to each: `WorkerPlace.data`. */
  data?: unknown
  /** For `new Worker`: execArgv, eval ... */
  thread?: Omit<WorkerOptions, 'workerData'>
}

/** What a worker says. */
type Said = { readonly ready: true } | { readonly report: unknown }

/** Threads that work together. */
export class Workers {
  /** Settles when each is at work; rejects where one ends before. */
  readonly ready: Promise<void>
  readonly #over: Int32Array
  readonly #ended: Promise<unknown[]>

  /** @param over what tells them to end */
  constructor(threads: readonly Worker[], over: Int32Array) {
    this.#over = over
    const ready: Promise<void>[] = []
    const ended: Promise<unknown>[] = []
    for (const [i, thread] of threads.entries()) {
      let report: unknown
      ready.push(
        new Promise((resolve, reject) => {
          thread.on('message', (said: Said) => {
            if ('ready' in said) resolve()
            else report = said.report
          })
          thread.on('error', reject)
          thread.on('exit', () => reject(new Error(`worker ${i} ended before it was ready`)))
        }),
      )
      ended.push(
        new Promise((resolve, reject) => {
          thread.on('error', (error) => {
            // One that fails takes the others with it: what they know of it would be wrong.
            Atomics.store(over, 0, 1)
            reject(error)
          })
          thread.on('exit', () => resolve(report))
        }),
      )
    }
    this.ready = Promise.all(ready).then(() => {})
    this.#ended = Promise.all(ended)
    // Whoever waits for the one need not wait for the other.
    this.ready.catch(() => {})
    this.#ended.catch(() => {})
  }

  /** Ends all of them; gives the ledger of each. Rejects with the error of one that has failed. */
  stop(): Promise<unknown[]> {
    Atomics.store(this.#over, 0, 1)
    return this.#ended
  }

  /** Settles when all have ended, whoever ended them. */
  get done(): Promise<unknown[]> {
    return this.#ended
  }
}

/** Starts worker threads that run `script`, which calls `workerPlace` and, in the end, `runWorker`. */
export function startWorkers(script: URL | string, options: WorkersOptions): Workers {
  const workers = checkRange('workers', options.workers, 1, 64)
  const over = new Int32Array(new SharedArrayBuffer(4))
  const fdb = FdbExchange.shared(workers)
  const threads = Array.from({ length: workers }, (_, worker) => {
    const place: WorkerPlace = { worker, workers, over, fdb, data: options.data }
    return new Worker(script, { ...options.thread, workerData: place })
  })
  return new Workers(threads, over)
}

/** The place of this thread, which `startWorkers` started. Throws an Error in any other thread. */
export function workerPlace(): WorkerPlace {
  const place = workerData as Partial<WorkerPlace> | null
  if (!(place?.over instanceof Int32Array) || !(place.fdb instanceof SharedArrayBuffer)) {
    throw new Error('this thread was not started by startWorkers')
  }
  return place as WorkerPlace
}

/** What a worker runs. */
export interface WorkerSwitch extends Omit<BlockingOptions, 'until'> {
  readonly loop: Loop
  /** Ports of the loop, which are closed at the end: a queue of each device. */
  readonly ports: readonly (Pollable & { close(): void })[]
  /** The forwarding database of its switch, whose ports were added in the same order in every worker. */
  readonly fdb?: Fdb
}

/** Runs a loop on this thread, in step with the other workers, until all are told to end. Then ports are closed, frames that are
 * still in the loop are dropped, and the ledger goes to whoever has called `Workers.stop`. */
export function runWorker({ loop, ports, fdb, ...blocking }: WorkerSwitch): void {
  const place = workerPlace()
  if (fdb !== undefined && place.workers > 1) {
    loop.every(20 * MILLISECOND, new FdbExchange(place.fdb, place.worker, fdb, loop.clock))
  }
  parentPort?.postMessage({ ready: true } satisfies Said)
  runBlocking(loop, ports, { ...blocking, until: place.over })
  for (const port of ports) port.close()
  loop.abandon()
  parentPort?.postMessage({ report: loop.pool.report() } satisfies Said)
}
