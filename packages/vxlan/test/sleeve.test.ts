/**
 * Weave's sleeve in clear text (modes.md 15): framing, several frames in a datagram, and what does not fit.
 */
import { checksum, icmp, ipv4, udp } from '@l2l3/switch-core/wire'
import { expect, test } from 'vitest'
import { type SleeveOptions, SleeveTunnel, sleeve } from '../src/index.ts'
import { answerOf, datagram, error, flat, hex, Lab, OUT4, packet, show } from './ip-tunnel-lab.ts'

const US = '0a1b2c3d4e5f'
const PEER = '16273849 5a6b'.replace(' ', '')
const colons = (name: string) => name.replace(/(..)(?=.)/g, '$1:')
const A = '02000000000a'
const B = '02000000000b'

function lab(options: Partial<SleeveOptions> = {}): Lab<SleeveTunnel> {
  return new Lab(
    (pool, clock, links) =>
      new SleeveTunnel(pool, clock, {
        local: '192.168.77.1',
        remote: '192.168.77.2',
        name: colons(US),
        peer: colons(PEER),
        ...links,
        ...options,
      }),
  )
}

const frame = (p = {}, dst = B) => flat(`${dst} ${A} 0800 ${packet(p)}`)
const item = (f: string, src = US, dst = PEER) => src + dst + (f.length / 2).toString(16).padStart(4, '0') + f

/** What is behind the UDP header of a datagram that left, after its checksums. */
function list(out: string | undefined): { df: boolean; list: string } {
  const b = hex(out ?? '')
  expect([ipv4.checksumOk(b, 14), show(b.subarray(34, 38))]).toEqual([true, flat('1a7f 1a7f')])
  expect(checksum.sum(b, 34, b.length, checksum.pseudo4(b, 14, 17, b.length - 34))).toBe(0xffff)
  expect(ipv4.totalLength(b, 14)).toBe(b.length - 14)
  return { df: ipv4.dontFragment(b, 14), list: show(b.subarray(42)) }
}

/** A datagram of the peer. */
function from2(body: string, p: { src?: string; port?: number } = {}): string {
  const data = hex(flat(body))
  const b = hex(OUT4 + packet({ src: p.src ?? '192.168.77.2', dst: '192.168.77.1', payload: 8 + data.length }))
  udp.write(b, 34, 6783, p.port ?? 6783, data.length)
  b.set(data, 42)
  udp.fillChecksum(b, 14, 34)
  return show(b)
}

test('one frame: sender, then source, destination, length, frame', () => {
  const s = lab()
  expect(list(s.wrap(frame())[0])).toEqual({ df: true, list: US + item(frame()) })
  expect(s.tunnel.mtu).toBe(1438)
})

test('frames of a batch travel together as long as they fit, in their order', () => {
  const s = lab()
  const [a, b, c, d] = [frame({ id: 1 }), frame({ id: 2 }), frame({ id: 3, payload: 1400 }), frame({ id: 4 })]
  const out = s.wrap(a, b, c, d).map((f) => list(f).list)
  expect(out).toEqual([US + item(a) + item(b), US + item(c), US + item(d)])
  expect(s.tunnel.counters).toEqual({ framesOut: 4, datagramsOut: 3, framesIn: 0, datagramsIn: 0 })
  // To the byte: 1,500 - 28 - 6 bytes of list in all.
  const first = frame({ payload: 600 - 34 })
  const room = 1466 - 14 - 600
  expect(s.wrap(first, frame({ payload: room - 14 - 34 })).length).toBe(1)
  expect(s.wrap(first, frame({ payload: room - 14 - 33 })).length).toBe(2)
})

test('a datagram comes apart again', () => {
  const s = lab()
  const frames = [frame({ id: 1 }), frame({ id: 2, payload: 300 }), frame({ id: 3 })]
  const theirs = PEER + frames.map((f) => item(f, PEER, US)).join('')
  expect(s.unwrap(from2(theirs))).toEqual(frames)
  // Also what another peer sent by this one.
  expect(s.unwrap(from2(PEER + item(frame(), '0c0c0c0c0c0c', US)))).toEqual([frame()])
  expect(s.tunnel.counters).toEqual({ framesOut: 0, datagramsOut: 0, framesIn: 4, datagramsIn: 2 })
})

test('what one end sends the other takes', () => {
  const s = lab()
  const t = lab({ local: '192.168.77.2', remote: '192.168.77.1', name: colons(PEER), peer: colons(US) })
  const frames = Array.from({ length: 40 }, (_, i) => frame({ id: i, payload: 10 + 37 * i }))
  expect(t.unwrap(...s.wrap(...frames.slice(0, 38)))).toEqual(frames.slice(0, 38))
})

test('each refusal has its reason', () => {
  const s = lab()
  const wrong = hex(from2(PEER + item(frame(), PEER, US)))
  wrong[60]! ^= 1
  const cases: [string, string][] = [
    ['UnknownPeer', from2(US + item(frame(), PEER, US))],
    ['UnknownPeer', from2(PEER + item(frame(), PEER, US), { src: '192.168.77.3' })],
    ['TunnelProtocol', from2(PEER + item(frame(), PEER, US), { port: 6784 })],
    ['OtherHost', from2(PEER + item(frame(), PEER, '0c0c0c0c0c0c'))],
    ['Malformed', from2(PEER.slice(2))],
    ['Malformed', from2(PEER)],
    ['Malformed', from2(PEER + item(frame(), PEER, US).slice(0, -2))],
    ['Malformed', from2(`${PEER}${item(frame(), PEER, US)}00`)],
    ['InnerRunt', from2(PEER + item('0200', PEER, US))],
    ['TunnelControl', from2(PEER + item('00'.repeat(sleeve.HEARTBEAT), PEER, US))],
    ['BadChecksum', show(wrong)],
  ]
  for (const [why, f] of cases) {
    const before = s.drops[why as 'Runt'] ?? 0
    expect([why, s.unwrap(f), s.drops[why as 'Runt']]).toEqual([why, [], before + 1])
  }
})

test('IPv4 with DF that does not fit: its sender is told; not if it goes to a group', () => {
  const s = lab()
  const big = frame({ df: true, payload: 1438 - 19 })
  s.inside.inject(hex(frame({ df: true, payload: 1438 - 20 })))
  s.inside.inject(hex(big))
  s.inside.inject(hex(frame({ df: true, payload: 1438 - 19 }, 'ffffffffffff')))
  const { out, into } = s.collect()
  expect(out.length).toBe(1)
  expect(into.length).toBe(1)
  expect(answerOf(into[0])).toMatchObject({ macs: A + B, type: 3, code: 4, mtu: 1438, quote: big.slice(28, 28 + 1096) })
  expect(s.drops).toEqual({ TooBig: 2 })
})

test('IPv4 without DF is cut at multiples of 8, or left to the underlay', () => {
  const body = datagram('10.244.1.5', '10.244.2.7', 2000)
  const big = frame({ payload: body })
  const s = lab()
  const t = lab({ local: '192.168.77.2', remote: '192.168.77.1', name: colons(PEER), peer: colons(US) })
  const pieces = t.unwrap(...s.wrap(big)).map((f) => hex(f))
  expect(pieces.map((b) => [ipv4.fragmentOffset(b, 14), ipv4.moreFragments(b, 14)])).toEqual([
    [0, true],
    [1416, false],
  ])
  expect(Buffer.concat(pieces.map((b) => b.subarray(34))).toString('hex')).toBe(body)
  const trusting = lab({ stackFragments: true })
  const [whole] = trusting.wrap(big)
  expect(list(whole)).toEqual({ df: false, list: US + item(big) })
  const v6 = flat(`${B} ${A} 86dd ${packet({ src: 'fd00::1', dst: 'fd00::2', payload: 1600 })}`)
  expect(list(s.wrap(v6)[0])).toEqual({ df: false, list: US + item(v6) })
})

test('an ICMP error about a datagram of ours makes the next ones smaller', () => {
  const s = lab()
  const [sent] = s.wrap(frame({ payload: 1400 }))
  const quoted = sent?.slice(28, 28 + 56) ?? ''
  const say = (mtu: number, quote = quoted) =>
    s.unwrap(OUT4 + error({ src: '10.9.9.9', dst: '192.168.77.1' }, icmp.Type.Unreachable, 4, mtu, quote))
  expect(say(1300)).toEqual([])
  expect(s.drops).toEqual({ Consumed: 1 })
  s.inside.inject(hex(frame({ df: true, payload: 1400 })))
  expect(answerOf(s.collect().into[0])).toMatchObject({ mtu: 1238 })
  // About another port it tells us nothing.
  say(900, quoted.replace('1a7f1a7f', '1a7f1a80'))
  s.inside.inject(hex(frame({ df: true, payload: 1400 })))
  expect(answerOf(s.collect().into[0])).toMatchObject({ mtu: 1238 })
})

test('what makes no sense is refused', () => {
  expect(() => lab({ local: 'fd00::1' })).toThrow(/local must be IPv4: sleeve has no IPv6, not fd00::1/)
  expect(() => lab({ name: 'x' })).toThrow(/name must be six bytes written like a MAC, not "x"/)
  expect(() => lab({ mtu: 100 })).toThrow(/mtu must be/)
  expect(() => lab({ stackFragments: 1 as unknown as boolean })).toThrow(/stackFragments must be true or false/)
})
