import { MODES, type Mode, type Schema } from './mode.ts'

/*
 * The schema of a topology file, put together from what all modes share and what each mode brings. It is shipped as
 * topology.schema.json for editors, and is what `parseTopology` checks with; what a schema cannot say well (addresses,
 * names that refer to each other) is checked afterwards, with a better sentence.
 */

const NAME = '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$'
const names: Schema = { pattern: NAME }

const tap: Schema = {
  type: 'object',
  description: 'On Linux: a TAP device in the namespace of the process. Elsewhere the port is left unplugged.',
  additionalProperties: false,
  properties: {
    name: {
      type: 'string',
      pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$',
      description: 'Name of the interface, at most 15 characters. Default: made from the topology and the port.',
    },
    offloads: {
      type: 'boolean',
      description:
        'Whether super-frames and missing checksums cross it as they are, as far as the kernel can. Default true.',
    },
    tunnelOffloads: {
      type: 'boolean',
      description: 'Whether super-frames inside UDP tunnels do, too; else they are cut. Default true.',
    },
  },
}

const nic: Schema = {
  type: 'object',
  required: ['name'],
  description: 'On Linux: an interface that exists, a NIC or one end of a veth. Elsewhere the port is left unplugged.',
  additionalProperties: false,
  properties: {
    name: { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$', description: 'Its name.' },
    netns: { type: 'string', minLength: 1, description: 'The namespace that it is in. Default: that of the process.' },
    offloads: {
      type: 'boolean',
      description: 'Whether super-frames and missing checksums cross it as they are. Default true.',
    },
    promiscuous: { type: 'boolean', description: 'Whether what is for other stations is received. Default true.' },
  },
}

const family: Schema = { enum: [4, 6], description: 'IP version. Default: all that both ends have.' }
const timeout = (standard: number): Schema => ({
  type: 'number',
  exclusiveMinimum: 0,
  maximum: 3600,
  description: `Seconds until an answer counts as absent. Default ${standard}.`,
})
const from: Schema = { type: 'string', description: 'An endpoint: its name, or node/name.' }
const to: Schema = { type: 'string', description: 'An endpoint, or an IP address.' }

const checkItem: Schema = {
  type: 'object',
  additionalProperties: false,
  oneOf: [{ required: ['ping'] }, { required: ['tcp'] }, { required: ['traceroute'] }, { required: ['neigh'] }],
  properties: {
    ping: {
      type: 'object',
      required: ['from', 'to'],
      additionalProperties: false,
      description: 'Echo requests and replies.',
      properties: {
        from,
        to,
        family,
        timeout: timeout(2),
        count: { type: 'integer', minimum: 1, maximum: 10_000, description: 'How many. Default 3.' },
        bytes: { type: 'integer', minimum: 0, maximum: 65_000, description: 'Payload of each. Default 56.' },
      },
    },
    tcp: {
      type: 'object',
      required: ['from', 'to'],
      additionalProperties: false,
      description: 'A transfer over one TCP connection; its payload is compared.',
      properties: {
        from,
        to,
        family,
        timeout: timeout(30),
        bytes: {
          type: ['integer', 'string'],
          minimum: 1,
          maximum: 1e12,
          pattern: '^[0-9]{1,12}(\\.[0-9]{1,9})? ?([kKMG]i|[kMG])?B$',
          description: 'Payload, as a number or as "10 MB", "64 KiB". Default 1 MB.',
        },
        port: {
          type: 'integer',
          minimum: 1,
          maximum: 65_535,
          description: 'The port to connect to. Default: one that the end chooses.',
        },
        server: {
          type: ['string', 'array'],
          minItems: 1,
          items: { type: 'string' },
          description:
            'The endpoint that must get it, or several of which one must, where an address or a port on the way ' +
            'stands for them. Default: the one that has the address.',
        },
        serverPort: {
          type: 'integer',
          minimum: 1,
          maximum: 65_535,
          description: 'The port that it must arrive at. Default: port.',
        },
      },
    },
    traceroute: {
      type: 'object',
      required: ['from', 'to'],
      additionalProperties: false,
      description: 'Probes with a time to live of 1, 2, 3, ... until the address itself answers.',
      properties: {
        from,
        to,
        family,
        timeout: timeout(2),
        via: {
          type: 'array',
          items: { type: 'string' },
          description:
            'Addresses of the hops before it, in order: those of the IP version that is tried must be all that is ' +
            'seen. Default: any.',
        },
      },
    },
    neigh: {
      type: 'object',
      required: ['from', 'to'],
      additionalProperties: false,
      description: "Whether an address is in the host's neighbour cache, after what the checks before have sent.",
      properties: {
        from,
        to,
        family,
        mac: { type: 'string', description: 'The MAC address that it must have there. Default: any.' },
      },
    },
    expect: { enum: ['pass', 'fail'], description: 'Whether it must work (pass, the default) or must not (fail).' },
  },
}

function nodeSchema(mode: Mode): Schema {
  const port = { ...mode.uplinkKeys, ...mode.portOptions, tap, nic }
  return {
    type: 'object',
    additionalProperties: false,
    properties: {
      mode: { const: mode.name },
      ...mode.options,
      uplink: {
        type: 'object',
        description: 'The port named "uplink": joined by a link, or a TAP.',
        additionalProperties: false,
        properties: port,
      },
      ports: {
        type: 'object',
        description: 'Further ports without a host, by name: joined by links, or TAPs.',
        propertyNames: names,
        additionalProperties: { type: 'object', additionalProperties: false, properties: port },
      },
      endpoints: {
        type: 'object',
        description: "Ports with a host, by the host's name, which is unique in the topology.",
        propertyNames: names,
        additionalProperties: {
          type: 'object',
          additionalProperties: false,
          properties: {
            mac: { type: 'string', description: "The host's MAC address. Default: made from the names, 02:...." },
            ip: {
              type: ['string', 'array'],
              items: { type: 'string' },
              description: "The host's addresses with their prefixes, IPv4 and IPv6: one, or a list. Default: none.",
            },
            ...mode.endpointKeys,
            ...mode.portOptions,
          },
        },
      },
    },
  }
}

/** Makes the JSON Schema (draft 07) of a topology file. */
export function topologySchema(modes: ReadonlyMap<string, Mode> = MODES): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'l2l3 topology',
    description: 'Nodes, the hosts on them, the links between them, and what to check.',
    type: 'object',
    required: ['nodes'],
    additionalProperties: false,
    properties: {
      name: { type: 'string', pattern: NAME, description: "Name of the topology. Default: the file's." },
      description: { type: 'string', description: 'What it is for, to people.' },
      nodes: {
        type: 'object',
        description: 'What frames go through, by name.',
        minProperties: 1,
        propertyNames: names,
        additionalProperties: {
          type: 'object',
          required: ['mode'],
          properties: { mode: { enum: [...modes.keys()], description: 'What the node is.' } },
          allOf: Array.from(modes.values(), (mode) => ({
            if: { required: ['mode'], properties: { mode: { const: mode.name } } },
            // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
            then: { $ref: `#/definitions/${mode.name}` },
          })),
        },
      },
      links: {
        type: 'array',
        description: 'Cables: pairs of ports without a host, each as node/port.',
        items: { type: 'array', items: { type: 'string' }, minItems: 2, maxItems: 2 },
      },
      checks: { type: 'array', description: 'What to try once all is built.', items: checkItem },
    },
    definitions: Object.fromEntries(Array.from(modes.values(), (mode) => [mode.name, nodeSchema(mode)])),
  }
}
