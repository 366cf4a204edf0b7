import { checkRange } from '../frame-pool.ts'
import { type MacWords, stationMac } from './mac-words.ts'

/** Settings of an `L2BridgeEngine`. The defaults are what is documented of Windows; `AZURE_LINUX` is the Linux twin. */
export interface L2BridgeOptions {
  /** The node's MAC: the only one that is seen on the uplink. */
  hostMac: string
  /** The node's own IP addresses: ARP requests for them are answered with `hostMac`. Default none. */
  hostIps?: readonly string[]
  /** Tunnel mode (l2tunnel): every frame of a pod leaves by the uplink to this MAC, which is also the answer to ARP
   * requests for pods. Default: none, pods of a node talk to each other. */
  tunnelMac?: string
  /** How an ARP reply that comes in by the uplink reaches its pod: `unicast-tha`, to the pod's MAC and with `tha` set to
   * it, by the address it is for (the default); or `broadcast-azure`, to everybody, `tha` left as it is. */
  arpReplyMode?: 'unicast-tha' | 'broadcast-azure'
  /** What an ARP request from the uplink for a pod is answered with: the node's MAC (the default), or the pod's own,
   * which then is seen on the wire. */
  foreignArpAnswer?: 'host-mac' | 'pod-mac'
  /** Whether the switch has to learn where pods are, and sends back by hairpin, as the Linux twin does: the first frame
   * to a pod that has not spoken is flooded, leaves by the uplink too and comes back to its sender. Default false: a
   * pod's MAC is bound to its port. */
  floodLeak?: boolean
  /** What becomes of a frame from the uplink that is for no pod: the host gets it (the default), and pods only what is
   * broadcast or multicast and not an ARP or ND message for somebody else; or the switch floods it as it is (`flood`). */
  unknownDestination?: 'host' | 'flood'
  /** Whether a pod that asks for its own address (a probe, an announcement) is answered as if it were another's: in
   * tunnel mode the answer is a conflict. Default false. */
  answerOwner?: boolean
  /** Addresses of pods and host at most. Default 4,096. */
  maxAddresses?: number
}

/** What the rules of Azure CNI's bridge mode on Linux do: the twin of l2bridge whose every rule is public. */
export const AZURE_LINUX: Readonly<
  Omit<Required<L2BridgeOptions>, 'hostMac' | 'hostIps' | 'tunnelMac' | 'maxAddresses'>
> = {
  arpReplyMode: 'broadcast-azure',
  foreignArpAnswer: 'pod-mac',
  floodLeak: true,
  unknownDestination: 'flood',
  answerOwner: true,
}

/** The MAC of the fabric in Azure: where frames of pods go in tunnel mode. */
export const AZURE_FABRIC_MAC = '12:34:56:78:9a:bc'

/** Settings, checked and ready for the data path. */
export interface L2BridgeSettings {
  readonly hostMac: MacWords
  readonly tunnelMac: MacWords | null
  readonly broadcastReplies: boolean
  readonly podMacAbroad: boolean
  readonly floodLeak: boolean
  readonly unknownToHost: boolean
  readonly answerOwner: boolean
  readonly maxAddresses: number
}

const KEYS: readonly string[] = [
  'hostMac',
  'hostIps',
  'tunnelMac',
  'arpReplyMode',
  'foreignArpAnswer',
  'floodLeak',
  'unknownDestination',
  'answerOwner',
  'maxAddresses',
]

/** Checks settings; throws with the key and the value. */
export function l2bridgeSettings(o: L2BridgeOptions): L2BridgeSettings {
  for (const key of Object.keys(o)) if (!KEYS.includes(key)) throw new RangeError(`l2bridge: no such key: ${key}`)
  return {
    hostMac: stationMac('hostMac', o.hostMac),
    tunnelMac: o.tunnelMac === undefined ? null : stationMac('tunnelMac', o.tunnelMac),
    broadcastReplies: oneOf('arpReplyMode', o.arpReplyMode, 'unicast-tha', 'broadcast-azure'),
    podMacAbroad: oneOf('foreignArpAnswer', o.foreignArpAnswer, 'host-mac', 'pod-mac'),
    floodLeak: flag('floodLeak', o.floodLeak),
    unknownToHost: !oneOf('unknownDestination', o.unknownDestination, 'host', 'flood'),
    answerOwner: flag('answerOwner', o.answerOwner),
    maxAddresses: checkRange('maxAddresses', o.maxAddresses ?? 4096, 1, 65_536),
  }
}

/** Whether the second of two words was chosen. */
function oneOf(key: string, value: string | undefined, usual: string, other: string): boolean {
  if (value !== undefined && value !== usual && value !== other) {
    throw new RangeError(`${key} must be '${usual}' or '${other}', not ${String(value)}`)
  }
  return value === other
}

function flag(key: string, value: boolean | undefined): boolean {
  if (value !== undefined && typeof value !== 'boolean') {
    throw new RangeError(`${key} must be true or false, not ${String(value)}`)
  }
  return value === true
}
