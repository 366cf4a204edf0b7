import { clusterTopology, hops, kubeCases, NODE1_MAC, routedOnNode, toApi } from './cluster.ts'
import { conform } from './conform.ts'

/* Pods as the plugin of AWS has them: modes.md 9. The VPC's fabric is the router of the wire. */

const FABRIC_WAY = `............ ${NODE1_MAC.replaceAll(':', '')}`

conform({
  mode: 'aws-vpc',
  topology: clusterTopology({
    mode: 'aws-vpc',
    both: ['vpc: [10.244.0.0/16, 192.0.2.0/24]', 'randomizeSnat: none'],
    each: [[], []],
    routes: [
      '- { to: 10.244.1.5/32, via: 192.0.2.1 }',
      '- { to: 10.244.1.9/32, via: 192.0.2.1 }',
      '- { to: 10.244.2.7/32, via: 192.0.2.2 }',
    ],
  }),
  absent: { broadcast: 'a pod is alone on its link, and nothing is forwarded from it' },
  cases: [
    routedOnNode('9', /^02:/),
    toApi('9', 'TTL - 1 on each node and by the fabric, the pod’s own address', 61, {
      at: 'node1/uplink',
      way: 'out',
      fields: { 'ip.src': '10.244.1.5', 'ip.ttl': 63 },
      bytes: `${FABRIC_WAY} 0800 4500 0054 .... .... 3f 01 .... 0af40105 0af40207`,
    }),
    hops('B', 'TTL - 2, and the fabric’s', ['192.0.2.1', '192.0.2.254', '192.0.2.2']),
    ...kubeCases('', '9', '192.0.2.1'),
    {
      flow: 'ARP',
      section: '9',
      title: 'no pod asks, and nobody would answer: the gateway’s MAC is told it',
      check: { ping: { from: 'web', to: 'db', count: 1 } },
      sees: [{ at: 'node1/web', way: 'in', fields: { 'arp.opcode': 1 }, never: true }],
    },
    {
      flow: 'ARP',
      section: '9',
      title: 'the node has no proxy ARP',
      check: { arp: { from: 'web', to: '169.254.1.1', count: 1, timeout: 0.5 }, expect: 'fail' },
      sees: [{ at: 'node1/web', way: 'out', fields: { 'arp.opcode': 2 }, never: true }],
    },
  ],
})
