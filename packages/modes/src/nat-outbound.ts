import {
  type Addresses6,
  BEHAVIOUR,
  type BehaviourName,
  OutboundNat,
  type OutboundRule,
  type OutsideAddresses,
  type OutsidePorts,
  SourceNat,
  type SourceNatOptions,
} from '@l2l3/nat'
import type { RouterInterface } from '@l2l3/switch-core'
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '@l2l3/switch-core/wire'

/*
 * Outbound NAT as a node has it: rules in order, of which the first that is about a flow translates it.
 *
 *     from the inside's networks, not to them, not to multicast, by an uplink      -> the uplink's address
 *          (from)                 (exceptions)                    (uplinks)           (addresses)
 *
 * With nothing said that is `ipMasq` of the CNI bridge plugin (modes.md 8), and Docker's and WinNAT's.
 */

/** Whose source is translated, and how. What a rule does not say, its `behaviour` does. */
export interface OutboundOptions
  extends Omit<SourceNatOptions, 'to' | 'outside' | 'outsidePorts' | 'inside' | 'seed' | 'random'> {
  /** Networks that it is about. Default: the inside's own. */
  readonly from?: readonly string[]
  /** Networks to which nothing is translated, besides the inside's own and multicast. Default: none. */
  readonly exceptions?: readonly string[]
  /** The only networks to which it translates. Default: all. */
  readonly destinations?: readonly string[]
  /** Names of the uplinks by which it translates. Default: all. */
  readonly uplinks?: readonly string[]
  /** Outside addresses, or ranges of them. Default: those of the uplink. */
  readonly addresses?: readonly string[]
  /** Default `linux`. */
  readonly behaviour?: BehaviourName
  /** Whether hosts inside reach each other by their outside endpoints (RFC 4787 REQ-9); not with mapping `linux`. Default
   * false. */
  readonly hairpin?: boolean
}

const MULTICAST = ['224.0.0.0/4', 'ff00::/8']

/** Where rules find what they are about. */
export interface OutboundGround {
  readonly addresses: Addresses6
  readonly outside: OutsideAddresses
  /** Networks of the inside. */
  readonly inside: readonly string[]
  /** The number of each uplink, by name. */
  readonly uplinks: ReadonlyMap<string, number>
  /** Outside ports that have an owner: rules and port mappings share the table. */
  readonly ports: OutsidePorts
  readonly seed: number
}

/** Compiles rules. Throws a TypeError or RangeError with key and value. */
export function outboundNat(ground: OutboundGround, rules: readonly OutboundOptions[]): OutboundNat {
  return new OutboundNat(
    rules.map((rule, i) => outboundRule(ground, rule, `outbound[${i}]`)),
    'outbound',
  )
}

function outboundRule(ground: OutboundGround, rule: OutboundOptions, key: string): OutboundRule {
  const { from, exceptions = [], destinations, uplinks, addresses, behaviour = 'linux', hairpin, ...given } = rule
  const { inside } = ground
  if (BEHAVIOUR[behaviour] === undefined) {
    throw new TypeError(`${key}.behaviour must be one of ${Object.keys(BEHAVIOUR).join(', ')}, not ${behaviour}`)
  }
  const out = (uplinks ?? [...ground.uplinks.keys()]).map((name) => {
    const number = ground.uplinks.get(name)
    if (number === undefined) throw new RangeError(`${key}.uplinks: there is no uplink ${JSON.stringify(name)}`)
    return number
  })
  const nat = named(key, () => {
    return new SourceNat(ground.addresses, {
      ...BEHAVIOUR[behaviour],
      ...given,
      ...(addresses === undefined ? { outside: ground.outside } : { to: addresses }),
      ...(hairpin === true ? { inside } : {}),
      ...{ outsidePorts: ground.ports, seed: ground.seed },
    })
  })
  return {
    from: from ?? inside,
    notTo: [...inside, ...MULTICAST, ...exceptions],
    ...(destinations === undefined ? {} : { to: destinations }),
    out,
    verdict: nat,
  }
}

/** Runs `make`, and has an error of it name the key. */
function named<T>(key: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    const kind = error instanceof TypeError ? TypeError : RangeError
    throw new kind(`${key}: ${(error as Error).message}`, { cause: error })
  }
}

/** Addresses of a router's interfaces as sources: the first of each family, link-local ones aside. */
export class InterfaceAddresses implements OutsideAddresses {
  readonly #of4: number[] = []
  readonly #of6: number[] = []

  /** Notes those of the interface with this number; holds the IPv6 one in `addresses` for good. */
  add(number: number, iface: RouterInterface, addresses: Addresses6): void {
    this.#of4[number] = iface.addresses4[0]?.ip ?? 0
    const global = iface.addresses6.find((a) => !a.linkLocal)
    this.#of6[number] = global === undefined ? 0 : addresses.intern(global.bytes, 0)
  }

  of4(out: number): number {
    return this.#of4[out] ?? 0
  }

  of6(out: number): number {
    return this.#of6[out] ?? 0
  }
}

/** The networks of addresses with prefixes, link-local ones aside: 10.22.0.1/24 is in 10.22.0.0/24. */
export function networksOf(addresses: readonly string[]): string[] {
  return addresses.flatMap((text) => {
    const [host = '', length = ''] = text.split('/')
    const bits = Number(length)
    if (!host.includes(':')) {
      const mask = bits === 0 ? 0 : -1 << (32 - bits)
      const network = (parseIpv4(host) & mask) >>> 0
      return [`${formatIpv4(network)}/${bits}`]
    }
    const bytes = parseIpv6(host)
    if (bytes[0] === 0xfe && (bytes[1]! & 0xc0) === 0x80) return []
    return [`${formatIpv6(bytes.map((b, i) => b & (0xff00 >> Math.min(8, Math.max(0, bits - 8 * i)))))}/${bits}`]
  })
}
