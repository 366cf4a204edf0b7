import { CniCode, CniError } from './cni-error.ts'
import { type IpamConf, ipamConf } from './ipam-conf.ts'
import { flag, interfaceName, type Keys, keysOf, list, mac, oneOf, type Read, text, whole, wrong } from './keys.ts'
import { type Common, common, type PortMapping } from './runtime.ts'

/*
 * What each plugin's configuration says, one function a plugin (modes.md 22.1): keys with their defaults, and which of them do
 * not go together. What the plugin itself would only refuse when it is run is refused here, when it is read.
 */

/** Plugin `bridge`: containers on a bridge of the host. */
export interface BridgeConf extends Common {
  readonly type: 'bridge'
  readonly bridge: string
  /** The bridge has the gateway's address. */
  readonly isGateway: boolean
  /** And is the default route's; `isGateway` is true then. */
  readonly isDefaultGateway: boolean
  /** Replaces an address of the bridge that is another one. */
  readonly forceAddress: boolean
  readonly ipMasq: boolean
  readonly ipMasqBackend: MasqBackend
  /** 0: the kernel's. */
  readonly mtu: number
  readonly hairpinMode: boolean
  readonly promiscMode: boolean
  /** Access VLAN; 0: none. */
  readonly vlan: number
  /** Tagged VLANs, in order. */
  readonly vlanTrunk: readonly number[]
  /** VLAN 1 stays on the port beside them. */
  readonly preserveDefaultVlan: boolean
  readonly macspoofchk: boolean
  /** Duplicate address detection of IPv6. */
  readonly enabledad: boolean
  readonly disableContainerInterface: boolean
  readonly portIsolation: boolean
  /** MAC address of the container's interface; null: any. */
  readonly mac: string | null
  readonly ipam: IpamConf | null
}

/** Plugin `ptp`: a link of its own for each container, and the host routes. */
export interface PtpConf extends Common {
  readonly type: 'ptp'
  readonly ipMasq: boolean
  readonly ipMasqBackend: MasqBackend
  readonly mtu: number
  readonly ipam: IpamConf
}

/** Plugin `macvlan`. */
export interface MacvlanConf extends Common {
  readonly type: 'macvlan'
  /** Null: the interface of the default route. */
  readonly master: string | null
  readonly mode: 'bridge' | 'private' | 'vepa' | 'passthru'
  readonly mtu: number
  readonly mac: string | null
  /** Length of the queue of broadcasts; 0: the kernel's. */
  readonly bcqueuelen: number
  /** `master` is in the container's namespace. */
  readonly linkInContainer: boolean
  readonly ipam: IpamConf | null
}

/** Plugin `ipvlan`. */
export interface IpvlanConf extends Common {
  readonly type: 'ipvlan'
  /** Null: that of the previous plugin's result, or the interface of the default route. */
  readonly master: string | null
  readonly mode: 'l2' | 'l3' | 'l3s'
  readonly mtu: number
  readonly linkInContainer: boolean
  /** Null: the addresses of the previous plugin's result. */
  readonly ipam: IpamConf | null
}

/** Plugin `portmap`: ports of the host that lead to the container, which a plugin before it has made. */
export interface PortmapConf extends Common {
  readonly type: 'portmap'
  /** What comes from the host and from the container itself is masqueraded, so that answers come back. */
  readonly snat: boolean
  /** Everything is masqueraded. */
  readonly masqAll: boolean
  /** Bit of the mark of what is to be masqueraded; null where another chain sets it. */
  readonly markMasqBit: number | null
  readonly externalSetMarkChain: string | null
  /** Matches of iptables that a packet has to fit as well. */
  readonly conditionsV4: readonly string[]
  readonly conditionsV6: readonly string[]
  /** Null: whichever there is. */
  readonly backend: 'iptables' | 'nftables' | null
  readonly portMappings: readonly PortMapping[]
}

export type PluginConf = BridgeConf | PtpConf | MacvlanConf | IpvlanConf | PortmapConf
export type MasqBackend = 'iptables' | 'nftables' | null

const READERS: {
  readonly [T in PluginConf['type']]: (keys: Keys, shared: Common) => Extract<PluginConf, { type: T }>
} = { bridge, ptp, macvlan, ipvlan, portmap }

/** Reads the configuration of one plugin. */
export function pluginConf(keys: Keys): PluginConf {
  const type = keys.need('type', text)
  if (!Object.hasOwn(READERS, type)) {
    const known = Object.keys(READERS).join(', ')
    throw new CniError(CniCode.UnsupportedField, keys.at('type'), `no plugin "${type}" is known; known are ${known}`)
  }
  const conf = READERS[type as PluginConf['type']](keys, common(keys))
  keys.end()
  return conf
}

const MTU = whole(0, 65_535)
const backend = oneOf('iptables', 'nftables')
const vid = whole(1, 4094)

function bridge(keys: Keys, shared: Common): BridgeConf {
  const isDefaultGateway = keys.read('isDefaultGateway', flag, false)
  const conf: BridgeConf = {
    ...shared,
    type: 'bridge',
    bridge: keys.read('bridge', interfaceName, 'cni0'),
    isGateway: keys.read('isGateway', flag, false) || isDefaultGateway,
    isDefaultGateway,
    forceAddress: keys.read('forceAddress', flag, false),
    ipMasq: keys.read('ipMasq', flag, false),
    ipMasqBackend: keys.read('ipMasqBackend', backend, null),
    mtu: keys.read('mtu', MTU, 0),
    hairpinMode: keys.read('hairpinMode', flag, false),
    promiscMode: keys.read('promiscMode', flag, false),
    vlan: keys.read('vlan', whole(0, 4094), 0),
    vlanTrunk: keys.read('vlanTrunk', trunk, []),
    preserveDefaultVlan: keys.read('preserveDefaultVlan', flag, true),
    macspoofchk: keys.read('macspoofchk', flag, false),
    enabledad: keys.read('enabledad', flag, false),
    disableContainerInterface: keys.read('disableContainerInterface', flag, false),
    portIsolation: keys.read('portIsolation', flag, false),
    // The runtime's comes before that of the arguments.
    mac: shared.runtimeConfig.mac ?? shared.args.mac ?? null,
    ipam: keys.read('ipam', ipamConf(shared.runtimeConfig.ipRanges), null),
  }
  apart(keys, 'hairpinMode', conf.hairpinMode, 'promiscMode', conf.promiscMode)
  apart(keys, 'vlan', conf.vlan > 0, 'vlanTrunk', conf.vlanTrunk.length > 0)
  apart(keys, 'disableContainerInterface', conf.disableContainerInterface, 'ipam', conf.ipam !== null)
  return conf
}

/** VLANs of a trunk: `[{ "id": 5 }, { "minID": 10, "maxID": 19 }]`, in order and once each. */
const trunk: Read<readonly number[]> = (value, path) => {
  const vids = new Set<number>()
  const add = keysOf((keys) => {
    const [id, min, max] = ['id', 'minID', 'maxID'].map((key) => keys.read(key, vid, undefined))
    keys.end()
    if ((min === undefined) !== (max === undefined)) {
      throw wrong(keys.path, `the key "${min === undefined ? 'minID' : 'maxID'}" is missing beside the other`)
    }
    if (id === undefined && min === undefined) throw wrong(keys.path, 'expected "id", or "minID" and "maxID"')
    if (min !== undefined && max !== undefined) {
      if (max < min) throw wrong(keys.at('maxID'), `is ${max}, below minID, which is ${min}`)
      for (let v = min; v <= max; v++) vids.add(v)
    }
    if (id !== undefined) vids.add(id)
  })
  list(add)(value, path)
  return [...vids].sort((a, b) => a - b)
}

function ptp(keys: Keys, shared: Common): PtpConf {
  const ipam = keys.need('ipam', ipamConf(shared.runtimeConfig.ipRanges))
  if (ipam === null) throw wrong(keys.at('ipam'), 'ptp routes to addresses: the key "type" is missing')
  return {
    ...shared,
    type: 'ptp',
    ipMasq: keys.read('ipMasq', flag, false),
    ipMasqBackend: keys.read('ipMasqBackend', backend, null),
    mtu: keys.read('mtu', MTU, 0),
    ipam,
  }
}

function macvlan(keys: Keys, shared: Common): MacvlanConf {
  const own = keys.read('mac', mac, null)
  return {
    ...shared,
    type: 'macvlan',
    master: keys.read('master', interfaceName, null),
    mode: keys.read('mode', oneOf('bridge', 'private', 'vepa', 'passthru'), 'bridge'),
    mtu: keys.read('mtu', MTU, 0),
    mac: shared.runtimeConfig.mac ?? shared.args.mac ?? own,
    bcqueuelen: keys.read('bcqueuelen', whole(0, 2 ** 32 - 1), 0),
    linkInContainer: keys.read('linkInContainer', flag, false),
    ipam: keys.read('ipam', ipamConf(shared.runtimeConfig.ipRanges), null),
  }
}

function ipvlan(keys: Keys, shared: Common): IpvlanConf {
  return {
    ...shared,
    type: 'ipvlan',
    master: keys.read('master', interfaceName, null),
    mode: keys.read('mode', oneOf('l2', 'l3', 'l3s'), 'l2'),
    mtu: keys.read('mtu', MTU, 0),
    linkInContainer: keys.read('linkInContainer', flag, false),
    ipam: keys.read('ipam', ipamConf(shared.runtimeConfig.ipRanges), null),
  }
}

function portmap(keys: Keys, shared: Common): PortmapConf {
  const externalSetMarkChain = keys.read('externalSetMarkChain', text, null)
  const markMasqBit = keys.read('markMasqBit', whole(0, 31), null)
  apart(keys, 'markMasqBit', markMasqBit !== null, 'externalSetMarkChain', externalSetMarkChain !== null)
  return {
    ...shared,
    type: 'portmap',
    snat: keys.read('snat', flag, true),
    masqAll: keys.read('masqAll', flag, false),
    markMasqBit: externalSetMarkChain === null ? (markMasqBit ?? 13) : null,
    externalSetMarkChain,
    conditionsV4: keys.read('conditionsV4', list(text), []),
    conditionsV6: keys.read('conditionsV6', list(text), []),
    backend: keys.read('backend', backend, null),
    portMappings: shared.runtimeConfig.portMappings,
  }
}

/** Refuses two keys that say what cannot both be. */
function apart(keys: Keys, one: string, isOne: boolean, other: string, isOther: boolean): void {
  if (isOne && isOther) throw wrong(keys.at(other), `does not go together with ${one}`)
}
