// TCP as one sees it who stands between: each state, each segment, both directions.
import { describe, expect, it } from 'vitest'
import {
  Segment,
  segmentOf,
  TCP_IGNORED,
  TCP_INVALID,
  TCP_STATE_NAMES,
  TcpState,
  tcpNext,
} from '../../src/conntrack/tcp.ts'

const NO = 'invalid'
const SAME = 'ignored'

/** What becomes of each state by SYN, SYN+ACK, FIN, ACK, RST: from the side that opened, then from the other. Written from Linux'
 * documentation and RFC 9293, 3.6, state by state. */
const BOOK: Record<string, [string[], string[]]> = {
  NONE: [
    ['SYN_SENT', NO, NO, 'ESTABLISHED', NO],
    [NO, NO, NO, NO, NO],
  ],
  SYN_SENT: [
    ['SYN_SENT', NO, NO, NO, 'CLOSE'],
    ['SYN_SENT2', 'SYN_RECV', NO, SAME, 'CLOSE'],
  ],
  SYN_RECV: [
    [SAME, 'SYN_RECV', 'FIN_WAIT', 'ESTABLISHED', 'CLOSE'],
    [NO, SAME, 'FIN_WAIT', 'SYN_RECV', 'CLOSE'],
  ],
  ESTABLISHED: [
    [SAME, NO, 'FIN_WAIT', 'ESTABLISHED', 'CLOSE'],
    [NO, SAME, 'FIN_WAIT', 'ESTABLISHED', 'CLOSE'],
  ],
  FIN_WAIT: [
    [SAME, NO, 'LAST_ACK', 'CLOSE_WAIT', 'CLOSE'],
    [NO, SAME, 'LAST_ACK', 'CLOSE_WAIT', 'CLOSE'],
  ],
  CLOSE_WAIT: [
    [SAME, NO, 'LAST_ACK', 'CLOSE_WAIT', 'CLOSE'],
    [NO, SAME, 'LAST_ACK', 'CLOSE_WAIT', 'CLOSE'],
  ],
  LAST_ACK: [
    [SAME, NO, 'LAST_ACK', 'TIME_WAIT', 'CLOSE'],
    [NO, SAME, 'LAST_ACK', 'TIME_WAIT', 'CLOSE'],
  ],
  TIME_WAIT: [
    ['SYN_SENT', NO, 'TIME_WAIT', 'TIME_WAIT', 'CLOSE'],
    ['SYN_SENT', SAME, 'TIME_WAIT', 'TIME_WAIT', 'CLOSE'],
  ],
  CLOSE: [
    ['SYN_SENT', NO, 'CLOSE', 'CLOSE', 'CLOSE'],
    [NO, SAME, 'CLOSE', 'CLOSE', 'CLOSE'],
  ],
  SYN_SENT2: [
    ['SYN_SENT2', 'SYN_RECV', NO, NO, 'CLOSE'],
    ['SYN_SENT2', 'SYN_RECV', NO, SAME, 'CLOSE'],
  ],
}

describe.each(Object.entries(BOOK))('%s', (name, rows) => {
  it.each([0, 1])('direction %i', (direction) => {
    const segments = [Segment.Syn, Segment.SynAck, Segment.Fin, Segment.Ack, Segment.Rst]
    const found = segments.map((s) => {
      const next = tcpNext(direction, s, TCP_STATE_NAMES.indexOf(name))
      return next === TCP_INVALID ? NO : next === TCP_IGNORED ? SAME : TCP_STATE_NAMES[next]
    })
    expect(found).toEqual(rows[direction])
  })
})

it('both open at once, and close at once', () => {
  let state: number = TcpState.None
  const names: (string | undefined)[] = []
  for (const [direction, segment] of [
    [0, Segment.Syn],
    [1, Segment.Syn],
    [0, Segment.SynAck],
    [1, Segment.SynAck],
    [0, Segment.Ack],
    [0, Segment.Fin],
    [1, Segment.Fin],
    [0, Segment.Ack],
    [1, Segment.Ack],
  ] as const) {
    const next = tcpNext(direction, segment, state)
    if (next >= 0) state = next
    names.push(TCP_STATE_NAMES[state])
  }
  const open = ['SYN_SENT', 'SYN_SENT2', 'SYN_RECV', 'SYN_RECV', 'ESTABLISHED']
  expect(names).toEqual([...open, 'FIN_WAIT', 'LAST_ACK', 'TIME_WAIT', 'TIME_WAIT'])
})

it('flags: of 64 combinations nine are sound, whatever PSH, ECE and CWR say', () => {
  const [F, S, R, P, A, U, E, C] = [1, 2, 4, 8, 16, 32, 64, 128] as const
  const kinds = new Map<number, number>([
    [S, Segment.Syn],
    [S | U, Segment.Syn],
    [S | A, Segment.SynAck],
    [R, Segment.Rst],
    [R | A, Segment.Rst],
    [F | A, Segment.Fin],
    [F | A | U, Segment.Fin],
    [A, Segment.Ack],
    [A | U, Segment.Ack],
  ])
  for (let flags = 0; flags < 256; flags++) {
    expect([flags, segmentOf(flags)]).toEqual([flags, kinds.get(flags & ~(P | E | C)) ?? TCP_INVALID])
  }
})
