import { tcp } from '@l2l3/switch-core/wire'
import type { Timeouts } from './timeouts.ts'

/*
 * The states of a TCP connection as one sees them who stands between its ends (Linux' nf_conntrack_proto_tcp).
 *
 *     SYN           SYN+ACK          ACK               FIN            ACK            FIN            ACK
 *   none -> SynSent ------> SynRecv ----> Established ----> FinWait ------> CloseWait ----> LastAck ----> TimeWait
 *              | SYN of the other side                          (RST in any state -> Close)
 *              v
 *           SynSent2 (both open at once; RFC 9293, 3.5)
 *
 * The tables say for each kind of segment - a row - and each state - a column - what the state is then. Names of states are two
 * letters; `--` is a segment that cannot be (`InvalidState`), `..` one that is let pass but believed in nothing: it may be old,
 * and the two ends know better (a SYN in an open connection is answered by a challenge, RFC 5961).
 *
 * The one in between cannot tell who closes first, only that one did: FinWait is "one end is done", whichever.
 */

/** States, by the numbers that stand in a record. */
export const TcpState = {
  None: 0,
  SynSent: 1,
  SynRecv: 2,
  Established: 3,
  FinWait: 4,
  CloseWait: 5,
  LastAck: 6,
  TimeWait: 7,
  Close: 8,
  SynSent2: 9,
} as const
/** A value of `TcpState`. */
export type TcpState = (typeof TcpState)[keyof typeof TcpState]

/** Names of states, as Linux' `conntrack` prints them. */
export const TCP_STATE_NAMES: readonly string[] = [
  'NONE',
  'SYN_SENT',
  'SYN_RECV',
  'ESTABLISHED',
  'FIN_WAIT',
  'CLOSE_WAIT',
  'LAST_ACK',
  'TIME_WAIT',
  'CLOSE',
  'SYN_SENT2',
]

/** Kinds of segment: rows of the tables. */
export const Segment = { Syn: 0, SynAck: 1, Fin: 2, Ack: 3, Rst: 4 } as const
/** A value of `Segment`. */
export type Segment = (typeof Segment)[keyof typeof Segment]

/** `tcpNext` of a segment that cannot be. */
export const TCP_INVALID = -1
/** `tcpNext` of a segment that passes and changes nothing. */
export const TCP_IGNORED = -2

const CODES = ['no', 'SS', 'SR', 'ES', 'FW', 'CW', 'LA', 'TW', 'CL', 'S2']

/** Reads a table: rows are segments, columns states in the order of their numbers. */
function table(text: string): Int8Array {
  const cells = text
    .trim()
    .split('\n')
    .flatMap((row) => row.trim().split(/\s+/).slice(1))
  return Int8Array.from(cells, (c) => (c === '--' ? TCP_INVALID : c === '..' ? TCP_IGNORED : CODES.indexOf(c)))
}

/** From the side that opened. Columns: no SS SR ES FW CW LA TW CL S2. */
const ORIGINAL = table(`
  syn      SS SS .. .. .. .. .. SS SS S2
  syn+ack  -- -- SR -- -- -- -- -- -- SR
  fin      -- -- FW FW LA LA LA TW CL --
  ack      ES -- ES ES CW CW TW TW CL --
  rst      -- CL CL CL CL CL CL CL CL CL
`)

/** From the side that answers. */
const REPLY = table(`
  syn      -- S2 -- -- -- -- -- SS -- S2
  syn+ack  -- SR .. .. .. .. .. .. .. SR
  fin      -- -- FW FW LA LA LA TW CL --
  ack      -- .. SR ES CW CW TW TW CL ..
  rst      -- CL CL CL CL CL CL CL CL CL
`)

/** The state after a segment of a direction (0: of the side that opened), or TCP_INVALID, or TCP_IGNORED. */
export function tcpNext(direction: number, segment: Segment, state: number): number {
  return (direction === 0 ? ORIGINAL : REPLY)[segment * CODES.length + state] as number
}

const { Fin, Syn, Rst, Ack, Urg, Psh, Ece, Cwr } = tcp.Flag

/** The combinations of flags that there are, but for PSH, ECE and CWR, which go with any: every other one is a forgery or a
 * probe. */
const SOUND = new Set([Syn, Syn | Urg, Syn | Ack, Rst, Rst | Ack, Fin | Ack, Fin | Ack | Urg, Ack, Ack | Urg])
const SEGMENTS: Int8Array = Int8Array.from({ length: 256 }, (_, flags) => {
  const sound = SOUND.has(flags & ~(Psh | Ece | Cwr))
  if (!sound) return TCP_INVALID
  if ((flags & Rst) !== 0) return Segment.Rst
  if ((flags & Syn) !== 0) return (flags & Ack) !== 0 ? Segment.SynAck : Segment.Syn
  return (flags & Fin) !== 0 ? Segment.Fin : Segment.Ack
})

/** What a segment with these flags is, or TCP_INVALID where they contradict each other. */
export function segmentOf(flags: number): Segment | -1 {
  return SEGMENTS[flags] as Segment | -1
}

/** Milliseconds by state. */
export function tcpTimeouts(t: Timeouts): Int32Array {
  const seconds = [
    t.tcpSynSent,
    t.tcpSynSent,
    t.tcpSynRecv,
    t.tcpEstablished,
    t.tcpFinWait,
    t.tcpCloseWait,
    t.tcpLastAck,
    t.tcpTimeWait,
    t.tcpClose,
    t.tcpSynSent,
  ]
  return Int32Array.from(seconds, (s) => s * 1000)
}
