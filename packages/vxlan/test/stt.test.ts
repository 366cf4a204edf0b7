/** STT (draft-davie-stt-08) with a frame in one segment, and OVN's context id (modes.md 14.1, A11). */
import { checksum } from '@l2l3/switch-core/wire'
import { expect, test } from 'vitest'
import { type IpTunnel, stt, sttTunnel } from '../src/index.ts'
import { flat, hex, Lab, OUT4, packet, show } from './ip-tunnel-lab.ts'

const CONTEXT = 0x0000_0580_0000_0007n
const FRAME = flat(`02000000000b 02000000000a 0800 ${packet()}`)

function lab(context: bigint = CONTEXT): Lab<IpTunnel> {
  return new Lab((pool, clock, links) =>
    sttTunnel(pool, clock, { local: '192.168.77.1', remote: '192.168.77.2', context, ...links }),
  )
}

test("OVN's context id of the worked example, there and back", () => {
  expect(stt.ovnContext({ datapath: 7, ingress: 5, egress: 0x8000 })).toBe(CONTEXT)
  expect(stt.readOvnContext(CONTEXT)).toEqual({ datapath: 7, ingress: 5, egress: 0x8000 })
  expect(() => stt.ovnContext({ datapath: 1 << 24, ingress: 0, egress: 0 })).toThrow(/datapath must be .* not 16777216/)
  expect(() => stt.ovnContext({ datapath: 0, ingress: 0x8000, egress: 0 })).toThrow(/ingress must be/)
  expect(() => lab(-1n)).toThrow(/context must be a bigint/)
})

/** A segment around `body`, with its checksum, from node 2. */
function segment(body: string, p: { length?: number; offset?: number; port?: string; src?: string } = {}): string {
  const bytes = hex(flat(body)).length
  const word = (n: number) => n.toString(16).padStart(4, '0')
  const header = `9c40 ${p.port ?? '1d2f'} ${word(p.length ?? bytes)} ${word(p.offset ?? 0)} 00000001 5018 ffff 0000 0000`
  const b = hex(
    OUT4 +
      packet({ src: p.src ?? '192.168.77.2', dst: '192.168.77.1', ttl: 64, protocol: 6, payload: flat(header + body) }),
  )
  const sum = checksum.complement(checksum.sum(b, 34, b.length, checksum.pseudo4(b, 14, 6, b.length - 34)))
  b[50] = sum >>> 8
  b[51] = sum & 255
  return show(b)
}

const HEADER = '00 00 00 00 0000 0000 0000058000000007 0000'

test('what leaves has a TCP-like header with length and frame id, and an STT header', () => {
  const s = lab()
  const [first, second] = s.wrap(FRAME, FRAME).map((f) => hex(f)) as [Uint8Array, Uint8Array]
  expect(first.length).toBe(14 + 20 + stt.OVERHEAD + 42)
  expect([first[20], first[22], first[23]]).toEqual([0x40, 64, 6])
  const port = (first[34]! << 8) | first[35]!
  expect(port).toBeGreaterThanOrEqual(0x8000)
  expect(show(first.subarray(36, 50))).toBe(flat('1d2f 003c 0000 00000001 5018 ffff'))
  expect(show(second.subarray(42, 46))).toBe('00000002')
  expect(checksum.sum(first, 34, first.length, checksum.pseudo4(first, 14, 6, first.length - 34))).toBe(0xffff)
  expect(show(first.subarray(54))).toBe(flat(HEADER) + FRAME)
  expect(s.tunnel.mtu).toBe(1500 - 72)
})

test('a whole frame comes out', () => {
  const s = lab()
  expect(s.unwrap(segment(HEADER + FRAME))).toEqual([FRAME])
})

test('a checksum that the sender left undone is finished here', () => {
  const s = lab()
  const partial = flat(`02000000000b 02000000000a 0800 ${packet({ payload: '1388 1b58 000c 1a15 01020304' })}`)
  // Partial, IPv4, UDP at 34; the field holds the sum of the pseudo-header.
  const b = hex(partial)
  const pseudo = checksum.pseudo4(b, 14, 17, 12)
  b[40] = pseudo >>> 8
  b[41] = pseudo & 255
  const [out] = s.unwrap(segment(`00 06 22 00 0000 0000 0000058000000007 0000 ${show(b)}`))
  const got = hex(out ?? '')
  expect(checksum.sum(got, 34, 46, checksum.pseudo4(got, 14, 17, 12))).toBe(0xffff)
})

test('each refusal has its reason', () => {
  const s = lab()
  const cases: [string, string][] = [
    ['TunnelProtocol', segment(HEADER + FRAME, { port: '0050' })],
    ['UnknownPeer', segment(HEADER + FRAME, { src: '192.168.77.3' })],
    ['OuterFragment', segment(HEADER + FRAME, { length: 2000 })],
    ['Malformed', segment(HEADER + FRAME, { length: 59 })],
    ['Malformed', segment(HEADER + FRAME, { offset: 1 })],
    ['Malformed', segment('00 00 00 00')],
    ['TunnelVersion', segment(`01${HEADER.slice(2)}${FRAME}`)],
    ['UnknownVni', segment(`00 00 00 00 0000 0000 0000058000000008 0000 ${FRAME}`)],
    ['InnerVlan', segment(`00 00 00 00 0000 1064 0000058000000007 0000 ${FRAME}`)],
    ['TunnelOptions', segment(`00 06 22 00 05b4 0000 0000058000000007 0000 ${FRAME}`)],
    ['BadOffload', segment(`00 06 05 00 0000 0000 0000058000000007 0000 ${FRAME}`)],
    ['BadOffload', segment(`00 0e f0 00 0000 0000 0000058000000007 0000 ${FRAME}`)],
    ['BadChecksum', segment(HEADER + FRAME).replace(/.{4}$/, 'beef')],
    ['InnerRunt', segment(HEADER)],
    ['InnerRunt', segment(`${HEADER} 0200`)],
  ]
  for (const [why, frame] of cases) {
    const before = s.drops[why as 'Runt'] ?? 0
    expect([why, s.unwrap(frame), s.drops[why as 'Runt']]).toEqual([why, [], before + 1])
  }
})

test('two logical ports of OVN speak to each other, each way with the context of its own', () => {
  const [context, expectedContext] = [
    stt.ovnContext({ datapath: 7, ingress: 5, egress: 9 }),
    stt.ovnContext({ datapath: 7, ingress: 9, egress: 5 }),
  ]
  const s = new Lab((pool, clock, links) => {
    const ends = { local: '192.168.77.1', remote: '192.168.77.2' }
    return sttTunnel(pool, clock, { ...ends, context, expectedContext, ...links })
  })
  const [sent] = s.wrap(FRAME)
  expect(sent?.slice(124, 140)).toBe('0000050009000007')
  expect(s.unwrap(segment(`00 00 00 00 0000 0000 0000090005000007 0000${FRAME}`))).toEqual([FRAME])
  // What is for another port, or from one, is not this tunnel's.
  expect(s.unwrap(segment(`00 00 00 00 0000 0000 0000090006000007 0000${FRAME}`))).toEqual([])
  expect(() => lab(7n)).not.toThrow()
  expect(() => sttTunnel(s.pool, s.clock, { context: 1n, expectedContext: -1n } as never)).toThrow(
    /expectedContext must be a bigint/,
  )
})
