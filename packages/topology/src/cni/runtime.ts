import type { RangeOptions } from '../ipam/range.ts'
import type { Dns } from '../ipam/resolv-conf.ts'
import { ranges } from './ipam-conf.ts'
import { anything, flag, ip, Keys, keysOf, list, mac, oneOf, type Read, text, whole, wrong } from './keys.ts'

/*
 * The keys that every plugin's configuration may have: what the file says for all, and what the runtime puts in when it
 * calls a plugin (CNI 1.1, sections 1 and 3). A runtime gives a plugin those of its capabilities that the file declares:
 *
 *     "capabilities": { "portMappings": true }          in the file
 *     "runtimeConfig": { "portMappings": [ ... ] }      on the plugin's standard input
 */

/** Names of capabilities (CNI's conventions). */
export type Capability =
  | 'portMappings'
  | 'ipRanges'
  | 'bandwidth'
  | 'dns'
  | 'ips'
  | 'mac'
  | 'infinibandGUID'
  | 'deviceID'
  | 'aliases'
  | 'cgroupPath'

/** Those that no plugin here makes use of. */
const UNUSED: readonly Capability[] = ['bandwidth', 'infinibandGUID', 'deviceID', 'aliases', 'cgroupPath']
const CAPABILITIES: readonly Capability[] = ['portMappings', 'ipRanges', 'dns', 'ips', 'mac', ...UNUSED]

/** A port of the host that leads to one of a container. */
export interface PortMapping {
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: 'tcp' | 'udp' | 'sctp'
  /** Null: any address of the host. */
  readonly hostIP: string | null
}

/** What the runtime gives to a plugin. */
export interface RuntimeConfig {
  readonly mac: string | null
  /** Addresses, some with a prefix. */
  readonly ips: readonly string[]
  readonly ipRanges: readonly (readonly RangeOptions[])[]
  readonly portMappings: readonly PortMapping[]
  readonly dns: Dns | null
}

/** What `args.cni` asks for. */
export interface Args {
  readonly mac: string | null
  readonly ips: readonly string[]
}

/** What every plugin's configuration has. */
export interface Common {
  /** What the plugin gets of the runtime. */
  readonly capabilities: readonly Capability[]
  readonly runtimeConfig: RuntimeConfig
  readonly args: Args
  /** Null: nothing is said. */
  readonly dns: Dns | null
  /** The result of the plugin before, as it is; null where there is none. */
  readonly prevResult: unknown
}

/** Reads `dns`: what a result says of name servers. */
const dnsConf: Read<Dns> = keysOf((keys) => {
  const lists = (['nameservers', 'search', 'options'] as const).flatMap((key) => {
    const read = keys.read(key, list(key === 'nameservers' ? ip : text), undefined)
    return read === undefined ? [] : [[key, read]]
  })
  const domain = keys.read('domain', text, undefined)
  return { ...Object.fromEntries(lists), ...(domain === undefined ? {} : { domain }) }
})

const PORT = whole(1, 65_535)

const portMapping: Read<PortMapping> = keysOf((keys) => ({
  hostPort: keys.need('hostPort', PORT),
  containerPort: keys.need('containerPort', PORT),
  // Kubernetes writes it in capitals.
  protocol: keys.read('protocol', (value, path) => protocol(text(value, path).toLowerCase(), path), 'tcp'),
  hostIP: keys.read('hostIP', (value, path) => (value === '' ? null : ip(value, path)), null),
}))
const protocol = oneOf('tcp', 'udp', 'sctp')

/** An address that may have a prefix behind it. */
const ipOrPrefixed: Read<string> = (value, path) => {
  const [address = '', prefix, more] = text(value, path).split('/')
  const plain = ip(address, path)
  if (prefix === undefined) return plain
  const most = plain.includes(':') ? 128 : 32
  if (more !== undefined || !/^\d{1,3}$/.test(prefix) || Number(prefix) > most) {
    throw wrong(path, `expected a prefix from /0 to /${most}, not "/${prefix}"`)
  }
  return `${plain}/${Number(prefix)}`
}

const runtimeConfig: Read<RuntimeConfig> = keysOf((keys) => {
  for (const other of UNUSED) keys.read(other, anything, null)
  return {
    mac: keys.read('mac', (value, path) => (value === '' ? null : mac(value, path)), null),
    ips: keys.read('ips', list(ipOrPrefixed), []),
    ipRanges: keys.read('ipRanges', ranges, []),
    portMappings: keys.read('portMappings', list(portMapping), []),
    dns: keys.read('dns', runtimeDns, null),
  }
})

/** The capability `dns` has `servers` and `searches` where the file has `nameservers` and `search`. */
const runtimeDns: Read<Dns> = keysOf((keys) => ({
  nameservers: keys.read('servers', list(ip), []),
  search: keys.read('searches', list(text), []),
  options: keys.read('options', list(text), []),
}))

const cniArgs: Read<Args> = keysOf((keys) => {
  // Of those who start containers.
  keys.read('labels', anything, null)
  return { mac: keys.read('mac', mac, null), ips: keys.read('ips', list(ipOrPrefixed), []) }
})

const args: Read<Args> = (value, path) => {
  // Beside "cni" stand those of others, by their names.
  const keys = new Keys(value, path)
  return keys.read('cni', cniArgs, { mac: null, ips: [] })
}

/** Reads `{ "portMappings": true, ... }`: those that are true. */
const capabilities: Read<readonly Capability[]> = keysOf((keys) =>
  CAPABILITIES.filter((name) => keys.read(name, flag, false)),
)

/** Reads the keys that all plugins have. */
export function common(keys: Keys): Common {
  return {
    capabilities: keys.read('capabilities', capabilities, []),
    runtimeConfig: keys.read('runtimeConfig', runtimeConfig, {
      ...{ mac: null, ips: [], ipRanges: [], portMappings: [], dns: null },
    }),
    args: keys.read('args', args, { mac: null, ips: [] }),
    dns: keys.read('dns', dnsConf, null),
    prevResult: keys.read('prevResult', anything, null),
  }
}
