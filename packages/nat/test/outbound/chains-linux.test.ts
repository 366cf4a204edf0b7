/**
 * The chains of Linux plugins as rules of ours, beside the same chains as their plugins write them, in a kernel: the same
 * flows through both.
 *
 *     test ── tap in0 [ kernel: 10.22.0.1/16, chains of iptables or nft, 203.0.113.1/24 ] tap out0 ── test
 *
 * A last rule behind the chains gives what they let pass another source, 203.0.113.99, so that all three outcomes can be
 * seen: translated (203.0.113.1), accepted (its own source), returned (203.0.113.99). Multicast cannot be asked: a
 * kernel does not route it without being a multicast router.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { type Batch, type Element, type Frame, FramePool, Loop, RealClock } from '@l2l3/switch-core'
import { formatIpv4, ipv4, parseIpv4, u16, udp } from '@l2l3/switch-core/wire'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Runner, runOnEventLoop, TapPort, tunAvailable } from '../../../tap-io/src/index.ts'
import {
  awsSnat,
  calicoNatOutgoing,
  cniIpMasq,
  dockerMasq,
  flannelMasq,
  kindnetMasq,
  markedMasquerade,
} from '../../src/outbound/chains.ts'
import { OutboundNat } from '../../src/outbound/outbound-nat.ts'
import type { OutboundRule } from '../../src/outbound/outbound-rule.ts'
import { SourceNat } from '../../src/outbound/source-nat.ts'
import { BEHAVIOUR, type SourceNatOptions } from '../../src/outbound/source-nat-options.ts'
import { cniPortMappings } from '../../src/port-mapping/cni.ts'
import { PortMappings } from '../../src/port-mapping/port-mappings.ts'
import { Lab } from './lab.ts'

const netns = `l2l3-chains-${process.pid}`
const has = (tool: string): boolean => spawnSync('which', [tool]).status === 0
const tun = tunAvailable()
const why =
  process.getuid?.() !== 0
    ? 'needs root (namespaces, TAP)'
    : !tun.ok
      ? tun.reason
      : !has('iptables') || !has('nft')
        ? 'needs iptables and nft'
        : ''

/** Numbers of the interfaces in our rules. */
const IN = 1
const OUT = 2
/** A flow from this port is marked 0x4000, as kube-proxy does. */
const MARKED = 4000

const sh = (script: string): void => {
  execFileSync('ip', ['netns', 'exec', netns, 'sh', '-ec', script], { stdio: ['ignore', 'pipe', 'pipe'] })
}

interface Seen {
  readonly by: 'in0' | 'out0'
  readonly src: string
  readonly sport: number
  readonly dst: string
  readonly dport: number
}

/** Notes UDP over IPv4 that the kernel sends. */
class Notebook implements Element {
  readonly seen: Seen[]
  readonly #pool: FramePool
  readonly #by: 'in0' | 'out0'
  constructor(pool: FramePool, by: 'in0' | 'out0', seen: Seen[]) {
    this.#pool = pool
    this.#by = by
    this.seen = seen
  }
  process(batch: Batch): void {
    const { bytes: b, off, len } = this.#pool
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const l3 = (off[f] as number) + 14
      const l4 = u16(b, l3 - 2) === 0x0800 ? ipv4.check(b, l3, l3 - 14 + (len[f] as number)) : -1
      if (l4 !== -1 && ipv4.protocol(b, l3) === 17) {
        this.seen.push({
          by: this.#by,
          src: formatIpv4(ipv4.src(b, l3)),
          sport: u16(b, l4),
          dst: formatIpv4(ipv4.dst(b, l3)),
          dport: u16(b, l4 + 2),
        })
      }
      this.#pool.drop(f, 28)
    }
    batch.length = 0
  }
}

/** The chains, as their plugins write them; the sources are those that modes.md names in each section. */
const KERNEL = {
  'CNI ipMasq, iptables': `
    iptables -t nat -N CNI-1
    iptables -t nat -A CNI-1 -d 10.22.0.0/16 -j ACCEPT
    iptables -t nat -A CNI-1 ! -d 224.0.0.0/4 -j MASQUERADE
    iptables -t nat -A POSTROUTING -s 10.22.0.11 -j CNI-1`,
  'CNI ipMasq, nftables': `
    nft add table ip cni
    nft 'add chain ip cni masq { type nat hook postrouting priority 90; }'
    nft add rule ip cni masq ip daddr 224.0.0.0/4 return
    nft add rule ip cni masq ip saddr 10.22.0.11 ip daddr != 10.22.0.0/16 masquerade`,
  flannel: `
    iptables -t nat -N FLANNEL-POSTRTG
    iptables -t nat -A POSTROUTING -j FLANNEL-POSTRTG
    iptables -t nat -A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -j RETURN
    iptables -t nat -A FLANNEL-POSTRTG -s 10.22.0.0/24 -d 10.22.0.0/16 -j RETURN
    iptables -t nat -A FLANNEL-POSTRTG -s 10.22.0.0/16 -d 10.22.0.0/24 -j RETURN
    iptables -t nat -A FLANNEL-POSTRTG ! -s 10.22.0.0/16 -d 10.22.0.0/24 -j RETURN
    iptables -t nat -A FLANNEL-POSTRTG -s 10.22.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully
    iptables -t nat -A FLANNEL-POSTRTG ! -s 10.22.0.0/16 -d 10.22.0.0/16 -j MASQUERADE --random-fully`,
  'Calico natOutgoing': `
    nft add table ip calico
    nft 'add set ip calico masq { type ipv4_addr; flags interval; elements = { 10.22.0.0/24 }; }'
    nft 'add set ip calico pools { type ipv4_addr; flags interval; elements = { 10.22.0.0/24, 10.22.1.0/24, 198.51.100.0/24 }; }'
    nft 'add chain ip calico out { type nat hook postrouting priority 90; }'
    nft add rule ip calico out ip saddr @masq ip daddr != @pools masquerade`,
  'AWS VPC CNI': `
    iptables -t nat -N AWS-SNAT-CHAIN-0
    iptables -t nat -A POSTROUTING -j AWS-SNAT-CHAIN-0
    iptables -t nat -A AWS-SNAT-CHAIN-0 -d 198.51.100.0/24 -j RETURN
    iptables -t nat -A AWS-SNAT-CHAIN-0 ! -o in+ -m addrtype ! --dst-type LOCAL -j SNAT --to-source 203.0.113.1 --random-fully`,
  Docker: `
    iptables -t nat -A POSTROUTING -s 10.22.0.0/16 ! -o in0 -j MASQUERADE`,
  kindnet: `
    nft add table ip kindnet
    nft 'add chain ip kindnet out { type nat hook postrouting priority 90; }'
    nft add rule ip kindnet out ip daddr { 10.22.0.0/16, 198.51.100.0/24 } return
    nft add rule ip kindnet out ip saddr 10.22.0.0/24 masquerade`,
} as const
type Chain = keyof typeof KERNEL

/** The same in ours. */
function ours(chain: Chain, nat: SourceNat): OutboundRule[] {
  switch (chain) {
    case 'CNI ipMasq, iptables':
      return cniIpMasq({ pods: ['10.22.0.11'], subnet: '10.22.0.0/16', nat })
    case 'CNI ipMasq, nftables':
      return cniIpMasq({ pods: ['10.22.0.11'], subnet: '10.22.0.0/16', backend: 'nftables', nat })
    case 'flannel':
      return flannelMasq({ network: '10.22.0.0/16', subnet: '10.22.0.0/24', nat })
    case 'Calico natOutgoing':
      return calicoNatOutgoing({
        family: 4,
        masqueradePools: ['10.22.0.0/24'],
        allPools: ['10.22.0.0/24', '10.22.1.0/24', '198.51.100.0/24'],
        nat,
      })
    case 'AWS VPC CNI':
      return awsSnat({ vpc: ['198.51.100.0/24'], vlans: [IN], nat })
    case 'Docker':
      return dockerMasq({ subnet: '10.22.0.0/16', bridge: IN, nat })
    case 'kindnet':
      return kindnetMasq({ family: 4, pods: ['10.22.0.0/24'], noMasquerade: ['10.22.0.0/16', '198.51.100.0/24'], nat })
  }
}

/** Pods of this node, of this node's subnet and another, hosts elsewhere. */
const SOURCES = ['10.22.0.11', '10.22.0.12', '10.22.1.5', '192.168.7.7']
const TARGETS = ['10.22.0.99', '10.22.1.9', '198.51.100.7', '8.8.8.8']

describe('chains, in the kernel and here', () => {
  let pool: FramePool
  let taps: TapPort[]
  let runner: Runner
  let send: (src: string, sport: number, dst: string, dport: number, by?: number) => Promise<Seen>
  /** Whether a packet that does not come out is an answer too; then it is not waited for long. */
  let patient = true
  let next = 10_000

  beforeAll(async () => {
    if (why) return
    execFileSync('ip', ['netns', 'add', netns])
    pool = new FramePool({ frames: 256 })
    const loop = new Loop(pool, new RealClock())
    const seen: Seen[] = []
    taps = (['in0', 'out0'] as const).map((name, i) => {
      const tap = TapPort.open(pool, { name, netns, mac: `0e:00:00:00:00:0${i + 1}` })
      loop.add(tap, new Notebook(pool, name, seen))
      return tap
    })
    const links = taps.map((tap) => loop.link(tap))
    sh(`
      sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
      sysctl -qw net.ipv4.conf.in0.rp_filter=0 net.ipv4.conf.out0.rp_filter=0 net.ipv4.conf.all.send_redirects=0
      sysctl -qw net.ipv4.conf.in0.send_redirects=0 net.ipv4.conf.out0.send_redirects=0
      ip link set lo up
      ip addr add 10.22.0.1/16 dev in0
      ip addr add 203.0.113.1/24 dev out0
      ip route add default via 203.0.113.254
      ip neigh replace 203.0.113.254 lladdr 02:00:00:00:00:fe dev out0 nud permanent
      for pod in 10.22.0.11 10.22.0.12 10.22.0.99 10.22.1.9 10.22.1.5
      do ip neigh replace $pod lladdr 02:00:00:00:00:0a dev in0 nud permanent
      done`)
    runner = runOnEventLoop(loop, taps)
    send = async (src, sport, dst, dport, by = 0) => {
      const f = pool.alloc() as Frame
      const b = pool.bytes
      const o = pool.off[f] as number
      b.set([0x0e, 0, 0, 0, 0, by + 1, 2, 0, 0, 0, 0, 0x0a, 8, 0], o)
      const l4 = ipv4.write(b, o + 14, { src: parseIpv4(src), dst: parseIpv4(dst), protocol: 17, payload: 12 })
      udp.write(b, l4, sport, dport, 4)
      b.fill(0, l4 + 8, l4 + 12)
      udp.fillChecksum(b, o + 14, l4)
      pool.len[f] = 14 + 20 + 12
      pool.ledger.originate(1)
      seen.length = 0
      links[by]?.push(f)
      runner.wake()
      for (let i = 0; i < (patient ? 1000 : 100); i++) {
        const mine = seen[0]
        if (mine !== undefined) return mine
        await new Promise((done) => setTimeout(done, 2))
      }
      throw new Error(`nothing came of ${src}:${sport} > ${dst}:${dport}`)
    }
  })
  afterAll(async () => {
    if (why) return
    await runner.stop()
    for (const tap of taps) tap.close()
    spawnSync('ip', ['netns', 'del', netns])
  })
  beforeEach((context) => {
    if (why) context.skip(why)
    else
      sh(
        'iptables -t nat -F; iptables -t nat -X; iptables -t mangle -F; nft flush ruleset; conntrack -F 2>/dev/null || true',
      )
  })

  it.each(Object.keys(KERNEL) as Chain[])('%s', async (chain) => {
    sh(`
      ${KERNEL[chain]}
      iptables -t mangle -A PREROUTING -p udp --sport ${MARKED} -j MARK --set-mark 0x4000
      iptables -t nat -A POSTROUTING -j SNAT --to-source 203.0.113.99`)
    const lab = new Lab()
    lab.address(IN, '10.22.0.1')
    lab.address(OUT, '203.0.113.1')
    const policy = new OutboundNat(ours(chain, new SourceNat(lab.addresses, { outside: lab.outside })))
    const outcomes = new Set<string>()
    for (const marked of [false, true]) {
      for (const from of SOURCES) {
        for (const to of TARGETS) {
          const sport = marked ? MARKED : next++
          const dport = next++
          const kernel = await send(from, sport, to, dport)
          const out = kernel.by === 'in0' ? IN : OUT
          const here = lab.send(policy, `udp ${from}:${sport} > ${to}:${dport}`, { out, masquerade: marked })
          const own = out === IN ? '10.22.0.1' : '203.0.113.1'
          const theirs = { [own]: 'translated', [from]: 'accepted', '203.0.113.99': 'returned' }[kernel.src]
          const mine = here.to !== null ? 'translated' : here.decided ? 'accepted' : 'returned'
          expect({ from, to, marked, outcome: mine }).toEqual({ from, to, marked, outcome: theirs })
          if (mine === 'translated') expect(here.to?.split(':')[0]).toBe(kernel.src)
          outcomes.add(mine)
          lab.end(here.id)
        }
      }
    }
    expect(outcomes.size).toBeGreaterThan(1)
  })

  /** The same questions to both: where a flow of UDP leaves from, or null where it does not. */
  type Ask = (src: string, sport: number, dst: string, dport: number) => Promise<string | null>
  const facts: Record<string, { iptables: string; ours: SourceNatOptions; run: (ask: Ask) => Promise<void> }> = {
    'a port range: preserved in it, others moved into it, refused where it is spent': {
      iptables: '-p udp -j MASQUERADE --to-ports 40000-40003',
      ours: { portRange: '40000-40003' },
      run: async (ask) => {
        expect(await ask('10.22.0.11', 40_002, '8.8.8.8', 53)).toBe('203.0.113.1:40002')
        const rest = [await ask('10.22.0.11', 1, '8.8.8.8', 53), await ask('10.22.0.12', 2, '8.8.8.8', 53)]
        rest.push(await ask('10.22.0.12', 40_002, '8.8.8.8', 53))
        expect(rest.toSorted()).toEqual(['203.0.113.1:40000', '203.0.113.1:40001', '203.0.113.1:40003'])
        expect(await ask('10.22.0.12', 5, '8.8.8.8', 53)).toBeNull()
        expect(await ask('10.22.0.12', 5, '8.8.4.4', 53)).toMatch(/^203\.0\.113\.1:4000[0-3]$/)
      },
    },
    'several addresses, --persistent: one for an inside host': {
      iptables: '-j SNAT --to-source 203.0.113.8-203.0.113.15 --persistent',
      ours: { to: ['203.0.113.8-203.0.113.15'], pooling: 'paired' },
      run: async (ask) => {
        const all = new Set<string>()
        for (let host = 1; host <= 30; host++) {
          const seen = new Set<string>()
          for (let i = 1; i <= 4; i++) {
            const port = 5000 + 10 * host + i
            const left = await ask(`10.22.5.${host}`, port, `8.8.8.${i}`, 53)
            expect(left?.split(':')[1]).toBe(String(port))
            seen.add(left?.split(':')[0] as string)
          }
          expect(seen.size).toBe(1)
          for (const address of seen) all.add(address)
        }
        expect(all.size).toBeGreaterThan(3)
      },
    },
    'several addresses: by destination too': {
      iptables: '-j SNAT --to-source 203.0.113.8-203.0.113.15',
      ours: { ...BEHAVIOUR.linux, to: ['203.0.113.8-203.0.113.15'] },
      run: async (ask) => {
        const seen = new Set<string | undefined>()
        for (let i = 1; i <= 30; i++) seen.add((await ask('10.22.0.11', 5000 + i, `8.8.8.${i}`, 53))?.split(':')[0])
        expect(seen.size).toBeGreaterThan(3)
      },
    },
    '--random-fully: no port is preserved, no mapping kept': {
      iptables: '-j MASQUERADE --random-fully',
      ours: { ports: 'random' },
      run: async (ask) => {
        const seen = new Set<string | null>()
        for (let i = 1; i <= 30; i++) seen.add(await ask('10.22.0.11', 5000, `8.8.8.${i}`, 53))
        expect(seen.size).toBeGreaterThan(25)
        seen.delete('203.0.113.1:5000')
        expect(seen.size).toBeGreaterThan(25)
      },
    },
    'a mapping that is taken towards a destination makes way for those to come': {
      iptables: '-j MASQUERADE',
      ours: {},
      run: async (ask) => {
        expect(await ask('10.22.0.11', 5000, '8.8.8.1', 53)).toBe('203.0.113.1:5000')
        expect(await ask('10.22.0.12', 5000, '8.8.8.2', 53)).toBe('203.0.113.1:5000')
        const second = await ask('10.22.0.12', 5000, '8.8.8.1', 53)
        expect(second).not.toBe('203.0.113.1:5000')
        expect(await ask('10.22.0.12', 5000, '8.8.8.3', 53)).toBe(second)
      },
    },
  }

  it.each(Object.keys(facts))('%s', async (name) => {
    const { iptables, ours: options, run } = facts[name] as (typeof facts)[string]
    sh(`iptables -t nat -A POSTROUTING -o out0 ${iptables}`)
    patient = false
    try {
      await run(async (...question) => {
        const seen = await send(...question).catch(() => null)
        return seen === null ? null : `${seen.src}:${seen.sport}`
      })
    } finally {
      patient = true
    }
    const lab = new Lab()
    lab.address(OUT, '203.0.113.1')
    const nat = new SourceNat(lab.addresses, { ...(options.to ? {} : { outside: lab.outside }), ...options })
    await run(async (src, sport, dst, dport) => lab.send(nat, `udp ${src}:${sport} > ${dst}:${dport}`, { out: OUT }).to)
  })

  it('hostPort: the destination, and whose source is masqueraded', async () => {
    sh(`
      iptables -t nat -N CNI-HOSTPORT-DNAT; iptables -t nat -N CNI-HOSTPORT-SETMARK; iptables -t nat -N CNI-HOSTPORT-MASQ
      iptables -t nat -N CNI-DN-1
      iptables -t nat -A CNI-HOSTPORT-SETMARK -j MARK --or-mark 0x2000
      iptables -t nat -A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE
      iptables -t nat -I POSTROUTING -j CNI-HOSTPORT-MASQ
      iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
      iptables -t nat -A CNI-HOSTPORT-DNAT -p udp -m multiport --dports 8080,8081 -j CNI-DN-1
      iptables -t nat -A CNI-DN-1 -p udp --dport 8080 -s 10.22.0.0/16 -j CNI-HOSTPORT-SETMARK
      iptables -t nat -A CNI-DN-1 -p udp --dport 8080 -s 127.0.0.1 -j CNI-HOSTPORT-SETMARK
      iptables -t nat -A CNI-DN-1 -p udp --dport 8080 -j DNAT --to-destination 10.22.0.11:80
      iptables -t nat -A CNI-DN-1 -p udp -d 203.0.113.1 --dport 8081 -s 10.22.0.0/16 -j CNI-HOSTPORT-SETMARK
      iptables -t nat -A CNI-DN-1 -p udp -d 203.0.113.1 --dport 8081 -j DNAT --to-destination 10.22.0.11:81`)
    const lab = new Lab()
    lab.address(IN, '10.22.0.1')
    const mappings = new PortMappings(lab.addresses)
    mappings.addAll(
      cniPortMappings({
        containerIps: ['10.22.0.11/16'],
        portMappings: [
          { hostPort: 8080, containerPort: 80, protocol: 'udp' },
          { hostPort: 8081, containerPort: 81, protocol: 'udp', hostIP: '203.0.113.1' },
        ],
      }),
    )
    const outbound = new OutboundNat(markedMasquerade(new SourceNat(lab.addresses, { outside: lab.outside })))
    for (const [from, to, port, by] of [
      ['198.51.100.7', '203.0.113.1', 8080, 1],
      ['198.51.100.7', '10.22.0.1', 8080, 1],
      ['198.51.100.7', '203.0.113.1', 8081, 1],
      ['10.22.0.12', '203.0.113.1', 8080, 0],
      ['10.22.0.12', '10.22.0.1', 8080, 0],
      ['10.22.0.11', '203.0.113.1', 8081, 0],
      // Not an address of the node: routed on, untranslated.
      ['10.22.0.12', '198.51.100.7', 8080, 0],
    ] as const) {
      const sport = next++
      const kernel = await send(from, sport, to, port, by)
      const local = to !== '198.51.100.7'
      lab.ask(`udp ${from}:${sport} > ${to}:${port}`, { toLocal: local, out: 0 })
      const { flow } = lab
      const mapped = mappings.decide(flow)
      const dst = mapped ? lab.text(0, flow.toAddress) : to
      const dport = mapped ? flow.toPort : port
      flow.tuple.set(flow.tuple.src, lab.number(dst), sport, dport, 17)
      flow.resetRound()
      flow.out = mapped ? IN : OUT
      const translated = outbound.decide(flow, lab.reply)
      const src = translated ? lab.text(0, flow.toAddress) : from
      expect({ by: mapped ? 'in0' : 'out0', src, sport, dst, dport }).toEqual(kernel)
    }
  })
})
