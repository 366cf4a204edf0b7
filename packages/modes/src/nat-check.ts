import type { ConntrackOptions, FragmentsOptions } from '@l2l3/nat'
import { checkKeys, ICMP_KEYS, keysOf, ROUTED_KEYS, SIDE_KEYS } from './known-keys.ts'
import type { InsidePort, NatModeOptions } from './nat.ts'

/*
 * What is wrong with the settings of a NAT node as a whole, before anything is built. Rules, port mappings and services are
 * refused by those who take them.
 */

const NODE_KEYS = keysOf<NatModeOptions>({
  ...ICMP_KEYS,
  ...{ gateway: true, inside: true, uplinks: true, routes: true },
  ...{ outbound: true, portMappings: true, portMappingRules: true, services: true, balancer: true },
  ...{
    ownAddresses: true,
    conntrack: true,
    fragments: true,
    mss: true,
    invalid: true,
    icmpTransposition: true,
    untransposed: true,
  },
})

const INSIDE_KEYS = keysOf<InsidePort>({ ...SIDE_KEYS, name: true, label: true, port: true })

const CONNTRACK_KEYS = keysOf<ConntrackOptions>({
  ...{ profile: true, timeouts: true, tcpLoose: true, tcpEndAtOnce: true, inboundRefresh: true },
  ...{ maxFlows: true, whenFull: true, counters: true, seed: true },
})

const FRAGMENTS_KEYS = keysOf<FragmentsOptions>({
  ...{ packets: true, waitingPackets: true, heldFrames: true, heldPerPacket: true, heldBytes: true },
  ...{ waitTime: true, timeout: true, seed: true },
})

/** The name of a gateway that has none. */
export const GATEWAY_NAME = 'inside'

/** Throws a TypeError or RangeError with key and value. */
export function checkNat(options: NatModeOptions): void {
  checkKeys('', options, NODE_KEYS)
  const { gateway, inside, uplinks, conntrack, fragments } = options
  checkKeys(
    'gateway',
    gateway,
    Object.keys(ROUTED_KEYS).filter((key) => key !== 'port' && key !== 'label'),
  )
  if (conntrack !== undefined) checkKeys('conntrack', conntrack, CONNTRACK_KEYS)
  if (fragments !== undefined) checkKeys('fragments', fragments, FRAGMENTS_KEYS)
  checkPrefixes('gateway.addresses', gateway.addresses)
  const names = new Map([[gateway.name ?? GATEWAY_NAME, 'the gateway']])
  const claim = (key: string, name: string): void => {
    const other = names.get(name)
    if (other !== undefined) throw new RangeError(`${key}.name: ${other} has the name ${JSON.stringify(name)} already`)
    names.set(name, key)
  }
  for (const [i, port] of inside.entries()) {
    checkKeys(`inside[${i}]`, port, INSIDE_KEYS)
    claim(`inside[${i}]`, port.name)
  }
  for (const [i, link] of uplinks.entries()) {
    checkKeys(`uplinks[${i}]`, link, Object.keys(ROUTED_KEYS))
    checkPrefixes(`uplinks[${i}].addresses`, link.addresses)
    claim(`uplinks[${i}]`, link.name)
  }
}

/** Without its length an address would be a network of one, in which nobody else is. */
function checkPrefixes(key: string, addresses: readonly string[]): void {
  for (const [i, text] of addresses.entries()) {
    if (typeof text === 'string' && text.includes('/')) continue
    throw new TypeError(`${key}[${i}] must have a prefix length, as 10.22.0.1/24 has, not ${JSON.stringify(text)}`)
  }
}
