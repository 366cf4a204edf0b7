import { DROP_NAMES, type Drop } from '@l2l3/switch-core'
import { formatIpv4, parseIpv4, parseIpv6 } from '@l2l3/switch-core/wire'
import { Addresses6 } from '../../src/addresses6.ts'
import { NewFlow, type OutsideAddresses, type ReplyCheck, type SourcePolicy } from '../../src/policy.ts'
import { hasPorts, IPV6, Proto, QUERY, Query } from '../../src/tuple.ts'

/** What the tests of outbound NAT share: packets written as text, and the barest table of flows that a policy can meet. */

/** `udp 10.0.0.1:5000 > 198.51.100.1:53`, `icmp 10.0.0.1:77 > 198.51.100.1` (77 is the identifier), `47 10.0.0.1 > 10.0.0.2`,
 * `tcp [fd00::1]:5000 > [2001:db8::1]:80`. */
export type Packet = string

const NAMES: Readonly<Record<string, number>> = { ...upper(Proto) }

function upper(o: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(o).map(([name, n]) => [name.toLowerCase(), n]))
}

interface End {
  readonly address: string
  readonly port: number
}

/** Reads an end: `10.0.0.1:5000`, `10.0.0.1`, `[fd00::1]:5000`, `[fd00::1]`. */
function readEnd(text: string): End {
  const m = /^(?:\[(.+)\]|([\d.]+))(?::(\d+))?$/.exec(text)
  if (m === null) throw new Error(`no end of a packet: ${text}`)
  return { address: (m[1] ?? m[2]) as string, port: Number(m[3] ?? 0) }
}

/** What became of a flow. */
export interface Outcome {
  /** Its source when it left: `203.0.113.1:5000`; null: unchanged. Of a packet from outside, its destination. */
  readonly to: string | null
  /** Why it was dropped, or null. */
  readonly drop: string | null
  /** Whether any policy decided. */
  readonly decided: boolean
  /** A number to end it by. */
  readonly id: number
}

/** A node with a policy: asks it about flows, and keeps them. */
export class Lab {
  readonly addresses = new Addresses6({ max: 4096 })
  readonly flow = new NewFlow(this.addresses)
  /** Both directions of all flows: protocol, source, port, destination, port. */
  readonly #tuples = new Map<string, number>()
  readonly #flows = new Map<number, { keys: string[]; tag: number; policy: SourcePolicy; numbers: number[] }>()
  #next = 1
  /** Addresses of the node's interfaces. */
  readonly interfaces = new Map<number, string>()
  readonly outside: OutsideAddresses = {
    of4: (out) => (this.#address(out, 4) === undefined ? 0 : parseIpv4(this.#address(out, 4) as string)),
    of6: (out) => this.#numbers6.get(out) ?? 0,
  }
  readonly #numbers6 = new Map<number, number>()
  readonly reply: ReplyCheck = {
    taken: (kind, remote, remotePort, external, externalPort) =>
      this.#tuples.has(key(kind & ~0x200, remote, remotePort, external, externalPort)),
  }

  /** Gives an interface an address. */
  address(out: number, text: string): void {
    if (text.includes(':')) this.#numbers6.set(out, this.number(text))
    else this.interfaces.set(out, text)
  }

  #address(out: number, family: 4 | 6): string | undefined {
    return family === 4 ? this.interfaces.get(out) : undefined
  }

  /** The number of an address, held. */
  number(text: string): number {
    return text.includes(':') ? this.addresses.intern(parseIpv6(text), 0) : parseIpv4(text)
  }

  text(kind: number, address: number): string {
    return (kind & IPV6) === 0 ? formatIpv4(address) : this.addresses.format(address)
  }

  /** Fills the question. */
  ask(packet: Packet, more: Partial<Pick<NewFlow, 'in' | 'out' | 'toLocal' | 'masquerade'>> = {}): void {
    const { flow } = this
    const [name, from, , to] = packet.split(' ') as [string, string, string, string]
    const protocol = NAMES[name] ?? Number(name)
    const a = readEnd(from)
    const b = readEnd(to)
    const query = protocol === Proto.Icmp || protocol === Proto.Icmpv6
    const kind = protocol | (a.address.includes(':') ? IPV6 : 0) | (query ? Query.Echo : 0)
    const dstPort = query ? a.port : hasPorts(protocol) ? b.port : 0
    flow.reset()
    flow.tuple.set(this.number(a.address), this.number(b.address), a.port, dstPort, kind)
    flow.original.copy(flow.tuple)
    flow.in = more.in ?? 0
    flow.out = more.out ?? 1
    flow.toLocal = more.toLocal ?? false
    flow.masquerade = more.masquerade ?? false
  }

  /** Sends the first packet of a flow through a policy; the flow is kept if it may be. */
  send(policy: SourcePolicy, packet: Packet, more: Partial<Pick<NewFlow, 'in' | 'out' | 'masquerade'>> = {}): Outcome {
    this.ask(packet, more)
    const { flow } = this
    const decided = policy.decide(flow, this.reply)
    const { kind, src, dst, srcPort, dstPort } = flow.tuple
    const numbers = (kind & IPV6) === 0 ? [] : [src, dst]
    if (flow.drop !== -1) {
      for (const n of numbers) this.addresses.release(n)
      return { to: null, drop: DROP_NAMES[flow.drop as Drop] as string, decided, id: 0 }
    }
    const query = (kind & QUERY) !== 0
    const address = flow.toAddress === 0 ? src : flow.toAddress
    const port = flow.toAddress === 0 ? srcPort : flow.toPort
    const remotePort = query ? port : dstPort
    const keys = [key(kind, src, srcPort, dst, dstPort), key(kind, dst, remotePort, address, port)]
    for (const k of keys) if (this.#tuples.has(k)) throw new Error(`${packet}: two flows with the tuple ${k}`)
    const id = this.#next++
    for (const k of keys) this.#tuples.set(k, id)
    this.#flows.set(id, { keys, tag: flow.tag, policy, numbers })
    const bare = !hasPorts(kind & 255) && !query
    const shown = this.text(kind, address)
    const text = bare ? shown : `${shown.includes(':') ? `[${shown}]` : shown}:${port}`
    return { to: flow.toAddress === 0 ? null : text, drop: null, decided, id }
  }

  /** Asks about a packet from outside; the flow that comes of it is not kept. */
  receive(
    policy: { decide(flow: NewFlow): boolean; ended?(tag: number, flow: number): void },
    packet: Packet,
    more: Partial<Pick<NewFlow, 'in' | 'toLocal'>> = {},
  ): Outcome & { masquerade: boolean } {
    this.ask(packet, { out: 0, toLocal: true, ...more })
    const { flow } = this
    const decided = policy.decide(flow)
    const { kind } = flow.tuple
    const shown = flow.toAddress === 0 ? null : `${this.text(kind, flow.toAddress)}:${flow.toPort}`
    const drop = flow.drop === -1 ? null : (DROP_NAMES[flow.drop] as string)
    const outcome = { to: shown, drop, decided, id: 0, masquerade: flow.masquerade }
    if (decided && drop === null) policy.ended?.(flow.tag, 0)
    return outcome
  }

  /** A flow is over. */
  end(id: number): void {
    const f = this.#flows.get(id)
    if (f === undefined) throw new Error(`no flow ${id}`)
    this.#flows.delete(id)
    for (const k of f.keys) this.#tuples.delete(k)
    f.policy.ended?.(f.tag, id)
    for (const n of f.numbers) this.addresses.release(n)
  }

  /** Ends all flows. */
  endAll(): void {
    for (const id of [...this.#flows.keys()]) this.end(id)
  }

  get flows(): number {
    return this.#flows.size
  }
}

function key(kind: number, a: number, aPort: number, b: number, bPort: number): string {
  return `${kind} ${a}:${aPort} ${b}:${bPort}`
}
