import type { SwitchPortOptions } from '@l2l3/switch-core'
import type { RoutedPort } from './routed-link.ts'

/* What settings made by hand get wrong without anybody noticing: a word that nobody knows would just not count. */

/** Throws a TypeError for what is no object, and for one with a key that is none of `known`.
 * @param where what has the keys: `conntrack`, `network blue`; empty for the settings themselves */
export function checkKeys(where: string, settings: object, known: readonly string[]): void {
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) {
    throw new TypeError(`${where} must be an object with settings, not ${JSON.stringify(settings)}`)
  }
  for (const [key, value] of Object.entries(settings)) {
    if (known.includes(key)) continue
    // Of what is large, like a port, the kind says enough.
    const text = typeof value === 'object' && value !== null ? (Array.isArray(value) ? 'a list' : 'an object') : value
    const shown = typeof text === 'string' && typeof value === 'string' ? JSON.stringify(text) : String(text)
    throw new TypeError(`${where === '' ? '' : `${where}: `}unknown key ${JSON.stringify(key)}, which is ${shown}`)
  }
}

/** All keys of settings; the compiler holds the list against their type. */
export function keysOf<T extends object>(keys: Record<keyof T, true>): readonly string[] {
  return Object.keys(keys)
}

/** The keys of a switch's port. */
export const SIDE_KEYS: Record<keyof Omit<SwitchPortOptions, 'name'>, true> = {
  vlan: true,
  learning: true,
  hairpin: true,
  isolated: true,
  unknownUnicastFlood: true,
  multicastFlood: true,
  broadcastFlood: true,
  macs: true,
  mtu: true,
  storm: true,
}

/** The keys of ICMP that every node that routes has. */
export const ICMP_KEYS: Record<'echo' | 'icmpRate' | 'icmpBurst' | 'icmpSource' | 'reserved4', true> = {
  echo: true,
  icmpRate: true,
  icmpBurst: true,
  icmpSource: true,
  reserved4: true,
}

/** The keys of a routed port. */
export const ROUTED_KEYS: Record<keyof RoutedPort, true> = {
  name: true,
  label: true,
  port: true,
  mac: true,
  addresses: true,
  mtu: true,
  rpFilter: true,
  directedBroadcast: true,
}
