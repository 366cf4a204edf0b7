import {
  type Batch,
  checkRange,
  Drop,
  type Element,
  type Frame,
  type FramePool,
  Link,
  NO_FRAME,
} from '@l2l3/switch-core'
import * as explain from './explain.ts'
import * as geneve from './geneve.ts'
import { nestsTooDeep, TUNNEL_PORTS } from './nesting.ts'
import { OuterTable } from './outer.ts'
import { CUT_FIRST, WRAPPED, WRAPPED_TUNNEL } from './outer-loops.ts'
import { RUN } from './outer-row.ts'
import { type ProfileOptions, tunnelSettings } from './profile.ts'
import { asUnderlay, type Underlay } from './underlay.ts'
import * as vxlan from './vxlan.ts'

/*
 * The way into a tunnel with one far end: every frame gets the same outer header, and goes to the underlay.
 *
 *     frames -> [ Encap ] -> outer Ethernet, IP, UDP, VXLAN or GENEVE in front -> out
 *
 * With many far ends, see `Vtep`.
 */

/** What VXLAN and GENEVE have in common, as it is configured. */
export interface TunnelHeaderOptions {
  /** Default `vxlan`. */
  encapsulation?: 'vxlan' | 'geneve'
  /** The UDP port of the far end. Default 4789 for VXLAN, 6081 for GENEVE. */
  port?: number
  /** 0 to 16,777,215. */
  vni: number
  /** VXLAN: a group policy id for the header. */
  group?: number
  /** GENEVE: options for the header. */
  options?: readonly geneve.GeneveOption[]
}

/** Settings of an `Encap`. */
export interface EncapOptions extends TunnelHeaderOptions, ProfileOptions {
  /** Addresses of the tunnel's ends: both IPv4 or both IPv6. */
  local: string
  remote: string
  /** Where wrapped frames go. */
  out: Link | Underlay
  /** How many tunnels a frame may be in already; 0 to 7. Default 3. What is this tunnel's own outside never goes in. */
  maxNesting?: number
  /** MACs of the outer Ethernet header, as six bytes. Default zero: the underlay writes them. */
  dstMac?: Uint8Array
  srcMac?: Uint8Array
}

/** The port that an encapsulation has by itself. */
export function usualPort(encapsulation: 'vxlan' | 'geneve'): number {
  return encapsulation === 'vxlan' ? vxlan.PORT : geneve.PORT
}

/** Throws a RangeError where it is none. */
export function checkEncapsulation(value: unknown): 'vxlan' | 'geneve' {
  if (value !== 'vxlan' && value !== 'geneve') {
    throw new RangeError(`encapsulation must be vxlan or geneve, not ${String(value)}`)
  }
  return value
}

/** The bytes of a tunnel header. Throws a RangeError that names the key and the value. */
export function tunnelHeader(o: TunnelHeaderOptions): Uint8Array {
  const encapsulation = checkEncapsulation(o.encapsulation ?? 'vxlan')
  checkRange('vni', o.vni, 0, vxlan.MAX_VNI)
  if (encapsulation === 'geneve') {
    if (o.group !== undefined) throw new RangeError(`group is VXLAN's alone, not ${encapsulation}'s: ${o.group}`)
    const b = new Uint8Array(geneve.size(o.options))
    geneve.write(b, 0, { vni: o.vni, ...(o.options === undefined ? {} : { options: o.options }) })
    return b
  }
  if (o.options !== undefined && o.options.length > 0)
    throw new RangeError(`options are GENEVE's alone, not ${encapsulation}'s`)
  if (o.group !== undefined) checkRange('group', o.group, 0, 0xffff)
  const b = new Uint8Array(vxlan.HLEN)
  vxlan.write(b, 0, o.vni, o.group ?? -1)
  return b
}

/** Wraps every frame for one far end. */
export class Encap implements Element {
  readonly #pool: FramePool
  readonly #table: OuterTable
  readonly #row: number
  /** The same for each frame of a run. */
  readonly #rows: Int32Array
  readonly #v6: boolean
  readonly #out: Link | null
  readonly #underlay: Underlay
  readonly #maxNesting: number
  readonly #port: number
  readonly #ports: readonly number[]
  /** What it is, for people. */
  readonly #name: string

  constructor(pool: FramePool, options: EncapOptions) {
    const header = tunnelHeader(options)
    const encapsulation = options.encapsulation ?? 'vxlan'
    this.#pool = pool
    this.#name = `${encapsulation.toUpperCase()}, VNI ${options.vni}`
    this.#table = OuterTable.of(pool)
    this.#port = checkRange('port', options.port ?? usualPort(encapsulation), 1, 65_535)
    this.#ports = [this.#port, ...TUNNEL_PORTS]
    this.#table.watchPort(this.#port)
    this.#maxNesting = checkRange('maxNesting', options.maxNesting ?? 3, 0, 7)
    this.#underlay = asUnderlay('out', options.out, pool)
    this.#out = options.out instanceof Link ? options.out : null
    this.#row = this.#table.add({
      src: options.local,
      dst: options.remote,
      protocol: 17,
      udpPort: this.#port,
      tunnel: header,
      settings: tunnelSettings(options, encapsulation),
      ...(options.dstMac === undefined ? {} : { dstMac: options.dstMac }),
      ...(options.srcMac === undefined ? {} : { srcMac: options.srcMac }),
    })
    this.#v6 = options.local.includes(':')
    this.#rows = pool.tables.array(Int32Array, RUN).fill(this.#row)
  }

  /** Bytes that it puts in front of a frame, the outer Ethernet header included. */
  get overhead(): number {
    return this.#table.lengthOf(this.#row)
  }

  process(batch: Batch): void {
    const run = this.#v6 ? this.#table.run6 : this.#table.run4
    const { frames, length } = batch
    const out = this.#out
    const traced = this.#pool.trace !== null
    for (let i = 0; i < length; ) {
      const from = i
      const stop = Math.min(length, from + RUN)
      if (!traced) i = run(frames, from, stop, this.#rows)
      if (i > from) {
        if (out !== null) out.pushAll(frames, from, i - from)
        else for (let k = from; k < i; k++) this.#underlay.send(frames[k] as Frame)
      }
      if (i < stop) this.#one(frames[i++] as Frame)
    }
    batch.length = 0
  }

  /** A frame that needs thought, or a segment of one. */
  readonly #one = (frame: Frame): void => {
    const pool = this.#pool
    const f = pool.own(frame)
    if (f === NO_FRAME) return
    const said = this.#table.wrap(f, this.#row)
    if (said === WRAPPED) this.#send(f)
    else if (said === CUT_FIRST) this.#table.cut(f, this.#one)
    else if (said !== WRAPPED_TUNNEL) pool.drop(f, said as Drop)
    else if (this.#tooDeep(f)) pool.drop(f, Drop.NestedTunnel)
    else this.#send(f)
  }

  #send(f: Frame): void {
    if (this.#pool.trace !== null) explain.wrapped(this.#pool, f, 'tunnel', this.#name)
    this.#underlay.send(f)
  }

  #tooDeep(f: Frame): boolean {
    const o = this.#pool.off[f] as number
    const end = o + (this.#pool.len[f] as number)
    return nestsTooDeep(this.#pool, o, end, this.#table.found, this.#ports, this.#maxNesting)
  }
}
