/**
 * Compiles the programs in `src/wasm` from WebAssembly's text format into modules beside them: `sum.wat` to `sum.wasm.ts`. Each is
 * there twice, for a memory of its own and for one that workers share. A test holds the modules to their sources.
 *
 *     npm run wasm
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import wabt from 'wabt'

const folder = new URL('src/wasm/', import.meta.url)
const PLAIN = '(memory 0)'
const SHARED = '(memory 0 65536 shared)'

/** Names of all programs. */
export function programs(): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.wat'))
    .map((name) => name.slice(0, -4))
}

/** Path of the module of a program. */
export function modulePath(name: string): string {
  return fileURLToPath(new URL(`${name}.wasm.ts`, folder))
}

/** What stands in the module of a program. */
export async function moduleText(name: string): Promise<string> {
  const { parseWat } = await wabt()
  const source = readFileSync(new URL(`${name}.wat`, folder), 'utf8')
  if (source.split(PLAIN).length !== 2) throw new Error(`${name}.wat: there must be one ${PLAIN}, the import`)
  const hex = (text: string): string => {
    const { buffer } = parseWat(`${name}.wat`, text, { simd: true, threads: true }).toBinary({})
    return Buffer.from(buffer).toString('hex')
  }
  return [
    `/* Made by wat.ts of ${name}.wat: not to be edited. */`,
    "import type { Program } from './program.ts'",
    '',
    `export const ${name.toUpperCase().replaceAll('-', '_')}: Program = {`,
    `  plain:\n    '${hex(source)}',`,
    `  shared:\n    '${hex(source.replace(PLAIN, SHARED))}',`,
    '}',
    '',
  ].join('\n')
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const name of programs()) writeFileSync(modulePath(name), await moduleText(name))
}
