import { conform } from './conform.ts'
import { ETH, serviceCase, worldCases } from './world-cases.ts'

/* Weave, the fast datapath and sleeve: modes.md 15. */

const RED = '02:00:00:00:00:0a'
const GREEN = '02:00:00:00:00:0c'
/** Names of peers 1 and 3, and UDP 6783 between them. */
const [P1, P3] = ['7a0000000001', '7a0000000003']
const FAST = `${ETH} 4500 .... .... 0000 40 11 .... c0000201 c0000202 .... 1a80 .... .... 0800 0000`
const SLEEVE = `${ETH} 4500 .... .... .... 40 11 .... c0000201 c0000203 1a7f 1a7f .... ....`

conform({
  mode: 'weave',
  topology: 'weave',
  cases: [
    {
      flow: 'pod to pod, same node',
      section: 'Appendix B',
      title: 'frames on the bridge',
      check: { ping: { from: 'red', to: 'blue', count: 1 } },
      sees: [{ at: 'n1/blue', way: 'out', fields: { 'eth.src': RED, 'ip.ttl': 64, 'icmp.type': 8 } }],
    },
    {
      flow: 'pod to pod, other node',
      section: '15',
      title: 'fastdp: UDP 6784, VNI 0x222 << 12 | 0x111, frames as they are',
      check: { ping: { from: 'red', to: 'green', count: 1 } },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'ip.ttl': 64 },
          bytes: `${FAST} 222111 00 02000000000c 02000000000a 0800 45`,
        },
        {
          at: 'n2/uplink',
          way: 'out',
          fields: {},
          bytes: `${ETH} ${'..'.repeat(22)} 1a80 .... .... 08000000 111222 00`,
        },
        { at: 'n2/green', way: 'out', fields: { 'eth.src': RED, 'eth.dst': GREEN, 'ip.ttl': 64, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '15',
      title: 'sleeve: who sends, then from, to, length, frame',
      check: { ping: { from: 'red', to: 'gray', count: 1, bytes: 56 } },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'ip.ttl': 64, 'udp.dstport': 6783 },
          bytes: `${SLEEVE} ${P1} ${P1} ${P3} 0062 02000000000d 02000000000a 0800 45`,
        },
        { at: 'n3/gray', way: 'out', fields: { 'eth.src': RED, 'ip.ttl': 64, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: 'Appendix B',
      title: 'no hop between',
      check: { traceroute: { from: 'red', to: 'green', via: [] } },
      sees: [{ at: 'n2/green', way: 'out', fields: { 'ip.src': '10.32.0.2', 'ip.ttl': 1 } }],
    },
    serviceCase('red', 'blue', [{ at: 'n1/red', way: 'out', fields: { 'ip.src': '10.96.0.10', 'tcp.srcport': 80 } }]),
    ...worldCases({ node: 'n1', address: '192.0.2.1', pod: 'red', ip: '10.32.0.2', section: 'Appendix B' }),
    {
      flow: 'ARP',
      section: 'Appendix B',
      title: 'asked on all nodes, answered by the pod itself',
      check: { arp: { from: 'red', to: 'green', mac: GREEN, count: 1 } },
      sees: [
        { at: 'n2/green', way: 'out', fields: { 'eth.src': RED, 'arp.opcode': 1 } },
        { at: 'n1/red', way: 'out', fields: { 'eth.src': GREEN, 'arp.opcode': 2 } },
      ],
    },
    {
      flow: 'broadcast',
      section: '15',
      title: 'to every peer, by the connection that there is, and from none to another',
      check: { ping: { from: 'red', to: '10.32.0.99', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: {}, bytes: `${FAST} 222111 00 ffffffffffff 02000000000a 0806` },
        {
          at: 'n1/uplink',
          way: 'out',
          fields: {},
          bytes: `${SLEEVE} ${P1} ${P1} ${P3} 002a ffffffffffff 02000000000a 0806`,
        },
        { at: 'n3/gray', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.32.0.99' } },
        { at: 'n2/uplink', way: 'out', fields: { 'udp.dstport': 6783 }, never: true },
      ],
    },
  ],
})
