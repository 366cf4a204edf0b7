import type { Schema } from '../mode.ts'
import { routedOptions } from './routed.ts'
import { portOptions as switchPortOptions } from './switch.ts'
import { greKeys, headerKeys, outerKeys, udpPort, understandKeys, vni } from './tunnel-schema.ts'

/* The keys of mode vtep. */

const far: Schema = { type: 'string', description: 'The address of a far end on the underlay.' }

const remote: Schema = {
  type: ['string', 'object'],
  description: 'A far end: its address, or a map of what is particular there.',
  required: ['address'],
  additionalProperties: false,
  properties: { address: far, vni: { ...vni, description: 'Its VNI, where it is another there.' }, ...headerKeys },
}

const network: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    encapsulation: { enum: ['vxlan', 'geneve', 'gretap'], description: 'How frames are wrapped. Default vxlan.' },
    vni,
    ...greKeys,
    local: {
      type: 'string',
      description: "This end: an address of the node. Default: the first of the underlay's of the far ends' family.",
    },
    port: udpPort,
    remotes: {
      type: 'array',
      description: 'Far ends to which what is for all is sent; gretap: all of them.',
      items: remote,
    },
    multicast: {
      type: 'object',
      required: ['group'],
      additionalProperties: false,
      description: 'A multicast group to which what is for all is sent, in place of remotes.',
      properties: {
        group: { type: 'string', description: 'The group.' },
        port: {
          type: 'string',
          description: 'The port of the underlay that it is on. Default: the only one, or "uplink".',
        },
      },
    },
    static: {
      type: 'array',
      description: 'MAC addresses and the far ends where they are.',
      items: {
        type: 'object',
        required: ['mac', 'remote'],
        additionalProperties: false,
        properties: { mac: { type: 'string', description: "The station's MAC address." }, remote },
      },
    },
    prefixes: {
      type: 'array',
      description: 'Networks that are reached through a far end, whatever the MAC.',
      items: {
        type: 'object',
        required: ['to', 'remote'],
        additionalProperties: false,
        properties: {
          to: { type: 'string', description: 'The network: 10.244.2.0/24.' },
          remote,
          mac: { type: 'string', description: "Inner destination MAC for there: the far router's. Default: as it is." },
          srcMac: { type: 'string', description: 'Inner source MAC. Default: as it is.' },
          decrementTtl: { type: 'boolean', description: 'Whether it counts as a hop. Default false.' },
        },
      },
    },
    learning: { type: 'boolean', description: 'Whether far ends are learnt from what comes in. Default true.' },
    unknown: { enum: ['flood', 'drop'], description: 'Unicast to a MAC that is nowhere. Default flood.' },
    knownPeersOnly: { type: 'boolean', description: 'Whether only configured far ends may send here. Default false.' },
    mac: {
      type: 'string',
      description:
        'The MAC address of the node in the network: frames out of the tunnel that claim to come from it are dropped. Default none.',
    },
    destinations: {
      type: 'array',
      minItems: 1,
      items: { type: 'string' },
      description: 'MAC addresses: only frames to them are taken out of the tunnel, unicast and others. Default: all.',
    },
    gateway: { type: 'string', description: 'Only frames to this MAC go by prefixes. Default: all IP.' },
    mtu: {
      type: 'integer',
      minimum: 68,
      maximum: 65_535,
      description: 'The longest inner IP packet. Default: what the underlay takes.',
    },
    oversize: {
      enum: ['inner', 'outer', 'drop'],
      description:
        'IPv4 without DF that is longer: fragmented first (inner, the default), wrapped and fragmented then (outer), dropped.',
    },
    ...headerKeys,
    ...understandKeys,
    ...outerKeys,
  },
}

/** Options of a node of mode vtep. */
export const options: Readonly<Record<string, Schema>> = {
  networks: {
    type: 'object',
    description: 'Networks that span nodes, by name.',
    minProperties: 1,
    propertyNames: { pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$' },
    additionalProperties: network,
  },
  ageing: {
    type: 'number',
    minimum: 0,
    maximum: 1_000_000,
    description: 'Seconds until a MAC is forgotten. Default 300.',
  },
  maxEntries: { type: 'integer', minimum: 1, maximum: 1_048_576, description: 'MACs in each table. Default 8192.' },
  ...routedOptions,
}

/** Options of a port of a network; VLAN tags are not looked at. */
export const sideOptions: Readonly<Record<string, Schema>> = Object.fromEntries(
  Object.entries(switchPortOptions).filter(([key]) => key !== 'vlan' && key !== 'mtu'),
)

/** Key of ports of the underlay: sockets in place of a link. */
export const udp: Schema = {
  type: 'object',
  required: ['address'],
  additionalProperties: false,
  description:
    'On Linux: UDP sockets of the machine itself, on an address that it has; the kernel routes. Elsewhere the port is left unplugged.',
  properties: {
    address: { type: 'string', description: 'The address that they are bound to.' },
    port: { ...udpPort, description: 'The UDP port of all ends. Default 4789.' },
    netns: {
      type: 'string',
      minLength: 1,
      description: 'The namespace that they are in. Default: that of the process.',
    },
    sockets: {
      type: 'integer',
      minimum: 1,
      maximum: 64,
      description: 'How many, for as many source ports. Default 8.',
    },
    send: {
      enum: ['rows', 'single'],
      description:
        'Super-frames leave by UDP_SEGMENT (rows, the default where the kernel can), or in single datagrams.',
    },
    receive: {
      enum: ['merge', 'split', 'single'],
      description:
        'Trains come by UDP_GRO and become super-frames (merge, the default), or single frames (split, single).',
    },
    checksum: { type: 'boolean', description: 'Whether datagrams have a UDP checksum. Default true.' },
    dontFragment: { type: 'boolean', description: 'Whether datagrams may not be fragmented. Default false.' },
    device: { type: 'string', description: 'The interface that is sent and received by. Default: any.' },
    groups: { type: 'array', items: { type: 'string' }, description: 'Multicast groups to join.' },
  },
}
