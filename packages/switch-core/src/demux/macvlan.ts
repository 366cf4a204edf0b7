import type { Batch } from '../batch.ts'
import { Drop } from '../drop.ts'
import type { Element } from '../element.ts'
import { checkRange, type Frame, type FramePool } from '../frame-pool.ts'
import type { Link } from '../link.ts'
import type { Loop } from '../loop.ts'
import { isMac, type MacWords, stationMac } from '../rewrite/mac-words.ts'
import { Fdb } from '../switch/fdb.ts'
import { formatMac, HLEN, parseMac } from '../wire/ethernet.ts'
import { count } from '../words.ts'
import * as explain from './explain.ts'

/*
 * macvlan: several MAC addresses on one interface, without a bridge and without learning (modes.md 13).
 *
 *                        .----------- parent: the host's own stack on the interface
 *   wire <--> ingress ---+-- child a   02:..:0a
 *                        `-- child b   02:..:0b      each child: an element for what it sends, a link for what it gets
 *
 *   what a child sends      bridge                         private, vepa                passthru
 *     to a sibling's MAC    straight to it                 the wire                     -
 *     to a group            siblings and the wire          the wire                     the wire
 *     to anybody else       the wire                       the wire                     the wire
 *
 *   what the wire brings                                                                passthru
 *     to a child's MAC      to that child                                               to the one child
 *     to the parent's MAC   to the parent                                               to the one child
 *     to any other MAC      nobody                                                      to the one child
 *     to a group            all children and the parent
 *
 * A switch outside may send a child's broadcast back (reflective relay). Who has had it gets it no more: of a bridge
 * child, vepa children and the parent get it; of a vepa child, its siblings in vepa and bridge mode and the parent; of a
 * private or passthru child, as in Linux, nobody but the child itself.
 *
 * A child and the parent never meet, either way: what one sends leaves by the wire. A sibling is one by mode: only
 * children in bridge mode reach each other, so that modes can be mixed as in Linux; passthru is alone.
 *
 * Broadcasts from the wire wait in a queue of `broadcastQueue` frames before they are copied to the children (`bcqueuelen`
 * in Linux): a storm outside costs that many copies a turn, the rest are dropped as `LinkFull`. Which groups a child has
 * joined is not known here: it gets all of them.
 */

/** How children of a macvlan see each other. */
export type MacvlanMode = 'bridge' | 'private' | 'vepa' | 'passthru'

/** Settings of a macvlan. */
export interface MacvlanOptions {
  /** The interface's own MAC. */
  parentMac: string
  /** The mode of children that name none. Default `bridge`. */
  mode?: MacvlanMode
  /** Broadcasts and multicasts from the wire that wait at most; 1 to 65,536. Default 1,000. */
  broadcastQueue?: number
  /** Children at most; 1 to 4,096. Default 1,024. */
  maxChildren?: number
}

/** Settings of a child. */
export interface MacvlanChildOptions {
  /** Its MAC; in passthru mode it may be the parent's. */
  mac: string
  mode?: MacvlanMode
}

const BRIDGE = 1
const PRIVATE = 2
const VEPA = 4
const PASSTHRU = 8
const ALL = 15
const MODES: Readonly<Record<MacvlanMode, number>> = {
  bridge: BRIDGE,
  private: PRIVATE,
  vepa: VEPA,
  passthru: PASSTHRU,
}

/** A child of a `Macvlan`, and the element for the frames that it sends. */
export class MacvlanChild implements Element {
  /** Its number, from 0; used again after it is removed. */
  readonly index: number
  /** e.g. "02:00:00:00:00:0a" */
  readonly mac: string
  readonly mode: MacvlanMode
  readonly link: Link
  readonly #owner: Macvlan

  /** Use `Macvlan.addChild`. */
  constructor(owner: Macvlan, index: number, mac: string, mode: MacvlanMode, link: Link) {
    this.#owner = owner
    this.index = index
    this.mac = mac
    this.mode = mode
    this.link = link
  }

  process(batch: Batch): void {
    this.#owner.fromChild(batch, this)
  }
}

/** An interface that is shared by MAC address. Frames from the wire enter by `ingress`. */
export class Macvlan {
  /** Takes what comes in by the wire. */
  readonly ingress: Element
  /** Takes what the parent's own stack sends: all of it leaves by the wire. */
  readonly fromParent: Element
  readonly mode: MacvlanMode
  readonly #pool: FramePool
  readonly #wire: Link
  readonly #parentMac: MacWords
  readonly #queue: Link
  readonly #children: Fdb
  readonly #byIndex: (MacvlanChild | undefined)[] = []
  #bits: Uint8Array
  #targets: MacvlanChild[] = []
  /** Where the frame at hand goes. */
  readonly #out: Link[] = []
  #toParent: Link | null = null
  #passthru: MacvlanChild | null = null

  /** @param wire leads to the interface */
  constructor(loop: Loop, wire: Link, options: MacvlanOptions) {
    this.#pool = loop.pool
    this.#checkPool(wire)
    this.#wire = wire
    this.mode = checkMode(options.mode ?? 'bridge')
    this.#parentMac = stationMac('parentMac', options.parentMac)
    const maxChildren = checkRange('maxChildren', options.maxChildren ?? 1024, 1, 4096)
    this.#bits = new Uint8Array(maxChildren)
    this.#children = new Fdb({ maxEntries: maxChildren })
    const capacity = checkRange('broadcastQueue', options.broadcastQueue ?? 1000, 1, 65_536)
    this.#queue = loop.link({ process: (batch) => this.#spread(batch) }, 'macvlan broadcasts', capacity)
    this.ingress = { process: (batch) => this.#fromWire(batch) }
    this.fromParent = { process: (batch) => this.#pushAll(batch, wire) }
  }

  /** Children, in order of their numbers. */
  get children(): readonly MacvlanChild[] {
    return this.#byIndex.filter((child) => child !== undefined)
  }

  /** Has frames for the parent, and broadcasts, leave by `link`; without it they end as `UnknownEndpoint`. */
  attachParent(link: Link): void {
    if (this.#toParent !== null) throw new Error('macvlan: the parent is attached already')
    this.#checkPool(link)
    this.#toParent = link
  }

  /** Takes the parent away: what would be its ends as `UnknownEndpoint` again. */
  detachParent(): void {
    this.#toParent = null
  }

  /** Adds a child whose frames leave by `link`: gives the element for the frames that it sends. Throws where its MAC is
   * taken, the macvlan is full, or a child in passthru mode would not be alone. */
  addChild(link: Link, options: MacvlanChildOptions): MacvlanChild {
    this.#checkPool(link)
    const mode = checkMode(options.mode ?? this.mode)
    const words = stationMac('mac', options.mac)
    const mac = formatMac(parseMac(options.mac))
    if (this.#passthru !== null) throw new Error('macvlan: a child in passthru mode is the only one')
    if (mode === 'passthru' && this.#targets.length > 0) {
      throw new Error('macvlan: passthru takes one child, and there are others')
    }
    const parents = words.hi === this.#parentMac.hi && words.lo === this.#parentMac.lo
    if ((parents && mode !== 'passthru') || this.#children.lookup(words.hi, words.lo) !== -1) {
      throw new Error(`macvlan: MAC ${mac} is taken`)
    }
    let index = this.#byIndex.indexOf(undefined)
    if (index < 0) index = this.#byIndex.length
    if (index >= this.#bits.length || !this.#children.add([words.hi, words.lo], index)) {
      throw new RangeError(`macvlan: maxChildren is ${this.#bits.length}, and there are as many`)
    }
    const child = new MacvlanChild(this, index, mac, mode, link)
    this.#byIndex[index] = child
    this.#bits[index] = MODES[mode]
    if (mode === 'passthru') this.#passthru = child
    this.#targets = [...this.children]
    return child
  }

  /** Takes a child away. */
  removeChild(child: MacvlanChild): void {
    if (this.#byIndex[child.index] !== child) throw new Error(`macvlan: ${child.mac} is not a child of this one`)
    const { hi, lo } = stationMac('mac', child.mac)
    this.#children.delete([hi, lo])
    this.#byIndex[child.index] = undefined
    this.#bits[child.index] = 0
    if (this.#passthru === child) this.#passthru = null
    this.#targets = [...this.children]
  }

  /** For `MacvlanChild`: what a child sends. */
  fromChild(batch: Batch, child: MacvlanChild): void {
    const pool = this.#pool
    const { data, off, len } = pool
    const { frames, length: n } = batch
    const there = this.#byIndex[child.index] === child
    const bridge = this.#bits[child.index] === BRIDGE
    const traced = pool.trace !== null
    for (let i = 0; i < n; i++) {
      const f = frames[i] as Frame
      const o = off[f] as number
      if (!there) pool.drop(f, Drop.PortDown)
      else if ((len[f] as number) < HLEN) pool.drop(f, Drop.Runt)
      else if (!bridge) {
        if (traced) explain.byMac(pool, f, 'macvlan', `out by the wire, as all that a ${child.mode} child sends`)
        this.#wire.push(f)
      } else {
        const hi = data.getUint16(o, true)
        if ((hi & 1) !== 0) {
          const siblings = this.#gather(BRIDGE, child)
          this.#out[siblings] = this.#wire
          if (traced) explain.byMac(pool, f, 'macvlan', `to ${count(siblings, 'sibling')} and the wire`)
          this.#sendOut(f, siblings + 1)
          continue
        }
        const to = this.#children.lookup(hi, data.getInt32(o + 2, true))
        const sibling = to !== -1 && this.#bits[to] === BRIDGE ? this.#byIndex[to] : undefined
        if (traced)
          explain.byMac(pool, f, 'macvlan', sibling === undefined ? 'no sibling, so out by the wire' : 'a sibling')
        if (sibling === undefined) this.#wire.push(f)
        else sibling.link.push(f)
      }
    }
    batch.length = 0
  }

  #fromWire(batch: Batch): void {
    const pool = this.#pool
    const { data, off, len } = pool
    const { frames, length: n } = batch
    for (let i = 0; i < n; i++) {
      const f = frames[i] as Frame
      const o = off[f] as number
      if ((len[f] as number) < HLEN) {
        pool.drop(f, Drop.Runt)
        continue
      }
      const hi = data.getUint16(o, true)
      if ((hi & 1) !== 0) {
        this.#queue.push(f)
        continue
      }
      const to = this.#children.lookup(hi, data.getInt32(o + 2, true))
      const child = this.#passthru ?? (to === -1 ? undefined : this.#byIndex[to])
      if (pool.trace !== null) this.#say(f, child, isMac(data, o, this.#parentMac))
      if (child !== undefined) child.link.push(f)
      else if (this.#toParent !== null && isMac(data, o, this.#parentMac)) this.#toParent.push(f)
      else pool.drop(f, Drop.UnknownEndpoint)
    }
    batch.length = 0
  }

  /** Broadcasts and multicasts from the wire. */
  #spread(batch: Batch): void {
    const { data, off } = this.#pool
    const { frames, length } = batch
    for (let i = 0; i < length; i++) {
      const f = frames[i] as Frame
      const o = off[f] as number
      const from = this.#children.lookup(data.getUint16(o + 6, true), data.getInt32(o + 8, true))
      const sender = from === -1 ? undefined : this.#byIndex[from]
      const mode = sender === undefined ? 0 : (this.#bits[sender.index] as number)
      let n = 0
      if (mode === 0) n = this.#gather(ALL, undefined)
      else if (mode === VEPA) n = this.#gather(VEPA | BRIDGE, sender)
      else if (mode === BRIDGE) n = this.#gather(VEPA, sender)
      else this.#out[n++] = (sender as MacvlanChild).link
      if (this.#toParent !== null && (mode & (PRIVATE | PASSTHRU)) === 0) this.#out[n++] = this.#toParent
      if (this.#pool.trace !== null) this.#saySpread(f, sender, n)
      this.#sendOut(f, n)
    }
    batch.length = 0
  }

  /** Says whose a frame from the wire is. */
  #say(f: Frame, child: MacvlanChild | undefined, parents: boolean): void {
    const whose = child !== undefined ? `child ${child.mac}` : parents ? 'the parent' : 'nobody here has this MAC'
    explain.byMac(this.#pool, f, 'macvlan', child?.mode === 'passthru' ? `${whose}, which gets all` : whose)
  }

  /** Says to how many a broadcast from the wire goes. */
  #saySpread(f: Frame, sender: MacvlanChild | undefined, n: number): void {
    const back = sender === undefined ? '' : `, sent back to us: it is of child ${sender.mac} (${sender.mode})`
    explain.byMac(this.#pool, f, 'macvlan', `to ${count(n, 'receiver')} here${back}`)
  }

  /** Puts the links of the children in these modes, without `sender`, in `#out`, and says how many they are. */
  #gather(modes: number, sender: MacvlanChild | undefined): number {
    const targets = this.#targets
    let n = 0
    for (let i = 0; i < targets.length; i++) {
      const child = targets[i] as MacvlanChild
      if (child !== sender && ((this.#bits[child.index] as number) & modes) !== 0) this.#out[n++] = child.link
    }
    return n
  }

  /** Gives the frame to the first `n` links of `#out`. */
  #sendOut(f: Frame, n: number): void {
    if (n === 0) {
      this.#pool.drop(f, Drop.UnknownEndpoint)
      return
    }
    if (n > 1) this.#pool.share(f, n - 1)
    for (let i = 0; i < n; i++) (this.#out[i] as Link).push(f)
  }

  #checkPool(link: Link): void {
    if (link.pool !== this.#pool) throw new Error(`macvlan: link ${link.name} has another frame pool than the loop`)
  }

  #pushAll(batch: Batch, link: Link): void {
    for (let i = 0; i < batch.length; i++) link.push(batch.frames[i] as Frame)
    batch.length = 0
  }
}

function checkMode(mode: MacvlanMode): MacvlanMode {
  if (!Object.hasOwn(MODES, mode)) {
    throw new RangeError(`mode must be 'bridge', 'private', 'vepa' or 'passthru', not ${String(mode)}`)
  }
  return mode
}
