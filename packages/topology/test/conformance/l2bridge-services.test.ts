import { conform } from './conform.ts'

/*
 * Services and OutBoundNAT of Windows L2Bridge as they are besides the usual: kube-proxy without DSR, preserved destinations, services
 * without endpoints, several policies at once, a VirtualIP (modes.md 2.3 and 17.1). What is [I] there is tried as it is by default.
 *
 *     web 10.244.1.3   db 10.244.1.4   vip 10.244.1.5        api 10.244.2.3
 *        |                |               |                     |
 *     +--+----------------+---------------+--+               +--+-------------+
 *     | .2         node1, 192.0.2.11         |               | node2, .12     |
 *     +------------------+-------------------+               +-------+--------+
 *                        +----------- lan, 192.0.2.1 ----------------+
 *                                       |
 *                              client 198.51.100.9
 */

const HOST1 = '00:15:5d:00:01:01'
const HOST2 = '00:15:5d:00:02:01'
const ENDPOINT1 = '00:15:5d:00:01:02'
const DB = '00:15:5d:00:01:04'

const TOPOLOGY = `
name: l2bridge-services
segments:
  lan:
    router:
      ip: 192.0.2.1/24
      routes:
        - { to: 10.244.1.0/24, via: 192.0.2.11 }
        - { to: 10.244.2.0/24, via: 192.0.2.12 }
        - { to: 203.0.113.0/24, via: 192.0.2.11 }
  outside:
    router: { ip: 198.51.100.1/24 }
    hosts: { client: { ip: 198.51.100.9/24 } }
nodes:
  node1:
    mode: l2bridge
    hostMac: ${HOST1}
    host: { ip: 192.0.2.11/24 }
    hostEndpoint: { ip: 10.244.1.2/24, mac: ${ENDPOINT1} }
    lbMode: nondsr
    uplink: { segment: lan }
    routes: [{ to: 10.244.2.0/24, via: 192.0.2.12 }, { to: 0.0.0.0/0, via: 192.0.2.1 }]
    endpoints:
      web:
        mac: 00:15:5d:00:01:03
        ip: 10.244.1.3/24
        # win-bridge's ipMasqNetwork adds a second policy and leaves the first as it is.
        outboundNat: [{ exceptions: [10.96.0.0/12, 198.51.100.9/32] }, { exceptions: [10.244.0.0/16] }]
        sdnRoutes: [10.96.0.0/12]
      db: { mac: ${DB}, ip: 10.244.1.4/24, outboundNat: [{ exceptions: [192.0.2.0/24] }] }
      vip: { mac: 00:15:5d:00:01:05, ip: 10.244.1.5/24, outboundNat: [{ virtualIp: 192.0.2.99 }] }
    services:
      far:
        port: 80
        clusterIps: [10.96.0.20]
        backends: [{ to: 10.244.2.3, port: 8000 }]
      near:
        port: 80
        clusterIps: [10.96.0.21]
        backends: [{ to: 10.244.1.4, port: 8000 }]
      none: { port: 80, clusterIps: [10.96.0.22], nodePort: 30082, backends: [] }
  node2:
    mode: l2bridge
    hostMac: ${HOST2}
    host: { ip: 192.0.2.12/24 }
    hostEndpoint: { ip: 10.244.2.2/24, mac: 00:15:5d:00:02:02 }
    uplink: { segment: lan }
    routes: [{ to: 10.244.1.0/24, via: 192.0.2.11 }, { to: 0.0.0.0/0, via: 192.0.2.1 }]
    endpoints:
      api: { mac: 00:15:5d:00:02:03, ip: [10.244.2.3/24] }
    services:
      kept:
        protocol: udp
        port: 53
        loadBalancerIps: [192.0.2.12]
        preserveDestination: true
        backends: [{ to: 10.244.2.3, port: 53 }]
`

conform({
  mode: 'l2bridge-services',
  page: 'l2bridge',
  topology: TOPOLOGY,
  absent: { ARP: 'as on l2bridge, where it is tried', broadcast: 'as on l2bridge, where it is tried' },
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '17.1',
      title: 'no endpoints: no policy is programmed, the packet goes its way, and nobody refuses it',
      check: {
        tcp: { from: 'db', to: '10.96.0.22', port: 80, server: 'web', serverPort: 80, timeout: 0.5 },
        expect: 'fail',
      },
      sees: [
        { at: 'node1/db', way: 'in', fields: { 'eth.dst': ENDPOINT1, 'ip.dst': '10.96.0.22' } },
        { at: 'node1/uplink', way: 'out', fields: { 'ip.dst': '10.96.0.22', 'ip.ttl': 63, 'tcp.dstport': 80 } },
        { at: 'node1/db', way: 'out', fields: { 'ip.proto': 6, 'ip.src': '10.96.0.22' }, never: true },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '2.3',
      title: 'several policies: the exceptions of all count, whichever has them',
      check: { udp: { from: 'web', to: 'api', count: 1 } },
      sees: [
        { at: 'node1/uplink', way: 'out', fields: { 'ip.src': '10.244.1.3', 'ip.dst': '10.244.2.3', 'ip.proto': 17 } },
        { at: 'node1/uplink', way: 'out', fields: { 'ip.src': '192.0.2.11', 'ip.proto': 17 }, never: true },
      ],
    },
    {
      flow: 'pod to service',
      section: '17.1',
      title: 'not DSR: by the ROUTE to the host, from there with its address; answers come back by it',
      check: { tcp: { from: 'web', to: '10.96.0.20', port: 80, server: 'api', serverPort: 8000, bytes: 100 } },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: {
            ...{ 'eth.src': HOST1, 'eth.dst': HOST2, 'ip.src': '192.0.2.11', 'ip.dst': '10.244.2.3' },
            ...{ 'tcp.dstport': 8000, 'ip.ttl': 64 },
          },
        },
        { at: 'node1/web', way: 'out', fields: { 'ip.src': '10.96.0.20', 'ip.dst': '10.244.1.3', 'tcp.srcport': 80 } },
        { at: 'node1/uplink', way: 'out', fields: { 'ip.dst': '10.96.0.20' }, never: true },
      ],
    },
    {
      flow: 'pod to service',
      section: '17.1',
      title:
        'not DSR, a backend beside the pod: it sees the host’s address, and the host has to be asked for the way back',
      check: { tcp: { from: 'web', to: '10.96.0.21', port: 80, server: 'db', serverPort: 8000, bytes: 100 } },
      sees: [
        {
          at: 'node1/db',
          way: 'out',
          fields: { 'eth.dst': DB, 'ip.src': '192.0.2.11', 'ip.dst': '10.244.1.4', 'tcp.dstport': 8000 },
        },
        { at: 'node1/web', way: 'out', fields: { 'ip.src': '10.96.0.21', 'tcp.srcport': 80 } },
        { at: 'node1/db', way: 'out', fields: { 'ip.src': '10.244.1.3' }, never: true },
      ],
    },
    {
      flow: 'pod to outside',
      section: '2.3',
      title: 'VirtualIP: the source is it, and the node answers ARP for it',
      check: { tcp: { from: 'vip', to: 'client', bytes: 100 } },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'eth.src': HOST1, 'ip.src': '192.0.2.99', 'ip.dst': '198.51.100.9', 'ip.ttl': 63, 'ip.proto': 6 },
        },
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'arp.opcode': 2, 'arp.src.proto_ipv4': '192.0.2.99', 'eth.src': HOST1 },
        },
        { at: 'node1/vip', way: 'out', fields: { 'ip.src': '198.51.100.9', 'ip.dst': '10.244.1.5' } },
      ],
    },
    {
      flow: 'pod to outside',
      section: '2.3',
      title: 'an exception outside the cluster: with the pod’s own address, by routes',
      check: { udp: { from: 'web', to: 'client', count: 1 } },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'ip.src': '10.244.1.3', 'ip.dst': '198.51.100.9', 'ip.proto': 17 },
        },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.1',
      title: 'PreserveDIP: no DNAT, the backend gets the service’s address, and its own MAC in front',
      check: {
        udp: { from: 'client', to: '192.0.2.12', port: 53, server: 'api', count: 1, timeout: 0.5 },
        expect: 'fail',
      },
      sees: [
        {
          at: 'node2/api',
          way: 'out',
          fields: {
            ...{ 'eth.dst': '00:15:5d:00:02:03', 'ip.src': '198.51.100.9', 'ip.dst': '192.0.2.12' },
            ...{ 'udp.dstport': 53, 'ip.ttl': 63 },
          },
        },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.1',
      title: 'a node port without endpoints: no load balancer is there, the host refuses what it does not serve',
      check: { tcp: { from: 'client', to: '192.0.2.11', port: 30082, server: 'web', timeout: 0.5 }, expect: 'fail' },
      sees: [
        { at: 'node1/uplink', way: 'in', fields: { 'ip.dst': '192.0.2.11', 'tcp.dstport': 30082 } },
        { at: 'node1/web', way: 'out', fields: { 'ip.src': '198.51.100.9', 'ip.proto': 6 }, never: true },
      ],
    },
  ],
})
