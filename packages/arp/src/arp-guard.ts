import { type Batch, Drop, type Element, type Frame, type FramePool } from '@l2l3/switch-core'
import { arp } from '@l2l3/switch-core/wire'
import * as explain from './explain.ts'
import { Kind, Message, readMessage } from './message.ts'
import type { PortBindings } from './port-bindings.ts'

/**
 * Lets ARP through only where the pair (spa, sha) is one that the port may use: nobody can speak for another. A probe,
 * which claims nothing yet (spa 0.0.0.0, RFC 5227), needs a sha of the port's. What cannot be read as ARP for IPv4
 * over Ethernet is dropped too, since some stacks believe it (Linux takes hardware type 6 for Ethernet), and so is ARP
 * behind three tags or more. Up to two VLAN tags are looked through. All else goes through.
 */
export class ArpGuard implements Element {
  /** The pairs in force; may be replaced at any time. */
  bindings: PortBindings
  readonly #pool: FramePool
  readonly #m = new Message()

  constructor(pool: FramePool, bindings: PortBindings) {
    this.#pool = pool
    this.bindings = bindings
  }

  process(batch: Batch): void {
    let n = 0
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      if (this.#good(f)) batch.frames[n++] = f
      else {
        if (this.#pool.trace !== null) this.#say(f)
        this.#pool.drop(f, Drop.ArpGuard)
      }
    }
    batch.length = n
  }

  #say(f: Frame): void {
    explain.claim(this.#pool, f, readMessage(this.#pool, f, this.#m), this.#m)
  }

  #good(f: Frame): boolean {
    const m = this.#m
    const kind = readMessage(this.#pool, f, m)
    // A tag behind two tags: what it hides is not looked at, so it does not pass.
    if (m.etherType === 0x8100 || m.etherType === 0x88a8) return false
    if (m.etherType !== 0x0806) return true
    if (kind !== Kind.Arp) return false
    const b = this.#pool.bytes
    const spa = arp.spa(b, m.at)
    const sha = m.at + arp.SHA
    return spa === 0 ? this.bindings.hasMac(b, sha) : this.bindings.has4(b, sha, spa)
  }
}
