import { conform } from './conform.ts'

/* Pods on a bridge of their host - the CNI plugin with ipMasq and portmap, Docker's network with icc=false, pods in a VLAN: modes.md
 * 8, 17.2, 17.3, Appendix B. */

const NODE = '192.0.2.1'

conform({
  mode: 'bridge',
  topology: 'bridge',
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '8',
      title: 'plain switching: the frame as it is, TTL 0',
      check: { ping: { from: 'web', to: 'db', count: 1 } },
      sees: [
        {
          at: 'n1/web',
          way: 'in',
          fields: { 'ip.src': '10.22.0.2', 'ip.dst': '10.22.0.3', 'ip.ttl': 64, 'icmp.type': 8 },
        },
        {
          at: 'n1/db',
          way: 'out',
          fields: { 'ip.src': '10.22.0.2', 'ip.dst': '10.22.0.3', 'ip.ttl': 64, 'icmp.type': 8 },
        },
      ],
    },
    {
      flow: 'pod to pod, same node',
      section: 'B',
      title: 'no hop between',
      check: { traceroute: { from: 'web', to: 'db', via: [] } },
      sees: [{ at: 'n1/db', way: 'out', fields: { 'ip.src': '10.22.0.2', 'ip.ttl': 1 } }],
    },
    {
      flow: 'pod to pod, same node',
      section: '8',
      title: 'Docker, icc=false: nothing by IP',
      check: { ping: { from: 'c1', to: 'c2', count: 1, timeout: 1 }, expect: { drop: 'Isolated' } },
      sees: [
        { at: 'n2/c1', way: 'in', fields: { 'ip.dst': '172.17.0.3' } },
        { at: 'n2/c2', way: 'out', fields: { 'ip.src': '172.17.0.2' }, never: true },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: 'B',
      title: 'routed on both nodes, and masqueraded: of an own network the plugin knows its own subnet alone',
      check: { ping: { from: 'web', to: 'red', count: 1 } },
      sees: [
        {
          at: 'n1/uplink',
          way: 'out',
          fields: { 'ip.src': NODE, 'ip.dst': '10.10.0.11', 'ip.ttl': 63, 'icmp.type': 8 },
        },
        // One more for the underlay's router, which the nodes of this file have between them.
        { at: 'n3/red', way: 'out', fields: { 'ip.src': NODE, 'ip.ttl': 61, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'pod to service',
      section: '17.2',
      title:
        'DNAT on the node, TTL 1; of its own bridge as if from the gateway, so that the answer comes back to be translated',
      check: { http: { from: 'db', to: '10.96.0.11', port: 80, server: 'web', serverPort: 8080 } },
      sees: [
        {
          at: 'n1/web',
          way: 'out',
          fields: { 'ip.src': '10.22.0.1', 'ip.dst': '10.22.0.2', 'ip.ttl': 63, 'tcp.dstport': 8080 },
        },
        { at: 'n1/db', way: 'out', fields: { 'ip.src': '10.96.0.11', 'tcp.srcport': 80 } },
      ],
    },
    {
      flow: 'pod to service',
      section: '17.2',
      title: 'a pod that is its own backend: masqueraded, as if from the gateway',
      check: { http: { from: 'web', to: '10.96.0.11', port: 80, server: 'web', serverPort: 8080 } },
      sees: [
        { at: 'n1/web', way: 'out', fields: { 'ip.src': '10.22.0.1', 'ip.dst': '10.22.0.2', 'tcp.dstport': 8080 } },
      ],
    },
    {
      flow: 'pod to outside',
      section: '8',
      title: 'SNAT to the egress address, TTL 1, the answer translated back',
      check: { ping: { from: 'web', to: 'outside', count: 1 } },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: { 'ip.src': NODE, 'ip.dst': '198.51.100.9', 'ip.ttl': 63 } },
        { at: 'n1/web', way: 'out', fields: { 'ip.src': '198.51.100.9', 'ip.dst': '10.22.0.2', 'ip.ttl': 62 } },
        { at: 'n1/uplink', way: 'out', fields: { 'ip.src': '10.22.0.2' }, never: true },
      ],
    },
    {
      flow: 'pod to outside',
      section: '8',
      title: 'Docker: MASQUERADE of what does not leave by the bridge',
      check: { ping: { from: 'c1', to: 'outside', count: 1 } },
      sees: [
        { at: 'n2/uplink', way: 'out', fields: { 'ip.src': '192.0.2.2', 'ip.dst': '198.51.100.9', 'ip.ttl': 63 } },
      ],
    },
    {
      flow: 'pod to outside',
      section: '8',
      title: 'without ipMasq as it is',
      check: { ping: { from: 'red', to: 'outside', count: 1 } },
      sees: [
        { at: 'n3/uplink', way: 'out', fields: { 'ip.src': '10.10.0.11', 'ip.dst': '198.51.100.9', 'ip.ttl': 63 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.3',
      title: 'host port: DNAT, the source kept',
      check: { http: { from: 'outside', to: NODE, port: 8080, server: 'web', serverPort: 80 } },
      sees: [
        {
          at: 'n1/web',
          way: 'out',
          fields: { 'ip.src': '198.51.100.9', 'ip.dst': '10.22.0.2', 'tcp.dstport': 80, 'ip.ttl': 62 },
        },
        { at: 'n1/uplink', way: 'out', fields: { 'ip.src': NODE, 'tcp.srcport': 8080 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.3',
      title: 'host port from the pod itself: masqueraded, or the answer would pass the node by',
      check: { http: { from: 'web', to: NODE, port: 8080, server: 'web', serverPort: 80 } },
      sees: [{ at: 'n1/web', way: 'out', fields: { 'ip.src': '10.22.0.1', 'ip.dst': '10.22.0.2', 'tcp.dstport': 80 } }],
    },
    {
      flow: 'outside to pod',
      section: '8',
      title: 'Docker: a container’s own address is closed to all who are not on the bridge (raw PREROUTING)',
      check: { ping: { from: 'outside', to: 'c1', count: 1, timeout: 1 }, expect: { drop: 'NatFiltered' } },
      sees: [{ at: 'n2/c1', way: 'out', fields: { 'ip.src': '198.51.100.9' }, never: true }],
    },
    {
      flow: 'ARP',
      section: '8',
      title: 'the host answers for the gateway with the MAC of the bridge: Docker’s is 02:42 and the address',
      check: { arp: { from: 'c1', to: '172.17.0.1', mac: '02:42:ac:11:00:01', count: 1 } },
      sees: [
        {
          at: 'n2/c1',
          way: 'out',
          fields: { 'arp.opcode': 2, 'arp.src.proto_ipv4': '172.17.0.1' },
          bytes: '0242ac110002 0242ac110001 0806 0001 0800 06 04 0002 0242ac110001 ac110001 0242ac110002 ac110002',
        },
      ],
    },
    {
      flow: 'broadcast',
      section: '8, 19',
      title: 'flooded to all ports of the VLAN, and to no other',
      check: { arp: { from: 'red', to: 'blue', count: 1 } },
      sees: [
        { at: 'n3/blue', way: 'out', fields: { 'eth.dst': 'ff:ff:ff:ff:ff:ff', 'arp.opcode': 1 } },
        { at: 'n3/green', way: 'out', fields: { 'eth.dst': 'ff:ff:ff:ff:ff:ff', 'arp.opcode': 1 }, never: true },
      ],
    },
  ],
})
