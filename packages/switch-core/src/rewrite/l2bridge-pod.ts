import type { Batch } from '../batch.ts'
import type { Element } from '../element.ts'
import { type Frame, type FramePool, NO_FRAME } from '../frame-pool.ts'
import type { Link } from '../link.ts'
import type { SwitchPort } from '../switch/port.ts'
import * as arp from '../wire/arp.ts'
import { HLEN } from '../wire/ethernet.ts'
import { Addressed, Kind } from './addressed.ts'
import * as explain from './explain.ts'
import type { L2BridgeEngine } from './l2bridge.ts'
import { answerArp } from './link-layer.ts'
import { type MacWords, putMac } from './mac-words.ts'

/** EtherType 0x0800 as two bytes of a frame are read. */
const IPV4_LE = 0x0008

const found = new Addressed()

/**
 * A pod on an `L2BridgeEngine`, and the element for the frames that it sends: ARP requests for the host and for other pods
 * are answered here and go no further, in tunnel mode everything else is addressed to the fabric, and the switch gets it.
 */
export class L2BridgePod implements Element {
  /** Its number in the engine's table of addresses; 1 and up. */
  readonly index: number
  /** e.g. "02:00:00:00:00:01" */
  readonly mac: string
  /** Its addresses, the link-local one that follows from the MAC included. */
  readonly ips: readonly string[]
  /** Its port of the engine's switch: settings, counters. */
  readonly port: SwitchPort
  readonly #engine: L2BridgeEngine
  readonly #pool: FramePool
  readonly #link: Link
  readonly #tunnelMac: MacWords | null

  /** Use `L2BridgeEngine.addPod`. */
  constructor(
    engine: L2BridgeEngine,
    pool: FramePool,
    index: number,
    mac: string,
    ips: readonly string[],
    port: SwitchPort,
  ) {
    this.#engine = engine
    this.#pool = pool
    this.index = index
    this.mac = mac
    this.ips = ips
    this.port = port
    this.#link = port.link
    this.#tunnelMac = engine.settings.tunnelMac
  }

  process(batch: Batch): void {
    const pool = this.#pool
    const { data, off, len } = pool
    const tunnel = this.#tunnelMac
    const { frames, length: n } = batch
    let kept = 0
    for (let i = 0; i < n; i++) {
      let f: Frame | -1 = frames[i] as Frame
      const o = off[f] as number
      // What is shorter than a header is the switch's to drop.
      if ((len[f] as number) >= HLEN) {
        if (data.getUint16(o + 12, true) !== IPV4_LE && this.port.up && this.#answered(f as Frame, o)) continue
        if (tunnel !== null) {
          f = pool.own(f as Frame)
          if (f === NO_FRAME) continue
          putMac(data, off[f] as number, tunnel)
          if (pool.trace !== null) explain.bridge(pool, f as Frame, 'tunnel mode: all goes to the MAC of the fabric')
        }
      }
      frames[kept++] = f
    }
    batch.length = kept
    if (kept > 0) this.port.process(batch)
  }

  /** Answers an ARP request for the host or a pod; false where the frame is none. */
  #answered(f: Frame, o: number): boolean {
    const pool = this.#pool
    const { bytes, off, len } = pool
    const engine = this.#engine
    if (found.find(bytes, o, o + (len[f] as number)) !== Kind.Arp) return false
    if (arp.op(bytes, found.l3) !== arp.Op.Request) return false
    const owner = engine.endpoints.find4(bytes, found.to)
    if (owner === -1 || (owner === this.index && !engine.settings.answerOwner)) return false
    const l3 = found.l3 - o
    const asked = pool.trace === null ? '' : explain.forWhom(pool, found)
    const g = pool.own(f)
    if (g === NO_FRAME) return true
    answerArp(pool, g as Frame, (off[g] as number) + l3, engine.answerAtHome(owner))
    if (pool.trace !== null) explain.answered(pool, g as Frame, asked, engine.nameOf(owner), engine.answerAtHome(owner))
    this.#link.push(g as Frame)
    return true
  }
}
