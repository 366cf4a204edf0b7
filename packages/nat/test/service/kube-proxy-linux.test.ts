/**
 * Services of ours beside kube-proxy's rules in a kernel: the same flows through both, from everywhere to everywhere.
 *
 *     10.244.1.0/24  tap eth0 ┐
 *     10.244.2.0/24  tap eth1 ┼ [ kernel: kube-proxy's chains for iptables, written below ]
 *     the world      tap eth2 ┘
 *
 * The kernel draws lots at random and ours do by the flow, so that what is compared is the set of outcomes of a number of
 * flows: by which interface, under which source, to which backend; rejected; or dropped. The chains are those that kube-proxy
 * 1.2x writes in its iptables mode, with a cluster CIDR (modes.md 17.2).
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { type Batch, type Element, type Frame, FramePool, Loop, RealClock } from '@l2l3/switch-core'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Runner, runOnEventLoop, TapPort, tunAvailable } from '../../../tap-io/src/index.ts'
import type { BackendOptions, ServiceOptions, TrafficPolicy } from '../../src/service/options.ts'
import { hex, describe as sentence, udpPacket } from '../engine/lab.ts'
import { Node, OTHERS, OUTSIDE, PODS } from './node.ts'

const netns = `l2l3-kubeproxy-${process.pid}`
const tun = tunAvailable()
const why =
  process.getuid?.() !== 0
    ? 'needs root (namespaces, TAP)'
    : !tun.ok
      ? tun.reason
      : spawnSync('which', ['iptables']).status !== 0
        ? 'needs iptables'
        : ''

const CLUSTER = '10.244.0.0/16'
const HERE: BackendOptions = { address: '10.244.1.5', port: 8080, local: true }
const THERE: BackendOptions = { address: '10.244.2.6', port: 8081 }

interface Case extends ServiceOptions {
  externalTrafficPolicy: TrafficPolicy
  internalTrafficPolicy: TrafficPolicy
  backends: readonly BackendOptions[]
  nodePort: number
}

function service(n: number, external: TrafficPolicy, internal: TrafficPolicy, ...backends: BackendOptions[]): Case {
  const name = `${external}, ${internal} inside, ${backends.map((b) => (b.local ? 'here' : 'there')).join(' and ') || 'nobody'}`
  return {
    name,
    protocol: 'udp',
    port: 80,
    clusterIps: [`10.96.0.${n}`],
    externalIps: [`198.51.100.${n}`],
    loadBalancerIps: [`203.0.113.${100 + n}`],
    nodePort: 30_000 + n,
    externalTrafficPolicy: external,
    internalTrafficPolicy: internal,
    backends,
  }
}

const SERVICES = [
  service(1, 'Cluster', 'Cluster', HERE, THERE),
  service(2, 'Local', 'Cluster', HERE, THERE),
  service(3, 'Local', 'Cluster', THERE),
  service(4, 'Cluster', 'Local', HERE, THERE),
  service(5, 'Cluster', 'Local', THERE),
  service(6, 'Local', 'Local', THERE),
  service(7, 'Local', 'Local', HERE),
  service(8, 'Cluster', 'Cluster'),
  service(9, 'Local', 'Local'),
]

/** Who asks: by which interface. The second is a backend itself. */
const SOURCES = [
  [PODS, '10.244.1.9'],
  [PODS, '10.244.1.5'],
  [OTHERS, '10.244.2.9'],
  [OUTSIDE, '203.0.113.5'],
] as const

/** What kube-proxy writes for a service. */
function chains(s: Case, n: number): string {
  const nat: string[] = []
  const filter: string[] = []
  const local = s.backends.filter((b) => b.local)
  const [clusterIp] = s.clusterIps as [string]
  const outside = [...s.externalIps!, ...s.loadBalancerIps!]
  const rule = (chain: string, text: string) => nat.push(`iptables -t nat -A ${chain} ${text}`)
  const choose = (chain: string, of: readonly BackendOptions[]) => {
    of.forEach((b, i) => {
      const lot = i === of.length - 1 ? '' : `-m statistic --mode random --probability ${1 / (of.length - i)}`
      rule(chain, `${lot} -j SEP-${n}-${b.address}`)
    })
  }
  for (const chain of ['SVC', 'SVL', 'EXT']) nat.push(`iptables -t nat -N ${chain}-${n}`)
  for (const b of s.backends) {
    nat.push(`iptables -t nat -N SEP-${n}-${b.address}`)
    rule(`SEP-${n}-${b.address}`, `-s ${b.address} -j MARK-MASQ`)
    rule(`SEP-${n}-${b.address}`, `-p udp -j DNAT --to-destination ${b.address}:${b.port}`)
  }
  const inside = s.internalTrafficPolicy === 'Local' ? `SVL-${n}` : `SVC-${n}`
  rule(inside, `! -s ${CLUSTER} -d ${clusterIp} -p udp --dport 80 -j MARK-MASQ`)
  choose(`SVC-${n}`, s.backends)
  choose(`SVL-${n}`, local)
  if (s.externalTrafficPolicy === 'Local') {
    rule(`EXT-${n}`, `-s ${CLUSTER} -j SVC-${n}`)
    rule(`EXT-${n}`, `-m addrtype --src-type LOCAL -j MARK-MASQ`)
    rule(`EXT-${n}`, `-m addrtype --src-type LOCAL -j SVC-${n}`)
    rule(`EXT-${n}`, `-j SVL-${n}`)
  } else {
    rule(`EXT-${n}`, '-j MARK-MASQ')
    rule(`EXT-${n}`, `-j SVC-${n}`)
  }
  // Who has no backend is rejected; who has none that the policy allows is dropped.
  const verdict = s.backends.length === 0 ? 'REJECT' : 'DROP'
  if (s.backends.length === 0 || (s.internalTrafficPolicy === 'Local' && local.length === 0)) {
    filter.push(`iptables -A SERVICES -d ${clusterIp} -p udp --dport 80 -j ${verdict}`)
  }
  if (s.backends.length === 0 || (s.externalTrafficPolicy === 'Local' && local.length === 0)) {
    for (const ip of outside) filter.push(`iptables -A EXTERNAL -d ${ip} -p udp --dport 80 -j ${verdict}`)
    filter.push(`iptables -A EXTERNAL -m addrtype --dst-type LOCAL -p udp --dport ${s.nodePort} -j ${verdict}`)
  }
  if (s.backends.length > 0) {
    rule('SERVICES', `-d ${clusterIp} -p udp --dport 80 -j ${inside}`)
    for (const ip of outside) rule('SERVICES', `-d ${ip} -p udp --dport 80 -j EXT-${n}`)
    rule('NODEPORTS', `-p udp --dport ${s.nodePort} -j EXT-${n}`)
  }
  return [...nat, ...filter].join('\n')
}

const ALL_CHAINS = `
  iptables -N SERVICES; iptables -N EXTERNAL
  iptables -A FORWARD -m conntrack --ctstate NEW -j SERVICES
  iptables -A FORWARD -m conntrack --ctstate NEW -j EXTERNAL
  iptables -A INPUT -m conntrack --ctstate NEW -j EXTERNAL
  for c in SERVICES NODEPORTS MARK-MASQ POSTROUTING-MASQ; do iptables -t nat -N $c; done
  iptables -t nat -A PREROUTING -j SERVICES
  iptables -t nat -A POSTROUTING -j POSTROUTING-MASQ
  iptables -t nat -A MARK-MASQ -j MARK --or-mark 0x4000
  iptables -t nat -A POSTROUTING-MASQ -m mark ! --mark 0x4000/0x4000 -j RETURN
  iptables -t nat -A POSTROUTING-MASQ -j MARK --xor-mark 0x4000
  iptables -t nat -A POSTROUTING-MASQ -j MASQUERADE
  ${SERVICES.map((s, i) => chains(s, i + 1)).join('\n')}
  iptables -t nat -A SERVICES -m addrtype --dst-type LOCAL -j NODEPORTS`

const NETWORK = `
  sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.all.send_redirects=0 net.ipv4.icmp_ratelimit=0
  for i in 0 1 2; do sysctl -qw net.ipv4.conf.eth$i.rp_filter=0 net.ipv4.conf.eth$i.send_redirects=0; done
  ip link set lo up
  ip addr add 10.244.1.1/24 dev eth0; ip addr add 10.244.2.1/24 dev eth1; ip addr add 192.0.2.1/24 dev eth2
  ip route add default via 192.0.2.254
  for pod in 5 9; do ip neigh replace 10.244.1.$pod lladdr 02:00:00:00:00:0a dev eth0 nud permanent; done
  for pod in 6 9; do ip neigh replace 10.244.2.$pod lladdr 02:00:00:00:00:0a dev eth1 nud permanent; done
  ip neigh replace 192.0.2.254 lladdr 02:00:00:00:00:0a dev eth2 nud permanent`

/** Notes the IPv4 packets that the kernel sends, as sentences. */
class Notebook implements Element {
  readonly #pool: FramePool
  readonly #by: number
  readonly #seen: string[]
  constructor(pool: FramePool, by: number, seen: string[]) {
    this.#pool = pool
    this.#by = by
    this.#seen = seen
  }
  process(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const b = this.#pool.copyOut(f)
      if (b[12] === 8 && b[13] === 0) this.#seen.push(`${this.#by}: ${sentence(b.subarray(14))}`)
      this.#pool.sent(f)
    }
    batch.length = 0
  }
}

/** What came of flows, each as `1: udp SOURCE > 10.244.2.6#8081` without the source's port, and how many came to nothing. */
function outcomes(lines: readonly string[], flows: number): string[] {
  const set = new Set(lines.map((line) => line.replace(/#4\d{4}/g, '')))
  if (lines.length < flows) set.add(lines.length === 0 ? 'nothing' : `${flows - lines.length} lost`)
  return [...set].sort()
}

describe('services, in the kernel and here', () => {
  let pool: FramePool
  let taps: TapPort[]
  let runner: Runner
  let send: (by: number, packets: readonly string[]) => Promise<string[]>
  let ours: Node

  beforeAll(async () => {
    if (why) return
    execFileSync('ip', ['netns', 'add', netns])
    pool = new FramePool({ frames: 256 })
    const loop = new Loop(pool, new RealClock())
    const seen: string[] = []
    taps = [0, 1, 2].map((i) => {
      const tap = TapPort.open(pool, { name: `eth${i}`, netns, mac: `0e:00:00:00:00:0${i}` })
      loop.add(tap, new Notebook(pool, i, seen))
      return tap
    })
    const links = taps.map((tap) => loop.link(tap))
    execFileSync('ip', ['netns', 'exec', netns, 'sh', '-ec', NETWORK + ALL_CHAINS], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    runner = runOnEventLoop(loop, taps)
    send = async (by, packets) => {
      seen.length = 0
      for (const p of packets) {
        const f = pool.from(hex(`0e000000000${by} 02000000000a 0800 ${p}`)) as Frame
        pool.ledger.originate(1)
        links[by]!.push(f)
      }
      runner.wake()
      // Whatever comes, comes at once.
      const mine = () => seen.filter((line) => line.includes('#4'))
      for (let i = 0; i < 100 && mine().length < packets.length; i++) await new Promise((done) => setTimeout(done, 2))
      return mine()
    }
    ours = new Node({ balancer: { clusterPrefixes: [CLUSTER] }, reject: { rate: Number.POSITIVE_INFINITY } })
    for (const s of SERVICES) ours.balancer.services.add(s)
  })
  afterAll(async () => {
    if (why) return
    await runner?.stop()
    for (const tap of taps ?? []) tap.close()
    spawnSync('ip', ['netns', 'del', netns])
  })
  beforeEach((context) => {
    if (why) context.skip(why)
  })

  let port = 40_000

  it.each(SERVICES)('$name', async (s) => {
    const { clusterIps, externalIps, loadBalancerIps, nodePort } = s
    const targets = [
      ...[...clusterIps!, ...externalIps!, ...loadBalancerIps!].map((ip) => `${ip}#80`),
      `192.0.2.1#${nodePort}`,
      `10.244.1.1#${nodePort}`,
    ]
    // Of two backends one would be missed by 24 flows once in 8 million times.
    const flows = s.backends.length > 1 ? 24 : 3
    const told = new Set<string>()
    for (const [by, from] of SOURCES) {
      for (const target of targets) {
        const packets = Array.from({ length: flows }, () => udpPacket(`${from}#${port++} > ${target}`))
        const kernel = outcomes(await send(by, packets), flows)
        const mine = outcomes(ours.say(by, ...packets), flows)
        expect({ from, target, came: mine }).toEqual({ from, target, came: kernel })
        for (const line of kernel) told.add(line)
      }
    }
    expect(told.size).toBeGreaterThan(1)
  })
})
