import { buildInMemory, type MemoryWorld, parseTopology } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/* Nodes with tunnels in memory: every kind of far end, every kind of tunnel, and what tables show of them. */

const world = (text: string): MemoryWorld => buildInMemory(parseTopology(text, 'net.yaml'))

/** Runs the checks of a topology; gives those that did not do as they should, and its drops. */
function failures(w: MemoryWorld): string[] {
  const results = w.runChecks()
  expect(results.length).toBeGreaterThan(0)
  expect(w.pool.report().balanced).toBe(true)
  return results.filter((r) => !r.ok).map((r) => `${r.text}: ${r.detail}`)
}

/** Three nodes on one wire, each with a host; `networks` of each is given. */
function three(networks: readonly [string, string, string], checks: string, more = ''): string {
  const node = (n: number): string => `
  n${n}:
    mode: vtep
    uplink: { ip: [192.0.2.${n}/24, "2001:db8::${n}/64"], mac: 02:00:00:00:02:0${n}${more} }
    networks: { blue: ${networks[n - 1]} }
    endpoints:
      h${n}: { ip: [10.0.0.${n}/24, "fd00::${n}/64"], mac: 02:00:00:00:00:0${n} }`
  return `
nodes:${[1, 2, 3].map(node).join('')}
  wire: { mode: switch, ports: { p1: {}, p2: {}, p3: {} } }
links: [[n1/uplink, wire/p1], [n2/uplink, wire/p2], [n3/uplink, wire/p3]]
checks:
${checks}`
}

const ALL = `
  - ping: { from: h1, to: h2 }
  - ping: { from: h1, to: h3 }
  - ping: { from: h3, to: h2 }
  - tcp: { from: h1, to: h2, bytes: 300 kB }
  - tcp: { from: h2, to: h3, bytes: 300 kB }
`

const others = (n: number, of = (k: number): string => `192.0.2.${k}`): string =>
  [1, 2, 3]
    .filter((k) => k !== n)
    .map(of)
    .join(', ')

type Three = [string, string, string]
const each = (make: (n: number) => string): Three => [make(1), make(2), make(3)]

describe('mode vtep', () => {
  it.each([
    ['VXLAN', each((n) => `{ vni: 42, remotes: [${others(n)}] }`)],
    ['VXLAN over IPv6', each((n) => `{ vni: 42, remotes: [${others(n, (k) => `"2001:db8::${k}"`)}] }`)],
    ['GENEVE', each((n) => `{ encapsulation: geneve, vni: 42, remotes: [${others(n)}] }`)],
    ['GRETAP', each((n) => `{ encapsulation: gretap, remotes: [${others(n)}] }`)],
    [
      'GRETAP with all fields',
      each((n) => `{ encapsulation: gretap, key: 7, checksum: true, sequence: true, remotes: [${others(n)}] }`),
    ],
    ['a multicast group', each(() => '{ vni: 42, multicast: { group: 239.1.1.1 } }')],
    ['a multicast group of IPv6', each(() => '{ vni: 42, multicast: { group: "ff05::42" } }')],
    ['another profile', each((n) => `{ vni: 42, remotes: [${others(n)}], profile: windows-vfp, df: set }`)],
    ['a group policy', each((n) => `{ vni: 42, remotes: [${others(n)}], policy: 5, gbp: true }`)],
  ])('joins hosts on three nodes: %s', (_, networks) => {
    expect(failures(world(three(networks, ALL)))).toEqual([])
  })

  it('needs no flooding where it knows all MACs, and learns none', () => {
    const known = each((n) => {
      const entries = [1, 2, 3].filter((k) => k !== n).map((k) => `{ mac: 02:00:00:00:00:0${k}, remote: 192.0.2.${k} }`)
      // Questions for addresses are for all: who is asked has to get them.
      return `{ vni: 42, learning: false, unknown: drop, remotes: [${others(n)}], static: [${entries}] }`
    })
    const w = world(three(known, ALL))
    expect(failures(w)).toEqual([])
    const rows = w.fabric.nodes[0]?.fdb().map(({ mac, port, kind }) => `${mac} ${port} ${kind}`)
    expect(rows?.sort()).toEqual([
      '00:00:00:00:00:00 192.0.2.2 vni 42 flood',
      '00:00:00:00:00:00 192.0.2.3 vni 42 flood',
      '02:00:00:00:00:01 h1 dynamic',
      '02:00:00:00:00:02 192.0.2.2 vni 42 static',
      '02:00:00:00:00:03 192.0.2.3 vni 42 static',
    ])
  })

  it('shows where it has heard MACs, and where its tunnels lead', () => {
    const w = world(
      three(
        each((n) => `{ vni: 42, remotes: [${others(n)}] }`),
        ALL,
      ),
    )
    expect(failures(w)).toEqual([])
    const [n1] = w.fabric.nodes
    const heard = n1?.fdb().filter((row) => row.kind === 'dynamic')
    expect(heard?.map(({ mac, port }) => `${mac} ${port}`).sort()).toEqual([
      '02:00:00:00:00:01 h1',
      '02:00:00:00:00:02 192.0.2.2 vni 42',
      '02:00:00:00:00:03 192.0.2.3 vni 42',
    ])
    const blue = n1?.ports().find((row) => row.port === 'blue')
    expect(blue).toMatchObject({ state: 'up', tunnel: 'vxlan vni 42, 192.0.2.1 to 192.0.2.2, 192.0.2.3' })
    expect(blue?.rxFrames).toBeGreaterThan(0)
    expect(n1?.neighbours?.().map((row) => row.address)).toEqual(expect.arrayContaining(['192.0.2.2', '192.0.2.3']))
  })

  it('keeps networks apart, whose addresses are the same', () => {
    const node = (n: number): string => `
  n${n}:
    mode: vtep
    uplink: { ip: 192.0.2.${n}/24 }
    networks:
      blue: { vni: 42, remotes: [192.0.2.${3 - n}] }
      green: { vni: 43, remotes: [192.0.2.${3 - n}] }
    endpoints:
      blue${n}: { network: blue, ip: 10.0.0.${n}/24, mac: 02:00:00:00:00:0${n} }
      green${n}: { network: green, ip: 10.0.0.${n}/24, mac: 02:00:00:00:00:0${n} }
      only${n}: { network: green, ip: 10.0.0.1${n}/24 }`
    const w = world(`
nodes: ${node(1)}${node(2)}
links: [[n1/uplink, n2/uplink]]
checks:
  - tcp: { from: blue1, to: blue2, bytes: 100 kB }
  - tcp: { from: green1, to: green2, bytes: 100 kB }
  - ping: { from: green1, to: only2 }
  - ping: { from: blue1, to: 10.0.0.12, count: 1, timeout: 1 }
    expect: fail
`)
    expect(failures(w)).toEqual([])
    const both = w.fabric.nodes[0]?.fdb().filter((row) => row.mac === '02:00:00:00:00:02')
    expect(both?.map((row) => row.port).sort()).toEqual(['192.0.2.2 vni 42', '192.0.2.2 vni 43'])
  })

  it('sends by prefixes to the MAC of the far router', () => {
    // Each node's router is a host of the network: h1 is the gateway of its pods, and is told nothing of other nodes.
    const w = world(`
nodes:
  n1:
    mode: vtep
    uplink: { ip: 192.0.2.1/24 }
    networks:
      blue: { vni: 42, learning: false, prefixes: [{ to: 10.0.0.2/32, remote: 192.0.2.2, mac: 02:00:00:00:00:02 }] }
    endpoints: { h1: { ip: 10.0.0.1/24, mac: 02:00:00:00:00:01 } }
  n2:
    mode: vtep
    uplink: { ip: 192.0.2.2/24 }
    networks: { blue: { vni: 42, remotes: [192.0.2.1] } }
    endpoints: { h2: { ip: 10.0.0.2/24, mac: 02:00:00:00:00:02 } }
links: [[n1/uplink, n2/uplink]]
`)
    const h1 = w.host('h1')
    // h1 believes that the address is at a MAC that nobody has.
    h1.neighbours.learn(Uint8Array.of(10, 0, 0, 2), Uint8Array.of(2, 0, 0, 0, 0, 99), true)
    w.host('h2').neighbours.learn(Uint8Array.of(10, 0, 0, 1), Uint8Array.of(2, 0, 0, 0, 0, 1), true)
    const ping = h1.ping(Uint8Array.of(10, 0, 0, 2), 1, 56, 1e9)
    w.runUntil(() => ping.done, w.clock.now + 2e9)
    expect(ping.received).toBe(1)
    expect(w.fabric.nodes[0]?.routes?.()).toContainEqual({
      ...{ node: 'n1', to: '10.0.0.2/32', kind: 'static', via: ['192.0.2.2 vni 42'], metric: 0 },
    })
  })

  it.each([
    ['VXLAN', 'vni: 42', 1450],
    [
      'GENEVE with an option',
      'encapsulation: geneve, vni: 42, options: [{ class: 1, type: 1, data: "00000000" }]',
      1442,
    ],
    ['GRETAP with a key', 'encapsulation: gretap, key: 1', 1458],
    ['VXLAN with less', 'vni: 42, mtu: 1400', 1400],
  ])('tells hosts what fits: %s', (_, keys, fits) => {
    const w = world(
      three(
        each((n) => `{ ${keys}, remotes: [${others(n)}] }`),
        '  []',
      ),
    )
    const ping = (bytes: number): [number, string | null] => {
      const trial = w.host('h1').ping(Uint8Array.of(10, 0, 0, 2), 1, bytes, 1e9)
      w.runUntil(() => trial.done, w.clock.now + 3e9)
      return [trial.received, trial.problem]
    }
    expect(ping(fits - 28)).toEqual([1, null])
    // The answer seems to come from the other host: behind a bridge nobody else could speak.
    expect(ping(fits - 27)).toEqual([0, 'fragmentation needed from 10.0.0.2'])
  })

  it('carries frames of a port without a host', () => {
    const w = world(`
nodes:
  n1:
    mode: vtep
    uplink: { ip: 192.0.2.1/24 }
    networks: { blue: { vni: 42, remotes: [192.0.2.2] } }
    ports: { lan: { network: blue } }
  n2:
    mode: vtep
    uplink: { ip: 192.0.2.2/24 }
    networks: { blue: { vni: 42, remotes: [192.0.2.1] } }
    endpoints: { h2: { ip: 10.0.0.2/24 } }
  sw: { mode: switch, endpoints: { h1: { ip: 10.0.0.1/24 } }, uplink: {} }
links: [[n1/uplink, n2/uplink], [sw/uplink, n1/lan]]
checks:
  - tcp: { from: h1, to: h2, bytes: 300 kB }
`)
    expect(failures(w)).toEqual([])
  })
})

/** Two routers with a host each, and a tunnel between them. */
function two(tunnel: (n: number) => string, routes: (n: number) => string, checks: string): string {
  const node = (n: number): string => `
  r${n}:
    mode: router
    uplink: { ip: [192.0.2.${n}/24, "2001:db8::${n}/64"] }
    tunnels: { tun0: { ${tunnel(n)} } }
    routes: [${routes(n)}]
    endpoints:
      h${n}:
        ip: [10.0.${n}.5/24, "fd00:${n}::5/64"]
        gateway: [10.0.${n}.1/24, "fd00:${n}::1/64"]`
  return `
nodes: ${node(1)}${node(2)}
links: [[r1/uplink, r2/uplink]]
checks:
${checks}`
}

const FOUR = (n: number): string => `{ to: 10.0.${3 - n}.0/24, port: tun0 }`
const SIX = (n: number): string => `{ to: "fd00:${3 - n}::/64", port: tun0 }`
const BOTH = (n: number): string => `${FOUR(n)}, ${SIX(n)}`
const ends = (n: number): string => `local: 192.0.2.${n}, remote: 192.0.2.${3 - n}`
const ends6 = (n: number): string => `local: "2001:db8::${n}", remote: "2001:db8::${3 - n}"`
const inside = (n: number): string => `ip: [10.9.0.${n}/30, "fd09::${n}/64"]`
const TRY4 = `
  - ping: { from: h1, to: h2, family: 4 }
  - tcp: { from: h1, to: h2, family: 4, bytes: 300 kB }
  - tcp: { from: h2, to: h1, family: 4, bytes: 300 kB }
`
const TRY6 = TRY4.replaceAll('family: 4', 'family: 6')

describe('tunnels of mode router', () => {
  it.each([
    ['ipip', (n: number) => `type: ipip, ${ends(n)}`, FOUR, TRY4],
    ['ipip over IPv6', (n: number) => `type: ipip, ${ends6(n)}`, FOUR, TRY4],
    ['6in4', (n: number) => `type: 6in4, ${ends(n)}`, SIX, TRY6],
    ['IPv6 in IPv6', (n: number) => `type: 6in4, ${ends6(n)}`, SIX, TRY6],
    ['both in IP', (n: number) => `type: ip, ${ends(n)}`, BOTH, TRY4 + TRY6],
    ['gre', (n: number) => `type: gre, ${ends(n)}`, BOTH, TRY4 + TRY6],
    ['gre with all fields', (n: number) => `type: gre, ${ends(n)}, key: 9, checksum: true, sequence: true`, BOTH, TRY4],
    ['gre over IPv6', (n: number) => `type: gre, ${ends6(n)}, encapLimit: none`, BOTH, TRY4 + TRY6],
    [
      'an IPIP tunnel without a far end',
      (n: number) => `type: ipip, local: 192.0.2.${n}`,
      (n: number) => `{ to: 10.0.${3 - n}.0/24, via: 192.0.2.${3 - n}, port: tun0 }`,
      TRY4,
    ],
    [
      'IPIP by subnets',
      (n: number) => `type: ipip, local: 192.0.2.${n}, subnets: [{ to: 10.0.${3 - n}.0/24, remote: 192.0.2.${3 - n} }]`,
      () => '',
      TRY4,
    ],
    [
      '6in4 by subnets',
      (n: number) =>
        `type: 6in4, local: 192.0.2.${n}, subnets: [{ to: "fd00:${3 - n}::/64", remote: 192.0.2.${3 - n} }]`,
      () => '',
      TRY6,
    ],
    [
      'VXLAN by subnets',
      (n: number) =>
        `type: vxlan, vni: 1, local: 192.0.2.${n}, ip: 10.0.${n}.0/32, subnets: [{ to: 10.0.${3 - n}.0/24, remote: 192.0.2.${3 - n} }]`,
      () => '',
      TRY4,
    ],
    [
      'VXLAN by subnets over IPv6',
      (n: number) =>
        `type: vxlan, vni: 1, local: "2001:db8::${n}", mac: 02:00:00:00:09:0${n}, subnets: [{ to: "fd00:${3 - n}::/64", remote: "2001:db8::${3 - n}", mac: 02:00:00:00:09:0${3 - n} }]`,
      () => '',
      TRY6,
    ],
    [
      'VXLAN that asks by ARP and ND',
      (n: number) => `type: vxlan, vni: 1, ${ends(n)}, ${inside(n)}`,
      (n: number) =>
        `{ to: 10.0.${3 - n}.0/24, via: 10.9.0.${3 - n} }, { to: "fd00:${3 - n}::/64", via: "fd09::${3 - n}" }`,
      TRY4 + TRY6,
    ],
    [
      'GENEVE',
      (n: number) => `type: geneve, vni: 1, ${ends(n)}, ${inside(n)}, profile: rfc`,
      (n: number) => `{ to: 10.0.${3 - n}.0/24, via: 10.9.0.${3 - n} }`,
      TRY4,
    ],
    [
      'gretap',
      (n: number) => `type: gretap, ${ends(n)}, ${inside(n)}`,
      (n: number) => `{ to: 10.0.${3 - n}.0/24, via: 10.9.0.${3 - n} }`,
      TRY4,
    ],
    [
      "flannel's UDP backend",
      (n: number) =>
        `type: flannel-udp, local: 192.0.2.${n}, ip: 10.0.${n}.0/32, subnets: [{ to: 10.0.${3 - n}.0/24, remote: 192.0.2.${3 - n} }]`,
      () => '',
      TRY4,
    ],
  ])('carries packets both ways: %s', (_, tunnel, routes, checks) => {
    expect(failures(world(two(tunnel, routes, checks)))).toEqual([])
  })

  it('finds the other node of a FAN by the destination', () => {
    // 172.16.3.4 has 10.3.4.0/24.
    const node = (n: number): string => `
  r${n}:
    mode: router
    uplink: { ip: 172.16.0.${n}/16 }
    tunnels: { fan: { type: ipip, local: 172.16.0.${n}, remote: { fan: { overlay: 10.0.0.0/8, underlay: 172.16.0.0/16 } } } }
    routes: [{ to: 10.0.0.0/8, port: fan }]
    endpoints: { h${n}: { ip: 10.0.${n}.5/24, gateway: 10.0.${n}.1/24 } }`
    const w = world(`
nodes: ${node(1)}${node(2)}
links: [[r1/uplink, r2/uplink]]
checks:
  - tcp: { from: h1, to: h2, bytes: 100 kB }
  - ping: { from: h1, to: 10.0.77.1, count: 1, timeout: 1 }
    expect: fail
`)
    expect(failures(w)).toEqual([])
  })

  it('shares an end among networks', () => {
    const tunnels = (n: number): string => {
      const to = `local: 192.0.2.${n}, remote: 192.0.2.${3 - n}`
      return `{ one: { type: vxlan, vni: 1, ${to}, ip: 10.8.0.${n}/30 }, two: { type: vxlan, vni: 2, ${to}, ip: 10.8.1.${n}/30 } }`
    }
    const node = (n: number): string => `
  r${n}:
    mode: router
    uplink: { ip: 192.0.2.${n}/24 }
    tunnels: ${tunnels(n)}
    routes: [{ to: 10.0.${3 - n}.0/24, via: 10.8.1.${3 - n} }]
    endpoints: { h${n}: { ip: 10.0.${n}.5/24, gateway: 10.0.${n}.1/24 } }`
    const w = world(`
nodes: ${node(1)}${node(2)}
links: [[r1/uplink, r2/uplink]]
checks:
  - tcp: { from: h1, to: h2, bytes: 100 kB }
  - ping: { from: h1, to: 10.8.0.2 }
`)
    expect(failures(w)).toEqual([])
    const rows = w.fabric.nodes[0]?.ports().map(({ port, tunnel }) => [port, tunnel])
    expect(rows).toEqual([
      ['h1', undefined],
      ['uplink', undefined],
      ['one', 'vxlan vni 1, 192.0.2.1 to 192.0.2.2'],
      ['two', 'vxlan vni 2, 192.0.2.1 to 192.0.2.2'],
    ])
    const fdb = w.fabric.nodes[0]?.fdb().map((row) => row.port)
    expect(fdb?.sort()).toEqual(['192.0.2.2 vni 1', '192.0.2.2 vni 2'])
  })

  it.each([
    ['strict', 'fail'],
    ['loose', 'pass'],
  ])('filters sources as the ports of its node do: %s', (rpFilter, expected) => {
    // r1 sends back by the wire what comes from 10.0.2.0/24 through the tunnel.
    const text = two(
      (n) => `type: gre, ${ends(n)}`,
      (n) => (n === 2 ? FOUR(n) : '{ to: 10.0.2.0/24, via: 192.0.2.2 }'),
      `
  - ping: { from: h2, to: h1, family: 4, count: 1, timeout: 1 }
    expect: ${expected}
`,
    )
    expect(failures(world(text.replaceAll('mode: router', `mode: router\n    rpFilter: ${rpFilter}`)))).toEqual([])
  })

  it('answers what does not fit from its own address', () => {
    const w = world(two((n) => `type: gre, ${ends(n)}`, BOTH, '  []'))
    const ping = (to: Uint8Array, bytes: number): [number, string | null] => {
      const trial = w.host('h1').ping(to, 1, bytes, 1e9)
      w.runUntil(() => trial.done, w.clock.now + 3e9)
      return [trial.received, trial.problem]
    }
    expect(ping(Uint8Array.of(10, 0, 2, 5), 1448)).toEqual([1, null])
    expect(ping(Uint8Array.of(10, 0, 2, 5), 1449)).toEqual([0, 'fragmentation needed from 10.0.1.1'])
  })
})

it('a node whose uplink is not plugged in has its networks for itself', () => {
  const alone = `
nodes:
  n:
    mode: vtep
    uplink: { ip: 192.0.2.1/24 }
    networks: { blue: { vni: 42, remotes: [192.0.2.2] } }
    endpoints: { red: { ip: 10.0.0.1/24 }, sky: { ip: 10.0.0.2/24 } }
checks:
  - ping: { from: red, to: sky, count: 1 }
`
  expect(failures(world(alone))).toEqual([])
})
