import { describe, expect, it } from 'vitest'
import { ovn } from '../../src/index.ts'
import { frames, type Lab, lab } from '../lab.ts'

/*
 * A Windows node whose transparent network has OVS for a forwarding extension, under OVN (modes.md 5 and 14.1): what comes out of a GENEVE
 * tunnel goes where the tunnel's metadata says, or ends; MACs are asked nothing.
 *
 *     web, key 5   db, key 6
 *      |            |
 *     ++------------++
 *     | blue, key 7  |  GENEVE: VNI 7, option 0102 80: | port it came from | port it goes to |
 *     +------+-------+
 *            | 192.0.2.1
 *          uplink
 */

const WEB = '00155d0a0005'
const DB = '00155d0a0006'
const FAR = '00155d0a0107'
const colons = (mac: string): string => mac.replace(/..(?!$)/g, '$&:')

function node(): Lab {
  const l = lab()
  const pod = (name: string, mac: string, ip: string, key: number) => {
    return { name, port: l.port(name), mac: colons(mac), ips: [ip], switch: 'blue', key }
  }
  const uplink = { name: 'uplink', port: l.port('uplink'), mac: '00:15:5d:00:00:01', addresses: ['192.0.2.1/24'] }
  const far = { switch: 'blue', key: 9, mac: colons(FAR), ips: ['10.1.0.7'] }
  const { host } = ovn(l.ground, {
    pods: [pod('web', WEB, '10.1.0.5', 5), pod('db', DB, '10.1.0.6', 6)],
    switches: [{ name: 'blue', key: 7 }],
    uplinks: [uplink],
    peers: [{ node: 'other', address: '192.0.2.2', ports: [far] }],
  })
  host.uplinks[0]?.neighbours.add('192.0.2.2', '00:15:5d:00:00:02')
  return l
}

/** A frame inside: from the other node's pod, to a MAC. */
const inner = (to: string): string => `${to} ${FAR} 88b5 ${'ab'.repeat(46)}`

/** A GENEVE packet of the other node.
 * @param header without option data: version and length, flags, protocol, VNI
 * @param option its options */
function wrapped(header: string, option: string, inside: string): string {
  const body = `${header}${option}${inside}`.replaceAll(' ', '')
  const n = body.length / 2
  const word = (value: number): string => value.toString(16).padStart(4, '0')
  const ip = `4500 ${word(n + 28)} 0000 4000 4011 0000 c0000202 c0000201`.replaceAll(' ', '')
  let sum = 0
  for (let i = 0; i < ip.length; i += 4) sum += Number.parseInt(ip.slice(i, i + 4), 16)
  const check = word(~((sum & 0xffff) + (sum >>> 16)) & 0xffff)
  return `00155d000001 00155d000002 0800 ${ip.slice(0, 20)}${check}${ip.slice(24)} c000 17c1 ${word(n + 8)} 0000 ${body}`
}

const HEADER = '0240 6558 000007 00'
const option = (ports: string): string => `0102 80 01 ${ports}`

describe('transparent with OVS under OVN', () => {
  it('reaches a pod by the port in the metadata, whatever the MAC', () => {
    const l = node()
    expect(l.send('uplink', wrapped(HEADER, option('0009 0005'), inner(WEB)))).toEqual({ web: frames(inner(WEB)) })
    expect(l.send('uplink', wrapped(HEADER, option('0009 0006'), inner(WEB)))).toEqual({ db: frames(inner(WEB)) })
    expect(l.send('uplink', wrapped(HEADER, option('0009 8000'), inner('ffffffffffff')))).toEqual({
      web: frames(inner('ffffffffffff')),
      db: frames(inner('ffffffffffff')),
    })
  })

  it.each([
    ['a port that is not here', HEADER, option('0009 0063'), 'NoDestination'],
    ['no metadata', '0000 6558 000007 00', '', 'NoDestination'],
    ['another datapath', '0240 6558 000008 00', option('0009 0005'), 'UnknownVni'],
    ['a critical option that nobody knows', '0240 6558 000007 00', '0103 80 01 00000000', 'CriticalOption'],
    ['a C bit that lies', '0200 6558 000007 00', option('0009 0005'), 'TunnelOptions'],
    ['a control message', '02c0 6558 000007 00', option('0009 0005'), 'TunnelControl'],
  ])('drops by the metadata: %s', (_, header, options, why) => {
    const l = node()
    expect(l.send('uplink', wrapped(header, options, inner(WEB)))).toEqual({})
    expect(l.pool.report().dropped).toMatchObject({ [why]: 1 })
  })

  it('says by which port a frame came and to which it goes', () => {
    const l = node()
    const frame = `${FAR} ${WEB} 88b5 ${'cd'.repeat(46)}`
    const [out] = l.send('web', frame).uplink ?? []
    // Behind outer Ethernet, IP and UDP: header, option, and the frame as it was.
    expect(out?.slice(84)).toBe(`${HEADER}${option('0005 0009')}${frame}`.replaceAll(' ', ''))
    expect(out?.slice(72, 76)).toBe('17c1')
    expect(Object.keys(l.send('db', `${FAR} ${DB} 88b5 ${'cd'.repeat(46)}`))).toEqual(['uplink'])
  })
})
