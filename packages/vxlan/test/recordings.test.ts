import { readFileSync } from 'node:fs'
import { openCapture } from '@l2l3/switch-core/pcap'
import { eth, ipv4, u16, udp } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { Decap, Encap, type EncapOptions, type ProfileOptions, vxlan } from '../src/index.ts'
import { bench, dropped, feed, linkTo, put, Sink, wrapUntil } from './tunnel-lab.ts'

/**
 * Recordings of Linux' vxlan device: each packet is taken out of its tunnel, and wrapped again by the profile that its sender
 * had. The same bytes come back, but for the IP identification, whose counter is the kernel's, and the source port, whose
 * hash is. Header and UDP checksums cover both: the recorded ones must be right, and ours are right for ours.
 */

interface Recording {
  readonly name: string
  /** How 192.168.77.1 was set up; its peer has the defaults. */
  readonly options: ProfileOptions & { group?: number }
  readonly packets: number
}

const RECORDINGS: readonly Recording[] = [
  { name: 'default', options: {}, packets: 54 },
  { name: 'dfset', options: { df: 'set' }, packets: 51 },
  { name: 'dfinherit', options: { df: 'inherit' }, packets: 50 },
  { name: 'tosinherit', options: { tos: 'inherit' }, packets: 8 },
  { name: 'ttl5', options: { ttl: 5 }, packets: 51 },
  { name: 'ttlinherit', options: { ttl: 'inherit' }, packets: 50 },
  { name: 'srcport', options: { sportRange: [50_000, 50_009] }, packets: 50 },
  { name: 'udpcsum', options: { udpChecksum: true }, packets: 51 },
  { name: 'gbp', options: {}, packets: 51 },
]

function packetsOf(name: string): Buffer[] {
  const file = new URL(`fixtures/linux-6.18-vxlan-${name}.pcap`, import.meta.url)
  return [...openCapture(readFileSync(file))].map((r) => Buffer.from(r.data))
}

/** The frame with what is the kernel's own secret taken out: identification, source port, and what covers them. */
function masked(frame: Buffer): string {
  const b = Buffer.from(frame)
  b.fill(0, 18, 20)
  b.fill(0, 24, 26)
  b.fill(0, 34, 36)
  b.fill(0, 40, 42)
  return b.toString('hex')
}

describe.each(RECORDINGS)('$name', ({ name, options, packets }) => {
  const frames = packetsOf(name)
  const tunnelled = frames.filter((f) => u16(f, 12) === 0x0800 && f[23] === 17 && u16(f, 36) === 4789)

  it('is what it was', () => expect(tunnelled.length).toBe(packets))

  it('comes out, goes in, and is the same', () => {
    const b = bench()
    const inside = new Sink(b.pool)
    const wire = new Sink(b.pool)
    const decap = new Decap(b.pool, { vni: 'any', gbp: name === 'gbp', out: linkTo(b, inside) })
    for (const frame of tunnelled) {
      expect(ipv4.checksumOk(frame, 14)).toBe(true)
      expect(udp.checksumOk(frame, 14, 34)).toBe(true)
      feed(b.pool, decap, put(b.pool, frame))
      b.loop.settle()
      const inner = inside.take()[0] as Buffer
      const first = ipv4.src(frame, 14) === 0xc0a84d01
      const bits = vxlan.flags(frame, 42)
      const header: Partial<EncapOptions> = (bits & vxlan.Flag.Group) !== 0 ? { group: vxlan.group(frame, 42) } : {}
      const encap = new Encap(b.pool, {
        local: `192.168.77.${first ? 1 : 2}`,
        remote: `192.168.77.${first ? 2 : 1}`,
        vni: 0x1000,
        dstMac: frame.subarray(0, 6),
        srcMac: frame.subarray(6, 12),
        out: wire,
        ...(first ? options : {}),
        ...header,
      })
      feed(b.pool, encap, put(b.pool, inner))
      const again = wire.take()[0] as Buffer
      expect(masked(again)).toBe(masked(frame))
      expect(ipv4.checksumOk(again, 14)).toBe(true)
      expect(udp.checksumOk(again, 14, 34)).toBe(true)
      const [low, high] = (first ? options.sportRange : undefined) ?? [32_768, 60_998]
      expect(udp.srcPort(again, 34)).toBeGreaterThanOrEqual(low)
      expect(udp.srcPort(again, 34)).toBeLessThanOrEqual(high)
      expect(udp.srcPort(frame, 34)).toBeGreaterThanOrEqual(low)
      expect(udp.srcPort(frame, 34)).toBeLessThanOrEqual(high)
    }
    expect(dropped(b.pool)).toEqual({})
  })

  it('is byte for byte the same where port and identification are given', () => {
    const frame = tunnelled.find((f) => ipv4.src(f, 14) === 0xc0a84d01) as Buffer
    const port = udp.srcPort(frame, 34)
    const bits = vxlan.flags(frame, 42)
    const again = wrapUntil(ipv4.id(frame, 14), frame.subarray(50), (b, out) => {
      return new Encap(b.pool, {
        local: '192.168.77.1',
        remote: '192.168.77.2',
        vni: 0x1000,
        dstMac: frame.subarray(0, 6),
        srcMac: frame.subarray(6, 12),
        out,
        ...options,
        sportRange: [port, port],
        ...((bits & vxlan.Flag.Group) !== 0 ? { group: vxlan.group(frame, 42) } : {}),
      })
    })
    expect(again.toString('hex')).toBe(frame.toString('hex'))
  })
})

it('both directions of a flow have one source port, ours as Linux', () => {
  const ports = new Set<number>()
  const b = bench()
  const wire = new Sink(b.pool)
  for (const frame of packetsOf('default')) {
    if (frame.length < 84 || u16(frame, 36) !== 4789 || eth.type(frame, 50) !== 0x0800) continue
    // ICMP of one pair of hosts.
    if (frame[73] !== 1) continue
    const encap = new Encap(b.pool, { local: '10.0.0.1', remote: '10.0.0.2', vni: 1, out: wire })
    feed(b.pool, encap, put(b.pool, frame.subarray(50)))
    ports.add(udp.srcPort(wire.take()[0] as Buffer, 34))
  }
  expect(ports.size).toBe(1)
})
