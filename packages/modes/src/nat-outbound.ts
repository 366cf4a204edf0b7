import {
  type Addresses6,
  BEHAVIOUR,
  type BehaviourName,
  type OutboundRule,
  type OutsideAddresses,
  type OutsidePorts,
  SourceNat,
  type SourceNatOptions,
} from '@l2l3/nat'
import { parsePrefix, type Router, type RouterInterface } from '@l2l3/switch-core'
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '@l2l3/switch-core/wire'

/*
 * Outbound NAT as a node has it: rules in order, of which the first that is about a flow translates it.
 *
 *     from the inside's networks, not to them, not to multicast, by an uplink      -> the uplink's address
 *          (from)                 (exceptions)                    (uplinks)           (addresses)
 *
 * With nothing said that is `ipMasq` of the CNI bridge plugin (modes.md 8), and Docker's and WinNAT's.
 *
 * Rules with behaviour `hns` are OutBoundNAT policies of HNS (modes.md 2.3), and stand together where the first of them does:
 *
 *     those with destinations     translate to them alone, also back inside: loopback DSR has the endpoint's own address here
 *     the exceptions of all others are exceptions from each: a policy that is added adds exceptions
 *     the others                  the first that is about a flow translates it
 */

/** Whose source is translated, and how. What a rule does not say, its `behaviour` does. */
export interface OutboundOptions
  extends Omit<SourceNatOptions, 'to' | 'outside' | 'outsidePorts' | 'inside' | 'seed' | 'random'> {
  /** Networks that it is about. Default: the inside's own. */
  readonly from?: readonly string[]
  /** Networks to which nothing is translated, besides the inside's own and multicast. Default: none. */
  readonly exceptions?: readonly string[]
  /** The only networks to which it translates. Default: all; an empty list likewise with behaviour `hns`, else none. */
  readonly destinations?: readonly string[]
  /** Names of the uplinks by which it translates. Default: all. */
  readonly uplinks?: readonly string[]
  /** Outside addresses, or ranges of them. Default: those of the uplink. */
  readonly addresses?: readonly string[]
  /** Default `linux`. */
  readonly behaviour?: BehaviourName
  /** Whether hosts inside reach each other by their outside endpoints (RFC 4787 REQ-9); not with mapping `linux`. Default
   * true with behaviour `rfc4787`, else false. */
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
  /** Flows at most: as many mappings may be needed. */
  readonly maxFlows: number
}

/** The NATs of a list of rules, by what was set: where rules change, one with the same settings goes on with its mappings. */
export type RuleNats = Map<string, SourceNat[]>

/** Compiles rules. Throws a TypeError or RangeError with key and value.
 * @param former NATs of the rules before, which are taken out as they are used
 * @param now gets those of these rules */
export function outboundRules(
  ground: OutboundGround,
  rules: readonly OutboundOptions[],
  former: RuleNats = new Map(),
  now: RuleNats = new Map(),
): OutboundRule[] {
  const compiled = rules.map((rule, i) => ({
    hns: rule.behaviour === 'hns',
    ...outboundRule(ground, rule, `outbound[${i}]`, former, now),
  }))
  const first = compiled.findIndex((rule) => rule.hns)
  const policies = compiled.filter((rule) => rule.hns)
  return compiled.flatMap((rule, i) => (!rule.hns ? [rule.translate] : i === first ? hnsOrder(policies) : []))
}

/** A rule of the configuration as rules of the NAT. */
interface Compiled {
  /** Whether it translates to some destinations only. */
  readonly narrow: boolean
  /** Where it does not translate, as a rule of its own; null: nowhere. */
  readonly except: OutboundRule | null
  readonly translate: OutboundRule
}

function hnsOrder(policies: readonly Compiled[]): OutboundRule[] {
  const [narrow, general] = [true, false].map((is) => policies.filter((p) => p.narrow === is)) as [
    Compiled[],
    Compiled[],
  ]
  return [
    ...narrow.map((p) => p.translate),
    ...general.flatMap((p) => p.except ?? []),
    ...general.map((p) => p.translate),
  ]
}

const ICMP = [1, 58]

/** What a behaviour says that the rule does not. One that lists the protocols it translates has ICMP among them where the rule says so. */
function behaviourOf(name: BehaviourName, { icmpTransposition }: OutboundOptions): SourceNatOptions {
  const { protocols, ...behaviour } = BEHAVIOUR[name]
  if (protocols === undefined || protocols === null) return behaviour
  return { ...behaviour, protocols: icmpTransposition === true ? [...protocols, ...ICMP] : protocols }
}

function outboundRule(
  ground: OutboundGround,
  rule: OutboundOptions,
  key: string,
  former: RuleNats,
  now: RuleNats,
): Compiled {
  const { from, exceptions = [], destinations, uplinks, addresses, behaviour = 'linux', hairpin, ...given } = rule
  const { inside } = ground
  if (!Object.hasOwn(BEHAVIOUR, behaviour)) {
    throw new TypeError(`${key}.behaviour must be one of ${Object.keys(BEHAVIOUR).join(', ')}, not ${behaviour}`)
  }
  checkPrefixes(`${key}.from`, from)
  checkPrefixes(`${key}.exceptions`, exceptions)
  checkPrefixes(`${key}.destinations`, destinations)
  const out = (uplinks ?? [...ground.uplinks.keys()]).map((name) => {
    const number = ground.uplinks.get(name)
    if (number === undefined) throw new RangeError(`${key}.uplinks: there is no uplink ${JSON.stringify(name)}`)
    return number
  })
  if (hairpin !== undefined && typeof hairpin !== 'boolean') {
    throw new TypeError(`${key}.hairpin must be true or false, not ${JSON.stringify(hairpin)}`)
  }
  const settings = { ...behaviourOf(behaviour, given), ...given }
  const owns = settings.mapping !== 'linux'
  if (hairpin === true && !owns) {
    throw new TypeError(`${key}.hairpin needs a mapping that owns its port, and "linux" does not`)
  }
  const turns = hairpin ?? (behaviour === 'rfc4787' && owns)
  const what = {
    ...settings,
    maxMappings: given.maxMappings ?? Math.min(ground.maxFlows, settings.maxPortPoolUsage ?? ground.maxFlows),
    ...(addresses === undefined ? {} : { to: addresses }),
    ...(turns ? { inside } : {}),
  }
  const nat = natBy(ground, what, key, former, now)
  const hns = behaviour === 'hns'
  const narrow = hns && destinations !== undefined && destinations.length > 0
  const about = { from: from ?? inside, ...(narrow && uplinks === undefined ? {} : { out }) }
  return {
    narrow,
    except: exceptions.length === 0 ? null : { ...about, to: exceptions, verdict: 'accept' },
    translate: {
      ...about,
      notTo: [...(narrow ? [] : inside), ...MULTICAST, ...exceptions],
      ...(destinations === undefined || (hns && !narrow) ? {} : { to: destinations }),
      verdict: nat,
    },
  }
}

/** Settings of a NAT, but for what the node gives it. */
type NatBy = Omit<SourceNatOptions, 'outside' | 'outsidePorts' | 'seed' | 'random'>

/** A NAT with these settings: one of the former, or a new one. Without `to` it gives the address of the link. */
function natBy(ground: OutboundGround, what: NatBy, key: string, former: RuleNats, now: RuleNats): SourceNat {
  const text = JSON.stringify(what)
  const make = (): SourceNat => {
    const outside = what.to === undefined ? { outside: ground.outside } : {}
    return new SourceNat(ground.addresses, { ...what, ...outside, outsidePorts: ground.ports, seed: ground.seed })
  }
  const nat = former.get(text)?.shift() ?? named(key, make)
  now.set(text, [...(now.get(text) ?? []), nat])
  return nat
}

/** What a chain is made with. */
export interface ChainGround {
  /** Numbers of the node's links by name, for rules that ask by which a flow comes or goes. */
  readonly links: ReadonlyMap<string, number>
  /** A NAT for verdicts: MASQUERADE, which gives the address of the link by which a flow leaves, or SNAT with `to`. */
  masquerade(settings?: Pick<NatBy, 'to' | 'ports' | 'portRange'>): SourceNat
}

/** The chain of a network plugin: see `chains.ts` of @l2l3/nat. It is made anew whenever the node changes, and goes on with what
 * its NATs know as long as their settings are the same. */
export type Chain = (ground: ChainGround) => OutboundRule[]

/** The rules of a chain, as `outboundRules` has those of a list. */
export function chainRules(
  ground: OutboundGround,
  chain: Chain,
  links: ReadonlyMap<string, number>,
  former: RuleNats = new Map(),
  now: RuleNats = new Map(),
): OutboundRule[] {
  const { maxFlows: maxMappings } = ground
  return chain({
    links,
    masquerade: (settings = {}) => natBy(ground, { maxMappings, ...settings }, 'chain', former, now),
  })
}

function checkPrefixes(key: string, list: readonly string[] = []): void {
  if (!Array.isArray(list)) throw new TypeError(`${key} must be a list of prefixes, not ${JSON.stringify(list)}`)
  for (const [i, text] of list.entries()) named(`${key}[${i}]`, () => parsePrefix(text))
}

/** Runs `make`, and has an error of it name the key. */
function named<T>(key: string, make: () => T): T {
  try {
    return make()
  } catch (error) {
    const kind = error instanceof TypeError ? TypeError : RangeError
    throw new kind(`${key}: ${(error as Error).message.replace(/^to\b/, 'addresses')}`, { cause: error })
  }
}

/** Addresses of a router's interfaces as sources: of several, the one by which the router itself speaks to a destination. One
 * that has none, as a pod's own link, speaks from another's: the first of the node, as in Linux. */
export class InterfaceAddresses implements OutsideAddresses {
  readonly #router: Router
  readonly #interfaces: RouterInterface[] = []
  #addresses: Addresses6 | null = null
  /** The numbers of IPv6 addresses, which are held as long as their interface is there, by its number. */
  readonly #numbers: Map<number, Map<Uint8Array, number>> = new Map()
  readonly #to: Uint8Array = new Uint8Array(16)

  constructor(router: Router) {
    this.#router = router
  }

  /** Notes the interface with this number. */
  add(number: number, iface: RouterInterface, addresses: Addresses6): void {
    this.#interfaces[number] = iface
    this.#addresses = addresses
  }

  /** The interface with this number is gone. */
  remove(number: number): void {
    delete this.#interfaces[number]
    for (const held of this.#numbers.get(number)?.values() ?? []) this.#addresses?.release(held)
    this.#numbers.delete(number)
  }

  of4(out: number, to: number): number {
    const iface = this.#interfaces[out]
    if (iface === undefined) return 0
    const own = this.#router.sourceTo4(iface, to)
    if (own !== 0) return own
    for (const other of this.#interfaces) {
      const address = other === undefined ? 0 : this.#router.sourceTo4(other, to)
      if (address !== 0) return address
    }
    return 0
  }

  of6(out: number, to: number): number {
    if (this.#addresses === null) return 0
    this.#addresses.write(to, this.#to, 0)
    const bytes = this.bytesOf6(out, this.#to, 0)
    if (bytes === null) return 0
    const held = this.#numbers.get(out)?.get(bytes)
    if (held !== undefined) return held
    const number = this.#addresses.intern(bytes, 0)
    if (number !== 0) {
      const ofLink = this.#numbers.get(out) ?? new Map<Uint8Array, number>()
      this.#numbers.set(out, ofLink.set(bytes, number))
    }
    return number
  }

  /** The IPv6 address of an interface towards the one whose 16 bytes stand in `b` from `at`, null where it has none. */
  bytesOf6(out: number, b: Uint8Array, at: number): Uint8Array | null {
    const iface = this.#interfaces[out]
    if (iface === undefined) return null
    const own = this.#router.sourceTo6(iface, b, at)
    if (own !== null) return own
    for (const other of this.#interfaces) {
      const address = other === undefined ? null : this.#router.sourceTo6(other, b, at)
      if (address !== null) return address
    }
    return null
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
