import type { ClusterPeer } from '@l2l3/modes'
import { type Address, isLinkLocal, onLink, parseIp, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Report, Schema } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import { checkRoute, farEnd } from './tunnel-keys.ts'

/* Keys of the modes whose nodes know each other: what each tells, what it is told, and what is checked of that. See `cluster.ts`. */

const texts = (description: string): Schema => ({ type: 'array', items: { type: 'string' }, description })
/** One, or one of each IP version. */
export const oneOrTwo = (description: string): Schema => ({
  type: ['string', 'array'],
  items: { type: 'string' },
  description,
})

/** Options of the node. */
export const clusterOptions: Readonly<Record<string, Schema>> = {
  cluster: {
    type: 'string',
    description:
      'Nodes of one mode and one cluster know of each other. Default: all of the mode are in one without a name.',
  },
  announce: { type: 'boolean', description: 'Whether the others are told of this node. Default true.' },
  peers: {
    type: 'array',
    description: 'Nodes that are not in the file, or are other than they tell. Default: those of the cluster.',
    items: {
      type: 'object',
      required: ['node', 'subnets', 'address'],
      additionalProperties: false,
      properties: {
        node: { type: 'string', description: "The node's name." },
        subnets: texts('Networks of its pods: 10.244.2.0/24.'),
        address: oneOrTwo("The node's address on the underlay: one, or one of each IP version."),
        vtepMac: oneOrTwo(
          'VXLAN: MAC of its end, in the order of its addresses. Default: made of its name or address.',
        ),
        tunnelIp: oneOrTwo('VXLAN: its address inside. Default: the first of its first subnet.'),
      },
    },
  },
}

/** Those options, as the schema assures them. */
export interface RawCluster {
  cluster?: string
  announce?: boolean
  peers?: ClusterPeer[]
}

/** The node's own addresses on the underlay: the first of each IP version. */
export function underlayAddresses(node: NodeSpec): Address[] {
  const own = node.ports.filter((p) => p.endpoint === null).flatMap((p) => p.interface.addresses)
  return [4, 6].flatMap((family) => own.find((a) => a.family === family && !isLinkLocal(a)) ?? [])
}

/** What others are told of a node that has these networks of pods; null where there is nothing to tell. */
export function announcement(
  node: NodeSpec,
  networks: readonly string[],
  more: { [K in 'vtepMac' | 'tunnelIp']?: ClusterPeer[K] | undefined } = {},
): ClusterPeer | null {
  // What is wrong is reported where it stands.
  const subnets = networks.filter((text) => attempt(quiet, [], () => parseNetwork(text)) !== undefined)
  const addresses = underlayAddresses(node)
  if (subnets.length === 0 || addresses.length === 0) return null
  // A node says its MACs in the order of IP versions, a peer has them in that of its addresses.
  const macs = [more.vtepMac ?? []].flat()
  const vtepMac = addresses.flatMap(({ family }) => macs[family === 6 ? 1 : 0] ?? [])
  const { tunnelIp } = more
  return {
    ...{ node: node.name, subnets, address: addresses.map((a) => a.text) },
    ...(vtepMac.length === 0 ? {} : { vtepMac }),
    ...(tunnelIp === undefined ? {} : { tunnelIp }),
  }
}

function quiet(): void {}

/** Reports more than one of an IP version, where there is one each. */
export function checkOneOfEach(key: string, list: readonly Address[], report: Report): void {
  for (const [i, { family, text }] of list.entries()) {
    const first = list.findIndex((other) => other.family === family)
    if (first < i)
      report([key], `${text} is the second of IPv${family}, after ${list[first]?.text}: there is one of each`)
  }
}

/** Reports peers that are on no link of the node.
 * @param who needs them there */
export function checkNear(node: NodeSpec, who: string, report: Report): void {
  const near = node.ports.filter((p) => p.endpoint === null).flatMap((p) => p.interface.addresses)
  const { peers = [] } = node.options as RawCluster
  peers.forEach(({ node: name, address }, i) => {
    for (const text of [address].flat()) {
      const far = attempt(quiet, [], () => parseIp(text))
      if (far === undefined || !near.some((a) => a.family === far.family)) continue
      if (!near.some((a) => onLink(a, far.bytes)))
        report(['peers', i, 'address'], `${text} of ${name} is on no link of the node, as ${who} needs it`)
    }
  })
}

/** Reports what peers say of their VTEPs, where the node has none or makes all of it itself.
 * @param why completes "vtepMac ..." */
export function checkNoVteps(node: NodeSpec, report: Report, why = `has no meaning in mode ${node.mode}`): void {
  const { peers = [] } = node.options as RawCluster
  for (const [i, peer] of peers.entries()) {
    for (const key of ['vtepMac', 'tunnelIp'] as const) {
      if (peer[key] !== undefined) report(['peers', i, key], why, 'key')
    }
  }
}

/** Reports peers that are none, and those to which no route leads. */
export function checkPeers(node: NodeSpec, report: Report): void {
  const { peers = [] } = node.options as RawCluster
  const all = node.ports.flatMap((p) => p.interface.addresses)
  const own = underlayAddresses(node)
  peers.forEach(({ node: name, subnets, address, vtepMac = [], tunnelIp = [] }, i) => {
    const path = ['peers', i]
    if (name === node.name) report([...path, 'node'], `${name} is the node itself`)
    subnets.forEach((text, j) => void attempt(report, [...path, 'subnets', j], () => parseNetwork(text)))
    for (const text of [vtepMac].flat()) attempt(report, [...path, 'vtepMac'], () => parseMac(text))
    for (const text of [tunnelIp].flat()) attempt(report, [...path, 'tunnelIp'], () => parseIp(text))
    const far = [address].flat().flatMap((text) => attempt(quiet, [], () => parseIp(text)) ?? [])
    checkOneOfEach('address', far, (at, message) => report([...path, ...at], message))
    for (const text of [address].flat()) {
      const at = [...path, 'address']
      const far = attempt(report, at, () => parseIp(text))
      // Of a version that this node does not speak, it is of no use here.
      const near = own.find((a) => a.family === far?.family)
      if (far === undefined || near === undefined) continue
      if (farEnd(report, at, text, near, all) !== undefined) checkRoute(report, at, far, node)
    }
  })
}
