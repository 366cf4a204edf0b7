/**
 * An access control list in the slowest way that is obviously right: every rule is looked at, addresses are big numbers.
 */
import { formatIpv4, formatIpv6, parseIpv4, parseIpv6 } from '@l2l3/switch-core/wire'
import type { Question } from '../../src/acl/question.ts'
import type { AclOptions, AclRule } from '../../src/index.ts'

export interface Flow {
  out: boolean
  protocol: number
  local: string
  remote: string
  localPort: number
  remotePort: number
}

const number = (address: string): bigint =>
  address.includes(':')
    ? parseIpv6(address).reduce((sum, b) => (sum << 8n) | BigInt(b), 0n)
    : BigInt(parseIpv4(address))

function inPrefix(prefix: string, address: string): boolean {
  const [network, length] = prefix.split('/') as [string, string | undefined]
  if (network.includes(':') !== address.includes(':')) return false
  const bits = network.includes(':') ? 128n : 32n
  const shift = bits - (length === undefined ? bits : BigInt(length))
  return number(network) >> shift === number(address) >> shift
}

function inPort(range: number | string, port: number): boolean {
  const [first, last = first] = String(range).split('-') as [string, string?]
  return port >= Number(first) && port <= Number(last)
}

const any = <T>(list: readonly T[] | undefined, test: (t: T) => boolean): boolean =>
  list === undefined || list.length === 0 || list.some(test)

export function matches(rule: AclRule, flow: Flow): boolean {
  return (
    rule.direction === (flow.out ? 'out' : 'in') &&
    any(rule.protocols, (p) => p === flow.protocol) &&
    any(rule.localAddresses, (p) => inPrefix(p, flow.local)) &&
    any(rule.remoteAddresses, (p) => inPrefix(p, flow.remote)) &&
    any(rule.localPorts, (p) => inPort(p, flow.localPort)) &&
    any(rule.remotePorts, (p) => inPort(p, flow.remotePort))
  )
}

/** Whether the flow may pass. */
export function allows(acl: AclOptions, flow: Flow): boolean {
  const tiers = [...(acl.tiers ?? [])].sort((a, b) => a.order - b.order).map((t) => t.rules)
  let allowed = false
  for (const layer of ['switch', 'host'] as const) {
    for (const rules of [...tiers, acl.rules ?? []]) {
      const found = rules
        .filter((rule) => (rule.ruleType ?? 'switch') === layer && matches(rule, flow))
        .sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0) || blocks(b) - blocks(a))[0]
      if (found?.action === 'block') return false
      if (found?.action === 'allow') {
        allowed = true
        break
      }
    }
  }
  if (allowed) return true
  if ((acl.defaults ?? 'process') === 'process') return flow.out || [1, 2, 6, 17, 58].includes(flow.protocol)
  return acl.defaults !== 'block'
}

const blocks = (rule: AclRule): number => (rule.action === 'block' ? 1 : 0)

/** The same flow as the compiled rules are asked about it. */
export function ask(q: Question, flow: Flow): Question {
  q.out = flow.out
  q.family = flow.local.includes(':') ? 6 : 4
  q.protocol = flow.protocol
  q.localPort = flow.localPort
  q.remotePort = flow.remotePort
  for (const [words, address] of [
    [q.local, flow.local],
    [q.remote, flow.remote],
  ] as const) {
    if (q.family === 4) words.set([parseIpv4(address), 0, 0, 0])
    else {
      const view = new DataView(parseIpv6(address).buffer)
      for (let i = 0; i < 4; i++) words[i] = view.getInt32(4 * i)
    }
  }
  return q
}

/** An address of either family in a small world, so that rules and flows meet. */
export function address(family: 4 | 6, n: number): string {
  if (family === 4) return formatIpv4(((10 << 24) | ((n & 0x300) << 8) | (n & 255)) >>> 0)
  const b = new Uint8Array(16)
  b.set([0xfd, 0, (n >>> 8) & 3])
  b[15] = n & 255
  return formatIpv6(b)
}

/** The prefix of this length around an address. */
export function prefix(family: 4 | 6, n: number, length: number): string {
  const text = address(family, n)
  const bits = BigInt(family === 4 ? 32 : 128)
  const shift = bits - BigInt(length)
  const masked = (number(text) >> shift) << shift
  if (family === 4) return `${formatIpv4(Number(masked))}/${length}`
  const b = new Uint8Array(16)
  for (let i = 0; i < 16; i++) b[15 - i] = Number((masked >> BigInt(8 * i)) & 255n)
  return `${formatIpv6(b)}/${length}`
}
