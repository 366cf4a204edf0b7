/**
 * Which test files share a process, which run beside another, and which alone.
 *
 * Files run beside each other, as many as there are cores; what they make on the system carries their process's number. One
 * after the other in one process they share the modules that are loaded, which saves a third of the time. Not so where a
 * file puts something in the place of a module (`vi.mock`), nor in the packages that end processes or count descriptors:
 * there each file has a process of its own.
 *
 * And who measures time measures the neighbours as well. Those files run alone, one after the other, when the rest is done: a
 * file that reads a fine clock in its own text, all in `bench/`, and a file that says so, with the reason:
 *
 *     // @alone counts packets of the second
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

const MEASURES = /\bperformance\.now\b|\bhrtime\b|@alone \w/
const MOCKS = /\bvi\.(do)?mock\(/i
const NOT_OURS = new Set(['node_modules', 'dist', 'src', 'fixtures'])

/** Test files below `folders` of `root` that run alone, as paths from `root`. */
export function filesAlone(root: string, folders: readonly string[]): string[] {
  return filesThat((path, text) => path.startsWith('bench/') || MEASURES.test(text), root, folders)
}

/** Test files below `folders` of `root` that put something in the place of a module, as paths from `root`. */
export function filesMocking(root: string, folders: readonly string[]): string[] {
  return filesThat((_path, text) => MOCKS.test(text), root, folders)
}

function filesThat(is: (path: string, text: string) => boolean, root: string, folders: readonly string[]): string[] {
  return folders
    .flatMap((folder) => testFiles(join(root, folder)))
    .filter((file) => is(relative(root, file), readFileSync(file, 'utf8')))
    .map((file) => relative(root, file))
    .sort()
}

function testFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : testFiles(path)
    return entry.name.endsWith('.test.ts') ? [path] : []
  })
}
