/** `npm run check`: formatter and linter, types of tests and examples, unused exports and dependencies, package manifests. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { root, run } from './run.mjs'
import './setup.mjs'

const bin = `${root}/node_modules/.bin`
const steps = [
  ['biome', ['check', '--error-on-warnings', '.']],
  ['tsc', ['-p', 'tsconfig.test.json']],
  ['knip', []],
]
for (const name of readdirSync(`${root}/packages`)) {
  const manifest = `${root}/packages/${name}/package.json`
  if (!existsSync(manifest) || JSON.parse(readFileSync(manifest, 'utf8')).private) continue
  // Packed by npm, which is there; by itself publint asks for pnpm on the path.
  steps.push(['publint', ['run', '--strict', '--pack', 'npm', `packages/${name}`]])
}
const failed = []
for (const [tool, args] of steps) {
  process.stdout.write(`\n> ${[tool, ...args].join(' ')}\n`)
  if ((await run(`${bin}/${tool}`, args)) !== 0) failed.push([tool, ...args].join(' '))
}
process.stdout.write(failed.length > 0 ? `\nfailed: ${failed.join(', ')}\n` : '\nAll checks passed.\n')
process.exitCode = Math.min(failed.length, 100)
