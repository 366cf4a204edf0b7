import { readdirSync, readFileSync } from 'node:fs'
import { buildInMemory, MODES, parseTopology } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

const ROOT = new URL('../../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, ROOT), 'utf8')

describe('examples', () => {
  const files = readdirSync(new URL('examples/', ROOT)).filter((name) => name.endsWith('.yaml'))
  it.each(files)('%s passes its checks in memory', (name) => {
    const world = buildInMemory(parseTopology(read(`examples/${name}`), name))
    const results = world.runChecks()
    expect(results.length).toBeGreaterThan(0)
    expect(results.filter((r) => !r.ok)).toEqual([])
    expect(world.pool.report().balanced).toBe(true)
  })
})

describe('docs/topology.md', () => {
  const text = read('docs/topology.md')

  it('shows a topology that is one', () => {
    const blocks = [...text.matchAll(/```yaml\n(.*?)```/gs)].map((m) => m[1] as string)
    const whole = blocks.filter((block) => block.startsWith('name:'))
    expect(whole).toHaveLength(1)
    for (const block of whole) {
      const results = buildInMemory(parseTopology(block, 'docs.yaml')).runChecks()
      expect(results.map((r) => r.ok)).toEqual([true, true, true])
    }
    // The others are nodes.
    for (const block of blocks.filter((b) => !whole.includes(b))) {
      const nodes = `segments: { lan: { mtu: 1500 } }\nnodes:\n${block.replace(/^/gm, '  ')}`
      expect(parseTopology(nodes, 'docs.yaml').nodes.length).toBeGreaterThan(0)
    }
  })

  it('names every option of every mode', () => {
    for (const mode of MODES.values()) {
      expect(text).toContain(`\n## mode: ${mode.name}\n`)
      const schemas = [mode.options, mode.portOptions, mode.endpointKeys ?? {}, mode.uplinkKeys ?? {}]
      for (const key of schemas.flatMap(Object.keys)) expect(text).toContain(`\`${key}\``)
    }
  })
})
