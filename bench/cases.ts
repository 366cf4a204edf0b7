/**
 * What is measured in memory: a line a case. A case is a program with a variant; what making the frames costs may be taken off (`less`);
 * beside it, in the same round, stands the same work in one bare loop in JavaScript and in C, where there is such a loop. Targets are
 * those of docs/performance.md.
 */

/** A program of this folder and what it is told. */
export interface Run {
  readonly program: string
  readonly variant: object
}

export interface Case {
  readonly section: string
  readonly what: string
  /** How many entries its table has, or what else its cost may depend on. */
  readonly entries: string
  readonly run: Run
  /** What is taken off: the same without the work. */
  readonly less?: Run
  /** The bare loops beside it. */
  readonly bare?: Run
  readonly c?: Run
  /** Million a second that are wanted. */
  readonly target?: number
  /** Nanoseconds that are wanted at most. */
  readonly atMost?: number
  /** It is a bare loop itself. */
  readonly reference?: true
}

const count = (n: number): string => n.toLocaleString('en-US')
const PORTS = 4

const SWITCH_TARGETS: Readonly<Record<number, number>> = { 1024: 45, 65536: 35 }

/** Known unicast through the switch. */
function unicast(size: number, macs: number): Case[] {
  const of = (kind: string): Run => ({ program: 'switch-in-memory', variant: { kind, size, macs, ports: PORTS } })
  const [bare, c] = [of('bare'), { program: 'fused.c', variant: { words: [size, macs, PORTS] } }]
  const target = size === 64 ? SWITCH_TARGETS[macs] : undefined
  const common = {
    section: `known unicast, ${PORTS} ports, ${size}-byte frames`,
    entries: `${count(macs)} MACs`,
    bare,
    c,
  }
  return [
    { ...common, what: 'the switch', run: of('switch'), ...(target && { target }) },
    { ...common, what: 'the switch, VLAN-aware', run: of('vlan'), ...(target && { target }) },
    { ...common, what: 'bare loop, JavaScript', run: bare, reference: true },
    { ...common, what: 'bare loop, C', run: c, reference: true },
  ]
}

const lookup = (kind: string, n: number, empty?: true): Run => ({
  program: 'lookups-in-memory',
  variant: { kind, n, ...(empty && { empty }) },
})

/** Tables of the routed modes; kind, entries, words, and whether a frame is made, whose cost is taken off. */
const LOOKUPS = [
  ['routes4', 10, 'route lookup, IPv4', 'routes'],
  ['routes4', 1_000_000, 'route lookup, IPv4', 'routes'],
  ['routes6', 10, 'route lookup, IPv6', 'routes'],
  ['routes6', 1_000_000, 'route lookup, IPv6', 'routes'],
  ['neighbours4', 1024, 'neighbour found, MAC written', 'neighbours'],
  ['neighbours4', 65_536, 'neighbour found, MAC written', 'neighbours'],
  ['forward4', 10, 'forwarding, a frame', 'routes'],
  ['forward4', 1_000_000, 'forwarding, a frame', 'routes'],
  ['rewrite', 1, 'MAC rewrite, a frame', 'rule'],
  ['no-service', 10_000, 'new flow to none of the services', 'services'],
  ['services', 10_000, 'new flow to a service of 5 backends', 'services'],
  ['services50', 10_000, 'new flow to a service of 50 backends', 'services'],
  ['affinity', 10_000, 'new flow of a remembered client', 'services'],
] as const

function lookups(): Case[] {
  return LOOKUPS.map(([kind, n, what, noun]): Case => {
    const isFrame = kind === 'forward4' || kind === 'rewrite'
    return {
      section: 'routers, neighbours, services',
      what,
      entries: `${count(n)} ${noun}`,
      run: lookup(kind, n),
      ...(isFrame && { less: lookup(kind, 10, true) }),
      ...(kind === 'rewrite' && { target: 70 }),
    }
  })
}

const NAT_TARGETS: Readonly<Record<number, number>> = { 1024: 35, 65536: 25, 1048576: 12 }

function nat(flows: number): Case[] {
  const of = (kind: string): Run => ({ program: 'nat-in-memory', variant: { kind, flows } })
  const [bare, c] = [of('bare'), { program: 'fused-nat.c', variant: { words: [flows] } }]
  const target = NAT_TARGETS[flows]
  const common = { section: 'outbound NAT, 64-byte frames', entries: `${count(flows)} flows`, bare, c }
  return [
    { ...common, what: 'source NAT, UDP', run: of('udp'), ...(target && { target }) },
    { ...common, what: 'source NAT, TCP', run: of('tcp'), ...(target && { target }) },
    { ...common, what: 'the answers', run: of('answers') },
    { ...common, what: 'new flows, which expire', run: of('new') },
    { ...common, what: 'ports, loop and link alone', run: of('empty'), reference: true },
    { ...common, what: 'bare loop, JavaScript', run: bare, reference: true },
    { ...common, what: 'bare loop, C', run: c, reference: true },
  ]
}

/** Access control lists: kind, rules, flows, words. */
const ACL = [
  ['known', 0, 1024, 'frame of a known flow'],
  ['known', 10_000, 1024, 'frame of a known flow'],
  ['known', 10_000, 65_536, 'frame of a known flow'],
  ['refused', 10_000, 1024, 'frame that was refused before'],
  ['first', 10, 1024, 'search among rules'],
  ['first', 1000, 1024, 'search among rules'],
  ['first', 10_000, 1024, 'search among rules'],
  ['linear', 10, 1024, 'the same, rule by rule'],
  ['linear', 10_000, 1024, 'the same, rule by rule'],
] as const

/** Frames of a filter; the ones that are searched for alone have nothing to take off. */
function acl(): Case[] {
  return ACL.map(([kind, rules, flows, what]): Case => {
    const of = (k: string): Run => ({ program: 'acl-in-memory', variant: { kind: k, rules, flows } })
    const isFrame = kind === 'known' || kind === 'refused'
    return {
      section: 'access control lists',
      what,
      entries: `${count(rules)} rules${isFrame ? `, ${count(flows)} flows` : ''}`,
      run: of(kind),
      ...(isFrame && { less: { program: 'acl-in-memory', variant: { kind: 'empty', rules: 0, flows } } }),
    }
  })
}

const TUNNELS = {
  vxlan: 'VXLAN, encap + decap',
  checksum: 'the same, outer UDP checksums made and verified',
  vxlan6: 'the same over IPv6, no checksums',
  geneve: 'GENEVE with an option, encap + decap',
  vtep: 'VTEPs: 1,024 far ends, 1,024 MACs learnt',
  'vtep-local': 'the same, behind a router that hands over one by one',
  bare: 'bare loop, JavaScript',
} as const

function tunnels(size: number): Case[] {
  const of = (kind: string): Run => ({ program: 'tunnel-in-memory', variant: { kind, size } })
  // What making the frames costs it takes off itself.
  const c: Run = { program: 'fused-tunnel.c', variant: { words: [size] } }
  const common = { section: 'tunnels', entries: `${size}-byte frames`, c }
  const [bare, less] = [of('bare'), of('empty')]
  return [
    ...Object.entries(TUNNELS).map(
      ([kind, what]): Case => ({
        ...common,
        ...{ what, run: of(kind), less, bare },
        ...(kind === 'vxlan' && size === 64 && { target: 35 }),
        ...(kind === 'bare' && { reference: true }),
      }),
    ),
    { ...common, what: 'bare loop, C', run: c, reference: true },
  ]
}

const link = (kind: string): Run => ({ program: 'chain-in-memory', variant: { kind } })
const CHAIN = {
  chain: 'rewrite, filter, NAT, VXLAN, port',
  open: 'the same without a filter',
  rewrite: 'rewrite alone, between ports',
  filter: 'filter alone',
  nat: 'NAT alone',
  encap: 'VXLAN encap alone',
  empty: 'ports, loop and link alone',
  bare: 'bare loop, JavaScript',
} as const

/** An endpoint's way out of a node, through five elements. */
function chain(): Case[] {
  return Object.entries(CHAIN).map(
    ([kind, what]): Case => ({
      section: 'a chain of elements, 64-byte frames',
      what,
      entries: '1,024 flows',
      run: link(kind),
      ...((kind === 'chain' || kind === 'open') && { bare: link('bare') }),
      ...(kind === 'chain' && { target: 18 }),
      ...((kind === 'bare' || kind === 'empty') && { reference: true }),
    }),
  )
}

const codec = (kind: string): Run => ({ program: 'codecs-in-memory', variant: { kind } })
const CODECS: readonly Case[] = [
  {
    section: 'headers',
    what: 'parse Ethernet, IPv4, UDP',
    entries: '',
    run: codec('parse'),
    bare: codec('parse-bare'),
    target: 50,
  },
  {
    section: 'headers',
    what: 'the same, a codec after the other',
    entries: '',
    run: codec('parse-codecs'),
    bare: codec('parse-bare'),
  },
  {
    section: 'headers',
    what: 'checksum',
    entries: '1,460 bytes',
    run: codec('checksum'),
    bare: codec('checksum-bare'),
    atMost: 60,
  },
  {
    section: 'headers',
    what: 'checksum where there is no WebAssembly',
    entries: '1,460 bytes',
    run: codec('checksum-js'),
    bare: codec('checksum-bare'),
  },
]

/** All of them, in the order of the table. */
export const CASES: readonly Case[] = [
  ...[64, 1500].flatMap((size) => [16, 1024, 65_536].flatMap((macs) => unicast(size, macs))),
  ...CODECS,
  ...lookups(),
  ...[1024, 65_536, 1_048_576].flatMap(nat),
  ...acl(),
  ...[64, 1500].flatMap(tunnels),
  ...chain(),
]
