// The README's program is an example that runs, stands within its first 30 lines, and prints what it says.
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const readme = readFileSync(join(root, 'README.md'), 'utf8')

const documents = ['.', 'docs', 'docs/modes', 'examples'].flatMap((folder) =>
  readdirSync(join(root, folder)).flatMap((name) => (name.endsWith('.md') ? [join(folder, name)] : [])),
)

it('shows examples/hello-switch.ts, within 30 lines', () => {
  const shown = /```ts\n([\s\S]+?)```/.exec(readme)
  expect(shown?.[1]).toBe(readFileSync(join(root, 'examples/hello-switch.ts'), 'utf8'))
  const end = readme.slice(0, (shown?.index ?? 0) + (shown?.[0].length ?? 0)).split('\n').length
  expect(end).toBeLessThanOrEqual(31)
})

it('runs as the README says', () => {
  const tsx = join(root, 'node_modules/.bin/tsx')
  const out = execFileSync(tsx, ['--conditions', '@l2l3/source', 'examples/hello-switch.ts'], { cwd: root })
  expect(String(out)).toMatch(/^a 0\nb 1\nc 1\n/)
  expect(String(out)).toContain('balanced: true')
})

it('names scripts, files and packages that exist', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  for (const document of documents) {
    const text = readFileSync(join(root, document), 'utf8')
    for (const [, name] of text.matchAll(/npm run ([\w:-]+)/g)) expect([document, scripts]).toHaveProperty(`1.${name}`)
    for (const [, target] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      const file = join(root, dirname(document), target ?? '')
      expect([document, target, existsSync(file)]).toEqual([document, target, true])
    }
  }
})

it('leads to every document, and the list of examples to every example', () => {
  const list = readFileSync(join(root, 'examples/README.md'), 'utf8')
  for (const name of readdirSync(join(root, 'docs')))
    if (name.endsWith('.md')) expect(readme).toContain(`(docs/${name})`)
  for (const name of readdirSync(join(root, 'docs/modes'))) expect(readme).toContain(`(docs/modes/${name})`)
  for (const name of readdirSync(join(root, 'examples'))) {
    if (/\.(yaml|ts)$/.test(name)) expect(list).toContain(`(${name})`)
  }
})
