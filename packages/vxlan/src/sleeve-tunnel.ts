import {
  Batch,
  type Clock,
  checkRange,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  finish,
  fragment,
  type Link,
  type LocalTaker,
  NO_FRAME,
  Offload,
} from '@l2l3/switch-core'
import { checksum, eth, ipv4, parseMac, put16, u16, u32, udp } from '@l2l3/switch-core/wire'
import { type IpAddress, OuterIp, parseIp, sumOf } from './ip-tunnel-outer.ts'
import { OVERHEAD, TooBig } from './mtu.ts'
import { PathMtu, type PathMtuOptions, readTooBig, TooBigReport } from './path-mtu.ts'
import { tunnelSettings } from './profile.ts'
import * as sleeve from './sleeve.ts'
import { asUnderlay, type Underlay } from './underlay.ts'

/*
 * A connection of Weave's sleeve to one peer, in clear text: stands behind a switch port. (Bytes: `sleeve.ts`.)
 *
 *     batch  [ a ][ b ][   c, 1,400 bytes   ][ d ]
 *     out    [ outer | a | b ][ outer | c ][ outer | d ]       never more than the path takes, order kept
 *
 * Frames of one batch travel together as long as they fit; none waits for the next batch. The first one's row takes the
 * outer header and grows, the others are copied behind it and end there, as sent. On the way back each frame of a datagram but
 * the last is copied out. So checksums are finished, and super-frames cut, before.
 *
 * What does not fit (router/sleeve.go):
 *     IPv4 with DF       ICMP "fragmentation needed" to the sender, and nothing where it goes to a group
 *     IPv4 without DF    cut before, at multiples of 8; or whole, with `stackFragments`: then the underlay cuts the datagram
 *     anything else      whole in a datagram that the underlay may cut
 *
 * What it is not: there is no handshake, no heartbeat and no encryption; frames for other peers are not relayed
 * (`OtherHost`), words between routers end (`TunnelControl`).
 */

/** Settings of a connection. */
export interface SleeveOptions {
  /** Our and the peer's IPv4 address. */
  local: string
  remote: string
  /** Our and the peer's name: six bytes, written like a MAC. */
  name: string
  peer: string
  /** Where datagrams go: the node's router, or a link to a port. */
  out: Link | Underlay
  /** Where frames come out, and answers about what does not fit. */
  into: Link
  /** Default 6783. */
  port?: number
  /** The underlay's MTU, 576 to 65,535. Default 1,500. */
  mtu?: number
  /** Whether the underlay is trusted with the fragments of what does not fit (Weave finds out by a test). Default false. */
  stackFragments?: boolean
  /** The table of path MTUs; several tunnels may share one. Default one of its own. */
  pathMtu?: PathMtu | PathMtuOptions
}

/** What a connection has counted. */
export interface SleeveCounters {
  readonly framesOut: number
  readonly datagramsOut: number
  readonly framesIn: number
  readonly datagramsIn: number
}

/** In front of the first frame of a datagram: outer headers, our name, the item's header. */
const UDP_AT = eth.HLEN + ipv4.HLEN
const LIST_AT = UDP_AT + udp.HLEN
const LEAD = LIST_AT + sleeve.NAME + sleeve.ITEM_HLEN
const LARGEST = 65_535

/** One peer's connection: an element that wraps. */
export class SleeveTunnel implements Element {
  /** Unwraps what comes from an underlay that is a port. */
  readonly decap: Element
  /** Unwraps what is for it: for `Router.onLocal`. */
  readonly take: LocalTaker
  readonly pathMtu: PathMtu
  readonly #pool: FramePool
  readonly #local: IpAddress
  readonly #remote: IpAddress
  readonly #name: Uint8Array
  readonly #peer: Uint8Array
  readonly #out: Underlay
  readonly #into: Link
  readonly #port: number
  readonly #mtu: number
  readonly #stack: boolean
  readonly #outer: OuterIp
  readonly #tooBig: TooBig
  readonly #report: TooBigReport = new TooBigReport()
  readonly #one: Batch = new Batch(1)
  readonly #n: Float64Array = new Float64Array(4)
  /* The datagram that is being filled: its row, -1 for none, and where the next item goes. */
  #row: Frame | -1 = NO_FRAME
  #end = 0
  #fits = 0
  #why: Drop = 0

  /** Throws for settings that make no sense, with key and value. */
  constructor(pool: FramePool, clock: Clock, options: SleeveOptions) {
    this.#pool = pool
    this.#local = parseIp('local', options.local)
    this.#remote = parseIp('remote', options.remote)
    for (const [key, address] of [
      ['local', this.#local],
      ['remote', this.#remote],
    ] as const) {
      if (address.v6) throw new RangeError(`${key} must be IPv4: sleeve has no IPv6, not ${options[key]}`)
    }
    this.#name = nameOf('name', options.name)
    this.#peer = nameOf('peer', options.peer)
    this.#out = asUnderlay('out', options.out, pool)
    if (options.into?.pool !== pool) throw new Error(`into: link ${options.into?.name} has another frame pool`)
    this.#into = options.into
    this.#port = checkRange('port', options.port ?? sleeve.PORT, 1, 65_535)
    this.#mtu = checkRange('mtu', options.mtu ?? 1500, 576, 65_535)
    if (options.stackFragments !== undefined && typeof options.stackFragments !== 'boolean') {
      throw new TypeError(`stackFragments must be true or false, not ${String(options.stackFragments)}`)
    }
    this.#stack = options.stackFragments ?? false
    // A raw socket's packets, with DF where a datagram may not be cut.
    this.#outer = new OuterIp(
      this.#local,
      tunnelSettings({ df: 'inherit', ecnIngress: 'compatibility' }, 'other'),
      null,
    )
    this.#tooBig = new TooBig(pool)
    this.pathMtu = options.pathMtu instanceof PathMtu ? options.pathMtu : new PathMtu(clock, options.pathMtu)
    this.decap = { process: (batch) => this.#decapAll(batch) }
    this.take = (f) => this.#take(f)
  }

  /** The longest inner IP packet that fits where nothing is known of the path. */
  get mtu(): number {
    return this.#mtu - OVERHEAD.sleeve
  }

  get counters(): SleeveCounters {
    const [framesOut = 0, datagramsOut = 0, framesIn = 0, datagramsIn = 0] = this.#n
    return { framesOut, datagramsOut, framesIn, datagramsIn }
  }

  process(batch: Batch): void {
    this.#fits = Math.min(this.pathMtu.to4(this.#remote.ip), this.#mtu) - OVERHEAD.sleeve
    for (let i = 0; i < batch.length; i++) {
      this.#one.push(batch.frames[i] as Frame)
      finish(this.#pool, this.#one, 0, this.#addAll, this.#lost)
      this.#one.length = 0
    }
    batch.length = 0
    this.#flush(true)
  }

  readonly #lost = (f: Frame, why: Drop): void => this.#pool.drop(f, why)

  readonly #addAll = (batch: Batch): void => {
    for (let i = 0; i < batch.length; i++) this.#send(batch.frames[i] as Frame)
  }

  /** Adds a finished frame, or says why not. */
  #send(f: Frame): void {
    const pool = this.#pool
    const b = pool.bytes
    const o = pool.off[f] as number
    const n = pool.len[f] as number
    if (n < eth.HLEN) pool.drop(f, Drop.Runt)
    else if (n - eth.HLEN <= this.#fits) this.#add(f)
    else {
      const l3 = o + eth.HLEN
      const v4 = eth.type(b, o) === eth.EtherType.IPv4 && ipv4.check(b, l3, o + n) !== -1
      if (v4 && ipv4.dontFragment(b, l3)) {
        const g = this.#tooBig.answer(f, this.#fits)
        if (g !== NO_FRAME) this.#into.push(g)
        pool.drop(f, Drop.TooBig)
      } else if (v4 && !this.#stack) {
        const g = pool.own(f)
        if (g === NO_FRAME) return
        pool.len[g] = eth.HLEN + ipv4.totalLength(pool.bytes, pool.off[g]! + eth.HLEN)
        fragment(pool, g, this.#fits, this.#add, this.#lost)
      } else {
        this.#flush(true)
        this.#start(f)
        this.#flush(false)
      }
    }
  }

  /** Puts a frame that fits behind those of the datagram, or into the next one. */
  readonly #add = (f: Frame): void => {
    const pool = this.#pool
    const row = this.#row
    const n = pool.len[f] as number
    if (row === NO_FRAME) {
      this.#start(f)
      return
    }
    const grown = this.#end - pool.off[row]! + sleeve.ITEM_HLEN + n
    if (grown - eth.HLEN > this.#fits + OVERHEAD.sleeve || grown > pool.room(row)) {
      this.#flush(true)
      this.#start(f)
      return
    }
    const o = pool.off[f] as number
    const at = sleeve.writeItem(pool.bytes, this.#end, this.#name, this.#peer, n)
    pool.bytes.copyWithin(at, o, o + n)
    this.#end = at + n
    pool.len[row] = grown
    this.#n[0]!++
    // It leaves as part of another row, which `sent` tells as a port would.
    pool.sent(f)
  }

  /** Makes a frame the first of a datagram. */
  #start(f: Frame): void {
    const pool = this.#pool
    const n = pool.len[f] as number
    if (n + LEAD - eth.HLEN > LARGEST) {
      pool.drop(f, Drop.TooBig)
      return
    }
    const g = pool.own(f)
    if (g === NO_FRAME) return
    const at = pool.prepend(g, LEAD)
    if (at === -1) {
      pool.drop(g, Drop.NoHeadroom)
      return
    }
    pool.flags[g] = 0
    eth.copyMac(pool.bytes, at + LIST_AT, this.#name)
    sleeve.writeItem(pool.bytes, at + LIST_AT + sleeve.NAME, this.#name, this.#peer, n)
    this.#row = g
    this.#end = at + LEAD + n
    this.#n[0]!++
  }

  /** Sends the datagram that is being filled. */
  #flush(whole: boolean): void {
    const pool = this.#pool
    const g = this.#row
    if (g === NO_FRAME) return
    this.#row = NO_FRAME
    const b = pool.bytes
    const at = pool.off[g] as number
    const payload = this.#end - at - UDP_AT
    this.#outer.write(pool, at, ipv4.Protocol.Udp, payload, this.#remote.bytes, 0, 0, 64, 1, whole, 0, 0)
    udp.write(b, at + UDP_AT, this.#port, this.#port, payload - udp.HLEN)
    const pseudo = checksum.pseudo4(b, at + eth.HLEN, ipv4.Protocol.Udp, payload)
    put16(b, at + UDP_AT + udp.CHECKSUM, checksum.complementUdp(sumOf(pool, g, at + UDP_AT, this.#end, pseudo)))
    this.#n[1]!++
    this.#out.send(g)
  }

  #decapAll(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (!this.#take(f)) this.#pool.drop(f, this.#why)
    }
    batch.length = 0
  }

  /** Takes a frame that is for this connection; false where it is not, `#why`. */
  #take(f: Frame): boolean {
    const pool = this.#pool
    const b = pool.bytes
    const o = pool.off[f] as number
    const l3 = o + eth.HLEN
    const frameEnd = o + (pool.len[f] as number)
    if (!eth.fits(o, frameEnd) || eth.type(b, o) !== eth.EtherType.IPv4) return this.#not(Drop.NotIp)
    const l4 = ipv4.check(b, l3, frameEnd)
    if (l4 === -1) return this.#not(Drop.Malformed)
    if (ipv4.dst(b, l3) !== this.#local.ip) return this.#not(Drop.OtherHost)
    if (ipv4.protocol(b, l3) === ipv4.Protocol.Icmp) return this.#error(f)
    if (ipv4.protocol(b, l3) !== ipv4.Protocol.Udp) return this.#not(Drop.TunnelProtocol)
    if (ipv4.src(b, l3) !== this.#remote.ip) return this.#not(Drop.UnknownPeer)
    // A fragment does not say for whom it is, nor can it be waited for.
    if (ipv4.isFragment(b, l3)) return this.#not(Drop.OuterFragment)
    const end = l3 + ipv4.totalLength(b, l3)
    if (end - l4 < udp.HLEN || udp.dstPort(b, l4) !== this.#port) return this.#not(Drop.TunnelProtocol)
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
      if (!this.#take(f)) this.#pool.drop(f, this.#why)
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
    return eth.equalMac(b, list, this.#peer, 0) ? -1 : Drop.UnknownPeer
  }

  /** Takes the frames out of a sound datagram. */
  #open(f: Frame, list: number, end: number): void {
    const pool = this.#pool
    this.#n[3]!++
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
    const ours = eth.equalMac(b, at + sleeve.NAME, this.#name, 0)
    pool.strip(f, at + sleeve.ITEM_HLEN - o)
    pool.len[f] = n
    const frame = pool.off[f] as number
    if (!ours) pool.drop(f, Drop.OtherHost)
    else if (n < eth.HLEN) pool.drop(f, Drop.InnerRunt)
    else if (sleeve.isSpecial(b, frame, n)) pool.drop(f, Drop.TunnelControl)
    else {
      this.#n[2]!++
      this.#into.push(f)
    }
  }

  /** Reads an ICMP error about a datagram of ours that was too big. */
  #error(f: Frame): boolean {
    const report = this.#report
    this.#why = Drop.TunnelProtocol
    if (!readTooBig(this.#pool, f, report) || report.v6 || report.protocol !== ipv4.Protocol.Udp) return false
    const b = this.#pool.bytes
    if (ipv4.src(b, report.ip) !== this.#local.ip || ipv4.dst(b, report.ip) !== this.#remote.ip) return false
    if (u16(b, report.l4) !== this.#port || u16(b, report.l4 + udp.DST_PORT) !== this.#port) return false
    this.pathMtu.lower4(u32(this.#remote.bytes, 0), report.mtu)
    this.#pool.drop(f, Drop.Consumed)
    return true
  }
}

function nameOf(key: string, text: string): Uint8Array {
  try {
    return parseMac(text)
  } catch (error) {
    throw new TypeError(`${key} must be six bytes written like a MAC, not ${JSON.stringify(text)}`, { cause: error })
  }
}
