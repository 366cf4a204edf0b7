/**
 * Compiles the programs in `src/wasm` of the packages from WebAssembly's text format into modules beside them: `sum.wat` to
 * `sum.wasm.ts`. Each is there twice, for a memory of its own and for one that workers share. A test holds the modules to their sources.
 *
 *     npm run wasm
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import wabt from 'wabt'

const packages = new URL('../', import.meta.url)
const HERE = new URL('src/wasm/', import.meta.url)
const PLAIN = '(memory 0)'
const SHARED = '(memory 0 65536 shared)'

/** Names of all programs. */
export function programs(): string[] {
  return [...folders().keys()]
}

/** Path of the module of a program. */
export function modulePath(name: string): string {
  return fileURLToPath(new URL(`${name}.wasm.ts`, folderOf(name)))
}

/** Where each program is. */
function folders(): Map<string, URL> {
  const all = new Map<string, URL>()
  for (const name of readdirSync(packages)) {
    const folder = new URL(`${name}/src/wasm/`, packages)
    const files = existsSync(folder) ? readdirSync(folder) : []
    for (const file of files) if (file.endsWith('.wat')) all.set(file.slice(0, -4), folder)
  }
  return all
}

function folderOf(name: string): URL {
  const folder = folders().get(name)
  if (folder === undefined) throw new Error(`there is no ${name}.wat`)
  return folder
}

/** What stands in the module of a program. */
export async function moduleText(name: string): Promise<string> {
  const { parseWat } = await wabt()
  const folder = folderOf(name)
  const source = readFileSync(new URL(`${name}.wat`, folder), 'utf8')
  const from = folder.href === HERE.href ? './program.ts' : '@l2l3/switch-core'
  if (source.split(PLAIN).length !== 2) throw new Error(`${name}.wat: there must be one ${PLAIN}, the import`)
  const hex = (text: string): string => {
    const { buffer } = parseWat(`${name}.wat`, text, { simd: true, threads: true }).toBinary({})
    return Buffer.from(buffer).toString('hex')
  }
  return [
    `/* Made by wat.ts of ${name}.wat: not to be edited. */`,
    `import type { Program } from '${from}'`,
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
