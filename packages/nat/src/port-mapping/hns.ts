import { checkRange } from '@l2l3/switch-core'
import { parseIpv4 } from '@l2l3/switch-core/wire'
import { checkKeys, checkObject } from '../outbound/known-keys.ts'
import { readHost } from '../outbound/prefix-set.ts'
import { Proto } from '../tuple.ts'
import type { CniPortMapping } from './cni.ts'
import type { PortMapping } from './port-mapping.ts'

/*
 * Port mappings of an HNS endpoint (modes.md 6 and 16), in either schema, and where they come from on Windows.
 *
 *     v1   { "Type": "NAT", "Protocol": "TCP", "InternalPort": 80, "ExternalPort": 8080, "ExternalPortReserved": true }
 *     v2   { "Type": "PortMapping", "Settings": { "Protocol": 6, "InternalPort": 80, "ExternalPort": 8080, "VIP": "", "Flags": 0 } }
 *
 *     win-bridge    a protocol that HNS does not know is left out without a word (modes.md 17.3)
 *     Docker        refuses host addresses and ranges of host ports, and everything but TCP and UDP
 *
 * The source stays, and nothing is turned round: WinNAT's rules for a container that talks to its own host's port are not
 * public, and no documentation promises it.
 */

/** Flags of a PortMapping policy (hcsshim hcn, NatFlags). */
export const PortMappingFlag = {
  /** The virtual address is routed to this node. */
  LocalRoutedVip: 1,
  IPv6: 2,
} as const

/** A port mapping of the first schema. */
export interface NatPolicyV1 {
  Type: 'NAT'
  /** `TCP` or `UDP`. */
  Protocol: string
  InternalPort: number
  ExternalPort: number
  /** The port is not given out by the pool of the NAT. Default true. */
  ExternalPortReserved?: boolean
}

/** A port mapping of the second schema. */
export interface PortMappingPolicyV2 {
  Type: 'PortMapping'
  Settings: {
    /** 6, 17 or 132. */
    Protocol: number
    InternalPort: number
    ExternalPort: number
    /** Default: the host's address. */
    VIP?: string
    Flags?: number
  }
}

/** A mapping that Docker is asked for. */
export interface DockerPortBinding {
  /** `tcp` or `udp`. */
  Proto: string
  /** The container's port. */
  Port: number
  HostIP?: string
  HostPort: number
  /** The last port of a range. Default: `HostPort`. */
  HostPortEnd?: number
}

const V1_KEYS: readonly string[] = ['Type', 'Protocol', 'InternalPort', 'ExternalPort', 'ExternalPortReserved']
const V2_KEYS: readonly string[] = ['Protocol', 'InternalPort', 'ExternalPort', 'VIP', 'Flags']
const V1_PROTOCOLS: Readonly<Record<string, number>> = { TCP: Proto.Tcp, UDP: Proto.Udp }
const V2_PROTOCOLS: readonly number[] = [Proto.Tcp, Proto.Udp, Proto.Sctp]

/** The port mappings of an endpoint: of its IPv4 address, or of its IPv6 address for policies with that flag. Throws a
 * TypeError or RangeError with key and value. */
export function hnsPortMappings(
  endpoint: readonly string[],
  policies: readonly (NatPolicyV1 | PortMappingPolicyV2)[],
): PortMapping[] {
  const hosts = endpoint.map((text, i) => ({ text, words: readHost(`endpoint[${i}]`, text) }))
  return policies.map((policy, i) => {
    const key = `policies[${i}]`
    checkObject(key, policy)
    const read = 'Settings' in policy ? readV2(key, policy) : readV1(key, policy)
    const host = hosts.find((h) => h.words.length === (read.ipv6 ? 4 : 1))
    if (host === undefined) throw new TypeError(`${key}: the endpoint has no address of IPv${read.ipv6 ? 6 : 4}`)
    return {
      protocol: read.protocol,
      port: checkRange(`${key}.ExternalPort`, read.external, 1, 65_535),
      to: host.text,
      toPort: checkRange(`${key}.InternalPort`, read.internal, 1, 65_535),
      ...(isAll(read.vip) ? {} : { address: read.vip, local: false }),
      ...(read.reserved ? {} : { reserved: false }),
    }
  })
}

interface Read {
  readonly protocol: number
  readonly internal: number
  readonly external: number
  readonly vip: string
  readonly ipv6: boolean
  readonly reserved: boolean
}

function readV1(key: string, p: NatPolicyV1): Read {
  if (p.Type !== 'NAT') throw new TypeError(`${key}.Type must be "NAT", not ${JSON.stringify(p.Type)}`)
  checkKeys(`${key}: `, p, V1_KEYS)
  const protocol = V1_PROTOCOLS[String(p.Protocol).toUpperCase()]
  if (protocol === undefined) {
    throw new TypeError(`${key}.Protocol must be TCP or UDP, not ${JSON.stringify(p.Protocol)}`)
  }
  const { ExternalPortReserved: reserved = true } = p
  if (typeof reserved !== 'boolean') {
    throw new TypeError(`${key}.ExternalPortReserved must be true or false, not ${JSON.stringify(reserved)}`)
  }
  return { protocol, internal: p.InternalPort, external: p.ExternalPort, vip: '', ipv6: false, reserved }
}

function readV2(key: string, p: PortMappingPolicyV2): Read {
  const s = p.Settings
  checkObject(`${key}.Settings`, s)
  if (p.Type !== 'PortMapping') throw new TypeError(`${key}.Type must be "PortMapping", not ${JSON.stringify(p.Type)}`)
  checkKeys(`${key}: `, p, ['Type', 'Settings'])
  checkKeys(`${key}.Settings: `, s, V2_KEYS)
  if (!V2_PROTOCOLS.includes(s.Protocol)) {
    throw new TypeError(`${key}.Protocol must be 6, 17 or 132, not ${JSON.stringify(s.Protocol)}`)
  }
  const flags = checkRange(`${key}.Flags`, s.Flags ?? 0, 0, 3)
  const ipv6 = (flags & PortMappingFlag.IPv6) !== 0
  const vip = s.VIP ?? ''
  if (!isAll(vip)) readHost(`${key}.VIP`, vip)
  return { protocol: s.Protocol, internal: s.InternalPort, external: s.ExternalPort, vip, ipv6, reserved: true }
}

/** The policies that win-bridge makes of a runtime's port mappings: of `PortMapping` in the second schema, of `NAT` in the
 * first. Other protocols than TCP and UDP are left out. */
export function winBridgePolicies(
  mappings: readonly CniPortMapping[],
  apiVersion: 1 | 2 = 1,
): (NatPolicyV1 | PortMappingPolicyV2)[] {
  return mappings.flatMap((m): (NatPolicyV1 | PortMappingPolicyV2)[] => {
    const protocol = V1_PROTOCOLS[(m.protocol ?? '').toUpperCase()]
    if (protocol === undefined) return []
    const ports = { InternalPort: m.containerPort, ExternalPort: m.hostPort }
    if (apiVersion === 1) return [{ Type: 'NAT', Protocol: (m.protocol ?? '').toUpperCase(), ...ports }]
    return [{ Type: 'PortMapping', Settings: { Protocol: protocol, ...ports, VIP: m.hostIP ?? '' } }]
  })
}

/** The policies that Docker on Windows makes of its port bindings. Throws a TypeError for what it refuses there: a host
 * address, more than one host port, a protocol other than TCP and UDP (moby, libnetwork/drivers/windows). */
export function dockerWindowsPolicies(bindings: readonly DockerPortBinding[]): NatPolicyV1[] {
  return bindings.map((b, i) => {
    const key = `bindings[${i}]`
    if (V1_PROTOCOLS[String(b.Proto).toUpperCase()] === undefined) {
      throw new TypeError(`${key}.Proto: invalid protocol ${JSON.stringify(b.Proto)}; Windows has TCP and UDP`)
    }
    if (b.HostPortEnd !== undefined && b.HostPortEnd !== b.HostPort) {
      throw new TypeError(
        `${key}.HostPortEnd: Windows does not support more than one host port in NAT settings: ${b.HostPort}-${b.HostPortEnd}`,
      )
    }
    if (b.HostIP !== undefined && b.HostIP !== '' && !isUnspecified(b.HostIP)) {
      throw new TypeError(`${key}.HostIP: Windows does not support host IP addresses in NAT settings: ${b.HostIP}`)
    }
    return {
      Type: 'NAT',
      Protocol: b.Proto.toUpperCase(),
      InternalPort: b.Port,
      ExternalPort: b.HostPort,
      ExternalPortReserved: true,
    }
  })
}

/** Whether a virtual address stands for all of the node's: win-bridge hands on what the runtime says, `0.0.0.0` too. */
function isAll(vip: string): boolean {
  return vip === '' || vip === '0.0.0.0' || vip === '::'
}

function isUnspecified(text: string): boolean {
  return text === '::' || parseIpv4(text) === 0
}
