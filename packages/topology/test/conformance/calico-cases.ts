import { clusterTopology, hops, kubeCases, NODE1_MAC, NODE2_MAC, routedOnNode, toApi } from './cluster.ts'
import type { ModeCase, ModeConformance, Seen } from './conform.ts'

/* What nodes of Calico do, whatever their encapsulation: modes.md 10. */

const EE = 'ee:ee:ee:ee:ee:ee'

/** The topology of an encapsulation. */
export function calicoTopology(encapsulation: string, mtu: number): string {
  return clusterTopology({
    mode: 'calico',
    both: [`encapsulation: ${encapsulation}`, 'pools: [{ cidr: 10.244.0.0/16, natOutgoing: true }]'],
    each: [['blocks: [10.244.1.0/26]'], ['blocks: [10.244.2.0/26]']],
    mtu,
  })
}

const ARP: readonly ModeCase[] = [
  {
    flow: 'ARP',
    section: '10.2, A6',
    title: 'proxy ARP answers for the gateway that is nowhere',
    check: { arp: { from: 'web', to: '169.254.1.1', mac: EE, count: 1 } },
    sees: [
      {
        at: 'node1/web',
        way: 'out',
        fields: { 'arp.opcode': 2 },
        bytes: '............ eeeeeeeeeeee 0806 0001 0800 06 04 0002 eeeeeeeeeeee a9fe0101 ............ 0af40105',
      },
    ],
  },
  {
    flow: 'ARP',
    section: '10.2',
    title: 'and for whatever has a route by another interface: a pod of another node',
    check: { arp: { from: 'web', to: 'api', mac: EE, count: 1 } },
    sees: [{ at: 'node1/web', way: 'out', fields: { 'arp.opcode': 2, 'arp.src.proto_ipv4': '10.244.2.7' } }],
  },
  {
    flow: 'ARP',
    section: '10.2',
    title: 'but not for what no pod has of the node’s block',
    check: { arp: { from: 'web', to: '10.244.1.6', count: 1, timeout: 0.5 }, expect: 'fail' },
    sees: [{ at: 'node1/web', way: 'out', fields: { 'arp.opcode': 2 }, never: true }],
  },
]

/** The mode with an encapsulation, and what its packets between nodes look like. */
export function calicoCases(
  name: string,
  topology: string,
  between: readonly Seen[],
  inner: '' | '2:',
): ModeConformance {
  return {
    mode: name,
    page: 'calico',
    topology,
    absent: { broadcast: 'a pod is alone on its link, and nothing is forwarded from it' },
    cases: [
      routedOnNode('10.3', EE),
      {
        flow: 'pod to pod, same node',
        section: '10.3',
        title: 'what no pod has of the block is dropped in silence',
        check: { ping: { from: 'web', to: '10.244.1.6', count: 1, timeout: 0.5 }, expect: { drop: 'Blackhole' } },
        sees: [{ at: 'node1/web', way: 'out', fields: { 'icmp.type': 3 }, never: true }],
      },
      toApi('10.3', 'TTL - 1 on each node, the pod’s own address', 62, ...between),
      hops('B', 'TTL - 2', ['192.0.2.1', inner === '' ? '192.0.2.2' : '10.244.2.0']),
      ...kubeCases(inner, '10.3', '192.0.2.1'),
      ...ARP,
    ],
  }
}

/** MACs of the wire. */
export const WIRE: string = `${NODE2_MAC} ${NODE1_MAC}`.replaceAll(':', '')
