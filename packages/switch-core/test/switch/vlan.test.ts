// VLANs: what a port does with tags on the way in and on the way out (802.1Q 6.9 and 8.6, 802.1ad; modes.md 19).
import { describe, expect, it } from 'vitest'
import type { SwitchPortOptions } from '../../src/index.ts'
import { A, ALL, B, C, flat, frame, Lab, tagged } from './lab.ts'

const PAYLOAD = 'c0ffee'
const access = (vid: number): SwitchPortOptions => ({ vlan: { access: vid } })
const lab = (...ports: SwitchPortOptions[]): Lab => new Lab(ports, { vlanAware: true })

describe('access and trunk', () => {
  it('puts a tag on for a trunk and takes it off for an access port', () => {
    const l = lab(access(10), { vlan: { trunk: [10, 20] } }, access(10), access(20))
    expect(l.send(0, frame(ALL, A))).toEqual({ 1: [flat(`${ALL} ${A} 8100 000a 0800 ${PAYLOAD}`)], 2: [frame(ALL, A)] })
    expect(l.send(1, flat(`${A} ${B} 8100 600a 0800 ${PAYLOAD}`))).toEqual({ 0: [frame(A, B)] })
    expect(l.send(1, tagged(ALL, B, 20))).toEqual({ 3: [frame(ALL, B)] })
  })

  it('keeps the tag, priority and all, from trunk to trunk', () => {
    const l = lab({ vlan: { trunk: ['5-7'] } }, { vlan: { trunk: [6] } })
    expect(l.send(0, tagged(ALL, A, 6, 5))).toEqual({ 1: [tagged(ALL, A, 6, 5)] })
  })

  it('learns an address once a VLAN', () => {
    const l = lab(access(1), access(2), { vlan: { trunk: [1, 2] } })
    l.send(0, frame(ALL, A))
    l.send(1, frame(ALL, A))
    expect(l.fdb()).toEqual(['02:00:00:00:00:0a v1 -> 0', '02:00:00:00:00:0a v2 -> 1'])
    expect(Object.keys(l.send(2, tagged(A, B, 1)))).toEqual(['0'])
    expect(Object.keys(l.send(2, tagged(A, B, 2)))).toEqual(['1'])
  })

  it('has all ports in VLAN 1, untagged, unless told otherwise', () => {
    const l = lab({}, {})
    expect(l.send(0, frame(ALL, A))).toEqual({ 1: [frame(ALL, A)] })
    expect(l.fdb()).toEqual(['02:00:00:00:00:0a v1 -> 0'])
  })

  it('takes untagged frames on a trunk into its native VLAN, and drops them without one', () => {
    const l = lab({ vlan: { trunk: [10], native: 99 } }, { vlan: { trunk: [10] } }, access(99))
    expect(l.send(0, frame(ALL, A))).toEqual({ 2: [frame(ALL, A)] })
    expect(l.send(1, frame(ALL, B))).toEqual({})
    expect(l.drops).toEqual({ Untagged: 1 })
  })

  it('sends further VLANs untagged where a port lists them', () => {
    const l = lab({ vlan: { trunk: [10, 20, 30], native: 10, untagged: [20] } }, { vlan: { trunk: [20, 30] } })
    expect(l.send(1, tagged(ALL, B, 20))).toEqual({ 0: [frame(ALL, B)] })
    expect(l.send(1, tagged(ALL, B, 30))).toEqual({ 0: [tagged(ALL, B, 30)] })
  })

  it('filters on the way in: a tag that the port has no part in', () => {
    const l = lab(access(10), { vlan: { trunk: [20] } })
    l.send(0, tagged(ALL, A, 20))
    l.send(1, tagged(ALL, A, 10))
    expect(l.drops).toEqual({ VlanIngress: 2 })
    expect(l.fdb()).toEqual([])
    // An access port takes a tag of its own VLAN, as Linux does.
    expect(l.send(0, tagged(ALL, A, 10))).toEqual({})
    expect(l.drops).toEqual({ VlanIngress: 2, NoDestination: 1 })
  })

  it('forgets what was learnt in a VLAN that the port leaves', () => {
    const l = lab({ vlan: { trunk: [10, 20] } }, access(10), access(10))
    l.send(0, tagged(ALL, A, 10))
    l.send(0, tagged(ALL, A, 20))
    l.port(0).set({ vlan: { trunk: [20] } })
    expect(l.fdb()).toEqual(['02:00:00:00:00:0a v20 -> 0'])
    expect(Object.keys(l.send(1, frame(A, B)))).toEqual(['2'])
  })

  it('filters on the way out: a known address whose port has left the VLAN', () => {
    const l = lab(access(10), { vlan: { trunk: [10] } }, access(10))
    l.switch.addStatic('02:00:00:00:00:0b', l.port(1), 10)
    l.port(1).set({ vlan: { trunk: [20] } })
    expect(l.send(0, frame(B, A))).toEqual({})
    expect(l.drops).toEqual({ VlanEgress: 1 })
  })
})

describe('priority tags and reserved ids', () => {
  it('takes VLAN 0 into the port’s own VLAN, and keeps the priority where a tag goes out', () => {
    const l = lab(access(10), { vlan: { trunk: [10] } }, access(10), { vlan: { trunk: [10] } }, access(10))
    const out = l.send(0, tagged(ALL, A, 0, 7))
    const withTag = flat(`${ALL} ${A} 8100 e00a 0800 ${PAYLOAD}`)
    expect(out).toEqual({ 1: [withTag], 2: [frame(ALL, A)], 3: [withTag], 4: [frame(ALL, A)] })
    l.send(1, tagged(ALL, B, 10))
    expect(l.send(0, tagged(B, A, 0, 7))).toEqual({ 1: [flat(`${B} ${A} 8100 e00a 0800 ${PAYLOAD}`)] })
    expect(l.send(1, tagged(A, B, 10, 3))).toEqual({ 0: [frame(A, B)] })
  })

  it('drops VLAN 4095, and a tag that is cut short', () => {
    const l = lab(access(10), access(10))
    l.send(0, tagged(ALL, A, 4095), `${ALL}${A}8100`, `${ALL}${A}8100000a08`)
    expect(l.drops).toEqual({ VlanReserved: 1, Runt: 2 })
  })
})

describe('QinQ', () => {
  it('carries customers’ tags as payload in an 802.1ad switch', () => {
    const l = new Lab([access(100), { vlan: { trunk: [100, 200] } }, access(200)], { vlanAware: true, tpid: 0x88a8 })
    const customer = tagged(ALL, A, 7, 2)
    expect(l.send(0, customer)).toEqual({ 1: [flat(`${ALL} ${A} 88a8 0064 8100 4007 0800 ${PAYLOAD}`)] })
    expect(l.send(1, flat(`${A} ${B} 88a8 0064 8100 4007 0800 ${PAYLOAD}`))).toEqual({ 0: [tagged(A, B, 7, 2)] })
    expect(l.fdb()).toEqual(['02:00:00:00:00:0a v100 -> 0', '02:00:00:00:00:0b v100 -> 1'])
  })

  it('stacks a second 0x8100 tag at a tunnel port', () => {
    const l = lab({ vlan: { tunnel: 100 } }, { vlan: { trunk: [7, 100] } }, access(7))
    expect(l.send(0, tagged(ALL, A, 7, 2))).toEqual({ 1: [flat(`${ALL} ${A} 8100 0064 8100 4007 0800 ${PAYLOAD}`)] })
    expect(l.send(1, flat(`${A} ${B} 8100 0064 8100 4007 0800 ${PAYLOAD}`))).toEqual({ 0: [tagged(A, B, 7, 2)] })
  })
})

describe('copies and counters', () => {
  it('makes one copy for all ports that want the other form', () => {
    const trunk = { vlan: { trunk: [10] } }
    const l = lab(access(10), trunk, trunk, trunk, access(10), access(10))
    let copies = 0
    l.pool.observer = { copied: () => copies++ }
    const out = l.send(0, frame(ALL, A))
    expect(Object.keys(out)).toEqual(['1', '2', '3', '4', '5'])
    expect(copies).toBe(1)
    expect(out[3]).toEqual([tagged(ALL, A, 10)])
  })

  it('counts by VLAN what came in and what went out', () => {
    const l = lab(access(10), { vlan: { trunk: [10] } }, access(10))
    l.send(0, frame(ALL, A))
    l.send(1, tagged(A, B, 10))
    expect(l.switch.vlanCounters(10)).toEqual({ rxFrames: 2, rxBytes: 17 + 21, txFrames: 3, txBytes: 21 + 17 + 17 })
    expect(l.switch.vlanCounters(11)).toEqual({ rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0 })
  })

  it('keeps ports of other VLANs out of sight: nothing to flood to is a drop', () => {
    const l = lab(access(10), access(20))
    expect(l.send(0, frame(ALL, A))).toEqual({})
    expect(l.drops).toEqual({ NoDestination: 1 })
  })

  it('loses one form of a flood, not the other, when the pool is spent', () => {
    const l = new Lab([access(10), { vlan: { trunk: [10] } }, access(10)], { vlanAware: true }, { frames: 1 })
    expect(l.send(0, frame(ALL, A))).toEqual({ 2: [frame(ALL, A)] })
    expect(l.drops).toEqual({ PoolSpent: 1 })
    expect(l.port(0).counters.dropped).toBe(1)
  })

  it('accounts for every port that would have shared a copy', () => {
    const trunk = { vlan: { trunk: [10] } }
    const l = new Lab([access(10), trunk, trunk, trunk, access(10)], { vlanAware: true }, { frames: 1 })
    expect(Object.keys(l.send(0, frame(ALL, A)))).toEqual(['4'])
    expect(l.drops).toEqual({ PoolSpent: 3 })
    expect(l.port(0).counters.dropped).toBe(3)
  })
})

describe('settings', () => {
  it.each([
    [{ access: 0 }, 'vlan.access: 0 is not a VLAN id from 1 to 4094'],
    [{ access: 4095 }, 'vlan.access: 4095'],
    [{ trunk: ['20-10'] }, 'vlan.trunk: "20-10"'],
    [{ trunk: ['1-4095'] }, 'vlan.trunk: "1-4095"'],
    [{ trunk: [1.5] }, 'vlan.trunk: 1.5'],
    [{ trunk: [1], native: 5000 }, 'vlan.native: 5000'],
    [{ trunk: [1], untagged: ['x'] }, 'vlan.untagged: "x"'],
    [{ tunnel: 0 }, 'vlan.tunnel: 0'],
    [{} as { access: number }, 'vlan takes access, tunnel, or trunk with native and untagged, not {}'],
    [{ access: 1, trunk: [2] }, 'not access and trunk'],
    [{ tunnel: 5, trunk: [1] }, 'not tunnel and trunk'],
    [{ access: 10, native: 3 } as { access: number }, 'not access and native'],
    [{ access: '10-20' as unknown as number }, 'vlan.access: "10-20"'],
    [{ trunk: '12' as unknown as number[] }, 'vlan.trunk: "12" is not a list'],
  ])('refuses %j', (vlan, message) => {
    expect(() => lab({ vlan })).toThrow(message)
  })

  it('refuses a tag type that is none, and a static entry without a VLAN', () => {
    expect(() => new Lab(1, { tpid: 0x9100 as 0x8100 })).toThrow('tpid must be 0x8100 or 0x88a8')
    const l = lab(access(10))
    expect(() => l.switch.addStatic('02:00:00:00:00:0c', l.port(0))).toThrow('vlan must be 1 to 4094, not 0')
    expect(l.send(0, frame(C, A))).toEqual({})
  })

  it('takes many ports', () => {
    const l = new Lab(40, { vlanAware: true })
    l.port(39).set({ vlan: { access: 30 } })
    l.port(20).set({ vlan: { access: 30 } })
    expect(Object.keys(l.send(20, frame(ALL, A)))).toEqual(['39'])
    expect(l.send(39, frame(A, B))).toEqual({ 20: [frame(A, B)] })
  })
})
