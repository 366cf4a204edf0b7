// Whatever stands in the keys of Windows' modes: a file is refused as a TopologyError, or what it says can be built.
import { readFileSync } from 'node:fs'
import { buildInMemory, parseTopology, TopologyError, topologySchema } from '@l2l3/topology'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { parse, stringify } from 'yaml'

type Json = Record<string, unknown>

const EXAMPLES = ['l2bridge', 'l2tunnel', 'overlay', 'hybrid-overlay', 'transparent', 'winnat', 'hns'].map((name) => {
  const { checks: _, ...rest } = parse(readFileSync(new URL(`../../../examples/${name}.yaml`, import.meta.url), 'utf8'))
  return rest as { nodes: Record<string, Json> }
})
const TEXTS = [
  ...['10.244.1.3', '192.0.2.11', '10.96.0.10', 'fd44:1::3', '0.0.0.0', '::', '255.255.255.255', '224.0.0.1'],
  ...['10.244.1.0/24', '0.0.0.0/0', '::/0', '10.244.1.2/24', '10.244.1.3/32', 'fd44:1::2/64', '10.244.1.0/31'],
  ...['00:15:5d:00:01:01', '01:00:5e:00:00:01', '00:00:00:00:00:00', 'web', 'blue', 'uplink', '', '15.0', '80-90'],
]

const known = new Map<unknown, Json>()

/** The schemas of a mode's own keys, by name. */
function keysOf(mode: unknown): Json {
  let found = known.get(mode)
  if (found !== undefined) return found
  found = {}
  const look = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    const { properties = {} } = value as { properties?: Json }
    const named = (properties.mode as Json | undefined)?.const
    if (named === mode && Object.keys(properties).length > 3) found = properties
    for (const one of Object.values(value)) look(one)
  }
  look(topologySchema())
  expect(Object.keys(found), `keys of mode ${mode}`).not.toEqual([])
  known.set(mode, found)
  return found
}

/** Something that a schema allows, mostly. */
function made(schema: Json, dice: () => number): unknown {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(dice() * list.length)] as T
  if (dice() < 0.04) return pick([null, -1, 1e9, 'x', [], {}, true, 0.5])
  const { enum: words, type = 'properties' in schema ? 'object' : 'string', properties = {}, items } = schema
  if (Array.isArray(words)) return pick(words)
  const { minimum = 0, maximum = 65_535, additionalProperties: others, required = [] } = schema as Record<string, never>
  switch (pick([type].flat())) {
    case 'boolean':
      return dice() < 0.5
    case 'integer':
    case 'number':
      return pick([minimum, maximum, 80, 4096, 5000])
    case 'array':
      return Array.from({ length: Math.floor(dice() * 3) }, () => made((items as Json) ?? {}, dice))
    case 'object': {
      const own = Object.entries(properties as Json).filter(
        ([key]) => dice() < ((required as string[]).includes(key) ? 0.97 : 0.3),
      )
      const more = typeof others === 'object' ? ['a', 'web'].filter(() => dice() < 0.4) : []
      return Object.fromEntries([
        ...own.map(([key, one]) => [key, made(one as Json, dice)]),
        ...more.map((key) => [key, made(others as Json, dice)]),
      ])
    }
    default:
      return pick(TEXTS)
  }
}

it('builds, or is refused by a TopologyError', { timeout: 240_000 }, async () => {
  let built = 0
  await fc.assert(
    fc.asyncProperty(fc.nat(EXAMPLES.length - 1), fc.integer({ min: 1, max: 0x7fff_fffe }), async (which, seed) => {
      // Park and Miller's.
      let state = seed
      const dice = (): number => {
        state = (state * 16_807) % 0x7fff_ffff
        return state / 0x7fff_ffff
      }
      dice()
      const topology = structuredClone(EXAMPLES[which]) as (typeof EXAMPLES)[0]
      const nodes = Object.values(topology.nodes)
      const node = nodes[Math.floor(dice() * nodes.length)] as Json
      const keys = Object.entries(keysOf(node.mode)).filter(([key]) => !['mode', 'endpoints', 'ports'].includes(key))
      const [key, schema] = keys[Math.floor(dice() * keys.length)] as [string, Json]
      node[key] = made(schema, dice)
      const text = stringify(topology)
      let parsed: ReturnType<typeof parseTopology>
      try {
        parsed = parseTopology(text, 'net.yaml')
      } catch (error) {
        expect(error, text).toBeInstanceOf(TopologyError)
        return
      }
      await buildInMemory(parsed)
      built++
    }),
    { numRuns: 60 },
  )
  expect(built).toBeGreaterThan(10)
})
