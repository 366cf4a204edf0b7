import { buildInMemory, parseTopology, snapshot } from '@l2l3/topology'
import { expect, it } from 'vitest'

/* What kube-proxy would say of services on Windows stands beside them in what `l2l3 show services` is made of. */

const service = (more: string): string =>
  `services: { gone: { port: 81, clusterIps: [10.96.0.13] }, web: { port: 80, clusterIps: [10.96.0.10], nodePort: 30080, ${more} } }`

it.each([
  [
    'l2bridge',
    `
    hostMac: 00:15:5d:00:01:01
    host: { ip: 192.0.2.11/24 }
    hostEndpoint: { ip: 10.244.1.2/24 }
    uplink: {}
    hnsVersion: "11.10"
    ${service('distribution: source-ip, backends: [{ to: pod }]')}`,
    [
      ['gone', 'service gone has no endpoints: Not applying any policy'],
      ['web', 'service web: HNS 11.10 keeps no client where it is: no session affinity'],
    ],
  ],
  [
    'overlay',
    `
    uplink: { ip: 192.0.2.11/24 }
    networks: { blue: { vni: 4096, subnet: 10.244.1.0/24, ${service('backends: [{ to: pod }]')} } }`,
    [['gone', 'service gone has no endpoints: Not applying any policy']],
  ],
])('on mode %s', (mode, keys, notes) => {
  const text = `nodes:\n  n:\n    mode: ${mode}${keys}\n    endpoints: { pod: { ip: 10.244.1.3/24 } }\n`
  const world = buildInMemory(parseTopology(text, 'net.yaml'))
  const { services } = snapshot(world.fabric)
  expect(services.flatMap((row) => (row.notes ?? []).map((note) => [row.name, note]))).toEqual(notes)
})
