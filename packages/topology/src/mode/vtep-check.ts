import { type TrialUnderlay, vtepTrial } from '@l2l3/modes'
import { type Address, parseIp, parseMac, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import { didYouMean } from '../did-you-mean.ts'
import type { Report } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import { checkRouted, type Plugged, routesOf } from './routed.ts'
import { checkRoute, checkSportRange, farEnd, isGroup, UDP_KEYS } from './tunnel-keys.ts'
import { greKeys } from './tunnel-schema.ts'
import {
  built,
  farEnds,
  groupPort,
  isUnderlay,
  localOf,
  networkOf,
  networksOf,
  ownAddresses,
  type RawNetwork,
  socketOf,
} from './vtep-networks.ts'
import { sideOptions } from './vtep-schema.ts'

/* What is wrong with nodes of mode vtep. */

/** Keys of networks that mean nothing to GRETAP. */
const NOT_OF_GRETAP = [
  ...['vni', 'port', 'static', 'prefixes', 'multicast', 'learning', 'unknown', 'knownPeersOnly', 'gateway', 'gbp'],
  ...['mac', 'destinations', ...UDP_KEYS],
]

/** Reports what is wrong with a node of mode vtep. */
export function check(node: NodeSpec, report: Report): void {
  const networks = networksOf(node)
  if (networks.length === 0) {
    report([], 'the key "networks" is missing: what the hosts are on')
    return
  }
  const names = networks.map(([name]) => name)
  for (const port of node.ports) {
    const { network: named } = port.options as { network?: string }
    if (named !== undefined && !names.includes(named)) {
      const hint = didYouMean(named, names) || `; it has ${names.join(', ')}`
      report([...port.path, 'network'], `node ${node.name} has no network "${named}"${hint}`)
    } else if (!isUnderlay(port) && networkOf(node, port) === undefined) {
      report(port.path, `the key "network" is missing: one of ${names.join(', ')}`)
    }
    if (port.endpoint === null && named !== undefined && port.interface.addresses.length > 0) {
      report([...port.path, 'ip'], `the node has no address in network ${named}: it only carries its frames`)
    }
    if (socketOf(port) !== null && (!isUnderlay(port) || port.interface.addresses.length > 0)) {
      report([...port.path, 'udp'], 'sockets are the underlay, and have the address of the machine: no network, no ip')
      return
    }
    const key = Object.keys(sideOptions).find((k) => k in port.options)
    if (isUnderlay(port) && key !== undefined) {
      report([...port.path, key], 'is of ports of a network, and this is one of the underlay: it has no key "network"')
    }
  }
  const own = ownAddresses(node)
  const sockets = node.ports.some((p) => socketOf(p) !== null)
  if (own.length === 0 && !sockets) report([], 'the node needs an address on the underlay: the key "ip" of an uplink')
  // What is wrong with routes is said once.
  let routes = true
  checkRouted({ ...node, ports: node.ports.filter(isUnderlay) }, (path, message) => {
    routes = false
    report(path, message)
  })
  if (own.length === 0) return
  const seen = new Map<string, string>()
  const underlay = underlayOf(node, routes)
  let trial = vtepTrial(underlay)
  for (const [name, raw] of networks) {
    let fine = true
    const note: Report = (path, message) => {
      fine = false
      report(['networks', name, ...path], message)
    }
    if (node.ports.some((p) => p.name === name)) note([], `node ${node.name} has a port of this name`)
    checkNetwork(node, raw, own, note)
    const local = fine ? localOf(raw, own) : undefined
    if (local === undefined) {
      if (fine) note([], 'the node has no address of the family of its far ends')
      continue
    }
    const number = raw.encapsulation === 'gretap' ? undefined : raw.vni
    const usual = raw.encapsulation === 'geneve' ? 6081 : 4789
    if (number !== undefined) {
      const id = `${raw.encapsulation ?? 'vxlan'} ${local.text} ${raw.port ?? usual} ${number}`
      const other = seen.get(id)
      if (other !== undefined) note(['vni'], `${number} is network ${other}'s already`)
      seen.set(id, name)
    }
    const socket = node.ports.map(socketOf).find((s) => s !== null && s.address === local.text)
    if (socket !== undefined && raw.encapsulation === 'gretap')
      note(['encapsulation'], 'gretap has no UDP to go by sockets')
    else if (socket !== undefined && (raw.port ?? usual) !== (socket?.port ?? 4789)) {
      note(
        ['port'],
        `the socket of ${local.text} has port ${socket?.port ?? 4789}, and the network ${raw.port ?? usual}`,
      )
    }
    const groups = socket?.groups ?? []
    if (socket !== undefined && raw.multicast !== undefined && !groups.includes(raw.multicast.group)) {
      note(
        ['multicast', 'group'],
        `${raw.multicast.group} is none of the groups of the socket: the key "groups" of udp`,
      )
    }
    try {
      if (fine) trial.network(built(node, name, raw, local))
    } catch (error) {
      // What was tried so far may be half built.
      trial = vtepTrial(underlay)
      note([], (error as Error).message)
    }
  }
}

/** What a trial has to know of the ports beneath. */
function underlayOf(node: NodeSpec, withRoutes: boolean): TrialUnderlay {
  const ports = node.ports.filter(isUnderlay)
  const uplinks = ports.filter((p) => socketOf(p) === null)
  const plugged = uplinks.map((spec) => ({ spec }) as Plugged)
  return {
    uplinks: uplinks.map(({ name, interface: { mac, addresses }, options }) => ({
      ...{ name, mac, ...(options.mtu === undefined ? {} : { mtu: options.mtu as number }) },
      addresses: addresses.map(({ text, prefix }) => `${text}/${prefix}`),
    })),
    sockets: ports.flatMap((p) => {
      const socket = socketOf(p)
      if (socket === null) return []
      return { name: p.name, address: socket.address, udpPort: socket.port ?? 4789, ...(p.options as { mtu?: number }) }
    }),
    routes: withRoutes ? routesOf(node, plugged) : [],
  }
}

/** Checks what is in the words of a network. */
function checkNetwork(node: NodeSpec, raw: RawNetwork, own: readonly Address[], note: Report): void {
  const { encapsulation = 'vxlan' } = raw
  const gre = encapsulation === 'gretap'
  if (!gre && raw.vni === undefined) note([], `the key "vni" is missing: the network's number in ${encapsulation}`)
  const strange = gre ? NOT_OF_GRETAP : Object.keys(greKeys)
  const others =
    encapsulation === 'vxlan' ? ['options', 'knownOptions'] : encapsulation === 'geneve' ? ['policy', 'gbp'] : []
  for (const key of [...strange, ...others, ...(gre ? ['options', 'knownOptions', 'policy'] : [])]) {
    if (key in raw) note([key], `has no meaning in a network of ${encapsulation}`)
  }
  checkSportRange(note, raw)
  if (gre && (raw.remotes ?? []).length === 0) note([], 'the key "remotes" is missing: the other ends')
  if (raw.local !== undefined) {
    const at = attempt(note, ['local'], () => parseIp(raw.local as string))
    if (at === undefined) return
    if (!own.some((a) => a.text === at.text)) {
      note(['local'], `${at.text} is not an address of the node; it has ${own.map((a) => a.text).join(', ')}`)
      return
    }
  }
  const local = localOf(raw, own) ?? (own[0] as Address)
  const sockets = node.ports.some((p) => socketOf(p)?.address === local.text)
  for (const [path, text] of farEnds(raw)) {
    const address = farEnd(note, path, text, local, own)
    if (address === undefined) continue
    if (isGroup(address)) note(path, `${address.text} is a multicast group: the key "multicast"`)
    else if (!sockets && address.family === local.family) checkRoute(note, path, address, node)
  }
  if (raw.multicast !== undefined) {
    const { group, port } = raw.multicast
    if ((raw.remotes ?? []).length > 0)
      note(['multicast'], 'a group is in place of the key "remotes": far ends would get what is for all twice')
    const address = farEnd(note, ['multicast', 'group'], group, local, own)
    if (address !== undefined && !isGroup(address))
      note(['multicast', 'group'], `${address.text} is no multicast group`)
    if (groupPort(node, port) === undefined) {
      if (port === undefined) note(['multicast'], 'the key "port" is missing: the node has several underlay ports')
      else note(['multicast', 'port'], `node ${node.name} has no underlay port "${port}"`)
    }
  }
  raw.static?.forEach(({ mac }, i) => {
    attempt(note, ['static', i, 'mac'], () => parseMac(mac))
  })
  raw.prefixes?.forEach(({ to, mac, srcMac }, i) => {
    attempt(note, ['prefixes', i, 'to'], () => parseNetwork(to))
    if (mac !== undefined) attempt(note, ['prefixes', i, 'mac'], () => parseMac(mac))
    if (srcMac !== undefined) attempt(note, ['prefixes', i, 'srcMac'], () => parseMac(srcMac))
  })
  for (const key of ['gateway', 'mac'] as const) {
    const text = raw[key]
    if (text !== undefined) attempt(note, [key], () => parseMac(text))
  }
  raw.destinations?.forEach((text, i) => {
    attempt(note, ['destinations', i], () => parseMac(text))
  })
}
