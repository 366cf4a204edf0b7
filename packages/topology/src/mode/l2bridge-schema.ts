import type { Schema } from '../mode.ts'
import { options as natOptions } from './nat-schema.ts'
import { routedOptions, uplinkKeys } from './routed.ts'

/* The options of modes l2bridge and l2tunnel, as JSON Schema. */

const texts = (description: string): Schema => ({ type: 'array', items: { type: 'string' }, description })
const flag = (description: string): Schema => ({ type: 'boolean', description })
const word = (values: readonly string[], description: string): Schema => ({ enum: values, description })
const count = (minimum: number, maximum: number, description: string): Schema => ({
  type: 'integer',
  minimum,
  maximum,
  description,
})
const portNumber = (description: string): Schema => count(1, 65_535, description)

/** The version of HNS, by which some of what services may be is decided. */
export const hnsVersion: Schema = {
  type: 'string',
  pattern: '^[0-9]+\\.[0-9]+$',
  description: 'The version of HNS: before 12.0 there is no session affinity. Default "15.0".',
}

/** Whether ICMP is translated, and what becomes of it where it is not. */
export const icmpTransposition: Schema = flag(
  'Whether OutBoundNAT translates pings, too, which VFP cannot. Default false.',
)
export const untransposed: Schema = word(
  ['pass', 'drop'],
  'What becomes of ICMP that would have to be translated: it leaves with the pod’s address (pass, the default), or is NatUnsupported.',
)

/** Services as Windows has them: without what HNS cannot do. */
function windowsServices(): Schema {
  const { additionalProperties: service, ...rest } = natOptions.services as Schema & {
    additionalProperties: { properties: Record<string, Schema> }
  }
  const { dsr: _dsr, empty: _empty, affinityTimeout: _timeout, ...properties } = service.properties
  return {
    ...rest,
    description: 'Services, as kube-proxy has HNS do them, by name.',
    additionalProperties: { ...service, properties },
  }
}

/** Options of both modes. */
export const commonOptions: Readonly<Record<string, Schema>> = {
  hostMac: {
    type: 'string',
    description:
      "The node's MAC: the only one that is seen on the uplink. The endpoint that has it is the node itself.",
  },
  hostIps: texts(
    "The node's own addresses: ARP for them is answered with hostMac. Default: those of the endpoint that is the node, and of host.",
  ),
  host: {
    type: 'object',
    required: ['ip'],
    additionalProperties: false,
    description: 'The node itself, built in: its management interface, with hostMac. Default: none, or an endpoint.',
    properties: {
      ip: { ...uplinkKeys.ip, description: "Its addresses on the uplink's network, with prefixes: one, or a list." },
      mtu: count(68, 65_535, 'MTU of it. Default 1500.'),
    },
  },
  routes: { ...(routedOptions.routes as Schema), description: 'Static routes of the host.' },
  echo: routedOptions.echo as Schema,
  gateway: {
    type: ['string', 'array'],
    items: { type: 'string' },
    description:
      'By which address pods reach other networks, without prefix: one of each IP version. Default: hostEndpoint.',
  },
  vlan: count(1, 4094, 'The VLAN of the ports of pods; the uplink is tagged then. Default: none.'),
  services: windowsServices(),
  lbMode: word(['dsr', 'nondsr'], 'Whether ClusterIPs are direct server return. Default dsr.'),
  sourceVips: texts("What sources become where a service is not DSR. Default: the host's address."),
  nodePortAddresses: texts("Which of the node's addresses have node ports. Default: all."),
  hnsVersion,
  icmpTransposition,
  untransposed,
  broadcast: word(
    ['flood', 'block'],
    "What becomes of pods' broadcasts and multicasts: flooded (the default), or dropped but for ARP, ND and DHCP (block).",
  ),
  conntrack: natOptions.conntrack as Schema,
}

/** Options of mode l2bridge. */
export const l2bridgeOptions: Readonly<Record<string, Schema>> = {
  ...commonOptions,
  hostEndpoint: {
    type: 'object',
    required: ['ip'],
    additionalProperties: false,
    description: "The host's endpoint in the pods' subnet, .2: their gateway, and forwarding is on. Needs host.",
    properties: {
      ip: { ...uplinkKeys.ip, description: 'Its addresses with prefixes: one, or a list.' },
      mac: { type: 'string', description: 'Its MAC address. Default: made from the names, 02:....' },
    },
  },
  tunnelMac: {
    type: 'string',
    description: 'Tunnel mode (l2tunnel): all that pods send leaves to this MAC. Default: none.',
  },
  preset: word(
    ['windows', 'azure-linux'],
    'The defaults of the options below: as documented of Windows (the default), or as the rules of Azure CNI on Linux, ' +
      'which has none of the layers of VFP.',
  ),
  arpReplyMode: word(
    ['unicast-tha', 'broadcast-azure'],
    "How an ARP reply from outside reaches its pod: to the pod's MAC, tha too (unicast-tha), or to everybody with " +
      'tha as it is (broadcast-azure).',
  ),
  foreignArpAnswer: word(
    ['host-mac', 'pod-mac'],
    "What ARP from outside for a pod is answered with: the node's MAC, or the pod's.",
  ),
  floodLeak: flag('Whether the first frame to a pod that has not spoken is flooded, and leaks to the uplink.'),
  unknownDestination: word(
    ['host', 'flood'],
    'What becomes of a frame from outside that is for no pod: for the host alone, or flooded.',
  ),
  answerOwner: flag('Whether a pod that asks for its own address is answered.'),
}

/** Options of mode l2tunnel. */
export const l2tunnelOptions: Readonly<Record<string, Schema>> = {
  ...commonOptions,
  tunnelMac: { type: 'string', description: 'The MAC of the fabric. Default 12:34:56:78:9a:bc, as in Azure.' },
}

const ports: Schema = {
  type: 'array',
  items: { type: ['integer', 'string'], minimum: 0, maximum: 65_535, pattern: '^[0-9]{1,5}(-[0-9]{1,5})?$' },
}
const rules: Schema = {
  type: 'array',
  items: {
    type: 'object',
    required: ['action', 'direction'],
    additionalProperties: false,
    properties: {
      name: { type: 'string', description: 'What it is called in traces.' },
      action: word(['allow', 'block', 'pass'], 'pass: the next tier decides.'),
      direction: word(['in', 'out'], 'Who began the flow: the endpoint (out), or somebody else.'),
      protocols: { type: 'array', items: count(0, 255, 'An IP protocol.'), description: 'Default: any.' },
      localAddresses: texts("Prefixes of the endpoint's address. Default: any."),
      remoteAddresses: texts("Prefixes of the other side's address. Default: any."),
      localPorts: { ...ports, description: 'Ports of the endpoint: 80, 8000-8080. Default: any.' },
      remotePorts: { ...ports, description: 'Ports of the other side. Default: any.' },
      priority: count(0, 65_535, 'The lowest counts. Default 0.'),
      ruleType: word(['switch', 'host'], 'Who enforces it: VFP (switch, the default), or Windows Firewall.'),
    },
  },
}

/** What may pass a port: an access control list. */
export const acl: Schema = {
  type: 'object',
  additionalProperties: false,
  description: "What may pass the port: rules of HNS' ACL policies. Default: HNS' default port ACLs.",
  properties: {
    rules: { ...rules, description: 'Rules without a tier, asked after all tiers.' },
    tiers: {
      type: 'array',
      description: 'Rules that are asked together, in the order of the tiers.',
      items: {
        type: 'object',
        required: ['name', 'order', 'rules'],
        additionalProperties: false,
        properties: { name: { type: 'string' }, order: count(0, 65_535, 'The lowest is asked first.'), rules },
      },
    },
    defaults: word(
      ['process', 'hyper-v', 'allow', 'block'],
      'What becomes of flows about which no rule says anything: in from outside TCP, UDP, ICMP and IGMP alone, out all ' +
        '(process, the default); all (hyper-v, allow); none (block).',
    ),
  },
}

/** Keys of a port with a pod. */
export const podKeys: Readonly<Record<string, Schema>> = {
  guards: {
    type: ['object', 'boolean'],
    additionalProperties: false,
    description: 'Guards at the port; false for none. Default: source, arp and dhcp.',
    properties: {
      source: flag("MAC, IPv4 and IPv6 guard: sources are the pod's. Default true."),
      arp: flag("ARP guard: it speaks for no other's address. Default true."),
      dhcp: flag('DHCP guard: it is no server. Default true.'),
      arpPerSecond: count(1, 1_000_000, 'ARP limiter: messages of ARP and ND a second. Default: no limit.'),
      blockNonIp: flag('Drops what is neither ARP nor IP. Default false.'),
      blockBroadcast: flag("Drops broadcasts that it can do without. Default: as the node's broadcast."),
    },
  },
  acl,
  outboundNat: {
    type: 'array',
    description:
      "OutBoundNAT policies. Without destinations: what leaves by the uplink gets the host's address, or virtualIp.",
    items: {
      type: 'object',
      additionalProperties: false,
      properties: {
        exceptions: texts('Networks to which it does not translate; those of all policies count together.'),
        destinations: texts("The only networks to which it does: with the pod's own address, loopback DSR."),
        virtualIp: { type: 'string', description: "What sources become. Default: the host's address." },
        maxPortPoolUsage: count(1, 65_535, 'Ports at most. Default: no limit.'),
      },
    },
  },
  sdnRoutes: texts("ROUTE policies with NeedEncap: what is for these prefixes goes to the host's port. Default: none."),
  portMappings: {
    type: 'array',
    description: 'Ports of the node that lead to the pod.',
    items: {
      type: 'object',
      required: ['port'],
      additionalProperties: false,
      properties: {
        protocol: word(['tcp', 'udp', 'sctp'], 'Default tcp.'),
        port: portNumber('The port of the node.'),
        toPort: portNumber("The pod's. Default: port."),
        hostIp: {
          type: 'string',
          description: "The only address that it is asked for at. Default: all of the node's.",
        },
      },
    },
  },
}
