import { checkRange } from '@l2l3/switch-core'
import { checkKeys, checkObject } from '../outbound/known-keys.ts'
import { Classifier } from './classifier.ts'
import type { Question } from './question.ts'
import { type AclDirection, type AclRule, type AclRuleType, ReadRule } from './rule.ts'

/*
 * The rules of an endpoint, in the order in which they count.
 *
 *     out:   host  ──> switch ──> wire          in:   wire ──> switch ──> host
 *             │          │
 *             │          ├─ tier "platform" (order 10)    first rule that matches:  allow -> through this layer
 *             │          ├─ tier "baseline" (order 20)                              block -> the end
 *             │          └─ rules without a tier                                    pass, or none -> next tier
 *             └─ the same
 *
 * A flow has to get through both layers (Windows Firewall and VFP enforce on their own). Where neither has a rule that allows it, and
 * none that blocks it, the defaults decide: those that Windows puts on ports of containers (modes.md 16):
 *
 *     process     out: everything.   in: TCP, UDP, ICMP and IGMP, nothing else        process isolation
 *     hyper-v     everything                                                          Hyper-V isolation
 *
 * What Microsoft has not published is our choice: that rules without a tier come last, that a tier without a match hands on, that the
 * defaults come after all of them, and that of equal priorities a block counts first.
 */

/** Rules that are asked together, before those of later tiers. */
export interface AclTier {
  name: string
  /** 0 to 65,535; the lowest is asked first, of equal ones who comes first in the list. */
  order: number
  rules: readonly AclRule[]
}

/** What happens to flows about which no rule says anything. */
export type AclDefaults = 'process' | 'hyper-v' | 'allow' | 'block'

/** The access control list of an endpoint. */
export interface AclOptions {
  /** Rules without a tier. At most 65,536, those of tiers included. */
  rules?: readonly AclRule[]
  tiers?: readonly AclTier[]
  /** Default `process`. */
  defaults?: AclDefaults
  /** The layers that there are: networks of kind Transparent and NAT have only the host's (modes.md 16). Rules of another are an error.
   * Default both. */
  layers?: readonly AclRuleType[]
}

const KEYS: readonly string[] = ['rules', 'tiers', 'defaults', 'layers'] satisfies (keyof AclOptions)[]
const TIER_KEYS: readonly string[] = ['name', 'order', 'rules'] satisfies (keyof AclTier)[]
const DEFAULTS: readonly AclDefaults[] = ['process', 'hyper-v', 'allow', 'block']
const LAYERS: readonly AclRuleType[] = ['switch', 'host']
/** ICMP, IGMP, TCP, UDP, ICMPv6. */
const PROCESS_IN: readonly number[] = [1, 2, 6, 17, 58]
/** Rules of an endpoint at most. */
const MOST = 65_536

/** A tier's rules of one layer and direction. */
interface Stage {
  /** Numbers of its rules in `AclRules.rules`, by rank. */
  readonly numbers: Uint32Array
  readonly four: Classifier
  readonly six: Classifier
}

/** Says what becomes of flows. */
export class AclRules {
  /** All rules, in the order of the configuration: tiers as they are asked, then those without one. */
  readonly rules: readonly ReadRule[]
  /** How often each rule decided, or passed on. */
  readonly hits: Uint32Array
  readonly defaults: AclDefaults
  /** After `judge`: the number of the rule that decided; -1: the defaults did. */
  rule = -1
  /** The layers as they are gone through, each with its tiers. */
  readonly #out: readonly (readonly Stage[])[]
  readonly #in: readonly (readonly Stage[])[]

  /** Throws a TypeError or RangeError with key and value. */
  constructor(options: AclOptions = {}) {
    checkObject('acl', options)
    checkKeys('', options, KEYS)
    this.defaults = options.defaults ?? 'process'
    if (!DEFAULTS.includes(this.defaults)) {
      throw new TypeError(`defaults must be ${DEFAULTS.join(' or ')}, not ${JSON.stringify(this.defaults)}`)
    }
    const layers = options.layers ?? LAYERS
    for (const layer of layers) {
      if (!LAYERS.includes(layer)) throw new TypeError(`layers: ${JSON.stringify(layer)} is neither switch nor host`)
    }
    const tiers = readTiers(options)
    const all: ReadRule[] = []
    const numbered: number[][] = []
    for (const { key, rules } of tiers) {
      const numbers: number[] = []
      for (const [i, rule] of rules.entries()) {
        const read = new ReadRule(`${key}[${i}]`, rule, `${key}[${i}]`)
        if (!layers.includes(read.ruleType)) {
          throw new TypeError(`${key}[${i}].ruleType: there is no layer ${JSON.stringify(read.ruleType)} here`)
        }
        numbers.push(all.length)
        all.push(read)
      }
      numbered.push(numbers)
    }
    checkRange('number of rules', all.length, 0, MOST)
    this.rules = all
    this.hits = new Uint32Array(all.length)
    const stages = (ruleType: AclRuleType, direction: AclDirection): Stage[] =>
      numbered.map((numbers) => stageOf(all, numbers, ruleType, direction)).filter((s) => s.numbers.length > 0)
    this.#out = [stages('host', 'out'), stages('switch', 'out')]
    this.#in = [stages('switch', 'in'), stages('host', 'in')]
  }

  /** Bytes of memory that its tables take. */
  get bytes(): number {
    let sum = 0
    for (const layer of [...this.#out, ...this.#in]) for (const { four, six } of layer) sum += four.bytes + six.bytes
    return sum
  }

  /** Whether the flow is allowed; `rule` is the one that decided. */
  judge(q: Question): boolean {
    const layers = q.out ? this.#out : this.#in
    let allowedBy = -1
    for (let i = 0; i < layers.length; i++) {
      const stages = layers[i] as readonly Stage[]
      for (let k = 0; k < stages.length; k++) {
        const stage = stages[k] as Stage
        const rank = q.family === 4 ? stage.four.find(q) : stage.six.find(q)
        if (rank < 0) continue
        const number = stage.numbers[rank] as number
        const { action } = this.rules[number] as ReadRule
        this.hits[number]!++
        if (action === 'pass') continue
        if (action === 'block') {
          this.rule = number
          return false
        }
        if (allowedBy < 0) allowedBy = number
        break
      }
    }
    this.rule = allowedBy
    return allowedBy >= 0 || this.#byDefault(q)
  }

  #byDefault(q: Question): boolean {
    switch (this.defaults) {
      case 'process':
        return q.out || PROCESS_IN.includes(q.protocol)
      case 'block':
        return false
      default:
        return true
    }
  }

  /** Says for people what decided: the rule of this number, or the defaults. */
  explain(rule: number): string {
    if (rule >= 0) return `${(this.rules[rule] as ReadRule).text} matched`
    return `no rule matched, and the defaults are ${JSON.stringify(this.defaults)}`
  }
}

function readTiers(options: AclOptions): { key: string; rules: readonly AclRule[] }[] {
  const { tiers = [], rules = [] } = options
  if (!Array.isArray(tiers)) throw new TypeError(`tiers must be a list, not ${JSON.stringify(tiers)}`)
  if (!Array.isArray(rules)) throw new TypeError(`rules must be a list, not ${JSON.stringify(rules)}`)
  const read = (tiers as readonly AclTier[]).map((tier, i) => {
    const key = `tiers[${i}]`
    checkObject(key, tier)
    checkKeys(`${key}: `, tier, TIER_KEYS)
    if (typeof tier.name !== 'string') throw new TypeError(`${key}.name must be text, not ${JSON.stringify(tier.name)}`)
    if (!Array.isArray(tier.rules))
      throw new TypeError(`${key}.rules must be a list, not ${JSON.stringify(tier.rules)}`)
    return { key: `${key}.rules`, order: checkRange(`${key}.order`, tier.order, 0, 0xffff), rules: tier.rules }
  })
  read.sort((a, b) => a.order - b.order)
  return [...read, { key: 'rules', rules }]
}

/** The order of actions where priorities are equal. */
function blockFirst(rule: ReadRule): number {
  return rule.action === 'block' ? 0 : 1
}

function stageOf(
  all: readonly ReadRule[],
  numbers: readonly number[],
  ruleType: AclRuleType,
  direction: AclDirection,
): Stage {
  const some = numbers.filter((n) => {
    const rule = all[n] as ReadRule
    return rule.ruleType === ruleType && rule.direction === direction
  })
  some.sort((m, n) => {
    const [a, b] = [all[m] as ReadRule, all[n] as ReadRule]
    return a.priority - b.priority || blockFirst(a) - blockFirst(b) || m - n
  })
  const rules = some.map((n) => all[n] as ReadRule)
  return { numbers: Uint32Array.from(some), four: new Classifier(rules, 4), six: new Classifier(rules, 6) }
}
