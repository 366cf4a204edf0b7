/** `npm test`: sets up, then runs the whole suite. Further words go to vitest: `npm test -- packages/switch-core`. */
import { root, run } from './run.mjs'
import './setup.mjs'

// vitest colours a pipe as well, unless it is told.
const plain = process.stdout.isTTY || 'FORCE_COLOR' in process.env ? {} : { NO_COLOR: '1' }
// The set-up has compiled what is there now.
const env = { ...plain, L2L3_COMPILED: '1' }
const reporters = ['--reporter=default', `--reporter=${root}/scripts/closing-reporter.mjs`]
const words = ['run', ...reporters, ...process.argv.slice(2)]
process.exitCode = await run(`${root}/node_modules/.bin/vitest`, words, env)
