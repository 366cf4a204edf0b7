import { EventEmitter } from 'node:events'
import { stripVTControlCharacters } from 'node:util'
import type { Snapshot } from '@l2l3/topology'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { LiveView, liveLines, share, type Terminal } from '../src/live.ts'

/* What `l2l3 up` shows on a terminal: the lines of a screen, and how they get there. */

const port = (name: string, counters: Partial<Snapshot['ports'][number]> = {}): Snapshot['ports'][number] => {
  const none = { rxFrames: 0, rxBytes: 0, txFrames: 0, txBytes: 0, dropped: 0, portDropped: 0 }
  return { node: 'sw1', port: name, state: 'up', offloads: '-', ...none, ...counters }
}
const entry = (i: number): Snapshot['fdb'][number] => {
  return {
    node: 'sw1',
    mac: `02:00:00:00:00:${String(i).padStart(2, '0')}`,
    vlan: 0,
    port: 'red',
    kind: 'dynamic',
    age: i * 1000,
  }
}
const ledger = { received: 0, originated: 0, copied: 0, sent: 0, held: 0, dropped: {}, balanced: true }
const state = (parts: Partial<Snapshot> = {}): Snapshot => {
  return {
    ...{ name: 'two', ports: [port('red')], fdb: [], neighbours: [], routes: [], flows: [], services: [] },
    ledger,
    ...parts,
  }
}
const BIG = { columns: 200, rows: 100 }

it('shows rates from two snapshots, and none from one', () => {
  const before = state({ ports: [port('red', { rxFrames: 1000, rxBytes: 1_000_000 }), port('blue')] })
  const after = state({
    ports: [
      port('red', { rxFrames: 3000, rxBytes: 3_500_000, dropped: 7 }),
      port('blue', { txFrames: 3, txBytes: 180 }),
    ],
    ledger: { ...ledger, dropped: { TtlExceeded: 10 } },
  })
  expect(liveLines(null, { snapshot: before, at: 0 }, BIG, ['two'])).toEqual([
    'two',
    '',
    'Ports (2)',
    '  port      state  rx/s  rx bit/s  tx/s  tx bit/s  rx frames  tx frames  dropped',
    '  sw1/red   up        -         -     -         -      1,000          0        0',
    '  sw1/blue  up        -         -     -         -          0          0        0',
  ])
  expect(liveLines({ snapshot: before, at: 500 }, { snapshot: after, at: 2500 }, BIG, ['two'])).toEqual([
    'two',
    '',
    'Ports (2)',
    '  port      state   rx/s  rx bit/s  tx/s  tx bit/s  rx frames  tx frames  dropped',
    '  sw1/red   up     1,000   10.00 M     0         0      3,000          0        7',
    '  sw1/blue  up         0         0     2       720          0          3        0',
    '',
    'Drops (1)',
    '  reason       frames/s  frames  meaning',
    expect.stringMatching(/^ {2}TtlExceeded {9}5 {6}10 {2}\w/),
  ])
})

it('has no rate for a counter that began anew, as of a port that was removed and added', () => {
  const before = state({ ports: [port('red', { rxFrames: 1000 })] })
  const after = state({ ports: [port('red', { rxFrames: 5 }), port('new', { rxFrames: 9 })] })
  const lines = liveLines({ snapshot: before, at: 0 }, { snapshot: after, at: 1000 }, BIG, [])
  expect(lines.slice(-2).map((line) => line.trim().split(/ +/)[2])).toEqual(['-', '-'])
})

it('cuts tables that do not fit, and says how many more there are', () => {
  const snapshot = state({ ports: [port('a'), port('b')], fdb: Array.from({ length: 50 }, (_, i) => entry(49 - i)) })
  const lines = liveLines(null, { snapshot, at: 0 }, { columns: 80, rows: 14 }, ['two'])
  expect(lines).toHaveLength(14)
  // Ports need two rows and get them; the rest is the address table's, the latest heard first.
  expect(lines.slice(6)).toEqual([
    '',
    'FDB (50)',
    '  node  address            VLAN  port  kind     heard',
    ...[0, 1, 2, 3].map((i) => `  sw1   02:00:00:00:00:0${i}  -     red   dynamic    ${i} s`),
    '  ... and 46 more',
  ])
})

it('fits any terminal, whatever there is to show', () => {
  const list = <T>(row: (i: number) => T): fc.Arbitrary<T[]> =>
    fc.nat(60).map((n) => Array.from({ length: n }, (_, i) => row(i)))
  const snapshots = fc
    .record({
      ports: list((i) => port(`port-${i}`, { rxFrames: i * 1e9 })),
      fdb: list(entry),
      neighbours: list((i) => ({ node: 'r', port: 'up', address: `10.0.0.${i}`, mac: null, state: 'incomplete' })),
    })
    .map(state)
  const sizes = fc.record({ columns: fc.integer({ min: 1, max: 250 }), rows: fc.integer({ min: 1, max: 90 }) })
  fc.assert(
    fc.property(
      snapshots,
      sizes,
      fc.array(fc.string({ maxLength: 300 }), { maxLength: 4 }),
      (snapshot, size, header) => {
        const lines = liveLines(null, { snapshot, at: 0 }, size, header)
        expect(lines.length).toBeLessThanOrEqual(size.rows)
        for (const line of lines) expect(line.length).toBeLessThanOrEqual(size.columns)
      },
    ),
    { numRuns: 300 },
  )
})

it('shares lines so that nobody waits while others have more than they need', () => {
  expect(share([2, 50, 3], 20)).toEqual([2, 15, 3])
  expect(share([50, 50], 21)).toEqual([10, 11])
  expect(share([5, 5], -3)).toEqual([0, 0])
  fc.assert(
    fc.property(fc.array(fc.nat(100)), fc.nat(300), (needs, room) => {
      const shares = share(needs, room)
      const sum = (list: number[]): number => list.reduce((a, b) => a + b, 0)
      shares.forEach((part, i) => {
        expect(part).toBeLessThanOrEqual(needs[i] as number)
      })
      expect(sum(shares)).toBe(Math.min(sum(needs), needs.length === 0 ? 0 : room))
    }),
  )
})

/** A terminal that keeps what is written to it. */
class Paper extends EventEmitter implements Terminal {
  isTTY = true
  columns = 60
  rows = 12
  writableLength = 0
  written: string[] = []
  write(text: string): boolean {
    this.written.push(text)
    return true
  }
}

it('writes each screen in one piece over the one before, anew when the size changes, and gives the terminal back', async () => {
  const paper = new Paper()
  const view = new LiveView(
    paper,
    async () => state(),
    () => ['two in memory'],
  )
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(paper.written).toHaveLength(2)
  expect(paper.written[0]).toBe('\x1b[?1049h\x1b[?25l')
  const screen = paper.written[1] as string
  expect(screen.startsWith('\x1b[?2026h\x1b[H')).toBe(true)
  expect(screen.endsWith('\x1b[K\x1b[J\x1b[?2026l')).toBe(true)
  // Nothing is cleared before something is written there.
  expect(screen).not.toContain('\x1b[2J')
  paper.columns = 10
  paper.emit('resize')
  expect(paper.written).toHaveLength(3)
  const plain = stripVTControlCharacters(paper.written[2] as string)
  for (const line of plain.split('\r\n')) expect(line.length).toBeLessThanOrEqual(10)
  // One that does not keep up is not written to.
  paper.writableLength = 1
  paper.emit('resize')
  expect(paper.written).toHaveLength(3)
  view.stop()
  view.stop()
  expect(paper.written.slice(3)).toEqual(['\x1b[?25h\x1b[?1049l'])
  expect([paper.listenerCount('resize'), process.listeners('exit').includes(view.stop)]).toEqual([0, false])
})
