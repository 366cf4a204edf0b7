import { type Frame, MemoryPort, type Port, Router } from '@l2l3/switch-core'
import { expect, it } from 'vitest'
import { type BridgePort, HostNode, l3, Parts, Wires } from '../src/index.ts'
import { lab } from './lab.ts'

/* Parts of nodes come and go. */

it('parts: what is as before stays, what changed is made anew, unless it takes it as it is', () => {
  const told: string[] = []
  const parts = new Parts(
    (spec: { name: string; size: number; list?: number[] }) => {
      told.push(`make ${spec.name}${spec.size}`)
      return { spec, end: () => void told.push(`end ${spec.name}${spec.size}`) }
    },
    (_part, spec, before) => spec.size === before.size,
  )
  const told_ = (): string[] => told.splice(0)
  expect(
    parts.become([
      { name: 'a', size: 1 },
      { name: 'b', size: 1 },
    ]),
  ).toBe(true)
  expect(told_()).toEqual(['make a1', 'make b1'])
  expect(
    parts.become([
      { name: 'b', size: 1, list: [1] },
      { name: 'a', size: 1 },
    ]),
  ).toBe(false)
  expect(told_()).toEqual([])
  expect(parts.list.map((p) => p.spec.name)).toEqual(['b', 'a'])
  expect(parts.become([{ name: 'a', size: 2 }])).toBe(true)
  expect(told_()).toEqual(['end b1', 'end a1', 'make a2'])
  expect(() =>
    parts.become([
      { name: 'a', size: 2 },
      { name: 'a', size: 3 },
    ]),
  ).toThrow('there are two of the name "a"')
  expect(() => parts.add({ name: 'a', size: 2 })).toThrow('there is one of the name "a" already')
  expect([parts.remove('a'), parts.remove('a'), parts.size]).toEqual([true, false, 0])
})

it('links of a node get longer with its ports, and keep what they hold', () => {
  const { ground, pool } = lab()
  const wires = new Wires(ground, 1)
  const delivered: number[] = []
  const link = wires.link({ process: (batch) => void delivered.push(batch.length) }, 'out')
  const f = pool.from(new Uint8Array(60)) as Frame
  pool.share(f, 299)
  for (let i = 0; i < 3; i++) link.push(f)
  wires.resize(100)
  for (let i = 3; i < 300; i++) link.push(f)
  expect(link.length).toBe(300)
  ground.loop.turn()
  // Nothing was dropped as LinkFull; the element left all of it in its batch.
  expect([delivered, pool.report().dropped]).toEqual([[300], { Unclaimed: 300 }])
})

it('a host node: bridges, pods, uplinks and routes come and go, one list or all', () => {
  const { ground, port, pool } = lab()
  const side = (name: string): BridgePort => ({ name, port: port(name) })
  const red = side('red')
  const bridge = (ports: BridgePort[], ...addresses: string[]) => ({
    ...{ name: 'br0', ports, gateway: { mac: '02:00:00:00:00:01', addresses } },
  })
  const node = new HostNode(ground, { bridges: [bridge([red], '10.0.0.1/24')] })
  const sideBefore = node.bridges[0]?.ports.get('red')
  const pod = { name: 'pod', port: port('pod') as Port, mac: '02:00:00:00:00:11', ips: ['10.1.0.5'] }
  const gateway = { mac: '02:00:00:00:00:02', addresses: ['10.1.0.1/32'] }
  node.change({
    bridges: [bridge([red, side('blue')], '10.0.0.1/24', '10.9.0.1/24')],
    pods: [{ ...pod, gateway }],
    routes: [{ to: '10.8.0.0/16', via: '10.9.0.2' }],
  })
  const routes = (): string[] => Array.from(node.router.routes(), (r) => r.to).sort()
  expect(node.bridges[0]?.ports.get('red')).toBe(sideBefore)
  expect(node.bridges[0]?.switch.ports.map((p) => p.name)).toEqual(['red', 'br0', 'blue'])
  expect(routes()).toContain('10.8.0.0/16')
  expect(routes()).toContain('10.1.0.5/32')
  node.change({ pods: [], routes: [], bridges: [bridge([red], '10.0.0.1/24')] })
  expect(routes()).toEqual(['10.0.0.0/24', '10.0.0.1/32', '10.0.0.255/32'])
  node.change({ bridges: [] })
  expect([routes(), node.router.interfaces, ground.loop.ports]).toEqual([[], [], []])
  expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
})

it('what waits for the neighbour of a pod that goes is dropped', () => {
  const { ground, port, pool, send } = lab()
  const pods = ['a', 'b'].map((name, i) => ({
    ...{ name, port: port(name), mac: `02:00:00:00:00:1${i}`, ips: [`10.1.0.${i + 1}`] },
  }))
  const node = l3(ground, { pods, uplinks: [], proxyArp: { requireRoute: false, delayMaxMs: 500 } })
  // a asks for its gateway, which answers later, and sends to b, whose MAC is asked for.
  send('a', 'ffffffffffff 020000000010 0806 0001080006040001 020000000010 0a010001 000000000000 a9fe0101')
  send('a', 'eeeeeeeeeeee 020000000010 0800 4500001c000000004011 66cd 0a010001 0a010002 0001000200080000')
  expect(pool.report()).toMatchObject({ held: 2, dropped: { Consumed: 1 } })
  node.change({ pods: [], uplinks: [] })
  expect(pool.report()).toMatchObject({ held: 0, balanced: true, dropped: { PortClosed: 1, PortDown: 1 } })
  expect(ground.loop.nextTick).toBe(Number.POSITIVE_INFINITY)
})

it("a route that took the place of a link's own gives it back", () => {
  const { ground, pool } = lab()
  const router = new Router(pool, ground.clock)
  const out = ground.loop.link(new MemoryPort(pool, 'p'))
  const eth0 = router.addInterface({
    name: 'eth0',
    mac: '02:00:00:00:00:01',
    out,
    addresses: ['10.0.0.1/24', 'fd00::1/64'],
  })
  const kinds = (): string[] =>
    Array.from(router.routes(), (r) => `${r.to} ${r.kind}`)
      .filter((r) => /\/(24|64) /.test(r))
      .sort()
  const own = kinds()
  router.addRoute({ to: '10.0.0.0/24', via: '10.0.0.9' })
  router.addRoute({ to: 'fd00::/64', type: 'blackhole' })
  expect(kinds()).not.toEqual(own)
  expect([router.deleteRoute('10.0.0.0/24', 0), router.deleteRoute('fd00::/64')]).toEqual([true, true])
  expect(kinds()).toEqual(own)
  expect(router.lookup4(0x0a00_0005)?.hop).toBe(eth0.onLink)
  // The link's own can be taken away.
  expect([router.deleteRoute('10.0.0.0/24'), router.deleteRoute('10.0.0.0/24')]).toEqual([true, false])
})
