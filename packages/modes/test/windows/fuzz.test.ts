import { type Frame, FramePool, Loop, MemoryPort, SECOND, VirtualClock } from '@l2l3/switch-core'
import { ipv4, parseIpv4, udp } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fabric, l2bridge, overlay } from '../../src/index.ts'
import { datagram } from './packets.ts'

/* Whatever comes in by whichever port: the ledger balances, and no byte beyond the frame is written. */

const HOST = '00:15:5d:00:01:01'
const ENDPOINT = '02:00:00:00:00:02'
const MACS = [HOST, ENDPOINT, '02:00:00:00:00:03', '02:00:00:00:00:04', '12:34:56:78:9a:bc', 'ff:ff:ff:ff:ff:ff']
const IPS = [
  '10.244.1.2',
  '10.244.1.3',
  '10.244.1.4',
  '192.0.2.11',
  '10.96.0.10',
  '203.0.113.5',
  '198.51.100.9',
  '10.244.2.7',
]
const PORTS = [80, 8000, 8080, 30080, 30081, 1000]

/** A datagram of a station's, cut, bent or as it is; or bytes at random. */
const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 120 }),
  fc
    .record({
      macs: fc.tuple(fc.constantFrom(...MACS), fc.constantFrom(...MACS)),
      ends: fc.tuple(...([IPS, PORTS, IPS, PORTS].map((list) => fc.constantFrom<string | number>(...list)) as never[])),
      cut: fc.option(fc.nat(43)),
      bend: fc.array(fc.tuple(fc.nat(42), fc.nat(255)), { maxLength: 3 }),
      tag: fc.boolean(),
    })
    .map(({ macs, ends, cut, bend, tag }) => {
      const [a, b, c, d] = ends as unknown as [string, number, string, number]
      let frame = datagram(`${macs.join(' > ')}, ${a}#${b} > ${c}#${d}`)
      if (tag) frame = `${frame.slice(0, 24)}81000007${frame.slice(24)}`
      const whole = Buffer.from(frame, 'hex')
      for (const [at, value] of bend) whole[at] = value
      return Uint8Array.from(cut === null ? whole : whole.subarray(0, cut))
    }),
)

const OUTER = `${HOST}020000000099`.replaceAll(':', '')

/** A frame in VXLAN from the other node of an overlay to this one, for one of some networks. */
function wrapped(inner: Uint8Array, vni: number): Uint8Array {
  const b = Buffer.alloc(50)
  b.write(OUTER, 'hex')
  b.writeUInt16BE(0x0800, 12)
  const ends = { src: parseIpv4('192.0.2.12'), dst: parseIpv4('192.0.2.11') }
  ipv4.write(b, 14, { ...ends, protocol: 17, payload: 16 + inner.length, ttl: 64 })
  udp.write(b, 34, 50_000, 4789, 8 + inner.length)
  b.writeUInt8(8, 42)
  b.writeUInt32BE(vni << 8, 46)
  return Buffer.concat([b, inner])
}

/** Frames of all kinds, in a tunnel or not. */
const frames = fc.oneof(
  { arbitrary: bytes, weight: 2 },
  fc.tuple(bytes, fc.constantFrom(4096, 5000, 77)).map(([inner, vni]) => wrapped(inner, vni)),
)

type Kind = 'l2bridge' | 'l2tunnel' | 'fabric' | 'overlay'

function world(kind: Kind) {
  const pool = new FramePool({ frames: 64 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const ports = ['web', 'db', 'uplink'].map((name) => new MemoryPort(pool, name)) as [
    MemoryPort,
    MemoryPort,
    MemoryPort,
  ]
  const [web, db, uplink] = ports
  const ground = { pool, clock, loop }
  if (kind === 'fabric') {
    fabric(ground, {
      vms: [
        { name: 'web', port: web, mac: MACS[2] as string, ips: ['10.244.1.3'] },
        { name: 'db', port: db, mac: MACS[3] as string, ips: ['10.244.1.4'], acl: { defaults: 'process' } },
      ],
      uplink: { port: uplink, gatewayMac: '0a:00:00:00:00:fe' },
    })
  } else if (kind === 'overlay') {
    const backends = ['10.244.1.3', '10.244.2.7'].map((address) => ({
      address,
      port: 8000,
      local: address < '10.244.2',
    }))
    const common = { protocol: 'udp' as const, port: 80, backends }
    const remote = { to: '10.244.2.0/24', providerAddress: '192.0.2.12', drMac: '02:00:00:00:00:22' }
    overlay(ground, {
      drMac: ENDPOINT,
      uplink: { name: 'uplink', port: uplink, mac: HOST, addresses: ['192.0.2.11/24'] },
      routes: [{ to: '0.0.0.0/0', via: '192.0.2.1' }],
      conntrack: { maxFlows: 64 },
      networks: [
        {
          ...{ name: 'a', vni: 4096, subnet: '10.244.1.0/24', sourceVip: '10.244.1.2', remoteSubnets: [remote] },
          remoteEndpoints: [{ ip: '10.244.1.77', mac: '02:00:00:00:00:77', providerAddress: '192.0.2.12' }],
          outboundNat: [{ Type: 'OutBoundNAT', Settings: { Exceptions: ['10.0.0.0/8'] } }],
          services: [
            { ...common, name: 'a', clusterIps: ['10.96.0.10'], nodePort: 30080 },
            { ...common, name: 'b', clusterIps: ['10.96.0.11'], nodePort: 30081, externalTrafficPolicy: 'Local' },
          ],
          portMappings: [{ protocol: 'udp', port: 8080, to: '10.244.1.3', toPort: 80 }],
        },
        { name: 'b', vni: 5000, subnet: '10.244.1.0/24' },
      ],
      pods: [
        {
          ...{ name: 'web', port: web, network: 'a', ip: '10.244.1.3', mac: MACS[2] as string, guards: false },
          outboundNat: [{ Type: 'OutBoundNAT', Settings: { Destinations: ['10.244.1.3'] } }],
        },
        { name: 'db', port: db, network: 'b', ip: '10.244.1.4', mac: MACS[3] as string },
      ],
    })
  } else {
    const backends = [
      { address: '10.244.1.3', port: 8000, local: true },
      { address: '10.244.1.4', port: 8000, local: true },
    ]
    const common = { protocol: 'udp' as const, port: 80, backends }
    l2bridge(ground, {
      hostMac: HOST,
      ...(kind === 'l2tunnel' ? { tunnelMac: '12:34:56:78:9a:bc' } : { vlan: 7 }),
      uplink: { port: uplink },
      vfp: { hostIps: ['192.0.2.11'], conntrack: { maxFlows: 64 } },
      stack: { addresses: ['192.0.2.11/24'], endpoint: { mac: ENDPOINT, addresses: ['10.244.1.2/24'] } },
      routes: [{ to: '0.0.0.0/0', via: '192.0.2.1' }],
      services: [
        { ...common, name: 'a', clusterIps: ['10.96.0.10'], nodePort: 30080 },
        { ...common, name: 'b', loadBalancerIps: ['203.0.113.5'], preserveDestination: true },
        { ...common, name: 'c', clusterIps: ['10.96.0.11'], nodePort: 30081, externalTrafficPolicy: 'Local' },
      ],
      pods: [
        {
          ...{ name: 'web', port: web, mac: MACS[2] as string, ips: ['10.244.1.3'] },
          guards: false,
          sdnRoutes: ['10.96.0.0/12'],
          portMappings: [{ protocol: 'udp', port: 8080, toPort: 80 }],
          outboundNat: [
            { Type: 'OutBoundNAT', Settings: { Destinations: ['10.244.1.3'] } },
            { Type: 'OutBoundNAT', Settings: { Exceptions: ['10.0.0.0/8'] } },
          ],
        },
        { ...{ name: 'db', port: db, mac: MACS[3] as string, ips: ['10.244.1.4'] }, guards: { blockBroadcast: true } },
      ],
    })
  }
  return { pool, clock, loop, ports }
}

describe.each<Kind>(['l2bridge', 'l2tunnel', 'fabric', 'overlay'])('%s', (kind) => {
  it('has an account of every frame, whatever it is', () => {
    // One node for all: what came before is a part of what is tried.
    const { pool, clock, loop, ports } = world(kind)
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(2), kind === 'overlay' ? frames : bytes), { minLength: 1, maxLength: 25 }),
        (list) => {
          for (const [at, frame] of list) {
            ports[at]?.inject(frame)
            loop.settle()
            clock.advance(SECOND / 20)
            for (const port of ports) port.takeAll()
            expect(pool.report().balanced).toBe(true)
          }
        },
      ),
    )
  })

  // An overlay's host asks for MACs in rows that longer frames have just left, whose bytes are there still.
  if (kind === 'overlay') return

  it('writes nothing beyond a frame', () => {
    const { pool, loop, ports } = world(kind)
    fc.assert(
      fc.property(fc.nat(2), bytes, (at, frame) => {
        const port = ports[at] as MemoryPort
        // What is behind each frame that comes out is what was there when this one had come in: a pattern, or this one's own end, where
        // the node asks for a MAC in the row that it has left.
        pool.bytes.fill(0xa5)
        port.inject(frame)
        const before = pool.bytes.slice()
        const beyond: boolean[] = []
        for (const out of ports) {
          out.watcher = {
            received: () => {},
            sent: (frames, n) => {
              for (const f of frames.subarray(0, n)) {
                const end = (pool.off[f as Frame] as number) + (pool.len[f as Frame] as number)
                const limit = end - (end % pool.stride) + pool.stride
                for (let i = end; i < Math.min(limit, end + 64); i++) beyond.push(pool.bytes[i] === before[i])
              }
            },
          }
        }
        loop.settle()
        for (const out of ports) out.takeAll()
        expect(beyond.every((same) => same)).toBe(true)
      }),
    )
  })
})
