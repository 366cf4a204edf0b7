import { describe, expect, it } from 'vitest'
import { AddressIndex, NO_ROW } from '../src/address-index.ts'
import { ANN, EVE, hex4, Interface, isAt, mac, na, O, S, US, whoHas } from './lab.ts'

/** Eve, one station with many addresses, wants the table for herself: a neighbour must be found all the same. */

describe('IPv6 addresses that differ in top bits alone', () => {
  // Of a sum of products, only the top three bits of each product would differ: 4,096 addresses in eight places.
  it.each([0, 1, 0x1234_5678, -1])('find room, all of them, with seed %i', (seed) => {
    const index = new AddressIndex(4096, seed)
    const v6 = new Uint8Array(16)
    let refused = 0
    for (let n = 0; n < 4096; n++) {
      for (let word = 0; word < 4; word++) v6[4 * word] = ((n >> (3 * word)) & 7) << 5
      if (index.add6(v6, 0) === NO_ROW) refused++
    }
    expect(refused).toBe(0)
  })
})

describe('a table of Eve’s', () => {
  it('makes room for the gateway, though all her addresses are reachable', () => {
    const eth0 = new Interface({ maxEntries: 64, addresses: ['10.0.0.1/8'] })
    for (let i = 0; i < 64; i++) {
      const ip = `10.1.0.${i + 1}`
      eth0.send(whoHas(EVE, ip, '10.0.0.1'), isAt(US, '10.0.0.1', EVE, ip))
    }
    expect([...eth0.table.list()].filter((n) => n.state === 'reachable').length).toBe(64)
    expect(eth0.to('10.0.0.254')).toEqual([whoHas(US, '10.0.0.1', '10.0.0.254')])
    expect(eth0.send(isAt(US, '10.0.0.1', ANN, '10.0.0.254'))).toEqual([`${ANN}${US}88b501`])
    expect(eth0.table.counters).toMatchObject({ evicted: 1, refused: 0 })
    expect(eth0.drops.NeighbourTableFull).toBeUndefined()
  })

  it('makes room though all her addresses are in delay', () => {
    const eth0 = new Interface({ maxEntries: 64, addresses: ['10.0.0.1/8'] })
    for (let i = 0; i < 64; i++) {
      eth0.send(whoHas(EVE, `10.1.0.${i + 1}`, '10.0.0.1'))
      eth0.to(`10.1.0.${i + 1}`)
    }
    expect([...eth0.table.list()].filter((n) => n.state === 'delay').length).toBe(64)
    expect(eth0.to('10.0.0.254')).toEqual([whoHas(US, '10.0.0.1', '10.0.0.254')])
  })

  /** Addresses whose first slot is the gateway's, where the seed is 0 and the table has 2,048 slots. */
  function colliding(count: number): string[] {
    const home = (ip: number): number => Math.imul(ip, 0x165667b1) >>> (32 - 11)
    const gateway = home(0x0a0000fe)
    const out: string[] = []
    for (let ip = 0x0a010001; out.length < count; ip++) {
      if (home(ip) === gateway) out.push([10, (ip >> 16) & 255, (ip >> 8) & 255, ip & 255].join('.'))
    }
    return out
  }

  it('makes room in the very run of slots that she has filled, knowing the seed', () => {
    const eth0 = new Interface({ maxEntries: 1024, addresses: ['10.0.0.1/8'], seed: 0 })
    const hers = colliding(130)
    for (const ip of hers) eth0.send(whoHas(EVE, ip, '10.0.0.1'))
    // The last two have taken the places of two others.
    expect(eth0.table.size).toBe(128)
    expect(eth0.table.counters).toMatchObject({ created: 130, evicted: 2, refused: 0 })
    expect(eth0.to('10.0.0.254')).toEqual([whoHas(US, '10.0.0.1', '10.0.0.254')])
    expect(eth0.send(isAt(US, '10.0.0.1', ANN, '10.0.0.254'))).toEqual([`${ANN}${US}88b501`])
    for (const ip of hers) eth0.send(whoHas(EVE, ip, '10.0.0.1'))
    expect(eth0.state('10.0.0.254')).toBe(`reachable ${ANN}`)
    expect(eth0.drops.NeighbourTableFull).toBeUndefined()
    // All that is listed is found, and nothing else.
    expect([...eth0.table.list()].every((n) => eth0.table.get(n.address)?.address === n.address)).toBe(true)
    expect([...eth0.table.list()].length).toBe(eth0.table.size)
  })

  it('says so where her run is full of permanent neighbours', () => {
    const eth0 = new Interface({ maxEntries: 1024, addresses: ['10.0.0.1/8'], seed: 0 })
    for (const ip of colliding(128)) eth0.table.add(ip, mac(EVE))
    expect(eth0.to('10.0.0.254')).toEqual([])
    expect(eth0.drops.NeighbourTableFull).toBe(1)
    expect(eth0.table.size).toBe(128)
  })

  it('keeps the gateway’s IPv6 address too', () => {
    const eth0 = new Interface({ maxEntries: 16 })
    for (let i = 0; i < 16; i++) {
      const ip = `fe80::1:${(i + 1).toString(16)}`
      eth0.to(ip)
      eth0.send(na(US, EVE, ip, 'fe80::1', ip, S | O, EVE))
    }
    expect(eth0.table.size).toBe(16)
    expect(eth0.to('fe80::a').length).toBe(1)
    expect(eth0.state('fe80::a')).toBe('incomplete')
  })
})

describe('a row that is taken over', () => {
  it('is found by its new address alone, among entries that stood in its run', () => {
    const index = new AddressIndex(1024)
    const home = (ip: number): number => Math.imul(ip, 0x165667b1) >>> (32 - 11)
    const first = Number.parseInt(hex4('10.0.0.254'), 16)
    const same: number[] = []
    for (let ip = first; same.length < 129; ip++) if (home(ip) === home(first)) same.push(ip)
    const last = same.pop() as number
    const rows = same.map((ip) => index.add4(ip))
    expect(index.add4(last)).toBe(NO_ROW)
    expect(Array.from(same, (_, i) => index.crowded(i))).toEqual(rows)
    index.replace4(rows[60] as number, last)
    expect(index.find4(last)).toBe(rows[60])
    expect(index.find4(same[60] as number)).toBe(NO_ROW)
    expect(same.filter((ip, i) => i !== 60 && index.find4(ip) !== rows[i])).toEqual([])
    for (const row of rows) index.remove(row)
    expect(index.size).toBe(0)
  })
})
