import type { ModeCase, Seen } from './conform.ts'

/*
 * Two nodes of a cluster, by which the Linux modes are tried:
 *
 *     web 10.244.1.5    db 10.244.1.9                 api 10.244.2.7
 *      |                 |                             |
 *     ++-----------------++                           ++------+
 *     |      node1        |                           | node2 |
 *     +---------+---------+                           +---+---+
 *   192.0.2.1   | 02:..:01                      192.0.2.2 | 02:..:02
 *     +---------+-----------------------------------------+---+
 *     |  wire                                                 |-- 192.0.2.254 -- outside 198.51.100.9
 *     +-------------------------------------------------------+
 *
 * node1 has the service 10.96.0.10:80, node port 30080, of api:8080, and its port 8080 leads to web:80.
 */

export const NODE1_MAC = '02:00:00:00:00:01'
export const NODE2_MAC = '02:00:00:00:00:02'

/** What a mode says of the nodes. */
export interface ClusterText {
  readonly mode: string
  /** Keys of both nodes, lines of YAML. */
  readonly both: readonly string[]
  /** Keys of each node. */
  readonly each: readonly [readonly string[], readonly string[]]
  /** Prefix length of the pods' addresses. Default 32. */
  readonly prefix?: number
  /** MTU of the pods. Default 1500. */
  readonly mtu?: number
  /** Routes of the network's router to pods, lines of YAML. */
  readonly routes?: readonly string[]
}

/** The topology as a file has it. */
export function clusterTopology({ mode, both, each, prefix = 32, mtu = 1500, routes = [] }: ClusterText): string {
  const pod = (name: string, ip: string): string => `      ${name}: { ip: ${ip}/${prefix}, mtu: ${mtu} }`
  const node = (i: 0 | 1, pods: readonly string[]): string[] => [
    `  node${i + 1}:`,
    `    mode: ${mode}`,
    ...[...both, ...each[i]].map((line) => `    ${line}`),
    '    endpoints:',
    ...pods,
    `    uplink: { segment: wire, ip: 192.0.2.${i + 1}/24, mac: ${i === 0 ? NODE1_MAC : NODE2_MAC} }`,
    '    routes: [{ to: 0.0.0.0/0, via: 192.0.2.254 }]',
  ]
  return [
    `name: two-${mode}`,
    'nodes:',
    ...node(0, [pod('web', '10.244.1.5'), pod('db', '10.244.1.9')]),
    '    portMappings: [{ port: 8080, to: web, toPort: 80 }]',
    '    services:',
    '      shop: { port: 80, clusterIps: [10.96.0.10], nodePort: 30080, backends: [{ to: 10.244.2.7, port: 8080 }] }',
    ...node(1, [pod('api', '10.244.2.7')]),
    'segments:',
    '  wire:',
    '    router:',
    '      name: core',
    '      ip: 192.0.2.254/24',
    ...(routes.length === 0 ? [] : ['      routes:', ...routes.map((line) => `        ${line}`)]),
    '  world:',
    '    router: { name: core, ip: 198.51.100.1/24 }',
    '    hosts: { outside: { ip: 198.51.100.9/24, gateway: 198.51.100.1 } }',
    '',
  ].join('\n')
}

/** An echo request of web's to api that goes by way of something, and how api sees it. */
export function toApi(section: string, title: string, ttl: number, ...sees: readonly Seen[]): ModeCase {
  const arrives: Seen = {
    at: 'node2/api',
    way: 'out',
    fields: { 'ip.src': '10.244.1.5', 'ip.dst': '10.244.2.7', 'ip.ttl': ttl, 'icmp.type': 8 },
  }
  const check = { ping: { from: 'web', to: 'api', count: 1 } }
  return { flow: 'pod to pod, other node', section, title, check, sees: [...sees, arrives] }
}

/** The hops that a traceroute sees between web and api. */
export function hops(section: string, title: string, via: readonly string[]): ModeCase {
  const check = { traceroute: { from: 'web', to: 'api', ...(via.length === 0 ? {} : { via }) } }
  const one: ModeCase = { flow: 'pod to pod, other node', section, title, check, sees: [] }
  // Who waits for hops that say nothing waits for seconds, in which nodes look after their neighbours at times of their own.
  return via.length > 0 ? one : { ...one, except: { replay: 'nodes ask their neighbours anew meanwhile' } }
}

/** The two pods of node1, each on a link of its own: routed, TTL - 1. */
export function routedOnNode(section: string, mac: string | RegExp): ModeCase {
  return {
    flow: 'pod to pod, same node',
    section,
    title: 'routed on the node, TTL - 1, the gateway’s MAC on both sides',
    check: { traceroute: { from: 'web', to: 'db', via: ['192.0.2.1'] } },
    sees: [
      { at: 'node1/web', way: 'in', fields: { 'eth.dst': mac, 'ip.src': '10.244.1.5', 'ip.ttl': 2 } },
      { at: 'node1/db', way: 'out', fields: { 'eth.src': mac, 'ip.src': '10.244.1.5', 'ip.ttl': 1 } },
    ],
  }
}

/** kube-proxy's and portmap's flows.
 * @param inner which of the IP headers at the uplink is the pods': "" or "2:"
 * @param flowSection of what becomes of packets to the world
 * @param source what the world sees of a pod */
export function kubeCases(inner: '' | '2:', flowSection: string, source: string): ModeCase[] {
  const i = (name: string): string => `${inner}${name}`
  return [
    {
      flow: 'pod to service',
      section: '17.2',
      title: 'the destination becomes a pod’s, the answer’s source the service’s',
      check: { http: { from: 'web', to: '10.96.0.10', port: 80, server: 'api', serverPort: 8080 } },
      sees: [
        { at: 'node1/web', way: 'in', fields: { 'ip.dst': '10.96.0.10', 'tcp.dstport': 80, 'ip.ttl': 64 } },
        { at: 'node1/uplink', way: 'out', fields: { [i('ip.src')]: '10.244.1.5', [i('ip.dst')]: '10.244.2.7' } },
        {
          at: 'node2/api',
          way: 'out',
          fields: { 'ip.src': '10.244.1.5', 'ip.dst': '10.244.2.7', 'tcp.dstport': 8080 },
        },
        { at: 'node1/web', way: 'out', fields: { 'ip.src': '10.96.0.10', 'tcp.srcport': 80 } },
      ],
    },
    {
      flow: 'pod to outside',
      section: flowSection,
      title: `seen as ${source}`,
      check: { ping: { from: 'web', to: 'outside', count: 1 } },
      sees: [
        { at: 'node1/uplink', way: 'out', fields: { 'ip.src': source, 'ip.dst': '198.51.100.9', 'ip.ttl': 63 } },
        { at: 'node1/web', way: 'out', fields: { 'ip.src': '198.51.100.9', 'ip.dst': '10.244.1.5', 'icmp.type': 0 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.3',
      title: 'a host port: to the pod, which sees who asks',
      check: { http: { from: 'outside', to: '192.0.2.1', port: 8080, server: 'web', serverPort: 80 } },
      sees: [
        {
          at: 'node1/web',
          way: 'out',
          fields: { 'ip.src': '198.51.100.9', 'ip.dst': '10.244.1.5', 'tcp.dstport': 80 },
        },
        { at: 'node1/uplink', way: 'out', fields: { 'ip.src': '192.0.2.1', 'tcp.srcport': 8080 } },
      ],
    },
    {
      flow: 'outside to pod',
      section: '17.2',
      title: 'a node port: to a pod of another node, masqueraded, so that answers come back here',
      check: { http: { from: 'outside', to: '192.0.2.1', port: 30080, server: 'api', serverPort: 8080 } },
      sees: [
        { at: 'node2/api', way: 'out', fields: { 'ip.dst': '10.244.2.7', 'tcp.dstport': 8080 } },
        {
          at: 'node2/api',
          way: 'out',
          fields: { 'ip.src': '198.51.100.9' },
          never: true,
        },
        { at: 'node1/uplink', way: 'out', fields: { 'ip.src': '192.0.2.1', 'tcp.srcport': 30080 } },
      ],
    },
  ]
}
