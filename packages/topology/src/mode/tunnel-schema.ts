import type { Schema } from '../mode.ts'

/* Keys that networks of mode vtep and tunnels of mode router have in common: what a tunnel's outside looks like. */

const flag = (description: string): Schema => ({ type: 'boolean', description })

/** A whole number, or "inherit". */
const inherit = (minimum: number, maximum: number, description: string): Schema => ({
  type: ['integer', 'string'],
  minimum,
  maximum,
  pattern: '^inherit$',
  description,
})

/** The fields of a profile; see `TunnelSettings` in @l2l3/vxlan. */
export const outerKeys: Readonly<Record<string, Schema>> = {
  profile: {
    enum: ['linux', 'rfc', 'windows-vfp', 'ovs'],
    description: 'Whose outer headers and rules: the fields below are as they have them. Default linux.',
  },
  df: {
    enum: ['clear', 'set', 'inherit'],
    description: "The outer don't-fragment bit: clear, set, or as in the inner packet.",
  },
  ttl: inherit(1, 255, 'Outer time to live or hop limit: 1 to 255, or that of the inner packet (inherit).'),
  groupTtl: { type: 'integer', minimum: 1, maximum: 255, description: 'The same of what goes to a multicast group.' },
  tos: inherit(
    0,
    252,
    'Outer type of service without its ECN bits, in steps of 4, or that of the inner packet (inherit).',
  ),
  ecnIngress: {
    enum: ['rfc6040', 'linux', 'compatibility'],
    description: 'What the inner ECN bits make of the outer ones: a copy, a copy with ECT(0) for CE, nothing.',
  },
  udpChecksum: flag('Whether outer UDP over IPv4 has a checksum.'),
  udpChecksum6: flag('The same over IPv6.'),
  sportRange: {
    type: 'string',
    pattern: '^[0-9]{1,5}-[0-9]{1,5}$',
    description: 'The UDP source ports that flows are spread over: "49152-65535".',
  },
  ipId: { enum: ['counter', 'zero'], description: 'Outer IPv4 identification; zero only with df set.' },
  flowLabel: {
    type: ['integer', 'string'],
    minimum: 0,
    maximum: 0xfffff,
    pattern: '^hash$',
    description: 'Outer IPv6 flow label: a number, or made of the inner flow (hash).',
  },
  reservedBits: {
    enum: ['linux', 'rfc'],
    description: 'Packets with unknown flags or reserved bits: dropped (linux), or taken all the same (rfc).',
  },
  verifyChecksum: flag('Whether an outer UDP checksum that is there is verified.'),
  zeroChecksum6: flag('Whether UDP over IPv6 without a checksum is taken.'),
  innerVlan: { enum: ['keep', 'drop'], description: 'Frames with a VLAN tag: carried, or dropped.' },
}

/** Fields of a GRE header. */
export const greKeys: Readonly<Record<string, Schema>> = {
  key: { type: 'integer', minimum: 0, maximum: 0xffff_ffff, description: 'GRE: the key. Default none.' },
  checksum: flag('GRE: whether packets have a checksum. Default false.'),
  sequence: flag('GRE: whether packets are numbered, and old ones refused. Default false.'),
}

const optionKey = {
  class: { type: 'integer', minimum: 0, maximum: 0xffff, description: 'Who defined it.' },
  type: { type: 'integer', minimum: 0, maximum: 255, description: 'Its type; from 128 on it is critical.' },
} as const

/** What a VTEP understands beside the standard header. */
export const understandKeys: Readonly<Record<string, Schema>> = {
  gbp: flag('VXLAN: whether group policy ids are understood. Default false.'),
  knownOptions: {
    type: 'array',
    description: 'GENEVE: critical options that are understood.',
    items: { type: 'object', required: ['class', 'type'], additionalProperties: false, properties: optionKey },
  },
}

/** What a header carries beside the VNI. */
export const headerKeys: Readonly<Record<string, Schema>> = {
  policy: { type: 'integer', minimum: 0, maximum: 0xffff, description: 'VXLAN: a group policy id for the header.' },
  options: {
    type: 'array',
    description: 'GENEVE: options for the header.',
    items: {
      type: 'object',
      required: ['class', 'type'],
      additionalProperties: false,
      properties: {
        ...optionKey,
        data: { type: 'string', pattern: '^([0-9a-fA-F]{8}){0,31}$', description: 'Its bytes, in hexadecimal.' },
      },
    },
  },
}

export const vni: Schema = {
  type: 'integer',
  minimum: 0,
  maximum: 0xff_ffff,
  description: 'VXLAN, GENEVE: the virtual network identifier.',
}

export const udpPort: Schema = {
  type: 'integer',
  minimum: 1,
  maximum: 65_535,
  description: 'The UDP port of all ends. Default 4789 (vxlan), 6081 (geneve), 8285 (flannel-udp).',
}
