import { DROP_NAMES, Drop } from '@l2l3/switch-core'
import { formatIpv4, parseIpv4, parseIpv6 } from '@l2l3/switch-core/wire'
import { Addresses6 } from '../../src/addresses6.ts'
import { NewFlow } from '../../src/policy.ts'
import { Balancer } from '../../src/service/balancer.ts'
import type { BalancerOptions } from '../../src/service/balancer-options.ts'
import { IPV6, Proto } from '../../src/tuple.ts'

/*
 * Asking a balancer as the engine does, in words: who is asked for, what is the answer.
 */

export const SECOND = 1e9

/** What a flow is like. */
export interface Packet {
  from: string
  to: string
  fromPort?: number
  toPort: number
  protocol?: 'tcp' | 'udp' | 'sctp'
  toLocal?: boolean
  zone?: number
  /** Seconds. */
  at?: number
  /** Interface it came in by; 0 is the node itself. */
  in?: number
}

/** An answer as text: `pass`, `reject`, `drop`, or where it goes: `10.0.0.1:80`, with `snat` or `snat ADDRESS`, or
 * `via 10.0.0.1`. */
export class Asking {
  readonly addresses: Addresses6 = new Addresses6({ max: 1024 })
  readonly balancer: Balancer
  readonly flow: NewFlow
  /** Tags of flows that were given a backend. */
  readonly tags: number[] = []
  #port = 40_000

  constructor(options: BalancerOptions = {}) {
    this.balancer = new Balancer(this.addresses, options)
    this.flow = new NewFlow(this.addresses)
  }

  /** A flow's number for an address; IPv6 is held for good. */
  number(text: string): number {
    return text.includes(':') ? this.addresses.intern(parseIpv6(text), 0) : parseIpv4(text)
  }

  text(address: number, ipv6: boolean): string {
    return ipv6 ? `[${this.addresses.format(address)}]` : formatIpv4(address)
  }

  ask(p: Packet): string {
    const { flow } = this
    const ipv6 = p.to.includes(':')
    const protocol = { tcp: Proto.Tcp, udp: Proto.Udp, sctp: Proto.Sctp }[p.protocol ?? 'tcp']
    const fromPort = p.fromPort ?? this.#port++
    flow.tuple.set(
      this.number(p.from),
      this.number(p.to),
      fromPort,
      p.toPort,
      ((p.zone ?? 0) << 16) | (ipv6 ? IPV6 : 0) | protocol,
    )
    flow.original.copy(flow.tuple)
    flow.in = p.in ?? 1
    flow.out = 0
    flow.toLocal = p.toLocal ?? false
    flow.now = (p.at ?? 0) * SECOND
    flow.reset()
    if (!this.balancer.decide(flow)) return 'pass'
    if (flow.drop !== -1) {
      if (flow.drop !== Drop.NoBackend) throw new Error(DROP_NAMES[flow.drop])
      return flow.reject ? 'reject' : 'drop'
    }
    this.tags.push(flow.tag)
    if (flow.routeBy !== 0) return `via ${this.text(flow.routeBy, ipv6)}`
    const to = `${this.text(flow.toAddress, ipv6)}:${flow.toPort}`
    if (!flow.masquerade) return to
    return flow.sourceAddress === 0 ? `${to} snat` : `${to} snat ${this.text(flow.sourceAddress, ipv6)}`
  }

  /** The answers to `n` flows from ports 10,000 and up, and how often each came. */
  many(p: Packet, n: number): Map<string, number> {
    const answers = new Map<string, number>()
    for (let i = 0; i < n; i++) {
      const answer = this.ask({ ...p, fromPort: 10_000 + i })
      answers.set(answer, (answers.get(answer) ?? 0) + 1)
    }
    return answers
  }
}
