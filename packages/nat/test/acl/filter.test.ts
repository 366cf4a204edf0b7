// Flows at the port of a pod, 10.1.0.2 and fd00:1::2: who may begin one, that answers pass, and what happens when rules change.
import { Drop, type Frame, type FrameTrace } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import type { AclRule } from '../../src/index.ts'
import { echo, hex, icmpPacket, rawPacket, tcpPacket, udpPacket } from '../engine/lab.ts'
import { FilterLab } from './lab.ts'

const POD = '10.1.0.2'
const DB = '10.0.0.9'
const denyDb: AclRule = {
  name: 'deny-db',
  action: 'block',
  direction: 'out',
  protocols: [6],
  remoteAddresses: ['10.0.0.0/8'],
  remotePorts: [3306],
  priority: 200,
}
const noneIn: AclRule = { name: 'none-in', action: 'block', direction: 'in', priority: 300 }

const query = udpPacket(`${POD}#5000 > ${DB}#53`)
const answer = udpPacket(`${DB}#53 > ${POD}#5000`)

describe('a flow', () => {
  it('that the pod begins gets its answers, though nobody may begin one from outside', () => {
    const lab = new FilterLab({ rules: [noneIn] })
    expect(lab.in(answer)).toBe(false)
    expect(lab.out(query)).toBe(true)
    expect(lab.in(answer)).toBe(true)
    expect(lab.in(udpPacket(`${DB}#54 > ${POD}#5000`))).toBe(false)
    expect(lab.drops).toEqual({ AclBlock: 2 })
  })

  it('of TCP: opened, carried on, and not from the other side', () => {
    const lab = new FilterLab({ rules: [noneIn, denyDb] })
    const to = `${POD}#40000 > ${DB}#80`
    const fro = `${DB}#80 > ${POD}#40000`
    expect(lab.in(tcpPacket(fro, 'S'))).toBe(false)
    expect(lab.out(tcpPacket(to, 'S'))).toBe(true)
    expect(lab.in(tcpPacket(fro, 'SA'))).toBe(true)
    for (let i = 0; i < 3; i++) {
      expect(lab.send(true, [tcpPacket(to, 'A'), tcpPacket(to, 'A')])).toEqual([true, true])
      expect(lab.send(false, [tcpPacket(fro, 'A'), tcpPacket(fro, 'A')])).toEqual([true, true])
    }
    expect(lab.out(tcpPacket(`${POD}#40000 > ${DB}#3306`, 'S'))).toBe(false)
    const [flow] = [...lab.filter.flows()]
    expect(flow).toMatchObject({ state: 'ESTABLISHED', original: { packets: 7 }, reply: { packets: 7 } })
  })

  it('is no answer from the wrong side', () => {
    const lab = new FilterLab({
      rules: [noneIn, { ...noneIn, direction: 'out', remotePorts: [5000], protocols: [17] }],
    })
    expect(lab.out(query)).toBe(true)
    expect(lab.out(answer)).toBe(false)
    expect(lab.in(query)).toBe(false)
    expect(lab.in(answer)).toBe(true)
  })

  it('passes the ports of both its ends, each by its own rules', () => {
    const lab = new FilterLab({ rules: [noneIn] })
    const db = lab.filter.addPort('db', { rules: [{ ...denyDb, direction: 'in', remotePorts: [], protocols: [17] }] })
    expect(lab.send(true, [query])).toEqual([true])
    expect(lab.send(false, [query], db)).toEqual([false])
    db.setRules({})
    expect(lab.send(false, [query], db)).toEqual([true])
    expect(lab.send(true, [answer], db)).toEqual([true])
    expect(lab.send(false, [answer])).toEqual([true])
    expect([...lab.filter.flows()].map((f) => [f.original.zone, f.reply.zone])).toEqual([
      [0, 1],
      [3, 2],
    ])
  })

  it('of IPv6, of ping, of a protocol without ports', () => {
    const lab = new FilterLab({ rules: [noneIn] })
    const six = ['fd00:1::2#5000 > fd00:9::9#53', 'fd00:9::9#53 > fd00:1::2#5000'] as const
    expect(lab.in(udpPacket(six[1]))).toBe(false)
    expect(lab.out(udpPacket(six[0]))).toBe(true)
    expect(lab.in(udpPacket(six[1]))).toBe(true)
    expect(lab.in(echo(`${DB}#7 > ${POD}`, 0))).toBe(false)
    expect(lab.out(echo(`${POD}#7 > ${DB}`))).toBe(true)
    expect(lab.in(echo(`${DB}#7 > ${POD}`, 0))).toBe(true)
    expect(lab.in(echo(`${DB}#8 > ${POD}`, 0))).toBe(false)
    expect(lab.in(rawPacket(`${DB} > ${POD}`, 47))).toBe(false)
    expect(lab.out(rawPacket(`${POD} > ${DB}`, 47))).toBe(true)
    expect(lab.in(rawPacket(`${DB} > ${POD}`, 47))).toBe(true)
    expect(lab.filter.addresses.size).toBe(2)
    lab.seconds(700)
    expect([lab.filter.conntrack.size, lab.filter.addresses.size]).toEqual([0, 0])
  })

  it('and the ICMP errors about it; those about none are judged by themselves', () => {
    const lab = new FilterLab({ rules: [noneIn] })
    const error = (about: string): string => icmpPacket({ src: '10.9.9.9', dst: POD }, 3, 3, 0, hex(about))
    expect(lab.in(error(query))).toBe(false)
    lab.out(query)
    expect(lab.in(error(query))).toBe(true)
    expect(lab.in(error(udpPacket(`${POD}#5001 > ${DB}#53`)))).toBe(false)
  })

  it('in fragments: the first is judged, the others follow, also those that come before', () => {
    const lab = new FilterLab({ rules: [noneIn, { ...denyDb, protocols: [17], remotePorts: [99] }] })
    const pieces = (text: string, id: number): [string, string] => {
      const whole = hex(udpPacket(text, { data: 1000 }))
      const piece = (at: number, n: number, more: boolean): string => {
        const b = Uint8Array.from([...whole.subarray(0, 20), ...whole.subarray(20 + at, 20 + at + n)])
        const view = new DataView(b.buffer)
        view.setUint16(2, b.length)
        view.setUint16(4, id)
        view.setUint16(6, (more ? 0x2000 : 0) | (at >>> 3))
        return Buffer.from(b).toString('hex')
      }
      return [piece(0, 800, true), piece(800, 208, false)]
    }
    const good = pieces(`${POD}#5000 > ${DB}#53`, 1)
    expect(lab.send(true, good)).toEqual([true, true])
    const bad = pieces(`${POD}#5000 > ${DB}#99`, 2)
    expect(lab.send(true, bad)).toEqual([false, false])
    const late = pieces(`${POD}#5000 > ${DB}#53`, 3)
    expect(lab.out(late[1])).toBe(false)
    expect(lab.filter.fragments.held).toBe(1)
    expect(lab.out(late[0])).toBe(true)
    // It comes again by the link, to the element whose batch nobody takes on this bench.
    lab.loop.settle()
    expect(lab.filter.fragments).toMatchObject({ held: 0, packets: 1 })
    expect(lab.drops).toEqual({ AclBlock: 2, Unclaimed: 1 })
    // When the rules change, so do fragments that follow.
    const last = pieces(`${POD}#5000 > ${DB}#53`, 4)
    expect(lab.out(last[0])).toBe(true)
    lab.port.setRules({ rules: [{ action: 'block', direction: 'out' }] })
    expect(lab.out(last[1])).toBe(false)
  })
})

describe('packets of no flow', () => {
  it('pass where they are not IP; in VLANs and to groups they are judged', () => {
    const lab = new FilterLab({ rules: [{ action: 'block', direction: 'out' }] })
    const arp = lab.frame(new Uint8Array(28))
    lab.pool.bytes.set([8, 6], (lab.pool.off[arp] as number) + 12)
    const tagged = lab.frame(hex(query), [0x81, 0, 0, 5])
    const twice = lab.frame(hex(query), [0x88, 0xa8, 0, 7, 0x81, 0, 0, 5])
    const group = lab.frame(hex(udpPacket(`${POD}#5353 > 224.0.0.251#5353`)))
    lab.pool.bytes.set([1, 0, 0x5e], lab.pool.off[group] as number)
    const passed = lab.pass(true, [tagged, arp, twice, group])
    expect(passed).toEqual([arp])
    lab.pool.sent(arp)
    expect(lab.drops).toEqual({ AclBlock: 3 })
  })

  it('neighbour discovery passes whatever rules say, unless they are to say it', () => {
    const solicit = icmpPacket({ src: 'fd00:1::2', dst: 'fd00:1::1', ttl: 255 }, 135, 0, 0, new Uint8Array(16))
    const far = icmpPacket({ src: 'fd00:1::2', dst: 'fd00:1::1', ttl: 64 }, 135, 0, 0, new Uint8Array(16))
    const rules: AclRule[] = [{ action: 'block', direction: 'out' }]
    expect(new FilterLab({ rules }).send(true, [solicit, far])).toEqual([true, false])
    expect(new FilterLab({ rules }, { neighbourDiscovery: 'judge' }).send(true, [solicit, far])).toEqual([false, false])
  })

  it('that cannot begin one are dropped, or judged by rules alone', () => {
    const reset = tcpPacket(`${POD}#40000 > ${DB}#80`, 'R')
    const lab = new FilterLab()
    expect(lab.out(reset)).toBe(false)
    expect(lab.drops).toEqual({ InvalidState: 1 })
    expect(new FilterLab({}, { invalid: 'judge' }).out(reset)).toBe(true)
    expect(new FilterLab({ rules: [{ ...denyDb, remotePorts: [80] }] }, { invalid: 'judge' }).out(reset)).toBe(false)
  })

  it('malformed ones are dropped', () => {
    const lab = new FilterLab()
    expect(lab.send(true, [query.slice(0, 56), query.slice(0, 38), '6000'])).toEqual([false, false, false])
    expect(lab.drops).toEqual({ Malformed: 3 })
  })
})

describe('when rules change', () => {
  it('flows are judged again at their next packet, and go on when they are allowed again', () => {
    const lab = new FilterLab()
    for (const p of [query, answer, query]) lab.send(p !== answer, [p])
    lab.clock.advance(3e9)
    expect([lab.out(query), lab.in(answer), lab.out(query)]).toEqual([true, true, true])
    lab.port.setRules({ rules: [{ action: 'block', direction: 'out', remotePorts: [53], protocols: [17] }] })
    // What the other side sends begins no flow of its own, though it might.
    expect([lab.in(answer), lab.out(query), lab.in(answer)]).toEqual([false, false, false])
    expect(lab.filter.counters).toMatchObject({ judged: 1, rejudged: 1, changed: 1 })
    lab.port.setRules({})
    expect([lab.in(answer), lab.out(query)]).toEqual([true, true])
    expect(lab.filter.conntrack.counters.made).toBe(1)
  })

  it('who was to get the answers may begin a connection of its own', () => {
    const lab = new FilterLab()
    const to = `${POD}#40000 > ${DB}#80`
    const fro = `${DB}#80 > ${POD}#40000`
    expect([lab.out(tcpPacket(to, 'S')), lab.in(tcpPacket(fro, 'SA'))]).toEqual([true, true])
    lab.port.setRules({ rules: [{ action: 'block', direction: 'out' }] })
    expect(lab.in(tcpPacket(fro, 'SA'))).toBe(false)
    expect(lab.in(tcpPacket(fro, 'S'))).toBe(true)
    expect(lab.out(tcpPacket(to, 'SA'))).toBe(true)
  })

  it('ticks come to all flows, after which they go the fast way again', () => {
    const lab = new FilterLab({}, { maxFlows: 4096 })
    for (let i = 0; i < 4000; i++) lab.out(udpPacket(`${POD}#${1000 + i} > ${DB}#53`))
    lab.port.setRules({ rules: [{ action: 'block', direction: 'out', localPorts: ['1000-1999'], protocols: [17] }] })
    expect(lab.port.unsettled).toBe(4096)
    lab.seconds(1)
    expect(lab.port.unsettled).toBe(0)
    expect(lab.filter.counters).toMatchObject({ rejudged: 4000, changed: 1000 })
    expect([lab.out(udpPacket(`${POD}#1999 > ${DB}#53`)), lab.out(udpPacket(`${POD}#2000 > ${DB}#53`))]).toEqual([
      false,
      true,
    ])
  })

  it('they go on as they are, where a firewall is to be like that of Linux', () => {
    const lab = new FilterLab({}, { onChange: 'keep' })
    lab.out(query)
    lab.port.setRules({ rules: [{ action: 'block', direction: 'out' }, noneIn] })
    expect([lab.in(answer), lab.out(query), lab.out(udpPacket(`${POD}#6000 > ${DB}#53`))]).toEqual([true, true, false])
    lab.seconds(200)
    expect(lab.out(query)).toBe(false)
  })

  it('a refusal that was remembered is forgotten', () => {
    const lab = new FilterLab({ rules: [denyDb] })
    const open = tcpPacket(`${POD}#40000 > ${DB}#3306`, 'S')
    expect(lab.send(true, [open, open, open])).toEqual([false, false, false])
    expect([lab.filter.counters.judged, lab.filter.refusals.known]).toEqual([1, 2])
    lab.port.setRules({})
    expect(lab.out(open)).toBe(true)
    expect(lab.port.rules).toEqual([])
  })

  it('rules that make no sense change nothing', () => {
    const lab = new FilterLab({ rules: [denyDb] })
    expect(() => lab.port.setRules({ rules: [{ ...denyDb, priority: -1 }] })).toThrow('rules[0].priority')
    expect(lab.port.rules.map((r) => r.name)).toEqual(['deny-db'])
    expect(lab.port.unsettled).toBe(0)
  })
})

it("a port that is taken off leaves nothing; its number is the next one's, and its flows are not", () => {
  const lab = new FilterLab()
  const { port } = lab
  lab.out(query)
  lab.out(udpPacket('fd00:1::2#5000 > fd00:9::9#53'))
  lab.filter.removePort(port)
  expect([lab.filter.conntrack.size, lab.filter.addresses.size]).toEqual([0, 0])
  expect(() => lab.filter.removePort(port)).toThrow('port pod is not one of this filter')
  const next = lab.filter.addPort('next', { rules: [noneIn] })
  expect(next.number).toBe(port.number)
  expect(lab.send(false, [answer], next)).toEqual([false])
})

it('a frame that others hold too passes as it is, without a copy, and is counted', () => {
  const lab = new FilterLab({ defaults: 'allow' })
  const packet = udpPacket('10.244.1.2#5000 > 198.51.100.1#53')
  // The second packet of a flow that was answered goes the fast way.
  expect(lab.out(packet)).toBe(true)
  expect(lab.in(udpPacket('198.51.100.1#53 > 10.244.1.2#5000'))).toBe(true)
  const f = lab.frame(hex(packet))
  lab.pool.share(f, 1)
  expect(lab.pass(true, [f])).toEqual([f])
  expect(lab.pool.refs[f]).toBe(2)
  lab.pool.sent(f)
  lab.pool.sent(f)
  expect([...lab.filter.flows()]).toMatchObject([{ original: { packets: 2 }, reply: { packets: 1 } }])
  expect(lab.pool.report()).toMatchObject({ balanced: true, held: 0 })
})

it('a table that is full refuses flows that rules allow', () => {
  const lab = new FilterLab({}, { maxFlows: 16 })
  for (let i = 0; i < 17; i++) lab.out(udpPacket(`${POD}#${1000 + i} > ${DB}#53`))
  expect(lab.drops).toEqual({ ConntrackFull: 1 })
  lab.filter.close()
  expect(lab.filter.conntrack.size).toBe(0)
})

it('says which rule decided', () => {
  const lab = new FilterLab({ rules: [denyDb] })
  const told: string[] = []
  const trace: FrameTrace = {
    follows: () => true,
    note: (_f: Frame, by, why) => told.push(`${by}: ${why}`),
    derived: () => {},
  }
  lab.pool.trace = trace
  lab.out(tcpPacket(`${POD}#40000 > ${DB}#3306`, 'S'))
  lab.out(query)
  lab.in(answer)
  lab.in(icmpPacket({ src: '10.9.9.9', dst: POD }, 3, 3, 0, hex(query)))
  lab.port.setRules({ rules: [{ name: 'quiet', action: 'block', direction: 'out' }] })
  lab.out(query)
  lab.pool.trace = null
  expect(told).toEqual([
    'acl: rule "deny-db" (priority 200, block out tcp 10.0.0.0/8:3306) matched',
    'acl: no rule matched, and the defaults are "process"',
    'acl: a flow that is allowed: no rule matched, and the defaults are "process"',
    'acl: an ICMP error about a flow that is allowed',
    'acl: a flow that is blocked: rule "quiet" (priority 0, block out any any) matched',
  ])
  expect(Drop.AclBlock).toBeGreaterThan(0)
})

it.each([
  [{ onChange: 'forget' as 'keep' }, 'onChange must be rejudge or keep, not forget'],
  [{ invalid: 'pass' as 'drop' }, 'invalid must be drop or judge, not pass'],
  [{ neighbourDiscovery: 'drop' as 'pass' }, 'neighbourDiscovery must be pass or judge, not drop'],
  [{ refusals: 100 }, 'refusals must be a power of two, not 100'],
])('refuses %j', (options, message) => expect(() => new FilterLab({}, options)).toThrow(message))
