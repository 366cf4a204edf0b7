/** `npm run check`: formatter and linter, types of tests and examples, unused exports and dependencies, package manifests. */
import { readdirSync, readFileSync } from 'node:fs'
import { root, run } from './run.mjs'
import './setup.mjs'

const bin = `${root}/node_modules/.bin`
const steps = [
  ['biome', ['check', '.']],
  ['tsc', ['-p', 'tsconfig.test.json']],
  ['knip', []],
]
for (const name of readdirSync(`${root}/packages`)) {
  const { private: hidden } = JSON.parse(readFileSync(`${root}/packages/${name}/package.json`, 'utf8'))
  if (!hidden) steps.push(['publint', ['run', '--strict', `packages/${name}`]])
}
const failed = []
for (const [tool, args] of steps) {
  process.stdout.write(`\n> ${[tool, ...args].join(' ')}\n`)
  if ((await run(`${bin}/${tool}`, args)) !== 0) failed.push([tool, ...args].join(' '))
}
if (failed.length > 0) process.stdout.write(`\nfailed: ${failed.join(', ')}\n`)
process.exitCode = failed.length > 0 ? 1 : 0
