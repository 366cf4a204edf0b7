import type { Schema } from '../mode.ts'
import { routedOptions, rpFilter, uplinkKeys } from './routed.ts'

/* The options of mode nat, as JSON Schema. What they mean is in `@l2l3/nat`, whose names and defaults they have. */

const port = (description: string): Schema => ({ type: 'integer', minimum: 1, maximum: 65_535, description })
const ports = (description: string): Schema => ({
  type: ['integer', 'string'],
  minimum: 1,
  maximum: 65_535,
  pattern: '^[0-9]{1,5}(-[0-9]{1,5})?$',
  description,
})
const count = (minimum: number, maximum: number, description: string): Schema => ({
  type: 'integer',
  minimum,
  maximum,
  description,
})
const flag = (description: string): Schema => ({ type: 'boolean', description })
const texts = (description: string): Schema => ({ type: 'array', items: { type: 'string' }, description })
const protocol: Schema = { enum: ['tcp', 'udp', 'sctp'], description: 'Default tcp.' }

const inside: Schema = {
  type: 'object',
  required: ['ip'],
  additionalProperties: false,
  description: "The node's interface on the inside's switch: the gateway of the hosts there.",
  properties: {
    ip: { ...uplinkKeys.ip, description: 'Its addresses with their prefixes: one, or a list.' },
    mac: { type: 'string', description: 'Its MAC address. Default: made from the names, 02:....' },
    mtu: count(68, 65_535, 'Its MTU. Default 1500.'),
  },
}

const outboundRule: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    from: texts("Networks that it is about. Default: the inside's own."),
    exceptions: texts(
      "Networks to which nothing is translated, besides the inside's own and multicast. Default: none.",
    ),
    destinations: texts(
      'The only networks to which it translates. Default: all. With behaviour hns also networks of the inside, and an ' +
        'empty list is all.',
    ),
    uplinks: texts('Ports by which it translates. Default: all without a host.'),
    addresses: texts(
      'The outside addresses, or ranges of them: 203.0.113.8-203.0.113.11. Default: those of the uplink (masquerade).',
    ),
    behaviour: {
      enum: ['linux', 'rfc4787', 'winnat', 'hns'],
      description:
        'The defaults of the keys below, and of conntrack.profile that of the first rule. Rules with hns are policies of ' +
        'HNS: the exceptions of each are those of all. Default linux.',
    },
    mapping: {
      enum: ['linux', 'endpoint-independent', 'address-dependent', 'address-and-port-dependent'],
      description:
        'When flows of one inside endpoint share an outside endpoint (RFC 4787, 4.1). linux: while it is free there.',
    },
    filtering: {
      enum: ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'],
      description: 'Who may send to an outside endpoint in use (RFC 4787, 5). The first two not with mapping linux.',
    },
    ports: {
      enum: ['preserve', 'random'],
      description: 'Whether a flow keeps its port where it is free, or always gets a random one.',
    },
    portClass: {
      enum: ['linux', 'any'],
      description: 'Ports for new ones: of the class of the old, 1-511, 600-1023 or from 1024 on (linux), or any.',
    },
    portRange: ports('The only ports used: 32768-60999, or one.'),
    parity: flag('Whether even ports stay even and odd ones odd (RFC 4787 REQ-4). Default false.'),
    pooling: {
      enum: ['paired', 'arbitrary'],
      description:
        'Of several addresses: the same for all flows of a host, or by the destination too (arbitrary, as linux has it).',
    },
    maxPortPoolUsage: count(1, 16_777_213, 'Mappings at most. Default: as many as there are flows.'),
    icmpTransposition: flag('Whether pings are translated. Default true, false with behaviour hns.'),
    otherProtocols: {
      enum: ['pass', 'drop'],
      description: 'What becomes of what is not translated: it leaves as it is (pass, the default), or not at all.',
    },
    hairpin: flag(
      'Whether hosts inside reach each other by their outside endpoints, each seen from outside (RFC 4787 REQ-9). Not ' +
        'with mapping linux. Default true with behaviour rfc4787, else false.',
    ),
  },
}

const portMapping: Schema = {
  type: 'object',
  required: ['port', 'to'],
  additionalProperties: false,
  properties: {
    protocol,
    port: ports('The port that is asked for, or a range of them: 5000-5009.'),
    hostIp: {
      type: 'string',
      description: "The only address that it is asked for at. Default, as 0.0.0.0: all of the node's.",
    },
    to: { type: 'string', description: 'Who gets it: an endpoint of the node, or an IP address.' },
    toPort: ports('At which port, or a range as long as port. Default: port.'),
    when: {
      type: 'object',
      additionalProperties: false,
      description:
        "Addresses that packets must have, which else go on as if it were not there: portmap's conditions. Of an IP version of " +
        'which a list names none, it asks nothing. Default: any.',
      properties: {
        from: texts('Networks, of one of which the source is.'),
        notFrom: texts('Networks of which it is not.'),
        at: texts('Networks, of one of which the address is that is asked.'),
        notAt: texts('Networks of which it is not.'),
      },
    },
    hairpin: {
      enum: [true, false, 'all'],
      description:
        'Whether hosts of its own network get there too, as if from the gateway (portmap). Default true. Else its answers ' +
        'pass the node by. all: everybody gets there as if from the node (masqAll).',
    },
  },
}

const service: Schema = {
  type: 'object',
  required: ['port'],
  additionalProperties: false,
  properties: {
    protocol,
    port: port('Where it listens at its addresses.'),
    clusterIps: texts('Addresses for hosts inside: of either IP version, or both.'),
    externalIps: texts('Addresses that lead here from outside.'),
    loadBalancerIps: texts('Addresses that a load balancer in front leads here.'),
    nodePort: port("Port at all of the node's addresses. Default: none."),
    backends: {
      type: 'array',
      description: 'Who serves. Default: nobody.',
      items: {
        type: 'object',
        required: ['to'],
        additionalProperties: false,
        properties: {
          to: { type: 'string', description: 'An endpoint of the node, or an IP address.' },
          port: port("Default: the service's."),
          local: flag('Whether it is on this node. Default: whether it is an endpoint of the node.'),
          weight: count(0, 4096, 'Its share beside those of others; 0 for none. Default 1.'),
          draining: flag('Its flows go on, and it gets no new ones while others can have them. Default false.'),
        },
      },
    },
    distribution: {
      enum: ['5-tuple', 'source-ip-protocol', 'source-ip'],
      description: 'What goes to one backend: a connection (5-tuple, the default), or all of a client.',
    },
    affinityTimeout: {
      type: 'integer',
      minimum: 0,
      maximum: 86_400,
      description: 'Seconds for which a client is remembered after its last new connection. Default 10800 (linux), 0.',
    },
    externalTrafficPolicy: { enum: ['Cluster', 'Local'], description: 'From outside: to all backends, or local ones.' },
    internalTrafficPolicy: {
      enum: ['Cluster', 'Local'],
      description: 'To clusterIps: to all backends, or local ones.',
    },
    dsr: flag("Whether backends see the client's own address. Default: the balancer's."),
    preserveDestination: flag('Whether packets go to a backend as they are, which has the address for its own.'),
    empty: { enum: ['reject', 'drop', 'pass'], description: 'What becomes of a packet that nobody serves.' },
  },
}

const balancer: Schema = {
  type: 'object',
  additionalProperties: false,
  description: 'What holds for all services.',
  properties: {
    style: { enum: ['linux', 'windows'], description: "Whose rules hold: kube-proxy's, or HNS'. Default linux." },
    clusterPrefixes: texts('Where sources are that count as inside the cluster. Default: not known.'),
    masqueradeAll: flag('Masquerades everything that comes by a clusterIp. Default false.'),
    dsr: flag("Whether backends see the client's own address. Default false."),
    sourceVips: texts("What masqueraded sources become. Default: the interface's address."),
    nodePortAddresses: texts('Which of the node’s addresses have node ports. Default: all.'),
    empty: { enum: ['reject', 'drop', 'pass'], description: 'Default reject with style linux, pass with windows.' },
    hairpin: flag('Whether a backend reaches itself by its service. Default true with style linux.'),
    whenRemoved: { enum: ['keep', 'end-udp', 'end'], description: 'Flows of a backend that is taken out.' },
    maxBackends: count(1, 4096, 'Backends of a service at most. Default 4096, 64 with style windows.'),
  },
}

const seconds: Schema = { type: 'integer', minimum: 1, maximum: 1_000_000 }
const TIMEOUTS = [
  ...['tcpSynSent', 'tcpSynRecv', 'tcpEstablished', 'tcpFinWait', 'tcpCloseWait', 'tcpLastAck', 'tcpTimeWait'],
  ...['tcpClose', 'tcpUnacknowledged', 'udp', 'udpStream', 'icmp'],
  ...['sctpOpening', 'sctpEstablished', 'sctpClosing', 'generic'],
]

const conntrack: Schema = {
  type: 'object',
  additionalProperties: false,
  description: 'The table of flows.',
  properties: {
    profile: {
      enum: ['linux', 'winnat', 'rfc'],
      description:
        "Which timeouts. Default linux; rfc or winnat where the first outbound rule's behaviour is rfc4787 or winnat.",
    },
    timeouts: {
      type: 'object',
      additionalProperties: false,
      description: 'Changes to them, in seconds.',
      properties: Object.fromEntries(TIMEOUTS.map((name) => [name, seconds])),
    },
    maxFlows: count(16, 4_194_304, 'Flows at most. Default 65536.'),
    whenFull: {
      enum: ['refuse', 'evict'],
      description:
        'What becomes of a new flow when it is full: none (refuse, the default), or in place of an idle one.',
    },
    tcpLoose: flag('Whether a connection is picked up in its middle. Default true.'),
    tcpEndAtOnce: flag('Whether a flow ends with its connection, and not some time after. Default false.'),
    inboundRefresh: flag('Whether what comes from outside keeps UDP flows open. Default true, not with winnat.'),
  },
}

/** Options of the node. */
export const options: Readonly<Record<string, Schema>> = {
  ...routedOptions,
  rpFilter: rpFilter('off'),
  inside,
  outbound: {
    type: 'array',
    items: outboundRule,
    description:
      'Whose source is translated: the first rule that is about a flow does it. Default: one rule, that translates all ' +
      'from inside; an empty list translates nothing.',
  },
  portMappings: { type: 'array', items: portMapping, description: 'Ports of the node that lead inside.' },
  portMappingRules: {
    enum: ['linux', 'docker-windows'],
    description:
      'Which port mappings there may be: any (linux, the default), or what Docker on Windows takes, one port of TCP or UDP ' +
      "at all of the node's addresses.",
  },
  services: {
    type: 'object',
    description: 'Addresses that many serve, by name.',
    additionalProperties: service,
  },
  balancer,
  conntrack,
  mss: {
    type: ['integer', 'string'],
    minimum: 48,
    maximum: 65_495,
    pattern: '^mtu$',
    description: 'Lowers the MSS that TCP connections open with: to so many bytes, or to what the MTUs carry (mtu).',
  },
  invalid: {
    enum: ['drop', 'pass'],
    description:
      'What becomes of packets that cannot be where their flow is, untranslated: drop (the default) or pass.',
  },
}

/** Options of a port with a host. */
export const endpointOptions: Readonly<Record<string, Schema>> = {
  isolated: flag('At an endpoint: it exchanges no frames with other isolated hosts. Default false.'),
}
