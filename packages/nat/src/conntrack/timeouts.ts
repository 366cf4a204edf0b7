import { checkRange } from '@l2l3/switch-core'

/*
 * How long a flow lasts without packets: named profiles, in seconds, and changes to them.
 *
 *     linux   the defaults of Linux' conntrack (modes.md 18.9), measured
 *     winnat  those of WinNAT (modes.md 6): ICMP 30, TCP 1800 and 120, UDP 120 and not renewed from outside
 *     rfc     the least that RFC 4787, 5382 and 5508 allow: UDP 5 minutes (REQ-5 recommends), TCP 2 hours 4 minutes and
 *             4 minutes, also after a reset (RFC 7857), ICMP 60 seconds
 */

/** Timeouts in seconds, each 1 to 1,000,000. */
export interface Timeouts {
  readonly tcpSynSent: number
  readonly tcpSynRecv: number
  readonly tcpEstablished: number
  readonly tcpFinWait: number
  readonly tcpCloseWait: number
  readonly tcpLastAck: number
  readonly tcpTimeWait: number
  /** After a reset. */
  readonly tcpClose: number
  /** Picked up in mid-stream and not answered yet, or alive after all after a reset. */
  readonly tcpUnacknowledged: number
  /** UDP and UDP-Lite until the stream is settled. */
  readonly udp: number
  /** UDP that is answered and goes on for more than two seconds. */
  readonly udpStream: number
  readonly icmp: number
  /** An association of SCTP that is being opened; DCCP likewise. */
  readonly sctpOpening: number
  readonly sctpEstablished: number
  /** An association of SCTP that is being closed, or was aborted. */
  readonly sctpClosing: number
  /** Everything else. */
  readonly generic: number
}

/** Names of profiles. */
export type TimeoutProfile = 'linux' | 'winnat' | 'rfc'

/** The profiles. */
export const TIMEOUTS: Readonly<Record<TimeoutProfile, Timeouts>> = {
  linux: {
    tcpSynSent: 120,
    tcpSynRecv: 60,
    tcpEstablished: 432_000,
    tcpFinWait: 120,
    tcpCloseWait: 60,
    tcpLastAck: 30,
    tcpTimeWait: 120,
    tcpClose: 10,
    tcpUnacknowledged: 300,
    udp: 30,
    udpStream: 120,
    icmp: 30,
    sctpOpening: 10,
    sctpEstablished: 210,
    sctpClosing: 10,
    generic: 600,
  },
  winnat: {
    tcpSynSent: 120,
    tcpSynRecv: 120,
    tcpEstablished: 1800,
    tcpFinWait: 120,
    tcpCloseWait: 120,
    tcpLastAck: 120,
    tcpTimeWait: 120,
    tcpClose: 10,
    tcpUnacknowledged: 120,
    udp: 120,
    udpStream: 120,
    icmp: 30,
    sctpOpening: 10,
    sctpEstablished: 210,
    sctpClosing: 10,
    generic: 600,
  },
  rfc: {
    tcpSynSent: 240,
    tcpSynRecv: 240,
    tcpEstablished: 7440,
    tcpFinWait: 240,
    tcpCloseWait: 240,
    tcpLastAck: 240,
    tcpTimeWait: 240,
    tcpClose: 240,
    tcpUnacknowledged: 300,
    udp: 300,
    udpStream: 300,
    icmp: 60,
    sctpOpening: 30,
    sctpEstablished: 7440,
    sctpClosing: 30,
    generic: 600,
  },
}

/** The timeouts of a profile with changes. Throws a RangeError with name and value. */
export function timeoutsOf(profile: TimeoutProfile = 'linux', changes: Partial<Timeouts> = {}): Timeouts {
  const base = TIMEOUTS[profile]
  if (base === undefined) throw new RangeError(`profile must be linux, winnat or rfc, not ${String(profile)}`)
  const all: Record<string, number> = { ...base }
  for (const [name, value] of Object.entries(changes)) {
    if (!(name in base)) throw new RangeError(`timeouts: there is no ${name}`)
    all[name] = checkRange(`timeouts.${name}`, value, 1, 1_000_000)
  }
  return all as unknown as Timeouts
}
