/**
 * A VTEP of ours and the kernel's vxlan device, over a TAP: ping there and back, short and long, over IPv4 and IPv6, with
 * and without outer checksums, by learning and by configuration.
 *
 *     ping [ kernel: vxlan0 10.244.1.1 on tap0 192.168.77.1 ] ── TapPort ── Router eth0 .2 ── Vtep ── Router vx 10.244.1.2
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { type Element, FramePool, Loop, MILLISECOND, Pipeline, RealClock, Router, SECOND } from '@l2l3/switch-core'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { NeighbourTable } from '../../arp/src/index.ts'
import { type Runner, runOnEventLoop, TapPort, tunAvailable } from '../../tap-io/src/index.ts'
import { type ProfileOptions, Vtep } from '../src/index.ts'

const tun = tunAvailable()
const why = process.getuid?.() !== 0 ? 'needs root (namespaces, TAP)' : tun.ok ? '' : tun.reason
const netns = `l2l3-vtep-${process.pid}`

function ns(command: string): void {
  execFileSync('ip', ['netns', 'exec', netns, 'sh', '-ec', command], { stdio: 'pipe' })
}

/** Runs a command in the namespace, while the loop here turns. */
function tool(command: string): Promise<string> {
  return new Promise((done) => {
    execFile('ip', ['netns', 'exec', netns, 'sh', '-c', command], (_, out, err) => done(out + err))
  })
}

/** Our node: its underlay address and its address in the network. */
class Ours {
  readonly pool = new FramePool({ frames: 512, frameSize: 65_553, headroom: 256 })
  readonly loop = new Loop(this.pool, new RealClock())
  readonly tap: TapPort
  readonly vtep: Vtep
  readonly net: ReturnType<Vtep['addNetwork']>
  readonly runner: Runner

  constructor(v6: boolean, options: ProfileOptions, learning: boolean) {
    const { pool, loop } = this
    this.tap = TapPort.open(pool, { name: 'tap0', netns, mac: '0e:00:00:00:00:01' })
    const iface = (name: string, mac: string, out: ReturnType<typeof loop.link>, addresses: string[]): Element => {
      const router = new Router(pool, loop.clock)
      const made = router.addInterface({ name, mac, out, addresses })
      const table = new NeighbourTable(pool, loop.clock, { mac, out, addresses, client: made })
      made.neighbours = table
      loop.every(100 * MILLISECOND, table)
      this.routers.push(router)
      return new Pipeline(table.input, made)
    }
    const local = v6 ? 'fd00:77::2' : '192.168.77.2'
    const underlay = iface('eth0', '02:00:00:00:00:02', loop.link(this.tap), [`${local}/${v6 ? 64 : 24}`])
    const [router] = this.routers as [Router]
    this.vtep = new Vtep(pool, loop.clock, { local, out: router, ...options })
    router.onLocal = this.vtep.take
    const late: { inside?: Element } = {}
    const into = loop.link({ process: (b) => late.inside?.process(b) }, 'from tunnel')
    this.net = this.vtep.addNetwork({ vni: 4096, out: into, learning, mtu: 1500 - (v6 ? 70 : 50) })
    late.inside = iface('vx', '02:42:0a:f4:01:02', loop.link(this.net), ['10.244.1.2/24', 'fd01::2/64'])
    loop.add(this.tap, underlay)
    loop.every(SECOND, this.vtep)
    this.runner = runOnEventLoop(loop, [this.tap])
  }
  readonly routers: Router[] = []

  async close(): Promise<void> {
    await this.runner.stop()
    this.tap.close()
  }
}

describe('beside the kernel\u2019s vxlan device', () => {
  let ours: Ours | undefined
  beforeEach((context) => {
    if (why) context.skip(why)
  })
  afterEach(async () => {
    await ours?.close()
    ours = undefined
    if (why) return
    spawnSync('ip', ['netns', 'del', netns])
  })

  it.each([
    ['IPv4, checksums', false, '', {}],
    ['IPv4, none', false, 'noudpcsum', { udpChecksum: false }],
    ['IPv4, DF', false, 'df set', { df: 'set' as const }],
    [
      'IPv4, all inherited',
      false,
      'ttl inherit tos inherit df inherit',
      { ttl: 'inherit' as const, tos: 'inherit' as const },
    ],
    ['IPv6, checksums', true, '', {}],
    [
      'IPv6, none',
      true,
      'udp6zerocsumtx udp6zerocsumrx',
      { udpChecksum6: false, zeroChecksum6: true, flowLabel: 'hash' as const },
    ],
  ])(
    '%s: ping, short and long, both ways',
    async (_, v6, flags, options) => {
      execFileSync('ip', ['netns', 'add', netns])
      ours = new Ours(v6, options, true)
      const [address, local, remote] = v6
        ? ['fd00:77::1/64', 'fd00:77::1', 'fd00:77::2']
        : ['192.168.77.1/24', '192.168.77.1', '192.168.77.2']
      ns(`ip addr add ${address} dev tap0 nodad; ip link set lo up; ip link set tap0 up
      ip link add vxlan0 type vxlan id 4096 dstport 4789 local ${local} remote ${remote} dev tap0 ${flags}
      ip addr add 10.244.1.1/24 dev vxlan0; ip addr add fd01::1/64 dev vxlan0 nodad; ip link set vxlan0 up`)
      // Our first frame there is an answer: the far end is learnt.
      expect(await tool('ping -c 3 -i 0.1 -W 2 10.244.1.2')).toContain(' 0% packet loss')
      const mtu = v6 ? 1430 : 1450
      expect(await tool(`ping -c 2 -i 0.1 -W 2 -M do -s ${mtu - 28} 10.244.1.2`)).toContain(' 0% packet loss')
      expect(await tool('ping -c 2 -i 0.1 -W 2 fd01::2')).toContain(' 0% packet loss')
      expect(await tool('ping -c 2 -i 0.1 -W 2 -Q 0xb9 10.244.1.2')).toContain(' 0% packet loss')
      expect([...ours.net.entries()]).toMatchObject([{ remote: local, kind: 'dynamic' }])
      expect(ours.net.remotes()).toMatchObject([{ address: local }])
      const { dropped, balanced } = ours.pool.report()
      expect(balanced).toBe(true)
      for (const reason of ['BadChecksum', 'Malformed', 'TunnelFlags', 'UnknownVni', 'BadOffload'] as const) {
        expect(dropped[reason] ?? 0, reason).toBe(0)
      }
    },
    60_000,
  )

  it('configured, as flannel does it: no learning, a MAC and its far end', async () => {
    execFileSync('ip', ['netns', 'add', netns])
    ours = new Ours(false, {}, false)
    ns(`ip addr add 192.168.77.1/24 dev tap0; ip link set lo up; ip link set tap0 up
      ip link add vxlan0 address 66:00:00:00:00:01 type vxlan id 4096 dstport 4789 local 192.168.77.1 nolearning dev tap0
      bridge fdb append 02:42:0a:f4:01:02 dev vxlan0 dst 192.168.77.2
      ip addr add 10.244.1.1/24 dev vxlan0; ip link set vxlan0 up
      ip neigh replace 10.244.1.2 lladdr 02:42:0a:f4:01:02 dev vxlan0 nud permanent`)
    ours.net.addStatic('66:00:00:00:00:01', '192.168.77.1')
    ours.net.addFlood('192.168.77.1')
    expect(await tool('ping -c 3 -i 0.1 -W 2 10.244.1.2')).toContain(' 0% packet loss')
    expect([...ours.net.entries()]).toMatchObject([{ mac: '66:00:00:00:00:01', kind: 'static' }])
  }, 30_000)
})
