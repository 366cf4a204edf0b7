import type { Frame, FramePool } from '../frame-pool.ts'
import { formatIpv4, formatIpv6 } from '../wire/address.ts'
import { u32 } from '../wire/bytes.ts'
import { formatMac } from '../wire/ethernet.ts'
import { type Addressed, Kind } from './addressed.ts'
import type { MacRule } from './mac-rule.ts'

/*
 * What those who rewrite MAC addresses say of a frame that is followed (`trace.ts`). It is asked only while somebody traces.
 */

const BRIDGE = 'l2bridge'

/** Any sentence of the l2bridge engine. */
export function bridge(pool: FramePool, f: Frame, why: string): void {
  if (pool.trace?.follows(f)) pool.trace.note(f, BRIDGE, why)
}

/** The address that a frame is for, by which it was looked for. */
export function forWhom(pool: FramePool, found: Addressed): string {
  if (found.kind === Kind.None) return 'no address'
  return found.kind === Kind.IPv6 ? formatIpv6(pool.bytes, found.to) : formatIpv4(u32(pool.bytes, found.to))
}

/** That what leaves has the node's MAC. */
export function outward(pool: FramePool, f: Frame, deep: boolean): void {
  if (!pool.trace?.follows(f)) return
  const mac = formatMac(pool.bytes, (pool.off[f] as number) + 6)
  bridge(pool, f, `source MAC becomes the node's, ${mac}${deep ? ', also within ARP or ND' : ''}`)
}

/** Whose frame it is that came in, and that it has his MAC now. */
export function inward(pool: FramePool, f: Frame, address: string, owner: string): void {
  if (!pool.trace?.follows(f)) return
  bridge(pool, f, `${address} is ${owner}'s: destination MAC is ${formatMac(pool.bytes, pool.off[f] as number)}`)
}

/** That an ARP request has become its answer. */
export function answered(pool: FramePool, f: Frame, address: string, owner: string, mac: Uint8Array): void {
  bridge(pool, f, `who has ${address}? It is ${owner}'s: the request turns round, ${address} is at ${formatMac(mac)}`)
}

/** Which rule of a MAC rewrite matched, and what was written. */
export function ruled(pool: FramePool, f: Frame, rules: readonly MacRule[], place: number, dropped: boolean): void {
  if (!pool.trace?.follows(f)) return
  const rule = rules[place]
  const match = Object.entries(rule?.match ?? {}).map(([key, value]) => `${key} ${value}`)
  const which =
    rule === undefined
      ? 'no rule matched'
      : `rule ${place + 1}${match.length > 0 ? ` (${match.join(', ')})` : ''} matched`
  const set = [
    rule?.setDst === undefined ? '' : `destination MAC becomes ${rule.setDst}`,
    rule?.setSrc === undefined ? '' : `source MAC becomes ${rule.setSrc}`,
  ].filter((text) => text !== '')
  const what = dropped ? 'it ends here' : set.length === 0 ? 'it stays as it is' : set.join(', ')
  pool.trace.note(f, 'MAC rewrite', `${which}: ${what}`)
}
