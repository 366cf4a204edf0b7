import { describe, it } from 'vitest'
import { type ModeCase, type Seen, tryInMemory } from './conform.ts'

/*
 * What the Linux modes do with IPv6, where they carry it: the flows of the other files, once more, in memory.
 *
 *     web fd00:244:1::5   db ::9                      api fd00:244:2::7
 *      |                   |                           |
 *     ++-------------------++                         ++------+
 *     |  n1                  |                        |  n2   |
 *     +---------+------------+                        +---+---+
 *      fd00:2::1, 192.0.2.1 |           fd00:2::2, 192.0.2.2 |
 *     +---------------------+--------------------------------+---+
 *     |  wire                                                    |-- fd00:2::fe -- outside 2001:db8:9::9
 *     +----------------------------------------------------------+
 */

const WEB = 'fd00:244:1::5'
const API = 'fd00:244:2::7'
const OUTSIDE = '2001:db8:9::9'
const VIP = 'fd00:96::10'
/** A service that web itself serves. */
const SELF = 'fd00:96::11'

/** A mode, and what it does with hop limits and sources. */
interface Mode6 {
  readonly name: string
  readonly mode: string
  /** Keys of each node, lines of YAML; `$` is the node's number. */
  readonly keys: readonly string[]
  /** Prefix length of pods' addresses. */
  readonly prefix: 64 | 128
  /** Hop limits that db and api see of web's 64. */
  readonly near: number
  readonly far: number
  /** What goes between the nodes, besides what api sees. */
  readonly between: Seen['fields']
  /** What the world sees of web; null: nobody leads back. */
  readonly source: string | null
  /** Whether the mode has services. */
  readonly services?: false
  /** The third group of api's address, where nodes share one network. Default 2. */
  readonly api?: string
  /** Further keys of pods, by name. */
  readonly pods?: Readonly<Record<string, string>>
}

const NODE = 'fd00:2::1'
const BRIDGED: Pick<Mode6, 'prefix' | 'near' | 'far'> = { prefix: 64, near: 64, far: 62 }
const ROUTED: Pick<Mode6, 'prefix' | 'near' | 'far'> = { prefix: 128, near: 63, far: 62 }
const PLAIN: Seen['fields'] = { 'ipv6.src': WEB, 'ipv6.dst': API, 'ipv6.hlim': 63 }

const MODES: readonly Mode6[] = [
  {
    ...{ name: 'bridge', mode: 'bridge', ...BRIDGED, source: NODE },
    keys: ['gateway: { ip: "fd00:244:$::1/64" }', 'ipMasq: true'],
    // The plugin's rules spare the node's own subnet alone.
    between: { 'ipv6.src': NODE, 'ipv6.dst': API, 'ipv6.hlim': 63 },
  },
  {
    ...{ name: 'ptp as kindnet has it', mode: 'ptp', ...ROUTED, source: NODE, between: PLAIN },
    keys: ['preset: kindnet', 'gateways: ["fd00:244:$::1"]', 'podCidrs: ["fd00:244:$::/64"]'],
  },
  {
    ...{ name: 'calico', mode: 'calico', ...ROUTED, source: NODE, between: PLAIN },
    keys: ['blocks: ["fd00:244:$::/122"]', 'pools: [{ cidr: "fd00:244::/32", natOutgoing: true }]'],
  },
  {
    ...{ name: 'calico with VXLAN', mode: 'calico', ...ROUTED, source: NODE },
    keys: [
      'encapsulation: vxlan',
      'blocks: ["fd00:244:$::/122"]',
      'pools: [{ cidr: "fd00:244::/32", natOutgoing: true }]',
    ],
    // The IPv6 device's MACs hash the names with "-v6", and its tunnel is of IPv6.
    between: { 'ipv6.src': NODE, 'ipv6.dst': 'fd00:2::2', 'udp.dstport': 4789, '2:ipv6.src': WEB, '2:ipv6.hlim': 63 },
  },
  {
    ...{ name: 'flannel', mode: 'flannel', ...BRIDGED, source: NODE },
    keys: ['network: "fd00:244::/32"', 'subnet: "fd00:244:$::/64"'],
    between: { 'ipv6.src': NODE, 'ipv6.dst': 'fd00:2::2', 'udp.dstport': 8472 },
  },
  {
    ...{ name: 'flannel with host-gw', mode: 'flannel', ...BRIDGED, source: NODE, between: PLAIN },
    keys: ['backend: host-gw', 'network: "fd00:244::/32"', 'subnet: "fd00:244:$::/64"'],
  },
  {
    ...{ name: 'antrea', mode: 'antrea', ...BRIDGED, source: NODE },
    keys: ['podCidr: "fd00:244:$::/64"'],
    between: { 'udp.dstport': 6081, '2:eth.dst': 'aa:bb:cc:dd:ee:ff' },
  },
  {
    ...{ name: 'cilium', mode: 'cilium', ...ROUTED, far: 63, source: NODE },
    keys: ['podCidr: "fd00:244:$::/64"'],
    between: { 'udp.dstport': 8472 },
    pods: { web: 'identity: 1234', db: 'identity: 1235', api: 'identity: 1236' },
  },
  {
    ...{ name: 'ovn', mode: 'ovn', ...BRIDGED, far: 64, source: NODE, api: '1' },
    keys: ['switches: { blue: { key: 7, gateway: { ip: "fd00:244:1::1/64" } } }'],
    between: { 'udp.dstport': 6081, 'geneve.option.class': '0x0102', 'ipv6.hlim': 64 },
    pods: { web: 'key: 5', db: 'key: 6', api: 'key: 7' },
  },
  {
    ...{ name: 'docker-overlay', mode: 'docker-overlay', ...BRIDGED, far: 64, source: null, services: false, api: '1' },
    keys: [],
    between: { 'udp.dstport': 4789, 'vxlan.vni': 4096, 'ipv6.hlim': 64 },
  },
  {
    ...{ name: 'weave', mode: 'weave', ...BRIDGED, far: 64, source: NODE, api: '1' },
    keys: ['gateway: { ip: "fd00:244:1::1$/64" }', 'shortId: 27$'],
    between: { 'udp.dstport': 6784 },
  },
  {
    // The fabric's router takes one, too.
    ...{ name: 'aws-vpc', mode: 'aws-vpc', ...ROUTED, far: 61, source: WEB, between: PLAIN },
    keys: ['vpc: [192.0.2.0/24]'],
  },
]

function topologyOf({ mode, keys, prefix, api = '2', pods = {}, services }: Mode6): string {
  const pod = (name: string, ip: string): string =>
    `      ${name}: { ip: "${ip}/${prefix}", mtu: 1400${pods[name] === undefined ? '' : `, ${pods[name]}`} }`
  const toPods = (net: string, via: string): string => `{ to: "fd00:244:${net}::/64", via: "${via}" }`
  const node = (n: 1 | 2, ends: readonly string[]): string[] => [
    `  n${n}:`,
    `    mode: ${mode}`,
    ...keys.map((line) => `    ${line.replaceAll('$', String(n))}`),
    `    uplink: { segment: wire, ip: [192.0.2.${n}/24, "fd00:2::${n}/64"] }`,
    // Modes that tell each other nothing of routes have the fabric's.
    `    routes: [{ to: "::/0", via: "fd00:2::fe" }${mode === 'bridge' ? `, ${toPods(String(3 - n), `fd00:2::${3 - n}`)}` : ''}]`,
    '    endpoints:',
    ...ends,
  ]
  const backends = `backends: [{ to: "fd00:244:${api}::7", port: 8080 }]`
  return [
    `name: six-${mode}`,
    'nodes:',
    ...node(1, [pod('web', WEB), pod('db', 'fd00:244:1::9')]),
    ...(services === false
      ? []
      : [
          '    services:',
          `      shop: { port: 80, clusterIps: ["${VIP}"], ${backends} }`,
          `      self: { port: 80, clusterIps: ["${SELF}"], backends: [{ to: web, port: 8080 }] }`,
        ]),
    ...node(2, [pod('api', `fd00:244:${api}::7`)]),
    'segments:',
    '  wire:',
    '    mtu: 1600',
    '    router:',
    '      name: core',
    '      ip: [192.0.2.254/24, "fd00:2::fe/64"]',
    ...(mode === 'aws-vpc' ? [`      routes: [${toPods('1', 'fd00:2::1')}, ${toPods('2', 'fd00:2::2')}]`] : []),
    '  world:',
    '    router: { name: core, ip: "2001:db8:9::1/64" }',
    `    hosts: { outside: { ip: "${OUTSIDE}/64", gateway: "2001:db8:9::1" } }`,
    '',
  ].join('\n')
}

function casesOf({ near, far, between, source, services, api = '2' }: Mode6): ModeCase[] {
  const to = `fd00:244:${api}::7`
  const ask = (name: string): ModeCase['check'] => ({ ping: { from: 'web', to: name, count: 1, family: 6 } })
  const from: Seen['fields'] =
    'ipv6.src' in between && between['ipv6.hlim'] === 63 ? { 'ipv6.src': between['ipv6.src']! } : {}
  const cases: ModeCase[] = [
    {
      ...{ flow: 'pod to pod, same node', section: 'B', title: `hop limit ${near}`, check: ask('db') },
      sees: [{ at: 'n1/db', way: 'out', fields: { 'ipv6.src': WEB, 'ipv6.hlim': near, 'icmpv6.type': 128 } }],
    },
    {
      ...{ flow: 'pod to pod, other node', section: 'B', title: `hop limit ${far}`, check: ask('api') },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: between },
        { at: 'n2/api', way: 'out', fields: { ...from, 'ipv6.dst': to, 'ipv6.hlim': far, 'icmpv6.type': 128 } },
      ],
    },
  ]
  if (services !== false) {
    cases.push({
      ...{ flow: 'pod to service', section: '17.2', title: 'of IPv6' },
      check: { http: { from: 'web', to: VIP, port: 80, server: 'api', serverPort: 8080 } },
      sees: [
        { at: 'n2/api', way: 'out', fields: { 'ipv6.dst': to, 'tcp.dstport': 8080 } },
        { at: 'n1/web', way: 'out', fields: { 'ipv6.src': VIP, 'tcp.srcport': 80 } },
      ],
    })
    cases.push({
      ...{ flow: 'pod to service', section: '17.2', title: 'of which it is itself the backend' },
      check: { http: { from: 'web', to: SELF, port: 80, server: 'web', serverPort: 8080 } },
      sees: [
        { at: 'n1/web', way: 'out', fields: { 'ipv6.src': WEB, 'tcp.dstport': 8080 }, never: true },
        { at: 'n1/web', way: 'out', fields: { 'ipv6.src': SELF, 'ipv6.dst': WEB, 'tcp.srcport': 80 } },
      ],
    })
  }
  if (source !== null) {
    cases.push({
      ...{ flow: 'pod to outside', section: 'B', title: `seen as ${source}`, check: ask('outside') },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: { 'ipv6.src': source, 'ipv6.dst': OUTSIDE, 'ipv6.hlim': 63 } },
        { at: 'n1/web', way: 'out', fields: { 'ipv6.src': OUTSIDE, 'ipv6.dst': WEB, 'icmpv6.type': 129 } },
      ],
    })
  }
  return cases
}

for (const mode of MODES) {
  describe(mode.name, () => {
    const source = topologyOf(mode)
    for (const one of casesOf(mode)) {
      it(`${one.flow}: ${one.title} (${one.section})`, () => tryInMemory(source, one))
    }
  })
}
