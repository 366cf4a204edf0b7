/** `npm run bench` and its like: sets up, then runs a bench. Further words go to it: `npm run bench -- --quick`. */
import { root, run } from './run.mjs'
import './setup.mjs'

const [bench = 'run', ...more] = process.argv.slice(2)
const words = ['--import', 'tsx', '--conditions', '@l2l3/source', `${root}/bench/${bench}.ts`, ...more]
process.exitCode = await run(process.execPath, words)
