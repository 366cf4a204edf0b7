import type { Element } from '../element.ts'
import { Pipeline } from '../element.ts'
import type { Link } from '../link.ts'
import type { Loop, Ticker } from '../loop.ts'
import type { FdbOptions } from '../switch/fdb.ts'
import type { SwitchPort, SwitchPortOptions } from '../switch/port.ts'
import { Switch } from '../switch/switch.ts'
import { formatIpv6 } from '../wire/address.ts'
import { formatMac, parseMac } from '../wire/ethernet.ts'
import { AddressTable } from './address-table.ts'
import { L2BridgeEgress } from './l2bridge-egress.ts'
import { L2BridgeIngress } from './l2bridge-ingress.ts'
import { type L2BridgeOptions, type L2BridgeSettings, l2bridgeSettings } from './l2bridge-options.ts'
import { L2BridgePod } from './l2bridge-pod.ts'
import { type MacWords, stationMac } from './mac-words.ts'

/*
 * The l2bridge engine: pods share the node's network and its MAC address (modes.md 2.2, 3, 7).
 *
 *                   .-- answers to ARP --.
 *   pod 1 --> L2BridgePod --+            |
 *         <-----------------|   Switch   |--- L2BridgeEgress --> uplink     source := host MAC
 *   pod 2 --> L2BridgePod --|            |
 *         <-----------------|            |<-- L2BridgeIngress -- uplink     destination := pod MAC, by IP address
 *   host  <---------------->+            |         `-- answers to ARP --> uplink
 *
 * Outside the node a pod has the node's MAC: it is written over the source of whatever leaves, and what comes in is
 * given out by IP address. Between pods of a node nothing is rewritten. No IP header is ever touched, so that no TTL
 * changes and a traceroute shows no hop.
 *
 * In tunnel mode (l2tunnel) nothing passes between pods: all that they send leaves to the fabric's MAC, and what is for
 * another pod of the node comes back by the uplink.
 *
 * The switch is the plain one. As Windows does it ([I] in the specification), a pod's MAC is bound to its port and an
 * unknown address is looked for on the uplink only; with `floodLeak` the switch learns, floods and sends back by hairpin,
 * as the bridge of Azure CNI on Linux does. `AZURE_LINUX` sets all options so.
 *
 * MACs deeper in frames than ARP and neighbour discovery (DHCP's chaddr, LLDP) are not rewritten.
 */

/** The owner of an address that is the host's. */
const HOST = 0

/** Settings of a pod. */
export interface L2BridgePodOptions {
  mac: string
  /** Its IPv4 and IPv6 addresses, by which it is found from outside. */
  ips: readonly string[]
  /** Whether the link-local address that follows from the MAC (RFC 4291, appendix A) is the pod's too. Default true. */
  linkLocal?: boolean
  /** Settings of its switch port, which win over the engine's; its name is the pod's in traces (`pod 1` where nothing is said). */
  port?: SwitchPortOptions
}

/** Pods behind the node's MAC address. Frames from the uplink enter by `ingress`, a pod's by what `addPod` gives. */
export class L2BridgeEngine implements Ticker {
  readonly settings: L2BridgeSettings
  /** The bridge between pods, host and uplink. */
  readonly switch: Switch
  /** Which IP addresses are whose: 0 the host, else a pod's `index`. */
  readonly endpoints: AddressTable
  /** What leaves by the uplink passes through here. */
  readonly egress: Element
  /** Takes what comes in by the uplink. */
  readonly ingress: Element
  readonly uplinkPort: SwitchPort
  /** The host's port; null while there is none. */
  hostPort: SwitchPort | null = null
  /* For the engine's elements. */
  /** To the uplink, past `egress`: answers, which are right as they stand. */
  readonly toUplink: Link
  /** To the host; null while there is none. */
  toHost: Link | null = null
  readonly #pool: Loop['pool']
  readonly #hostMac: Uint8Array
  readonly #tunnelMac: Uint8Array | null
  readonly #pods: (L2BridgePod | undefined)[] = []
  #hostIps: string[] = []
  readonly #macs: { readonly words: MacWords; readonly bytes: Uint8Array }[] = []

  /** @param uplink takes what leaves: a port, or what is to be done before it (NAT, say)
   * @throws with the key and the value where a setting is wrong */
  constructor(
    loop: Loop,
    uplink: Element,
    options: L2BridgeOptions & Pick<FdbOptions, 'ageing' | 'maxEntries' | 'seed'>,
  ) {
    const { ageing, maxEntries, seed, ...own } = options
    this.settings = l2bridgeSettings(own)
    const { floodLeak, hostMac, maxAddresses } = this.settings
    this.#pool = loop.pool
    this.#hostMac = parseMac(options.hostMac)
    this.#tunnelMac = options.tunnelMac === undefined ? null : parseMac(options.tunnelMac)
    this.endpoints = new AddressTable(maxAddresses)
    this.setHostIps(options.hostIps ?? [])
    const fdb = {
      ...(ageing === undefined ? {} : { ageing }),
      ...(maxEntries === undefined ? {} : { maxEntries }),
      ...(seed === undefined ? {} : { seed }),
    }
    this.switch = new Switch(loop.pool, loop.clock, { name: 'l2bridge', ...fdb })
    this.egress = new L2BridgeEgress(loop.pool, hostMac, this.endpoints)
    this.toUplink = loop.link(uplink, 'answers')
    this.uplinkPort = this.switch.addPort(loop.link(new Pipeline(this.egress, uplink), 'uplink'), { name: 'uplink' })
    this.ingress = new Pipeline(new L2BridgeIngress(this, loop.pool), this.uplinkPort)
    if (options.tunnelMac !== undefined && !floodLeak) this.switch.addStatic(options.tunnelMac, this.uplinkPort)
  }

  /** Pods, in order of their numbers. */
  get pods(): readonly L2BridgePod[] {
    return this.#pods.filter((pod) => pod !== undefined)
  }

  /** What an owner of addresses is called in traces: the host, or the name of a pod's port. */
  nameOf(owner: number): string {
    return owner === 0 ? 'the host' : (this.#pods[owner]?.port.name ?? `pod ${owner}`)
  }

  /** Adds the host's own interface, whose frames leave by `link`: gives the element for the frames that it sends. */
  attachHost(link: Link): SwitchPort {
    if (this.hostPort !== null) throw new Error('l2bridge: the host is attached already')
    this.hostPort = this.switch.addPort(link, { name: 'host', unknownUnicastFlood: false })
    this.toHost = link
    this.switch.addStatic(formatMac(this.#hostMac), this.hostPort)
    return this.hostPort
  }

  /** Takes the host's own interface away; without one nothing happens. */
  detachHost(): void {
    if (this.hostPort === null) return
    this.hostPort.setUp(false)
    this.switch.removePort(this.hostPort)
    this.hostPort = null
    this.toHost = null
  }

  /** Says which addresses the host has from now on. Throws a RangeError for one that is taken, or none. */
  setHostIps(ips: readonly string[]): void {
    for (const ip of this.#hostIps) if (!ips.includes(ip)) this.endpoints.delete(ip)
    const before = this.#hostIps
    this.#hostIps = before.filter((ip) => ips.includes(ip))
    for (const [i, ip] of ips.entries()) {
      if (before.includes(ip)) continue
      try {
        this.endpoints.add(ip, HOST)
      } catch (error) {
        throw new RangeError(`hostIps[${i}]: ${(error as Error).message}`, { cause: error })
      }
      this.#hostIps.push(ip)
    }
  }

  /** Adds a pod whose frames leave by `link`: gives the element for the frames that it sends. Throws where an address is
   * taken or wrong; then nothing has changed. */
  addPod(link: Link, options: L2BridgePodOptions): L2BridgePod {
    const words = stationMac('mac', options.mac)
    const bytes = parseMac(options.mac)
    const mac = formatMac(bytes)
    if (mac === formatMac(this.#hostMac) || this.pods.some((pod) => pod.mac === mac)) {
      throw new Error(`l2bridge: MAC ${mac} is taken`)
    }
    const ips = [...options.ips, ...(options.linkLocal === false ? [] : [linkLocal(bytes)])]
    let index = 1
    while (this.#pods[index] !== undefined) index++
    const added: string[] = []
    try {
      for (const ip of ips) {
        this.endpoints.add(ip, index)
        added.push(ip)
      }
      const { floodLeak } = this.settings
      const port = this.switch.addPort(link, {
        name: `pod ${index}`,
        hairpin: floodLeak,
        unknownUnicastFlood: floodLeak,
        ...options.port,
      })
      if (!floodLeak && !this.switch.addStatic(mac, port)) {
        this.switch.removePort(port)
        throw new RangeError('l2bridge: maxEntries leaves no room for the MAC of another pod')
      }
      const pod = new L2BridgePod(this, this.#pool, index, mac, ips, port)
      this.#pods[index] = pod
      this.#macs[index] = { words, bytes }
      return pod
    } catch (error) {
      for (const ip of added) this.endpoints.delete(ip)
      throw error
    }
  }

  /** Takes a pod away, with its addresses. */
  removePod(pod: L2BridgePod): void {
    if (this.#pods[pod.index] !== pod) throw new Error(`${pod.port.name} is not a pod of this bridge`)
    for (const ip of pod.ips) this.endpoints.delete(ip)
    pod.port.setUp(false)
    this.switch.removePort(pod.port)
    this.#pods[pod.index] = undefined
  }

  /** Sweeps the switch's addresses; have the loop call it about once a second. */
  tick(now: number): void {
    this.switch.tick(now)
  }

  /** For the engine's elements: the MAC of a pod. */
  podMac(owner: number): MacWords {
    return (this.#macs[owner] as { words: MacWords }).words
  }

  /** For the engine's elements: what a pod that asks for an owner's address is told (rules 2 and 4 of modes.md 7.1). */
  answerAtHome(owner: number): Uint8Array {
    if (owner === HOST) return this.#hostMac
    return this.#tunnelMac ?? (this.#macs[owner] as { bytes: Uint8Array }).bytes
  }

  /** For the engine's elements: what the uplink is told when it asks. */
  answerAbroad(owner: number): Uint8Array {
    return this.settings.podMacAbroad ? this.answerAtHome(owner) : this.#hostMac
  }
}

/** The link-local address with the modified EUI-64 identifier of a MAC (RFC 4291, appendix A). */
function linkLocal(mac: Uint8Array): string {
  const [a, b, c, d, e, f] = mac as unknown as [number, number, number, number, number, number]
  return formatIpv6(Uint8Array.from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f]))
}
