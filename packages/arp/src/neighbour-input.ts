import { type Batch, Drop, type Element, type Frame, type FramePool } from '@l2l3/switch-core'
import { arp, eth, formatIpv4, formatIpv6, icmpv6, ipv6 } from '@l2l3/switch-core/wire'
import { isHost4, isStation, isUnspecified } from './address.ts'
import * as explain from './explain.ts'
import { Kind, Message, readMessage } from './message.ts'
import type { NeighbourTable } from './neighbour-table.ts'
import type { Speaker } from './speaker.ts'

/** Why questions for our addresses are answered. */
const OURS = 'it is an address of ours'

/*
 * What an interface does with ARP and ND that come in.
 *
 *   not ARP or ND, tagged, for another MAC, router messages     through, untouched
 *   malformed (RFC 4861, 7.1)                                   dropped: Malformed
 *   our own MAC as sender (a loop), addresses nobody can have   dropped: ArpFilter
 *   claims an address of ours                                   defended, nothing learnt (RFC 5227, RFC 4862); Consumed
 *   asks for an address of ours                                 sender learnt, answered; Consumed
 *   asks for another's                                          ARP: sender's entry updated where there is one;
 *                                                               through, for a proxy behind this element
 *   an answer, an advertisement                                 entry updated where there is one; Consumed
 */
export class NeighbourInput implements Element {
  readonly #pool: FramePool
  readonly #table: NeighbourTable
  readonly #speaker: Speaker
  readonly #flags: number
  readonly #m = new Message()

  /** @param flags R and O of our advertisements */
  constructor(pool: FramePool, table: NeighbourTable, speaker: Speaker, flags: number) {
    this.#pool = pool
    this.#table = table
    this.#speaker = speaker
    this.#flags = flags
  }

  process(batch: Batch): void {
    const { frames } = batch
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = frames[i] as Frame
      const kind = readMessage(this.#pool, f, this.#m)
      if (
        kind === Kind.Other ||
        kind === Kind.Router ||
        this.#m.tags !== 0 ||
        !this.#forUs(f) ||
        !this.#take(f, kind)
      ) {
        frames[n++] = f
      }
    }
    batch.length = n
  }

  #forUs(f: Frame): boolean {
    const o = this.#pool.off[f]
    const b = this.#pool.bytes
    return eth.isGroup(b, o) || eth.equalMac(b, o, this.#table.mac, 0)
  }

  /** False where the frame goes on. */
  #take(f: Frame, kind: number): boolean {
    if (kind === Kind.Malformed) {
      this.#table.counters.malformed++
      this.#pool.drop(f, Drop.Malformed)
      return true
    }
    return kind === Kind.Arp ? this.#takeArp(f) : this.#takeNd(f, kind)
  }

  #takeArp(f: Frame): boolean {
    const b = this.#pool.bytes
    const { at } = this.#m
    const op = arp.op(b, at)
    if (op !== arp.Op.Request && op !== arp.Op.Reply) return false
    const table = this.#table
    const sha = at + arp.SHA
    const spa = arp.spa(b, at)
    const tpa = arp.tpa(b, at)
    const probe = spa === 0
    if (!isStation(b, sha) || eth.equalMac(b, sha, table.mac, 0) || !(isHost4(spa) || probe)) return this.#ignore(f)
    if (table.addresses.contested(Kind.Arp, b, this.#m)) return this.#contested(f)
    const ours = table.addresses.owns4(tpa)
    const request = op === arp.Op.Request
    if (!probe) {
      const alone = !eth.isGroup(b, this.#pool.off[f])
      // Who answers announces himself only where he names himself as the target too, as Linux wants it.
      const gratuitous = spa === tpa && (request || eth.equalMac(b, at + arp.THA, b, sha))
      // An answer that was broadcast (Azure's bridge does it) is one all the same where it is to us.
      table.heard4(spa, b, sha, !request && (alone || ours), request && ours, gratuitous)
      if (this.#pool.trace !== null) explain.known(this.#pool, f, formatIpv4(spa), table.get4(spa))
    }
    if (!request) return this.#consume(f)
    if (!ours) return false
    table.counters.answered++
    if (this.#pool.trace !== null) explain.answers(this.#speaker, f, 'neighbours', Kind.Arp, this.#m, OURS)
    this.#speaker.answer4(b, at)
    return this.#consume(f)
  }

  #takeNd(f: Frame, kind: number): boolean {
    const b = this.#pool.bytes
    const m = this.#m
    const table = this.#table
    const target = m.at + icmpv6.TARGET
    const src = m.l3 + ipv6.SRC
    if (eth.equalMac(b, this.#pool.off[f] + eth.SRC, table.mac, 0)) return this.#ignore(f)
    if (table.addresses.contested(kind, b, m)) return this.#contested(f)
    if (kind === Kind.Advertisement) {
      table.advertised6(b, target, icmpv6.naFlags(b, m.at), m.lladdr)
      if (this.#pool.trace !== null) explain.known(this.#pool, f, formatIpv6(b, target), table.get6(b, target))
      return this.#consume(f)
    }
    if (!table.addresses.owns6(b, target)) return false
    const probe = isUnspecified(b, src)
    if (!probe && (b[src] === 0xff || table.addresses.owns6(b, src))) return this.#ignore(f)
    if (!probe && m.lladdr !== -1) {
      table.solicited6(b, src, m.lladdr)
      if (this.#pool.trace !== null) explain.known(this.#pool, f, formatIpv6(b, src), table.get6(b, src))
    }
    table.counters.answered++
    if (this.#pool.trace !== null) explain.answers(this.#speaker, f, 'neighbours', kind, m, OURS)
    this.#speaker.answer6(b, m, this.#flags)
    return this.#consume(f)
  }

  /** Somebody else claims an address of ours. */
  #contested(f: Frame): true {
    if (this.#pool.trace !== null)
      explain.say(this.#pool, f, 'neighbours', 'it claims an address of ours: nothing is learnt from it')
    return this.#consume(f)
  }

  #ignore(f: Frame): true {
    this.#table.counters.ignored++
    this.#pool.drop(f, Drop.ArpFilter)
    return true
  }

  #consume(f: Frame): true {
    this.#pool.drop(f, Drop.Consumed)
    return true
  }
}
