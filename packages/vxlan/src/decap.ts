import {
  type Batch,
  checkRange,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  type Link,
  NO_FRAME,
} from '@l2l3/switch-core'
import { equal } from '@l2l3/switch-core/wire'
import { checkEncapsulation, usualPort } from './encap.ts'
import { EndTable } from './end-table.ts'
import * as explain from './explain.ts'
import { addressBytes, addressText, OuterTable } from './outer.ts'
import { RUN } from './outer-row.ts'
import { type ProfileOptions, tunnelSettings } from './profile.ts'
import { CUT_TRAIN, NOT_OURS, Seen, vniKey } from './unwrap.ts'
import * as vxlan from './vxlan.ts'

/*
 * The way out of a tunnel: frames for this end lose their outer headers and go on to `out`; what is not for it stays in
 * the batch, for the next element.
 *
 *     underlay -> [ Decap ] -> router interface, another tunnel's end ...
 *                     `-> out: the frames inside
 *
 * With several networks or far ends, see `Vtep`.
 */

/** Settings of a `Decap`. */
export interface DecapOptions extends ProfileOptions {
  /** Default `vxlan`. */
  encapsulation?: 'vxlan' | 'geneve'
  /** The UDP port that is listened to. Default 4789 for VXLAN, 6081 for GENEVE. */
  port?: number
  /** Own address. Left out, packets to any are taken: where a router or a socket has seen to that. */
  local?: string
  /** The only far end that may send here. Left out, any may. */
  remote?: string
  /** The only network that is taken, or `any`. */
  vni: number | 'any'
  /** VXLAN: whether a group policy id is understood. Default false. */
  gbp?: boolean
  /** GENEVE: critical options that are understood. */
  knownOptions?: readonly { class: number; type: number }[]
  /** Where the frames inside go. */
  out: Link
}

/** `class << 8 | type` of GENEVE options. Throws a RangeError that names the one out of range. */
export function optionKeys(options: readonly { class: number; type: number }[] = []): ReadonlySet<number> {
  const keys = new Set<number>()
  for (const [i, o] of options.entries()) {
    checkRange(`knownOptions[${i}].class`, o.class, 0, 0xffff)
    checkRange(`knownOptions[${i}].type`, o.type, 0, 0xff)
    keys.add((o.class << 8) | o.type)
  }
  return keys
}

/** Takes the outer headers off what is for it. */
export class Decap implements Element {
  readonly #pool: FramePool
  readonly #ends: EndTable
  readonly #end: number
  readonly #out: Link
  readonly #outers: OuterTable
  readonly #local: Uint8Array | null
  readonly #remote: Uint8Array | null
  readonly #encapsulation: 'vxlan' | 'geneve'

  constructor(pool: FramePool, options: DecapOptions) {
    const encapsulation = checkEncapsulation(options.encapsulation ?? 'vxlan')
    if (options.out.pool !== pool) throw new Error(`out: link ${options.out.name} has another frame pool`)
    if (options.vni !== 'any') checkRange('vni', options.vni, 0, vxlan.MAX_VNI)
    this.#pool = pool
    this.#encapsulation = encapsulation
    this.#out = options.out
    this.#outers = OuterTable.of(pool)
    this.#local = options.local === undefined ? null : addressBytes('local', options.local)
    this.#remote = options.remote === undefined ? null : addressBytes('remote', options.remote)
    this.#ends = EndTable.of(pool)
    this.#end = this.#ends.add({
      encapsulation,
      port: checkRange('port', options.port ?? usualPort(encapsulation), 1, 65_535),
      // Runs do not look at who sent.
      local: this.#remote === null ? this.#local : null,
      settings: tunnelSettings(options, encapsulation),
      anyVni: options.vni === 'any' ? 0 : -1,
      gbp: options.gbp ?? false,
      knownOptions: optionKeys(options.knownOptions),
    })
    if (options.vni !== 'any') this.#ends.setNetwork(this.#end, options.vni, 0)
  }

  /** The VNI of the frame that was taken last with options or anything unusual. */
  get lastVni(): number {
    return vniKey(this.#ends.seen[Seen.Vni] as number)
  }

  process(batch: Batch): void {
    const run = this.#ends.runOf(this.#end)
    const { frames, length } = batch
    const traced = this.#pool.trace !== null
    let kept = 0
    for (let i = 0; i < length; ) {
      const from = i
      const stop = Math.min(length, from + RUN)
      if (!traced) i = run(frames, from, stop, this.#end)
      if (i > from) this.#out.pushAll(frames, from, i - from)
      if (i < stop) {
        const f = this.#one(frames[i++] as Frame)
        if (f !== NO_FRAME) frames[kept++] = f
      }
    }
    batch.length = kept
  }

  /** A frame that needs thought: gives it back where it is not for this end. */
  #one(frame: Frame): Frame | -1 {
    if (!this.#isFor(frame)) return frame
    const pool = this.#pool
    const f = pool.own(frame)
    if (f === NO_FRAME) return f
    const network = this.#ends.unwrap(f, this.#end)
    if (network === NOT_OURS) return f
    if (network >= 0) this.#push(f)
    else if (network === CUT_TRAIN) this.#outers.cut(f, this.#each)
    else pool.drop(f, ~network as Drop)
    return NO_FRAME
  }

  /** Hands on what was inside. */
  #push(f: Frame): void {
    if (this.#pool.trace !== null) this.#say(f)
    this.#out.push(f)
  }

  #say(f: Frame): void {
    const { seen } = this.#ends
    const address = new Uint8Array(seen[Seen.Version] === 6 ? 16 : 4)
    const view = new DataView(address.buffer)
    for (let i = 0; 4 * i < address.length; i++) view.setInt32(4 * i, seen[Seen.Src + i] as number, true)
    explain.unwrapped(
      this.#pool,
      f,
      'tunnel',
      `${this.#encapsulation.toUpperCase()}, VNI ${this.lastVni}`,
      addressText(address),
    )
  }

  /** A datagram of a train. */
  readonly #each = (f: Frame): void => {
    const network = this.#ends.unwrap(f, this.#end)
    if (network >= 0) this.#push(f)
    else this.#pool.drop(f, network === NOT_OURS || network === CUT_TRAIN ? Drop.Malformed : (~network as Drop))
  }

  /** Whether the outer addresses are the configured ones; of what is cut short nothing is said. */
  #isFor(f: Frame): boolean {
    const { bytes, off, len } = this.#pool
    const o = off[f] as number
    const n = len[f] as number
    if (n < 34) return false
    const type = (bytes[o + 12]! << 8) | bytes[o + 13]!
    if (type === 0x0800) return this.#match(o + 26, o + 30, 4)
    return type === 0x86dd && n >= 54 && this.#match(o + 22, o + 38, 16)
  }

  #match(src: number, dst: number, size: number): boolean {
    const { bytes } = this.#pool
    const local = this.#local
    const remote = this.#remote
    if (local !== null && (local.length !== size || !equal(bytes, dst, local, 0, size))) return false
    return remote === null || (remote.length === size && equal(bytes, src, remote, 0, size))
  }
}
