import { DROP_NAMES } from '@l2l3/switch-core'
import type { Schema } from './mode.ts'

/* The part of the schema that is about checks: what can be tried, and what must come of it. */

const family: Schema = { enum: [4, 6], description: 'IP version. Default: all that both ends have.' }
const timeout = (standard: number): Schema => ({
  type: 'number',
  exclusiveMinimum: 0,
  maximum: 3600,
  description: `Seconds until an answer counts as absent. Default ${standard}.`,
})
const from: Schema = { type: 'string', description: 'An endpoint: its name, or node/name.' }
const to: Schema = { type: 'string', description: 'An endpoint, or an IP address.' }
const count = (what: string): Schema => ({
  type: 'integer',
  minimum: 1,
  maximum: 10_000,
  description: `How many ${what}. Default 3.`,
})
const payload: Schema = {
  type: 'integer',
  minimum: 0,
  maximum: 65_000,
  description: 'Payload of each. Default 56.',
}
const port = (usual: string): Schema => ({
  type: 'integer',
  minimum: 1,
  maximum: 65_535,
  description: `The port to go to. Default: ${usual}.`,
})

/** Keys of what goes to a server: which it is, where something on the way stands for it. */
const served: Readonly<Record<string, Schema>> = {
  server: {
    type: ['string', 'array'],
    minItems: 1,
    items: { type: 'string' },
    description:
      'The endpoint that must get it, or several of which one must, where an address or a port on the way stands for ' +
      'them. Default: the one that has the address.',
  },
  serverPort: {
    type: 'integer',
    minimum: 1,
    maximum: 65_535,
    description: 'The port that it must arrive at. Default: port.',
  },
}

function trial(description: string, properties: Readonly<Record<string, Schema>>): Schema {
  return {
    type: 'object',
    required: ['from', 'to'],
    additionalProperties: false,
    description,
    properties: { from, to, ...properties },
  }
}

const trials: Readonly<Record<string, Schema>> = {
  ping: trial('Echo requests and replies.', { family, timeout: timeout(2), count: count('requests'), bytes: payload }),
  tcp: trial('A transfer over one TCP connection; its payload is compared.', {
    family,
    timeout: timeout(30),
    bytes: {
      type: ['integer', 'string'],
      minimum: 1,
      maximum: 1e12,
      pattern: '^[0-9]{1,12}(\\.[0-9]{1,9})? ?([kKMG]i|[kMG])?B$',
      description: 'Payload, as a number or as "10 MB", "64 KiB". Default 1 MB.',
    },
    port: port('one that the end chooses'),
    ...served,
  }),
  udp: trial('Datagrams to an echo service, which all must come back as they were.', {
    family,
    timeout: timeout(2),
    count: count('datagrams'),
    bytes: payload,
    port: port('7, or one that the end chooses'),
    ...served,
  }),
  http: trial('GET from a small server: the status and the text that come must be those that it was given.', {
    family,
    timeout: timeout(10),
    port: port('80'),
    url: { type: 'string', pattern: '^/[!-~]{0,200}$', description: 'What is asked for. Default "/".' },
    status: {
      type: 'integer',
      minimum: 200,
      maximum: 599,
      description: 'What the server answers, and must arrive. Default 200.',
    },
    body: {
      type: 'string',
      maxLength: 10_000,
      description: 'The text that the server answers with, and that must arrive. Default: its name and a line feed.',
    },
    ...served,
  }),
  arp: trial('Who-has requests for an IPv4 address, as arping sends them: the same station must answer all.', {
    timeout: timeout(2),
    count: count('requests'),
    mac: { type: 'string', description: 'The MAC address that must answer. Default: any.' },
  }),
  traceroute: trial('Probes with a time to live of 1, 2, 3, ... until the address itself answers.', {
    family,
    timeout: timeout(2),
    via: {
      type: 'array',
      items: { type: 'string' },
      description:
        'Addresses of the hops before it, in order: those of the IP version that is tried must be all that is seen. An empty ' +
        'list: there is no hop. Default, and where none is of that version: any.',
    },
  }),
  neigh: trial("Whether an address is in the host's neighbour cache, after what the checks before have sent.", {
    family,
    mac: { type: 'string', description: 'The MAC address that it must have there. Default: any.' },
  }),
}

/** A check. */
export const checkItem: Schema = {
  type: 'object',
  additionalProperties: false,
  oneOf: Object.keys(trials).map((kind) => ({ required: [kind] })),
  properties: {
    ...trials,
    expect: {
      anyOf: [
        { enum: ['pass', 'fail'] },
        {
          type: 'object',
          required: ['drop'],
          additionalProperties: false,
          properties: { drop: { enum: DROP_NAMES, description: 'Why nodes must drop frames meanwhile.' } },
        },
      ],
      description:
        'Whether it must work (pass, the default) or must not (fail), or must not because nodes drop frames for a ' +
        'reason: { drop: NoRoute }.',
    },
    path: {
      type: 'array',
      minItems: 1,
      items: { type: 'string' },
      description: 'Nodes and ports (node/port) that its first packet must pass, in this order.',
    },
  },
}
