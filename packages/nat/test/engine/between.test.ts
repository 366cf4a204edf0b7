// What becomes of a packet's traces when the router drops it between the halves: nothing of it is left for the next.
import { Batch, type Frame } from '@l2l3/switch-core'
import { ipv4, parseIpv4 } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import type { DestinationPolicy } from '../../src/index.ts'
import { cut } from '../nat-lab.ts'
import { describe as describePacket, hex, INSIDE, icmpPacket, Lab, OUTSIDE, tcpPacket, udpPacket } from './lab.ts'

const IN = '0200000000a0 02000000000a 0800'

/** Gives an interface within a packet that somebody else holds as well: a mirror port, a capture. */
function shared(lab: Lab, ip: string): string[] {
  const f = lab.pool.from(hex(IN + ip)) as Frame
  lab.pool.ledger.receive(1)
  lab.pool.share(f, 1)
  const batch = new Batch(1)
  batch.push(f)
  lab.ifaces[INSIDE]?.process(batch)
  const out = lab.say(INSIDE)
  lab.pool.drop(f, 0)
  return out
}

/** Known packets that die in the router, whatever rows they have. */
function dieOnTheWay(lab: Lab): void {
  lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
  for (let i = 0; i < 6; i++) lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53', { ttl: 1 }))
}

/** An error about `quoted` (hex) with one hop left: it is translated, and dropped. */
function dyingError(from: string, to: string, quoted: string): string {
  const b = hex(icmpPacket({ src: from, dst: to, ttl: 1 }, 3, 3, 0, hex(quoted)))
  expect(ipv4.ttl(b, 0)).toBe(1)
  return Buffer.from(b).toString('hex')
}

const toAnn: DestinationPolicy = {
  decide(q) {
    if (q.tuple.dst !== parseIpv4('203.0.113.1')) return false
    q.toAddress = parseIpv4('10.22.0.11') as number
    q.toPort = 7000
    q.tag = 7
    return true
  },
}

describe('a row that a dropped packet had', () => {
  it('says nothing of an untracked message that is copied into it', () => {
    const lab = Lab.masquerading({}, {}, { frames: 64 })
    dieOnTheWay(lab)
    // A router advertisement of ICMP (type 9) belongs to no flow.
    const message = icmpPacket({ src: '10.22.0.12', dst: '203.0.113.9' }, 9, 0, 0, new Uint8Array(0))
    expect(shared(lab, message)).toEqual([expect.stringMatching(/^1: icmp 9 10\.22\.0\.12#\d+ > 203\.0\.113\.9$/)])
  })

  it('says nothing of a packet of no flow that is let pass', () => {
    const lab = Lab.masquerading({ invalid: 'pass' }, {}, { frames: 64 })
    dieOnTheWay(lab)
    expect(shared(lab, tcpPacket('10.22.0.12#7000 > 203.0.113.9#80', 'SA'))).toEqual([
      '1: tcp 10.22.0.12#7000 > 203.0.113.9#80',
    ])
  })

  it.each([INSIDE, OUTSIDE])('says nothing of a packet of the router itself (%i)', (side) => {
    const lab = side === OUTSIDE ? Lab.masquerading({}, {}, { frames: 64 }) : new Lab(() => ({ destination: [toAnn] }))
    const [out] =
      side === OUTSIDE
        ? lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
        : lab.send(OUTSIDE, udpPacket('203.0.113.2#6000 > 203.0.113.1#8080'))
    const quoted = (out as string).slice(3)
    const [from, to] = side === OUTSIDE ? ['203.0.113.2', '203.0.113.1'] : ['10.22.0.11', '203.0.113.2']
    lab.send(side, dyingError(from, to, quoted))
    expect(lab.drops.TtlExceeded).toBe(1)
    const own = udpPacket('203.0.113.1#500 > 203.0.113.9#500', { data: 64 })
    for (let i = 0; i < 2; i++) {
      const f = lab.pool.from(hex(`0000000000000000000000000800${own}`)) as Frame
      lab.pool.ledger.originate(1)
      lab.router.send(f)
      expect(lab.collect()).toEqual([`1: ${own}`])
    }
  })
})

describe('a first fragment that dies of its TTL', () => {
  const pieces = (id: number, ttl: number): [Uint8Array, Uint8Array] =>
    cut(hex(udpPacket('10.22.0.11#5000 > 203.0.113.2#53', { data: 1000, ttl })), 504, id)

  it('takes those that waited for it along', () => {
    const lab = Lab.masquerading({ fragments: { heldFrames: 8 } })
    for (let id = 0; id < 8; id++) {
      const [first, second] = pieces(100 + id, 1)
      lab.send(INSIDE, second)
      lab.send(INSIDE, first)
    }
    lab.seconds(0.1)
    expect(lab.nat.fragments.held).toBe(0)
    const [first, second] = pieces(9, 64)
    lab.send(INSIDE, second)
    expect(lab.send(INSIDE, first)).toHaveLength(2)
  })
})

it.each([
  ['to the node itself', '203.0.113.1#9', {}],
  ['that are dropped', '203.0.113.9#9', { whenFull: 'refuse', maxFlows: 16 } as const],
])('a stream of first fragments %s does not stop others', (_, to, options) => {
  const lab = Lab.masquerading({ ...options, fragments: { packets: 64 } })
  lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
  for (let port = 1; port < 16; port++) lab.send(INSIDE, udpPacket(`10.22.0.12#${port} > 203.0.113.2#53`))
  for (let i = 0; i < 200; i++) {
    const [first] = cut(hex(udpPacket(`203.0.113.66#1 > ${to}`, { data: 16 })), 8, i)
    lab.send(OUTSIDE, first)
  }
  const [first, second] = cut(hex(udpPacket('10.22.0.11#5000 > 203.0.113.2#53', { data: 1000 })), 504, 9)
  expect(lab.send(INSIDE, first, second)).toHaveLength(2)
})

it('a flow whose packet did not leave is given up at the next tick', () => {
  const ended: number[] = []
  const lab = new Lab(() => ({ destination: [{ ...toAnn, ended: (tag) => void ended.push(tag) }] }))
  lab.send(OUTSIDE, udpPacket('203.0.113.2#6000 > 203.0.113.1#8080', { ttl: 1 }))
  lab.seconds(0.1)
  expect(ended).toEqual([7])
})

describe.each([
  ['one zone', [0, 0]],
  ['two zones', [1, 2]],
] as const)('the router’s own error, with %s', (_, zones) => {
  // Time exceeded quotes 28 bytes and more of the packet, as its sender knows it.
  const quoted = (lines: string[]): string => describePacket(hex((lines[0] as string).slice(3)).subarray(28))

  it('names the address that the client asked for, for a new flow and one that stands', () => {
    const lab = new Lab(() => ({ destination: [toAnn], zones }))
    const dying = udpPacket('203.0.113.2#6000 > 203.0.113.1#8080', { ttl: 1 })
    expect(quoted(lab.send(OUTSIDE, dying))).toBe('udp 203.0.113.2#6000 > 203.0.113.1#8080')
    lab.send(OUTSIDE, udpPacket('203.0.113.2#6000 > 203.0.113.1#8080'))
    expect(quoted(lab.send(OUTSIDE, dying))).toBe('udp 203.0.113.2#6000 > 203.0.113.1#8080')
  })

  it('names the outside address to who answers', () => {
    const lab = Lab.masquerading({ zones })
    lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
    const dying = udpPacket('203.0.113.2#53 > 203.0.113.1#5000', { ttl: 1 })
    expect(quoted(lab.send(OUTSIDE, dying))).toBe('udp 203.0.113.2#53 > 203.0.113.1#5000')
  })
})
