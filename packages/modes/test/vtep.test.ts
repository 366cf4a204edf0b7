import { type DropName, FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import { type OverlayNetwork, type RoutedTunnel, router, vtep } from '../src/index.ts'

/* Nodes with tunnels: what the ends of several tunnels have to do with each other, and what of a setting becomes of a frame. */

const US = '02:00:00:00:02:01'
const HOST = '02000000000a'
const FAR = '02000000000b'

function ground(): { pool: FramePool; clock: VirtualClock; loop: Loop } {
  const pool = new FramePool({ frames: 256, frameSize: 4000 })
  const clock = new VirtualClock()
  return { pool, clock, loop: new Loop(pool, clock) }
}

class Node {
  readonly on = ground()
  readonly host = new MemoryPort(this.on.pool, 'host')
  readonly wire = new MemoryPort(this.on.pool, 'wire')

  constructor(networks: readonly OverlayNetwork[]) {
    const node = vtep(this.on, {
      ports: [{ name: 'host', port: this.host, network: networks[0]?.name as string }],
      uplinks: [{ name: 'eth0', port: this.wire, mac: US, addresses: ['192.0.2.1/24', '192.0.2.11/24'] }],
      addresses: ['2001:db8::1'],
      networks,
    })
    for (const n of [2, 3]) node.links[0]?.neighbours.add(`192.0.2.${n}`, `02:00:00:00:02:0${n}`)
  }

  /** Sends a frame from the host; gives lengths of IP packets that left. */
  send(frame: string): number[] {
    this.host.inject(Buffer.from(frame, 'hex'))
    this.on.loop.settle()
    return this.wire.takeAll().map((b) => b.length - 14)
  }

  get drops(): Partial<Record<DropName, number>> {
    const report = this.on.pool.report()
    expect(report).toMatchObject({ balanced: true, held: 0 })
    return report.dropped
  }
}

/** An IPv4 packet of a length, without DF, in a frame. */
function packet(length: number, dst = FAR, src = HOST): string {
  const head = `4500${length.toString(16).padStart(4, '0')}0001000040110000 0a000001 0a000002`.replaceAll(' ', '')
  let sum = (head.match(/..../g) as string[]).reduce((s, w) => s + Number.parseInt(w, 16), 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  const whole = head.slice(0, 20) + (~sum & 0xffff).toString(16).padStart(4, '0') + head.slice(24)
  return `${dst}${src}0800${whole}${'00'.repeat(length - 20)}`
}

const blue: OverlayNetwork = { name: 'blue', vni: 42, local: '192.0.2.1' }

describe('ends', () => {
  it('are the same with the usual port, said or not', () => {
    expect(() => new Node([blue, { ...blue, name: 'green', port: 4789 }])).toThrow('there is a network 42 already')
    const six = { ...blue, local: '2001:db8::1' }
    expect(() => new Node([six, { ...six, name: 'green', local: '2001:DB8:0::1' }])).toThrow('42 already')
    new Node([blue, { ...blue, name: 'green', vni: 43, port: 4789 }])
    new Node([blue, { ...blue, name: 'green', local: '192.0.2.11' }])
  })

  it('have one encapsulation', () => {
    expect(() => new Node([blue, { ...blue, name: 'green', encapsulation: 'geneve', port: 4789 }])).toThrow(
      'port 4789 at 192.0.2.1 is that of blue, which is vxlan, not geneve',
    )
  })

  it('of GRETAP are told apart by key', () => {
    const gre = { name: 'blue', encapsulation: 'gretap', local: '192.0.2.1', remotes: ['192.0.2.2'] } as const
    expect(() => new Node([gre, { ...gre, name: 'green' }])).toThrow(
      "green: gretap from 192.0.2.1 to 192.0.2.2 is blue's already",
    )
    expect(() => new Node([{ ...gre, remotes: ['192.0.2.2', '192.0.2.2'] }])).toThrow('192.0.2.2 is there twice')
    new Node([gre, { ...gre, name: 'green', key: 1 }, { ...gre, name: 'red', key: 2 }])
  })
})

describe('far ends', () => {
  it('are each there once, and somebody is known where only they may send', () => {
    const at = { mac: '02:00:00:00:00:01', remote: '192.0.2.2' }
    expect(() => new Node([{ ...blue, static: [at, { ...at, remote: '192.0.2.3' }] }])).toThrow(
      /^static of blue.*twice/,
    )
    const to = { to: '10.1.0.0/24', remote: '192.0.2.2' }
    expect(() => new Node([{ ...blue, prefixes: [to, to] }])).toThrow(/^prefixes of blue.*twice/)
    expect(() => new Node([{ ...blue, remotes: ['192.0.2.2', '192.0.2.2'] }])).toThrow(/^remotes of blue.*twice/)
    const group = { ...blue, multicast: { group: '239.1.1.1', uplink: 'eth0' }, knownPeersOnly: true }
    expect(() => new Node([group])).toThrow('knownPeersOnly of blue')
    new Node([{ ...group, static: [at] }])
  })
})

describe('what is wrong is refused, with its key', () => {
  it.each<[object, string | RegExp]>([
    [{ encapsulation: 'vxlna' }, 'encapsulation of blue must be one of vxlan, geneve, gretap, not "vxlna"'],
    [{ local: '192.0.2.9' }, /^local of blue: 192\.0\.2\.9 is not an address of the node; it has 192\.0\.2\.1, /],
    [{ remotes: ['192.0.2.2', '192.0.2.11'] }, 'remotes of blue: 192.0.2.11 is the node itself'],
    [{ remotes: [{ address: '2001:DB8:0::1' }] }, 'remotes of blue: 2001:DB8:0::1 is the node itself'],
    [{ static: [{ mac: '02:00:00:00:00:01', remote: '192.0.2.1' }] }, 'static of blue: 192.0.2.1 is the node itself'],
    [{ prefixes: [{ to: '10.1.0.0/24', remote: '192.0.2.1' }] }, 'prefixes of blue: 192.0.2.1 is the node itself'],
    [{ remote: '192.0.2.2' }, 'network blue: unknown key "remote", which is "192.0.2.2"'],
    [
      { remotes: ['192.0.2.2'], multicast: { group: '239.1.1.1', uplink: 'eth0' } },
      'multicast of blue: the group 239.1.1.1 is in place of remotes, and both are given',
    ],
  ])('of a network: %j', (wrong, message) => {
    expect(() => new Node([{ ...blue, ...wrong }])).toThrow(message)
  })

  it('of a node', () => {
    const on = ground()
    const port = new MemoryPort(on.pool, 'host')
    const host = { name: 'host', port, network: 'blue' }
    const make = (more: object, networks: readonly OverlayNetwork[] = [blue]) => {
      const addresses = ['192.0.2.1/24']
      return () => vtep(on, { ports: [host], networks, uplinks: [{ name: 'eth0', port, mac: US, addresses }], ...more })
    }
    expect(make({ ports: [{ ...host, network: 'blu' }] })).toThrow(
      'network of port host: there is no network "blu"; there are blue',
    )
    expect(make({ ports: [{ ...host, vlans: 1 }] })).toThrow('port host: unknown key "vlans", which is 1')
    expect(make({ route: [] })).toThrow('unknown key "route", which is a list')
    expect(make({}, [blue, { ...blue, vni: 43 }])).toThrow('networks: there are two of the name "blue"')
    make({ ports: [], routes: [{ to: '10.0.0.0/8', via: '192.0.2.254' }] })()
  })
})

it('a group is joined on its link, and left at the end', () => {
  const on = ground()
  const wire = new MemoryPort(on.pool, 'wire')
  const node = vtep(on, {
    ports: [],
    uplinks: [{ name: 'eth0', port: wire, mac: US, addresses: ['192.0.2.1/24', 'fd00::12:3456/64'] }],
    networks: [{ ...blue, multicast: { group: '239.1.1.1', uplink: 'eth0' } }],
  })
  expect(node.links[0]?.groups.groups).toEqual(['ff02::1:ff12:3456', 'ff02::1:ff00:201', '239.1.1.1'])
  // Destination MAC and, of IGMP, type and group.
  const heard = (): string[] => {
    on.loop.settle()
    return wire.takeAll().map((b) => `${b.toString('hex', 0, 6)} ${b[12] === 8 ? b.toString('hex', 38) : 'mld'}`)
  }
  on.clock.advance(200_000_000)
  expect(heard()).toEqual([
    '3333ff123456 mld',
    '3333ff000201 mld',
    expect.stringMatching(/^01005e010101 1600....ef010101$/),
  ])
  node.links[0]?.groups.close()
  expect(heard()).toEqual(['333300000002 mld', '333300000002 mld', expect.stringMatching(/^01005e000002 17..../)])
})

describe('what fits', () => {
  it('is less where a far end has GENEVE options of its own', () => {
    const options = [{ class: 0x102, type: 1, data: new Uint8Array(60) }]
    const node = new Node([{ ...blue, encapsulation: 'geneve', remotes: [{ address: '192.0.2.2', options }] }])
    // 50 bytes of headers, 64 of options: nothing leaves that the underlay would have to cut.
    expect(node.send(packet(1386))).toEqual([1500])
    expect(Math.max(...node.send(packet(1450)))).toBeLessThanOrEqual(1500)
  })

  it('is not more than the underlay takes, unless it may cut', () => {
    expect(() => new Node([{ ...blue, mtu: 9000 }])).toThrow(/^mtu of blue: 9000 is more .* 1450/)
    expect(() => new Node([{ ...blue, mtu: 9000, oversize: 'outer', df: 'set' }])).toThrow(/^mtu of blue/)
    new Node([{ ...blue, mtu: 9000, oversize: 'outer' }])
  })

  it('in GRETAP is cut inside or outside, as it is asked for', () => {
    const gre = { name: 'blue', encapsulation: 'gretap', local: '192.0.2.1', remotes: ['192.0.2.2'] } as const
    // 38 bytes of headers: two packets of their own, or one of 1,538 bytes in fragments.
    expect(new Node([gre]).send(packet(1500)).length).toBe(2)
    const outer = new Node([{ ...gre, oversize: 'outer' }])
    const sent = outer.send(packet(1500))
    expect(sent.reduce((sum, n) => sum + n - 20, 20)).toBe(1538)
    expect(outer.drops).toEqual({})
    expect(() => new Node([{ ...gre, oversize: 'drop' }])).toThrow('oversize of blue must be inner or outer')
    expect(() => new Node([{ ...gre, oversize: 'outer', df: 'set' }])).toThrow('only where df is not set')
  })
})

/** A VXLAN packet to us: outer source, inner MACs. */
function vxlan(from: string, vni: number, inner: string): Buffer {
  const length = inner.length / 2
  const word = (n: number): string => n.toString(16).padStart(4, '0')
  const ip = `4500${word(36 + length)}0000000040110000${hex4(from)}${hex4('192.0.2.1')}`
  let sum = (ip.match(/..../g) as string[]).reduce((s, w) => s + Number.parseInt(w, 16), 0)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  const head = ip.slice(0, 20) + word(~sum & 0xffff) + ip.slice(24)
  const udp = `c00012b5${word(16 + length)}0000`
  const tunnel = `08000000${vni.toString(16).padStart(6, '0')}00`
  return Buffer.from(`${US.replaceAll(':', '')}0200000002020800${head}${udp}${tunnel}${inner}`, 'hex')
}

const hex4 = (ip: string): string =>
  ip
    .split('.')
    .map((n) => Number(n).toString(16).padStart(2, '0'))
    .join('')

it('a network takes frames to its destinations, and none from its own MAC', () => {
  const mac = '02:00:00:00:00:99'
  const node = new Node([{ ...blue, remotes: ['192.0.2.2'], mac, destinations: ['02:00:00:00:00:0a'] }])
  const hears = (dst: string, src: string): number => {
    node.wire.inject(vxlan('192.0.2.2', 42, packet(60, dst, src)))
    node.on.loop.settle()
    return node.host.takeAll().length
  }
  expect([hears(HOST, FAR), hears('02000000000c', FAR), hears('ffffffffffff', FAR)]).toEqual([1, 0, 0])
  expect(hears(HOST, '020000000099')).toBe(0)
  expect(node.drops).toMatchObject({ OwnSource: 1 })
})

describe('tunnels of a router', () => {
  function routed(tunnels: readonly RoutedTunnel[]): {
    pod: MemoryPort
    wire: MemoryPort
    on: ReturnType<typeof ground>
  } {
    const on = ground()
    const [pod, wire] = [new MemoryPort(on.pool, 'pod'), new MemoryPort(on.pool, 'wire')]
    const node = router(on, {
      ports: [
        { name: 'eth0', port: wire, mac: US, addresses: ['192.0.2.1/24'] },
        { name: 'pod', port: pod, mac: '02:00:00:00:03:01', addresses: ['10.0.0.254/24'] },
      ],
      tunnels,
    })
    node.links[1]?.neighbours.add('10.0.0.2', '02:00:00:00:00:05')
    return { pod, wire, on }
  }

  const tunnel: RoutedTunnel = {
    ...{ name: 'vx', type: 'vxlan', vni: 1, local: '192.0.2.1', addresses: ['10.244.1.0/32'] },
    subnets: [{ to: '10.244.2.0/24', remote: '192.0.2.2' }],
  }
  const own = '0a58c0000201'
  const theirs = '0a58c0000202'

  it('take packets of nodes that they know, and none that says it is ours', () => {
    const hears = (more: Partial<RoutedTunnel>, from: string, src: string): [number, string] => {
      const { pod, wire, on } = routed([{ ...tunnel, ...more }])
      wire.inject(vxlan(from, 1, packet(60, own, src)))
      on.loop.settle()
      const report = on.pool.report()
      return [pod.takeAll().length, Object.keys(report.dropped).join()]
    }
    expect(hears({}, '192.0.2.2', theirs)).toEqual([1, ''])
    expect(hears({}, '192.0.2.2', own)).toEqual([0, 'OwnSource'])
    expect(hears({}, '192.0.2.77', theirs)).toEqual([0, 'UnknownPeer'])
    expect(hears({ knownPeersOnly: false }, '192.0.2.77', theirs)).toEqual([1, ''])
    expect(hears({ learning: true }, '192.0.2.77', theirs)).toEqual([1, ''])
  })

  it('are each another', () => {
    const ipip: RoutedTunnel = { name: 'a', type: 'ipip', local: '192.0.2.1', remote: '192.0.2.2', addresses: [] }
    const b = { ...ipip, name: 'b' }
    expect(() => routed([ipip, b])).toThrow("b: IPv4 in IP from 192.0.2.1 to 192.0.2.2 is a's already")
    expect(() => routed([ipip, { ...b, type: 'ip' }])).toThrow("is a's already")
    expect(() =>
      routed([
        { ...ipip, type: 'gre', key: 1 },
        { ...b, type: 'gre', key: 1 },
      ]),
    ).toThrow('with key 1')
    routed([ipip, { ...b, type: '6in4' }])
    routed([
      { ...ipip, type: 'gre' },
      { ...b, type: 'gre', key: 1 },
    ])
  })
})
