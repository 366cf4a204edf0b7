import { PrefixSet } from '@l2l3/nat'
import {
  type Batch,
  type Element,
  type Frame,
  type FramePool,
  type MacWords,
  putMac,
  stationMac,
} from '@l2l3/switch-core'
import { ipv4, ipv6, u32 } from '@l2l3/switch-core/wire'

/**
 * `ROUTE`/`SDNRoute` policies with NeedEncap: what is for one of their prefixes goes to the host's port, so that the load balancers of
 * the host see it. On an l2bridge nothing is wrapped (modes.md 2.3, [S] by a comment of Calico's authors, the rest [I]): the frame gets
 * the host's MAC for its destination, and the switch does the rest.
 */
export class HostRedirect implements Element {
  readonly #pool: FramePool
  readonly #mac: MacWords
  #prefixes: PrefixSet
  readonly #words: Uint32Array = new Uint32Array(4)

  /** Throws a TypeError with key and value for what is no prefix. */
  constructor(pool: FramePool, prefixes: readonly string[], hostMac: string) {
    this.#pool = pool
    this.#mac = stationMac('hostMac', hostMac)
    this.#prefixes = new PrefixSet('sdnRoutes', prefixes)
  }

  setPrefixes(prefixes: readonly string[]): void {
    this.#prefixes = new PrefixSet('sdnRoutes', prefixes)
  }

  process(batch: Batch): void {
    if (this.#prefixes.empty) return
    const pool = this.#pool
    const { data, off, trace } = pool
    const { frames } = batch
    let kept = 0
    for (let i = 0; i < batch.length; i++) {
      const f = frames[i] as Frame
      if (!this.#leads(f)) {
        frames[kept++] = f
        continue
      }
      const g = pool.own(f)
      if (g < 0) continue
      putMac(data, off[g] as number, this.#mac)
      if (trace?.follows(g as Frame)) {
        trace.note(g as Frame, 'VFP', 'a ROUTE with NeedEncap leads to the port of the host: nothing is wrapped')
      }
      frames[kept++] = g
    }
    batch.length = kept
  }

  #leads(f: Frame): boolean {
    const { bytes: b, data, off, len } = this.#pool
    const o = off[f] as number
    const l3 = o + 14
    const size = (len[f] as number) - 14
    if (size < 20 || ((b[o] as number) & 1) !== 0) return false
    const type = data.getUint16(o + 12, false)
    if (type === 0x0800) return this.#prefixes.includes4(u32(b, l3 + ipv4.DST))
    if (type !== 0x86dd || size < ipv6.HLEN) return false
    const words = this.#words
    for (let i = 0; i < 4; i++) words[i] = u32(b, l3 + ipv6.DST + 4 * i)
    return this.#prefixes.includes6(words, 0)
  }
}
