import {
  type Batch,
  type Clock,
  checkRange,
  Drop,
  type Element,
  type Fdb,
  type Frame,
  type FramePool,
  fdbKey,
  fragment,
  Link,
  NO_FRAME,
  nextPortId,
  parsePrefix,
  RouteTable4,
  RouteTable6,
} from '@l2l3/switch-core'
import { copy, eth, formatMac, ipv4, ipv6, parseMac, u16, u32 } from '@l2l3/switch-core/wire'
import { tunnelHeader } from './encap.ts'
import * as explain from './explain.ts'
import { type FarEnd, type FarEnds, NONE } from './far-ends.ts'
import type { Labels } from './labels.ts'
import { Fate, fateOf, MIN_MTU6, TooBig } from './mtu.ts'
import {
  boolean,
  macWords,
  type NetworkCounters,
  type NetworkEntry,
  type NetworkOptions,
  oneOf,
  type PrefixRoute,
  type RemoteSpec,
  unicast,
} from './network-options.ts'
import { addressBytes, addressText, hostAddress, isGroupAddress } from './outer.ts'
import { RUN } from './outer-row.ts'
import type { Underlay } from './underlay.ts'
import * as vxlan from './vxlan.ts'

/*
 * One network of a VTEP: a VNI, what is attached to it here, and where its far ends are.
 *
 *     switch port, or router interface ── out of it ──> TunnelNetwork.process ──> far ends
 *                                      <── `out` ────── what came in for the VNI
 *
 * Where a frame goes, in this order:
 *
 *     out of a tunnel of this network (split horizon)     nowhere: SplitHorizon
 *     broadcast, multicast                                every far end of the flood list
 *     IP, its destination in a prefix                     the prefix' far end; MACs are rewritten, if that was asked for
 *     its MAC in the table: configured or learnt          that far end
 *     else                                                the flood list, or nowhere: NoRemote
 *
 * Prefixes come first, since their frames are addressed to a router, whose MAC everybody has: Windows' RemoteSubnetRoute
 * (modes.md 4.1), where the frame gets the far node's distributed-router MAC. A network may ask that only frames to its
 * gateway's MAC go by prefixes.
 *
 * Frames that go by their MAC and need no second look are looked up and wrapped a batch at a time, until one does; then it goes on
 * behind that one, so that frames keep their order. While somebody traces all go the long way.
 *
 * Networks know nothing of each other: inner addresses may be the same in all of them.
 */

/** What a network needs of its VTEP. */
export interface NetworkHost {
  readonly pool: FramePool
  readonly clock: Clock
  readonly ends: FarEnds
  readonly encapsulation: 'vxlan' | 'geneve'
  /** Makes a MAC table. */
  fdb(): Fdb
  /** Bytes that the outer header of far end `n` has. */
  headerOf(n: number): number
  /** Makes the outer header of a far end. */
  row(tunnel: Uint8Array, address: Uint8Array, via: RemoteSpec['interface']): number
  /** Wraps a frame for far end `n` and sends it; gives the bytes that left, or 0.
   * @param cuttable whether the underlay may cut the outer packet, whatever the settings say */
  wrap(f: Frame, n: number, cuttable: boolean): number
  /** Wraps `frames[start..end)`, each by its outer header of `rows`, and sends them, up to the first that needs `wrap`; gives its
   * index, and adds the bytes that left to `counts[3]`. */
  wrapRun(frames: Uint32Array, start: number, end: number, rows: Int32Array, counts: Float64Array): number
  /** The longest inner IP packet that the path to far end `n` is known to take. */
  pathFits(n: number): number
  /** Brings the far ends' limits up to date. */
  lookAtPaths(): void
}

interface Via {
  readonly n: number
  readonly mac: Uint8Array | null
  readonly srcMac: Uint8Array | null
  readonly decrement: boolean
}

/** Longer than any frame. */
const UNLIMITED = 0x7fffffff

/** Made by `Vtep.addNetwork`. As an element, the way into its tunnels. */
export class TunnelNetwork implements Element {
  readonly vni: number | 'any'
  readonly out: Link
  readonly labels: Labels | null
  readonly learning: boolean
  /** What stands in the `port` column of frames that came in here. */
  readonly horizon: number
  readonly splitHorizon: boolean
  readonly knownPeersOnly: boolean
  /** The own MAC in words as they are read from a frame; -1: none. */
  readonly ownHi: number
  readonly ownLo: number
  /** The number that its VTEP knows it by. */
  readonly index: number
  /** Where MACs are: far ends by number. */
  readonly fdb: Fdb
  readonly #host: NetworkHost
  readonly #pool: FramePool
  readonly #options: NetworkOptions
  #mtu: number
  /** Bytes of the tunnel's header, where a far end has none of its own. */
  readonly #headerLength: number
  readonly #flood: number[] = []
  /** Far ends of configured MACs. */
  readonly #statics: Map<string, number> = new Map()
  readonly #routes4: RouteTable4 = new RouteTable4()
  readonly #routes6: RouteTable6 = new RouteTable6()
  readonly #vias: (Via | null)[] = []
  readonly #destinations: Int32Array | null
  readonly #gateway: readonly [hi: number, lo: number] | null
  readonly #tooBig: TooBig
  readonly #n: Float64Array = new Float64Array(4)
  /** Far ends and outer headers of the frames of a run. */
  readonly #numbers: Int32Array = new Int32Array(RUN)
  readonly #rows: Int32Array = new Int32Array(RUN)
  #open = true
  /** Whether the sender of the frame at hand has been told that it is too long. */
  #told = false
  #now = -1
  #to = 0

  /** Use `Vtep.addNetwork`. */
  constructor(host: NetworkHost, index: number, options: NetworkOptions) {
    this.#host = host
    this.#pool = host.pool
    this.#options = options
    this.index = index
    this.fdb = host.fdb()
    if (options.vni !== 'any') checkRange('vni', options.vni, 0, vxlan.MAX_VNI)
    this.vni = options.vni
    if (!(options.out instanceof Link) || options.out.pool !== host.pool) {
      throw new Error(`out: link ${options.out?.name} has another frame pool than the VTEP`)
    }
    this.out = options.out
    this.labels = options.labels ?? null
    this.learning = boolean('learning', options.learning, true)
    this.splitHorizon = boolean('splitHorizon', options.splitHorizon, true)
    this.knownPeersOnly = boolean('knownPeersOnly', options.knownPeersOnly, false)
    this.horizon = options.horizon?.horizon ?? nextPortId()
    oneOf('unknown', options.unknown ?? 'flood', ['flood', 'drop'])
    oneOf('oversize', options.oversize ?? 'outer', ['outer', 'inner', 'drop'])
    this.#mtu = options.mtu === undefined ? UNLIMITED : checkRange('mtu', options.mtu, 68, 65_535)
    const [hi, lo] = options.mac === undefined ? [-1, -1] : macWords('mac', options.mac)
    this.ownHi = hi
    this.ownLo = lo
    this.#gateway = options.gateway === undefined ? null : macWords('gateway', options.gateway)
    const macs = options.destinations?.map((mac, i) => macWords(`destinations[${i}]`, mac))
    this.#destinations = macs === undefined ? null : Int32Array.from(macs.flat())
    this.#tooBig = new TooBig(host.pool)
    // Throws where group or options are none.
    this.#headerLength = this.#header({ address: '' }).length
  }

  get counters(): NetworkCounters {
    const [rxFrames = 0, rxBytes = 0, txFrames = 0, txBytes = 0] = this.#n
    return { rxFrames, rxBytes, txFrames, txBytes, tooBig: this.#tooBig.sent }
  }

  /** Binds a MAC to a far end; what is learnt does not move it. False where the table is full. */
  addStatic(mac: string, remote: string | RemoteSpec): boolean {
    const text = formatMac(unicast('mac', mac))
    const n = this.#obtain(remote)
    this.deleteAddress(mac)
    if (!this.fdb.add(fdbKey(parseMac(mac)), n, 'static')) return false
    this.#host.ends.hold(n, 1)
    this.#statics.set(text, n)
    return true
  }

  /** Forgets a MAC, whatever its kind; false where it is not there. */
  deleteAddress(mac: string): boolean {
    const bytes = parseMac(mac)
    const text = formatMac(bytes)
    const n = this.#statics.get(text)
    if (n !== undefined) this.#host.ends.hold(n, -1)
    this.#statics.delete(text)
    return this.fdb.delete(fdbKey(bytes))
  }

  /** Has packets to a prefix go through a far end; replaces the route that was there. */
  addRoute(route: PrefixRoute): void {
    parsePrefix(route.to)
    const n = this.#obtain(route.remote)
    const via: Via = {
      n,
      mac: route.mac === undefined ? null : unicast('mac', route.mac),
      srcMac: route.srcMac === undefined ? null : unicast('srcMac', route.srcMac),
      decrement: boolean('decrementTtl', route.decrementTtl, false),
    }
    let at = this.#vias.indexOf(null)
    if (at < 0) at = this.#vias.length
    const table = route.to.includes(':') ? this.#routes6 : this.#routes4
    const before = table.set(route.to, at)
    this.#vias[at] = via
    this.#host.ends.hold(n, 1)
    if (before !== -1) this.#endVia(before)
  }

  /** Takes a prefix away; false where it is not there. */
  deleteRoute(to: string): boolean {
    const at = (to.includes(':') ? this.#routes6 : this.#routes4).delete(to)
    if (at === -1) return false
    this.#endVia(at)
    return true
  }

  /** Adds a far end to the flood list: a host, for head-end replication, or a multicast group. */
  addFlood(remote: string | RemoteSpec): void {
    const n = this.#obtain(remote)
    if (this.#flood.includes(n)) return
    this.#flood.push(n)
    this.#host.ends.hold(n, 1)
  }

  /** Takes a far end off the flood list; false where it is not there. */
  deleteFlood(remote: string | RemoteSpec): boolean {
    const i = this.#flood.indexOf(this.#known(remote))
    if (i < 0) return false
    this.#host.ends.hold(this.#flood[i] as number, -1)
    this.#flood.splice(i, 1)
    return true
  }

  /** Forgets a far end to which nothing configured leads any more, and the MACs that were learnt there; false where there is
   * none, or something leads there. */
  forget(remote: string | RemoteSpec): boolean {
    const { ends } = this.#host
    const n = this.#known(remote)
    if (n === NONE || ends.held(n) > 0) return false
    this.fdb.flush({ port: n })
    ends.remove(n)
    return true
  }

  /** The longest inner IP packet from now on, 68 to 65,535 bytes: routes to far ends have changed. */
  setMtu(mtu: number): void {
    this.#mtu = checkRange('mtu', mtu, 68, 65_535)
    const { ends } = this.#host
    for (const n of ends.numbers()) if (ends.spec(n).network === this.index) ends.limits[n] = this.limit(n)
  }

  /** Forgets what was learnt. */
  flush(): number {
    return this.fdb.flush()
  }

  /** Its MACs, for people. */
  *entries(): Generator<NetworkEntry> {
    for (const e of this.fdb.list()) {
      yield { mac: e.mac, remote: this.#name(e.port), kind: e.kind, age: e.age }
    }
  }

  /** Its far ends, for people. */
  remotes(): FarEnd[] {
    return [...this.#host.ends.list(this.index)]
  }

  /** Its flood list, for people. */
  get flood(): readonly string[] {
    return this.#flood.map((n) => this.#name(n))
  }

  /** Its prefixes, for people. */
  *routes(): Generator<{ readonly to: string; readonly remote: string; readonly mac: string | null }> {
    for (const table of [this.#routes4, this.#routes6]) {
      for (const r of table.list()) {
        const via = this.#vias[r.value] as Via
        yield { to: r.prefix, remote: this.#name(via.n), mac: via.mac === null ? null : formatMac(via.mac) }
      }
    }
  }

  /** For the VTEP: it is taken away. */
  close(): void {
    this.#open = false
    const { ends } = this.#host
    this.fdb.flush({ static: true })
    for (const n of [...this.#flood, ...this.#statics.values()]) ends.hold(n, -1)
    this.#flood.length = 0
    this.#statics.clear()
    for (const via of this.#vias) if (via !== null) ends.hold(via.n, -1)
    this.#vias.length = 0
  }

  /** For the VTEP: a far end that was heard. `NONE` where there are too many. */
  heard(address: Uint8Array): number {
    const vni = this.vni === 'any' ? 0 : this.vni
    return this.#make({ address: '' }, address, vni)
  }

  /** For the VTEP: the longest frame for far end `n` without a second look. */
  limit(n: number): number {
    // The network's limit is for its own header: a far end with options of its own takes less.
    const more = this.#mtu === UNLIMITED ? 0 : Math.max(0, this.#host.headerOf(n) - this.#headerLength)
    return Math.max(0, Math.min(this.#mtu - more, this.#host.pathFits(n))) + eth.HLEN
  }

  /** For the VTEP: tells the MAC table the time, where it has changed. */
  setNow(now: number): void {
    if (now === this.#now) return
    this.#now = now
    this.fdb.setNow(now)
  }

  /** For the VTEP: may the frame at `o`, out of the tunnel, come in? */
  takes(o: number): boolean {
    const macs = this.#destinations
    if (macs === null) return true
    const { data } = this.#pool
    const hi = data.getUint16(o, true)
    const lo = data.getInt32(o + 2, true)
    for (let i = 0; i < macs.length; i += 2) if (macs[i] === hi && macs[i + 1] === lo) return true
    return false
  }

  /** For the VTEP: hands a frame in that came out of a tunnel.
   * @param way where to, if not to all of the network */
  deliver(f: Frame, way: Link = this.out): void {
    this.#pool.port[f] = this.horizon
    ;(this.#n[0] as number)++
    ;(this.#n[1] as number) += this.#pool.len[f] as number
    way.push(f)
  }

  /** For the VTEP: hands in the frames `frames[start..end)`, which came out of a tunnel. */
  deliverAll(frames: Uint32Array, start: number, end: number): void {
    if (end === start) return
    ;(this.#n[0] as number) += end - start
    const { len, port } = this.#pool
    let bytes = 0
    for (let i = start; i < end; i++) {
      const f = frames[i] as number
      port[f] = this.horizon
      bytes += len[f] as number
    }
    ;(this.#n[1] as number) += bytes
    this.out.pushAll(frames, start, end - start)
  }

  process(batch: Batch): void {
    const { frames, length } = batch
    const quick = this.#open && this.labels === null && this.#pool.trace === null
    this.#host.lookAtPaths()
    for (let i = 0; i < length; ) {
      const stop = Math.min(length, i + RUN)
      if (quick) i = this.#run(frames, i, stop)
      if (i < stop) this.#one(frames[i++] as Frame)
    }
    batch.length = 0
  }

  /** Sends frames to the far ends of their MACs, as long as nothing else is to be asked; gives the index of the first that needs
   * more. */
  #run(frames: Uint32Array, start: number, stop: number): number {
    const rows = this.#rows
    const numbers = this.#numbers
    const end = this.#find(frames, start, stop)
    for (let i = start; i < end; ) {
      const from = i
      i = this.#host.wrapRun(frames, i, end, rows, this.#n)
      ;(this.#n[2] as number) += i - from
      if (i === end) break
      this.#told = false
      this.#send(frames[i] as Frame, numbers[i - start] as number)
      i++
      // What is left of them is for the next round.
      rows.copyWithin(0, i - from, end - from)
    }
    return end
  }

  /** Finds the far ends of frames that go by their MAC, fit, and may be wrapped as they are; gives the index of the first of which
   * that is not so. */
  #find(frames: Uint32Array, start: number, stop: number): number {
    const { data, off, len, port, flags, gsoType, refs } = this.#pool
    const { fdb, splitHorizon, horizon } = this
    const { rows, limits, underlays } = this.#host.ends
    const routed = this.#vias.length > 0
    const gateway = this.#gateway
    for (let i = start; i < stop; i++) {
      const f = frames[i] as Frame
      const o = off[f] as number
      const size = len[f] as number
      if (size < eth.HLEN || refs[f] !== 1 || ((flags[f] as number) | (gsoType[f] as number)) !== 0) return i
      const hi = data.getUint16(o, true)
      const lo = data.getInt32(o + 2, true)
      if ((hi & 1) !== 0 || (splitHorizon && port[f] === horizon)) return i
      if (routed && (gateway === null || (gateway[0] === hi && gateway[1] === lo))) return i
      const n = fdb.lookup(hi, lo)
      if (n < 0 || size > (limits[n] as number) || underlays[n] !== null) return i
      this.#numbers[i - start] = n
      this.#rows[i - start] = rows[n] as number
    }
    return stop
  }

  /** A frame that needs thought. */
  #one(f: Frame): void {
    const pool = this.#pool
    const { data, off, len, port } = pool
    const o = off[f] as number
    this.#told = false
    if (!this.#open || (len[f] as number) < eth.HLEN) {
      pool.drop(f, this.#open ? Drop.Runt : Drop.PortDown)
      return
    }
    if (this.splitHorizon && port[f] === this.horizon) {
      pool.drop(f, Drop.SplitHorizon)
      return
    }
    const hi = data.getUint16(o, true)
    if ((hi & 1) !== 0) {
      this.#replicate(f)
      return
    }
    const lo = data.getInt32(o + 2, true)
    if (this.#vias.length > 0 && this.#byPrefix(f, o, hi, lo)) return
    const n = this.fdb.lookup(hi, lo)
    if (pool.trace !== null) this.#sayFound(f, n, hi, lo)
    if (n >= 0) this.#send(f, n)
    else if (this.#options.unknown === 'drop') pool.drop(f, Drop.NoRemote)
    else this.#replicate(f)
  }

  /** For the VTEP: learns where a source is, and says what came of it. */
  learnAloud(f: Frame, hi: number, lo: number, n: number): void {
    const before = this.fdb.entry(hi, lo)
    this.fdb.learn(hi, lo, n, false)
    explain.learnt(this.#pool, f, before, this.fdb.entry(hi, lo), (end) => this.#name(end))
  }

  /** Says which far end a destination is behind, or that none is known. */
  #sayFound(f: Frame, n: number, hi: number, lo: number): void {
    if (n >= 0) {
      // The table is told the time when something is heard; that may be a while ago.
      const late = Math.floor(this.#host.clock.now / 1e6) - Math.floor(Math.max(0, this.#now) / 1e6)
      explain.farEndKnown(this.#pool, f, this.vni, this.fdb.entry(hi, lo), late, this.#name(n))
    } else if (this.#options.unknown === 'drop') {
      explain.vtepSays(
        this.#pool,
        f,
        `its destination is not in the FDB of network ${this.vni}, which floods nothing unknown`,
      )
    }
  }

  /** Sends a copy to every far end of the flood list. */
  #replicate(f: Frame): void {
    const list = this.#flood
    const last = list.length - 1
    if (this.#pool.trace !== null) explain.replicated(this.#pool, f, this.vni, this.flood)
    if (last < 0) {
      this.#pool.drop(f, Drop.NoRemote)
      return
    }
    for (let i = 0; i < last; i++) {
      const g = this.#pool.copy(f)
      if (g !== NO_FRAME) this.#send(g, list[i] as number)
    }
    this.#send(f, list[last] as number)
  }

  /** Sends an IP packet by its destination's prefix; false where there is none. */
  #byPrefix(f: Frame, o: number, hi: number, lo: number): boolean {
    const gateway = this.#gateway
    if (gateway !== null && (gateway[0] !== hi || gateway[1] !== lo)) return false
    const { bytes: b, len } = this.#pool
    const l3 = o + eth.HLEN
    const end = o + (len[f] as number)
    const type = u16(b, o + eth.TYPE)
    let at = -1
    if (type === eth.EtherType.IPv4 && ipv4.checkHeader(b, l3, end) !== -1) at = this.#routes4.lookup(u32(b, l3 + 16))
    else if (type === eth.EtherType.IPv6 && ipv6.checkHeader(b, l3, end) !== -1) at = this.#routes6.lookup(b, l3 + 24)
    if (at === -1) return false
    const via = this.#vias[at] as Via
    const ttl = l3 + (type === eth.EtherType.IPv4 ? ipv4.TTL : ipv6.HOP_LIMIT)
    if (via.decrement && (b[ttl] as number) <= 1) {
      this.#pool.drop(f, Drop.TtlExceeded)
      return true
    }
    const g = this.#pool.own(f)
    if (g === NO_FRAME) return true
    const p = this.#pool.off[g] as number
    if (via.mac !== null) copy(b, p, via.mac, 0, 6)
    if (via.srcMac !== null) copy(b, p + eth.SRC, via.srcMac, 0, 6)
    if (via.decrement) {
      if (type === eth.EtherType.IPv4) ipv4.decrementTtl(b, p + eth.HLEN)
      else (b[p + eth.HLEN + ipv6.HOP_LIMIT] as number)--
    }
    if (this.#pool.trace !== null) this.#sayPrefix(g, via, type === eth.EtherType.IPv6)
    this.#send(g, via.n)
    return true
  }

  /** Says by which prefix a frame goes, as it is now. */
  #sayPrefix(f: Frame, { n, mac, srcMac, decrement }: Via, v6: boolean): void {
    const { bytes: b, off } = this.#pool
    const l3 = (off[f] as number) + eth.HLEN
    const to = v6 ? Uint32Array.of(...[24, 28, 32, 36].map((i) => u32(b, l3 + i))) : Uint32Array.of(u32(b, l3 + 16))
    const prefix = (v6 ? this.#routes6 : this.#routes4).covering(to)
    const ttl = decrement ? (b[l3 + (v6 ? ipv6.HOP_LIMIT : ipv4.TTL)] as number) + 1 : 0
    explain.byPrefix(this.#pool, f, prefix, this.#name(n), mac, srcMac, ttl)
  }

  /** Sends a frame to far end `n`, if it fits. */
  #send(f: Frame, n: number): void {
    const pool = this.#pool
    if ((pool.len[f] as number) <= (this.#host.ends.limits[n] as number)) this.#wrap(f, n, false)
    else this.#sendLong(f, n)
  }

  #wrap(f: Frame, n: number, cuttable: boolean): void {
    const sent = this.#host.wrap(f, n, cuttable)
    if (sent === 0) return
    ;(this.#n[2] as number)++
    ;(this.#n[3] as number) += sent
  }

  /** Looks twice at a frame that is long. */
  #sendLong(f: Frame, n: number): void {
    const pool = this.#pool
    const { ends } = this.#host
    // What was known of the path may have ended.
    ends.limits[n] = this.limit(n)
    const room = (ends.limits[n] as number) - eth.HLEN
    const b = pool.bytes
    const o = pool.off[f] as number
    let l3 = o + eth.HLEN
    let type = u16(b, o + eth.TYPE)
    const end = o + (pool.len[f] as number)
    for (let tags = 0; (type === 0x8100 || type === 0x88a8) && tags < 2 && end - l3 >= 4; tags++) {
      type = u16(b, l3 + 2)
      l3 += 4
    }
    // Tags are carried, and take room.
    const fits = room - (l3 - o - eth.HLEN)
    const v6 = type === 0x86dd && end - l3 >= 40
    const isIp = v6 || (type === 0x0800 && end - l3 >= 20)
    const fate = isIp ? fateOf(pool, f, l3, fits) : end - l3 <= fits ? Fate.Fits : Fate.Cut
    if (pool.trace !== null && fate !== Fate.Fits) {
      explain.tooLong(
        pool,
        f,
        'vtep',
        fits,
        fate === Fate.Refuse ? 'refused' : `oversize ${this.#options.oversize ?? 'outer'}`,
      )
    }
    if (fate === Fate.Fits) this.#wrap(f, n, false)
    else if (fate === Fate.Refuse) this.#refuse(f, v6 ? Math.max(fits, MIN_MTU6) : fits)
    // IPv6 that every link has to take (RFC 8200, 5) goes, and the outer packet is cut if that is so: never what somebody
    // says of the path ends it.
    else if (v6) this.#wrap(f, n, true)
    else if ((this.#options.oversize ?? 'outer') === 'outer') this.#wrap(f, n, false)
    else if (this.#options.oversize === 'drop' || !isIp) pool.drop(f, Drop.TooBig)
    // Behind a tag, and in a super-frame, it is not cut here: the outer packet is.
    else if (l3 !== o + eth.HLEN || pool.gsoType[f] !== 0) this.#wrap(f, n, true)
    else {
      const g = pool.own(f)
      if (g === NO_FRAME) return
      this.#to = n
      pool.len[g] = Math.min(pool.len[g] as number, eth.HLEN + ipv4.totalLength(b, (pool.off[g] as number) + eth.HLEN))
      fragment(pool, g, fits, this.#piece, this.#lost)
    }
  }

  /** Drops a frame that does not fit, and tells its sender: once, however many copies of it there are. */
  #refuse(f: Frame, mtu: number): void {
    if (!this.#told) {
      this.#told = true
      const g = this.#tooBig.answer(f, mtu)
      if (g !== NO_FRAME) this.out.push(g)
    }
    this.#pool.drop(f, Drop.TooBig)
  }

  readonly #piece = (f: Frame): void => this.#wrap(f, this.#to, false)

  readonly #lost = (f: Frame, why: Drop): void => this.#pool.drop(f, why)

  #endVia(at: number): void {
    this.#host.ends.hold((this.#vias[at] as Via).n, -1)
    this.#vias[at] = null
  }

  #name(n: number): string {
    const spec = this.#host.ends.spec(n)
    const vni = spec.vni === this.vni ? '' : ` vni ${spec.vni}`
    return `${addressText(spec.address)}${vni}${spec.kind === '' ? '' : ` ${spec.kind}`}`
  }

  #header(spec: RemoteSpec): Uint8Array {
    const group = spec.group ?? this.#options.group
    const options = spec.options ?? this.#options.options
    return tunnelHeader({
      encapsulation: this.#host.encapsulation,
      vni: spec.vni ?? (this.vni === 'any' ? 0 : this.vni),
      ...(group === undefined ? {} : { group }),
      ...(options === undefined ? {} : { options }),
    })
  }

  #obtain(remote: string | RemoteSpec): number {
    const spec = typeof remote === 'string' ? { address: remote } : remote
    const address = addressBytes('remote', spec.address)
    if (!isGroupAddress(address)) hostAddress('remote', spec.address)
    if (isGroupAddress(address) && spec.interface === undefined) {
      throw new TypeError(`interface is needed: ${spec.address} is a multicast group, to which no route leads`)
    }
    const n = this.#make(spec, address, spec.vni ?? (this.vni === 'any' ? 0 : this.vni))
    if (n === NONE) throw new RangeError(`there are ${this.#host.ends.most} far ends already (maxRemotes)`)
    return n
  }

  /** The far end of a spec, if it is there. */
  #known(remote: string | RemoteSpec): number {
    const spec = typeof remote === 'string' ? { address: remote } : remote
    const address = addressBytes('remote', spec.address)
    const vni = spec.vni ?? (this.vni === 'any' ? 0 : this.vni)
    return this.#host.ends.known({ network: this.index, vni, address, kind: kindOf(spec) })
  }

  #make(spec: RemoteSpec, address: Uint8Array, vni: number): number {
    const { ends } = this.#host
    const via = spec.interface
    const underlay: Underlay | null = via === undefined ? null : { send: (f) => via.out.push(f) }
    const n = ends.obtain({
      network: this.index,
      vni,
      address,
      kind: kindOf(spec),
      row: () => this.#host.row(this.#header(spec), address, via),
      underlay,
    })
    if (n !== NONE) ends.limits[n] = this.limit(n)
    return n
  }
}

/** What tells a far end from others of the same network, address and VNI. */
function kindOf(spec: RemoteSpec): string {
  const kind: string[] = []
  if (spec.group !== undefined) kind.push(`group ${spec.group}`)
  for (const o of spec.options ?? []) kind.push(`option ${o.class}/${o.type} ${Array.from(o.data).join('.')}`)
  if (spec.interface !== undefined) kind.push(`by ${spec.interface.out.name}`)
  return kind.join(', ')
}
