import {
  Batch,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  finish,
  type Link,
  NO_FRAME,
  Offload,
} from '@l2l3/switch-core'
import { checksum, eth, formatIpv4, ipv4, u16, udp } from '@l2l3/switch-core/wire'
import * as explain from './explain.ts'
import { sumOf } from './ip-tunnel-outer.ts'
import { type PathMtu, readTooBig, TooBigReport } from './path-mtu.ts'
import * as sleeve from './sleeve.ts'

/*
 * The way out of a sleeve connection: a datagram of the peer comes apart. All of it has to be sound, to its last byte, or none
 * of it is taken. The frames are copied out, each into a row of its own, but for the last one, which keeps the datagram's.
 */

/** What the two ways of a connection have in common. */
export interface SleeveEnd {
  readonly pool: FramePool
  /** Addresses of the two ends. */
  readonly local: number
  readonly remote: number
  /** Names of the two ends. */
  readonly name: Uint8Array
  readonly peer: Uint8Array
  readonly port: number
  readonly into: Link
  readonly pathMtu: PathMtu
}

/** Takes frames out of datagrams. */
export class SleeveUnwrap implements Element {
  framesIn = 0
  datagramsIn = 0
  readonly #of: SleeveEnd
  readonly #pool: FramePool
  readonly #report: TooBigReport = new TooBigReport()
  readonly #one: Batch = new Batch(1)
  #why: Drop = 0

  constructor(end: SleeveEnd) {
    this.#of = end
    this.#pool = end.pool
  }

  readonly #lost = (f: Frame, why: Drop): void => this.#pool.drop(f, why)

  process(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (!this.take(f)) this.#pool.drop(f, this.#why)
    }
    batch.length = 0
  }

  /** Takes a frame that is for this connection; false where it is not, `#why`. */
  take(f: Frame): boolean {
    const pool = this.#pool
    const b = pool.bytes
    const o = pool.off[f] as number
    const l3 = o + eth.HLEN
    const frameEnd = o + (pool.len[f] as number)
    if (!eth.fits(o, frameEnd) || eth.type(b, o) !== eth.EtherType.IPv4) return this.#not(Drop.NotIp)
    const l4 = ipv4.check(b, l3, frameEnd)
    if (l4 === -1) return this.#not(Drop.Malformed)
    if (ipv4.dst(b, l3) !== this.#of.local) return this.#not(Drop.OtherHost)
    if (ipv4.protocol(b, l3) === ipv4.Protocol.Icmp) return this.#error(f)
    if (ipv4.protocol(b, l3) !== ipv4.Protocol.Udp) return this.#not(Drop.TunnelProtocol)
    if (ipv4.src(b, l3) !== this.#of.remote) return this.#not(Drop.UnknownPeer)
    // A fragment does not say for whom it is, nor can it be waited for.
    if (ipv4.isFragment(b, l3)) return this.#not(Drop.OuterFragment)
    const end = l3 + ipv4.totalLength(b, l3)
    if (end - l4 < udp.HLEN || udp.dstPort(b, l4) !== this.#of.port) return this.#not(Drop.TunnelProtocol)
    if (pool.gsoType[f] !== 0) {
      this.#one.push(f)
      finish(pool, this.#one, Offload.Checksum, this.#takeAll, this.#lost)
      this.#one.length = 0
      return true
    }
    const why = this.#judge(f, l3, l4, end)
    if (why === -1) this.#open(f, l4 + udp.HLEN, l4 + udp.length(b, l4))
    else pool.drop(f, why as Drop)
    return true
  }

  readonly #takeAll = (batch: Batch): void => {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (!this.take(f)) this.#pool.drop(f, this.#why)
    }
  }

  #not(why: Drop): false {
    this.#why = why
    return false
  }

  /** Why a datagram of the peer is not taken, or -1. */
  #judge(f: Frame, l3: number, l4: number, end: number): number {
    const b = this.#pool.bytes
    if (!ipv4.checksumOk(b, l3)) return Drop.BadChecksum
    if (udp.check(b, l4, end) === -1) return Drop.Malformed
    const stop = l4 + udp.length(b, l4)
    if (udp.checksum(b, l4) !== 0) {
      const pseudo = checksum.pseudo4(b, l3, ipv4.Protocol.Udp, stop - l4)
      if (sumOf(this.#pool, f, l4, stop, pseudo) !== 0xffff) return Drop.BadChecksum
    }
    const list = l4 + udp.HLEN
    const items = sleeve.count(b, list, stop)
    if (items < 1) return Drop.Malformed
    return eth.equalMac(b, list, this.#of.peer, 0) ? -1 : Drop.UnknownPeer
  }

  /** Takes the frames out of a sound datagram. */
  #open(f: Frame, list: number, end: number): void {
    const pool = this.#pool
    this.datagramsIn++
    const b = pool.bytes
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const moved = pool.off[g]! - pool.off[f]!
    pool.flags[g] = 0
    const stop = end + moved
    for (let at = sleeve.first(b, list + moved, stop); ; ) {
      const after = sleeve.next(b, at, stop)
      if (after === stop) {
        this.#emit(g, at, pool.off[g] as number)
        return
      }
      const h = pool.alloc()
      if (h === NO_FRAME) pool.lose(1, Drop.PoolSpent)
      else {
        const n = sleeve.length(b, at) + sleeve.ITEM_HLEN
        if (n > pool.frameSize) {
          pool.release(h)
          pool.lose(1, Drop.Oversize)
        } else {
          pool.ledger.copy(1)
          pool.port[h] = pool.port[g] as number
          b.copyWithin(pool.off[h] as number, at, at + n)
          pool.len[h] = n
          if (pool.observer !== null) pool.observer.copied?.(g, h)
          if (pool.trace !== null) explain.item(pool.trace, g, h)
          this.#emit(h, pool.off[h] as number, pool.off[h] as number)
        }
      }
      at = after
    }
  }

  /** Hands on the frame of the item at `at` of the row, whose first byte is at `o`. */
  #emit(f: Frame, at: number, o: number): void {
    const pool = this.#pool
    const b = pool.bytes
    const n = sleeve.length(b, at)
    const ours = eth.equalMac(b, at + sleeve.NAME, this.#of.name, 0)
    pool.strip(f, at + sleeve.ITEM_HLEN - o)
    pool.len[f] = n
    const frame = pool.off[f] as number
    if (!ours) pool.drop(f, Drop.OtherHost)
    else if (n < eth.HLEN) pool.drop(f, Drop.InnerRunt)
    else if (sleeve.isSpecial(b, frame, n)) pool.drop(f, Drop.TunnelControl)
    else {
      this.framesIn++
      if (pool.trace !== null) explain.unwrapped(pool, f, 'tunnel', 'sleeve', formatIpv4(this.#of.remote))
      this.#of.into.push(f)
    }
  }

  /** Reads an ICMP error about a datagram of ours that was too big. */
  #error(f: Frame): boolean {
    const report = this.#report
    this.#why = Drop.TunnelProtocol
    if (!readTooBig(this.#pool, f, report) || report.v6 || report.protocol !== ipv4.Protocol.Udp) return false
    const b = this.#pool.bytes
    if (ipv4.src(b, report.ip) !== this.#of.local || ipv4.dst(b, report.ip) !== this.#of.remote) return false
    if (u16(b, report.l4) !== this.#of.port || u16(b, report.l4 + udp.DST_PORT) !== this.#of.port) return false
    this.#of.pathMtu.lower4(this.#of.remote, report.mtu)
    this.#pool.drop(f, Drop.Consumed)
    return true
  }
}
