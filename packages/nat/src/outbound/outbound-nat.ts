import type { DestinationPolicy, NewFlow, ReplyCheck, SourcePolicy } from '../policy.ts'
import { type OutboundRule, RuleMatch } from './outbound-rule.ts'
import { SourceNat } from './source-nat.ts'

/*
 * Which new flows are translated, and by which NAT: rules in order, of which the first that is about the flow decides.
 *
 *     rules        from 10.22.0.0/16, to 10.22.0.0/16  -> accept
 *                  from 10.22.0.0/16, not to 224/4     -> a SourceNat
 *
 * Flows that a NAT has turned round on their way in go, before any rule is asked, to the NAT that would have translated
 * them on their way out: a host is the same from outside and from beside. `inbound` goes to the list of
 * policies for destinations, behind port mappings and services, so that they have the first word about their ports.
 *
 * Upper eight bits of a flow's tag say which NAT, the others are that NAT's.
 */

/** Joins what is said. */
function said(...parts: readonly string[]): string {
  return parts.filter((part) => part !== '').join(', ')
}

/** Chooses and translates the flows that leave. */
export class OutboundNat implements SourcePolicy {
  /** Decides about packets from outside to ports that the NATs of the rules own. */
  readonly inbound: DestinationPolicy
  #rules: readonly RuleMatch[] = []
  /** The NATs of the rules, each once. */
  #nats: readonly SourceNat[] = []
  /** NATs by the number in tags: those of the rules, and former ones whose flows go on. */
  readonly #byNumber: (SourceNat | null)[] = []

  /** Throws a TypeError or RangeError with key and value.
   * @param key what the list is called in errors */
  constructor(rules: readonly OutboundRule[], key = 'rules') {
    this.setRules(rules, key)
    this.inbound = { decide: (flow) => this.#admit(flow), ended: (tag) => this.ended(tag) }
  }

  /** The NATs of the rules, each once. */
  get nats(): readonly SourceNat[] {
    return this.#nats
  }

  /** Has other rules decide from now on. Flows stay as they are, those of NATs that no rule names any more included: such a NAT
   * is closed with the last of them. Throws as the constructor does, and then nothing has changed. */
  setRules(rules: readonly OutboundRule[], key = 'rules'): void {
    const read = rules.map((rule, i) => new RuleMatch(`${key}[${i}]`, rule))
    const nats = [...new Set(read.map((rule) => rule.verdict).filter((verdict) => verdict instanceof SourceNat))]
    if (nats.length > 255) throw new RangeError(`${key} must name 255 NATs at most, not ${nats.length}`)
    const numbers = this.#byNumber
    const former = numbers.filter((nat) => nat !== null && !nats.includes(nat) && nat.used > 0).length
    if (former + nats.length > 255) throw new RangeError(`${key}: ${former} NATs of former rules still have flows`)
    this.#rules = read
    this.#nats = nats
    for (const nat of numbers) if (nat !== null) this.#endFormer(nat)
    for (const nat of nats) {
      if (numbers.includes(nat)) continue
      const free = numbers.indexOf(null)
      numbers[free < 0 ? numbers.length : free] = nat
    }
  }

  /** Closes a NAT that no rule names and no flow needs. */
  #endFormer(nat: SourceNat): void {
    if (nat.used > 0 || this.#nats.includes(nat)) return
    this.#byNumber[this.#byNumber.indexOf(nat)] = null
    nat.close()
  }

  decide(flow: NewFlow, reply: ReplyCheck): boolean {
    if (flow.masquerade) {
      for (let i = 0; i < this.#nats.length; i++) {
        const nat = this.#nats[i] as SourceNat
        if (nat.turned(flow)) return this.#turn(nat, flow, reply)
      }
    }
    for (let i = 0; i < this.#rules.length; i++) {
      const rule = this.#rules[i] as RuleMatch
      if (!rule.matches(flow)) continue
      const { verdict } = rule
      if (flow.tells && !(verdict instanceof SourceNat)) flow.why = this.#left(flow, rule, i, verdict)
      if (verdict === 'return') return false
      if (verdict === 'accept') return true
      if (this.#by(verdict, verdict.decide(flow, reply), flow)) {
        if (flow.tells) flow.why = said(`outbound rule ${i + 1}`, rule.about(flow), flow.why)
        return true
      }
    }
    if (flow.tells && flow.why === '') flow.why = this.#nothing(flow)
    return false
  }

  /** What is said of a flow that a rule leaves as it is. */
  #left(flow: NewFlow, rule: RuleMatch, i: number, verdict: 'accept' | 'return'): string {
    if (verdict === 'return') return said(`outbound rule ${i + 1} leaves it as it is`, rule.about(flow))
    return `exception ${rule.to(flow) ?? rule.about(flow)} of outbound rule ${i + 1} matched: not translated`
  }

  /** What is said of a flow that no rule is about. */
  #nothing(flow: NewFlow): string {
    for (const [i, rule] of this.#rules.entries()) {
      const prefix = rule.exception(flow)
      if (prefix !== null) return `exception ${prefix} of outbound rule ${i + 1} matched: not translated`
    }
    return this.#rules.length === 1 ? 'the outbound rule is not about it' : 'no outbound rule is about it'
  }

  ended(tag: number): void {
    const nat = this.#byNumber[tag >>> 24]
    if (nat === null || nat === undefined) return
    nat.ended(tag)
    if (nat.used === 0) this.#endFormer(nat)
  }

  /** Translates a flow that one of the NATs has turned round: its source becomes what it is outside, which is for the
   * NAT that has the sender to say (RFC 4787 REQ-9). */
  #turn(by: SourceNat, flow: NewFlow, reply: ReplyCheck): boolean {
    for (let i = 0; i < this.#rules.length; i++) {
      const rule = this.#rules[i] as RuleMatch
      if (!(rule.verdict instanceof SourceNat) || !rule.verdict.owns || !rule.matchesTurned(flow)) continue
      const nat = rule.verdict
      if (nat !== by) flow.sourceAddress = nat.outsideOf(flow, rule.leavesBy)
      if (this.#by(nat, nat.decide(flow, reply), flow)) return true
    }
    return this.#by(by, by.decide(flow, reply), flow)
  }

  #admit(flow: NewFlow): boolean {
    for (let i = 0; i < this.#nats.length; i++) {
      const nat = this.#nats[i] as SourceNat
      if (this.#by(nat, nat.admit(flow), flow)) return true
    }
    return false
  }

  /** Writes into the tag which NAT decided. */
  #by(nat: SourceNat, decided: boolean, flow: NewFlow): boolean {
    if (decided && flow.tag !== 0) flow.tag = ((this.#byNumber.indexOf(nat) << 24) | flow.tag) >>> 0
    return decided
  }
}
