// What the switch says of frames that are followed: why each goes where it goes.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SECOND } from '../../src/index.ts'
import { Listener } from '../listener.ts'
import { A, ALL, B, C, frame, GROUP, Lab, tagged } from './lab.ts'

describe('the switch explains', () => {
  it('that it floods what it does not know, and what it learns', () => {
    const lab = new Lab(3)
    const trace = new Listener(lab.pool)
    lab.send(0, frame(B, A))
    expect(trace.heard()).toEqual([
      'switch: 02:00:00:00:00:0a is learnt on port a',
      'switch: 02:00:00:00:00:0b is not in the FDB: flooded to b and c',
    ])
    lab.send(1, frame(ALL, B))
    expect(trace.heard()).toEqual([
      'switch: 02:00:00:00:00:0b is learnt on port b',
      'switch: broadcast: flooded to a and c',
    ])
    lab.send(1, frame(GROUP, B))
    expect(trace.heard()).toEqual(['switch: group 01:00:5e:00:00:01: flooded to a and c'])
  })

  it('a hit in the FDB, with its age', () => {
    const lab = new Lab(2)
    lab.send(1, frame(ALL, B))
    lab.wait(2)
    const trace = new Listener(lab.pool)
    lab.send(0, frame(B, A))
    expect(trace.heard()).toEqual([
      'switch: 02:00:00:00:00:0a is learnt on port a',
      'switch: FDB hit: 02:00:00:00:00:0b on port b, learnt, last heard 2 s ago',
    ])
    lab.send(0, frame(B, A))
    expect(trace.heard()).toEqual(['switch: FDB hit: 02:00:00:00:00:0b on port b, learnt, last heard 2 s ago'])
    lab.switch.addStatic('02:00:00:00:00:0c', lab.port(1))
    lab.send(0, frame(C, A))
    expect(trace.heard()).toEqual(['switch: FDB hit: 02:00:00:00:00:0c on port b, static'])
    lab.send(0, frame(A, A))
    expect(trace.heard()).toEqual(['switch: FDB hit: 02:00:00:00:00:0a on port a, learnt, last heard just now'])
  })

  it('that an address moves, or may not', () => {
    const lab = new Lab(3)
    lab.send(0, frame(ALL, A))
    lab.switch.addStatic('02:00:00:00:00:0b', lab.port(1))
    lab.clock.advance(1.5 * SECOND)
    const trace = new Listener(lab.pool)
    lab.send(2, frame(ALL, A), frame(ALL, B))
    expect(trace.heard()).toEqual([
      'switch: 02:00:00:00:00:0a moves to port c; it was heard on port a 1.5 s ago',
      'switch: broadcast: flooded to a and b',
      'switch: 02:00:00:00:00:0b is heard on port c; its static entry stays on port b',
      'switch: broadcast: flooded to a and b',
    ])
  })

  it('VLANs: by which a frame is in one, and what becomes of its tag', () => {
    const lab = new Lab(
      [{ vlan: { access: 10 } }, { vlan: { trunk: [10, 20] } }, { vlan: { access: 20 } }, { vlan: { access: 10 } }],
      { vlanAware: true },
    )
    const trace = new Listener(lab.pool)
    lab.send(0, frame(ALL, A))
    expect(trace.heard()).toEqual([
      'switch: VLAN 10 of port a: untagged',
      'switch: 02:00:00:00:00:0a is learnt on port a',
      'switch: broadcast: flooded to b and d in VLAN 10',
      'switch: tag of VLAN 10 put on',
    ])
    lab.send(1, tagged(A, B, 10))
    expect(trace.heard()).toEqual([
      'switch: VLAN 10, by its tag',
      'switch: 02:00:00:00:00:0b is learnt on port b',
      'switch: FDB hit: 02:00:00:00:00:0a in VLAN 10 on port a, learnt, last heard just now',
      'switch: tag of VLAN 10 taken off',
    ])
    lab.send(2, tagged(A, C, 10))
    expect(trace.heard()).toEqual(['switch: tagged VLAN 10, of which port c is no member'])
    lab.send(1, frame(A, C))
    expect(trace.heard()).toEqual(['switch: untagged, and port b has no VLAN for such frames'])
  })

  it('why a port does not get a frame', () => {
    const lab = new Lab([{ isolated: true }, { isolated: true }, {}, { broadcastFlood: false }, { mtu: 100 }])
    lab.send(1, frame(ALL, B))
    const trace = new Listener(lab.pool)
    lab.send(0, frame(B, A), frame(ALL, A, 'ab'.repeat(101)))
    expect(trace.heard()).toEqual([
      'switch: 02:00:00:00:00:0a is learnt on port a',
      'switch: FDB hit: 02:00:00:00:00:0b on port b, learnt, last heard just now',
      'switch: may not leave by port b: isolated',
      'switch: broadcast: flooded to c; not to b (isolated), d (no flooding there) and e (its MTU is 100)',
    ])
  })

  it('a source that a port may not use, and a mirror', () => {
    const lab = new Lab([{ macs: ['02:00:00:00:00:0a'] }, {}, {}])
    lab.switch.mirror({ ports: [lab.port(0)], direction: 'in', to: lab.port(2) })
    const trace = new Listener(lab.pool)
    lab.send(0, frame(B, B))
    expect(trace.heard()).toEqual([
      'switch: a copy for the mirror on port c',
      'switch: port a may not send as 02:00:00:00:00:0b',
    ])
  })

  it('nothing of frames that nobody follows', () => {
    const lab = new Lab(3)
    const trace = new Listener(lab.pool, () => false)
    lab.send(0, frame(B, A))
    lab.send(1, frame(A, B))
    expect(trace.said).toEqual([])
  })

  it('and does with batches what it does untraced', () => {
    const macs = [A, B, C, '02000000000d']
    const one = fc.tuple(fc.constantFrom(...macs, ALL, GROUP), fc.constantFrom(...macs), fc.nat(30))
    const batch = fc.tuple(fc.nat(3), fc.array(one, { maxLength: 40 }))
    fc.assert(
      fc.property(fc.array(batch, { maxLength: 12 }), fc.boolean(), (batches, vlanAware) => {
        const [plain, traced] = [false, true].map((listening) => {
          const lab = new Lab(4, { vlanAware })
          if (listening) new Listener(lab.pool)
          const out = batches.map(([port, frames]) => {
            lab.clock.advance(SECOND)
            return lab.send(port, ...frames.map(([dst, src, n]) => frame(dst, src, '5a'.repeat(n))))
          })
          const counters = lab.ports.map(({ port }) => port.counters)
          return {
            out,
            counters,
            vlan: lab.switch.vlanCounters(1),
            fdb: [...lab.switch.fdb.list()],
            report: lab.pool.report(),
          }
        })
        expect(traced).toEqual(plain)
      }),
      { numRuns: 200 },
    )
  })
})
