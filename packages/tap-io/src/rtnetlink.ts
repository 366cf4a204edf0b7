import { endianness } from 'node:os'

/*
 * Messages to rtnetlink (rtnetlink(7)), by which Linux is told of addresses, routes and neighbours, as `ip` sends them:
 *
 *     nlmsghdr     length, type, flags, sequence, port      16 bytes
 *     a header     ifinfomsg, ifaddrmsg, rtmsg or ndmsg     by the type
 *     attributes   length, type, value, padded to 4 bytes   as many as it takes
 *
 * Numbers are in the byte order of the machine, addresses in network order.
 */

const LITTLE = endianness() === 'LE'

const RTM_NEWLINK = 16
const RTM_NEWADDR = 20
const RTM_NEWROUTE = 24
const RTM_NEWNEIGH = 28

const NLM_F_REQUEST = 0x001
const NLM_F_ACK = 0x004
const NLM_F_REPLACE = 0x100
const NLM_F_EXCL = 0x200
const NLM_F_CREATE = 0x400

const IFF_UP = 1
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_F_NODAD = 2
const NDA_DST = 1
const NDA_LLADDR = 2
const NUD_PERMANENT = 0x80
const RTA_DST = 1
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RT_TABLE_MAIN = 254
const RTPROT_BOOT = 3
const RTN_UNICAST = 1
const RT_SCOPE_UNIVERSE = 0
const RT_SCOPE_LINK = 253
const RTNH_F_ONLINK = 4

type Attribute = readonly [type: number, value: Uint8Array]

/** AF_INET or AF_INET6, by the length of an address. */
function familyOf(address: Uint8Array): number {
  return address.length === 16 ? 10 : 2
}

function message(type: number, flags: number, header: Uint8Array, attributes: readonly Attribute[] = []): Uint8Array {
  const padded = (n: number): number => (n + 3) & ~3
  const length = 16 + header.length + attributes.reduce((sum, [, value]) => sum + 4 + padded(value.length), 0)
  const bytes = new Uint8Array(length)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, length, LITTLE)
  view.setUint16(4, type, LITTLE)
  view.setUint16(6, flags | NLM_F_REQUEST | NLM_F_ACK, LITTLE)
  bytes.set(header, 16)
  let at = 16 + header.length
  for (const [kind, value] of attributes) {
    view.setUint16(at, 4 + value.length, LITTLE)
    view.setUint16(at + 2, kind, LITTLE)
    bytes.set(value, at + 4)
    at += 4 + padded(value.length)
  }
  return bytes
}

function word(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, LITTLE)
  return bytes
}

/** Brings an interface up: `ip link set INDEX up`. */
export function linkUp(index: number): Uint8Array {
  const ifinfomsg = new Uint8Array(16)
  ifinfomsg.set(word(index), 4)
  ifinfomsg.set(word(IFF_UP), 8)
  ifinfomsg.set(word(IFF_UP), 12)
  return message(RTM_NEWLINK, 0, ifinfomsg)
}

/** Gives an interface an address; of IPv6 one that is good at once: `ip addr add ADDRESS/PREFIX dev INDEX nodad`. */
export function newAddress(index: number, address: Uint8Array, prefix: number): Uint8Array {
  const ifaddrmsg = new Uint8Array(8)
  ifaddrmsg.set([familyOf(address), prefix, address.length === 16 ? IFA_F_NODAD : 0])
  ifaddrmsg.set(word(index), 4)
  const attributes: Attribute[] = [
    [IFA_LOCAL, address],
    [IFA_ADDRESS, address],
  ]
  return message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, ifaddrmsg, attributes)
}

/** Tells an interface of a neighbour for good: `ip neigh replace ADDRESS lladdr MAC dev INDEX nud permanent`. */
export function permanentNeighbour(index: number, address: Uint8Array, mac: Uint8Array): Uint8Array {
  const ndmsg = new Uint8Array(12)
  ndmsg[0] = familyOf(address)
  ndmsg.set(word(index), 4)
  ndmsg[8] = NUD_PERMANENT
  const attributes: Attribute[] = [
    [NDA_DST, address],
    [NDA_LLADDR, mac],
  ]
  return message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, ndmsg, attributes)
}

/** A route out of an interface. */
export interface RouteSetup {
  /** The network; its bits beyond the prefix are zero. */
  readonly to: { readonly bytes: Uint8Array; readonly prefix: number }
  /** The next hop; null for what is on the link itself. */
  readonly via: Uint8Array | null
  /** The next hop is taken to be on the link, whatever the addresses say. Default false. */
  readonly onlink?: boolean
}

/** Adds a route: `ip route add TO via VIA dev INDEX [onlink]`, or `ip route add TO dev INDEX scope link`. */
export function newRoute(index: number, { to, via, onlink = false }: RouteSetup): Uint8Array {
  const rtmsg = new Uint8Array(12)
  const scope = via === null ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE
  rtmsg.set([familyOf(to.bytes), to.prefix, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST])
  rtmsg.set(word(onlink ? RTNH_F_ONLINK : 0), 8)
  const attributes: Attribute[] = [
    ...(to.prefix === 0 ? [] : [[RTA_DST, to.bytes] as const]),
    ...(via === null ? [] : [[RTA_GATEWAY, via] as const]),
    [RTA_OIF, word(index)],
  ]
  return message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, rtmsg, attributes)
}
