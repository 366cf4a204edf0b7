import { conform } from './conform.ts'

/* Pods of Windows on overlay networks: modes.md 4. */

const DR = '00:15:5d:00:10:01'
const DR2 = '00:15:5d:00:10:02'
const HOST = '00:15:5d:00:00:01'
const WEB = '0e:2a:0a:f4:01:05'

conform({
  mode: 'overlay',
  topology: 'overlay',
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '4.3',
      title: 'bridged: the frame as it is, MACs 0e:2a and the address',
      check: { ping: { from: 'web', to: 'db', count: 1 } },
      sees: [
        {
          at: 'win1/db',
          way: 'out',
          fields: { 'ip.ttl': 64, 'icmp.type': 8 },
          bytes: '0e2a0af40106 0e2a0af40105 0800 4500 .... .... .... 40 01 .... 0af40105 0af40106',
        },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '4.2, 4.3',
      title: 'VXLAN from provider address to provider address, inside from router to router, TTL - 1 in all',
      check: { ping: { from: 'web', to: 'api', count: 1 } },
      sees: [
        { at: 'win1/web', way: 'in', fields: { 'eth.src': WEB, 'eth.dst': DR, 'ip.ttl': 64, 'icmp.type': 8 } },
        {
          at: 'win1/uplink',
          way: 'out',
          fields: { 'ip.ttl': 128, 'udp.checksum': '0x0000', '2:ip.ttl': 63, '2:eth.src': DR, '2:eth.dst': DR2 },
          bytes:
            '00155d000002 00155d000001 0800 4500 0086 .... 0000 8011 .... c0000201 c0000202 .... 12b5 0072 0000 ' +
            '08 000000 001000 00 00155d001002 00155d001001 0800 45 00 0054 .... .... 3f 01 .... 0af40105 0af40205',
        },
        { at: 'win2/api', way: 'out', fields: { 'eth.src': DR2, 'eth.dst': '0e:2a:0a:f4:02:05', 'ip.ttl': 63 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '4.1, 11',
      title: 'a Linux node, as flannel has it: its own hop, and its MAC',
      check: { udp: { from: 'app', to: 'web', count: 1 } },
      sees: [
        {
          at: 'win1/uplink',
          way: 'in',
          fields: { 'ip.src': '192.0.2.3', 'vxlan.vni': 4096, '2:eth.src': '02:00:00:00:10:03', '2:eth.dst': DR },
        },
        { at: 'win1/web', way: 'out', fields: { 'eth.src': DR, 'ip.src': '10.244.3.5', 'ip.ttl': 63 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '4.1',
      title: 'another network with the same addresses: another VNI, and nobody else hears it',
      check: { ping: { from: 'red', to: 'pink', count: 1 } },
      sees: [
        {
          at: 'win1/uplink',
          way: 'out',
          fields: { 'vxlan.vni': 5000, '2:ip.src': '10.244.1.5', '2:ip.dst': '10.244.2.5' },
        },
        { at: 'win2/pink', way: 'out', fields: { 'ip.src': '10.244.1.5', 'icmp.type': 8 } },
        { at: 'win2/api', way: 'out', fields: { 'icmp.type': 8 }, never: true },
      ],
    },
    {
      flow: 'pod to service',
      section: '4.3, 17.1',
      title: 'DSR: translated at the pod’s port, the source stays',
      check: { tcp: { from: 'db', to: '10.96.0.10', port: 80, server: 'api', serverPort: 8080, bytes: 1000 } },
      sees: [
        { at: 'win1/db', way: 'in', fields: { 'ip.dst': '10.96.0.10', 'tcp.dstport': 80 } },
        {
          at: 'win1/uplink',
          way: 'out',
          fields: { '2:ip.src': '10.244.1.6', '2:ip.dst': '10.244.2.5', 'tcp.dstport': 8080, '2:ip.ttl': 63 },
        },
        { at: 'win1/db', way: 'out', fields: { 'ip.src': '10.96.0.10', 'tcp.srcport': 80 } },
      ],
    },
    {
      flow: 'pod to service',
      section: '4.3, 17.1',
      title: 'not DSR: the backend sees the SourceVIP',
      check: { tcp: { from: 'api', to: '10.96.0.11', port: 80, server: 'web', serverPort: 8080, bytes: 1000 } },
      sees: [
        { at: 'win1/web', way: 'out', fields: { 'ip.src': '10.244.2.2', 'ip.dst': '10.244.1.5', 'tcp.dstport': 8080 } },
        { at: 'win2/api', way: 'out', fields: { 'ip.src': '10.96.0.11', 'tcp.srcport': 80 } },
      ],
    },
    {
      flow: 'pod to service',
      section: '17.1',
      title: 'loopback DSR: a pod that is its own backend gets its packets from the host’s address',
      check: { tcp: { from: 'web', to: '10.96.0.11', port: 80, server: 'web', serverPort: 8080, bytes: 1000 } },
      sees: [
        { at: 'win1/web', way: 'out', fields: { 'ip.src': '192.0.2.1', 'ip.dst': '10.244.1.5', 'tcp.dstport': 8080 } },
      ],
    },
    {
      flow: 'pod to outside',
      section: '4.3',
      title: 'OutBoundNAT, and a plain frame from the host, TTL - 1',
      check: { tcp: { from: 'db', to: 'client', bytes: 1000 } },
      sees: [
        {
          at: 'win1/uplink',
          way: 'out',
          fields: { 'eth.src': HOST, 'ip.src': '192.0.2.1', 'ip.dst': '198.51.100.9', 'ip.ttl': 63 },
        },
      ],
    },
    {
      flow: 'pod to outside',
      section: '2.4, 4.1',
      title: 'ICMP is not translated: it leaves with the pod’s address, and no answer comes',
      check: { ping: { from: 'web', to: 'client', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [{ at: 'win1/uplink', way: 'out', fields: { 'eth.src': HOST, 'ip.src': '10.244.1.5', 'icmp.type': 8 } }],
    },
    {
      flow: 'outside to pod',
      section: '4.3',
      title: 'NodePort with a backend on another node: from the SourceVIP, by VXLAN',
      check: { tcp: { from: 'client', to: '192.0.2.1', port: 30080, server: 'api', serverPort: 8080, bytes: 1000 } },
      sees: [
        {
          at: 'win1/uplink',
          way: 'in',
          fields: { 'ip.src': '198.51.100.9', 'ip.dst': '192.0.2.1', 'tcp.dstport': 30080 },
        },
        {
          at: 'win1/uplink',
          way: 'out',
          fields: { 'ip.dst': '192.0.2.2', '2:ip.src': '10.244.1.2', '2:ip.dst': '10.244.2.5', 'tcp.dstport': 8080 },
        },
        {
          at: 'win1/uplink',
          way: 'out',
          fields: { 'ip.src': '192.0.2.1', 'ip.dst': '198.51.100.9', 'tcp.srcport': 30080 },
        },
      ],
    },
    {
      flow: 'ARP',
      section: '4.3',
      title: 'for the gateway: the distributed router’s MAC, and no question on the underlay',
      check: { arp: { from: 'web', to: '10.244.1.1', mac: DR, count: 1 } },
      sees: [
        {
          at: 'win1/web',
          way: 'out',
          fields: { 'arp.opcode': 2 },
          bytes: '0e2a0af40105 00155d001001 0806 0001 0800 06 04 0002 00155d001001 0af40101 0e2a0af40105 0af40105',
        },
        { at: 'win1/uplink', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.244.1.1' }, never: true },
      ],
    },
    {
      flow: 'broadcast',
      section: '4.3',
      title: 'nothing that is for all leaves the node',
      check: { arp: { from: 'web', to: '10.244.1.99', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [
        { at: 'win1/db', way: 'out', fields: { 'arp.opcode': 1, 'arp.dst.proto_ipv4': '10.244.1.99' } },
        { at: 'win1/red', way: 'out', fields: { 'arp.opcode': 1 }, never: true },
        { at: 'win1/uplink', way: 'out', fields: { 'vxlan.vni': 4096 }, never: true },
      ],
    },
  ],
})
