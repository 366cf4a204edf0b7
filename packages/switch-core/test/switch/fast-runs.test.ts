// The three ways through a switch make the same frames, tables, counters and accounts: the run in WebAssembly, the run in JavaScript,
// and the long way, which all frames go while somebody traces.
import fc from 'fast-check'
import { expect, it, test, vi } from 'vitest'
import {
  Batch,
  type Frame,
  type FramePoolOptions,
  MemoryPort,
  SECOND,
  Switch,
  type SwitchPort,
  type SwitchPortOptions,
} from '../../src/index.ts'
import { Listener } from '../listener.ts'
import { hex, Lab } from './lab.ts'

const mac = (i: number): string => `0200000000${i.toString(16).padStart(2, '0')}`
const frame = (dst: string, src: string, tag: string, n: number): string => `${dst}${src}${tag}0800${'5a'.repeat(n)}`

/** Stations: more than a table of 32 addresses takes, so that it is crowded, and some are refused. */
const STATIONS = 40
/** Longer than a slice of the run. */
const LONG = 150

const WAYS: Readonly<Record<string, FramePoolOptions>> = {
  'in WebAssembly': {},
  'in WebAssembly, on shared memory': { shared: true },
  'in JavaScript': { tables: 0 },
  'the long way': {},
}

const station = fc.nat(STATIONS - 1).map(mac)
const dst = fc.oneof(
  { weight: 20, arbitrary: station },
  { weight: 1, arbitrary: fc.constantFrom('ffffffffffff', '01005e000001', '0180c2000002', '000000000000') },
)
const src = fc.oneof(
  { weight: 30, arbitrary: station },
  { weight: 1, arbitrary: fc.constantFrom('000000000000', '010000000001') },
)
const tag = fc.constantFrom('', '', '', '81000001', '81002002', '8100a000', '81000fff', '88a80001')
const one = fc
  .tuple(dst, src, tag, fc.nat(40), fc.boolean())
  // Now and then a runt.
  .map(([d, s, t, n, whole]) => (whole || n > 3 ? frame(d, s, t, n) : frame(d, s, t, 0).slice(0, 24 + n * 4)))
/** Stations mostly talk over and over: a few frames, repeated. */
const burst = fc
  .tuple(fc.array(one, { minLength: 1, maxLength: 8 }), fc.nat(LONG))
  .map(([frames, n]) => Array.from({ length: n }, (_, i) => frames[i % frames.length] as string))
const step = fc.record({ port: fc.nat(3), frames: burst, atOnce: fc.boolean(), wait: fc.constantFrom(0, 0, 1, 3) })
const options = (aware: boolean): fc.Arbitrary<SwitchPortOptions> =>
  fc.record(
    {
      learning: fc.constantFrom(true, true, true, false, 'sticky' as const),
      hairpin: fc.constantFrom(false, false, true),
      isolated: fc.constantFrom(false, false, true),
      mtu: fc.constant(68),
      ...(aware && {
        vlan: fc.constantFrom({ access: 1 }, { trunk: [1, 2] }, { trunk: [2], native: 1 }, { tunnel: 1 }),
      }),
    },
    { requiredKeys: [] },
  )

/** Gives a switch frames as one batch, as a link would. */
function process(lab: Lab, port: number, frames: readonly string[]): void {
  const batch = new Batch(LONG)
  for (const text of frames) batch.push(lab.pool.from(hex(text)) as Frame)
  lab.pool.ledger.originate(batch.length)
  lab.port(port).process(batch)
  expect(batch.length).toBe(0)
}

it('makes the same of every batch, whichever way it goes', () => {
  const world = fc.boolean().chain((vlanAware) =>
    fc.record({
      vlanAware: fc.constant(vlanAware),
      ports: fc.array(options(vlanAware), { minLength: 4, maxLength: 4 }),
      steps: fc.array(step, { maxLength: 10 }),
      seed: fc.nat(),
    }),
  )
  fc.assert(
    fc.property(world, ({ vlanAware, ports, steps, seed }) => {
      const [first, ...others] = Object.entries(WAYS).map(([way, pool]) => {
        const lab = new Lab(ports, { vlanAware, ageing: 2, maxEntries: 32, seed }, { frameSize: 128, ...pool })
        if (way === 'the long way') new Listener(lab.pool)
        const out = steps.map(({ port, frames, atOnce, wait }) => {
          lab.clock.advance(wait * SECOND)
          if (!atOnce) return lab.send(port, ...frames)
          process(lab, port, frames)
          lab.loop.settle()
          return lab.collect()
        })
        return {
          out,
          counters: lab.ports.map(({ port }) => port.counters),
          vlans: [1, 2].map((vlan) => lab.switch.vlanCounters(vlan)),
          fdb: [...lab.switch.fdb.list()],
          fdbCounters: lab.switch.fdb.counters,
          report: lab.pool.report(),
        }
      })
      for (const other of others) expect(other).toEqual(first)
    }),
    { numRuns: 60 },
  )
})

/** What may happen to a switch between two batches. */
const event = fc.oneof(
  { weight: 6, arbitrary: step.map((s) => ({ kind: 'frames' as const, ...s })) },
  fc.record({ kind: fc.constant('plug' as const), many: fc.constantFrom(1, 1, 1, 80), vlan: fc.nat(2) }),
  fc.record({ kind: fc.constant('remove' as const), port: fc.nat(9) }),
  fc.record({ kind: fc.constant('static' as const), mac: station, port: fc.nat(9), vlan: fc.nat({ max: 1 }) }),
  fc.record({ kind: fc.constant('mirror' as const), port: fc.nat(9), to: fc.nat(9) }),
  fc.record({ kind: fc.constant('trace' as const), on: fc.boolean() }),
  fc.record({ kind: fc.constant('wait' as const), seconds: fc.constantFrom(0.5, 2, 3, 1e6, 3e6) }),
  fc.record({ kind: fc.constant('set' as const), port: fc.nat(9), isolated: fc.boolean(), hairpin: fc.boolean() }),
  fc.record({ kind: fc.constant('flush' as const), port: fc.nat(9) }),
)

it('makes the same of a life in which ports, addresses, mirrors and traces come and go', () => {
  const life = fc.record({
    aware: fc.boolean(),
    atLimit: fc.constantFrom('refuse' as const, 'evict' as const),
    events: fc.array(event, { maxLength: 25 }),
    seed: fc.nat(),
  })
  fc.assert(
    fc.property(life, ({ aware, atLimit, events, seed }) => {
      const lives = Object.entries(WAYS).map(([way, pool]) => {
        const settings = { vlanAware: aware, ageing: 2, maxEntries: 24, atLimit, seed }
        const lab = new Lab(4, settings, { frameSize: 128, frames: 1024, ...pool })
        if (way === 'the long way') new Listener(lab.pool)
        // Another switch on the same pool has tables of its own.
        const other = new Switch(lab.pool, lab.clock, settings)
        const changes: string[] = []
        lab.switch.fdb.watch((change, { mac, vlan, port }) => changes.push(`${change} ${mac} ${vlan} ${port}`))
        const there = (i: number): SwitchPort | undefined => lab.switch.ports[i % Math.max(1, lab.switch.ports.length)]
        const out: unknown[] = []
        for (const e of events) {
          const at = 'port' in e ? there(e.port) : undefined
          if (e.kind === 'frames') {
            lab.clock.advance(e.wait * SECOND)
            process(lab, e.port, e.frames)
            lab.loop.settle()
            out.push(lab.collect())
          } else if (e.kind === 'plug') {
            const vlan = [{ access: 1 }, { trunk: [1, 2] }, { trunk: [2], native: 1 }][e.vlan] as { access: number }
            for (let i = 0; i < e.many && lab.ports.length < 200; i++) lab.plug(aware ? { vlan } : {})
          } else if (e.kind === 'wait') {
            lab.clock.advance(e.seconds * SECOND)
          } else if (e.kind === 'trace') {
            if (way !== 'the long way') lab.pool.trace = null
            if (e.on) new Listener(lab.pool)
          } else if (at === undefined) {
          } else if (e.kind === 'remove') lab.switch.removePort(at)
          else if (e.kind === 'flush') lab.switch.fdb.flush({ port: at.index })
          else if (e.kind === 'set') at.set({ isolated: e.isolated, hairpin: e.hairpin })
          else if (e.kind === 'static') {
            lab.switch.addStatic(e.mac.replace(/..(?!$)/g, '$&:'), at, aware ? 1 + e.vlan : 0)
          } else if (e.kind === 'mirror') {
            const to = there(e.to)
            if (to !== at) lab.switch.mirror({ ports: [at], to: to as SwitchPort })
          }
        }
        expect(other.fdb.size).toBe(0)
        return {
          ...{ out, changes },
          counters: lab.ports.map((_, i) => lab.switch.portCounters(i)),
          vlans: [1, 2].map((vlan) => lab.switch.vlanCounters(vlan)),
          fdb: [...lab.switch.fdb.list()],
          fdbCounters: lab.switch.fdb.counters,
          report: lab.pool.report(),
        }
      })
      for (const life of lives) expect(life).toEqual(lives[0])
    }),
    { numRuns: 40 },
  )
})

for (const [way, pool] of Object.entries(WAYS).slice(0, 3)) {
  for (const vlanAware of [false, true]) {
    it(`takes known unicast ${way}${vlanAware ? ' with VLANs' : ''}: the table is asked for no frame of it`, () => {
      const lab = new Lab(2, { vlanAware }, pool)
      expect(lab.pool.tables.has(lab.switch.fdb.table)).toBe(way !== 'in JavaScript')
      for (let i = 0; i < STATIONS; i++) lab.send(i & 1, frame('ffffffffffff', mac(i), '', 4))
      const asked = vi.spyOn(lab.switch.fdb, 'lookup')
      const frames = Array.from({ length: 60 }, (_, i) => frame(mac(2 * (i % 20) + 1), mac(2 * (i % 20)), '', i + 4))
      // More ports than there were arrays for: the run is made anew.
      for (let i = 0; i < 100; i++) lab.plug()
      expect(lab.send(0, ...frames)).toEqual({ 1: frames })
      expect(lab.switch.portCounters(1).txFrames).toBe(STATIONS / 2 + 60)
      process(lab, 0, frames)
      lab.loop.settle()
      expect(lab.collect()).toEqual({ 1: frames })
      expect(asked).not.toHaveBeenCalled()
    })
  }
}

test('a switch whose tables find no room beside the frames runs in JavaScript', () => {
  const lab = new Lab(2, { maxEntries: 1 << 17 }, { tables: 4 << 20 })
  expect(lab.pool.tables.has(lab.switch.fdb.table)).toBe(false)
  lab.send(1, frame(mac(9), mac(1), '', 4))
  const text = frame(mac(1), mac(0), '', 4)
  expect(lab.send(0, text, text)).toEqual({ 1: [text, text] })
})

test('switches that come and go find room, where each gives back what it had', () => {
  const lab = new Lab(2, { vlanAware: true })
  for (let i = 0; i < 50; i++) {
    const other = new Switch(lab.pool, lab.clock, { vlanAware: true })
    expect(lab.pool.tables.has(other.fdb.table)).toBe(true)
    const out = new MemoryPort(lab.pool, 'out')
    for (let k = 0; k < 80; k++) other.addPort(lab.loop.link(out))
    other.addStatic('02:00:00:00:00:01', other.ports[1] as SwitchPort, 1)
    const [port] = other.ports as [SwitchPort]
    other.close()
    other.close()
    other.removePort(port)
    expect([other.ports, [...other.fdb.list()]]).toEqual([[], []])
    expect(() => other.addPort(lab.loop.link(out))).toThrow('switch is closed')
  }
  // The one that stays has kept what is its own.
  lab.send(1, frame(mac(9), mac(1), '', 4))
  const text = frame(mac(1), mac(0), '', 4)
  expect(lab.send(0, text, text)).toEqual({ 1: [text, text] })
})

test('a switch that is closed drops what still comes, remembers what it counted, and touches no table of another', () => {
  const lab = new Lab(2)
  const text = frame(mac(9), mac(1), '', 4)
  lab.send(1, text)
  const [port] = lab.switch.ports as [SwitchPort]
  lab.switch.close()
  const next = new Switch(lab.pool, lab.clock)
  const before = next.fdb.table.slice()
  process(lab, 0, [text, text])
  lab.wait(2)
  lab.switch.fdb.learn(1, 2, 3, false)
  expect(lab.drops).toEqual({ PortDown: 2 })
  expect([port.counters.txFrames, lab.switch.portCounters(1).rxFrames]).toEqual([1, 1])
  expect(next.fdb.table).toEqual(before)
})
