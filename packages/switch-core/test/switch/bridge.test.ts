// The rules of a bridge, one by one: IEEE 802.1D, and Linux' bridge where the two differ.
import { describe, expect, it } from 'vitest'
import { fdbKey } from '../../src/index.ts'
import { homeSlot } from '../../src/switch/fdb.ts'
import { A, ALL, B, C, flat, frame, GROUP, hex, Lab, tagged } from './lab.ts'

describe('learning and forwarding', () => {
  it('floods to all others until an address is known, then sends it one way', () => {
    const lab = new Lab(3)
    const toB = frame(B, A)
    expect(lab.send(0, toB)).toEqual({ 1: [toB], 2: [toB] })
    const toA = frame(A, B)
    expect(lab.send(1, toA)).toEqual({ 0: [toA] })
    expect(lab.send(0, toB)).toEqual({ 1: [toB] })
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0a v0 -> 0', '02:00:00:00:00:0b v0 -> 1'])
  })

  it('floods broadcast and multicast, and does not learn group addresses as destinations', () => {
    const lab = new Lab(3)
    expect(lab.send(0, frame(ALL, A))).toEqual({ 1: [frame(ALL, A)], 2: [frame(ALL, A)] })
    expect(lab.send(0, frame(GROUP, A))).toEqual({ 1: [frame(GROUP, A)], 2: [frame(GROUP, A)] })
    expect(lab.fdb()).toHaveLength(1)
  })

  it('moves a station at once to the port it was last heard on', () => {
    const lab = new Lab(3)
    lab.send(0, frame(ALL, A))
    lab.send(2, frame(ALL, A))
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0a v0 -> 2'])
    expect(lab.send(1, frame(A, B))).toEqual({ 2: [frame(A, B)] })
    expect(lab.switch.fdb.counters).toMatchObject({ learned: 2, moved: 1 })
  })

  it('drops frames from a group address or from zero, and learns nothing from them', () => {
    const lab = new Lab(2)
    expect(lab.send(0, frame(B, GROUP), frame(B, ALL), frame(B, '000000000000'))).toEqual({})
    expect(lab.drops).toEqual({ GroupSource: 2, ZeroSource: 1 })
    expect(lab.fdb()).toEqual([])
  })

  it('drops what is shorter than an Ethernet header', () => {
    const lab = new Lab(2)
    for (let n = 0; n < 14; n++) lab.send(0, hex(frame(ALL, A)).subarray(0, n))
    expect(lab.drops).toEqual({ Runt: 14 })
    expect(lab.send(0, hex(frame(ALL, A)).subarray(0, 14))).toEqual({ 1: [frame(ALL, A).slice(0, 28)] })
  })

  it('does not send a frame back to its port, unless hairpin is on there', () => {
    const lab = new Lab(3)
    lab.send(0, frame(ALL, A), frame(ALL, B))
    expect(lab.send(0, frame(B, A))).toEqual({})
    expect(lab.drops).toEqual({ SamePort: 1 })
    lab.port(0).set({ hairpin: true })
    expect(lab.send(0, frame(B, A))).toEqual({ 0: [frame(B, A)] })
    expect(lab.send(0, frame(ALL, A))).toEqual({ 0: [frame(ALL, A)], 1: [frame(ALL, A)], 2: [frame(ALL, A)] })
  })

  it('has nowhere to flood when it is the only port', () => {
    const lab = new Lab(1)
    expect(lab.send(0, frame(ALL, A))).toEqual({})
    expect(lab.drops).toEqual({ NoDestination: 1 })
  })
})

describe('reserved group addresses', () => {
  const last = (x: number): string => `0180c20000${x.toString(16).padStart(2, '0')}`
  const passing = (lab: Lab): number[] => {
    const through: number[] = []
    for (let x = 0; x <= 0x21; x++) if (lab.send(0, frame(last(x), A))[1]) through.push(x)
    return through
  }

  it('ends 01..0F here, floods 00 as Linux does with spanning tree off, and 10 and above as any group', () => {
    const lab = new Lab(2)
    expect(passing(lab)).toEqual([0x00, ...Array.from({ length: 18 }, (_, i) => 0x10 + i)])
    expect(lab.drops).toEqual({ ReservedGroup: 15 })
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0a v0 -> 0'])
  })

  it('learns nothing from a PAUSE frame, which ends in the MAC', () => {
    const lab = new Lab(2)
    lab.send(0, frame(last(1), A))
    expect(lab.fdb()).toEqual([])
    lab.send(0, frame(last(2), A))
    expect(lab.fdb()).toHaveLength(1)
  })

  it('carries customers’ protocols through a provider bridge: 0B, 0C, 0D, 0F', () => {
    expect(passing(new Lab(2, { vlanAware: true, tpid: 0x88a8 })).filter((x) => x < 0x10)).toEqual([0, 11, 12, 13, 15])
  })

  it('filters 00 as 802.1D says when asked to', () => {
    expect(passing(new Lab(2, { stpGroupWhenOff: 'filter' }))[0]).toBe(0x10)
  })

  it('forwards those of groupForwardMask, which cannot name 00, 01 and 02', () => {
    expect(passing(new Lab(2, { groupForwardMask: 1 << 0xe }))).toContain(0x0e)
    expect(() => new Lab(2, { groupForwardMask: 2 })).toThrow('groupForwardMask must be 16 bits')
  })
})

describe('ageing', () => {
  it('forgets an address that was not heard for 300 seconds, and not before', () => {
    const lab = new Lab(3)
    lab.send(0, frame(ALL, A))
    lab.wait(299)
    expect(lab.send(1, frame(A, B))).toEqual({ 0: [frame(A, B)] })
    lab.wait(1)
    expect(lab.send(1, frame(A, B))).toEqual({ 0: [frame(A, B)], 2: [frame(A, B)] })
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0b v0 -> 1'])
  })

  it('counts from when the address was last heard', () => {
    const lab = new Lab(2)
    lab.send(0, frame(ALL, A))
    lab.wait(200)
    lab.send(0, frame(ALL, A))
    lab.wait(200)
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0a v0 -> 0'])
  })

  it('takes effect when it is changed, and takes 0 to a million seconds', () => {
    const lab = new Lab(3, { ageing: 1_000_000 })
    lab.send(0, frame(ALL, A))
    lab.wait(1000)
    expect(lab.fdb()).toHaveLength(1)
    lab.switch.fdb.ageing = 0
    expect(lab.fdb()).toEqual([])
    expect(lab.send(1, frame(A, B))).toEqual({ 0: [frame(A, B)], 2: [frame(A, B)] })
    for (const bad of [-1, 1_000_001, Number.NaN]) {
      expect(() => new Lab(2, { ageing: bad })).toThrow(`ageing must be 0 to 1,000,000 seconds, not ${bad}`)
    }
  })

  it('forgets everything but static entries over a gap of more than 12 days', () => {
    const lab = new Lab(3, { ageing: 1_000_000 })
    lab.send(0, frame(ALL, A))
    lab.switch.addStatic('02:00:00:00:00:0c', lab.port(0))
    lab.clock.advance(30 * 86_400e9)
    expect(lab.send(1, frame(A, B))).toHaveProperty('2')
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0b v0 -> 1', '02:00:00:00:00:0c v0 -> 0'])
  })

  it('is right when the milliseconds pass 2^31 and 2^32', () => {
    for (const bits of [31, 32]) {
      const lab = new Lab(3, { ageing: 60 })
      lab.clock.set(2 ** bits * 1e6 - 30e9)
      lab.loop.turn()
      lab.send(0, frame(ALL, A))
      lab.wait(59)
      expect(lab.send(1, frame(A, B))).toEqual({ 0: [frame(A, B)] })
      lab.wait(1)
      expect(lab.send(1, frame(A, B))).toHaveProperty('2')
    }
  })
})

describe('static and sticky entries', () => {
  it('keeps a static entry where it is, for good', () => {
    const lab = new Lab(3)
    expect(lab.switch.addStatic('02:00:00:00:00:0a', lab.port(0))).toBe(true)
    lab.wait(1000)
    expect(lab.send(1, frame(A, B))).toEqual({ 0: [frame(A, B)] })
    // Heard elsewhere, the frame is forwarded, but the entry does not move.
    expect(lab.send(2, frame(B, A))).toEqual({ 1: [frame(B, A)] })
    expect(lab.send(1, frame(A, B))).toEqual({ 0: [frame(A, B)] })
    expect(lab.switch.fdb.flush()).toBe(1)
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0a v0 -> 0'])
    expect(lab.switch.deleteAddress('02:00:00:00:00:0a')).toBe(true)
    expect(lab.switch.deleteAddress('02:00:00:00:00:0a')).toBe(false)
  })

  it('binds an address to a sticky port until it has aged out', () => {
    const lab = new Lab([{ learning: 'sticky' }, {}, {}])
    lab.send(0, frame(ALL, A))
    lab.send(1, frame(ALL, A))
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0a v0 -> 0'])
    expect([...lab.switch.fdb.list()][0]?.kind).toBe('sticky')
    lab.wait(300)
    lab.send(1, frame(ALL, A))
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0a v0 -> 1'])
  })

  it('refuses what cannot be', () => {
    const lab = new Lab(2)
    expect(() => lab.switch.addStatic('02:00:00:00:00', lab.port(0))).toThrow('02:00:00:00:00')
    expect(() => lab.switch.addStatic('02:00:00:00:00:0a', lab.port(0), 5)).toThrow('not VLAN-aware')
    const other = new Lab(1)
    expect(() => lab.switch.addStatic('02:00:00:00:00:0a', other.port(0))).toThrow('a is not a port of switch')
    for (const mac of ['01:00:5e:00:00:01', 'ff:ff:ff:ff:ff:ff', '00:00:00:00:00:00']) {
      expect(() => lab.switch.addStatic(mac, lab.port(0))).toThrow(`mac must be the address of a station, not ${mac}`)
    }
    expect(() => lab.switch.addStatic('02:00:00:00:00:0a', lab.port(0), 0, 'bogus' as 'static')).toThrow('not bogus')
    expect(() => lab.switch.fdb.add(fdbKey([2, 0, 0, 0, 0, 1]), -1)).toThrow('port must be a whole number')
  })

  it('drops frames to an entry whose port is not there', () => {
    const lab = new Lab(2)
    for (const port of [5, 99]) {
      lab.switch.fdb.add(fdbKey([2, 0, 0, 0, 0, 0x0c]), port)
      lab.send(0, frame(ALL, A))
      expect(lab.send(0, frame(C, A))).toEqual({})
    }
    expect(lab.drops).toEqual({ PortDown: 2 })
  })

  it('counts from when it was added, not from when the clock was last read', () => {
    const lab = new Lab(2)
    lab.clock.advance(1000e9)
    lab.switch.addStatic('02:00:00:00:00:0a', lab.port(0), 0, 'sticky')
    lab.wait(299)
    expect(lab.fdb()).toHaveLength(1)
    lab.clock.advance(1e9)
    expect(lab.fdb()).toEqual([])
  })
})

describe('the limit of the table', () => {
  const from = (i: number): string => frame(ALL, `0200000001${i.toString(16).padStart(2, '0')}`)

  it('refuses new addresses, and established stations keep theirs', () => {
    const lab = new Lab(2, { maxEntries: 4 })
    for (let i = 0; i < 10; i++) lab.send(0, from(i))
    expect(lab.fdb().map((e) => e.slice(15, 17))).toEqual(['00', '01', '02', '03'])
    expect(lab.switch.fdb.counters).toMatchObject({ learned: 4, refused: 6 })
  })

  it('lets new addresses take the place of the idlest', () => {
    const lab = new Lab(2, { maxEntries: 4, atLimit: 'evict' })
    for (let i = 0; i < 4; i++) {
      lab.send(0, from(i))
      lab.wait(1)
    }
    lab.send(0, from(0))
    lab.send(0, from(9))
    expect(lab.fdb().map((e) => e.slice(15, 17))).toEqual(['00', '02', '03', '09'])
    expect(lab.switch.fdb.counters).toMatchObject({ learned: 5, evicted: 1, refused: 0 })
  })

  it('does not evict static and sticky entries', () => {
    const lab = new Lab([{ learning: 'sticky' }, {}], { maxEntries: 2, atLimit: 'evict' })
    lab.switch.addStatic('02:00:00:00:00:0a', lab.port(1))
    lab.send(0, from(1))
    lab.send(1, from(2))
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0a v0 -> 1', '02:00:00:00:01:01 v0 -> 0'])
    expect(lab.switch.fdb.counters.refused).toBe(1)
    expect(lab.switch.addStatic('02:00:00:00:00:0c', lab.port(1))).toBe(false)
  })

  it('takes in 128 of the addresses of one home slot, and goes on', () => {
    // Who knows the seed can find addresses that collide. They are not learnt then, and cost no time.
    const lab = new Lab(2, { maxEntries: 8192 })
    const { salt, shift } = lab.switch.fdb
    let sent = 0
    for (let lo = 1; sent < 400; lo++) {
      if (homeSlot(0x0002, lo, salt, shift) !== 77) continue
      const bytes = hex(frame(ALL, '020000000000'))
      new DataView(bytes.buffer).setInt32(8, lo, true)
      lab.send(0, bytes)
      sent++
    }
    expect(lab.switch.fdb.size).toBe(128)
    expect(lab.switch.fdb.counters.refused).toBe(400 - 128)
    // Stations that are known are still reached, all others are flooded.
    expect(lab.send(1, frame(A, B))).toHaveProperty('0')
  })

  it.each([0, 1, 2594568867])('has room for all that it may hold, in sequence too (seed %i)', (seed) => {
    // Two stations in each of 4,094 VLANs: 8,188 of 8,192 entries.
    const { fdb } = new Lab(1, { maxEntries: 8192, seed }).switch
    for (let vlan = 1; vlan <= 4094; vlan++) {
      for (const last of [1, 2]) fdb.learn((vlan << 16) | 0x0002, last << 24, 0, false)
    }
    expect(fdb.counters).toMatchObject({ learned: 8188, refused: 0 })
  })

  it('makes room of what has aged out before it refuses', () => {
    const lab = new Lab(2, { maxEntries: 4 })
    for (let i = 0; i < 4; i++) lab.send(0, from(i))
    lab.clock.advance(300e9)
    lab.send(0, from(9))
    expect(lab.switch.fdb.counters).toMatchObject({ learned: 5, refused: 0 })
  })

  it('sweeps and flushes runs of neighbours in the time of one look each', () => {
    // One address for each home slot in sequence: a run of 4,096. Removal from its start would move the rest each time.
    const lab = new Lab(1, { maxEntries: 8192, ageing: 1 })
    const { fdb } = lab.switch
    const found = new Map<number, number>()
    for (let lo = 1; found.size < 4096; lo++) {
      const slot = homeSlot(0x0002, lo, fdb.salt, fdb.shift)
      if (slot < 4096 && !found.has(slot)) found.set(slot, lo)
    }
    for (const lo of found.values()) fdb.learn(0x0002, lo, 0, false)
    expect(fdb.size).toBe(4096)
    const start = performance.now()
    expect(fdb.flush()).toBe(4096)
    // Quadratic work took 160 ms here.
    expect(performance.now() - start).toBeLessThan(60)
  })

  it('takes a seed of 32 bits', () => {
    for (const seed of [Number.NaN, 1.5, 2 ** 32, 'x' as unknown as number]) {
      expect(() => new Lab(1, { seed })).toThrow('seed must be a whole number of 32 bits')
    }
  })
})

describe('settings of a port', () => {
  it('keeps isolated ports from each other', () => {
    const lab = new Lab([{ isolated: true }, { isolated: true }, {}])
    lab.send(1, frame(ALL, B))
    expect(lab.send(0, frame(ALL, A))).toEqual({ 2: [frame(ALL, A)] })
    expect(lab.send(0, frame(B, A))).toEqual({})
    expect(lab.drops).toEqual({ Isolated: 1 })
    expect(lab.send(2, frame(B, C))).toEqual({ 1: [frame(B, C)] })
  })

  it('does not learn where learning is off', () => {
    const lab = new Lab([{ learning: false }, {}, {}])
    lab.send(0, frame(ALL, A))
    expect(lab.fdb()).toEqual([])
    expect(lab.send(1, frame(A, B))).toHaveProperty('2')
  })

  it('floods each kind only where it is wanted', () => {
    const lab = new Lab([{}, { unknownUnicastFlood: false }, { multicastFlood: false }, { broadcastFlood: false }])
    expect(Object.keys(lab.send(0, frame(B, A)))).toEqual(['2', '3'])
    expect(Object.keys(lab.send(0, frame(GROUP, A)))).toEqual(['1', '3'])
    expect(Object.keys(lab.send(0, frame(ALL, A)))).toEqual(['1', '2'])
  })

  it('lets a port use its own addresses only', () => {
    const lab = new Lab([{ macs: ['02:00:00:00:00:0a', '02-00-00-00-00-0C'] }, {}])
    expect(Object.keys(lab.send(0, frame(ALL, A), frame(ALL, B), frame(ALL, C)))).toEqual(['1'])
    expect(lab.drops).toEqual({ MacGuard: 1 })
    expect(lab.fdb()).toHaveLength(2)
    expect(lab.port(0).counters).toMatchObject({ rxFrames: 3, rxBytes: 51, dropped: 1 })
    lab.send(0, '0200')
    expect(lab.drops).toEqual({ MacGuard: 1, Runt: 1 })
  })

  it('drops what is too long for the port it would leave by', () => {
    const lab = new Lab([{}, { mtu: 68 }, {}])
    const long = frame(ALL, A, 'ab'.repeat(69))
    expect(Object.keys(lab.send(0, long))).toEqual(['2'])
    lab.send(1, frame(ALL, B))
    expect(lab.send(0, frame(B, A, 'ab'.repeat(69)))).toEqual({})
    expect(lab.drops).toEqual({ TooBig: 2 })
    lab.send(2, frame(ALL, C))
    lab.port(2).set({ mtu: 68 })
    expect(lab.send(0, long)).toEqual({})
    expect(lab.drops).toEqual({ TooBig: 4 })
    expect(lab.send(0, frame(B, A, 'ab'.repeat(68)))).toHaveProperty('1')
    // A VLAN tag does not count.
    expect(lab.send(0, tagged(B, A, 5, 0, '8100', 'ab'.repeat(68 + 2)).slice(0, (18 + 68) * 2))).toHaveProperty('1')
  })

  it('measures a super-frame by its segments, whatever its sender hints', () => {
    const ipTcp = `45000000000000004006000000000000000000000${'0'.repeat(15)}${'5'.padStart(25, '0')}${'0'.repeat(15)}`
    const bytes = hex(frame(B, A, ipTcp.padEnd((40 + 3000) * 2, '0')))
    for (const [gsoSize, hint, passes] of [
      [1460, 54, true],
      [1460, 66, true],
      [1460, 4000, true],
      [1461, 54, false],
      [1461, 0, false],
    ] as const) {
      const lab = new Lab([{}, { mtu: 1500 }], {}, { frameSize: 4000 })
      lab.send(1, frame(ALL, B))
      const { pool } = lab
      const f = pool.from(bytes)
      if (f < 0) throw new Error('no row')
      pool.flags[f] = 1
      pool.gsoType[f] = 1
      pool.gsoSize[f] = gsoSize
      pool.hdrLen[f] = hint
      pool.csumStart[f] = 34
      pool.csumOffset[f] = 16
      pool.bytes[(pool.off[f] ?? 0) + 34 + 12] = 0x50
      lab.ports[0]?.outside.injectFrame(f as never)
      lab.loop.settle()
      expect([gsoSize, hint, lab.drops.TooBig ?? 0]).toEqual([gsoSize, hint, passes ? 0 : 1])
    }
  })

  it('keeps the storm allowance that is left when something else is set', () => {
    const lab = new Lab([{ storm: { rate: 1, burst: 1 } }, {}])
    expect(lab.send(0, frame(ALL, A))).toHaveProperty('1')
    lab.port(0).set({ hairpin: false })
    expect(lab.send(0, frame(ALL, A))).toEqual({})
    lab.port(0).set({ storm: { rate: 1, burst: 1 } })
    expect(lab.send(0, frame(ALL, A))).toHaveProperty('1')
  })

  it('allows so many flooded frames a second', () => {
    const lab = new Lab([{ storm: { rate: 10, burst: 2 } }, {}])
    const five = Array.from({ length: 5 }, () => frame(ALL, A))
    expect(lab.send(0, ...five)[1]).toHaveLength(2)
    expect(lab.drops).toEqual({ Storm: 3 })
    lab.wait(0.1)
    expect(lab.send(0, ...five)[1]).toHaveLength(1)
    lab.wait(10)
    expect(lab.send(0, ...five)[1]).toHaveLength(2)
    // Known unicast is not flooded.
    lab.send(1, frame(A, B))
    expect(lab.send(0, ...Array.from({ length: 5 }, () => frame(B, A)))[1]).toHaveLength(5)
    lab.port(0).set({ storm: { rate: 1, burst: 1, kinds: ['unknown'] } })
    expect(lab.send(0, ...five)[1]).toHaveLength(5)
    expect(lab.send(0, frame(C, A), frame(C, A))[1]).toHaveLength(1)
  })

  it('is down: nothing goes in or out, and what was learnt there is forgotten', () => {
    const lab = new Lab(3)
    lab.send(0, frame(ALL, A))
    lab.switch.addStatic('02:00:00:00:00:0c', lab.port(0))
    lab.port(0).setUp(false)
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0c v0 -> 0'])
    expect(Object.keys(lab.send(1, frame(ALL, B)))).toEqual(['2'])
    expect(lab.send(1, frame(C, B))).toEqual({})
    expect(lab.send(0, frame(ALL, A))).toEqual({})
    expect(lab.drops).toEqual({ PortDown: 2 })
    lab.port(0).setUp(true)
    expect(lab.send(1, frame(C, B))).toHaveProperty('0')
  })

  it.each([
    [{ mtu: 67 }, 'a: mtu must be a whole number from 68 to 65535, not 67'],
    [{ learning: 'yes' as 'sticky' }, "a: learning takes true, false or 'sticky', not yes"],
    [{ storm: { rate: 0 } }, 'storm.rate must be a whole number from 1 to 100000000, not 0'],
    [{ storm: { rate: 1, kinds: ['all' as 'unknown'] } }, "storm.kinds takes 'broadcast', 'multicast' and 'unknown'"],
    [{ vlan: { access: 1 } }, 'a: vlan needs a VLAN-aware switch'],
    [{ macs: ['02:00'] }, 'a: macs: '],
    [{ hairpin: 'off' as unknown as boolean }, 'a: hairpin takes true or false, not off'],
  ])('refuses %j by key and value', (change, message) => {
    const lab = new Lab(2)
    const before = { ...lab.port(0).options }
    expect(() => lab.port(0).set(change)).toThrow(message)
    expect(lab.port(0).options).toEqual(before)
  })
})

describe('mirrors', () => {
  it('copies what comes in and what leaves to another port, which takes no part itself', () => {
    const lab = new Lab(4)
    lab.send(0, frame(ALL, A))
    lab.send(1, frame(ALL, B))
    const stop = lab.switch.mirror({ ports: [lab.port(0)], to: lab.port(3) })
    expect(lab.send(0, frame(B, A))).toEqual({ 1: [frame(B, A)], 3: [frame(B, A)] })
    expect(lab.send(1, frame(A, B))).toEqual({ 0: [frame(A, B)], 3: [frame(A, B)] })
    expect(lab.send(1, frame(C, B))).toEqual({ 0: [frame(C, B)], 2: [frame(C, B)], 3: [frame(C, B)] })
    expect(lab.send(3, frame(A, C))).toEqual({})
    expect(lab.drops).toEqual({ MirrorPort: 1 })
    stop()
    expect(Object.keys(lab.send(3, frame(A, C)))).toEqual(['0'])
  })

  it('looks one way when told to, and shows frames that are dropped', () => {
    const lab = new Lab(3)
    lab.switch.mirror({ ports: [lab.port(0)], direction: 'in', to: lab.port(2) })
    expect(lab.send(1, frame(ALL, B))).toEqual({ 0: [frame(ALL, B)] })
    expect(lab.send(0, frame(B, GROUP))).toEqual({ 2: [frame(B, GROUP)] })
    expect(lab.drops).toEqual({ GroupSource: 1 })
  })

  it('goes on with the other ports when one of them is removed', () => {
    const lab = new Lab(4)
    const ports = [lab.port(0), lab.port(1)]
    const stop = lab.switch.mirror({ ports, to: lab.port(3) })
    ports.length = 0
    lab.switch.removePort(lab.port(0))
    expect(Object.keys(lab.send(1, frame(ALL, B)))).toEqual(['2', '3'])
    expect(lab.send(3, frame(ALL, C))).toEqual({})
    stop()
    expect(Object.keys(lab.send(3, frame(ALL, C)))).toEqual(['1', '2'])
  })

  it('sends nothing to an output that is down', () => {
    const lab = new Lab(3)
    lab.switch.mirror({ ports: [lab.port(0)], to: lab.port(2) })
    lab.port(2).setUp(false)
    expect(lab.send(0, frame(ALL, A))).toEqual({ 1: [frame(ALL, A)] })
  })

  it('refuses to mirror a port to itself, and is gone with its port', () => {
    const lab = new Lab(3)
    expect(() => lab.switch.mirror({ ports: [lab.port(0)], to: lab.port(0) })).toThrow('mirrored to itself')
    lab.switch.mirror({ ports: [lab.port(0)], to: lab.port(2) })
    lab.switch.removePort(lab.port(2))
    expect(lab.send(0, frame(ALL, A))).toEqual({ 1: [frame(ALL, A)] })
  })
})

describe('the table from outside', () => {
  it('can be flushed by port, by VLAN, and whole', () => {
    const lab = new Lab([{ vlan: { trunk: ['1-9'] } }, { vlan: { trunk: ['1-9'] } }], { vlanAware: true })
    for (const vid of [1, 2, 3]) {
      lab.send(0, tagged(ALL, A, vid))
      lab.send(1, tagged(ALL, B, vid))
    }
    expect(lab.switch.fdb.flush({ port: 0, vlan: 2 })).toBe(1)
    expect(lab.switch.fdb.flush({ vlan: 2 })).toBe(1)
    expect(lab.switch.fdb.flush({ port: 0 })).toBe(2)
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0b v1 -> 1', '02:00:00:00:00:0b v3 -> 1'])
    expect(lab.switch.fdb.flush()).toBe(2)
    expect(lab.switch.fdb.size).toBe(0)
  })

  it('tells watchers of every change', () => {
    const lab = new Lab(2, { maxEntries: 2, atLimit: 'evict' })
    const seen: string[] = []
    const stop = lab.switch.fdb.watch((change, e) => seen.push(`${change} ${e.mac.slice(-2)} ${e.port}`))
    lab.send(0, frame(ALL, A))
    lab.wait(1)
    lab.send(1, frame(ALL, A))
    lab.wait(1)
    lab.send(1, frame(ALL, B))
    lab.send(1, frame(ALL, C))
    lab.wait(299)
    lab.send(1, frame(ALL, C))
    lab.wait(300)
    lab.switch.addStatic('02:00:00:00:00:0a', lab.port(0))
    lab.switch.deleteAddress('02:00:00:00:00:0a')
    lab.send(0, frame(ALL, A))
    lab.switch.fdb.flush()
    stop()
    lab.send(0, frame(ALL, A))
    expect(seen).toEqual([
      'learned 0a 0',
      'moved 0a 1',
      'learned 0b 1',
      'evicted 0a 1',
      'learned 0c 1',
      'aged 0b 1',
      'aged 0c 1',
      'added 0a 0',
      'removed 0a 0',
      'learned 0a 0',
      'flushed 0a 0',
    ])
  })

  it('may be followed by the removal of the port that the change came from', () => {
    const lab = new Lab(3)
    lab.switch.fdb.watch((change, e) => {
      if (change === 'learned' && e.mac.endsWith('0c')) queueMicrotask(() => lab.switch.removePort(lab.port(0)))
    })
    lab.send(0, frame(ALL, C), frame(B, A))
    return Promise.resolve().then(() => expect(lab.send(1, frame(C, B))).toEqual({ 2: [frame(C, B)] }))
  })

  it('cannot be changed from a watcher', () => {
    const lab = new Lab(2)
    const errors: unknown[] = []
    lab.switch.fdb.onWatcherError = (error) => errors.push(error)
    let others = 0
    lab.switch.fdb.watch(() => lab.switch.removePort(lab.port(0)))
    lab.switch.fdb.watch(() => others++)
    lab.send(0, frame(ALL, A), frame(ALL, B))
    expect(errors).toMatchObject([{ message: expect.stringContaining('cannot be changed from a watcher') }])
    expect([others, lab.switch.fdb.size]).toEqual([2, 2])
  })

  it('goes on when a watcher throws, takes it off and counts it', () => {
    const lab = new Lab(2)
    let calls = 0
    const broken = (): never => {
      calls++
      throw new Error('watcher is broken')
    }
    lab.switch.fdb.watch(broken)
    expect(lab.send(0, frame(ALL, A))).toHaveProperty('1')
    lab.switch.fdb.onWatcherError = broken
    const stop = lab.switch.fdb.watch(() => {
      stop()
      throw new Error('after it was taken off')
    })
    let others = 0
    lab.switch.fdb.watch(() => others++)
    expect(lab.send(0, frame(ALL, B))).toHaveProperty('1')
    expect(lab.send(0, frame(ALL, C))).toHaveProperty('1')
    expect([calls, others]).toEqual([2, 2])
    expect(lab.switch.fdb.counters.watchersLost).toBe(2)
  })
})

describe('counters', () => {
  it('count frames and bytes each way', () => {
    const lab = new Lab(3)
    lab.send(0, frame(ALL, A), '00')
    lab.send(1, frame(A, B))
    expect(lab.port(0).counters).toEqual({ rxFrames: 2, rxBytes: 18, txFrames: 1, txBytes: 17, dropped: 1 })
    expect(lab.port(2).counters).toEqual({ rxFrames: 0, rxBytes: 0, txFrames: 1, txBytes: 17, dropped: 0 })
  })

  it('start at zero for a port that takes a removed port’s number', () => {
    const lab = new Lab(3)
    lab.send(0, frame(ALL, A))
    lab.send(1, frame(ALL, B))
    const gone = lab.port(1)
    lab.switch.removePort(gone)
    expect(lab.fdb()).toEqual(['02:00:00:00:00:0a v0 -> 0'])
    expect(lab.send(1, frame(ALL, B))).toEqual({})
    expect(lab.drops).toEqual({ PortDown: 1 })
    const fresh = lab.plug()
    expect(fresh.port.index).toBe(gone.index)
    expect(fresh.port.counters.rxFrames).toBe(0)
    expect(Object.keys(lab.send(3, frame(ALL, C)))).toEqual(['0', '2'])
    expect(() => lab.switch.removePort(gone)).toThrow('is not a port of switch')
  })
})

it('forwards tagged frames unchanged where VLANs are not looked at', () => {
  const lab = new Lab(2)
  for (const vid of [0, 5, 4095]) {
    const f = tagged(ALL, A, vid, 3)
    expect(lab.send(0, f)).toEqual({ 1: [flat(f)] })
  }
  expect(lab.fdb()).toEqual(['02:00:00:00:00:0a v0 -> 0'])
})

it('refuses a link of another pool, and ports of another pool in a loop', () => {
  const [lab, other] = [new Lab(1), new Lab(1)]
  const outside = other.ports[0]!.outside
  expect(() => lab.switch.addPort(other.loop.link(outside, 'far'))).toThrow('link far has another frame pool')
  expect(() => lab.loop.add(outside, lab.port(0))).toThrow('port a has another frame pool than the loop')
  expect(() => lab.loop.link(outside)).toThrow('port a has another frame pool than the loop')
})

it('keeps the order of frames on a link, known or flooded', () => {
  const lab = new Lab(3)
  lab.send(1, frame(ALL, B))
  const sent = [frame(B, A, '01'), frame(ALL, A, '02'), frame(B, A, '03'), frame(B, A, '04'), frame(C, A, '05')]
  sent.push(frame(B, A, '06'))
  const long = sent.map((f) => f + '00'.repeat(20))
  lab.send(0, frame(ALL, A))
  expect(lab.send(0, ...long)[1]).toEqual(long)
})

it('holds more than 65,535 references to a frame', () => {
  const lab = new Lab(1, {}, { frames: 2 })
  const f = lab.pool.alloc() as never
  lab.pool.ledger.originate(1)
  lab.pool.share(f, 70_000)
  lab.pool.drop(f, 0)
  expect(lab.pool.report()).toMatchObject({ held: 70_000, balanced: true })
  expect(lab.pool.spare).toBe(1)
})
