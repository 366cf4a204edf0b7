import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { openCapture } from '@l2l3/switch-core/pcap'
import { FilterError, frameFilter } from '@l2l3/topology/memory'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

const PCAP = new URL('../fixtures/dissect.pcap', import.meta.url).pathname
const records = Array.from(openCapture(readFileSync(PCAP)), (record) => record)
const frames = records.map((record) => record.data)

const fitting = (filter: string): number[] => {
  const fits = frameFilter(filter)
  return frames.flatMap((frame, i) => (fits(frame, 'n1/red') ? [i] : []))
}

/** What tcpdump lets through, by the frames' number: its own frames are written out, and found again in the file. */
function tcpdump(filter: string): number[] | string {
  const { status, stdout, stderr } = spawnSync('tcpdump', ['-r', PCAP, '-w', '-', filter])
  if (status !== 0) return stderr.toString()
  const left = frames.map((frame, i) => ({ i, hex: Buffer.from(frame).toString('hex') }))
  return Array.from(openCapture(stdout), ({ data }) => {
    const at = left.findIndex(({ hex }) => hex === Buffer.from(data).toString('hex'))
    return (left.splice(at, 1)[0] as { i: number }).i
  })
}

/** Filters that mean the same to tcpdump where frames have neither tags nor extension headers of IPv6. */
const SAME = [
  'arp',
  'ip',
  'ip6',
  'icmp',
  'icmp6',
  'tcp',
  'udp',
  'ether host 02:00:00:00:00:0a',
  'ether src 02:00:00:00:00:0b or ether dst 02:00:00:00:00:0b',
  'ether broadcast',
  'ether multicast',
  'ether proto 0x88b5',
  'ether proto 0x86dd and not icmp6',
  'host 10.0.0.1',
  'src host 192.0.2.1',
  'dst 10.0.0.2',
  'host fd00::2',
  'net 10.0.0.0/8',
  'src net 192.0.2.0/24 or dst net fd00::/16',
  'port 80',
  'udp port 4789',
  'tcp src port 1',
  'udp dst portrange 1000-7000',
  'ip proto 47',
  'ip proto 1',
  'ip6 proto 6',
  'arp host 10.0.0.1',
  'ip host 10.0.0.1',
  'icmp and host 10.0.0.1',
  'not (tcp or udp) and ip',
  '!icmp && (port 2 || port 6081)',
  'not not tcp',
]

describe('a filter', () => {
  const extended = (b: Uint8Array): boolean => b[12] === 0x86 && (b[20] === 0 || b[20] === 44)
  const plain = frames.flatMap((b, i) =>
    b[12] === 0x81 || (b[12] === 0x88 && b[13] === 0xa8) || extended(b) ? [] : [i],
  )

  for (const filter of SAME) {
    it(`takes what tcpdump takes: ${filter}`, (context) => {
      if (spawnSync('tcpdump', ['--version']).status !== 0) context.skip('tcpdump is not installed')
      const theirs = tcpdump(filter)
      expect(theirs).toBeInstanceOf(Array)
      const alike = (list: number[]): number[] => list.filter((i) => plain.includes(i))
      expect(alike(fitting(filter))).toEqual(alike(theirs as number[]))
    })
  }

  it('looks behind VLAN tags, and at them', () => {
    expect(fitting('vlan')).toEqual([1, 2])
    expect(fitting('vlan 10')).toEqual([1])
    expect(fitting('vlan 20 and udp port 5001')).toEqual([2])
    expect(fitting('icmp and vlan 10 and host 10.0.0.2')).toEqual([1])
  })

  it('looks behind extension headers of IPv6', () => {
    expect(fitting('udp port 2 and ip6')).toEqual([13, 14])
    expect(fitting('ip6 proto udp').length).toBeGreaterThan(fitting('ip6 and udp port 2').length)
  })

  it('may ask for the port that a frame came in by, and for nothing at all', () => {
    expect(fitting('at n1/red').length).toBe(frames.length)
    expect(fitting('at n1/blue')).toEqual([])
    expect(fitting('').length).toBe(frames.length)
  })

  it('takes any bytes', () => {
    const all = SAME.map((filter) => frameFilter(filter))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 90 }), (bytes) => {
        for (const fits of all) expect(typeof fits(bytes, 'n1/red')).toBe('boolean')
      }),
    )
  })

  const wrong: readonly (readonly [filter: string, at: number, reason: RegExp])[] = [
    ['host', 4, /expected an address such as 10\.0\.0\.1 or fd00::1, not nothing/],
    ['icmp and', 8, /expected host, net, port, .* or an address, not nothing/],
    ['icmp host', 5, /expected "and", "or" after icmp, not "host"/],
    ['host 10.0.0.256', 5, /expected an address .*, not "10\.0\.0\.256"/],
    ['net 10.0.0.0/33', 4, /expected a network such as/],
    ['host 10.0.0.0/8', 5, /expected an address/],
    ['port 70000', 5, /"port" is followed by a number from 0 to 65535, not "70000"/],
    ['portrange 9-8', 10, /two ports such as 8000-8100/],
    ['(icmp or tcp', 12, /expected "\)", not nothing/],
    ['icmp)', 4, /a parenthesis too many/],
    ['icmp tcp', 5, /after icmp, not "tcp"/],
    ['arp port 80', 4, /arp has no ports/],
    ['vlan 5000', 5, /from 0 to 4095/],
    ['ether host 10.0.0.1', 11, /expected a MAC address/],
    ['ether', 5, /"ether" is followed by/],
    ['fnord', 0, /expected host/],
    ['src fnord', 4, /"src" is followed by/],
    ['at red', 3, /such as n1\/red/],
    ['ip proto fnord', 9, /or one of icmp, icmp6, tcp/],
  ]
  for (const [filter, at, reason] of wrong) {
    it(`that is wrong says what and where: ${filter}`, () => {
      let error: unknown
      try {
        frameFilter(filter)
      } catch (thrown) {
        error = thrown
      }
      expect(error).toBeInstanceOf(FilterError)
      expect((error as FilterError).reason).toMatch(reason)
      expect((error as FilterError).at).toBe(at)
      expect((error as FilterError).message).toContain(`${filter}\n  ${' '.repeat(at)}^`)
    })
  }

  it('has so many words at most, nested or in a row, and says so in few characters', () => {
    const bytes = new Uint8Array(64)
    for (const long of ['arp or '.repeat(249), 'not '.repeat(499), `${'('.repeat(248)}arp${')'.repeat(248)} or `]) {
      expect(frameFilter(`${long}arp`)(bytes, 'a/b')).toBe(long.startsWith('not'))
    }
    for (const long of ['arp or '.repeat(60_000), '('.repeat(100_000), 'not '.repeat(100_000)]) {
      expect(() => frameFilter(`${long}arp`)).toThrow(
        /^the filter is wrong at character \d+: it has more than 500 words/,
      )
      expect(() => frameFilter(`${long}arp`)).toThrow(/^.{0,600}$/s)
    }
  })
})
