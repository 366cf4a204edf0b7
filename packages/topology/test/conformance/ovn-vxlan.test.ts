import { conform } from './conform.ts'
import { ETH } from './world-cases.ts'

/* OVN where a chassis has VXLAN only: modes.md 14.1. */

const OUTER = `${ETH} 4500 .... 0000 4000 40 11 .... c0000201 c0000202 .... 12b5 .... 0000 0800 0000`

const TOPOLOGY = `
name: ovn-vxlan
segments:
  lan: { mtu: 1600 }
nodes:
  n1:
    mode: ovn
    encapsulation: vxlan
    uplink: { segment: lan, ip: 192.0.2.1/24, mtu: 1600 }
    switches: { blue: { key: 7, gateway: { ip: 10.1.0.1/24 } } }
    endpoints:
      web: { key: 5, ip: 10.1.0.2/24 }
      job: { key: 4, ip: 10.1.0.4/24 }
  n2:
    mode: ovn
    encapsulation: vxlan
    uplink: { segment: lan, ip: 192.0.2.2/24, mtu: 1600 }
    switches: { blue: { key: 7, gateway: { ip: 10.1.0.1/24 } } }
    endpoints:
      api: { key: 3, ip: 10.1.0.3/24 }
checks:
  - ping: { from: web, to: api }
`

conform({
  mode: 'ovn-vxlan',
  page: 'ovn',
  topology: TOPOLOGY,
  absent: {
    'pod to service': 'at pods’ ports, whatever is between nodes: see ovn',
    'pod to outside': 'as of ovn: no tunnel is in it',
    'outside to pod': 'as of ovn: no tunnel is in it',
  },
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '14.2',
      title: 'on the logical switch',
      check: { ping: { from: 'web', to: 'job', count: 1 } },
      sees: [{ at: 'n1/job', way: 'out', fields: { 'ip.ttl': 64, 'icmp.type': 8 } }],
    },
    {
      flow: 'pod to pod, other node',
      section: '14.1',
      title: 'VNI 0x003007: port 3 of datapath 7 (A10)',
      check: { ping: { from: 'web', to: 'api', count: 1 } },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'vxlan.vni': 0x003007, '2:ip.ttl': 64 },
          bytes: `${OUTER} 003007 00 0a580a010003 0a580a010002 0800 45`,
        },
        { at: 'n1/uplink', way: 'in', fields: { 'vxlan.vni': 0x005007, '2:ip.src': '10.1.0.3' } },
        { at: 'n2/api', way: 'out', fields: { 'ip.src': '10.1.0.2', 'ip.ttl': 64, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'ARP',
      section: '14.2',
      title: 'answered for a port of the switch on another node',
      check: { arp: { from: 'web', to: 'api', mac: '0a:58:0a:01:00:03', count: 1 } },
      sees: [{ at: 'n1/web', way: 'out', fields: { 'eth.src': '0a:58:0a:01:00:03', 'arp.opcode': 2 } }],
    },
    {
      flow: 'broadcast',
      section: '14.1',
      title: 'to the group, 2048 of the VNI',
      check: { ping: { from: 'web', to: '10.1.0.99', count: 1, timeout: 1 }, expect: 'fail' },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: { 'vxlan.vni': 0x800007 }, bytes: `${OUTER} 800007 00 ffffffffffff` },
        { at: 'n2/api', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.1.0.99' } },
      ],
    },
  ],
})
