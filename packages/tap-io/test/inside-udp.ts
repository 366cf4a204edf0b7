import { type Batch, type Frame, GsoType, NO_FRAME, Port, type PortCounters } from '@l2l3/switch-core'

/*
 * Any frame over a UDP underlay, so that the compliance suite can be run on one: in front of it go Ethernet, IP and UDP, and two
 * bytes that keep the frame at 2 modulo 4.
 *
 *     suite -- frame --> | outer headers | 2 | frame | --> the port under test
 */

/** Where the datagrams go. */
export interface Peer {
  readonly family: 4 | 6
  readonly port: number
}

const PAD = 2

/** Bytes in front of a frame. */
export function overhead(family: 4 | 6): number {
  return 14 + (family === 4 ? 20 : 40) + 8 + PAD
}

/** A port whose frames travel inside the datagrams of another. */
export class InsideUdp extends Port {
  readonly inner: Port
  readonly #peer: Peer

  constructor(inner: Port, peer: Peer, offloads: number) {
    super(inner.pool, `inside ${inner.name}`, offloads)
    this.inner = inner
    this.#peer = peer
  }

  override get counters(): PortCounters {
    const c = this.inner.counters
    const own = super.counters
    const n = overhead(this.#peer.family)
    return {
      ...c,
      rxBytes: c.rxBytes - n * c.rxFrames,
      txBytes: c.txBytes - n * c.txFrames,
      rxDropped: c.rxDropped + own.rxDropped,
      txDropped: c.txDropped + own.txDropped,
    }
  }

  protected read(batch: Batch): void {
    this.inner.receive(batch)
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      this.pool.strip(f, overhead(this.#peer.family))
      // The outer checksum of IPv6 is left to be done: it is gone with the outer header.
      this.pool.flags[f] = 0
    }
  }

  protected write(batch: Batch): void {
    const { pool } = this
    let kept = 0
    for (let i = 0; i < batch.length; i++) {
      const f = pool.own(batch.frames[i] as Frame)
      if (f === NO_FRAME) continue
      this.#wrap(f as Frame)
      batch.frames[kept++] = f
    }
    batch.length = kept
    this.inner.process(batch)
  }

  #wrap(f: Frame): void {
    const { pool } = this
    const { family, port } = this.#peer
    const n = overhead(family)
    const at = pool.prepend(f, n)
    pool.shiftOffload(f, n)
    const l4 = n - PAD - 8
    const length = (pool.len[f] as number) - 14
    const b = Buffer.from(pool.bytes.buffer, at, n).fill(0)
    b.writeUInt16BE(family === 4 ? 0x0800 : 0x86dd, 12)
    if (family === 4) {
      b.set([0x45, 0, length >> 8, length & 255], 14)
      b.set([64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1], 22)
    } else {
      b[14] = 0x60
      b.set([(length - 40) >> 8, (length - 40) & 255, 17, 64], 18)
      b[37] = b[53] = 1
    }
    b.writeUInt16BE(50_000 + (pool.bytes[at + n] as number), l4)
    b.writeUInt16BE(port, l4 + 2)
    b.writeUInt16BE((pool.len[f] as number) - l4, l4 + 4)
    if (pool.gsoType[f] === 0) return
    pool.gsoType[f] = (pool.gsoType[f] as number) | (family === 4 ? GsoType.TunnelIpv4 : GsoType.TunnelIpv6)
    pool.outerL4[f] = l4
    pool.innerL3[f] = n + 14
  }

  protected override shut(): void {
    this.inner.close()
  }
}
