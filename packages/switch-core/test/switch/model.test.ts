// The switch beside a naive model of it: random ports, frames and operations, the same frames out, the same drops, the
// same table.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PortVlans, SwitchPortOptions } from '../../src/index.ts'
import { Listener } from '../listener.ts'
import { Lab } from './lab.ts'
import { NaiveSwitch } from './naive-switch.ts'

const MACS = ['02000000000a', '02000000000b', '02000000000c', '0a0000000001', 'fe54deadbeef']
const DSTS = [
  ...MACS,
  'ffffffffffff',
  '01005e000001',
  '333300000001',
  '0180c2000000',
  '0180c200000e',
  '0180c2000001',
  '0180c2000010',
]
const SRCS = [...MACS, '010000000001', '000000000000']
const VIDS = [0, 1, 2, 3, 4094, 4095]
const PORTS = 5

const vlan: fc.Arbitrary<PortVlans> = fc.oneof(
  fc.record({ access: fc.constantFrom(1, 2, 3) }),
  fc.record({ tunnel: fc.constantFrom(1, 2) }),
  fc.record(
    {
      trunk: fc.subarray([1, 2, '2-3', 4094]),
      native: fc.constantFrom(1, 2),
      untagged: fc.subarray([3]),
    },
    { requiredKeys: ['trunk'] },
  ),
)

const options = (aware: boolean): fc.Arbitrary<SwitchPortOptions> =>
  fc.record(
    {
      learning: fc.constantFrom(true, true, true, false, 'sticky' as const),
      hairpin: fc.boolean(),
      isolated: fc.boolean(),
      unknownUnicastFlood: fc.boolean(),
      multicastFlood: fc.boolean(),
      broadcastFlood: fc.boolean(),
      macs: fc.constantFrom(['02:00:00:00:00:0a', '02:00:00:00:00:0b']),
      ...(aware ? { vlan } : {}),
    },
    { requiredKeys: [] },
  )

const port = fc.nat(PORTS - 1)
const tag = fc.tuple(fc.constantFrom('8100', '88a8'), fc.constantFrom(...VIDS), fc.nat(15))
const frame = fc
  .tuple(fc.constantFrom(...DSTS), fc.constantFrom(...SRCS), fc.option(tag), fc.nat(40), fc.option(fc.nat(19)))
  .map(([dst, src, t, n, cut]) => {
    const inner = t ? `${t[0]}${((t[2] << 12) | t[1]).toString(16).padStart(4, '0')}0800` : '0800'
    const whole = dst + src + inner + '5a'.repeat(n)
    return cut === null ? whole : whole.slice(0, cut * 2)
  })

type Op =
  | { op: 'send'; port: number; frame: string }
  | { op: 'wait'; ms: number }
  | { op: 'static'; mac: string; vlan: number; port: number }
  | { op: 'delete'; mac: string; vlan: number }
  | { op: 'flush'; port: number | undefined; vlan: number | undefined }
  | { op: 'up'; port: number; up: boolean }
  | { op: 'set'; port: number; options: SwitchPortOptions }

const ops = (aware: boolean): fc.Arbitrary<Op> => {
  const vid = aware ? fc.constantFrom(1, 2, 3) : fc.constant(0)
  const maybe = <T>(a: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(a, { nil: undefined })
  const send: fc.Arbitrary<Op> = fc.record({ op: fc.constant('send' as const), port, frame })
  return fc.oneof(
    { weight: 12, arbitrary: send },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('wait' as const), ms: fc.nat(9000) }) },
    {
      weight: 1,
      arbitrary: fc.record({ op: fc.constant('static' as const), mac: fc.constantFrom(...MACS), vlan: vid, port }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ op: fc.constant('delete' as const), mac: fc.constantFrom(...MACS), vlan: vid }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('flush' as const), port: maybe(port), vlan: maybe(vid) }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('up' as const), port, up: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('set' as const), port, options: options(aware) }) },
  )
}

const colons = (mac: string): string => mac.replace(/..(?=.)/g, '$&:')
const AGEING = 10

function check(aware: boolean, ports: SwitchPortOptions[], operations: Op[], traced: boolean): void {
  const lab = new Lab(ports, { vlanAware: aware, ageing: AGEING }, { frames: 64 })
  if (traced) new Listener(lab.pool)
  const naive = new NaiveSwitch(ports, aware, AGEING)
  for (const op of operations) {
    switch (op.op) {
      case 'send': {
        const expected: Record<number, string[]> = {}
        for (const [to, f] of naive.send(op.port, op.frame)) (expected[to] ??= []).push(f)
        expect(lab.send(op.port, op.frame)).toEqual(expected)
        break
      }
      case 'wait':
        naive.now += op.ms
        lab.clock.advance(op.ms * 1e6)
        lab.switch.tick(lab.clock.now)
        naive.sweep()
        break
      case 'static':
        naive.table.set(`${op.mac}/${op.vlan}`, { port: op.port, kind: 'static', heard: naive.now })
        lab.switch.addStatic(colons(op.mac), lab.port(op.port), op.vlan)
        break
      case 'delete':
        naive.table.delete(`${op.mac}/${op.vlan}`)
        lab.switch.deleteAddress(colons(op.mac), op.vlan)
        break
      case 'flush':
        naive.flush(op.port, op.vlan)
        lab.switch.fdb.flush({
          ...(op.port === undefined ? {} : { port: op.port }),
          ...(op.vlan === undefined ? {} : { vlan: op.vlan }),
        })
        break
      case 'up':
        if (!op.up) naive.flush(op.port, undefined)
        ;(naive.ports[op.port] as { up: boolean }).up = op.up
        lab.port(op.port).setUp(op.up)
        break
      case 'set': {
        naive.set(op.port, op.options)
        lab.port(op.port).set(op.options)
        break
      }
    }
    expect(lab.drops).toEqual(naive.drops)
    const table = [...lab.switch.fdb.list()].map((e) => `${e.mac.replaceAll(':', '')}/${e.vlan} ${e.port} ${e.kind}`)
    expect(table.sort()).toEqual(naive.list())
  }
}

describe('the switch does what the naive switch does', () => {
  for (const [aware, traced] of [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ] as const) {
    it(`${aware ? 'with VLANs' : 'without VLANs'}${traced ? ', while somebody traces' : ''}`, () => {
      const ports = fc.array(options(aware), { minLength: PORTS, maxLength: PORTS })
      fc.assert(
        fc.property(ports, fc.array(ops(aware), { maxLength: 60 }), (p, o) => check(aware, p, o, traced)),
        { numRuns: 300 },
      )
    })
  }
})

describe('the table does what a Map does', () => {
  // Small tables, many keys: long runs, removals in their middle, runs that wrap around the end.
  it('under random learning, removal, ageing and flushing', async () => {
    const { Fdb } = await import('../../src/index.ts')
    const key = fc.tuple(fc.nat(7), fc.nat(15))
    const op = fc.oneof(
      { weight: 6, arbitrary: fc.tuple(fc.constant('learn' as const), key, fc.nat(3)) },
      { weight: 3, arbitrary: fc.tuple(fc.constant('delete' as const), key, fc.nat(3)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('flush' as const), key, fc.nat(3)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('age' as const), key, fc.nat(3)) },
    )
    fc.assert(
      fc.property(fc.array(op, { maxLength: 200 }), fc.integer(), (operations, seed) => {
        const fdb = new Fdb({ maxEntries: 128, ageing: 1, seed })
        const map = new Map<string, { port: number; at: number }>()
        let now = 0
        for (const [what, [a, b], port] of operations) {
          const hi = (a << 16) | 0x0002
          const lo = b << 24
          const text = `${hi}/${lo}`
          if (what === 'learn') {
            fdb.learn(hi, lo, port, false)
            map.set(text, { port, at: now })
          } else if (what === 'delete') expect(fdb.delete([hi, lo])).toBe(map.delete(text))
          else if (what === 'flush') {
            const n = [...map].filter(([, e]) => e.port === port).length
            for (const [k, e] of map) if (e.port === port) map.delete(k)
            expect(fdb.flush({ port })).toBe(n)
          } else {
            now += 400
            fdb.setNow(now * 1e6)
            fdb.sweep()
            for (const [k, e] of map) if (now - e.at >= 1000) map.delete(k)
          }
          expect(fdb.size).toBe(map.size)
          expect(fdb.lookup(hi, lo)).toBe(map.get(text)?.port ?? -1)
        }
        for (const [text, { port }] of map) {
          const [hi, lo] = text.split('/').map(Number) as [number, number]
          expect(fdb.lookup(hi, lo)).toBe(port)
        }
      }),
      { numRuns: 500 },
    )
  })
})
