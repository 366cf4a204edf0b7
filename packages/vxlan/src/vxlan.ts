import { put16, put32, u16, u32 } from '@l2l3/switch-core/wire'

/*
 * The VXLAN header (RFC 7348, 5), and its extension by a group (draft-smith-vxlan-group-policy; Linux' `gbp`).
 *
 *     0        1        2                 4                          7        8
 *     |G...IP..|.D..A...|   group id      |           VNI            |reserved| inner Ethernet frame ...
 *       `-- I, 0x08: there is a VNI                                                (always set)
 *       `-- G, 0x80: a group policy id follows; D, A: do not learn, policy applied
 *       `-- P, 0x04: byte 3 is a protocol (VXLAN-GPE, RFC draft nvo3-vxlan-gpe): recognised and not taken
 */

/** Bytes of the header. */
export const HLEN = 8
/** The port that IANA gave to VXLAN, and the one that Linux used before (flannel and Cilium still do). */
export const PORT = 4789
export const LINUX_PORT = 8472
/** The largest VNI. */
export const MAX_VNI = 0xffffff

/** Bits of the first byte. */
export const Flag = { Vni: 0x08, Group: 0x80, Protocol: 0x04 } as const
/** Bits of the second byte, with `Flag.Group`. */
export const GroupFlag = { DontLearn: 0x40, PolicyApplied: 0x08 } as const

/** Tells whether a whole header lies in `[o, end)`. */
export function fits(o: number, end: number): boolean {
  return end - o >= HLEN
}

/** The first byte: bits of `Flag`. */
export function flags(b: Uint8Array, o: number): number {
  return b[o] as number
}

/** The VXLAN network identifier: 24 bits. */
export function vni(b: Uint8Array, o: number): number {
  return u32(b, o + 4) >>> 8
}

/** The group policy id; it means something with `Flag.Group` only. */
export function group(b: Uint8Array, o: number): number {
  return u16(b, o + 2)
}

/** Tells whether all bits without a meaning are zero: of a header with a group those of byte 1 that are no `GroupFlag`, else
 * bytes 1 to 3, and byte 7. */
export function reservedZero(b: Uint8Array, o: number): boolean {
  if (b[o + 7] !== 0) return false
  if ((flags(b, o) & Flag.Group) === 0) return (b[o + 1]! | b[o + 2]! | b[o + 3]!) === 0
  return ((b[o + 1] as number) & ~(GroupFlag.DontLearn | GroupFlag.PolicyApplied)) === 0
}

/** Writes a header and returns where the inner frame goes.
 * @param groupId a group policy id, 0 to 65,535; left out, the header has none */
export function write(b: Uint8Array, o: number, vniValue: number, groupId = -1): number {
  put16(b, o, groupId < 0 ? Flag.Vni << 8 : (Flag.Vni | Flag.Group) << 8)
  put16(b, o + 2, Math.max(groupId, 0))
  put32(b, o + 4, vniValue << 8)
  return o + HLEN
}

/** A header, for people. */
export interface VxlanHeader {
  readonly vni: number
  readonly flags: number
  /** The group policy id, where there is one. */
  readonly group?: number
  /** The next protocol of a VXLAN-GPE header. */
  readonly nextProtocol?: number
}

/** Reads the header at `o`, which is there, for people. */
export function toJSON(b: Uint8Array, o: number): VxlanHeader {
  const bits = flags(b, o)
  return {
    vni: vni(b, o),
    flags: bits,
    ...((bits & Flag.Group) !== 0 ? { group: group(b, o) } : {}),
    ...((bits & Flag.Protocol) !== 0 ? { nextProtocol: b[o + 3] as number } : {}),
  }
}

/** Says in a few words what the header at `o`, which is there, is. */
export function describe(b: Uint8Array, o: number): string {
  const h = toJSON(b, o)
  const odd = h.flags & ~(Flag.Vni | Flag.Group | Flag.Protocol)
  const name = h.nextProtocol === undefined ? 'VXLAN' : `VXLAN-GPE protocol ${h.nextProtocol}`
  const without = (h.flags & Flag.Vni) === 0 ? ' (I flag clear)' : ''
  const more = odd === 0 ? '' : ` flags 0x${h.flags.toString(16).padStart(2, '0')}`
  return `${name} vni ${h.vni}${without}${h.group === undefined ? '' : ` group ${h.group}`}${more}`
}
