import { SECOND } from '@l2l3/switch-core'
import { eth, icmpv6, ipv4, ipv6 } from '@l2l3/switch-core/wire'
import { type Address, onLink, parseIp } from '../address.ts'
import * as packet from '../host/packet.ts'
import { buildInMemory, type MemoryWorld } from '../memory-world.ts'
import { gatewaysOf } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec, Topology } from '../topology.ts'
import { frameFilter } from './filter.ts'
import { followFrames } from './follower.ts'
import { outputs, type Trace } from './path.ts'
import { fromHex } from './splice.ts'

/*
 * What happens to this frame? A host of a topology in memory sends one, and everything that comes of it is followed: first
 * the question who the next hop is, then the frame itself, then what the other end answers.
 *
 *     neighbour   who has 10.0.0.2? ──> ... and the answer
 *     sent        the frame ──> ... ──> the other end
 *     answer      what it answers ──> ... ──> back
 */

/** What is sent: an echo request, a connection's first segment, a datagram, a question who has the address, or a frame in
 * hex as it stands. */
export type TraceWhat =
  | 'icmp'
  | 'arp'
  | { readonly tcp: number }
  | { readonly udp: number }
  | { readonly frame: string | Uint8Array }

/** Settings of `trace`. */
export interface TraceOptions {
  /** Default 'icmp'. */
  readonly what?: TraceWhat
  /** IP version, where both ends have both. Default 4. */
  readonly family?: 4 | 6
  /** Seconds of the virtual clock that an answer is waited for. Default 5. */
  readonly timeout?: number
}

const ROLES = ['sent', 'answer', 'neighbour'] as const

/** What a frame is to the question. */
export type TraceRole = (typeof ROLES)[number]

/** What came of a question. */
export interface TraceReport {
  /** "icmp red -> blue (10.0.0.2)" */
  readonly question: string
  /** In the order in which they came in. */
  readonly frames: readonly ({ readonly role: TraceRole } & Trace)[]
  /** What the reader should know: that nobody answered. Null where all went as one would think. */
  readonly remark: string | null
}

/** Seconds that neighbours are asked, three times. */
const PATIENCE = 5
const DATA: Uint8Array = Uint8Array.from('what happens to this frame?', (c) => c.charCodeAt(0))
/** Port that datagrams come from. */
const SOURCE_PORT = 40_000

/**
 * Has a host of a topology send something to another, or to an address, in memory, and follows it.
 *
 * @param topology what is built in memory for it; or a world in memory, which goes on from where it is
 * @param from an endpoint's name
 * @param to an endpoint's name, or an IP address
 * @throws RangeError where there is no such endpoint, or no address that both can use
 *
 * @example
 * const { frames } = trace(topology, 'red', 'blue', { what: { tcp: 80 } })
 * for (const line of traceText(frames.at(-1))) console.log(line)
 */
export function trace(
  topology: Topology | MemoryWorld,
  from: string,
  to: string,
  options: TraceOptions = {},
): TraceReport {
  const world = 'fabric' in topology ? topology : buildInMemory(topology)
  const { what = 'icmp', timeout = PATIENCE } = options
  const start = place(world.topology, from)
  const raw = typeof what === 'object' && 'frame' in what ? bytesOf(what.frame) : null
  const target = raw === null ? addressOf(world.topology, start, to, options.family) : null
  const isFirst = raw === null ? firstOf(what) : () => true
  const frames: { role: TraceRole; trace: Trace }[] = []
  const ends = new Set(
    world.topology.nodes.flatMap((n) => n.ports.filter((p) => p.endpoint !== null).map((p) => p.label)),
  )
  let sent = false
  let answered = false
  const roleOf = (bytes: Uint8Array, label: string): TraceRole | null => {
    if (!sent && label === start.port.label && isFirst(bytes, label)) return 'sent'
    if (sent && !answered && label !== start.port.label && ends.has(label) && (what === 'arp' || !isNeighbours(bytes)))
      return 'answer'
    return isNeighbours(bytes) ? 'neighbour' : null
  }
  let current: TraceRole | null = null
  const following = ROLES.map((role, i) => {
    return followFrames(world.fabric, {
      wants(bytes, label) {
        // The first is asked first, and says what the frame is to all of them.
        if (i === 0) {
          current = roleOf(bytes, label)
          sent ||= current === 'sent'
          answered ||= current === 'answer'
        }
        return current === role
      },
      done: (one) => frames.push({ role, trace: one }),
    })
  })
  const problem = send(world, start, target, what, raw)
  const complete = (): boolean => {
    const has = (role: TraceRole): boolean => frames.some((one) => one.role === role)
    return has('sent') && has('answer')
  }
  if (problem === null) world.runUntil(complete, world.clock.now + Math.round(timeout * SECOND))
  for (const one of following) one.stop()
  const inOrder = frames.map(({ role, trace: one }) => ({ role, ...one }))
  inOrder.sort((a, b) => a.number - b.number)
  return {
    question: questionText(what, from, to, target),
    frames: inOrder,
    remark: problem ?? remarkOn(inOrder, what),
  }
}

/** Where a host is. */
interface Place {
  readonly node: NodeSpec
  readonly port: PortSpec
  readonly endpoint: EndpointSpec
}

function place(topology: Topology, name: string): Place {
  for (const node of topology.nodes) {
    for (const port of node.ports) {
      if (port.endpoint?.name === name) return { node, port, endpoint: port.endpoint }
    }
  }
  const known = topology.endpoints.map((endpoint) => endpoint.name).join(', ')
  throw new RangeError(`there is no endpoint "${name}" in ${topology.name}; it has ${known}`)
}

function bytesOf(frame: string | Uint8Array): Uint8Array {
  const bytes = typeof frame === 'string' ? fromHex(frame) : frame
  if (bytes.length < eth.HLEN)
    throw new RangeError(`a frame has an Ethernet header of 14 bytes at least, not ${bytes.length}`)
  return bytes
}

/** The address that is meant: of an endpoint, one that is on a network of the other end before all others. */
function addressOf(topology: Topology, start: Place, to: string, family: 4 | 6 | undefined): Address {
  const target = topology.endpoints.find((endpoint) => endpoint.name === to)
  let all: readonly Address[]
  if (target !== undefined) all = target.addresses
  else {
    try {
      all = [parseIp(to)]
    } catch {
      throw new RangeError(`"${to}" is neither an endpoint of ${topology.name} nor an IP address`)
    }
  }
  const own = start.endpoint.addresses
  for (const version of family === undefined ? ([4, 6] as const) : [family]) {
    const usable = all.filter((a) => a.family === version)
    if (usable.length === 0 || !own.some((a) => a.family === version)) continue
    return usable.find((a) => own.some((mine) => onLink(mine, a.bytes))) ?? (usable[0] as Address)
  }
  const version = family === undefined ? '' : ` of IPv${family}`
  throw new RangeError(`${start.endpoint.name} and ${to} have no addresses${version} by which they could speak`)
}

/** Sends it; says why it could not. */
function send(
  world: MemoryWorld,
  start: Place,
  target: Address | null,
  what: TraceWhat,
  raw: Uint8Array | null,
): string | null {
  const host = world.host(start.endpoint.name)
  if (raw !== null || target === null) {
    return world.port(start.port.label).inject(raw as Uint8Array) ? null : 'the frame is too long for the port'
  }
  const gateways = gatewaysOf(start.node, start.port)
  const near = start.endpoint.addresses.find((a) => onLink(a, target.bytes))
  const gateway = gateways.find((g) => g.family === target.family)
  const unreachable = `${start.endpoint.name} has no route to ${target.text}: it is in none of its networks, and there is no gateway`
  if (near === undefined && gateway === undefined) return unreachable
  if (what === 'arp') {
    host.neighbours.resolve(target.bytes, () => {})
    return null
  }
  if (what === 'icmp') {
    const { problem } = host.ping(target.bytes, 1, 56, PATIENCE * SECOND)
    return problem
  }
  if (typeof what === 'object' && 'tcp' in what) {
    listen(world, what.tcp)
    return host.transfer(target.bytes, 1, what.tcp) === null ? unreachable : null
  }
  const port = (what as { udp: number }).udp
  const own = start.endpoint.addresses.filter((a) => a.family === target.family)
  const src = (near ?? own.find((a) => onLink(a, gateway?.bytes as Uint8Array)) ?? (own[0] as Address)).bytes
  const next = near === undefined ? (gateway as Address).bytes : target.bytes
  host.neighbours.resolve(next, (dstMac) => {
    if (dstMac === null) return
    const ends = { srcMac: host.mac, dstMac, src, dst: target.bytes }
    world.port(start.port.label).inject(packet.udpFrame(ends, SOURCE_PORT, port, DATA))
  })
  return null
}

/** Has every host take connections at the port, and at those that the checks say services lead to. */
function listen(world: MemoryWorld, port: number): void {
  const ports = [port, ...world.topology.checks.flatMap((check) => check.serverPort ?? [])]
  for (const host of world.hosts.values()) for (const one of ports) host.listen(one)
}

/** ARP, neighbour solicitations and advertisements. */
function isNeighbours(b: Uint8Array): boolean {
  const type = eth.fits(0, b.length) ? eth.type(b, 0) : 0
  if (type === eth.EtherType.Arp) return true
  const at = eth.HLEN + ipv6.HLEN
  if (type !== eth.EtherType.IPv6 || b.length <= at || b[eth.HLEN + ipv6.NEXT_HEADER] !== ipv4.Protocol.Icmpv6)
    return false
  const message = b[at] as number
  return message === icmpv6.Type.NeighborSolicitation || message === icmpv6.Type.NeighborAdvertisement
}

/** Tells the frame that is meant among those that its host sends. */
function firstOf(what: TraceWhat): (bytes: Uint8Array, label: string) => boolean {
  if (what === 'arp') return isNeighbours
  if (what === 'icmp') {
    const echo = frameFilter('icmp or icmp6')
    return (bytes, label) => echo(bytes, label) && !isNeighbours(bytes)
  }
  if ('tcp' in what) return frameFilter(`tcp dst port ${what.tcp}`)
  return 'udp' in what ? frameFilter(`udp dst port ${what.udp}`) : () => true
}

function whatText(what: TraceWhat): string {
  if (typeof what === 'string') return what
  if ('tcp' in what) return `tcp ${what.tcp}`
  return 'udp' in what ? `udp ${what.udp}` : 'frame'
}

function questionText(what: TraceWhat, from: string, to: string, target: Address | null): string {
  if (target === null) return `${whatText(what)} from ${from}`
  return `${whatText(what)} ${from} -> ${to}${target.text === to ? '' : ` (${target.text})`}`
}

function remarkOn(frames: readonly ({ role: TraceRole } & Trace)[], what: TraceWhat): string | null {
  const sent = frames.find((one) => one.role === 'sent')
  if (sent === undefined) {
    const asked = frames.find((one) => one.role === 'neighbour')
    if (asked === undefined) return 'nothing was sent'
    return `the frame was never sent: nobody answered "${asked.what}"`
  }
  if (frames.some((one) => one.role === 'answer')) return null
  // What a node answers itself is a branch of the frame that it answers, and goes back to where that came in.
  if (outputs(sent).some(({ label }) => label === sent.at)) return null
  return typeof what === 'object' && ('udp' in what || 'frame' in what) ? null : 'nobody answered'
}
