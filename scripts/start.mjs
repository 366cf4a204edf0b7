/** `npm start`: sets up, then shows the switch at work: `l2l3 demo`. Further words go to it: `npm start -- --memory`. */
import { root, run } from './run.mjs'
import './setup.mjs'

process.exitCode = await run(process.execPath, [`${root}/packages/cli/bin/l2l3.js`, 'demo', ...process.argv.slice(2)])
