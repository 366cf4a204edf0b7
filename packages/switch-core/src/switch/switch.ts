import type { Batch } from '../batch.ts'
import type { Clock } from '../clock.ts'
import { Drop } from '../drop.ts'
import { type Frame, type FramePool, NO_FRAME } from '../frame-pool.ts'
import type { Link } from '../link.ts'
import type { Ticker } from '../loop.ts'
import type { FrameTrace } from '../trace.ts'
import type { Column } from '../wasm/room.ts'
import { parseMac } from '../wire/ethernet.ts'
import { popTag, pushTag } from '../wire/vlan.ts'
import * as explain from './explain.ts'
import {
  COUNTERS,
  DROPPED,
  type FastRun,
  fastRun,
  QUEUE,
  type RunArrays,
  RX_BYTES,
  RX_FRAMES,
  TX_BYTES,
  TX_FRAMES,
} from './fast-run.ts'
import { Fdb, type FdbKind, type FdbOptions, fdbKey } from './fdb.ts'
import { type MirrorOptions, Mirrors } from './mirrors.ts'
import { payloadLength } from './payload.ts'
import {
  DOWN,
  GUARD,
  HAIRPIN,
  ISOLATED,
  MIRROR_OUT,
  MIRROR_RX,
  MIRROR_TX,
  MTU,
  NO_FLOOD_SHIFT,
  NO_LEARNING,
  SLOW_IN,
  STICKY,
  STORM,
  SwitchPort,
  type SwitchPortCounters,
  type SwitchPortOptions,
} from './port.ts'
import { BROADCAST, MULTICAST, UNKNOWN } from './storm.ts'
import { NOT_MEMBER, PRIORITY, TAGGED, UNTAGGED } from './vlan.ts'
import { AREA, wasmRun } from './wasm-run.ts'

/*
 * A learning switch (802.1D, 802.1Q; modes.md 19). What happens to a frame that comes in by a port:
 *
 *   1. Is it one? At least 14 bytes, from a unicast source that is not zero (and one the port may use).
 *   2. Which VLAN is it in, and may the port take part in it? (VLAN-aware only; else tags are not looked at.)
 *   3. Its source is learnt, on this port, in this VLAN.
 *   4. Is its destination reserved (01-80-C2-00-00-0x)? Then it ends here.
 *   5. A known unicast destination: out by that port. Else: flooded to all ports of the VLAN.
 *      Never back to where it came from unless hairpin is on there.
 *   6. On its way out it gets or loses a tag as the port wants it, and is counted.
 *
 * A flooded frame is one row that its ports share; only a port that wants it with another tag gets a copy, one for all
 * such ports. A batch comes from one port, so what is known of the port is looked up once a batch; and most of a batch goes
 * the way of `fast-run`, which leaves here what is not plain known unicast. Frames keep their order on every link. While
 * somebody traces, all go the long way, which can say what it does (`explain.ts`).
 *
 * Where 802.1D and Linux differ, Linux is the default and the other an option: 01-80-C2-00-00-00 with spanning tree off
 * is flooded (`stpGroupWhenOff`), source addresses are learnt from frames to reserved addresses, and a frame with a static or
 * sticky source address on another port is forwarded (only the address does not move). Static entries stay where they
 * are, as 802.1Q 8.8.1 says; Linux calls that `static sticky`.
 */

/** Settings of a switch. */
export interface SwitchOptions extends FdbOptions {
  name?: string
  /** Whether VLAN tags are looked at. Default false: tagged frames are forwarded unchanged. */
  vlanAware?: boolean
  /** Which tag counts: 0x8100 (802.1Q, the default) or 0x88a8 (802.1ad: customers' 0x8100 tags are payload). */
  tpid?: 0x8100 | 0x88a8
  /** Frames to 01-80-C2-00-00-00 (spanning tree): `flood` as Linux does with spanning tree off (the default), or
   * `filter` as 802.1D says. */
  stpGroupWhenOff?: 'flood' | 'filter'
  /** Reserved group addresses 01-80-C2-00-00-0x to forward all the same: bit x. Bits 0, 1 and 2 cannot be set, as in
   * Linux' `group_fwd_mask`. Default 0. */
  groupForwardMask?: number
}

/** What a switch has counted in a VLAN: frames taken in, and copies sent out. */
export interface VlanCounters {
  rxFrames: number
  rxBytes: number
  txFrames: number
  txBytes: number
}

/** First two bytes of a reserved group address, as they are read from a frame. */
const RESERVED_HI = 0x8001
/** Last four bytes of 01-80-C2-00-00-01: MAC control (PAUSE), which ends in the MAC and never reaches a bridge. */
const PAUSE_LO = 0x010000c2
/** Addresses that a provider bridge carries through, by their last four bits: those of customers' protocols (802.1Q table
 * 8-2 leaves it 01..0A and 0E to filter; seen on Linux). */
const CUSTOMERS = 0xb800
/** Ports that there is room for at first. A typed array of up to 64 bytes lies on V8's heap, where it moves; above that the
 * compiler can take its place for a constant. */
const FIRST = 72
/** Slots of the FDB that a tick looks at, at most: about a tenth of a millisecond's work. */
const SWEEP = 65_536

/** A learning switch with VLANs. Frames enter by its `SwitchPort`s and leave by their links. */
export class Switch implements Ticker {
  readonly name: string
  readonly vlanAware: boolean
  readonly tpid: 0x8100 | 0x88a8
  readonly clock: Clock
  readonly #fdb: Fdb
  readonly #pool: FramePool
  readonly #tpidLe: number
  /** Reserved group addresses that are dropped, by their last four bits. */
  readonly #reserved: number
  readonly #ports: (SwitchPort | undefined)[] = []
  /** The ports that are there: what a flood walks. */
  #live: readonly SwitchPort[] = []
  readonly #mirrors: Mirrors = new Mirrors()
  /* By port; places that no port has are down. They grow together, and `#run` with them. */
  #flags: Int32Array
  #counts: Float64Array
  /** Membership, by port << 12 | VLAN: a row of 4,096 bytes a port. */
  #members: Uint8Array
  /** Frames that the fast run sends: `QUEUE` places a port, how many there are, and for which ports. */
  #queue: Uint32Array
  #queued: Uint8Array
  #touched: Uint16Array
  #targets: Uint16Array = new Uint16Array(FIRST)
  /** Four counters a VLAN, so that `vlan << 2` is their index. */
  #vlanCounts: Float64Array
  /** What the fast run in WebAssembly works in. */
  #area: Uint32Array
  #run: FastRun
  #closed = false

  constructor(pool: FramePool, clock: Clock, options: SwitchOptions = {}) {
    this.#pool = pool
    this.clock = clock
    this.name = options.name ?? 'switch'
    this.vlanAware = options.vlanAware ?? false
    this.tpid = options.tpid ?? 0x8100
    if (this.tpid !== 0x8100 && this.tpid !== 0x88a8) {
      throw new RangeError(`tpid must be 0x8100 or 0x88a8, not ${String(this.tpid)}`)
    }
    this.#tpidLe = ((this.tpid & 0xff) << 8) | (this.tpid >> 8)
    const mask = options.groupForwardMask ?? 0
    if (!Number.isInteger(mask) || mask < 0 || mask > 0xffff || (mask & 7) !== 0) {
      throw new RangeError(`groupForwardMask must be 16 bits without bits 0 to 2, not ${mask}`)
    }
    if (
      options.stpGroupWhenOff !== undefined &&
      options.stpGroupWhenOff !== 'flood' &&
      options.stpGroupWhenOff !== 'filter'
    ) {
      throw new RangeError(`stpGroupWhenOff must be 'flood' or 'filter', not ${String(options.stpGroupWhenOff)}`)
    }
    const through = this.vlanAware && this.tpid === 0x88a8 ? CUSTOMERS : 0
    this.#reserved = 0xffff & ~mask & ~through & ~(options.stpGroupWhenOff === 'filter' ? 0 : 1)
    const { tables } = pool
    this.#fdb = new Fdb(options, (words) => tables.array(Int32Array, words))
    this.#flags = tables.array(Int32Array, FIRST).fill(DOWN)
    this.#counts = tables.array(Float64Array, FIRST * COUNTERS)
    this.#queue = tables.array(Uint32Array, FIRST * QUEUE)
    this.#queued = tables.array(Uint8Array, FIRST)
    this.#touched = tables.array(Uint16Array, FIRST + 1)
    this.#vlanCounts = tables.array(Float64Array, this.vlanAware ? 4096 * 4 : 0)
    this.#members = tables.array(Uint8Array, this.vlanAware ? FIRST << 12 : 0)
    this.#area = tables.array(Uint32Array, AREA)
    this.#run = this.#makeRun()
  }

  /** The forwarding database, at the time of the clock. */
  get fdb(): Fdb {
    this.#fdb.setNow(this.clock.now)
    return this.#fdb
  }

  /** Ports, in order of their numbers. */
  get ports(): readonly SwitchPort[] {
    return this.#live
  }

  /** Adds a port whose frames leave by `link`, which is for frames of this switch's pool. */
  addPort(link: Link, options: SwitchPortOptions = {}): SwitchPort {
    if (this.#closed) throw new Error(`${this.name} is closed`)
    if (link.pool !== this.#pool) throw new Error(`link ${link.name} has another frame pool than ${this.name}`)
    let index = this.#ports.indexOf(undefined)
    if (index < 0) index = this.#ports.length
    if (index >= 65_534) throw new RangeError('a switch takes at most 65,534 ports')
    if (index >= this.#flags.length) this.#grow()
    this.#counts.fill(0, index * COUNTERS, (index + 1) * COUNTERS)
    const port = new SwitchPort(this, index, link, options)
    this.#ports[index] = port
    this.#live = this.#ports.filter((p) => p !== undefined)
    this.portChanged(port)
    return port
  }

  /** Takes a port away, with all that was learnt or configured on it. A mirror that leads to it ends, one that looks at it
   * looks at the others. */
  removePort(port: SwitchPort): void {
    // Closing took it away: parts of a node may end in any order.
    if (this.#closed) return
    this.#check(port)
    this.fdb.flush({ port: port.index, static: true })
    this.#ports[port.index] = undefined
    this.#live = this.#ports.filter((p) => p !== undefined)
    this.#flags[port.index] = DOWN
    this.#mirrors.remove(port, this.#live)
  }

  /** Ends the switch: takes its ports away, forgets all addresses, and gives the room of its tables back to the pool, where the next
   * switch finds it. (The garbage collector would do that too, when it comes by: in a process that allocates little that takes
   * long, and switches that are made meanwhile run in JavaScript.) Frames that still come to a port are dropped as `PortDown`;
   * what was counted stays; a port can no more be added. Not while it forwards. */
  close(): void {
    if (this.#closed) return
    for (const port of this.#live) this.removePort(port)
    this.#closed = true
    const { tables } = this.#pool
    tables.release(this.#fdb.detach())
    const leave = <T extends Column>(from: T, own: T): T => {
      tables.release(from)
      return own
    }
    this.#counts = leave(this.#counts, this.#counts.slice())
    this.#vlanCounts = leave(this.#vlanCounts, this.#vlanCounts.slice())
    this.#flags = leave(this.#flags, new Int32Array(this.#flags.length).fill(DOWN))
    this.#members = leave(this.#members, new Uint8Array(0))
    this.#queue = leave(this.#queue, new Uint32Array(0))
    this.#queued = leave(this.#queued, new Uint8Array(0))
    this.#touched = leave(this.#touched, new Uint16Array(1))
    this.#area = leave(this.#area, new Uint32Array(0))
    // No port is left that frames could come by; the one before holds the arrays that are gone.
    this.#run = (_frames, start) => start
  }

  /** Binds an address to a port by configuration, as `static`: it does not age and does not move. False where the table is
   * full. Throws a RangeError for an address that no station has. */
  addStatic(mac: string, port: SwitchPort, vlan = 0, kind: FdbKind = 'static'): boolean {
    this.#check(port)
    if (!Number.isInteger(vlan) || (this.vlanAware ? vlan < 1 || vlan > 4094 : vlan !== 0)) {
      throw new RangeError(
        `vlan must be ${this.vlanAware ? '1 to 4094' : '0, the switch is not VLAN-aware'}, not ${vlan}`,
      )
    }
    return this.fdb.add(fdbKey(parseMac(mac), vlan), port.index, kind)
  }

  /** Removes an address; false where it is not there. */
  deleteAddress(mac: string, vlan = 0): boolean {
    return this.fdb.delete(fdbKey(parseMac(mac), vlan))
  }

  /** Copies frames of some ports to another, until the function that is returned is called. */
  mirror(options: MirrorOptions): () => void {
    for (const port of [...options.ports, options.to]) this.#check(port)
    const stop = this.#mirrors.add(options, () => this.#live)
    this.fdb.flush({ port: options.to.index })
    return stop
  }

  /** What was counted at the port of this number. */
  portCounters(index: number): SwitchPortCounters {
    const [rxFrames = 0, rxBytes = 0, txFrames = 0, txBytes = 0, dropped = 0] = this.#counts.subarray(index * COUNTERS)
    return { rxFrames, rxBytes, txFrames, txBytes, dropped }
  }

  /** What was counted in a VLAN; zero where the switch is not VLAN-aware. */
  vlanCounters(vlan: number): VlanCounters {
    const [rxFrames = 0, rxBytes = 0, txFrames = 0, txBytes = 0] = this.#vlanCounts.subarray(vlan * 4)
    return { rxFrames, rxBytes, txFrames, txBytes }
  }

  /** Sweeps a slice of the FDB; have the loop call it about once a second. */
  tick(now: number): void {
    this.#fdb.setNow(now)
    this.#fdb.sweep(Math.min(this.#fdb.slots, SWEEP))
  }

  /** For `SwitchPort`: its settings have changed. */
  portChanged(port: SwitchPort): void {
    if (this.#ports[port.index] !== port) return
    this.#flags[port.index] = port.flags
    if (this.vlanAware) this.#members.set(port.vlans.member, port.index << 12)
  }

  /** For `SwitchPort`: what was learnt on it in some VLANs holds no more. */
  forget(port: SwitchPort, vlans: (vlan: number) => boolean): void {
    if (this.#ports[port.index] === port) this.fdb.flush({ port: port.index, vlan: vlans })
  }

  /** Switches a batch that came in by `port`; the batch is empty afterwards. */
  forward(batch: Batch, port: SwitchPort): void {
    const fdb = this.#fdb
    fdb.setNow(this.clock.now)
    if (this.#ports[port.index] === port && (port.flags & SLOW_IN) !== 0) this.#screen(batch, port)
    const { frames, length } = batch
    const traced = this.#pool.trace !== null
    for (let i = 0; i < length; i++) {
      // A watcher of the FDB may have taken the port away.
      if (this.#ports[port.index] !== port) {
        for (; i < length; i++) this.#pool.drop(frames[i] as Frame, Drop.PortDown)
        break
      }
      const { pvid, tunnel } = port.vlans
      if (!traced) i = this.#run(frames, i, length, port.index, port.flags, pvid, tunnel, fdb.now, fdb.ageingMs)
      if (this.#touched[0] !== 0) this.#flush()
      if (i < length) this.#one(frames[i] as Frame, port)
    }
    batch.length = 0
  }

  /** Puts what the fast run has queued on the links. */
  #flush(): void {
    const touched = this.#touched
    for (let i = 1; i <= (touched[0] as number); i++) {
      const to = touched[i] as number
      const n = this.#queued[to] as number
      ;(this.#counts[to * COUNTERS + TX_FRAMES] as number) += n
      ;(this.#ports[to] as SwitchPort).link.pushAll(this.#queue, to * QUEUE, n)
      this.#queued[to] = 0
    }
    touched[0] = 0
  }

  /** Switches one frame, whatever it is. */
  #one(f: Frame, port: SwitchPort): void {
    const { data, off, len, trace } = this.#pool
    const from = port.index
    const inFlags = port.flags
    const o = off[f] as number
    const size = len[f] as number
    ;(this.#counts[from * COUNTERS + RX_FRAMES] as number)++
    ;(this.#counts[from * COUNTERS + RX_BYTES] as number) += size
    if (size < 14) {
      this.#drop(f, from, Drop.Runt)
      return
    }
    const srcHi = data.getUint16(o + 6, true)
    const srcLo = data.getInt32(o + 8, true)
    if ((srcHi & 1) !== 0 || (srcHi | srcLo) === 0) {
      this.#drop(f, from, (srcHi & 1) !== 0 ? Drop.GroupSource : Drop.ZeroSource)
      return
    }
    // The VLAN, and how the frame stands to its tag, as one number: vlan << 2 | form.
    const vlan = this.vlanAware ? this.#classify(f, o, size, port) : 0
    if (vlan < 0) return
    const dstHi = data.getUint16(o, true)
    const dstLo = data.getInt32(o + 2, true)
    if (dstHi === RESERVED_HI && dstLo === PAUSE_LO) {
      this.#drop(f, from, Drop.ReservedGroup)
      return
    }
    const key = (vlan >> 2) << 16
    if ((inFlags & NO_LEARNING) === 0) {
      if (trace !== null) this.#learnAloud(f, port, key | srcHi, srcLo)
      else this.#fdb.learn(key | srcHi, srcLo, from, (inFlags & STICKY) !== 0)
    }
    if ((dstHi & 1) !== 0) {
      if (dstHi === RESERVED_HI && this.#isReserved(dstLo)) this.#drop(f, from, Drop.ReservedGroup)
      else this.#flood(f, port, vlan, dstHi === 0xffff && dstLo === -1 ? BROADCAST : MULTICAST)
      return
    }
    const to = this.#fdb.lookup(key | dstHi, dstLo)
    if (trace !== null && to >= 0) this.#sayHit(trace, f, key | dstHi, dstLo, to)
    if (to < 0) this.#flood(f, port, vlan, UNKNOWN)
    else if (to === from && (inFlags & HAIRPIN) === 0) this.#drop(f, from, Drop.SamePort)
    else this.#unicast(f, from, to, vlan)
  }

  readonly #nameOf = (port: number): string => this.#ports[port]?.name ?? `${port}, which is gone`

  /** Says where a destination is known to be. */
  #sayHit(trace: FrameTrace, f: Frame, hi: number, lo: number, to: number): void {
    explain.hit(trace, f, this.#fdb.entry(hi, lo), this.#nameOf(to))
  }

  /** Says why a frame may not leave by a port. */
  #sayKept(f: Frame, to: number, why: Drop): void {
    const { trace } = this.#pool
    if (trace !== null) explain.kept(trace, f, this.#nameOf(to), why, this.#ports[to]?.mtu ?? 0)
  }

  /** Learns a source, and says what came of it. */
  #learnAloud(f: Frame, port: SwitchPort, hi: number, lo: number): void {
    const before = this.#fdb.entry(hi, lo)
    this.#fdb.learn(hi, lo, port.index, (port.flags & STICKY) !== 0)
    explain.learnt(this.#pool, f, before, this.#fdb.entry(hi, lo), port.index, port.name, this.#nameOf)
  }

  /** Sorts out what a port with special settings takes in: mirrors it, and drops what may not enter. */
  #screen(batch: Batch, port: SwitchPort): void {
    if ((port.flags & (DOWN | MIRROR_OUT)) !== 0) {
      const why = (port.flags & DOWN) !== 0 ? Drop.PortDown : Drop.MirrorPort
      for (let i = 0; i < batch.length; i++) this.#turnAway(batch.frames[i] as Frame, port.index, why)
      batch.length = 0
      return
    }
    if ((port.flags & MIRROR_RX) !== 0) {
      for (let i = 0; i < batch.length; i++) this.#show(batch.frames[i] as Frame, port.mirrorIn)
    }
    if ((port.flags & GUARD) === 0) return
    const pool = this.#pool
    let kept = 0
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      // A runt has no source; it is dropped as what it is.
      if ((pool.len[f] as number) < 14 || this.#mayUse(port.macs, pool.off[f] as number)) {
        batch.frames[kept++] = f
      } else {
        if (pool.trace !== null) explain.guarded(pool, f, port.name)
        this.#turnAway(f, port.index, Drop.MacGuard)
      }
    }
    batch.length = kept
  }

  #mayUse(macs: Int32Array, o: number): boolean {
    const hi = this.#pool.data.getUint16(o + 6, true)
    const lo = this.#pool.data.getInt32(o + 8, true)
    for (let i = 0; i < macs.length; i += 2) if (macs[i + 1] === lo && macs[i] === hi) return true
    return false
  }

  /** Finds the VLAN of a frame, or drops it and gives -1. */
  #classify(f: Frame, o: number, size: number, port: SwitchPort): number {
    const { pvid, tunnel } = port.vlans
    let vlan = pvid
    let form: number = UNTAGGED
    if (!tunnel && this.#pool.data.getUint16(o + 12, true) === this.#tpidLe) {
      if (size < 18) return this.#reject(f, port.index, Drop.Runt)
      const { bytes } = this.#pool
      const id = (((bytes[o + 14] as number) & 0x0f) << 8) | (bytes[o + 15] as number)
      if (id === 4095) return this.#reject(f, port.index, Drop.VlanReserved)
      form = id === 0 ? PRIORITY : TAGGED
      if (id !== 0) vlan = id
    }
    const { trace } = this.#pool
    if (vlan === 0 || this.#members[(port.index << 12) | vlan] === NOT_MEMBER) {
      if (trace !== null) explain.notIn(trace, f, port.name, vlan, form)
      return this.#reject(f, port.index, vlan === 0 ? Drop.Untagged : Drop.VlanIngress)
    }
    if (trace !== null) explain.vlan(trace, f, port.name, vlan, form, tunnel)
    const key = vlan << 2
    const counts = this.#vlanCounts
    ;(counts[key] as number)++
    ;(counts[key + 1] as number) += size
    return key | form
  }

  #reject(f: Frame, from: number, why: Drop): -1 {
    this.#drop(f, from, why)
    return -1
  }

  #isReserved(dstLo: number): boolean {
    return (dstLo & 0xf0ffffff) === 0x0000c2 && ((this.#reserved >> ((dstLo >>> 24) & 0x0f)) & 1) !== 0
  }

  /** A known destination, off the fast path: VLANs, isolation, a small MTU, mirrors. */
  #unicast(f: Frame, from: number, to: number, vlan: number): void {
    const port = this.#ports[to]
    const why = port === undefined ? Drop.PortDown : this.#mayLeave(f, this.#flags[from] as number, port, vlan)
    if (why >= 0 || port === undefined) {
      if (this.#pool.trace !== null) this.#sayKept(f, to, why as Drop)
      this.#drop(f, from, why as Drop)
      return
    }
    let g: Frame | -1 = f
    if (this.#wantsEdit(port, vlan)) g = this.#retag(f, from, this.#member(port, vlan) === TAGGED, vlan, 1)
    if (g !== NO_FRAME) this.#emit(g as Frame, port, vlan)
  }

  /** Says why a frame may not leave by a port, or gives -1. */
  #mayLeave(f: Frame, inFlags: number, port: SwitchPort, vlan: number): number {
    if ((port.flags & DOWN) !== 0) return Drop.PortDown
    if ((port.flags & MIRROR_OUT) !== 0) return Drop.NoDestination
    if ((port.flags & inFlags & ISOLATED) !== 0) return Drop.Isolated
    if (this.vlanAware && this.#member(port, vlan) === NOT_MEMBER) return Drop.VlanEgress
    if ((port.flags & MTU) !== 0 && payloadLength(this.#pool, f) > port.mtu) return Drop.TooBig
    return -1
  }

  /** Sends a frame to every port of its VLAN that may get it. */
  #flood(f: Frame, port: SwitchPort, vlan: number, kind: number): void {
    const pool = this.#pool
    const from = port.index
    const inFlags = port.flags
    if ((inFlags & STORM) !== 0 && port.storm?.take(kind, this.clock.now) === false) {
      this.#drop(f, from, Drop.Storm)
      return
    }
    const ports = this.#live
    const targets = this.#targets
    const noFlood = kind << NO_FLOOD_SHIFT
    let n = 0
    let tooBig = 0
    let edited = false
    for (let i = 0; i < ports.length; i++) {
      const out = ports[i] as SwitchPort
      if ((out.flags & noFlood) !== 0 || (out === port && (inFlags & HAIRPIN) === 0)) continue
      const why = this.#mayLeave(f, inFlags, out, vlan)
      if (why === Drop.TooBig) tooBig++
      if (why >= 0) continue
      targets[n++] = out.index
      if (this.#wantsEdit(out, vlan)) edited = true
    }
    if (pool.trace !== null) this.#sayFlood(f, port, vlan, kind, n)
    if (n === 0) {
      if (tooBig > 1) this.#loseCopies(tooBig - 1, from, Drop.TooBig)
      this.#drop(f, from, tooBig > 0 ? Drop.TooBig : Drop.NoDestination)
      return
    }
    // Ports of the VLAN that would have got it: their copies are accounted for.
    if (tooBig > 0) this.#loseCopies(tooBig, from, Drop.TooBig)
    if (edited) {
      this.#floodEdited(f, from, vlan, n)
      return
    }
    if (n > 1) pool.share(f, n - 1)
    for (let i = 0; i < n; i++) this.#emit(f, this.#ports[targets[i] as number] as SwitchPort, vlan)
  }

  /** Says to which `n` ports a frame is flooded, and to which not. */
  #sayFlood(f: Frame, port: SwitchPort, vlan: number, kind: number, n: number): void {
    const ports = Array.from(this.#targets.subarray(0, n), this.#nameOf)
    const not: string[] = []
    for (const out of this.#live) {
      if (out === port || this.#targets.subarray(0, n).includes(out.index)) continue
      const why = this.#mayLeave(f, port.flags, out, vlan)
      if (why === Drop.VlanEgress) continue
      not.push(`${out.name} (${why < 0 ? 'no flooding there' : explain.refusal(why as Drop, out.mtu)})`)
    }
    explain.flood(this.#pool, f, vlan >> 2, kind, ports, not)
  }

  /** A flood in which some of the `n` target ports want another tag than the frame has: those that want it the same
   * way share one copy. */
  #floodEdited(f: Frame, from: number, vlan: number, n: number): void {
    const pool = this.#pool
    let asIs = 0
    let tagged = 0
    for (let i = 0; i < n; i++) {
      const out = this.#ports[this.#targets[i] as number] as SwitchPort
      if (!this.#wantsEdit(out, vlan)) asIs++
      else if (this.#member(out, vlan) === TAGGED) tagged++
    }
    const bare = n - asIs - tagged
    // One hold on the frame for each form that is wanted; then one on each form for each port.
    const forms = (asIs > 0 ? 1 : 0) + (tagged > 0 ? 1 : 0) + (bare > 0 ? 1 : 0)
    if (forms > 1) pool.share(f, forms - 1)
    const withTag = tagged > 0 ? this.#retag(f, from, true, vlan, tagged) : NO_FRAME
    const without = bare > 0 ? this.#retag(f, from, false, vlan, bare) : NO_FRAME
    if (asIs > 1) pool.share(f, asIs - 1)
    if (withTag !== NO_FRAME && tagged > 1) pool.share(withTag as Frame, tagged - 1)
    if (without !== NO_FRAME && bare > 1) pool.share(without as Frame, bare - 1)
    for (let i = 0; i < n; i++) {
      const out = this.#ports[this.#targets[i] as number] as SwitchPort
      const as = !this.#wantsEdit(out, vlan) ? f : this.#member(out, vlan) === TAGGED ? withTag : without
      if (as !== NO_FRAME) this.#emit(as as Frame, out, vlan)
    }
  }

  #member(port: SwitchPort, vlan: number): number {
    return this.#members[(port.index << 12) | (vlan >> 2)] as number
  }

  /** Whether the frame must get or lose a tag to leave by `port`. */
  #wantsEdit(port: SwitchPort, vlan: number): boolean {
    return this.vlanAware && this.#member(port, vlan) !== (vlan & 3)
  }

  /** Gives the frame its tag, or takes it away, in a row of its own that is for `ports` ports. */
  #retag(f: Frame, from: number, tagged: boolean, vlan: number, ports: number): Frame | -1 {
    const pool = this.#pool
    const g = pool.own(f)
    if (g === NO_FRAME) {
      ;(this.#counts[from * COUNTERS + DROPPED] as number)++
      if (ports > 1) this.#loseCopies(ports - 1, from, Drop.PoolSpent)
      return g
    }
    const form = vlan & 3
    let edited = true
    if (tagged && form === PRIORITY) {
      const at = (pool.off[g] as number) + 14
      pool.bytes[at] = ((pool.bytes[at] as number) & 0xf0) | (vlan >> 10)
      pool.bytes[at + 1] = (vlan >> 2) & 0xff
    } else edited = tagged ? pushTag(pool, g as Frame, this.tpid, vlan >> 2) : popTag(pool, g as Frame)
    if (edited) {
      if (pool.trace !== null) explain.retagged(pool.trace, g as Frame, vlan >> 2, tagged, form, ports)
      return g
    }
    if (ports > 1) this.#loseCopies(ports - 1, from, Drop.NoHeadroom)
    this.#drop(g as Frame, from, Drop.NoHeadroom)
    return NO_FRAME
  }

  /** Puts a frame on a port's link, counts it and shows it to mirrors. */
  #emit(f: Frame, port: SwitchPort, vlan: number): void {
    const size = this.#pool.len[f] as number
    const c = port.index * COUNTERS
    ;(this.#counts[c + TX_FRAMES] as number)++
    ;(this.#counts[c + TX_BYTES] as number) += size
    if (this.vlanAware) {
      const v = vlan & ~3
      ;(this.#vlanCounts[v + 2] as number)++
      ;(this.#vlanCounts[v + 3] as number) += size
    }
    if ((port.flags & MIRROR_TX) !== 0) this.#show(f, port.mirrorOut)
    port.link.push(f)
  }

  /** Gives copies of a frame to the outputs of mirrors. */
  #show(f: Frame, outputs: readonly SwitchPort[]): void {
    const { trace } = this.#pool
    for (let i = 0; i < outputs.length; i++) {
      const to = outputs[i] as SwitchPort
      if ((to.flags & DOWN) !== 0) continue
      if (trace !== null) explain.mirrored(trace, f, to.name)
      ;(this.#counts[to.index * COUNTERS + TX_FRAMES] as number)++
      ;(this.#counts[to.index * COUNTERS + TX_BYTES] as number) += this.#pool.len[f] as number
      this.#pool.share(f, 1)
      to.link.push(f)
    }
  }

  #loseCopies(n: number, from: number, why: Drop): void {
    ;(this.#counts[from * COUNTERS + DROPPED] as number) += n
    this.#pool.lose(n, why)
  }

  #drop(f: Frame, from: number, why: Drop): void {
    ;(this.#counts[from * COUNTERS + DROPPED] as number)++
    this.#pool.drop(f, why)
  }

  /** Drops a frame that never came to be switched; it counts as received all the same. */
  #turnAway(f: Frame, from: number, why: Drop): void {
    ;(this.#counts[from * COUNTERS + RX_FRAMES] as number)++
    ;(this.#counts[from * COUNTERS + RX_BYTES] as number) += this.#pool.len[f] as number
    this.#drop(f, from, why)
  }

  #check(port: SwitchPort): void {
    if (this.#ports[port.index] !== port) throw new Error(`${port.name} is not a port of ${this.name}`)
  }

  #grow(): void {
    const size = this.#flags.length * 2
    const { tables } = this.#pool
    const grow = <T extends Column>(to: T, from: T): T => {
      to.set(from)
      tables.release(from)
      return to
    }
    this.#flags = grow(tables.array(Int32Array, size).fill(DOWN), this.#flags)
    this.#counts = grow(tables.array(Float64Array, size * COUNTERS), this.#counts)
    if (this.vlanAware) this.#members = grow(tables.array(Uint8Array, size << 12), this.#members)
    this.#queue = grow(tables.array(Uint32Array, size * QUEUE), this.#queue)
    this.#queued = grow(tables.array(Uint8Array, size), this.#queued)
    this.#touched = grow(tables.array(Uint16Array, size + 1), this.#touched)
    this.#targets = grow(new Uint16Array(size), this.#targets)
    this.#run = this.#makeRun()
  }

  #makeRun(): FastRun {
    const { data, off, len } = this.#pool
    const { table, salt, shift } = this.#fdb
    const arrays: RunArrays = {
      ...{ data, off, len, table, salt, shift },
      fdb: this.#fdb,
      flags: this.#flags,
      members: this.#members,
      queue: this.#queue,
      queued: this.#queued,
      touched: this.#touched,
      counts: this.#counts,
      vlanCounts: this.#vlanCounts,
      aware: this.vlanAware,
      tpid: this.#tpidLe,
    }
    return wasmRun(this.#pool, this.#area, arrays) ?? fastRun(arrays)
  }
}
