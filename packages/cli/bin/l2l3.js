#!/usr/bin/env node
// The command. What it needs is compiled: say so plainly where it is not, instead of a module-not-found trace. All of it in one file
// starts in less than half the time, and is taken where nothing was compiled after it (scripts/bundle.mjs).
import { existsSync, readdirSync, statSync } from 'node:fs'
import * as modules from 'node:module'

const main = new URL('../dist/main.js', import.meta.url)
const bundle = new URL('../build/l2l3.mjs', import.meta.url)
const packages = new URL('../../', import.meta.url)

/** When a file was last written, in milliseconds; 0 where there is none. */
const written = (url) => statSync(url, { throwIfNoEntry: false })?.mtimeMs ?? 0

function bundleIsNew() {
  const at = written(bundle)
  return (
    at > 0 && readdirSync(packages).every((name) => written(new URL(`${name}/tsconfig.tsbuildinfo`, packages)) < at)
  )
}

// From Node 22 on, what was compiled to machine code is kept for the next start.
modules.enableCompileCache?.()
if (existsSync(main)) await import((bundleIsNew() ? bundle : main).href)
else {
  process.stderr.write('l2l3 is not built yet. Run `npm run setup` in the root of the repository first.\n')
  process.exitCode = 1
}
