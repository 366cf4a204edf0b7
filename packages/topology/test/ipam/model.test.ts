import fc from 'fast-check'
import { expect, it } from 'vitest'
import { parseIp } from '../../src/address.ts'
import { IpamError } from '../../src/ipam/host-local.ts'
import type { RangeOptions } from '../../src/ipam/range.ts'
import { blue, dataDir, files } from './lab.ts'

/*
 * Against what is said in prose about it, over lists of texts: any operations by any containers, in networks that are so
 * small that they are often full, with the configuration changing meanwhile.
 */

/** The addresses of a set in their order, gateway included, and the gateways. */
interface NaiveSet {
  readonly all: readonly string[]
  readonly gateways: readonly string[]
}

const NETWORKS: readonly (readonly [RangeOptions[], NaiveSet])[] = [
  [
    [{ subnet: '10.1.0.0/29' }],
    {
      all: ['10.1.0.1', '10.1.0.2', '10.1.0.3', '10.1.0.4', '10.1.0.5', '10.1.0.6'],
      gateways: ['10.1.0.1'],
    },
  ],
  [
    [
      { subnet: '10.2.0.0/30', gateway: '10.2.0.2' },
      { subnet: '10.1.0.8/29', rangeStart: '10.1.0.10', rangeEnd: '10.1.0.12', gateway: '10.1.0.11' },
    ],
    { all: ['10.2.0.1', '10.2.0.2', '10.1.0.10', '10.1.0.11', '10.1.0.12'], gateways: ['10.2.0.2', '10.1.0.11'] },
  ],
  [
    [{ subnet: 'fd00::/64', rangeStart: 'fd00::fffe', rangeEnd: 'fd00::1:1', gateway: 'fd00::99' }],
    { all: ['fd00::fffe', 'fd00::ffff', 'fd00::1:0', 'fd00::1:1'], gateways: [] },
  ],
]

class Model {
  readonly held: Map<string, string> = new Map()
  readonly last: Map<number, string> = new Map()

  /** Texts of the addresses, or null where there is one missing. */
  add(who: string, sets: readonly NaiveSet[], wish: string | undefined, same: boolean): string[] | null {
    const wished = wish === undefined ? -1 : sets.findIndex(({ all }) => all.includes(wish))
    if (wish !== undefined && wished === -1) return null
    const given: string[] = []
    const taken: string[] = []
    for (const [i, { all, gateways }] of sets.entries()) {
      const old = all.find((address) => this.held.get(address) === who)
      const free = (address: string): boolean => !this.held.has(address) && !gateways.includes(address)
      const behind = all.indexOf(this.last.get(i) ?? '') + 1
      const next = [...all.slice(behind), ...all.slice(0, behind)].find(free)
      const mine = i === wished ? (wish as string) : undefined
      let got: string | undefined
      if (old !== undefined) got = same && (mine === undefined || mine === old) ? old : undefined
      else if (mine !== undefined) got = free(mine) ? mine : undefined
      else got = next
      if (got === undefined) {
        for (const address of taken) this.held.delete(address)
        return null
      }
      if (got !== old) {
        this.held.set(got, who)
        this.last.set(i, got)
        taken.push(got)
      }
      given.push(got)
    }
    return given
  }

  del(who: string): void {
    for (const [address, holder] of this.held) if (holder === who) this.held.delete(address)
  }
}

const who = fc.constantFrom('ann', 'ben', 'cam', 'dan', 'eve', 'fay', 'gus')
const wish = fc.option(fc.constantFrom('10.1.0.3', '10.1.0.1', '10.2.0.1', 'fd00::ffff', '10.1.0.11', '10.9.9.9'), {
  nil: undefined,
  freq: 3,
})
const step = fc.oneof(
  { weight: 5, arbitrary: fc.record({ what: fc.constant('add' as const), who, wish, same: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('del' as const), who }) },
  { weight: 1, arbitrary: fc.record({ what: fc.constant('gc' as const), valid: fc.subarray(['ann', 'ben', 'cam']) }) },
  // Another configuration of the same network.
  {
    weight: 1,
    arbitrary: fc.record({
      what: fc.constant('sets' as const),
      sets: fc.shuffledSubarray([0, 1, 2], { minLength: 1 }),
    }),
  },
)

it('gives out what the naive model gives out, and keeps the files', async () => {
  const seen = { given: 0, refused: 0 }
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
      const place = dataDir()
      const model = new Model()
      let sets = [0]
      let ipam = blue({ ranges: sets.map((n) => NETWORKS[n]![0]) }, place)
      for (const s of steps) {
        if (s.what === 'sets') {
          sets = s.sets
          ipam = blue({ ranges: sets.map((n) => NETWORKS[n]![0]) }, place)
        } else if (s.what === 'del') {
          model.del(s.who)
          await ipam.del({ containerId: s.who, ifname: 'eth0' })
        } else if (s.what === 'gc') {
          for (const name of new Set(model.held.values())) if (!s.valid.includes(name)) model.del(name)
          await ipam.gc(s.valid.map((containerId) => ({ containerId, ifname: 'eth0' })))
        } else {
          const naive = sets.map((n) => NETWORKS[n]![1])
          const expected = model.add(s.who, naive, s.wish, s.same)
          const options = {
            requested: s.wish === undefined ? [] : [s.wish],
            again: s.same ? 'same' : 'refuse',
          } as const
          const ours = await ipam.add({ containerId: s.who, ifname: 'eth0' }, options).then(
            ({ ips }) => ips.map(({ address }) => address.split('/')[0]),
            (error) => {
              expect(error).toBeInstanceOf(IpamError)
              return null
            },
          )
          expect(ours).toEqual(expected)
          seen[ours === null ? 'refused' : 'given']++
        }
        const there = Object.entries(files(place)).filter(([name]) => !/^l/.test(name))
        const held = Array.from(model.held, ([address, holder]) => [parseIp(address).text, `${holder}\r\neth0`])
        expect(Object.fromEntries(there)).toEqual(Object.fromEntries(held))
      }
    }),
    { numRuns: 50 },
  )
  expect(seen.given).toBeGreaterThan(100)
  expect(seen.refused).toBeGreaterThan(100)
})
