/**
 * A VTEP behind a switch that snoops (RFC 4541): the kernel's bridge with a querier, which sends a group's frames only to where
 * it has heard a report not long ago. The measure is the bridge's own table, and that the kernel's VXLAN devices, which ask
 * for MACs by the group, find us.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { vtep } from '../../modes/src/index.ts'
import { ip, needsTun } from './lab.ts'
import {
  at,
  makeWire,
  type Node,
  needsPrograms,
  type Place,
  pings,
  startNode,
  type Wire,
  withIpv6,
} from './tunnel-lab.ts'

needsTun()
needsPrograms('bridge')

type Made = ReturnType<typeof vtep>

const MAC = '02:00:00:00:02:01'
/** In hundredths of a second: asks every 2 s, gives a second to answer, and forgets after 5 s. */
const QUICKLY = [
  ...['mcast_query_interval', '200', 'mcast_startup_query_interval', '50', 'mcast_query_response_interval', '100'],
  ...['mcast_membership_interval', '500', 'mcast_last_member_interval', '50'],
]

const node =
  (outer: 4 | 6, group: string) =>
  ({ ground, host, uplink }: Place): Made =>
    vtep(ground, {
      ports: [{ name: 'near', port: host, network: 'blue' }],
      uplinks: [{ name: 'uplink', port: uplink, mac: MAC, addresses: ['192.0.2.1/24', 'fd00::1/64'] }],
      networks: [{ name: 'blue', vni: 42, local: at(0, outer), multicast: { group, uplink: 'uplink' } }],
    })

/** A wire whose bridge snoops and asks, in these versions of IGMP and MLD, and a kernel's VXLAN device on it. */
async function snoopingWire(outer: 4 | 6, group: string, igmp: string, mld: string): Promise<Wire> {
  const wire = await makeWire(1)
  // A querier of MLD speaks from a link-local address.
  await withIpv6(wire.netns, 'br0')
  const asks = ['mcast_snooping', '1', 'mcast_querier', '1', 'mcast_igmp_version', igmp, 'mcast_mld_version', mld]
  ip('-n', wire.netns, 'link', 'set', 'br0', 'type', 'bridge', ...asks, ...QUICKLY)
  for (const way of ['down', 'up']) ip('-n', wire.netns, 'link', 'set', 'br0', way)
  const [far] = wire.far as [string]
  const end = ['local', at(1, outer), 'dev', 'eth0', 'dstport', '4789', 'group', group]
  ip('-n', far, 'link', 'add', 'vx', 'mtu', '1430', 'type', 'vxlan', 'id', '42', ...end)
  ip('-n', far, 'addr', 'add', '10.9.0.2/24', 'dev', 'vx')
  ip('-n', far, 'link', 'set', 'vx', 'up')
  return wire
}

/** The groups that the bridge sends to a port of it. */
function groupsAt(wire: Wire, port: string): string[] {
  const said = ip('netns', 'exec', wire.netns, 'bridge', 'mdb', 'show', 'dev', 'br0')
  const lines = said.split('\n').filter((line) => line.includes(`port ${port} `))
  return lines.map((line) => /grp (\S+)/.exec(line)?.[1] ?? line).sort()
}

const start = (wire: Wire, outer: 4 | 6, group: string): Promise<Node<Made>> =>
  startNode(wire, { near: ['10.9.0.1/24'], mtu: 1430 }, node(outer, group))

describe('a bridge that snoops', () => {
  for (const [outer, group, igmp, mld] of [
    [4, '239.1.1.1', '2', '2'],
    [6, 'ff05::100', '3', '1'],
  ] as const) {
    it(`and asks in IGMPv${igmp} and MLDv${mld} sends us ${group} as long as we answer`, {
      timeout: 60_000,
      // They wait, most of the time.
      concurrent: true,
    }, async () => {
      const wire = await snoopingWire(outer, group, igmp, mld)
      await using ours = await start(wire, outer, group)
      const [far] = wire.far as [string]
      const [link] = ours.made.links
      link?.groups.join('239.9.9.9')
      // By then what was said at the start is forgotten twice over, and the bridge trusts its table.
      await pause(11_000)
      const groups = groupsAt(wire, 'up0')
      expect(groups).toEqual(expect.arrayContaining([group, '239.9.9.9']))
      // Those of fd00::1 and of fe80::ff:fe00:201, by which neighbours ask.
      expect(groups.filter((g) => g.startsWith('ff02::1:ff'))).toEqual(['ff02::1:ff00:1', 'ff02::1:ff00:201'])
      ip('-n', far, 'neigh', 'flush', 'dev', 'eth0')
      // The kernel's question goes to the group.
      expect(await pings(far, '10.9.0.1')).toBe('3 of 3')
      expect(await pings(ours.near, '10.9.0.2')).toBe('3 of 3')
      expect(link?.groups.counters.queries).toBeGreaterThan(3)
      expect(link?.groups.counters.malformed).toBe(0)
      // What is left is forgotten at once: the bridge asks, and nobody answers.
      link?.groups.close()
      for (let i = 0; i < 30 && groupsAt(wire, 'up0').includes(group); i++) await pause(100)
      expect(groupsAt(wire, 'up0')).not.toContain(group)
    })
  }
})
