import { conform } from './conform.ts'
import { ETH, worldCases } from './world-cases.ts'

/* OVN with GENEVE: modes.md 14.1, 14.2. */

const WEB = '0a:58:0a:01:00:02'
const API = '0a:58:0a:01:00:03'
const ROUTER = '0a:58:0a:01:00:01'
/** n1 to n2 in UDP to 6081: DF set, TTL 64, no checksum. */
const OUTER = `${ETH} 4500 .... 0000 4000 40 11 .... c0000201 c0000202 .... 17c1 .... 0000`

conform({
  mode: 'ovn',
  topology: 'ovn',
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '14.2',
      title: 'on the logical switch, frames as they are',
      check: { ping: { from: 'web', to: 'dns', count: 1 } },
      sees: [{ at: 'n1/dns', way: 'out', fields: { 'eth.src': WEB, 'ip.ttl': 64, 'icmp.type': 8 } }],
    },
    {
      flow: 'pod to pod, other node',
      section: '14.1',
      title: 'one logical switch: the option says port 5 to port 6 of datapath 7; TTL as it is',
      check: { ping: { from: 'web', to: 'api', count: 1 } },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'geneve.option.class': '0x0102', 'geneve.option.type': '0x80', '2:ip.ttl': 64 },
          bytes: `${OUTER} 0240 6558 000007 00 0102 80 01 0005 0006 0a580a010003 0a580a010002 0800 45`,
        },
        { at: 'n2/api', way: 'out', fields: { 'eth.src': WEB, 'eth.dst': API, 'ip.ttl': 64, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '14.2',
      title:
        'another logical switch: routed where it comes from, TTL - 1; from the router’s port of datapath 8 to port 2',
      check: { ping: { from: 'web', to: 'db', count: 1 } },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { '2:ip.ttl': 63 },
          bytes: `${OUTER} 0240 6558 000008 00 0102 80 01 7fff 0002 0a580a020002 0a580a020001 0800 45`,
        },
        { at: 'n2/db', way: 'out', fields: { 'eth.src': '0a:58:0a:02:00:01', 'ip.src': '10.1.0.2', 'ip.ttl': 63 } },
        { at: 'n2/uplink', way: 'out', fields: { '2:ip.src': '10.2.0.2', '2:ip.ttl': 63 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: 'Appendix B',
      title: 'the logical router is the one hop, wherever the pods are',
      check: { traceroute: { from: 'web', to: 'db', via: ['10.1.0.1'] } },
      sees: [],
    },
    {
      flow: 'pod to pod, other node',
      section: '14.2',
      title: 'what is for a localport never leaves through a tunnel',
      check: { ping: { from: 'api', to: 'dns', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [
        { at: 'n1/dns', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.1.0.53', 'arp.src.hw_mac': API }, never: true },
      ],
    },
    {
      flow: 'pod to service',
      section: 'Appendix B',
      title:
        'DNAT at the client’s port, then the router; on one switch the answer comes straight, and is of the service at that port',
      check: { http: { from: 'api', to: '10.96.0.11', port: 80, server: 'web', serverPort: 8080 } },
      sees: [
        { at: 'n2/api', way: 'in', fields: { 'eth.dst': ROUTER, 'ip.dst': '10.96.0.11', 'ip.ttl': 64 } },
        {
          at: 'n2/uplink',
          way: 'out',
          fields: { '2:ip.src': '10.1.0.3', '2:ip.dst': '10.1.0.2', '2:ip.ttl': 63, 'tcp.dstport': 8080 },
        },
        { at: 'n1/web', way: 'out', fields: { 'eth.src': ROUTER, 'ip.src': '10.1.0.3', 'tcp.dstport': 8080 } },
        { at: 'n1/uplink', way: 'out', fields: { '2:ip.src': '10.1.0.2', '2:ip.ttl': 64, 'tcp.srcport': 8080 } },
        { at: 'n2/api', way: 'out', fields: { 'eth.src': WEB, 'ip.src': '10.96.0.11', 'tcp.srcport': 80 } },
      ],
    },
    {
      flow: 'pod to service',
      section: 'Appendix B',
      title: 'a pod that is its own backend: turned round at its port, TTL as it is',
      check: { http: { from: 'web', to: '10.96.0.11', port: 80, server: 'web', serverPort: 8080 } },
      sees: [
        {
          at: 'n1/web',
          way: 'out',
          fields: { 'eth.src': ROUTER, 'ip.src': '169.254.169.5', 'ip.ttl': 64, 'tcp.dstport': 8080 },
        },
        { at: 'n1/web', way: 'out', fields: { 'ip.src': '10.96.0.11', 'ip.dst': '10.1.0.2', 'tcp.srcport': 80 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: 'Appendix B',
      title: 'a node port: the gateway router’s load balancer, to a pod of this node, the source kept',
      check: { http: { from: 'world', to: '192.0.2.1', port: 30080, server: 'web', serverPort: 8080 } },
      sees: [
        { at: 'n1/web', way: 'out', fields: { 'ip.src': '198.51.100.9', 'ip.dst': '10.1.0.2', 'tcp.dstport': 8080 } },
        { at: 'n1/uplink', way: 'out', fields: { 'ip.src': '192.0.2.1', 'tcp.srcport': 30080 } },
      ],
    },
    ...worldCases({ node: 'n1', address: '192.0.2.1', pod: 'web', ip: '10.1.0.2', section: 'Appendix B' }),
    {
      flow: 'ARP',
      section: '14.2',
      title: 'answered for a port of the switch on another node',
      check: { arp: { from: 'web', to: 'api', mac: API, count: 1 } },
      sees: [
        {
          at: 'n1/web',
          way: 'out',
          fields: { 'eth.src': API, 'arp.opcode': 2 },
          bytes: '0a580a010002 0a580a010003 0806 0001 0800 06 04 0002 0a580a010003 0a010003 0a580a010002 0a010002',
        },
        { at: 'n2/api', way: 'out', fields: { 'arp.src.hw_mac': WEB, 'arp.dst.proto_ipv4': '10.1.0.3' }, never: true },
      ],
    },
    {
      flow: 'ARP',
      section: '14.2',
      title: 'of the logical router: by the router, on every node',
      check: { arp: { from: 'web', to: '10.1.0.1', mac: ROUTER, count: 1 } },
      sees: [{ at: 'n1/web', way: 'out', fields: { 'eth.src': ROUTER, 'arp.opcode': 2 } }],
    },
    {
      flow: 'broadcast',
      section: '14.1',
      title: 'to the switch’s group, port 0x8000, on every node (A9)',
      check: { ping: { from: 'web', to: '10.1.0.99', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'arp.dst.proto_ipv4': '10.1.0.99' },
          bytes: `${OUTER} 0240655800000700 01028001 00058000 ffffffffffff 0a580a010002 0806`,
        },
        { at: 'n2/api', way: 'out', fields: { 'eth.dst': 'ff:ff:ff:ff:ff:ff', 'arp.dst.proto_ipv4': '10.1.0.99' } },
      ],
    },
  ],
})
