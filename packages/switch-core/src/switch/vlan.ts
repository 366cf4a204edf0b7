/*
 * A port's place in the VLANs (802.1Q): which VLAN its untagged frames belong to, which VLANs it takes part in, and in
 * which of them its frames leave with a tag.
 *
 *   access 10            untagged <-> VLAN 10; tagged frames of VLAN 10 are taken in too, as Linux does
 *   trunk [10, "20-29"]  tagged <-> VLANs 10 and 20..29; `native: 1` adds untagged <-> VLAN 1
 *   tunnel 100           everything, tagged or not, <-> VLAN 100 with one more tag (QinQ: a provider's customer port)
 */

/** A VLAN id, or a range of them as text: 10, "20-29". */
export type VlanRange = number | string

/** How a port takes part in VLANs. */
export type PortVlans =
  | { access: number }
  | { trunk: readonly VlanRange[]; native?: number; untagged?: readonly VlanRange[] }
  | { tunnel: number }

/** Membership of a port in a VLAN: not a member, its frames leave with a tag, or without one. The last two also say how
 * a frame in the switch stands to its tag; PRIORITY is one more way, which no port wants: a tag without a VLAN. */
export const NOT_MEMBER = 0
export const TAGGED = 1
export const UNTAGGED = 2
export const PRIORITY = 3

/** A port's VLANs, ready for the data path. */
export interface VlanTable {
  /** VLAN of untagged and priority-tagged frames; 0 for none. */
  readonly pvid: number
  /** Every frame counts as untagged (QinQ). */
  readonly tunnel: boolean
  /** NOT_MEMBER, TAGGED or UNTAGGED by VLAN id; 4,096 entries. */
  readonly member: Uint8Array
}

/** Reads `[10, "20-29"]`; throws a RangeError that names `key` and the value. */
export function parseVlans(ranges: readonly VlanRange[], key: string): number[] {
  if (!Array.isArray(ranges)) throw new RangeError(`${key}: ${JSON.stringify(ranges)} is not a list of VLAN ids`)
  const ids: number[] = []
  for (const range of ranges) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(String(range))
    const low = Number(match?.[1])
    const high = Number(match?.[2] ?? match?.[1])
    if (match === null || low < 1 || high > 4094 || low > high) {
      throw new RangeError(`${key}: ${JSON.stringify(range)} is not a VLAN id from 1 to 4094 or a range like "20-29"`)
    }
    for (let id = low; id <= high; id++) ids.push(id)
  }
  return ids
}

const KEYS: readonly string[][] = [['access'], ['tunnel'], ['trunk', 'native', 'untagged']]

/** Makes the table of a port; throws a RangeError for ids out of range and keys that do not go together. */
export function vlanTable(vlans: PortVlans, key = 'vlan'): VlanTable {
  const member = new Uint8Array(4096)
  const given = Object.keys(vlans)
  const known = KEYS.find((keys) => given.includes(keys[0] as string))
  if (known === undefined || !given.every((k) => known.includes(k))) {
    throw new RangeError(
      `${key} takes access, tunnel, or trunk with native and untagged, not ${given.join(' and ') || '{}'}`,
    )
  }
  const one = (id: number, name: string): number => {
    if (!Number.isInteger(id) || id < 1 || id > 4094) {
      throw new RangeError(`${key}.${name}: ${JSON.stringify(id)} is not a VLAN id from 1 to 4094`)
    }
    return id
  }
  if ('access' in vlans) {
    const pvid = one(vlans.access, 'access')
    member[pvid] = UNTAGGED
    return { pvid, tunnel: false, member }
  }
  if ('tunnel' in vlans) {
    const pvid = one(vlans.tunnel, 'tunnel')
    member[pvid] = UNTAGGED
    return { pvid, tunnel: true, member }
  }
  for (const id of parseVlans(vlans.trunk, `${key}.trunk`)) member[id] = TAGGED
  for (const id of parseVlans(vlans.untagged ?? [], `${key}.untagged`)) member[id] = UNTAGGED
  const pvid = vlans.native === undefined ? 0 : one(vlans.native, 'native')
  if (pvid > 0) member[pvid] = UNTAGGED
  return { pvid, tunnel: false, member }
}
