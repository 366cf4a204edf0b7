import { SECOND } from '@l2l3/switch-core'
import { buildInMemory, type MemoryWorld, parseTopology } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

/*
 *     red 02:..:0a           blue 02:..:0b
 *     10.0.0.1, fd00::1      10.0.0.2, fd00::2
 *          |                      |
 *     +----+----------------------+----+
 *     |              sw1               |
 *     +--------------------------------+
 */
const TWO = `
name: two
nodes:
  sw1:
    mode: switch
    endpoints:
      red: { mac: 02:00:00:00:00:0a, ip: [10.0.0.1/24, "fd00::1/64"] }
      blue: { mac: 02:00:00:00:00:0b, ip: [10.0.0.2/24, "fd00::2/64"] }
checks:
  - ping: { from: red, to: blue }
  - ping: { from: blue, to: red }
  - tcp: { from: red, to: blue, bytes: 300000 }
`

const world = (text: string): MemoryWorld => buildInMemory(parseTopology(text, 'net.yaml'))

/** Watches what enters the switch, as hex. */
function wire(w: MemoryWorld): string[] {
  const seen: string[] = []
  w.loop.observer = {
    received: (port, _element, batch) => {
      for (let i = 0; i < batch.length; i++) {
        seen.push(`${port.name} ${Buffer.from(w.pool.view(batch.frames[i] as never)).toString('hex')}`)
      }
    },
  }
  return seen
}

describe('two hosts in memory', () => {
  it('ping each other after ARP: the bytes on the wire', () => {
    const w = world(TWO)
    const seen = wire(w)
    const ping = w.host('red').ping(Uint8Array.of(10, 0, 0, 2), 1, 4, SECOND)
    w.settle()
    expect(ping).toMatchObject({ sent: 1, received: 1, done: true, problem: null })
    expect(seen).toEqual([
      // who has 10.0.0.2? tell 10.0.0.1
      'sw1/red ffffffffffff02000000000a0806000108000604000102000000000a0a0000010000000000000a000002',
      'sw1/blue 02000000000a02000000000b0806000108000604000202000000000b0a00000202000000000a0a000001',
      // echo request, id 1, seq 1, 00 01 02 03: IPv4 header checksum 26dc, ICMP checksum f5f9
      'sw1/red 02000000000b02000000000a08004500002000004000400126db0a0000010a0000020800f5f90001000100010203',
      'sw1/blue 02000000000a02000000000b08004500002000000000400166db0a0000020a0000010000fdf90001000100010203',
    ])
  })

  it('find each other by neighbour discovery over IPv6', () => {
    const w = world(TWO)
    const seen = wire(w)
    const ping = w
      .host('red')
      .ping(Uint8Array.from(Buffer.from('fd000000000000000000000000000002', 'hex')), 1, 0, SECOND)
    w.settle()
    expect(ping.received).toBe(1)
    const [ns, na, request, reply] = seen
    // To the solicited-node group 33:33:ff:00:00:02, hop limit 255, with the sender's link-layer address.
    expect(ns).toMatch(/^sw1\/red 3333ff00000202000000000a86dd6000000000203aff/)
    expect(ns).toMatch(/8700....00000000fd000000000000000000000000000002010102000000000a$/)
    expect(na).toMatch(/^sw1\/blue 02000000000a02000000000b86dd6000000000203aff/)
    expect(na).toMatch(/8800....60000000fd000000000000000000000000000002020102000000000b$/)
    expect(request).toMatch(/^sw1\/red 02000000000b02000000000a86dd6000000000083a40.{64}8000....00010001$/)
    expect(reply).toMatch(/^sw1\/blue 02000000000a02000000000b86dd6000000000083a40.{64}8100....00010001$/)
  })

  it('pass their checks, and every frame is accounted for', () => {
    const w = world(TWO)
    const results = w.runChecks()
    expect(results.map((r) => [r.ok, r.text, r.detail])).toEqual([
      [true, 'ping red -> blue (IPv4, 10.0.0.2)', '3 of 3 answered'],
      [true, 'ping red -> blue (IPv6, fd00::2)', '3 of 3 answered'],
      [true, 'ping blue -> red (IPv4, 10.0.0.1)', '3 of 3 answered'],
      [true, 'ping blue -> red (IPv6, fd00::1)', '3 of 3 answered'],
      [true, 'tcp red -> blue (IPv4, 10.0.0.2)', '300000 bytes, all intact'],
      [true, 'tcp red -> blue (IPv6, fd00::2)', '300000 bytes, all intact'],
    ])
    const { ports, fdb, ledger } = w.snapshot()
    expect(ledger).toMatchObject({ balanced: true, held: 0, dropped: {} })
    expect(fdb.map(({ mac, port, kind }) => [mac, port, kind]).sort()).toEqual([
      ['02:00:00:00:00:0a', 'red', 'dynamic'],
      ['02:00:00:00:00:0b', 'blue', 'dynamic'],
    ])
    expect(ports.map((p) => p.port)).toEqual(['red', 'blue'])
    expect(ports[0]?.rxFrames).toBe(ports[1]?.txFrames)
    expect(ports.map((p) => p.offloads)).toEqual(['none', 'none'])
  })

  it('pass them in turns as well, with the same results, until they are told to stop', async () => {
    const [w, v] = [world(TWO), world(TWO)]
    const results = []
    for (const check of w.topology.checks) results.push(await w.checkInTurns(check))
    expect(results.map((r) => [r.ok, r.detail])).toEqual(v.runChecks().map((r) => [r.ok, r.detail]))
    expect(w.snapshot()).toEqual(v.snapshot())

    const stop = new AbortController()
    const check = { ...(w.topology.checks[4] as (typeof w.topology.checks)[0]), bytes: 2e11, timeout: 3600 }
    setTimeout(() => stop.abort(new Error('Ctrl-C')), 20)
    await expect(w.checkInTurns(check, stop.signal)).rejects.toThrow('Ctrl-C')
  })

  it('do the same, byte for byte, in every run', () => {
    const run = (): string[] => {
      const w = world(TWO)
      const seen = wire(w)
      w.runChecks()
      seen.push(JSON.stringify(w.snapshot()), String(w.clock.now))
      return seen
    }
    const first = run()
    expect(first.length).toBeGreaterThan(400)
    expect(run()).toEqual(first)
  })

  it('answer UDP to the echo port, and refuse a TCP connection to a port where nobody listens', () => {
    const w = world(TWO)
    const seen = wire(w)
    const send = (hex: string): void => {
      w.port('sw1/red').inject(Buffer.from(hex, 'hex'))
      w.settle()
    }
    // 10.0.0.1:1000 -> 10.0.0.2:7, "hi", no UDP checksum
    send('02000000000b02000000000a08004500001e00010000401166cc0a0000010a00000203e80007000a00006869')
    // blue has not heard of 10.0.0.1 yet.
    expect(seen[1]).toMatch(/^sw1\/blue f{12}02000000000b08060001.*0a000001$/)
    expect(seen[3]).toMatch(/^sw1\/blue 02000000000a02000000000b08004500001e.{16}0a0000020a000001000703e8000a....6869$/)
    // The host red itself has nobody at port 1000: port unreachable, about the whole of it.
    expect(seen[4]).toMatch(
      /^sw1\/red 02000000000b02000000000a080045c0003a.{10}01.{4}0a0000010a0000020303.{4}0{8}4500001e/,
    )
    // SYN to port 80
    send('02000000000b02000000000a08004500002800010000400666cd0a0000010a00000204000050000000640000000050022000772c0000')
    // RST ACK, acknowledging 0x65
    expect(seen[6]).toMatch(/0a0000020a0000010050040000000000000000655014/)
  })

  it('take garbage in without a word', () => {
    const w = world(TWO)
    const frames = ['', '00', '02000000000b02000000000a0806', '02000000000b02000000000a0800450000', 'ff'.repeat(60)]
    for (const hex of [...frames, `02000000000b02000000000a86dd60${'00'.repeat(60)}`]) {
      for (const cut of [0, 1, 5]) w.port('sw1/red').inject(Buffer.from(hex.slice(0, hex.length - 2 * cut), 'hex'))
    }
    w.settle()
    expect(w.pool.report().balanced).toBe(true)
    expect(w.runChecks().every((r) => r.ok)).toBe(true)
  })
})

describe('checks in memory', () => {
  it('fail where there is a way there and none back, as on Linux', () => {
    // deaf has no route to near's network; astray takes it for its own and finds nobody there.
    const w = world(`
nodes:
  r:
    mode: router
    endpoints:
      near: { ip: [10.0.1.2/24, "fd00:1::2/64"], gateway: [10.0.1.1/24, "fd00:1::1/64"] }
      far: { ip: [10.0.3.2/24, "fd00:3::2/64"], gateway: [10.0.3.1/24, "fd00:3::1/64"] }
    uplink: { ip: [10.0.2.1/24, "fd00:2::1/64"] }
  street:
    mode: switch
    endpoints:
      deaf: { ip: [10.0.2.3/24, "fd00:2::3/64"] }
      astray: { ip: [10.0.2.4/8, "fd00:2::4/16"] }
    uplink: {}
links: [[r/uplink, street/uplink]]
checks:
${['far', 'deaf', 'astray'].map((to) => `  - ping: { from: near, to: ${to}, count: 1, timeout: 1 }\n  - tcp: { from: near, to: ${to}, bytes: 1000, timeout: 2 }`).join('\n')}
`)
    const found = w.runChecks().map(({ ok, text }) => `${ok ? 'ok  ' : 'FAIL'} ${text.replace(/,.*/, '')}`)
    expect(found).toEqual(
      ['far', 'deaf', 'astray'].flatMap((to) =>
        ['ping', 'tcp'].flatMap((kind) =>
          [4, 6].map((v) => `${to === 'far' ? 'ok  ' : 'FAIL'} ${kind} near -> ${to} (IPv${v}`),
        ),
      ),
    )
    // What waited for who did not answer has been given up.
    expect(w.snapshot().ledger).toMatchObject({ balanced: true, held: 0 })
  })

  it('that must fail, fail for the right reason', () => {
    const w = world(`
nodes:
  sw1:
    mode: switch
    endpoints:
      a: { ip: 10.0.0.1/24, vlan: { access: 10 } }
      b: { ip: 10.0.0.2/24, vlan: { access: 10 } }
      c: { ip: 10.0.0.3/24, vlan: { access: 20 } }
checks:
  - ping: { from: a, to: b, count: 1 }
  - ping: { from: a, to: c, count: 1 }
    expect: fail
  - ping: { from: a, to: 10.0.0.9, count: 1 }
    expect: fail
  - tcp: { from: a, to: c }
    expect: fail
  - ping: { from: a, to: 192.0.2.1 }
    expect: fail
  - ping: { from: a, to: b, count: 1, bytes: 1473 }
`)
    const results = w.runChecks()
    expect(results.map((r) => [r.ok, r.detail])).toEqual([
      [true, '1 of 1 answered'],
      [true, '0 of 1 answered: no answer'],
      [true, '0 of 1 answered: no answer'],
      [true, 'connection: timeout'],
      [true, '0 of 3 answered: no route to the address'],
      [false, '0 of 1 answered: 1473 bytes do not fit the MTU'],
    ])
    expect(w.pool.report()).toMatchObject({ balanced: true, dropped: {} })
  })

  it('cross cables between switches, over a trunk', () => {
    const w = world(`
nodes:
  left:
    mode: switch
    endpoints:
      a: { ip: 10.0.0.1/24, vlan: { access: 10 } }
      b: { ip: 10.0.0.2/24, vlan: { access: 20 } }
    uplink: { vlan: { trunk: [10, 20] } }
  right:
    mode: switch
    endpoints:
      c: { ip: 10.0.0.3/24, vlan: { access: 10 } }
      d: { ip: 10.0.0.4/24, vlan: { access: 20 } }
    ports:
      t: { vlan: { trunk: [10, 20] } }
links: [[left/uplink, right/t]]
checks:
  - ping: { from: a, to: c }
  - ping: { from: b, to: d }
  - ping: { from: a, to: d, count: 1 }
    expect: fail
`)
    const seen = wire(w)
    expect(w.runChecks().map((r) => r.ok)).toEqual([true, true, true])
    expect(seen.find((s) => s.startsWith('right/t'))).toMatch(/^right\/t ffffffffffff.{12}8100000a0806/)
    expect(w.pool.report()).toMatchObject({ balanced: true, held: 0 })
  })

  it('a port with neither host nor link is not there, unless it is asked for', () => {
    const text = 'nodes: { sw: { mode: switch, uplink: {}, endpoints: { a: { ip: 10.0.0.1/24 } } } }'
    const topology = parseTopology(text, 'one.yaml')
    expect(
      buildInMemory(topology)
        .snapshot()
        .ports.map((p) => p.port),
    ).toEqual(['a'])
    const w = buildInMemory(topology, { open: ['sw/uplink'] })
    w.port('sw/uplink').inject(
      Buffer.from(
        'ffffffffffff02000000000c08060001080006040001 02000000000c0a000009 0000000000000a000001'.replaceAll(' ', ''),
        'hex',
      ),
    )
    w.settle()
    expect(
      w
        .port('sw/uplink')
        .takeAll()
        .map((f) => f.toString('hex').slice(0, 12)),
    ).toEqual(['02000000000c'])
  })

  it('a loop of links uses up its frames, not the process', () => {
    const w = world(`
nodes:
  s1: { mode: switch, endpoints: { a: { ip: 10.0.0.1/24 } }, ports: { x: {}, y: {} } }
  s2: { mode: switch, ports: { x: {}, y: {} } }
links: [[s1/x, s2/x], [s1/y, s2/y]]
`)
    w.port('s1/a').inject(Buffer.from(`ffffffffffff02000000000c88b5${'00'.repeat(46)}`, 'hex'))
    expect(w.settle(200)).toBe(false)
    expect(w.pool.report().balanced).toBe(true)
  })
})

describe('what is set in the file reaches the switch', () => {
  it('port options, static entries, mirrors, ageing', () => {
    const w = buildInMemory(
      parseTopology(
        `
nodes:
  sw:
    mode: switch
    ageing: 10
    static: [{ mac: 02:00:00:00:00:99, port: b }]
    mirrors: [{ ports: [a], to: m, direction: in }]
    endpoints:
      a: { mac: 02:00:00:00:00:0a, macs: [02:00:00:00:00:0a] }
      b: { mac: 02:00:00:00:00:0b, isolated: true, storm: { rate: 1, burst: 1 } }
      c: { mac: 02:00:00:00:00:0c, isolated: true, hairpin: true, learning: false, mtu: 100 }
    ports: { m: {} }
`,
        'opts.yaml',
      ),
      { open: ['sw/m'] },
    )
    const send = (port: string, dst: string, src: string, length = 46): void => {
      w.port(`sw/${port}`).inject(Buffer.from(`${dst}${src}88b5${'00'.repeat(length)}`, 'hex'))
      w.settle()
    }
    const drops = (): unknown => w.pool.report().dropped
    send('a', 'ffffffffffff', '020000000066')
    expect(drops()).toEqual({ MacGuard: 1 })
    send('a', '020000000099', '02000000000a')
    const entries = w.snapshot().fdb
    expect(entries.map((e) => `${e.mac} ${e.port} ${e.kind}`).sort()).toEqual([
      '02:00:00:00:00:0a a dynamic',
      '02:00:00:00:00:99 b static',
    ])
    // The mirror sees what comes from a, also what is refused there, once each.
    expect(w.port('sw/m').takeAll()).toHaveLength(2)
    send('b', 'ffffffffffff', '02000000000b')
    send('b', 'ffffffffffff', '02000000000b')
    expect(drops()).toEqual({ MacGuard: 1, Storm: 1 })
    send('a', 'ffffffffffff', '02000000000a', 101)
    expect(drops()).toMatchObject({ TooBig: 1 })
    w.advance(12 * SECOND)
    expect(w.snapshot().fdb.map((e) => e.kind)).toEqual(['static'])
  })
})
