import { checkRange } from '@l2l3/switch-core'
import { prefixOf } from '../explain.ts'
import type { NewFlow } from '../policy.ts'
import { IPV6, type Tuple } from '../tuple.ts'
import { PrefixSet } from './prefix-set.ts'
import { SourceNat } from './source-nat.ts'

/*
 * One line of a chain: what it is about, and what becomes of it.
 *
 *     -s 10.244.1.0/24  ! -d 224.0.0.0/4  ! -o cni0   -j MASQUERADE
 *     from              notTo             notOut       verdict
 *
 * All conditions of a rule must hold; of a list of prefixes or interfaces, one. The destination is the one that the
 * packet has when it leaves, after port mappings and services, as it is in netfilter's POSTROUTING.
 */

/** What becomes of a flow that a rule is about: `accept` - it leaves with its own source; `return` - the rules behind are
 * not asked, later policies are; a NAT translates it. */
export type OutboundVerdict = 'accept' | 'return' | SourceNat

/** A rule for new flows. */
export interface OutboundRule {
  /** Only flows of this family. Default: both. */
  family?: 4 | 6
  /** Prefixes, one of which the source is in. */
  from?: readonly string[]
  /** Prefixes, none of which the source is in. */
  notFrom?: readonly string[]
  /** Prefixes, one of which the destination is in. */
  to?: readonly string[]
  /** Prefixes, none of which the destination is in. */
  notTo?: readonly string[]
  /** Numbers of interfaces, by one of which it came in; 0: the node itself sends it. */
  in?: readonly number[]
  notIn?: readonly number[]
  /** Numbers of interfaces, by one of which it leaves. */
  out?: readonly number[]
  notOut?: readonly number[]
  /** IP protocols, by number. */
  protocols?: readonly number[]
  /** Whether a port mapping or a service wants the source translated: kube-proxy's mark 0x4000, portmap's 0x2000. */
  marked?: boolean
  verdict: OutboundVerdict
}

const KEYS: readonly string[] = [
  'family',
  'from',
  'notFrom',
  'to',
  'notTo',
  'in',
  'notIn',
  'out',
  'notOut',
  'protocols',
  'marked',
  'verdict',
] satisfies (keyof OutboundRule)[]

/** Conditions of a rule, ready to be asked. */
export class RuleMatch {
  readonly verdict: OutboundVerdict
  readonly #family: number
  readonly #marked: boolean | null
  readonly #from: PrefixSet | null
  readonly #notFrom: PrefixSet | null
  readonly #to: PrefixSet | null
  readonly #notTo: PrefixSet | null
  readonly #in: ReadonlySet<number> | null
  readonly #notIn: ReadonlySet<number> | null
  readonly #out: ReadonlySet<number> | null
  readonly #notOut: ReadonlySet<number> | null
  readonly #protocols: ReadonlySet<number> | null

  /** Throws a TypeError or RangeError with key and value. */
  constructor(key: string, rule: OutboundRule) {
    for (const k of Object.keys(rule))
      if (!KEYS.includes(k)) throw new TypeError(`${key}: unknown key ${JSON.stringify(k)}`)
    if (rule.verdict !== 'accept' && rule.verdict !== 'return' && !(rule.verdict instanceof SourceNat)) {
      throw new TypeError(
        `${key}.verdict must be "accept", "return" or a SourceNat, not ${JSON.stringify(rule.verdict)}`,
      )
    }
    if (rule.family !== undefined && rule.family !== 4 && rule.family !== 6) {
      throw new TypeError(`${key}.family must be 4 or 6, not ${JSON.stringify(rule.family)}`)
    }
    if (rule.marked !== undefined && typeof rule.marked !== 'boolean') {
      throw new TypeError(`${key}.marked must be true or false, not ${JSON.stringify(rule.marked)}`)
    }
    const prefixes = (name: 'from' | 'notFrom' | 'to' | 'notTo'): PrefixSet | null =>
      rule[name] === undefined ? null : new PrefixSet(`${key}.${name}`, rule[name])
    const numbers = (name: 'in' | 'notIn' | 'out' | 'notOut' | 'protocols', high: number): Set<number> | null =>
      rule[name] === undefined
        ? null
        : new Set(rule[name].map((n, i) => checkRange(`${key}.${name}[${i}]`, n, 0, high)))
    this.verdict = rule.verdict
    this.#family = rule.family ?? 0
    this.#marked = rule.marked ?? null
    this.#from = prefixes('from')
    this.#notFrom = prefixes('notFrom')
    this.#to = prefixes('to')
    this.#notTo = prefixes('notTo')
    this.#in = numbers('in', 0xffff_ffff)
    this.#notIn = numbers('notIn', 0xffff_ffff)
    this.#out = numbers('out', 0xffff_ffff)
    this.#notOut = numbers('notOut', 0xffff_ffff)
    this.#protocols = numbers('protocols', 255)
  }

  /** Whether the rule is about this flow. */
  matches(flow: NewFlow): boolean {
    return this.#matches(flow, true)
  }

  #matches(flow: NewFlow, excepting: boolean): boolean {
    return (
      (this.#marked === null || this.#marked === flow.masquerade) &&
      (this.#out === null || this.#out.has(flow.out)) &&
      (this.#notOut === null || !this.#notOut.has(flow.out)) &&
      this.#about(flow, flow.tuple, excepting)
    )
  }

  /** Whether the rule would be about this flow if nobody had turned it round, and it had left for where it was sent. */
  matchesTurned(flow: NewFlow): boolean {
    return this.#marked !== true && this.#about(flow, flow.original)
  }

  /** What of the rule fits a flow that it is about, for people: "from 10.22.0.0/16". */
  about(flow: NewFlow): string {
    const { src } = flow.tuple
    const from = this.#from === null ? null : prefixOf(this.#from.prefixes, flow, src)
    const to = this.to(flow)
    const parts = [from === null ? '' : `from ${from}`, to === null ? '' : `to ${to}`, this.#marked ? 'marked' : '']
    return parts.filter((part) => part !== '').join(' ')
  }

  /** Which of the rule's destinations fits; null where it names none. */
  to(flow: NewFlow): string | null {
    return this.#to === null ? null : prefixOf(this.#to.prefixes, flow, flow.tuple.dst)
  }

  /** The exception by which a rule is not about a flow that it would be about otherwise; null where there is another reason. */
  exception(flow: NewFlow): string | null {
    const { kind, dst } = flow.tuple
    if (this.#notTo === null || !has(this.#notTo, kind, dst, flow.addresses.words)) return null
    return this.#matches(flow, false) ? prefixOf(this.#notTo.prefixes, flow, dst) : null
  }

  /** An interface by which the flows of the rule leave, 0 where it names none. */
  get leavesBy(): number {
    return this.#out?.values().next().value ?? 0
  }

  /** @param excepting whether `notTo` counts */
  #about(flow: NewFlow, { kind, src, dst }: Tuple, excepting = true): boolean {
    const words = flow.addresses.words
    if (this.#family !== 0 && ((kind & IPV6) === 0 ? 4 : 6) !== this.#family) return false
    return (
      (this.#in === null || this.#in.has(flow.in)) &&
      (this.#notIn === null || !this.#notIn.has(flow.in)) &&
      (this.#protocols === null || this.#protocols.has(kind & 255)) &&
      (this.#from === null || has(this.#from, kind, src, words)) &&
      (this.#notFrom === null || !has(this.#notFrom, kind, src, words)) &&
      (this.#to === null || has(this.#to, kind, dst, words)) &&
      (!excepting || this.#notTo === null || !has(this.#notTo, kind, dst, words))
    )
  }
}

function has(set: PrefixSet, kind: number, address: number, words: Uint32Array): boolean {
  return (kind & IPV6) === 0 ? set.includes4(address) : set.includes6(words, address << 2)
}
