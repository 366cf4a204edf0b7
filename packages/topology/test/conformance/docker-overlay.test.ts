import { conform } from './conform.ts'
import { ETH } from './world-cases.ts'

/* Docker's overlay network, without encryption: modes.md 12. */

const RED = '02:42:0a:00:09:02'
const GREEN = '02:42:0a:00:09:04'
/** n1 to n2 in UDP to 4789, VNI 4096: DF clear, TTL 64. */
const OUTER = `${ETH} 4500 .... .... 0000 40 11 .... c0000201 c0000202 .... 12b5 .... .... 0800 0000 001000 00`

conform({
  mode: 'docker-overlay',
  topology: 'docker-overlay',
  absent: {
    'pod to service': 'a swarm’s VIPs are IPVS’ in the container’s own namespace [K]',
    'pod to outside': 'by the container’s second interface on docker_gwbridge [K]: see bridge',
    'outside to pod': 'by the swarm’s ingress network [K], which is another overlay',
  },
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '12',
      title: 'frames on the bridge',
      check: { ping: { from: 'red', to: 'blue', count: 1 } },
      sees: [{ at: 'n1/blue', way: 'out', fields: { 'eth.src': RED, 'ip.ttl': 64, 'icmp.type': 8 } }],
    },
    {
      flow: 'pod to pod, other node',
      section: '12',
      title: 'VXLAN; MACs and TTL as they were',
      check: { ping: { from: 'red', to: 'green', count: 1 } },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'vxlan.vni': 4096, '2:ip.ttl': 64 },
          bytes: `${OUTER} 02420a000904 02420a000902 0800 45`,
        },
        { at: 'n2/green', way: 'out', fields: { 'eth.src': RED, 'eth.dst': GREEN, 'ip.ttl': 64, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: 'Appendix B',
      title: 'no hop between',
      check: { traceroute: { from: 'red', to: 'green', via: [] } },
      sees: [{ at: 'n2/green', way: 'out', fields: { 'ip.src': '10.0.9.2', 'ip.ttl': 1 } }],
    },
    {
      flow: 'ARP',
      section: '12',
      title: 'answered by the vxlan device with the MAC of who is asked for, from that MAC; the question goes nowhere',
      check: { arp: { from: 'red', to: 'green', mac: GREEN, count: 1 } },
      sees: [
        {
          at: 'n1/red',
          way: 'out',
          fields: { 'eth.src': GREEN, 'eth.dst': RED, 'arp.opcode': 2 },
          bytes: '02420a000902 02420a000904 0806 0001 0800 06 04 0002 02420a000904 0a000904 02420a000902 0a000902',
        },
        {
          at: 'n2/green',
          way: 'out',
          fields: { 'arp.dst.proto_ipv4': '10.0.9.4', 'arp.src.hw_mac': RED },
          never: true,
        },
      ],
    },
    {
      flow: 'ARP',
      section: '12',
      title: 'of the bridge’s own address: by the bridge',
      check: { arp: { from: 'red', to: '10.0.9.1', mac: '02:42:0a:00:09:01', count: 1 } },
      sees: [{ at: 'n1/red', way: 'out', fields: { 'eth.src': '02:42:0a:00:09:01', 'arp.opcode': 2 } }],
    },
    {
      flow: 'ARP',
      section: '12',
      title: 'for an unknown address: no answer, and the question ends here',
      check: { ping: { from: 'red', to: '10.0.9.99', count: 1, timeout: 1 }, expect: { drop: 'ArpFilter' } },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: { 'udp.dstport': 4789 }, never: true },
        { at: 'n1/blue', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.0.9.99', 'arp.opcode': 1 } },
      ],
    },
    {
      flow: 'broadcast',
      section: '12',
      title: 'is not delivered to other nodes: nothing is programmed for all',
      check: { ping: { from: 'red', to: '10.0.9.99', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [{ at: 'n2/green', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.0.9.99' }, never: true }],
    },
  ],
})
