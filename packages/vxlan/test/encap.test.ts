import { type Frame, finish, GsoType, OffloadFlag } from '@l2l3/switch-core'
import { checksum, ipv4, ipv6, u16, udp } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { Decap, Encap, type EncapOptions, PROFILES, tunnelSettings } from '../src/index.ts'
import { bench, dropped, feed, linkTo, put, Sink, udpFrame } from './tunnel-lab.ts'

/** Outer headers field by field (modes.md 20.1, 4.2, 14.2, appendix C), and what becomes of offload metadata. */

function outer(o: Partial<EncapOptions>, ...inner: Buffer[]): Buffer[] {
  const b = bench()
  const sink = new Sink(b.pool)
  const ends = { local: '192.168.77.1', remote: '192.168.77.2', vni: 1, out: sink }
  const encap = new Encap(b.pool, { ...ends, ...o } as EncapOptions)
  for (const frame of inner.length === 0 ? [udpFrame({})] : inner) feed(b.pool, encap, put(b.pool, frame))
  expect(dropped(b.pool)).toEqual({})
  for (const f of sink.frames) if (f[12] === 8) expect(ipv4.checksumOk(f, 14)).toBe(true)
  return sink.frames
}

describe('profiles', () => {
  const row = (o: Partial<EncapOptions>): unknown => {
    const [f] = outer(o, udpFrame({ tos: 0xb9, ttl: 9, df: true })) as [Buffer]
    return { df: f[20] === 0x40, ttl: f[22], tos: f[15], checksum: udp.checksum(f, 34) !== 0, id: ipv4.id(f, 14) }
  }
  it.each([
    ['linux', { df: false, ttl: 64, tos: 1, checksum: true, id: 1 }],
    ['rfc', { df: false, ttl: 64, tos: 1, checksum: false, id: 1 }],
    ['windows-vfp', { df: false, ttl: 128, tos: 1, checksum: false, id: 1 }],
    ['ovs', { df: true, ttl: 64, tos: 1, checksum: false, id: 0 }],
  ] as const)('%s', (profile, expected) => expect(row({ profile })).toEqual(expected))

  it.each([
    [{ df: 'set' }, { df: true }],
    [{ df: 'inherit' }, { df: true }],
    [{ ttl: 5 }, { ttl: 5 }],
    [{ ttl: 'inherit' }, { ttl: 9 }],
    [{ tos: 0x20 }, { tos: 0x21 }],
    [{ tos: 'inherit' }, { tos: 0xb9 }],
    [{ ecnIngress: 'compatibility' }, { tos: 0 }],
    [{ udpChecksum: false }, { checksum: false }],
    [
      { df: 'set', ipId: 'zero' },
      { id: 0, df: true },
    ],
    [
      { profile: 'ovs', df: 'clear' },
      { id: 1, df: false },
    ],
  ] as const)('%o is an option of its own', (o, expected) => expect(row(o)).toMatchObject(expected))

  it('what is not IP has nothing to inherit; IPv6 has DF', () => {
    const arp = Buffer.concat([udpFrame({}).subarray(0, 12), Buffer.from('0806', 'hex'), Buffer.alloc(28)])
    const [f, g] = outer({ df: 'inherit', ttl: 'inherit', tos: 'inherit' }, arp, udpFrame({ src: '::1', dst: '::2' }))
    expect([f?.[20], f?.[22], f?.[15]]).toEqual([0, 64, 0])
    expect([g?.[20], g?.[22], g?.[15]]).toEqual([0x40, 64, 0])
  })

  it('GENEVE has what RFC 8926 recommends', () => {
    expect(tunnelSettings({ profile: 'rfc' }, 'geneve')).toMatchObject({ df: 'set', udpChecksum: true })
    expect(tunnelSettings({ profile: 'rfc' }, 'geneve').sportRange).toEqual([1, 65_535])
    expect(tunnelSettings({ profile: 'rfc', df: 'clear' }, 'geneve').df).toBe('clear')
    expect(PROFILES.linux.df).toBe('clear')
  })

  it.each([
    [{ profile: 'solaris' as never }, /profile must be one of linux, rfc, windows-vfp, ovs, not solaris/],
    [{ ttl: 0 }, /ttl must be .* not 0/],
    [{ tos: 3 }, /tos must leave the two bits of ECN at zero, not 3/],
    [{ sportRange: [10, 9] as const }, /sportRange\[1\] must be .* not 9/],
    [{ ipId: 'zero' as const }, /ipId can be zero only where df is set/],
    [{ flowLabel: 0x100000 }, /flowLabel must be/],
    [{ vni: -1 }, /vni must be/],
    [{ group: 70_000 }, /group must be/],
    [{ encapsulation: 'stt' as never }, /encapsulation must be vxlan or geneve, not stt/],
    [{ encapsulation: 'geneve' as const, group: 1 }, /group is VXLAN's alone/],
    [{ remote: 'fd00::1' }, /src and dst must be of one family/],
    [{ out: {} as never }, /out must be a Link or have a method send/],
  ])('%o is refused with key and value', (o, message) => expect(() => outer(o)).toThrow(message))
})

describe('fields', () => {
  it('identifications are counted for each destination, whatever the network', () => {
    const b = bench()
    const sink = new Sink(b.pool)
    const to = (remote: string, vni: number): Encap =>
      new Encap(b.pool, { local: '192.168.77.1', remote, vni, out: sink })
    const [one, two, other] = [to('192.168.77.2', 1), to('192.168.77.2', 2), to('192.168.77.3', 1)]
    for (const encap of [one, two, other, one]) feed(b.pool, encap, put(b.pool, udpFrame({})))
    expect(sink.frames.map((f) => ipv4.id(f, 14))).toEqual([1, 2, 1, 3])
  })

  it('source ports: one a flow, the same both ways, spread evenly over the range', () => {
    const frames: Buffer[] = []
    for (let i = 0; i < 2000; i++) {
      const [src, dst] = [`10.0.${i >> 8}.${i & 255}`, `10.1.${(i * 7) & 255}.9`]
      frames.push(
        udpFrame({ src, dst, ports: [1000 + i, 80] }),
        udpFrame({ src: dst, dst: src, ports: [80, 1000 + i] }),
      )
    }
    const ports = outer({ sportRange: [50_000, 50_009] }, ...frames).map((f) => udp.srcPort(f, 34))
    const counts = new Map<number, number>()
    for (let i = 0; i < ports.length; i += 2) {
      expect(ports[i]).toBe(ports[i + 1])
      counts.set(ports[i] as number, (counts.get(ports[i] as number) ?? 0) + 1)
    }
    expect([...counts.keys()].sort()).toEqual(Array.from({ length: 10 }, (_, i) => 50_000 + i))
    // 200 each; four standard deviations are 54.
    for (const n of counts.values()) expect(Math.abs(n - 200)).toBeLessThan(60)
  })

  it('neighbouring addresses, and nothing but ports, spread too; IPv6 as IPv4', () => {
    for (const frames of [
      Array.from({ length: 256 }, (_, i) => udpFrame({ ports: [20_000 + i, 9] })),
      Array.from({ length: 256 }, (_, i) => udpFrame({ dst: `10.244.2.${i}` })),
      Array.from({ length: 256 }, (_, i) => udpFrame({ src: 'fd00::1', dst: `fd00::1:${i.toString(16)}` })),
      Array.from({ length: 256 }, (_, i) => udpFrame({ src: `fd00:${i.toString(16)}::1`, dst: 'fd00::2' })),
    ]) {
      const ports = new Set(outer({}, ...frames).map((f) => udp.srcPort(f, 34)))
      // 256 of 28,231: about one pair is expected to meet.
      expect(ports.size).toBeGreaterThan(245)
    }
  })

  it('fragments of a packet keep together: their ports do not count', () => {
    const first = udpFrame({ ports: [1, 2] })
    const later = udpFrame({ ports: [777, 888] })
    for (const [f, word] of [
      [first, 0x2000],
      [later, 0x0010],
    ] as const) {
      f.writeUInt16BE(word, 20)
      ipv4.fillChecksum(f, 14)
    }
    const ports = outer({}, first, later).map((f) => udp.srcPort(f, 34))
    expect(ports[0]).toBe(ports[1])
  })

  it('over IPv6: flow label, traffic class, hop limit, a checksum that the codec finds right', () => {
    const ends = { local: 'fd00::1', remote: 'fd00::2' }
    const inner = udpFrame({ tos: 0x47, ttl: 33 })
    const [f] = outer({ ...ends, tos: 'inherit', ttl: 'inherit', flowLabel: 0xabcde, ecnIngress: 'rfc6040' }, inner)
    const b = f as Buffer
    expect(ipv6.check(b, 14, b.length)).toBe(54)
    expect([ipv6.trafficClass(b, 14), ipv6.flowLabel(b, 14), ipv6.hopLimit(b, 14)]).toEqual([0x47, 0xabcde, 33])
    expect(udp.checksumOk(b, 14, 54)).toBe(true)
    const labels = outer({ ...ends, flowLabel: 'hash' }, inner, udpFrame({ ports: [1, 2] })).map((x) =>
      ipv6.flowLabel(x, 14),
    )
    expect(labels[0]).not.toBe(labels[1])
  })

  it('a checksum of zero is sent as 0xffff', () => {
    const b = bench()
    const sink = new Sink(b.pool)
    const encap = new Encap(b.pool, { local: '10.0.0.1', remote: '10.0.0.2', vni: 1, sportRange: [9, 9], out: sink })
    const inner = udpFrame({ data: Buffer.alloc(2) })
    feed(b.pool, encap, put(b.pool, inner))
    const sum = udp.checksum(sink.take()[0] as Buffer, 34)
    // The last word makes up what is missing to 0xffff.
    inner.writeUInt16BE(sum, inner.length - 2)
    feed(b.pool, encap, put(b.pool, inner))
    expect(udp.checksum(sink.frames[0] as Buffer, 34)).toBe(0xffff)
    expect(udp.checksumOk(sink.frames[0] as Buffer, 14, 34)).toBe(true)
  })

  it('no headroom: NoHeadroom; a copy where others hold the frame', () => {
    const b = bench({ headroom: 34 })
    const sink = new Sink(b.pool)
    const encap = new Encap(b.pool, { local: '10.0.0.1', remote: '10.0.0.2', vni: 1, out: sink })
    feed(b.pool, encap, put(b.pool, udpFrame({})))
    expect(dropped(b.pool)).toEqual({ NoHeadroom: 1 })
    const c = bench()
    const held = put(c.pool, udpFrame({}))
    c.pool.share(held, 1)
    const out = new Sink(c.pool)
    feed(c.pool, new Encap(c.pool, { local: '10.0.0.1', remote: '10.0.0.2', vni: 1, out }), held)
    expect(c.pool.copyOut(held)).toEqual(udpFrame({}))
    expect(out.frames[0]?.subarray(50)).toEqual(udpFrame({}))
    c.pool.sent(held)
    expect(dropped(c.pool)).toEqual({})
  })
})

describe('offload metadata', () => {
  /** A frame whose UDP checksum is still missing, as a TAP gives it. */
  function partial(pool: ReturnType<typeof bench>['pool'], o: Parameters<typeof udpFrame>[0] = {}): Frame {
    const frame = udpFrame(o)
    const f = put(pool, frame)
    const l3 = 14
    const l4 = frame[12] === 8 ? 34 : 54
    const b = pool.bytes
    const at = pool.off[f] as number
    const n = frame.length - l4
    const sum = checksum.pseudo(b, at + l3, 17, n)
    b[at + l4 + 6] = sum >>> 8
    b[at + l4 + 7] = sum & 255
    pool.flags[f] = OffloadFlag.NeedsChecksum
    pool.csumStart[f] = l4
    pool.csumOffset[f] = 6
    pool.hdrLen[f] = l4 + 8
    return f
  }

  it.each(['192.168.77', 'fd00::'])(
    'a missing checksum stays missing, and the outer one is right all the same: %s',
    (net) => {
      const v6 = net.includes(':')
      const ends = v6 ? { local: 'fd00::1', remote: 'fd00::2' } : { local: '192.168.77.1', remote: '192.168.77.2' }
      const L = v6 ? 70 : 50
      for (const o of [{}, { src: 'fd01::1', dst: 'fd01::2' }]) {
        const b = bench()
        const sent: Frame[] = []
        const encap = new Encap(b.pool, { ...ends, vni: 1, out: { send: (f) => sent.push(f) } })
        const f = partial(b.pool, o)
        const start = b.pool.csumStart[f] as number
        feed(b.pool, encap, f)
        const [g] = sent as [Frame]
        expect([b.pool.flags[g], b.pool.csumStart[g], b.pool.csumOffset[g]]).toEqual([1, start + L, 6])
        // Finished by a port that can do nothing, inner and outer checksum are right.
        const sink = new Sink(b.pool)
        const batch = { frames: Uint32Array.of(g), length: 1, capacity: 1 }
        finish(
          b.pool,
          batch as never,
          0,
          (x) => sink.process(x),
          (x, why) => b.pool.drop(x, why),
        )
        const out = sink.frames[0] as Buffer
        expect(out.subarray(L)).toEqual(udpFrame(o))
        expect(udp.checksumOk(out, 14, L - 16)).toBe(true)
        expect(dropped(b.pool)).toEqual({})
      }
    },
  )

  it.each([
    [{}, { gso: GsoType.Udp | GsoType.TunnelIpv4, outerL4: 34, innerL3: 64, flags: 9 }],
    [{ udpChecksum: false }, { gso: GsoType.Udp | GsoType.TunnelIpv4, outerL4: 34, innerL3: 64, flags: 1 }],
    [
      { local: 'fd00::1', remote: 'fd00::2' },
      { gso: GsoType.Udp | GsoType.TunnelIpv6, outerL4: 54, innerL3: 84, flags: 9 },
    ],
  ])('a super-frame goes in whole, and comes out as it was: %o', (o, expected) => {
    const b = bench({ frameSize: 9000 })
    const { pool } = b
    const wire: Frame[] = []
    const ends = { local: '192.168.77.1', remote: '192.168.77.2', vni: 1 }
    const encap = new Encap(pool, { ...ends, ...o, out: { send: (f) => wire.push(f) } } as EncapOptions)
    const data = Buffer.alloc(6000, 'x')
    const f = partial(pool, { data })
    pool.gsoType[f] = GsoType.Udp
    pool.gsoSize[f] = 1400
    const before = pool.copyOut(f)
    feed(pool, encap, f)
    const [g] = wire as [Frame]
    expect({
      gso: pool.gsoType[g],
      outerL4: pool.outerL4[g],
      innerL3: pool.innerL3[g],
      flags: pool.flags[g],
    }).toEqual(expected)
    const L = pool.len[g]! - before.length
    expect([pool.csumStart[g], pool.csumOffset[g], pool.gsoSize[g], pool.hdrLen[g]]).toEqual([34 + L, 6, 1400, 42 + L])
    const outerFrame = pool.copyOut(g)
    if ((expected.flags & 8) !== 0) {
      // As of a missing checksum, the field holds the sum of the pseudo-header over the whole.
      const n = outerFrame.length - expected.outerL4
      expect(u16(outerFrame, expected.outerL4 + 6)).toBe(checksum.pseudo(outerFrame, 14, 17, n))
    } else expect(u16(outerFrame, expected.outerL4 + 6)).toBe(0)

    const inside: Frame[] = []
    const out = linkTo(b, {
      process: (x) => {
        inside.push(x.frames[0] as Frame)
        x.length = 0
      },
    })
    feed(pool, new Decap(pool, { vni: 1, out }), g)
    b.loop.settle()
    const [h] = inside as [Frame]
    expect(pool.copyOut(h)).toEqual(before)
    expect([pool.gsoType[h], pool.flags[h], pool.csumStart[h], pool.hdrLen[h]]).toEqual([GsoType.Udp, 1, 34, 42])
    pool.sent(h)
    expect(dropped(pool)).toEqual({})
  })

  it('a super-frame in a tunnel already is cut before it goes into a second', () => {
    const b = bench({ frameSize: 9000, headroom: 256 })
    const { pool } = b
    const sink = new Sink(pool)
    const second = new Encap(pool, { local: '10.0.0.1', remote: '10.0.0.2', vni: 2, out: sink })
    const first = new Encap(pool, {
      local: '192.168.77.1',
      remote: '192.168.77.2',
      vni: 1,
      out: { send: (f) => feed(pool, second, f) },
    })
    const f = partial(pool, { data: Buffer.alloc(3000, 'x') })
    pool.gsoType[f] = GsoType.Udp
    pool.gsoSize[f] = 1400
    feed(pool, first, f)
    expect(sink.frames.map((x) => x.length)).toEqual([1542, 1542, 342])
    for (const x of sink.frames) {
      expect(udp.checksumOk(x, 14, 34)).toBe(true)
      expect(udp.checksumOk(x, 64, 84)).toBe(true)
      expect(udp.checksumOk(x, 114, 134)).toBe(true)
    }
    expect(dropped(pool)).toEqual({})
  })

  it('where the outer checksum was the missing one, the frame inside is complete', () => {
    const b = bench()
    const { pool } = b
    const sink = new Sink(pool)
    const [frame] = outer({}) as [Buffer]
    const f = put(pool, frame)
    pool.flags[f] = 1
    pool.csumStart[f] = 34
    pool.csumOffset[f] = 6
    const seen: number[] = []
    const out = linkTo(b, {
      process: (x) => {
        seen.push(pool.flags[x.frames[0] as number] as number)
        sink.process(x)
      },
    })
    feed(pool, new Decap(pool, { vni: 1, out }), f)
    b.loop.settle()
    expect(seen).toEqual([0])
    expect(sink.frames).toEqual([udpFrame({})])
  })

  it('a train of outer datagrams is cut, and every one comes out', () => {
    const b = bench({ frameSize: 9000 })
    const { pool } = b
    const sink = new Sink(pool)
    const frames = outer({ udpChecksum: false }, ...[1, 2, 3].map((i) => udpFrame({ data: Buffer.alloc(100, i) })))
    const [one] = frames as [Buffer]
    const data = Buffer.concat(frames.map((x) => x.subarray(42)))
    const train = Buffer.concat([one.subarray(0, 42), data])
    train.writeUInt16BE(train.length - 14, 16)
    train.writeUInt16BE(train.length - 34, 38)
    ipv4.fillChecksum(train, 14)
    const f = put(pool, train)
    const sum = checksum.pseudo(train, 14, 17, train.length - 34)
    pool.bytes.set([sum >>> 8, sum & 255], (pool.off[f] as number) + 40)
    pool.gsoType[f] = GsoType.Udp
    pool.gsoSize[f] = one.length - 42
    pool.flags[f] = 1
    pool.csumStart[f] = 34
    pool.csumOffset[f] = 6
    pool.hdrLen[f] = 42
    feed(pool, new Decap(pool, { vni: 1, out: linkTo(b, sink) }), f)
    b.loop.settle()
    expect(sink.frames).toEqual(frames.map((x) => x.subarray(50)))
    expect(dropped(pool)).toEqual({})
  })

  it('metadata that points outside what comes out is the end of the frame', () => {
    const b = bench()
    const f = put(b.pool, (outer({}) as [Buffer])[0])
    b.pool.flags[f] = 1
    b.pool.gsoType[f] = GsoType.Tcp4 | GsoType.TunnelIpv4
    b.pool.csumStart[f] = 34
    feed(b.pool, new Decap(b.pool, { vni: 1, out: linkTo(b, new Sink(b.pool)) }), f)
    expect(dropped(b.pool)).toEqual({ BadOffload: 1 })
  })
})
