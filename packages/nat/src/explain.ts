import { type Frame, type FramePool, formatWords, parsePrefix } from '@l2l3/switch-core'
import { formatIpv4 } from '@l2l3/switch-core/wire'
import type { Addresses6 } from './addresses6.ts'
import type { Conntrack } from './conntrack/conntrack.ts'
import { PROTOCOL_NAMES, QUERY_NAMES } from './conntrack/listing.ts'
import * as R from './conntrack/record.ts'
import { TCP_STATE_NAMES } from './conntrack/tcp.ts'
import type { NewFlow } from './policy.ts'
import { IPV6, isTranslatable, Proto, QUERY, Tuple } from './tuple.ts'

/*
 * What the NAT says of a packet that is followed (`trace.ts` of switch-core): whose flow it is, what was decided about a new one and
 * by which rule, and what was written. It is asked only while somebody traces, and makes objects and texts as it likes.
 *
 * Policies put their part into `NewFlow.why`, where `NewFlow.tells` says that somebody wants to know.
 */

const BY = 'NAT'
/** Why ICMP stays as it is: what VFP cannot do (modes.md 2.4). */
const UNTRANSPOSED = 'ICMP is not translated here'

/** An address of a tuple as text. */
export function addressText(addresses: Addresses6, kind: number, address: number): string {
  return (kind & IPV6) === 0 ? formatIpv4(address >>> 0) : addresses.format(address)
}

/** An end of a flow: "10.0.0.1:80", "[fd00::1]:80"; of what has no ports the address, of a query "10.0.0.1 id 7". */
export function endText(addresses: Addresses6, kind: number, address: number, port: number): string {
  const text = addressText(addresses, kind, address)
  if (!isTranslatable(kind)) return text
  if ((kind & QUERY) !== 0) return `${text} id ${port}`
  return `${text.includes(':') ? `[${text}]` : text}:${port}`
}

/** A packet by its tuple: "tcp 10.22.0.12:5000 > 198.51.100.9:80", "icmp echo 10.22.0.12 > 198.51.100.9 id 7". */
export function tupleText(addresses: Addresses6, t: Tuple): string {
  const { kind } = t
  const query = QUERY_NAMES[kind & QUERY]
  const name = `${PROTOCOL_NAMES[kind & 255] ?? `protocol ${kind & 255}`}${query ? ` ${query}` : ''}`
  const from = query ? addressText(addresses, kind, t.src) : endText(addresses, kind, t.src, t.srcPort)
  return `${name} ${from} > ${endText(addresses, kind, t.dst, t.dstPort)}`
}

/** The prefix of a list in which an address is, the longest of several; null where it is in none. */
export function prefixOf(prefixes: readonly string[], flow: NewFlow, address: number): string | null {
  const { words, format } = addressWords(flow, address)
  let best: string | null = null
  let longest = -1
  for (const text of prefixes) {
    const p = parsePrefix(text)
    if (p.words.length !== words.length || p.length <= longest) continue
    const inside = words.every((word, i) => {
      const bits = Math.min(32, Math.max(0, p.length - 32 * i))
      return bits === 0 || (word ^ (p.words[i] as number)) >>> (32 - bits) === 0
    })
    if (!inside) continue
    longest = p.length
    best = p.length === 32 * words.length ? format : text
  }
  return best
}

function addressWords(flow: NewFlow, address: number): { words: number[]; format: string } {
  if ((flow.tuple.kind & IPV6) === 0) return { words: [address >>> 0], format: formatIpv4(address >>> 0) }
  const words = Array.from(flow.addresses.words.subarray(address * 4, address * 4 + 4))
  return { words, format: formatWords(Uint32Array.from(words)) }
}

/** Speaks for an engine. */
export class Explain {
  readonly #pool: FramePool
  readonly #conntrack: Conntrack
  readonly #addresses: Addresses6
  readonly #tuple: Tuple = new Tuple()

  constructor(pool: FramePool, conntrack: Conntrack, addresses: Addresses6) {
    this.#pool = pool
    this.#conntrack = conntrack
    this.#addresses = addresses
  }

  /** Whether anybody follows the frame. */
  follows(f: Frame): boolean {
    return this.#pool.trace?.follows(f) ?? false
  }

  say(f: Frame, why: string): void {
    if (this.follows(f)) this.#pool.trace?.note(f, BY, why)
  }

  /** First half of a new flow: where it goes.
   * @param asked whether destination policies were asked: about ICMP they are not, where nobody translates it */
  opened(f: Frame, q: NewFlow, asked = true): void {
    if (!this.follows(f)) return
    if (!asked) {
      const what = tupleText(this.#addresses, q.original)
      this.say(f, `new flow ${what}: destination stays (${UNTRANSPOSED}: no port mapping and no service is asked)`)
      return
    }
    const parts = [q.why === '' ? '' : q.why]
    if (q.toAddress !== 0) parts.push(`destination becomes ${this.#end(q.tuple, 'dst')}`)
    else if (q.routeBy !== 0) {
      parts.push(`routed as if it were to ${addressText(this.#addresses, q.tuple.kind, q.routeBy)}`)
    } else parts.push('destination stays')
    if (q.masquerade) parts.push('the source is to be masqueraded')
    this.say(f, `new flow ${tupleText(this.#addresses, q.original)}: ${parts.filter((part) => part !== '').join('; ')}`)
  }

  /** A new flow that may not be, or is the node's own affair. */
  notOpened(f: Frame, q: NewFlow, how: 'local' | 'refused'): void {
    if (!this.follows(f)) return
    const what = tupleText(this.#addresses, q.original)
    if (how === 'local') this.say(f, `${what} is for the node itself: no flow, port mapping or service takes it`)
    else this.say(f, q.why === '' ? `no new flow ${what}` : `no new flow ${what}: ${q.why}`)
  }

  /** Second half of a new flow: under which source it leaves.
   * @param asked whether source policies were asked, as with `opened` */
  settled(f: Frame, q: NewFlow, flow: number, asked = true): void {
    if (!this.follows(f)) return
    const { records } = this.#conntrack
    const what = tupleText(this.#addresses, q.original)
    if (!asked) {
      this.say(f, `new flow ${what}: source stays (${UNTRANSPOSED}: no outbound rule is asked)`)
      return
    }
    if (((records[(flow << R.RECORD_SHIFT) + R.STATE] as number) & R.SNAT) === 0) {
      this.say(f, `new flow ${what}: source stays${q.why === '' ? '' : ` (${q.why})`}`)
      return
    }
    const reply = this.#conntrack.tuple(flow, 1, this.#tuple)
    const why =
      q.why !== '' ? q.why : q.masquerade ? 'masqueraded' : 'else its answers would look like those of another flow'
    this.say(f, `new flow ${what}: source becomes ${this.#end(reply, 'dst')} (${why})`)
  }

  /** First half of a packet of a known flow. */
  arrived(f: Frame, who: number, later: boolean): void {
    if (!this.follows(f)) return
    const state = this.#state(who)
    const translated = (state & (R.DNAT | R.SNAT)) !== 0
    const writes = (state & ((who & 1) === 0 ? R.DNAT : R.SNAT)) !== 0
    const routed = (who & 1) === 0 && (state & R.ROUTED) !== 0
    let then = translated ? '' : ': not translated'
    if (writes) then = `: destination becomes ${this.#end(this.#other(who), 'src')}`
    if (routed) then += `, routed by the backend's address`
    this.say(f, `${later ? 'later fragment of a packet: ' : ''}${this.#whose(who)}${then}`)
  }

  /** Second half: the source. */
  left(f: Frame, who: number): void {
    if (!this.follows(f)) return
    const state = this.#state(who)
    if ((state & ((who & 1) === 0 ? R.SNAT : R.DNAT)) === 0) return
    this.say(f, `${this.#whose(who)}: source becomes ${this.#end(this.#other(who), 'dst')}`)
  }

  /** A packet that cannot be where its flow is. */
  impossible(f: Frame, who: number): void {
    if (this.follows(f)) this.say(f, `it cannot be where its flow is: ${this.#whose(who)}`)
  }

  /** A flow that is over, and begun anew by this packet. */
  reopened(f: Frame, who: number): void {
    if (this.follows(f)) this.say(f, `${this.#whose(who)} is over, and begins anew`)
  }

  /** A packet that belongs to no flow and begins none. */
  astray(f: Frame, t: Tuple): void {
    if (!this.follows(f)) return
    const known = (t.kind & IPV6) === 0 || (t.src !== 0 && t.dst !== 0)
    this.say(f, `${known ? tupleText(this.#addresses, t) : 'it'} belongs to no flow, and cannot begin one`)
  }

  /** An ICMP error about a packet that was translated, and that nobody translates. */
  untransposed(f: Frame, who: number, dropped: boolean): void {
    if (!this.follows(f)) return
    const then = dropped ? 'it ends here' : 'it stays as it is, and who sent that packet does not hear it'
    this.say(f, `ICMP error about a packet of ${this.#flow(who)}: ${UNTRANSPOSED}: ${then}`)
  }

  /** An ICMP error, and whose packet it is about; `who` below 0: nobody's. */
  error(f: Frame, who: number, half: 'destination' | 'source' | null): void {
    if (!this.follows(f)) return
    if (who < 0) {
      this.say(f, 'ICMP error about a packet of no flow that is known here')
      return
    }
    const about = `ICMP error about a packet of ${this.#flow(who)}`
    const forward = (who & 1) === 0
    const bit = (half === 'destination') === forward ? R.DNAT : R.SNAT
    if (half === null) this.say(f, `${about}: not translated`)
    else if ((this.#state(who) & bit) !== 0)
      this.say(f, `${about}: ${half} translated, and in the packet it quotes with it`)
  }

  #state(who: number): number {
    return this.#conntrack.records[((who >>> 1) << R.RECORD_SHIFT) + R.STATE] as number
  }

  #flow(who: number): string {
    return `flow ${tupleText(this.#addresses, this.#conntrack.tuple(who >>> 1, 0, this.#tuple))}`
  }

  #whose(who: number): string {
    const flow = this.#flow(who)
    const tcp = this.#tuple.protocol === Proto.Tcp
    const state = tcp ? `, ${TCP_STATE_NAMES[this.#state(who) & R.PROTO_STATE]}` : ''
    return `${(who & 1) === 0 ? 'known' : 'reply of'} ${flow}${state}`
  }

  #other(who: number): Tuple {
    return this.#conntrack.tuple(who >>> 1, (who & 1) ^ 1, this.#tuple)
  }

  #end(t: Tuple, which: 'src' | 'dst'): string {
    const port = which === 'src' ? t.srcPort : t.dstPort
    return endText(this.#addresses, t.kind, t[which], port)
  }
}
