// How connections end, live on, and begin anew. States and times are those of Linux' `conntrack -L` (6.18), given the same packets,
// where nothing else is said.
import { describe, expect, it } from 'vitest'
import type { NatOptions } from '../../src/index.ts'
import { hex, INSIDE, Lab, OUTSIDE, packet, tcpPacket, udpPacket } from './lab.ts'

class Connection {
  readonly lab: Lab
  constructor(options: NatOptions = {}) {
    this.lab = Lab.masquerading(options)
  }
  client(flags: string, seq: number, ack = 0, data = 0): string[] {
    return this.lab.send(INSIDE, tcpPacket('10.22.0.11#5000 > 203.0.113.2#80', flags, { seq, ack, data }))
  }
  server(flags: string, seq: number, ack = 0, data = 0): string[] {
    return this.lab.send(OUTSIDE, tcpPacket('203.0.113.2#80 > 203.0.113.1#5000', flags, { seq, ack, data }))
  }
  open(): this {
    this.client('S', 100)
    this.server('SA', 900, 101)
    this.client('A', 101, 901)
    return this
  }
  /** State and seconds that are left of the only flow. */
  get state(): (string | number | null)[] {
    const flows = [...this.lab.nat.flows()].map((f) => [f.state, f.expiresIn])
    expect(flows).toHaveLength(1)
    return flows[0] as (string | number)[]
  }
}

describe('a new connection on the same port', () => {
  it('after a reset of the client', () => {
    const c = new Connection().open()
    c.client('R', 101)
    expect(c.state).toEqual(['CLOSE', 10])
    c.client('S', 70000)
    expect(c.state).toEqual(['SYN_SENT', 120])
    c.server('SA', 555, 70001)
    c.client('A', 70001, 556)
    expect(c.state).toEqual(['ESTABLISHED', 432_000])
    c.lab.seconds(12)
    expect(c.server('PA', 556, 70001, 4)).toHaveLength(1)
  })

  it.each([true, false])('while the old one awaits its last ACK (%s: the other side believes it)', (believed) => {
    const c = new Connection().open()
    c.client('FA', 101, 901)
    c.server('A', 901, 102)
    c.server('FA', 901, 102)
    expect(c.state).toEqual(['LAST_ACK', 30])
    c.client('S', 70000)
    expect(c.state).toEqual(['LAST_ACK', 30])
    if (believed) {
      c.server('SA', 555, 70001)
      expect(c.state).toEqual(['SYN_RECV', 60])
      c.client('A', 70001, 556)
      expect(c.state).toEqual(['ESTABLISHED', 432_000])
    } else {
      // An answer to something else; a challenge (RFC 5961, 4.2), which acknowledges no FIN.
      c.server('SA', 555, 60001)
      c.server('A', 902, 102)
      expect(c.state).toEqual(['LAST_ACK', 30])
      c.client('A', 102, 902)
      expect(c.state).toEqual(['TIME_WAIT', 120])
    }
  })
})

describe('a reset that one side did not send', () => {
  it.each(['linux', 'rfc'] as const)('leaves the connection when that side goes on (%s)', (profile) => {
    const c = new Connection({ profile }).open()
    const { tcpClose, tcpUnacknowledged, tcpEstablished } = c.lab.nat.conntrack.timeouts
    c.server('R', 0x7fff_ffff)
    expect(c.state).toEqual(['CLOSE', tcpClose])
    // What was on its way to who seems to have reset proves nothing.
    c.client('PA', 101, 901, 8)
    expect(c.state).toEqual(['CLOSE', tcpClose])
    c.server('A', 901, 109)
    expect(c.state).toEqual(['ESTABLISHED', tcpUnacknowledged])
    c.client('PA', 109, 901, 8)
    expect(c.state).toEqual(['ESTABLISHED', tcpEstablished])
    c.lab.seconds(600)
    expect(c.server('PA', 901, 117, 8)).toHaveLength(1)
  })

  it('ends what never was a connection, and what a side does not go on with', () => {
    const c = new Connection().open()
    c.client('R', 101)
    for (let i = 0; i < 3; i++) c.server('PA', 901, 101, 8)
    expect(c.state).toEqual(['CLOSE', 10])
    const refused = new Connection()
    refused.client('S', 100)
    refused.server('RA', 0, 101)
    expect([...refused.lab.nat.flows()]).toEqual([])
  })

  it('of the profile rfc leaves four minutes (RFC 7857, 2.2)', () => {
    expect(new Connection({ profile: 'rfc' }).lab.nat.conntrack.timeouts.tcpClose).toBe(240)
  })
})

it('an association of SCTP outlives an ABORT with a tag that is not its own', () => {
  const lab = Lab.masquerading()
  const sctp = (side: number, tag: string, chunk: string): string[] => {
    const [src, dst] = side === INSIDE ? ['10.22.0.11', '203.0.113.2'] : ['203.0.113.2', '203.0.113.1']
    const ports = side === INSIDE ? '1388 8e3c' : '8e3c 1388'
    return lab.send(side, packet({ src, dst }, 132, hex(`${ports} ${tag} 00000000 ${chunk}`)))
  }
  const left = (): number[] => [...lab.nat.flows()].map((f) => f.expiresIn)
  const data = '00030014 00000001 00000000 00000000 41414141'
  sctp(INSIDE, '00000000', '01000014 0000002a 0000ffff 00010001 0000002b')
  sctp(OUTSIDE, '0000002a', '0b000004')
  sctp(INSIDE, '0000002c', data)
  expect(left()).toEqual([210])
  sctp(OUTSIDE, 'deadbeef', '06000004')
  sctp(INSIDE, '0000002c', data)
  expect(left()).toEqual([10])
  sctp(OUTSIDE, '0000002a', '04000008 00010004')
  expect(left()).toEqual([210])
})

describe('the first answer', () => {
  it('leaves a connection that was picked up at the short time', () => {
    const c = new Connection()
    c.client('A', 100, 5)
    expect(c.state).toEqual(['ESTABLISHED', 300])
    c.server('A', 5, 100)
    expect(c.state).toEqual(['ESTABLISHED', 300])
    c.client('A', 100, 5)
    expect(c.state).toEqual(['ESTABLISHED', 432_000])
  })

  it('makes no stream of UDP, however late it comes', () => {
    const lab = Lab.masquerading()
    const flow = (): unknown[] => [...lab.nat.flows()].map((f) => [f.expiresIn, f.assured])
    lab.send(INSIDE, udpPacket('10.22.0.11#5000 > 203.0.113.2#53'))
    lab.seconds(3)
    lab.send(OUTSIDE, udpPacket('203.0.113.2#53 > 203.0.113.1#5000'))
    expect(flow()).toEqual([[30, false]])
    lab.send(OUTSIDE, udpPacket('203.0.113.2#53 > 203.0.113.1#5000'))
    expect(flow()).toEqual([[120, true]])
  })
})
