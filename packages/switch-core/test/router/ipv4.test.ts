// An IPv4 router, packet by packet: bytes in, bytes out.
import { describe, expect, it } from 'vitest'
import { ALICE, ALL, BOB, ETH0, ETH1, flat, hex, icmp4, Lab, packet4 } from './lab.ts'

const one = (out: Record<number, string[]>, i: number): string => {
  expect([Object.keys(out), out[i]?.length]).toEqual([[String(i)], 1])
  return out[i]?.[0] as string
}

describe('forwarding', () => {
  it('takes one off the TTL, moves the checksum along and puts MACs on', () => {
    const lab = new Lab()
    // A UDP datagram, TTL 64, header checksum 0x5396; behind it 2 bytes of Ethernet padding, which go.
    const sent = `0200000000a0 02000000000a 0800 | 4500 0020 1234 0000 4011 5396 0a000002 0a000102
                  1388 0007 000c 0000 c0ffee00 | 0000`
    expect(lab.send(0, sent)).toEqual({
      1: [
        flat(`02000000000b 0200000000b0 0800 | 4500 0020 1234 0000 3f11 5496 0a000002 0a000102
              1388 0007 000c 0000 c0ffee00`),
      ],
    })
    expect(lab.eth(0).counters).toMatchObject({ rxFrames: 1, rxBytes: 48, rxDropped: 0, txFrames: 0 })
    expect(lab.eth(1).counters).toMatchObject({ txFrames: 1, txBytes: 46, rxFrames: 0 })
  })

  it('moves the checksum around the corner: fe.. + 0x100 (RFC 1624, 3)', () => {
    const lab = new Lab()
    // Identifications such that the checksum is just below and just above a carry of its upper byte.
    for (let id = 0; id < 0x10000; id += 0xff) {
      const out = one(lab.send(0, packet4({ id })), 1)
      expect(out).toBe(packet4({ id, ttl: 63, to: BOB, from: ETH1 }))
    }
  })

  it('leaves the TTL of what comes in by an interface without `decrementTtl`, down to 1', () => {
    const lab = new Lab({}, [{ decrementTtl: false }])
    for (const ttl of [64, 1]) {
      expect(one(lab.send(0, packet4({ ttl })), 1)).toBe(packet4({ ttl, to: BOB, from: ETH1 }))
    }
  })

  it('goes by a gateway, onto the link, and back out of the interface it came from', () => {
    const lab = new Lab()
    lab.router.addRoute({ to: '192.0.2.0/24', via: '10.0.1.2' })
    lab.router.addRoute({ to: '198.51.100.0/24', via: '10.0.0.2' })
    expect(one(lab.send(0, packet4({ dst: '192.0.2.9' })), 1).slice(0, 24)).toBe(BOB + ETH1)
    expect(one(lab.send(0, packet4({ dst: '198.51.100.9' })), 0).slice(0, 24)).toBe(ALICE + ETH0)
  })

  it('leaves other hosts alone, and what is not IP', () => {
    const lab = new Lab()
    expect(lab.send(0, packet4({ to: BOB }), packet4().replace('0800', '88b5'))).toEqual({})
    expect(lab.drops).toEqual({ OtherHost: 1, NotIp: 1 })
  })

  it('does not write to a frame that others hold', () => {
    const lab = new Lab()
    const f = lab.pool.from(hex(packet4())) as never
    lab.pool.ledger.receive(1)
    lab.pool.share(f, 1)
    const batch = { frames: Uint32Array.of(f), length: 1, capacity: 1 }
    lab.eth(0).process(batch as never)
    expect(lab.collect(1)[1]).toHaveLength(1)
    expect(Buffer.from(lab.pool.view(f)).toString('hex')).toBe(packet4())
    lab.pool.drop(f, 0)
  })

  it('keeps a missing checksum missing', () => {
    const lab = new Lab()
    const f = lab.pool.from(hex(packet4())) as never as number
    lab.pool.flags[f] = 1
    lab.pool.csumStart[f] = 34
    lab.pool.csumOffset[f] = 6
    const seen: number[][] = []
    const eth1 = lab.router.addInterface({
      name: 'tap',
      mac: '02:00:00:00:00:c0',
      addresses: ['10.0.2.1/24'],
      out: lab.loop.link({
        process(batch) {
          for (const g of batch.frames.subarray(0, batch.length)) {
            seen.push([lab.pool.flags[g]!, lab.pool.csumStart[g]!, lab.pool.csumOffset[g]!])
          }
        },
      }),
      neighbours: { resolve4: () => true, resolve6: () => true },
    })
    lab.router.addRoute({ to: '10.0.1.2/32', dev: eth1 })
    lab.ports[0]?.injectFrame(f as never)
    lab.loop.settle()
    expect(seen).toEqual([[1, 34, 6]])
    expect(lab.drops).toEqual({ Unclaimed: 1 })
  })
})

describe('a header that is none', () => {
  it.each([
    ['version 6', '0e', '65'],
    ['IHL 4', '0e', '44'],
    ['IHL beyond the packet', '0e', '49'],
    ['a total length beyond the frame', '11', '21'],
    ['a total length that does not hold the header', '11', '13'],
  ])('%s: Malformed', (_, at, byte) => {
    const lab = new Lab()
    const frame = hex(packet4())
    frame[Number.parseInt(at, 16)] = Number.parseInt(byte, 16)
    expect(lab.send(0, frame, frame.subarray(0, 33))).toEqual({})
    expect(lab.drops).toEqual({ Malformed: 2 })
  })

  it('a wrong checksum (RFC 1812, 5.2.2)', () => {
    const lab = new Lab()
    const frame = hex(packet4())
    frame[24]! ^= 1
    expect(lab.send(0, frame)).toEqual({})
    expect(lab.drops).toEqual({ BadChecksum: 1 })
  })

  it('less than Ethernet: Runt', () => {
    const lab = new Lab()
    expect(lab.send(0, packet4().slice(0, 26))).toEqual({})
    expect(lab.drops).toEqual({ Runt: 1 })
  })
})

describe('martians (RFC 1812, 5.3.7)', () => {
  it.each(['0.0.0.0', '0.1.2.3', '127.0.0.1', '224.0.0.1', '239.1.2.3', '240.0.0.1', '255.255.255.255'])(
    'nothing comes from %s',
    (src) => {
      const lab = new Lab()
      expect(lab.send(0, packet4({ src }))).toEqual({})
      expect(lab.drops).toEqual({ MartianSource: 1 })
    },
  )
  it.each(['10.0.0.1', '10.0.1.1', '10.0.0.255', '10.0.1.255'])('nothing comes from %s, which is ours', (src) => {
    const lab = new Lab()
    expect(lab.send(0, packet4({ src }))).toEqual({})
    expect(lab.drops).toEqual({ MartianSource: 1 })
  })
  it.each(['0.0.0.0', '127.0.0.1', '240.0.0.1', '255.255.255.254'])('nothing goes to %s', (dst) => {
    const lab = new Lab()
    lab.router.addRoute({ to: '0.0.0.0/0', via: '10.0.1.2' })
    expect(lab.send(0, packet4({ dst }))).toEqual({})
    expect(lab.drops).toEqual({ MartianDestination: 1 })
  })
  it('with `reserved4` hosts have addresses of 240.0.0.0/4, as in Linux; nobody has that of all', () => {
    const lab = new Lab({ reserved4: true })
    lab.router.addRoute({ to: '250.0.0.0/8', via: '10.0.1.2' })
    const fan = { src: '250.3.4.2', dst: '250.3.5.15' }
    expect(one(lab.send(0, packet4({ ttl: 9, ...fan })), 1)).toBe(packet4({ ttl: 8, to: BOB, from: ETH1, ...fan }))
    expect(lab.send(0, packet4({ src: '255.255.255.255' }))).toEqual({})
    expect(lab.drops).toEqual({ MartianSource: 1 })
    const late = one(lab.send(0, packet4({ ttl: 1, dst: fan.dst })), 0)
    expect(late.slice(2 * 34, 2 * 36)).toBe('0b00')
    const own = lab.router.interfaces[0]
    if (own === undefined) throw new Error('there is no interface')
    lab.router.addAddress(own, '240.1.0.1/24')
    expect(() => lab.router.addAddress(own, '255.255.255.255/32')).toThrow('cannot have the address')
    expect(() => new Lab({}, [{ addresses: ['240.1.0.1/24'] }])).toThrow('cannot have the address 240.1.0.1/24')
  })
  it('groups and broadcasts are not routed on', () => {
    const lab = new Lab()
    lab.router.addRoute({ to: '0.0.0.0/0', via: '10.0.1.2' })
    const multicast = packet4({ to: '01005e000001', dst: '224.0.0.1' })
    const limited = packet4({ to: ALL, src: '0.0.0.0', dst: '255.255.255.255' })
    const own = packet4({ to: ALL, dst: '10.0.0.255' })
    expect(lab.send(0, multicast, limited, own)).toEqual({})
    expect(lab.drops).toEqual({ GroupDestination: 3 })
  })
  it('nor is a packet for one host in a frame for all (RFC 1812, 5.3.4)', () => {
    const lab = new Lab()
    expect(lab.send(0, packet4({ to: ALL }))).toEqual({})
    expect(lab.drops).toEqual({ LinkBroadcast: 1 })
  })
})

describe('directed broadcast (RFC 2644)', () => {
  it('is off', () => {
    const lab = new Lab()
    expect(lab.send(0, packet4({ dst: '10.0.1.255' }))).toEqual({})
    expect(lab.drops).toEqual({ DirectedBroadcast: 1 })
  })
  it('where it is on, goes out to all', () => {
    const lab = new Lab({}, [{}, { directedBroadcast: true }])
    expect(lab.send(0, packet4({ dst: '10.0.1.255' }))).toEqual({
      1: [packet4({ dst: '10.0.1.255', ttl: 63, to: ALL, from: ETH1 })],
    })
  })
  it('where it is on and does not fit, goes out to all in fragments', () => {
    const lab = new Lab({}, [{}, { directedBroadcast: true, mtu: 68 }])
    const out = lab.send(0, packet4({ dst: '10.0.1.255', payload: '00'.repeat(60) }))[1] as string[]
    expect(out.map((f) => f.slice(0, 12))).toEqual([ALL, ALL])
  })
})

describe('reverse-path filter (RFC 3704)', () => {
  const from = (src: string): string => packet4({ src, dst: '10.0.1.2' })
  it('off: comes from anywhere', () => {
    const lab = new Lab()
    expect(lab.send(0, from('10.0.1.9'), from('192.0.2.1'))[1]).toHaveLength(2)
  })
  it('strict: the way back is the way it came', () => {
    const lab = new Lab({}, [{ reversePathFilter: 'strict' }])
    lab.router.addRoute({ to: '203.0.113.0/24', via: '10.0.0.2' })
    expect(lab.send(0, from('10.0.0.9'), from('203.0.113.5'))[1]).toHaveLength(2)
    expect(lab.send(0, from('10.0.1.9'), from('192.0.2.1'))).toEqual({})
    expect(lab.drops).toEqual({ ReversePath: 2 })
  })
  it('loose: there is a way back', () => {
    const lab = new Lab({}, [{ reversePathFilter: 'loose' }])
    lab.router.addRoute({ to: '198.51.100.0/24', type: 'blackhole' })
    expect(lab.send(0, from('10.0.1.9'))[1]).toHaveLength(1)
    expect(lab.send(0, from('192.0.2.1'), from('198.51.100.1'))).toEqual({})
    expect(lab.drops).toEqual({ ReversePath: 2 })
  })
  it('strict: any of several next hops', () => {
    const lab = new Lab({}, [{ reversePathFilter: 'strict' }])
    lab.router.addRoute({ to: '203.0.113.0/24', hops: [{ via: '10.0.1.2' }, { via: '10.0.0.2' }] })
    expect(lab.send(0, from('203.0.113.5'))[1]).toHaveLength(1)
  })
})

describe('echo', () => {
  const ask = (data: string, p = {}): string =>
    packet4({ dst: '10.0.0.1', protocol: 1, payload: icmp4(8, 0, 0x00070001, data), ...p })

  it('to an address of ours is answered, with TTL 64 and the same TOS', () => {
    const lab = new Lab()
    expect(lab.send(0, ask('c0ffee', { ttl: 1, tos: 0x28 }))).toEqual({
      0: [
        packet4({
          to: ALICE,
          from: ETH0,
          src: '10.0.0.1',
          dst: '10.0.0.2',
          id: 1,
          tos: 0x28,
          protocol: 1,
          payload: icmp4(0, 0, 0x00070001, 'c0ffee'),
        }),
      ],
    })
  })
  it('to the address of another interface as well, and by that', () => {
    const lab = new Lab()
    const out = one(lab.send(0, ask('', { dst: '10.0.1.1' })), 0)
    expect(out).toBe(
      packet4({
        to: ALICE,
        from: ETH0,
        src: '10.0.1.1',
        dst: '10.0.0.2',
        id: 1,
        protocol: 1,
        payload: icmp4(0, 0, 0x00070001),
      }),
    )
  })
  it('with a wrong checksum is not', () => {
    const lab = new Lab()
    const frame = hex(ask('c0ffee'))
    frame[frame.length - 1]! ^= 1
    expect(lab.send(0, frame)).toEqual({})
    expect(lab.drops).toEqual({ BadChecksum: 1 })
  })
  it('to all is not (RFC 1122, 3.2.2.6: may be discarded)', () => {
    const lab = new Lab()
    expect(lab.send(0, ask('', { to: ALL, dst: '10.0.0.255' }))).toEqual({})
  })
  it('switched off, goes to the local link', () => {
    const lab = new Lab({ echo: false })
    expect(lab.send(0, ask(''))).toEqual({})
    expect(lab.drops).toEqual({ NoListener: 1 })
  })
  it('is answered in fragments where the way back is narrow', () => {
    const lab = new Lab({}, [{ mtu: 100 }])
    const out = lab.send(0, ask('ab'.repeat(200)))[0] as string[]
    expect(out.map((f) => hex(f).length - 14)).toEqual([100, 100, 68])
  })
})

describe('packets for the router itself', () => {
  const udp = packet4({ dst: '10.0.0.1' })
  it('are offered to onLocal first', () => {
    const seen: string[] = []
    const lab = new Lab({
      onLocal: (f, iface) => {
        seen.push(iface.name)
        lab.pool.drop(f, 0)
        return true
      },
    })
    expect(lab.send(0, udp, packet4({ dst: '10.0.1.255', to: ETH1 }))).toEqual({})
    expect([seen, lab.eth(0).counters.delivered]).toEqual([['eth0'], 1])
  })
  it('then go to the local link', () => {
    const lab = new Lab()
    let n = 0
    lab.router.local = lab.loop.link({ process: (batch) => (n += batch.length) })
    lab.send(0, udp, packet4({ to: ALL, dst: '255.255.255.255', src: '0.0.0.0' }))
    expect([n, lab.drops]).toEqual([2, { Unclaimed: 2 }])
  })
  it('TCP and fragments that nobody takes end in silence', () => {
    const lab = new Lab()
    expect(lab.send(0, packet4({ dst: '10.0.0.1', protocol: 6 }), packet4({ dst: '10.0.0.1', flags: 0x2000 }))).toEqual(
      {},
    )
    expect(lab.drops).toEqual({ NoListener: 1, Fragment: 1 })
  })
})

describe('options (RFC 791, 3.1; RFC 1812, 5.3.13)', () => {
  it('record route: our address towards the next hop, and the pointer moves', () => {
    const lab = new Lab()
    const out = one(lab.send(0, packet4({ options: '07 0b 04 00000000 00000000 00' })), 1)
    expect(out).toBe(packet4({ options: '07 0b 08 0a000101 00000000 00', ttl: 63, to: BOB, from: ETH1 }))
  })
  it('record route without room passes as it is', () => {
    const lab = new Lab()
    const options = '07 07 08 0a090909 00'
    expect(one(lab.send(0, packet4({ options })), 1)).toBe(packet4({ options, ttl: 63, to: BOB, from: ETH1 }))
  })
  it('timestamp: milliseconds since midnight, with the address if asked; full: overflow counted', () => {
    const lab = new Lab()
    lab.clock.advance(5_000_000_000)
    const pass = (options: string): string => {
      const out = one(lab.send(0, packet4({ options })), 1)
      return out.slice(68, 68 + flat(options).length)
    }
    expect(pass('44 08 05 00 00000000')).toBe(flat('44 08 09 00 00001388'))
    expect(pass('44 0c 05 01 00000000 00000000')).toBe(flat('44 0c 0d 01 0a000101 00001388'))
    expect(pass('44 0c 05 03 0a000101 00000000')).toBe(flat('44 0c 0d 03 0a000101 00001388'))
    // Any address of ours is meant, the near one too; nobody else's, and no broadcast address.
    expect(pass('44 0c 05 03 0a000001 00000000')).toBe(flat('44 0c 0d 03 0a000001 00001388'))
    expect(pass('44 0c 05 03 0a090909 00000000')).toBe(flat('44 0c 05 03 0a090909 00000000'))
    expect(pass('44 0c 05 03 0a0000ff 00000000')).toBe(flat('44 0c 05 03 0a0000ff 00000000'))
    expect(pass('44 08 09 20 00000000')).toBe(flat('44 08 09 30 00000000'))
  })
  it.each(['83 07 04 0a000102 00', '89 07 04 0a000102 00'])('a source route is not followed: %s', (options) => {
    const lab = new Lab()
    expect(lab.send(0, packet4({ options }))).toEqual({})
    expect(lab.drops).toEqual({ SourceRoute: 1 })
  })
})

describe('fragments (RFC 791, 3.2)', () => {
  const payload = Array.from({ length: 60 }, (_, i) => i.toString(16).padStart(2, '0')).join('')
  it('are multiples of 8, and every one but the last says that more follow', () => {
    const lab = new Lab({}, [{}, { mtu: 68 }])
    const piece = (offset: number, n: number, more: boolean): string =>
      packet4({
        to: BOB,
        from: ETH1,
        ttl: 63,
        offset,
        flags: more ? 0x2000 : 0,
        payload: payload.slice(2 * offset, 2 * (offset + n)),
      })
    // 68 - 20 = 48 bytes of payload fit.
    expect(lab.send(0, packet4({ payload }))).toEqual({ 1: [piece(0, 48, true), piece(48, 12, false)] })
    expect(lab.pool.report()).toMatchObject({ received: 1, copied: 1, sent: 2 })
  })
  it('of a fragment add to its offset, and the last keeps its flag', () => {
    const lab = new Lab({}, [{}, { mtu: 68 }])
    const piece = (offset: number, data: string): string =>
      packet4({ to: BOB, from: ETH1, ttl: 63, offset, flags: 0x2000, payload: data })
    const whole = payload.slice(0, 112)
    expect(lab.send(0, packet4({ payload: whole, offset: 800, flags: 0x2000 }))).toEqual({
      1: [piece(800, whole.slice(0, 96)), piece(848, whole.slice(96))],
    })
  })
  it('after the first have no options that are not to be copied', () => {
    const lab = new Lab({}, [{}, { mtu: 68 }])
    // Stream identifier (136, copied), an experiment (30, not copied), end.
    const out = lab.send(0, packet4({ payload, options: '88 04 abcd | 1e 03 77 | 00' }))[1] as string[]
    const options = out.map((f) => f.slice(68, 84))
    expect(options).toEqual([flat('8804abcd 1e0377 00'), flat('8804abcd 010101 00')])
  })
  it('need rows: where the pool has none the packet goes as a whole', () => {
    const lab = new Lab({}, [{}, { mtu: 68 }], { frames: 3 })
    expect(lab.send(0, packet4({ payload: '00'.repeat(400) }))).toEqual({})
    expect(lab.drops).toEqual({ PoolSpent: 1 })
  })
  it('past the end of what a packet can be are not made', () => {
    const lab = new Lab({}, [{}, { mtu: 68 }])
    expect(lab.send(0, packet4({ payload, offset: 65_528 }))).toEqual({})
    expect(lab.drops).toEqual({ Malformed: 1 })
  })
  it('have their checksum done first where it was missing', () => {
    const lab = new Lab({}, [{}, { mtu: 68 }])
    const f = lab.pool.from(hex(packet4({ payload: `1388 0007 003c 1492 ${payload.slice(0, 104)}` }))) as number
    lab.pool.flags[f] = 1
    lab.pool.csumStart[f] = 34
    lab.pool.csumOffset[f] = 6
    lab.ports[0]?.injectFrame(f as never)
    const out = lab.collect()[1] as string[]
    expect(out).toHaveLength(2)
    // 0x1492 is the pseudo-header's sum; the rest of the datagram added, complemented.
    let sum = 0x1492 + 0x1388 + 0x0007 + 0x003c
    for (let i = 0; i < 52; i += 2) sum += i * 256 + i + 1
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
    expect(out[0]?.slice(80, 84)).toBe((~sum & 0xffff).toString(16).padStart(4, '0'))
  })
})

describe('super-frames', () => {
  const tcp = (payload: number): string => `1388 0050 00000001 00000002 5010 2000 0000 0000 ${'5a'.repeat(payload)}`
  const send = (lab: Lab, df: boolean, size: number): Record<number, string[]> => {
    const f = lab.pool.from(hex(packet4({ protocol: 6, flags: df ? 0x4000 : 0, payload: tcp(3000) }))) as number
    lab.pool.flags[f] = 1
    lab.pool.gsoType[f] = 1
    lab.pool.gsoSize[f] = size
    lab.pool.csumStart[f] = 34
    lab.pool.csumOffset[f] = 16
    lab.ports[0]?.injectFrame(f as never)
    return lab.collect()
  }
  it('pass whole where their segments fit: the port cuts them', () => {
    const lab = new Lab()
    const out = send(lab, true, 1460)[1] as string[]
    expect(out.map((f) => hex(f).length - 14)).toEqual([1500, 1500, 120])
    expect(lab.eth(1).counters.txFrames).toBe(1)
  })
  it('whose segments do not fit are too big (RFC 1191)', () => {
    const lab = new Lab({}, [{}, { mtu: 1400 }])
    const out = send(lab, true, 1460)[0] as string[]
    expect(out[0]?.slice(68, 84)).toMatch(/^0304....00000578$/)
    expect(lab.drops).toEqual({ TooBig: 1 })
  })
  it('or, where fragments are allowed, are cut into segments, and those into fragments', () => {
    const lab = new Lab({}, [{}, { mtu: 1400 }])
    const out = send(lab, false, 1460)[1] as string[]
    expect(out.map((f) => hex(f).length - 14)).toEqual([1396, 124, 1396, 124, 120])
    expect(out.map((f) => f.slice(36, 44))).toEqual(['12342000', '123400ac', '12352000', '123500ac', '12360000'])
  })
})
