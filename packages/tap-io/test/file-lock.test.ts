import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addonAvailable, lockFile } from '@l2l3/tap-io'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { native } from '../src/native.ts'
import { descriptors } from './lab.ts'

/* The lock of a file is the one that other programs take: util-linux' flock(1). Needs no root. */
const addon = addonAvailable()
const does = it.skipIf(!addon.ok)
const why = addon.ok ? '' : ` (${addon.reason.split(/[.:]/, 1)[0]})`

let dir: string
let path: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'l2l3-lock-'))
  path = join(dir, 'lock')
})
afterAll(() => rmSync(dir, { recursive: true }))

does(`keeps out flock(1), until it ends${why}`, async () => {
  const before = descriptors()
  const end = await lockFile(path)
  expect(statSync(path).mode & 0o777).toBe(0o750)
  expect(await exit('flock', '-n', path, 'true')).toBe(1)
  end()
  end()
  expect(await exit('flock', '-n', path, 'true')).toBe(0)
  expect(descriptors()).toBe(before)
})

does(`waits for flock(1), without stopping the thread${why}`, async () => {
  const other = spawn('flock', [path, 'sh', '-c', 'echo locked; read line'], { stdio: ['pipe', 'pipe', 'inherit'] })
  await new Promise((resolve) => other.stdout.once('data', resolve))
  await expect(lockFile(path, 20)).rejects.toThrow(`${path} is locked by another for more than 0.02 s`)
  let locked = false
  const ours = lockFile(path).then((end) => {
    locked = true
    end()
  })
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(locked).toBe(false)
  other.stdin.end('\n')
  await ours
  expect(locked).toBe(true)
})

does(`keeps this process's own openings apart: one at a time has it${why}`, async () => {
  let [inside, most, done] = [0, 0, 0]
  const before = descriptors()
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      const end = await lockFile(path)
      most = Math.max(most, ++inside)
      await new Promise((resolve) => setTimeout(resolve, 1))
      inside--
      done++
      end()
    }),
  )
  expect([most, done]).toEqual([1, 10])
  expect(descriptors()).toBe(before)
})

does(`says what is wrong with a path or a descriptor${why}`, async () => {
  await expect(lockFile(join(dir, 'nowhere', 'lock'))).rejects.toThrow('ENOENT')
  await expect(lockFile(dir)).rejects.toThrow('EISDIR')
  for (const fd of [-1, 'x', undefined]) expect(() => native().lockFile(fd as number)).toThrow('lockFile')
  expect(native().lockFile(1 << 30)).toBe(9)
})

function exit(program: string, ...args: string[]): Promise<number | null> {
  return new Promise((resolve, reject) => spawn(program, args).on('error', reject).on('exit', resolve))
}
