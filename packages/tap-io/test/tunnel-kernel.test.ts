/**
 * Our VXLAN and the kernel's, across a wire: hosts ping and talk TCP, and tshark says that what crossed is what the `linux`
 * profile says: the kernel's own packets are the measure.
 */
import { Offload, type PortCounters } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import { vtep } from '../../modes/src/index.ts'
import type { TunnelNetwork } from '../../vxlan/src/index.ts'
import { inNamespace, ip, needsTun } from './lab.ts'
import {
  at,
  makeWire,
  type Node,
  needsPrograms,
  type Place,
  pings,
  pingsInVain,
  startNode,
  talk,
  type Wire,
} from './tunnel-lab.ts'
import { INNER, OUTER, outerOf, record, valuesOf } from './tunnel-record.ts'

needsTun()
needsPrograms('bridge')

type Network = Parameters<typeof vtep>[1]['networks'][number]
type Made = ReturnType<typeof vtep>

/** Bytes of VXLAN over IPv4 and IPv6 around an inner packet. */
const OVERHEAD = { 4: 50, 6: 70 } as const
const MAC = '02:00:00:00:02:01'
const ZERO = '00:00:00:00:00:00'

/** Our node: a host in a network of VXLAN. */
const overlay =
  (outer: 4 | 6, network: Partial<Network>) =>
  ({ ground, host, uplink }: Place): Made =>
    vtep(ground, {
      ports: [{ name: 'near', port: host, network: 'blue' }],
      uplinks: [{ name: 'uplink', port: uplink, mac: MAC, addresses: ['192.0.2.1/24', 'fd00::1/64'] }],
      networks: [{ name: 'blue', vni: 42, local: at(0, outer), ...network }],
    })

/** A kernel's VXLAN device in a namespace of the wire. */
function device(wire: Wire, i: number, outer: 4 | 6, ...options: string[]): void {
  const netns = wire.far[i] as string
  const mtu = 1500 - OVERHEAD[outer]
  const end = ['local', at(i + 1, outer), 'dev', 'eth0', 'dstport', '4789']
  ip('-n', netns, 'link', 'add', 'vx', 'mtu', `${mtu}`, 'type', 'vxlan', 'id', '42', ...end, ...options)
  ip('-n', netns, 'addr', 'add', `10.9.0.${i + 2}/24`, 'dev', 'vx')
  ip('-n', netns, 'addr', 'add', `fd09::${i + 2}/64`, 'dev', 'vx', 'nodad')
  ip('-n', netns, 'link', 'set', 'vx', 'up')
}

const near = ['10.9.0.1/24', 'fd09::1/64']
const start = (wire: Wire, outer: 4 | 6, network: Partial<Network>, more = {}): Promise<Node<Made>> =>
  startNode(wire, { near, mtu: 1500 - OVERHEAD[outer], ...more }, overlay(outer, network))

/** What neighbours on the wire say to all, and to each other: MLD, and ARP requests, for us or not. No frame of a tunnel is among
 * these. */
const CHATTER: ReadonlySet<string> = new Set(['Consumed', 'GroupDestination', 'NotIp'])
/** Drops but for those. */
async function lost(node: Node<Made>): Promise<string[]> {
  return Object.keys((await node.stop()).dropped).filter((why) => !CHATTER.has(why))
}

/** The network of a node. */
const networkOf = (node: Node<Made>): TunnelNetwork => node.made.networks[0]?.tunnels[0]?.network as TunnelNetwork

/** Bytes in a frame on average, since a count before. */
function mean(node: Node<Made>, way: 'rx' | 'tx', before: PortCounters): number {
  const n = node.uplink.counters
  return (n[`${way}Bytes`] - before[`${way}Bytes`]) / (n[`${way}Frames`] - before[`${way}Frames`])
}

describe('VXLAN between us and the kernel', () => {
  for (const outer of [4, 6] as const) {
    for (const checksum of [true, false]) {
      for (const tunnelOffloads of [true, false]) {
        const how = `${checksum ? 'with' : 'without'} outer checksums, ${tunnelOffloads ? 'super-frames leave whole' : 'cut by us'}`
        it(`over IPv${outer}, ${how}`, async () => {
          const wire = await makeWire(1)
          const sums =
            outer === 4
              ? [checksum ? 'udpcsum' : 'noudpcsum']
              : [checksum ? 'noudp6zerocsumtx' : 'udp6zerocsumtx', 'udp6zerocsumrx']
          device(wire, 0, outer, 'remote', at(0, outer), ...sums)
          const settings = { udpChecksum: checksum, udpChecksum6: checksum, zeroChecksum6: true }
          await using node = await start(wire, outer, { remotes: [at(1, outer)], ...settings }, { tunnelOffloads })
          const [far] = wire.far as [string]
          const wireTap = await record(wire.netns, 'w0', 'udp port 4789')
          expect(await pings(node.near, '10.9.0.2')).toBe('3 of 3')
          expect(await pings(far, 'fd09::1')).toBe('3 of 3')
          const before = node.uplink.counters
          await talk(node.near, far, '10.9.0.2', 1 << 20)
          const frames = await wireTap.stop([...OUTER, ...INNER])
          const ours = frames.filter((f) => f['eth.src'].startsWith(MAC))
          const theirs = frames.filter((f) => !f['eth.src'].startsWith(MAC))
          // The kernel's choices, as Linux 6.18 made them; and ours are the same.
          expect(outerOf(theirs, outer)).toEqual([
            `VXLAN 0x0800 42 to 4789, checksum ${checksum ? 'good' : 'none'}, TTL 64, TOS 0x00, ${outer === 4 ? 'DF 0' : 'flow 0x000000'}`,
          ])
          expect(outerOf(ours, outer)).toEqual(outerOf(theirs, outer))
          for (const side of [ours, theirs]) {
            for (const of of ['tcp', 'icmp', 'icmpv6'] as const) {
              expect([of, valuesOf(side, `${of}.checksum.status`)]).toEqual([of, ['1']])
            }
            // One flow of TCP, and of ICMP, each with a port of its own from Linux' range.
            const ports = valuesOf(side, 'udp.srcport')
              .map(Number)
              .filter((p) => p !== 4789)
            expect([Math.min(...ports) >= 32_768, Math.max(...ports) <= 60_998, ports.length > 1]).toEqual([
              true,
              true,
              true,
            ])
          }
          expect(Math.max(...frames.map((f) => Number(f['frame.len'])))).toBe(1514)
          // Super-frames left us whole where they may, for the kernel to cut.
          const whole = tunnelOffloads && (node.uplink.offloads & Offload.Tunnel) !== 0
          expect(mean(node, 'tx', before) > 1514).toBe(whole)
          expect(await lost(node)).toEqual([])
        })
      }
    }
    it(`over IPv${outer}, super-frames whole both ways`, async ({ skip }) => {
      const wire = await makeWire(1, { whole: true })
      device(wire, 0, outer, 'remote', at(0, outer))
      await using node = await start(wire, outer, { remotes: [at(1, outer)] })
      const [far] = wire.far as [string]
      expect(await pings(far, '10.9.0.1')).toBe('3 of 3')
      const before = node.uplink.counters
      await talk(far, node.near, 'fd09::1', 8 << 20)
      await talk(node.near, far, '10.9.0.2', 8 << 20)
      expect(await lost(node)).toEqual([])
      if ((node.uplink.offloads & Offload.Tunnel) === 0) skip('the kernel has no tunnel offloads on TAPs')
      expect([mean(node, 'rx', before) > 3000, mean(node, 'tx', before) > 3000]).toEqual([true, true])
    })
  }
})

describe('where far ends are', () => {
  it('is learnt: broadcasts go to all, once, and the rest to one', async () => {
    const wire = await makeWire(2)
    const [one, two] = wire.far as [string, string]
    // Head-end replication: every node has the list of all others.
    for (const i of [0, 1]) {
      device(wire, i, 4)
      for (const other of [0, 1, 2]) {
        if (other === i + 1) continue
        await inNamespace(wire.far[i] as string, ...['bridge', 'fdb', 'append', ZERO, 'dev', 'vx', 'dst', at(other)])
      }
    }
    await using node = await start(wire, 4, { remotes: [at(1), at(2)] })
    const seen = await record(two, 'vx', 'arp or icmp')
    expect(await pings(node.near, '10.9.0.2')).toBe('3 of 3')
    expect(await pings(one, '10.9.0.1')).toBe('3 of 3')
    expect(await pings(two, '10.9.0.1')).toBe('3 of 3')
    expect(await pings(one, '10.9.0.3')).toBe('3 of 3')
    const frames = await seen.stop(['arp.opcode', 'arp.src.proto_ipv4', 'arp.dst.proto_ipv4', 'ip.src', 'ip.dst'])
    // At the third node: what near asked for the second reached it once; what the two said to each other did not.
    const asked = frames.filter((f) => f['arp.opcode'] === '1' && f['arp.dst.proto_ipv4'] === '10.9.0.2')
    expect(asked.filter((f) => f['arp.src.proto_ipv4'] === '10.9.0.1').length).toBe(1)
    const between = ['10.9.0.1', '10.9.0.2']
    expect(frames.filter((f) => between.includes(f['ip.src']) && between.includes(f['ip.dst']))).toEqual([])
    // What came of one far end does not go to the other: it has been there by itself.
    expect(frames.filter((f) => f['arp.opcode'] === '1' && f['arp.src.proto_ipv4'] === '10.9.0.2').length).toBeLessThan(
      2,
    )
    const entries = [...networkOf(node).entries()]
    expect(entries.map((e) => [e.remote, e.kind]).sort()).toEqual([
      [at(1), 'dynamic'],
      [at(2), 'dynamic'],
    ])
    expect(await lost(node)).toEqual([])
  })

  it('is configured: nobody learns, nothing is flooded', async () => {
    const wire = await makeWire(2)
    const [far, stranger] = wire.far as [string, string]
    device(wire, 0, 4, 'nolearning')
    // The third node sends all it has to us, who do not know it.
    device(wire, 1, 4, 'remote', at(0))
    const macOf = (netns: string, dev: string): string =>
      /link\/ether (\S+)/.exec(ip('-n', netns, '-o', 'link', 'show', dev))?.[1] as string
    const remote = macOf(far, 'vx')
    await using node = await start(wire, 4, {
      learning: false,
      unknown: 'drop',
      knownPeersOnly: true,
      static: [{ mac: remote, remote: at(1) }],
    })
    const own = macOf(node.near, 'eth0')
    await inNamespace(far, 'bridge', 'fdb', 'append', own, 'dev', 'vx', 'dst', at(0))
    ip('-n', far, 'neigh', 'replace', '10.9.0.1', 'lladdr', own, 'dev', 'vx')
    ip('-n', node.near, 'neigh', 'replace', '10.9.0.2', 'lladdr', remote, 'dev', 'eth0')
    ip('-n', stranger, 'neigh', 'replace', '10.9.0.1', 'lladdr', own, 'dev', 'vx')
    expect(await pings(node.near, '10.9.0.2')).toBe('3 of 3')
    expect(await pings(far, '10.9.0.1')).toBe('3 of 3')
    await talk(far, node.near, '10.9.0.1', 1 << 20)
    expect(await pingsInVain(stranger, '10.9.0.1')).toBe('0 of 3')
    // A broadcast finds no list.
    expect(await pingsInVain(node.near, '10.9.0.3')).toMatch(/^0 of 3/)
    const report = await node.stop()
    expect(report.dropped).toMatchObject({ UnknownPeer: expect.any(Number), NoRemote: expect.any(Number) })
    expect(
      Object.keys(report.dropped)
        .filter((why) => !CHATTER.has(why))
        .sort(),
    ).toEqual(['NoRemote', 'UnknownPeer'])
  })

  for (const [outer, group] of [
    [4, '239.1.1.1'],
    [6, 'ff05::100'],
  ] as const) {
    it(`is a multicast group's matter: ${group}`, async () => {
      const wire = await makeWire(2)
      const [one, two] = wire.far as [string, string]
      for (const i of [0, 1]) device(wire, i, outer, 'group', group)
      await using node = await start(wire, outer, { multicast: { group, uplink: 'uplink' } })
      const wireTap = await record(wire.netns, 'w0', 'udp port 4789')
      expect(await pings(node.near, '10.9.0.2')).toBe('3 of 3')
      expect(await pings(two, '10.9.0.1')).toBe('3 of 3')
      expect(await pings(one, '10.9.0.3')).toBe('3 of 3')
      await talk(node.near, two, '10.9.0.3', 1 << 20)
      const frames = await wireTap.stop([...OUTER, 'eth.dst', 'ip.dst', 'ipv6.dst'])
      const toGroup = frames.filter((f) => f[outer === 4 ? 'ip.dst' : 'ipv6.dst'].startsWith(group))
      // ARP requests: one of ours and more of the kernels', with the group's MAC and TTL 1.
      const sorts = (own: boolean): string => {
        const list = toGroup.filter((f) => f['eth.src'].startsWith(MAC) === own)
        const macs = new Set(list.map((f) => f['eth.dst'].split(',')[0]))
        return [...outerOf(list, outer), ...macs].join(' ')
      }
      const [mac, last] = outer === 4 ? ['01:00:5e:01:01:01', 'DF 0'] : ['33:33:00:00:01:00', 'flow 0x000000']
      expect(sorts(false)).toBe(`VXLAN 0x0800 42 to 4789, checksum good, TTL 1, TOS 0x00, ${last} ${mac}`)
      expect(sorts(true)).toBe(sorts(false))
      expect(await lost(node)).toEqual([])
    })
  }
})

describe('a frame that does not fit', () => {
  it("is answered, and the kernel's TCP heeds it", async () => {
    const wire = await makeWire(1)
    device(wire, 0, 4, 'remote', at(0))
    await using node = await start(wire, 4, { remotes: [at(1)] }, { mtu: 1500 })
    const [far] = wire.far as [string]
    expect(await pings(node.near, '10.9.0.2', '-M', 'do', '-s', '1422')).toBe('3 of 3')
    expect(await pingsInVain(node.near, '10.9.0.2', '-M', 'do', '-s', '1423')).toBe('0 of 3, +3 errors')
    expect(ip('-n', node.near, 'route', 'get', '10.9.0.2')).toContain('mtu 1450')
    expect(ip('-n', node.near, 'route', 'flush', 'cache')).toBe('')
    // The far end says that it takes 1,460 bytes a segment: only our answers tell that they do not fit.
    ip('-n', far, 'route', 'replace', '10.9.0.0/24', 'dev', 'vx', 'advmss', '1460')
    await talk(node.near, far, '10.9.0.2', 1 << 20)
    expect(ip('-n', node.near, 'route', 'get', '10.9.0.2')).toContain('mtu 1450')
    expect(networkOf(node).counters.tooBig).toBeGreaterThan(0)
  })
})
