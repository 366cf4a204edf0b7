import { describe, expect, it } from 'vitest'
import { KnownNeighbours, ProxyArp, ProxyNd, type ProxyRoute, Responder, Suppressor } from '../src/index.ts'
import { ANN, arp, BEN, Bench, EVE, icmp6, isAt, mac, na, ns, O, R, S, US, whoHas, ZERO } from './lab.ts'

/** Answers on behalf of others: responder, suppressor, and what the proxies have beside the table they share with
 * Linux. */

describe('responder', () => {
  function responder(answerProbes = true): Bench {
    const bench = new Bench()
    const known = new KnownNeighbours()
    known.set('10.240.0.12', '02:00:00:00:00:02')
    known.set('fe80::b', mac(BEN), true)
    bench.attach(new Responder(bench.pool, { out: bench.out, known, answerProbes }))
    return bench
  }

  // A pod asks for another pod of the node: recorded behind an Azure bridge.
  const POD = '020000000001'
  const question = 'ffffffffffff020000000001080600010800060400010200000000010af0000b0000000000000af0000c'
  const answer = '02000000000102000000000208060001080006040002 0200000000020af0000c0200000000010af0000b'.replace(
    ' ',
    '',
  )

  it('answers for another pod with its MAC, also in the Ethernet header', () => {
    const bench = responder()
    expect(bench.send(question, question + '00'.repeat(18))).toEqual([answer, answer])
    expect(bench.through.take()).toEqual([])
    expect(bench.drops).toEqual({ Consumed: 2 })
  })

  it('answers the fabric with the pod’s MAC, as Azure’s bridge does', () => {
    const bench = new Bench()
    const known = new KnownNeighbours()
    known.set('10.240.0.11', '02:00:00:00:00:01')
    bench.attach(new Responder(bench.pool, { out: bench.out, known }))
    const fabric = 'ffffffffffff123456789abc08060001080006040001123456789abc0af000010000000000000af0000b'
    const reply = '123456789abc0200000000010806000108000604 0002 0200000000010af0000b123456789abc0af00001'
    expect(bench.send(fabric)).toEqual([reply.replaceAll(' ', '')])
  })

  it('answers solicitations with S, O and the neighbour’s R, and duplicate address detection to all', () => {
    const bench = responder()
    expect(bench.send(ns(ANN, 'fe80::a', 'fe80::b'))).toEqual([
      na(ANN, BEN, 'fe80::b', 'fe80::a', 'fe80::b', R | S | O, BEN),
    ])
    expect(bench.send(ns(ANN, '::', 'fe80::b'))).toEqual([
      na('333300000001', BEN, 'fe80::b', 'ff02::1', 'fe80::b', R | O, BEN),
    ])
  })

  it('answers a solicitation without a MAC to where the frame came from', () => {
    const bench = responder()
    const body = `8700000000000000fe80${'0'.repeat(26)}0b`
    expect(bench.send(icmp6(BEN, ANN, 'fe80::a', 'fe80::b', body))).toEqual([
      na(ANN, BEN, 'fe80::b', 'fe80::a', 'fe80::b', R | S | O, BEN),
    ])
  })

  it('answers probes, or, if told so, lets them through', () => {
    const frame = whoHas(ANN, '0.0.0.0', '10.240.0.12')
    expect(responder().send(frame)).toEqual([isAt(ANN, '0.0.0.0', '020000000002', '10.240.0.12')])
    const bench = responder(false)
    const frames = [frame, ns(ANN, '::', 'fe80::b')]
    expect(bench.send(...frames)).toEqual([])
    expect(bench.through.take()).toEqual(frames)
  })

  it('lets through what it has no answer to', () => {
    const bench = responder()
    const frames = [
      whoHas(POD, '10.240.0.11', '10.240.0.99'),
      whoHas(EVE, '10.240.0.12', '10.240.0.12'),
      // The owner itself, which asks whether anybody else has its address.
      whoHas('020000000002', '0.0.0.0', '10.240.0.12'),
      ns(BEN, '::', 'fe80::b').replace(/^(.{12}).{12}/, `$1${BEN}`),
      isAt(POD, '10.240.0.11', '020000000002', '10.240.0.12'),
      ns(ANN, 'fe80::a', 'fe80::c'),
      na(ANN, BEN, 'fe80::b', 'fe80::a', 'fe80::b', S | O, BEN),
      question.replace('0806', '810000050806'),
      question.slice(0, 82),
      ns(ANN, 'fe80::a', 'fe80::b').replace('3aff', '3afe'),
    ]
    expect(bench.send(...frames)).toEqual([])
    expect(bench.through.take()).toEqual(frames)
  })

  it('drops nothing but the question where the pool is spent, and says so', () => {
    const bench = new Bench(1)
    const known = new KnownNeighbours()
    known.set('10.240.0.12', '02:00:00:00:00:02')
    bench.attach(new Responder(bench.pool, { out: bench.out, known }))
    expect(bench.send(question)).toEqual([])
    expect(bench.drops).toEqual({ Consumed: 1, PoolSpent: 1 })
  })

  it('knows what it is told, and no more', () => {
    const known = new KnownNeighbours(2)
    known.set('10.0.0.1', mac(ANN))
    known.set('10.0.0.1', mac(BEN))
    known.set('fe80::1', mac(ANN))
    expect([...known.list()]).toEqual([
      { address: '10.0.0.1', mac: mac(BEN), router: false },
      { address: 'fe80::1', mac: mac(ANN), router: false },
    ])
    expect(() => known.set('10.0.0.2', mac(ANN))).toThrow(/10\.0\.0\.2.*no room/)
    expect(known.delete('10.0.0.1')).toBe(true)
    expect(known.delete('10.0.0.1')).toBe(false)
    expect(known.size).toBe(1)
    expect(() => known.set('10.0.0.300', mac(ANN))).toThrow(/address.*10\.0\.0\.300/)
    expect(() => known.set('10.0.0.3', 'ff:ff:ff:ff:ff:ff')).toThrow(/mac.*group/)
  })
})

describe('suppressor', () => {
  const REMOTE = '02420a000009'
  function suppressor(variant: 'plain' | 'overlay'): { bench: Bench; misses: string[]; s: Suppressor } {
    const bench = new Bench()
    const known = new KnownNeighbours()
    known.set('10.0.0.9', mac(REMOTE))
    known.set('fd00::9', mac(REMOTE))
    const misses: string[] = []
    const s = new Suppressor(bench.pool, bench.clock, {
      out: bench.out,
      known,
      variant,
      missesPerSecond: 3,
      onMiss: (address) => misses.push(address),
    })
    bench.attach(s)
    return { bench, misses, s }
  }
  const known4 = whoHas(ANN, '10.0.0.10', '10.0.0.9')
  const known6 = ns(ANN, 'fd00::a', 'fd00::9')
  const probe = whoHas(ANN, '0.0.0.0', '10.0.0.9')
  const unknown4 = whoHas(ANN, '10.0.0.10', '10.0.0.77')
  const unknown6 = ns(ANN, 'fd00::a', 'fd00::77')

  it.each(['plain', 'overlay'] as const)('%s: answers with the remote MAC as its own source, unicast', (variant) => {
    const { bench, s } = suppressor(variant)
    expect(bench.send(known4)).toEqual([isAt(ANN, '10.0.0.10', REMOTE, '10.0.0.9')])
    expect(bench.send(known6)).toEqual([na(ANN, REMOTE, 'fd00::9', 'fd00::a', 'fd00::9', S | O, REMOTE)])
    expect(bench.through.take()).toEqual([])
    expect(s.counters).toEqual({ answered: 2, probes: 0, misses: 0, missErrors: 0 })
  })

  it('plain: lets probes, unknown questions, answers and announcements through', () => {
    const { bench, misses, s } = suppressor('plain')
    const frames = [
      probe,
      unknown4,
      unknown6,
      whoHas(ANN, '10.0.0.10', '10.0.0.10'),
      isAt(BEN, '10.0.0.11', ANN, '10.0.0.10'),
      na('333300000001', ANN, 'fd00::a', 'ff02::1', 'fd00::a', O, ANN),
    ]
    expect(bench.send(...frames)).toEqual([])
    expect(bench.through.take()).toEqual(frames)
    expect(misses).toEqual([])
    expect(s.counters).toEqual({ answered: 0, probes: 1, misses: 2, missErrors: 0 })
  })

  it('overlay: answers a probe with tpa 0.0.0.0, forwards no ARP, and tells of misses', () => {
    const { bench, misses } = suppressor('overlay')
    expect(bench.send(probe)).toEqual([isAt(ANN, '0.0.0.0', REMOTE, '10.0.0.9')])
    const advert = na('333300000001', ANN, 'fd00::a', 'ff02::1', 'fd00::a', O, ANN)
    const frames = [unknown4, unknown6, whoHas(ANN, '10.0.0.10', '10.0.0.10'), isAt(BEN, '10.0.0.11', ANN, '10.0.0.10')]
    expect(bench.send(...frames, advert)).toEqual([])
    expect(bench.through.take()).toEqual([advert])
    expect(misses).toEqual(['10.0.0.77', 'fd00::77'])
    expect(bench.drops).toEqual({ Consumed: 1, ArpFilter: 4 })
  })

  it('overlay: counts all misses, and tells of so many a second', () => {
    const { bench, misses, s } = suppressor('overlay')
    for (let i = 0; i < 50; i++) bench.send(unknown4)
    expect(misses.length).toBe(3)
    bench.wait(1)
    bench.send(unknown4)
    expect(misses.length).toBe(4)
    expect(s.counters.misses).toBe(51)
  })

  it('overlay: counts an onMiss that throws, tells of its error, and goes on', () => {
    const bench = new Bench()
    const errors: unknown[] = []
    const s = new Suppressor(bench.pool, bench.clock, {
      out: bench.out,
      known: new KnownNeighbours(),
      variant: 'overlay',
      onMiss: (address) => {
        throw new Error(`no way to ${address}`)
      },
      onMissError: (error) => {
        errors.push(error)
        throw new Error('nor to tell')
      },
    })
    bench.attach(s)
    // An error that nobody takes would end the run.
    bench.send(unknown4, unknown6)
    expect(errors.map(String)).toEqual(['Error: no way to 10.0.0.77', 'Error: no way to fd00::77'])
    expect(s.counters).toMatchObject({ misses: 2, missErrors: 2 })
    expect(bench.drops).toEqual({ ArpFilter: 2 })
  })
})

describe('proxy ARP', () => {
  const route: ProxyRoute = { kind: 'unicast', out: 'eth0' }
  function proxy(options: object = {}): { bench: Bench; proxy: ProxyArp } {
    const bench = new Bench()
    const proxy = new ProxyArp(bench.pool, bench.clock, {
      mac: mac(US),
      out: bench.out,
      interface: 'cali1',
      routes: { lookup4: (ip) => (ip === 0x0a630001 ? null : route) },
      ...options,
    })
    bench.attach(proxy)
    bench.loop.every(1e7, proxy)
    return { bench, proxy }
  }
  const question = whoHas(ANN, '10.0.0.10', '8.8.8.8')
  const answer = isAt(ANN, '10.0.0.10', US, '8.8.8.8')

  it('delays answers by a random time below the limit, but not those to it alone', () => {
    const dice = [0.2, 0.9, 0.5]
    const { bench, proxy: p } = proxy({ delayMaxMs: 800, random: () => dice.shift() })
    const other = (n: number): string => whoHas(ANN, '10.0.0.10', `8.8.8.${n}`)
    expect(bench.send(other(1), other(2), other(3))).toEqual([])
    expect(p.waiting).toBe(3)
    expect(bench.send(arp(US, ANN, 1, ANN, '10.0.0.10', ZERO, '8.8.8.8'))).toEqual([answer])
    expect(bench.wait(0.15, 10)).toEqual([])
    expect(bench.wait(0.03, 10)).toEqual([isAt(ANN, '10.0.0.10', US, '8.8.8.1')])
    expect(bench.wait(0.6, 10)).toEqual([isAt(ANN, '10.0.0.10', US, '8.8.8.3'), isAt(ANN, '10.0.0.10', US, '8.8.8.2')])
  })

  it('keeps the order of the times where the clock leaps', () => {
    const dice = [0.9, 0.2, 0.5, 0.2]
    const { bench } = proxy({ delayMaxMs: 800, random: () => dice.shift() })
    for (let n = 1; n <= 4; n++) bench.send(whoHas(ANN, '10.0.0.10', `8.8.8.${n}`))
    expect(bench.wait(1, 1000)).toEqual([2, 4, 3, 1].map((n) => isAt(ANN, '10.0.0.10', US, `8.8.8.${n}`)))
  })

  it('keeps so many answers waiting, and drops others by name', () => {
    const { bench, proxy: p } = proxy({ delayMaxMs: 800, delayQueue: 4 })
    for (let i = 0; i < 50; i++) bench.send(question)
    expect(p.waiting).toBe(4)
    expect(p.counters).toEqual({ answered: 4 })
    expect(bench.drops).toEqual({ Consumed: 50, NeighbourQueueFull: 46 })
    expect(bench.wait(0.9, 10)).toEqual([answer, answer, answer, answer])
    expect(bench.pool.report()).toMatchObject({ held: 0, balanced: true })
  })

  it('answers with a strict source those alone whose own route is by its interface', () => {
    // 10.0.0.10 is behind it, 10.0.0.11 elsewhere, 10.0.0.12 nowhere.
    const routes = {
      lookup4: (ip: number): ProxyRoute | null =>
        ip === 0x0a00000c ? null : { kind: 'unicast', out: ip === 0x0a00000a ? 'cali1' : 'eth0' },
    }
    const asks = (spa: string): string => whoHas(ANN, spa, '8.8.8.8')
    const strict = proxy({ routes, strictSource: true }).bench
    expect(strict.send(asks('10.0.0.10'))).toEqual([answer])
    expect(strict.send(asks('10.0.0.11'), asks('10.0.0.12'))).toEqual([])
    expect(proxy({ routes }).bench.send(asks('10.0.0.11'))).toEqual([isAt(ANN, '10.0.0.11', US, '8.8.8.8')])
  })

  it('keeps 30,000 answers in order, and lets them all go in a moment', () => {
    const n = 30_000
    const bench = new Bench(n + 100)
    const left: number[] = []
    let dice = 0
    const p = new ProxyArp(bench.pool, bench.clock, {
      mac: mac(US),
      out: {
        push: (f) => {
          left.push(bench.pool.view(f).readUInt32BE(28))
          bench.pool.sent(f)
        },
      },
      interface: 'cali1',
      routes: { lookup4: () => route },
      delayMaxMs: 800,
      delayQueue: n,
      // A thousand different times, thirty answers to each.
      random: () => ((dice++ * 7919) % 1000) / 1000,
    })
    bench.attach(p)
    const due = Array.from({ length: n }, (_, i) => (i * 7919) % 1000)
    for (let i = 0; i < n; i += 50) {
      const questions = due.slice(0, 50).map((_, k) => whoHas(ANN, '10.0.0.10', `8.0.${(i + k) >> 8}.${(i + k) & 255}`))
      bench.send(...questions)
    }
    expect(p.waiting).toBe(n)
    bench.clock.advance(8e8)
    const start = performance.now()
    p.tick(bench.clock.now)
    // Looking through all of them for each takes seconds.
    expect(performance.now() - start).toBeLessThan(500)
    const inOrder = due.map((time, i) => ({ time, i })).sort((a, b) => a.time - b.time || a.i - b.i)
    expect(left).toEqual(inOrder.map(({ i }) => 0x08000000 + i))
  })

  it.each(['127.0.0.1', '0.0.0.7', '224.0.0.1', '255.255.255.255', '10.99.0.2'])(
    'does not answer %s, which no other host can be',
    (spa) => {
      const routes = { lookup4: (ip: number) => (ip === 0x0a630002 ? { kind: 'local' as const } : route) }
      const { bench } = proxy({ routes, routeLocalnet: true })
      expect(bench.send(whoHas(ANN, spa, '8.8.8.8'))).toEqual([])
      expect(bench.through.take()).toEqual([whoHas(ANN, spa, '8.8.8.8')])
    },
  )

  it('refuses to be without routes, or not to know where it stands', () => {
    expect(() => proxy({ routes: {} })).toThrow(/routes.*lookup4/)
    expect(() => proxy({ routes: undefined })).toThrow(/routes.*lookup4/)
    expect(() => proxy({ interface: undefined })).toThrow(/interface/)
    proxy({ routes: {}, interface: undefined, requireRoute: false })
  })

  it('answers probes if told so', () => {
    const { bench } = proxy({ answerProbes: true })
    expect(bench.send(whoHas(ANN, '0.0.0.0', '8.8.8.8'))).toEqual([isAt(ANN, '0.0.0.0', US, '8.8.8.8')])
  })

  it('answers without a route if told so', () => {
    const question = whoHas(ANN, '10.0.0.10', '10.99.0.1')
    expect(proxy().bench.send(question)).toEqual([])
    const { bench } = proxy({ requireRoute: false })
    expect(bench.send(question)).toEqual([isAt(ANN, '10.0.0.10', US, '10.99.0.1')])
    const nowhere = proxy({ requireRoute: false, routes: { lookup4: () => ({ kind: 'blackhole' }) } })
    expect(nowhere.bench.send(question)).toEqual([])
  })

  it('lets through what it does not answer, and all when it is off', () => {
    const { bench, proxy: p } = proxy()
    const none = whoHas(ANN, '10.0.0.10', '10.99.0.1')
    bench.send(none)
    p.enabled = false
    bench.send(question)
    expect(bench.through.take()).toEqual([none, question])
  })
})

describe('proxy ND, mode any', () => {
  const routes = {
    lookup6(b: Uint8Array, at: number): ProxyRoute | null {
      if (b[at] !== 0x20) return null
      return { kind: 'unicast', out: b[at + 15] === 5 ? 'cali1' : 'eth0' }
    },
  }
  function proxy(options: object = {}): Bench {
    const bench = new Bench()
    bench.attach(
      new ProxyNd(bench.pool, bench.clock, {
        mac: 'ee:ee:ee:ee:ee:ee',
        out: bench.out,
        mode: 'any',
        routes,
        interface: 'cali1',
        ...options,
      }),
    )
    return bench
  }
  const HOST = 'eeeeeeeeeeee'
  const answer = (target: string): string => na(ANN, HOST, 'fe80::ecee:eeff:feee:eeee', 'fe80::a', target, S, HOST)

  it('answers for what a route leads to by another interface, with O clear', () => {
    expect(proxy().send(ns(ANN, 'fe80::a', '2001:db8::9'))).toEqual([answer('2001:db8::9')])
  })

  it.each([
    ['what a route leads back to', ns(ANN, 'fe80::a', '2001:db8::5')],
    ['what no route leads to', ns(ANN, 'fe80::a', 'fd00::9')],
    ['link-local addresses', ns(ANN, 'fe80::a', 'fe80::9')],
    ['duplicate address detection', ns(ANN, '::', '2001:db8::9')],
    ['another MAC', ns(ANN, 'fe80::a', '2001:db8::9').replace(/^.{12}/, EVE)],
  ])('does not answer for %s, but lets it through', (_, frame) => {
    const bench = proxy()
    expect(bench.send(frame)).toEqual([])
    expect(bench.through.take()).toEqual([frame])
  })

  it('answers link-local addresses and ::1 never, even without asking for a route', () => {
    const bench = proxy({ requireRoute: false })
    expect(bench.send(ns(ANN, 'fe80::a', 'fe80::9'), ns(ANN, 'fe80::a', '::1'))).toEqual([])
    expect(bench.send(ns(ANN, 'fe80::a', 'fd00::9'))).toEqual([answer('fd00::9')])
  })

  it('counts the answers that its queue has room for', () => {
    const bench = new Bench()
    const base = { mac: mac(US), out: bench.out, mode: 'any' as const, routes, interface: 'cali1' }
    const p = new ProxyNd(bench.pool, bench.clock, { ...base, delayMaxMs: 800, delayQueue: 2, random: () => 0.5 })
    bench.attach(p)
    for (let i = 0; i < 5; i++) bench.send(ns(ANN, 'fe80::a', '2001:db8::9'))
    expect(p.counters).toEqual({ answered: 2 })
    expect(bench.drops).toEqual({ Consumed: 5, NeighbourQueueFull: 3 })
  })

  it('refuses what makes no sense', () => {
    const bench = new Bench()
    const base = { mac: mac(US), out: bench.out }
    expect(() => new ProxyNd(bench.pool, bench.clock, { ...base, mode: 'any' })).toThrow(/routes/)
    const any = { ...base, mode: 'any' as const, routes, interface: undefined }
    expect(() => new ProxyNd(bench.pool, bench.clock, any)).toThrow(/interface/)
    expect(() => new ProxyNd(bench.pool, bench.clock, { ...base, mode: 'all' as never })).toThrow(/mode.*all/)
    expect(() => new ProxyNd(bench.pool, bench.clock, base).add('10.0.0.1')).toThrow(/10\.0\.0\.1.*IPv6/)
    const p = new ProxyNd(bench.pool, bench.clock, { ...base, maxEntries: 1 })
    p.add('2001:db8::1')
    p.add('2001:db8::1')
    expect(() => p.add('2001:db8::2')).toThrow(/no room/)
    expect([...p.list()]).toEqual(['2001:db8::1'])
    expect(p.remove('2001:db8::1')).toBe(true)
    expect(p.remove('2001:db8::1')).toBe(false)
  })
})
