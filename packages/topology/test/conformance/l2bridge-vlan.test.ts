import { conform } from './conform.ts'

/*
 * Windows L2Bridge as its first plan of addresses has it, in a VLAN: pods in the host's own subnet, the network's router for a gateway,
 * their ports access ports and the NIC in trunk mode (modes.md 2.1).
 *
 *     web 192.0.2.21   db 192.0.2.22   host1 192.0.2.11        api 192.0.2.31   host2 192.0.2.12
 *        |                |               |                        |               |
 *     +--+----------------+---------------+--+                  +--+---------------+--+
 *     |                node1                 |                  |        node2        |
 *     +------------------+-------------------+                  +----------+----------+
 *                        | tagged 20                                       | tagged 20
 *     +------------------+-------------------------------------------------+----------+
 *     | physical switch                                                               |
 *     +------------------+------------------------------------------------------------+
 *                        | access 20: the router 192.0.2.1, and behind it the client 198.51.100.9
 */

const HOST1 = '00:15:5d:00:01:01'
const HOST2 = '00:15:5d:00:02:01'
const WEB = '00:15:5d:00:01:21'
const ROUTER = '00:0d:3a:00:00:01'

const TOPOLOGY = `
name: l2bridge-vlan
nodes:
  node1:
    mode: l2bridge
    hostMac: ${HOST1}
    vlan: 20
    gateway: 192.0.2.1
    hostIps: [192.0.2.11]
    endpoints:
      web:
        mac: ${WEB}
        ip: 192.0.2.21/24
        outboundNat: [{ exceptions: [192.0.2.0/24, 10.96.0.0/12] }]
        portMappings: [{ port: 8080, toPort: 80 }]
      db: { mac: 00:15:5d:00:01:22, ip: 192.0.2.22/24 }
      host1: { mac: ${HOST1}, ip: 192.0.2.11/24 }
    uplink: {}
    services: &services
      web:
        port: 80
        clusterIps: [10.96.0.10]
        nodePort: 30080
        externalTrafficPolicy: Local
        backends: [{ to: 192.0.2.21, port: 8000 }]
  node2:
    mode: l2bridge
    hostMac: ${HOST2}
    vlan: 20
    gateway: 192.0.2.1
    endpoints:
      api: { mac: 00:15:5d:00:02:31, ip: 192.0.2.31/24 }
      host2: { mac: ${HOST2}, ip: 192.0.2.12/24 }
    uplink: {}
    services: *services
  street:
    mode: switch
    ports:
      node1: { vlan: { trunk: [20] } }
      node2: { vlan: { trunk: [20] } }
      router: { vlan: { access: 20 } }
  router:
    mode: router
    ports:
      street: { ip: 192.0.2.1/24, mac: ${ROUTER} }
    endpoints:
      client: { ip: 198.51.100.9/24, gateway: 198.51.100.1/24 }
links:
  - [node1/uplink, street/node1]
  - [node2/uplink, street/node2]
  - [street/router, router/street]
`
const TAG = '8100 0014'

conform({
  mode: 'l2bridge-vlan',
  page: 'l2bridge',
  topology: TOPOLOGY,
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '2.2',
      title: 'bridged as it is, without a tag',
      check: { ping: { from: 'web', to: 'db', count: 1 } },
      sees: [
        { at: 'node1/db', way: 'out', fields: { 'icmp.type': 8 }, bytes: '00155d000122 00155d000121 0800 4500 0054' },
        { at: 'node1/uplink', way: 'out', fields: { 'ip.dst': '192.0.2.22' }, never: true },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '2.2',
      title: 'same subnet: from hostM to hostM with the VLAN’s tag; no router in between, TTL 0',
      check: { ping: { from: 'web', to: 'api', count: 1 } },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'ip.src': '192.0.2.21', 'ip.dst': '192.0.2.31', 'ip.ttl': 64, 'icmp.type': 8 },
          bytes: `00155d000201 00155d000101 ${TAG} 0800 4500 0054`,
        },
        {
          at: 'node2/api',
          way: 'out',
          fields: { 'ip.src': '192.0.2.21', 'ip.ttl': 64, 'icmp.type': 8 },
          bytes: '00155d000231 00155d000101 0800 4500 0054',
        },
      ],
    },
    {
      flow: 'pod to service',
      section: '17.1',
      title:
        'DSR, a backend on another node of the subnet: destination and port at the pod’s port, by the router’s MAC',
      check: { tcp: { from: 'api', to: '10.96.0.10', port: 80, server: 'web', serverPort: 8000, bytes: 100 } },
      sees: [
        {
          at: 'node2/uplink',
          way: 'out',
          fields: { 'eth.src': HOST2, 'eth.dst': ROUTER, 'ip.dst': '192.0.2.21', 'tcp.dstport': 8000, 'ip.ttl': 64 },
        },
        { at: 'node2/api', way: 'out', fields: { 'ip.src': '10.96.0.10', 'tcp.srcport': 80 } },
      ],
    },
    {
      flow: 'pod to outside',
      section: '2.3',
      title: 'OutBoundNAT at the uplink, tagged; VFP takes nothing of the TTL',
      check: { udp: { from: 'web', to: 'client', count: 1 } },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'ip.src': '192.0.2.11', 'ip.dst': '198.51.100.9', 'ip.ttl': 64, 'ip.proto': 17 },
          bytes: `000d3a000001 00155d000101 ${TAG} 0800 45`,
        },
        { at: 'node1/web', way: 'out', fields: { 'ip.src': '198.51.100.9', 'ip.dst': '192.0.2.21' } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '2.2',
      title: 'a port mapping: in with a tag, to the pod without',
      check: { tcp: { from: 'client', to: '192.0.2.11', port: 8080, server: 'web', serverPort: 80, bytes: 100 } },
      sees: [
        {
          at: 'node1/web',
          way: 'out',
          fields: { 'ip.src': '198.51.100.9', 'ip.dst': '192.0.2.21', 'tcp.dstport': 80, 'ip.ttl': 63 },
          bytes: '00155d000121 ............ 0800 45',
        },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.1',
      title: 'NodePort from the node itself: no load balancer sees it',
      check: {
        tcp: { from: 'host1', to: '192.0.2.12', port: 30080, server: 'web', serverPort: 8000, timeout: 0.5 },
        expect: 'fail',
      },
      sees: [
        { at: 'node1/host1', way: 'in', fields: { 'ip.dst': '192.0.2.12', 'tcp.dstport': 30080 } },
        { at: 'node1/web', way: 'out', fields: { 'tcp.dstport': 8000 }, never: true },
      ],
    },
    {
      flow: 'ARP',
      section: '2.2',
      title: 'rule 1 and 3: out with hostM in sha and the tag; the reply is the pod’s by tpa, tha too',
      check: { arp: { from: 'web', to: '192.0.2.1', mac: ROUTER, count: 1 } },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'arp.opcode': 1 },
          bytes: `ffffffffffff 00155d000101 ${TAG} 0806 0001 0800 06 04 0001 00155d000101 c0000215 000000000000 c0000201`,
        },
        {
          at: 'node1/web',
          way: 'out',
          fields: { 'arp.opcode': 2 },
          bytes: '00155d000121 000d3a000001 0806 0001 0800 06 04 0002 000d3a000001 c0000201 00155d000121 c0000215',
        },
      ],
    },
    {
      flow: 'ARP',
      section: '2.2',
      title: 'rule 4: for a pod from outside, answered with hostM',
      check: { arp: { from: 'api', to: '192.0.2.21', mac: HOST1, count: 1 } },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'arp.opcode': 2 },
          bytes: `00155d000201 00155d000101 ${TAG} 0806 0001 0800 06 04 0002 00155d000101 c0000215`,
        },
      ],
    },
    {
      flow: 'broadcast',
      section: '2.2',
      title: 'from a pod: to the others of the VLAN as it is, and out with hostM and the tag',
      check: { arp: { from: 'web', to: '192.0.2.98', count: 1, timeout: 0.3 }, expect: 'fail' },
      sees: [
        { at: 'node1/db', way: 'out', fields: { 'eth.src': WEB, 'arp.opcode': 1 } },
        { at: 'node1/uplink', way: 'out', fields: { 'arp.opcode': 1 }, bytes: `ffffffffffff 00155d000101 ${TAG} 0806` },
        // At the other node it is for no endpoint: the host's alone.
        { at: 'node2/host2', way: 'out', fields: { 'eth.src': HOST1, 'arp.opcode': 1 } },
        { at: 'node2/api', way: 'out', fields: { 'arp.opcode': 1 }, never: true },
      ],
    },
  ],
})
