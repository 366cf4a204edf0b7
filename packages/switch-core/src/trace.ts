import type { Frame } from './frame-pool.ts'
import type { Port } from './port/port.ts'

/*
 * What elements tell about a frame that is being traced: why they did what they did with it, in words.
 *
 *     if (pool.trace !== null && pool.trace.follows(f)) pool.trace.note(f, 'switch', 'FDB hit on port blue, learnt 2 s ago')
 *
 * Bytes are not their business: whoever traces looks at the frame at every note, and at the pool and the loop it sees
 * where frames come in, are copied, cross links and are dropped. While nobody traces, `pool.trace` is null, and looking
 * at that - once a batch before a fast way, once a frame on a slow one - is all that tracing costs. A fast way explains
 * nothing: it is not taken while somebody traces.
 */

/** Listens to what elements say about frames; `FramePool.trace` while somebody traces. */
export interface FrameTrace {
  /** Whether this frame is being followed: only then is a sentence worth making. */
  follows(f: Frame): boolean
  /**
   * An element has done something to the frame, or has decided where it goes. Called after the bytes were changed, before
   * the frame is pushed, kept or dropped.
   *
   * @param by what speaks, in a word or two: "switch", "router", "outbound NAT", "vtep"
   * @param why a sentence without a full stop: "route 10.0.0.0/8 via 192.0.2.1 dev uplink, TTL 64 -> 63"
   */
  note(f: Frame, by: string, why: string): void
  /** `to` was made because of `from`, and is followed as a branch of its own: an ARP answer, an ICMP error, a fragment, a
   * question to a neighbour. Called when `to` is complete. */
  derived(from: Frame, to: Frame, by: string, why: string): void
  /** A frame has come to a port and ends there, before anybody is given it: on a bad wire. Called before it is dropped. */
  lost?(f: Frame, port: Port): void
}
