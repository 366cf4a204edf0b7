import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { linuxProblem, parseTopology, RunDirectory, removeRemains, upOnLinux } from '@l2l3/topology'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'

/* What programs see of a topology on Linux that the command does not show. */

const NAME = `world${process.pid}`
const TEXT = `
name: ${NAME}
nodes: { sw1: { mode: switch, endpoints: { red: { ip: 10.76.0.1/24 } } } }
`
/** No process has a number above 2^22. */
const NOBODY = 4_194_305
const problem = await linuxProblem()
let base: string

beforeAll(() => {
  base = mkdtempSync(join(tmpdir(), 'l2l3-world-'))
})
afterAll(() => rmSync(base, { recursive: true }))
beforeEach((context) => {
  if (problem !== null) context.skip(problem)
})

it('draws a seed for its tables, another one in every run', async () => {
  const seeds: (number | undefined)[] = []
  for (let i = 0; i < 2; i++) {
    await using world = await upOnLinux(parseTopology(TEXT, 'net.yaml'))
    seeds.push(world.fabric.ground.seed)
  }
  expect(seeds).toEqual([expect.any(Number), expect.any(Number)])
  expect(seeds[0]).not.toBe(seeds[1])
})

it('has as many hosts as it likes follow one signal', async () => {
  const warnings: string[] = []
  const hear = (warning: Error): number => warnings.push(String(warning))
  process.on('warning', hear)
  const hosts = Array.from({ length: 12 }, (_, i) => `h${i}: { ip: 10.76.0.${i + 1}/24 }`).join(', ')
  const many = `name: ${NAME}\nnodes: { sw1: { mode: switch, endpoints: { ${hosts} } } }`
  await using world = await upOnLinux(parseTopology(many, 'net.yaml'), { signal: new AbortController().signal })
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', hear)
  expect([world.topology.endpoints.length, warnings]).toEqual([12, []])
})

it('keeps on record what it cannot remove', () => {
  // A directory stands in for a namespace that `ip netns del` fails on.
  const stuck = `l2l3-${NAME}.stuck`
  const path = `/run/netns/${stuck}`
  mkdirSync(path)
  try {
    const grave = join(base, `.${NAME}.dead-${NOBODY}-abc`)
    mkdirSync(grave)
    const namespaces = [{ name: stuck, inode: statSync(path).ino }]
    const state = { name: NAME, pid: NOBODY, startTime: '1', world: 'linux', namespaces }
    writeFileSync(join(grave, 'state.json'), JSON.stringify(state))
    expect(() => RunDirectory.claim(NAME, 'memory', removeRemains, base)).toThrow(
      `process ${NOBODY} left namespaces behind that could not be removed: ${stuck}`,
    )
    expect(existsSync(join(grave, 'state.json'))).toBe(true)
  } finally {
    rmSync(path, { recursive: true })
  }
  RunDirectory.claim(NAME, 'memory', removeRemains, base).release()
  expect(readdirSync(base)).toEqual([])
})

it('removes the namespace of a probe whose process died', async () => {
  const probe = `l2l3-probe-${NOBODY}`
  execFileSync('ip', ['netns', 'add', probe])
  expect(await linuxProblem()).toBeNull()
  expect(existsSync(`/run/netns/${probe}`)).toBe(false)
})
