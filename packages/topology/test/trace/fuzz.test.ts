/** Frames as nobody sends them, at every port of every topology in examples/ and of some that are worse, all of them followed. */
import { readFileSync } from 'node:fs'
import { openCapture } from '@l2l3/switch-core/pcap'
import {
  buildInMemory,
  bytesAt,
  outputs,
  parseTopology,
  parseTraceText,
  type Topology,
  type Trace,
  traceText,
} from '@l2l3/topology/memory'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { followFrames } from '../../src/trace/follower.ts'
import { example, examples, recorded } from './questions.ts'

const PCAP = new URL('../fixtures/dissect.pcap', import.meta.url)
const known = Array.from(openCapture(readFileSync(PCAP)), ({ data }) => data)

/** Real frames with bytes overwritten and cut off, to a MAC that is there, and noise. */
const frame = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.tuple(
      fc.constantFrom(...known),
      fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }),
      fc.nat(40),
    ),
  },
  { weight: 1, arbitrary: fc.tuple(fc.uint8Array({ maxLength: 80 }), fc.constant([]), fc.constant(0)) },
)

/** Ports that get a frame twice at once: what comes in and what goes out is shown to them, over wires good and bad. */
const mirrored = (wire: string): string => `
nodes:
  a:
    mode: switch
    endpoints:
      red: { ip: 10.0.0.1/24, hairpin: true }
      blue: { ip: 10.0.0.2/24, mtu: 600 }
      watch: { mtu: 900 }
    ports: { m: {}, n: {} }
    mirrors: [{ ports: [red, blue], to: watch, direction: both }, { ports: [red, blue], to: m, direction: both }]
  b: { mode: switch, endpoints: { green: {}, gray: { mtu: 100 } }, ports: { m: {} } }
links: [{ join: [a/m, b/m]${wire} }]
`
const topologies: [string, Topology][] = [
  ...examples.map((name): [string, Topology] => [`examples/${name}.yaml`, example(name)]),
  ['mirrors', parseTopology(mirrored(''), 'mirrors.yaml')],
  [
    'mirrors over a bad wire',
    parseTopology(
      mirrored(', faults: { loss: 20%, duplicate: 30%, delay: 2 ms, jitter: 3 ms, corrupt: 9% }'),
      'bad.yaml',
    ),
  ],
]

describe.each(topologies)('%s', (_, topology) => {
  it('steps agree with each other, ends are what hosts took and all of it, and nothing is lost', () => {
    const labels = topology.nodes.flatMap((n) => n.ports.filter((p) => p.endpoint !== null).map((p) => p.label))
    const sent = fc.array(fc.tuple(frame, fc.constantFrom(...labels), fc.boolean()), { minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(sent, (frames) => {
        const world = buildInMemory(topology)
        // What nodes say of their own accord when they begin is of no frame.
        world.advance(10e9)
        const taken = recorded(world)
        const traces: Trace[] = []
        const following = followFrames(world.fabric, { wants: () => true, done: (trace) => traces.push(trace) })
        const gateways = world.topology.nodes.flatMap((n) => n.ports.map((p) => p.interface.mac))
        frames.forEach(([[bytes, writes, cut], label, toGateway], i) => {
          const b = bytes.slice(0, Math.max(0, bytes.length - (cut > 30 ? cut : 0)))
          for (const [at, byte] of writes as [number, number][]) if (b.length > 0) b[at % b.length] = byte
          const mac = gateways[i % gateways.length]
          if (toGateway && mac !== undefined && b.length >= 14) b.set(Buffer.from(mac.replaceAll(':', ''), 'hex'), 0)
          world.port(label).inject(b)
        })
        world.settle()
        world.advance(8e9)
        following.stop()
        expect(world.pool.report().balanced).toBe(true)
        // Some never come in, where a wire loses them.
        const lost = world.pool.report().dropped.Fault ?? 0
        expect(traces.length + lost).toBeGreaterThanOrEqual(frames.length)
        for (const trace of traces) {
          for (const [i, step] of trace.steps.entries()) expect(bytesAt(trace, i).length).toBe(step.length)
          for (const { label, bytes } of outputs(trace)) {
            const there = taken.get(label)
            if (there === undefined || trace.end === 'cut') continue
            const at = there.indexOf(Buffer.from(bytes).toString('hex'))
            expect(at, `${label}: ${traceText(trace).join('\n')}`).toBeGreaterThanOrEqual(0)
            there.splice(at, 1)
          }
          expect(parseTraceText(traceText(trace)).steps.length).toBe(trace.steps.length)
        }
        if (traces.every((trace) => trace.end === 'done')) expect([...taken.values()].flat()).toEqual([])
      }),
      { numRuns: 8 },
    )
  }, 60_000)
})
