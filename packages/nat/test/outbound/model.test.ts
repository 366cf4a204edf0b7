import fc from 'fast-check'
import { expect, it } from 'vitest'
import { SourceNat } from '../../src/outbound/source-nat.ts'
import { Lab } from './lab.ts'
import { type NaiveFlow, NaiveNat, type NaiveOptions } from './naive-nat.ts'

/** The source NAT against a naive one: the same flows begin and end, and each port is one that the naive one allows. That
 * no two flows have the same tuple is seen by the lab, which throws. */

const INSIDE = ['10.0.0.1', '10.0.0.2', '10.0.0.3']
const REMOTE = ['198.51.100.1', '198.51.100.2']

const options: fc.Arbitrary<NaiveOptions> = fc.record({
  mapping: fc.constantFrom('linux', 'endpoint-independent', 'address-dependent', 'address-and-port-dependent'),
  filtering: fc.constantFrom('endpoint-independent', 'address-dependent', 'address-and-port-dependent'),
  ports: fc.constantFrom('preserve', 'random'),
  portClass: fc.constantFrom('linux', 'any'),
  range: fc.constantFrom(null, [3000, 3003], [3000, 3009], [900, 1030]),
  parity: fc.boolean(),
  limit: fc.constantFrom(3, 6, 10_000),
})

const begin = fc.record({
  op: fc.constant('begin' as const),
  inside: fc.constantFrom(...INSIDE),
  port: fc.constantFrom(400, 401, 3000, 3001, 3002, 5000),
  remote: fc.constantFrom(...REMOTE),
  remotePort: fc.constantFrom(53, 80),
})
const end = fc.record({ op: fc.constant('end' as const), nth: fc.nat(50) })
const inbound = fc.record({
  op: fc.constant('inbound' as const),
  remote: fc.constantFrom(...REMOTE, '192.0.2.9'),
  nth: fc.nat(50),
})
const steps = fc.array(fc.oneof({ weight: 4, arbitrary: begin }, { weight: 2, arbitrary: end }, inbound), {
  maxLength: 60,
})

it('does as a naive NAT allows', () => {
  fc.assert(
    fc.property(options, steps, fc.integer(), (o, list, seed) => {
      if (o.mapping === 'linux') o = { ...o, filtering: 'address-and-port-dependent' }
      const lab = new Lab()
      lab.address(1, '203.0.113.1')
      const { range, limit, ...rest } = o
      const nat = new SourceNat(lab.addresses, {
        ...rest,
        outside: lab.outside,
        maxPortPoolUsage: limit,
        maxMappings: 256,
        seed,
        ...(range === null ? {} : { portRange: range.join('-') }),
      })
      const naive = new NaiveNat(o)
      const flows: { id: number; naive: NaiveFlow }[] = []
      const busy = new Set<string>()
      for (const s of list) {
        if (s.op === 'begin') {
          const tuple = `${s.inside}:${s.port} > ${s.remote}:${s.remotePort}`
          if (busy.has(tuple)) continue
          const want = naive.expect(s.inside, s.port, s.remote, s.remotePort)
          const got = lab.send(nat, `udp ${tuple}`)
          if (want === null) {
            expect(got.drop).toBe('NatPortsSpent')
            continue
          }
          expect(got.drop).toBeNull()
          const [address, port] = (got.to as string).split(':') as [string, string]
          expect(address).toBe('203.0.113.1')
          if (want.only !== undefined) expect(Number(port)).toBe(want.only)
          else expect(want.among).toContain(Number(port))
          flows.push({ id: got.id, naive: naive.add(s.inside, s.port, s.remote, s.remotePort, Number(port)) })
          busy.add(tuple)
        } else if (s.op === 'end') {
          const [f] = flows.splice(s.nth % (flows.length || 1), 1)
          if (f === undefined) continue
          lab.end(f.id)
          naive.end(f.naive)
          busy.delete(`${f.naive.inside}:${f.naive.insidePort} > ${f.naive.remote}:${f.naive.remotePort}`)
        } else {
          const port = flows[s.nth % (flows.length || 1)]?.naive.port ?? 3000
          const want = naive.inbound(s.remote, port)
          const got = lab.receive(nat.inbound, `udp ${s.remote}:4444 > 203.0.113.1:${port}`)
          expect(got.decided).toBe(want !== null)
          if (want === 'filtered') expect(got.drop).toBe('NatFiltered')
          else expect(got.to).toBe(want)
        }
        expect(nat.used).toBe(naive.mappings.length)
      }
      for (const f of flows) lab.end(f.id)
      expect(nat.used).toBe(0)
      expect([...nat.mappings()]).toEqual([])
    }),
    { numRuns: 600 },
  )
})
