import { conform } from './conform.ts'

/* Windows L2Bridge: modes.md 2, and its services, 17.1. What is [I] there is tried as it is by default. */

const HOST1 = '00:15:5d:00:01:01'
const HOST2 = '00:15:5d:00:02:01'
const WEB = '00:15:5d:00:01:03'
const DB = '00:15:5d:00:01:04'
const API = '00:15:5d:00:02:03'
const ENDPOINT1 = '00:15:5d:00:01:02'
const request = (text: string): string => `${text} 0806 0001 0800 06 04 0001`
const reply = (text: string): string => `${text} 0806 0001 0800 06 04 0002`

conform({
  mode: 'l2bridge',
  topology: 'l2bridge',
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '2.2',
      title: 'bridged as it is, TTL 0, and not seen outside',
      check: { ping: { from: 'web', to: 'db', family: 4, count: 1 } },
      sees: [
        {
          at: 'node1/db',
          way: 'out',
          fields: { 'ip.src': '10.244.1.3', 'ip.ttl': 64, 'icmp.type': 8 },
          bytes: '00155d000104 00155d000103 0800 4500 0054',
        },
        { at: 'node1/uplink', way: 'out', fields: { 'ip.dst': '10.244.1.4' }, never: true },
      ],
    },
    {
      flow: 'pod to pod, same node',
      section: '2.2',
      title: 'the same of IPv6, neighbour discovery included',
      check: { ping: { from: 'web', to: 'db', family: 6, count: 1 } },
      sees: [
        { at: 'node1/db', way: 'out', fields: { 'eth.src': WEB, 'eth.dst': DB, 'ipv6.hlim': 64, 'icmpv6.type': 128 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '2.2',
      title: 'behind the MACs of both nodes, with the addresses of both pods; the host endpoint takes one from the TTL',
      check: { ping: { from: 'web', to: 'api', family: 4, count: 1 } },
      sees: [
        { at: 'node1/web', way: 'in', fields: { 'eth.dst': ENDPOINT1, 'ip.ttl': 64, 'icmp.type': 8 } },
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'ip.src': '10.244.1.3', 'ip.dst': '10.244.2.3', 'ip.ttl': 63, 'icmp.type': 8 },
          bytes: '00155d000201 00155d000101 0800 4500 0054',
        },
        {
          at: 'node2/api',
          way: 'out',
          fields: { 'ip.src': '10.244.1.3', 'ip.ttl': 63, 'icmp.type': 8 },
          bytes: '00155d000203 ............ 0800 4500 0054',
        },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '2.2',
      title: 'the same of IPv6, neighbour discovery included',
      check: { ping: { from: 'web', to: 'api', family: 6, count: 1 } },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'eth.src': HOST1, 'eth.dst': HOST2, 'ipv6.src': 'fd44:1::3', 'ipv6.hlim': 63 },
        },
        { at: 'node2/api', way: 'out', fields: { 'eth.dst': API, 'ipv6.src': 'fd44:1::3', 'ipv6.hlim': 63 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '2.3',
      title: 'exceptions keep the source',
      check: { tcp: { from: 'api', to: 'web', bytes: 1000 } },
      sees: [
        { at: 'node2/uplink', way: 'out', fields: { 'ip.src': '10.244.2.3', 'ip.dst': '10.244.1.3', 'ip.proto': 6 } },
        { at: 'node2/uplink', way: 'out', fields: { 'ip.src': '192.0.2.12', 'ip.proto': 6 }, never: true },
      ],
    },
    {
      flow: 'pod to service',
      section: '17.1',
      title: 'DSR: to the backend at the port of who asks, which stays the source; the answer is put right there',
      check: { tcp: { from: 'db', to: '10.96.0.10', port: 80, server: 'web', serverPort: 8000, bytes: 1000 } },
      sees: [
        { at: 'node1/db', way: 'in', fields: { 'eth.dst': ENDPOINT1, 'ip.dst': '10.96.0.10', 'tcp.dstport': 80 } },
        {
          at: 'node1/web',
          way: 'out',
          fields: {
            ...{ 'eth.src': DB, 'eth.dst': WEB, 'ip.src': '10.244.1.4', 'ip.dst': '10.244.1.3' },
            ...{ 'ip.ttl': 64, 'tcp.dstport': 8000 },
          },
        },
        { at: 'node1/db', way: 'out', fields: { 'ip.src': '10.96.0.10', 'tcp.srcport': 80 } },
        { at: 'node1/uplink', way: 'out', fields: { 'ip.dst': '10.96.0.10' }, never: true },
      ],
    },
    {
      flow: 'pod to service',
      section: '17.1',
      title: 'a backend on another node: by the pod’s gateway, and with its own source',
      check: { tcp: { from: 'api', to: '10.96.0.10', port: 80, server: 'web', serverPort: 8000, bytes: 1000 } },
      sees: [
        {
          at: 'node2/uplink',
          way: 'out',
          fields: {
            'eth.dst': HOST1,
            'ip.src': '10.244.2.3',
            'ip.dst': '10.244.1.3',
            'tcp.dstport': 8000,
            'ip.ttl': 63,
          },
        },
      ],
    },
    {
      flow: 'pod to service',
      section: '17.1',
      title: 'itself: loopback DSR gives it the host’s address, and brings the answer back',
      check: { tcp: { from: 'web', to: '10.96.0.10', port: 80, server: 'web', serverPort: 8000, bytes: 1000 } },
      sees: [
        {
          at: 'node1/web',
          way: 'out',
          fields: { 'ip.src': '192.0.2.11', 'ip.dst': '10.244.1.3', 'tcp.dstport': 8000 },
          bytes: '00155d000103 00155d000102 0800',
        },
        { at: 'node1/web', way: 'out', fields: { 'ip.src': '10.96.0.10', 'tcp.srcport': 80 } },
        { at: 'node1/uplink', way: 'out', fields: { 'tcp.dstport': 8000 }, never: true },
      ],
    },
    {
      flow: 'pod to outside',
      section: '2.3',
      title: 'OutBoundNAT: from the node’s address',
      check: { tcp: { from: 'web', to: 'client', bytes: 1000 } },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'eth.src': HOST1, 'ip.src': '192.0.2.11', 'ip.dst': '198.51.100.9', 'ip.ttl': 63, 'ip.proto': 6 },
        },
        { at: 'node1/web', way: 'out', fields: { 'ip.src': '198.51.100.9', 'ip.dst': '10.244.1.3', 'ip.proto': 6 } },
        { at: 'node1/uplink', way: 'out', fields: { 'ip.src': '10.244.1.3', 'ip.proto': 6 }, never: true },
      ],
    },
    {
      flow: 'pod to outside',
      section: '2.4',
      title: 'ICMP is not translated: it leaves with the pod’s address',
      check: { ping: { from: 'web', to: 'client', count: 1 } },
      sees: [
        { at: 'node1/uplink', way: 'out', fields: { 'eth.src': HOST1, 'ip.src': '10.244.1.3', 'icmp.type': 8 } },
        { at: 'node1/uplink', way: 'out', fields: { 'ip.src': '192.0.2.11', 'icmp.type': 8 }, never: true },
      ],
    },
    {
      flow: 'outside to pod',
      section: '2.2',
      title: 'a port mapping: the source and the TTL stay',
      check: { tcp: { from: 'client', to: '192.0.2.11', port: 8080, server: 'web', serverPort: 80, bytes: 1000 } },
      sees: [
        { at: 'node1/uplink', way: 'in', fields: { 'ip.dst': '192.0.2.11', 'tcp.dstport': 8080, 'ip.ttl': 63 } },
        {
          at: 'node1/web',
          way: 'out',
          fields: { 'eth.dst': WEB, 'ip.src': '198.51.100.9', 'ip.dst': '10.244.1.3', 'tcp.dstport': 80, 'ip.ttl': 63 },
        },
        { at: 'node1/uplink', way: 'out', fields: { 'ip.src': '192.0.2.11', 'tcp.srcport': 8080 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.1',
      title: 'a node port that is not DSR: from the node, to a pod of another node; the TTL stays ([I])',
      check: { tcp: { from: 'client', to: '192.0.2.12', port: 30080, server: 'web', serverPort: 8000, bytes: 1000 } },
      sees: [
        {
          at: 'node2/uplink',
          way: 'out',
          fields: {
            ...{ 'eth.src': HOST2, 'eth.dst': HOST1, 'ip.src': '192.0.2.12', 'ip.dst': '10.244.1.3' },
            ...{ 'tcp.dstport': 8000, 'ip.ttl': 63 },
          },
        },
        {
          at: 'node2/uplink',
          way: 'out',
          fields: { 'ip.src': '192.0.2.12', 'ip.dst': '198.51.100.9', 'tcp.srcport': 30080 },
        },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.1',
      title: 'a node port with policy Local: the backend sees the client',
      check: { tcp: { from: 'client', to: '192.0.2.11', port: 30081, server: 'web', serverPort: 8000, bytes: 1000 } },
      sees: [
        {
          at: 'node1/web',
          way: 'out',
          fields: { 'ip.src': '198.51.100.9', 'ip.dst': '10.244.1.3', 'tcp.dstport': 8000, 'ip.ttl': 63 },
        },
      ],
    },
    {
      flow: 'ARP',
      section: '2.2',
      title: 'for another pod of the node: answered with its MAC, and not flooded',
      check: { arp: { from: 'web', to: 'db', mac: DB, count: 1 } },
      sees: [
        {
          at: 'node1/web',
          way: 'out',
          fields: { 'arp.opcode': 2 },
          bytes: `${reply('00155d000103 00155d000104')} 00155d000104 0af40104 00155d000103 0af40103`,
        },
        { at: 'node1/db', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.244.1.4', 'arp.opcode': 1 }, never: true },
      ],
    },
    {
      flow: 'ARP',
      section: '2.2',
      title: 'rule 1: what leaves has the node’s MAC, in ARP too',
      check: { arp: { from: 'web', to: '10.244.1.99', count: 1, timeout: 0.3 }, expect: 'fail' },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'arp.opcode': 1 },
          bytes: `${request('ffffffffffff 00155d000101')} 00155d000101 0af40103 000000000000 0af40163`,
        },
      ],
    },
    {
      flow: 'broadcast',
      section: '2.2',
      title: 'from a pod: to the others as it is, and out with the node’s MAC',
      check: { arp: { from: 'web', to: '10.244.1.98', count: 1, timeout: 0.3 }, expect: 'fail' },
      sees: [
        {
          at: 'node1/db',
          way: 'out',
          fields: { 'arp.opcode': 1 },
          bytes: `${request('ffffffffffff 00155d000103')} 00155d000103 0af40103 000000000000 0af40162`,
        },
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'eth.dst': 'ff:ff:ff:ff:ff:ff', 'eth.src': HOST1, 'arp.opcode': 1 },
        },
      ],
    },
  ],
})
