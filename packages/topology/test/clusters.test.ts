import { type Lab, topology } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'
import { dissect } from '../src/trace/dissect/dissect.ts'
import { capturedFrames } from './captured.ts'

/* Clusters in memory: IPv6, and settings that the conformance files do not have. */

interface Two {
  readonly mode: string
  readonly both?: string
  readonly each: readonly [string, string]
  readonly lengths?: readonly [four: number, six: number]
}

/** Two nodes with a pod each, in IPv4 and IPv6, and somebody outside. */
function two({ mode, both = '', each, lengths = [32, 128] }: Two): string {
  const node = (i: 1 | 2, keys: string, pod: string): string => `
  node${i}:
    mode: ${mode}
    ${both}
    ${keys}
    endpoints: { ${pod}: { ip: [10.244.${i}.5/${lengths[0]}, "fd44:${i}::5/${lengths[1]}"] } }
    uplink: { segment: wire, ip: [192.0.2.${i}/24, "fd00:2::${i}/64"] }
    routes: [{ to: 0.0.0.0/0, via: 192.0.2.254 }, { to: "::/0", via: "fd00:2::fe" }]`
  const routes = [1, 2].flatMap((i) => [
    `{ to: 10.244.${i}.5/32, via: 192.0.2.${i} }`,
    `{ to: "fd44:${i}::5/128", via: "fd00:2::${i}" }`,
  ])
  return `name: two
nodes:${node(1, each[0], 'web')}${node(2, each[1], 'api')}
segments:
  wire: { router: { name: core, ip: [192.0.2.254/24, "fd00:2::fe/64"], routes: [${routes.join()}] } }
  world:
    router: { name: core, ip: [198.51.100.1/24, "fd00:64::1/64"] }
    hosts: { outside: { ip: [198.51.100.9/24, "fd00:64::9/64"], gateway: [198.51.100.1, "fd00:64::1"] } }
`.replace(/^ *\n/gm, '')
}

const calico = (more: string): Two => ({
  mode: 'calico',
  both: more,
  each: ['blocks: [10.244.1.0/26, "fd44:1::/122"]', 'blocks: [10.244.2.0/26, "fd44:2::/122"]'],
})
const flannel = (more: string): Two => ({
  mode: 'flannel',
  both: `network: [10.244.0.0/16, "fd44::/16"]\n    ${more}`,
  each: ['subnet: [10.244.1.0/24, "fd44:1::/64"]', 'subnet: [10.244.2.0/24, "fd44:2::/64"]'],
  lengths: [24, 64],
})

/** What left a port while a check was tried, layer by layer. */
async function seen(lab: Lab, at: string, check: Record<string, unknown>): Promise<string[]> {
  const capture = await lab.capture()
  const results = await lab.check(check)
  const captures = await capture.stop()
  expect(results.map(({ ok, text, detail }) => (ok ? '' : `${text}: ${detail}`)).join('')).toBe('')
  return capturedFrames(captures.get(at) as Uint8Array, 'outbound').map((bytes) =>
    dissect(bytes)
      .flatMap((layer) => layer.fields)
      .map((f) => `${f.name} ${f.value}`)
      .join(', '),
  )
}

const SIX = { ping: { from: 'web', to: 'api', family: 6, count: 1 } }

describe('IPv6 between nodes', () => {
  it.each([
    ['calico none', calico('encapsulation: none'), 'ipv6.hlim 63'],
    ['calico vxlan', calico('encapsulation: vxlan'), 'eth.src 66:0f:35:f2:60:df'],
    ['flannel vxlan', flannel('backend: vxlan'), 'ipv6.hlim 63'],
    ['flannel host-gw', flannel('backend: host-gw'), 'ipv6.hlim 63'],
    ['aws-vpc', { mode: 'aws-vpc', both: 'vpc: [10.244.0.0/16]', each: ['', ''] }, 'ipv6.hlim 63'],
    ['azure', { mode: 'azure', each: ['', ''] }, 'ipv6.hlim 63'],
  ] as [string, Two, string][])('%s', async (_, cluster, what) => {
    await using lab = await topology(two(cluster), { world: 'memory' })
    const frames = await seen(lab, 'node1/uplink', SIX)
    expect(frames.join('\n')).toContain(what)
    // No pod asks who has the gateway where it is told.
    const asked = await seen(lab, 'node1/web', { ping: { from: 'web', to: 'outside', family: 4, count: 1 } })
    expect(asked.length).toBeGreaterThan(0)
  })
})

describe('MACs of VTEPs that the file gives', () => {
  const macs = 'vtepMac: [02:00:00:00:00:04, 02:00:00:00:00:06]'
  const second = ({ each: [one, other], ...cluster }: Two): Two => ({
    ...cluster,
    each: [one, `${other}\n    ${macs}`],
  })
  /** The nodes without their IPv4 addresses. */
  const sixAlone = (text: string): string =>
    text.replace(/\[192\.0\.2\.[12]\/24, ("[^"]+")\]/g, '$1').replaceAll('{ to: 0.0.0.0/0, via: 192.0.2.254 }, ', '')

  it.each([
    ['calico', calico('encapsulation: vxlan')],
    ['flannel', flannel('backend: vxlan')],
  ])('%s: each IP version’s, also where a node has but the second', async (_, cluster) => {
    const text = two(second(cluster))
    await using both = await topology(text, { world: 'memory' })
    const four = { ping: { from: 'web', to: 'api', family: 4, count: 1 } }
    expect((await seen(both, 'node1/uplink', four)).join('\n')).toContain('eth.dst 02:00:00:00:00:04')
    expect((await seen(both, 'node1/uplink', SIX)).join('\n')).toContain('eth.dst 02:00:00:00:00:06')
    await using one = await topology(sixAlone(text), { world: 'memory' })
    expect((await seen(one, 'node1/uplink', SIX)).join('\n')).toContain('eth.dst 02:00:00:00:00:06')
  })
})

describe('settings of Calico', () => {
  it('another address for what leaves is of its own IP version', async () => {
    const pools = 'pools: [{ cidr: 10.244.0.0/16, natOutgoing: true }, { cidr: "fd44::/16", natOutgoing: true }]'
    const { each, ...both } = calico(pools)
    const text = two({ ...both, each: [`${each[0]}\n    natOutgoingAddress: 192.0.2.1`, each[1]] })
    await using lab = await topology(text, { world: 'memory' })
    const check = (family: 4 | 6): object => ({ ping: { from: 'web', to: 'outside', family, count: 1 } })
    expect((await seen(lab, 'node1/uplink', { ...check(4) })).join('\n')).toContain('ip.src 192.0.2.1')
    expect((await seen(lab, 'node1/uplink', { ...check(6) })).join('\n')).toContain('ipv6.src fd00:2::1')
  })

  it('another address and ports for what leaves, and nodes that see pods as they are', async () => {
    const keys = [
      'pools: [{ cidr: 10.244.0.0/16, natOutgoing: true }]',
      'natPortRange: 40000-40010',
      'natExclusions: [198.51.100.0/24]',
    ]
    const text = (list: string[]): string => two(calico(list.join('\n    ')))
    const check = { udp: { from: 'web', to: 'outside', family: 4, count: 1 } }
    await using ranged = await topology(text(keys.slice(0, 2)), { world: 'memory' })
    const sources = (await seen(ranged, 'node1/uplink', check)).join('\n')
    expect(sources).toMatch(/ip\.src 192\.0\.2\.1, .*udp\.srcport 400(0\d|10),/)
    await using excluded = await topology(text(keys), { world: 'memory' })
    expect((await seen(excluded, 'node1/uplink', check)).join('\n')).toMatch(/ip\.src 10\.244\.1\.5, /)
  })
})

describe('flannel’s UDP backend', () => {
  it('takes what no node has, and its error ends at the node: it has the node’s own address for its source', async () => {
    await using lab = await topology(two(flannel('backend: udp')), { world: 'memory' })
    const check = (what: string, drop: string): Record<string, unknown> => ({
      [what]: { from: 'web', to: '10.244.9.9', count: 1, timeout: 0.5 },
      expect: { drop },
    })
    const told = await seen(lab, 'node1/uplink', check('udp', 'MartianSource'))
    expect(told.join('\n')).not.toContain('10.244.9.9')
    // About pings it says nothing.
    await seen(lab, 'node1/uplink', check('ping', 'NoRoute'))
    const { dropped } = (lab.memory as NonNullable<Lab['memory']>).pool.report()
    expect(dropped).toMatchObject({ MartianSource: 1, NoRoute: 2 })
  })
})

describe('azure, tunnel', () => {
  it('sends all to the fabric, which brings back what is for a pod of the node', async () => {
    await using lab = await topology(
      `name: tunnel
nodes:
  vm:
    mode: azure
    variant: tunnel
    hostMac: 00:0d:3a:00:00:01
    gateway: 10.240.0.1
    endpoints:
      web: { mac: 02:00:00:00:00:0b, ip: 10.240.0.11/24 }
      db: { mac: 02:00:00:00:00:0c, ip: 10.240.0.12/24 }
      host: { mac: 00:0d:3a:00:00:01, ip: 10.240.0.4/24 }
    uplink: {}
  fabric:
    mode: fabric
    ports: { vm: { vmMac: 00:0d:3a:00:00:01, ips: [10.240.0.4, 10.240.0.11, 10.240.0.12] } }
links: [[vm/uplink, fabric/vm]]
`,
      { world: 'memory' },
    )
    const frames = await seen(lab, 'vm/uplink', { ping: { from: 'web', to: 'db', count: 1 } })
    expect(frames.filter((f) => f.includes('icmp.type 8'))).toEqual([
      expect.stringMatching(/^eth.dst 12:34:56:78:9a:bc, eth.src 00:0d:3a:00:00:01, .*ip.ttl 64, .*ip.dst 10.240.0.12/),
    ])
  })
})
