import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as path } from 'node:path'
import { openCapture, PcapngWriter, PcapWriter } from '@l2l3/switch-core/pcap'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { hex, join } from './hex.ts'

/** What Wireshark's tools say of our files, and what we say of theirs. */

const has = (tool: string) => spawnSync(tool, ['--version']).status === 0
const missing = ['tshark', 'editcap', 'mergecap'].filter((tool) => !has(tool))

/** An ARP request of web (10.0.0.1) for db (10.0.0.2), then ever longer frames of a local experiment. */
const FRAMES = [
  hex('ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0a000001 000000000000 0a000002'),
  ...[14, 15, 60, 1514].map((n) => join(hex('02000000000b 02000000000a 88b5'), new Uint8Array(n - 14).fill(n))),
]
const time = (i: number) => 1_700_000_000_123_456_789n + BigInt(i) * 1_000_000_001n

let dir: string
beforeAll(() => {
  dir = mkdtempSync(path(tmpdir(), 'l2l3-pcap-'))
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

function write(name: string, make: (sink: (chunk: Uint8Array) => void) => PcapWriter | PcapngWriter): string {
  const chunks: Uint8Array[] = []
  const writer = make((chunk) => chunks.push(chunk))
  const on = ['web', 'db'].map((name) => writer.interface(name))
  for (const [i, data] of FRAMES.entries()) {
    const direction = i & 1 ? ('inbound' as const) : ('outbound' as const)
    writer.write({
      time: time(i),
      data,
      length: data.length + i,
      interface: on[i & 1] as number,
      direction,
      comments: [`#${i}`],
    })
  }
  writer.flush()
  writeFileSync(path(dir, name), join(...chunks))
  return path(dir, name)
}

const tshark = (file: string, ...fields: string[]) =>
  execFileSync('tshark', ['-r', file, '-T', 'fields', ...fields.flatMap((f) => ['-e', f])], { stdio: 'pipe' })
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'))

describe.skipIf(missing.length > 0)(`Wireshark's tools${missing.length ? ` (missing: ${missing})` : ''}`, () => {
  it.each(['little', 'big'] as const)('read our pcap, %s-endian', (byteOrder) => {
    const ns = write('ns.pcap', (sink) => new PcapWriter(sink, { byteOrder }))
    const us = write('us.pcap', (sink) => new PcapWriter(sink, { byteOrder, resolution: 'us' }))
    const lengths = FRAMES.map((data, i) => [`${data.length}`, `${data.length + i}`])
    const seconds = ['1700000000.123456789', '1700000001.123456790', '1700000002.123456791', '1700000003.123456792']
    const all = (file: string) => tshark(file, 'frame.time_epoch', 'frame.cap_len', 'frame.len')
    expect(all(ns).slice(0, 4)).toEqual(seconds.map((s, i) => [s, ...(lengths[i] as string[])]))
    expect(all(us).slice(0, 4)).toEqual(seconds.map((s, i) => [`${s.slice(0, -3)}000`, ...(lengths[i] as string[])]))
  })

  it.each(['little', 'big'] as const)('read our pcapng, %s-endian', (byteOrder) => {
    const file = write('both.pcapng', (sink) => new PcapngWriter(sink, { byteOrder }))
    const fields = ['frame.time_epoch', 'frame.interface_name', 'frame.packet_flags_direction', 'frame.comment']
    expect(tshark(file, ...fields).slice(0, 2)).toEqual([
      ['1700000000.123456789', 'web', '0x00000002', '#0'],
      ['1700000001.123456790', 'db', '0x00000001', '#1'],
    ])
    expect(tshark(file, 'arp.src.proto_ipv4', 'arp.dst.proto_ipv4')[0]).toEqual(['10.0.0.1', '10.0.0.2'])
  })

  it.each(['pcap', 'nsecpcap', 'pcapng'])('write %s that we read', (format) => {
    const ours = write('ours.pcapng', (sink) => new PcapngWriter(sink))
    const theirs = path(dir, `theirs.${format}`)
    execFileSync('editcap', ['-F', format, ours, theirs], { stdio: 'pipe' })
    const unit = format === 'pcap' ? 1000n : 1n
    const got = Array.from(openCapture(readFileSync(theirs), { file: theirs }))
    expect(got.map((r) => [r.time, r.length])).toEqual(FRAMES.map((f, i) => [(time(i) / unit) * unit, f.length + i]))
    for (const [i, data] of FRAMES.entries()) expect(Buffer.compare(got[i]?.data as Uint8Array, data)).toBe(0)
    if (format === 'pcapng') {
      expect(got.map((r) => r.comments)).toEqual(FRAMES.map((_, i) => [`#${i}`]))
      expect(got.map((r) => r.interface.name)).toEqual(['web', 'db', 'web', 'db', 'web'])
    }
  })

  it('merge files of several resolutions into one that we read', () => {
    const inputs = [
      write('a.pcap', (sink) => new PcapWriter(sink, { resolution: 'us', byteOrder: 'big' })),
      write('b.pcapng', (sink) => new PcapngWriter(sink)),
    ]
    const merged = path(dir, 'merged.pcapng')
    execFileSync('mergecap', ['-w', merged, ...inputs], { stdio: 'pipe' })
    const got = Array.from(openCapture(readFileSync(merged), { file: merged }))
    expect(got.map((r) => r.time)).toEqual(FRAMES.flatMap((_, i) => [(time(i) / 1000n) * 1000n, time(i)]))
    expect(new Set(got.map((r) => r.interface.id)).size).toBe(3)
  })
})
