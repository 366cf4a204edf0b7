import { conform } from './conform.ts'

/* Containers behind the host's address, as Windows' NAT has them: modes.md 6. */

const GATEWAY = '00:15:5d:00:00:01'
const WEB = '00:15:5d:00:00:11'
const APP = '00:15:5d:00:00:12'
const HOST = '00:15:5d:cb:71:01'

conform({
  mode: 'winnat',
  topology: 'winnat',
  absent: {
    'pod to pod, other node': 'between nodes there are exposed ports alone: see outside to pod',
    'pod to service': 'load balancers of HNS are not on networks of type NAT',
  },
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '6',
      title: 'bridged by the internal switch, nothing changes',
      check: { ping: { from: 'web', to: 'app', count: 1 } },
      sees: [
        {
          at: 'winhost/app',
          way: 'out',
          fields: { 'eth.src': WEB, 'eth.dst': APP, 'ip.src': '172.16.0.11', 'ip.ttl': 64, 'icmp.type': 8 },
          bytes: '00155d000012 00155d000011 0800 4500 .... .... .... 4001 .... ac10000b ac10000c 0800',
        },
      ],
    },
    {
      flow: 'pod to pod, same node',
      section: '6',
      title: 'crossing subnets is not supported: it ends at the host',
      check: { ping: { from: 'web', to: 'test', count: 1, timeout: 1 }, expect: { drop: 'Isolated' } },
      sees: [
        { at: 'winhost/web', way: 'in', fields: { 'eth.dst': GATEWAY, 'ip.dst': '172.16.16.11' } },
        { at: 'winhost/test', way: 'out', fields: { 'ip.src': '172.16.0.11' }, never: true },
      ],
    },
    {
      flow: 'pod to outside',
      section: '6',
      title: 'the source becomes the host’s address and MAC, TTL - 1, and back',
      check: { udp: { from: 'app', to: 'desk', count: 1 } },
      sees: [
        {
          at: 'winhost/app',
          way: 'in',
          fields: { 'eth.src': APP, 'eth.dst': GATEWAY, 'ip.src': '172.16.0.12', 'ip.ttl': 64 },
        },
        {
          at: 'winhost/uplink',
          way: 'out',
          fields: { 'eth.src': HOST, 'ip.src': '203.0.113.1', 'ip.dst': '198.51.100.9', 'ip.ttl': 63, 'ip.proto': 17 },
          bytes: '............ 00155dcb7101 0800 45.. .... .... .... 3f11 .... cb007101 c6336409',
        },
        { at: 'winhost/uplink', way: 'out', fields: { 'ip.src': '172.16.0.12' }, never: true },
        {
          at: 'winhost/app',
          way: 'out',
          fields: {
            'eth.src': GATEWAY,
            'eth.dst': APP,
            'ip.src': '198.51.100.9',
            'ip.dst': '172.16.0.12',
            'ip.ttl': 62,
          },
        },
      ],
    },
    {
      flow: 'pod to outside',
      section: '6',
      title: 'queries of ICMP are translated, too',
      check: { ping: { from: 'web', to: 'desk', count: 1 } },
      sees: [
        {
          at: 'winhost/uplink',
          way: 'out',
          fields: { 'eth.src': HOST, 'ip.src': '203.0.113.1', 'ip.ttl': 63, 'icmp.type': 8 },
        },
        { at: 'winhost/web', way: 'out', fields: { 'eth.dst': WEB, 'ip.dst': '172.16.0.11', 'icmp.type': 0 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '6',
      title: 'a mapped port leads to a container, whose answers come from there',
      check: {
        tcp: { from: 'desk', to: '203.0.113.1', port: 8080, server: 'web', serverPort: 80, bytes: 1000 },
      },
      sees: [
        { at: 'winhost/uplink', way: 'in', fields: { 'ip.dst': '203.0.113.1', 'tcp.dstport': 8080, 'ip.ttl': 63 } },
        {
          at: 'winhost/web',
          way: 'out',
          fields: {
            ...{ 'eth.src': GATEWAY, 'eth.dst': WEB, 'ip.src': '198.51.100.9', 'ip.dst': '172.16.0.11' },
            ...{ 'tcp.dstport': 80, 'ip.ttl': 62 },
          },
          bytes: '00155d000011 00155d000001 0800 45.. .... .... .... 3e06 .... c6336409 ac10000b .... 0050',
        },
        { at: 'winhost/uplink', way: 'out', fields: { 'ip.src': '203.0.113.1', 'tcp.srcport': 8080 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '6',
      title: 'but not its own address',
      check: { ping: { from: 'desk', to: 'web', count: 1, timeout: 1 }, expect: { drop: 'NatFiltered' } },
      sees: [{ at: 'winhost/web', way: 'out', fields: { 'ip.src': '198.51.100.9' }, never: true }],
    },
    {
      flow: 'ARP',
      section: '6',
      title: 'the host’s vNIC is the gateway',
      check: { arp: { from: 'web', to: '172.16.0.1', mac: GATEWAY, count: 1 } },
      sees: [
        {
          at: 'winhost/web',
          way: 'out',
          fields: { 'eth.src': GATEWAY, 'arp.opcode': 2, 'arp.src.hw_mac': GATEWAY },
          bytes: '00155d000011 00155d000001 0806 0001 0800 06 04 0002 00155d000001 ac100001 00155d000011 ac10000b',
        },
      ],
    },
    {
      flow: 'broadcast',
      section: '6',
      title: 'flooded on the internal switch, and no further',
      check: { arp: { from: 'web', to: '172.16.0.12', mac: APP, count: 1 } },
      sees: [
        {
          at: 'winhost/app',
          way: 'out',
          fields: { 'eth.dst': 'ff:ff:ff:ff:ff:ff', 'eth.src': WEB, 'arp.dst.proto_ipv4': '172.16.0.12' },
        },
        { at: 'winhost/test', way: 'out', fields: { 'eth.src': WEB }, never: true },
        { at: 'winhost/uplink', way: 'out', fields: { 'eth.src': WEB }, never: true },
      ],
    },
  ],
})
