import { existsSync } from 'node:fs'
import { FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import { afterEach, describe, expect, it } from 'vitest'
import { datagram, MAC, OUTSIDE, P1, P2, type Side, X, Y } from '../../../tap-io/test/nat-packets.ts'
import {
  collect,
  colons,
  HELLO,
  kernels,
  NEIGHBOURS,
  noKernel,
  type Out,
  type WorldOptions,
} from '../../../tap-io/test/nat-worlds.ts'
import { bridge, type LinuxBridgeOptions } from '../../src/index.ts'

/* Mode bridge beside the kernel: the rules that the CNI plugin, Docker and kubenet write, as text for nft, and the same frames to both.
 * Who is there is drawn in nat-worlds; what masquerading, port mappings and hairpin are is held against the kernel there. */

interface Node {
  send(from: Side, ...frames: string[]): Promise<Out>
  close(): void
}

const open: Node[] = []
afterEach(() => {
  for (const node of open.splice(0)) node.close()
})

/** Ours, in memory. */
function ours(options: Partial<LinuxBridgeOptions>): Node {
  const pool = new FramePool({ frames: 256 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const ports = { p1: new MemoryPort(pool, 'p1'), p2: new MemoryPort(pool, 'p2'), up: new MemoryPort(pool, 'up') }
  const pod = (name: 'p1' | 'p2', ip: string) => ({
    name,
    port: ports[name],
    mac: colons(MAC[name]),
    ips: [`${ip}/24`],
  })
  const node = bridge(
    { pool, clock, loop, seed: 1 },
    {
      gateway: { mac: colons(MAC.gateway), addresses: ['10.22.0.1/24'] },
      pods: [pod('p1', P1), pod('p2', P2)],
      uplinks: [{ name: 'eth0', port: ports.up, mac: colons(MAC.uplink), addresses: ['203.0.113.1/24'] }],
      routes: [{ to: '10.99.0.0/16', via: X }],
      ...options,
    },
  )
  const v4 = (list: [string, string][]) => list.filter(([ip]) => !ip.includes(':'))
  for (const [ip, mac] of v4(NEIGHBOURS.inside)) node.host.bridges[0]?.gateway?.neighbours.add(ip, mac)
  for (const [ip, mac] of v4(NEIGHBOURS.outside)) node.host.uplinks[0]?.neighbours.add(ip, mac)
  const gather = (): Out => {
    loop.settle()
    const came = (side: Side) => ports[side].takeAll().map((b) => b.toString('hex'))
    const out = collect({ p1: came('p1'), p2: came('p2'), up: came('up') })
    expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
    return out
  }
  // So that the bridge knows where they are.
  for (const side of ['p1', 'p2'] as const) {
    ports[side].inject(Buffer.from(HELLO[side] as string, 'hex'))
    gather()
  }
  return {
    async send(from, ...frames) {
      for (const frame of frames) ports[from].inject(Buffer.from(frame, 'hex'))
      return gather()
    },
    close: () => Object.values(ports).forEach((port) => void port.close()),
  }
}

/** Both, told the same. */
async function both(options: Partial<LinuxBridgeOptions>, kernel: WorldOptions): Promise<Node[]> {
  const commands = [['ip', 'route', 'add', '10.99.0.0/16', 'via', X], ...(kernel.commands ?? [])]
  const rules = (kernel.rules ?? '').replaceAll('} ', '}\n')
  open.push(ours(options), await kernels({ ...kernel, rules, commands }))
  return open
}

const ports = (out: Out): string[] => Object.keys(out).sort()

/** What comes of frames, the same in both. */
async function same(nodes: readonly Node[], from: Side, frame: string): Promise<Out> {
  const [mine, theirs] = [await nodes[0]?.send(from, frame), await nodes[1]?.send(from, frame)]
  expect(mine).toEqual(theirs)
  return mine as Out
}

/** A datagram from pod to pod, on the bridge. */
const across = (from: 1 | 2): string =>
  datagram(from === 1 ? `${P1}:5000` : `${P2}:5000`, from === 1 ? `${P2}:9` : `${P1}:9`).replace(
    /^.{12}/,
    from === 1 ? MAC.p2 : MAC.p1,
  )

const nat = (rules: string): string =>
  `table ip nat { chain post { type nat hook postrouting priority srcnat; ${rules.replace(/;\s*$/, '')}; } }`

describe.skipIf(noKernel !== '')(`mode bridge, and the kernel's${noKernel}`, () => {
  it.each([
    ['iptables', `ip saddr ${P1} jump pod1; ip saddr ${P2} jump pod1; `],
    ['nftables', `ip daddr 224.0.0.0/4 return; ip saddr ${P1} ip daddr != 10.22.0.0/24 masquerade; `],
  ] as const)('ipMasq by %s: all but the own subnet and multicast', async (masquerade, rules) => {
    const chain = 'chain pod1 { ip daddr 10.22.0.0/24 accept; ip daddr != 224.0.0.0/4 masquerade; }'
    const table =
      masquerade === 'iptables'
        ? `table ip nat { ${chain} chain post { type nat hook postrouting priority srcnat; ${rules.replace(/;\s*$/, '')}; } }`
        : nat(`${rules} ip saddr ${P2} ip daddr != 10.22.0.0/24 masquerade;`)
    const nodes = await both({ masquerade }, { rules: table })
    const out = await same(nodes, 'p1', datagram(`${P1}:5000`, `${X}:9`))
    // 203.0.113.1 stands where the pod's address was.
    expect(out.up?.[0]?.slice(52, 60)).toBe('cb007101')
    await same(nodes, 'p2', datagram(`${P2}:5000`, `${Y}:9`))
    await same(nodes, 'p1', datagram(`${P1}:5000`, '10.99.0.1:9'))
    expect(ports(await same(nodes, 'p1', datagram(`${P1}:5000`, `${P2}:9`)))).toEqual(['p2'])
    // A host of the inside that is no pod's is not masqueraded.
    expect((await same(nodes, 'p1', datagram('10.22.0.99:5000', `${X}:9`))).up?.[0]?.slice(52, 60)).toBe('0a160063')
  })

  it('kubenet: all but 10.0.0.0/8', async () => {
    const rules = nat('ip daddr != 10.0.0.0/8 fib daddr type != local masquerade')
    const nodes = await both({ masquerade: 'kubenet' }, { rules })
    expect((await same(nodes, 'p1', datagram(`${P1}:5000`, `${X}:9`))).up?.[0]?.slice(52, 60)).toBe('cb007101')
    expect((await same(nodes, 'p1', datagram(`${P1}:5000`, '10.99.0.1:9'))).up?.[0]?.slice(52, 60)).toBe('0a16000b')
  })

  it('docker0: masquerade by the bridge, and containers’ own addresses closed (raw)', async () => {
    const rules = `${nat('ip saddr 10.22.0.0/24 oifname != "cni0" masquerade')}
      table ip raw { chain pre { type filter hook prerouting priority raw; ip daddr 10.22.0.11 iifname != "cni0" drop;
        ip daddr 10.22.0.12 iifname != "cni0" drop; } }`
    const nodes = await both({ masquerade: 'docker', guarded: true }, { rules })
    const sent = await same(nodes, 'p1', datagram(`${P1}:5000`, `${X}:9`))
    expect(ports(sent)).toEqual(['up'])
    // The answer is for the node when it arrives, and gets in; who names the container does not.
    expect(ports(await same(nodes, 'up', datagram(`${X}:9`, `${OUTSIDE}:5000`)))).toEqual(['p1'])
    expect(ports(await same(nodes, 'up', datagram(`${X}:9`, `${P1}:5000`)))).toEqual([])
    expect(ports(await same(nodes, 'p2', across(2)))).toEqual(['p1'])
  })

  it.skipIf(!existsSync('/proc/sys/net/bridge'))(
    'docker0, icc=false: no IP between containers, ARP all the same',
    async () => {
      const rules = `table ip filter { chain forward { type filter hook forward priority filter;
      ct state established,related accept; iifname "cni0" oifname "cni0" drop; } }`
      const nodes = await both({ icc: false }, { rules, bridgeFilter: true })
      expect(ports(await same(nodes, 'p1', across(1)))).toEqual([])
      expect(ports(await same(nodes, 'p1', datagram(`${P1}:5000`, `${P2}:9`)))).toEqual([])
      expect(ports(await same(nodes, 'p1', datagram(`${P1}:5000`, `${X}:9`)))).toEqual(['up'])
      const request = `ffffffffffff${MAC.p1}08060001080006040001${MAC.p1}0a16000b0000000000000a16000c`
      const [mine] = nodes
      expect(await mine?.send('p1', request)).toEqual({ p2: [request] })
    },
  )

  it('macspoofchk: what comes with another MAC ends at the bridge', async () => {
    const rules = `table bridge l2l3 { chain pre { type filter hook prerouting priority -300;
      iifname "v1" ether saddr != ${colons(MAC.p1)} drop; iifname "v2" ether saddr != ${colons(MAC.p2)} drop; } }`
    const nodes = await both({ macspoofchk: true }, { rules })
    expect(ports(await same(nodes, 'p1', across(1)))).toEqual(['p2'])
    const spoofed = across(1).replace(/^(.{12}).{12}/, '$102000000eeee')
    expect(ports(await same(nodes, 'p1', spoofed))).toEqual([])
  })

  it('portIsolation: pods reach the node and not each other', async () => {
    const isolated = ['v1', 'v2'].map((dev) => ['bridge', 'link', 'set', 'dev', dev, 'isolated', 'on'])
    const nodes = await both({ portIsolation: true }, { rules: '', commands: isolated })
    expect(ports(await same(nodes, 'p1', across(1)))).toEqual([])
    expect(ports(await same(nodes, 'p1', datagram(`${P1}:5000`, `${X}:9`)))).toEqual(['up'])
    // By the router it is another matter: the bridge's own port is not isolated.
    expect(ports(await same(nodes, 'p1', datagram(`${P1}:5000`, `${P2}:9`)))).toEqual(['p2'])
  })
})
