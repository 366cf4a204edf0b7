/**
 * VXLAN and GENEVE between us and Open vSwitch's userspace datapath: hosts ping and talk TCP, outer headers are as OVS makes them,
 * and options are understood, passed over, or reason to drop a packet.
 */
import { tunAvailable } from '@l2l3/tap-io'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { vtep } from '../../modes/src/index.ts'
import { needsTun } from './lab.ts'
import {
  at,
  makeWire,
  missing,
  type Node,
  needsPrograms,
  pings,
  pingsInVain,
  startNode,
  talk,
  type Wire,
} from './tunnel-lab.ts'
import { type Ovs, startOvs } from './tunnel-ovs-lab.ts'
import { INNER, OUTER, outerOf, record, valuesOf } from './tunnel-record.ts'

needsTun()
const PROGRAMS = ['ovs-vswitchd', 'ovsdb-server', 'ovs-vsctl', 'ovs-ofctl', 'ovs-appctl']
needsPrograms(...PROGRAMS)

type Network = Parameters<typeof vtep>[1]['networks'][number]
type Made = ReturnType<typeof vtep>

const MAC = '02:00:00:00:02:01'
let wire: Wire
let ovs: Ovs

beforeAll(async () => {
  if (missing(...PROGRAMS) !== '' || !tunAvailable().ok || process.getuid?.() !== 0) return
  wire = await makeWire(1, { bare: true })
  ovs = await startOvs(wire, MAC)
})
afterAll(() => ovs?.end())

/** Our node: a host in a network whose far end is OVS. */
function node(network: Partial<Network>, tunnelOffloads = true): Promise<Node<Made>> {
  return startNode(wire, { near: ['10.9.0.1/24'], mtu: 1400, tunnelOffloads }, ({ ground, host, uplink }) =>
    vtep(ground, {
      ports: [{ name: 'near', port: host, network: 'blue' }],
      uplinks: [{ name: 'uplink', port: uplink, mac: MAC, addresses: ['192.0.2.1/24'] }],
      networks: [{ name: 'blue', vni: 42, local: at(0), remotes: [at(1)], profile: 'ovs', ...network }],
    }),
  )
}

/** Drops, but for ARP and what else is for the node itself. */
async function lost(ours: Node<Made>): Promise<string[]> {
  return Object.keys((await ours.stop()).dropped).filter((why) => why !== 'Consumed')
}

describe('VXLAN between us and Open vSwitch', () => {
  for (const checksum of [false, true]) {
    for (const tunnelOffloads of [true, false]) {
      const how = `${checksum ? 'with' : 'without'} outer checksums, ${tunnelOffloads ? 'super-frames leave whole' : 'cut by us'}`
      it(how, async () => {
        await ovs.tunnel('vxlan', 'key=42', `csum=${checksum}`)
        await using ours = await node({ udpChecksum: checksum }, tunnelOffloads)
        const wireTap = await record(wire.netns, 'w0', 'udp port 4789')
        expect(await pings(ours.near, '10.9.0.2')).toBe('3 of 3')
        expect(await pings(ovs.netns, '10.9.0.1')).toBe('3 of 3')
        await talk(ours.near, ovs.netns, '10.9.0.2', 1 << 20)
        const frames = await wireTap.stop([...OUTER, ...INNER, 'ip.id'])
        const sides = [true, false].map((us) => frames.filter((f) => f['eth.src'].startsWith(MAC) === us))
        const [own = [], theirs = []] = sides
        expect(outerOf(theirs, 4)).toEqual([
          `VXLAN 0x0800 42 to 4789, checksum ${checksum ? 'good' : 'none'}, TTL 64, TOS 0x00, DF 1`,
        ])
        expect(outerOf(own, 4)).toEqual(outerOf(theirs, 4))
        for (const side of [own, theirs]) {
          expect(valuesOf(side, 'tcp.checksum.status')).toEqual(['1'])
          expect(valuesOf(side, 'icmp.checksum.status')).toEqual(['1'])
          const ports = valuesOf(side, 'udp.srcport').map(Number)
          expect([Math.min(...ports) >= 32_768, Math.max(...ports) < 61_000]).toEqual([true, true])
          // Of packets that were not part of a super-frame the identification is 0.
          const single = side.filter((f) => f['icmp.checksum.status'] !== '')
          expect([...new Set(single.map((f) => f['ip.id'].split(',')[0]))]).toEqual(['0x0000'])
        }
        expect(await lost(ours)).toEqual([])
      })
    }
  }
})

describe('GENEVE between us and Open vSwitch', () => {
  const option = (type: number, data = '00010002') => ({ class: 0x0102, type, data: Buffer.from(data, 'hex') })
  /** Options that OVS knows, by the field that it keeps them in. */
  const fields = { tun_metadata0: 0x80, tun_metadata1: 0x21 }
  /** Has OVS put an option that it knows on all that it sends. */
  async function put(field: keyof typeof fields, data: string): Promise<void> {
    await ovs.ofctl('add-flow', 'br-int', `priority=100,actions=set_field:0x${data}->${field},NORMAL`)
    await ovs.purge()
  }
  beforeAll(async () => {
    for (const [field, type] of Object.entries(fields)) {
      await ovs?.ofctl('add-tlv-map', 'br-int', `{class=0x0102,type=${type},len=4}->${field}`)
    }
  })
  beforeEach(async () => {
    await ovs?.ofctl('del-flows', 'br-int')
    await ovs?.ofctl('add-flow', 'br-int', 'priority=0,actions=NORMAL')
    await ovs?.purge()
  })
  const HEADER = ['geneve.vni', 'geneve.flags', 'geneve.options', 'udp.dstport'] as const

  for (const tunnelOffloads of [true, false]) {
    it(`without options, ${tunnelOffloads ? 'super-frames leave whole' : 'cut by us'}`, async () => {
      const checksum = tunnelOffloads
      await ovs.tunnel('geneve', 'key=43', `csum=${checksum}`)
      await using ours = await node({ encapsulation: 'geneve', vni: 43, udpChecksum: checksum }, tunnelOffloads)
      const wireTap = await record(wire.netns, 'w0', 'udp port 6081')
      expect(await pings(ours.near, '10.9.0.2')).toBe('3 of 3')
      expect(await pings(ovs.netns, '10.9.0.1')).toBe('3 of 3')
      await talk(ours.near, ovs.netns, '10.9.0.2', 1 << 20)
      const frames = await wireTap.stop([...OUTER, ...INNER, ...HEADER])
      for (const us of [true, false]) {
        const side = frames.filter((f) => f['eth.src'].startsWith(MAC) === us)
        expect(outerOf(side, 4)).toEqual([`to 6081, checksum ${checksum ? 'good' : 'none'}, TTL 64, TOS 0x00, DF 1`])
        expect(valuesOf(side, 'geneve.vni').map(Number)).toEqual([43])
        expect(valuesOf(side, 'geneve.flags').map(Number)).toEqual([0])
        expect(valuesOf(side, 'tcp.checksum.status')).toEqual(['1'])
      }
      expect(await lost(ours)).toEqual([])
    })
  }

  for (const tunnelOffloads of [true, false]) {
    it(`a critical option that both know, ${tunnelOffloads ? 'super-frames leave whole' : 'cut by us'}`, async () => {
      await ovs.tunnel('geneve', 'key=43', 'csum=true')
      await put('tun_metadata0', '00030004')
      const known = { options: [option(0x80)], knownOptions: [option(0x80)] }
      await using ours = await node({ encapsulation: 'geneve', vni: 43, udpChecksum: true, ...known }, tunnelOffloads)
      const wireTap = await record(wire.netns, 'w0', 'udp port 6081')
      expect(await pings(ours.near, '10.9.0.2')).toBe('3 of 3')
      await talk(ours.near, ovs.netns, '10.9.0.2', 1 << 20)
      const frames = await wireTap.stop([...OUTER, ...INNER, ...HEADER])
      for (const [us, data] of [
        [true, '00010002'],
        [false, '00030004'],
      ] as const) {
        const side = frames.filter((f) => f['eth.src'].startsWith(MAC) === us)
        // Critical in the header, and the option in every packet, also in those that were cut of a super-frame.
        expect(valuesOf(side, 'geneve.flags').map(Number)).toEqual([0x40])
        expect([...new Set(side.map((f) => f['geneve.options'].replaceAll(':', '')))]).toEqual([`01028001${data}`])
        expect(valuesOf(side, 'tcp.checksum.status')).toEqual(['1'])
        expect(outerOf(side, 4)).toEqual(['to 6081, checksum good, TTL 64, TOS 0x00, DF 1'])
      }
      expect(await lost(ours)).toEqual([])
    })
  }

  it('options that are not known and not critical are passed over, by both', async () => {
    await ovs.tunnel('geneve', 'key=43')
    await put('tun_metadata1', '00030004')
    await using ours = await node({ encapsulation: 'geneve', vni: 43, options: [option(0x22)] })
    expect(await pings(ours.near, '10.9.0.2')).toBe('3 of 3')
    await talk(ours.near, ovs.netns, '10.9.0.2', 1 << 18)
    expect(await lost(ours)).toEqual([])
  })

  it('OVS drops a critical option of ours that it does not know', async () => {
    await ovs.tunnel('geneve', 'key=43')
    await using ours = await node({ encapsulation: 'geneve', vni: 43, options: [option(0x81)] })
    expect(await pingsInVain(ours.near, '10.9.0.2')).toMatch(/^0 of 3/)
    expect(ovs.log()).toContain('Invalid Geneve tunnel metadata')
  })

  it('we drop a critical option of OVS that we do not know', async () => {
    await ovs.tunnel('geneve', 'key=43')
    await put('tun_metadata0', '00030004')
    await using ours = await node({ encapsulation: 'geneve', vni: 43, knownOptions: [option(0x81)] })
    expect(await pingsInVain(ours.near, '10.9.0.2')).toMatch(/^0 of 3/)
    expect(await lost(ours)).toEqual(['CriticalOption'])
  })
})
