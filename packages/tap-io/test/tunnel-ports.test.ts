/**
 * The kernel's VXLAN device and ours on other underlays than a TAP: UDP sockets in a namespace that the kernel routes for, and a
 * packet socket on one end of a veth.
 */
import { type Element, type FramePool, type Port, type PortCounters, Switch } from '@l2l3/switch-core'
import { AfPacketPort, UdpUnderlayPort } from '@l2l3/tap-io'
import { describe, expect, it } from 'vitest'
import { vtep } from '../../modes/src/index.ts'
import { Vtep, type VtepOptions } from '../../vxlan/src/index.ts'
import { ip, needsTun } from './lab.ts'
import { at, makeWire, needsPrograms, type Place, pings, startNode, talk, type Wire } from './tunnel-lab.ts'
import { type Decoded, INNER, OUTER, outerOf, record, valuesOf } from './tunnel-record.ts'

needsTun()
needsPrograms()

const near = ['10.9.0.1/24']
const MTU = { 4: 1450, 6: 1430 } as const

/** The kernel's end, in the wire's second namespace, 192.0.2.3. */
function device(wire: Wire, outer: 4 | 6, ...options: string[]): string {
  const netns = wire.far[1] as string
  const ends = ['local', at(2, outer), 'dev', 'eth0', 'dstport', '4789']
  ip('-n', netns, 'link', 'add', 'vx', 'mtu', `${MTU[outer]}`, 'type', 'vxlan', 'id', '42', ...ends, ...options)
  ip('-n', netns, 'addr', 'add', '10.9.0.2/24', 'dev', 'vx')
  ip('-n', netns, 'link', 'set', 'vx', 'up')
  return netns
}

/** What `device` sends and takes, and what has to be said of it in options of a VTEP and a socket. */
function sums(outer: 4 | 6, checksum: boolean) {
  const [send, take] =
    outer === 4
      ? [checksum ? 'udpcsum' : 'noudpcsum', 'udp6zerocsumrx']
      : [checksum ? 'noudp6zerocsumtx' : 'udp6zerocsumtx', 'udp6zerocsumrx']
  return {
    kernel: [send, take],
    end: { udpChecksum: checksum, udpChecksum6: checksum, zeroChecksum6: !checksum },
    socket: { checksum, zeroChecksum: !checksum },
  }
}

/** Bytes in a frame on average, since a count before. */
function means(port: Port, before: PortCounters): { received: number; sent: number } {
  const n = port.counters
  const received = (n.rxBytes - before.rxBytes) / (n.rxFrames - before.rxFrames)
  return { received, sent: (n.txBytes - before.txBytes) / (n.txFrames - before.txFrames) }
}

/** Frames from an address, their outer headers in words without IPv6's flow labels, which are the socket's. */
function from(frames: readonly Decoded<(typeof FIELDS)[number]>[], outer: 4 | 6, address: string) {
  const own = frames.filter((f) => f[outer === 4 ? 'ip.src' : 'ipv6.src'].split(',')[0] === address)
  return { own, outers: [...new Set(outerOf(own, outer).map((text) => text.replace(/, flow .*/, '')))] }
}
const FIELDS = [...OUTER, ...INNER, 'ip.src', 'ipv6.src'] as const

describe('UDP sockets', () => {
  /** A switch and a VTEP whose underlay is a port that needs no next hop. */
  const overlay =
    (local: string, remote: string, settings: Partial<VtepOptions>) =>
    ({ ground: { pool, clock, loop }, host, uplink }: Place): Vtep => {
      const end = new Vtep(pool, clock, { local, out: loop.link(uplink), ...settings })
      const bridge = new Switch(pool, clock, { name: 'blue' })
      loop.add(host, bridge.addPort(loop.link(host)))
      const into: Element = { process: (batch) => side.process(batch) }
      const network = end.addNetwork({ vni: 42, mtu: MTU[local.includes(':') ? 6 : 4], out: loop.link(into) })
      const side = bridge.addPort(loop.link(network))
      // To a group, too, frames leave by the sockets.
      const group = { address: remote, interface: { mac: new Uint8Array(6), out: loop.link(uplink) } }
      network.addFlood(settings.groups === undefined ? remote : group)
      loop.add(uplink, end)
      return end
    }

  for (const outer of [4, 6] as const) {
    const [local, remote] = [at(1, outer), at(2, outer)]
    for (const checksum of [true, false]) {
      it(`over IPv${outer}, ${checksum ? 'with' : 'without'} outer checksums`, async () => {
        const wire = await makeWire(2)
        const { kernel, end, socket } = sums(outer, checksum)
        const far = device(wire, outer, 'remote', local, ...kernel)
        const netns = wire.far[0] as string
        const uplink = (pool: FramePool) => UdpUnderlayPort.open(pool, { netns, address: local, ...socket })
        await using node = await startNode(wire, { near, mtu: MTU[outer], uplink }, overlay(local, remote, end))
        const wireTap = await record(wire.netns, 'w1', 'udp port 4789')
        expect(await pings(node.near, '10.9.0.2')).toBe('3 of 3')
        expect(await pings(far, '10.9.0.1')).toBe('3 of 3')
        await talk(node.near, far, '10.9.0.2', 1 << 20)
        const { own, outers } = from(await wireTap.stop(FIELDS), outer, local)
        const last = outer === 4 ? ', DF 0' : ''
        expect(outers).toEqual([
          `VXLAN 0x0800 42 to 4789, checksum ${checksum ? 'good' : 'none'}, TTL 64, TOS 0x00${last}`,
        ])
        expect(valuesOf(own, 'tcp.checksum.status')).toEqual(['1'])
        const { sourcePorts } = (node.uplink as UdpUnderlayPort).info
        expect(valuesOf(own, 'udp.srcport').every((port) => sourcePorts.includes(Number(port)))).toBe(true)
        expect((await node.stop()).dropped).toEqual({})
      })
    }

    it(`over IPv${outer}, in rows and trains`, async () => {
      const wire = await makeWire(2, { whole: true })
      const far = device(wire, outer, 'remote', local)
      const netns = wire.far[0] as string
      const uplink = (pool: FramePool) => UdpUnderlayPort.open(pool, { netns, address: local })
      await using node = await startNode(wire, { near, mtu: MTU[outer], uplink }, overlay(local, remote, {}))
      expect(await pings(far, '10.9.0.1')).toBe('3 of 3')
      const before = node.uplink.counters
      await talk(node.near, far, '10.9.0.2', 8 << 20)
      expect((await node.stop()).dropped).toEqual({})
      const { received, sent } = means(node.uplink, before)
      expect([received > 3000, sent > 3000]).toEqual([true, true])
    })
  }

  it('in a multicast group', async () => {
    const wire = await makeWire(2)
    const far = device(wire, 4, 'group', '239.1.1.1')
    const groups = ['239.1.1.1']
    const options = { netns: wire.far[0] as string, device: 'eth0', groups }
    const uplink = (pool: FramePool) => UdpUnderlayPort.open(pool, options)
    await using node = await startNode(wire, { near, mtu: 1450, uplink }, overlay(at(1), '239.1.1.1', { groups }))
    expect(await pings(node.near, '10.9.0.2')).toBe('3 of 3')
    ip('-n', far, 'neigh', 'flush', 'dev', 'vx')
    expect(await pings(far, '10.9.0.1')).toBe('3 of 3')
    await talk(far, node.near, '10.9.0.1', 1 << 20)
    expect((await node.stop()).dropped).toEqual({})
  })
})

describe('a packet socket', () => {
  const MAC = '02:00:00:00:02:01'
  for (const outer of [4, 6] as const) {
    for (const whole of [true, false]) {
      it(`over IPv${outer}, ${whole ? 'super-frames on the wire' : 'none on the wire'}`, async () => {
        const wire = await makeWire(2, { whole })
        const [netns] = wire.far as [string]
        // Its addresses are the node's, and not the kernel's.
        ip('-n', netns, 'addr', 'flush', 'dev', 'eth0')
        const far = device(wire, outer, 'remote', at(1, outer))
        const uplink = (pool: FramePool) => AfPacketPort.open(pool, { netns, device: 'eth0' })
        await using node = await startNode(wire, { near, mtu: MTU[outer], uplink }, ({ ground, host, uplink }) =>
          vtep(ground, {
            ports: [{ name: 'near', port: host, network: 'blue' }],
            uplinks: [{ name: 'uplink', port: uplink, mac: MAC, addresses: [`${at(1)}/24`, `${at(1, 6)}/64`] }],
            networks: [{ name: 'blue', vni: 42, local: at(1, outer), remotes: [at(2, outer)] }],
          }),
        )
        const wireTap = whole ? null : await record(wire.netns, 'w1', 'udp port 4789')
        expect(await pings(node.near, '10.9.0.2')).toBe('3 of 3')
        expect(await pings(far, '10.9.0.1')).toBe('3 of 3')
        const before = node.uplink.counters
        await talk(node.near, far, '10.9.0.2', whole ? 4 << 20 : 1 << 20)
        const { dropped } = await node.stop()
        // What neighbours say to all.
        expect(Object.keys(dropped).filter((why) => !['Consumed', 'GroupDestination'].includes(why))).toEqual([])
        const { received, sent } = means(node.uplink, before)
        expect([received > 1514, sent <= 1514]).toEqual([whole, true])
        if (wireTap === null) return
        const { own, outers } = from(await wireTap.stop(FIELDS), outer, at(1, outer))
        const last = outer === 4 ? ', DF 0' : ''
        expect(outers).toEqual([`VXLAN 0x0800 42 to 4789, checksum good, TTL 64, TOS 0x00${last}`])
        expect(valuesOf(own, 'tcp.checksum.status')).toEqual(['1'])
      })
    }
  }
})
