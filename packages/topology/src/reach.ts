import { type Address, isLinkLocal, onLink, parseHostAddress, parseIp, parseNetwork } from './address.ts'
import { gatewaysOf } from './mode.ts'
import type { EndpointSpec, NodeSpec } from './topology.ts'

/*
 * Whether a check can work at all, as far as the file tells: whether its host has a route to the address, and whether
 * anybody has the address. Where the file does not tell - interfaces of the machine lead elsewhere, a node has options
 * that may stand for the address - nothing is said.
 */

/** Options of nodes that name addresses and networks of others. */
const OF_OTHERS = new Set(['routes', 'from', 'exceptions', 'destinations', 'blocks', 'subnets', 'prefixes', 'via'])

/** Why a host cannot send to an address; null where it can. */
export function noRoute(from: EndpointSpec, address: Address, nodes: readonly NodeSpec[]): string | null {
  if (from.addresses.some((own) => onLink(own, address.bytes)) || isGroup(address)) return null
  if (from.routes?.some(({ to }) => onLink(to, address.bytes))) return null
  const node = nodes.find(({ name }) => name === from.node)
  const port = node?.ports.find(({ endpoint }) => endpoint === from)
  if (node === undefined || port === undefined) return null
  if (gatewaysOf(node, port).some(({ family }) => family === address.family)) return null
  return `${from.name} has no route to ${address.text}: it is in none of its networks, and it has no gateway`
}

/** Whether nobody can have an address: no host, no node, nothing that a node stands for. */
export function isNobodys(address: Address, nodes: readonly NodeSpec[]): boolean {
  if (isLinkLocal(address) || isGroup(address)) return false
  for (const node of nodes) {
    for (const port of node.ports) {
      if (port.device !== null) return false
      const all = [...(port.endpoint?.addresses ?? []), ...port.interface.addresses, ...gatewaysOf(node, port)]
      if (all.some((own) => own.text === address.text || isBroadcast(own, address))) return false
    }
    if (mayName(node.options, address)) return false
  }
  return true
}

function isGroup({ bytes, family, text }: Address): boolean {
  if (family === 4) return (bytes[0] as number) >>> 4 === 14 || text === '255.255.255.255'
  return bytes[0] === 0xff
}

/** Whether `address` is the broadcast address of the network of `own`. */
function isBroadcast(own: Address, address: Address): boolean {
  if (own.family !== 4 || own.prefix > 30 || !onLink(own, address.bytes)) return false
  const hostBits = 2 ** (32 - own.prefix) - 1
  const value = address.bytes.reduce((sum, byte) => sum * 256 + byte, 0)
  return value % (hostBits + 1) === hostBits
}

/** Whether an option, or something in it, is the address, or a network or a range that it is in. */
function mayName(option: unknown, address: Address): boolean {
  if (typeof option === 'string') return names(option, address)
  if (typeof option !== 'object' || option === null) return false
  return Object.entries(option).some(([key, value]) => !OF_OTHERS.has(key) && mayName(value, address))
}

function names(text: string, address: Address): boolean {
  const [first = '', last = first] = text.split('-')
  const ends = [first, last].map(plain)
  if (ends.every((end) => end !== null && end.family === address.family)) {
    const [low, high] = ends.map((end) => hexText((end as Address).bytes)) as [string, string]
    const own = hexText(address.bytes)
    return low <= own && own <= high
  }
  const network = quietly(() => parseNetwork(text))
  if (network !== null) return onLink(network, address.bytes)
  return quietly(() => parseHostAddress(text))?.text === address.text
}

const plain = (text: string): Address | null => quietly(() => parseIp(text))

/** Bytes as hexadecimal digits, which compare as they do. */
function hexText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function quietly<T>(parse: () => T): T | null {
  try {
    return parse()
  } catch {
    return null
  }
}
