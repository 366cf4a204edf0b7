import type { Memory } from './memory.ts'

/*
 * Programs in WebAssembly: some hundred bytes each, written by hand (the `.wat` beside this file), and kept as text in
 * modules of this package (`.wasm.ts`, made by `npm run wasm`), so that there is no file to find and nothing to wait for.
 *
 * A program is compiled once, and has an instance for each memory that it works on. The type of a memory says whether it is
 * shared, and a program says which type it takes; so each is there twice, with one line different.
 */

/** A program as two modules, in hexadecimal. */
export interface Program {
  /** For a memory of its own. */
  readonly plain: string
  /** For one that workers share. */
  readonly shared: string
}

interface Platform {
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: object }
}

/** Modules that were compiled, by their text; null for those that this platform does not take. */
const modules = new Map<string, object | null>()

/** Starts a program on a memory: gives its exports, or null where this platform has no WebAssembly, lacks an instruction
 * (SIMD), or forbids to compile (a page's Content-Security-Policy). */
export function start<Exports>(program: Program, memory: Memory): Exports | null {
  const platform = (globalThis as { WebAssembly?: Platform }).WebAssembly
  if (platform === undefined) return null
  const text = memory.buffer instanceof ArrayBuffer ? program.plain : program.shared
  let module = modules.get(text)
  if (module === undefined) {
    module = compile(platform, text)
    modules.set(text, module)
  }
  if (module === null) return null
  return new platform.Instance(module, { l2l3: { memory } }).exports as Exports
}

function compile(platform: Platform, text: string): object | null {
  const bytes = Uint8Array.from({ length: text.length / 2 }, (_, i) =>
    Number.parseInt(text.slice(2 * i, 2 * i + 2), 16),
  )
  try {
    return new platform.Module(bytes)
  } catch {
    return null
  }
}
