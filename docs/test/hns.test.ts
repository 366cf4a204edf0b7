// docs/modes/hns.md: its program is an example that runs and says what it says.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { Hns } from '../../packages/modes/src/hns/index.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const page = readFileSync(join(root, 'docs/modes/hns.md'), 'utf8')

it('shows examples/hello-hns.ts, which runs', () => {
  expect(/```ts\n([\s\S]+?)```/.exec(page)?.[1]).toBe(readFileSync(join(root, 'examples/hello-hns.ts'), 'utf8'))
  const tsx = join(root, 'node_modules/.bin/tsx')
  const out = String(execFileSync(tsx, ['--conditions', '@l2l3/source', 'examples/hello-hns.ts'], { cwd: root }))
  expect(out).toMatch(/^00155d00030600155d0003050800.*0af403050af40306123414e9/)
  expect(out).toContain("endpoint web: $[0]: VLAN 7 is not the network's")
})

it('names the calls that there are', () => {
  const calls = [...page.matchAll(/`(\w+)(?:\(\w+\))?`/g)].map(([, name]) => name as string)
  const own = Object.getOwnPropertyNames(Hns.prototype).filter((name) => /^(create|delete|add|remove|set)/.test(name))
  for (const name of own) expect(calls, name).toContain(name)
})
