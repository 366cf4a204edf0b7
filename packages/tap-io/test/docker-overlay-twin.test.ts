/**
 * A node of Docker's overlay as libnetwork has the kernel make it - a bridge and a vxlan device with proxy, l2miss and l3miss - and
 * as ours is: the same frames in, the same frames out (modes.md 12). And what was recorded of a real one.
 */
import { tunAvailable } from '@l2l3/tap-io'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { dockerOverlay } from '../../modes/src/index.ts'
import { needsTun } from './lab.ts'
import { kernelTwin, ourTwin, packet, type Twin, wrapped } from './twins.ts'

needsTun()
const can = tunAvailable().ok && process.getuid?.() === 0

const RED = '02420a000902'
const BLUE = '02420a000903'
const GREEN = '02420a000904'
const BRIDGE = '02420a000901'
const UP = '0200000000aa'
const NODE2 = '0200000000bb'
const ALL = 'ffffffffffff'
const colons = (mac: string): string => mac.replace(/..(?!$)/g, '$&:')
const ipHex = (ip: string): string => Buffer.from(ip.split('.').map(Number)).toString('hex')
const arp = (dst: string, op: 1 | 2, spa: string, tpa: string, sha = RED, tha = '000000000000'): string =>
  `${dst}${sha}080600010800060400${op === 1 ? '01' : '02'}${sha}${ipHex(spa)}${tha}${ipHex(tpa)}`

describe('a node of Docker’s overlay', () => {
  let twins: [Twin, Twin]

  beforeAll(async () => {
    if (!can) return
    const kernels = await kernelTwin(
      { veth1: '02:00:00:00:03:01', veth2: '02:00:00:00:03:02', eth0: colons(UP) },
      `
      f=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e $f ] || echo 0 > $f
      ip link set lo up; ip link set eth0 up; ip addr add 192.0.2.1/24 dev eth0
      ip neigh replace 192.0.2.2 lladdr ${colons(NODE2)} dev eth0 nud permanent
      ip link add br0 address ${colons(BRIDGE)} type bridge mcast_snooping 0
      ip link add vxlan0 mtu 1450 type vxlan id 4096 local 192.0.2.1 dev eth0 dstport 4789 learning proxy l2miss l3miss
      for v in veth1 veth2 vxlan0; do ip link set $v up master br0; done
      ip link set br0 up; ip addr add 10.0.9.1/24 dev br0
      ip neigh replace 10.0.9.4 lladdr ${colons(GREEN)} dev vxlan0 nud permanent
      bridge fdb add ${colons(GREEN)} dev vxlan0 dst 192.0.2.2`,
    )
    const ours = ourTwin(['veth1', 'veth2', 'eth0'], (ground, port) => {
      const node = dockerOverlay(ground, {
        gateway: { mac: colons(BRIDGE), addresses: ['10.0.9.1/24'] },
        pods: [
          { name: 'veth1', port: port('veth1'), mac: colons(RED), ips: ['10.0.9.2'] },
          { name: 'veth2', port: port('veth2'), mac: colons(BLUE), ips: ['10.0.9.3'] },
        ],
        peers: [{ node: 'n2', address: '192.0.2.2', stations: [{ mac: colons(GREEN), ips: ['10.0.9.4'] }] }],
        uplinks: [{ name: 'eth0', port: port('eth0'), mac: colons(UP), addresses: ['192.0.2.1/24'] }],
      })
      node.host.uplinks[0]?.neighbours.add('192.0.2.2', colons(NODE2))
    })
    twins = [kernels, ours]
  }, 30_000)
  afterAll(() => twins?.forEach((twin) => void twin.close()))

  /** Sends both the same, and compares; gives what came out. */
  const both = async (port: string, frame: string): Promise<Record<string, string[]>> => {
    const [kernels, ours] = [await twins[0].send(port, frame), await twins[1].send(port, frame)]
    expect(ours, `${port} ${frame}`).toEqual(kernels)
    return ours
  }

  it('answers for far containers, probes too, and drops questions for nobody known', async () => {
    const answer = (out: Record<string, string[]>): string | undefined => out.veth1?.[0]
    expect(answer(await both('veth1', arp(ALL, 1, '10.0.9.2', '10.0.9.4')))).toBe(
      arp(RED, 2, '10.0.9.4', '10.0.9.2', GREEN, RED),
    )
    expect(answer(await both('veth1', arp(ALL, 1, '0.0.0.0', '10.0.9.4')))).toBe(
      arp(RED, 2, '10.0.9.4', '0.0.0.0', GREEN, RED),
    )
    for (const [spa, tpa] of [
      ['10.0.9.2', '10.0.9.99'],
      ['0.0.0.0', '10.0.9.99'],
      ['10.0.9.2', '10.0.9.3'],
      ['10.0.9.2', '10.0.9.2'],
    ] as const) {
      const out = await both('veth1', arp(ALL, 1, spa, tpa))
      expect(Object.keys(out), `${spa} asks for ${tpa}`).toEqual(['veth2'])
    }
    expect(await both('veth1', arp(ALL, 2, '10.0.9.2', '10.0.9.2'))).not.toHaveProperty('eth0')
    expect(answer(await both('veth1', arp(ALL, 1, '10.0.9.2', '10.0.9.1')))).toBe(
      arp(RED, 2, '10.0.9.1', '10.0.9.2', BRIDGE, RED),
    )
  })

  it('carries frames to far containers as they are, and nothing to all, or to nobody known', async () => {
    const of = { dst: GREEN, src: RED, from: '10.0.9.2', to: '10.0.9.4', ttl: 20 }
    const { eth0 } = await both('veth1', packet({ ...of, echo: true }))
    expect(eth0?.[0]).toContain(`0800000000100000${GREEN}${RED}0800`)
    await both('veth1', packet({ ...of, df: true }))
    expect(await both('veth1', packet({ ...of, dst: ALL, to: '10.0.9.255' }))).not.toHaveProperty('eth0')
    expect(await both('veth1', packet({ ...of, dst: '02420a000963', to: '10.0.9.99' }))).not.toHaveProperty('eth0')
    expect(Object.keys(await both('veth1', packet({ ...of, dst: BLUE, to: '10.0.9.3' })))).toContain('veth2')
  })

  it('takes frames out as they are; of another VNI, none', async () => {
    const outer = { dst: UP, src: NODE2, from: '192.0.2.2', to: '192.0.2.1', port: 4789, vni: 4096 }
    const inner = packet({ dst: RED, src: GREEN, from: '10.0.9.4', to: '10.0.9.2', ttl: 1 })
    expect(await both('eth0', wrapped(outer, inner))).toEqual({ veth1: [inner] })
    expect(await both('eth0', wrapped({ ...outer, vni: 7 }, inner))).toEqual({})
    const all = packet({ dst: ALL, src: GREEN, from: '10.0.9.4', to: '10.0.9.255' })
    expect(Object.keys(await both('eth0', wrapped(outer, all)))).toEqual(['veth1', 'veth2'])
  })
})

describe('an echo request that was recorded between two nodes on Linux 6.18', () => {
  const HOST1 = 'b289510afcbc'
  const HOST2 = '9283 97e3 4350'.replaceAll(' ', '')
  const [POD3, POD5] = ['02420a000903', '02420a000905']
  // What stood in the underlay: docker-overlay-underlay.pcap, its third packet.
  const RECORDED =
    '928397e34350b289510afcbc080045000086161c0000401148f7c0a84d01c0a84d02c9e212b500721bd8080000000010010002420a00090502420a00090308004500005422f0400014011db20a0009030a00090508005e9a56ba000122b2006b000000005fba010000000000101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637'

  const node = (): Twin =>
    ourTwin(['pod', 'eth0'], (ground, port) => {
      const made = dockerOverlay(ground, {
        vni: 4097,
        pods: [{ name: 'pod', port: port('pod'), mac: colons(POD3), ips: ['10.0.9.3'] }],
        peers: [{ node: 'n2', address: '192.168.77.2', stations: [{ mac: colons(POD5), ips: ['10.0.9.5'] }] }],
        uplinks: [{ name: 'eth0', port: port('eth0'), mac: colons(HOST1), addresses: ['192.168.77.1/24'] }],
      })
      made.host.uplinks[0]?.neighbours.add('192.168.77.2', colons(HOST2))
    })

  it('leaves our node as it left that one', async () => {
    const twin = node()
    const out = await twin.send('pod', RECORDED.slice(100))
    // The identification, UDP's source port and checksum are blanked: both stay as long as they were.
    expect(out.eth0?.[0]?.slice(0, 36)).toBe(RECORDED.slice(0, 36))
    expect(out.eth0?.[0]?.slice(40, 48)).toBe(RECORDED.slice(40, 48))
    expect(out.eth0?.[0]?.slice(52, 68)).toBe(RECORDED.slice(52, 68))
    expect(out.eth0?.[0]?.slice(72, 80)).toBe(RECORDED.slice(72, 80))
    expect(out.eth0?.[0]?.slice(84)).toBe(RECORDED.slice(84))
    twin.close()
  })
})
