import { conform } from './conform.ts'

/* Windows L2Tunnel, and the physical host under it: modes.md 3. */

const FABRIC = '12:34:56:78:9a:bc'
const VM1 = '00:0d:3a:00:00:01'
const WEB = '00:15:5d:00:01:0b'
const DB = '00:15:5d:00:01:0c'
const API = '00:15:5d:00:02:15'

conform({
  mode: 'l2tunnel',
  topology: 'l2tunnel',
  absent: {
    'outside to pod': 'as on l2bridge, where it is tried',
  },
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '3',
      title: 'out to the fabric behind the node’s MAC, back by the same wire, TTL 0',
      check: { ping: { from: 'web', to: 'db', count: 1 } },
      sees: [
        { at: 'vm1/web', way: 'in', fields: { 'eth.dst': FABRIC, 'eth.src': WEB, 'ip.ttl': 64, 'icmp.type': 8 } },
        {
          at: 'vm1/uplink',
          way: 'out',
          fields: { 'ip.src': '10.240.0.11', 'ip.dst': '10.240.0.12', 'ip.ttl': 64, 'icmp.type': 8 },
          bytes: '123456789abc 000d3a000001 0800 4500 0054',
        },
        {
          at: 'vm1/uplink',
          way: 'in',
          fields: { 'ip.src': '10.240.0.11', 'ip.ttl': 64, 'icmp.type': 8 },
          bytes: '000d3a000001 123456789abc 0800 4500 0054',
        },
        {
          at: 'vm1/db',
          way: 'out',
          fields: { 'ip.src': '10.240.0.11', 'ip.ttl': 64, 'icmp.type': 8 },
          bytes: '00155d00010c 123456789abc 0800 4500 0054',
        },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '3',
      title: 'the same way, to the other node’s MAC',
      check: { ping: { from: 'web', to: 'api', count: 1 } },
      sees: [
        { at: 'vm1/uplink', way: 'out', fields: { 'eth.src': VM1, 'eth.dst': FABRIC, 'ip.ttl': 64, 'icmp.type': 8 } },
        { at: 'vm2/uplink', way: 'in', fields: { 'eth.src': FABRIC, 'eth.dst': '00:0d:3a:00:00:02', 'icmp.type': 8 } },
        { at: 'vm2/api', way: 'out', fields: { 'eth.dst': API, 'ip.src': '10.240.0.11', 'ip.ttl': 64 } },
      ],
    },
    {
      flow: 'pod to pod, same node',
      section: '3',
      title: 'the fabric’s policy is for pods of one node, too',
      check: { tcp: { from: 'web', to: 'db', port: 23, timeout: 0.5 }, expect: { drop: 'AclBlock' } },
      sees: [
        { at: 'vm1/uplink', way: 'out', fields: { 'ip.dst': '10.240.0.12', 'tcp.dstport': 23 } },
        { at: 'vm1/uplink', way: 'in', fields: { 'ip.dst': '10.240.0.12', 'tcp.dstport': 23 }, never: true },
      ],
    },
    {
      flow: 'pod to service',
      section: '17.1',
      title: 'DSR at the port of who asks, and the packet to the backend goes by the fabric',
      check: { tcp: { from: 'web', to: '10.96.0.20', port: 5432, server: 'db', serverPort: 5432, bytes: 1000 } },
      sees: [
        { at: 'vm1/uplink', way: 'out', fields: { 'eth.dst': FABRIC, 'ip.dst': '10.240.0.12', 'tcp.dstport': 5432 } },
        { at: 'vm1/db', way: 'out', fields: { 'eth.dst': DB, 'ip.src': '10.240.0.11', 'tcp.dstport': 5432 } },
        { at: 'vm1/uplink', way: 'out', fields: { 'ip.dst': '10.96.0.20' }, never: true },
      ],
    },
    {
      flow: 'pod to outside',
      section: '2.3',
      title: 'OutBoundNAT: from the node’s address',
      check: { tcp: { from: 'web', to: 'client', bytes: 1000 } },
      sees: [
        {
          at: 'vm1/uplink',
          way: 'out',
          fields: { 'eth.src': VM1, 'eth.dst': FABRIC, 'ip.src': '10.240.0.4', 'ip.dst': '198.51.100.9', 'ip.ttl': 64 },
        },
      ],
    },
    {
      flow: 'ARP',
      section: '7.3',
      title: 'whoever is asked for, the answer is the fabric’s MAC',
      check: { arp: { from: 'web', to: 'db', mac: FABRIC, count: 1 } },
      sees: [
        {
          at: 'vm1/web',
          way: 'out',
          fields: { 'arp.opcode': 2 },
          bytes: '00155d00010b 123456789abc 0806 0001 0800 06 04 0002 123456789abc 0af0000c 00155d00010b 0af0000b',
        },
      ],
    },
    {
      flow: 'broadcast',
      section: '3',
      title: 'leaves for the fabric, and reaches no pod',
      check: { arp: { from: 'web', to: '10.240.0.1', mac: FABRIC, count: 1 } },
      sees: [
        {
          at: 'vm1/uplink',
          way: 'out',
          fields: { 'arp.dst.proto_ipv4': '10.240.0.1' },
          bytes: '123456789abc 000d3a000001 0806',
        },
        { at: 'vm1/db', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.240.0.1' }, never: true },
      ],
    },
  ],
})
