import { CniCode, CniError } from './cni-error.ts'
import { anything, flag, identifier, Keys, list, text, wrong } from './keys.ts'
import { type PluginConf, pluginConf } from './plugins.ts'

/*
 * Network configurations of CNI, as they lie in /etc/cni/net.d, read into plain objects with all defaults filled in
 * (modes.md 22, 22.1). There are two kinds of files:
 *
 *     10-blue.conf       { "cniVersion": "1.0.0", "name": "blue", "type": "bridge", ... }
 *     10-blue.conflist   { "cniVersion": "1.0.0", "name": "blue", "plugins": [{ "type": "bridge", ... }, ...] }
 *
 * A file of the first kind is a list of one. What a runtime gives to a plugin on its standard input looks like the first
 * kind, with `runtimeConfig` and `prevResult` in it, and is read by the same function.
 */

/** Versions of the specification, oldest first. */
export type CniVersion = '0.1.0' | '0.2.0' | '0.3.0' | '0.3.1' | '0.4.0' | '1.0.0' | '1.1.0'
const CNI_VERSIONS: readonly CniVersion[] = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']

/** A network as a file says it. */
export interface NetworkConf {
  readonly cniVersion: CniVersion
  readonly name: string
  /** Called in this order to add, in the reverse one to delete. */
  readonly plugins: readonly PluginConf[]
  /** The runtime shall not call CHECK, or GC. */
  readonly disableCheck: boolean
  readonly disableGC: boolean
  /** No plugins from a directory beside the file. */
  readonly loadOnlyInlinedPlugins: boolean
}

/**
 * Reads a configuration: the text of a file of either kind, or what its JSON says.
 *
 * @throws CniError - with the key, for what is unknown, cannot be, or does not go together
 */
export function parseCniConf(source: string | object): NetworkConf {
  const keys = new Keys(typeof source === 'string' ? decoded(source) : source, '')
  return keys.has('plugins') ? networkOf(keys) : networkOfOne(keys)
}

function decoded(source: string): unknown {
  try {
    return JSON.parse(source)
  } catch (error) {
    throw new CniError(CniCode.Undecodable, '', `no JSON: ${(error as Error).message}`)
  }
}

function networkOf(keys: Keys): NetworkConf {
  const cniVersion = version(keys)
  const name = keys.need('name', identifier)
  const plugins = keys.need(
    'plugins',
    list((value, path) => pluginConf(new Keys(value, path))),
  )
  const [first] = plugins
  if (first === undefined) throw wrong(keys.at('plugins'), 'expected at least one plugin, not an empty list')
  if (first.type === 'portmap') {
    throw wrong(`${keys.at('plugins')}[0].type`, 'portmap needs a plugin before it, which makes the interface')
  }
  const conf = {
    ...{ cniVersion, name, plugins },
    disableCheck: keys.read('disableCheck', flag, false),
    disableGC: keys.read('disableGC', flag, false),
    loadOnlyInlinedPlugins: keys.read('loadOnlyInlinedPlugins', flag, false),
  }
  keys.end()
  for (const [i, plugin] of plugins.entries()) oneOfAFamily(cniVersion, plugin, `plugins[${i}].ipam`)
  return conf
}

function networkOfOne(keys: Keys): NetworkConf {
  const cniVersion = version(keys)
  const name = keys.need('name', identifier)
  // The runtime puts them in for GC, where they concern who keeps the addresses.
  for (const key of ['cni.dev/valid-attachments', 'cni.dev/attachments']) keys.read(key, anything, null)
  const plugin = pluginConf(keys)
  if (plugin.type === 'portmap' && plugin.prevResult === null) {
    throw wrong('type', 'portmap needs a plugin before it, which makes the interface: use a list of plugins')
  }
  oneOfAFamily(cniVersion, plugin, 'ipam')
  return { cniVersion, name, plugins: [plugin], disableCheck: false, disableGC: false, loadOnlyInlinedPlugins: false }
}

/** The version: that of `cniVersions` which is the highest of those that are known, else `cniVersion`. */
function version(keys: Keys): CniVersion {
  const single = keys.read('cniVersion', text, '') || '0.1.0'
  const offered: readonly string[] = keys.read('cniVersions', list(text), [])
  const known = CNI_VERSIONS.filter((v) => v === single || offered.includes(v)).at(-1)
  if (known !== undefined) return known
  const key = keys.at(offered.length > 0 ? 'cniVersions' : 'cniVersion')
  const given = [...new Set([single, ...offered])].join(', ')
  throw new CniError(
    CniCode.IncompatibleVersion,
    key,
    `none of ${given} is known; known are ${CNI_VERSIONS.join(', ')}`,
  )
}

/** Before 0.3.0 a result has room for one address of each family. */
function oneOfAFamily(cniVersion: CniVersion, plugin: PluginConf, path: string): void {
  if (!('ipam' in plugin) || plugin.ipam === null || CNI_VERSIONS.indexOf(cniVersion) >= CNI_VERSIONS.indexOf('0.3.0'))
    return
  const six = plugin.ipam.ranges.filter(([range]) => range?.subnet.includes(':')).length
  if (six > 1 || plugin.ipam.ranges.length - six > 1) {
    throw wrong(`${path}.ranges`, `CNI ${cniVersion} has room for one address of each family, not for more`)
  }
}
