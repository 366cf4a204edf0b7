import { execFileSync, spawn } from 'node:child_process'
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCapture } from '@l2l3/switch-core/pcap'
import {
  memoryWorld,
  parseTopology,
  type ReplayDirection,
  type ReplayReport,
  replay,
  replayFiles,
} from '@l2l3/topology'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

/*
 *     red      blue     uplink          a      uplink --- t      b
 *      |        |         |             |        |        |      |
 *     +-------------------+            +----------+      +---------+
 *     |        sw1        |            |   left   |      |  right  |
 *     +-------------------+            +----------+      +---------+
 */
const ONE = parseTopology('nodes: { sw1: { mode: switch, endpoints: { red: {}, blue: {} }, uplink: {} } }', 'one.yaml')
const LINKED = parseTopology(
  `nodes:
  left: { mode: switch, endpoints: { a: {} }, uplink: {} }
  right: { mode: switch, endpoints: { b: {} }, ports: { t: {} } }
links: [[left/uplink, right/t]]`,
  'linked.yaml',
)

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'))

/** The header of a pcap file: nanoseconds, little-endian, version 2.4, snaplen 262,144, Ethernet. */
const HEADER = '4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000'
/** The same with microseconds and in the other byte order. */
const HEADER_US_BIG = 'a1b2c3d4 0002 0004 00000000 00000000 00040000 00000001'

const ARP_REQUEST = 'ffffffffffff 02000000000a 0806 0001 0800 06 04 0001 02000000000a 0a000001 000000000000 0a000002'
const ARP_REPLY = '02000000000a 02000000000b 0806 0001 0800 06 04 0002 02000000000b 0a000002 02000000000a 0a000001'

function run(
  topology: typeof ONE,
  inputs: Record<string, string>,
): { report: ReplayReport; out: Record<string, string> } {
  const out: Record<string, string> = {}
  const report = replay(topology, {
    inputs: Object.entries(inputs).map(([port, text]) => ({ port, file: `${port}.pcap`, open: () => [hex(text)] })),
    output: (port) => {
      out[port] = ''
      return (chunk) => {
        out[port] += Buffer.from(chunk).toString('hex')
      }
    },
  })
  return { report, out }
}

describe('replay', () => {
  it('plays captures at their own times, and records what each port sends', () => {
    const { report, out } = run(ONE, {
      // 2024-01-01 00:00:00.000000001: the request; nothing else
      'sw1/red': `${HEADER} 80009265 01000000 2a000000 2a000000 ${ARP_REQUEST}`,
      // big-endian, microseconds: half a second later the reply
      'sw1/blue': `${HEADER_US_BIG} 65920080 0007a120 0000002a 0000002a ${ARP_REPLY}`,
    })
    expect(report).toEqual({
      settled: true,
      undirected: 0,
      ledger: { received: 2, originated: 0, copied: 1, sent: 3, held: 0, dropped: {}, balanced: true },
    })
    const file = (text: string): string => Buffer.from(hex(text)).toString('hex')
    expect(out).toEqual({
      // The reply is known to belong to red, and goes nowhere else: 500,000,000 ns is 0x1dcd6500.
      'sw1/red': file(`${HEADER} 80009265 0065cd1d 2a000000 2a000000 ${ARP_REPLY}`),
      'sw1/blue': file(`${HEADER} 80009265 01000000 2a000000 2a000000 ${ARP_REQUEST}`),
      'sw1/uplink': file(`${HEADER} 80009265 01000000 2a000000 2a000000 ${ARP_REQUEST}`),
    })
  })

  it('writes a capture for every port, also where nothing was sent, and without any input', () => {
    const { report, out } = run(ONE, {})
    expect(report.ledger).toMatchObject({ received: 0, sent: 0, balanced: true })
    const empty = Buffer.from(hex(HEADER)).toString('hex')
    expect(out).toEqual({ 'sw1/red': empty, 'sw1/blue': empty, 'sw1/uplink': empty })
  })

  it('crosses links, and records both of their ends', () => {
    const { report, out } = run(LINKED, {
      'left/a': `${HEADER} 80009265 01000000 2a000000 2a000000 ${ARP_REQUEST}`,
      'right/b': `${HEADER} 80009265 02000000 2a000000 2a000000 ${ARP_REPLY}`,
    })
    // A cable's far end receives what its near end sent.
    expect(report.ledger).toEqual({
      ...{ received: 4, originated: 0, copied: 0, sent: 4, held: 0 },
      ...{ dropped: {}, balanced: true },
    })
    const frames = (port: string): number => ((out[port] as string).length / 2 - 24) / (16 + 42)
    expect(Object.keys(out).map((port) => [port, frames(port)])).toEqual([
      ['left/uplink', 1],
      ['right/t', 1],
      ['left/a', 1],
      ['right/b', 1],
    ])
  })

  it("ages addresses by the captures' time", () => {
    const at = (seconds: string, frame: string): string => `${seconds} 00000000 2a000000 2a000000 ${frame}`
    const { out } = run(ONE, {
      'sw1/red': `${HEADER} ${at('00000000', ARP_REQUEST)}`,
      // after 299 s red is known, after 300 s not any more
      'sw1/blue': `${HEADER} ${at('2b010000', ARP_REPLY)} ${at('2c010000', ARP_REPLY)}`,
    })
    expect((out['sw1/red'] as string).length / 2).toBe(24 + 2 * 58)
    // The request was flooded here, and the second reply.
    expect((out['sw1/uplink'] as string).length / 2).toBe(24 + 2 * 58)
  })

  it('counts what cannot be a frame: cut off by the capture, or shorter than a header', () => {
    const { report } = run(ONE, {
      'sw1/red': `${HEADER} 00000000 00000000 0e000000 2a000000 ${ARP_REQUEST.slice(0, 30)} 00000000 01000000 01000000 01000000 ff`,
    })
    expect(report.ledger).toMatchObject({ received: 2, sent: 0, dropped: { Malformed: 1, Runt: 1 }, balanced: true })
  })

  it('gives the same bytes every time', () => {
    const inputs = {
      'sw1/red': `${HEADER} ${`80009265 01000000 2a000000 2a000000 ${ARP_REQUEST} `.repeat(500)}`,
      'sw1/uplink': `${HEADER} ${`80009265 01000000 2a000000 2a000000 ${ARP_REPLY} `.repeat(500)}`,
    }
    const first = run(ONE, inputs)
    expect(first.report.ledger).toMatchObject({ received: 1000, dropped: {}, balanced: true })
    expect(run(ONE, inputs)).toEqual(first)
  })

  it('cuts a loop of links short, and accounts for what went round', () => {
    const looped = parseTopology(
      `nodes:
  s1: { mode: switch, endpoints: { a: {} }, ports: { x: {}, y: {} } }
  s2: { mode: switch, ports: { x: {}, y: {} } }
links: [[s1/x, s2/x], [s1/y, s2/y]]`,
      'loop.yaml',
    )
    const { report } = run(looped, { 's1/a': `${HEADER} 00000000 00000000 2a000000 2a000000 ${ARP_REQUEST}` })
    expect(report.settled).toBe(false)
    expect(report.ledger).toMatchObject({ balanced: true, held: 0 })
  })

  it('writes little of what goes round in a loop, however many broadcasts start it', () => {
    const looped = parseTopology(
      `nodes:
  s1: { mode: switch, endpoints: { a: {} }, ports: { x: {}, y: {} } }
  s2: { mode: switch, ports: { x: {}, y: {} } }
links: [[s1/x, s2/x], [s1/y, s2/y]]`,
      'loop.yaml',
    )
    const broadcasts = (n: number): string =>
      Array.from({ length: n }, (_, i) => `0${i}000000 00000000 2a000000 2a000000 ${ARP_REQUEST}`).join(' ')
    const bytes = (n: number): number => {
      const { report, out } = run(looped, { 's1/a': `${HEADER} ${broadcasts(n)}` })
      expect(report.settled).toBe(false)
      expect(report.ledger).toMatchObject({ balanced: true, held: 0 })
      // The frames of every broadcast were on their way when it was cut short, in both directions.
      expect(report.ledger.dropped.PathTooLong).toBe(2 * n)
      return Object.values(out).join('').length / 2
    }
    const one = bytes(1)
    expect(one).toBeLessThan(1_000_000)
    expect(bytes(9)).toBeLessThan(1.2 * one)
  })

  it('takes in more records of one moment than it has turns for, and calls that no loop', () => {
    // 2,049 batches of 256: a packet of a pcapng file without a time comes right behind the one before it, too.
    const n = 2049 * 256
    const record = hex(`80009265 01000000 0e000000 0e000000 ${ARP_REQUEST.replaceAll(' ', '').slice(0, 28)}`)
    const all = Buffer.concat(Array.from({ length: n }, () => record))
    const report = replay(ONE, {
      inputs: [{ port: 'sw1/red', file: 'many.pcap', open: () => [hex(HEADER), all] }],
      output: () => () => {},
    })
    expect(report).toMatchObject({ settled: true, ledger: { received: n, dropped: {}, balanced: true } })
  })

  it('refuses times that a pcap file cannot have: before 1970, after 2106', () => {
    // pcapng, little-endian: section header, interface with if_tsoffset (14), one packet at 0 units of a microsecond.
    const section = '0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000'
    const at = (seconds: bigint): string => {
      const offset = Buffer.alloc(8)
      offset.writeBigInt64LE(seconds)
      const on = `01000000 24000000 0100 0000 00000400 0e00 0800 ${offset.toString('hex')} 0000 0000 24000000`
      const packet = `06000000 4c000000 00000000 00000000 00000000 2a000000 2a000000 ${ARP_REQUEST} 0000 4c000000`
      return `${section} ${on} ${packet}`
    }
    const day = 86_400n
    expect(run(ONE, { 'sw1/red': at(0n) }).report.ledger.received).toBe(1)
    for (const seconds of [-day, -30n * 365n * day, 1n << 32n]) {
      expect(() => run(ONE, { 'sw1/red': at(seconds) })).toThrow(
        'sw1/red.pcap: at byte 64: a time that a pcap file cannot have',
      )
    }
  })

  it('refuses ports that are not there, given twice, or linked', () => {
    expect(() => run(ONE, { 'sw1/rde': HEADER })).toThrow(
      'sw1/rde.pcap: there is no port "sw1/rde" in one (expected node/port); did you mean "sw1/red"?',
    )
    expect(() => run(LINKED, { 'right/t': HEADER })).toThrow('port right/t is joined by a link')
    const twice = { port: 'sw1/red', file: 'x', open: () => [hex(HEADER)] }
    expect(() => replay(ONE, { inputs: [twice, twice], output: () => () => {} })).toThrow('port sw1/red has x already')
  })
})

describe('replay of files', () => {
  let dir: string
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'l2l3-replay-'))
  })
  afterAll(() => rmSync(dir, { recursive: true }))

  it('writes NODE.PORT.pcap into a directory that it makes', () => {
    const path = join(dir, 'in.pcap')
    writeFileSync(path, hex(`${HEADER} 80009265 01000000 2a000000 2a000000 ${ARP_REQUEST}`))
    const out = join(dir, 'deep', 'out')
    replayFiles(ONE, { inputs: [['sw1/red', path]], out })
    expect(readdirSync(out).sort()).toEqual(['sw1.blue.pcap', 'sw1.red.pcap', 'sw1.uplink.pcap'])
    expect(readFileSync(join(out, 'sw1.blue.pcap')).equals(readFileSync(path))).toBe(true)
  })

  it('never empties a capture that it is to read, under whatever name', () => {
    const whole = hex(`${HEADER} 80009265 01000000 2a000000 2a000000 ${ARP_REQUEST}`)
    // Itself, a symbolic link to it, another name of it.
    const links = [null, symlinkSync, linkSync]
    links.forEach((link, i) => {
      const out = join(dir, `same${i}`)
      mkdirSync(out)
      writeFileSync(join(out, 'sw1.red.pcap'), whole)
      const input = link === null ? join(out, 'sw1.red.pcap') : join(dir, `same${i}.pcap`)
      link?.(join(out, 'sw1.red.pcap'), input)
      expect(() => replayFiles(ONE, { inputs: [['sw1/red', input]], out })).toThrow(
        `cannot write the capture ${join(out, 'sw1.red.pcap')}: it is the input ${input}; choose another directory`,
      )
      expect(readFileSync(input).equals(whole)).toBe(true)
      expect(readdirSync(out)).toEqual(['sw1.red.pcap'])
    })
    // Nor where it has the name that an output has while it is written.
    const out = join(dir, 'fresh')
    mkdirSync(out)
    const input = join(out, 'sw1.blue.pcap.new')
    writeFileSync(input, whole)
    expect(() => replayFiles(ONE, { inputs: [['sw1/red', input]], out })).toThrow('it is the input')
    expect(readFileSync(input).equals(whole)).toBe(true)
    expect(readdirSync(out)).toEqual(['sw1.blue.pcap.new'])
  })

  it('leaves the captures of the run before where one fails', () => {
    const path = join(dir, 'again.pcap')
    writeFileSync(path, hex(`${HEADER} 80009265 01000000 2a000000 2a000000 ${ARP_REQUEST}`))
    const out = join(dir, 'again')
    mkdirSync(join(out, 'sw1.uplink.pcap.new'), { recursive: true })
    writeFileSync(join(out, 'sw1.blue.pcap'), 'of before')
    expect(() => replayFiles(ONE, { inputs: [['sw1/red', path]], out })).toThrow(/cannot write the capture .*EISDIR/)
    expect(readFileSync(join(out, 'sw1.blue.pcap'), 'utf8')).toBe('of before')
    expect(readdirSync(out).sort()).toEqual(['sw1.blue.pcap', 'sw1.uplink.pcap.new'])
  })

  it('refuses a pipe, which could be read once only, and does not wait for it', () => {
    const pipe = join(dir, 'pipe.pcap')
    execFileSync('mkfifo', [pipe])
    // Somebody writes to it, so that opening it would not wait for ever.
    const writer = spawn('sh', ['-c', ': > "$0"', pipe])
    expect(() => replayFiles(ONE, { inputs: [['sw1/red', pipe]], out: join(dir, 'piped') })).toThrow(
      `cannot read the capture ${pipe}: it must be a regular file, it is read twice`,
    )
    writer.kill()
    expect(readdirSync(dir)).not.toContain('piped')
  })

  it('names file, position and cause of a malformed capture, and writes nothing', () => {
    const path = join(dir, 'bad.pcap')
    const out = join(dir, 'nothing')
    const bad: [string, RegExp][] = [
      ['', /bad\.pcap: at byte 0: /],
      ['0102030405060708', /bad\.pcap: at byte 0: neither pcap nor pcapng/],
      [`${HEADER} 80009265 01000000 2a000000 2a000000 ffff`, /bad\.pcap: at byte \d+: the file ends within/],
    ]
    for (const [text, message] of bad) {
      writeFileSync(path, hex(text))
      expect(() => replayFiles(ONE, { inputs: [['sw1/red', path]], out })).toThrow(message)
    }
    // Link type 101: raw IP.
    writeFileSync(path, hex(`${HEADER.replace(/01000000$/, '65000000')} 00000000 00000000 01000000 01000000 45`))
    expect(() => replayFiles(ONE, { inputs: [['sw1/red', path]], out })).toThrow(
      /bad\.pcap: at byte 24: interface 0 has link type 101; only Ethernet/,
    )
    expect(readdirSync(dir)).not.toContain('nothing')
  })
})

it('plays of captures that are both ways those frames that came in: what leaves is what has left', async () => {
  const net = parseTopology(
    `nodes:
  sw1: { mode: switch, endpoints: { red: { ip: 10.0.0.1/24 }, blue: { ip: 10.0.0.2/24 } } }
checks: [tcp: { from: red, to: blue, bytes: 20 kB }]`,
    'net.yaml',
  )
  await using world = memoryWorld(net)
  const captures = new Map<string, Uint8Array[]>()
  const stop = await world.capture((label) => {
    const chunks: Uint8Array[] = []
    captures.set(label, chunks)
    return (chunk) => chunks.push(chunk.slice())
  })
  expect((await world.runChecks()).map(({ ok }) => ok)).toEqual([true])
  await stop()
  const frames = (chunks: readonly Uint8Array[], way?: string): string[] =>
    Array.from(openCapture(chunks, { file: 'x' }))
      .filter(({ direction }) => way === undefined || direction === way)
      .map(({ data }) => Buffer.from(data).toString('hex'))
  const replayed = (direction?: ReplayDirection): Map<string, string[]> => {
    const out = new Map<string, Uint8Array[]>()
    const { ledger, undirected } = replay(net, {
      inputs: Array.from(captures, ([port, chunks]) => ({ port, file: port, open: () => chunks })),
      output: (port) => {
        const chunks: Uint8Array[] = []
        out.set(port, chunks)
        return (chunk) => chunks.push(chunk.slice())
      },
      direction,
    })
    expect([ledger.balanced, undirected]).toEqual([true, 0])
    return new Map(Array.from(out, ([port, chunks]) => [port, frames(chunks)]))
  }
  const [all, own] = [replayed(), replayed('in')]
  for (const [port, chunks] of captures) {
    const left = frames(chunks, 'outbound')
    expect(left.length).toBeGreaterThan(15)
    expect(own.get(port)).toEqual(left)
    expect(all.get(port)).not.toEqual(left)
  }
  expect(replayed('out')).not.toEqual(own)
})
