import { conform } from './conform.ts'

/* Pods with MACs of their own on one interface: modes.md 13, Appendix B. */

const A = '02:00:00:00:01:0a'
const B = '02:00:00:00:01:0b'
const ALL = 'ff:ff:ff:ff:ff:ff'

conform({
  mode: 'macvlan',
  topology: 'macvlan',
  absent: { 'pod to service': 'kube-proxy is the node’s, which pods do not reach' },
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '13',
      title: 'bridge: straight, as it is, and not on the wire',
      check: { ping: { from: 'a', to: 'b', count: 1 } },
      sees: [
        { at: 'n1/b', way: 'out', fields: { 'eth.src': A, 'eth.dst': B, 'ip.ttl': 64, 'icmp.type': 8 } },
        { at: 'n1/uplink', way: 'out', fields: { 'eth.dst': B, 'icmp.type': 8 }, never: true },
      ],
    },
    {
      flow: 'pod to pod, same node',
      section: '13',
      title: 'private: not at all',
      check: { ping: { from: 'p', to: 'q', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [{ at: 'n2/q', way: 'out', fields: { 'arp.src.proto_ipv4': '192.0.2.21' }, never: true }],
    },
    {
      flow: 'pod to pod, same node',
      section: '13',
      title: 'vepa: out by the wire, and back from a switch that reflects',
      check: { ping: { from: 'v', to: 'w', count: 1 } },
      sees: [
        { at: 'n3/uplink', way: 'out', fields: { 'ip.dst': '192.0.2.32', 'icmp.type': 8 } },
        { at: 'n3/uplink', way: 'in', fields: { 'ip.dst': '192.0.2.32', 'icmp.type': 8 } },
        { at: 'n3/w', way: 'out', fields: { 'ip.src': '192.0.2.31', 'ip.ttl': 64 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: 'B',
      title: 'the underlay switches it: TTL 0, both MACs the pods’',
      check: { ping: { from: 'a', to: 'p', count: 1 } },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: { 'eth.src': A, 'ip.dst': '192.0.2.21', 'ip.ttl': 64 } },
        { at: 'n2/p', way: 'out', fields: { 'eth.src': A, 'ip.ttl': 64 } },
      ],
    },
    {
      flow: 'pod to outside',
      section: 'B',
      title: 'by the underlay’s router: no address is changed',
      check: { ping: { from: 'a', to: 'outside', count: 1 } },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: { 'eth.src': A, 'ip.src': '192.0.2.11', 'ip.ttl': 64 } },
        { at: 'router/outside', way: 'out', fields: { 'ip.src': '192.0.2.11', 'ip.ttl': 63 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '13',
      title: 'found by the destination’s MAC',
      check: { ping: { from: 'outside', to: 'a', count: 1 } },
      sees: [
        { at: 'n1/uplink', way: 'in', fields: { 'eth.dst': A, 'ip.src': '198.51.100.9' } },
        { at: 'n1/a', way: 'out', fields: { 'eth.dst': A, 'ip.src': '198.51.100.9' } },
        { at: 'n1/b', way: 'out', fields: { 'ip.src': '198.51.100.9' }, never: true },
      ],
    },
    {
      flow: 'outside to pod',
      section: '13',
      title: 'the node itself and its pods never meet',
      check: { ping: { from: 'host', to: 'a', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'arp.src.proto_ipv4': '192.0.2.10', 'arp.dst.proto_ipv4': '192.0.2.11' },
        },
        { at: 'n1/a', way: 'out', fields: { 'arp.src.proto_ipv4': '192.0.2.10' }, never: true },
      ],
    },
    {
      flow: 'ARP',
      section: '13',
      title: 'the pod itself answers',
      check: { arp: { from: 'pc', to: 'b', mac: B, count: 1 } },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'eth.src': B, 'arp.opcode': 2 },
          bytes: '............ 02000000010b 0806 0001 0800 06 04 0002 02000000010b c000020c',
        },
      ],
    },
    {
      flow: 'broadcast',
      section: '13',
      title: 'of a pod in bridge: to siblings and the wire; from the wire: to all, the node included',
      check: { arp: { from: 'a', to: '192.0.2.9', count: 1 } },
      sees: [
        { at: 'n1/b', way: 'out', fields: { 'eth.dst': ALL, 'eth.src': A } },
        { at: 'n1/uplink', way: 'out', fields: { 'eth.dst': ALL, 'eth.src': A } },
        { at: 'n1/host', way: 'out', fields: { 'eth.dst': ALL, 'eth.src': A }, never: true },
        { at: 'n2/p', way: 'out', fields: { 'eth.dst': ALL, 'eth.src': A } },
        { at: 'n2/q', way: 'out', fields: { 'eth.dst': ALL, 'eth.src': A } },
      ],
    },
    {
      flow: 'broadcast',
      section: '13',
      title: 'of a pod in private: to the wire alone',
      check: { arp: { from: 'p', to: '192.0.2.9', count: 1 } },
      sees: [
        { at: 'n2/uplink', way: 'out', fields: { 'eth.dst': ALL, 'arp.src.proto_ipv4': '192.0.2.21' } },
        { at: 'n2/q', way: 'out', fields: { 'eth.dst': ALL, 'arp.src.proto_ipv4': '192.0.2.21' }, never: true },
      ],
    },
  ],
})
