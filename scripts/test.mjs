/** `npm test`: sets up, then runs the whole suite. Further words go to vitest: `npm test -- packages/switch-core`. */
import { root, run } from './run.mjs'
import './setup.mjs'

const reporters = ['--reporter=default', `--reporter=${root}/scripts/closing-reporter.mjs`]
process.exitCode = await run(`${root}/node_modules/.bin/vitest`, ['run', ...reporters, ...process.argv.slice(2)])
