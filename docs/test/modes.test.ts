// The table of modes has all modes that are tried, with a page each, and nothing in it has failed.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MODES } from '@l2l3/topology'
import { expect, it } from 'vitest'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const document = readFileSync(join(root, 'docs/modes.md'), 'utf8')
const rows = Array.from(
  document.matchAll(/^\| \[([\w-]+)\]\((\S+)\) \|(.*)\|$/gm),
  ([, mode = '', page = '', rest = '']) => {
    return { mode, page, cells: rest.split('|').map((cell) => cell.trim()) }
  },
)
const folder = join(root, 'packages/topology/test/conformance')
// A mode has a file of its name there, and so has each of its variants.
const tried = readdirSync(folder).flatMap((file) => {
  return file.endsWith('.test.ts') && readFileSync(join(folder, file), 'utf8').includes('\nconform(')
    ? [file.slice(0, -8)]
    : []
})

it('has every mode that is tried, once, and a page for it', () => {
  expect(rows.map((row) => row.mode)).toEqual([...tried].sort())
  for (const { page } of rows) expect([page, existsSync(join(root, 'docs', page))]).toEqual([page, true])
})

it('has every mode of a container network', () => {
  const plain = ['switch', 'router', 'vtep', 'nat', 'fabric']
  for (const name of MODES.keys()) {
    if (!plain.includes(name)) expect([name, tried.some((mode) => mode.startsWith(name))]).toEqual([name, true])
  }
})

it('has nothing that failed, and most that passed', () => {
  const cells = rows.flatMap((row) => row.cells.slice(1))
  expect(cells.filter((cell) => /\bfail\b/.test(cell))).toEqual([])
  expect(cells.filter((cell) => cell === 'pass').length).toBeGreaterThan(cells.length / 2)
})
