import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { describeTunnel, Encap, type EncapOptions, ovn } from '../src/index.ts'
import { bench, feed, put, Sink, udpFrame } from './tunnel-lab.ts'

function wrap(o: Partial<EncapOptions>, inner: Buffer): Buffer {
  const b = bench({ headroom: 384 })
  const sink = new Sink(b.pool)
  const ends = { local: '192.168.77.1', remote: '192.168.77.2', vni: 4096, sportRange: [50_000, 50_000] as const }
  feed(b.pool, new Encap(b.pool, { ...ends, out: sink, ...o } as EncapOptions), put(b.pool, inner))
  return sink.frames[0] as Buffer
}

describe('a tunnelled frame as a line', () => {
  const inner = '66:00:00:00:00:01 > 66:00:00:00:00:02, IPv4 10.244.1.1:20000 > 10.244.2.1:9 UDP length 13'
  const outer = '00:00:00:00:00:00 > 00:00:00:00:00:00, IPv4 192.168.77.1:50000 > 192.168.77.2'
  it.each<[string, Buffer]>([
    [`${outer}:4789 UDP length 63 | VXLAN vni 4096 | ${inner}`, wrap({}, udpFrame({}))],
    [`${outer}:4789 UDP length 63 | VXLAN vni 4096 group 7 | ${inner}`, wrap({ group: 7 }, udpFrame({}))],
    [
      `${outer}:6081 UDP length 71 | GENEVE vni 4096, critical option 0x0102/0x80 00050003 | ${inner}`,
      wrap({ encapsulation: 'geneve', options: [ovn.option(5, 3)] }, udpFrame({})),
    ],
    [
      `${outer}:8472 UDP length 113 | VXLAN vni 1 | ${outer}:4789 UDP length 63 | VXLAN vni 4096 | ${inner}`,
      wrap({ vni: 1, port: 8472 }, wrap({}, udpFrame({}))),
    ],
    [inner, udpFrame({})],
  ])('%s', (text, frame) => expect(describeTunnel(frame)).toBe(text))

  it('of any bytes', () => {
    const frame = wrap({}, udpFrame({}))
    fc.assert(
      fc.property(fc.nat(frame.length), fc.nat(frame.length - 1), fc.nat(255), (n, at, value) => {
        const b = Buffer.from(frame)
        b[at] = value
        expect(describeTunnel(b.subarray(0, n)).length).toBeGreaterThan(0)
      }),
    )
  })
})

describe('beside tshark', () => {
  /** A pcap file of frames. */
  function pcap(frames: readonly Buffer[]): Buffer {
    const head = Buffer.alloc(24)
    head.writeUInt32LE(0xa1b2c3d4, 0)
    head.writeUInt32LE(0x00040002, 4)
    head.writeUInt32LE(65_535, 16)
    head.writeUInt32LE(1, 20)
    const records = frames.flatMap((f) => {
      const record = Buffer.alloc(16)
      record.writeUInt32LE(f.length, 8)
      record.writeUInt32LE(f.length, 12)
      return [record, f]
    })
    return Buffer.concat([head, ...records])
  }

  it('every field of what we send is what tshark reads, and no checksum is wrong', (context) => {
    if (spawnSync('tshark', ['--version']).status !== 0) context.skip('needs tshark')
    const random = fc.sample(
      fc.record({
        vni: fc.nat(0xffffff),
        v6: fc.boolean(),
        inner6: fc.boolean(),
        geneve: fc.boolean(),
        sport: fc.integer({ min: 1024, max: 65_535 }),
        tos: fc.nat(63).map((n) => n << 2),
        ttl: fc.integer({ min: 1, max: 255 }),
        df: fc.boolean(),
      }),
      { numRuns: 200, seed: 1 },
    )
    const FIELDS = [
      'udp.srcport',
      'udp.checksum.status',
      'vxlan.vni',
      'geneve.vni',
      'ip.ttl',
      'ipv6.hlim',
      'ip.flags.df',
    ]
    FIELDS.push('ip.dsfield', 'ip.checksum.status', 'geneve.option.class', 'eth.dst')
    const frames: Buffer[] = []
    const expected: string[] = []
    for (const { vni, v6, inner6, geneve, sport, tos, ttl, df } of random) {
      const ends = v6 ? { local: 'fd00::1', remote: 'fd00::2' } : {}
      const kind = geneve ? ({ encapsulation: 'geneve', udpChecksum: true, options: [ovn.option(1, 2)] } as const) : {}
      const inner = udpFrame({ ports: [sport, 9], ...(inner6 ? { src: 'fd01::1', dst: 'fd01::2' } : {}) })
      frames.push(wrap({ vni, ...ends, ...kind, tos, ttl, df: df ? 'set' : 'clear' }, inner))
      const of = (outer: string, nested: string): string =>
        [...(v6 ? [] : [outer]), ...(inner6 ? [] : [nested])].join(';')
      const of6 = [...(v6 ? [String(ttl)] : []), ...(inner6 ? ['64'] : [])].join(';')
      expected.push(
        [
          `50000;${sport}`,
          '1;1',
          geneve ? '' : String(vni),
          geneve ? `0x${vni.toString(16).padStart(6, '0')}` : '',
          of(String(ttl), '64'),
          of6,
          of(df ? '1' : '0', '0'),
          of(`0x${tos.toString(16).padStart(2, '0')}`, '0x00'),
          of('1', '1'),
          geneve ? '0x0102' : '',
          '00:00:00:00:00:00;66:00:00:00:00:02',
        ].join(' '),
      )
    }
    const dir = mkdtempSync(join(tmpdir(), 'l2l3-tunnel-'))
    try {
      const file = join(dir, 'tunnels.pcap')
      writeFileSync(file, pcap(frames))
      const checks = ['-o', 'udp.check_checksum:TRUE', '-o', 'ip.check_checksum:TRUE']
      const format = ['-T', 'fields', '-E', 'separator=/s', '-E', 'occurrence=a', '-E', 'aggregator=;']
      const out = execFileSync(
        'tshark',
        ['-n', '-r', file, ...checks, ...format, ...FIELDS.flatMap((f) => ['-e', f])],
        {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'ignore'],
        },
      )
      expect(out.trimEnd().split('\n')).toEqual(expected)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
})
