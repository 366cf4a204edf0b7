import { checkRange } from '@l2l3/switch-core'

/*
 * What a tunnel's end writes into the outer header, and what it takes: RFCs leave most of that open, and every
 * implementation has chosen for itself. A profile is one such choice, under its name:
 *
 *     linux         the kernel's vxlan device, measured on Linux 6.18 (modes.md 20.1 to 20.3)
 *     rfc           RFC 7348 (VXLAN), RFC 8926 (GENEVE) and RFC 6040, to the letter
 *     windows-vfp   Windows' virtual switch; its choices are not public, these are modes.md's (4.2)
 *     ovs           Open vSwitch' userspace datapath (modes.md 14.2)
 *
 * Every field is an option of its own: `{ profile: 'linux', df: 'inherit', ttl: 5 }`.
 */

/** A profile's name. */
export type ProfileName = 'linux' | 'rfc' | 'windows-vfp' | 'ovs'

/** How a tunnel's end behaves, each field by itself. */
export interface TunnelSettings {
  /** The outer don't-fragment bit: always clear, always set, or as in the inner packet; of inner IPv6 it then is set, of
   * what is not IP clear. IPv4 only. */
  df: 'clear' | 'set' | 'inherit'
  /** Outer time to live or hop limit: 1 to 255, or that of the inner packet, and 64 for what is not IP. */
  ttl: number | 'inherit'
  /** The same for what goes to a multicast group; 1 to 255. */
  groupTtl: number
  /** Outer type of service or traffic class, without its ECN bits: 0 to 252 in steps of 4, or that of the inner packet,
   * and 0 for what is not IP. */
  tos: number | 'inherit'
  /** What the inner ECN bits make of the outer ones: a copy (`rfc6040`, its normal mode; section 4.1); a copy, but ECT(0)
   * for CE (`linux`: RFC 3168's full functionality); nothing (`compatibility`: RFC 6040's mode for ends that do not
   * understand). */
  ecnIngress: 'rfc6040' | 'linux' | 'compatibility'
  /** Whether outer UDP over IPv4 has a checksum. */
  udpChecksum: boolean
  /** The same over IPv6, where leaving it out needs the consent of both ends (RFC 6935, RFC 6936). */
  udpChecksum6: boolean
  /** Range of source ports that flows are spread over, both ends included. */
  sportRange: readonly [low: number, high: number]
  /** Outer IPv4 identification: counted for each destination, or zero, which only a packet with DF may have (RFC 6864). */
  ipId: 'counter' | 'zero'
  /** Outer IPv6 flow label: 0 to 0xfffff, or made of the inner flow (RFC 6438). */
  flowLabel: number | 'hash'
  /** VXLAN: what becomes of a packet with unknown flags or reserved bits that are not zero: it is dropped (`linux`), or they
   * are not looked at (`rfc`; RFC 7348, 5). GENEVE's never are (RFC 8926, 3.4), by nobody. */
  reservedBits: 'linux' | 'rfc'
  /** Whether an outer UDP checksum that is there is verified. */
  verifyChecksum: boolean
  /** Whether UDP over IPv6 without a checksum is taken. */
  zeroChecksum6: boolean
  /** Frames with a VLAN tag: carried both ways, or dropped both ways (RFC 7348, 6.1). */
  innerVlan: 'keep' | 'drop'
}

/** A profile, and what shall differ from it. */
export interface ProfileOptions extends Partial<TunnelSettings> {
  /** Default `linux`. */
  profile?: ProfileName
}

const LINUX: TunnelSettings = {
  df: 'clear',
  ttl: 64,
  groupTtl: 1,
  tos: 0,
  ecnIngress: 'linux',
  udpChecksum: true,
  udpChecksum6: true,
  // ip_local_port_range is 32768 60999; the upper end is never chosen (measured, modes.md 20.1).
  sportRange: [32_768, 60_998],
  ipId: 'counter',
  flowLabel: 0,
  reservedBits: 'linux',
  verifyChecksum: true,
  zeroChecksum6: false,
  innerVlan: 'keep',
}

/** The named profiles, as they are for VXLAN; `tunnelSettings` knows what is different for GENEVE. */
export const PROFILES: Readonly<Record<ProfileName, Readonly<TunnelSettings>>> = {
  linux: LINUX,
  rfc: {
    ...LINUX,
    ecnIngress: 'rfc6040',
    udpChecksum: false,
    sportRange: [49_152, 65_535],
    flowLabel: 'hash',
    reservedBits: 'rfc',
    innerVlan: 'drop',
  },
  'windows-vfp': {
    ...LINUX,
    ttl: 128,
    udpChecksum: false,
    sportRange: [49_152, 65_535],
    reservedBits: 'rfc',
  },
  ovs: {
    ...LINUX,
    df: 'set',
    udpChecksum: false,
    sportRange: [32_768, 60_999],
    // Seen of OVS 3.1 (packages/tap-io/test/tunnel-ovs.test.ts).
    ipId: 'zero',
    reservedBits: 'rfc',
  },
}

/** What a profile has otherwise for GENEVE: entropy over the whole port range (RFC 8926, 3.3), a checksum and path MTU
 * discovery where the RFC recommends them (3.3, 4.1.1), inner VLAN tags as they come. */
const GENEVE: Readonly<Record<ProfileName, Partial<TunnelSettings>>> = {
  linux: { sportRange: [1, 65_534], udpChecksum: false },
  rfc: { sportRange: [1, 65_535], udpChecksum: true, df: 'set', innerVlan: 'keep' },
  'windows-vfp': {},
  ovs: {},
}

/** What only VXLAN and GENEVE have. */
const UDP_ONLY = [
  'udpChecksum',
  'udpChecksum6',
  'sportRange',
  'reservedBits',
  'verifyChecksum',
  'zeroChecksum6',
  'innerVlan',
] as const

const CHOICES: { readonly [K in keyof TunnelSettings]?: readonly unknown[] } = {
  df: ['clear', 'set', 'inherit'],
  ecnIngress: ['rfc6040', 'linux', 'compatibility'],
  udpChecksum: [true, false],
  udpChecksum6: [true, false],
  ipId: ['counter', 'zero'],
  reservedBits: ['linux', 'rfc'],
  verifyChecksum: [true, false],
  zeroChecksum6: [true, false],
  innerVlan: ['keep', 'drop'],
}

/** Gives all settings of a profile with what an options object has otherwise. Throws a RangeError that names the key and
 * the value where one is none, or has no meaning for the encapsulation. */
export function tunnelSettings(
  options: ProfileOptions = {},
  encapsulation: 'vxlan' | 'geneve' | 'other' = 'vxlan',
): TunnelSettings {
  const name = options.profile ?? 'linux'
  if (!Object.hasOwn(PROFILES, name)) {
    throw new RangeError(`profile must be one of ${Object.keys(PROFILES).join(', ')}, not ${String(name)}`)
  }
  const none = encapsulation === 'other' ? UDP_ONLY : encapsulation === 'geneve' ? (['reservedBits'] as const) : []
  for (const key of none) {
    if (options[key] === undefined) continue
    throw new RangeError(`${key} has no meaning ${encapsulation === 'geneve' ? 'for GENEVE' : 'here'}: ${options[key]}`)
  }
  const settings: TunnelSettings = { ...PROFILES[name], ...(encapsulation === 'geneve' ? GENEVE[name] : {}) }
  for (const key of Object.keys(settings) as (keyof TunnelSettings)[]) {
    const value = options[key]
    if (value !== undefined) Object.assign(settings, { [key]: value })
  }
  for (const [key, choices] of Object.entries(CHOICES) as [keyof TunnelSettings, readonly unknown[]][]) {
    if (!choices.includes(settings[key])) {
      throw new RangeError(`${key} must be one of ${choices.join(', ')}, not ${String(settings[key])}`)
    }
  }
  if (settings.ttl !== 'inherit') checkRange('ttl', settings.ttl, 1, 255)
  checkRange('groupTtl', settings.groupTtl, 1, 255)
  if (settings.tos !== 'inherit' && (checkRange('tos', settings.tos, 0, 252) & 3) !== 0) {
    throw new RangeError(`tos must leave the two bits of ECN at zero, not ${settings.tos}`)
  }
  if (settings.flowLabel !== 'hash') checkRange('flowLabel', settings.flowLabel, 0, 0xfffff)
  // Of a profile it was meant for packets with DF.
  if (options.ipId === undefined && settings.df !== 'set') settings.ipId = 'counter'
  const [low, high] = settings.sportRange
  checkRange('sportRange[0]', low, 1, 65_535)
  checkRange('sportRange[1]', high, low, 65_535)
  if (settings.ipId === 'zero' && settings.df !== 'set') {
    throw new RangeError(`ipId can be zero only where df is set (RFC 6864), not ${settings.df}`)
  }
  return settings
}
