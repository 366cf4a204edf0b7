import type { Prefix } from '@l2l3/switch-core'
import type { Question } from './question.ts'
import type { Ports, ReadRule } from './rule.ts'

/*
 * The first of many rules that matches, without looking at all of them: tuple space search (Srinivasan, Suri, Varghese, 1999),
 * which Open vSwitch does as well.
 *
 * Rules that look at the same bits - so many of the local and the remote address, the protocol or not, each port or not - stand in
 * one hash table, whose key is just those bits. Of 10,000 rules there are a few dozens of such shapes. A packet is looked up in each:
 *
 *     shape   local /16, remote /32, protocol, remote port        best rank 17       mask the packet, hash, one chain
 *     shape   local any, remote /8, protocol                      best rank 40       ...
 *     shape   everything any                                      best rank 9,999    the rank found so far is better: done
 *
 * A rank is a rule's place in the order in which they count. Shapes stand in the order of their best ranks, chains too, so that a search
 * ends as soon as nothing better can come.
 *
 * A rule with lists stands there once for each combination, up to so many. What would be more - and ranges of ports always - is left
 * out of the key, and the rule itself looks at it (CHECKED). So what stays linear is many rules with the same addresses and protocol that
 * differ in nothing but ranges of ports.
 *
 *     shapes   | best rank | which bits | first head | heads - 1 | masks of local, remote |     12 words
 *     entries  | next in chain + 1 | rank, CHECKED | protocol | ports | local | remote |        12 words (of IPv4 6)
 */

/** How often a rule stands in the tables at most, and all rules together. */
const COPIES = 256
const ALL_COPIES = 1 << 20

/** The rule itself has to look. */
const CHECKED = 0x4000_0000
const SHAPE = 12
/* Which bits a shape's key has, beside those of addresses. */
const PROTOCOL = 1
const LOCAL_PORT = 2
const REMOTE_PORT = 4

interface Copy {
  readonly rank: number
  readonly checked: boolean
  readonly protocol: number
  readonly localPort: number
  readonly remotePort: number
  readonly local: Prefix | null
  readonly remote: Prefix | null
}

/** Finds the first rule that matches, among those of one family. */
export class Classifier {
  readonly #rules: readonly ReadRule[]
  readonly #words: 1 | 4
  readonly #stride: number
  readonly #shapes: Int32Array
  readonly #heads: Int32Array
  readonly #entries: Int32Array

  /** @param rules in the order in which they count; those of the other family are left out */
  constructor(rules: readonly ReadRule[], family: 4 | 6) {
    this.#rules = rules
    this.#words = family === 4 ? 1 : 4
    this.#stride = 4 + 2 * this.#words
    let room = ALL_COPIES
    const copies: Copy[] = []
    for (const [rank, rule] of rules.entries()) {
      if (!rule.isFor(family)) continue
      const some = copiesOf(rule, rank, this.#words, Math.max(1, Math.min(COPIES, room)))
      room -= some.length
      copies.push(...some)
    }
    const groups = new Map<string, Copy[]>()
    for (const c of copies) {
      const shape = `${bitsOf(c)} ${lengthOf(c.local)} ${lengthOf(c.remote)}`
      const group = groups.get(shape)
      if (group === undefined) groups.set(shape, [c])
      else group.push(c)
    }
    const shapes = [...groups.values()]
    this.#shapes = new Int32Array(shapes.length * SHAPE)
    const sizes = shapes.map((list) => 2 ** Math.ceil(Math.log2(list.length * 2)))
    this.#heads = new Int32Array(sizes.reduce((sum, n) => sum + n, 0))
    this.#entries = new Int32Array(copies.length * this.#stride)
    let head = 0
    let entry = 0
    for (const [i, list] of shapes.entries()) {
      const size = sizes[i] as number
      this.#put(i * SHAPE, list, head, size)
      // The last goes in first, so that chains begin with the best.
      for (const copy of list.toReversed()) this.#add(entry++ * this.#stride, i * SHAPE, copy)
      head += size
    }
  }

  /** How many tables there are. */
  get shapes(): number {
    return this.#shapes.length / SHAPE
  }

  /** Bytes of memory that it takes. */
  get bytes(): number {
    return this.#shapes.byteLength + this.#heads.byteLength + this.#entries.byteLength
  }

  /** The rank of the first rule that matches, or -1. */
  find(q: Question): number {
    const shapes = this.#shapes
    const heads = this.#heads
    const entries = this.#entries
    const six = this.#words === 4
    const { local, remote } = q
    const [l0, l1, l2, l3] = [local[0]!, local[1]!, local[2]!, local[3]!]
    const [r0, r1, r2, r3] = [remote[0]!, remote[1]!, remote[2]!, remote[3]!]
    let found = -1
    for (let s = 0; s < shapes.length; s += SHAPE) {
      if (found >= 0 && shapes[s]! >= found) break
      const bits = shapes[s + 1] as number
      if (((bits & LOCAL_PORT) !== 0 && q.localPort < 0) || ((bits & REMOTE_PORT) !== 0 && q.remotePort < 0)) continue
      const protocol = (bits & PROTOCOL) === 0 ? -1 : q.protocol
      const ports = portsKey(bits, q.localPort, q.remotePort)
      const a0 = l0 & shapes[s + 4]!
      const b0 = r0 & shapes[s + 8]!
      let h = mix(mix(mix(protocol, ports), a0), b0)
      let a1 = 0
      let a2 = 0
      let a3 = 0
      let b1 = 0
      let b2 = 0
      let b3 = 0
      if (six) {
        a1 = l1 & shapes[s + 5]!
        a2 = l2 & shapes[s + 6]!
        a3 = l3 & shapes[s + 7]!
        b1 = r1 & shapes[s + 9]!
        b2 = r2 & shapes[s + 10]!
        b3 = r3 & shapes[s + 11]!
        h = mix(mix(mix(mix(mix(mix(h, a1), a2), a3), b1), b2), b3)
      }
      let at = heads[shapes[s + 2]! + ((h ^ (h >>> 15)) & shapes[s + 3]!)]! - 1
      for (; at >= 0; at = entries[at]! - 1) {
        const word = entries[at + 1] as number
        const rank = word & ~CHECKED
        if (found >= 0 && rank >= found) break
        if (entries[at + 2] !== protocol || entries[at + 3] !== ports || entries[at + 4] !== a0) continue
        if (six) {
          if (entries[at + 5] !== a1 || entries[at + 6] !== a2 || entries[at + 7] !== a3) continue
          if (entries[at + 8] !== b0 || entries[at + 9] !== b1) continue
          if (entries[at + 10] !== b2 || entries[at + 11] !== b3) continue
        } else if (entries[at + 5] !== b0) continue
        if ((word & CHECKED) !== 0 && !(this.#rules[rank] as ReadRule).matches(q)) continue
        found = rank
        break
      }
    }
    return found
  }

  #put(at: number, list: readonly Copy[], head: number, size: number): void {
    const first = list[0] as Copy
    this.#shapes[at] = first.rank
    this.#shapes[at + 1] = bitsOf(first)
    this.#shapes[at + 2] = head
    this.#shapes[at + 3] = size - 1
    for (let i = 0; i < this.#words; i++) {
      this.#shapes[at + 4 + i] = maskOf(lengthOf(first.local) - 32 * i)
      this.#shapes[at + 8 + i] = maskOf(lengthOf(first.remote) - 32 * i)
    }
  }

  #add(at: number, shape: number, copy: Copy): void {
    const entries = this.#entries
    const n = this.#words
    entries[at + 1] = copy.rank | (copy.checked ? CHECKED : 0)
    entries[at + 2] = copy.protocol
    entries[at + 3] = portsKey(bitsOf(copy), copy.localPort, copy.remotePort)
    for (let i = 0; i < n; i++) {
      entries[at + 4 + i] = copy.local?.words[i] ?? 0
      entries[at + 4 + n + i] = copy.remote?.words[i] ?? 0
    }
    let h = mix(mix(mix(entries[at + 2]!, entries[at + 3]!), entries[at + 4]!), entries[at + 4 + n]!)
    for (let i = 1; i < n; i++) h = mix(h, entries[at + 4 + i]!)
    for (let i = 1; i < n; i++) h = mix(h, entries[at + 4 + n + i]!)
    const head = this.#shapes[shape + 2]! + ((h ^ (h >>> 15)) & this.#shapes[shape + 3]!)
    entries[at] = this.#heads[head]!
    this.#heads[head] = at + 1
  }
}

/** A rule in as many copies as it has combinations, or, where those are more than `limit`, in fewer that the rule has to check. */
function copiesOf(rule: ReadRule, rank: number, words: 1 | 4, limit: number): Copy[] {
  const ofFamily = (list: readonly Prefix[]): (Prefix | null)[] =>
    list.length === 0 ? [null] : list.filter((p) => p.words.length === words)
  let protocols: readonly number[] = rule.protocols.length === 0 ? [-1] : rule.protocols
  let local = ofFamily(rule.local)
  let remote = ofFamily(rule.remote)
  let localPorts = exact(rule.localPorts)
  let remotePorts = exact(rule.remotePorts)
  const all = (): number => protocols.length * local.length * remote.length * localPorts.length * remotePorts.length
  // What tells rules apart least is given up first.
  if (all() > limit) localPorts = [-1]
  if (all() > limit) remotePorts = [-1]
  if (all() > limit) {
    if (local.length > remote.length) local = [null]
    else remote = [null]
  }
  if (all() > limit) protocols = [-1]
  if (all() > limit) {
    local = [null]
    remote = [null]
  }
  const checked =
    (protocols[0] === -1) !== (rule.protocols.length === 0) ||
    (local[0] === null) !== (rule.local.length === 0) ||
    (remote[0] === null) !== (rule.remote.length === 0) ||
    (localPorts[0] === -1) !== (rule.localPorts.length === 0) ||
    (remotePorts[0] === -1) !== (rule.remotePorts.length === 0)
  const copies: Copy[] = []
  for (const protocol of protocols)
    for (const l of local)
      for (const r of remote)
        for (const localPort of localPorts)
          for (const remotePort of remotePorts)
            copies.push({ rank, checked, protocol, localPort, remotePort, local: l, remote: r })
  return copies
}

/** The ports of a list, where all of it are single ports; else -1: the rule has to look. */
function exact(list: readonly Ports[]): readonly number[] {
  if (list.length === 0 || list.some((p) => p.first !== p.last)) return [-1]
  return [...new Set(list.map((p) => p.first))]
}

function bitsOf(c: Copy): number {
  return (
    (c.protocol === -1 ? 0 : PROTOCOL) | (c.localPort === -1 ? 0 : LOCAL_PORT) | (c.remotePort === -1 ? 0 : REMOTE_PORT)
  )
}

/** The ports of a key, those that do not count as 0. */
function portsKey(bits: number, localPort: number, remotePort: number): number {
  return ((bits & LOCAL_PORT) === 0 ? 0 : localPort << 16) | ((bits & REMOTE_PORT) === 0 ? 0 : remotePort)
}

function lengthOf(p: Prefix | null): number {
  return p === null ? 0 : p.length
}

function maskOf(length: number): number {
  return length <= 0 ? 0 : length >= 32 ? -1 : -1 << (32 - length)
}

function mix(h: number, word: number): number {
  const x = Math.imul(h ^ word, 0x9e3779b1)
  return x ^ (x >>> 13)
}
