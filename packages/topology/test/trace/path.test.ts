import {
  buildInMemory,
  bytesAt,
  frameText,
  type MemoryWorld,
  outputs,
  parseTopology,
  type Trace,
  Tracer,
} from '@l2l3/topology/memory'
import { describe, expect, it } from 'vitest'
import { followFrames } from '../../src/trace/follower.ts'

const world = (text: string, open: string[] = []): MemoryWorld =>
  buildInMemory(parseTopology(text, 'net.yaml'), { open })
const bytes = (hex: string): Uint8Array => Buffer.from(hex, 'hex')
const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex')

/** Steps without what elements say: "[0] enter sw1/red". */
const way = (trace: Trace | null): string[] => {
  const steps = trace?.steps.filter((step) => step.kind !== 'note') ?? []
  return steps.map((s) => {
    const what = s.kind === 'drop' ? s.by : s.kind === 'copy' || s.kind === 'derive' ? `of ${s.from}` : s.where
    return `[${s.branch}] ${s.kind} ${what}`
  })
}
const left = (trace: Trace): string[] => outputs(trace).map((o) => `${o.label} ${hex(o.bytes)}`)

const THREE = `
nodes:
  sw1:
    mode: switch
    endpoints:
      red: { mac: 02:00:00:00:00:0a, ip: 10.0.0.1/24 }
      blue: { mac: 02:00:00:00:00:0b, ip: 10.0.0.2/24 }
      green: { mac: 02:00:00:00:00:0c }
checks: [ping: { from: red, to: blue }]
`

describe('the path of a frame', () => {
  it('through one switch: each copy of a flooded frame is a branch', () => {
    const w = world(THREE)
    const tracer = new Tracer(w.fabric)
    w.runChecks()
    const trace = tracer.stop()
    expect(way(trace)).toEqual([
      '[0] enter sw1/red',
      '[1] copy of 0',
      '[1] leave sw1/blue',
      '[2] copy of 0',
      '[2] leave sw1/green',
    ])
    expect(trace).toMatchObject({ number: 1, at: 'sw1/red', what: 'ARP: who has 10.0.0.2? tell 10.0.0.1', end: 'done' })
    expect(trace?.steps.find((step) => step.by === 'switch' && step.why.includes('flooded'))?.node).toBe('sw1')
  })

  it('ends on a bad wire, before the node has it and behind: the trace says which fault it was', () => {
    for (const [who, steps] of [
      ['red', ['[0] enter sw1/red', '[0] drop Fault']],
      ['blue', ['[0] enter sw1/red', '[1] copy of 0', '[1] drop Fault', '[2] copy of 0', '[2] leave sw1/green']],
    ] as const) {
      const w = world(THREE.replace(`${who}: { `, `${who}: { faults: { loss: 1 }, `))
      const tracer = new Tracer(w.fabric)
      w.runChecks()
      const trace = tracer.stop()
      expect(way(trace)).toEqual(steps)
      expect(trace).toMatchObject({ at: 'sw1/red', what: 'ARP: who has 10.0.0.2? tell 10.0.0.1', end: 'done' })
      const drop = trace?.steps.find(({ kind }) => kind === 'drop')
      expect(drop?.why).toBe('A fault that was asked for on this link: loss.')
      expect(w.pool.report()).toMatchObject({ balanced: true, held: 0 })
    }
  })

  it('over a trunk: the tag comes on, crosses the cable, and goes again', () => {
    const w = world(`
nodes:
  s1:
    mode: switch
    endpoints: { a: { mac: 02:00:00:00:00:0a, vlan: { access: 10 } }, b: { vlan: { access: 10 } } }
    uplink: { vlan: { trunk: [10] } }
  s2:
    mode: switch
    endpoints: { c: { vlan: { access: 10 } } }
    uplink: { vlan: { trunk: [10] } }
links: [[s1/uplink, s2/uplink]]
`)
    const tracer = new Tracer(w.fabric)
    const frame = `ffffffffffff02000000000a88b5${'00'.repeat(4)}`
    w.port('s1/a').inject(bytes(frame))
    w.settle()
    const trace = tracer.stop() as Trace
    expect(way(trace)).toEqual([
      '[0] enter s1/a',
      // Who puts the tag on needs a row of its own, and has it copied; the row itself goes to b.
      '[1] copy of 0',
      '[0] leave s1/b',
      '[1] leave s1/uplink',
      '[1] enter s2/uplink',
      '[1] leave s2/c',
    ])
    expect(left(trace)).toEqual([`s1/b ${frame}`, `s2/c ${frame}`])
    const crossing = trace.steps.findIndex((step) => step.where === 's2/uplink')
    expect(hex(bytesAt(trace, crossing)).slice(24)).toBe('8100000a88b500000000')
    const tag = trace.steps.find((step) => step.diff.some((splice) => splice.insert === '8100000a'))
    expect(tag).toMatchObject({ kind: 'note', branch: 1 })
    expect(tag?.fields.find((f) => f.name === 'vlan.id')).toMatchObject({ before: null, after: '10' })
  })

  it('ends where it is dropped, with the reason, and waits for the frame that fits', () => {
    const w = world('nodes: { s: { mode: switch, endpoints: { a: {} } } }')
    const tracer = new Tracer(w.fabric, (b) => b[13] === 2)
    for (const type of ['01', '02', '03']) {
      w.port('s/a').inject(bytes(`ffffffffffff02000000000a88${type}`))
      w.settle()
    }
    expect(tracer.found).toBe(true)
    const trace = tracer.stop()
    expect(trace?.input).toBe('ffffffffffff02000000000a8802')
    expect(way(trace)).toEqual(['[0] enter s/a', '[0] drop NoDestination'])
    expect(trace?.steps.at(-1)?.why).toMatch(/^No port may take the frame/)
  })

  it('is none where no frame fits, and nothing is left listening', () => {
    const w = world(THREE)
    const tracer = new Tracer(w.fabric, () => false)
    expect(w.pool.trace).not.toBe(null)
    w.runChecks()
    expect([tracer.found, tracer.stop(), tracer.stop()]).toEqual([false, null, null])
    expect([w.pool.trace, w.pool.observer, w.loop.observer]).toEqual([null, null, null])
  })

  it('tells what others listen for as well', () => {
    const w = world(THREE)
    const heard: string[] = []
    w.pool.observer = { dropped: () => heard.push('dropped'), copied: () => heard.push('copied') }
    w.loop.observer = { received: () => heard.push('received'), delivering: () => heard.push('delivering') }
    const [poolObserver, loopObserver] = [w.pool.observer, w.loop.observer]
    const tracer = new Tracer(w.fabric)
    w.runChecks()
    tracer.stop()
    expect(new Set(heard)).toEqual(new Set(['received', 'delivering']))
    expect([w.pool.observer, w.loop.observer]).toEqual([poolObserver, loopObserver])
  })
})

const L3 = `
nodes:
  n:
    mode: l3
    endpoints:
      a: { mac: 02:00:00:00:00:0a, ip: 10.244.1.5/32 }
      b: { mac: 02:00:00:00:00:0b, ip: 10.244.1.9/32 }
    uplink: { ip: 192.0.2.1/24 }
    routes: [{ to: 0.0.0.0/0, via: 192.0.2.2 }]
    proxyArp: { requireRoute: false }
checks: [ping: { from: a, to: b, count: 1 }]
`

describe('what becomes of a frame', () => {
  it('is its answer too, and no other frame that has its row later', () => {
    const w = world(L3)
    const tracer = new Tracer(w.fabric)
    // The node asks who has b once it has answered a.
    expect(w.runChecks().map((r) => r.ok)).toEqual([true])
    expect(way(tracer.stop())).toEqual(['[0] enter n/a', '[1] derive of 0', '[0] drop Consumed', '[1] leave n/a'])
  })

  it('is what waits for a neighbour until there is an answer, and the question', () => {
    const w = world(L3)
    const tracer = new Tracer(w.fabric, (b) => frameText(b).includes('echo request'))
    w.runChecks()
    const trace = tracer.stop() as Trace
    expect(way(trace)).toEqual(['[0] enter n/a', '[1] derive of 0', '[1] leave n/b', '[0] leave n/b'])
    expect(frameText(bytesAt(trace, trace.steps.length - 1))).toContain('echo request')
    expect(outputs(trace).map((o) => [o.branch, frameText(o.bytes)])).toEqual([
      [1, 'ARP: who has 10.244.1.9? tell 169.254.1.1'],
      [0, 'IPv4 10.244.1.5 -> 10.244.1.9, ICMP echo request'],
    ])
  })

  it('is held where it waits when nobody listens any more, and dropped when nobody answers', () => {
    const silent = world(L3, ['n/uplink'])
    const some = new Tracer(silent.fabric, (b) => frameText(b).includes('echo request'))
    silent.host('a').ping(Uint8Array.of(192, 0, 2, 77), 1, 8, 1e9)
    silent.settle()
    expect(some.stop()).toMatchObject({ end: 'held' })
    const later = world(L3, ['n/uplink'])
    const all = new Tracer(later.fabric, (b) => frameText(b).includes('echo request'))
    later.host('a').ping(Uint8Array.of(192, 0, 2, 77), 1, 8, 10e9)
    later.advance(6e9)
    const trace = all.stop() as Trace
    expect(trace.end).toBe('done')
    expect(way(trace).some((step) => /^\[0\] drop \w+/.test(step))).toBe(true)
    // The questions, the one or three of them, and the ICMP error.
    const made = outputs(trace).map((o) => `${o.label} ${frameText(o.bytes)}`)
    expect(made.filter((text) => text.startsWith('n/uplink ARP: who has 192.0.2.77?')).length).toBeGreaterThan(0)
    expect(made.at(-1)).toMatch(/^n\/a IPv4 192\.0\.2\.1 -> 10\.244\.1\.5, ICMP type 3/)
  })

  it('are its fragments, each a branch', () => {
    const w = world(
      `
nodes:
  r:
    mode: router
    endpoints:
      a: { ip: 10.0.1.2/24, gateway: 10.0.1.1/24 }
      b: { ip: 10.0.2.2/24, gateway: { ip: 10.0.2.1/24, mtu: 600 } }
`.replace('{ ip: 10.0.2.1/24, mtu: 600 }', '10.0.2.1/24, mtu: 600'),
    )
    w.host('a').ping(Uint8Array.of(10, 0, 2, 2), 1, 8, 1e9)
    w.settle()
    const sent = w.hosts.get('a')?.mac as Uint8Array
    const gateway = w.hosts.get('a')?.neighbours.get(Uint8Array.of(10, 0, 1, 1)) as string
    const head = `${gateway.replaceAll(':', '')}${hex(sent)}0800`
    // 1,200 bytes of payload, which may be cut; a header checksum of what follows.
    const ip = Buffer.from('450004c4000100004011 0000 0a000102 0a000202'.replaceAll(' ', ''), 'hex')
    let sum = 0
    for (let i = 0; i < 20; i += 2) sum += ip.readUInt16BE(i)
    ip.writeUInt16BE(0xffff - ((sum & 0xffff) + (sum >>> 16)), 10)
    const tracer = new Tracer(w.fabric)
    w.port('r/a').inject(Buffer.concat([bytes(head), ip, Buffer.alloc(1200, 7)]))
    w.settle()
    const trace = tracer.stop() as Trace
    const ends = outputs(trace)
    expect(ends.map((o) => o.label)).toEqual(['r/b', 'r/b', 'r/b'])
    expect(ends.every((o) => o.bytes.length <= 614)).toBe(true)
    expect(trace.end).toBe('done')
    expect(trace.steps.filter((step) => step.kind === 'copy').every((step) => step.why !== '')).toBe(true)
  })

  it('is cut where a flood goes round and round', () => {
    const w = world(`
nodes:
  s1: { mode: switch, endpoints: { a: {} }, ports: { p: {}, q: {} } }
  s2: { mode: switch, ports: { p: {}, q: {} } }
links: [[s1/p, s2/p], [s1/q, s2/q]]
`)
    const tracer = new Tracer(w.fabric)
    w.port('s1/a').inject(bytes('ffffffffffff02000000000a88b5'))
    w.settle(300)
    const trace = tracer.stop()
    expect(trace?.end).toBe('cut')
    expect(trace?.steps.length).toBe(512)
    w.loop.abandon()
  })

  it('is a drop, not a leave, where a port cannot take it', () => {
    const w = world('nodes: { s: { mode: switch, endpoints: { a: {} }, ports: { p: {} } } }', ['s/p'])
    const port = w.port('s/p')
    const tracer = new Tracer(w.fabric)
    port.close()
    w.port('s/a').inject(bytes('ffffffffffff02000000000a88b5'))
    w.settle()
    expect(way(tracer.stop())).toEqual(['[0] enter s/a', '[0] drop PortClosed'])
  })
})

describe('several who listen', () => {
  it('each get the frames that they want, and what there is of them when they go', () => {
    const w = world(THREE)
    const got: string[] = []
    const one = followFrames(w.fabric, {
      wants: (b) => frameText(b).includes('who has'),
      done: (trace) => got.push(`one ${trace.number} ${trace.what}, ${trace.end}`),
    })
    const two = followFrames(w.fabric, {
      wants: (_, label) => label === 'sw1/red',
      done: (trace) => got.push(`two ${trace.number} ${trace.what}, ${trace.end}`),
    })
    w.host('red').ping(Uint8Array.of(10, 0, 0, 2), 1, 8, 1e9)
    w.loop.turn()
    one.stop()
    expect(w.pool.trace).not.toBe(null)
    w.settle()
    expect(got).toEqual([
      'one 1 ARP: who has 10.0.0.2? tell 10.0.0.1, done',
      'two 1 ARP: who has 10.0.0.2? tell 10.0.0.1, done',
      'two 2 IPv4 10.0.0.1 -> 10.0.0.2, ICMP echo request, done',
    ])
    two.stop()
    expect(w.pool.trace).toBe(null)
    expect(w.pool.report().balanced).toBe(true)
  })

  it('may go while a frame waits, which the others follow on', () => {
    const w = world(L3)
    const ends: string[] = []
    const wants = (b: Uint8Array): boolean => frameText(b).includes('echo request')
    const one = followFrames(w.fabric, { wants, done: (trace) => ends.push(`one ${trace.end}`) })
    const two = followFrames(w.fabric, { wants, done: (trace) => ends.push(`two ${trace.end}`) })
    w.host('a').ping(Uint8Array.of(10, 244, 1, 9), 1, 8, 1e9)
    // Until the frame waits for b's answer.
    for (let i = 0; i < 20 && w.hosts.get('b')?.neighbours.list().length === 0; i++) w.step()
    one.stop()
    w.settle()
    two.stop()
    expect(ends).toEqual(['one held', 'two done'])
  })
})

describe('a frame in words', () => {
  it('for any bytes', () => {
    const ip4 = '4500001c000000004001000' + '00a0000010a000002'
    const text = (body: string): string => frameText(bytes(`ffffffffffff02000000000a${body}`))
    expect(text(`0800${ip4}0800f7ff00000000`)).toBe('IPv4 10.0.0.1 -> 10.0.0.2, ICMP echo request')
    expect(text('08060001080006040002 02000000000b0a000002 02000000000a0a000001'.replaceAll(' ', ''))).toBe(
      'ARP: 10.0.0.2 is at 02:00:00:00:00:0b',
    )
    expect(text('8100')).toBe('type 0x8100')
    expect(text('0800')).toBe('type 0x0800')
    expect(frameText(new Uint8Array(3))).toBe('3 bytes, too short for an Ethernet header')
  })
})
