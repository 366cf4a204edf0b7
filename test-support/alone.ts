/**
 * Which test files run beside another, and which alone.
 *
 * A file has a process of its own, and what it makes on the system carries that process's number; so files run beside each
 * other, as many as there are cores. But who measures time measures the neighbours as well. Those files run alone, one
 * after the other, when the rest is done: a file that reads a fine clock in its own text, all in
 * `bench/`, and a file that says so, with the reason:
 *
 *     // @alone counts packets of the second
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

const MEASURES = /\bperformance\.now\b|\bhrtime\b|@alone \w/
const NOT_OURS = new Set(['node_modules', 'dist', 'src', 'fixtures'])

/** Test files below `folders` of `root` that run alone, as paths from `root`. */
export function filesAlone(root: string, folders: readonly string[]): string[] {
  return folders
    .flatMap((folder) => testFiles(join(root, folder)))
    .filter((file) => relative(root, file).startsWith('bench/') || MEASURES.test(readFileSync(file, 'utf8')))
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
