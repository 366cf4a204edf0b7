import { conform } from './conform.ts'

/* Containers with MACs of their own on the physical network, as Windows' transparent networks have them: modes.md 5. */

const WEB = '00:15:5d:14:01:0b'
const DB = '00:15:5d:14:02:0b'
const BARE = '00:15:5d:14:03:0b'
const API = '00:15:5d:14:01:15'
const DESK = '00:15:5d:14:03:15'
const VNIC10 = '00:15:5d:14:01:01'
const VNIC20 = '00:15:5d:14:02:01'

conform({
  mode: 'transparent',
  topology: 'transparent',
  absent: {
    'pod to service': 'load balancers of HNS are not on networks of type Transparent',
  },
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '5',
      title: 'another subnet: routed by the container host, TTL - 1',
      check: { ping: { from: 'web', to: 'db', family: 4, count: 1 } },
      sees: [
        { at: 'winhost-a/web', way: 'in', fields: { 'eth.src': WEB, 'eth.dst': VNIC10, 'ip.ttl': 64, 'icmp.type': 8 } },
        {
          at: 'winhost-a/db',
          way: 'out',
          fields: { 'eth.src': VNIC20, 'eth.dst': DB, 'ip.src': '172.20.1.11', 'ip.ttl': 63, 'icmp.type': 8 },
          bytes: '00155d14020b 00155d140201 0800 45.. .... .... .... 3f01 .... ac14010b ac14020b 0800',
        },
        { at: 'winhost-a/uplink', way: 'out', fields: { 'ip.dst': '172.20.2.11' }, never: true },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '5',
      title: 'bridged, MACs and TTL as they are; the VLAN’s tag on the uplink alone',
      check: { ping: { from: 'web', to: 'api', count: 1 } },
      sees: [
        {
          at: 'winhost-a/uplink',
          way: 'out',
          fields: { 'eth.src': WEB, 'eth.dst': API, 'vlan.id': 10, 'ip.ttl': 64, 'icmp.type': 8 },
          bytes: '00155d140115 00155d14010b 8100 000a 0800 45.. .... .... .... 4001 .... ac14010b ac140115 0800',
        },
        {
          at: 'winhost-b/api',
          way: 'out',
          fields: { 'eth.src': WEB, 'eth.dst': API, 'ip.ttl': 64, 'icmp.type': 8 },
          bytes: '00155d140115 00155d14010b 0800 45.. .... .... .... 4001 .... ac14010b ac140115 0800',
        },
      ],
    },
    {
      flow: 'pod to outside',
      section: '5',
      title: 'without a VLAN: the frame as it is, the container’s MAC on the wire',
      check: { ping: { from: 'bare', to: 'desk', count: 1 } },
      sees: [
        {
          at: 'winhost-a/uplink',
          way: 'out',
          fields: { 'eth.src': BARE, 'eth.dst': DESK, 'ip.src': '172.20.3.11', 'ip.ttl': 64, 'icmp.type': 8 },
          bytes: '00155d140315 00155d14030b 0800 45.. .... .... .... 4001 .... ac14030b ac140315 0800',
        },
      ],
    },
    {
      flow: 'outside to pod',
      section: '5',
      title: 'untranslated, to the container’s MAC',
      check: { udp: { from: 'desk', to: 'bare', count: 1 } },
      sees: [
        {
          at: 'winhost-a/uplink',
          way: 'in',
          fields: { 'eth.src': DESK, 'eth.dst': BARE, 'ip.ttl': 64, 'ip.dst': '172.20.3.11' },
        },
        {
          at: 'winhost-a/bare',
          way: 'out',
          fields: { 'eth.src': DESK, 'eth.dst': BARE, 'ip.ttl': 64, 'ip.dst': '172.20.3.11' },
        },
      ],
    },
    {
      flow: 'ARP',
      section: '5',
      title: 'containers answer for themselves, also to other nodes',
      check: { arp: { from: 'web', to: '172.20.1.21', mac: API, count: 1 } },
      sees: [
        {
          at: 'winhost-a/uplink',
          way: 'in',
          fields: { 'eth.src': API, 'vlan.id': 10, 'arp.opcode': 2, 'arp.src.hw_mac': API },
          bytes:
            '00155d14010b 00155d140115 8100 000a 0806 0001 0800 06 04 0002 00155d140115 ac140115 00155d14010b ac14010b',
        },
        { at: 'winhost-a/web', way: 'out', fields: { 'eth.src': API, 'arp.opcode': 2, 'arp.dst.hw_mac': WEB } },
      ],
    },
    {
      flow: 'broadcast',
      section: '5',
      title: 'flooded to the uplink and all ports of the VLAN, tagged on the uplink, and to no other VLAN',
      check: { arp: { from: 'bare', to: '172.20.1.21', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [
        {
          at: 'winhost-a/uplink',
          way: 'out',
          fields: { 'eth.src': BARE, 'eth.dst': 'ff:ff:ff:ff:ff:ff', 'arp.dst.proto_ipv4': '172.20.1.21' },
          bytes: 'ffffffffffff 00155d14030b 0806',
        },
        { at: 'winhost-b/desk', way: 'out', fields: { 'eth.src': BARE, 'arp.opcode': 1 } },
        { at: 'winhost-b/api', way: 'out', fields: { 'eth.src': BARE }, never: true },
        { at: 'winhost-a/web', way: 'out', fields: { 'eth.src': BARE }, never: true },
      ],
    },
  ],
})
