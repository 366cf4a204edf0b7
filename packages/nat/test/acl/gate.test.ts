// The filter at a router, alone and beside a NAT: what is forwarded, what is for the node, fragments.
import type { RouterInterface } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import { type AclOptions, Filter, FilterGate, type FilterPort, GateRow } from '../../src/index.ts'
import { hex, INSIDE, Lab, OUTSIDE, tcpPacket, udpPacket } from '../engine/lab.ts'

const POD = '10.22.0.11'
const SERVER = '203.0.113.2'

/** The lab of the NAT, with a filter as its gate: alone, or behind the NAT. */
function gated(
  acl: AclOptions,
  more: { nat?: boolean; beyond?: 'endpoint' | 'network' } = {},
): {
  lab: Lab
  filter: Filter
  port: FilterPort
  gate: FilterGate
} {
  const lab = Lab.masquerading()
  const filter = new Filter(lab.loop)
  const port = filter.addPort('eth0', acl)
  const gate = new FilterGate(filter)
  gate.attach(
    lab.ifaces[more.beyond === 'network' ? OUTSIDE : INSIDE] as RouterInterface,
    port,
    more.beyond ?? 'endpoint',
  )
  lab.router.gate = more.nat === true ? new GateRow(lab.nat, gate) : gate
  return { lab, filter, port, gate }
}

describe('at a router', () => {
  it('what arrives from an endpoint goes out of it, and its answers come back', () => {
    const { lab } = gated({ rules: [{ action: 'block', direction: 'in' }] })
    expect(lab.say(OUTSIDE, udpPacket(`${SERVER}#53 > ${POD}#5000`))).toEqual([])
    expect(lab.say(INSIDE, udpPacket(`${POD}#5000 > ${SERVER}#53`))).toEqual([`1: udp ${POD}#5000 > ${SERVER}#53`])
    expect(lab.say(OUTSIDE, udpPacket(`${SERVER}#53 > ${POD}#5000`))).toEqual([`0: udp ${SERVER}#53 > ${POD}#5000`])
    expect(lab.pool.report().dropped).toEqual({ AclBlock: 1 })
  })

  it('what arrives from a network goes in', () => {
    const { lab } = gated({ rules: [{ action: 'block', direction: 'in', protocols: [6] }] }, { beyond: 'network' })
    expect(lab.say(OUTSIDE, tcpPacket(`${SERVER}#4000 > ${POD}#80`, 'S'))).toEqual([])
    expect(lab.say(OUTSIDE, udpPacket(`${SERVER}#53 > ${POD}#5000`))).toHaveLength(1)
    expect(lab.say(INSIDE, tcpPacket(`${POD}#80 > ${SERVER}#4000`, 'S'))).toHaveLength(1)
  })

  it('beside a NAT it sees inside addresses, both ways', () => {
    const { lab } = gated(
      {
        rules: [
          { action: 'allow', direction: 'out', localAddresses: [POD] },
          { action: 'block', direction: 'out' },
          { action: 'block', direction: 'in' },
        ].map((rule, i) => ({ ...rule, priority: i }) as never),
      },
      { nat: true },
    )
    expect(lab.say(INSIDE, udpPacket(`${POD}#5000 > ${SERVER}#53`))).toEqual([`1: udp 203.0.113.1#5000 > ${SERVER}#53`])
    expect(lab.say(OUTSIDE, udpPacket(`${SERVER}#53 > 203.0.113.1#5000`))).toEqual([
      `0: udp ${SERVER}#53 > ${POD}#5000`,
    ])
    expect(lab.say(INSIDE, udpPacket(`10.22.0.12#5000 > ${SERVER}#53`))).toEqual([])
  })

  it('fragments out of order leave in order, judged by the first', () => {
    const { lab, filter } = gated({ rules: [{ action: 'block', direction: 'in', remotePorts: [99], protocols: [17] }] })
    const pieces = (port: number, id: number): string[] => {
      const whole = hex(udpPacket(`${SERVER}#${port} > ${POD}#5000`, { data: 1000 }))
      return [
        [0, 800],
        [800, 208],
      ].map(([at, n]) => {
        const b = Uint8Array.from([
          ...whole.subarray(0, 20),
          ...whole.subarray(20 + (at as number), 20 + (at as number) + (n as number)),
        ])
        const view = new DataView(b.buffer)
        view.setUint16(2, b.length)
        view.setUint16(4, id)
        view.setUint16(6, (at === 0 ? 0x2000 : 0) | ((at as number) >>> 3))
        view.setUint16(10, 0)
        let s = 0
        for (let i = 0; i < 20; i += 2) s += view.getUint16(i)
        while (s > 0xffff) s = (s & 0xffff) + (s >>> 16)
        view.setUint16(10, ~s & 0xffff)
        return Buffer.from(b).toString('hex')
      })
    }
    const [first, last] = pieces(53, 1) as [string, string]
    expect(lab.send(OUTSIDE, last)).toEqual([])
    expect(filter.fragments.held).toBe(1)
    expect(lab.send(OUTSIDE, first).map((line) => line.slice(15, 19))).toEqual(['2000', '0064'])
    const bad = pieces(99, 2)
    expect([...lab.send(OUTSIDE, bad[1] as string), ...lab.send(OUTSIDE, bad[0] as string)]).toEqual([])
    lab.seconds(60)
    expect(lab.pool.report()).toMatchObject({ balanced: true, held: 0, dropped: { AclBlock: 2 } })
  })

  it('an interface has one port, and a port one interface', () => {
    const { lab, filter, gate, port } = gated({})
    const [inside, outside] = lab.ifaces as [RouterInterface, RouterInterface]
    expect(() => gate.attach(inside, filter.addPort('x'), 'endpoint')).toThrow('interface eth0 has a port')
    expect(() => gate.attach(outside, port, 'endpoint')).toThrow('port eth0 has an interface')
    expect(() => gate.attach(outside, filter.addPort('y'), 'pod' as 'endpoint')).toThrow(
      'beyond must be endpoint or network, not "pod"',
    )
    expect(() => gate.attach(outside, new Filter(lab.loop).addPort('z'), 'endpoint')).toThrow(
      'port z is of another filter',
    )
    gate.detach(inside)
    expect(() => gate.detach(inside)).toThrow('interface eth0 has no port')
  })
})
