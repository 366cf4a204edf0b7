/**
 * Public captures of VXLAN and GENEVE decode to what tshark says of them; and what our other tunnels send, tshark reads.
 *
 * `fixtures/tcpdump-fields.tsv` has tshark's answers (4.0.17), a line a frame. Where tshark is there, it is asked again.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openCapture } from '@l2l3/switch-core/pcap'
import { classify, eth, formatIpv4, formatMac, ipv4, Layers, tcp, udp } from '@l2l3/switch-core/wire'
import { expect, test } from 'vitest'
import { FlannelUdp, geneve, greTunnel, gretapTunnel, ipipTunnel, sttTunnel, vxlan } from '../src/index.ts'
import { ETH4, flat, hex, Lab, MAC, packet, type Wrapper } from './ip-tunnel-lab.ts'

const hasTshark = spawnSync('tshark', ['--version']).status === 0

/** Fields as tshark names them, the outer value first. */
const FIELDS = [
  'eth.dst',
  'eth.src',
  'eth.type',
  'ip.src',
  'ip.dst',
  'ip.id',
  'ip.ttl',
  'ip.dsfield',
  'ip.proto',
  'ip.len',
  'udp.srcport',
  'udp.dstport',
  'udp.length',
  'tcp.srcport',
  'tcp.dstport',
  'tcp.seq_raw',
  'vxlan.flags',
  'vxlan.vni',
  'geneve.version',
  'geneve.flags.oam',
  'geneve.flags.critical',
  'geneve.proto_type',
  'geneve.vni',
  'geneve.option.class',
  'geneve.option.type',
] as const

type Row = Record<string, string[]>

const file = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))

/** What tshark says of a capture, a row a frame; of each field up to two values, of GENEVE's options all. */
function tshark(path: string, fields: readonly string[], options: string[] = []): Row[] {
  const args = ['-r', path, '-n', ...options, '-T', 'fields', '-E', 'occurrence=a', '-E', 'aggregator=;']
  const run = spawnSync('tshark', [...args, ...fields.flatMap((f) => ['-e', f])], { encoding: 'utf8' })
  expect(run.status, run.stderr).toBe(0)
  return run.stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => rowOf(fields, line.split('\t')))
}

/** The same, read by our codecs. */
function read(b: Uint8Array): Row {
  const row: Row = Object.fromEntries(FIELDS.map((f) => [f, []]))
  const say = (field: (typeof FIELDS)[number], value: string | number) => row[field]?.push(String(value))
  const word = (v: number, digits: number) => `0x${v.toString(16).padStart(digits, '0')}`
  const at = new Layers()
  let o = 0
  for (let level = 0; level < 2; level++) {
    classify(b, o, b.length, at)
    say('eth.dst', formatMac(b, o))
    say('eth.src', formatMac(b, o + 6))
    say('eth.type', word(at.etherType, 4))
    if (at.etherType !== eth.EtherType.IPv4) break
    say('ip.src', formatIpv4(ipv4.src(b, at.l3)))
    say('ip.dst', formatIpv4(ipv4.dst(b, at.l3)))
    say('ip.id', word(ipv4.id(b, at.l3), 4))
    say('ip.ttl', ipv4.ttl(b, at.l3))
    say('ip.dsfield', word(ipv4.tos(b, at.l3), 2))
    say('ip.proto', at.protocol)
    say('ip.len', ipv4.totalLength(b, at.l3))
    if (at.protocol === ipv4.Protocol.Tcp) {
      say('tcp.srcport', tcp.srcPort(b, at.l4))
      say('tcp.dstport', tcp.dstPort(b, at.l4))
      say('tcp.seq_raw', tcp.seq(b, at.l4))
    }
    if (at.protocol !== ipv4.Protocol.Udp) break
    say('udp.srcport', udp.srcPort(b, at.l4))
    say('udp.dstport', udp.dstPort(b, at.l4))
    say('udp.length', udp.length(b, at.l4))
    const header = at.l4 + udp.HLEN
    if (udp.dstPort(b, at.l4) === geneve.PORT) {
      expect(geneve.check(b, header, at.end)).toBeGreaterThan(0)
      const h = geneve.toJSON(b, header)
      say('geneve.version', h.version)
      say('geneve.flags.oam', h.control ? 1 : 0)
      say('geneve.flags.critical', h.critical ? 1 : 0)
      say('geneve.proto_type', word(h.protocol, 4))
      say('geneve.vni', word(h.vni, 6))
      for (const option of h.options) {
        say('geneve.option.class', word(option.class, 4))
        say('geneve.option.type', word(option.type, 2))
      }
      o = geneve.check(b, header, at.end)
      if (h.protocol !== geneve.ETHERNET) {
        // A bare packet: what a frame around it would say of Ethernet, tshark does not.
        readBare(b, o, say, word)
        break
      }
    } else {
      expect(vxlan.fits(header, at.end)).toBe(true)
      say('vxlan.flags', word(vxlan.flags(b, header) << 8, 4))
      say('vxlan.vni', vxlan.vni(b, header))
      o = header + vxlan.HLEN
    }
  }
  return row
}

function readBare(
  b: Uint8Array,
  ip: number,
  say: (field: (typeof FIELDS)[number], value: string | number) => void,
  word: (v: number, digits: number) => string,
): void {
  const l4 = ipv4.check(b, ip, b.length)
  expect(l4).toBeGreaterThan(0)
  say('ip.src', formatIpv4(ipv4.src(b, ip)))
  say('ip.dst', formatIpv4(ipv4.dst(b, ip)))
  say('ip.id', word(ipv4.id(b, ip), 4))
  say('ip.ttl', ipv4.ttl(b, ip))
  say('ip.dsfield', word(ipv4.tos(b, ip), 2))
  say('ip.proto', ipv4.protocol(b, ip))
  say('ip.len', ipv4.totalLength(b, ip))
  if (ipv4.protocol(b, ip) !== ipv4.Protocol.Tcp) return
  say('tcp.srcport', tcp.srcPort(b, l4))
  say('tcp.dstport', tcp.dstPort(b, l4))
  say('tcp.seq_raw', tcp.seq(b, l4))
}

/** What is written down of a capture. */
function expected(name: string): Row[] {
  const [, ...lines] = readFileSync(file('tcpdump-fields.tsv'), 'utf8').trimEnd().split('\n')
  return lines.filter((line) => line.startsWith(`${name}\t`)).map((line) => rowOf(FIELDS, line.split('\t').slice(1)))
}

function rowOf(fields: readonly string[], values: string[]): Row {
  return Object.fromEntries(
    fields.map((f, i) => [f, values[i] ? values[i].split(';').slice(0, f.startsWith('geneve.option') ? 9 : 2) : []]),
  )
}

const CAPTURES: Record<string, string[]> = {
  'tcpdump-vxlan.pcap': [],
  'tcpdump-vxlan_port_8472.pcap': ['-d', 'udp.port==8472,vxlan'],
  'tcpdump-gso-ipv4-vxlan-ipv4.pcap': [],
  'tcpdump-geneve.pcap': [],
  'tcpdump-geneve-gcp.pcap': [],
  'tcpdump-gso-ipv4-geneve-ipv4.pcap': [],
}

test.each(Object.keys(CAPTURES))('%s decodes to what tshark says', (name) => {
  const rows = [...openCapture(readFileSync(file(name)))].map((record) => read(record.data))
  expect(rows.length).toBeGreaterThan(0)
  expect(rows).toEqual(expected(name))
})

test.runIf(hasTshark).each(Object.entries(CAPTURES))('%s: tshark here says what is written down', (name, options) => {
  expect(tshark(file(name), FIELDS, options)).toEqual(expected(name))
})

/** Packets as the tunnels wrap them. */
function wrapped<T extends Wrapper>(make: ConstructorParameters<typeof Lab<T>>[0], ...frames: string[]): Uint8Array[] {
  return new Lab(make).wrap(...frames).map((f) => hex(f))
}

const TWO = { local: '192.168.77.1', remote: '192.168.77.2', mac: MAC }
const INNER = ETH4 + packet({ payload: '1388 0007 000c 0000 c0ffee00' })
const FRAME = flat(`02000000000b 02000000000a 0800 ${packet()}`)

test.runIf(hasTshark)('what our tunnels send, tshark reads, and finds every checksum right', () => {
  const frames = [
    ...wrapped((p, c, l) => ipipTunnel(p, c, { ...TWO, ...l }), INNER),
    ...wrapped((p, c, l) => greTunnel(p, c, { ...TWO, ...l, key: 77, checksum: true, sequence: true }), INNER),
    ...wrapped((p, c, l) => gretapTunnel(p, c, { ...TWO, ...l, key: 78, checksum: true }), FRAME),
    ...wrapped((p, c, l) => sttTunnel(p, c, { ...TWO, ...l, context: 0x58000000007n }), FRAME),
    ...wrapped(
      (p, c, l) =>
        new FlannelUdp(p, c, {
          local: '192.168.77.1',
          mac: MAC,
          address: '10.244.1.0',
          routes: [{ to: '10.244.2.0/24', via: '192.168.77.2' }],
          ...l,
        }),
      INNER,
    ),
  ]
  const dir = mkdtempSync(join(tmpdir(), 'tunnels-'))
  try {
    const path = join(dir, 'a.pcap')
    const records = frames.flatMap((b) => {
      const length = b.length.toString(16).padStart(2, '0')
      return [hex(`00000000 00000000 ${length}000000 ${length}000000`), b]
    })
    const header = hex('d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000')
    writeFileSync(path, Buffer.concat([header, ...records]))
    const say = (fields: string[], ...checks: string[]) =>
      tshark(
        path,
        fields,
        checks.flatMap((o) => ['-o', `${o}:TRUE`]),
      ).map((row) =>
        Object.entries(row)
          .filter(([, v]) => v.length > 0)
          .map(([k, v]) => `${k} ${v.join(' ')}`)
          .join(', '),
      )
    const names = ['ip.proto', 'gre.key', 'gre.sequence_number', 'stt.context_id', 'stt.pkt_len', 'udp.dstport']
    expect(say(names, 'ip.try_heuristic_first')).toEqual([
      'ip.proto 4 17, udp.dstport 7',
      'ip.proto 47 17, gre.key 0x0000004d, gre.sequence_number 0, udp.dstport 7',
      'ip.proto 47 17, gre.key 0x0000004e, udp.dstport 7000',
      'ip.proto 6 17, stt.context_id 0x0000058000000007, stt.pkt_len 60, udp.dstport 7000',
      'ip.proto 17, udp.dstport 8285',
    ])
    // 1 is good, 3 is: there is none. STT's sum is TCP's, and there tshark looks at it rightly.
    const sums = ['ip.checksum.status', 'gre.checksum.status', 'tcp.checksum.status', 'udp.checksum.status']
    expect(say(sums, 'ip.check_checksum', 'udp.check_checksum', 'tcp.check_checksum')).toEqual([
      'ip.checksum.status 1 1, udp.checksum.status 3',
      'ip.checksum.status 1 1, gre.checksum.status 1, udp.checksum.status 3',
      'ip.checksum.status 1 1, gre.checksum.status 1, udp.checksum.status 3',
      'ip.checksum.status 1, tcp.checksum.status 1',
      'ip.checksum.status 1, udp.checksum.status 1',
    ])
  } finally {
    rmSync(dir, { recursive: true })
  }
})
