import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { OutsidePorts } from '../../src/outbound/outside-ports.ts'
import { SourceNat } from '../../src/outbound/source-nat.ts'
import type { DestinationPolicy } from '../../src/policy.ts'
import type { PortMapping } from '../../src/port-mapping/port-mapping.ts'
import { PortMappings } from '../../src/port-mapping/port-mappings.ts'
import { Lab } from '../outbound/lab.ts'

/** Ports of the node: 203.0.113.1 outside, 10.22.0.1 inside; the host that they are for is 10.22.0.11. */

let lab: Lab
let table: PortMappings
beforeEach(() => {
  lab = new Lab()
  table = new PortMappings(lab.addresses)
})
const web: PortMapping = { protocol: 'tcp', port: 8080, to: '10.22.0.11', toPort: 80 }
const to = (packet: string, more: { in?: number; toLocal?: boolean } = {}): string | null =>
  lab.receive(table, packet, more).to

describe('a mapping', () => {
  it('on all addresses of the node', () => {
    table.add(web)
    expect(to('tcp 198.51.100.1:9 > 203.0.113.1:8080')).toBe('10.22.0.11:80')
    expect(to('tcp 198.51.100.1:9 > 10.22.0.1:8080')).toBe('10.22.0.11:80')
    expect(to('tcp 198.51.100.1:9 > 203.0.113.1:8081')).toBeNull()
    expect(to('udp 198.51.100.1:9 > 203.0.113.1:8080')).toBeNull()
    // Not the node's own address: nothing for us (--dst-type LOCAL).
    expect(to('tcp 198.51.100.1:9 > 192.0.2.99:8080', { toLocal: false })).toBeNull()
    // Of the other family.
    expect(to('tcp [2001:db8:9::1]:9 > [2001:db8::1]:8080')).toBeNull()
  })

  it('on one address', () => {
    table.add({ ...web, address: '203.0.113.1' })
    expect(to('tcp 198.51.100.1:9 > 203.0.113.1:8080')).toBe('10.22.0.11:80')
    expect(to('tcp 198.51.100.1:9 > 10.22.0.1:8080')).toBeNull()
    expect(to('tcp 198.51.100.1:9 > 203.0.113.1:8080', { toLocal: false })).toBeNull()
  })

  it('for some addresses alone, of one IP version or of both', () => {
    table.add({ ...web, when: { from: ['198.51.100.0/24', '192.0.2.7'], notAt: ['10.0.0.0/8', 'fc00::/7'] } })
    expect(to('tcp 198.51.100.1:9 > 203.0.113.1:8080')).toBe('10.22.0.11:80')
    expect(to('tcp 192.0.2.7:9 > 203.0.113.1:8080')).toBe('10.22.0.11:80')
    expect(to('tcp 192.0.2.8:9 > 203.0.113.1:8080')).toBeNull()
    expect(to('tcp 198.51.100.1:9 > 10.22.0.1:8080')).toBeNull()
    // Of IPv6 nothing is asked of sources.
    table.add({
      ...web,
      to: 'fd00::11',
      when: { from: ['198.51.100.0/24'], notAt: ['fc00::/7'], notFrom: ['2001:db8:9::/48'] },
    })
    expect(to('tcp [2001:db8:8::1]:9 > [2001:db8::1]:8080')).toBe('fd00::11:80')
    expect(to('tcp [2001:db8:9::1]:9 > [2001:db8::1]:8080')).toBeNull()
    expect(to('tcp [2001:db8:8::1]:9 > [fd00::1]:8080')).toBeNull()
    table.add({ ...web, to: 'fd00::11', port: 81, when: { at: ['2001:db8::1'] } })
    expect(to('tcp [2001:db8:8::1]:9 > [2001:db8::1]:81')).toBe('fd00::11:80')
    expect(to('tcp [2001:db8:8::1]:9 > [2001:db8::2]:81')).toBeNull()
    expect(() => table.add({ ...web, port: 82, when: { at: ['x'] } })).toThrow(/portMapping\.when\.at\[0\]/)
    expect(() => table.add({ ...web, port: 82, when: { to: [] } as never })).toThrow(/portMapping\.when.*"?to"?/)
  })

  it('on a virtual address', () => {
    table.add({ ...web, address: '203.0.113.200', local: false })
    expect(to('tcp 198.51.100.1:9 > 203.0.113.200:8080', { toLocal: false })).toBe('10.22.0.11:80')
  })

  it('of a range goes to a range, port by port', () => {
    table.add({ protocol: 'udp', port: '5000-5009', to: '10.22.0.11', toPort: '6000-6009' })
    expect([5000, 5004, 5009].map((p) => to(`udp 198.51.100.1:9 > 203.0.113.1:${p}`))).toEqual([
      '10.22.0.11:6000',
      '10.22.0.11:6004',
      '10.22.0.11:6009',
    ])
    expect([4999, 5010].map((p) => to(`udp 198.51.100.1:9 > 203.0.113.1:${p}`))).toEqual([null, null])
  })

  it('goes to the same port by default, and any protocol with ports may have one', () => {
    table.addAll([132, 33, 136].map((protocol) => ({ protocol, port: 700, to: '10.22.0.11' })))
    for (const name of ['sctp', 'dccp', 'udplite']) {
      expect(to(`${name} 198.51.100.1:9 > 203.0.113.1:700`)).toBe('10.22.0.11:700')
    }
  })

  it('of IPv6', () => {
    const before = lab.addresses.size
    const number = table.add({ ...web, to: 'fd00::11', address: '2001:db8::1' })
    expect(lab.addresses.size).toBe(before + 2)
    expect(to('tcp [2001:db8:9::1]:9 > [2001:db8::1]:8080')).toBe('fd00::11:80')
    expect(table.list()).toEqual(['tcp [2001:db8::1]:8080 -> [fd00::11]:80'])
    expect(table.remove(number)).toBe(true)
    // What the packet itself brought in is still held by the lab.
    expect(to('tcp [2001:db8:9::1]:9 > [2001:db8::1]:8080')).toBeNull()
  })

  it('of a zone is for that zone', () => {
    table.add({ ...web, zone: 40_000 })
    lab.ask('tcp 198.51.100.1:9 > 203.0.113.1:8080', { toLocal: true })
    expect(table.decide(lab.flow)).toBe(false)
    lab.flow.tuple.kind = ((40_000 << 16) | 6) >>> 0
    expect(table.decide(lab.flow)).toBe(true)
  })

  it('does not apply to what comes in by an interface of notIn (Docker: ! -i br)', () => {
    table.add({ ...web, notIn: [2] })
    expect(to('tcp 10.22.0.12:9 > 203.0.113.1:8080', { in: 2 })).toBeNull()
    expect(to('tcp 198.51.100.1:9 > 203.0.113.1:8080', { in: 1 })).toBe('10.22.0.11:80')
  })

  it('leaves the source, unless it is one that would get its answer from elsewhere (modes.md 18.8, 18.10)', () => {
    table.add({ ...web, masqueradeFrom: ['10.22.0.0/16', '127.0.0.1'] })
    const marked = (from: string): boolean => lab.receive(table, `tcp ${from}:9 > 203.0.113.1:8080`).masquerade
    expect(['10.22.0.12', '10.22.0.11', '127.0.0.1', '198.51.100.1', '127.0.0.2'].map(marked)).toEqual([
      true,
      true,
      true,
      false,
      false,
    ])
  })
})

describe('conflicts', () => {
  it.each([
    [{ ...web }, true],
    [{ ...web, to: '10.22.0.12' }, true],
    [{ ...web, address: '203.0.113.1' }, true],
    [{ ...web, port: '8000-8100', toPort: '8000-8100' }, true],
    [{ ...web, protocol: 'udp' }, false],
    [{ ...web, port: 8081 }, false],
    [{ ...web, to: 'fd00::11' }, false],
    [{ ...web, zone: 1 }, false],
  ] as [PortMapping, boolean][])('%j', (second, conflict) => {
    table.add(web)
    if (conflict) expect(() => table.add(second)).toThrow(/tcp .* has a port of tcp \*:8080 -> 10\.22\.0\.11:80/)
    else expect(table.add(second)).toBe(1)
  })

  it('two addresses may have the same port', () => {
    table.add({ ...web, address: '203.0.113.1' })
    table.add({ ...web, address: '203.0.113.2', to: '10.22.0.12' })
    expect(to('tcp 198.51.100.1:9 > 203.0.113.2:8080')).toBe('10.22.0.12:80')
    expect(() => table.add(web)).toThrow(/has a port of/)
  })

  it('of several, one that conflicts leaves none', () => {
    expect(() => table.addAll([web, { ...web, port: 8081 }, { ...web, port: 8081 }])).toThrow(/portMappings\[2\]: tcp/)
    expect(table.list()).toEqual([])
    expect(to('tcp 198.51.100.1:9 > 203.0.113.1:8080')).toBeNull()
    expect(() => table.addAll([web, { ...web, port: 0 }])).toThrow(/portMappings\[1\]\.port must be a whole number/)
    expect(table.list()).toEqual([])
  })
})

it('a table that mappings come to and go from is as a list that is searched', () => {
  const mapping = fc.record({
    protocol: fc.constantFrom('tcp', 'udp'),
    port: fc.integer({ min: 80, max: 90 }),
    length: fc.integer({ min: 0, max: 3 }),
    address: fc.constantFrom(undefined, '203.0.113.1', '203.0.113.2'),
    host: fc.integer({ min: 1, max: 9 }),
  })
  const step = fc.oneof(
    fc.record({ op: fc.constant('add' as const), mapping }),
    fc.record({ op: fc.constant('remove' as const), nth: fc.nat(20) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const fresh = new PortMappings(lab.addresses)
      const naive: { number: number; m: (typeof steps)[number] & { op: 'add' } }[] = []
      for (const s of steps) {
        if (s.op === 'remove') {
          const [gone] = naive.splice(s.nth % (naive.length || 1), 1)
          if (gone !== undefined) expect(fresh.remove(gone.number)).toBe(true)
        } else {
          const { protocol, port, length, address, host } = s.mapping
          const clash = naive.some(({ m: { mapping: o } }) => {
            const sameAddress = o.address === undefined || address === undefined || o.address === address
            return o.protocol === protocol && sameAddress && port <= o.port + o.length && o.port <= port + length
          })
          const add = (): number =>
            fresh.add({
              protocol: protocol as 'tcp',
              port: `${port}-${port + length}`,
              to: `10.22.0.${host}`,
              toPort: `${port + 1000}-${port + length + 1000}`,
              ...(address === undefined ? {} : { address }),
            })
          if (clash) expect(add).toThrow(/has a port of/)
          else naive.push({ number: add(), m: s })
        }
        for (const protocol of ['tcp', 'udp']) {
          for (const address of ['203.0.113.1', '203.0.113.3']) {
            for (const port of [80, 83, 86, 90, 93]) {
              const m = naive.find(
                ({ m: { mapping: o } }) =>
                  o.protocol === protocol &&
                  (o.address === undefined || o.address === address) &&
                  port >= o.port &&
                  port <= o.port + o.length,
              )?.m.mapping
              const want = m === undefined ? null : `10.22.0.${m.host}:${port + 1000}`
              expect(lab.receive(fresh, `${protocol} 198.51.100.1:9 > ${address}:${port}`).to).toBe(want)
            }
          }
        }
      }
      expect(fresh.list()).toHaveLength(naive.length)
    }),
    { numRuns: 150 },
  )
})

it('reserves its ports with NATs that own theirs, and gives them back', () => {
  const outsidePorts = new OutsidePorts()
  const reserving = new PortMappings(lab.addresses, { outsidePorts })
  lab.address(1, '203.0.113.1')
  const nat = new SourceNat(lab.addresses, { outside: lab.outside, mapping: 'endpoint-independent', outsidePorts })
  const before = lab.send(nat, 'tcp 10.22.0.9:8080 > 198.51.100.1:80')
  expect(before.to).toBe('203.0.113.1:8080')
  const number = reserving.add(web)
  // Who has it keeps it; nobody gets it after.
  expect(lab.send(nat, 'tcp 10.22.0.9:8080 > 198.51.100.2:80').to).toBe('203.0.113.1:8080')
  lab.endAll()
  expect(lab.send(nat, 'tcp 10.22.0.9:8080 > 198.51.100.1:80').to).not.toBe('203.0.113.1:8080')
  lab.endAll()
  reserving.remove(number)
  expect(reserving.remove(number)).toBe(false)
  expect(lab.send(nat, 'tcp 10.22.0.9:8080 > 198.51.100.1:80').to).toBe('203.0.113.1:8080')
})

it('leaves a port to whom it leads, and to all who have no flow in its way with mapping linux', () => {
  const outsidePorts = new OutsidePorts()
  const reserving = new PortMappings(lab.addresses, { outsidePorts })
  lab.address(1, '203.0.113.1')
  reserving.add({ protocol: 'udp', port: '8080-8089', to: '10.22.0.11' })
  const of = (mapping: 'linux' | 'endpoint-independent'): SourceNat =>
    new SourceNat(lab.addresses, { outside: lab.outside, mapping, outsidePorts })
  for (const mapping of ['linux', 'endpoint-independent'] as const) {
    expect(lab.send(of(mapping), 'udp 10.22.0.11:8085 > 198.51.100.1:53').to).toBe('203.0.113.1:8085')
    lab.endAll()
  }
  const linux = of('linux')
  expect(lab.send(linux, 'udp 10.22.0.12:8085 > 198.51.100.1:53').to).toBe('203.0.113.1:8085')
  expect(lab.send(linux, 'udp 10.22.0.11:8085 > 198.51.100.1:53').to).not.toBe('203.0.113.1:8085')
  lab.endAll()
  const owning = of('endpoint-independent')
  expect(lab.send(owning, 'udp 10.22.0.12:8085 > 198.51.100.1:53').to).not.toBe('203.0.113.1:8085')
})

it.each([
  [{ seed: 'x' }, /^seed must be a whole number, not "x"/],
  [{ ports: 5 }, /^unknown key "ports"/],
] as [object, RegExp][])('settings that make no sense: %j', (options, error) => {
  expect(() => new PortMappings(lab.addresses, options)).toThrow(error)
})

it('reserves nothing where it is not to, and throws where there is no room', () => {
  const outsidePorts = new OutsidePorts({ maxPorts: 10 })
  const reserving = new PortMappings(lab.addresses, { outsidePorts })
  reserving.add({ ...web, reserved: false })
  expect(outsidePorts.size).toBe(0)
  const before = lab.addresses.size
  expect(() => reserving.add({ protocol: 'udp', port: '1-11', to: 'fd00::1' })).toThrow(
    'portMapping: udp *:1-11 -> [fd00::1]:1-11 is more ports than can be reserved',
  )
  expect([outsidePorts.size, lab.addresses.size, reserving.list().length]).toEqual([0, before, 1])
  const ten = reserving.add({ protocol: 'udp', port: '1-10', to: 'fd00::1' })
  expect(outsidePorts.size).toBe(10)
  reserving.remove(ten)
  expect(outsidePorts.size).toBe(0)
})

it('keeps a port reserved as long as a mapping of any zone has it', () => {
  const outsidePorts = new OutsidePorts()
  const reserving = new PortMappings(lab.addresses, { outsidePorts })
  const [one, two] = [1, 2].map((zone) => reserving.add({ ...web, zone })) as [number, number]
  const free = (): boolean => outsidePorts.isFree(6, lab.number('203.0.113.1'), 8080)
  expect(free()).toBe(false)
  reserving.remove(one)
  expect(free()).toBe(false)
  reserving.remove(two)
  expect(free()).toBe(true)
})

it('the unspecified address is all of the node: 0.0.0.0 and ::', () => {
  table.add({ ...web, address: '0.0.0.0' })
  expect(to('tcp 198.51.100.1:9 > 10.22.0.1:8080')).toBe('10.22.0.11:80')
  table.add({ ...web, to: 'fd00::1', address: '::' })
  expect(table.list()).toEqual(['tcp *:8080 -> 10.22.0.11:80', 'tcp *:8080 -> [fd00::1]:80'])
})

it('ends flows of UDP to a port that gets a new mapping, in one pass (modes.md 17.3)', () => {
  const dns: PortMapping = { protocol: 'udp', port: '50-59', to: '10.22.0.11' }
  /** Flows that stand: what came, and whose they are. */
  const standing: { packet: string; policy: DestinationPolicy | null; tag: number; toLocal: boolean }[] = []
  let passes = 0
  table.attached({
    endWhere: (match) => {
      passes++
      const over = standing.filter(({ packet, ...flow }) => {
        lab.ask(packet, flow)
        return match({ tuple: lab.flow.tuple, ...flow })
      })
      for (const flow of over) {
        standing.splice(standing.indexOf(flow), 1)
        if (flow.policy === table) table.ended(flow.tag)
      }
      return over.length
    },
  })
  const [first, tcp] = table.addAll([dns, web]) as [number, number]
  const packets = ['udp 198.51.100.1:9 > 203.0.113.1:53', 'tcp 198.51.100.1:9 > 203.0.113.1:8080']
  for (const packet of packets) {
    lab.ask(packet, { toLocal: true })
    expect(table.decide(lab.flow)).toBe(true)
    standing.push({ packet, policy: table, tag: lab.flow.tag, toLocal: true })
  }
  expect(lab.flow.tag).toBe(tcp + 1)
  // Of a service's, one came to the node, one passes through it.
  const service = { decide: () => true }
  standing.push({ packet: 'udp 198.51.100.1:9 > 203.0.113.1:54', policy: service, tag: first + 1, toLocal: true })
  standing.push({ packet: 'udp 198.51.100.1:9 > 198.51.100.2:54', policy: null, tag: 0, toLocal: false })
  table.remove(first)
  table.remove(tcp)
  expect(table.list()).toEqual([])
  const left = (): string[] => standing.map((flow) => flow.packet.replace(/ .* > /, ' '))
  const all = left()
  // Another port: nothing to end.
  const third = table.add({ ...dns, port: 60 })
  expect([third, left()]).toEqual([2, all])
  passes = 0
  expect(table.add({ ...dns, port: '52-53', to: '10.22.0.12' })).toBe(3)
  expect([passes, left()]).toEqual([1, all.slice(1)])
  // The service's flow gives way, too; that to another host does not.
  table.add({ ...dns, port: 54, to: '10.22.0.12' })
  expect(left()).toEqual(['tcp 203.0.113.1:8080', 'udp 198.51.100.2:54'])
  // A connection goes on with whom it began.
  table.add({ ...web, to: '10.22.0.12' })
  expect(left()).toEqual(['tcp 203.0.113.1:8080', 'udp 198.51.100.2:54'])
})

it.each([
  [{ ...web, protocol: 'icmp' }, /portMapping\.protocol must be one of tcp \(6\), .*, not "icmp"/],
  [{ ...web, protocol: 1 }, /portMapping\.protocol must be one of .*, not 1/],
  [{ ...web, port: 0 }, /portMapping\.port must be a whole number from 1 to 65535, not 0/],
  [{ ...web, port: '90-80' }, /portMapping\.port: "90-80" ends before it begins/],
  [{ ...web, toPort: '80-81' }, /portMapping\.toPort: 80-81 is not as long as port, which is 8080/],
  [{ ...web, to: '10.22.0.0/16' }, /portMapping\.to: "10.22.0.0\/16" is not the address of one host/],
  [{ ...web, address: '2001:db8::1' }, /address 2001:db8::1 and to 10.22.0.11 are of different families/],
  [{ ...web, local: false }, /portMapping\.local: false needs an address/],
  [{ ...web, local: 1, address: '10.0.0.1' }, /portMapping\.local must be true or false, not 1/],
  [{ ...web, zone: 70000 }, /portMapping\.zone must be a whole number from 0 to 65535/],
  [{ ...web, masqueradeFrom: ['x'] }, /portMapping\.masqueradeFrom\[0\]: not an address or prefix: "x"/],
  [{ ...web, reserved: 'no' } as never, /portMapping\.reserved must be true or false, not "no"/],
  [null as never, /portMapping must be a port mapping, not null/],
  [{ ...web, hostPort: 1 }, /portMapping: unknown key "hostPort"/],
] as [PortMapping, RegExp][])('%j throws', (mapping, error) => {
  expect(() => table.add(mapping)).toThrow(error)
})
