/** The bench's programs in C, compiled when their source is newer: into bench/build/. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

function modified(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0
}

/** Path of the program compiled from bench/native/`name`.c. Throws with the compiler's words where that fails. */
export function program(name: string): string {
  const source = fileURLToPath(new URL(`../native/${name}.c`, import.meta.url))
  const folder = fileURLToPath(new URL('../build/', import.meta.url))
  const binary = `${folder}${name}`
  if (modified(binary) > modified(source)) return binary
  mkdirSync(folder, { recursive: true })
  const built = spawnSync('cc', ['-O2', '-Wall', '-Wextra', '-o', binary, source], { encoding: 'utf8' })
  if (built.error !== undefined) throw new Error('no C compiler: apt-get install gcc libc6-dev', { cause: built.error })
  if (built.status !== 0) throw new Error(`cc ${source}:\n${built.stderr}`)
  return binary
}
