import type { AclOptions } from '@l2l3/nat'
import { checkRange, type Port } from '@l2l3/switch-core'
import type { BridgeInterface, BridgePort } from '../bridge.ts'
import type { Ground } from '../ground.ts'
import { HostNode, type HostOptions, type HostSettings } from '../host-node.ts'
import type { Route } from '../routes.ts'
import { Firewalls } from './firewalls.ts'

/** A container, and the port it is on. */
export interface TransparentPod {
  readonly name: string
  readonly label?: string
  readonly port: Port
  readonly mac: string
  /** Access port of this VLAN, 1 to 4094, whose tag frames have on the uplink. Default: none. */
  readonly vlan?: number
  /** Longest payload of a frame that it gets, in bytes. Default: any. */
  readonly mtu?: number
  /** Whether it exchanges no frames with other isolated ones (`DisableInterComputeCommunication`). Default false. */
  readonly isolated?: boolean
  /** Rules of its firewall: those of the host alone, no switch rules (modes.md 16). Default: none but HNS' default port ACLs; `null`: no
   * firewall. */
  readonly acl?: AclOptions | null
}

/** A vNIC of the container host on the switch. */
export type TransparentInterface = Omit<BridgeInterface, 'vlan'> & {
  /** Its VLAN. Default: none. */
  readonly vlan?: number
}

/** Settings of a transparent node that change while it runs. */
export interface TransparentSettings {
  readonly pods: readonly TransparentPod[]
  /** By which the container host routes between subnets. Default: none. */
  readonly interfaces?: readonly TransparentInterface[]
  readonly routes?: readonly Route[]
}

/** Settings of a transparent node. */
export interface TransparentOptions extends TransparentSettings, Omit<HostOptions, 'nat'> {
  /** The port to the world, in trunk mode; null where nothing is plugged in. */
  readonly uplink: { readonly port: Port; readonly label?: string; readonly mtu?: number } | null
  /** Whether containers may send with other MACs than their own (Set-VMNetworkAdapter -MacAddressSpoofing). Default false. */
  readonly macSpoofing?: boolean
  /** The number that untagged frames have inside, which is no container's VLAN. Default 4094. */
  readonly untaggedVlan?: number
  /** Of the table of MACs: seconds until one is forgotten, and how many there may be. */
  readonly ageing?: number
  readonly maxEntries?: number
}

/** A transparent node. */
export interface TransparentNode {
  readonly host: HostNode
  /** Makes the node what is said, while frames pass; all of it is given anew. */
  change(next: TransparentSettings): void
}

/** The name of the uplink's port, which no container has. */
const UPLINK = 'uplink'
const SWITCH = 'vswitch'

/**
 * mode: transparent - containers straight on the physical network, each with its own MAC there (modes.md 5).
 *
 *     container           container            container
 *     172.20.1.11         172.20.1.12          172.20.2.11
 *        | access 10         | access 10          | access 20
 *     +--+-------------------+--------------------+------------+
 *     | external vSwitch: learns, rewrites nothing             |
 *     +--+--------------+--------------+-----------------------+
 *        | trunk        | vNIC, 10     | vNIC, 20
 *      uplink         +-+--------------+-+
 *      tagged 10, 20  | container host   |  172.20.1.1, 172.20.2.1: routes between subnets, TTL - 1
 *                     +------------------+
 *
 * What comes in tagged from a container ends: its port is an access port. Between containers there is the firewall of the host, at
 * the port of each; nothing of VFP is on this type of network.
 *
 * Throws a TypeError or RangeError with key and value for settings that make no sense.
 */
export function transparent(ground: Ground, options: TransparentOptions): TransparentNode {
  const { uplink, macSpoofing = false, untaggedVlan = 4094, ageing, maxEntries, ...more } = options
  checkRange('untaggedVlan', untaggedVlan, 1, 4094)
  const firewalls = new Firewalls(ground)
  const trunk: BridgePort[] =
    uplink === null ? [] : [{ ...uplink, name: UPLINK, vlan: { trunk: ['1-4094'], native: untaggedVlan } }]
  const table = {
    vlanAware: true,
    ...(ageing === undefined ? {} : { ageing }),
    ...(maxEntries === undefined ? {} : { maxEntries }),
  }
  const settings = ({ pods, interfaces = [], routes = [] }: TransparentSettings): HostSettings => {
    checkTransparent({ pods, interfaces, routes }, untaggedVlan)
    const ports = pods.map(({ mac, vlan = untaggedVlan, acl, ...pod }): BridgePort => {
      const judged = acl === undefined ? { name: pod.name } : { name: pod.name, acl }
      return { ...pod, vlan: { access: vlan }, ...(macSpoofing ? {} : { macs: [mac] }), ...firewalls.of(judged) }
    })
    const vnics = interfaces.map(({ vlan = untaggedVlan, ...own }): BridgeInterface => ({ ...own, vlan }))
    return { bridges: [{ name: SWITCH, table, ports: [...ports, ...trunk], interfaces: vnics }], routes }
  }
  const host = new HostNode(ground, settings(options), more)
  const change = (next: TransparentSettings): void => {
    host.change(settings(next))
    firewalls.settle(next.pods)
  }
  return { host, change }
}

/** Throws a RangeError with key and value for names and VLANs that cannot be. */
export function checkTransparent({ pods, interfaces = [] }: TransparentSettings, untaggedVlan = 4094): void {
  const names = new Set([UPLINK])
  for (const [key, list] of Object.entries({ pods, interfaces })) {
    for (const [i, { name, vlan }] of list.entries()) {
      if (names.has(name)) throw new RangeError(`${key}[${i}].name: there is a port ${name} already`)
      names.add(name)
      if (vlan === undefined) continue
      checkRange(`${key}[${i}].vlan`, vlan, 1, 4094)
      if (vlan === untaggedVlan) {
        throw new RangeError(`${key}[${i}].vlan: ${vlan} is what untagged frames have inside: see untaggedVlan`)
      }
    }
  }
}
