import { buildInMemory, frameText, parseTopology, Tracer, traceText } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'

const world = (text: string): ReturnType<typeof buildInMemory> => buildInMemory(parseTopology(text, 'net.yaml'))

describe('the path of a frame', () => {
  it('through one switch: entered, decided, linked, left, with its bytes', () => {
    const w = world(`
nodes:
  sw1:
    mode: switch
    endpoints:
      red: { mac: 02:00:00:00:00:0a, ip: 10.0.0.1/24 }
      blue: { mac: 02:00:00:00:00:0b, ip: 10.0.0.2/24 }
      green: { mac: 02:00:00:00:00:0c }
checks: [ping: { from: red, to: blue }]
`)
    const tracer = new Tracer(w.fabric)
    w.runChecks()
    tracer.stop()
    expect(tracer.steps.map((s) => `${s.kind} ${s.at}`)).toEqual([
      'entered sw1/red',
      'link sw1/blue',
      'left sw1/blue',
      'link sw1/green',
      'left sw1/green',
    ])
    expect(traceText(tracer.steps)).toEqual([
      '  entered at sw1/red: ARP: who has 10.0.0.2? tell 10.0.0.1',
      '      0000  ff ff ff ff ff ff 02 00  00 00 00 0a 08 06 00 01',
      '      0010  08 00 06 04 00 01 02 00  00 00 00 0a 0a 00 00 01',
      '      0020  00 00 00 00 00 00 0a 00  00 02',
      '  sw1 decides: flooded to sw1/blue, sw1/green',
      '  link to sw1/blue',
      '      bytes unchanged (42)',
      '  left at sw1/blue',
      '      bytes unchanged (42)',
      '  link to sw1/green',
      '      bytes unchanged (42)',
      '  left at sw1/green',
      '      bytes unchanged (42)',
    ])
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
    w.port('s1/a').inject(Buffer.from(`ffffffffffff02000000000a88b5${'00'.repeat(4)}`, 'hex'))
    w.settle()
    const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex').slice(24)
    expect(tracer.steps.filter((s) => s.kind !== 'link').map((s) => [s.kind, s.at, hex(s.bytes)])).toEqual([
      ['entered', 's1/a', '88b500000000'],
      ['copied', 'branch 1', '88b500000000'],
      ['left', 's1/b', '88b500000000'],
      ['left', 's1/uplink', '8100000a88b500000000'],
      ['entered', 's2/uplink', '8100000a88b500000000'],
      ['left', 's2/c', '88b500000000'],
    ])
    const text = traceText(tracer.steps)
    expect(text).toContain('  entered at s2/uplink (copy 1): VLAN 10, type 0x88b5')
    expect(text).toContain('  s2 decides: out by s2/c')
  })

  it('ends where it is dropped, with the reason, and waits for the frame that fits', () => {
    const w = world('nodes: { s: { mode: switch, endpoints: { a: {} } } }')
    const tracer = new Tracer(w.fabric, (bytes) => bytes[13] === 2)
    for (const type of ['01', '02', '03']) {
      w.port('s/a').inject(Buffer.from(`ffffffffffff02000000000a88${type}`, 'hex'))
      w.settle()
    }
    expect(tracer.found).toBe(true)
    expect(traceText(tracer.steps)).toEqual([
      '  entered at s/a: type 0x8802',
      '      0000  ff ff ff ff ff ff 02 00  00 00 00 0a 88 02',
      expect.stringMatching(/^ {2}s decides: dropped, NoDestination: No port may take the frame/),
      expect.stringMatching(/^ {2}dropped: NoDestination: No port may take the frame/),
    ])
  })
})

describe('a frame that ends at a node', () => {
  it('is followed no further, though its row is filled anew for what the node says itself', () => {
    const w = world(`
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
`)
    const tracer = new Tracer(w.fabric)
    // The node asks who has b once it has answered a.
    expect(w.runChecks().map((r) => r.ok)).toEqual([true])
    expect(tracer.steps.map((s) => s.kind)).toEqual(['entered', 'dropped'])
    expect(tracer.steps[1]?.at).toMatch(/^Consumed: /)
  })
})

describe('a frame in words', () => {
  it('for any bytes', () => {
    const ip4 = '4500001c000000004001000' + '00a0000010a000002'
    const text = (hex: string): string => frameText(Buffer.from(`ffffffffffff02000000000a${hex}`, 'hex'))
    expect(text(`0800${ip4}0800f7ff00000000`)).toBe('IPv4 10.0.0.1 -> 10.0.0.2, ICMP echo request')
    expect(text('08060001080006040002 02000000000b0a000002 02000000000a0a000001'.replaceAll(' ', ''))).toBe(
      'ARP: 10.0.0.2 is at 02:00:00:00:00:0b',
    )
    expect(text('8100')).toBe('type 0x8100')
    expect(text('0800')).toBe('type 0x0800')
    expect(frameText(new Uint8Array(3))).toBe('3 bytes, too short for an Ethernet header')
  })
})
