import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AddressPlan } from '../../src/ipam/plan.ts'
import { blue } from './lab.ts'

/* Addresses worked out without a directory are those that host-local gives out with an empty one. */

const addresses = (plan: AddressPlan, ...requested: string[]): string[] => plan.add(requested).map((a) => a.address)

describe('a plan of addresses', () => {
  it('begins behind the gateway, goes on in order, and ends with the error of the plugin', () => {
    const plan = new AddressPlan([[{ subnet: '10.1.0.0/29' }], [{ subnet: 'fd00::/64', gateway: 'fd00::2' }]])
    expect(addresses(plan)).toEqual(['10.1.0.2/29', 'fd00::1/64'])
    expect(plan.add().map((a) => [a.gateway, a.subnet])).toEqual([
      ['10.1.0.1', '10.1.0.0/29'],
      ['fd00::2', 'fd00::/64'],
    ])
    for (const last of [4, 5, 6]) expect(addresses(plan)[0]).toBe(`10.1.0.${last}/29`)
    expect(() => plan.add()).toThrow('no IP addresses available in range set 0: 10.1.0.1-10.1.0.6')
  })

  it('passes over what somebody has, and grants wishes', () => {
    const plan = new AddressPlan([[{ subnet: '10.1.0.0/29' }]])
    plan.take('10.1.0.2')
    expect(addresses(plan, '10.1.0.3')).toEqual(['10.1.0.3/29'])
    expect(addresses(plan)).toEqual(['10.1.0.4/29'])
    expect(() => addresses(plan, '10.1.0.3')).toThrow('10.1.0.3 is taken')
    expect(() => addresses(plan, '10.1.0.1')).toThrow("10.1.0.1 is the gateway's address")
    expect(() => addresses(plan, '10.2.0.1')).toThrow('the requested address 10.2.0.1 is in no range')
  })

  it('is what host-local does', async () => {
    const sets = [
      [
        { subnet: '10.1.0.0/29', rangeStart: '10.1.0.3' },
        { subnet: '10.2.0.0/30', gateway: '10.2.0.2' },
      ],
      [{ subnet: 'fd00::/125', rangeEnd: 'fd00::6' }],
    ]
    const wish = fc.constantFrom('10.1.0.4', '10.1.0.6', '10.2.0.1', 'fd00::3', 'fd00::5', '10.1.0.1', '10.2.0.2')
    const calls = fc.array(fc.array(wish, { maxLength: 2 }), { maxLength: 9 })
    await fc.assert(
      fc.asyncProperty(calls, async (wishes) => {
        const plan = new AddressPlan(sets)
        const real = blue({ ranges: sets })
        for (const [i, requested] of wishes.entries()) {
          const theirs = await real.add({ containerId: `c${i}`, ifname: 'eth0' }, { requested }).then(
            ({ ips }) => ips.map(({ address, gateway }) => ({ address, gateway })),
            () => null,
          )
          let ours: unknown = null
          try {
            ours = plan.add(requested).map(({ address, gateway }) => ({ address, gateway }))
          } catch {}
          expect([requested, ours]).toEqual([requested, theirs])
        }
      }),
      { numRuns: 20 },
    )
  })
})
