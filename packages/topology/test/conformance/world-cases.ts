import type { ModeCase } from './conform.ts'

/** A node of which pods reach the world, and are reached from there. */
export interface WorldOf {
  readonly node: string
  /** Its address. */
  readonly address: string
  readonly pod: string
  readonly ip: string
  readonly section: string
}

/** What the world sees of a pod: the node's address, and its port 8080 which leads to the pod's port 80. */
export function worldCases({ node, address, pod, ip, section }: WorldOf): ModeCase[] {
  return [
    {
      flow: 'pod to outside',
      section,
      title: 'masqueraded: the node’s address, TTL - 1',
      check: { ping: { from: pod, to: 'world', count: 1 } },
      sees: [
        { at: `${node}/uplink`, way: 'out', fields: { 'ip.src': address, 'ip.dst': '198.51.100.9', 'ip.ttl': 63 } },
        { at: `${node}/${pod}`, way: 'out', fields: { 'ip.src': '198.51.100.9', 'ip.dst': ip, 'icmp.type': 0 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.3',
      title: 'a host port: the pod sees who asks',
      check: { http: { from: 'world', to: address, port: 8080, server: pod, serverPort: 80 } },
      sees: [
        {
          at: `${node}/${pod}`,
          way: 'out',
          fields: { 'ip.src': '198.51.100.9', 'ip.dst': ip, 'tcp.dstport': 80 },
        },
        { at: `${node}/uplink`, way: 'out', fields: { 'ip.src': address, 'tcp.srcport': 8080 } },
      ],
    },
  ]
}

/** A service 10.96.0.10:80 of a pod that listens on 8080. */
export function serviceCase(from: string, server: string, sees: ModeCase['sees']): ModeCase {
  return {
    flow: 'pod to service',
    section: '17.2',
    title: 'kube-proxy’s DNAT on the node of the client',
    check: { http: { from, to: '10.96.0.10', port: 80, server, serverPort: 8080 } },
    sees,
  }
}

/** Any MAC addresses in front, then the type of IPv4. */
export const ETH = `${'..'.repeat(12)} 0800`
