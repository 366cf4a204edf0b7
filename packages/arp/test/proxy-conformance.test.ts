/**
 * Proxy ARP and proxy ND on a pod's link, as Calico sets it up: the same questions to ours and to the kernel's, and
 * the same answers, byte for byte, or none. The kernel's stands in a namespace of its own; the pod's end of the link
 * is held here.
 *
 *     pod 10.244.1.5 (here) ── cali1 ee:ee:ee:ee:ee:ee [ node ] eth0 192.0.2.1/24 ── default via 192.0.2.254
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Batch, type Frame, FramePool, Pipeline } from '@l2l3/switch-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { TapPort, tunAvailable } from '../../tap-io/src/index.ts'
import { NeighbourTable, ProxyArp, ProxyNd, type ProxyRoute, type ProxyRoutes } from '../src/index.ts'
import { ALL, arp, Bench, EVE, hex4, isAt, mac, na, ns, O, R, S, whoHas, ZERO } from './lab.ts'

const HOST = 'eeeeeeeeeeee'
const POD = '020000000001'
const GATEWAY = 'fe80::ecee:eeff:feee:eeee'

interface NodeOptions {
  /** Whether the node has a default route. */
  defaultRoute: boolean
  routeLocalnet: boolean
}

interface Node {
  /** ARP answers and advertisements that the pod gets for a frame. */
  ask(frame: string): Promise<string[]>
  close(): void
}

/** Longest match over a few routes: what a router has is given by its own tests. */
class Routes implements ProxyRoutes {
  readonly #list: { net: number; bits: number; route: ProxyRoute }[] = []
  add(prefix: string, route: ProxyRoute): void {
    const [ip = '', bits] = prefix.split('/')
    this.#list.push({ net: Number.parseInt(hex4(ip), 16), bits: Number(bits), route })
    this.#list.sort((a, b) => b.bits - a.bits)
  }
  lookup4(ip: number): ProxyRoute | undefined {
    return this.#list.find(({ net, bits }) => bits === 0 || (ip ^ net) >>> (32 - bits) === 0)?.route
  }
}

function ours({ defaultRoute, routeLocalnet }: NodeOptions): Node {
  const bench = new Bench()
  const routes = new Routes()
  routes.add('192.0.2.1/32', { kind: 'local' })
  routes.add('127.0.0.0/8', { kind: 'local' })
  routes.add('192.0.2.0/24', { kind: 'unicast', out: 'eth0' })
  routes.add('192.0.2.255/32', { kind: 'broadcast', out: 'eth0' })
  routes.add('10.244.1.5/32', { kind: 'unicast', out: 'cali1' })
  routes.add('10.244.1.0/26', { kind: 'blackhole' })
  routes.add('10.9.0.0/16', { kind: 'unreachable' })
  if (defaultRoute) routes.add('0.0.0.0/0', { kind: 'unicast', out: 'eth0' })
  const { pool, clock, out } = bench
  const own = { mac: mac(HOST), out }
  const table = new NeighbourTable(pool, clock, { ...own, addresses: [`${GATEWAY}/64`], router: true })
  const proxyArp = new ProxyArp(pool, clock, { ...own, routes, interface: 'cali1', routeLocalnet })
  const proxyNd = new ProxyNd(pool, clock, own)
  proxyNd.add('2001:db8::99')
  bench.attach(new Pipeline(table.input, proxyArp, proxyNd))
  return {
    async ask(frame) {
      const out = bench.send(frame)
      expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
      return out
    },
    close() {},
  }
}

let serial = 0

function kernels({ defaultRoute, routeLocalnet }: NodeOptions): Node {
  const netns = `arp-px-${process.pid}-${serial++}`
  const run = (script: string): void => {
    execFileSync('ip', ['netns', 'exec', netns, 'sh', '-ec', script], { stdio: ['ignore', 'ignore', 'inherit'] })
  }
  execFileSync('ip', ['netns', 'add', netns])
  const pool = new FramePool({ frames: 256 })
  const taps: TapPort[] = []
  const close = (): void => {
    for (const tap of taps) tap.close()
    spawnSync('ip', ['netns', 'del', netns])
  }
  try {
    run(`cd /proc/sys/net
      for i in all default; do
        echo 0 > ipv6/conf/$i/accept_dad; echo 0 > ipv6/conf/$i/router_solicitations
        echo 0 > ipv4/conf/$i/rp_filter; echo 1 > ipv6/conf/$i/forwarding
      done
      echo 1 > ipv4/conf/all/forwarding
      ip link set lo up`)
    for (const [name, address] of [
      ['cali1', HOST],
      ['eth0', '0e0000000001'],
    ] as const) {
      taps.push(TapPort.open(pool, { name, netns, mac: mac(address) }))
    }
    run(`cd /proc/sys/net
      echo 1 > ipv4/conf/cali1/proxy_arp; echo 0 > ipv4/neigh/cali1/proxy_delay
      echo ${routeLocalnet ? 1 : 0} > ipv4/conf/cali1/route_localnet
      echo 1 > ipv6/conf/cali1/proxy_ndp; echo 0 > ipv6/neigh/cali1/proxy_delay
      ip addr add 192.0.2.1/24 brd + dev eth0
      ip route add 10.244.1.5/32 dev cali1
      ip route add blackhole 10.244.1.0/26
      ip route add unreachable 10.9.0.0/16
      ip -6 neigh add proxy 2001:db8::99 dev cali1
      ${defaultRoute ? 'ip route add default via 192.0.2.254' : ''}`)
  } catch (error) {
    close()
    throw error
  }
  const [cali] = taps as [TapPort]
  const batch = new Batch()
  const drain = (): string[] => {
    const frames: string[] = []
    for (;;) {
      cali.receive(batch)
      if (batch.length === 0) return frames
      for (const f of batch.frames.subarray(0, batch.length)) {
        frames.push(pool.view(f as Frame).toString('hex'))
        pool.sent(f as Frame)
      }
      batch.length = 0
    }
  }
  const isAnswer = (f: string): boolean => f.slice(24, 28) === '0806' || f.slice(108, 110) === '88'
  return {
    async ask(frame) {
      drain()
      const f = pool.from(Buffer.from(frame, 'hex')) as Frame
      pool.ledger.originate(1)
      batch.push(f)
      cali.process(batch)
      const out: string[] = []
      for (let quiet = 0; quiet < 5; quiet++) {
        await sleep(3)
        const came = drain().filter(isAnswer)
        if (came.length > 0) quiet = 0
        out.push(...came)
      }
      return out
    },
    close,
  }
}

const tun = tunAvailable()
const why = process.getuid?.() !== 0 ? 'needs root (namespaces, TAP)' : tun.ok ? '' : tun.reason
const worlds = [
  { world: 'ours', make: ours, skip: '' },
  { world: "the kernel's", make: kernels, skip: why },
]

const ask = (tpa: string, spa = '10.244.1.5'): string => whoHas(POD, spa, tpa)
const answer = (tpa: string, spa = '10.244.1.5'): string => isAt(POD, spa, HOST, tpa)

/* The Calico answer, as bytes that were recorded. */
const RECORDED = '020000000001eeeeeeeeeeee08060001080006040002eeeeeeeeeeeea9fe01010200000000010af40105'

const withDefault = { defaultRoute: true, routeLocalnet: true }
const TABLE: { title: string; node?: NodeOptions; frame: string; answers: string[] }[] = [
  { title: '169.254.1.1, the default route leads elsewhere', frame: ask('169.254.1.1'), answers: [RECORDED] },
  {
    title: '169.254.1.1 without a route: nothing, the classic trap',
    node: { defaultRoute: false, routeLocalnet: true },
    frame: ask('169.254.1.1'),
    answers: [],
  },
  { title: '8.8.8.8, routable', frame: ask('8.8.8.8'), answers: [answer('8.8.8.8')] },
  { title: 'a pod of another node', frame: ask('10.244.7.9'), answers: [answer('10.244.7.9')] },
  { title: 'an address of the node itself', frame: ask('192.0.2.1'), answers: [answer('192.0.2.1')] },
  { title: 'its own address, whose route leads back', frame: ask('10.244.1.5', '10.244.1.6'), answers: [] },
  { title: 'its own address, from itself', frame: ask('10.244.1.5'), answers: [] },
  { title: 'an address under a blackhole', frame: ask('10.244.1.20'), answers: [] },
  { title: 'an address under an unreachable route', frame: ask('10.9.1.1'), answers: [] },
  { title: 'a probe for 169.254.1.1', frame: ask('169.254.1.1', '0.0.0.0'), answers: [] },
  { title: 'a probe for its own address', frame: ask('10.244.1.5', '0.0.0.0'), answers: [] },
  {
    title: 'asked of ee:ee:ee:ee:ee:ee alone',
    frame: arp(HOST, POD, 1, POD, '10.244.1.5', ZERO, '169.254.1.1'),
    answers: [RECORDED],
  },
  {
    title: 'asked of another MAC',
    frame: arp(EVE, POD, 1, POD, '10.244.1.5', ZERO, '169.254.1.1'),
    answers: [],
  },
  {
    title: 'from a sender address that is not the pod’s',
    frame: ask('169.254.1.1', '172.16.0.9'),
    answers: [answer('169.254.1.1', '172.16.0.9')],
  },
  { title: '8.8.8.8, asked from 127.0.0.1', frame: ask('8.8.8.8', '127.0.0.1'), answers: [] },
  { title: '8.8.8.8, asked from 224.0.0.1', frame: ask('8.8.8.8', '224.0.0.1'), answers: [] },
  { title: '8.8.8.8, asked from 255.255.255.255', frame: ask('8.8.8.8', '255.255.255.255'), answers: [] },
  { title: '8.8.8.8, asked from an address of the node itself', frame: ask('8.8.8.8', '192.0.2.1'), answers: [] },
  {
    title: 'padded to 60 bytes',
    frame: ask('169.254.1.1') + '00'.repeat(18),
    answers: [RECORDED],
  },
  { title: 'an announcement', frame: arp(ALL, POD, 1, POD, '10.244.1.5', ZERO, '10.244.1.5'), answers: [] },
  { title: 'an answer', frame: arp(ALL, POD, 2, POD, '10.244.1.5', ALL, '169.254.1.1'), answers: [] },
  { title: '127.0.0.1 with route_localnet', frame: ask('127.0.0.1'), answers: [answer('127.0.0.1')] },
  {
    title: '127.0.0.1 without route_localnet',
    node: { defaultRoute: true, routeLocalnet: false },
    frame: ask('127.0.0.1'),
    answers: [],
  },
  { title: '224.0.0.5', frame: ask('224.0.0.5'), answers: [] },
  { title: '255.255.255.255', frame: ask('255.255.255.255'), answers: [] },
  { title: '0.0.0.0', frame: ask('0.0.0.0'), answers: [] },
  { title: 'the broadcast address of eth0', frame: ask('192.0.2.255'), answers: [] },
  { title: 'hardware type 7', frame: ask('169.254.1.1').replace('08060001', '08060007'), answers: [] },
  { title: 'cut short', frame: ask('169.254.1.1').slice(0, 80), answers: [] },
]

const TABLE6: { title: string; frame: string; answers: string[] }[] = [
  {
    title: 'the gateway, an address of the node: O set',
    frame: ns(POD, 'fe80::5', GATEWAY),
    answers: [na(POD, HOST, GATEWAY, 'fe80::5', GATEWAY, R | S | O, HOST)],
  },
  {
    title: 'a proxied address: O clear, from the gateway’s address',
    frame: ns(POD, 'fe80::5', '2001:db8::99'),
    answers: [na(POD, HOST, GATEWAY, 'fe80::5', '2001:db8::99', S, HOST)],
  },
  { title: 'an address that is neither', frame: ns(POD, 'fe80::5', '2001:db8::98'), answers: [] },
  {
    title: 'duplicate address detection for the gateway: to all nodes',
    frame: ns(POD, '::', GATEWAY),
    answers: [na('333300000001', HOST, GATEWAY, 'ff02::1', GATEWAY, R | O, HOST)],
  },
  {
    title: 'duplicate address detection for a proxied address: to all nodes',
    frame: ns(POD, '::', '2001:db8::99'),
    answers: [na('333300000001', HOST, GATEWAY, 'ff02::1', '2001:db8::99', 0, HOST)],
  },
  {
    title: 'with hop limit 254',
    frame: ns(POD, 'fe80::5', GATEWAY).replace('3aff', '3afe'),
    answers: [],
  },
]

describe.each(worlds)('proxy ARP, $world: an answer to', ({ make, skip }) => {
  beforeEach((context) => {
    if (skip) context.skip(skip)
  })
  const nodes = new Map<string, Node>()
  const node = (o: NodeOptions = withDefault): Node => {
    const key = JSON.stringify(o)
    if (!nodes.has(key)) nodes.set(key, make(o))
    return nodes.get(key) as Node
  }
  beforeAll(async () => {
    if (skip) return
    node()
    await sleep(50)
  })
  afterAll(() => {
    for (const n of nodes.values()) n.close()
  })
  it.each(TABLE)('$title', async ({ node: o, frame, answers }) => {
    expect(await node(o).ask(frame)).toEqual(answers)
  })
  it.each(TABLE6)('$title', async ({ frame, answers }) => {
    expect(await node().ask(frame)).toEqual(answers)
  })
})
