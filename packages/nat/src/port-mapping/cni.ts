import { checkRange, formatPrefix, parseInterfaceAddress } from '@l2l3/switch-core'
import { parseIpv4, parseIpv6 } from '@l2l3/switch-core/wire'
import { checkKeys, checkObject } from '../outbound/known-keys.ts'
import { oneOf } from '../outbound/source-nat-options.ts'
import type { PortMapping } from './port-mapping.ts'

/*
 * hostPort, as the CNI plugin portmap does it (modes.md 17.3): from what the runtime hands over and the container's addresses
 * to port mappings.
 *
 *     each mapping, for each address of the container:
 *       hostIP of the other family                -> none for this address
 *       hostIP absent or unspecified (0.0.0.0)    -> all addresses of the node
 *       source in the container's own subnet      -> marked: masqueraded, or the answer would go past the node
 *       source 127.0.0.1                          -> marked likewise (IPv4)
 *       masqAll                                   -> marked whatever the source
 *       snat false                                -> never marked
 *
 * A marked flow is translated by whoever has `markedMasquerade` (outbound/chains.ts), in front of every other rule. In all
 * cases the packet must be for an address of the node (`--dst-type LOCAL`).
 */

/** A port mapping of a CNI runtime: an entry of `runtimeConfig.portMappings`. */
export interface CniPortMapping {
  hostPort: number
  containerPort: number
  /** `tcp`, `udp` or `sctp`, in small or capital letters. Default `tcp`. */
  protocol?: string
  hostIP?: string
}

/** What portmap is configured with (modes.md 22.1). */
export interface PortmapOptions {
  /** The container's addresses with their prefix: `10.22.0.11/16`. */
  containerIps: readonly string[]
  portMappings: readonly CniPortMapping[]
  /** Default true. */
  snat?: boolean
  /** Default false. */
  masqAll?: boolean
  /** Zone that the packets come in by. Default 0. */
  zone?: number
}

const KEYS: readonly string[] = [
  'containerIps',
  'portMappings',
  'snat',
  'masqAll',
  'zone',
] satisfies (keyof PortmapOptions)[]
const MAPPING_KEYS: readonly string[] = [
  'hostPort',
  'containerPort',
  'protocol',
  'hostIP',
] satisfies (keyof CniPortMapping)[]

/** The port mappings of a container. Throws a TypeError or RangeError with key and value. */
export function cniPortMappings(options: PortmapOptions): PortMapping[] {
  const { snat = true, masqAll = false, zone = 0 } = options
  checkKeys('', options, KEYS)
  checkFlag('snat', snat)
  checkFlag('masqAll', masqAll)
  return options.containerIps.flatMap((text, i) => {
    const ip = readContainerIp(`containerIps[${i}]`, text)
    const masqueradeFrom = !snat ? [] : masqAll ? [ip.all] : ip.family === 4 ? [ip.subnet, '127.0.0.1/32'] : [ip.subnet]
    return options.portMappings.flatMap((mapping, j): PortMapping[] => {
      const key = `portMappings[${j}]`
      checkObject(key, mapping)
      checkKeys(`${key}: `, mapping, MAPPING_KEYS)
      const protocol = readProtocol(`${key}.protocol`, mapping.protocol)
      const port = checkRange(`${key}.hostPort`, mapping.hostPort, 1, 65_535)
      const toPort = checkRange(`${key}.containerPort`, mapping.containerPort, 1, 65_535)
      const host = readHostIp(`${key}.hostIP`, mapping.hostIP)
      if (host !== null && host.family !== ip.family) return []
      return [
        {
          protocol,
          port,
          to: ip.address,
          toPort,
          masqueradeFrom,
          zone,
          ...(host === null || host.unspecified ? {} : { address: host.address }),
        },
      ]
    })
  })
}

function checkFlag(key: string, value: unknown): void {
  if (typeof value !== 'boolean') throw new TypeError(`${key} must be true or false, not ${JSON.stringify(value)}`)
}

function readProtocol(key: string, text = 'tcp'): 'tcp' | 'udp' | 'sctp' {
  return oneOf(key, String(text).toLowerCase() as 'tcp' | 'udp' | 'sctp', ['tcp', 'udp', 'sctp'] as const)
}

interface ContainerIp {
  readonly family: 4 | 6
  readonly address: string
  readonly subnet: string
  readonly all: string
}

function readContainerIp(key: string, text: string): ContainerIp {
  try {
    const { words, length } = parseInterfaceAddress(text)
    const family = words.length === 1 ? 4 : 6
    const address = text.split('/')[0] as string
    const network = words.map((word, i) => {
      const bits = Math.min(32, Math.max(0, length - 32 * i))
      return bits === 0 ? 0 : (word & (0xffff_ffff << (32 - bits))) >>> 0
    })
    return { family, address, subnet: formatPrefix(network, length), all: family === 4 ? '0.0.0.0/0' : '::/0' }
  } catch (error) {
    throw new TypeError(`${key}: ${(error as Error).message}`)
  }
}

interface HostIp {
  readonly family: 4 | 6
  readonly unspecified: boolean
  readonly address: string
}

function readHostIp(key: string, text: string | undefined): HostIp | null {
  if (text === undefined || text === '') return null
  try {
    if (text.includes(':')) return { family: 6, unspecified: parseIpv6(text).every((b) => b === 0), address: text }
    return { family: 4, unspecified: parseIpv4(text) === 0, address: text }
  } catch (error) {
    throw new TypeError(`${key}: ${(error as Error).message}`)
  }
}
