import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { FROM_SOURCE, inNamespace, namespace, needsTun } from './lab.ts'

needsTun()

for (const seed of [1, 20_260]) {
  it(`the addon survives garbage in calls and columns, and keeps to its rows (seed ${seed})`, async () => {
    const program = fileURLToPath(new URL('fuzz-native.ts', import.meta.url))
    const said = await inNamespace(namespace(), process.execPath, ...FROM_SOURCE, program, String(seed))
    const { calls, frames } = JSON.parse(said)
    expect(calls).toBe(60_000)
    expect(frames).toBeGreaterThan(100)
  })
}
