import { type Address, derivedMac, isLinkLocal, parseHostAddress, parseIp, parseMac, parseNetwork } from './address.ts'
import { attempt } from './attempt.ts'
import type { Path } from './document.ts'
import type { Report } from './mode.ts'
import type { EndpointSpec, HostRoute, InterfaceSpec } from './topology.ts'

/* Names and addresses of a file: each is read, and is somebody's alone. Who comes second is told who came first. */

/** A host as the file has it. */
export interface RawEndpoint extends Record<string, unknown> {
  mac?: string
  ip?: string | string[]
  mtu?: number
  routes?: readonly RawRoute[]
}

interface RawRoute {
  readonly to: string
  readonly via: string
}

/** The longest MTU that Linux gives a TAP: 65,535 bytes less its Ethernet header. */
const TAP_MTU = 65_521

/** Who has which name and address. */
export class Register {
  readonly #topology: string
  readonly #report: Report
  readonly #taken: Map<string, string> = new Map()

  /** @param topology its name, which MAC addresses are made from that the file does not give */
  constructor(topology: string, report: Report) {
    this.#topology = topology
    this.#report = report
  }

  /** Notes that something is `owner`'s, or reports that it is another's. What is told apart by `scope` is not the same. */
  claim(what: string, owner: string, path: Path, at: 'key' | 'value' = 'value', scope = ''): void {
    const key = `${scope} ${what}`
    const other = this.#taken.get(key)
    if (other === undefined) this.#taken.set(key, owner)
    else this.#report(path, `${what} is given twice: ${other} has it already`, at)
  }

  /** A host on a node; `path` is where it stands. */
  endpoint(
    name: string,
    node: string,
    raw: RawEndpoint,
    path: Path,
    scope = '',
    sharedMac = false,
    usualMtu = 1500,
  ): EndpointSpec {
    const label = `${node}/${name}`
    this.claim(`endpoint ${name}`, label, path, 'key')
    const given =
      raw.mac === undefined ? undefined : attempt(this.#report, [...path, 'mac'], () => parseMac(raw.mac as string))
    const mac = given ?? derivedMac(this.#topology, node, name)
    if (!sharedMac && (raw.mac === undefined || given !== undefined)) {
      this.claim(`MAC address ${mac}`, label, [...path, 'mac'], 'value', scope)
    }
    const mtu = raw.mtu ?? usualMtu
    if (mtu > TAP_MTU) this.#report([...path, 'mtu'], `expected ${TAP_MTU} at most, which is a TAP's, not ${mtu}`)
    const addresses = this.addresses(raw.ip, [...path, 'ip'], label, scope, (address, at) => {
      if (address.family === 6 && mtu < 1280) {
        this.#report(at, `IPv6 needs an MTU of 1280 or more (RFC 8200 5), and the endpoint has ${mtu}`)
      }
    })
    const routes = this.#routes(raw.routes ?? [], [...path, 'routes'], addresses)
    return { name, node, mac, addresses, mtu, ...(routes.length === 0 ? {} : { routes }) }
  }

  /** Routes of a host. */
  #routes(raw: readonly RawRoute[], path: Path, own: readonly Address[]): HostRoute[] {
    return raw.flatMap((route, i) => {
      const to = attempt(this.#report, [...path, i, 'to'], () => parseNetwork(route.to))
      const via = attempt(this.#report, [...path, i, 'via'], () => parseIp(route.via))
      if (to === undefined || via === undefined) return []
      if (to.family !== via.family) {
        this.#report(
          [...path, i, 'via'],
          `${via.text} is an IPv${via.family} address, and ${route.to} an IPv${to.family} network`,
        )
      } else if (!own.some((address) => address.family === to.family)) {
        this.#report([...path, i, 'to'], `the endpoint has no IPv${to.family} address`)
      }
      return [{ to, via }]
    })
  }

  /** A node's own end of a port, of which two keys tell MAC and addresses. */
  interface(
    node: string,
    port: string,
    path: Path,
    [macKey, ipKey]: readonly [string, string],
    raw: Readonly<Record<string, unknown>>,
  ): InterfaceSpec {
    const label = `${node}/${port}`
    const text = raw[macKey] as string | undefined
    const given = text === undefined ? undefined : attempt(this.#report, [...path, macKey], () => parseMac(text))
    if (given !== undefined) this.claim(`MAC address ${given}`, label, [...path, macKey])
    const addresses = this.addresses(raw[ipKey] as string | string[] | undefined, [...path, ipKey], label)
    return { mac: given ?? derivedMac(this.#topology, node, port, 'interface'), addresses }
  }

  /** Addresses with prefixes, one or a list; `look` sees each. */
  addresses(
    raw: string | string[] | undefined,
    path: Path,
    owner: string,
    scope = '',
    look: (address: Address, at: Path) => void = () => {},
  ): Address[] {
    const list = Array.isArray(raw) ? raw : raw === undefined ? [] : [raw]
    return list.flatMap((text, i) => {
      const at = Array.isArray(raw) ? [...path, i] : path
      const address = attempt(this.#report, at, () => parseHostAddress(text))
      if (address === undefined) return []
      look(address, at)
      // A link-local address is unique on its link only.
      if (!isLinkLocal(address)) this.claim(`address ${address.text}`, owner, at, 'value', scope)
      return [address]
    })
  }
}
