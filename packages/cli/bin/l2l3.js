#!/usr/bin/env node
// The command. What it needs is compiled: say so plainly where it is not, instead of a module-not-found trace.
import { existsSync } from 'node:fs'

const main = new URL('../dist/main.js', import.meta.url)
if (existsSync(main)) await import(main.href)
else {
  process.stderr.write('l2l3 is not built yet. Run `npm run setup` in the root of the repository first.\n')
  process.exitCode = 1
}
