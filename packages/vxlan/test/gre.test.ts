/**
 * GRE (RFC 2784, RFC 2890) for packets and for frames.
 */
import { expect, test } from 'vitest'
import { type GreOptions, gre, greTunnel, gretapTunnel, type IpTunnel, type IpTunnelOptions } from '../src/index.ts'
import { ETH4, ETH6, flat, hex, Lab, MAC, OUT4, OUT6, packet } from './ip-tunnel-lab.ts'

type Options = Partial<IpTunnelOptions & GreOptions>

function lab(make: typeof greTunnel, options: Options = {}): Lab<IpTunnel> {
  return new Lab((pool, clock, links) =>
    make(pool, clock, { local: '192.168.77.1', remote: '192.168.77.2', mac: MAC, ...links, ...options }),
  )
}

const INNER = packet()
const outer = (payload: string, p = {}) =>
  OUT4 + packet({ src: '192.168.77.2', dst: '192.168.77.1', ttl: 64, protocol: 47, ...p, payload: flat(payload) })
const sent = (payload: string, p = {}) =>
  OUT4 + packet({ src: '192.168.77.1', dst: '192.168.77.2', protocol: 47, df: true, ...p, payload: flat(payload) })

test('four bytes: flags and EtherType', () => {
  const g = lab(greTunnel)
  const v6 = packet({ src: 'fd00::1', dst: 'fd00::2' })
  expect(g.wrap(ETH4 + INNER, ETH6 + v6)).toEqual([sent(`0000 0800 ${INNER}`), sent(`0000 86dd ${v6}`, { id: 2 })])
  expect(g.unwrap(outer(`0000 0800 ${INNER}`), outer(`0000 86dd ${v6}`))).toEqual([ETH4 + INNER, ETH6 + v6])
  expect(g.tunnel.mtu).toBe(1476)
})

test('key, sequence number and checksum, each in its place', () => {
  const g = lab(greTunnel, { key: 0xdeadbeef, sequence: true, checksum: true })
  const [first, second] = g.wrap(ETH4 + INNER, ETH4 + INNER)
  // The sum of the inner header is zero and so is that of UDP but for ports and length: 1388 + 1b58 + 0008.
  const csum = (seq: number) => {
    let s = 0xb000 + 0x0800 + 0xdead + 0xbeef + seq + 0xffff + 0x1388 + 0x1b58 + 0x0008
    while (s > 0xffff) s = (s & 0xffff) + (s >>> 16)
    return (~s & 0xffff).toString(16).padStart(4, '0')
  }
  expect(first).toBe(sent(`b000 0800 ${csum(0)} 0000 deadbeef 00000000 ${INNER}`))
  expect(second).toBe(sent(`b000 0800 ${csum(1)} 0000 deadbeef 00000001 ${INNER}`, { id: 2 }))
  expect(g.tunnel.mtu).toBe(1500 - 20 - 16)
  expect(g.unwrap(outer(`b000 0800 ${csum(0)} 0000 deadbeef 00000000 ${INNER}`))).toEqual([ETH4 + INNER])
})

test('a sequence number that is not after the last one is dropped, also across its end', () => {
  const g = lab(greTunnel, { sequence: true })
  const seq = (n: number) => outer(`1000 0800 ${n.toString(16).padStart(8, '0')} ${INNER}`)
  expect(g.unwrap(seq(5), seq(7), seq(6), seq(7), seq(8)).length).toBe(3)
  expect(g.drops).toEqual({ TunnelSequence: 2 })
  expect(g.unwrap(seq(0x7fffffff), seq(0xffffffff), seq(0), seq(0xffffffff)).length).toBe(3)
  expect(g.drops).toEqual({ TunnelSequence: 3 })
  // Without one where it is on.
  expect(g.unwrap(outer(`0000 0800 ${INNER}`))).toEqual([])
  expect(g.drops).toEqual({ TunnelSequence: 4 })
})

test('each refusal has its reason', () => {
  const plain = lab(greTunnel)
  const keyed = lab(greTunnel, { key: 7 })
  const summed = lab(greTunnel, { checksum: true })
  const cases: [Lab<IpTunnel>, string, string][] = [
    [plain, 'TunnelVersion', `0001 0800 ${INNER}`],
    [plain, 'TunnelVersion', `3001 880b 0000 0000 ${INNER}`],
    [plain, 'TunnelFlags', `4000 0800 00000000 ${INNER}`],
    [plain, 'TunnelFlags', `0800 0800 ${INNER}`],
    [plain, 'TunnelFlags', `0400 0800 ${INNER}`],
    [plain, 'TunnelFlags', `8000 0800 0000 0000 ${INNER}`],
    [plain, 'UnknownVni', `2000 0800 00000007 ${INNER}`],
    [plain, 'TunnelProtocol', `0000 6558 ${ETH4 + INNER}`],
    [plain, 'TunnelProtocol', `0000 0806 ${INNER}`],
    [plain, 'Malformed', `0000 86dd ${INNER}`],
    [plain, 'Malformed', '0000'],
    [plain, 'InnerRunt', '0000 0800'],
    [plain, 'InnerRunt', '0000 0800 4500'],
    [keyed, 'UnknownVni', `0000 0800 ${INNER}`],
    [keyed, 'UnknownVni', `2000 0800 00000008 ${INNER}`],
    [keyed, 'Malformed', '2000 0800 0000'],
    [summed, 'TunnelFlags', `0000 0800 ${INNER}`],
    [summed, 'BadChecksum', `8000 0800 1234 0000 ${INNER}`],
  ]
  for (const [g, why, payload] of cases) {
    const before = g.drops[why as 'Runt'] ?? 0
    expect([why, g.unwrap(outer(payload)), g.drops[why as 'Runt']]).toEqual([why, [], before + 1])
  }
  // Bits 6 to 12 are ignored on receipt (RFC 2784, 2.3).
  expect(plain.unwrap(outer(`03f8 0800 ${INNER}`))).toEqual([ETH4 + INNER])
})

test('gretap carries frames whole, whatever they are', () => {
  const g = lab(gretapTunnel, { key: 0x64 })
  const arp = `ffffffffffff02000000000a0806${'00'.repeat(28)}`
  const vlan = flat(`02000000000b 02000000000a 8100 0064 0800 ${INNER}`)
  const frame = flat(`02000000000b 02000000000a 0800 ${packet({ ttl: 9, tos: 3 })}`)
  const out = g.wrap(arp, vlan, frame)
  expect(out[0]).toBe(sent(`2000 6558 00000064 ${arp}`, { ttl: 64 }))
  expect(out[1]).toBe(sent(`2000 6558 00000064 ${vlan}`, { id: 2 }))
  expect(out[2]).toBe(sent(`2000 6558 00000064 ${frame}`, { id: 3, ttl: 9, tos: 2 }))
  const back = [arp, vlan, frame].map((f) => outer(`2000 6558 00000064 ${f}`))
  expect(g.unwrap(...back)).toEqual([arp, vlan, frame])
  // Congestion on the way is told to the IP packet in the frame.
  const ect = flat(`02000000000b 02000000000a 0800 ${packet({ tos: 2 })}`)
  const ce = flat(`02000000000b 02000000000a 0800 ${packet({ tos: 3 })}`)
  expect(g.unwrap(outer(`2000 6558 00000064 ${ect}`, { tos: 3 }))).toEqual([ce])
  expect(g.unwrap(outer('2000 6558 00000064 020000000001'))).toEqual([])
  expect(g.unwrap(outer(`2000 0800 00000064 ${INNER}`))).toEqual([])
  expect(g.drops).toEqual({ InnerRunt: 1, TunnelProtocol: 1 })
  expect(g.tunnel.mtu).toBe(1500 - 42)
})

test('over IPv6', () => {
  const g = lab(greTunnel, { local: 'fd00::1', remote: 'fd00::2', encapLimit: 'none' })
  const ends = flat('fd000000000000000000000000000001 fd000000000000000000000000000002')
  const back = flat('fd000000000000000000000000000002 fd000000000000000000000000000001')
  expect(g.wrap(ETH4 + INNER)).toEqual([OUT6 + flat(`60000000 0020 2f 40 ${ends} 0000 0800 ${INNER}`)])
  expect(g.unwrap(OUT6 + flat(`60000000 0020 2f 3f ${back} 0000 0800 ${INNER}`))).toEqual([ETH4 + INNER])
})

test('a checksum is made without reading what is still missing, and read likewise', () => {
  const g = lab(greTunnel, { checksum: true })
  const { pool } = g
  const whole = ETH4 + packet({ payload: '1388 1b58 000c 0000 01020304' })
  const b = hex(whole)
  // The pseudo-header's sum stands in the field, the rest is left to do.
  const pseudo = 0x0af4 + 0x0105 + 0x0af4 + 0x0207 + 17 + 12
  b[40] = pseudo >>> 8
  b[41] = pseudo & 255
  const f = pool.from(b) as Parameters<typeof pool.view>[0]
  pool.ledger.originate(1)
  pool.flags[f] = 1
  pool.csumStart[f] = 34
  pool.csumOffset[f] = 6
  g.loop.link(g.tunnel).push(f)
  const [out] = g.collect().out
  const sum = hex(out ?? '')
  // The port has finished the inner checksum: now both are right.
  expect(gre.checksumOk(sum, 34, sum.length)).toBe(true)
  const inner = g.unwrap(outer(Buffer.from(sum.subarray(34)).toString('hex')))
  expect(inner[0]?.slice(0, 80)).toBe(whole.slice(0, 80))
})

test('the codec reads what it writes', () => {
  const b = new Uint8Array(32)
  for (let bits = 0; bits < 8; bits++) {
    const flags = (bits & 1 ? 0x8000 : 0) | (bits & 2 ? 0x2000 : 0) | (bits & 4 ? 0x1000 : 0)
    const at = gre.write(b, 0, flags, 0x0800, 0x01020304, 0x05060708)
    expect([gre.check(b, 0, 32), gre.headerLength(flags), gre.protocol(b, 0)]).toEqual([at, at, 0x0800])
    if (bits & 2) expect(gre.key(b, 0)).toBe(0x01020304)
    if (bits & 4) expect(gre.sequence(b, 0)).toBe(0x05060708)
    expect(gre.check(b, 0, at - 1)).toBe(-1)
  }
  expect(() => lab(greTunnel, { key: -1 })).toThrow(/key must be .* not -1/)
  expect(() => lab(greTunnel, { sequence: 1 as unknown as boolean })).toThrow(/sequence must be true or false, not 1/)
})
