import type { geneve, ProfileOptions } from '@l2l3/vxlan'
import { type Address, onLink, parseIp } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Path } from '../document.ts'
import type { Report } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import { outerKeys } from './tunnel-schema.ts'

/* What the keys of `tunnel-schema.ts` mean: from the file's words to what @l2l3/vxlan takes. */

/** Fields of a profile as the file has them. */
export interface RawOuter extends Omit<ProfileOptions, 'sportRange'> {
  sportRange?: string
}

/** A GENEVE option as the file has it. */
export interface RawOption {
  class: number
  type: number
  data?: string
}

/** The fields of a profile among other keys. */
export function outerOf(raw: RawOuter): ProfileOptions {
  const { sportRange } = raw
  const known = Object.entries(raw).filter(([key]) => key in outerKeys && key !== 'sportRange')
  const [low = 0, high = 0] = sportRange?.split('-').map(Number) ?? []
  return { ...Object.fromEntries(known), ...(sportRange === undefined ? {} : { sportRange: [low, high] }) }
}

/** Reports source ports that are no range. */
export function checkSportRange(report: Report, { sportRange }: RawOuter): void {
  if (sportRange === undefined) return
  const [low = 0, high = 0] = sportRange.split('-').map(Number)
  if (low > high) report(['sportRange'], `the range ${sportRange} ends before it begins`)
  else if (low < 1 || high > 65_535) report(['sportRange'], `expected ports from 1 to 65535, not ${sportRange}`)
}

/** GENEVE options with their bytes. */
export function optionsOf(raw: readonly RawOption[]): geneve.GeneveOption[] {
  return raw.map(({ class: cls, type, data = '' }) => ({
    ...{ class: cls, type },
    data: Uint8Array.from(data.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16)),
  }))
}

/** Keys of `outerKeys` that mean something to UDP only, and to tunnels that carry frames in it. */
export const UDP_KEYS: readonly string[] = [
  ...['udpChecksum', 'udpChecksum6', 'sportRange', 'reservedBits', 'verifyChecksum', 'zeroChecksum6', 'innerVlan'],
  'groupTtl',
]

/** Reads the address of a far end, and reports where it cannot be one: not an IP address, one that no host has, the node's own,
 * of another family than `local`. */
export function farEnd(
  report: Report,
  at: Path,
  text: string,
  local: Address,
  own: readonly Address[],
): Address | undefined {
  const address = attempt(report, at, () => parseIp(text))
  if (address === undefined) return undefined
  if (own.some((a) => a.text === address.text)) report(at, `${address.text} is an address of the node itself`)
  else if (address.family !== local.family) {
    report(at, `${address.text} is an IPv${address.family} address, and this end is ${local.text}`)
  } else if (!isGroup(address) && !isHost(address)) report(at, `${address.text} is not an address that a host can have`)
  else {
    const broadcast = own.find((a) => isBroadcastOf(a, address))
    if (broadcast !== undefined)
      report(at, `${address.text} is no host's: ${broadcast.text}/${broadcast.prefix} has it for all, or for itself`)
  }
  return address
}

/** Reports a far end to which no route of the node leads; a group needs none. */
export function checkRoute(report: Report, at: Path, address: Address, node: NodeSpec): void {
  if (isGroup(address) || !isHost(address)) return
  const { routes = [], tunnels = {} } = node.options as {
    routes?: { to: string; blackhole?: true; prohibit?: true; unreachable?: true }[]
    tunnels?: Record<string, { ip?: string | string[]; subnets?: { to: string }[] }>
  }
  const inside = Object.values(tunnels).flatMap(({ ip = [], subnets = [] }) => [ip, subnets.map((s) => s.to)].flat())
  const to = routes.flatMap((r) => (r.blackhole || r.prohibit || r.unreachable ? [] : r.to))
  const leads = (text: string): boolean => {
    const [start = '', length] = text.split('/')
    try {
      const network = parseIp(start)
      return onLink({ ...network, prefix: Number(length) }, address.bytes)
    } catch {
      // Reported where it is read.
      return true
    }
  }
  if (node.ports.some((p) => p.interface.addresses.some((a) => onLink(a, address.bytes)))) return
  if (![...to, ...inside].some(leads)) report(at, `no route of node ${node.name} leads to ${address.text}`)
}

/** Whether a host can have the address: not unspecified, not of a loopback, not broadcast (RFC 1122, 3.2.1.3). */
function isHost({ bytes }: Address): boolean {
  if (bytes.length === 4) return bytes[0] !== 0 && bytes[0] !== 127 && (bytes[0] as number) < 224
  return bytes.subarray(0, 15).some((b) => b !== 0) || (bytes[15] as number) > 1
}

/** Whether an IPv4 address is the broadcast address of a network, or the network itself. */
function isBroadcastOf(own: Address, { bytes }: Address): boolean {
  if (bytes.length !== 4 || own.prefix > 30 || !onLink(own, bytes)) return false
  const host = bytes.map((b, i) => b & (0xff >>> Math.min(8, Math.max(0, own.prefix - 8 * i))))
  const most = host.map((_, i) => 0xff >>> Math.min(8, Math.max(0, own.prefix - 8 * i)))
  return host.every((b) => b === 0) || host.every((b, i) => b === most[i])
}

/** Tells whether an address is a multicast group's. */
export function isGroup({ bytes }: Address): boolean {
  return bytes.length === 4 ? ((bytes[0] as number) & 0xf0) === 0xe0 : bytes[0] === 0xff
}
