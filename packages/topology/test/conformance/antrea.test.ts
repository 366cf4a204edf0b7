import { conform } from './conform.ts'
import { ETH, serviceCase, worldCases } from './world-cases.ts'

/* Antrea with encapsulation in GENEVE: modes.md 14.3. */

const GW1 = '0a:58:0a:0a:01:01'
const GW2 = '0a:58:0a:0a:02:01'
const OUTER = `${ETH} 4500 .... 0000 4000 40 11 .... c0000201 c0000202 .... 17c1 .... 0000`

conform({
  mode: 'antrea',
  topology: 'antrea',
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '14.3',
      title: 'neither MAC nor TTL changes',
      check: { ping: { from: 'web', to: 'db', count: 1 } },
      sees: [
        { at: 'n1/db', way: 'out', fields: { 'eth.src': /^02:/, 'ip.src': '10.10.1.2', 'ip.ttl': 64, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '14.3',
      title: 'from antrea-gw0 to aa:bb:cc:dd:ee:ff in the tunnel, from antrea-gw0 to the pod behind it, TTL - 1 each',
      check: { ping: { from: 'web', to: 'api', count: 1 } },
      sees: [
        { at: 'n1/web', way: 'in', fields: { 'eth.dst': GW1, 'ip.ttl': 64, 'icmp.type': 8 } },
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { '2:ip.ttl': 63 },
          bytes: `${OUTER} 0000 6558 000000 00 aabbccddeeff 0a580a0a0101 0800 45`,
        },
        { at: 'n2/api', way: 'out', fields: { 'eth.src': GW2, 'ip.src': '10.10.1.2', 'ip.ttl': 62, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: 'Appendix B',
      title: 'two hops',
      check: { traceroute: { from: 'web', to: 'api', via: ['10.10.1.1', '10.10.2.1'] } },
      sees: [],
    },
    serviceCase('web', 'api', [
      { at: 'n1/uplink', way: 'out', fields: { '2:ip.src': '10.10.1.2', '2:ip.dst': '10.10.2.2' } },
      { at: 'n1/web', way: 'out', fields: { 'ip.src': '10.96.0.10', 'tcp.srcport': 80 } },
    ]),
    ...worldCases({ node: 'n1', address: '192.0.2.1', pod: 'web', ip: '10.10.1.2', section: '14.3' }),
    {
      flow: 'ARP',
      section: '14.3',
      title: 'of the gateway: its own MAC',
      check: { arp: { from: 'web', to: '10.10.1.1', mac: GW1, count: 1 } },
      sees: [{ at: 'n1/web', way: 'out', fields: { 'eth.src': GW1, 'arp.opcode': 2, 'arp.src.hw_mac': GW1 } }],
    },
    {
      flow: 'broadcast',
      section: 'Appendix B',
      title: 'on the node’s bridge, and in no tunnel',
      check: { ping: { from: 'web', to: '10.10.1.99', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [
        { at: 'n1/db', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.10.1.99' } },
        { at: 'n1/uplink', way: 'out', fields: { 'udp.dstport': 6081 }, never: true },
      ],
    },
  ],
})
