import { SECOND } from '@l2l3/switch-core'
import { buildInMemory, type MemoryWorld, parseTopology } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

const world = (text: string): MemoryWorld => buildInMemory(parseTopology(text, 'net.yaml'))
const results = (w: MemoryWorld): [boolean, string, string][] =>
  w.runChecks().map((r) => [r.ok, r.text, r.detail] as [boolean, string, string])

/*
 *     red 10.0.1.2       blue 10.0.2.2
 *      | .1               | .1, MTU 1400
 *     +--+----------------+--+
 *     |          r           |-- uplink, nothing plugged in
 *     +----------------------+
 */
const ROUTER = `
nodes:
  r:
    mode: router
    endpoints:
      red:
        mac: 02:00:00:00:00:0a
        ip: [10.0.1.2/24, "fd00:1::2/64"]
        gateway: [10.0.1.1/24, "fd00:1::1/64"]
        gatewayMac: 02:00:00:00:00:01
      blue:
        mac: 02:00:00:00:00:0b
        ip: [10.0.2.2/24, "fd00:2::2/64"]
        gateway: [10.0.2.1/24, "fd00:2::1/64"]
        gatewayMac: 02:00:00:00:00:02
        mtu: 1400
    uplink: { ip: 192.0.2.1/24 }
    routes:
      - { to: 0.0.0.0/0, via: 192.0.2.9 }
      - { to: 10.7.0.0/16, prohibit: true }
      - { to: 10.8.0.0/16, blackhole: true }
      - { to: 10.9.0.0/16, unreachable: true }
`

describe('mode router in memory', () => {
  it('says by ICMP why there is no answer, and says nothing where it is a blackhole', () => {
    const w = world(`${ROUTER}
checks:
  - ping: { from: red, to: blue, count: 1, bytes: 1372 }
  - ping: { from: red, to: 10.9.0.1, count: 1 }
    expect: fail
  - ping: { from: red, to: 10.8.0.1, count: 1 }
    expect: fail
  - ping: { from: red, to: 10.7.0.1, count: 1 }
    expect: fail
  - ping: { from: red, to: 10.0.2.99, count: 1, timeout: 5 }
    expect: fail
  - ping: { from: red, to: "fd00:9::1", count: 1 }
    expect: fail
  - ping: { from: red, to: 198.51.100.1, count: 1 }
    expect: fail
  - ping: { from: red, to: blue, count: 1, bytes: 1373, family: 4 }
  - ping: { from: red, to: blue, count: 1, bytes: 1353, family: 6 }
  - traceroute: { from: red, to: 10.9.0.1, timeout: 1 }
    expect: fail
  - traceroute: { from: red, to: blue, via: [10.0.2.1], family: 4 }
  - neigh: { from: red, to: blue, family: 4 }
  - neigh: { from: red, to: 10.0.1.1, mac: 02:00:00:00:00:02 }
`)
    expect(results(w)).toEqual([
      [true, 'ping red -> blue (IPv4, 10.0.2.2)', '1 of 1 answered'],
      [false, 'ping red -> blue (IPv6, fd00:2::2)', '0 of 1 answered: packet too big from fd00:1::1'],
      [true, 'ping red -> 10.9.0.1 (IPv4, must fail)', '0 of 1 answered: host unreachable from 10.0.1.1'],
      [true, 'ping red -> 10.8.0.1 (IPv4, must fail)', '0 of 1 answered: no answer'],
      [true, 'ping red -> 10.7.0.1 (IPv4, must fail)', '0 of 1 answered: prohibited from 10.0.1.1'],
      // Nobody answers ARP: the router gives up after three questions.
      [true, 'ping red -> 10.0.2.99 (IPv4, must fail)', '0 of 1 answered: host unreachable from 10.0.1.1'],
      [true, 'ping red -> fd00:9::1 (IPv6, must fail)', '0 of 1 answered: no route to the destination from fd00:1::1'],
      // The default route leads by the uplink, where nothing is plugged in: it is not there.
      [true, 'ping red -> 198.51.100.1 (IPv4, must fail)', '0 of 1 answered: network unreachable from 10.0.1.1'],
      [false, 'ping red -> blue (IPv4, 10.0.2.2)', '0 of 1 answered: fragmentation needed from 10.0.1.1'],
      [false, 'ping red -> blue (IPv6, fd00:2::2)', '0 of 1 answered: packet too big from fd00:1::1'],
      [true, 'traceroute red -> 10.9.0.1 (IPv4, must fail)', 'by way of 10.0.1.1, and it did not answer'],
      // It is by way of the other interface's address.
      [false, 'traceroute red -> blue (IPv4, 10.0.2.2)', 'by way of 10.0.1.1'],
      [false, 'neigh red -> blue (IPv4, 10.0.2.2)', 'not in the cache of red'],
      [false, 'neigh red -> 10.0.1.1 (IPv4)', '10.0.1.1 is at 02:00:00:00:00:01'],
    ])
    expect(w.pool.report().balanced).toBe(true)
  })

  it('shows its ports, neighbours and routes', () => {
    const w = world(`${ROUTER}\nchecks: [ping: { from: red, to: blue, count: 1, family: 4 }]\n`)
    w.runChecks()
    const { ports, fdb, neighbours, routes } = w.snapshot()
    expect(fdb).toEqual([])
    // ARP and an echo each way.
    expect(ports.map((p) => [p.port, p.state, p.rxFrames, p.txFrames])).toEqual([
      ['red', 'up', 2, 2],
      ['blue', 'up', 2, 2],
    ])
    expect(neighbours).toEqual([
      { node: 'r', port: 'red', address: '10.0.1.2', mac: '02:00:00:00:00:0a', state: 'delay' },
      { node: 'r', port: 'blue', address: '10.0.2.2', mac: '02:00:00:00:00:0b', state: 'reachable' },
    ])
    const shown = routes.map((r) => `${r.to} ${r.kind} ${r.via.join()}`)
    expect(shown).toEqual(
      expect.arrayContaining([
        '10.0.1.0/24 connected red',
        'fd00:2::/64 connected blue',
        '10.8.0.0/16 blackhole ',
        '10.0.1.1/32 local red',
      ]),
    )
    expect(shown.filter((text) => text.includes('192.0.2.9'))).toEqual([])
  })

  it('lets no source in that does not belong there, where the reverse-path filter is strict', () => {
    const spoofed = (rpFilter: string): Partial<Record<string, number>> => {
      const w = world(ROUTER.replace('    endpoints:', `    rpFilter: ${rpFilter}\n    endpoints:`))
      // From blue's network, by red's port: UDP 1 to 2, no data.
      w.port('r/red').inject(
        Buffer.from(
          '02000000000102000000000a08004500001c000000004011 62c9 0a000207 0a000202 00010002 0008 0000'.replaceAll(
            ' ',
            '',
          ),
          'hex',
        ),
      )
      w.settle()
      return w.pool.report().dropped
    }
    expect(spoofed('strict')).toEqual({ ReversePath: 1 })
    expect(spoofed('loose')).not.toHaveProperty('ReversePath')
  })
})

/*
 *     web 10.244.1.5     db 10.244.1.9
 *     +--+----------------+--+ 192.0.2.1        192.0.2.254
 *     |          n           +------------------------ r
 *     +----------------------+
 */
const L3 = `
nodes:
  n:
    mode: l3
    antiSpoofing: true
    endpoints:
      web: { mac: 02:00:00:00:00:01, ip: [10.244.1.5/32, "fd44::5/128"] }
      db: { mac: 02:00:00:00:00:02, ip: [10.244.1.9/32, "fd44::9/128"] }
    uplink: { ip: [192.0.2.1/24, "fd00:2::1/64"] }
    blocks: [10.244.1.0/26]
    routes: [{ to: 0.0.0.0/0, via: 192.0.2.254 }, { to: "::/0", via: "fd00:2::fe" }]
  r:
    mode: router
    ports: { n: { ip: [192.0.2.254/24, "fd00:2::fe/64"] } }
    routes: [{ to: 10.244.1.0/26, via: 192.0.2.1 }, { to: "fd44::/64", via: "fd00:2::1" }]
links: [[n/uplink, r/n]]
`

describe('mode l3 in memory', () => {
  it('routes between pods, and to the world; the gateway is at ee:ee:ee:ee:ee:ee', () => {
    const w = world(`${L3}
checks:
  - ping: { from: web, to: db, count: 1 }
  - ping: { from: web, to: 192.0.2.254, count: 1 }
  - traceroute: { from: web, to: db, via: [192.0.2.1, "fd00:2::1"] }
  - neigh: { from: web, to: 169.254.1.1, mac: ee:ee:ee:ee:ee:ee }
  - neigh: { from: web, to: "fe80::ecee:eeff:feee:eeee", mac: ee:ee:ee:ee:ee:ee }
  - neigh: { from: web, to: db, family: 4 }
    expect: fail
  - ping: { from: web, to: 10.244.1.6, count: 1 }
    expect: fail
`)
    for (const [ok, text, detail] of results(w)) expect([text, detail, ok]).toEqual([text, detail, true])
    expect(w.snapshot().ledger).toMatchObject({ balanced: true, dropped: { Blackhole: 1 } })
  })

  it('gives a pod the frame of another with both MACs of the link and one hop less', () => {
    const w = world(L3)
    const seen: string[] = []
    w.loop.observer = {
      delivering: (link, batch) => {
        for (let i = 0; i < batch.length; i++) {
          const hex = Buffer.from(w.pool.view(batch.frames[i] as never)).toString('hex')
          if (link.name === 'n/db' && hex.slice(24, 28) === '0800') seen.push(hex)
        }
      },
    }
    w.host('web').ping(Uint8Array.of(10, 244, 1, 9), 1, 0, SECOND)
    w.settle()
    // TTL 63, header checksum to match; ICMP as it was: echo request, id 1, seq 1.
    expect(seen).toEqual(['020000000002eeeeeeeeeeee08004500001c000040003f0123ec0af401050af401090800f7fd00010001'])
  })

  it('lets a pod speak for itself alone', () => {
    const w = world(L3)
    const send = (hex: string): Partial<Record<string, number>> => {
      w.port('n/web').inject(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
      w.settle()
      return w.pool.report().dropped
    }
    const udp = (src: string): string =>
      `eeeeeeeeeeee 020000000001 0800 4500001c000000004011 0000 ${src} c00002fe 00010002 0008 0000`
    expect(send(udp('0af40109'))).toEqual({ IPv4Guard: 1 })
    expect(send(udp('0af40105').replace('020000000001', '020000000002'))).toEqual({ IPv4Guard: 1, MacGuard: 1 })
    // Who has 169.254.1.1? tell 10.244.1.9
    const ask = 'ffffffffffff 020000000001 0806 0001080006040001 020000000001 0af40109 000000000000 a9fe0101'
    expect(send(ask)).toEqual({ IPv4Guard: 1, MacGuard: 1, ArpGuard: 1 })
  })
})
