import type { Schema } from './mode.ts'

/* The part of the schema that is about what joins nodes: segments, cables, and what wires do to frames. */

/** What a name looks like. */
export const NAME = '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$'

const fraction = (what: string): Schema => ({
  type: ['number', 'string'],
  minimum: 0,
  maximum: 1,
  pattern: '^(100(\\.0{1,6})?|[0-9]{1,2}(\\.[0-9]{1,6})?) ?%$',
  description: `Fraction of frames that ${what}, as 0.01 or "1%". Default 0.`,
})

const time = (what: string): Schema => ({
  type: 'string',
  pattern: '^[0-9]{1,9}(\\.[0-9]{1,6})? ?(ns|us|ms|s)$',
  description: `${what}, as "5 ms" or "200 us". Default 0.`,
})

/** What a wire does to frames. */
export const faults: Schema = {
  type: 'object',
  description: 'What the wire does to frames.',
  additionalProperties: false,
  properties: {
    loss: fraction('are lost'),
    duplicate: fraction('come twice'),
    corrupt: fraction('come with a bit flipped'),
    reorder: fraction('the next one overtakes'),
    delay: time('How long each frame is under way'),
    jitter: time('By how much longer it may be; frames overtake each other then'),
  },
}

/** A cable: a pair of ports, or one with more said of it. */
export const linkItem: Schema = {
  anyOf: [
    { type: 'array', items: { type: 'string' }, minItems: 2, maxItems: 2 },
    {
      type: 'object',
      required: ['join'],
      additionalProperties: false,
      properties: {
        join: {
          type: 'array',
          items: { type: 'string' },
          minItems: 2,
          maxItems: 2,
          description: 'The two ports, each as node/port.',
        },
        faults: { ...faults, description: 'What the cable does to frames, either way.' },
      },
    },
  ],
}

/** Key of a port without a host. */
export const segmentKey: Schema = { type: 'string', description: 'The segment that the port is on.' }

const addresses = (description: string): Schema => ({
  type: ['string', 'array'],
  items: { type: 'string' },
  description,
})

/** A segment. */
export const segment: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    mtu: {
      type: 'integer',
      minimum: 68,
      maximum: 65_521,
      description:
        'Longest payload of a frame on it, and default MTU of all that is on it. Default: any, and 1500 of hosts and ' +
        'router.',
    },
    router: {
      type: 'object',
      required: ['ip'],
      additionalProperties: false,
      description: 'A router on it, which leads to the other segments that have one of the same name, and outside.',
      properties: {
        name: { type: 'string', pattern: NAME, description: 'Its name, as a node. Default "router".' },
        ip: addresses('Its addresses on the segment with their prefixes: one, or a list.'),
        mac: { type: 'string', description: 'Its MAC address. Default: made from the names, 02:....' },
        routes: {
          type: 'array',
          description: 'Static routes of the router by way of this segment.',
          items: {
            type: 'object',
            required: ['to', 'via'],
            additionalProperties: false,
            properties: {
              to: { type: 'string', description: 'The network: 10.0.0.0/8, fd00::/8.' },
              via: { type: 'string', description: 'The gateway, in a network of the router.' },
            },
          },
        },
      },
    },
    hosts: {
      type: 'object',
      description: 'Hosts on it, outside of all nodes, by name, which is unique in the topology.',
      propertyNames: { pattern: NAME },
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        properties: {
          mac: { type: 'string', description: "The host's MAC address. Default: made from the names, 02:...." },
          ip: addresses("The host's addresses with their prefixes: one, or a list. Default: none."),
          mtu: { type: 'integer', minimum: 68, maximum: 65_521, description: "Default: the segment's, or 1500." },
          gateway: addresses(
            'By which it reaches other networks: an address without prefix, or one of each IP version. Default: ' +
              "the router's in its network.",
          ),
        },
      },
    },
    faults: {
      ...faults,
      description: 'What the segment does to frames, on their way to each that is on it.',
    },
  },
}
