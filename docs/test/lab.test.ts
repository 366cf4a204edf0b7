// docs/lab.md: its program is an example that runs and says what it says.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const page = readFileSync(join(root, 'docs/lab.md'), 'utf8')

it('shows examples/hello-lab.ts, which runs, the same every time', () => {
  expect(/```ts\n([\s\S]+?)```/.exec(page)?.[1]).toBe(readFileSync(join(root, 'examples/hello-lab.ts'), 'utf8'))
  const tsx = join(root, 'node_modules/.bin/tsx')
  const run = (): string =>
    String(execFileSync(tsx, ['--conditions', '@l2l3/source', 'examples/hello-lab.ts'], { cwd: root }))
  const out = run()
  expect(out.trimEnd().split('\n')).toEqual([
    'true ping red -> blue (IPv4, 10.0.2.2) 3 of 3 answered',
    'by way of 10.0.1.1',
    '1000000 bytes, all intact',
    'false',
    'Consumed 2',
    'TtlExceeded 1',
    'NoRoute 1',
    'true',
    "[ 'gw/red', 'gw/blue', 'gw/green' ]",
  ])
  expect(run()).toBe(out)
})
