import { EventEmitter } from 'node:events'
import { parseTopology } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'
import { Channel, type Ears } from '../src/linux/channel.ts'
import { namespacesOf, planReal } from '../src/linux/real-plan.ts'

/* What a real underlay is made of, and how its processes speak, without making any. */

const LONG = 'a-host-with-a-name-of-32-letters'
const topology = parseTopology(
  `
name: t
segments:
  lan:
    router: { ip: 192.0.2.254/24, routes: [{ to: 10.0.0.0/8, via: 192.0.2.1 }] }
    hosts: { client: { ip: 192.0.2.9/24 }, ${LONG}: { ip: 192.0.2.10/24 } }
    faults: { loss: 10% }
  a-segment-with-a-long-name:
    mtu: 9000
    router: { ip: 198.51.100.254/24 }
nodes:
  n1: { mode: l3, uplink: { ip: 192.0.2.1/24, segment: lan }, ports: { second: { ip: 10.50.0.1/24, segment: lan }, tor: { ip: 203.0.113.1/24 } } }
  n2: { mode: switch, ports: { up: { segment: a-segment-with-a-long-name }, x: {}, y: {}, tor: {} }, endpoints: { red: {} } }
links: [[n1/tor, n2/tor], [n2/x, n2/y]]
`,
  't.yaml',
)

describe('the plan of a real underlay', () => {
  const { bridges, routers, parts } = planReal(topology)
  const [lan, far, cable] = bridges

  it('has a bridge for each segment, and for each cable between two nodes', () => {
    expect(bridges.map(({ netns, cable: floods, mtu }) => [netns, floods, mtu])).toEqual([
      ['l2l3-t.lan', false, 65_521],
      ['l2l3-t.a-segment-with-a-long-name', false, 9000],
      ['l2l3-t.n1.tor-n2.tor', true, 65_521],
    ])
    expect(namespacesOf(topology, { bridges, routers }).sort()).toEqual(
      [LONG, 'a-segment-with-a-long-name', 'client', 'lan', 'n1.tor-n2.tor', 'red', 'router'].map(
        (name) => `l2l3-t.${name}`,
      ),
    )
  })

  it('names interfaces for what is behind them, in 15 characters', () => {
    expect(lan?.taps).toEqual(
      new Map([
        ['n1/second', 'n1'],
        ['n1/uplink', 'n1.uplink'],
      ]),
    )
    expect(lan?.hosts.map(([device]) => device)).toEqual(['client', expect.stringMatching(/^veth[0-9a-f]{8}$/)])
    expect(far?.taps.get('n2/up')).toBe('n2')
    expect(cable?.taps.get('n1/tor')).toBe('n1')
  })

  it('has one router of the kernel, on both segments', () => {
    expect(routers.map(({ netns }) => netns)).toEqual(['l2l3-t.router'])
    expect(
      routers[0]?.interfaces.map(({ device, bridge, plug, mtu, routes }) => [device, bridge.netns, plug, mtu, routes]),
    ).toEqual([
      ['lan', 'l2l3-t.lan', 'router', 1500, [{ to: '10.0.0.0/8', via: '192.0.2.1' }]],
      ['eth1', 'l2l3-t.a-segment-with-a-long-name', 'router', 9000, []],
    ])
  })

  it('gives each node its part: its hosts, its own cables, the wires that lead out, what segments do to frames', () => {
    const [one, two] = parts
    expect(parts.map(({ node }) => node.name)).toEqual(['n1', 'n2'])
    expect(one?.topology).toMatchObject({ endpoints: [], links: [], segments: [], checks: [] })
    expect(one?.wires.get('n1/uplink')).toEqual({ netns: 'l2l3-t.lan', name: 'n1.uplink', mtu: 65_521 })
    expect(one?.node.ports.map((p) => [p.name, p.faults?.in?.loss, p.faults?.out])).toEqual([
      ['second', 0.1, null],
      ['tor', undefined, undefined],
      ['uplink', 0.1, null],
    ])
    expect(two?.topology.endpoints.map((e) => e.name)).toEqual(['red'])
    expect(two?.topology.links).toEqual([['n2/x', 'n2/y']])
    expect([...(two?.wires.keys() ?? [])]).toEqual(['n2/up', 'n2/tor'])
  })

  it('refuses names that come to the same namespace', () => {
    const twice = parseTopology(
      'name: t\nsegments: { lan: {} }\nnodes: { n1: { mode: switch, uplink: { segment: lan }, endpoints: { lan: {} } } }\n',
      't.yaml',
    )
    expect(() => planReal(twice)).toThrow('and l2l3-t.lan would be two')
  })
})

/** Two ends of a channel, as Node has them. */
function channels(ears: Ears): [Channel, Channel] {
  const [a, b] = [new EventEmitter(), new EventEmitter()]
  const end = (own: EventEmitter, other: EventEmitter) => ({
    on: own.on.bind(own),
    send: (message: unknown) => setImmediate(() => other.emit('message', structuredClone(message))) !== null,
  })
  return [new Channel(end(a, b), {}), new Channel(end(b, a), ears)]
}

describe('a channel', () => {
  it('answers each question with its answer, or with what was wrong', async () => {
    const told: unknown[] = []
    const [asks] = channels({
      slow: (n: number) => new Promise((resolve) => setTimeout(resolve, 20, n * 2)),
      quick: (n: number) => n + 1,
      wrong: () => {
        throw new Error('so not')
      },
      noted: (what: unknown) => told.push(what),
    })
    asks.tell('noted', { label: 'n1/red' })
    asks.tell('unheard of')
    expect(await Promise.all([asks.ask('slow', 21), asks.ask('quick', 1)])).toEqual([42, 2])
    await expect(asks.ask('wrong')).rejects.toThrow('so not')
    await expect(asks.ask('what')).rejects.toThrow('nobody here knows "what"')
    expect(told).toEqual([{ label: 'n1/red' }])
  })

  it('rejects what waits when the other end goes, and what is asked then', async () => {
    const [asks] = channels({ never: () => new Promise(() => {}) })
    const waiting = asks.ask('never')
    setImmediate(() => asks.close('node n1: gone'))
    await expect(waiting).rejects.toThrow('node n1: gone')
    await expect(asks.ask('never')).rejects.toThrow('node n1: gone')
  })
})
