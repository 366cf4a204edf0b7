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
} from '@l2l3/switch-core'
import { checksum, eth, ipv4, parseMac, put16, udp } from '@l2l3/switch-core/wire'
import * as explain from './explain.ts'
import { type IpAddress, OuterIp, parseIp, sumOf } from './ip-tunnel-outer.ts'
import { OVERHEAD, TooBig } from './mtu.ts'
import { PathMtu, type PathMtuOptions } from './path-mtu.ts'
import { tunnelSettings } from './profile.ts'
import * as sleeve from './sleeve.ts'
import { SleeveUnwrap } from './sleeve-unwrap.ts'
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
  readonly #unwrap: SleeveUnwrap
  readonly #one: Batch = new Batch(1)
  readonly #n: Float64Array = new Float64Array(2)
  /* The datagram that is being filled: its row, -1 for none, and where the next item goes. */
  #row: Frame | -1 = NO_FRAME
  #end = 0
  #fits = 0

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
    const unwrap = new SleeveUnwrap({
      pool,
      local: this.#local.ip,
      remote: this.#remote.ip,
      name: this.#name,
      peer: this.#peer,
      port: this.#port,
      into: this.#into,
      pathMtu: this.pathMtu,
    })
    this.#unwrap = unwrap
    this.decap = unwrap
    this.take = (f) => unwrap.take(f)
  }

  /** The longest inner IP packet that fits where nothing is known of the path. */
  get mtu(): number {
    return this.#mtu - OVERHEAD.sleeve
  }

  get counters(): SleeveCounters {
    const [framesOut = 0, datagramsOut = 0] = this.#n
    const { framesIn, datagramsIn } = this.#unwrap
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
    if (pool.trace !== null) explain.tunnelSays(pool, f, 'it travels in the datagram of the frame before it')
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
    if (pool.trace !== null) explain.wrapped(pool, g, 'tunnel', 'sleeve')
    this.#out.send(g)
  }
}

function nameOf(key: string, text: string): Uint8Array {
  try {
    return parseMac(text)
  } catch (error) {
    throw new TypeError(`${key} must be six bytes written like a MAC, not ${JSON.stringify(text)}`, { cause: error })
  }
}
