// All options, any frames: the engine does what the model on paper does, and garbage does no harm.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AZURE_FABRIC_MAC, type L2BridgeOptions } from '../../src/index.ts'
import { Listener } from '../listener.ts'
import { ALL, FABRIC, HOST, IP, Node, type Party, POD1, POD2 } from './lab.ts'
import { NaiveL2Bridge, render, type Sent } from './naive-l2bridge.ts'

const options: fc.Arbitrary<Partial<L2BridgeOptions>> = fc
  .record({
    tunnelMac: fc.option(fc.constant(AZURE_FABRIC_MAC), { nil: undefined }),
    arpReplyMode: fc.constantFrom('unicast-tha' as const, 'broadcast-azure' as const),
    foreignArpAnswer: fc.constantFrom('host-mac' as const, 'pod-mac' as const),
    floodLeak: fc.boolean(),
    unknownDestination: fc.constantFrom('host' as const, 'flood' as const),
    answerOwner: fc.boolean(),
  })
  .map(({ tunnelMac, ...rest }) => (tunnelMac === undefined ? rest : { ...rest, tunnelMac }))

const OWN: Readonly<Record<Party, string>> = { pod1: POD1, pod2: POD2, host: HOST, fabric: FABRIC }
const party = fc.constantFrom<Party>('pod1', 'pod2', 'host', 'fabric')
const station = fc.constantFrom(POD1, POD2, HOST, FABRIC, '02000000ffff')
const target = fc.oneof(station, fc.constantFrom(ALL, '01005e0000fb'))
const source = fc.oneof(
  { weight: 9, arbitrary: station },
  { weight: 1, arbitrary: fc.constantFrom(ALL, '000000000000') },
)
const ip = fc.constantFrom(...Object.values(IP))
const frame: fc.Arbitrary<Sent> = fc.oneof(
  fc.record({ kind: fc.constant('ip' as const), dst: target, src: source, from: ip, to: ip }),
  fc.record({
    kind: fc.constant('arp' as const),
    dst: target,
    src: source,
    op: fc.constantFrom(1 as const, 2 as const),
    sha: station,
    spa: ip,
    tha: fc.oneof(station, fc.constant('000000000000')),
    tpa: ip,
  }),
)

describe('the l2bridge engine', () => {
  it('does what the model does, with any options', () => {
    fc.assert(
      fc.property(options, fc.array(fc.tuple(party, frame), { maxLength: 30 }), fc.boolean(), (o, sent, traced) => {
        const node = new Node(o)
        if (traced) new Listener(node.pool)
        const model = new NaiveL2Bridge(o)
        for (const [from, f] of sent) expect(node.send(from, render(f))).toEqual(model.send(from, f))
      }),
      { numRuns: 600 },
    )
  })

  it('sends nothing with a pod’s MAC in its header by the uplink, and no stray unicast to pods', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(party, frame), { maxLength: 30 }), (sent) => {
        const node = new Node()
        for (const [from, any] of sent) {
          // Everybody keeps to a MAC of his own: who sends with another's is heard there.
          const f = { ...any, src: OWN[from] }
          const out = node.send(from, render(f))
          for (const hex of out.fabric ?? []) {
            expect(hex.slice(12, 24)).toBe(HOST)
            if (hex.slice(24, 28) === '0806') expect(hex.slice(44, 56)).toBe(HOST)
          }
          for (const [pod, mac] of [
            ['pod1', POD1],
            ['pod2', POD2],
          ] as const) {
            for (const hex of out[pod] ?? []) {
              // Its own MAC, a group's - or, where it asked, the answer to whoever the request said was asking.
              const dst = hex.slice(0, 12)
              const answer = from === pod && hex.slice(24, 28) === '0806'
              expect(answer || dst === mac || (Number.parseInt(dst.slice(0, 2), 16) & 1) === 1).toBe(true)
            }
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  it('takes garbage, from anywhere, in any offload state', () => {
    const type = fc.constantFrom('0800', '0806', '86dd', '8100', '88a8', '88b5')
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 90 }),
      fc
        .tuple(target, station, type, fc.uint8Array({ maxLength: 90 }))
        .map(([dst, src, t, rest]) => Uint8Array.from([...Buffer.from(dst + src + t, 'hex'), ...rest])),
      // Neighbour discovery that is cut short or says wrong lengths.
      fc
        .tuple(target, station, fc.constantFrom(133, 134, 135, 136, 137), fc.nat(60), fc.uint8Array({ maxLength: 60 }))
        .map(([dst, src, t, length, rest]) => {
          const head = Buffer.from(`${dst}${src}86dd60000000`, 'hex')
          const ip = [0, length, 58, 255, ...new Array<number>(32).fill(0xfd)]
          return Uint8Array.from([...head, ...ip, t, 0, 0, 0, ...rest])
        }),
    )
    const offload = fc.record({ flags: fc.nat(3), csumStart: fc.nat(200), csumOffset: fc.nat(20) })
    fc.assert(
      fc.property(options, fc.array(fc.tuple(party, bytes, offload), { maxLength: 40 }), (o, sent) => {
        const node = new Node(o)
        const { pool } = node
        for (const [from, b, { flags, csumStart, csumOffset }] of sent) {
          const f = pool.from(b)
          if (f === -1) throw new Error('pool spent')
          pool.flags[f] = flags
          pool.csumStart[f] = csumStart
          pool.csumOffset[f] = csumOffset
          node.outside[from].injectFrame(f)
          const out = node.settle()
          // Nothing is longer than what came, and nothing of the frame's rest but MACs and a checksum has changed.
          for (const hex of Object.values(out).flat()) expect(hex.length).toBeLessThanOrEqual(2 * b.length)
        }
      }),
      { numRuns: 300 },
    )
  })
})
