import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCapture } from '@l2l3/switch-core/pcap'
import {
  buildInMemory,
  bytesAt,
  diff,
  parseTopology,
  parseTraceText,
  reportText,
  type Trace,
  type TraceStep,
  trace,
  tracePcapng,
  traceText,
} from '@l2l3/topology/memory'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { toHex } from '../../src/trace/splice.ts'
import { asked, example, questions } from './questions.ts'

const dir = mkdtempSync(join(tmpdir(), 'l2l3-trace-text-'))
afterAll(() => rmSync(dir, { recursive: true }))

const two = example('two-namespaces')

/** A trace of one branch through bytes, whatever they are. */
function through(frames: readonly Uint8Array[]): Trace {
  const [input = new Uint8Array(0)] = frames
  const steps = frames.map((bytes, i): TraceStep => {
    const splices = i === 0 ? [] : diff(frames[i - 1] as Uint8Array, bytes)
    const what =
      i === 0
        ? { kind: 'enter', where: 'n1/red', by: '', why: '' }
        : { kind: 'note', where: 'n1/red', by: 'outbound NAT', why: 'as it is' }
    return {
      ...what,
      branch: 0,
      node: 'n1',
      time: i * 1500,
      length: bytes.length,
      diff: splices,
      fields: [],
    } as TraceStep
  })
  return { number: 1, at: 'n1/red', what: 'a frame', time: '0', input: toHex(input), steps, end: 'done' }
}

describe('the text of a trace', () => {
  it('can be read back, whatever the bytes', () => {
    const bytes = fc.uint8Array({ maxLength: 80 })
    fc.assert(
      fc.property(fc.array(bytes, { minLength: 1, maxLength: 6 }), (frames) => {
        const parsed = parseTraceText(traceText(through(frames)))
        expect(parsed.steps.length).toBe(frames.length)
        for (const [i, b] of frames.entries()) expect(toHex(bytesAt(parsed, i))).toBe(toHex(b))
      }),
    )
  })

  it('has columns beneath each other, times where there is time between, and no blanks at the end of a line', () => {
    const lines = traceText(through([Uint8Array.of(1, 2), Uint8Array.of(1, 3), Uint8Array.of(3)]))
    expect(lines).toEqual([
      'a frame, 2 bytes, came in at n1/red',
      '     0000  01 02',
      '   1  n1/red  enter',
      '     1.5 us later',
      '   2  n1      outbound NAT  as it is',
      '      @1    - 02  + 03',
      '     1.5 us later',
      '   3  n1      outbound NAT  as it is',
      '      @0    - 01',
    ])
  })

  it('says how much it leaves out, and is not read back then', () => {
    const long = through([Uint8Array.of(1), new Uint8Array(100), new Uint8Array(1)])
    const lines = traceText(long, { rows: 3 })
    expect(lines.some((line) => line.endsWith('... 51 bytes more'))).toBe(true)
    expect(() => parseTraceText(lines)).toThrow('bytes were left out of the text')
    expect(() => parseTraceText(traceText(long))).not.toThrow()
  })

  it('is coloured for people, and the same without', () => {
    const code =
      (n: number) =>
      (text: string): string =>
        `\x1b[${n}m${text}\x1b[0m`
    const colors = { bold: code(1), dim: code(2), red: code(31), green: code(32), yellow: code(33), cyan: code(36) }
    const report = trace(two, 'red', 'blue')
    const coloured = reportText(report, { colors, answer: true })
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what colours are
    const bare = coloured.map((line) => line.replace(/\x1b\[\d+m/g, ''))
    expect(bare.map((line) => line.trimEnd())).toEqual(reportText(report, { answer: true }))
    expect(coloured).not.toEqual(bare)
  })
})

describe('a question', () => {
  const ask = (...args: Parameters<typeof trace> extends [unknown, ...infer Rest] ? Rest : never): string => {
    return reportText(trace(two, ...args)).join('\n')
  }

  it('is followed from who asks for neighbours to the answer', () => {
    const { question, frames, remark } = trace(two, 'red', 'blue')
    expect([question, remark]).toEqual(['icmp red -> blue (10.0.0.2)', null])
    expect(frames.map((frame) => `${frame.role}: ${frame.what}`)).toEqual([
      'neighbour: ARP: who has 10.0.0.2? tell 10.0.0.1',
      'neighbour: ARP: 10.0.0.2 is at 02:00:00:00:00:0b',
      'sent: IPv4 10.0.0.1 -> 10.0.0.2, ICMP echo request',
      'answer: IPv4 10.0.0.2 -> 10.0.0.1, ICMP echo reply',
    ])
  })

  it('may be a connection, a datagram, who has an address, by either IP version', () => {
    const what = (...args: Parameters<typeof ask>): (string | undefined)[] => {
      const { frames } = trace(two, ...args)
      return (['sent', 'answer'] as const).map((role) => frames.find((frame) => frame.role === role)?.what)
    }
    expect(what('red', 'blue', { what: { tcp: 80 } })).toEqual([
      'IPv4 10.0.0.1 -> 10.0.0.2, TCP 49153 -> 80',
      'IPv4 10.0.0.2 -> 10.0.0.1, TCP 80 -> 49153',
    ])
    expect(what('red', 'fd00::2', { what: { udp: 7 } })).toEqual([
      'IPv6 fd00::1 -> fd00::2, UDP 40000 -> 7',
      'IPv6 fd00::2 -> fd00::1, UDP 7 -> 40000',
    ])
    expect(what('red', 'blue', { what: 'arp' })).toEqual([
      'ARP: who has 10.0.0.2? tell 10.0.0.1',
      'ARP: 10.0.0.2 is at 02:00:00:00:00:0b',
    ])
    expect(what('red', 'blue', { what: 'arp', family: 6 })).toEqual([
      'IPv6 fd00::1 -> ff02::1:ff00:2, ICMPv6 neighbour solicitation',
      'IPv6 fd00::2 -> fd00::1, ICMPv6 neighbour advertisement',
    ])
    expect(what('red', '', { what: { frame: 'ff:ff:ff:ff:ff:ff 02:00:00:00:00:0a 88b5' } })).toEqual([
      'type 0x88b5',
      undefined,
    ])
  })

  it('that is not answered says so', () => {
    expect(ask('red', '10.0.0.99')).toContain('never sent: nobody answered "ARP: who has 10.0.0.99? tell 10.0.0.1"')
    expect(ask('red', '192.0.2.1')).toContain('red has no route to 192.0.2.1: it is in none of its networks')
    expect(ask('red', '192.0.2.1', { what: { udp: 9 } })).toContain('red has no route to 192.0.2.1')
  })

  it('that cannot be put is refused', () => {
    expect(() => trace(two, 'rot', 'blue')).toThrow('there is no endpoint "rot" in two-namespaces; it has red, blue')
    expect(() => trace(two, 'red', 'blau')).toThrow('"blau" is neither an endpoint of two-namespaces nor an IP address')
    expect(() => trace(two, 'red', '10.0.0.2', { family: 6 })).toThrow('have no addresses of IPv6')
    expect(() => trace(two, 'red', '', { what: { frame: '0102' } })).toThrow('14 bytes at least, not 2')
    expect(() => trace(two, 'red', '', { what: { frame: 'xyz' } })).toThrow('not hexadecimal bytes: xyz')
  })

  it('may be put to a world that goes on: what is known there is known', () => {
    const world = buildInMemory(two)
    expect(trace(world, 'red', 'blue').frames.length).toBe(4)
    expect(trace(world, 'red', 'blue').frames.map((frame) => frame.role)).toEqual(['sent', 'answer'])
    expect(world.snapshot().ledger.balanced).toBe(true)
  })
})

describe('a trace as pcapng', () => {
  const { report } = asked(example('vxlan'), questions(example('vxlan'))[0] as ReturnType<typeof questions>[number])
  const file = tracePcapng(report.frames)

  it('has a record a step, with the bytes after it, on an interface of the port', () => {
    const reader = openCapture(file)
    const records = Array.from(reader)
    const steps = report.frames.flatMap((frame) => frame.steps.map((step, i) => ({ step, bytes: bytesAt(frame, i) })))
    expect(records.map((r) => toHex(r.data))).toEqual(steps.map(({ bytes }) => toHex(bytes)))
    records.forEach((record, i) => {
      const { step } = steps[i] as (typeof steps)[number]
      const atPort = step.kind === 'enter' || step.kind === 'leave'
      expect(record.interface.name).toBe(atPort ? step.where : step.node)
      expect(record.direction).toBe(atPort ? (step.kind === 'enter' ? 'inbound' : 'outbound') : undefined)
      expect(record.comments[0]).toContain(step.why.slice(0, 100))
    })
  })

  it('is read by tshark, comments included', (context) => {
    if (spawnSync('tshark', ['--version']).status !== 0) context.skip('tshark is not installed')
    const path = join(dir, 'trace.pcapng')
    writeFileSync(path, file)
    const fields = ['frame.interface_name', 'frame.comment'].flatMap((name) => ['-e', name])
    const { stdout, status } = spawnSync('tshark', ['-r', path, '-T', 'fields', ...fields], { encoding: 'utf8' })
    expect(status).toBe(0)
    const rows = stdout.trimEnd().split('\n')
    expect(rows.length).toBe(report.frames.reduce((sum, frame) => sum + frame.steps.length, 0))
    expect(rows.every((row) => /^\S+\tstep \d+\.\d+ /.test(row))).toBe(true)
    expect(rows.some((row) => row.startsWith('n1\t') && row.includes('VXLAN, VNI 42'))).toBe(true)
  })
})

it('a topology without a way says where the frame ended', () => {
  const nowhere = parseTopology(
    `
nodes:
  r:
    mode: router
    endpoints: { a: { ip: 10.0.1.2/24, gateway: 10.0.1.1/24 } }
    routes: [{ to: 10.8.0.0/16, blackhole: true }]
`,
    'net.yaml',
  )
  const report = trace(nowhere, 'a', '10.8.0.1')
  expect(report.remark).toBe('nobody answered')
  expect(report.frames.at(-1)?.steps.at(-1)).toMatchObject({ kind: 'drop', by: 'Blackhole', node: 'r' })
})
