import { type Frame, type FramePool, NO_FRAME } from '@l2l3/switch-core'
import { arp, eth, formatIpv4, formatIpv6, formatMac, icmpv6 } from '@l2l3/switch-core/wire'
import { Kind, type Message } from './message.ts'
import type { Neighbour } from './neighbour-options.ts'
import type { ProxyRoute } from './proxy.ts'
import type { Speaker } from './speaker.ts'

/*
 * What ARP and ND say of a frame that is followed (`trace.ts` of switch-core): who answers a question and why, who is asked because
 * of a frame, which address may not be used. It is asked only while somebody traces.
 *
 * Answers and questions are frames of their own: the speaker is told because of which frame it speaks, and tells it when the message is
 * made.
 */

/** Any sentence. */
export function say(pool: FramePool, f: Frame, by: string, why: string): void {
  if (pool.trace?.follows(f)) pool.trace.note(f, by, why)
}

/** What a question asks for. */
export function asked(pool: FramePool, kind: number, m: Message): string {
  const b = pool.bytes
  return kind === Kind.Arp ? formatIpv4(arp.tpa(b, m.at)) : formatIpv6(b, m.at + icmpv6.TARGET)
}

/** Has the next message of a speaker be told as the answer to the question in `f`. */
export function answers(speaker: Speaker, f: Frame, by: string, kind: number, m: Message, why: string): void {
  const name = kind === Kind.Arp ? 'who has' : 'neighbour solicitation for'
  speaker.because(f, by, `${name} ${asked(speaker.pool, kind, m)}? Answered: ${why}`)
}

/** Where a route leads, as far as proxies mind. */
export function whither(route: ProxyRoute | null | undefined): string {
  if (route === null || route === undefined) return 'no route leads there'
  if (route.kind === 'local') return 'it is an address of this node'
  if (route.kind !== 'unicast') return `its route is ${route.kind}`
  const { name } = (route.out ?? {}) as { name?: unknown }
  return typeof name === 'string' ? `its route leads by ${name}` : 'a route leads there'
}

/** What the table knows of a neighbour now. */
export function known(pool: FramePool, f: Frame, address: string, entry: Neighbour | undefined): void {
  if (!pool.trace?.follows(f)) return
  if (entry === undefined) say(pool, f, 'neighbours', `nothing is kept of ${address}, for which nobody here has asked`)
  else say(pool, f, 'neighbours', `${address} is at ${entry.mac ?? 'an unknown MAC'} (${entry.state})`)
}

/** That the MAC of a next hop is known, and has been written. */
export function resolved(pool: FramePool, f: Frame, address: string, state: string): void {
  if (!pool.trace?.follows(f)) return
  const mac = formatMac(pool.bytes, pool.off[f] as number)
  say(pool, f, 'neighbours', `${address} is at ${mac} (${state})`)
}

/** That the group that is the next hop has a MAC of its own. */
export function toGroup(pool: FramePool, f: Frame): void {
  if (!pool.trace?.follows(f)) return
  const mac = formatMac(pool.bytes, pool.off[f] as number)
  say(pool, f, 'neighbours', mac === 'ff:ff:ff:ff:ff:ff' ? 'to all on the link' : `to the MAC of the group, ${mac}`)
}

/** That a frame waits for the MAC of its next hop; `because` it is asked now, or was asked before. */
export function waits(pool: FramePool, speaker: Speaker, f: Frame, address: string, first: boolean): void {
  if (!pool.trace?.follows(f)) return
  say(
    pool,
    f,
    'neighbours',
    `waits for the MAC of ${address}, ${first ? 'for which is asked now' : 'for which was asked before'}`,
  )
  if (first) speaker.because(f, 'neighbours', `who has ${address}? Asked for a frame that waits`)
}

/** Forgets what a speaker was told. */
export function said(speaker: Speaker): void {
  speaker.because(NO_FRAME, '', '')
}

/** The pair of addresses that an ARP message claims. */
export function claim(pool: FramePool, f: Frame, kind: number, m: Message): void {
  if (!pool.trace?.follows(f)) return
  if (kind !== Kind.Arp) {
    say(pool, f, 'ARP guard', 'it cannot be read as ARP for IPv4 over Ethernet')
    return
  }
  const b = pool.bytes
  const spa = arp.spa(b, m.at)
  const mac = formatMac(b, m.at + arp.SHA)
  const what = spa === 0 ? `${mac} probes` : `${mac} claims ${formatIpv4(spa)}`
  say(pool, f, 'ARP guard', `${what}, which is not one of the port's pairs`)
}

/** The source that a port may not use. */
export function source(pool: FramePool, f: Frame, version: 0 | 4 | 6, l3: number): void {
  if (!pool.trace?.follows(f)) return
  const b = pool.bytes
  const mac = formatMac(b, (pool.off[f] as number) + eth.SRC)
  const ip =
    version === 4
      ? formatIpv4(((b[l3 + 12]! << 24) | (b[l3 + 13]! << 16) | (b[l3 + 14]! << 8) | b[l3 + 15]!) >>> 0)
      : ''
  const text = version === 0 ? mac : `${version === 6 ? formatIpv6(b, l3 + 8) : ip} at ${mac}`
  say(pool, f, 'source guard', `${text} is not one of the port's addresses`)
}
