import { readFileSync } from 'node:fs'
import { buildInMemory, parseTopology } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/* Nodes whose uplink nothing is plugged in to, as a TAP's is not in memory: the addresses that they have there are theirs all the
 * same, and what the file says of them is no mistake. */

const MODES: Readonly<Record<string, string>> = {
  bridge: 'gateway: { ip: 10.244.1.1/24 }',
  ptp: 'gateways: [10.244.1.1]',
  ipvlan: 'variant: l3s',
  calico: 'blocks: [10.244.1.0/26]',
  flannel: 'network: 10.244.0.0/16, subnet: 10.244.1.0/24',
  'aws-vpc': 'vpc: [10.244.0.0/16]',
  azure: 'variant: transparent',
  nat: 'inside: { ip: 10.244.1.1/24 }',
}

const node = (mode: string, uplink: string): string => `nodes:
  n:
    mode: ${mode}
    ${MODES[mode]?.replace(/, (?=\w+:)/g, '\n    ')}
    endpoints: { a: { ip: 10.244.1.5/${['bridge', 'flannel', 'nat'].includes(mode) ? 24 : 32} } }
    uplink: { ip: 192.0.2.1/24, ${uplink} }
    portMappings: [{ port: 8080, hostIp: 192.0.2.1, to: a, toPort: 80 }]
    balancer: { nodePortAddresses: [192.0.2.0/24] }
    services: { web: { port: 80, clusterIps: [10.96.0.1], nodePort: 30080, backends: [{ to: a }] } }
`

describe('a host port and node ports at the address of an uplink', () => {
  it.each(Object.keys(MODES))('%s: there whether it is plugged in or not', (mode) => {
    const frontends = (uplink: string, more = ''): unknown => {
      const world = buildInMemory(parseTopology(node(mode, uplink) + more, 'net.yaml'))
      return world.fabric.nodes[0]?.services?.().map((row) => row.frontends)
    }
    const there = frontends('segment: lan', 'segments: { lan: {} }\n')
    expect(there).toContainEqual(['HostPort 192.0.2.1:8080'])
    expect(frontends('tap: {}')).toEqual(there)
  })

  it('and one that is nobody’s is refused', () => {
    const text = node('bridge', 'tap: {}').replace('hostIp: 192.0.2.1', 'hostIp: 192.0.2.9')
    expect(() => parseTopology(text, 'net.yaml')).toThrow('192.0.2.9 is no address of the node')
  })
})

describe('nodes that know of others', () => {
  const examples = [
    'docker-overlay',
    'ovn',
    'antrea',
    'cilium',
    'weave',
    'fan',
    'calico',
    'flannel',
    'ptp',
    'aws',
    'azure',
  ]
  it.each(examples)('%s: are built where all uplinks are unplugged', (name) => {
    const source = readFileSync(new URL(`../../../examples/${name}.yaml`, import.meta.url), 'utf8')
    // Whatever joins nodes is away, and a TAP in its place, which memory does not plug in.
    const alone = source
      .replace(/^segments:[\s\S]*?(?=^\w)/m, '')
      .replace(/^links:[\s\S]*?(?=^\w)/m, '')
      .replace(/^checks:[\s\S]*/m, '')
      .replace(/segment: [\w-]+/g, 'tap: {}')
    const world = buildInMemory(parseTopology(alone, `${name}.yaml`))
    expect(world.fabric.nodes.length).toBeGreaterThan(0)
    world.advance(1e9)
    expect(world.snapshot().ledger).toMatchObject({ balanced: true })
  })
})
