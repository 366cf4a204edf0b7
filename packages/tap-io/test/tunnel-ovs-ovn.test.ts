/**
 * A node of ours of mode ovn, and Open vSwitch with the flows that ovn-controller would write for a chassis with one port: what comes
 * is told by the ports in the GENEVE option alone, and everything else is dropped (modes.md 14.1).
 */
import { tunAvailable } from '@l2l3/tap-io'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ovn } from '../../modes/src/index.ts'
import { inNamespace, needsTun } from './lab.ts'
import { at, makeWire, missing, needsPrograms, pings, pingsInVain, startNode, talk, type Wire } from './tunnel-lab.ts'
import { type Ovs, startOvs } from './tunnel-ovs-lab.ts'
import { record } from './tunnel-record.ts'

needsTun()
const PROGRAMS = ['ovs-vswitchd', 'ovsdb-server', 'ovs-vsctl', 'ovs-ofctl', 'ovs-appctl']
needsPrograms(...PROGRAMS)

const MAC = '02:00:00:00:02:01'
let wire: Wire
let ovs: Ovs

beforeAll(async () => {
  if (missing(...PROGRAMS) !== '' || !tunAvailable().ok || process.getuid?.() !== 0) return
  wire = await makeWire(1, { bare: true })
  ovs = await startOvs(wire, MAC)
  await ovs.ofctl('add-tlv-map', 'br-int', '{class=0x0102,type=0x80,len=4}->tun_metadata0')
})
afterAll(() => ovs?.end())

it('speaks with a chassis of OVN: port 5 here, port 6 there, the group for what is for all', async () => {
  await ovs.tunnel('geneve', 'key=43')
  const t0 = (await ovs.vsctl('get', 'interface', 't0', 'ofport')).trim()
  const theirs = (await inNamespace(ovs.netns, 'cat', '/sys/class/net/br-int/address')).trim()
  const chassis = async (web: string): Promise<void> => {
    await ovs.ofctl('del-flows', 'br-int')
    for (const flow of [
      ...['0x50006', '0x58000'].map((key) => `in_port=${t0},tun_id=43,tun_metadata0=${key},actions=LOCAL`),
      `in_port=LOCAL,dl_dst=${web},actions=set_field:0x60005->tun_metadata0,output:${t0}`,
      `in_port=LOCAL,dl_dst=ff:ff:ff:ff:ff:ff,actions=set_field:0x68000->tun_metadata0,output:${t0}`,
    ]) {
      await ovs.ofctl('add-flow', 'br-int', flow)
    }
    await ovs.purge()
  }
  const web = '0a:58:0a:09:00:01'
  await using ours = await startNode(wire, { near: ['10.9.0.1/24'], mtu: 1400 }, ({ ground, host, uplink }) =>
    ovn(ground, {
      switches: [{ name: 'blue', key: 43 }],
      pods: [{ name: 'web', port: host, switch: 'blue', key: 5, mac: web, ips: ['10.9.0.1'] }],
      peers: [
        {
          node: 'ovs',
          address: at(1),
          ports: [{ switch: 'blue', key: 6, mac: theirs, ips: ['10.9.0.2'] }],
        },
      ],
      uplinks: [{ name: 'uplink', port: uplink, mac: MAC, addresses: ['192.0.2.1/24'] }],
    }),
  )
  await inNamespace(ours.near, 'ip', 'link', 'set', 'eth0', 'address', web)
  await chassis(web)
  const wireTap = await record(wire.netns, 'w0', 'udp port 6081')
  expect(await pings(ours.near, '10.9.0.2')).toBe('3 of 3')
  expect(await pings(ovs.netns, '10.9.0.1')).toBe('3 of 3')
  await inNamespace(ours.near, 'ping', '-b', '-c', '1', '-W', '0.1', '10.9.0.255').catch(() => {})
  await talk(ours.near, ovs.netns, '10.9.0.2', 1 << 20)
  const frames = await wireTap.stop(['eth.src', 'geneve.vni', 'geneve.flags', 'geneve.options'])
  const options = (us: boolean): string[] =>
    [
      ...new Set(
        frames.filter((f) => f['eth.src'].startsWith(MAC) === us).map((f) => f['geneve.options'].replaceAll(':', '')),
      ),
    ].sort()
  // To the port, and what the hosts say to all or to a group.
  expect(options(true)).toEqual(['0102800100050006', '0102800100058000'])
  expect(options(false)).toContain('0102800100060005')
  expect([...new Set(frames.map((f) => Number(f['geneve.flags'])))]).toEqual([0x40])
  // What it names no port of ours by ends here.
  await ovs.ofctl(
    'add-flow',
    'br-int',
    `priority=40000,in_port=LOCAL,actions=set_field:0x60007->tun_metadata0,output:${t0}`,
  )
  await ovs.purge()
  expect(await pingsInVain(ovs.netns, '10.9.0.1')).toMatch(/^0 of/)
  expect((await ours.stop()).dropped.NoDestination).toBeGreaterThan(0)
}, 60_000)
