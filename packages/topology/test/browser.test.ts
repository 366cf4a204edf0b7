import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createContext, runInContext } from 'node:vm'
import { build } from 'esbuild'
import { expect, test } from 'vitest'

/* The example of two namespaces as a browser runs it: bundled without a `node:` module, in a context that has none. */

const root = fileURLToPath(new URL('../../..', import.meta.url))

test('a topology file is read and its checks pass in a browser', async () => {
  const { outputFiles } = await build({
    stdin: {
      contents: `
        import { buildInMemory, parseTopology } from '@l2l3/topology/memory'

        const world = buildInMemory(parseTopology(text, 'two-namespaces.yaml'))
        const results = world.runChecks()
        globalThis.answer = { results: results.map((r) => [r.ok, r.text]), balanced: world.snapshot().ledger.balanced }
      `,
      resolveDir: `${root}/packages/cli`,
    },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    conditions: ['@l2l3/source'],
    write: false,
    logLevel: 'silent',
  })
  // What a page has beside the language; "self" is what libraries look for.
  const page: Record<string, unknown> = { TextDecoder, TextEncoder, URL, performance }
  page.self = page
  page.text = readFileSync(`${root}/examples/two-namespaces.yaml`, 'utf8').replaceAll('100 MB', '100000')
  const context = createContext(page)
  runInContext(outputFiles[0]?.text ?? '', context)
  const answer = JSON.parse(runInContext('JSON.stringify(answer)', context) as string)
  expect(answer).toEqual({
    results: expect.arrayContaining([[true, 'ping red -> blue (IPv4, 10.0.0.2)']]),
    balanced: true,
  })
  expect(answer.results.every(([ok]: [boolean]) => ok)).toBe(true)
})
