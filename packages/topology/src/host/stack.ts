import type { Clock } from '@l2l3/switch-core'
import type { Ends } from './packet.ts'

/** What a host in memory offers to its parts: time, and the way to others. */
export interface Stack {
  readonly clock: Clock
  /** Of its interface. */
  readonly mtu: number
  /** The own address another is spoken to from; null where the other cannot be reached. */
  source(address: Uint8Array): Uint8Array | null
  /** Sends a packet by the route to `dst`, once it is known who is next on it; where there is none, or nobody is there, it
   * is not sent. */
  send(src: Uint8Array, dst: Uint8Array, frame: (ends: Ends) => Uint8Array, undelivered?: () => void): void
  /** The next number of the host's: pings, traces and connections are known by them. */
  number(): number
}

/** Tells whether two addresses, or payloads, are the same. */
export function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
