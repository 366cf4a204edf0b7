/** Which files run alone: those that measure, all of the benches, and those that ask for it; and which need a process of their own. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { filesAlone, filesMocking } from '../alone.ts'

it('those that measure, that are benches, or that ask for it with a reason', () => {
  const root = mkdtempSync(join(tmpdir(), 'l2l3-alone-'))
  // Put together here, for this file to run beside others.
  const [now, asks] = [`perform${'ance.now'}()`, `@al${'one'}`]
  const files = {
    'packages/arp/test/quick.test.ts': `const began = ${now}`,
    'packages/arp/test/plain.test.ts': 'it("answers", () => {})',
    'packages/arp/test/mocks.test.ts': `vi.mo${'ck'}('@l2l3/arp', () => {})`,
    'packages/arp/test/lab.ts': `const began = ${now}`,
    'packages/arp/test/asks.test.ts': `// ${asks} counts packets of the second`,
    'packages/arp/test/no-reason.test.ts': `// ${asks}\nit("answers", () => {})`,
    'packages/arp/node_modules/x/their.test.ts': `const began = ${now}`,
    'bench/tap/smoke.test.ts': 'it("measures", () => {})',
  }
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  expect(filesAlone(root, ['packages', 'bench'])).toEqual([
    'bench/tap/smoke.test.ts',
    'packages/arp/test/asks.test.ts',
    'packages/arp/test/quick.test.ts',
  ])
  expect(filesMocking(root, ['packages', 'bench'])).toEqual(['packages/arp/test/mocks.test.ts'])
  rmSync(root, { recursive: true })
})

it('of this repository they are few', () => {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  const alone = filesAlone(root, ['packages', 'bench', 'test-support'])
  expect(alone).toContain('packages/tap-io/test/run.test.ts')
  // Each of them keeps every core but one waiting.
  expect(alone.length).toBeLessThan(20)
})
