import type { MemoryPort } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import { type TransparentOptions, type TransparentPod, transparent } from '../../src/index.ts'
import { frames, type Lab, lab } from '../lab.ts'

/* Containers on the physical network: access ports, a trunk, and nothing rewritten (modes.md 5). */

const M = { red: '00155d140101', blue: '00155d140102', green: '00155d140203', vnic: '00155d1401fe' } as const
const OUT = '00155d0000aa'
const colons = (mac: string): string => mac.replace(/..(?!$)/g, '$&:')

interface World extends Lab {
  change(pods: readonly string[]): void
}

function world(more: Partial<TransparentOptions> = {}, own: Partial<TransparentPod> = {}): World {
  const l = lab()
  const ports = new Map<string, MemoryPort>()
  const pod = (name: keyof typeof M, vlan?: number): TransparentPod => {
    const port = ports.get(name) ?? l.port(name)
    ports.set(name, port)
    return { name, port, mac: colons(M[name]), ...(vlan === undefined ? {} : { vlan }), ...own }
  }
  const all = (): TransparentPod[] => [pod('red', 10), pod('blue', 10), pod('green')]
  const interfaces = [{ name: 'vnic10', mac: colons(M.vnic), addresses: ['172.20.1.1/24'], vlan: 10 }]
  const node = transparent(l.ground, { pods: all(), interfaces, uplink: { port: l.port('up') }, ...more })
  return {
    ...l,
    change: (names) => node.change({ pods: all().filter((p) => names.includes(p.name)), interfaces }),
  }
}

/** An ARP question for an address. */
const ask = (mac: string, from: string, to: string, tag = ''): string =>
  `ffffffffffff ${mac} ${tag} 0806 0001 0800 06 04 0001 ${mac} ${from} 000000000000 ${to}`

describe('a transparent network', () => {
  it('floods broadcasts to the VLAN alone, tagged on the trunk', () => {
    const w = world()
    const said = ask(M.red, 'ac14010b', 'ac14010c')
    expect(w.send('red', said)).toEqual({
      blue: frames(said),
      up: frames(ask(M.red, 'ac14010b', 'ac14010c', '8100 000a')),
    })
    const bare = ask(M.green, 'ac14030b', 'ac14030c')
    expect(w.send('green', bare)).toEqual({ up: frames(bare) })
    const tagged = ask(OUT, 'ac140163', 'ac14010b', '8100 000a')
    expect(w.send('up', tagged)).toEqual({
      red: frames(ask(OUT, 'ac140163', 'ac14010b')),
      blue: frames(ask(OUT, 'ac140163', 'ac14010b')),
    })
  })

  it('has the host answer for its vNIC, in its VLAN', () => {
    const w = world()
    const answer = `${M.red} ${M.vnic} 0806 0001 0800 06 04 0002 ${M.vnic} ac140101 ${M.red} ac14010b`
    expect(w.send('red', ask(M.red, 'ac14010b', 'ac140101')).red).toEqual(frames(answer))
    expect(w.send('green', ask(M.green, 'ac14010b', 'ac140101')).green).toBeUndefined()
  })

  it('takes from a container what has its own MAC and no tag', () => {
    const w = world()
    expect(w.send('red', ask(OUT, 'ac14010b', 'ac14010c'))).toEqual({})
    expect(w.send('red', ask(M.red, 'ac14010b', 'ac14010c', '8100 0014'))).toEqual({})
    expect(w.pool.report().dropped).toMatchObject({ MacGuard: 1, VlanIngress: 1 })
    // Nested machines: with MAC address spoofing.
    expect(Object.keys(world({ macSpoofing: true }).send('red', ask(OUT, 'ac14010b', 'ac14010c')))).toEqual([
      'blue',
      'up',
    ])
  })

  it('judges by the firewall of the host: by default TCP, UDP, ICMP and IGMP come in', () => {
    const packet = (protocol: string): string =>
      `${M.red} ${OUT} 8100 000a 0800 4500 001c 0000 0000 40${protocol} 0000 ac140163 ac14010b 0000000000000000`
    const w = world()
    // It is flooded to blue, too.
    expect(w.send('up', packet('2f')).red).toBeUndefined()
    expect(w.pool.report().dropped).toMatchObject({ AclBlock: 2 })
    expect(world({}, { acl: null }).send('up', packet('2f')).red).toHaveLength(1)
    expect(() => world({}, { acl: { rules: [{ direction: 'in', action: 'allow', ruleType: 'switch' }] } })).toThrow(
      'ruleType',
    )
  })

  it('has containers come and go while others stay as they are', () => {
    const w = world()
    w.send('red', ask(M.red, 'ac14010b', 'ac14010c'))
    w.change(['red', 'green'])
    expect(Object.keys(w.send('red', ask(M.red, 'ac14010b', 'ac14010c')))).toEqual(['up'])
    w.change(['red', 'blue', 'green'])
    // What was learnt of red is still there: this is not flooded.
    const to = `${M.red} ${M.blue} 88b5 ${'00'.repeat(46)}`
    expect(w.send('blue', to)).toEqual({ red: frames(to) })
  })

  it.each([
    [{ untaggedVlan: 10 }, 'pods[0].vlan: 10 is what untagged frames have inside'],
    [{ untaggedVlan: 4095 }, 'untaggedVlan'],
    [
      { interfaces: [{ name: 'red', mac: '02:00:00:00:00:01', addresses: [] }] },
      'interfaces[0].name: there is a port red',
    ],
  ] as const)('refuses %j', (more, message) => {
    expect(() => world(more)).toThrow(message)
  })
})
