import { Worker } from 'node:worker_threads'

/** A word that becomes 1 when standard input ends. A thread of its own looks: this one has no time for events. */
export function inputEnded(): Int32Array {
  const over = new Int32Array(new SharedArrayBuffer(4))
  const script = `
    const { readSync } = require('node:fs')
    const { workerData } = require('node:worker_threads')
    while (readSync(0, Buffer.alloc(64)) > 0);
    Atomics.store(workerData, 0, 1)`
  new Worker(script, { eval: true, workerData: over, execArgv: [] }).unref()
  return over
}
