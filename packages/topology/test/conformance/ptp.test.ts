import { conform } from './conform.ts'

/* Pods on links of their own whose other end is the host, as kindnet has them: modes.md 9, 17, Appendix B. */

conform({
  mode: 'ptp',
  topology: 'ptp',
  absent: { broadcast: 'a pod is alone on its link, and nothing is forwarded from it' },
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '9',
      title: 'routed by the host, TTL 1, also in one subnet',
      check: { ping: { from: 'web', to: 'db', count: 1 } },
      sees: [
        { at: 'n1/web', way: 'in', fields: { 'ip.src': '10.244.1.2', 'ip.dst': '10.244.1.3', 'ip.ttl': 64 } },
        { at: 'n1/db', way: 'out', fields: { 'ip.src': '10.244.1.2', 'ip.dst': '10.244.1.3', 'ip.ttl': 63 } },
        // What web asks for by ARP is the gateway, not the other pod.
        { at: 'n1/web', way: 'in', fields: { 'arp.dst.proto_ipv4': '10.244.1.3' }, never: true },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '9',
      title: 'podCIDR via the node’s address, TTL 2, the source as it is',
      check: { ping: { from: 'web', to: 'api', count: 1 } },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: { 'ip.src': '10.244.1.2', 'ip.dst': '10.244.2.2', 'ip.ttl': 63 } },
        { at: 'n2/api', way: 'out', fields: { 'ip.src': '10.244.1.2', 'ip.ttl': 62 } },
      ],
    },
    {
      flow: 'pod to service',
      section: '17.2',
      title: 'DNAT on the node',
      check: { http: { from: 'web', to: '10.96.0.10', port: 80, server: ['db', 'api'], serverPort: 8080 } },
      sees: [{ at: 'n1/web', way: 'out', fields: { 'ip.src': '10.96.0.10', 'tcp.srcport': 80 } }],
    },
    {
      flow: 'pod to outside',
      section: '9',
      title: 'kindnet masquerades what is for no pod, TTL 1',
      check: { ping: { from: 'web', to: 'outside', count: 1 } },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: { 'ip.src': '192.0.2.1', 'ip.dst': '198.51.100.9', 'ip.ttl': 63 } },
        { at: 'n1/web', way: 'out', fields: { 'ip.src': '198.51.100.9', 'ip.dst': '10.244.1.2' } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.3',
      title: 'host port: DNAT, the source kept',
      check: { http: { from: 'outside', to: '192.0.2.1', port: 8080, server: 'web', serverPort: 80 } },
      sees: [
        { at: 'n1/web', way: 'out', fields: { 'ip.src': '198.51.100.9', 'ip.dst': '10.244.1.2', 'tcp.dstport': 80 } },
      ],
    },
    {
      flow: 'ARP',
      section: '9',
      title: 'the host’s end answers for the gateway, which is its own address',
      check: { arp: { from: 'web', to: '10.244.1.1', count: 1 } },
      sees: [
        {
          at: 'n1/web',
          way: 'out',
          fields: { 'arp.opcode': 2, 'arp.src.proto_ipv4': '10.244.1.1' },
          bytes: '............ ............ 0806 0001 0800 06 04 0002 ............ 0af40101 ............ 0af40102',
        },
      ],
    },
    {
      flow: 'ARP',
      section: '9',
      title: 'no proxy: nobody answers for another pod',
      check: { arp: { from: 'web', to: '10.244.1.3', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [
        { at: 'n1/web', way: 'out', fields: { 'arp.opcode': 2, 'arp.src.proto_ipv4': '10.244.1.3' }, never: true },
      ],
    },
  ],
})
