/** `npm run bench`: sets up, then runs the benches. Further words go to them: `npm run bench -- --quick`. */
import { root, run } from './run.mjs'
import './setup.mjs'

const words = ['--import', 'tsx', '--conditions', '@l2l3/source', `${root}/bench/run.ts`, ...process.argv.slice(2)]
process.exitCode = await run(process.execPath, words)
