import { FramePool, VirtualClock } from '@l2l3/switch-core'
import { expect, it } from 'vitest'
import { OwnAddresses } from '../src/own-addresses.ts'
import { Speaker } from '../src/speaker.ts'
import { ANN, EVE, Interface, isAt, na, ns, O, R, S, US, whoHas } from './lab.ts'

/** RFC 5227 and RFC 4862 on a virtual clock; dice show 0.5. */

const probe = whoHas(US, '0.0.0.0', '10.0.0.5')
const announcement = whoHas(US, '10.0.0.5', '10.0.0.5')

function claiming(options = {}): { eth0: Interface; told: string[] } {
  const eth0 = new Interface({ addresses: [], ...options })
  const told: string[] = []
  eth0.table.addresses.watch((change, a) => told.push(`${change} ${a.address} ${a.state}`))
  return { eth0, told }
}

it('probes three times, waits, takes the address, and announces it twice (RFC 5227, 2.1, 2.3)', () => {
  const { eth0, told } = claiming()
  eth0.table.addresses.add('10.0.0.5/24', { probe: true })
  expect(eth0.wait(0.4)).toEqual([])
  expect(eth0.wait(0.2)).toEqual([probe])
  expect(eth0.wait(1.5)).toEqual([probe])
  // Not ours yet: not answered for.
  expect(eth0.send(whoHas(ANN, '10.0.0.10', '10.0.0.5'))).toEqual([])
  expect(eth0.wait(1.5)).toEqual([probe])
  expect(eth0.wait(1.8)).toEqual([])
  expect(told).toEqual([])
  expect(eth0.wait(0.3)).toEqual([announcement])
  expect(told).toEqual(['ready 10.0.0.5/24 owned'])
  expect(eth0.wait(2)).toEqual([announcement])
  expect(eth0.wait(30)).toEqual([])
  expect(eth0.send(whoHas(ANN, '10.0.0.10', '10.0.0.5'))).toEqual([isAt(ANN, '10.0.0.10', US, '10.0.0.5')])
})

it.each([
  { who: 'somebody has it', frame: isAt(US, '0.0.0.0', EVE, '10.0.0.5') },
  { who: 'somebody asks from it', frame: whoHas(EVE, '10.0.0.5', '10.0.0.77') },
  { who: 'somebody else probes for it', frame: whoHas(EVE, '0.0.0.0', '10.0.0.5') },
])('does not take an address where $who', ({ frame }) => {
  const { eth0, told } = claiming()
  eth0.table.addresses.add('10.0.0.5/24', { probe: true })
  eth0.wait(1)
  eth0.send(frame)
  expect(told).toEqual(['duplicate 10.0.0.5/24 duplicate'])
  expect(eth0.wait(30)).toEqual([])
  expect(eth0.send(whoHas(ANN, '10.0.0.10', '10.0.0.5'))).toEqual([])
  expect(eth0.table.size).toBe(0)
})

it('is not put off by its own probes coming back', () => {
  const { eth0, told } = claiming()
  eth0.table.addresses.add('10.0.0.5/24', { probe: true })
  eth0.wait(1)
  eth0.send(probe)
  eth0.wait(10)
  expect(told).toEqual(['ready 10.0.0.5/24 owned'])
})

it('defends its address, at most once in ten seconds, and learns nothing from the claim (RFC 5227, 2.4 c)', () => {
  const { eth0, told } = claiming({ addresses: ['10.0.0.5/24'] })
  const claim = whoHas(EVE, '10.0.0.5', '10.0.0.5')
  expect(eth0.send(claim)).toEqual([announcement])
  for (let i = 0; i < 9; i++) expect(eth0.send(claim).concat(eth0.wait(1))).toEqual([])
  eth0.wait(1.1)
  expect(eth0.send(claim)).toEqual([announcement])
  expect(eth0.table.addresses.counters).toEqual({ conflicts: 11, defences: 2, watchersLost: 0 })
  expect(told.every((t) => t === 'conflict 10.0.0.5/24 owned')).toBe(true)
  expect(eth0.table.size).toBe(0)
})

it.each([
  { defence: 'once' as const, claims: 2 },
  { defence: 'never' as const, claims: 1 },
])('gives its address up at claim $claims with defence $defence (RFC 5227, 2.4 a, b)', ({ defence, claims }) => {
  const { eth0, told } = claiming({ addresses: ['10.0.0.5/24'], defence })
  const claim = isAt(US, '10.0.0.9', EVE, '10.0.0.5')
  for (let i = 0; i < claims; i++) eth0.send(claim)
  expect(told.at(-1)).toBe('lost 10.0.0.5/24 duplicate')
  expect(told.length).toBe(claims)
  expect(eth0.send(whoHas(ANN, '10.0.0.10', '10.0.0.5'))).toEqual([])
})

it('asks once from :: for an IPv6 address, takes it a second later, and tells all (RFC 4862, 5.4)', () => {
  const { eth0, told } = claiming({ router: true })
  eth0.table.addresses.add('2001:db8::5/64', { probe: true })
  expect(eth0.wait(0.6)).toEqual([ns(US, '::', '2001:db8::5')])
  // Somebody who solicits a tentative address is ignored.
  expect(eth0.send(ns(ANN, 'fe80::a', '2001:db8::5'))).toEqual([])
  expect(eth0.wait(0.8)).toEqual([])
  const all = na('333300000001', US, '2001:db8::5', 'ff02::1', '2001:db8::5', R | O, US)
  expect(eth0.wait(0.3)).toEqual([all])
  expect(told).toEqual(['ready 2001:db8::5/64 owned'])
  expect(eth0.wait(30)).toEqual([])
})

it.each([
  { who: 'has it', frame: na('333300000001', EVE, '2001:db8::5', 'ff02::1', '2001:db8::5', O, EVE) },
  { who: 'probes for it too', frame: ns(EVE, '::', '2001:db8::5') },
])('does not take an IPv6 address where somebody $who', ({ frame }) => {
  const { eth0, told } = claiming()
  eth0.table.addresses.add('2001:db8::5/64', { probe: true })
  eth0.wait(0.6)
  eth0.send(frame)
  expect(told).toEqual(['duplicate 2001:db8::5/64 duplicate'])
  eth0.wait(3)
  expect([...eth0.table.addresses.list()]).toEqual([{ address: '2001:db8::5/64', state: 'duplicate' }])
})

it('takes and gives up addresses by hand', () => {
  const { eth0 } = claiming()
  const { addresses } = eth0.table
  addresses.add('10.0.0.5/24', { announce: true })
  eth0.loop.settle()
  expect(eth0.heard()).toEqual([announcement])
  expect(() => addresses.add('10.0.0.5')).toThrow(/10\.0\.0\.5.*there/)
  expect(addresses.remove('10.0.0.5/24')).toBe(true)
  expect(addresses.remove('10.0.0.5/24')).toBe(false)
  expect([...addresses.list()]).toEqual([])
})

it.each(['always', 'once', 'never'] as const)(
  'keeps an IPv6 address against forged advertisements, without a word, with defence %s (RFC 4862)',
  (defence) => {
    const { eth0, told } = claiming({ addresses: ['fe80::5/64'], defence })
    const claim = na('333300000001', EVE, 'fe80::5', 'ff02::1', 'fe80::5', O, EVE)
    expect(eth0.send(claim, claim, claim).concat(eth0.wait(30))).toEqual([])
    expect(told).toEqual(new Array(3).fill('conflict fe80::5/64 owned'))
    expect(eth0.table.addresses.counters).toMatchObject({ conflicts: 3, defences: 0 })
    expect(eth0.send(ns(ANN, 'fe80::a', 'fe80::5'))).toEqual([na(ANN, US, 'fe80::5', 'fe80::a', 'fe80::5', S | O, US)])
  },
)

it('takes a watcher off that throws, counts it, and tells of its error', () => {
  const eth0 = new Interface({ addresses: ['10.0.0.5/24'] })
  const { addresses } = eth0.table
  const errors: unknown[] = []
  let told = 0
  addresses.onWatcherError = (error) => errors.push(error)
  addresses.watch(() => {
    throw new Error('not today')
  })
  addresses.watch(() => told++)
  const claim = whoHas(EVE, '10.0.0.5', '10.0.0.5')
  eth0.send(claim, claim)
  expect(errors.map(String)).toEqual(['Error: not today'])
  expect(told).toBe(2)
  expect(addresses.counters).toMatchObject({ conflicts: 2, watchersLost: 1 })
})

it('looks at the addresses that are there, not at the room for others, for the one to ask from', () => {
  const pool = new FramePool({ frames: 4 })
  const speaker = new Speaker(pool, Buffer.from(US, 'hex'), { push: (f) => pool.sent(f) })
  const many = new OwnAddresses(speaker, new VirtualClock(), () => 0.5, 'always', false, 65_536)
  for (let i = 1; i <= 1000; i++) many.add(`10.0.${i >> 8}.${i & 255}`)
  for (let i = 2; i <= 1000; i++) many.remove(`10.0.${i >> 8}.${i & 255}`)
  const start = performance.now()
  for (let i = 0; i < 100_000; i++) first(many.source4(0x08080808))
  // All 65,536 rows a hundred thousand times take seconds.
  expect(performance.now() - start).toBeLessThan(1000)
  many.add('8.8.8.1/24')
  expect(many.source4(0x08080808)).toBe(0x08080801)
  many.remove('10.0.0.1')
  expect(many.source4(0x09090909)).toBe(0x08080801)
  many.remove('8.8.8.1')
  expect(many.source4(0x08080808)).toBe(0)
})

function first(ip: number): void {
  if (ip !== 0x0a000001) throw new Error(`asks from ${ip}`)
}
