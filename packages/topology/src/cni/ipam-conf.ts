import type { IpamRoute } from '../ipam/host-local.ts'
import { type RangeOptions, rangeSets } from '../ipam/range.ts'
import { CniCode, CniError } from './cni-error.ts'
import { destination, ip, Keys, keysOf, list, network, type Read, show, text, whole, wrong } from './keys.ts'

/*
 * The `ipam` of a plugin's configuration. Of the plugins that give out addresses host-local is the one that is known
 * (modes.md 22.1, 22.2):
 *
 *     "ipam": { "type": "host-local", "subnet": "10.1.0.0/24" }                          one range, the old way
 *     "ipam": { "type": "host-local", "ranges": [ [{ "subnet": ... }], [{ ... }] ] }      a set for each address
 *
 * Both may be there: then the single range is the first set.
 */

/** How host-local gives out addresses. */
export interface HostLocalConf {
  readonly type: 'host-local'
  /** An interface gets an address of each set. */
  readonly ranges: readonly (readonly RangeOptions[])[]
  readonly routes: readonly IpamRoute[]
  readonly dataDir: string
  /** Null: results say nothing of name servers. */
  readonly resolvConf: string | null
}

/** Which addresses a plugin's interfaces get. */
export type IpamConf = HostLocalConf

/** A range: the keys of `ipam` itself, or of an item of a set. */
function range(keys: Keys): RangeOptions {
  const subnet = keys.need('subnet', network)
  const rangeStart = keys.read('rangeStart', ip, undefined)
  const rangeEnd = keys.read('rangeEnd', ip, undefined)
  const gateway = keys.read('gateway', ip, undefined)
  return {
    subnet,
    ...(rangeStart === undefined ? {} : { rangeStart }),
    ...(rangeEnd === undefined ? {} : { rangeEnd }),
    ...(gateway === undefined ? {} : { gateway }),
  }
}

/** Sets of ranges, as `ranges` and the capability `ipRanges` have them. */
export const ranges: Read<readonly (readonly RangeOptions[])[]> = list(list(keysOf(range)))

const U32 = 2 ** 32 - 1

const route: Read<IpamRoute> = keysOf((keys) => {
  const dst = keys.need('dst', destination)
  const gw = keys.read('gw', ip, undefined)
  const numbers = (['mtu', 'advmss', 'priority', 'table', 'scope'] as const).flatMap((key) => {
    const number = keys.read(key, whole(0, key === 'scope' ? 255 : U32), undefined)
    return number === undefined ? [] : [[key, number]]
  })
  return { dst, ...(gw === undefined ? {} : { gw }), ...Object.fromEntries(numbers) }
})

/** Reads `ipam`; null where it is empty, as for an interface without addresses. `first` are sets that the runtime gives. */
export function ipamConf(first: readonly (readonly RangeOptions[])[]): Read<IpamConf | null> {
  return (value, path) => {
    const keys = new Keys(value, path)
    const type = keys.read('type', text, '')
    if (type === '') {
      keys.end()
      return null
    }
    if (type !== 'host-local') {
      throw new CniError(CniCode.UnsupportedField, keys.at('type'), `expected "host-local", not ${show(type)}`)
    }
    const single = ['subnet', 'rangeStart', 'rangeEnd', 'gateway'].filter((key) => keys.has(key))
    const old = single.length > 0 ? [[range(keys)]] : []
    const sets = [...first, ...old, ...keys.read('ranges', ranges, [])]
    const conf: HostLocalConf = {
      type,
      ranges: sets,
      routes: keys.read('routes', list(route), []),
      dataDir: keys.read('dataDir', text, '/var/lib/cni/networks'),
      resolvConf: keys.read('resolvConf', text, '') || null,
    }
    keys.end()
    try {
      rangeSets(sets)
    } catch (error) {
      throw placed((error as Error).message, path, first.length, old.length)
    }
    return conf
  }
}

/** What is wrong with a set, by the key that it has in the file: those of the runtime and of the old way come first. */
function placed(message: string, path: string, ofRuntime: number, old: number): CniError {
  const place = (set: string, inside: string): string => {
    const n = Number(set)
    if (n < ofRuntime) return `${path.replace(/ipam$/, '')}runtimeConfig.ipRanges[${n}]${inside}`
    if (n < ofRuntime + old) return `${path}.${inside.replace(/^\[0\]\.?/, '') || 'subnet'}`
    return `${path}.ranges[${n - ofRuntime - old}]${inside}`
  }
  const [, set, inside = '', said = message] = /^ranges(?:\[(\d+)\])?(\S*): (.*)$/s.exec(message) ?? []
  const key = set === undefined ? `${path}.ranges` : place(set, inside)
  return wrong(
    key,
    said.replace(/ranges\[(\d+)\]/g, (_, other: string) => place(other, '')),
  )
}
