// The NAT router against one that is written to be seen through.
import { parseIpv4 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { DestinationPolicy } from '../../src/index.ts'
import { SourceNat } from '../../src/outbound/source-nat.ts'
import { echo, hex, INSIDE, Lab, OUTSIDE, describe as say, tcpPacket, udpPacket } from './lab.ts'
import { NaiveNat, type Packet } from './naive-nat.ts'

const INNER = ['10.22.0.11', '10.22.0.12']
const OUTER = ['203.0.113.2', '203.0.113.3']
const PORTS = [80, 700, 5000]
const FLAGS = ['S', 'SA', 'A', 'F', 'R']

function bytes(p: Packet): string {
  const text = `${p.src}#${p.sport} > ${p.dst}#${p.dport}`
  if (p.proto === 'udp') return udpPacket(text)
  if (p.proto === 'echo') return echo(`${p.src}#${p.sport} > ${p.dst}`, p.answer ? 0 : 8)
  return tcpPacket(text, p.flags === 'F' ? 'FA' : (p.flags as string))
}

function read(p: Packet, line: string | undefined): Packet | null {
  if (line === undefined) return null
  const m = /(\S+?)#(\d+) > ([\d.]+)(?:#(\d+))?$/.exec(say(hex(line.slice(3))))
  if (m === null) throw new Error(`no packet: ${line}`)
  return { ...p, src: m[1] as string, sport: Number(m[2]), dst: m[3] as string, dport: Number(m[4] ?? m[2]) }
}

/** What happens next: a packet from inside to outside; from outside, as an answer to one that went out, or of its own; or time. */
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('out' as const),
      proto: fc.constantFrom('udp' as const, 'tcp' as const, 'echo' as const),
      src: fc.constantFrom(...INNER),
      dst: fc.constantFrom(...OUTER),
      sport: fc.constantFrom(...PORTS),
      dport: fc.constantFrom(...PORTS),
      flags: fc.constantFrom(...FLAGS),
      answer: fc.boolean(),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('answer' as const),
      which: fc.nat(30),
      flags: fc.constantFrom(...FLAGS),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('in' as const),
      proto: fc.constantFrom('udp' as const, 'tcp' as const),
      src: fc.constantFrom(...OUTER),
      sport: fc.constantFrom(...PORTS),
      dport: fc.constantFrom(8080, 8081, 5000),
      flags: fc.constantFrom(...FLAGS),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('time' as const), seconds: fc.constantFrom(1, 3, 29, 31, 61, 130, 400) }),
  },
)

const FORWARDS: Record<string, string> = {
  'udp 8080': '10.22.0.11#80',
  'tcp 8080': '10.22.0.11#80',
  'udp 8081': '10.22.0.12#700',
}

it('packets of all kinds, in any order', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), fc.integer(), (steps, seed) => {
      const lab = new Lab((l) => {
        const nat = new SourceNat(l.addresses, { outside: l.outside, seed })
        const mappings: DestinationPolicy = {
          decide(q) {
            const to = FORWARDS[`${q.tuple.protocol === 17 ? 'udp' : 'tcp'} ${q.tuple.dstPort}`]
            if (!q.toLocal || q.in !== 2 || to === undefined) return false
            const [host, port] = to.split('#') as [string, string]
            q.toAddress = parseIpv4(host)
            q.toPort = Number(port)
            return true
          },
        }
        return {
          seed,
          destination: [mappings],
          source: [{ decide: (q, reply) => q.out === 2 && nat.decide(q, reply), ended: (tag) => nat.ended(tag) }],
        }
      })
      const naive = new NaiveNat(FORWARDS)
      /** Packets that came out, to be answered. */
      const out: { side: number; p: Packet }[] = []
      for (const s of steps) {
        if (s.kind === 'time') {
          lab.clock.advance(s.seconds * 1e9)
          naive.now += s.seconds
          lab.loop.settle()
          continue
        }
        let side = INSIDE
        let p: Packet
        if (s.kind === 'answer') {
          const asked = out[s.which % Math.max(1, out.length)]
          if (asked === undefined) continue
          const { p: q } = asked
          side = asked.side
          p = { ...q, src: q.dst, sport: q.dport, dst: q.src, dport: q.sport, flags: s.flags, answer: true }
          if (p.proto !== 'echo') delete p.answer
        } else if (s.kind === 'out') {
          p = { proto: s.proto, src: s.src, sport: s.sport, dst: s.dst, dport: s.dport, flags: s.flags }
          if (p.proto === 'echo') Object.assign(p, { dport: p.sport }, s.answer ? { answer: true } : {})
        } else {
          side = OUTSIDE
          p = { proto: s.proto, src: s.src, sport: s.sport, dst: '203.0.113.1', dport: s.dport, flags: s.flags }
        }
        const lines = lab.send(side, bytes(p)).filter((l) => !isError(l))
        expect(lines.length).toBeLessThanOrEqual(1)
        const seen = read(p, lines[0])
        const wanted = naive.pass(p, seen)
        expect(seen).toEqual(wanted)
        if (seen !== null) {
          const at = Number((lines[0] as string)[0])
          expect(at).toBe(seen.dst.startsWith('10.') ? INSIDE : OUTSIDE)
          out.push({ side: at, p: seen })
        }
        expect([...lab.nat.flows()].length).toBe(naive.size)
      }
    }),
    { numRuns: 300 },
  )
})

/** The node itself says that nobody listens. */
function isError(line: string): boolean {
  return say(hex(line.slice(3))).startsWith('icmp 3/')
}
