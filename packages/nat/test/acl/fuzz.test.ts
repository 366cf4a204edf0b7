// Any bytes at all, any order of packets and rules: nothing throws, no byte changes, the ledger balances, and the fast way comes to
// what the slow one comes to.
import type { FrameTrace } from '@l2l3/switch-core'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { AclOptions, AclRule } from '../../src/index.ts'
import { echo, hex, icmpPacket, tcpPacket, udpPacket } from '../engine/lab.ts'
import { FilterLab } from './lab.ts'

const POD = '10.1.0.2'
const FAR = '10.0.0.9'
const KNOWN = udpPacket(`${POD}#5000 > ${FAR}#53`)
const SEEDS = [
  KNOWN,
  tcpPacket(`${POD}#5000 > ${FAR}#80`, 'S', { options: '020405b4' }),
  tcpPacket(`${FAR}#80 > ${POD}#5000`, 'SA'),
  echo(`${POD}#77 > ${FAR}`),
  icmpPacket({ src: FAR, dst: POD }, 3, 3, 0, hex(KNOWN)),
  udpPacket('fd00:1::2#5000 > 2001:db8:7::2#53'),
  icmpPacket({ src: '2001:db8:7::2', dst: 'fd00:1::2' }, 1, 4, 0, hex(udpPacket('fd00:1::2#5000 > 2001:db8:7::2#53'))),
  icmpPacket({ src: 'fd00:1::2', dst: 'fd00:1::1', ttl: 255 }, 135, 0, 0, new Uint8Array(16)),
  // A first fragment, and a later one, of IPv6.
  `6000000000102c40fd00000100000000000000000000000220010db8000700000000000000000002${'11000001000000aa'}1388003500100000`,
  `6000000000102c40fd00000100000000000000000000000220010db8000700000000000000000002${'11000008000000aa'}0102030405060708`,
]
const packet = fc.oneof(
  fc.uint8Array({ maxLength: 120 }),
  fc
    .record({
      seed: fc.constantFrom(...SEEDS),
      cut: fc.nat(200),
      at: fc.array(fc.tuple(fc.nat(150), fc.nat(255)), { maxLength: 4 }),
    })
    .map(({ seed, cut, at }) => {
      const b = hex(seed)
      for (const [i, v] of at) if (i < b.length) b[i] = v
      return b.subarray(0, Math.max(0, b.length - (cut > 100 ? 0 : cut)))
    }),
  // Offsets, flags and lengths that contradict each other.
  fc
    .record({ word: fc.nat(0xffff), total: fc.nat(80), protocol: fc.constantFrom(1, 6, 17, 33, 47, 132, 136) })
    .map(({ word, total, protocol }) => {
      const b = hex(KNOWN)
      const view = new DataView(b.buffer)
      view.setUint16(2, total)
      view.setUint16(6, word)
      b[9] = protocol
      return b
    }),
)
const tags = fc.constantFrom<number[]>([], [], [0x81, 0, 0, 5], [0x88, 0xa8, 0, 5, 0x81, 0, 0, 5], [0x81, 0])
const offload = fc.option(
  fc.record({ flags: fc.nat(15), gso: fc.constantFrom(0, 1, 4, 5, 0x81), start: fc.nat(300), offset: fc.nat(40) }),
  { freq: 4 },
)
const RULES: AclOptions[] = [
  {},
  { rules: [{ action: 'block', direction: 'in' }] },
  { rules: [{ action: 'block', direction: 'out', protocols: [17] }] },
  { rules: [{ action: 'allow', direction: 'in', remoteAddresses: ['fd00::/8'] }], defaults: 'block' },
]

it('any bytes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(packet, tags, offload, fc.boolean(), fc.nat(40)), { maxLength: 60 }), (list) => {
      const lab = new FilterLab({}, { maxFlows: 64, whenFull: 'evict', seed: 7, refusals: 16 }, 256)
      for (const [b, t, o, out, change] of list) {
        const acl = RULES[change]
        if (acl !== undefined) lab.port.setRules(acl)
        const f = lab.frame(b, t)
        if (o !== null) {
          lab.pool.flags[f] = o.flags
          lab.pool.gsoType[f] = o.gso
          lab.pool.csumStart[f] = o.start
          lab.pool.csumOffset[f] = o.offset
        }
        const before = lab.pool.copyOut(f)
        for (const g of lab.pass(out, [f])) {
          expect(lab.pool.copyOut(g)).toEqual(before)
          lab.intact(g)
          lab.pool.sent(g)
        }
        lab.clock.advance(1e6)
        expect(lab.pool.report().balanced).toBe(true)
      }
      lab.port.setRules({})
      lab.seconds(700)
      expect(lab.pool.report()).toMatchObject({ balanced: true, held: 0 })
      expect([lab.filter.conntrack.size, lab.filter.addresses.size, lab.port.unsettled]).toEqual([0, 0, 0])
      expect(lab.out(KNOWN)).toBe(true)
    }),
    { numRuns: 100 },
  )
}, 60_000)

const TRACE: FrameTrace = { follows: () => true, note: () => {}, derived: () => {} }
const ports = fc.constantFrom(5000, 5001)
const step = fc.oneof(
  { weight: 1, arbitrary: fc.constantFrom(...RULES) },
  {
    weight: 12,
    arbitrary: fc
      .record({
        six: fc.boolean(),
        near: ports,
        far: fc.constantFrom(53, 80),
        out: fc.boolean(),
        flags: fc.constantFrom('', 'S', 'SA', 'A', 'FA', 'R'),
      })
      .map(({ six, near, far, out, flags }) => {
        const [pod, other] = six ? ['fd00:1::2', 'fd00:9::9'] : [POD, FAR]
        const text = out ? `${pod}#${near} > ${other}#${far}` : `${other}#${far} > ${pod}#${near}`
        return { out, packet: flags === '' ? udpPacket(text) : tcpPacket(text, flags) }
      }),
  },
)

it('fast and slow: the same verdicts, states and counts', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 10, maxLength: 120 }), (steps) => {
      const options = { seed: 3, maxFlows: 64 }
      const labs = [new FilterLab({}, options, 16), new FilterLab({}, options, 16)] as const
      labs[1].pool.trace = TRACE
      for (const s of steps) {
        const [fast, slow] = labs.map((lab) => {
          lab.clock.advance(300e6)
          lab.loop.settle()
          if ('packet' in s) return lab.send(s.out, [s.packet, s.packet])
          lab.port.setRules(s)
          return null
        })
        expect(fast).toEqual(slow)
      }
      expect([...labs[0].filter.flows()]).toEqual([...labs[1].filter.flows()])
    }),
    { numRuns: 100 },
  )
}, 60_000)

it('stateful by any rules: who has not been let begin gets no answer, and who has been gets it', () => {
  const rule: fc.Arbitrary<AclRule> = fc.record({
    action: fc.constantFrom('allow', 'block'),
    direction: fc.constantFrom('in', 'out'),
    protocols: fc.constantFrom([], [17]),
    remotePorts: fc.constantFrom([], [53], [80]),
    priority: fc.nat(3),
  })
  const acl = fc.record({ rules: fc.array(rule, { maxLength: 6 }), defaults: fc.constantFrom('allow', 'block') })
  fc.assert(
    fc.property(acl, fc.constantFrom(53, 80), (options, far) => {
      const to = udpPacket(`${POD}#5000 > ${FAR}#${far}`)
      const fro = udpPacket(`${FAR}#${far} > ${POD}#5000`)
      const lab = new FilterLab(options as AclOptions, { maxFlows: 16 }, 16)
      const alone = new FilterLab(options as AclOptions, { maxFlows: 16 }, 16)
      const began = lab.out(to)
      expect(lab.in(fro)).toBe(began || alone.in(fro))
    }),
    { numRuns: 300 },
  )
})
