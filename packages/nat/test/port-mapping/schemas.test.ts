import { beforeEach, describe, expect, it } from 'vitest'
import { OutsidePorts } from '../../src/outbound/outside-ports.ts'
import { type CniPortMapping, cniPortMappings, type PortmapOptions } from '../../src/port-mapping/cni.ts'
import {
  type DockerPortBinding,
  dockerWindowsPolicies,
  hnsPortMappings,
  type NatPolicyV1,
  type PortMappingPolicyV2,
  winBridgePolicies,
} from '../../src/port-mapping/hns.ts'
import { PortMappings } from '../../src/port-mapping/port-mappings.ts'
import { Lab } from '../outbound/lab.ts'

/** Port mappings as others write them: CNI's portmap, HNS in both schemas, Docker on Windows. */

let lab: Lab
beforeEach(() => {
  lab = new Lab()
})

describe('portmap (modes.md 17.3)', () => {
  const http: CniPortMapping = { hostPort: 8080, containerPort: 80, protocol: 'tcp' }
  function table(options: Partial<PortmapOptions> = {}): PortMappings {
    const mappings = new PortMappings(lab.addresses)
    mappings.addAll(
      cniPortMappings({ containerIps: ['10.22.0.11/16', 'fd00:22::11/64'], portMappings: [http], ...options }),
    )
    return mappings
  }
  const marked = (mappings: PortMappings, from: string, to: string): boolean =>
    lab.receive(mappings, `tcp ${from} > ${to}`).masquerade

  it('maps a port on all addresses to each address of the container', () => {
    expect(table().list()).toEqual(['tcp *:8080 -> 10.22.0.11:80', 'tcp *:8080 -> [fd00:22::11]:80'])
  })

  it.each([
    ['203.0.113.1', ['tcp 203.0.113.1:8080 -> 10.22.0.11:80']],
    ['2001:db8::1', ['tcp [2001:db8::1]:8080 -> [fd00:22::11]:80']],
    ['0.0.0.0', ['tcp *:8080 -> 10.22.0.11:80']],
    ['::', ['tcp *:8080 -> [fd00:22::11]:80']],
    ['', ['tcp *:8080 -> 10.22.0.11:80', 'tcp *:8080 -> [fd00:22::11]:80']],
  ])('hostIP %j', (hostIP, want) => {
    expect(table({ portMappings: [{ ...http, hostIP }] }).list()).toEqual(want)
  })

  it('marks what comes from the container’s own subnet, and from 127.0.0.1', () => {
    const mappings = table()
    expect(marked(mappings, '10.22.99.1:9', '203.0.113.1:8080')).toBe(true)
    expect(marked(mappings, '10.22.0.11:9', '203.0.113.1:8080')).toBe(true)
    expect(marked(mappings, '127.0.0.1:9', '127.0.0.1:8080')).toBe(true)
    expect(marked(mappings, '10.23.0.1:9', '203.0.113.1:8080')).toBe(false)
    expect(marked(mappings, '[fd00:22::12]:9', '[2001:db8::1]:8080')).toBe(true)
    // IPv6 has no mark for the node itself.
    expect(marked(mappings, '[::1]:9', '[::1]:8080')).toBe(false)
    expect(marked(mappings, '[2001:db8:9::1]:9', '[2001:db8::1]:8080')).toBe(false)
  })

  it('masqAll marks all, snat: false none', () => {
    expect(marked(table({ masqAll: true }), '198.51.100.1:9', '203.0.113.1:8080')).toBe(true)
    expect(marked(table({ snat: false }), '10.22.0.12:9', '203.0.113.1:8080')).toBe(false)
    expect(marked(table({ snat: false, masqAll: true }), '10.22.0.12:9', '203.0.113.1:8080')).toBe(false)
  })

  it('knows TCP, UDP and SCTP, in any letters; TCP where nothing is said', () => {
    const portMappings = [
      { hostPort: 1, containerPort: 11 },
      { hostPort: 2, containerPort: 12, protocol: 'UDP' },
      { hostPort: 3, containerPort: 13, protocol: 'Sctp' },
    ]
    expect(table({ containerIps: ['10.22.0.11/16'], portMappings }).list()).toEqual([
      'tcp *:1 -> 10.22.0.11:11',
      'udp *:2 -> 10.22.0.11:12',
      'sctp *:3 -> 10.22.0.11:13',
    ])
  })

  it('two containers cannot have one port', () => {
    const mappings = table()
    const other = cniPortMappings({ containerIps: ['10.22.0.12/16'], portMappings: [http] })
    expect(() => mappings.addAll(other)).toThrow(
      /tcp \*:8080 -> 10\.22\.0\.12:80 has a port of tcp \*:8080 -> 10\.22\.0\.11:80/,
    )
  })

  it.each([
    [{ hostPort: 0, containerPort: 80 }, /portMappings\[0\]\.hostPort must be a whole number from 1 to 65535, not 0/],
    [{ hostPort: 80, containerPort: 99999 }, /portMappings\[0\]\.containerPort must be .*, not 99999/],
    [{ ...http, protocol: 'icmp' }, /portMappings\[0\]\.protocol must be one of tcp, udp, sctp, not "icmp"/],
    [{ ...http, hostIP: 'localhost' }, /portMappings\[0\]\.hostIP: not an IPv4 address: "localhost"/],
    [{ ...http, hostIp: '10.0.0.1' }, /portMappings\[0\]: unknown key "hostIp"/],
    [null, /portMappings\[0\] must be an object, not null/],
  ] as [CniPortMapping, RegExp][])('%j throws', (mapping, error) => {
    expect(() => table({ portMappings: [mapping] })).toThrow(error)
  })

  it.each([
    [{ snat: 'no' }, /snat must be true or false, not "no"/],
    [{ masqAll: 1 }, /masqAll must be true or false, not 1/],
    [{ masquerade: true }, /unknown key "masquerade"/],
  ] as [object, RegExp][])('%j throws', (options, error) => {
    expect(() => table(options)).toThrow(error)
  })

  it('a container’s address must be one', () => {
    expect(() => table({ containerIps: ['pod'] })).toThrow(/containerIps\[0\]: not an address or prefix: "pod"/)
  })
})

describe('HNS (modes.md 6, 16)', () => {
  const list = (policies: (NatPolicyV1 | PortMappingPolicyV2)[], endpoint = ['10.244.1.5']): string[] => {
    const mappings = new PortMappings(lab.addresses)
    mappings.addAll(hnsPortMappings(endpoint, policies))
    return mappings.list()
  }

  it('NAT, the first schema', () => {
    expect(
      list([
        { Type: 'NAT', Protocol: 'TCP', InternalPort: 80, ExternalPort: 8080 },
        { Type: 'NAT', Protocol: 'udp', InternalPort: 53, ExternalPort: 5353, ExternalPortReserved: true },
      ]),
    ).toEqual(['tcp *:8080 -> 10.244.1.5:80', 'udp *:5353 -> 10.244.1.5:53'])
  })

  it('PortMapping, the second: protocols by number, a virtual address, IPv6', () => {
    const mapping = (more: Partial<PortMappingPolicyV2['Settings']>): PortMappingPolicyV2 => ({
      Type: 'PortMapping',
      Settings: { Protocol: 6, InternalPort: 80, ExternalPort: 8080, ...more },
    })
    const both = ['10.244.1.5', 'fd00:244::5']
    expect(
      list([mapping({}), mapping({ Protocol: 17, VIP: '' }), mapping({ Protocol: 132 }), mapping({ Flags: 2 })], both),
    ).toEqual([
      'tcp *:8080 -> 10.244.1.5:80',
      'udp *:8080 -> 10.244.1.5:80',
      'sctp *:8080 -> 10.244.1.5:80',
      'tcp *:8080 -> [fd00:244::5]:80',
    ])
    expect(list([mapping({ VIP: '192.168.7.77', Flags: 1 })])).toEqual(['tcp 192.168.7.77:8080 -> 10.244.1.5:80'])
    expect(() => list([mapping({ Flags: 2 })])).toThrow(/policies\[0\]: the endpoint has no address of IPv6/)
  })

  it('an unspecified virtual address is all of the node’s, as win-bridge hands it on', () => {
    const asked = [{ hostPort: 80, containerPort: 80, protocol: 'tcp', hostIP: '0.0.0.0' }]
    const policies = winBridgePolicies(asked, 2) as PortMappingPolicyV2[]
    expect(list(policies)).toEqual(['tcp *:80 -> 10.244.1.5:80'])
    const six = { Protocol: 6, InternalPort: 80, ExternalPort: 80, VIP: '::', Flags: 2 }
    expect(list([{ Type: 'PortMapping', Settings: six }], ['fd00::5'])).toEqual(['tcp *:80 -> [fd00::5]:80'])
    // It is the node's: --dst-type LOCAL.
    const mappings = new PortMappings(lab.addresses)
    mappings.addAll(hnsPortMappings(['10.244.1.5'], policies))
    expect(lab.receive(mappings, 'tcp 10.1.1.1:9 > 192.0.2.9:80', { toLocal: false }).to).toBeNull()
  })

  it('ExternalPortReserved keeps the port from NATs, false does not', () => {
    const reserved = (more: Partial<NatPolicyV1>): number => {
      const outsidePorts = new OutsidePorts()
      const mappings = new PortMappings(lab.addresses, { outsidePorts })
      const policy: NatPolicyV1 = { Type: 'NAT', Protocol: 'TCP', InternalPort: 80, ExternalPort: 8080, ...more }
      const [number] = mappings.addAll(hnsPortMappings(['10.244.1.5'], [policy])) as [number]
      const { size } = outsidePorts
      mappings.remove(number)
      expect(outsidePorts.size).toBe(0)
      return size
    }
    expect([{}, { ExternalPortReserved: true }, { ExternalPortReserved: false }].map(reserved)).toEqual([1, 1, 0])
  })

  it('a virtual address need not be one of the node, and the source stays whoever it is', () => {
    const mappings = new PortMappings(lab.addresses)
    mappings.addAll(
      hnsPortMappings(
        ['10.244.1.5'],
        [
          {
            Type: 'PortMapping',
            Settings: { Protocol: 6, InternalPort: 80, ExternalPort: 8080, VIP: '192.168.7.77' },
          },
        ],
      ),
    )
    const outcome = lab.receive(mappings, 'tcp 10.244.1.5:9 > 192.168.7.77:8080', { toLocal: false })
    expect(outcome).toMatchObject({ to: '10.244.1.5:80', masquerade: false })
  })

  it.each([
    [{ Type: 'NAT', Protocol: 'SCTP', InternalPort: 1, ExternalPort: 1 }, /Protocol must be TCP or UDP, not "SCTP"/],
    [
      { Type: 'NAT', Protocol: 'TCP', InternalPort: 1, ExternalPort: 0 },
      /policies\[0\]\.ExternalPort must be .* not 0/,
    ],
    [
      { Type: 'Nat', Protocol: 'TCP', InternalPort: 1, ExternalPort: 1 },
      /policies\[0\]\.Type must be "NAT", not "Nat"/,
    ],
    [
      { Type: 'PortMapping', Settings: { Protocol: 1, InternalPort: 1, ExternalPort: 1 } },
      /policies\[0\]\.Protocol must be 6, 17 or 132, not 1/,
    ],
    [
      { Type: 'PortMapping', Settings: { Protocol: 6, InternalPort: 1, ExternalPort: 1, HostIP: '' } },
      /policies\[0\]\.Settings: unknown key "HostIP"/,
    ],
    [
      { Type: 'PortMapping', Settings: { Protocol: 6, InternalPort: 1, ExternalPort: 1, Flags: 9 } },
      /policies\[0\]\.Flags must be a whole number from 0 to 3, not 9/,
    ],
    [
      { Type: 'NAT', Protocol: 'TCP', InternalPort: 1, ExternalPort: 1, ExternalPortReserved: 'no' },
      /policies\[0\]\.ExternalPortReserved must be true or false, not "no"/,
    ],
    [{ Type: 'PortMapping', Settings: null }, /policies\[0\]\.Settings must be an object, not null/],
    [
      { Type: 'PortMapping', Settings: { Protocol: 6, InternalPort: 1, ExternalPort: 1, VIP: 'x' } },
      /policies\[0\]\.VIP: not an address or prefix: "x"/,
    ],
    [null, /policies\[0\] must be an object, not null/],
  ] as [NatPolicyV1, RegExp][])('%j throws', (policy, error) => {
    expect(() => list([policy])).toThrow(error)
  })

  it('win-bridge leaves out protocols that it does not know, without a word', () => {
    const mappings = [
      { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
      { hostPort: 5353, containerPort: 53, protocol: 'UDP', hostIP: '192.168.7.10' },
      { hostPort: 9, containerPort: 9, protocol: 'carrier-pigeon' },
    ]
    expect(winBridgePolicies(mappings)).toEqual([
      { Type: 'NAT', Protocol: 'TCP', InternalPort: 80, ExternalPort: 8080 },
      { Type: 'NAT', Protocol: 'UDP', InternalPort: 53, ExternalPort: 5353 },
    ])
    expect(winBridgePolicies(mappings, 2)).toEqual([
      { Type: 'PortMapping', Settings: { Protocol: 6, InternalPort: 80, ExternalPort: 8080, VIP: '' } },
      { Type: 'PortMapping', Settings: { Protocol: 17, InternalPort: 53, ExternalPort: 5353, VIP: '192.168.7.10' } },
    ])
  })
})

describe('Docker on Windows (modes.md 6)', () => {
  const http: DockerPortBinding = { Proto: 'tcp', Port: 80, HostPort: 8080 }

  it('makes NAT policies with a reserved port', () => {
    const want = [{ Type: 'NAT', Protocol: 'TCP', InternalPort: 80, ExternalPort: 8080, ExternalPortReserved: true }]
    expect(dockerWindowsPolicies([http])).toEqual(want)
    for (const more of [{ HostIP: '0.0.0.0' }, { HostIP: '::' }, { HostIP: '' }, { HostPortEnd: 8080 }]) {
      expect(dockerWindowsPolicies([{ ...http, ...more }])).toEqual(want)
    }
  })

  it.each([
    [
      { HostIP: '192.168.7.10' },
      /bindings\[0\]\.HostIP: Windows does not support host IP addresses .*: 192\.168\.7\.10/,
    ],
    [
      { HostPortEnd: 8090 },
      /bindings\[0\]\.HostPortEnd: Windows does not support more than one host port .*: 8080-8090/,
    ],
    [{ Proto: 'sctp' }, /bindings\[0\]\.Proto: invalid protocol "sctp"/],
  ] as [Partial<DockerPortBinding>, RegExp][])('%j throws', (more, error) => {
    expect(() => dockerWindowsPolicies([{ ...http, ...more }])).toThrow(error)
  })
})
