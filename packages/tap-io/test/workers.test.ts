// @alone counts CPU time, and wants both cores
import { ping, startWorkers, type Workers, workerPlace } from '@l2l3/tap-io'
import { describe, expect, it } from 'vitest'
import { descriptors, FROM_SOURCE, inNamespace, ip, namespace, needsTun, nodeIn } from './lab.ts'

/* One switch in several worker threads, between two namespaces. */
needsTun()

/** Starts workers from source: `--import tsx` does not reach threads on Node 20. */
function start(workers: number, data: object): Workers {
  const url = JSON.stringify(new URL('worker-switch.ts', import.meta.url).href)
  const script = `import('tsx/esm/api').then(({ register }) => (register(), import(${url})))`
  return startWorkers(script, { workers, data, thread: { eval: true, execArgv: FROM_SOURCE.slice(2) } })
}

async function switched(workers: number) {
  const [alice, bob] = [namespace(), namespace()]
  const threads = start(workers, { namespaces: [alice, bob] })
  await threads.ready
  for (const [i, netns] of [alice, bob].entries()) ip('-n', netns, 'addr', 'add', `10.1.0.${i + 1}/24`, 'dev', 'eth0')
  return { alice, bob, threads }
}

/** Eight streams at once, each a megabyte up and its length back. */
const SERVER = `
  let left = 8
  const server = require('net').createServer({ allowHalfOpen: true }, (s) => {
    let n = 0
    s.on('data', (d) => { n += d.length }).on('end', () => { s.end(String(n)); if (--left === 0) server.close() })
  }).listen(7, () => console.log('ready'))`
const CLIENTS = `
  Promise.all(Array.from({ length: 8 }, () => new Promise((resolve, reject) => {
    let said = ''
    const s = require('net').connect({ host: '10.1.0.2', port: 7, allowHalfOpen: true }, () => s.end(Buffer.alloc(1 << 20)))
    s.on('data', (d) => { said += d }).on('end', () => resolve(said)).on('error', reject)
  }))).then((all) => console.log(JSON.stringify(all)))`

describe('a switch in worker threads', () => {
  for (const workers of [1, 2, 3]) {
    it(`carries pings and streams with ${workers}, and balances in each`, async () => {
      const before = descriptors()
      const { alice, bob, threads } = await switched(workers)
      expect(await ping({ to: '10.1.0.2', netns: alice, count: 30, intervalMs: 1 })).toMatchObject({ received: 30 })
      const server = nodeIn(bob, SERVER)
      const clients = await inNamespace(alice, 'sh', '-c', `sleep 1; exec ${process.execPath} -e "$1"`, 'sh', CLIENTS)
      expect(JSON.parse(clients)).toEqual(Array(8).fill(String(1 << 20)))
      await server
      const reports = (await threads.stop()) as { received: number; sent: number }[]
      expect(reports).toHaveLength(workers)
      for (const report of reports) expect(report).toMatchObject({ held: 0, balanced: true })
      // What the streams take is dozens of super-frames: they were carried, once each.
      const [received, sent] = (['received', 'sent'] as const).map((key) => reports.reduce((n, r) => n + r[key], 0))
      expect(received).toBeGreaterThan(200)
      expect(sent).toBeGreaterThan(200)
      expect(descriptors()).toBeLessThanOrEqual(before)
    })
  }

  it('ends all of them when one fails, and says why', async () => {
    const threads = start(2, { namespaces: [namespace(), namespace()], fails: true })
    await expect(threads.ready).rejects.toThrow('worker 1 fails')
    await expect(threads.stop()).rejects.toThrow('worker 1 fails')
  })

  it('refuses none, too many, and a thread that nobody has started', () => {
    expect(() => startWorkers('', { workers: 0 })).toThrow(/workers.*0/)
    expect(() => startWorkers('', { workers: 65 })).toThrow(/workers.*65/)
    expect(() => workerPlace()).toThrow(/startWorkers/)
  })
})
