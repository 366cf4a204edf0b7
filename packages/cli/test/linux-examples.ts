/**
 * What the tests of modes on Linux share: examples under a name of their own, in a directory of their own, and a machine that is left as
 * it was found.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { linuxProblem } from '@l2l3/topology'
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from 'vitest'
import { stopAll } from './command.ts'

export interface Examples {
  /** The name of every topology of the file. */
  readonly name: string
  /** Where files may be put. */
  readonly dir: string
  /** Puts an example there under that name, with smaller transfers; says where. */
  example(name: string): string
}

/** Sets up for the tests of a file, which are skipped where namespaces and TAPs cannot be had. */
export async function linuxExamples(kind: string): Promise<Examples> {
  // A command takes a moment to start, and a busy machine's longer.
  vi.setConfig({ testTimeout: 120_000 })
  const name = `${kind}${process.pid}`
  const problem = await linuxProblem()
  let dir = ''
  const left = (): string[] => {
    const there = ['/run/netns', '/run/l2l3'].flatMap((path) => (existsSync(path) ? readdirSync(path) : []))
    return there.filter((entry) => entry.includes(name))
  }
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), `l2l3-${kind}-`))
  })
  afterAll(() => rmSync(dir, { recursive: true }))
  beforeEach((context) => {
    if (problem !== null) context.skip(problem)
  })
  afterEach(async () => {
    await stopAll()
    if (problem === null) expect(left()).toEqual([])
  })
  return {
    name,
    get dir() {
      return dir
    },
    example(file) {
      const text = readFileSync(new URL(`../../../examples/${file}.yaml`, import.meta.url), 'utf8')
      const path = join(dir, `${file}.yaml`)
      writeFileSync(path, text.replace(/^name: .*$/m, `name: ${name}`).replace(/bytes: \d+ MB/g, 'bytes: 3 MB'))
      return path
    },
  }
}
