import { checkRange, type Prefix } from '@l2l3/switch-core'
import { checkKeys, checkObject } from '../outbound/known-keys.ts'
import { PrefixSet, readPrefix } from '../outbound/prefix-set.ts'
import type { Question } from './question.ts'

/*
 * A rule of an access control list, as HNS has them on endpoints (modes.md 16, ACL and TierAcl):
 *
 *     action       allow: the flow passes.   block: it does not.   pass: the next tier decides
 *     direction    out: the endpoint began the flow.   in: somebody else did
 *     local        address and port of the endpoint       each a list; an empty or absent one means any,
 *     remote       those of the other side                also of the other family of addresses
 *     protocols    numbers; a rule with ports is one for protocols that have ports
 *     priority     the lowest number counts
 *     rule type    switch: VFP's, at the port of the virtual switch.   host: Windows Firewall's, behind it
 *
 * Directions are those of flows, not of packets: answers belong to the flow and are not judged.
 */

/** What a rule does with a flow that it matches. */
export type AclAction = 'allow' | 'block' | 'pass'
/** Which side began the flow, seen from the endpoint. */
export type AclDirection = 'in' | 'out'
/** Who enforces a rule: the virtual switch (VFP), or the host's firewall (WFP) behind it. */
export type AclRuleType = 'switch' | 'host'

/** A rule of an access control list. */
export interface AclRule {
  /** What it is called in explanations. Default its number in the list. */
  name?: string
  action: AclAction
  direction: AclDirection
  /** IP protocols, 0 to 255. Default any. */
  protocols?: readonly number[]
  /** Prefixes of the endpoint's address: `10.1.0.0/16`, `10.1.2.3`. Default any. */
  localAddresses?: readonly string[]
  /** Prefixes of the other side's address. Default any. */
  remoteAddresses?: readonly string[]
  /** Ports of the endpoint: `80`, `"8000-8080"`; 0 to 65,535. Default any. */
  localPorts?: readonly (number | string)[]
  /** Ports of the other side. Default any. */
  remotePorts?: readonly (number | string)[]
  /** 0 to 65,535; the lowest number counts. Of rules with one priority a block counts first, then who comes first in the list.
   * Default 0, which is what an absent priority is in HNS' JSON. */
  priority?: number
  /** Default `switch`. */
  ruleType?: AclRuleType
}

const KEYS: readonly string[] = [
  'name',
  'action',
  'direction',
  'protocols',
  'localAddresses',
  'remoteAddresses',
  'localPorts',
  'remotePorts',
  'priority',
  'ruleType',
] satisfies (keyof AclRule)[]

/** First and last port. */
export interface Ports {
  readonly first: number
  readonly last: number
}

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  1: 'icmp',
  2: 'igmp',
  6: 'tcp',
  17: 'udp',
  47: 'gre',
  58: 'icmpv6',
  132: 'sctp',
}
/** How much of a list is told. */
const TOLD = 3

/** A rule that has been read. */
export class ReadRule {
  readonly name: string
  readonly action: AclAction
  readonly direction: AclDirection
  readonly ruleType: AclRuleType
  readonly priority: number
  /** Each once; empty: any. */
  readonly protocols: readonly number[]
  readonly local: readonly Prefix[]
  readonly remote: readonly Prefix[]
  readonly localPorts: readonly Ports[]
  readonly remotePorts: readonly Ports[]
  /** What it is, for people. */
  readonly text: string
  readonly #local: PrefixSet
  readonly #remote: PrefixSet

  /** Throws a TypeError or RangeError with key and value.
   * @param key what the rule is called in the configuration: `rules[3]` */
  constructor(key: string, rule: AclRule, fallbackName: string) {
    checkObject(key, rule)
    checkKeys(`${key}: `, rule, KEYS)
    this.name = rule.name ?? fallbackName
    if (typeof this.name !== 'string') throw new TypeError(`${key}.name must be text, not ${JSON.stringify(this.name)}`)
    this.action = oneOf(`${key}.action`, rule.action, ['allow', 'block', 'pass'])
    this.direction = oneOf(`${key}.direction`, rule.direction, ['in', 'out'])
    this.ruleType = oneOf(`${key}.ruleType`, rule.ruleType ?? 'switch', ['switch', 'host'])
    this.priority = checkRange(`${key}.priority`, rule.priority ?? 0, 0, 0xffff)
    const protocols = listOf(`${key}.protocols`, rule.protocols)
    this.protocols = [...new Set(protocols.map((p, i) => checkRange(`${key}.protocols[${i}]`, p, 0, 255)))]
    this.#local = new PrefixSet(`${key}.localAddresses`, rule.localAddresses ?? [])
    this.#remote = new PrefixSet(`${key}.remoteAddresses`, rule.remoteAddresses ?? [])
    this.local = this.#local.prefixes.map((p) => readPrefix(key, p))
    this.remote = this.#remote.prefixes.map((p) => readPrefix(key, p))
    this.localPorts = listOf(`${key}.localPorts`, rule.localPorts).map((p, i) =>
      readPorts(`${key}.localPorts[${i}]`, p),
    )
    this.remotePorts = listOf(`${key}.remotePorts`, rule.remotePorts).map((p, i) =>
      readPorts(`${key}.remotePorts[${i}]`, p),
    )
    if (!this.isFor(4) && !this.isFor(6)) {
      throw new TypeError(`${key}: localAddresses and remoteAddresses have no family in common: it would never match`)
    }
    const ported = this.localPorts.length > 0 || this.remotePorts.length > 0
    if (ported && this.protocols.length > 0 && !this.protocols.some((p) => PORTED.includes(p))) {
      throw new TypeError(`${key}: ports with protocols ${this.protocols}, which have none: it would never match`)
    }
    this.text = `rule ${JSON.stringify(this.name)} (priority ${this.priority}, ${this.#tell()})`
  }

  /** Whether it can match packets of a family. */
  isFor(family: 4 | 6): boolean {
    return (
      (this.local.length === 0 || this.#local.has(family)) && (this.remote.length === 0 || this.#remote.has(family))
    )
  }

  /** Whether it matches: every field is looked at. */
  matches(q: Question): boolean {
    if (this.protocols.length > 0 && !this.protocols.includes(q.protocol)) return false
    if (!inPorts(this.localPorts, q.localPort) || !inPorts(this.remotePorts, q.remotePort)) return false
    return (
      (this.local.length === 0 || includes(this.#local, q.family, q.local)) &&
      (this.remote.length === 0 || includes(this.#remote, q.family, q.remote))
    )
  }

  #tell(): string {
    const protocols = this.protocols.length === 0 ? 'any' : some(this.protocols.map((p) => PROTOCOL_NAMES[p] ?? `${p}`))
    const side = (prefixes: readonly string[], ports: readonly Ports[]): string => {
      const to =
        ports.length === 0
          ? ''
          : `:${some(ports.map((p) => (p.first === p.last ? `${p.first}` : `${p.first}-${p.last}`)))}`
      return `${prefixes.length === 0 ? 'any' : some(prefixes)}${to}`
    }
    const local = side(this.#local.prefixes, this.localPorts)
    const remote = side(this.#remote.prefixes, this.remotePorts)
    const here = local === 'any' ? '' : ` ${this.direction === 'out' ? 'from' : 'to'} ${local}`
    const type = this.ruleType === 'host' ? 'host ' : ''
    return `${type}${this.action} ${this.direction} ${protocols} ${remote}${here}`
  }
}

/** Protocols that have ports. */
const PORTED: readonly number[] = [6, 17, 33, 132, 136]

function includes(set: PrefixSet, family: 4 | 6, words: Int32Array): boolean {
  return family === 4 ? set.includes4(words[0] as number) : set.includes6(words, 0)
}

function inPorts(ranges: readonly Ports[], port: number): boolean {
  if (ranges.length === 0) return true
  for (let i = 0; i < ranges.length; i++) {
    const { first, last } = ranges[i] as Ports
    if (port >= first && port <= last) return true
  }
  return false
}

function readPorts(key: string, text: number | string): Ports {
  const m = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(String(text))
  if (m === null) throw new TypeError(`${key} must be a port or "first-last", not ${JSON.stringify(text)}`)
  const first = checkRange(key, Number(m[1]), 0, 0xffff)
  const last = checkRange(key, Number(m[2] ?? m[1]), 0, 0xffff)
  if (last < first) throw new RangeError(`${key}: ${JSON.stringify(text)} ends before it begins`)
  return { first, last }
}

function listOf<T>(key: string, list: readonly T[] | undefined): readonly T[] {
  if (list === undefined) return []
  if (!Array.isArray(list)) throw new TypeError(`${key} must be a list, not ${JSON.stringify(list)}`)
  return list
}

function oneOf<T extends string>(key: string, value: T, values: readonly T[]): T {
  if (!values.includes(value)) {
    throw new TypeError(`${key} must be ${values.join(' or ')}, not ${JSON.stringify(value)}`)
  }
  return value
}

function some(list: readonly string[]): string {
  const rest = list.length - TOLD
  return rest > 0 ? `${list.slice(0, TOLD).join(',')} and ${rest} more` : list.join(',')
}
