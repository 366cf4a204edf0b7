import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hex, tcpPacket, udpPacket } from '../engine/lab.ts'
import { Node, OTHERS, OUTSIDE, PODS } from './node.ts'

/*
 * Packets for services with anything wrong about them: cut off, bytes changed, flags that cannot be. Whatever they are, each is
 * sent, held or dropped for a reason, nobody throws, and in the end nothing is left behind: no row, no flow, no address.
 */

const TO = ['10.96.0.10', '198.51.100.9', '203.0.113.80', '10.96.0.13', '192.0.2.1', '10.244.1.1']
const TO6 = ['fd00:96::10', '2001:db8:8::80', 'fd00:96::13', '2001:db8::1']
const FROM = ['10.244.1.9', '10.244.1.5', '10.244.2.9', '203.0.113.5']
const FROM6 = ['fd00:244:1::9', 'fd00:244:1::5', 'fd00:244:2::9', '2001:db8:5::5']

function node(): Node {
  const n = new Node({ balancer: { clusterPrefixes: ['10.244.0.0/16', 'fd00:244::/32'], affinityEntries: 8 } })
  const backends = ['10.244.1.5', '10.244.2.6', 'fd00:244:1::5', 'fd00:244:2::6'].map((address, i) => ({
    address,
    port: 8080,
    local: i % 2 === 0,
  }))
  for (const protocol of ['tcp', 'udp'] as const) {
    n.balancer.services.add({
      name: `web ${protocol}`,
      protocol,
      port: 80,
      clusterIps: ['10.96.0.10', 'fd00:96::10'],
      externalIps: ['198.51.100.9'],
      nodePort: 30_080,
      distribution: 'source-ip',
      backends,
    })
    const kept = { name: `kept ${protocol}`, loadBalancerIps: ['203.0.113.80', '2001:db8:8::80'], backends }
    n.balancer.services.add({ ...kept, protocol, port: 80, preserveDestination: true })
    n.balancer.services.add({ name: `gone ${protocol}`, protocol, port: 80, clusterIps: ['10.96.0.13', 'fd00:96::13'] })
  }
  return n
}

const packet = fc
  .record({
    six: fc.boolean(),
    from: fc.nat(3),
    to: fc.nat(5),
    port: fc.constantFrom(4000, 4001),
    dport: fc.constantFrom(80, 80, 80, 30_080, 81),
    flags: fc.constantFrom('S', 'SA', 'A', 'R', 'FA', 'SF', 'SR', '', 'udp', 'udp'),
  })
  .map(({ six, from, to, port, dport, flags }) => {
    const text = six
      ? `${FROM6[from]}#${port} > ${TO6[to % TO6.length]}#${dport}`
      : `${FROM[from]}#${port} > ${TO[to]}#${dport}`
    return flags === 'udp' ? udpPacket(text) : tcpPacket(text, flags)
  })
const mangled = fc.record({
  side: fc.constantFrom(PODS, OTHERS, OUTSIDE),
  packet,
  cut: fc.option(fc.nat(80)),
  edits: fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 3 }),
  whole: fc.boolean(),
})
const noise = fc.record({ side: fc.constantFrom(PODS, OUTSIDE), bytes: fc.uint8Array({ maxLength: 120 }) })

describe('packets with anything wrong', () => {
  it('are accounted for, and leave nothing behind', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 5, arbitrary: mangled }, { weight: 1, arbitrary: noise }), { maxLength: 40 }),
        (list) => {
          const n = node()
          const held = n.addresses.size
          const takeAll = () => n.ports.reduce((sum, port) => sum + port.takeAll().length, 0)
          for (const one of list) {
            let bytes = 'bytes' in one ? one.bytes : hex(one.packet)
            if ('packet' in one && !one.whole) {
              if (one.cut !== null) bytes = bytes.slice(0, one.cut)
              for (const [at, value] of one.edits) if (at < bytes.length) bytes[at] = value
            }
            const type = (bytes[0] ?? 0) >>> 4 === 6 ? '86dd' : '0800'
            n.ports[one.side]!.inject(Buffer.concat([hex(`0200000000a${one.side} 020600000001 ${type}`), bytes]))
            n.loop.settle()
            expect(n.pool.report().balanced).toBe(true)
          }
          takeAll()
          for (let i = 0; i < 2; i++) {
            // Longer than any timeout; the sweep has its turns.
            n.clock.advance(500_000e9)
            n.seconds(1)
          }
          takeAll()
          n.say(PODS, udpPacket('10.244.1.9#9 > 203.0.113.9#9'))
          expect([...n.nat.flows()].length).toBeLessThanOrEqual(1)
          expect(n.pool.spare).toBe(n.pool.frames)
          for (const { backends } of n.balancer.services.list()) for (const b of backends) expect(b.active).toBe(0)
          expect(n.addresses.size).toBe(held)
        },
      ),
      { numRuns: 60 },
    )
  })
})
