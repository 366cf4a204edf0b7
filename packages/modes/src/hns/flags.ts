import type { HnsReadOptions, Unsupported } from './common.ts'
import { type At, refuse } from './error.ts'

/*
 * Flags of networks and endpoints (modes.md 16), and what comes of each here.
 *
 *     network                                    endpoint
 *     DisableHostPort    the host has no port    RemoteEndpoint                    another node's
 *                                                DisableInterComputeCommunication  isolated
 *                                                EnableDhcp                        HNS gives no address
 *
 * Others are about what is not in frames - how long a network is kept, which hardware carries it - and change nothing: they are taken,
 * and listed in `withoutEffect` with the reason. The rest would change frames in a way that is not there, or not public: they are not
 * supported, as a policy that is not there.
 */

/** Flags of networks. */
export const NetworkFlag = {
  None: 0,
  EnableDnsProxy: 1,
  EnableDhcpServer: 2,
  EnableMirroring: 4,
  EnableNonPersistent: 8,
  EnablePersistent: 16,
  IsolateVSwitch: 32,
  EnableFlowSteering: 64,
  DisableSharing: 128,
  EnableFirewall: 256,
  SuppressMediaDisconnect: 512,
  DisableHostPort: 1024,
  WeakHostReceiveAdapter: 2048,
  WeakHostSendAdapter: 4096,
  EnableIov: 8192,
} as const

/** Flags of endpoints. */
export const EndpointFlag = {
  None: 0,
  RemoteEndpoint: 1,
  DisableInterComputeCommunication: 2,
  EnableMirroring: 4,
  EnableLowInterfaceMetric: 8,
  OverrideDNSServerOrder: 16,
  EnableDhcp: 32,
} as const

/** What comes of flags, but for those that have an effect. */
interface Meanings {
  /** Names, and why frames are the same with and without. */
  readonly idle: Readonly<Record<string, string>>
  /** Names, and why there is nothing like it. */
  readonly missing: Readonly<Record<string, string>>
}

const LIFE = 'a network is there as long as whoever made it runs'
const MIRRORING = 'which frames are copied where is not public: a switch has mirrors'

const NETWORK: Meanings = {
  idle: {
    EnableNonPersistent: LIFE,
    EnablePersistent: LIFE,
    EnableFlowSteering: 'which processor handles a flow is not seen in frames',
    DisableSharing: 'nobody else uses the adapter',
    SuppressMediaDisconnect: 'containers’ links are up as long as they are attached',
    WeakHostReceiveAdapter: 'the host takes what is for any of its addresses, whichever port it comes by',
    WeakHostSendAdapter: 'the host sends by its routes, whichever address is the source',
    EnableIov: 'SR-IOV has hardware carry frames past the switch: there is none, and they pass it',
  },
  missing: {
    EnableDnsProxy: 'there is no DNS server here',
    EnableDhcpServer: 'there is no DHCP server here: HNS gives addresses',
    EnableMirroring: MIRRORING,
    IsolateVSwitch: 'what it keeps apart is not public',
    EnableFirewall: 'its rules are not public: endpoints have ACLs',
  },
}

const ENDPOINT: Meanings = {
  idle: {
    EnableLowInterfaceMetric: 'a container has one interface here, so its metric decides nothing',
    OverrideDNSServerOrder: 'which server a container asks first is its own',
  },
  missing: { EnableMirroring: MIRRORING },
}

/** Looks at the flags of a network; see `judge`. */
export function judgeNetworkFlags(at: At, bits: number, unsupported: Unsupported[], o: HnsReadOptions): Unsupported[] {
  return judge(at, bits, NetworkFlag, NETWORK, unsupported, o)
}

/** Looks at the flags of an endpoint; see `judge`. */
export function judgeEndpointFlags(at: At, bits: number, unsupported: Unsupported[], o: HnsReadOptions): Unsupported[] {
  return judge(at, bits, EndpointFlag, ENDPOINT, unsupported, o)
}

/** Gives those that change nothing; those that are not there are refused by an HnsError, or listed in `unsupported`. */
function judge(
  at: At,
  bits: number,
  names: Readonly<Record<string, number>>,
  { idle, missing }: Meanings,
  unsupported: Unsupported[],
  options: HnsReadOptions,
): Unsupported[] {
  const found: Unsupported[] = []
  for (const [what, bit] of Object.entries(names)) {
    if ((bits & bit) === 0) continue
    const why = missing[what]
    if (why !== undefined) {
      if (options.unsupported !== 'list') refuse(at, bits, `${what} is not supported: ${why}`)
      unsupported.push({ path: at.path, what, why })
    } else if (idle[what] !== undefined) {
      found.push({ path: at.path, what, why: idle[what] })
    }
  }
  return found
}
