import { clusterTopology, hops, kubeCases, NODE1_MAC, NODE2_MAC, toApi } from './cluster.ts'
import type { ModeConformance, Seen } from './conform.ts'

/* What nodes of flannel do, whatever their backend: modes.md 11. */

const CNI0 = '02:00:00:00:01:01'

/** The topology of a backend. */
export function flannelTopology(backend: string, mtu: number): string {
  return clusterTopology({
    mode: 'flannel',
    both: [`backend: ${backend}`, 'network: 10.244.0.0/16'],
    each: [['subnet: 10.244.1.0/24', `bridge: { mac: "${CNI0}" }`], ['subnet: 10.244.2.0/24']],
    prefix: 24,
    mtu,
  })
}

/** A backend, and what it does between nodes. */
export interface Backend {
  readonly name: string
  readonly topology: string
  /** What packets between nodes look like. */
  readonly between: readonly Seen[]
  readonly inner: '' | '2:'
  /** TTL that is left when a packet of 64 gets to the other node's pod. */
  readonly ttl: number
  /** Hops that say so; none where some do not. */
  readonly via: readonly string[]
}

/** The mode with a backend. */
export function flannelCases({ name, topology, between, inner, ttl, via }: Backend): ModeConformance {
  return {
    mode: name,
    page: 'flannel',
    topology,
    cases: [
      {
        flow: 'pod to pod, same node',
        section: '8',
        title: 'frames on cni0, TTL as it is',
        check: { ping: { from: 'web', to: 'db', count: 1 } },
        sees: [
          { at: 'node1/web', way: 'in', fields: { 'ip.dst': '10.244.1.9', 'ip.ttl': 64, 'icmp.type': 8 } },
          { at: 'node1/db', way: 'out', fields: { 'ip.src': '10.244.1.5', 'ip.ttl': 64, 'icmp.type': 8 } },
          { at: 'node1/db', way: 'out', fields: { 'eth.src': CNI0, 'icmp.type': 8 }, never: true },
        ],
      },
      toApi('11', `TTL - ${64 - ttl}, the pod’s own address`, ttl, ...between),
      hops('B', `TTL - ${64 - ttl}`, via),
      ...kubeCases(inner, '11', '192.0.2.1'),
      {
        flow: 'ARP',
        section: 'B',
        title: 'cni0 is the gateway',
        check: { arp: { from: 'web', to: '10.244.1.1', mac: CNI0, count: 1 } },
        sees: [
          {
            at: 'node1/web',
            way: 'out',
            fields: { 'arp.opcode': 2 },
            bytes: '............ 020000000101 0806 0001 0800 06 04 0002 020000000101 0af40101 ............ 0af40105',
          },
        ],
      },
      {
        flow: 'broadcast',
        section: '11',
        title: 'all pods of the node hear it, and no other node',
        check: { arp: { from: 'web', to: 'db', count: 1 } },
        sees: [
          {
            at: 'node1/db',
            way: 'out',
            fields: { 'eth.dst': 'ff:ff:ff:ff:ff:ff', 'arp.dst.proto_ipv4': '10.244.1.9' },
          },
          { at: 'node1/uplink', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.244.1.9' }, never: true },
          { at: 'node2/api', way: 'out', fields: { 'arp.dst.proto_ipv4': '10.244.1.9' }, never: true },
        ],
      },
    ],
  }
}

/** MACs of the wire. */
export const WIRE: string = `${NODE2_MAC} ${NODE1_MAC}`.replaceAll(':', '')
