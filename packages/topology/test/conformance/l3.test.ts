import { conform } from './conform.ts'

/* Pods on links of their own, as Calico has them without encapsulation: modes.md 10. */

const EE = 'ee:ee:ee:ee:ee:ee'

conform({
  mode: 'l3',
  topology: 'l3',
  absent: {
    'pod to service': 'services are kube-proxy’s, which this mode is without: see calico',
    broadcast: 'a pod is alone on its link, and nothing is forwarded from it',
  },
  cases: [
    {
      flow: 'pod to pod, same node',
      section: '10.3',
      title: 'routed on the node, TTL - 1, the gateway’s MAC on both sides',
      check: { ping: { from: 'web', to: 'db', family: 4, count: 1 } },
      sees: [
        { at: 'n1/web', way: 'in', fields: { 'eth.dst': EE, 'ip.src': '10.244.1.5', 'ip.ttl': 64, 'icmp.type': 8 } },
        { at: 'n1/db', way: 'out', fields: { 'eth.src': EE, 'ip.src': '10.244.1.5', 'ip.ttl': 63, 'icmp.type': 8 } },
      ],
    },
    {
      flow: 'pod to pod, other node',
      section: '10.3',
      title: 'the source address stays, TTL - 1 on each node',
      check: { ping: { from: 'web', to: 'api', family: 4, count: 1 } },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: { 'ip.src': '10.244.1.5', 'ip.dst': '10.244.2.7', 'ip.ttl': 63 } },
        { at: 'n2/api', way: 'out', fields: { 'eth.src': EE, 'ip.src': '10.244.1.5', 'ip.ttl': 61 } },
      ],
    },
    {
      flow: 'pod to outside',
      section: '10.3',
      title: 'untranslated: routed with the pod’s address',
      check: { ping: { from: 'web', to: 'client', family: 4, count: 1 } },
      sees: [
        { at: 'n1/uplink', way: 'out', fields: { 'ip.src': '10.244.1.5', 'ip.dst': '198.51.100.9', 'ip.ttl': 63 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '10.3',
      title: 'routed to the pod',
      check: { ping: { from: 'client', to: 'web', family: 4, count: 1 } },
      sees: [{ at: 'n1/web', way: 'out', fields: { 'eth.src': EE, 'ip.src': '198.51.100.9', 'ip.ttl': 62 } }],
    },
    {
      flow: 'ARP',
      section: '10.2',
      title: 'proxy ARP answers for the gateway',
      check: { arp: { from: 'web', to: '169.254.1.1', mac: EE, count: 1 } },
      sees: [
        {
          at: 'n1/web',
          way: 'out',
          fields: { 'eth.src': EE, 'arp.opcode': 2, 'arp.src.hw_mac': EE, 'arp.src.proto_ipv4': '169.254.1.1' },
          bytes: '............ eeeeeeeeeeee 0806 0001 0800 06 04 0002 eeeeeeeeeeee a9fe0101',
        },
      ],
    },
  ],
})
