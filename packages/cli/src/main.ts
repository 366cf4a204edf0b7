import { run } from './program.ts'

// A reader that went away (`l2l3 show | head`) is no error of ours; what runs hears of it in `interruptible`. Neither is
// a full disk, but then what was asked for is not there: status 1, which may be known only after `run` has ended.
let failed = false
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return
    process.exitCode = 1
    if (failed) return
    failed = true
    if (stream === process.stdout) process.stderr.write(`l2l3: cannot write: ${error.message}\n`)
  })
}
const status = await run(process.argv.slice(2))
process.exitCode = failed ? 1 : status
