import type { Schema } from '../mode.ts'
import { hnsVersion, icmpTransposition, untransposed } from './l2bridge-schema.ts'
import { options as natOptions } from './nat-schema.ts'
import { routedOptions } from './routed.ts'
import { outerKeys, udpPort, vni } from './tunnel-schema.ts'

/* The keys of mode overlay. */

const texts = (description: string): Schema => ({ type: 'array', items: { type: 'string' }, description })
const text = (description: string): Schema => ({ type: 'string', description })

/** OutBoundNAT policies of HNS, of a network or of an endpoint. */
export const outboundNat: Schema = {
  type: 'array',
  description:
    'OutBoundNAT policies: the source of TCP and UDP becomes the host’s, but for exceptions. Their exceptions are those of all.',
  items: {
    type: 'object',
    additionalProperties: false,
    properties: {
      exceptions: texts('Networks to which nothing is translated. Default: none.'),
      destinations: texts('The only ones to which it translates: a pod’s own address is loopback DSR. Default: all.'),
      virtualIp: text('What the source becomes. Default: the host’s address.'),
      maxPortPoolUsage: { type: 'integer', minimum: 1, maximum: 65_535, description: 'Mappings at most.' },
    },
  },
}

const remoteVni: Schema = { ...vni, description: "Its VNI (IsolationId), where it is another. Default: the network's." }

const network: Schema = {
  type: 'object',
  required: ['vni', 'subnet'],
  additionalProperties: false,
  properties: {
    vni: { ...vni, description: 'Its number on the wire, 4096 or more (VSID).' },
    subnet: text("The node's part of it: 10.244.1.0/24."),
    gateway: text('What pods have for a gateway. Default: the first address of subnet.'),
    remoteSubnets: {
      type: 'array',
      description: 'What other nodes have: RemoteSubnetRoute.',
      items: {
        type: 'object',
        required: ['to', 'providerAddress', 'drMac'],
        additionalProperties: false,
        properties: {
          to: text('The network: 10.244.2.0/24 (DestinationPrefix).'),
          providerAddress: text("The node's address on the underlay."),
          drMac: text('The MAC of its distributed router (DistributedRouterMacAddress).'),
          vni: remoteVni,
        },
      },
    },
    remoteEndpoints: {
      type: 'array',
      description: 'Endpoints of the same subnet on other nodes, by their own MACs.',
      items: {
        type: 'object',
        required: ['ip', 'mac', 'providerAddress'],
        additionalProperties: false,
        properties: {
          ip: text('Its address.'),
          mac: text('Its MAC.'),
          providerAddress: text('The address of its node on the underlay.'),
          vni: remoteVni,
        },
      },
    },
    sourceVip: text('What sources become where services are not DSR: an address of subnet that no pod has.'),
    outboundNat,
    services: natOptions.services as Schema,
    portMappings: natOptions.portMappings as Schema,
    lbMode: {
      enum: ['dsr', 'nondsr'],
      description:
        'Whether kube-proxy has --enable-dsr: services at the pods’ ports, which keep the source. Default dsr.',
    },
    hnsVersion,
    nodePortAddresses: texts('Which of the host’s addresses have node ports. Default: all.'),
    clusterPrefixes: texts('The cluster’s networks: backends elsewhere get the host’s address, not the SourceVIP.'),
  },
}

/** Options of the node. */
export const options: Readonly<Record<string, Schema>> = {
  ...routedOptions,
  drMac: text(
    'MAC of the node’s distributed router, which other nodes are told (DrMacAddress). Default: 00:15:5d:....',
  ),
  networks: {
    type: 'object',
    minProperties: 1,
    description: 'Networks of type Overlay, by name. They may have the same addresses.',
    propertyNames: { pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$' },
    additionalProperties: network,
  },
  vxlan: {
    type: 'object',
    additionalProperties: false,
    description: 'The outer header: what is not public of VFP, and what it is here.',
    properties: {
      port: { ...udpPort, description: 'The UDP port of all nodes (VxlanPort). Default 4789.' },
      ...outerKeys,
      profile: { ...(outerKeys.profile as Schema), description: 'Default windows-vfp.' },
    },
  },
  drDecrementTtl: {
    type: 'boolean',
    description: 'Whether the distributed router takes one off the TTL. Default true.',
  },
  knownPeersOnly: { type: 'boolean', description: 'Whether only nodes that are named may send here. Default true.' },
  icmpTransposition,
  untransposed,
  conntrack: {
    ...(natOptions.conntrack as Schema),
    description: 'The tables of flows: each network has one at its pods’ ports, and one towards the host.',
  },
  isolationIds: {
    enum: ['uint16', 'uint24'],
    description: 'How long VNIs of other nodes may be: 16 bits, as RemoteSubnetRoute has it (default), or 24.',
  },
}
