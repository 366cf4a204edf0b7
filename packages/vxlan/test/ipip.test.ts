/**
 * IPv4 and IPv6 in IP (RFC 2003, RFC 4213, RFC 2473), byte by byte.
 *
 *     pod 10.244.1.5 ── node 192.168.77.1 ══ IPIP ══ node 192.168.77.2 ── pod 10.244.2.7
 */
import type { FramePool } from '@l2l3/switch-core'
import { expect, test } from 'vitest'
import { type IpIpKind, type IpTunnel, type IpTunnelOptions, ipipTunnel } from '../src/index.ts'
import { ETH4, ETH6, flat, hex, Lab, MAC, OUT4, OUT6, packet, show } from './ip-tunnel-lab.ts'

function ipip(options: Partial<IpTunnelOptions> = {}, kind: IpIpKind = 'ipip', lab = {}): Lab<IpTunnel> {
  return new Lab(
    (pool, clock, links) =>
      ipipTunnel(pool, clock, { local: '192.168.77.1', remote: '192.168.77.2', mac: MAC, ...links, ...options }, kind),
    lab,
  )
}

const INNER = flat('4500001c000100003f1162dd0af401050af40207 1388 1b58 0008 0000')

/** The outer packet around `inner`, from node 2 unless said otherwise. */
function outer(
  inner: string,
  p: { src?: string; dst?: string; ttl?: number; tos?: number; protocol?: number } = {},
): string {
  return OUT4 + packet({ src: '192.168.77.2', dst: '192.168.77.1', ttl: 64, protocol: 4, ...p, payload: inner })
}

test('the worked frame of modes.md A7: outer TTL as inside, DF clear', () => {
  const lab = ipip({ df: 'clear' })
  const [first, second] = lab.wrap(ETH4 + INNER, ETH4 + INNER)
  // Identifications count from 1.
  expect(first).toBe(OUT4 + flat('45000030000100003f046075c0a84d01c0a84d02') + INNER)
  expect(second).toBe(OUT4 + flat('45000030000200003f046074c0a84d01c0a84d02') + INNER)
})

test('as Linux makes it: DF set, DSCP 0 and ECN copied, CE outside as ECT(0)', () => {
  const lab = ipip()
  const tos = (f: string | undefined) => hex(f ?? '')[15]
  const of = (t: number) => ETH4 + packet({ tos: t })
  expect(lab.wrap(of(0xb9), of(0xb8), of(0xba), of(0xbb)).map(tos)).toEqual([1, 0, 2, 2])
  expect(hex(lab.wrap(ETH4 + INNER)[0] ?? '')[20]).toBe(0x40)
})

test('what is unwrapped has a fresh header with the MACs of the interface, and no padding', () => {
  const lab = ipip()
  expect(lab.unwrap(`${outer(INNER)}000000000000`)).toEqual([ETH4 + INNER])
  // An inner packet shorter than the outer one says: what is behind it goes.
  expect(lab.unwrap(outer(`${INNER}ffff`))).toEqual([ETH4 + INNER])
})

test('padding of a short frame is not wrapped', () => {
  const lab = ipip()
  expect(lab.wrap(`${ETH4 + INNER}${'00'.repeat(18)}`)[0]?.length).toBe(2 * (14 + 20 + 28))
})

test('the profile says how DF, TTL and TOS come about', () => {
  const fields = (options: Partial<IpTunnelOptions>, p = {}) => {
    const b = hex(ipip(options).wrap(ETH4 + packet({ ttl: 9, tos: 0x88, ...p }))[0] ?? '')
    return { df: b[20], ttl: b[22], tos: b[15] }
  }
  expect(fields({})).toEqual({ df: 0x40, ttl: 9, tos: 0 })
  expect(fields({ ttl: 5, tos: 'inherit', df: 'clear' })).toEqual({ df: 0, ttl: 5, tos: 0x88 })
  expect(fields({ profile: 'rfc' })).toEqual({ df: 0, ttl: 64, tos: 0 })
  expect(fields({ profile: 'rfc' }, { df: true })).toEqual({ df: 0x40, ttl: 64, tos: 0 })
  expect(fields({ profile: 'ovs' })).toEqual({ df: 0x40, ttl: 64, tos: 0 })
  expect(fields({ profile: 'windows-vfp' })).toEqual({ df: 0, ttl: 128, tos: 0 })
})

test('ECN comes out as RFC 6040 says, for every pair', () => {
  const lab = ipip()
  const out: (number | string)[] = []
  for (let o = 0; o < 4; o++) {
    for (let i = 0; i < 4; i++) {
      const [f] = lab.unwrap(outer(packet({ tos: i }), { tos: o }))
      out.push(f === undefined ? 'drop' : hex(f)[15]!)
    }
  }
  expect(out).toEqual([0, 1, 2, 3, 0, 1, 1, 3, 0, 1, 2, 3, 'drop', 3, 3, 3])
  expect(lab.drops.EcnMismatch).toBe(1)
})

test('each refusal has its reason', () => {
  const lab = ipip()
  const cases: [string, string][] = [
    ['UnknownPeer', outer(INNER, { src: '192.168.77.3' })],
    ['OtherHost', outer(INNER, { dst: '192.168.77.9' })],
    ['TunnelProtocol', outer(packet({ src: 'fd00::1', dst: 'fd00::2' }), { protocol: 41 })],
    ['TunnelProtocol', outer(INNER, { protocol: 47 })],
    ['InnerRunt', outer('4500')],
    ['Malformed', outer(`65${INNER.slice(2)}`)],
    ['Malformed', outer(`44${INNER.slice(2)}`)],
    ['Malformed', outer(flat('4500 0040') + INNER.slice(8))],
    ['OuterFragment', OUT4 + flat('4500 0030 0001 2000 4004 3f75 c0a84d02 c0a84d01') + INNER],
    ['BadChecksum', OUT4 + flat('4500 0030 0001 0000 4004 0000 c0a84d02 c0a84d01') + INNER],
    ['Runt', '0200'],
    ['NotIp', `${OUT4.slice(0, 24)}0806${'00'.repeat(28)}`],
  ]
  for (const [why, frame] of cases) {
    const before = lab.drops[why as 'Runt'] ?? 0
    expect([why, lab.unwrap(frame), lab.drops[why as 'Runt']]).toEqual([why, [], before + 1])
  }
})

test('6in4: protocol 41, and IPv4 is not for it', () => {
  const lab = ipip({}, 'sit')
  const inner = packet({ src: '2001:db8:1::5', dst: '2001:db8:2::7', ttl: 9, tos: 0xb9 })
  const [out] = lab.wrap(ETH6 + inner)
  expect(out).toBe(
    OUT4 + packet({ src: '192.168.77.1', dst: '192.168.77.2', ttl: 9, tos: 1, df: true, protocol: 41, payload: inner }),
  )
  expect(lab.unwrap(outer(inner, { protocol: 41 }))).toEqual([ETH6 + inner])
  expect(lab.unwrap(outer(inner, { protocol: 41, tos: 3 }))).toEqual([`${ETH6}6bb0${''}${inner.slice(4)}`])
  expect(lab.wrap(ETH4 + INNER)).toEqual([])
  expect(lab.drops).toEqual({ TunnelProtocol: 1 })
})

test('both in one, told apart by protocol', () => {
  const lab = ipip({}, 'any')
  const v6 = packet({ src: '2001:db8:1::5', dst: '2001:db8:2::7' })
  expect(lab.wrap(ETH4 + INNER, ETH6 + v6).map((f) => hex(f)[23])).toEqual([4, 41])
  expect(lab.unwrap(outer(INNER), outer(v6, { protocol: 41 }), outer(v6, { protocol: 4 }))).toEqual([
    ETH4 + INNER,
    ETH6 + v6,
  ])
  expect(lab.drops).toEqual({ Malformed: 1 })
})

test('4in6 and 6in6 have the encapsulation limit in front, as ip6tnl has it', () => {
  const lab = ipip({ local: 'fd00::1', remote: 'fd00::2' }, 'any')
  const [four, six] = lab.wrap(ETH4 + INNER, ETH6 + packet({ src: '2001:db8:1::5', dst: '2001:db8:2::7' }))
  const ends = flat('fd000000000000000000000000000001 fd000000000000000000000000000002')
  expect(four).toBe(OUT6 + flat(`60000000 0024 3c 40 ${ends} 0400 0401 04 010100`) + INNER)
  expect(six?.slice(0, 124)).toBe(OUT6 + flat(`60000000 0038 3c 40 ${ends} 2900 0401 04 010100`))
  expect(lab.tunnel.mtu).toBe(1500 - 48)
  const back = flat('fd000000000000000000000000000002 fd000000000000000000000000000001')
  expect(lab.unwrap(OUT6 + flat(`60000000 0024 3c 3f ${back} 0400 0401 04 010100`) + INNER)).toEqual([ETH4 + INNER])
  // One without the option is as good.
  expect(lab.unwrap(OUT6 + flat(`60000000 001c 04 3f ${back}`) + INNER)).toEqual([ETH4 + INNER])
  const plain = ipip({ local: 'fd00::1', remote: 'fd00::2', encapLimit: 'none' })
  expect(plain.wrap(ETH4 + INNER)).toEqual([OUT6 + flat(`60000000 001c 04 40 ${ends}`) + INNER])
})

test('a limit in the inner packet goes down by one, and at zero the packet ends (RFC 2473, 5.1)', () => {
  const lab = ipip({ local: 'fd00::1', remote: 'fd00::2' }, 'sit')
  const inside = (limit: number) =>
    ETH6 + packet({ src: 'fd01::1', dst: 'fd01::2', protocol: 60, payload: flat(`3b00 0401 0${limit} 010100`) })
  expect(hex(lab.wrap(inside(3))[0] ?? '')[58]).toBe(2)
  expect(lab.wrap(inside(0))).toEqual([])
  expect(lab.drops).toEqual({ NestedTunnel: 1 })
})

test('a packet is wrapped so often and no more, and never in the tunnel that it is the outside of', () => {
  const lab = ipip({ encapLimit: 2 }, 'any')
  let inner = packet()
  for (let i = 0; i < 4; i++) {
    const wrapped = lab.wrap(ETH4 + inner).length
    expect(wrapped).toBe(i <= 2 ? 1 : 0)
    inner = packet({ src: `10.9.${i}.1`, dst: `10.9.${i}.2`, protocol: 4, payload: inner })
  }
  expect(lab.wrap(ETH4 + packet({ src: '192.168.77.1', dst: '192.168.77.2' }))).toEqual([])
  expect(lab.drops).toEqual({ NestedTunnel: 2 })
})

test('with `next-hop` the route says which node it is', () => {
  const lab = ipip({ remote: 'next-hop', df: 'clear' })
  const to = (node: string) => `0200${node}0200000000aa0800${INNER}`
  const dst = (f: string) => f.slice(60, 68)
  expect(lab.wrap(to('c0a84d02'), to('c0a84d63')).map(dst)).toEqual(['c0a84d02', 'c0a84d63'])
  expect(lab.wrap(to('00000000'), to('e0000001'), to('7f000001'), `ffffffffffff0200000000aa0800${INNER}`)).toEqual([])
  expect(lab.drops).toEqual({ NoRemote: 4 })
  // Who may send is not told by one address.
  expect(lab.unwrap(outer(INNER, { src: '192.168.77.200' })).length).toBe(1)
  const strict = ipip({ remote: 'next-hop', peers: ['192.168.77.0/24', '10.1.2.3'] })
  expect(strict.unwrap(outer(INNER, { src: '192.168.77.200' }), outer(INNER, { src: '10.1.2.3' })).length).toBe(2)
  expect(strict.unwrap(outer(INNER, { src: '192.168.78.1' }))).toEqual([])
  expect(strict.drops).toEqual({ UnknownPeer: 1 })
})

test('its neighbours know every next hop', () => {
  const lab = ipip({ remote: 'next-hop' }, 'sit')
  const { pool, tunnel } = lab
  const f = pool.from(hex(ETH6)) as Parameters<FramePool['view']>[0]
  pool.ledger.originate(1)
  const v6 = (text: string) => {
    expect(tunnel.neighbours.resolve6(f, hex(text), 0)).toBe(true)
    return show(pool.view(f)).slice(0, 12)
  }
  expect(tunnel.neighbours.resolve4(f, 0xc0a84d02)).toBe(true)
  expect(show(pool.view(f)).slice(0, 12)).toBe('0200c0a84d02')
  expect(v6('00000000000000000000ffffc0a84d03')).toBe('0200c0a84d03')
  expect(v6('000000000000000000000000c0a84d04')).toBe('0200c0a84d04')
  expect(v6('2002c0a84d0500000000000000000001')).toBe('0200c0a84d05')
  expect(v6('20010db8000000000000000000000001')).toBe('020000000000')
  pool.drop(f, 0)
})

test('a missing checksum stays missing, at its new place; super-frames are cut', () => {
  const lab = ipip({}, 'ipip', { offloads: 15, pool: { frames: 64, frameSize: 9000 } })
  const { pool } = lab
  const partial = hex(ETH4 + packet({ payload: '1388 1b58 000c 0000 01020304' }))
  const f = pool.from(partial) as Parameters<FramePool['view']>[0]
  pool.ledger.originate(1)
  pool.flags[f] = 1
  pool.csumStart[f] = 34
  pool.csumOffset[f] = 6
  const seen: number[][] = []
  const out = lab.underlay
  const process = out.process.bind(out)
  out.process = (batch) => {
    for (let i = 0; i < batch.length; i++) {
      const g = batch.frames[i] as number
      seen.push([pool.flags[g]!, pool.gsoType[g]!, pool.csumStart[g]!, pool.len[g]!])
    }
    process(batch)
  }
  lab.loop.link(lab.tunnel).push(f)
  lab.collect()
  expect(seen).toEqual([[1, 0, 54, 66]])

  seen.length = 0
  const tcp = `1388 1b58 00000001 00000000 5018ffff 0000 0000 ${'5a'.repeat(2500)}`
  const big = pool.from(hex(ETH4 + packet({ protocol: 6, df: true, payload: tcp }))) as typeof f
  pool.ledger.originate(1)
  pool.flags[big] = 1
  pool.gsoType[big] = 1
  pool.gsoSize[big] = 1000
  pool.csumStart[big] = 34
  pool.csumOffset[big] = 16
  lab.loop.link(lab.tunnel).push(big)
  expect(lab.collect().out.length).toBe(3)
  expect(seen.map((s) => s[3])).toEqual([1074, 1074, 574])
  expect(seen.every((s) => s[0]! === 0 && s[1] === 0)).toBe(true)
})

test('what makes no sense is refused, with key and value', () => {
  const make = (options: Partial<IpTunnelOptions>) => () => ipip(options)
  expect(make({ local: 'nowhere' })).toThrow(/local: not an IPv4 address: "nowhere"/)
  expect(make({ remote: '224.0.0.1' })).toThrow(/remote must be one host's address, not 224.0.0.1/)
  expect(make({ remote: '255.255.255.255' })).toThrow(/remote must be one host's address, not 255.255.255.255/)
  expect(make({ local: '0.0.0.0' })).toThrow(/local must be one host's address, not 0.0.0.0/)
  expect(make({ remote: 'fd00::1' })).toThrow(/remote fd00::1 is not of the same family/)
  expect(make({ local: 'fd00::1', remote: 'next-hop' })).toThrow(/remote must be an address where local is IPv6/)
  expect(make({ mac: undefined as unknown as string })).toThrow(/mac is needed/)
  expect(make({ mtu: 500 })).toThrow(/mtu must be a whole number from 576/)
  expect(make({ encapLimit: 256 })).toThrow(/encapLimit must be .* not 256/)
  expect(make({ cut: 'both' as 'inner' })).toThrow(/cut must be inner, outer or drop, not both/)
  expect(make({ peers: ['10.0.0.0/8'] })).toThrow(/peers: a tunnel with one remote/)
  expect(make({ remote: 'next-hop', peers: ['fd00::/8'] })).toThrow(/peers\[0\] must be an IPv4 prefix, not fd00::\/8/)
  expect(make({ ttl: 0 })).toThrow(/ttl must be/)
  expect(() => ipip({}, 'gre' as IpIpKind)).toThrow(/kind must be ipip, sit or any, not gre/)
})
