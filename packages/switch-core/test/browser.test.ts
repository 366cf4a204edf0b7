import { fileURLToPath } from 'node:url'
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import { expect, test } from 'vitest'

/*
 * A browser has no Buffer, no process, no require and no `node:` modules. Programs are bundled for one, which fails where
 * they import what it has not, and run in a context with the language and little else.
 *
 *     ana --+        +-- ben
 *           +-- sw --+
 *     cho --+
 */

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** Bundles a program from source as for a browser. */
async function bundle(program: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents: program, resolveDir: root },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    conditions: ['@l2l3/source'],
    write: false,
    logLevel: 'silent',
  })
  return outputFiles[0]?.text ?? ''
}

/** Runs a bundled program; gives what it left in `answer`, as plain data of this realm. */
function run(code: string): unknown {
  const context = createContext({ TextDecoder, TextEncoder, performance })
  runInContext(code, context)
  return JSON.parse(runInContext('JSON.stringify(answer)', context) as string)
}

test('a frame crosses the switch, is described, and is recorded', async () => {
  const code = await bundle(`
    import { FramePool, Loop, MemoryPort, RealClock, Switch } from '@l2l3/switch-core'
    import { openCapture, PcapWriter } from '@l2l3/switch-core/pcap'
    import { describe } from '@l2l3/switch-core/wire'

    const pool = new FramePool({ frames: 16 })
    const loop = new Loop(pool, new RealClock())
    const sw = new Switch(pool, loop.clock)
    const [ana, ben, cho] = ['ana', 'ben', 'cho'].map((name) => new MemoryPort(pool, name))
    for (const port of [ana, ben, cho]) loop.add(port, sw.addPort(loop.link(port), { name: port.name }))

    const request = Uint8Array.of(
      255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 10, 8, 6,
      0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 10, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2,
    )
    const views = []
    loop.observer = { received: (_port, _element, batch) => views.push(pool.view(batch.frames[0])) }
    ana.inject(request)
    loop.settle()
    const got = ben.takeAll()

    const chunks = []
    const capture = new PcapWriter((chunk) => chunks.push(chunk.slice()))
    capture.write({ data: got[0], time: 1_000_000_000n })
    capture.flush()
    const records = [...openCapture(chunks)]

    globalThis.answer = {
      platform: ['Buffer', 'process', 'require'].map((name) => typeof globalThis[name]),
      intact: got.length === 1 && String(got[0]) === String(request),
      flooded: cho.takeAll().length,
      learnt: [...sw.fdb.list()].map(({ mac }) => mac),
      view: [views.length, views[0] instanceof Uint8Array, views[0].constructor.name, views[0].length],
      described: describe(got[0]),
      recorded: records.map(({ data, time }) => [data.length, String(time)]),
      balanced: pool.report().balanced,
    }
  `)
  expect(run(code)).toEqual({
    platform: ['undefined', 'undefined', 'undefined'],
    intact: true,
    flooded: 1,
    learnt: ['02:00:00:00:00:0a'],
    view: [1, true, 'Uint8Array', 42],
    described: '02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff, ARP who-has 10.0.0.2 tell 10.0.0.1',
    recorded: [[42, '1000000000']],
    balanced: true,
  })
})

test('the compliance suite of ports is to be had there too', async () => {
  const code = await bundle(`
    import { portCompliance } from '@l2l3/switch-core/compliance'
    globalThis.answer = typeof portCompliance
  `)
  expect(run(code)).toBe('function')
})

test('a bundle for a browser takes in no module of Node', async () => {
  await expect(bundle(`import 'node:fs'`)).rejects.toThrow('Could not resolve "node:fs"')
})
