import { FramePool, Loop, MemoryPort, SECOND, VirtualClock } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import { datagram, echo, GATEWAY, line, MAC, OUTSIDE, P1, P2, segment, X, Y } from '../../../tap-io/test/nat-packets.ts'
import { type WinNatOptions, type WinNatSettings, winnat } from '../../src/index.ts'

/*
 * WinNAT: what is known of it (modes.md 6), and what is our choice.
 *
 *      p1 10.22.0.11   p2 10.22.0.12       q 10.22.1.11       x 203.0.113.2   y 203.0.113.3
 *           |               |                  |                     |             |
 *      +----+---------------+---+         +----+--+                  +------+------+
 *      |  nat 10.22.0.1/24      +---------+  lab  +------- WinNAT ----- up -+
 */

const Q = '10.22.1.11'
const colons = (mac: string): string => mac.replace(/(..)(?!$)/g, '$1:')

interface World {
  send(from: string, ...frames: string[]): Record<string, string[]>
  wait(seconds: number): void
  change(next: Partial<WinNatSettings>): void
  drops(): Record<string, number>
}

function world(more: Partial<WinNatOptions> = {}): World {
  const pool = new FramePool({ frames: 256 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const port = (name: string): MemoryPort => new MemoryPort(pool, name)
  const ports = { p1: port('p1'), p2: port('p2'), q: port('q'), up: port('up') }
  const settings = {
    networks: [
      {
        ...{ name: 'nat', gateway: `${GATEWAY}/24`, mac: colons(MAC.gateway) },
        ports: [
          { name: 'p1', port: ports.p1 },
          { name: 'p2', port: ports.p2 },
        ],
      },
      { name: 'lab', gateway: '10.22.1.1/24', mac: '02:00:00:00:01:fe', ports: [{ name: 'q', port: ports.q }] },
    ],
    uplinks: [{ name: 'up', port: ports.up, mac: colons(MAC.uplink), addresses: [`${OUTSIDE}/24`] }],
    prefix: '10.22.0.0/16',
    ...more,
  }
  const node = winnat({ pool, clock, loop }, settings)
  const [nat, lab, up] = node.host.links
  for (const [ip, mac] of [
    [P1, MAC.p1],
    [P2, MAC.p2],
  ] as const) {
    nat?.neighbours.add(ip, colons(mac))
  }
  lab?.neighbours.add(Q, '02:00:00:00:00:03')
  for (const [ip, mac] of [
    [X, MAC.x],
    [Y, MAC.y],
  ] as const) {
    up?.neighbours.add(ip, colons(mac))
  }
  // So that switches know where they are.
  for (const [name, mac] of [
    ['p1', MAC.p1],
    ['p2', MAC.p2],
    ['q', '020000000003'],
  ] as const) {
    ports[name].inject(Buffer.from(`ffffffffffff${mac}88b50000`, 'hex'))
  }
  loop.settle()
  for (const p of Object.values(ports)) p.takeAll()
  const before = { ...pool.report().dropped }
  return {
    send(from, ...frames) {
      for (const frame of frames) ports[from as keyof typeof ports].inject(Buffer.from(frame, 'hex'))
      loop.settle()
      expect(pool.report().balanced).toBe(true)
      const out: Record<string, string[]> = {}
      for (const [name, p] of Object.entries(ports)) {
        const heard = p.takeAll().map((b) => b.toString('hex'))
        if (heard.length > 0) out[name] = heard.map(line)
      }
      return out
    },
    wait(seconds) {
      clock.advance(seconds * SECOND)
      loop.settle()
    },
    change(next) {
      node.change({ ...settings, ...next })
    },
    drops: () => {
      const now = Object.entries(pool.report().dropped)
      return Object.fromEntries(now.flatMap(([why, n]) => (n === before[why as never] ? [] : [[why, n]])))
    },
  }
}

const OUT = datagram(`${P1}:5000`, `${X}:9`)

describe('WinNAT', () => {
  it('gives an inside endpoint one outside endpoint for all, and lets in who was sent to (AddressDependentFiltering)', () => {
    const nat = world()
    expect(nat.send('p1', OUT, datagram(`${P1}:5000`, `${Y}:9`))).toEqual({
      up: [`udp ${OUTSIDE}:5000 > ${X}:9`, `udp ${OUTSIDE}:5000 > ${Y}:9`],
    })
    const other = world()
    other.send('p1', OUT)
    // Another port of the same address gets in, another address does not.
    expect(other.send('up', datagram(`${X}:77`, `${OUTSIDE}:5000`))).toEqual({ p1: [`udp ${X}:77 > ${P1}:5000`] })
    expect(other.send('up', datagram(`${Y}:9`, `${OUTSIDE}:5000`))).toEqual({})
    expect(other.drops()).toEqual({ NatFiltered: 1 })
  })

  it('keeps UDP for 120 s, which nothing from outside renews, and ICMP for 30 s', () => {
    const nat = world()
    nat.send('p1', OUT, echo(P1, X, 7))
    nat.wait(29)
    expect(nat.send('up', echo(X, OUTSIDE, 7, { reply: true })).p1).toHaveLength(1)
    nat.wait(60)
    expect(nat.send('up', datagram(`${X}:9`, `${OUTSIDE}:5000`))).toEqual({ p1: [`udp ${X}:9 > ${P1}:5000`] })
    // UdpInboundRefresh is False: 120 s after the last packet from inside it is over.
    nat.wait(32)
    expect(nat.send('up', datagram(`${X}:9`, `${OUTSIDE}:5000`)).p1).toBeUndefined()
  })

  it('keeps a TCP connection for 1800 s', () => {
    const nat = world()
    nat.send('p1', segment(`${P1}:6000`, `${X}:80`, 'S'))
    nat.send('up', segment(`${X}:80`, `${OUTSIDE}:6000`, 'SA'))
    nat.send('p1', segment(`${P1}:6000`, `${X}:80`, 'A'))
    nat.wait(1799)
    expect(nat.send('up', segment(`${X}:80`, `${OUTSIDE}:6000`, 'A')).p1).toEqual([`tcp ${X}:80 > ${P1}:6000`])
    nat.wait(1801)
    expect(nat.send('up', segment(`${X}:80`, `${OUTSIDE}:6000`, 'A')).p1).toBeUndefined()
  })

  it('crosses no subnets, and lets nobody outside in but by port mappings', () => {
    const nat = world({ portMappings: [{ protocol: 'tcp', port: 8080, to: Q, toPort: 80 }] })
    expect(nat.send('p1', datagram(`${P1}:5000`, `${Q}:9`))).toEqual({})
    expect(nat.send('up', datagram(`${X}:9`, `${P1}:5000`))).toEqual({})
    expect(nat.drops()).toEqual({ Isolated: 1, NatFiltered: 1 })
    expect(nat.send('up', segment(`${X}:4000`, `${OUTSIDE}:8080`, 'S'))).toEqual({ q: [`tcp ${X}:4000 > ${Q}:80`] })
    // The host itself is there for all.
    expect(nat.send('p1', echo(P1, '10.22.1.1', 3)).p1).toHaveLength(1)
  })

  it('changes networks and mappings while flows go on', () => {
    const nat = world()
    nat.send('p1', OUT)
    nat.change({ portMappings: [{ protocol: 'udp', port: 53, to: P2, toPort: 5353 }] })
    expect(nat.send('up', datagram(`${X}:9`, `${OUTSIDE}:5000`))).toEqual({ p1: [`udp ${X}:9 > ${P1}:5000`] })
    expect(nat.send('up', datagram(`${X}:9`, `${OUTSIDE}:53`))).toEqual({ p2: [`udp ${X}:9 > ${P2}:5353`] })
  })

  it('takes what is not public as options', () => {
    const nat = world({ nat: { mapping: 'address-and-port-dependent', filtering: 'address-and-port-dependent' } })
    nat.send('p1', OUT)
    expect(nat.send('up', datagram(`${X}:77`, `${OUTSIDE}:5000`))).toEqual({})
    expect(nat.drops()).toEqual({ NatFiltered: 1 })
  })

  it.each([
    [{ prefix: '10.22.0.0/24' }, 'networks[1].gateway: 10.22.1.0/24 is not in 10.22.0.0/24'],
    [{ prefix: 'fd00::/64' }, 'prefix: WinNAT has no IPv6'],
    [
      { portMappings: [{ protocol: 'tcp', port: 80, to: '10.23.0.1' }] },
      'portMappings[0].to: 10.23.0.1 is in no network of the NAT',
    ],
    [{ portMappings: [{ protocol: 'tcp', port: '80-90', to: P1 }] }, 'portMappings[0].port'],
    [{ portMappings: [{ protocol: 'tcp', port: 80, to: P1, address: OUTSIDE }] }, 'portMappings[0].address'],
  ] as const)('refuses %j', (more, message) => {
    expect(() => world(more as never)).toThrow(message)
  })

  it('refuses networks that overlap, and any of IPv6', () => {
    const network = (gateway: string, name = 'b') => ({ name, gateway, mac: '02:00:00:00:01:fe', ports: [] })
    const two = (a: string, b: string) => () => world({ networks: [network(a, 'a'), network(b)] })
    expect(two('10.22.0.1/23', '10.22.1.1/24')).toThrow('networks[1].gateway: 10.22.1.0/24 overlaps network a')
    expect(two('10.22.0.1/24', 'fd00::1/64')).toThrow('networks[1].gateway: WinNAT has no IPv6: fd00::')
    expect(two('10.22.0.1/31', '10.22.1.1/24')).toThrow('networks[0].gateway: 10.22.0.1/31 leaves no address')
  })
})
