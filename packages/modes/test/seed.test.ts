import type { NeighbourTable } from '@l2l3/arp'
import { Switch } from '@l2l3/switch-core'
import { expect, it, vi } from 'vitest'
import { l2bridge, router } from '../src/index.ts'
import { lab } from './lab.ts'

/* The ground's seed goes to the hash of every table that strangers' addresses are put in. */

const seeds = vi.hoisted((): unknown[] => [])

vi.mock('@l2l3/arp', async (original) => {
  const arp = await original<{ NeighbourTable: typeof NeighbourTable }>()
  class Seen extends arp.NeighbourTable {
    constructor(...args: ConstructorParameters<typeof NeighbourTable>) {
      super(...args)
      seeds.push(args[2].seed)
    }
  }
  return { ...arp, NeighbourTable: Seen }
})

it('reaches the address table of an l2bridge', () => {
  const { ground, port } = lab()
  const options = (name: string) => ({ hostMac: '00:0d:3a:00:00:01', pods: [], uplink: { port: port(name) } })
  const salt = (seed: number): number => new Switch(ground.pool, ground.clock, { seed }).fdb.salt
  expect(l2bridge(ground, options('a')).engine.switch.fdb.salt).toBe(salt(0))
  expect(l2bridge({ ...ground, seed: 0xc0ffee42 }, options('b')).engine.switch.fdb.salt).toBe(salt(0xc0ffee42))
  expect(salt(0)).not.toBe(salt(0xc0ffee42))
})

it('reaches the neighbour tables of a router', () => {
  const { ground, port } = lab()
  const side = (name: string) => ({ name, port: port(name), mac: '02:00:00:00:00:11', addresses: ['10.0.1.1/24'] })
  router({ ...ground, seed: 0xc0ffee42 }, { ports: [side('red')] })
  router(ground, { ports: [side('blue')] })
  expect(seeds).toEqual([0xc0ffee42, 0])
})
