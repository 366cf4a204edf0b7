import { SECOND, VirtualClock } from '@l2l3/switch-core'
import { openCapture } from '@l2l3/switch-core/pcap'
import { buildInMemory, MemoryHost, memoryWorld, parseMac, parseTopology, replay } from '@l2l3/topology/memory'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

/*
 *   red                blue                   web     client
 *    | n1 (VNI 42)      | n2 (VNI 42)          |        |
 *   =+==================+======= lan ==========+==    ==+== outside ==
 *        all faults             router ------------------+
 */
const NET = (seed: number, faults: string): string => `
name: net
seed: ${seed}
segments:
  lan:
    mtu: 1600
    router: { ip: 192.0.2.254/24 }
    hosts: { web: { ip: 192.0.2.80/24 } }
    faults: { ${faults} }
  outside: { router: { ip: 198.51.100.254/24 }, hosts: { client: { ip: 198.51.100.9/24 } } }
nodes:
  n1:
    mode: vtep
    uplink: { segment: lan, ip: 192.0.2.1/24 }
    networks: { pods: { vni: 42, remotes: [192.0.2.2] } }
    endpoints: { red: { ip: [10.0.0.1/24, "fd00::1/64"] } }
  n2:
    mode: vtep
    uplink: { segment: lan, ip: 192.0.2.2/24 }
    networks: { pods: { vni: 42, remotes: [192.0.2.1] } }
    endpoints: { blue: { ip: [10.0.0.2/24, "fd00::2/64"], faults: { reorder: 10%, jitter: 1 ms } } }
checks:
  - ping: { from: red, to: blue, count: 20 }
  - udp: { from: red, to: blue, count: 20 }
  - http: { from: client, to: web }
  - tcp: { from: blue, to: red, bytes: 200 kB, timeout: 600 }
`
const ALL = 'loss: 2%, duplicate: 2%, corrupt: 2%, reorder: 5%, delay: 2 ms, jitter: 3 ms'

/** What passes each port while the checks are tried, as pcapng, and what came of them. */
async function captured(text: string): Promise<{ captures: Record<string, string>; results: string[] }> {
  await using world = memoryWorld(parseTopology(text, 'net.yaml'))
  const captures: Record<string, string> = {}
  const stop = await world.capture((label) => {
    captures[label] = ''
    return (chunk) => {
      captures[label] += Buffer.from(chunk).toString('latin1')
    }
  })
  const results = (await world.runChecks()).map(({ ok, text, detail }) => `${ok} ${text} ${detail}`)
  await stop()
  expect((await world.snapshot()).ledger.balanced).toBe(true)
  return { captures, results }
}

const frames = (capture: string): string[] =>
  Array.from(openCapture([Buffer.from(capture, 'latin1')], { file: 'x' }), ({ time, data }) => {
    return `${time} ${Buffer.from(data).toString('hex')}`
  })

describe('wires with faults', () => {
  it('do the same for the same seed, byte for byte in every capture, and something else for another', async () => {
    const [once, again, other] = [await captured(NET(5, ALL)), await captured(NET(5, ALL)), await captured(NET(6, ALL))]
    expect(Object.keys(once.captures)).toContain('lan/n1.uplink')
    expect(frames(once.captures['n1/uplink'] as string).length).toBeGreaterThan(300)
    expect(again).toEqual(once)
    for (const label of ['n1/red', 'n1/uplink', 'lan/n2.uplink', 'n2/blue']) {
      expect(other.captures[label]).not.toBe(once.captures[label])
    }
    // What does not go by bad wires, and does not answer what does, is not thrown dice for.
    expect(once.results.at(-2)).toMatch(/^true tcp blue -> red/)
  }, 60_000)

  it('throw dice for themselves: what one suffers is not changed by what else is in the topology', async () => {
    const pairs = (more: string): string => `
nodes:
  n:
    mode: switch
    endpoints:
      a: { ip: 10.0.0.1/24 }
      b: { ip: 10.0.0.2/24, faults: { loss: 20%, jitter: 2 ms } }
${more}
checks: [{ ping: { from: a, to: b, count: 50, timeout: 1 } }, { tcp: { from: a, to: b, bytes: 50 kB } }]
`
    const alone = await captured(pairs(''))
    const beside = await captured(pairs('      c: { faults: { loss: 50%, corrupt: 1 } }'))
    expect(alone.results[0]).toMatch(/^false ping a -> b .* \d\d of 50 answered/)
    for (const label of ['n/a', 'n/b']) expect(beside.captures[label]).toBe(alone.captures[label])
  })

  it('show in captures what is on them: the frame that was sent on one end, late and flipped on the other', async () => {
    const { captures } = await captured(NET(1, 'corrupt: 1, delay: 2 ms'))
    const parts = (label: string): [bigint, string][] =>
      frames(captures[label] as string).map((line) => [
        BigInt(line.split(' ')[0] as string),
        line.split(' ')[1] as string,
      ])
    const [[sentAt, sent]] = parts('n1/uplink') as [[bigint, string]]
    const [[cameAt, came]] = parts('n2/uplink') as [[bigint, string]]
    expect(cameAt - sentAt).toBe(2_000_000n)
    const differing = Array.from(
      Buffer.from(sent, 'hex'),
      (byte, i) => byte ^ (Buffer.from(came, 'hex')[i] as number),
    ).filter((x) => x !== 0)
    expect(differing).toHaveLength(1)
  })

  it('are crossed by TCP, whatever they lose, double, swap and flip', () => {
    const percent = fc.integer({ min: 0, max: 20 })
    const faults = fc.record({
      loss: percent,
      duplicate: percent,
      corrupt: percent,
      reorder: percent,
      jitter: fc.nat(3000),
    })
    fc.assert(
      fc.property(fc.nat(1000), faults, fc.integer({ min: 1, max: 100_000 }), (seed, f, bytes) => {
        const text = `
seed: ${seed}
nodes:
  sw:
    mode: switch
    endpoints:
      a: { ip: 10.0.0.1/24 }
      b: { ip: 10.0.0.2/24, faults: { loss: ${f.loss / 4}%, duplicate: ${f.duplicate}%, corrupt: ${f.corrupt / 4}%, reorder: ${f.reorder}%, jitter: ${f.jitter} us } }
checks: [{ tcp: { from: a, to: b, bytes: ${bytes}, timeout: 3600 } }]
`
        const world = buildInMemory(parseTopology(text, 'net.yaml'))
        const [result] = world.runChecks()
        // A flipped bit in an ARP answer, or five losses in a row, may end it; what arrives is never damaged.
        expect(result?.detail).toMatch(/bytes, all intact$|^connection: timeout$|^no answer in time$/)
        expect(world.pool.report().balanced).toBe(true)
      }),
      { numRuns: 40 },
    )
    const doubled = `
seed: 8
nodes: { sw: { mode: switch, endpoints: { a: { ip: 10.0.0.1/24 }, b: { ip: 10.0.0.2/24, faults: { loss: 0.25%, duplicate: 13%, corrupt: 0.25%, reorder: 1%, jitter: 1 us } } } } }
checks: [{ tcp: { from: a, to: b, bytes: 17521, timeout: 3600 } }]
`
    // The SYN comes a second time, behind the first of the data.
    expect(buildInMemory(parseTopology(doubled, 'net.yaml')).runChecks()[0]).toMatchObject({ ok: true })
    const lossy = `
nodes: { sw: { mode: switch, endpoints: { a: { ip: 10.0.0.1/24 }, b: { ip: 10.0.0.2/24, faults: { loss: 1%, reorder: 2% } } } } }
checks: [{ tcp: { from: a, to: b, bytes: 3 MB, timeout: 20 } }]
`
    expect(buildInMemory(parseTopology(lossy, 'net.yaml')).runChecks()[0]).toMatchObject({ ok: true })
  }, 60_000)
})

describe('replay of segments', () => {
  it('crosses them, and waits for what is still under way on their wires', () => {
    const topology = parseTopology(NET(3, 'delay: 20 ms, duplicate: 1'), 'net.yaml')
    // The web host asks who has 192.0.2.254.
    const web = topology.endpoints.find((e) => e.name === 'web')?.mac.replaceAll(':', '') as string
    const arp = `ffffffffffff${web}080600010800060400 01${web}c0000250000000000000c00002fe`.replace(' ', '')
    const header = '4d3cb2a1020004000000000000000000000004000100000001000000000000002a0000002a000000'
    const run = (): Record<string, string> => {
      const out: Record<string, string> = {}
      const report = replay(topology, {
        inputs: [{ port: 'lan/web', file: 'web.pcap', open: () => [Buffer.from(header + arp, 'hex')] }],
        output: (port) => {
          out[port] = ''
          return (chunk) => {
            out[port] += Buffer.from(chunk).toString('hex')
          }
        },
      })
      expect(report).toMatchObject({ settled: true, ledger: { balanced: true, held: 0 } })
      return out
    }
    const out = run()
    expect(run()).toEqual(out)
    // 20 ms to the router and 20 ms back; the question came twice, and each answer comes twice.
    const answers = Buffer.from(out['lan/web'] as string, 'hex')
    const list = Array.from(openCapture([answers], { file: 'x' }))
    expect(list.map(({ time }) => time)).toEqual(Array.from({ length: 4 }, () => 1_040_000_000n))
    expect(Buffer.from(list[0]?.data ?? []).toString('hex', 12, 22)).toBe('08060001080006040002')
    expect(out['n1/red']).toHaveLength(48)
  })
})

describe('a host in memory', () => {
  it('survives what comes: garbage, cut and changed packets', () => {
    const spec = {
      ...{ name: 'h', node: 'n', mac: parseMac('02:00:00:00:00:0b'), mtu: 1500 },
      addresses: [
        { family: 4, text: '10.0.0.2', bytes: Uint8Array.of(10, 0, 0, 2), prefix: 24 },
        {
          family: 6,
          text: 'fd00::2',
          bytes: Uint8Array.from({ length: 16 }, (_, i) => [0xfd][i] ?? (i === 15 ? 2 : 0)),
          prefix: 64,
        },
      ],
    } as const
    // What hosts say to each other, to be cut and changed.
    const seen: Uint8Array[] = []
    const world = buildInMemory(parseTopology(NET(1, 'loss: 0').replaceAll('02:00:00:00:00:0b', ''), 'net.yaml'))
    const host = world.host('blue')
    const receive = host.receive.bind(host)
    host.receive = (frame: Uint8Array) => {
      seen.push(frame)
      receive(frame)
    }
    world.runChecks()
    const clock = new VirtualClock()
    const sent: number[] = []
    const fuzzed = new MemoryHost(
      { ...spec, mac: world.topology.endpoints.find((e) => e.name === 'blue')?.mac as string },
      [],
      clock,
      (frame) => sent.push(frame.length),
    )
    fuzzed.serve(80, { url: '/', status: 200, body: 'x' })
    fc.assert(
      fc.property(
        fc.nat(seen.length - 1),
        fc.array(fc.tuple(fc.nat(120), fc.nat(255)), { maxLength: 4 }),
        fc.integer({ min: 0, max: 2000 }),
        (which, changes, length) => {
          const frame = Uint8Array.from((seen[which] as Uint8Array).subarray(0, length))
          for (const [at, value] of changes) if (at < frame.length) frame[at] = value
          fuzzed.receive(frame)
          clock.advance(SECOND / 100)
          fuzzed.tick()
        },
      ),
      { numRuns: 3000 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const frame = Uint8Array.from(bytes)
        frame.set(fuzzed.mac.subarray(0, frame.length))
        fuzzed.receive(frame)
      }),
      { numRuns: 1000 },
    )
    expect(Math.max(...sent)).toBeLessThanOrEqual(1514)
  })
})
