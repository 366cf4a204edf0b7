import type { Frame, FramePool } from '../frame-pool.ts'
import { formatMac } from '../wire/ethernet.ts'
import { destinationMac } from '../words.ts'

/*
 * What an interface that is shared says of a frame that is followed (`trace.ts`). It is asked only while somebody traces.
 */

/** Any sentence. */
export function say(pool: FramePool, f: Frame, by: 'macvlan' | 'ipvlan', why: string): void {
  if (pool.trace?.follows(f)) pool.trace.note(f, by, why)
}

/** To whom a frame goes by its destination MAC. */
export function byMac(pool: FramePool, f: Frame, by: 'macvlan' | 'ipvlan', to: string): void {
  if (pool.trace?.follows(f)) say(pool, f, by, `${destinationMac(pool.bytes, pool.off[f] as number)}: ${to}`)
}

/** To whom a packet goes by its address, with the MACs that it has now. */
export function byAddress(pool: FramePool, f: Frame, address: string, to: string, written: boolean): void {
  if (!pool.trace?.follows(f)) return
  const o = pool.off[f] as number
  const macs = written ? `, MACs ${formatMac(pool.bytes, o + 6)} > ${formatMac(pool.bytes, o)}` : ''
  say(pool, f, 'ipvlan', `${address}: ${to}${macs}`)
}
