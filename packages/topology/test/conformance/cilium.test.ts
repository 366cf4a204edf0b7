import { conform } from './conform.ts'
import { ETH, serviceCase, worldCases } from './world-cases.ts'

/* Cilium with tunnel routing: modes.md 15. */

const HOST = '0e:00:00:00:00:01'
/** n1 to n2 in UDP to 8472. */
const OUTER = `${ETH} 4500 .... .... 0000 40 11 .... c0000201 c0000202 .... 2118 .... 0000 0800 0000`

conform({
  mode: 'cilium',
  topology: 'cilium',
  absent: { broadcast: 'a pod is alone on its link, and nothing is forwarded from it' },
  cases: [
    {
      flow: 'pod to pod, same node',
      section: 'Appendix B',
      title: 'routed on the node, TTL - 1',
      check: { ping: { from: 'web', to: 'db', count: 1 } },
      sees: [
        { at: 'n1/web', way: 'in', fields: { 'eth.dst': HOST, 'ip.ttl': 64, 'icmp.type': 8 } },
        { at: 'n1/db', way: 'out', fields: { 'eth.src': HOST, 'ip.src': '10.0.1.5', 'ip.ttl': 63, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '15',
      title: 'the VNI is the identity of who sends: 4711 there, 4713 back',
      check: { ping: { from: 'web', to: 'api', count: 1 } },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'vxlan.vni': 4711, '2:ip.src': '10.0.1.5', '2:ip.ttl': 63 },
          bytes: `${OUTER} 001267 00`,
        },
        { at: 'n2/uplink', way: 'out', fields: { 'vxlan.vni': 4713, '2:ip.src': '10.0.2.7' } },
        { at: 'n2/api', way: 'out', fields: { 'eth.src': HOST, 'ip.src': '10.0.1.5', 'ip.ttl': 63, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '15',
      title: 'one hop, where it leaves (our choice)',
      check: { traceroute: { from: 'web', to: 'api', via: ['192.0.2.1'] } },
      sees: [],
    },
    serviceCase('web', 'api', [
      { at: 'n1/uplink', way: 'out', fields: { 'vxlan.vni': 4711, '2:ip.dst': '10.0.2.7' } },
      { at: 'n1/web', way: 'out', fields: { 'ip.src': '10.96.0.10', 'tcp.srcport': 80 } },
    ]),
    ...worldCases({ node: 'n1', address: '192.0.2.1', pod: 'web', ip: '10.0.1.5', section: 'Appendix B' }),
    {
      flow: 'ARP',
      section: 'Appendix B',
      title: 'the node answers for cilium_host',
      check: { arp: { from: 'web', to: '10.0.1.1', mac: HOST, count: 1 } },
      sees: [
        { at: 'n1/web', way: 'out', fields: { 'eth.src': HOST, 'arp.opcode': 2, 'arp.src.proto_ipv4': '10.0.1.1' } },
      ],
    },
  ],
})
