/**
 * Clusters of two nodes, ours and one of Linux: what Calico and flannel write there is written by hand. Pods ping and talk TCP, and
 * tshark says that what crossed is alike both ways. VXLAN with the kernel below, IPIP with that of a guest.
 */
import { tunAvailable } from '@l2l3/tap-io'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { calico, flannel } from '../../modes/src/index.ts'
import { inNamespace, ip, needsTun } from './lab.ts'
import {
  at,
  expectTalk,
  makeWire,
  missing,
  needsPrograms,
  type Place,
  pings,
  startNode,
  talk,
  talker,
  type Wire,
} from './tunnel-lab.ts'
import { INNER, OUTER, outerOf, record, valuesOf } from './tunnel-record.ts'
import { type Guest, startGuest } from './tunnel-uml-lab.ts'

needsTun()
needsPrograms('bridge')

const MAC = '02:00:00:00:02:01'
const ROUTES = [{ to: '0.0.0.0/0', via: '192.0.2.254' }]
const uplinkOf = ({ uplink }: Place) => [{ name: 'uplink', port: uplink, mac: MAC, addresses: ['192.0.2.1/24'] }]

/** node1 of Calico, with a pod at 10.244.1.5. */
const calicoNode =
  (encapsulation: 'ipip' | 'vxlan') =>
  (place: Place): ReturnType<typeof calico> =>
    calico(place.ground, {
      ...{ name: 'node1', encapsulation, uplinks: uplinkOf(place), routes: ROUTES, blocks: ['10.244.1.0/26'] },
      pools: [{ cidr: '10.244.0.0/16', natOutgoing: true }],
      peers: [{ node: 'node2', subnets: ['10.244.2.0/26'], address: at(1) }],
      pods: [{ name: 'web', port: place.host, mac: '02:00:00:00:01:05', ips: ['10.244.1.5'] }],
    })

/** A pod's routes, as Calico's plugin has them. */
async function likeCalico(pod: string): Promise<void> {
  await inNamespace(
    pod,
    'sh',
    '-ec',
    'ip route add 169.254.1.1 dev eth0 scope link; ip route add default via 169.254.1.1 dev eth0',
  )
}

/** The kernel's node: a device of VXLAN, and a pod's address at the node itself. */
async function vxlanNode(
  netns: string,
  name: string,
  { id, port, mac, peerMac }: { id: number; port: number; mac: string; peerMac: string },
): Promise<void> {
  await inNamespace(
    netns,
    'sh',
    '-ec',
    `
    echo 1 > /proc/sys/net/ipv4/ip_forward
    ip addr add 10.244.2.7/32 dev lo
    ip link add ${name} address ${mac} mtu 1450 type vxlan id ${id} local ${at(1)} dev eth0 dstport ${port} nolearning
    ip addr add 10.244.2.0/32 dev ${name}; ip link set ${name} up
    ip neigh replace 10.244.1.0 lladdr ${peerMac} dev ${name} nud permanent
    bridge fdb add ${peerMac} dev ${name} dst ${at(0)}
    ip route add 10.244.1.0/24 via 10.244.1.0 dev ${name} onlink src 10.244.2.7`,
  )
}

/** What crossed: outer headers, and whether checksums are right; TTLs are the inner ones of TCP. */
async function crossed(tap: Awaited<ReturnType<typeof record>>): Promise<{ own: string[]; theirs: string[] }> {
  const frames = await tap.stop([...OUTER, ...INNER], 'tcp')
  const [own, theirs] = [true, false].map((us) => frames.filter((f) => f['eth.src'].startsWith(MAC) === us)) as [
    typeof frames,
    typeof frames,
  ]
  for (const side of [own, theirs]) expect(valuesOf(side, 'tcp.checksum.status')).toEqual(['1'])
  return { own: outerOf(own, 4), theirs: outerOf(theirs, 4) }
}

describe('a cluster of our node and the kernel’s', () => {
  it('of Calico, with VXLAN', async () => {
    const wire = await makeWire(1)
    const [far] = wire.far as [string]
    const [mac, peerMac] = ['66:2d:bf:44:a6:8b', '66:f9:37:c3:7e:94']
    await vxlanNode(far, 'vxlan.calico', { id: 4096, port: 4789, mac, peerMac })
    await using node = await startNode(wire, { near: ['10.244.1.5/32'], mtu: 1450 }, calicoNode('vxlan'))
    await likeCalico(node.near)
    const tap = await record(wire.netns, 'w0', 'udp port 4789')
    expect(await pings(node.near, '10.244.2.7')).toBe('3 of 3')
    expect(await pings(far, '10.244.1.5')).toBe('3 of 3')
    await talk(node.near, far, '10.244.2.7', 1 << 20)
    const { own, theirs } = await crossed(tap)
    expect(own).toEqual(theirs)
    expect(own).toEqual(['VXLAN 0x0800 4096 to 4789, checksum good, TTL 64, TOS 0x00, DF 0'])
  })

  it('of flannel, with VXLAN', async () => {
    const wire = await makeWire(1)
    const [far] = wire.far as [string]
    const [mac, peerMac] = ['0a:58:c0:00:02:02', '0a:58:c0:00:02:01']
    await vxlanNode(far, 'flannel.1', { id: 1, port: 8472, mac, peerMac })
    await using node = await startNode(wire, { near: ['10.244.1.5/24'], mtu: 1450 }, (place) =>
      flannel(place.ground, {
        ...{ network: '10.244.0.0/16', subnet: '10.244.1.0/24', uplinks: uplinkOf(place), routes: ROUTES },
        gateway: { mac: '02:00:00:00:01:01', addresses: ['10.244.1.1/24'] },
        peers: [{ node: 'node2', subnets: ['10.244.2.0/24'], address: at(1) }],
        pods: [{ name: 'web', port: place.host }],
      }),
    )
    ip('-n', node.near, 'route', 'add', 'default', 'via', '10.244.1.1')
    expect(await pings(node.near, '10.244.2.7')).toBe('3 of 3')
    expect(await pings(far, '10.244.1.5')).toBe('3 of 3')
    await talk(node.near, far, '10.244.2.7', 1 << 20)
  })
})

describe.skipIf(missing('linux.uml') !== '')('a cluster of our node and a guest’s', () => {
  let wire: Wire
  let guest: Guest | undefined
  beforeAll(async () => {
    if (!tunAvailable().ok || process.getuid?.() !== 0) return
    wire = await makeWire(1, { bare: true })
    guest = await startGuest(wire, '02:00:00:00:02:02')
    await guest.run(`
      set -e
      echo 1 > /proc/sys/net/ipv4/ip_forward
      ip addr add ${at(1)}/24 dev eth0; ip addr add 10.244.2.7/32 dev lo
      modprobe ipip
      ip addr add 10.244.2.0/32 dev tunl0; ip link set tunl0 up mtu 1480
      ip route add 10.244.1.0/26 via ${at(0)} dev tunl0 onlink src 10.244.2.7`)
  }, 60_000)
  afterAll(() => guest?.end())

  it('of Calico, with IPIP', async () => {
    await using node = await startNode(wire, { near: ['10.244.1.5/32'], mtu: 1480 }, calicoNode('ipip'))
    await likeCalico(node.near)
    const tap = await record(wire.netns, 'w0', 'ip proto 4')
    expect(await pings(node.near, '10.244.2.7')).toBe('3 of 3')
    const [python = '', c = '', script = '', ...args] = talker('serve', '10.244.2.7', 5000, 1 << 18)
    const served = guest?.run(
      `${python} ${c} '${script.replaceAll("'", `'\\''`)}' ${args.join(' ')}`,
    ) as Promise<string>
    const called = inNamespace(node.near, ...talker('call', '10.244.2.7', 5000, 1 << 18))
    expectTalk(await called, await served, 1 << 18)
    const { own, theirs } = await crossed(tap)
    // Of both the TTL and DF are the inner packet's; ours is a hop, and the guest an end.
    expect(theirs).toEqual(['protocol 4, TTL 64, TOS 0x00, DF 1'])
    expect(own).toEqual(['protocol 4, TTL 63, TOS 0x00, DF 1'])
  })
})
