import { describe, expect, it } from 'vitest'
import { type L3Options, l3, podGateway6 } from '../src/index.ts'
import { frames, type Lab, lab } from './lab.ts'

/*
 *     pod 02:..:01 10.244.1.5, fd44::5      db 02:..:02 10.244.1.9
 *        | ee:ee:ee:ee:ee:ee                   | ee:ee:ee:ee:ee:ee
 *     +--+-------------------------------------+--+
 *     |                    n1                     |-- uplink 02:..:aa 192.0.2.1, gateway 192.0.2.254 02:..:fe
 *     +-------------------------------------------+
 */
const ARP = '0806 0001 0800 06 04'
const ROUTES = [{ to: '0.0.0.0/0', via: ['192.0.2.254'] }]

function node(options: Partial<L3Options> = {}): Lab & { node: ReturnType<typeof l3> } {
  const it = lab()
  const built = l3(it.ground, {
    pods: [
      { name: 'pod', port: it.port('pod'), mac: '02:00:00:00:00:01', ips: ['10.244.1.5', 'fd44::5'] },
      { name: 'db', port: it.port('db'), mac: '02:00:00:00:00:02', ips: ['10.244.1.9'] },
    ],
    uplinks: [{ name: 'uplink', port: it.port('uplink'), mac: '02:00:00:00:00:aa', addresses: ['192.0.2.1/24'] }],
    routes: ROUTES,
    blocks: ['10.244.1.0/26'],
    ...options,
  })
  return { ...it, node: built }
}

/** A pod asks who has `tpa`. */
const asks = (tpa: string, spa = '0af40105'): string =>
  `ffffffffffff 020000000001 ${ARP} 0001 020000000001 ${spa} 000000000000 ${tpa}`

describe('the gateway of a pod', () => {
  it('is 169.254.1.1 at ee:ee:ee:ee:ee:ee, where the node has a default route', () => {
    const answer = `020000000001 eeeeeeeeeeee ${ARP} 0002 eeeeeeeeeeee a9fe0101 020000000001 0af40105`
    expect(node().send('pod', asks('a9fe0101'))).toEqual({ pod: frames(answer) })
    expect(node({ routes: [] }).send('pod', asks('a9fe0101'))).toEqual({})
    expect(node({ routes: [], proxyArp: { requireRoute: false } }).send('pod', asks('a9fe0101'))).toEqual({
      pod: frames(answer),
    })
  })

  it('does not answer for what leads back, for a hole in a block, for a probe', () => {
    for (const tpa of ['0af40105', '0af40106']) expect(node().send('pod', asks(tpa, '0af40107'))).toEqual({})
    expect(node().send('pod', asks('a9fe0101', '00000000'))).toEqual({})
    // Another pod is behind another port.
    expect(node().send('pod', asks('0af40109'))).toHaveProperty('pod')
  })

  it('is fe80::ecee:eeff:feee:eeee in IPv6, a router, and answers neighbour solicitations', () => {
    expect(podGateway6()).toBe('fe80::ecee:eeff:feee:eeee')
    // From fd44::5 to ff02::1:ffee:eeee, with the pod's MAC.
    const solicit =
      '3333ffeeeeee 020000000001 86dd 6000000000203aff fd440000000000000000000000000005 ff0200000000000000000001ffeeeeee ' +
      '8700 CKSM 00000000 fe80000000000000eceeeefffeeeeeee 0101 020000000001'
    const { pod = [] } = node().send('pod', withChecksum(solicit))
    expect(pod).toHaveLength(1)
    expect(pod[0]).toMatch(
      /^020000000001eeeeeeeeeeee86dd6000000000203afffe80000000000000eceeeefffeeeeeeefd440000000000000000000000000005/,
    )
    // R, S and O; the target's link-layer address.
    expect(pod[0]).toMatch(/8800....e0000000fe80000000000000eceeeefffeeeeeee0201eeeeeeeeeeee$/)
  })

  it('may have another MAC', () => {
    const azure = node({ gatewayMac: 'aa:aa:aa:aa:aa:aa' })
    expect(azure.send('pod', asks('a9fe0101')).pod?.[0]).toMatch(/^020000000001aaaaaaaaaaaa/)
  })
})

describe('an IP packet of a pod', () => {
  // UDP 1 to 2, no data: 10.244.1.5 -> 10.244.1.9.
  const packet = (dst: string, src: string, ttl: string, sum: string, from: string, to: string): string =>
    `${dst} ${src} 0800 4500001c00000000 ${ttl} 11 ${sum} ${from} ${to} 0001 0002 0008 0000`
  const out = packet('eeeeeeeeeeee', '020000000001', '40', '62dc', '0af40105', '0af40109')

  it('goes to another pod by the node, which asks with its uplink’s address', () => {
    const n1 = node()
    expect(n1.send('pod', out)).toEqual({
      db: frames(`ffffffffffff eeeeeeeeeeee ${ARP} 0001 eeeeeeeeeeee c0000201 000000000000 0af40109`),
    })
    const answer = `eeeeeeeeeeee 020000000002 ${ARP} 0002 020000000002 0af40109 eeeeeeeeeeee c0000201`
    expect(n1.send('db', answer)).toEqual({
      db: frames(packet('020000000002', 'eeeeeeeeeeee', '3f', '63dc', '0af40105', '0af40109')),
    })
  })

  it('is dropped where its source is another’s', () => {
    const spoofed = packet('eeeeeeeeeeee', '020000000001', '40', '62dc', '0af40109', '0af40105')
    const drops = (options: Partial<L3Options>): unknown => {
      const n1 = node(options)
      n1.send('pod', spoofed)
      return n1.pool.report().dropped
    }
    expect(drops({})).toEqual({ ReversePath: 1 })
    expect(drops({ antiSpoofing: true })).toEqual({ IPv4Guard: 1 })
    // Without either it is a packet from one pod to another that wants no more than the other's MAC.
    expect(drops({ rpFilter: 'off' })).toEqual({})
  })

  it('ends in silence in a hole of a block, and with an error where its time to live does', () => {
    const n1 = node()
    n1.node.links.find((l) => l.name === 'pod')?.neighbours.add('10.244.1.5', '02:00:00:00:00:01')
    expect(n1.send('pod', packet('eeeeeeeeeeee', '020000000001', '40', '62df', '0af40105', '0af40106'))).toEqual({})
    const { pod = [] } = n1.send('pod', packet('eeeeeeeeeeee', '020000000001', '01', 'a1dc', '0af40105', '0af40109'))
    // From 192.0.2.1: time exceeded, with the packet.
    expect(pod[0]).toMatch(/^020000000001eeeeeeeeeeee080045c0.{16}....c00002010af401050b00....00000000/)
    expect(pod[0]?.slice(-56)).toBe('4500001c000000000111a1dc0af401050af401090001000200080000')
  })
})

/** Puts in the ICMPv6 checksum (RFC 4443, 2.3) in place of CKSM, worked out on its own. */
function withChecksum(frame: string): string {
  const text = frame.replaceAll(' ', '')
  const b = Buffer.from(text.replace('CKSM', '0000'), 'hex')
  const summed = Buffer.concat([b.subarray(22, 54), Buffer.from([0, 0, 0, b.length - 54, 0, 0, 0, 58]), b.subarray(54)])
  let sum = 0
  for (let i = 0; i < summed.length; i += 2) sum += summed.readUInt16BE(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return text.replace('CKSM', (~sum & 0xffff).toString(16).padStart(4, '0'))
}
