/**
 * Nodes of Calico and flannel as the kernel makes them - links with proxy ARP, a bridge, VXLAN, routes, rules of netfilter - and as
 * ours are: the same frames in, the same frames out (modes.md 10, 11).
 */
import { spawnSync } from 'node:child_process'
import { tunAvailable } from '@l2l3/tap-io'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { calico, flannel } from '../../modes/src/index.ts'
import { needsTun } from './lab.ts'
import { kernelTwin, ourTwin, packet, type Twin, wrapped } from './twins.ts'

needsTun()
const noNft = spawnSync('nft', ['--version']).status === 0 ? '' : 'needs nft: apt-get install nftables'
const can = tunAvailable().ok && process.getuid?.() === 0 && noNft === ''

const EE = 'eeeeeeeeeeee'
const POD = '020000000001'
const POD2 = '020000000002'
const UP = '0200000000aa'
const GATEWAY = '0200000000fe'
const NODE2 = '0200000000bb'
const ALL = 'ffffffffffff'
const WORLD = '198.51.100.9'
const colons = (mac: string): string => mac.replace(/..(?!$)/g, '$&:')

/** Sends both the same, and compares; gives what came out. */
async function both(twins: readonly [Twin, Twin], port: string, frame: string): Promise<Record<string, string[]>> {
  const [kernels, ours] = [await twins[0].send(port, frame), await twins[1].send(port, frame)]
  expect(ours).toEqual(kernels)
  return ours
}

const arp = (dst: string, op: 1 | 2, spa: string, tpa: string, sha = POD): string =>
  `${dst}${sha}08060001080006040 00${op}${sha}${ipHex(spa)}000000000000${ipHex(tpa)}`.replaceAll(' ', '')
const ipHex = (ip: string): string => Buffer.from(ip.split('.').map(Number)).toString('hex')

describe('a node of Calico, with VXLAN', () => {
  const VTEP1 = '66f937c37e94'
  const VTEP2 = '662dbf44a68b'
  let twins: [Twin, Twin]

  beforeAll(async () => {
    if (!can) return
    const link = (name: string, ip: string, mac: string): string => `
      echo 1 > conf/${name}/proxy_arp; echo 0 > neigh/${name}/proxy_delay; echo 1 > conf/${name}/rp_filter
      echo 1 > conf/${name}/route_localnet; echo 0 > conf/${name}/send_redirects
      ip link set ${name} up; ip route add ${ip}/32 dev ${name}
      ip neigh replace ${ip} lladdr ${colons(mac)} dev ${name} nud permanent`
    const kernels = await kernelTwin(
      { cali1: colons(EE), cali2: colons(EE), eth0: colons(UP) },
      `
      echo 1 > ip_forward; echo 0 > icmp_ratemask; echo 0 > conf/all/rp_filter; echo 0 > conf/all/send_redirects
      ip link set lo up; ip link set eth0 up; ip addr add 192.0.2.1/24 dev eth0
      ${link('cali1', '10.244.1.5', POD)} ${link('cali2', '10.244.1.9', POD2)}
      ip route add default via 192.0.2.254; ip route add blackhole 10.244.1.0/26
      ip neigh replace 192.0.2.254 lladdr ${colons(GATEWAY)} dev eth0 nud permanent
      ip neigh replace 192.0.2.2 lladdr ${colons(NODE2)} dev eth0 nud permanent
      ip link add vxlan.calico address ${colons(VTEP1)} mtu 1450 type vxlan id 4096 local 192.0.2.1 dev eth0 dstport 4789 nolearning
      ip addr add 10.244.1.0/32 dev vxlan.calico; ip link set vxlan.calico up
      bridge fdb add ${colons(VTEP2)} dev vxlan.calico dst 192.0.2.2
      ip neigh replace 10.244.2.0 lladdr ${colons(VTEP2)} dev vxlan.calico nud permanent
      ip route add 10.244.2.0/26 via 10.244.2.0 dev vxlan.calico onlink
      nft 'table ip nat { chain post { type nat hook postrouting priority srcnat;
        ip saddr 10.244.0.0/16 ip daddr != 10.244.0.0/16 masquerade
        }
      }'`,
    )
    const ours = ourTwin(['cali1', 'cali2', 'eth0'], (ground, port) => {
      const node = calico(ground, {
        name: 'node1',
        encapsulation: 'vxlan',
        pools: [{ cidr: '10.244.0.0/16', natOutgoing: true }],
        blocks: ['10.244.1.0/26'],
        peers: [{ node: 'node2', subnets: ['10.244.2.0/26'], address: '192.0.2.2' }],
        pods: [
          { name: 'cali1', port: port('cali1'), mac: colons(POD), ips: ['10.244.1.5'] },
          { name: 'cali2', port: port('cali2'), mac: colons(POD2), ips: ['10.244.1.9'] },
        ],
        uplinks: [{ name: 'eth0', port: port('eth0'), mac: colons(UP), addresses: ['192.0.2.1/24'] }],
        routes: [{ to: '0.0.0.0/0', via: '192.0.2.254' }],
      })
      const [cali1, cali2] = node.host.pods
      cali1?.neighbours.add('10.244.1.5', colons(POD))
      cali2?.neighbours.add('10.244.1.9', colons(POD2))
      for (const [ip, mac] of [
        ['192.0.2.254', GATEWAY],
        ['192.0.2.2', NODE2],
      ] as const) {
        node.host.uplinks[0]?.neighbours.add(ip, colons(mac))
      }
    })
    twins = [kernels, ours]
  }, 30_000)
  afterAll(() => twins?.forEach((twin) => void twin.close()))

  it('answers the same questions by proxy ARP (10.2)', async () => {
    const answered = (out: Record<string, string[]>): boolean => out.cali1 !== undefined
    const ask = async (tpa: string, spa = '10.244.1.5', dst = ALL, op: 1 | 2 = 1): Promise<boolean> =>
      answered(await both(twins, 'cali1', arp(dst, op, spa, tpa)))
    const answers = Object.entries({
      gateway: await ask('169.254.1.1'),
      'the world': await ask('8.8.8.8'),
      'a pod of another node': await ask('10.244.2.7'),
      'a pod of the node': await ask('10.244.1.9'),
      'the node': await ask('192.0.2.1'),
      'the tunnel’s address': await ask('10.244.1.0'),
      loopback: await ask('127.0.0.1'),
      'sent to the gateway alone': await ask('169.254.1.1', '10.244.1.5', EE),
      spoofed: await ask('169.254.1.1', '10.244.1.200'),
      itself: await ask('10.244.1.5'),
      'nobody of the block': await ask('10.244.1.6'),
      'a probe': await ask('169.254.1.1', '0.0.0.0'),
      'a probe for itself': await ask('10.244.1.5', '0.0.0.0'),
      'an answer': await ask('10.244.1.5', '10.244.1.5', ALL, 2),
      multicast: await ask('224.0.0.1'),
      broadcast: await ask('255.255.255.255'),
      'no address': await ask('0.0.0.0'),
    })
    // What `both` compared was something: these answer, and no others.
    expect(answers.filter(([, yes]) => yes).map(([who]) => who)).toEqual([
      ...['gateway', 'the world', 'a pod of another node', 'a pod of the node', 'the node', 'the tunnel’s address'],
      ...['loopback', 'sent to the gateway alone'],
    ])
  })

  it('routes between pods: TTL - 1, an error where it ends, silence for what no pod has', async () => {
    const of = { dst: EE, src: POD, from: '10.244.1.5', to: '10.244.1.9' }
    expect(Object.keys(await both(twins, 'cali1', packet(of)))).toEqual(['cali2'])
    expect(Object.keys(await both(twins, 'cali1', packet({ ...of, ttl: 1 })))).toEqual(['cali1'])
    expect(await both(twins, 'cali1', packet({ ...of, to: '10.244.1.6' }))).toEqual({})
    expect(await both(twins, 'cali1', packet({ ...of, from: '10.244.1.77', to: '10.244.1.9' }))).toEqual({})
  })

  it('sends frames in UDP to another node, and says what fits', async () => {
    const of = { dst: EE, src: POD, from: '10.244.1.5', to: '10.244.2.7' }
    const { eth0 } = await both(twins, 'cali1', packet(of))
    expect(eth0?.[0]).toContain(`0800000000100000${VTEP2}${VTEP1}0800`)
    await both(twins, 'cali1', packet({ ...of, ttl: 9, df: true }))
    expect(Object.keys(await both(twins, 'cali1', packet({ ...of, bytes: 1440, df: true })))).toEqual(['cali1'])
    expect(Object.keys(await both(twins, 'cali1', packet({ ...of, bytes: 1422, df: true })))).toEqual(['eth0'])
    const outer = { dst: UP, src: NODE2, from: '192.0.2.2', to: '192.0.2.1', port: 4789, vni: 4096 }
    const back = packet({ dst: VTEP1, src: VTEP2, from: '10.244.2.7', to: '10.244.1.9', ttl: 63 })
    expect(Object.keys(await both(twins, 'eth0', wrapped(outer, back)))).toEqual(['cali2'])
    // Of another VNI; for another MAC.
    expect(await both(twins, 'eth0', wrapped({ ...outer, vni: 7 }, back))).toEqual({})
    expect(await both(twins, 'eth0', wrapped(outer, back.replace(VTEP1, '660000000009')))).toEqual({})
  })

  it('masquerades what leaves the pools, and brings the answers back', async () => {
    const { eth0 } = await both(twins, 'cali1', packet({ dst: EE, src: POD, from: '10.244.1.5', to: WORLD }))
    expect(eth0?.[0]).toContain(ipHex('192.0.2.1') + ipHex(WORLD))
    await both(twins, 'cali1', packet({ dst: EE, src: POD, from: '10.244.1.5', to: WORLD, echo: true }))
    const inbound = { dst: UP, src: GATEWAY, from: WORLD }
    expect(Object.keys(await both(twins, 'eth0', packet({ ...inbound, to: '10.244.1.9' })))).toEqual(['cali2'])
  })
})

describe('a node of flannel, with VXLAN', () => {
  const CNI0 = '020000000101'
  const VTEP1 = '0a58c0000201'
  const VTEP2 = '0a58c0000202'
  let twins: [Twin, Twin]

  beforeAll(async () => {
    if (!can) return
    const kernels = await kernelTwin(
      { veth1: '02:00:00:00:03:01', veth2: '02:00:00:00:03:02', eth0: colons(UP) },
      `
      echo 1 > ip_forward; echo 0 > icmp_ratemask
      for c in all default eth0; do echo 0 > conf/$c/rp_filter; echo 0 > conf/$c/send_redirects; done
      f=/proc/sys/net/bridge/bridge-nf-call-iptables; [ ! -e $f ] || echo 0 > $f
      ip link set lo up; ip link set eth0 up; ip addr add 192.0.2.1/24 dev eth0
      ip link add cni0 address ${colons(CNI0)} type bridge mcast_snooping 0
      for v in veth1 veth2; do ip link set $v up master cni0; done
      ip link set cni0 up; ip addr add 10.244.1.1/24 dev cni0
      ip route add default via 192.0.2.254
      ip neigh replace 192.0.2.254 lladdr ${colons(GATEWAY)} dev eth0 nud permanent
      ip neigh replace 192.0.2.2 lladdr ${colons(NODE2)} dev eth0 nud permanent
      ip neigh replace 10.244.1.5 lladdr ${colons(POD)} dev cni0 nud permanent
      ip neigh replace 10.244.1.9 lladdr ${colons(POD2)} dev cni0 nud permanent
      ip link add flannel.1 address ${colons(VTEP1)} mtu 1450 type vxlan id 1 local 192.0.2.1 dev eth0 dstport 8472 nolearning
      ip addr add 10.244.1.0/32 dev flannel.1; ip link set flannel.1 up
      ip neigh replace 10.244.2.0 lladdr ${colons(VTEP2)} dev flannel.1 nud permanent
      bridge fdb add ${colons(VTEP2)} dev flannel.1 dst 192.0.2.2
      ip route add 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink
      nft 'table ip nat { chain post { type nat hook postrouting priority srcnat;
        ip saddr 10.244.1.0/24 ip daddr 10.244.0.0/16 return
        ip saddr 10.244.0.0/16 ip daddr 10.244.1.0/24 return
        ip saddr != 10.244.0.0/16 ip daddr 10.244.1.0/24 return
        ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 masquerade
        ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 masquerade
        }
      }'`,
    )
    const ours = ourTwin(['veth1', 'veth2', 'eth0'], (ground, port) => {
      const node = flannel(ground, {
        network: '10.244.0.0/16',
        subnet: '10.244.1.0/24',
        randomFully: false,
        gateway: { mac: colons(CNI0), addresses: ['10.244.1.1/24'] },
        peers: [{ node: 'node2', subnets: ['10.244.2.0/24'], address: '192.0.2.2' }],
        pods: ['veth1', 'veth2'].map((name) => ({ name, port: port(name) })),
        uplinks: [{ name: 'eth0', port: port('eth0'), mac: colons(UP), addresses: ['192.0.2.1/24'] }],
        routes: [{ to: '0.0.0.0/0', via: '192.0.2.254' }],
      })
      const [cni0] = node.host.bridges
      cni0?.gateway?.neighbours.add('10.244.1.5', colons(POD))
      cni0?.gateway?.neighbours.add('10.244.1.9', colons(POD2))
      node.host.uplinks[0]?.neighbours.add('192.0.2.254', colons(GATEWAY))
      node.host.uplinks[0]?.neighbours.add('192.0.2.2', colons(NODE2))
    })
    twins = [kernels, ours]
    // Where the pods are.
    await both(twins, 'veth1', arp(ALL, 2, '10.244.1.5', '10.244.1.5'))
    await both(twins, 'veth2', arp(ALL, 2, '10.244.1.9', '10.244.1.9', POD2))
  }, 30_000)
  afterAll(() => twins?.forEach((twin) => void twin.close()))

  it('switches between pods, and answers for the gateway alone', async () => {
    expect(Object.keys(await both(twins, 'veth1', arp(ALL, 1, '10.244.1.5', '10.244.1.9')))).toEqual(['veth2'])
    expect(Object.keys(await both(twins, 'veth1', arp(ALL, 1, '10.244.1.5', '10.244.1.1')))).toEqual(['veth1', 'veth2'])
    expect(Object.keys(await both(twins, 'veth1', arp(ALL, 1, '10.244.1.5', '10.244.2.7')))).toEqual(['veth2'])
    const of = { dst: POD2, src: POD, from: '10.244.1.5', to: '10.244.1.9' }
    expect(await both(twins, 'veth1', packet(of))).toEqual({ veth2: [packet(of)] })
  })

  it('sends frames in UDP to another node, and hears it', async () => {
    const of = { dst: CNI0, src: POD, from: '10.244.1.5', to: '10.244.2.7' }
    expect(Object.keys(await both(twins, 'veth1', packet(of)))).toEqual(['eth0'])
    expect(Object.keys(await both(twins, 'veth1', packet({ ...of, ttl: 1 })))).toEqual(['veth1'])
    expect(Object.keys(await both(twins, 'veth1', packet({ ...of, bytes: 1440, df: true })))).toEqual(['veth1'])
    const outer = { dst: UP, src: NODE2, from: '192.0.2.2', to: '192.0.2.1', port: 8472, vni: 1 }
    const back = packet({ dst: VTEP1, src: VTEP2, from: '10.244.2.7', to: '10.244.1.9', ttl: 63 })
    expect(Object.keys(await both(twins, 'eth0', wrapped(outer, back)))).toEqual(['veth2'])
    // A node that is not known is heard, too.
    expect(Object.keys(await both(twins, 'eth0', wrapped({ ...outer, from: '192.0.2.3' }, back)))).toEqual(['veth2'])
    expect(await both(twins, 'eth0', wrapped(outer, back.replace(VTEP1, '0a5800000009')))).toEqual({})
  })

  it('masquerades by the rules of flannel', async () => {
    const out = { dst: CNI0, src: POD, from: '10.244.1.5', to: WORLD }
    const { eth0 } = await both(twins, 'veth1', packet(out))
    expect(eth0?.[0]).toContain(ipHex('192.0.2.1') + ipHex(WORLD))
    await both(twins, 'veth1', packet({ ...out, echo: true }))
    // From the world to a pod of the node as it is; to one of another node with the tunnel's address.
    const inbound = { dst: UP, src: GATEWAY, from: WORLD }
    const near = await both(twins, 'eth0', packet({ ...inbound, to: '10.244.1.9' }))
    expect(near.veth2?.[0]).toContain(ipHex(WORLD) + ipHex('10.244.1.9'))
    const far = await both(twins, 'eth0', packet({ ...inbound, to: '10.244.2.7' }))
    expect(far.eth0?.[0]).toContain(ipHex('10.244.1.0') + ipHex('10.244.2.7'))
  })
})
