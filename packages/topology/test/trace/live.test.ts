import { buildInMemory, liveTraceRemark, parseTopology, type Trace, traceFabric } from '@l2l3/topology/memory'
import { describe, expect, it } from 'vitest'
import { example } from './questions.ts'

const FLOOD = 'ffffffffffff02000000000a88b5'
const TWO = 'nodes: { s: { mode: switch, endpoints: { a: { ip: 10.0.0.1/24 }, b: { ip: 10.0.0.2/24 } } } }'

describe('a live trace', () => {
  it('follows what fits, until there were so many', async () => {
    const world = buildInMemory(example('router'))
    const traces: Trace[] = []
    const tracing = world.trace('icmp and host 10.0.3.2', { count: 2, onTrace: (trace) => traces.push(trace) })
    for (const check of world.topology.checks.filter((one) => one.kind === 'ping')) world.check(check)
    expect(await tracing).toMatchObject({ traced: 2 })
    expect(traces.map((trace) => [trace.at, trace.what, trace.end])).toEqual([
      ['r1/red', 'IPv4 10.0.1.2 -> 10.0.3.2, ICMP echo request', 'done'],
      ['r2/green', 'IPv4 10.0.3.2 -> 10.0.1.2, ICMP echo reply', 'done'],
    ])
    // A trace goes to other processes as it is.
    expect(structuredClone(traces)).toEqual(traces)
    expect(JSON.parse(JSON.stringify(traces))).toEqual(traces)
    expect([world.pool.trace, world.pool.observer, world.loop.observer]).toEqual([null, null, null])
    expect(world.pool.report().balanced).toBe(true)
  })

  it('follows so many a second at most, and says how many there were', async () => {
    const world = buildInMemory(parseTopology(TWO, 'net.yaml'))
    const stop = new AbortController()
    const traces: Trace[] = []
    const options = { rate: 3, count: 100, signal: stop.signal, onTrace: (trace: Trace) => traces.push(trace) }
    const tracing = world.trace('ether proto 0x88b5', options)
    for (let second = 0; second < 2; second++) {
      for (let i = 0; i < 10; i++) {
        world.port('s/a').inject(Buffer.from(FLOOD, 'hex'))
        world.settle()
      }
      world.advance(1e9)
    }
    stop.abort()
    const report = await tracing
    expect(report).toEqual({ seen: 20, matched: 20, traced: 6 })
    expect(traces.length).toBe(6)
    expect(liveTraceRemark('ether proto 0x88b5', report)).toBe('20 frames fitted the filter, of which 6 were followed')
  })

  it('says on its end that nothing fitted, or that nothing came', async () => {
    const world = buildInMemory(parseTopology(TWO, 'net.yaml'))
    const stop = new AbortController()
    const tracing = world.trace('tcp port 80', { signal: stop.signal })
    world.port('s/a').inject(Buffer.from(FLOOD, 'hex'))
    world.settle()
    stop.abort()
    const report = await tracing
    expect(report).toEqual({ seen: 1, matched: 0, traced: 0 })
    expect(liveTraceRemark('tcp port 80', report)).toBe(
      'none of the 1 frame that came in fitted the filter "tcp port 80"',
    )
    expect(liveTraceRemark('', { seen: 0, matched: 0, traced: 0 })).toBe('no frame came in while it was traced')
    expect(liveTraceRemark('', { seen: 3, matched: 3, traced: 3 })).toBe(null)
  })

  it('gives out what waits somewhere after a while, and at its end', async () => {
    const text = `
nodes:
  n:
    mode: router
    endpoints: { a: { ip: 10.0.1.2/24, gateway: 10.0.1.1/24 } }
    uplink: { ip: 192.0.2.1/24 }
    routes: [{ to: 0.0.0.0/0, via: 192.0.2.2 }]
`
    const world = buildInMemory(parseTopology(text, 'net.yaml'), { open: ['n/uplink'] })
    const stop = new AbortController()
    const traces: Trace[] = []
    const tracing = world.trace('icmp', { signal: stop.signal, onTrace: (trace) => traces.push(trace) })
    world.host('a').ping(Uint8Array.of(198, 51, 100, 1), 1, 8, 1e9)
    world.settle()
    expect(traces).toEqual([])
    stop.abort()
    expect(await tracing).toMatchObject({ matched: 1, traced: 1 })
    expect(traces.map((trace) => trace.end)).toEqual(['held'])
  })

  it('that was stopped before it began follows nothing', async () => {
    const world = buildInMemory(parseTopology(TWO, 'net.yaml'))
    expect(await world.trace('', { signal: AbortSignal.abort() })).toEqual({ seen: 0, matched: 0, traced: 0 })
    expect(world.pool.trace).toBe(null)
  })

  it('with a setting that is wrong is refused, and leaves nothing behind', async () => {
    const { fabric } = buildInMemory(parseTopology(TWO, 'net.yaml'))
    await expect(traceFabric(fabric, 'host')).rejects.toThrow('the filter is wrong at character 5')
    await expect(traceFabric(fabric, '', { count: 0 })).rejects.toThrow(
      'count must be a whole number from 1 to 100000, not 0',
    )
    await expect(traceFabric(fabric, '', { rate: 1e6 })).rejects.toThrow('rate must be a whole number from 1 to 10000')
    expect(fabric.ground.pool.trace).toBe(null)
  })

  it('changes nothing of what it looks at', async () => {
    const run = async (traced: boolean): Promise<unknown> => {
      const world = buildInMemory(example('vxlan'))
      const stop = new AbortController()
      const tracing = traced ? world.trace('', { signal: stop.signal, count: 100_000, rate: 10_000 }) : null
      const checks = world.topology.checks.flatMap((check) => (check.kind === 'ping' ? [world.check(check)] : []))
      stop.abort()
      const report = await tracing
      if (traced) expect(report?.matched).toBeGreaterThan(20)
      const { ledger, ports, fdb } = world.snapshot()
      return { ledger, ports, fdb, details: checks.map((check) => check.detail) }
    }
    expect(await run(true)).toEqual(await run(false))
  })
})
