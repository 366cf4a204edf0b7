/**
 * The bench's programs, each run as a process of its own: what V8 has learnt from one variant poisons the next. A program and all it
 * imports are bundled into one file first, so that a process starts in a tenth of the time; what runs is the source as it is now.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, renameSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { buildSync } from 'esbuild'

const here: string = dirname(fileURLToPath(import.meta.url))
const build: string = join(here, 'build')

/** Bundles of this run, by program. */
const bundles = new Map<string, string>()

/** Path of the bundle of bench/`name`.ts. */
function bundle(name: string): string {
  const known = bundles.get(name)
  if (known !== undefined) return known
  const outfile = join(build, `${name}.mjs`)
  // Under another name first: two runs may do this at once.
  const fresh = join(build, `${name}-${process.pid}.mjs`)
  buildSync({
    entryPoints: [join(here, `${name}.ts`)],
    outfile: fresh,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    conditions: ['@l2l3/source'],
    logLevel: 'error',
  })
  renameSync(fresh, outfile)
  bundles.set(name, outfile)
  return outfile
}

/** Runs bench/`name`.ts with `variant`, and gives the JSON that it prints. Throws where it fails.
 * @param flags of Node's, such as --expose-gc */
export function runProgram<T>(name: string, variant: object, ...flags: string[]): T {
  const words = [...flags, bundle(name), JSON.stringify(variant)]
  const out = execFileSync(process.execPath, words, { cwd: here, encoding: 'utf8', maxBuffer: 1 << 26 })
  return JSON.parse(out.trimEnd().split('\n').at(-1) ?? '') as T
}

/** Compiles bench/`name`.c where its source is newer; null (with a line that says so) where there is no compiler. */
export function compileC(name: string): string | null {
  const source = join(here, `${name}.c`)
  const binary = join(build, name)
  const modified = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
  if (modified(binary) > modified(source)) return binary
  mkdirSync(build, { recursive: true })
  const cc = spawnSync('cc', ['-O2', '-o', binary, source], { encoding: 'utf8' })
  if (cc.status === 0) return binary
  const why = cc.error?.message ?? cc.stderr
  process.stderr.write(`no C compiler, so no comparison with C (apt-get install gcc libc6-dev): ${why}\n`)
  return null
}

/** Runs what `compileC` made; gives the JSON that it prints. */
export function runC<T>(binary: string, ...words: (string | number)[]): T {
  return JSON.parse(execFileSync(binary, words.map(String), { encoding: 'utf8' })) as T
}
