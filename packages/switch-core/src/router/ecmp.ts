import { u32 } from '../wire/bytes.ts'

/*
 * Which of several next hops a flow takes: the one that scores highest for it (RFC 2991, 3: highest random weight).
 *
 *     score of a hop = mix(hash of the flow, seed of the hop)        the seed comes of the hop's own name and address
 *
 * A flow stays on its hop as long as that hop is there: where one goes, only its own flows move, to the others evenly;
 * where one comes, it takes its share and no flow moves between the old ones. Hash-threshold (RFC 2992) needs one
 * division where this takes a mix for each hop, and moves a quarter to a half of all flows.
 *
 * The flow is addresses, protocol and ports; a fragment has no ports, so fragments of a packet, the first included, go
 * by addresses and protocol. Linux goes by addresses alone unless fib_multipath_hash_policy says otherwise.
 */

/** Mixes a further word into a hash: 32 bits, signed. */
function mix(h: number, word: number): number {
  h = Math.imul(h ^ word, 0x85eb_ca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2_ae35)
  return h ^ (h >>> 16)
}

/** A seed from text: FNV-1a, mixed. */
export function seedOf(text: string): number {
  let h = 0x811c_9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x0100_0193)
  return mix(h, text.length)
}

/** The hash of the flow of the IPv4 packet at `ip` that ends at `end`. */
export function flowHash4(b: Uint8Array, ip: number, end: number): number {
  const protocol = b[ip + 9] as number
  let h = mix(mix(protocol, u32(b, ip + 12)), u32(b, ip + 16))
  const l4 = ip + ((b[ip]! & 15) << 2)
  if ((protocol === 6 || protocol === 17) && (b[ip + 6]! & 0x3f) === 0 && b[ip + 7] === 0 && l4 + 4 <= end) {
    h = mix(h, u32(b, l4))
  }
  return h
}

/** The hash of the flow of the IPv6 packet at `ip` that ends at `end`. Ports count where TCP or UDP follow at once. */
export function flowHash6(b: Uint8Array, ip: number, end: number): number {
  const next = b[ip + 6] as number
  let h = next === 44 ? 0 : next
  for (let i = ip + 8; i < ip + 40; i += 4) h = mix(h, u32(b, i))
  if ((next === 6 || next === 17) && ip + 44 <= end) h = mix(h, u32(b, ip + 40))
  return h
}

/** A score of a flow at a hop: 32 bits, unsigned. */
export function score(flow: number, seed: number): number {
  return mix(flow, seed) >>> 0
}

/** A score with a weight: of many flows a hop gets a share that is proportional to its weight. */
export function weightedScore(flow: number, seed: number, weight: number): number {
  return -weight / Math.log((score(flow, seed) + 0.5) / 0x1_0000_0000)
}
