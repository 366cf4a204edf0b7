/**
 * One topology, two worlds, the same bytes: every check of every topology in examples/ is tried in memory and on Linux, and
 * what passed each port, each way, is compared frame by frame.
 *
 *     memory   [ built-in host ] ---- port ---- nodes ---- port ---- [ built-in host ]
 *                                       |                    |
 *                                    capture       =      capture
 *                                       |                    |
 *     Linux    [ stock kernel ] ------ TAP ---- nodes ---- TAP ------ [ stock kernel ]
 *
 * Left aside is what hosts are free to choose: IP ids, ports and ICMP ids (and so checksums, and the ports of tunnels, which
 * are a hash of them), flow labels, and the bytes of a payload, whose number counts. All else - MACs, tags, tunnel headers, TTL,
 * DF, TOS, lengths, what errors quote, the order of frames - is the same. Less is asked of
 *
 * - TCP, which kernels cut as they like, and say when they like that they are done: it has the same headers, MSS, SYNs and
 *   FINs; errors about it are the same but for lengths and number. RSTs count where connections must not come about.
 * - ARP and ND, since caches age in real time, kernels ask again by unicast, and what they say to groups has nodes ask before
 *   anybody pings: hosts ask all for the same addresses, in the same words.
 * - wires with dice, which fall for each frame that comes: how often the same frame has passed does not count, nor who was
 *   first to ask for the other.
 * - services with several backends, of which another may be chosen: behind one gateway of one node they count as one; else, or where
 *   who asks is one of them, only the result does.
 *
 * Kernels say to groups that they are there; so that switches know as much in memory, hosts there do so, too, at first.
 *
 * A few of the examples are compared by default, all of them (five minutes) by
 *
 *     L2L3_WORLDS=all npm test -- packages/topology/test/worlds-compared.test.ts
 */
import { readdirSync, readFileSync } from 'node:fs'
import { openCapture } from '@l2l3/switch-core/pcap'
import { type CheckSpec, type Lab, linuxProblem, topology } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'
import { gatewaysOf } from '../src/mode.ts'
import { dissect } from '../src/trace/dissect/dissect.ts'
import type { Field, Layer } from '../src/trace/dissect/layers.ts'

const EXAMPLES = new URL('../../../examples/', import.meta.url)
const problem = await linuxProblem()

/** From here on ports are chosen, by hosts or by NAT (at random, of some), unless the topology's file names them. */
const CHOSEN = 1024
const TUNNELS = ['4789', '6081', '8472']
/** Ports that are nobody's choice: of tunnels, and of transfers. */
const KNOWN = [...TUNNELS, '5001']
/** Topologies whose nodes speak at times of their own, so that no two runs are the same. */
const RESTLESS: Readonly<Record<string, string>> = {
  'weave.yaml': 'its nodes probe each other in real time, and go by what they find',
}
/** Those that are compared by default: a switch, a network with tunnels, NAT and services, and one that answers ARP for others. */
const SOME: readonly string[] = ['two-namespaces.yaml', 'cilium.yaml', 'docker-overlay.yaml']
const every = process.env.L2L3_WORLDS === 'all'
const examples = readdirSync(EXAMPLES).filter((file) => {
  return file.endsWith('.yaml') && !(file in RESTLESS) && (every || SOME.includes(file))
})
/** Fields that hosts choose, or that follow from what they choose. */
const FREE = /^(ip\.(id|checksum)|ipv6\.flow|(tcp|udp|icmp|icmpv6)\.checksum|icmp\.ident|icmpv6\.echo\.identifier)$/
/** Fields that follow from how a stream is cut, and when. */
const CUT = /^(ip\.len|ipv6\.plen|udp\.length|data\.|tcp\.(seq_raw|ack_raw|hdr_len|flags|window|urgent|options\.(w|t)))/

/** What passed a port one way. */
class Passed {
  /** All frames but those of the following, in their order. */
  readonly frames: string[] = []
  /** Headers of TCP, each once, and of errors about it. */
  readonly tcp: Set<string> = new Set()
  /** ARP and ND questions to all. */
  readonly asked: Set<string> = new Set()
}

/** By port and way: "n1/red in". */
type Seen = Map<string, Passed>

function value(layers: readonly Layer[], name: string): string | undefined {
  return layers.flatMap((layer) => layer.fields).find((field) => field.name === name)?.value
}

/** What a frame is noted by. */
interface Terms {
  /** Whether the check is to work. */
  readonly works: boolean
  /** The topology's file. */
  readonly source: string
  /** Calls those who are as good as each other the same. */
  readonly without: (text: string) => string
}

/** The fields of a frame that count, as a text. */
function text(layers: readonly Layer[], { source, without }: Terms, besides?: RegExp): string {
  const word = ({ name, value, length }: Field, layer: Layer): string[] => {
    if (FREE.test(name) || besides?.test(name)) return []
    if (name === 'data.data') return [`${length} bytes`]
    const tunnel =
      name === 'udp.srcport' && layer.fields.some((f) => f.name === 'udp.dstport' && TUNNELS.includes(f.value))
    const named = KNOWN.includes(value) || new RegExp(`\\b${value}\\b`).test(source)
    const chosen = tunnel || (/\.(src|dst)port$/.test(name) && Number(value) >= CHOSEN && !named)
    return [`${name} ${chosen ? 'chosen' : value}`]
  }
  return without(layers.flatMap((layer) => layer.fields.flatMap((field) => word(field, layer))).join(', '))
}

/** Notes a frame. Groups that kernels join, which they tell routers of, are theirs. */
function note(passed: Passed, frame: Uint8Array, terms: Terms): void {
  const layers = dissect(frame)
  const type = Number(value(layers, 'icmpv6.type'))
  const error = value(layers, 'icmp.type') !== undefined || type < 128
  const question = value(layers, 'arp.opcode') === '1' || type === 135
  if (type >= 130 && type !== 135 && type !== 136) return
  if (question || value(layers, 'arp.opcode') !== undefined || type === 136) {
    if (question && ((frame[0] as number) & 1) === 1) passed.asked.add(text(layers, terms))
  } else if (layers.some(({ name }) => name === 'tcp')) {
    const flags = Number(value(layers, 'tcp.flags'))
    const reset = (flags & 0x04) !== 0
    if (reset && terms.works && !error) return
    const kind = error ? 'quoted' : reset ? 'RST' : (flags & 0x02) !== 0 ? (flags & 0x10 ? 'SYN, ACK' : 'SYN') : ''
    passed.tcp.add(`${text(layers, terms, CUT)} ${kind}`)
    if ((flags & 0x01) !== 0) passed.tcp.add(`${text(layers, terms, CUT)} FIN`)
  } else passed.frames.push(text(layers, terms))
}

/** The check with little to send, and by ports that the worlds would not choose alike. */
function brief(check: CheckSpec): CheckSpec {
  const own = check.kind === 'tcp' ? 5001 : check.kind === 'http' ? 80 : null
  if (own === null) return check
  const port = check.port ?? own
  return { ...check, bytes: 20_000, port, serverPort: check.serverPort ?? port }
}

/** Where one of several may be asked, calls them, their MACs and addresses "one of them". */
function anonymous({ servers }: CheckSpec): (text: string) => string {
  const names =
    servers.length < 2 ? [] : servers.flatMap((s) => [`${s.node}/${s.name} `, s.mac, ...s.addresses.map((a) => a.text)])
  return (text) =>
    names.reduce((all, name) => all.replaceAll(new RegExp(`${name}(?![0-9a-f:])`, 'g'), 'one-of-them '), text)
}

/** Whether the way is the same whichever of several is asked: they are on one node, behind one gateway. */
function oneWay({ topology }: Lab, { from, servers }: CheckSpec): boolean {
  if (servers.length < 2) return true
  if (servers.some(({ name }) => name === from.name)) return false
  const behind = topology.nodes.flatMap((node) =>
    node.ports.flatMap((port) => {
      const { endpoint } = port
      if (endpoint === null || !servers.some(({ name }) => name === endpoint.name)) return []
      return [[node.name, ...gatewaysOf(node, port).map((gateway) => gateway.text)].join(' ')]
    }),
  )
  return new Set(behind).size === 1
}

/** Tries a check, and notes what passes meanwhile. */
async function tried(lab: Lab, check: CheckSpec, source: string): Promise<Seen> {
  const capture = await lab.capture()
  const { ok, skipped, text, detail } = await lab.world.check(check)
  await lab.wait(0.2)
  const seen: Seen = new Map()
  const terms = { works: check.expect === 'pass', source, without: anonymous(check) }
  for (const [label, file] of await capture.stop()) {
    for (const { direction, data } of openCapture([file], { file: label })) {
      const key = terms.without(`${label} ${direction === 'inbound' ? 'in' : 'out'}`)
      const passed = seen.get(key) ?? new Passed()
      seen.set(key, passed)
      note(passed, data, terms)
    }
  }
  expect([ok, skipped], `${text}: ${detail}`).toEqual([true, undefined])
  return seen
}

/** What one world has and the other has not; nothing where they are the same. */
function differences(memory: readonly string[], linux: readonly string[]): string[] {
  if (memory.join('\n') === linux.join('\n')) return []
  const [more, less] = [memory.filter((t) => !linux.includes(t)), linux.filter((t) => !memory.includes(t))]
  const told = [...more.map((t) => `  memory alone: ${t}`), ...less.map((t) => `  Linux alone: ${t}`)]
  return told.length > 0 ? told : [`  ${memory.length} in memory and ${linux.length} on Linux, or in another order`]
}

const sorted = (texts: Iterable<string>): string[] => [...new Set(texts)].sort()

/** Compares what passed during a check; `dice` where frames may be doubled and overtake each other. */
function compare(name: string, memory: Seen, linux: Seen, dice: boolean): string[] {
  const keys = sorted([...memory.keys(), ...linux.keys()])
  return keys.flatMap((key) => {
    const [m, l] = [memory.get(key) ?? new Passed(), linux.get(key) ?? new Passed()]
    const frames = dice ? differences(sorted(m.frames), sorted(l.frames)) : differences(m.frames, l.frames)
    const all = [...frames, ...differences(sorted(m.tcp), sorted(l.tcp))]
    return all.length === 0 ? [] : [`${name}: ${key}`, ...all]
  })
}

/** Adds up what was asked of all. */
function addAsked(total: Map<string, Set<string>>, seen: Seen): number {
  let frames = 0
  for (const [key, passed] of seen) {
    const all = total.get(key) ?? new Set()
    for (const question of passed.asked) all.add(question)
    total.set(key, all)
    frames += passed.frames.length + passed.tcp.size
  }
  return frames
}

/** Has every host say to a group that it is there, in a frame that no node answers: a report of no groups (RFC 3810). */
function announce({ memory, topology }: Lab): void {
  for (const { node, name, mac } of topology.endpoints) {
    const from = mac.replaceAll(':', '')
    const report = `3333000000 16 ${from} 86dd 60000000 0010 0001 fe800000000000000000${from} ff020000000000000000000000000016
      3a00050200000100 8f00000000000000`
    memory?.port(`${node}/${name}`).inject(Buffer.from(report.replace(/\s/g, ''), 'hex'))
  }
  memory?.settle()
}

describe.skipIf(problem !== null)(`in memory and on Linux${problem === null ? '' : ` (${problem})`}`, () => {
  for (const [file, why] of Object.entries(RESTLESS)) it.skip(`examples/${file}: ${why}`)

  it.each(examples)('examples/%s looks the same', { timeout: 300_000 }, async (file) => {
    const source = readFileSync(new URL(file, EXAMPLES), 'utf8')
    await using memory = await topology(source)
    await using linux = await topology(source, { world: 'linux' })
    announce(memory)
    const dice = /\b(jitter|reorder|duplicate):/.test(source.replace(/#.*/g, ''))
    const asked = { memory: new Map<string, Set<string>>(), linux: new Map<string, Set<string>>() }
    const found: string[] = []
    let frames = 0
    for (const check of memory.topology.checks.map(brief)) {
      const [here, there] = [await tried(memory, check, source), await tried(linux, check, source)]
      const name = `${check.kind} ${check.from.name} -> ${check.to} (IPv${check.address.family})`
      if (oneWay(memory, check)) found.push(...compare(name, here, there, dice))
      frames += addAsked(asked.memory, here)
      addAsked(asked.linux, there)
    }
    for (const { node, name } of dice ? [] : memory.topology.endpoints) {
      const [here, there] = [asked.memory, asked.linux].map((all) => sorted(all.get(`${node}/${name} in`) ?? []))
      const told = differences(here ?? [], there ?? [])
      if (told.length > 0) found.push(`what ${name} asks all`, ...told)
    }
    expect(found.join('\n')).toBe('')
    expect(frames).toBeGreaterThan(20)
  })
})
