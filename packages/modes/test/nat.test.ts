import { describe, expect, it } from 'vitest'
import {
  complaint,
  datagram,
  echo,
  embedded,
  GATEWAY,
  line,
  MAC,
  OUTSIDE,
  P1,
  P2,
  read,
  type Side,
  segment,
  X,
  Y,
} from '../../tap-io/test/nat-packets.ts'
import { type OurOptions, type OurWorld, ours, SIX } from '../../tap-io/test/nat-worlds.ts'
import { natTrial } from '../src/index.ts'

/* Mode nat, with what its options are for. The node and who is around it are drawn in nat-worlds; what it shares with the
 * kernel's NAT is held against that there. */

const make = (options: OurOptions = {}): Promise<OurWorld> => ours({}, options)

/** What came out, a line a frame. */
async function said(nat: OurWorld, from: Side, ...frames: string[]): Promise<Partial<Record<Side, string[]>>> {
  const out = await nat.send(from, ...frames)
  return Object.fromEntries(Object.entries(out).map(([side, list]) => [side, list.map(line)]))
}

describe('outbound rules', () => {
  it('translate what leaves from inside, but not to exceptions, and nothing where the list is empty', async () => {
    const nat = await make({ outbound: [{ exceptions: [`${Y}/32`] }] })
    expect(await said(nat, 'p1', datagram(`${P1}:5000`, `${X}:9`))).toEqual({ up: [`udp ${OUTSIDE}:5000 > ${X}:9`] })
    expect(await said(nat, 'p1', datagram(`${P1}:5000`, `${Y}:9`))).toEqual({ up: [`udp ${P1}:5000 > ${Y}:9`] })
    // The answer of an exception is nobody's to translate.
    expect(await said(nat, 'up', datagram(`${Y}:9`, `${P1}:5000`))).toEqual({ p1: [`udp ${Y}:9 > ${P1}:5000`] })
    const none = await make({ outbound: [] })
    expect(await said(none, 'p1', datagram(`${P1}:5000`, `${X}:9`))).toEqual({ up: [`udp ${P1}:5000 > ${X}:9`] })
  })

  it('are asked in order: destinations, sources, addresses', async () => {
    const nat = await make({
      outbound: [
        { destinations: [`${Y}/32`], addresses: ['203.0.113.9'] },
        { from: [`${P2}/32`], addresses: ['203.0.113.10'], portRange: '40000-40001' },
        { uplinks: ['eth0'] },
      ],
    })
    expect(await said(nat, 'p1', datagram(`${P1}:5000`, `${Y}:9`))).toEqual({ up: [`udp 203.0.113.9:5000 > ${Y}:9`] })
    expect(await said(nat, 'p1', datagram(`${P1}:5000`, `${X}:9`))).toEqual({ up: [`udp ${OUTSIDE}:5000 > ${X}:9`] })
    const out = await nat.send('p2', datagram(`${P2}:5000`, `${X}:9`))
    const { src, sport } = read(out.up?.[0] as string)
    expect([src, [40_000, 40_001].includes(sport)]).toEqual(['203.0.113.10', true])
  })

  it('HNS: pings leave as they are', async () => {
    const nat = await make({ outbound: [{ behaviour: 'hns' }] })
    expect(await said(nat, 'p1', echo(P1, X, 7))).toEqual({ up: [`icmp ${P1} > ${X} 8/0 id 7`] })
    expect(await said(nat, 'p1', datagram(`${P1}:5000`, `${X}:9`))).toEqual({ up: [`udp ${OUTSIDE}:5000 > ${X}:9`] })
  })

  it('HNS: pings are translated where the rule says so', async () => {
    const nat = await make({ outbound: [{ behaviour: 'hns', icmpTransposition: true }] })
    expect(await said(nat, 'p1', echo(P1, X, 7))).toEqual({ up: [`icmp ${OUTSIDE} > ${X} 8/0 id 7`] })
    const left = await make({ outbound: [{ behaviour: 'linux', icmpTransposition: false }] })
    expect(await said(left, 'p1', echo(P1, X, 7))).toEqual({ up: [`icmp ${P1} > ${X} 8/0 id 7`] })
  })

  it('HNS: exceptions of all policies count together, whatever their order (modes.md 2.3)', async () => {
    for (const outbound of [
      [{ behaviour: 'hns', exceptions: [`${Y}/32`] }, { behaviour: 'hns' }],
      [{ behaviour: 'hns' }, { behaviour: 'hns', exceptions: [`${Y}/32`], destinations: [] }],
      [
        { behaviour: 'hns', from: [`${P1}/32`], exceptions: [`${Y}/32`] },
        { behaviour: 'hns', exceptions: ['198.51.100.0/24'] },
      ],
    ] as const) {
      const nat = await make({ outbound })
      expect(await said(nat, 'p1', datagram(`${P1}:5000`, `${Y}:9`))).toEqual({ up: [`udp ${P1}:5000 > ${Y}:9`] })
      expect(await said(nat, 'p1', datagram(`${P1}:5000`, `${X}:9`))).toEqual({ up: [`udp ${OUTSIDE}:5000 > ${X}:9`] })
    }
    // But those of another host's are not: policies are an endpoint's.
    const nat = await make({
      outbound: [
        { behaviour: 'hns', from: [`${P1}/32`], exceptions: [`${Y}/32`] },
        { behaviour: 'hns', from: [`${P2}/32`] },
      ],
    })
    expect(await said(nat, 'p2', datagram(`${P2}:5000`, `${Y}:9`))).toEqual({ up: [`udp ${OUTSIDE}:5000 > ${Y}:9`] })
    // A rule of other behaviour goes by its own exceptions.
    const mixed = await make({ outbound: [{ behaviour: 'linux' }, { behaviour: 'hns', exceptions: [`${Y}/32`] }] })
    expect(await said(mixed, 'p1', datagram(`${P1}:5000`, `${Y}:9`))).toEqual({ up: [`udp ${OUTSIDE}:5000 > ${Y}:9`] })
  })

  it('HNS: destinations come first, and may be inside: loopback DSR; an empty list is all (modes.md 2.3)', async () => {
    const nat = await make({
      outbound: [
        { behaviour: 'hns', exceptions: ['10.0.0.0/8'], destinations: [] },
        { behaviour: 'hns', destinations: [`${P1}/32`] },
      ],
      portMappings: [{ protocol: 'tcp', port: 8080, to: P1, toPort: 80, hairpin: false }],
    })
    expect(await said(nat, 'p1', datagram(`${P1}:5000`, `${X}:9`))).toEqual({ up: [`udp ${OUTSIDE}:5000 > ${X}:9`] })
    // It reaches itself by the node's port, as if the gateway asked, and its answer finds the way back.
    expect(await said(nat, 'p1', segment(`${P1}:6000`, `${GATEWAY}:8080`, 'S'))).toEqual({
      p1: [`tcp ${GATEWAY}:6000 > ${P1}:80`],
    })
    expect(await said(nat, 'p1', segment(`${P1}:80`, `${GATEWAY}:6000`, 'SA'))).toEqual({
      p1: [`tcp ${GATEWAY}:8080 > ${P1}:6000`],
    })
    // Linux: an empty list is no network.
    const none = await make({ outbound: [{ destinations: [] }] })
    expect(await said(none, 'p1', datagram(`${P1}:5000`, `${X}:9`))).toEqual({ up: [`udp ${P1}:5000 > ${X}:9`] })
  })

  it('RFC 4787 has its timeouts and hairpins, WinNAT its timeouts, where nothing else is said', async () => {
    const hairpin = async (options: OurOptions): Promise<string[] | undefined> => {
      const nat = await make(options)
      await nat.send('p2', datagram(`${P2}:6000`, `${X}:9`))
      return (await said(nat, 'p1', datagram(`${P1}:5000`, `${OUTSIDE}:6000`))).p2
    }
    expect(await hairpin({ outbound: [{ behaviour: 'rfc4787' }] })).toEqual([`udp ${OUTSIDE}:5000 > ${P2}:6000`])
    expect(await hairpin({ outbound: [{ behaviour: 'rfc4787', hairpin: false }] })).toBeUndefined()
    expect(await hairpin({ outbound: [{ behaviour: 'winnat' }] })).toBeUndefined()
    const udp = async (options: OurOptions): Promise<number | undefined> => {
      const nat = await make(options)
      await nat.send('p1', datagram(`${P1}:5000`, `${X}:9`))
      return Math.round([...nat.node.nat.flows()][0]?.expiresIn ?? 0)
    }
    expect(await udp({})).toBe(30)
    expect(await udp({ outbound: [{ behaviour: 'rfc4787' }] })).toBe(300)
    expect(await udp({ outbound: [{ behaviour: 'winnat' }] })).toBe(120)
    expect(await udp({ outbound: [{ behaviour: 'rfc4787' }], conntrack: { profile: 'linux' } })).toBe(30)
    // Without a mapping that owns its port there are no hairpins, and no error.
    expect(
      await udp({ outbound: [{ behaviour: 'rfc4787', mapping: 'linux', filtering: 'address-and-port-dependent' }] }),
    ).toBe(300)
  })

  it('a host keeps the port that leads to it', async () => {
    for (const behaviour of ['linux', 'hns', 'rfc4787'] as const) {
      const nat = await make({
        outbound: [{ behaviour }],
        portMappings: [{ protocol: 'udp', port: 8080, to: P1 }],
      })
      const own = datagram(`${P1}:8080`, `${X}:9`)
      expect(await said(nat, 'p1', own)).toEqual({ up: [`udp ${OUTSIDE}:8080 > ${X}:9`] })
      const { up = [] } = await said(nat, 'p2', datagram(`${P2}:8080`, `${Y}:9`))
      if (behaviour === 'linux') expect(up).toEqual([`udp ${OUTSIDE}:8080 > ${Y}:9`])
      else expect(up).toEqual([expect.not.stringContaining(':8080 ')])
      // Anyone may come in by it still.
      expect(await said(nat, 'up', datagram(`${Y}:77`, `${OUTSIDE}:8080`))).toEqual({
        p1: [`udp ${Y}:77 > ${P1}:8080`],
      })
    }
  })

  it('several addresses of an uplink: the one on the next hop’s network', async () => {
    const nat = await make()
    const [{ iface }] = nat.node.uplinks as [(typeof nat.node.uplinks)[0]]
    const { router } = nat.node
    router.removeAddress(iface, `${OUTSIDE}/24`)
    router.addAddress(iface, '198.51.100.1/24')
    router.addAddress(iface, `${OUTSIDE}/24`)
    expect(await said(nat, 'p1', datagram(`${P1}:5000`, `${X}:9`))).toEqual({ up: [`udp ${OUTSIDE}:5000 > ${X}:9`] })
    router.addRoute({ to: '192.0.2.0/24', via: X })
    expect(await said(nat, 'p1', datagram(`${P1}:5000`, '192.0.2.9:9'))).toEqual({
      up: [`udp ${OUTSIDE}:5000 > 192.0.2.9:9`],
    })
    const service = {
      name: 'far',
      protocol: 'udp',
      port: 53,
      nodePort: 30_053,
      backends: [{ address: Y, port: 53 }],
    } as const
    // What the engine masquerades, too.
    nat.node.balancer.services.add(service)
    expect(await said(nat, 'up', datagram(`${X}:4000`, `${OUTSIDE}:30053`))).toEqual({
      up: [`udp ${OUTSIDE}:4000 > ${Y}:53`],
    })
  })

  it('several IPv6 addresses of an uplink: the one that RFC 6724 chooses', async () => {
    const nat = await make()
    const [{ iface }] = nat.node.uplinks as [(typeof nat.node.uplinks)[0]]
    const { router } = nat.node
    router.removeAddress(iface, `${SIX.outside}/64`)
    router.addAddress(iface, 'fd99::1/64')
    router.addAddress(iface, `${SIX.outside}/64`)
    expect(await said(nat, 'p1', datagram(`[${SIX.p1}]:5000`, `[${SIX.x}]:9`))).toEqual({
      up: [`udp [${SIX.outside}]:5000 > [${SIX.x}]:9`],
    })
    expect(await said(nat, 'up', datagram(`[${SIX.x}]:9`, `[${SIX.outside}]:5000`))).toEqual({
      p1: [`udp [${SIX.x}]:9 > [${SIX.p1}]:5000`],
    })
  })

  it('as many mappings as flows', async () => {
    const nat = await make({ outbound: [{ behaviour: 'rfc4787' }], conntrack: { maxFlows: 70_000 } })
    const [rule] = nat.node.outbound.nats
    // Whatever is remembered lives by a flow: nothing but the table of flows may end first.
    const probe = nat.node.nat
    for (let i = 0; i < 66_000; i += 100) {
      const frames = Array.from({ length: 100 }, (_, k) =>
        (i + k) % 2 === 0
          ? datagram(`${P1}:${1024 + ((i + k) >> 1)}`, `${X}:9`)
          : segment(`${P1}:${1024 + ((i + k) >> 1)}`, `${X}:9`, 'S'),
      )
      await nat.send('p1', ...frames)
    }
    expect(nat.pool.report().dropped).toEqual({ NotIp: 2 })
    expect([rule?.used, probe.conntrack.size]).toEqual([66_000, 66_000])
  }, 60_000)

  it('RFC 4787: anyone who was sent to may answer from any port; hairpins come from outside', async () => {
    const nat = await make({ outbound: [{ behaviour: 'rfc4787', hairpin: true }] })
    await nat.send('p1', datagram(`${P1}:5000`, `${X}:9`))
    await nat.send('p2', datagram(`${P2}:6000`, `${X}:9`))
    expect(await said(nat, 'up', datagram(`${X}:1234`, `${OUTSIDE}:5000`))).toEqual({
      p1: [`udp ${X}:1234 > ${P1}:5000`],
    })
    expect(await nat.send('up', datagram(`${Y}:9`, `${OUTSIDE}:5000`))).toEqual({})
    expect(nat.pool.report().dropped).toMatchObject({ NatFiltered: 1 })
    // REQ-9: p2 reaches p1 by its outside endpoint, and is seen as its own.
    await nat.send('p1', datagram(`${P1}:5000`, `${OUTSIDE}:6000`))
    expect(await said(nat, 'p2', datagram(`${P2}:6000`, `${OUTSIDE}:5000`))).toEqual({
      p1: [`udp ${OUTSIDE}:6000 > ${P1}:5000`],
    })
  })
})

describe('port mappings and services', () => {
  it('an address that is not asked for is not mapped', async () => {
    const nat = await make({ portMappings: [{ protocol: 'tcp', port: 8080, to: P2, toPort: 80, address: OUTSIDE }] })
    expect(await said(nat, 'up', segment(`${X}:6000`, `${OUTSIDE}:8080`, 'S'))).toEqual({
      p2: [`tcp ${X}:6000 > ${P2}:80`],
    })
    expect(await nat.send('p1', segment(`${P1}:6000`, `${GATEWAY}:8080`, 'S'))).toEqual({})
    expect(nat.node.portMappings.list()).toEqual([`tcp ${OUTSIDE}:8080 -> ${P2}:80`])
  })

  it('come and go while the node runs', async () => {
    const nat = await make()
    const ask = segment(`${X}:6000`, `${OUTSIDE}:8080`, 'S')
    expect(await nat.send('up', ask)).toEqual({})
    const number = nat.node.portMappings.add({ protocol: 'tcp', port: 8080, to: P1, toPort: 80 })
    expect(await said(nat, 'up', ask)).toEqual({ p1: [`tcp ${X}:6000 > ${P1}:80`] })
    nat.node.portMappings.remove(number)
    expect(await said(nat, 'up', segment(`${X}:6001`, `${OUTSIDE}:8080`, 'S'))).toEqual({})
    nat.node.balancer.services.add({
      name: 'web',
      port: 8080,
      externalIps: [OUTSIDE],
      backends: [{ address: P2, port: 80, local: true }],
    })
    const { p2 = [] } = await said(nat, 'up', segment(`${X}:6002`, `${OUTSIDE}:8080`, 'S'))
    expect(p2).toEqual([expect.stringMatching(/^tcp .* > 10\.22\.0\.12:80$/)])
  })

  it('a service of nobody is refused, from the gateway', async () => {
    const nat = await make({ services: [{ name: 'gone', port: 80, clusterIps: ['10.96.0.9'], protocol: 'udp' }] })
    const ask = datagram(`${P1}:5000`, '10.96.0.9:80')
    const out = await nat.send('p1', ask)
    expect(out.p1?.map(line)).toEqual([`icmp ${GATEWAY} > ${P1} 3/3`])
    expect(line(embedded(out.p1?.[0] as string))).toBe(line(ask))
    expect(nat.pool.report().dropped).toMatchObject({ NoBackend: 1 })
  })
})

describe('what is awkward', () => {
  it('lowers the MSS to what the uplink carries', async () => {
    const nat = await ours({ uplinkMtu: 1400 }, { mss: 'mtu' })
    const out = await nat.send('p1', segment(`${P1}:5000`, `${X}:80`, 'S', { mss: 1460 }))
    const frame = out.up?.[0] as string
    expect([read(frame).wrong, frame.slice(108, 116)]).toEqual([[], '02040550'])
  })

  it('a packet that the node has to fragment is translated once, and so are its pieces', async () => {
    const nat = await ours({ uplinkMtu: 1000 })
    const out = await nat.send('p1', datagram(`${P1}:5000`, `${X}:9`, { data: 'x'.repeat(1400) }))
    expect(out.up?.map((f) => [read(f).src, read(f).offset, read(f).wrong])).toEqual([
      [OUTSIDE, 0, []],
      [OUTSIDE, 976, []],
    ])
    expect([...nat.node.nat.flows()]).toHaveLength(1)
  })

  it('path MTU: what a router outside says about a translated packet gets to who sent it', async () => {
    const nat = await make()
    const out = await nat.send('p1', datagram(`${P1}:5000`, `${X}:9`, { flags: 0x4000, data: 'x'.repeat(1400) }))
    const told = complaint(Y, out.up?.[0] as string, 3, 4, { rest: 1280, quote: 28 })
    const back = await nat.send('up', told)
    expect(back.p1?.map((f) => [line(f), read(f).rest])).toEqual([[`icmp ${Y} > ${P1} 3/4`, 1280]])
  })

  it('drops what belongs to no flow, or lets it pass', async () => {
    const stray = segment(`${P1}:5000`, `${X}:80`, 'SA')
    const strict = await make()
    expect(await strict.send('p1', stray)).toEqual({})
    expect(strict.pool.report().dropped).toMatchObject({ InvalidState: 1 })
    const lax = await make({ invalid: 'pass' })
    expect(await said(lax, 'p1', stray)).toEqual({ up: [`tcp ${P1}:5000 > ${X}:80`] })
  })

  it('a table that is full refuses new flows, and those that are there go on', async () => {
    const nat = await make({ conntrack: { maxFlows: 16 } })
    for (let i = 0; i < 20; i++) await nat.send('p1', datagram(`${P1}:${5000 + i}`, `${X}:9`))
    expect(nat.pool.report().dropped).toMatchObject({ ConntrackFull: 4 })
    expect(await said(nat, 'up', datagram(`${X}:9`, `${OUTSIDE}:5000`))).toEqual({ p1: [`udp ${X}:9 > ${P1}:5000`] })
    expect(await said(nat, 'p1', datagram(`${P1}:5000`, `${X}:9`))).toEqual({ up: [`udp ${OUTSIDE}:5000 > ${X}:9`] })
  })

  it('hosts inside speak to each other past it', async () => {
    const nat = await make()
    const frame = datagram(`${P1}:5000`, `${P2}:9`, { to: MAC.p2 })
    expect(await nat.send('p1', frame)).toEqual({ p2: [frame] })
    expect([...nat.node.nat.flows()]).toEqual([])
  })
})

describe('what is wrong is refused, with its key', () => {
  it.each([
    [{ outbound: [{ filtering: 'endpoint-independent' }] }, /^outbound\[0\]: filtering/],
    [{ outbound: [{}, { uplinks: ['eth1'] }] }, /^outbound\[1\]\.uplinks: there is no uplink "eth1"/],
    [{ outbound: [{ behaviour: 'cone' }] }, /^outbound\[0\]\.behaviour must be one of linux, rfc4787/],
    [{ outbound: [{ from: ['10.0.0.1/8'] }] }, /^outbound\[0\]\.from\[0\]: /],
    [{ outbound: [{}, { exceptions: ['x'] }] }, /^outbound\[1\]\.exceptions\[0\]: /],
    [{ outbound: [{ destinations: '10.0.0.0/8' }] }, /^outbound\[0\]\.destinations must be a list of prefixes/],
    [{ outbound: [{ addresses: ['203.0.113.0/24'] }] }, /^outbound\[0\]: addresses\[0\]: /],
    [{ outbound: [{ hairpin: true }] }, /^outbound\[0\]\.hairpin needs a mapping that owns its port/],
    [{ outbound: [{ hairpin: 'no' }] }, /^outbound\[0\]\.hairpin must be true or false, not "no"/],
    [
      { portMappingRules: 'docker-windows', portMappings: [{ protocol: 'tcp', port: '80-81', to: P1 }] },
      /^portMappings\[0\]\.port: Windows does not support more than one host port in NAT settings: 80-81/,
    ],
    [
      { portMappingRules: 'podman', portMappings: [{ protocol: 'tcp', port: 80, to: P1 }] },
      /^portMappingRules must be/,
    ],
    [{ portMappings: [{ protocol: 'tcp', port: 80, to: P1, hairpin: 'no' }] }, /^portMappings\[0\]\.hairpin must be/],
    [
      {
        portMappings: [
          { protocol: 'tcp', port: 80, to: P1 },
          { protocol: 'tcp', port: 80, to: P2 },
        ],
      },
      /portMappings\[1\]/,
    ],
    [{ portMappings: [{ protocol: 'icmp', port: 80, to: P1 }] }, /portMappings\[0\]\.protocol/],
    [{ services: [{ name: 's', port: 80 }] }, /service s can be reached nowhere/],
    [{ conntrack: { maxFlows: 5 } }, /maxFlows/],
    [{ conntrack: { timeouts: { udp: 0 } } }, /timeouts\.udp/],
    [{ mss: 1 }, /mss/],
    [{ invalid: 'maybe' }, /invalid/],
    [{ conntrack: { maxflows: 100 } }, /^conntrack: unknown key "maxflows", which is 100$/],
    [{ fragments: { packet: 2 } }, /^fragments: unknown key "packet", which is 2$/],
    [{ portMapping: [] }, /^unknown key "portMapping", which is a list$/],
    [
      { gateway: { mac: '02:00:00:00:00:01', addresses: ['10.22.0.1'] } },
      /^gateway\.addresses\[0\] must have a prefix length, as 10\.22\.0\.1\/24 has, not "10\.22\.0\.1"$/,
    ],
    [
      { gateway: { mac: '02:00:00:00:00:01', addresses: ['10.22.0.1/24'], name: 'p2' } },
      /^inside\[1\]\.name: the gateway has the name "p2" already$/,
    ],
    [{ inside: [{ name: 'a' }, { name: 'a' }] }, /^inside\[1\]\.name: inside\[0\] has the name "a" already$/],
    [
      { routes: [{ to: '0.0.0.0/0', via: X }], outbound: [{}, { addresses: ['203.0.113.1-203.0.113.9'] }] },
      /^outbound\[1\]\.addresses\[0\]: 203\.0\.113\.1-203\.0\.113\.9 has 203\.0\.113\.2, which is another node's/,
    ],
    [
      { routes: [{ to: '0.0.0.0/0', via: 7 }] },
      /^route 0\.0\.0\.0\/0: via must be an address, or a list of them, not 7$/,
    ],
  ] as const)('%j', async (options, message) => {
    await expect(make(options as never)).rejects.toThrow(message)
  })

  it('and one by one, before there is a node', () => {
    const trial = natTrial({ inside: ['10.22.0.1/24', 'fe80::1/64'], uplinks: ['uplink'] })
    trial.outbound({ uplinks: ['uplink'], exceptions: ['10.0.0.0/8'] })
    expect(() => trial.outbound({ uplinks: ['eth0'] })).toThrow('there is no uplink "eth0"')
    trial.portMapping({ protocol: 'tcp', port: '80-90', to: P1 })
    expect(() => trial.portMapping({ protocol: 'tcp', port: 85, to: P2 })).toThrow('has a port of tcp *:80-90')
    trial.balancer({ style: 'windows' })
    const service = { name: 's', port: 80, clusterIps: ['10.96.0.1'] }
    trial.service(service)
    expect(() => trial.service(service)).toThrow('service s is there already')
    expect(() => trial.conntrack({ profile: 'bsd' as never })).toThrow('profile')
  })
})
