import { checksum, ipv4, put16, udp } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { Decap, type DecapOptions, Encap, type EncapOptions, type geneve } from '../src/index.ts'
import { bench, dropped, feed, hex, linkTo, put, Sink, udpFrame } from './tunnel-lab.ts'

/** The rules of modes.md 20.2 (VXLAN, measured on Linux 6.18), 20.3 (ECN) and 20.5 (GENEVE): what is taken, what is dropped,
 * and for which reason. */

const INNER = udpFrame({})

type Encapsulation = 'vxlan' | 'geneve'

/** A wrapped frame, changed by `edit`, its UDP checksum made anew if it had one. */
function wrapped(o: Partial<EncapOptions>, edit: (b: Buffer) => Buffer | undefined, inner = INNER): Buffer {
  const b = bench({ headroom: 512 })
  const sink = new Sink(b.pool)
  const ends = o.local === undefined ? { local: '192.168.77.1', remote: '192.168.77.2' } : {}
  feed(b.pool, new Encap(b.pool, { vni: 4096, out: sink, ...ends, ...o } as EncapOptions), put(b.pool, inner))
  const made = sink.frames[0] as Buffer
  const frame = edit(made) ?? made
  const l4 = frame[12] === 8 ? 34 : 54
  if (frame.length > l4 + 8 && udp.checksum(frame, l4) !== 0) {
    if (udp.length(frame, l4) <= frame.length - l4) udp.fillChecksum(frame, 14, l4)
  }
  if (frame[12] === 8) ipv4.fillChecksum(frame, 14)
  return frame
}

/** What becomes of a frame: `taken`, with the frame that came out; `left`, for the next element; or the reason of its drop. */
function fate(frame: Buffer, o: Partial<DecapOptions> = {}): { said: string; inner: Buffer | undefined } {
  const b = bench({ headroom: 512 })
  const sink = new Sink(b.pool)
  const decap = new Decap(b.pool, { vni: 4096, out: linkTo(b, sink), ...o })
  const kept = feed(b.pool, decap, put(b.pool, frame))
  b.loop.settle()
  const drops = Object.keys(dropped(b.pool))
  const said = kept.length > 0 ? 'left' : (drops[0] ?? (sink.frames.length === 1 ? 'taken' : 'gone'))
  if (said === 'left') expect(kept[0]).toEqual(frame)
  return { said, inner: sink.frames[0] }
}

const none = (): undefined => undefined
const at =
  (o: number, ...bytes: number[]) =>
  (b: Buffer): undefined => {
    b.set(bytes, o)
  }

/** The frame as one of another protocol, an IP packet of `total` bytes. */
function short(b: Buffer, protocol: number, total: number): Buffer {
  const cut = Buffer.from(b.subarray(0, 14 + total))
  cut[23] = protocol
  cut.writeUInt16BE(total, 16)
  return cut
}

describe('VXLAN: what is taken', () => {
  it.each<[string, Buffer, Partial<DecapOptions>]>([
    ['a correct UDP checksum', wrapped({}, none), {}],
    ['no UDP checksum', wrapped({ udpChecksum: false }, none), {}],
    ['an outer header with options', wrapped({ udpChecksum: false }, withIpOptions), {}],
    ['a group id, where it is understood', wrapped({ group: 0x1234 }, none), { gbp: true }],
    ['a group id with its flags', wrapped({ group: 7 }, at(43, 0x48)), { gbp: true }],
    ['reserved bits, by RFC 7348', wrapped({}, at(42, 0xfb, 1, 2, 3, 0, 0x10, 0, 0xff)), { reservedBits: 'rfc' }],
    ['any VNI, where that is asked for', wrapped({ vni: 5 }, none), { vni: 'any' }],
    ['VNI 0', wrapped({ vni: 0 }, none), { vni: 0 }],
    ['the largest VNI', wrapped({ vni: 0xffffff }, none), { vni: 0xffffff }],
    ['a wrong checksum where none is verified', wrapped({}, none), { verifyChecksum: false }],
    ['over IPv6, with a checksum', wrapped({ local: 'fd00::1', remote: 'fd00::2' }, none), {}],
    [
      'over IPv6 without, where that is allowed',
      wrapped({ local: 'fd00::1', remote: 'fd00::2', udpChecksum6: false }, none),
      { zeroChecksum6: true },
    ],
    ['behind IPv6 destination options', wrapped({ local: 'fd00::1', remote: 'fd00::2' }, withHeader6(60)), {}],
  ])('%s', (_, frame, options) => {
    expect(fate(frame, options)).toEqual({ said: 'taken', inner: INNER })
  })

  it('a header and nothing else inside; an 802.1Q tag; padding behind it all is not inside', () => {
    const short = INNER.subarray(0, 14)
    expect(fate(wrapped({}, none, short))).toEqual({ said: 'taken', inner: short })
    const tagged = udpFrame({ tag: 5 })
    expect(fate(wrapped({}, none, tagged))).toEqual({ said: 'taken', inner: tagged })
    const padded = wrapped({}, (b) => Buffer.concat([b, Buffer.alloc(9, 0xee)]))
    expect(fate(padded)).toEqual({ said: 'taken', inner: INNER })
  })
})

describe('VXLAN: what is dropped, and why', () => {
  it.each<[string, string, Buffer, Partial<DecapOptions>]>([
    ['BadChecksum', 'a wrong UDP checksum', flipped(wrapped({}, none), 70), {}],
    ['BadChecksum', 'none over IPv6', wrapped({ local: 'fd00::1', remote: 'fd00::2', udpChecksum6: false }, none), {}],
    ['BadChecksum', 'a wrong one over IPv6', flipped(wrapped({ local: 'fd00::1', remote: 'fd00::2' }, none), 90), {}],
    ['TunnelFlags', 'the I flag clear', wrapped({}, at(42, 0)), {}],
    ['TunnelFlags', 'the I flag clear, by the RFC too', wrapped({}, at(42, 0)), { reservedBits: 'rfc' }],
    ['TunnelFlags', 'another flag', wrapped({}, at(42, 0x18)), {}],
    ['TunnelFlags', 'a group id that is not understood', wrapped({ group: 1 }, none), {}],
    ['TunnelReserved', 'byte 1', wrapped({}, at(43, 1)), {}],
    ['TunnelReserved', 'byte 2', wrapped({}, at(44, 1)), {}],
    ['TunnelReserved', 'byte 3', wrapped({}, at(45, 1)), {}],
    ['TunnelReserved', 'byte 7', wrapped({}, at(49, 1)), {}],
    ['TunnelReserved', 'byte 7 behind a group id', wrapped({ group: 1 }, at(49, 1)), { gbp: true }],
    ['TunnelReserved', 'bytes of a group without its flag', wrapped({}, at(45, 1)), { gbp: true }],
    ['TunnelProtocol', 'VXLAN-GPE', wrapped({}, at(42, 0x0c, 0, 0, 1)), {}],
    ['TunnelProtocol', 'VXLAN-GPE, by the RFC too', wrapped({}, at(42, 0x0c, 0, 0, 3)), { reservedBits: 'rfc' }],
    ['UnknownVni', 'another VNI', wrapped({ vni: 4097 }, none), {}],
    ['InnerRunt', 'thirteen bytes inside', wrapped({}, none, INNER.subarray(0, 13)), {}],
    ['InnerRunt', 'nothing inside', wrapped({}, none, INNER.subarray(0, 0)), {}],
    ['InnerVlan', 'a tag, where none is carried', wrapped({}, none, udpFrame({ tag: 5 })), { profile: 'rfc' }],
    ['OuterFragment', 'a first fragment', wrapped({ udpChecksum: false }, at(20, 0x20, 0)), {}],
    ['OuterFragment', 'an IPv6 fragment', wrapped({ local: 'fd00::1', remote: 'fd00::2' }, withHeader6(44)), {}],
    ['Malformed', 'a UDP length beyond the packet', wrapped({ udpChecksum: false }, at(38, 0xff, 0xff)), {}],
    ['Malformed', 'a UDP length below 8', wrapped({ udpChecksum: false }, at(38, 0, 7)), {}],
    ['Malformed', 'no room for the VXLAN header', wrapped({ udpChecksum: false }, at(38, 0, 15)), {}],
    ['Malformed', 'an IP length beyond the frame', wrapped({ udpChecksum: false }, at(16, 0xff, 0xff)), {}],
    ['Malformed', 'an IP header of 16 bytes', wrapped({ udpChecksum: false }, at(14, 0x44)), {}],
  ])('%s: %s', (why, _, frame, options) => {
    expect(fate(frame, options).said).toBe(why)
  })

  it('cut short anywhere: never taken for something else', () => {
    const frame = wrapped({ udpChecksum: false }, none)
    for (let n = 0; n < frame.length; n++) {
      expect(fate(Buffer.from(frame.subarray(0, n))).said).toMatch(/Malformed|left/)
    }
  })
})

describe('what is somebody else\u2019s', () => {
  it.each<[string, Buffer, Partial<DecapOptions>]>([
    ['another UDP port', wrapped({ port: 8472 }, none), {}],
    ['TCP', wrapped({}, at(23, 6)), {}],
    ['another protocol, four bytes long', wrapped({ udpChecksum: false }, (b) => short(b, 200, 24)), {}],
    ['UDP cut off before its ports', wrapped({ udpChecksum: false }, (b) => short(b, 17, 22)), {}],
    ['a first fragment for another port', wrapped({ port: 8472, udpChecksum: false }, at(20, 0x20, 0)), {}],
    ['a later fragment, in which no port stands', wrapped({ udpChecksum: false }, at(20, 0, 100)), {}],
    ['ARP', wrapped({}, at(12, 8, 6)), {}],
    ['another destination', wrapped({}, none), { local: '192.168.77.3' }],
    ['another far end', wrapped({}, none), { remote: '192.168.77.9' }],
    ['another family', wrapped({ local: 'fd00::1', remote: 'fd00::2' }, none), { local: '192.168.77.2' }],
  ])('%s is left to the next element, as it came', (_, frame, options) => {
    // Checksums were made anew for other things than UDP too, which is nobody's business here.
    expect(fate(frame, options).said).toBe('left')
  })
})

describe('ECN', () => {
  const MEASURED: Readonly<Record<string, number | 'drop'>> = {
    '00': 0,
    '01': 1,
    '02': 2,
    '03': 3,
    '10': 0,
    '11': 1,
    '12': 1,
    '13': 3,
    '20': 0,
    '21': 1,
    '22': 2,
    '23': 3,
    '30': 'drop',
    '31': 3,
    '32': 3,
    '33': 3,
  }
  it.each(Object.entries(MEASURED))('outer, inner %s -> %s', (pair, mark) => {
    const [outer, inner] = [Number(pair[0]), Number(pair[1])]
    for (const v6 of [false, true]) {
      const addresses = v6 ? { src: 'fd01::1', dst: 'fd01::2' } : {}
      for (const tag of [undefined, 7]) {
        for (const encapsulation of ['vxlan', 'geneve'] as const) {
          const tagged = tag === undefined ? {} : { tag }
          const sent = udpFrame({ ...addresses, ...tagged, tos: 0xb8 | inner })
          const frame = wrapped({ encapsulation, udpChecksum: false }, at(15, outer), sent)
          const out = fate(frame, { encapsulation })
          if (mark === 'drop') expect(out.said).toBe('EcnMismatch')
          else expect(out.inner).toEqual(udpFrame({ ...addresses, ...tagged, tos: 0xb8 | mark }))
        }
      }
    }
  })

  it('ingress: linux copies, but ECT(0) for CE; rfc6040 copies; compatibility marks nothing', () => {
    const marks = (ecnIngress: 'linux' | 'rfc6040' | 'compatibility'): number[] =>
      [0, 1, 2, 3].map((ecn) => wrapped({ ecnIngress }, none, udpFrame({ tos: 0xb8 | ecn }))[15] as number)
    expect(marks('linux')).toEqual([0, 1, 2, 2])
    expect(marks('rfc6040')).toEqual([0, 1, 2, 3])
    expect(marks('compatibility')).toEqual([0, 0, 0, 0])
  })
})

describe('GENEVE: what is taken', () => {
  const known = { knownOptions: [{ class: 0x0102, type: 0x80 }] }
  const option = (type: number, words = 1): geneve.GeneveOption => ({
    class: 0x0102,
    type,
    data: Buffer.alloc(words * 4, 0xab),
  })
  const G = { encapsulation: 'geneve' } as const satisfies { encapsulation: Encapsulation }
  it.each<[string, Buffer, Partial<DecapOptions>]>([
    ['no options', wrapped(G, none), {}],
    ['options that need not be known', wrapped({ ...G, options: [option(1), option(2, 31)] }, none), {}],
    ['a critical option that is known', wrapped({ ...G, options: [option(0x80)] }, none), known],
    ['as many options as there can be', wrapped({ ...G, options: [option(1, 31), option(2, 30)] }, none), {}],
    ['reserved bits, as the kernel does (RFC 8926, 3.4)', wrapped(G, at(43, 0x3f)), {}],
    ['the last byte not zero', wrapped(G, at(49, 1)), {}],
    ['a checksum', wrapped({ ...G, udpChecksum: true, options: [option(3)] }, none), {}],
    ['over IPv6', wrapped({ ...G, local: 'fd00::1', remote: 'fd00::2' }, none), {}],
  ])('%s', (_, frame, options) => {
    expect(fate(frame, { ...G, ...options })).toEqual({ said: 'taken', inner: INNER })
  })

  it.each<[string, string, Buffer, Partial<DecapOptions>]>([
    ['TunnelVersion', 'version 1', wrapped(G, at(42, 0x40)), {}],
    ['TunnelOptions', 'options beyond the end', wrapped(G, at(42, 0x3f)), {}],
    ['TunnelOptions', 'an option longer than OptLen', wrapped({ ...G, options: [option(1)] }, at(53, 2)), {}],
    ['TunnelOptions', 'options shorter than OptLen', wrapped({ ...G, options: [option(1, 2)] }, at(53, 1)), {}],
    ['TunnelOptions', 'C without a critical option', wrapped({ ...G, options: [option(1)] }, at(43, 0x40)), {}],
    ['TunnelOptions', 'a critical option without C', wrapped({ ...G, options: [option(0x80)] }, at(43, 0)), known],
    ['TunnelOptions', 'C and no options', wrapped(G, at(43, 0x40)), {}],
    ['CriticalOption', 'an unknown critical option', wrapped({ ...G, options: [option(0x81)] }, none), known],
    ['CriticalOption', 'one behind a known one', wrapped({ ...G, options: [option(0x80), option(0x82)] }, none), known],
    ['TunnelControl', 'a control message', wrapped(G, at(43, 0x80)), {}],
    ['TunnelProtocol', 'an IPv4 packet inside', wrapped(G, at(44, 8, 0)), {}],
    ['TunnelProtocol', 'ARP inside', wrapped(G, at(44, 8, 6)), {}],
    ['UnknownVni', 'another VNI', wrapped({ ...G, vni: 9 }, none), {}],
    ['InnerRunt', 'thirteen bytes inside', wrapped(G, none, INNER.subarray(0, 13)), {}],
    ['Malformed', 'no room for the header', wrapped({ ...G, udpChecksum: false }, at(38, 0, 12)), {}],
  ])('%s: %s', (why, _, frame, options) => {
    expect(fate(frame, { ...G, ...options }).said).toBe(why)
  })
})

/** The frame with an option of four bytes in its outer IPv4 header. */
function withIpOptions(b: Buffer): Buffer {
  const out = Buffer.concat([b.subarray(0, 34), hex('01010100'), b.subarray(34)])
  out[14] = 0x46
  put16(out, 16, ipv4.totalLength(b, 14) + 4)
  put16(out, 24, 0)
  put16(out, 24, checksum.checksum(out, 14, 38))
  return out
}

/** The frame with an IPv6 extension header: 60 destination options, 44 a fragment's. */
function withHeader6(kind: number): (b: Buffer) => Buffer {
  return (b) => {
    const header = kind === 60 ? hex('11 00 0104 00000000') : hex('11 00 0001 00000001')
    const out = Buffer.concat([b.subarray(0, 54), header, b.subarray(54)])
    out[20] = kind
    put16(out, 18, b.readUInt16BE(18) + 8)
    return out
  }
}

function flipped(b: Buffer, o: number): Buffer {
  b[o] = (b[o] as number) ^ 0x10
  return b
}
