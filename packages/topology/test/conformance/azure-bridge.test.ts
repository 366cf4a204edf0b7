import { conform } from './conform.ts'

/*
 * Pods as Azure CNI has them in bridge mode: modes.md 7.1 and 7.2, with the bytes seen there.
 *
 *     web 10.240.0.11    db 10.240.0.12    host1 10.240.0.4        api 10.240.0.21    host2 10.240.0.5
 *     02:..:01           02:..:02          00:0d:3a:00:00:01       02:..:03           00:0d:3a:00:00:02
 *
 * The fabric, 12:34:56:78:9a:bc, is 10.240.0.1, and leads to outside.
 */

const TOPOLOGY = `
name: azure-bridge
nodes:
  node1:
    mode: azure
    variant: bridge
    hostMac: 00:0d:3a:00:00:01
    gateway: 10.240.0.1
    endpoints:
      web: { mac: 02:00:00:00:00:01, ip: 10.240.0.11/24 }
      db: { mac: 02:00:00:00:00:02, ip: 10.240.0.12/24 }
      host1: { mac: 00:0d:3a:00:00:01, ip: 10.240.0.4/24 }
    uplink: { segment: vnet }
  node2:
    mode: azure
    variant: bridge
    hostMac: 00:0d:3a:00:00:02
    gateway: 10.240.0.1
    endpoints:
      api: { mac: 02:00:00:00:00:03, ip: 10.240.0.21/24 }
      host2: { mac: 00:0d:3a:00:00:02, ip: 10.240.0.5/24 }
    uplink: { segment: vnet }
segments:
  vnet: { router: { name: fabric, mac: 12:34:56:78:9a:bc, ip: 10.240.0.1/24 } }
  world:
    router: { name: fabric, ip: 198.51.100.1/24 }
    hosts: { outside: { ip: 198.51.100.9/24, gateway: 198.51.100.1 } }
`
const ARP = '0806 0001 0800 06 04'

conform({
  mode: 'azure-bridge',
  page: 'azure',
  topology: TOPOLOGY,
  absent: { 'pod to service': 'services are the node’s own: kube-proxy is in its stack, which is the host here' },
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '7.2',
      title: 'frames, TTL as it is',
      check: { traceroute: { from: 'web', to: 'db', via: [] } },
      sees: [
        {
          at: 'node1/db',
          way: 'out',
          fields: { 'eth.src': '02:00:00:00:00:01', 'eth.dst': '02:00:00:00:00:02', 'ip.ttl': 1 },
        },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '7.1 rules 1 and 5',
      title: 'source := the node’s MAC, destination := the pod’s, TTL as it is',
      check: { traceroute: { from: 'web', to: 'api', via: [] } },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'eth.src': '00:0d:3a:00:00:01', 'ip.src': '10.240.0.11', 'ip.ttl': 1 },
        },
        {
          at: 'node2/api',
          way: 'out',
          fields: {
            'eth.src': '00:0d:3a:00:00:01',
            'eth.dst': '02:00:00:00:00:03',
            'ip.src': '10.240.0.11',
            'ip.ttl': 1,
          },
        },
      ],
    },
    {
      flow: 'pod to outside',
      section: '7.2',
      title: 'to the fabric, with the node’s MAC and the pod’s address',
      check: { ping: { from: 'web', to: 'outside', count: 1 } },
      sees: [
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'ip.src': '10.240.0.11', 'ip.ttl': 64 },
          bytes: '123456789abc 000d3a000001 0800 4500 0054',
        },
      ],
    },
    {
      flow: 'outside to pod',
      section: '7.1 rule 5',
      title: 'from the fabric to the pod’s MAC, by its address',
      check: { ping: { from: 'outside', to: 'web', count: 1 } },
      sees: [
        {
          at: 'node1/web',
          way: 'out',
          fields: { 'ip.src': '198.51.100.9', 'ip.ttl': 63 },
          bytes: '020000000001 123456789abc 0800 4500',
        },
      ],
    },
    {
      flow: 'ARP',
      section: '7.2',
      title: 'the fabric is asked with the node’s MAC, and its answer goes to all',
      check: { arp: { from: 'web', to: '10.240.0.1', mac: '12:34:56:78:9a:bc', count: 1 } },
      sees: [
        {
          at: 'node1/web',
          way: 'in',
          fields: { 'arp.opcode': 1 },
          bytes: `ffffffffffff 020000000001 ${ARP} 0001 020000000001 0af0000b ............ 0af00001`,
        },
        {
          at: 'node1/uplink',
          way: 'out',
          fields: { 'arp.opcode': 1 },
          bytes: `ffffffffffff 000d3a000001 ${ARP} 0001 000d3a000001 0af0000b ............ 0af00001`,
        },
        {
          at: 'node1/uplink',
          way: 'in',
          fields: { 'arp.opcode': 2 },
          bytes: `000d3a000001 123456789abc ${ARP} 0002 123456789abc 0af00001 000d3a000001 0af0000b`,
        },
        {
          at: 'node1/web',
          way: 'out',
          fields: { 'arp.opcode': 2 },
          bytes: `ffffffffffff 123456789abc ${ARP} 0002 123456789abc 0af00001 000d3a000001 0af0000b`,
        },
      ],
    },
    {
      flow: 'ARP',
      section: '7.2',
      title: 'for a pod of the node the bridge answers, and nobody else hears it',
      check: { arp: { from: 'web', to: 'db', mac: '02:00:00:00:00:02', count: 1 } },
      sees: [
        {
          at: 'node1/web',
          way: 'out',
          fields: { 'arp.opcode': 2 },
          bytes: `020000000001 020000000002 ${ARP} 0002 020000000002 0af0000c 020000000001 0af0000b`,
        },
        { at: 'node1/db', way: 'out', fields: { 'arp.opcode': 1 }, never: true },
        { at: 'node1/uplink', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.240.0.12' }, never: true },
      ],
    },
    {
      flow: 'broadcast',
      section: 'B',
      title: 'flooded, with the node’s MAC for its source',
      check: { arp: { from: 'web', to: '10.240.0.99', count: 1, timeout: 0.5 }, expect: 'fail' },
      sees: [
        { at: 'node1/db', way: 'out', fields: { 'eth.src': '02:00:00:00:00:01', 'arp.dst.proto_ipv4': '10.240.0.99' } },
        {
          at: 'node2/api',
          way: 'out',
          fields: { 'eth.src': '00:0d:3a:00:00:01', 'arp.dst.proto_ipv4': '10.240.0.99' },
        },
      ],
    },
  ],
})
