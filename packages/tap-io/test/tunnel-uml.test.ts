/**
 * Our tunnels and those of Linux 6.1 in a guest: GENEVE, IPIP, GRE, GRETAP, 6in4; as interfaces of a router, and as ports of a
 * switch. Hosts ping and talk TCP, and tshark says that what crossed is what the kernel sends itself.
 */
import { tunAvailable } from '@l2l3/tap-io'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { router, vtep } from '../../modes/src/index.ts'
import { inNamespace, ip, needsTun } from './lab.ts'
import {
  at,
  expectTalk,
  makeWire,
  missing,
  type Node,
  needsPrograms,
  pings,
  startNode,
  talker,
  type Wire,
} from './tunnel-lab.ts'
import { type Decoded, INNER, OUTER, outerOf, record, valuesOf } from './tunnel-record.ts'
import { type Guest, startGuest } from './tunnel-uml-lab.ts'

needsTun()
needsPrograms('linux.uml')

const MAC = '02:00:00:00:02:01'
let wire: Wire
let guest: Guest

/* Tunnel k of the guest: 10.8.k.2 inside, and the way to the host behind our node that is 10.1.k.2. */
const SETUP = `
set -e
ip addr add 192.0.2.2/24 dev eth0
ends='local 192.0.2.2 remote 192.0.2.1'
ip link add t0 type geneve id 43 remote 192.0.2.1 udpcsum
ip link add t1 type ipip $ends
ip link add t2 type gre $ends
ip link add t3 type gre $ends key 7 csum seq
ip link add t4 type gretap $ends key 100
ip link add t5 type sit $ends
for dev in eth0 t0 t1 t2 t3 t4; do echo 1 > /proc/sys/net/ipv6/conf/$dev/disable_ipv6; done
for k in 0 1 2 3 4; do ip addr add 10.8.$k.2/24 dev t$k; ip link set t$k up; done
for k in 0 4; do ip route add 10.1.$k.0/24 via 10.8.$k.1 dev t$k; done
for k in 1 2 3; do ip route add 10.1.$k.0/24 dev t$k; done
ip addr add fd08::2/64 dev t5; ip link set t5 up; ip route add fd01::/64 dev t5
`

beforeAll(async () => {
  if (missing('linux.uml') !== '' || !tunAvailable().ok || process.getuid?.() !== 0) return
  wire = await makeWire(1, { bare: true })
  guest = await startGuest(wire, '02:00:00:00:02:02')
  await guest.run(SETUP)
}, 60_000)
afterAll(() => guest?.end())

/** Both ends of a TCP connection from a host of ours to the guest send noise. */
async function talkToGuest(netns: string, address: string, port = 5000, size = 1 << 18): Promise<void> {
  const [python = '', c = '', script = '', ...args] = talker('serve', address, port, size)
  const serve = guest.run(`${python} ${c} '${script.replaceAll("'", `'\\''`)}' ${args.join(' ')}`)
  const said = (error: Error): string => error.message
  const [served, called] = await Promise.all([
    serve.catch(said),
    inNamespace(netns, ...talker('call', address, port, size)).catch(said),
  ])
  expectTalk(called, served, size)
}

/** What the guest's kernel makes around a packet of its own, as Linux 6.1 does. */
const EXPECTED: Readonly<
  Record<string, { outer: string; header: Partial<Record<(typeof FIELDS)[number], string[]>> }>
> = {
  t0: { outer: 'to 6081, checksum good, TTL 64, TOS 0x00, DF 0', header: { 'geneve.vni': ['0x00002b'] } },
  t1: { outer: 'protocol 4, TTL 64, TOS 0x00, DF 1', header: {} },
  t2: { outer: 'protocol 47, TTL 64, TOS 0x00, DF 1', header: { 'gre.flags_and_version': ['0x0000'], 'gre.key': [] } },
  t3: {
    outer: 'protocol 47, TTL 64, TOS 0x00, DF 1',
    header: { 'gre.flags_and_version': ['0xb000'], 'gre.key': ['0x00000007'], 'gre.checksum.status': ['1'] },
  },
  t4: {
    outer: 'protocol 47, TTL 64, TOS 0x00, DF 1',
    header: { 'gre.flags_and_version': ['0x2000'], 'gre.key': ['0x00000064'], 'gre.proto': ['0x6558'] },
  },
  t5: { outer: 'protocol 41, TTL 64, TOS 0x00, DF 1', header: {} },
}
/** Fields of what stands between outer and inner header. */
const FIELDS = [
  ...['geneve.vni', 'gre.flags_and_version', 'gre.proto', 'gre.key', 'gre.sequence_number', 'gre.checksum.status'],
] as const
/** What is no packet that was lost: ARP and ND for the node itself, MLD. */
const CHATTER: ReadonlySet<string> = new Set(['Consumed', 'GroupDestination'])

type Frames = readonly Decoded<(typeof OUTER | typeof INNER | typeof FIELDS)[number]>[]
interface Sides {
  readonly own: Frames
  readonly theirs: Frames
}

/** The name of the tunnel that a packet was in. */
function tunnelOf(f: Frames[number]): string {
  const of: Record<string, string> = { '17': 't0', '4': 't1', '41': 't5' }
  const gre: Record<string, string> = { '0x0000': 't2', '0xb000': 't3', '0x2000': 't4' }
  return of[f['ip.proto'].split(',')[0] as string] ?? gre[f['gre.flags_and_version']] ?? '?'
}

/** What crossed, from us and to us: TCP and echoes. */
async function sides(wireTap: Awaited<ReturnType<typeof record>>): Promise<Sides> {
  const only = 'tcp || icmp.type == 8 || icmp.type == 0 || icmpv6.type == 128 || icmpv6.type == 129'
  const frames = await wireTap.stop([...OUTER, ...INNER, ...FIELDS], only)
  const [own, theirs] = [true, false].map((us) => frames.filter((f) => f['eth.src'].startsWith(MAC) === us))
  return { own: own as Frames, theirs: theirs as Frames }
}

describe('tunnels of a router', () => {
  const common = { local: at(0), remote: at(1) }
  const tunnels = [
    { name: 't0', type: 'geneve', vni: 43, udpChecksum: true, addresses: ['10.8.0.1/24'], ...common },
    { name: 't1', type: 'ipip', addresses: ['10.8.1.1/24'], ...common },
    { name: 't2', type: 'gre', addresses: ['10.8.2.1/24'], ...common },
    { name: 't3', type: 'gre', key: 7, checksum: true, sequence: true, addresses: ['10.8.3.1/24'], ...common },
    { name: 't4', type: 'gretap', key: 100, addresses: ['10.8.4.1/24'], ...common },
    { name: 't5', type: '6in4', addresses: ['fd08::1/64'], ...common },
  ] as const
  let node: Node<unknown>
  let crossed: Sides
  /** By tunnel: what its pings and its connection have come to. */
  const pinged: string[] = []
  let talked: PromiseSettledResult<void>[] = []

  // All talk at once: they have but the wire in common.
  beforeAll(async () => {
    if (guest === undefined) return
    const ks = [0, 1, 2, 3, 4]
    node = await startNode(
      wire,
      { near: [...ks.map((k) => `10.1.${k}.2/24`), 'fd01::2/64'], mtu: 1500 },
      ({ ground, host, uplink }) =>
        router(ground, {
          ports: [
            {
              name: 'near',
              port: host,
              mac: '02:00:00:00:01:01',
              addresses: [...ks.map((k) => `10.1.${k}.1/24`), 'fd01::1/64'],
            },
            { name: 'uplink', port: uplink, mac: MAC, addresses: ['192.0.2.1/24'] },
          ],
          tunnels,
        }),
    )
    for (const k of ks)
      ip('-n', node.near, 'route', 'add', `10.8.${k}.0/24`, 'via', `10.1.${k}.1`, 'src', `10.1.${k}.2`)
    ip('-n', node.near, '-6', 'route', 'add', 'fd08::/64', 'via', 'fd01::1')
    const wireTap = await record(wire.netns, 'w0', 'ip')
    const inner = tunnels.map(({ type }, k) => (type === '6in4' ? 'fd08::2' : `10.8.${k}.2`))
    for (const address of inner) pinged.push(await pings(node.near, address))
    talked = await Promise.allSettled(inner.map((address, k) => talkToGuest(node.near, address, 5000 + k)))
    crossed = await sides(wireTap)
  }, 60_000)
  afterAll(() => node?.stop())

  for (const [k, tunnel] of tunnels.entries()) {
    const { type } = tunnel
    it(`${type}${'key' in tunnel ? ` key ${tunnel.key}` : ''}`, () => {
      expect(pinged[k]).toBe('3 of 3')
      expect(talked[k]).toEqual({ status: 'fulfilled' })
      const own = crossed.own.filter((f) => tunnelOf(f) === tunnel.name)
      const theirs = crossed.theirs.filter((f) => tunnelOf(f) === tunnel.name)
      const { outer, header } = EXPECTED[tunnel.name]
      // Where the TTL is inherited, ours is less by one: our node is a hop, and the guest an end.
      expect(outerOf(theirs, 4)).toEqual([outer])
      expect(outerOf(own, 4)).toEqual([type === 'geneve' ? outer : outer.replace('TTL 64', 'TTL 63')])
      for (const side of [own, theirs]) {
        for (const [field, values] of Object.entries(header) as [keyof typeof header, string[]][]) {
          expect([field, valuesOf(side, field)]).toEqual([field, values])
        }
        expect(valuesOf(side, 'tcp.checksum.status')).toEqual(['1'])
        expect(valuesOf(side, type === '6in4' ? 'icmpv6.checksum.status' : 'icmp.checksum.status')).toEqual(['1'])
        expect(Math.max(...side.map((f) => Number(f['frame.len'])))).toBe(1514)
        if (!('sequence' in tunnel)) continue
        const numbers = side.map((f) => Number(f['gre.sequence_number']))
        expect(numbers.every((n, i) => i === 0 || n > (numbers[i - 1] as number))).toBe(true)
      }
    })
  }

  it('nothing was lost', async () => {
    const { dropped } = await node.stop()
    expect(Object.keys(dropped).filter((why) => !CHATTER.has(why))).toEqual([])
  })
})

describe('tunnels of a switch', () => {
  // It would go on asking for routers.
  beforeAll(() => guest?.run('ip link set t5 down').then(() => {}))

  for (const [k, network, tunnelOffloads] of [
    [0, { encapsulation: 'geneve', vni: 43, udpChecksum: true }, true],
    [0, { encapsulation: 'geneve', vni: 43 }, false],
    [4, { encapsulation: 'gretap', key: 100 }, true],
  ] as const) {
    const how = tunnelOffloads ? 'super-frames leave whole' : 'cut by us'
    it(`${network.encapsulation}, ${network.encapsulation === 'gretap' ? 'cut by us' : how}`, async () => {
      const settings = { near: [`10.8.${k}.1/24`], mtu: 1430, tunnelOffloads }
      await using node = await startNode(wire, settings, ({ ground, host, uplink }) =>
        vtep(ground, {
          ports: [{ name: 'near', port: host, network: 'blue' }],
          uplinks: [{ name: 'uplink', port: uplink, mac: MAC, addresses: ['192.0.2.1/24'] }],
          networks: [{ name: 'blue', local: at(0), remotes: [at(1)], ...network }],
        }),
      )
      const wireTap = await record(wire.netns, 'w0', 'ip')
      expect(await pings(node.near, `10.8.${k}.2`)).toBe('3 of 3')
      await talkToGuest(node.near, `10.8.${k}.2`)
      const { own, theirs } = await sides(wireTap)
      const { outer, header } = EXPECTED[k === 0 ? 't0' : 't4']
      expect(outerOf(theirs, 4)).toEqual([outer])
      expect(outerOf(own, 4)).toEqual([outer.replace('good', 'udpChecksum' in network ? 'good' : 'none')])
      for (const [field, values] of Object.entries(header) as [keyof typeof header, string[]][]) {
        expect([field, valuesOf(own, field)]).toEqual([field, values])
      }
      expect(valuesOf(own, 'tcp.checksum.status')).toEqual(['1'])
      expect(Object.keys((await node.stop()).dropped).filter((why) => !CHATTER.has(why))).toEqual([])
    })
  }
})
