import { conform } from './conform.ts'

/* Pods with addresses of their own and the MAC of the interface: modes.md 13, Appendix B. */

const L2 = '02:00:00:00:01:ff'
const L3 = '02:00:00:00:02:ff'
const L3S = '02:00:00:00:03:ff'
const ALL = 'ff:ff:ff:ff:ff:ff'

conform({
  mode: 'ipvlan',
  topology: 'ipvlan',
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '13',
      title: 'l2: by destination IP, TTL 0, the same MAC on both sides',
      check: { ping: { from: 'a', to: 'b', count: 1 } },
      sees: [
        { at: 'n1/b', way: 'out', fields: { 'eth.src': L2, 'eth.dst': L2, 'ip.src': '192.0.2.11', 'ip.ttl': 64 } },
        { at: 'n1/uplink', way: 'out', fields: { 'ip.dst': '192.0.2.12', 'icmp.type': 8 }, never: true },
      ],
    },
    {
      flow: 'pod to pod, same node',
      section: '13',
      title: 'l3: routed by the node, TTL 1, and no ARP',
      check: { ping: { from: 'x', to: 'y', count: 1 } },
      sees: [
        { at: 'n2/x', way: 'in', fields: { 'eth.src': L3, 'eth.dst': L3, 'ip.ttl': 64 } },
        { at: 'n2/y', way: 'out', fields: { 'eth.src': L3, 'eth.dst': L3, 'ip.src': '10.99.2.11', 'ip.ttl': 63 } },
        { at: 'n2/x', way: 'in', fields: { 'arp.opcode': 1 }, never: true },
        { at: 'n2/y', way: 'out', fields: { 'arp.opcode': 1 }, never: true },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: 'B',
      title: 'l3: a route on each node, TTL 2, the MAC outside the interface’s',
      check: { ping: { from: 'x', to: 's', count: 1 } },
      sees: [
        {
          at: 'n2/uplink',
          way: 'out',
          fields: { 'eth.src': L3, 'eth.dst': L3S, 'ip.src': '10.99.2.11', 'ip.ttl': 63 },
        },
        { at: 'n3/s', way: 'out', fields: { 'eth.src': L3S, 'ip.src': '10.99.2.11', 'ip.ttl': 62 } },
      ],
    },
    {
      flow: 'pod to service',
      section: '13',
      title: 'l3s: the node’s NAT is in the way',
      check: { http: { from: 's', to: '10.96.0.10', port: 80, server: 'x', serverPort: 8080 } },
      sees: [
        {
          at: 'n3/uplink',
          way: 'out',
          fields: { 'ip.src': '10.99.3.11', 'ip.dst': '10.99.2.11', 'tcp.dstport': 8080 },
        },
        { at: 'n3/s', way: 'out', fields: { 'ip.src': '10.96.0.10', 'tcp.srcport': 80 } },
      ],
    },
    {
      flow: 'pod to outside',
      section: '13',
      title: 'l2: as it is, by the underlay’s router, the MAC the interface’s',
      check: { ping: { from: 'a', to: 'outside', count: 1 } },
      sees: [{ at: 'n1/uplink', way: 'out', fields: { 'eth.src': L2, 'ip.src': '192.0.2.11', 'ip.ttl': 64 } }],
    },
    {
      flow: 'outside to pod',
      section: '13',
      title: 'l2: found by the destination’s address',
      check: { ping: { from: 'outside', to: 'b', count: 1 } },
      sees: [
        { at: 'n1/uplink', way: 'in', fields: { 'eth.dst': L2, 'ip.dst': '192.0.2.12', 'ip.ttl': 63 } },
        { at: 'n1/b', way: 'out', fields: { 'eth.dst': L2, 'ip.dst': '192.0.2.12', 'ip.ttl': 63 } },
        { at: 'n1/a', way: 'out', fields: { 'ip.dst': '192.0.2.12' }, never: true },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.3',
      title: 'l3s: a port of the node that leads to the pod',
      check: { http: { from: 'outside', to: '192.0.2.3', port: 8080, server: 's', serverPort: 80 } },
      sees: [
        { at: 'n3/s', way: 'out', fields: { 'ip.src': '198.51.100.9', 'ip.dst': '10.99.3.11', 'tcp.dstport': 80 } },
      ],
    },
    {
      flow: 'ARP',
      section: '13',
      title: 'l2: the pod that is asked for answers, with the MAC of all',
      check: { arp: { from: 'pc', to: 'a', mac: L2, count: 1 } },
      sees: [
        { at: 'n1/a', way: 'out', fields: { 'arp.opcode': 1, 'arp.dst.proto_ipv4': '192.0.2.11' } },
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'eth.src': L2, 'arp.opcode': 2 },
          bytes: '............ 0200000001ff 0806 0001 0800 06 04 0002 0200000001ff c000020b',
        },
      ],
    },
    {
      flow: 'broadcast',
      section: '13',
      title: 'l2: copied to siblings and the wire; l3: neither in nor out',
      check: { arp: { from: 'a', to: '192.0.2.9', count: 1 } },
      sees: [
        { at: 'n1/b', way: 'out', fields: { 'eth.dst': ALL, 'eth.src': L2 } },
        { at: 'n1/uplink', way: 'out', fields: { 'eth.dst': ALL, 'eth.src': L2 } },
        { at: 'n2/uplink', way: 'in', fields: { 'eth.dst': ALL, 'eth.src': L2 } },
        { at: 'n2/x', way: 'out', fields: { 'eth.dst': ALL }, never: true },
      ],
    },
  ],
})
