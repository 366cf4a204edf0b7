import {
  type Batch,
  type Clock,
  checkRange,
  Drop,
  type Element,
  Fdb,
  type FdbCounters,
  type FdbOptions,
  type Frame,
  type FramePool,
  Link,
  type LocalTaker,
  NO_FRAME,
  type Ticker,
} from '@l2l3/switch-core'
import { equal, eth, ipv4, ipv6, u16, u32 } from '@l2l3/switch-core/wire'
import { optionKeys } from './decap.ts'
import { checkEncapsulation, usualPort } from './encap.ts'
import { EndTable } from './end-table.ts'
import * as explain from './explain.ts'
import { FarEnds, NONE } from './far-ends.ts'
import { NETWORK, NOWHERE } from './labels.ts'
import { nestsTooDeep, TUNNEL_PORTS } from './nesting.ts'
import { type NetworkHost, TunnelNetwork } from './network.ts'
import type { NetworkOptions, RemoteSpec } from './network-options.ts'
import { addressBytes, addressText, hostAddress, isGroupAddress, OuterTable } from './outer.ts'
import { OuterIds } from './outer-ids.ts'
import { CUT_FIRST, WRAPPED, WRAPPED_TUNNEL } from './outer-loops.ts'
import { RUN } from './outer-row.ts'
import { PathMtu, type PathMtuOptions, readTooBig, TooBigReport } from './path-mtu.ts'
import { type ProfileOptions, type TunnelSettings, tunnelSettings } from './profile.ts'
import { Reassembly } from './reassembly.ts'
import { asUnderlay, type Underlay } from './underlay.ts'
import { CUT_TRAIN, NOT_OURS, Seen, vniKey } from './unwrap.ts'
import * as vxlan from './vxlan.ts'

/*
 * A virtual tunnel end point: a node's end of VXLAN or GENEVE tunnels, for any number of networks.
 *
 *     switch port ── network 4096 ─┐                     ┌──> node's router ──> 192.168.77.2
 *     interface ──── network 4097 ─┼── Vtep 192.168.77.1 ┤
 *     switch port ── network 5000 ─┘                     └──> its interfaces ──> 192.168.77.3
 *
 * Read `network` for where frames go, `far-ends` for what is kept of a far end, `unwrap` for what is taken and dropped, `outer`
 * for what is put in front. Both ways, what needs no thought goes in runs (`outer-run`, `unwrap-run`).
 *
 * Each network has a table of MACs of its own, all of one size: a network that is full of them takes no room from another.
 * An address is learnt where it was heard: network, inner source, outer source.
 *
 * ICMP errors that say that an outer packet was too big lower the path's MTU, if what they quote is a packet that can be
 * ours; from then on inner packets that do not fit are answered here.
 *
 * Outer IPv4 fragments are put together, as long as they fit into a slot of the pool (`reassembly`): inner IPv6 of 1,280 bytes
 * has to get through, whatever the underlay takes.
 *
 * Where several VTEPs share a router, address and UDP port tell whose a packet is: two may not have the same.
 *
 * What it is not: it puts no fragments of IPv6 together, nor cuts outer IPv6. Groups are joined by who has the link
 * (`Memberships` in @l2l3/arp): what it takes for a group has to reach it.
 */

/** Settings of a VTEP. */
export interface VtepOptions extends ProfileOptions {
  /** Its address on the underlay, IPv4 or IPv6: the outer source. */
  local: string
  /** Default `vxlan`. */
  encapsulation?: 'vxlan' | 'geneve'
  /** The UDP port of all ends. Default 4789 for VXLAN, 6081 for GENEVE. */
  port?: number
  /** Where wrapped frames go: the node's router, or a link. */
  out: Link | Underlay
  /** Far ends at most, configured and heard; 1 to 65,000. Default 4,096. */
  maxRemotes?: number
  /** MAC addresses of each network at most, and seconds until one that is not heard is forgotten, and more: see
   * `FdbOptions`. */
  maxEntries?: number
  ageing?: number
  seed?: number
  /** How many tunnels a frame may be in already; 0 to 7. Default 3. What is this VTEP's own outside never goes in. */
  maxNesting?: number
  /** VXLAN: whether group policy ids are understood. Default false. */
  gbp?: boolean
  /** GENEVE: critical options that are understood. */
  knownOptions?: readonly { class: number; type: number }[]
  /** Multicast groups that packets are taken for. */
  groups?: readonly string[]
  /** The table of path MTUs; several tunnels may share one. Default one of its own. */
  pathMtu?: PathMtu | PathMtuOptions
}

/** What a VTEP has counted. */
export interface VtepCounters {
  /** Far ends that were heard and for which there was no room. */
  readonly remotesRefused: number
  /** Far ends that were forgotten, since no address leads to them any more. */
  readonly remotesForgotten: number
  /** ICMP errors by which a path was lowered. */
  readonly lowered: number
  readonly fdb: Readonly<FdbCounters>
}

/** Slots of MAC tables that a tick looks at, at most. */
const SWEEP = 65_536
const ENTRY_PORT = 0xffff

/** Addresses and ports of VTEPs that are open, by where they send to. */
const places = new WeakMap<object, Map<string, string>>()

function placesOf(out: object): Map<string, string> {
  const there = places.get(out) ?? new Map<string, string>()
  places.set(out, there)
  return there
}

function addCounts(sum: FdbCounters, more: Readonly<FdbCounters>): void {
  for (const key of Object.keys(sum) as (keyof FdbCounters)[]) sum[key] += more[key]
}

/** A node's end of tunnels. */
export class Vtep implements Element, Ticker {
  readonly encapsulation: 'vxlan' | 'geneve'
  readonly local: string
  readonly port: number
  readonly settings: Readonly<TunnelSettings>
  /** Takes what is for it, and ICMP errors about it, and leaves the rest: for `Router.onLocal`. */
  readonly take: LocalTaker
  readonly pathMtu: PathMtu
  readonly #pool: FramePool
  readonly #clock: Clock
  readonly #out: Underlay
  /** The same where it is a link: it takes many at once. */
  readonly #link: Link | null
  readonly #outers: OuterTable
  readonly #ends: EndTable
  readonly #end: number
  /** What tables of networks that are gone have counted. */
  readonly #gone: FdbCounters = { learned: 0, moved: 0, aged: 0, evicted: 0, refused: 0, watchersLost: 0 }
  readonly #far: FarEnds
  readonly #pieces: Reassembly
  readonly #ids: OuterIds
  readonly #upper: ipv6.Upper = new ipv6.Upper()
  /** Addresses and ports of VTEPs on the same underlay. */
  readonly #places: Map<string, string>
  readonly #place: string
  readonly #host: NetworkHost
  readonly #address: Uint8Array
  /** Bytes of outer Ethernet, IP and UDP. */
  readonly #outside: number
  #groups: readonly Uint8Array[] = []
  readonly #maxNesting: number
  readonly #ports: readonly number[]
  readonly #networks: (TunnelNetwork | undefined)[] = []
  /** VNIs of each network. */
  readonly #vnisOf: (ReadonlySet<number | 'any'> | undefined)[] = []
  /** Networks with labels. */
  #labelled = 0
  readonly #used: Uint8Array
  readonly #report: TooBigReport = new TooBigReport()
  readonly #n = { remotesRefused: 0, remotesForgotten: 0, lowered: 0 }
  readonly #single: Uint32Array = new Uint32Array(1)
  #to = 0
  #sent = 0
  #lowered = 0
  #cuttable = false
  #open = true
  /** The network that was swept last. */
  #hand = 0

  /**
   * @example
   * const vtep = new Vtep(pool, clock, { local: '192.168.77.1', out: router })
   * router.onLocal = vtep.take
   * const out = loop.link({ process: (batch) => swPort.process(batch) })
   * const net = vtep.addNetwork({ vni: 4096, out })
   * const swPort = sw.addPort(loop.link(net))
   * net.addFlood('192.168.77.2')
   * loop.every(SECOND, vtep)
   */
  constructor(pool: FramePool, clock: Clock, options: VtepOptions) {
    this.#pool = pool
    this.#clock = clock
    this.encapsulation = checkEncapsulation(options.encapsulation ?? 'vxlan')
    this.#address = hostAddress('local', options.local)
    this.local = addressText(this.#address)
    this.#outside = eth.HLEN + (this.#address.length === 4 ? ipv4.HLEN : ipv6.HLEN) + 8
    this.port = checkRange('port', options.port ?? usualPort(this.encapsulation), 1, 65_535)
    this.settings = tunnelSettings(options, this.encapsulation)
    this.setGroups(options.groups ?? [])
    this.#maxNesting = checkRange('maxNesting', options.maxNesting ?? 3, 0, 7)
    this.#ports = [this.port, ...TUNNEL_PORTS]
    this.#out = asUnderlay('out', options.out, pool)
    this.#link = options.out instanceof Link ? options.out : null
    const fdbOptions: FdbOptions = { ...options }
    // Made at once, so that settings that are none throw here.
    let table: Fdb | null = new Fdb(fdbOptions)
    this.#pieces = new Reassembly(pool, clock)
    this.#ids = new OuterIds(pool)
    this.#far = new FarEnds(pool, checkRange('maxRemotes', options.maxRemotes ?? 4096, 1, 65_000))
    this.#used = new Uint8Array(this.#far.most)
    this.pathMtu = options.pathMtu instanceof PathMtu ? options.pathMtu : new PathMtu(clock, options.pathMtu)
    this.#outers = OuterTable.of(pool)
    this.#outers.watchPort(this.port)
    this.#ends = EndTable.of(pool)
    this.#end = this.#ends.add({
      encapsulation: this.encapsulation,
      port: this.port,
      local: this.#address,
      settings: this.settings,
      anyVni: -1,
      gbp: options.gbp ?? false,
      knownOptions: optionKeys(options.knownOptions),
    })
    this.#host = {
      pool,
      clock,
      fdb: () => {
        const fdb = table ?? new Fdb(fdbOptions)
        table = null
        return fdb
      },
      ends: this.#far,
      encapsulation: this.encapsulation,
      headerOf: (n) => this.#outers.lengthOf(this.#far.rows[n] as number) - this.#outside,
      row: (tunnel, address, via) => this.#row(tunnel, address, via),
      wrap: (f, n, cuttable) => this.#wrap(f, n, cuttable),
      wrapRun: (frames, start, end, rows, counts) => this.#wrapRun(frames, start, end, rows, counts),
      pathFits: (n) => this.#pathFits(n),
      lookAtPaths: () => this.#lookAtPaths(),
    }
    this.take = (f) => this.#take(f)
    this.#places = placesOf(options.out)
    this.#place = `${this.local} port ${this.port}`
    const there = this.#places.get(this.#place)
    if (there !== undefined) {
      this.#ends.remove(this.#end)
      throw new Error(`local ${this.local}: there is a VTEP of ${there} at this address and port ${this.port} already`)
    }
    this.#places.set(this.#place, this.encapsulation)
  }

  get counters(): VtepCounters {
    const fdb = { ...this.#gone }
    for (const network of this.networks) addCounts(fdb, network.fdb.counters)
    return { ...this.#n, fdb }
  }

  /** Its networks, in the order of their numbers. */
  get networks(): readonly TunnelNetwork[] {
    return this.#networks.filter((n) => n !== undefined)
  }

  /** Bytes that a header without options adds to an inner IP packet, inner Ethernet included: what pods' MTU is less. */
  get overhead(): number {
    return (this.#address.length === 4 ? 20 : 40) + 8 + 8 + eth.HLEN
  }

  /** Says which multicast groups packets are taken for from now on. Throws a RangeError for what is none. */
  setGroups(groups: readonly string[]): void {
    this.#groups = groups.map((text, i) => {
      const group = addressBytes(`groups[${i}]`, text)
      if (!isGroupAddress(group)) throw new RangeError(`groups[${i}] must be a multicast group, not ${text}`)
      return group
    })
  }

  /** Adds a network. Throws where its VNI is taken, and for settings that make no sense, with key and value. */
  addNetwork(options: NetworkOptions): TunnelNetwork {
    if (!this.#open) throw new Error(`the VTEP ${this.local} is closed`)
    const vnis = new Set([options.vni, ...(options.vnis ?? [])])
    for (const vni of vnis) {
      if (this.#vnisOf.some((taken) => taken?.has(vni))) throw new Error(`there is a network ${vni} already`)
    }
    const { udpChecksum, udpChecksum6 } = this.settings
    if (options.labels !== undefined && (this.#address.length === 4 ? udpChecksum : udpChecksum6)) {
      throw new RangeError(`labels of network ${options.vni} need a UDP header without a checksum, which is on`)
    }
    let index = this.#networks.indexOf(undefined)
    if (index < 0) index = this.#networks.length
    checkRange('networks', index, 0, 65_534)
    const network = new TunnelNetwork(this.#host, index, options)
    this.#networks[index] = network
    if (network.labels !== null) this.#labelled++
    this.#vnisOf[index] = new Set()
    this.setVnis(network, [...vnis])
    return network
  }

  /** Says which VNIs' frames come in to a network from now on. Throws where one is another network's, and for what is none. */
  setVnis(network: TunnelNetwork, vnis: readonly (number | 'any')[]): void {
    const { index } = network
    const before = this.#vnisOf[index]
    if (this.#networks[index] !== network || before === undefined) {
      throw new Error(`network ${network.vni} is not this VTEP's`)
    }
    const now = new Set(vnis)
    for (const vni of now) {
      if (vni !== 'any') checkRange('vnis', vni, 0, vxlan.MAX_VNI)
      if (this.#vnisOf.some((taken) => taken !== before && taken?.has(vni))) {
        throw new Error(`there is a network ${vni} already`)
      }
    }
    this.#vnisOf[index] = now
    for (const vni of before) if (!now.has(vni)) this.#forgetVni(vni)
    for (const vni of now) {
      if (before.has(vni)) continue
      if (vni === 'any') this.#ends.setAnyVni(this.#end, index)
      else this.#ends.setNetwork(this.#end, vni, index)
    }
  }

  #forgetVni(vni: number | 'any'): void {
    if (vni === 'any') this.#ends.setAnyVni(this.#end, -1)
    else this.#ends.deleteNetwork(this.#end, vni)
  }

  /** Takes a network away with all that was learnt and configured in it. Throws where it is none of this VTEP's. */
  removeNetwork(network: TunnelNetwork): void {
    if (this.#networks[network.index] !== network) throw new Error(`network ${network.vni} is not this VTEP's`)
    for (const vni of this.#vnisOf[network.index] ?? []) this.#forgetVni(vni)
    if (network.labels !== null) this.#labelled--
    this.#retire(network)
    this.#networks[network.index] = undefined
    this.#vnisOf[network.index] = undefined
    this.#reclaim()
  }

  /** Gives up its place among the pool's endpoints: from then on all is left to others. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    this.#ends.remove(this.#end)
    this.#places.delete(this.#place)
    this.#pieces.close()
    for (const network of this.networks) this.#retire(network)
    this.#networks.length = 0
    this.#reclaim()
  }

  #retire(network: TunnelNetwork): void {
    network.close()
    addCounts(this.#gone, network.fdb.counters)
  }

  /** Sweeps a slice of the MAC tables, and forgets far ends that nothing leads to, and packets of which a fragment is
   * missing; have the loop call it about once a second. */
  tick(now: number): void {
    this.#sweep(now)
    this.#pieces.tick(now)
    if (this.#far.size * 2 > this.#far.most) this.#reclaim()
  }

  /** Takes what is for it from an underlay that is a port; the rest stays in the batch. */
  process(batch: Batch): void {
    const { frames, length } = batch
    const run = this.#ends.runOf(this.#end)
    let kept = 0
    for (let i = 0; i < length; ) {
      const from = i
      const stop = Math.min(length, from + RUN)
      if (this.#quick) i = run(frames, from, stop, this.#end)
      if (i > from) this.#came(frames, from, i)
      if (i === stop) continue
      const f = frames[i++] as Frame
      if (!this.#isHere(f) || !this.#accept(f)) frames[kept++] = f
    }
    batch.length = kept
  }

  /** Whether packets may go the fast way: where labels or a trace ask for more, they do not. */
  get #quick(): boolean {
    return this.#open && this.#labelled === 0 && this.#pool.trace === null
  }

  /** A packet for one of the router's addresses, or for a group: another address may be another VTEP's. */
  #take(f: Frame): boolean {
    this.#single[0] = f
    if (this.#quick && this.#ends.runOf(this.#end)(this.#single, 0, 1, this.#end) === 1) {
      this.#came(this.#single, 0, 1)
      return true
    }
    if (!this.#isHere(f)) return false
    const { bytes: b, off } = this.#pool
    const l3 = (off[f] as number) + eth.HLEN
    const protocol = b[l3 + (this.#address.length === 16 ? 6 : 9)] as number
    return protocol === 1 || protocol === 58 ? this.#hear(f) : this.#accept(f)
  }

  /** Whether the outer destination is ours, or a group that we take packets for. */
  #isHere(f: Frame): boolean {
    const { bytes: b, off, len } = this.#pool
    const o = off[f] as number
    const v6 = this.#address.length === 16
    if ((len[f] as number) < (v6 ? 54 : 34) || ((b[o + 12]! << 8) | b[o + 13]!) !== (v6 ? 0x86dd : 0x0800)) return false
    const dst = o + (v6 ? 38 : 30)
    const size = v6 ? 16 : 4
    if (equal(b, dst, this.#address, 0, size)) return true
    for (let i = 0; i < this.#groups.length; i++) {
      const group = this.#groups[i] as Uint8Array
      if (group.length === size && equal(b, dst, group, 0, size)) return true
    }
    return false
  }

  /** Takes a frame out of its tunnel; false where it is not for this end, and then as it was. */
  #accept(frame: Frame): boolean {
    if (!this.#open) return false
    const pool = this.#pool
    let f: Frame | -1 = frame
    if (pool.refs[frame] !== 1) {
      // It is read before it is owned: what is left to others has to stay the row it was.
      if (!this.#isOurPort(frame) && !this.#pieces.awaits(frame)) return false
      f = pool.own(frame)
      if (f === NO_FRAME) return true
    }
    const said = this.#ends.unwrap(f, this.#end)
    if (said === CUT_TRAIN) this.#outers.cut(f, this.#each)
    else if (said === ~Drop.OuterFragment || (said === NOT_OURS && this.#pieces.awaits(f))) {
      const whole = this.#pieces.take(f)
      if (whole !== NO_FRAME) this.#each(whole)
    } else if (said !== NOT_OURS) this.#unwrapped(f, said)
    else if (f === frame) return false
    else pool.drop(f, Drop.Malformed)
    return true
  }

  /** A datagram of a train, or one that was put together. */
  readonly #each = (f: Frame): void => {
    const said = this.#ends.unwrap(f, this.#end)
    this.#unwrapped(f, said === NOT_OURS || said === CUT_TRAIN ? ~Drop.Malformed : said)
  }

  /** Tells whether it is UDP to our port, without looking closer. */
  #isOurPort(f: Frame): boolean {
    const { bytes: b, off, len } = this.#pool
    const l3 = (off[f] as number) + eth.HLEN
    const end = l3 - eth.HLEN + (len[f] as number)
    let l4: number
    if ((b[l3] as number) >>> 4 === 6) {
      const upper = this.#upper
      if (!ipv6.upper(b, l3, end, upper) || upper.protocol !== 17 || upper.fragmentOffset !== 0) return false
      l4 = upper.offset
    } else {
      if (end - l3 < 28 || b[l3 + 9] !== 17 || ipv4.fragmentOffset(b, l3) !== 0) return false
      l4 = l3 + ipv4.headerLength(b, l3)
    }
    return end - l4 >= 8 && ((b[l4 + 2]! << 8) | b[l4 + 3]!) === this.port
  }

  /** What came out of a tunnel by a run: learns, and hands it to its network. A frame of which more is to be asked goes the long
   * way, behind those before it. */
  #came(frames: Uint32Array, start: number, stop: number): void {
    const { data, off } = this.#pool
    const { seen, sources } = this.#ends
    const said = seen[Seen.Network] as number
    const network = this.#networks[said] as TunnelNetwork
    const { learning, knownPeersOnly, ownHi, ownLo, fdb } = network
    const v6 = this.#address.length === 16
    network.setNow(this.#clock.now)
    let from = start
    for (let i = start; i < stop; i++) {
      const o = off[frames[i] as number] as number
      const hi = data.getUint16(o + 6, true)
      const lo = data.getInt32(o + 8, true)
      const at = (i - start) << 2
      let plain = (hi & 1) === 0 && (hi | lo) !== 0 && (hi !== ownHi || lo !== ownLo) && network.takes(o)
      if (plain && (learning || knownPeersOnly)) {
        const n = this.#far.find(said, sources, at, v6)
        plain = n !== NONE && (!knownPeersOnly || this.#far.held(n) !== 0)
        if (plain && learning) fdb.learn(hi, lo, n, false)
      }
      if (plain) continue
      network.deliverAll(frames, from, i)
      from = i + 1
      seen[Seen.Version] = v6 ? 6 : 4
      for (let k = 0; k < 4; k++) seen[Seen.Src + k] = sources[at + k] as number
      this.#unwrapped(frames[i] as Frame, said)
    }
    network.deliverAll(frames, from, stop)
  }

  /** What came out of a tunnel: learns, and hands it to its network.
   * @param said the network's number, or `~Drop` */
  #unwrapped(f: Frame, said: number): void {
    const pool = this.#pool
    if (said < 0) {
      if (said === ~Drop.UnknownVni && pool.trace !== null) explain.unknownVni(pool, f)
      pool.drop(f, ~said as Drop)
      return
    }
    const { data } = pool
    const { seen } = this.#ends
    const network = this.#networks[said] as TunnelNetwork
    network.setNow(this.#clock.now)
    if (pool.trace !== null) this.#sayUnwrapped(f)
    const o = pool.off[f] as number
    const hi = data.getUint16(o + 6, true)
    const lo = data.getInt32(o + 8, true)
    if (hi === network.ownHi && lo === network.ownLo) {
      pool.drop(f, Drop.OwnSource)
      return
    }
    if (!network.takes(o)) {
      if (pool.trace !== null) explain.vtepSays(pool, f, 'its destination MAC is none of those that the network takes')
      pool.drop(f, Drop.OtherHost)
      return
    }
    if (network.learning || network.knownPeersOnly) {
      let n = this.#far.find(said, seen, Seen.Src, seen[Seen.Version] === 6)
      if (network.knownPeersOnly && (n === NONE || this.#far.held(n) === 0)) {
        pool.drop(f, Drop.UnknownPeer)
        return
      }
      if (network.learning) {
        if ((hi & 1) !== 0 || (hi | lo) === 0) {
          pool.drop(f, (hi & 1) !== 0 ? Drop.GroupSource : Drop.ZeroSource)
          return
        }
        if (n === NONE) n = this.#heard(network)
        if (n !== NONE) {
          if (pool.trace !== null) network.learnAloud(f, hi, lo, n)
          else network.fdb.learn(hi, lo, n, false)
        }
      }
    }
    if (network.labels === null) network.deliver(f)
    else this.#byLabel(f, network)
  }

  /** Hands a frame in where its header says. */
  #byLabel(f: Frame, network: TunnelNetwork): void {
    const pool = this.#pool
    const way = network.labels?.wayOf(pool.bytes, this.#ends.seen[Seen.Header] as number) ?? NETWORK
    if (way === NOWHERE) {
      if (pool.trace !== null) explain.vtepSays(pool, f, 'its header names no logical port that is here')
      pool.drop(f, Drop.NoDestination)
    } else if (way === NETWORK) network.deliver(f)
    else network.deliver(f, way)
  }

  /** Says out of which tunnel a frame came. */
  #sayUnwrapped(f: Frame): void {
    const { seen } = this.#ends
    const address = new Uint8Array(seen[Seen.Version] === 6 ? 16 : 4)
    const view = new DataView(address.buffer)
    for (let i = 0; 4 * i < address.length; i++) view.setInt32(4 * i, seen[Seen.Src + i] as number, true)
    explain.unwrapped(this.#pool, f, 'vtep', this.#name(vniKey(seen[Seen.Vni] as number)), addressText(address))
  }

  #name(vni: number): string {
    return `${this.encapsulation.toUpperCase()}, VNI ${vni}`
  }

  /** A far end that was not heard before. */
  #heard(network: TunnelNetwork): number {
    // Anybody can claim any source: where there is no room nothing is made of it.
    if (this.#far.size >= this.#far.most) {
      this.#n.remotesRefused++
      return NONE
    }
    const { seen } = this.#ends
    const address = new Uint8Array(this.#address.length)
    // Frames go to ends of the own family only; and nobody is at a group's address.
    if ((seen[Seen.Version] === 6 ? 16 : 4) !== address.length) return NONE
    const view = new DataView(address.buffer)
    for (let i = 0; 4 * i < address.length; i++) view.setInt32(4 * i, seen[Seen.Src + i] as number, true)
    return isGroupAddress(address) ? NONE : network.heard(address)
  }

  /** Wraps a frame for far end `n` and sends it; gives the bytes of it that left, or 0.
   * @param cuttable whether the underlay may cut the outer packet, whatever the settings say */
  #wrap(frame: Frame, n: number, cuttable: boolean): number {
    const pool = this.#pool
    const f = pool.own(frame)
    if (f === NO_FRAME) return 0
    const said = this.#outers.wrap(f, this.#far.rows[n] as number)
    if (said === WRAPPED || (said === WRAPPED_TUNNEL && !this.#tooDeep(f))) {
      const bytes = pool.len[f] as number
      if (cuttable) this.#ids.clearDf(f)
      if (this.#labelled > 0) this.#label(f, n)
      if (pool.trace !== null) explain.wrapped(pool, f, 'vtep', this.#name(this.#far.spec(n).vni))
      const by = this.#far.underlays[n] as Underlay | null
      if (by === null) this.#out.send(f)
      else by.send(f)
      return bytes
    }
    if (said !== CUT_FIRST) {
      pool.drop(f, said === WRAPPED_TUNNEL ? Drop.NestedTunnel : (said as Drop))
      return 0
    }
    this.#to = n
    this.#cuttable = cuttable
    this.#sent = 0
    this.#outers.cut(f, this.#segment)
    return this.#sent
  }

  /** Wraps frames by their rows and sends them, up to the first that needs `#wrap`. */
  #wrapRun(frames: Uint32Array, start: number, end: number, rows: Int32Array, counts: Float64Array): number {
    const { len } = this.#pool
    const run = this.#address.length === 4 ? this.#outers.run4 : this.#outers.run6
    const stop = run(frames, start, end, rows)
    let bytes = 0
    for (let i = start; i < stop; i++) bytes += len[frames[i] as number] as number
    ;(counts[3] as number) += bytes
    if (this.#link !== null) this.#link.pushAll(frames, start, stop - start)
    else for (let i = start; i < stop; i++) this.#out.send(frames[i] as Frame)
    return stop
  }

  /** Writes what the header of a wrapped frame says besides. */
  #label(f: Frame, n: number): void {
    const pool = this.#pool
    const labels = this.#networks[this.#far.spec(n).network]?.labels ?? null
    const o = pool.off[f] as number
    const end = o + this.#outers.lengthOf(this.#far.rows[n] as number)
    if (labels !== null) labels.mark(pool.bytes, o + this.#outside, end, pool.port[f] as number)
  }

  readonly #segment = (f: Frame): void => {
    this.#sent += this.#wrap(f, this.#to, this.#cuttable)
  }

  #tooDeep(f: Frame): boolean {
    const o = this.#pool.off[f] as number
    const end = o + (this.#pool.len[f] as number)
    return nestsTooDeep(this.#pool, o, end, this.#outers.found, this.#ports, this.#maxNesting)
  }

  #row(tunnel: Uint8Array, address: Uint8Array, via: RemoteSpec['interface']): number {
    return this.#outers.add({
      src: this.local,
      dst: addressText(address),
      protocol: 17,
      udpPort: this.port,
      tunnel,
      settings: this.settings,
      ...(via === undefined ? {} : { srcMac: via.mac }),
    })
  }

  /** An ICMP message for the node: is it about a packet of ours that was too big? */
  #hear(f: Frame): boolean {
    const pool = this.#pool
    const r = this.#report
    if (!readTooBig(pool, f, r) || r.protocol !== 17) return false
    const b = pool.bytes
    const size = this.#address.length
    if (r.v6 !== (size === 16) || ((b[r.l4 + 2]! << 8) | b[r.l4 + 3]!) !== this.port) return false
    const src = r.ip + (r.v6 ? 8 : 12)
    const dst = src + size
    if (!equal(b, src, this.#address, 0, size)) return false
    const [low, high] = this.settings.sportRange
    const port = u16(b, r.l4)
    if (port < low || port > high || !this.#far.hasAddress(b, dst, size)) return false
    if (r.v6 ? this.pathMtu.lower6(b, dst, r.mtu) : this.pathMtu.lower4(u32(b, dst), r.mtu)) {
      this.#n.lowered++
    }
    if (pool.trace !== null) explain.lowered(pool, f, 'vtep', r.mtu)
    pool.drop(f, Drop.Consumed)
    return true
  }

  /** Looks whether a path has been lowered, by this VTEP or by who shares the table. */
  #lookAtPaths(): void {
    if (this.pathMtu.lowered === this.#lowered) return
    this.#lowered = this.pathMtu.lowered
    for (const n of this.#far.numbers()) {
      this.#far.limits[n] = (this.#networks[this.#far.spec(n).network] as TunnelNetwork).limit(n)
    }
  }

  #pathFits(n: number): number {
    const { address } = this.#far.spec(n)
    const mtu = address.length === 4 ? this.pathMtu.to4(u32(address, 0)) : this.pathMtu.to6(address, 0)
    // 65,535 says that nothing is known.
    if (mtu === 65_535) return 0x7fff_ffff
    // The row's outer Ethernet header stands for the inner one, which is inside the outer packet.
    return mtu - this.#outers.lengthOf(this.#far.rows[n] as number)
  }

  /** Looks for addresses that have aged out: at so many slots in all, each network's in turn. */
  #sweep(now: number): void {
    const networks = this.#networks
    let left = SWEEP
    for (let i = 0; i < networks.length && left > 0; i++) {
      this.#hand = (this.#hand + 1) % networks.length
      const network = networks[this.#hand]
      if (network === undefined || network.fdb.size === 0) continue
      network.setNow(now)
      const slots = Math.min(network.fdb.slots, left)
      network.fdb.sweep(slots)
      left -= slots
    }
  }

  /** Forgets far ends that nothing leads to. */
  #reclaim(): void {
    const used = this.#used.fill(0)
    for (const network of this.#networks) {
      if (network === undefined || network.fdb.size === 0) continue
      const { table } = network.fdb
      for (let at = 2; at < table.length; at += 4) {
        const word = table[at] as number
        if (word !== 0) used[(word & ENTRY_PORT) - 1] = 1
      }
    }
    this.#n.remotesForgotten += this.#far.reclaim(used)
  }
}
