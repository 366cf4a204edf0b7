import { clusterTopology, hops, kubeCases, NODE1_MAC, routedOnNode, toApi } from './cluster.ts'
import { conform } from './conform.ts'

/* Pods as Azure CNI has them in transparent mode: modes.md 7.5. The fabric is the router of the wire. */

const AA = 'aa:aa:aa:aa:aa:aa'

conform({
  mode: 'azure',
  topology: clusterTopology({
    mode: 'azure',
    both: ['outbound: [{ from: [10.244.0.0/16], exceptions: [10.244.0.0/16] }]'],
    each: [[], []],
    routes: [
      '- { to: 10.244.1.5/32, via: 192.0.2.1 }',
      '- { to: 10.244.1.9/32, via: 192.0.2.1 }',
      '- { to: 10.244.2.7/32, via: 192.0.2.2 }',
    ],
  }),
  absent: { broadcast: 'a pod is alone on its link, and nothing is forwarded from it' },
  cases: [
    routedOnNode('7.5', AA),
    toApi('7.5', 'TTL - 1 on each node and by the fabric, the pod’s own address', 61, {
      at: 'node1/uplink',
      way: 'out',
      fields: { 'ip.src': '10.244.1.5', 'ip.ttl': 63 },
      bytes: `............ ${NODE1_MAC.replaceAll(':', '')} 0800 4500 0054 .... .... 3f 01 .... 0af40105 0af40207`,
    }),
    hops('B', 'TTL - 2, and the fabric’s', ['192.0.2.1', '192.0.2.254', '192.0.2.2']),
    ...kubeCases('', '7.5', '192.0.2.1'),
    {
      flow: 'ARP',
      section: '7.5',
      title: 'no pod asks: the gateway’s MAC is told it',
      check: { ping: { from: 'web', to: 'db', count: 1 } },
      sees: [{ at: 'node1/web', way: 'in', fields: { 'arp.opcode': 1 }, never: true }],
    },
    {
      flow: 'ARP',
      section: '7.5',
      title: 'proxy ARP answers who asks all the same',
      check: { arp: { from: 'web', to: '169.254.1.1', mac: AA, count: 1 } },
      sees: [
        {
          at: 'node1/web',
          way: 'out',
          fields: { 'arp.opcode': 2 },
          bytes: '............ aaaaaaaaaaaa 0806 0001 0800 06 04 0002 aaaaaaaaaaaa a9fe0101 ............ 0af40105',
        },
      ],
    },
  ],
})
