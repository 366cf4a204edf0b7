import { MODES, type Mode, type Schema } from './mode.ts'
import { checkItem } from './schema-checks.ts'
import { faults, linkItem, NAME, segment, segmentKey } from './schema-segments.ts'

/*
 * The schema of a topology file, put together from what all modes share and what each mode brings. It is shipped as
 * topology.schema.json for editors, and is what `parseTopology` checks with; what a schema cannot say well (addresses,
 * names that refer to each other) is checked afterwards, with a better sentence.
 */

const names: Schema = { pattern: NAME }

const queue: Schema = { type: 'integer', minimum: 1, maximum: 10_000 }

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
    queue: { ...queue, description: "Frames that wait in it at most. Default: the topology's." },
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

function nodeSchema(mode: Mode): Schema {
  const port = { ...mode.uplinkKeys, ...mode.portOptions, segment: segmentKey, tap, nic }
  return {
    type: 'object',
    additionalProperties: false,
    properties: {
      mode: { const: mode.name },
      ...mode.options,
      uplink: {
        type: 'object',
        description: 'The port named "uplink": joined by a link, on a segment, or a TAP.',
        additionalProperties: false,
        properties: port,
      },
      ports: {
        type: 'object',
        description: 'Further ports without a host, by name: joined by links, on segments, or TAPs.',
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
            faults: { ...faults, description: 'What the wire between host and node does to frames, either way.' },
          },
        },
      },
    },
  }
}

/** A node of a mode is as its definition says. */
function nodesOf({ name }: Mode): Schema {
  const of = { required: ['mode'], properties: { mode: { const: name } } }
  // biome-ignore lint/suspicious/noThenProperty: the keyword of JSON Schema
  return { if: of, then: { $ref: `#/definitions/${name}` } }
}

/**
 * Makes the JSON Schema (draft 07) of a topology file.
 *
 * @param modes those whose nodes are described; others are known by name only
 */
export function topologySchema(modes: ReadonlyMap<string, Mode> = MODES): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'l2l3 topology',
    description: 'Nodes, the hosts on them, the segments and links between them, and what to check.',
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
          properties: { mode: { enum: [...MODES.keys()], description: 'What the node is.' } },
          ...(modes.size === 0 ? {} : { allOf: Array.from(modes.values(), nodesOf) }),
        },
      },
      segments: {
        type: 'object',
        description: 'Ethernet segments that join nodes, by name: the underlay.',
        propertyNames: names,
        additionalProperties: segment,
      },
      links: {
        type: 'array',
        description: 'Cables: pairs of ports without a host, each as node/port.',
        items: linkItem,
      },
      seed: {
        type: 'integer',
        minimum: 0,
        maximum: 4_294_967_295,
        description: 'Of the dice that faults are thrown with. Default 1.',
      },
      queue: {
        ...queue,
        description: 'On Linux: frames that wait at most for a node to read them, of each TAP. Default 256.',
      },
      checks: { type: 'array', description: 'What to try once all is built.', items: checkItem },
    },
    definitions: Object.fromEntries(Array.from(modes.values(), (mode) => [mode.name, nodeSchema(mode)])),
  }
}
