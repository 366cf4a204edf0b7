// What ARP and ND say of frames that are followed: who answers and why, who is asked because of a frame, what a port may not use.
import type { Element } from '@l2l3/switch-core'
import { FramePool, Loop, MemoryPort, Pipeline, Router, SECOND, VirtualClock } from '@l2l3/switch-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Listener } from '../../switch-core/test/listener.ts'
import {
  ArpGuard,
  KnownNeighbours,
  NeighbourTable,
  PortBindings,
  ProxyArp,
  ProxyNd,
  Responder,
  SourceGuard,
  Suppressor,
} from '../src/index.ts'
import { ALL, ANN, BEN, hex4, isAt, mac, na, ns, US, whoHas } from './lab.ts'

interface Bench {
  readonly pool: FramePool
  readonly clock: VirtualClock
  readonly loop: Loop
  readonly wire: MemoryPort
  readonly rest: MemoryPort
}

/** A port whose frames go through an element; what that leaves comes out of `rest`. */
function bench(make: (b: Bench) => Element): Bench {
  const pool = new FramePool({ frames: 128 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const b = { pool, clock, loop, wire: new MemoryPort(pool, 'wire'), rest: new MemoryPort(pool, 'rest') }
  loop.add(b.wire, new Pipeline(make(b), loop.link(b.rest).target))
  return b
}

/** What is said when frames come in. */
function said(b: Bench, ...frames: string[]): string[] {
  const trace = new Listener(b.pool)
  for (const f of frames) b.wire.inject(Buffer.from(f, 'hex'))
  b.loop.settle()
  b.pool.trace = null
  expect(b.pool.report().balanced).toBe(true)
  return trace.heard()
}

const known = (): KnownNeighbours => {
  const table = new KnownNeighbours()
  table.set('10.0.0.2', mac(BEN))
  table.set('fd00::2', mac(BEN))
  return table
}

/** An IPv4 frame from a MAC and an address. */
const ip4 = (src: string, from: string, to = '10.0.0.1'): string =>
  `${US}${src}0800 4500001c00000000 4011 0000 ${hex4(from)}${hex4(to)} 0007000700080000`.replaceAll(' ', '')

describe('who answers explains', () => {
  it('a responder', () => {
    const b = bench(({ pool, loop, wire }) => new Responder(pool, { out: loop.link(wire), known: known() }))
    expect(said(b, whoHas(ANN, '10.0.0.1', '10.0.0.2'), ns(ANN, 'fd00::1', 'fd00::2'))).toEqual([
      `ARP responder > who has 10.0.0.2? Answered: it is known to be at ${mac(BEN)}`,
      `ARP responder > neighbour solicitation for fd00::2? Answered: it is known to be at ${mac(BEN)}`,
    ])
    expect(said(b, whoHas(ANN, '10.0.0.1', '10.0.0.3'))).toEqual([])
  })

  it('a suppressor that floods nothing', () => {
    const b = bench(({ pool, clock, loop, wire }) => {
      return new Suppressor(pool, clock, { out: loop.link(wire), known: known(), variant: 'overlay' })
    })
    expect(said(b, whoHas(ANN, '10.0.0.1', '10.0.0.3'))).toEqual([
      'ARP suppressor: nothing is known to answer it with, and it is not flooded',
    ])
  })

  it('a proxy: by which route it answers, or why it does not', () => {
    const b = bench(({ pool, clock, loop, wire, rest }) => {
      const router = new Router(pool, clock)
      const add = (name: string, out: MemoryPort, address: string): unknown =>
        router.addInterface({ name, mac: mac(US), out: loop.link(out), addresses: [address] })
      const pod = add('cali1', wire, '10.1.0.1/24')
      add('uplink', rest, '192.0.2.1/24')
      return new ProxyArp(pool, clock, { mac: mac(US), out: loop.link(wire), routes: router, interface: pod })
    })
    expect(said(b, whoHas(ANN, '10.0.0.5', '192.0.2.9'), whoHas(ANN, '10.0.0.5', '198.51.100.1'))).toEqual([
      `proxy ARP > who has 192.0.2.9? Answered: its route leads by uplink, so it is at ${mac(US)} for this link`,
      'proxy ARP: 198.51.100.1 is not answered for: no route leads there',
    ])
    expect(said(b, whoHas(ANN, '10.0.0.5', '10.1.0.9'), whoHas(ANN, '10.0.0.5', '192.0.2.1'))).toEqual([
      'proxy ARP: 10.1.0.9 is not answered for: its route leads by cali1',
      `proxy ARP > who has 192.0.2.1? Answered: it is an address of this node, so it is at ${mac(US)} for this link`,
    ])
  })

  it('a proxy for ND', () => {
    const b = bench(({ pool, clock, loop, wire }) => {
      const proxy = new ProxyNd(pool, clock, { mac: mac(US), out: loop.link(wire) })
      proxy.add('fd00::9')
      return proxy
    })
    expect(said(b, ns(ANN, 'fd00::1', 'fd00::9'))).toEqual([
      `proxy ND > neighbour solicitation for fd00::9? Answered: on behalf of its owner, with ${mac(US)}`,
    ])
  })
})

/** A table whose frames wait and go, with what it says. */
function table(): { b: Bench; neighbours: NeighbourTable; send: (ip: number) => string[] } {
  let neighbours: NeighbourTable | undefined
  const b = bench(({ pool, clock, loop, wire }) => {
    const out = loop.link(wire)
    neighbours = new NeighbourTable(pool, clock, {
      ...{ mac: mac(US), out, addresses: ['10.0.0.1/24', 'fd00::1/64'] },
      client: { resolved: (f) => out.push(f), failed: (f) => pool.drop(f, 0) },
    })
    return neighbours.input
  })
  const made = neighbours as NeighbourTable
  const send = (ip: number): string[] => {
    const trace = new Listener(b.pool)
    const f = b.pool.from(Buffer.alloc(60))
    b.pool.ledger.originate(1)
    if (f !== -1 && made.resolve4(f, ip)) b.pool.sent(f)
    b.loop.settle()
    b.pool.trace = null
    return trace.heard()
  }
  return { b, neighbours: made, send }
}

describe('a neighbour table explains', () => {
  it('whom a frame waits for, that he is asked, and that he has answered', () => {
    const { b, send } = table()
    expect(send(0x0a000002)).toEqual([
      'neighbours: waits for the MAC of 10.0.0.2, for which is asked now',
      'neighbours > who has 10.0.0.2? Asked for a frame that waits',
    ])
    expect(send(0x0a000002)).toEqual(['neighbours: waits for the MAC of 10.0.0.2, for which was asked before'])
    const waited = `neighbours: the next hop that it has waited for is at ${mac(BEN)} (it has answered)`
    expect(said(b, isAt(US, '10.0.0.1', BEN, '10.0.0.2'))).toEqual([
      waited,
      waited,
      `neighbours: 10.0.0.2 is at ${mac(BEN)} (reachable)`,
    ])
    expect(send(0x0a000002)).toEqual([`neighbours: 10.0.0.2 is at ${mac(BEN)} (reachable)`])
    b.clock.advance(60 * SECOND)
    expect(send(0x0a000002)).toEqual([`neighbours: 10.0.0.2 is at ${mac(BEN)} (reachable)`])
    expect(send(0x0a000002)).toEqual([`neighbours: 10.0.0.2 is at ${mac(BEN)} (delay)`])
    expect(send(0xe0000005)).toEqual(['neighbours: to the MAC of the group, 01:00:5e:00:00:05'])
    expect(send(0xffffffff)).toEqual(['neighbours: to all on the link'])
  })

  it('that nobody answers', () => {
    const { b, neighbours, send } = table()
    send(0x0a000009)
    const trace = new Listener(b.pool)
    for (let i = 0; i < 10; i++) {
      b.clock.advance(SECOND)
      neighbours.tick(b.clock.now)
      b.loop.settle()
    }
    expect(trace.heard()).toEqual(['neighbours: the next hop that it has waited for does not answer'])
  })

  it('questions for its own addresses, others, and claims', () => {
    const { b } = table()
    expect(said(b, whoHas(ANN, '10.0.0.5', '10.0.0.1'))).toEqual([
      `neighbours: 10.0.0.5 is at ${mac(ANN)} (stale)`,
      'neighbours > who has 10.0.0.1? Answered: it is an address of ours',
    ])
    expect(said(b, ns(ANN, 'fd00::5', 'fd00::1'))).toEqual([
      `neighbours: fd00::5 is at ${mac(ANN)} (stale)`,
      'neighbours > neighbour solicitation for fd00::1? Answered: it is an address of ours',
    ])
    expect(said(b, isAt(US, '10.0.0.1', BEN, '10.0.0.7'))).toEqual([
      'neighbours: nothing is kept of 10.0.0.7, for which nobody here has asked',
    ])
    expect(said(b, isAt(US, '10.0.0.1', BEN, '10.0.0.1'))).toEqual([
      'neighbours: it claims an address of ours: nothing is learnt from it',
    ])
    // An advertisement for nobody's address must not upset it.
    expect(said(b, na(US, BEN, 'fd00::9', 'fd00::1', '::', 0x60, BEN))).toEqual([
      'neighbours: nothing is kept of ::, for which nobody here has asked',
    ])
  })
})

describe('a guard explains', () => {
  const bindings = new PortBindings([{ mac: mac(ANN), address: '10.0.0.5' }])
  it('which claim, or source, the port may not use', () => {
    const b = bench(({ pool }) => new Pipeline(new SourceGuard(pool, bindings), new ArpGuard(pool, bindings)))
    expect(said(b, whoHas(ANN, '10.0.0.6', '10.0.0.1'))).toEqual([
      `ARP guard: ${mac(ANN)} claims 10.0.0.6, which is not one of the port's pairs`,
    ])
    expect(said(b, ip4(ANN, '10.0.0.6'))).toEqual([
      `source guard: 10.0.0.6 at ${mac(ANN)} is not one of the port's addresses`,
    ])
    expect(said(b, ip4(BEN, '10.0.0.5'))).toEqual([`source guard: ${mac(BEN)} is not one of the port's addresses`])
    expect(said(b, ip4(ANN, '10.0.0.5'))).toEqual([])
  })
})

describe('and all do what they do untraced', () => {
  const address = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.5', '192.0.2.9', '0.0.0.0')
  const six = fc.constantFrom('fd00::1', 'fd00::2', 'fd00::5', '::')
  const sha = fc.constantFrom(ANN, BEN, US)
  const message = fc.oneof(
    fc.tuple(sha, address, address).map(([a, b, c]) => whoHas(a, b, c)),
    fc.tuple(sha, address).map(([a, b]) => isAt(US, '10.0.0.1', a, b)),
    fc.tuple(sha, six, six).map(([a, b, c]) => ns(a, b, c)),
    fc.tuple(sha, six, six).map(([a, b, c]) => na(US, a, b === '::' ? 'fd00::5' : b, 'fd00::1', c, 0x60, a)),
    fc.tuple(sha, address).map(([a, b]) => ip4(a, b)),
    fc.tuple(fc.constantFrom('0806', '86dd', '0800'), fc.uint8Array({ maxLength: 60 })).map(([type, b]) => {
      return `${ALL}${ANN}${type}${Buffer.from(b).toString('hex')}`
    }),
  )
  it('whatever comes', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(message, fc.constant('send')), { maxLength: 30 }), (steps) => {
        const [plain, traced] = [false, true].map((listening) => {
          let neighbours: NeighbourTable | undefined
          const bindings = new PortBindings([
            { mac: mac(ANN), address: '10.0.0.5' },
            { mac: mac(BEN), address: '10.0.0.2' },
          ])
          const b = bench(({ pool, clock, loop, wire }) => {
            const out = loop.link(wire)
            neighbours = new NeighbourTable(pool, clock, {
              ...{ mac: mac(US), out, addresses: ['10.0.0.1/24', 'fd00::1/64'] },
              client: { resolved: (f) => out.push(f), failed: (f) => pool.drop(f, 0) },
            })
            return new Pipeline(
              new SourceGuard(pool, bindings),
              new ArpGuard(pool, bindings),
              neighbours.input,
              new Suppressor(pool, clock, { out, known: known(), variant: 'overlay' }),
            )
          })
          const made = neighbours as NeighbourTable
          if (listening) new Listener(b.pool)
          const out = steps.map((step) => {
            b.clock.advance(SECOND)
            made.tick(b.clock.now)
            if (step === 'send') {
              const f = b.pool.from(Buffer.alloc(60))
              b.pool.ledger.originate(1)
              if (f !== -1 && made.resolve4(f, 0x0a000002)) b.pool.sent(f)
            } else b.wire.inject(Buffer.from(step, 'hex'))
            b.loop.settle()
            return [b.wire, b.rest].map((port) => port.takeAll().map((x) => Buffer.from(x).toString('hex')))
          })
          return { out, entries: [...made.list()], counters: { ...made.counters }, report: b.pool.report() }
        })
        expect(traced).toEqual(plain)
      }),
      { numRuns: 200 },
    )
  })
})
