import { run } from './program.ts'

// A reader that went away (`l2l3 show | head`) is no error of ours; what runs hears of it in `interruptible`.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}
process.exitCode = await run(process.argv.slice(2))
