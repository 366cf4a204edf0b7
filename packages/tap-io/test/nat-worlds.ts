/*
 * Two NAT routers that take the same frames: the kernel's and ours.
 *
 *      p1 10.22.0.11   p2 10.22.0.12                 x 203.0.113.2   y 203.0.113.3
 *           |               |                              |               |
 *      +----+---------------+----+                         +-------+-------+
 *      |          cni0           | 10.22.0.1   203.0.113.1         |
 *      |  (learning switch)      +---------[ NAT ]----------- eth0 +
 *      +-------------------------+
 *
 * The kernel's stands in a namespace of its own, with a TAP for each of the three ports whose other end is held here, and
 * the rules of the CNI bridge plugin with ipMasq and of portmap.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Batch, FramePool, Loop, MemoryPort, type Port, SECOND, VirtualClock } from '@l2l3/switch-core'
import { expect } from 'vitest'
import { type NatModeOptions, type NatNode, nat } from '../../modes/src/index.ts'
import { TapPort, tunAvailable } from '../src/index.ts'
import { MAC, P1, P2, type Side, X, Y } from './nat-packets.ts'

/** Frames that came out, by port; ports where none did are not there. */
export type Out = Partial<Record<Side, string[]>>

/** A port of the node's that leads to one inside. */
export interface Mapping {
  protocol: 'tcp' | 'udp'
  port: number
  to: string
  toPort: number
}

export interface WorldOptions {
  mappings?: Mapping[]
  /** What portmap does for pods that come back to themselves: the bridge's hairpin flag, and masquerade. */
  hairpin?: boolean
  /** Ports at random, always. */
  random?: boolean
  /** MTU of the uplink. Default 1,500. */
  uplinkMtu?: number
  /** Seconds, by the kernel's names without "nf_conntrack_". */
  timeouts?: Record<string, number>
  /** The kernel does not look at TCP's windows. */
  liberal?: boolean
  /** The kernel's rules, in place of those of a masquerading node. */
  rules?: string
  /** What the kernel is told at the end, by programs and their arguments. */
  commands?: string[][]
  /** The kernel's bridge asks netfilter about what it forwards. */
  bridgeFilter?: boolean
  /** The kernel takes nothing new for itself by the uplink, so that no flow of its own stands in the table. */
  sealed?: boolean
}

export interface World {
  /** Sends frames in by a port; gives what came out by all of them. */
  send(from: Side, ...frames: string[]): Promise<Out>
  /** Lets time pass. */
  wait(seconds: number): Promise<void>
  /** The flows of TCP or UDP with a port: state (TCP), seconds that are left, and whether it is assured. */
  flows(protocol: 'tcp' | 'udp', port: number): [string, number, boolean][]
  /** Timeouts in force in seconds, by the kernel's names without "nf_conntrack_". */
  timeouts(): Record<string, number>
  close(): void
}

/** IPv6 addresses of the same hosts and of the router. */
export const SIX = {
  p1: 'fd22::11',
  p2: 'fd22::12',
  gateway: 'fd22::1',
  outside: '2001:db8:113::1',
  x: '2001:db8:113::2',
  y: '2001:db8:113::3',
} as const

const SIDES: readonly Side[] = ['p1', 'p2', 'up']
/** What a pod says of itself at the start, so that the bridge knows where it is. */
export const HELLO: Partial<Record<Side, string>> = {
  p1: hello(MAC.p1, '0a16000b'),
  p2: hello(MAC.p2, '0a16000c'),
}

function hello(mac: string, ip: string): string {
  return `ffffffffffff${mac}08060001080006040001${mac}${ip}000000000000${ip}`
}

export const colons = (mac: string): string => mac.replace(/..(?!$)/g, '$&:')

/** Who is on which link, for tables of neighbours. */
export const NEIGHBOURS: { inside: [string, string][]; outside: [string, string][] } = {
  inside: [
    [P1, colons(MAC.p1)],
    [P2, colons(MAC.p2)],
    [SIX.p1, colons(MAC.p1)],
    [SIX.p2, colons(MAC.p2)],
  ],
  outside: [
    [X, colons(MAC.x)],
    [Y, colons(MAC.y)],
    [SIX.x, colons(MAC.x)],
    [SIX.y, colons(MAC.y)],
  ],
}

/** Which groups the router is in: MLD (RFC 2710), told to the link whenever its time has come. */
const isGroupReport = (frame: string): boolean => /^3333.{20}86dd.{12}00/.test(frame)

export function collect(came: Record<Side, string[]>): Out {
  const heard = SIDES.map((s) => [s, came[s].filter((frame) => !isGroupReport(frame))] as const)
  return Object.fromEntries(heard.filter(([, frames]) => frames.length > 0))
}

const tun = tunAvailable()
const nft = spawnSync('nft', ['--version'], { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` } })
/** Why the kernel cannot be asked here; empty where it can. */
export const noKernel: string =
  process.getuid?.() !== 0
    ? 'needs root (namespaces, TAP)'
    : !tun.ok
      ? tun.reason
      : nft.status !== 0
        ? 'needs nft: apt-get install nftables'
        : ''

/** Why its flows cannot be listed; empty where they can. */
export const noConntrack: string =
  spawnSync('conntrack', ['--version']).status === 0 ? '' : 'needs conntrack: apt-get install conntrack'

/** The rules of a masquerading node. */
export function ruleset({ mappings = [], hairpin = false, random = false, sealed = false }: WorldOptions): string {
  const masquerade = random ? 'masquerade fully-random' : 'masquerade'
  const dnat = mappings.map((m) => `fib daddr type local ${m.protocol} dport ${m.port} dnat to ${m.to}:${m.toPort}`)
  return `
    table ip nat {
      chain pre { type nat hook prerouting priority dstnat; ${dnat.join('; ')}; }
      chain post { type nat hook postrouting priority srcnat;
        ${hairpin ? 'ip saddr 10.22.0.0/24 ip daddr 10.22.0.0/24 ct status dnat masquerade' : ''}
        ip saddr 10.22.0.0/24 ip daddr 10.22.0.0/24 accept
        ip saddr 10.22.0.0/24 ip daddr != 224.0.0.0/4 ${masquerade}
      }
    }
    table ip filter {
      chain input { type filter hook input priority filter;
        ${sealed ? 'iifname "eth0" ct state new drop' : ''}
      }
    }
    table ip6 nat {
      chain post { type nat hook postrouting priority srcnat;
        ip6 saddr fd22::/64 ip6 daddr fd22::/64 accept
        ip6 saddr fd22::/64 ip6 daddr != ff00::/8 ${masquerade}
      }
    }`.replaceAll('; ;', ';')
}

let made = 0

/** The kernel's. */
export async function kernels(options: WorldOptions): Promise<World> {
  const netns = `l2l3-kn-${process.pid}-${made++}`
  const run = (...args: string[]): string => execFileSync('ip', ['netns', 'exec', netns, ...args], { encoding: 'utf8' })
  execFileSync('ip', ['netns', 'add', netns])
  const pool = new FramePool({ frames: 512, frameSize: 5000 })
  const taps = new Map<Side, TapPort>()
  const close = (): void => {
    for (const tap of taps.values()) tap.close()
    spawnSync('ip', ['netns', 'del', netns])
  }
  /** Runs a script in it: each `ip netns exec` costs more than a command. */
  const script = (lines: readonly string[]): void => {
    execFileSync('ip', ['netns', 'exec', netns, 'sh', '-e'], { input: `${lines.join('\n')}\n` })
  }
  const set = (setting: string): string => `echo ${setting.split('=')[1]} > /proc/sys/net/${setting.split('=')[0]}`
  const dev = { p1: 'v1', p2: 'v2', up: 'eth0' } as const
  try {
    const quiet = ['accept_dad=0', 'router_solicitations=0', 'accept_ra=0', 'addr_gen_mode=1', 'autoconf=0']
    const everywhere = ['all', 'default'].flatMap((on) => [
      ...quiet.map((s) => `ipv6/conf/${on}/${s}`),
      ...['rp_filter=0', 'send_redirects=0'].map((s) => `ipv4/conf/${on}/${s}`),
    ])
    const forwards = [
      'ipv4/ip_forward=1',
      'ipv6/conf/all/forwarding=1',
      'ipv4/icmp_ratemask=0',
      'ipv6/icmp/ratelimit=0',
    ]
    // Bridged packets are the bridge's, and not netfilter's as well.
    const bridged = '/proc/sys/net/bridge/bridge-nf-call-'
    const asks = options.bridgeFilter ? 1 : 0
    script([
      ...[...everywhere, ...forwards].map(set),
      `for f in iptables ip6tables; do [ ! -e ${bridged}$f ] || echo ${asks} > ${bridged}$f; done`,
      'ip link set lo up',
      `ip link add cni0 address ${colons(MAC.gateway)} type bridge mcast_snooping 0`,
    ])
    for (const side of SIDES) {
      const mac = side === 'up' ? colons(MAC.uplink) : `02:00:00:00:03:0${side[1]}`
      taps.set(side, TapPort.open(pool, { name: dev[side], netns, mac }))
    }
    const sides = SIDES.flatMap((side) => {
      if (side === 'up') return [`ip link set eth0 mtu ${options.uplinkMtu ?? 1500} up`]
      const hairpin = options.hairpin ? [`bridge link set dev ${dev[side]} hairpin on`] : []
      return [`ip link set ${dev[side]} up master cni0`, ...hairpin]
    })
    const addresses = [
      ['cni0', '10.22.0.1/24'],
      ['eth0', '203.0.113.1/24'],
      ['cni0', `${SIX.gateway}/64`],
      ['eth0', `${SIX.outside}/64`],
    ].map(([on, address = '']) => `ip addr add ${address} dev ${on}${address.includes(':') ? ' nodad' : ''}`)
    const neighbours = (
      [
        ['cni0', NEIGHBOURS.inside],
        ['eth0', NEIGHBOURS.outside],
      ] as const
    ).flatMap(([on, list]) => list.map(([ip, mac]) => `ip neigh replace ${ip} lladdr ${mac} dev ${on} nud permanent`))
    script([...sides, 'ip link set cni0 up', ...addresses, ...neighbours])
    execFileSync('ip', ['netns', 'exec', netns, 'nft', '-f', '-'], { input: options.rules ?? ruleset(options) })
    for (const command of options.commands ?? []) run(...command)
    const timeouts = Object.entries(options.timeouts ?? {}).map(([name, s]) => `nf_conntrack_${name}=${s}`)
    const wanted = [...(options.liberal ? ['nf_conntrack_tcp_be_liberal=1'] : []), ...timeouts]
    if (wanted.length > 0) script(wanted.map((setting) => set(`netfilter/${setting}`)))
  } catch (error) {
    close()
    throw error
  }
  const batch = new Batch()
  const drain = (tap: Port): string[] => {
    const frames: string[] = []
    for (;;) {
      tap.receive(batch)
      if (batch.length === 0) return frames
      for (const f of batch.frames.subarray(0, batch.length)) {
        const bytes = pool.view(f as never)
        // What the kernel says unasked: reports of multicast listeners, behind hop-by-hop options; ARP.
        const report = bytes[0] === 0x33 && bytes[20] === 0
        if (!report && bytes.readUInt16BE(12) !== 0x0806) frames.push(bytes.toString('hex'))
        pool.sent(f as never)
      }
      batch.length = 0
    }
  }
  const put = (side: Side, frames: readonly string[]): void => {
    for (const frame of frames) {
      const f = pool.from(Buffer.from(frame, 'hex'))
      pool.ledger.originate(1)
      batch.push(f as never)
      taps.get(side)?.process(batch)
    }
  }
  const gather = async (): Promise<Out> => {
    const out: Record<Side, string[]> = { p1: [], p2: [], up: [] }
    // The kernel forwards in a soft interrupt: wait until nothing has come for a while.
    for (let still = 0; still < 4; still++) {
      await sleep(3)
      for (const side of SIDES) {
        const came = drain(taps.get(side) as Port)
        if (came.length > 0) still = -1
        out[side].push(...came)
      }
    }
    return collect(out)
  }
  // A port of a bridge forwards a moment after it is up.
  for (const side of ['p1', 'p2'] as const) {
    put(side, [HELLO[side] as string])
    await gather()
  }
  return {
    send(from, ...frames) {
      put(from, frames)
      return gather()
    },
    wait: (seconds) => sleep(seconds * 1000),
    flows(protocol, port) {
      const listed = run('sh', '-c', `conntrack -L -p ${protocol} 2>/dev/null`).split('\n')
      return listed
        .filter((l) => l.includes(`sport=${port} `))
        .map((l) => {
          const [, , left, state = ''] = l.split(/\s+/)
          return [protocol === 'tcp' ? state : '', Number(left), l.includes('[ASSURED]')]
        })
    },
    timeouts() {
      const text = run('sh', '-c', 'cd /proc/sys/net/netfilter; grep -H . nf_conntrack_*timeout*')
      return Object.fromEntries(
        text
          .trim()
          .split('\n')
          .map((l) => {
            const [name = '', value] = l.split(':')
            return [name.replace('nf_conntrack_', ''), Number(value)]
          }),
      )
    },
    close,
  }
}

/** What ours is told besides where its ports lead. */
export type OurOptions = Partial<Omit<NatModeOptions, 'gateway' | 'inside' | 'uplinks'>>

/** Ours, as `WorldOptions` ask for it. */
export function settings({ mappings = [], random = false, timeouts = {}, hairpin = false }: WorldOptions): OurOptions {
  return {
    ...(random ? { outbound: [{ ports: 'random' }] } : {}),
    portMappings: mappings.map((m) => ({ protocol: m.protocol, port: m.port, to: m.to, toPort: m.toPort, hairpin })),
    ...(timeouts.udp_timeout === undefined ? {} : { conntrack: { timeouts: { udp: timeouts.udp_timeout } } }),
  }
}

/** Ours in memory, with the node for tests to look at. */
export interface OurWorld extends World {
  readonly node: NatNode
  readonly pool: FramePool
}

/** Ours, in memory on a virtual clock. After each `send` the ledger balances. */
export async function ours(options: WorldOptions, more: OurOptions = {}): Promise<OurWorld> {
  const pool = new FramePool({ frames: 256, frameSize: 5000 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const ports = Object.fromEntries(SIDES.map((s) => [s, new MemoryPort(pool, s)])) as Record<Side, MemoryPort>
  const node = nat(
    { pool, clock, loop, seed: 1 },
    {
      gateway: { mac: colons(MAC.gateway), addresses: ['10.22.0.1/24', `${SIX.gateway}/64`] },
      inside: (['p1', 'p2'] as const).map((name) => ({ name, port: ports[name] })),
      uplinks: [
        {
          ...{ name: 'eth0', port: ports.up, mac: colons(MAC.uplink), mtu: options.uplinkMtu ?? 1500 },
          addresses: ['203.0.113.1/24', `${SIX.outside}/64`],
        },
      ],
      ...settings(options),
      ...more,
    },
  )
  for (const [ip, mac] of NEIGHBOURS.inside) node.gateway.neighbours.add(ip, mac)
  for (const [ip, mac] of NEIGHBOURS.outside) node.uplinks[0]?.neighbours.add(ip, mac)
  const gather = (): Out => {
    loop.settle()
    const came = Object.fromEntries(SIDES.map((s) => [s, ports[s].takeAll().map((b) => b.toString('hex'))]))
    expect(pool.report().balanced).toBe(true)
    return collect(came as Record<Side, string[]>)
  }
  for (const side of ['p1', 'p2'] as const) {
    ports[side].inject(Buffer.from(HELLO[side] as string, 'hex'))
    gather()
  }
  const { timeouts } = node.nat.conntrack
  return {
    node,
    pool,
    async send(from, ...frames) {
      for (const frame of frames) ports[from].inject(Buffer.from(frame, 'hex'))
      return gather()
    },
    async wait(seconds) {
      for (let i = 0; i < seconds * 10; i++) {
        clock.advance(SECOND / 10)
        loop.turn()
      }
    },
    flows: (protocol, port) =>
      [...node.nat.flows()]
        .filter((f) => f.protocol === protocol && [f.original.srcPort, f.reply.srcPort].includes(port))
        .map((f) => [f.state ?? '', f.expiresIn, f.assured]),
    timeouts: () => ({
      udp_timeout: timeouts.udp,
      udp_timeout_stream: timeouts.udpStream,
      tcp_timeout_established: timeouts.tcpEstablished,
      tcp_timeout_syn_sent: timeouts.tcpSynSent,
      tcp_timeout_syn_recv: timeouts.tcpSynRecv,
      tcp_timeout_fin_wait: timeouts.tcpFinWait,
      tcp_timeout_close_wait: timeouts.tcpCloseWait,
      tcp_timeout_last_ack: timeouts.tcpLastAck,
      tcp_timeout_time_wait: timeouts.tcpTimeWait,
      tcp_timeout_close: timeouts.tcpClose,
      tcp_timeout_unacknowledged: timeouts.tcpUnacknowledged,
      icmp_timeout: timeouts.icmp,
      generic_timeout: timeouts.generic,
    }),
    close() {
      for (const side of SIDES) ports[side].close()
    },
  }
}
