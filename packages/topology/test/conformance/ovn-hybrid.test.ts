import { conform } from './conform.ts'

/* The Linux side of ovn-kubernetes' hybrid overlay, with a node of Windows on the other: modes.md 4.4. */

const DR = '0a:58:0a:f4:03:03'
const WIN = '00:15:5d:00:10:04'

conform({
  mode: 'ovn-hybrid',
  page: 'hybrid-overlay',
  topology: 'hybrid-overlay',
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '14.2',
      title: 'on the logical switch, as it is',
      check: { ping: { from: 'pod', to: 'app', count: 1 } },
      sees: [
        {
          at: 'linux/app',
          way: 'out',
          fields: { 'eth.src': '0a:58:0a:f4:03:05', 'eth.dst': '0a:58:0a:f4:03:06', 'ip.ttl': 64, 'icmp.type': 8 },
        },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '4.4',
      title: 'to a Windows subnet: tun_id 4097, eth_dst the node’s drMac, one hop of the logical router',
      check: { ping: { from: 'pod', to: 'iis', count: 1 } },
      sees: [
        {
          at: 'linux/uplink',
          way: 'out',
          fields: { 'vxlan.vni': 4097, '2:eth.dst': WIN, '2:ip.ttl': 63 },
          bytes:
            '00155d000004 ............ 0800 4500 0086 .... 4000 4011 .... c0000203 c0000204 .... 12b5 0072 0000 ' +
            '08 000000 001001 00 00155d001004 0a580af40301 0800 45 00 0054 .... .... 3f 01 .... 0af40305 0af40405',
        },
        { at: 'windows/iis', way: 'out', fields: { 'eth.src': WIN, 'eth.dst': '0e:2a:0a:f4:04:05', 'ip.ttl': 63 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '4.4',
      title: 'from Windows: what is for drMac goes to the pod, whose frame comes from drMac',
      check: { udp: { from: 'iis', to: 'app', count: 1 } },
      sees: [
        {
          at: 'linux/uplink',
          way: 'in',
          fields: { 'vxlan.vni': 4097, '2:eth.src': WIN, '2:eth.dst': DR, '2:ip.src': '10.244.4.5', '2:ip.ttl': 63 },
        },
        {
          at: 'linux/app',
          way: 'out',
          fields: { 'eth.src': DR, 'eth.dst': '0a:58:0a:f4:03:06', 'ip.src': '10.244.4.5', 'ip.ttl': 63 },
        },
      ],
    },
    {
      flow: 'pod to service',
      section: '4.4, 17',
      title: 'a backend on Windows: the pod’s own address is its source',
      check: { tcp: { from: 'pod', to: '10.96.0.20', port: 80, server: 'iis', serverPort: 8080, bytes: 1000 } },
      sees: [
        { at: 'windows/iis', way: 'out', fields: { 'ip.src': '10.244.3.5', 'tcp.dstport': 8080 } },
        { at: 'linux/pod', way: 'out', fields: { 'ip.src': '10.96.0.20', 'tcp.srcport': 80 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '4.4',
      title: 'a node port: what the gateway router sends comes from drIp, .3',
      check: { tcp: { from: 'client', to: '192.0.2.3', port: 30080, server: 'iis', serverPort: 8080, bytes: 1000 } },
      sees: [
        {
          at: 'linux/uplink',
          way: 'out',
          fields: { 'vxlan.vni': 4097, '2:ip.src': '10.244.3.3', '2:ip.dst': '10.244.4.5', 'tcp.dstport': 8080 },
        },
        { at: 'linux/uplink', way: 'in', fields: { 'vxlan.vni': 4097, '2:ip.dst': '10.244.3.3', 'tcp.srcport': 8080 } },
        {
          at: 'linux/uplink',
          way: 'out',
          fields: { 'ip.src': '192.0.2.3', 'ip.dst': '192.0.2.9', 'tcp.srcport': 30080 },
        },
      ],
    },
    {
      flow: 'pod to outside',
      section: '14.2',
      title: 'the gateway router’s SNAT',
      check: { tcp: { from: 'pod', to: 'client', bytes: 1000 } },
      sees: [
        { at: 'linux/uplink', way: 'out', fields: { 'ip.src': '192.0.2.3', 'ip.dst': '192.0.2.9', 'ip.ttl': 63 } },
      ],
    },
    {
      flow: 'ARP',
      section: '4.4',
      title: 'for drIp: answered in place, at drMac',
      check: { arp: { from: 'pod', to: '10.244.3.3', mac: DR, count: 1 } },
      sees: [
        {
          at: 'linux/pod',
          way: 'out',
          fields: { 'arp.opcode': 2 },
          bytes: '0a580af40305 0a580af40303 0806 0001 0800 06 04 0002 0a580af40303 0af40303 0a580af40305 0af40305',
        },
      ],
    },
    {
      flow: 'broadcast',
      section: '4.4',
      title: 'no rule of br-ext is about it: it stays on the node',
      check: { arp: { from: 'pod', to: '10.244.3.99', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [
        { at: 'linux/app', way: 'out', fields: { 'arp.opcode': 1, 'arp.dst.proto_ipv4': '10.244.3.99' } },
        { at: 'linux/uplink', way: 'out', fields: { 'vxlan.vni': 4097 }, never: true },
      ],
    },
  ],
})
