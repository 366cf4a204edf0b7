// A node of Windows with overlay networks, frame by frame: modes.md 4.
import { formatIpv4, ipv4, parseIpv4 } from '@l2l3/switch-core/wire'
import { describe, expect, it } from 'vitest'
import { type HnsOverlayModeOptions, overlay } from '../../src/windows/overlay.ts'
import type { GuardOptions } from '../../src/windows/port-policies.ts'
import { type Lab, lab } from '../lab.ts'
import { datagram, sentence } from './packets.ts'

const DR = '00:15:5d:00:10:01'
const DR2 = '00:15:5d:00:10:02'
const HOST = '00:15:5d:00:00:01'
const HOP = '02:00:00:00:00:fe'
const WEB = '0e:2a:0a:f4:01:05'
const DB = '0e:2a:0a:f4:01:06'

interface Node extends Lab {
  readonly node: ReturnType<typeof overlay>
}

function node(
  more: Partial<HnsOverlayModeOptions> = {},
  network: object = {},
  pods: readonly { readonly name: string; readonly guards: GuardOptions | false }[] = [],
): Node {
  const bench = lab()
  const built = overlay(bench.ground, {
    drMac: DR,
    uplink: { name: 'uplink', port: bench.port('uplink'), mac: HOST, addresses: ['192.0.2.1/24'] },
    routes: [{ to: '0.0.0.0/0', via: '192.0.2.254' }],
    networks: [
      {
        ...{ name: 'net', vni: 4096, subnet: '10.244.1.0/24' },
        remoteSubnets: [{ to: '10.244.2.0/24', providerAddress: '192.0.2.2', drMac: DR2 }],
        outboundNat: [{ Type: 'OutBoundNAT', Settings: { Exceptions: ['10.244.0.0/16', '10.96.0.0/12'] } }],
        ...network,
      },
    ],
    pods: [
      { name: 'web', port: bench.port('web'), network: 'net', ip: '10.244.1.5' },
      { name: 'db', port: bench.port('db'), network: 'net', ip: '10.244.1.6' },
    ].map((pod) => ({ ...pod, ...pods.find(({ name }) => name === pod.name) })),
    ...more,
  })
  for (const address of ['192.0.2.2', '192.0.2.254']) built.host.uplinks[0]?.neighbours.add(address, HOP)
  return { ...bench, node: built }
}

/** An outer frame as fields, and the inner frame. */
function outer(frame: string): { fields: string; inner: string } {
  const b = Buffer.from(frame, 'hex')
  const ip = [b.subarray(26, 30), b.subarray(30, 34)].map((a) => [...a].join('.'))
  const sport = b.readUInt16BE(34)
  expect(sport).toBeGreaterThanOrEqual(49152)
  const fields = `${ip.join(' > ')}, ttl ${b[22]}, dport ${b.readUInt16BE(36)}, csum ${b.readUInt16BE(40)}, ${b.subarray(42, 50).toString('hex')}`
  return { fields, inner: frame.slice(100) }
}

/** The same frame, out of another node's tunnel. */
function wrapped(inner: string, vni = 4096, src = '192.0.2.2'): string {
  const payload = inner.length / 2
  const header = `${HOST}${HOP}0800`.replaceAll(':', '')
  const ip = Buffer.alloc(20)
  ip.writeUInt8(0x45, 0)
  ip.writeUInt16BE(36 + payload, 2)
  ip.writeUInt8(64, 8)
  ip.writeUInt8(17, 9)
  ip.set(src.split('.').map(Number), 12)
  ip.set([192, 0, 2, 1], 16)
  let sum = 0
  for (let i = 0; i < 20; i += 2) sum += ip.readUInt16BE(i)
  ip.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 10)
  const rest = Buffer.alloc(16)
  rest.writeUInt16BE(50000, 0)
  rest.writeUInt16BE(4789, 2)
  rest.writeUInt16BE(16 + payload, 4)
  rest.writeUInt8(8, 8)
  rest.writeUInt32BE(vni << 8, 12)
  return header + ip.toString('hex') + rest.toString('hex') + inner
}

describe('between nodes', () => {
  it('goes to the far distributed router, from ours, one hop further', () => {
    const { send } = node()
    const out = send('web', datagram(`${WEB} > ${DR}, 10.244.1.5#1000 > 10.244.2.7#53`))
    const { fields, inner } = outer(out.uplink?.[0] as string)
    expect(fields).toBe('192.0.2.1 > 192.0.2.2, ttl 128, dport 4789, csum 0, 0800000000100000')
    expect(sentence(inner)).toBe(`${DR} > ${DR2}, 10.244.1.5#1000 > 10.244.2.7#53, ttl 127`)
  })

  it('leaves the TTL where the router shall not take one off', () => {
    const { send } = node({ drDecrementTtl: false })
    const { inner } = outer(
      send('web', datagram(`${WEB} > ${DR}, 10.244.1.5#1 > 10.244.2.7#2`, 1)).uplink?.[0] as string,
    )
    expect(sentence(inner)).toBe(`${DR} > ${DR2}, 10.244.1.5#1 > 10.244.2.7#2, ttl 1`)
  })

  it('takes in what is for its router, and gives it to the endpoint without a hop', () => {
    const { send } = node()
    const inner = datagram(`${DR2} > ${DR}, 10.244.2.7#53 > 10.244.1.5#1000`, 1)
    expect(send('uplink', wrapped(inner)).web?.map(sentence)).toEqual([
      `${DR} > ${WEB}, 10.244.2.7#53 > 10.244.1.5#1000, ttl 1`,
    ])
  })

  it.each([
    ['for another MAC', wrapped(datagram(`${DR2} > ${WEB}, 10.244.2.7#53 > 10.244.1.5#1`)), 'OtherHost'],
    ['for all', wrapped(datagram(`${DR2} > ff:ff:ff:ff:ff:ff, 10.244.2.7#53 > 10.244.1.5#1`)), 'OtherHost'],
    [
      'for an address that nobody has',
      wrapped(datagram(`${DR2} > ${DR}, 10.244.2.7#53 > 10.244.1.9#1`)),
      'UnknownEndpoint',
    ],
    [
      'from a node that nobody has named',
      wrapped(datagram(`${DR2} > ${DR}, 10.244.2.7#5 > 10.244.1.5#1`), 4096, '192.0.2.9'),
      'UnknownPeer',
    ],
    ['of another network', wrapped(datagram(`${DR2} > ${DR}, 10.244.2.7#53 > 10.244.1.5#1`), 4097), 'UnknownVni'],
    ['IPv6', wrapped(`${DR}${DR2}86dd`.replaceAll(':', '') + '60'.padEnd(80, '0')), 'IPv6Guard'],
  ])('does not take what is %s', (_, frame, why) => {
    const { send, pool } = node()
    expect(send('uplink', frame)).toEqual({})
    expect(pool.report().dropped).toMatchObject({ [why]: 1 })
  })
})

describe('nodes that nobody has named', () => {
  it('are heard with knownPeersOnly: false', () => {
    const { send } = node({ knownPeersOnly: false })
    const inner = datagram(`${DR2} > ${DR}, 10.244.2.7#5 > 10.244.1.5#1`)
    expect(send('uplink', wrapped(inner, 4096, '192.0.2.9')).web?.map(sentence)).toEqual([
      `${DR} > ${WEB}, 10.244.2.7#5 > 10.244.1.5#1, ttl 128`,
    ])
  })
})

describe('on the node', () => {
  it('bridges pods of a network, and floods nothing to other nodes', () => {
    const { send } = node()
    const frame = datagram(`${WEB} > ${DB}, 10.244.1.5#1 > 10.244.1.6#2`)
    expect(send('web', frame)).toEqual({ db: [frame] })
    const all = datagram(`${WEB} > ff:ff:ff:ff:ff:ff, 10.244.1.5#1 > 10.244.1.255#2`)
    expect(send('web', all)).toEqual({ db: [all] })
  })

  it('answers ARP for the gateway and what is behind the tunnel with its own MAC, for a pod with the pod’s', () => {
    const { send } = node()
    const mac = WEB.replaceAll(':', '')
    const ask = (ip: string): string => `ffffffffffff${mac}0806 0001 0800 0604 0001 ${mac}0af40105 000000000000${ip}`
    const told = (sha: string, ip: string): string[] => {
      const hex = sha.replaceAll(':', '')
      return [`${mac}${hex}080600010800060400 02${hex}${ip}${mac}0af40105`.replaceAll(' ', '')]
    }
    expect(send('web', ask('0af40101'))).toEqual({ web: told(DR, '0af40101') })
    expect(send('web', ask('0af40207'))).toEqual({ web: told(DR, '0af40207') })
    expect(send('web', ask('0af40106'))).toEqual({ web: told(DB, '0af40106') })
  })

  it('has HNS’ default port ACLs where nothing is said: from others TCP, UDP, ICMP and IGMP alone (modes.md 16)', () => {
    const { send, pool } = node()
    const udp = datagram(`${WEB} > ${DB}, 10.244.1.5#1 > 10.244.1.6#2`)
    // The same as ESP, its header's checksum put right.
    const b = Buffer.from(udp, 'hex')
    b[23] = 50
    b.writeUInt16BE(b.readUInt16BE(24) - (50 - 17), 24)
    const esp = b.toString('hex')
    expect(send('web', udp)).toEqual({ db: [udp] })
    expect(send('web', esp)).toEqual({})
    expect(pool.report().dropped).toMatchObject({ AclBlock: 1 })
  })

  it('has no IPv6', () => {
    const { send, pool } = node()
    expect(send('web', `${DB}${WEB}86dd`.replaceAll(':', '') + '60'.padEnd(80, '0'))).toEqual({})
    expect(pool.report().dropped).toMatchObject({ IPv6Guard: 1 })
  })
})

describe('to the outside', () => {
  it('translates to the host’s address and back, one hop out, none in', () => {
    const { send } = node()
    const out = send('web', datagram(`${WEB} > ${DR}, 10.244.1.5#1000 > 198.51.100.9#53`))
    expect(out.uplink?.map(sentence)).toEqual([`${HOST} > ${HOP}, 192.0.2.1#1000 > 198.51.100.9#53, ttl 127`])
    const back = send('uplink', datagram(`${HOP} > ${HOST}, 198.51.100.9#53 > 192.0.2.1#1000`, 50))
    expect(back.web?.map(sentence)).toEqual([`${DR} > ${WEB}, 198.51.100.9#53 > 10.244.1.5#1000, ttl 50`])
  })

  it('translates into the tunnel, too, where the other nodes are no exception', () => {
    const { send } = node({}, { outboundNat: [{ Type: 'OutBoundNAT', ExceptionList: ['10.244.1.0/24'] }] })
    const { inner } = outer(
      send('web', datagram(`${WEB} > ${DR}, 10.244.1.5#1000 > 10.244.2.7#53`)).uplink?.[0] as string,
    )
    expect(sentence(inner)).toBe(`${DR} > ${DR2}, 192.0.2.1#1000 > 10.244.2.7#53, ttl 127`)
  })

  it('translates to the virtual address of a policy, which is the host’s', () => {
    const { send } = node({}, { outboundNat: [{ Type: 'OutBoundNAT', Settings: { VirtualIP: '192.0.2.50' } }] })
    const out = send('web', datagram(`${WEB} > ${DR}, 10.244.1.5#1000 > 198.51.100.9#53`))
    expect(out.uplink?.map(sentence)).toEqual([`${HOST} > ${HOP}, 192.0.2.50#1000 > 198.51.100.9#53, ttl 127`])
    const back = send('uplink', datagram(`${HOP} > ${HOST}, 198.51.100.9#53 > 192.0.2.50#1000`))
    expect(back.web?.map(sentence)).toEqual([`${DR} > ${WEB}, 198.51.100.9#53 > 10.244.1.5#1000, ttl 128`])
  })

  it.each([
    ['pass', { uplink: 1 }, {}],
    ['drop', {}, { NatUnsupported: 1 }],
  ] as const)('ICMP that would need translation, untransposed: %s', (untransposed, sent, dropped) => {
    const { send, pool } = node({ untransposed })
    const mac = (text: string): string => text.replaceAll(':', '')
    // An echo request from the pod to 198.51.100.9.
    const echo = `${mac(DR)}${mac(WEB)}0800 4500001c00010000 4001 44ab 0af40105 c6336409 0800 f7fd 0001 0001`
    const out = send('web', echo)
    expect(Object.fromEntries(Object.entries(out).map(([at, list]) => [at, list.length]))).toEqual(sent)
    if (untransposed === 'pass') expect(out.uplink?.[0]?.slice(52, 60)).toBe('0af40105')
    expect(pool.report().dropped).toEqual(dropped)
  })

  it.each(['pass', 'drop'] as const)(
    'translates pings where icmpTransposition says so, and gives the answer back; into the tunnel they go as they are (untransposed: %s)',
    (untransposed) => {
      const { send, pool } = node({ icmpTransposition: true, untransposed })
      const echo = (from: string, to: string, macs: [string, string], type: number, id = 1): string => {
        const b = Buffer.alloc(28)
        ipv4.write(b, 0, { src: parseIpv4(from), dst: parseIpv4(to), protocol: 1, payload: 8, ttl: 128 })
        b.set([type, 0, 0, 0, id >>> 8, id & 255, 0, 1], 20)
        b.writeUInt16BE(~(((type << 8) + id + 1) % 0xffff) & 0xffff, 22)
        return `${macs[1]}${macs[0]}0800`.replaceAll(':', '') + b.toString('hex')
      }
      const [out] = send('web', echo('10.244.1.5', '198.51.100.9', [WEB, DR], 8)).uplink as [string]
      const b = Buffer.from(out, 'hex')
      expect(out.slice(0, 24)).toBe(`${HOP}${HOST}`.replaceAll(':', ''))
      expect([ipv4.checksumOk(b, 14), formatIpv4(ipv4.src(b, 14)), b[22]]).toEqual([true, '192.0.2.1', 127])
      const back = send('uplink', echo('198.51.100.9', '192.0.2.1', [HOP, HOST], 0, b.readUInt16BE(38)))
      expect(back.web).toEqual([echo('198.51.100.9', '10.244.1.5', [DR, WEB], 0)])
      const { inner } = outer(send('web', echo('10.244.1.5', '10.244.2.7', [WEB, DR], 8)).uplink?.[0] as string)
      expect(formatIpv4(ipv4.src(Buffer.from(inner, 'hex'), 14))).toBe('10.244.1.5')
      expect(pool.report().dropped).toEqual({})
    },
  )

  it('gives a later fragment from outside to the network that had the first', () => {
    const { send, pool } = node()
    send('web', datagram(`${WEB} > ${DR}, 10.244.1.5#1000 > 198.51.100.9#53`))
    const whole = Buffer.from(datagram(`${HOP} > ${HOST}, 198.51.100.9#53 > 192.0.2.1#1000`), 'hex')
    const piece = (payload: Buffer, offset: number, more: boolean): string => {
      const b = Buffer.concat([whole.subarray(0, 34), payload])
      b.writeUInt16BE(20 + payload.length, 16)
      b.writeUInt16BE(7, 18)
      b.writeUInt16BE((more ? 0x2000 : 0) | (offset >>> 3), 20)
      b.writeUInt16BE(0, 24)
      let sum = 0
      for (let i = 14; i < 34; i += 2) sum += b.readUInt16BE(i)
      b.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 24)
      return b.toString('hex')
    }
    const udp = Buffer.concat([whole.subarray(34, 42), Buffer.alloc(8, 1)])
    udp.writeUInt16BE(24, 4)
    udp.writeUInt16BE(0, 6)
    const out = [piece(udp, 0, true), piece(Buffer.alloc(8, 2), 16, false)].map((f) => send('uplink', f).web ?? [])
    expect(out.flat().map((f) => Buffer.from(f, 'hex').subarray(26, 34).toString('hex'))).toEqual([
      'c63364090af40105',
      'c63364090af40105',
    ])
    // One that no first came before is the host's own, and nobody's there.
    expect(send('uplink', piece(Buffer.alloc(8, 2), 16, false).replace('00070002', '00080002'))).toEqual({})
    expect(pool.report().balanced).toBe(true)
  })

  it('keeps the flows of networks with the same addresses apart', () => {
    const bench = lab()
    const rule = { Type: 'OutBoundNAT' as const, Settings: { Exceptions: ['10.244.0.0/16'] } }
    const built = overlay(bench.ground, {
      drMac: DR,
      uplink: { name: 'uplink', port: bench.port('uplink'), mac: HOST, addresses: ['192.0.2.1/24'] },
      routes: [{ to: '0.0.0.0/0', via: '192.0.2.254' }],
      networks: [4096, 5000].map((vni) => ({
        ...{ name: `net${vni}`, vni, subnet: '10.244.1.0/24', outboundNat: [rule] },
        remoteSubnets: [{ to: '10.244.2.0/24', providerAddress: '192.0.2.2', drMac: DR2 }],
      })),
      pods: [4096, 5000].map((vni) => {
        return { name: `pod${vni}`, port: bench.port(`pod${vni}`), network: `net${vni}`, ip: '10.244.1.5' }
      }),
    })
    for (const address of ['192.0.2.2', '192.0.2.254']) built.host.uplinks[0]?.neighbours.add(address, HOP)
    for (const [pod, vni, first] of [
      ['pod4096', '001000', 16384],
      ['pod5000', '001388', 19456],
    ] as const) {
      const east = bench.send(pod, datagram(`${WEB} > ${DR}, 10.244.1.5#1 > 10.244.2.7#2`)).uplink?.[0] as string
      expect(outer(east).fields).toContain(`08000000${vni}00`)
      const out = bench.send(pod, datagram(`${WEB} > ${DR}, 10.244.1.5#1000 > 198.51.100.9#53`)).uplink?.[0] as string
      const port = Number(/192\.0\.2\.1#(\d+)/.exec(sentence(out))?.[1])
      expect(port).toBeGreaterThanOrEqual(first)
      expect(port).toBeLessThan(first + 3072)
      const back = bench.send('uplink', datagram(`${HOP} > ${HOST}, 198.51.100.9#53 > 192.0.2.1#${port}`))
      expect(Object.keys(back)).toEqual([pod])
    }
  })
})

describe('services', () => {
  const web = {
    ...{ name: 'web', protocol: 'udp' as const, port: 80, clusterIps: ['10.96.0.10'] },
    backends: [{ address: '10.244.2.7', port: 8080 }],
  }

  it('DSR: translated at the pod’s port, and sent as to any pod there', () => {
    const { send } = node({}, { services: [web] })
    const { inner } = outer(send('web', datagram(`${WEB} > ${DR}, 10.244.1.5#1 > 10.96.0.10#80`)).uplink?.[0] as string)
    expect(sentence(inner)).toBe(`${DR} > ${DR2}, 10.244.1.5#1 > 10.244.2.7#8080, ttl 127`)
    const back = send('uplink', wrapped(datagram(`${DR2} > ${DR}, 10.244.2.7#8080 > 10.244.1.5#1`)))
    expect(back.web?.map(sentence)).toEqual([`${DR} > ${WEB}, 10.96.0.10#80 > 10.244.1.5#1, ttl 128`])
  })

  it('not DSR: from the SourceVIP, whose answers come back to it', () => {
    const { send } = node({}, { services: [web], sourceVip: '10.244.1.2', balancer: { lbMode: 'nondsr' } })
    const { inner } = outer(send('web', datagram(`${WEB} > ${DR}, 10.244.1.5#1 > 10.96.0.10#80`)).uplink?.[0] as string)
    expect(sentence(inner)).toMatch(`${DR} > ${DR2}, 10.244.1.2#`)
    const port = /10\.244\.1\.2#(\d+)/.exec(sentence(inner))?.[1]
    const back = send('uplink', wrapped(datagram(`${DR2} > ${DR}, 10.244.2.7#8080 > 10.244.1.2#${port}`)))
    expect(back.web?.map(sentence)).toEqual([`${DR} > ${WEB}, 10.96.0.10#80 > 10.244.1.5#1, ttl 128`])
  })

  it.each([
    [undefined, 1, []],
    ['12.0', 1, []],
    ['11.10', 2, ['service web: HNS 11.10 keeps no client where it is: no session affinity']],
  ] as const)(
    'hnsVersion %s: a client’s flows go to %i of two backends where affinity is asked for',
    (hnsVersion, used, notes) => {
      const both = {
        ...{ ...web, distribution: 'source-ip' as const },
        backends: [5, 7].map((n) => ({ address: `10.244.2.${n}`, port: 8080 })),
      }
      const { node: built, send } = node({}, { services: [both], ...(hnsVersion && { balancer: { hnsVersion } }) })
      const chosen = Array.from({ length: 24 }, (_, i) => {
        const asked = datagram(`${WEB} > ${DR}, 10.244.1.5#${1000 + i} > 10.96.0.10#80`)
        const { inner } = outer(send('web', asked).uplink?.[0] as string)
        return /> (10\.244\.2\.\d)#/.exec(sentence(inner))?.[1]
      })
      expect(new Set(chosen).size).toBe(used)
      expect(built.networks[0]?.vfp.notes).toEqual(notes)
    },
  )

  it('NodePort: from the SourceVIP to a pod of another node', () => {
    const nodePort = { ...web, clusterIps: [], nodePort: 30080 }
    const { send } = node({}, { services: [nodePort], sourceVip: '10.244.1.2' })
    const asked = send('uplink', datagram(`${HOP} > ${HOST}, 198.51.100.9#5 > 192.0.2.1#30080`))
    const { inner } = outer(asked.uplink?.[0] as string)
    expect(sentence(inner)).toMatch(`${DR} > ${DR2}, 10.244.1.2#`)
    const port = /10\.244\.1\.2#(\d+)/.exec(sentence(inner))?.[1]
    const back = send('uplink', wrapped(datagram(`${DR2} > ${DR}, 10.244.2.7#8080 > 10.244.1.2#${port}`)))
    expect(back.uplink?.map(sentence)).toEqual([`${HOST} > ${HOP}, 192.0.2.1#30080 > 198.51.100.9#5, ttl 128`])
  })

  it('NodePort with policy Local: the pod sees who asks', () => {
    const local = {
      ...{ ...web, clusterIps: [], nodePort: 30080, externalTrafficPolicy: 'Local' as const },
      backends: [{ address: '10.244.1.5', port: 8080, local: true }],
    }
    const { send } = node({}, { services: [local], sourceVip: '10.244.1.2' })
    const asked = send('uplink', datagram(`${HOP} > ${HOST}, 198.51.100.9#5 > 192.0.2.1#30080`))
    expect(asked.web?.map(sentence)).toEqual([`${DR} > ${WEB}, 198.51.100.9#5 > 10.244.1.5#8080, ttl 128`])
  })
})

describe('a subnet that spans nodes', () => {
  const far = { ip: '10.244.1.77', mac: '0e:2a:0a:f4:01:4d', providerAddress: '192.0.2.2' }

  it('bridges to endpoints that are known by their MACs, and answers for them', () => {
    const { send } = node({}, { remoteEndpoints: [far] })
    const frame = datagram(`${WEB} > ${far.mac}, 10.244.1.5#1 > 10.244.1.77#2`)
    expect(outer(send('web', frame).uplink?.[0] as string).inner).toBe(frame)
    const back = datagram(`${far.mac} > ${WEB}, 10.244.1.77#2 > 10.244.1.5#1`)
    expect(send('uplink', wrapped(back))).toEqual({ web: [back] })
  })

  it('floods nothing that comes out of the tunnel', () => {
    const { send, pool } = node({}, { remoteEndpoints: [far] })
    expect(send('uplink', wrapped(datagram(`${far.mac} > ff:ff:ff:ff:ff:ff, 10.244.1.77#2 > 10.244.1.255#1`)))).toEqual(
      {},
    )
    expect(send('uplink', wrapped(datagram(`${far.mac} > 02:00:00:00:00:99, 10.244.1.77#2 > 10.244.1.9#1`)))).toEqual(
      {},
    )
    expect(pool.report().dropped).toMatchObject({ OtherHost: 1, NoDestination: 1 })
  })
})

describe('guards of a pod', () => {
  const FOREIGN = '02:00:00:00:00:77'
  const raw = (text: string): string => text.replace(/[: ]/g, '')
  const arp = (sha: string, spa: string): string =>
    raw(`ffffffffffff ${WEB} 0806 0001 0800 0604 0001 ${sha} ${spa} 000000000000 0af40106`)
  const sent: Record<string, string> = {
    'another’s MAC': datagram(`${FOREIGN} > ${DB}, 10.244.1.5#1 > 10.244.1.6#2`),
    'another’s address': datagram(`${WEB} > ${DB}, 10.244.1.9#1 > 10.244.1.6#2`),
    'ARP for another': arp(WEB, '0af40109'),
    'a DHCP server’s answer': datagram(`${WEB} > ${DB}, 10.244.1.5#67 > 10.244.1.6#68`),
    'what is not IP': raw(`${DB} ${WEB} 88b5`) + '00'.repeat(46),
    'a broadcast': datagram(`${WEB} > ff:ff:ff:ff:ff:ff, 10.244.1.5#1 > 10.244.1.255#2`),
  }
  const dropped = (guards?: GuardOptions | false): (string | null)[] =>
    Object.values(sent).map((frame) => {
      const { send, pool } = node({}, {}, guards === undefined ? [] : [{ name: 'web', guards }])
      send('web', frame)
      return Object.keys(pool.report().dropped).find((why) => why !== 'Consumed') ?? null
    })

  it.each<[string, GuardOptions | false | undefined, (string | null)[]]>([
    [
      'those that are there where nothing is said',
      undefined,
      ['MacGuard', 'IPv4Guard', 'ArpGuard', 'DhcpGuard', null, null],
    ],
    ['none', false, [null, null, null, null, null, null]],
    ['source alone not', { source: false }, [null, null, 'ArpGuard', 'DhcpGuard', null, null]],
    ['arp alone not', { arp: false }, ['MacGuard', 'IPv4Guard', null, 'DhcpGuard', null, null]],
    ['dhcp alone not', { dhcp: false }, ['MacGuard', 'IPv4Guard', 'ArpGuard', null, null, null]],
    ['blockNonIp', { blockNonIp: true }, ['MacGuard', 'IPv4Guard', 'ArpGuard', 'DhcpGuard', 'BlockNonIp', null]],
    [
      'blockBroadcast',
      { blockBroadcast: true },
      ['MacGuard', 'IPv4Guard', 'ArpGuard', 'DhcpGuard', null, 'BlockBroadcast'],
    ],
  ])('%s', (_, guards, reasons) => {
    expect(dropped(guards)).toEqual(reasons)
  })

  it('arpPerSecond: no more questions than that', () => {
    const { send, pool } = node({}, {}, [{ name: 'web', guards: { arpPerSecond: 3 } }])
    const asked = Array.from({ length: 10 }, () => send('web', arp(WEB, '0af40105')).web?.length ?? 0)
    expect(asked.reduce((a, b) => a + b)).toBe(3)
    expect(pool.report().dropped).toEqual({ ArpLimiter: 7, Consumed: 3 })
  })
})

describe('changes while it runs', () => {
  it('knows other nodes, other pods and no more those that are gone', () => {
    const bench = node()
    const { node: built, send, pool } = bench
    const uplink = built.host.uplinks[0]
    const settings = {
      uplink: { name: 'uplink', port: uplink?.port as never, mac: HOST, addresses: ['192.0.2.1/24'] },
      routes: [{ to: '0.0.0.0/0', via: '192.0.2.254' }],
    }
    const net = { name: 'net', vni: 4096, subnet: '10.244.1.0/24' }
    built.change({
      ...settings,
      networks: [{ ...net, remoteSubnets: [{ to: '10.244.3.0/24', providerAddress: '192.0.2.3', drMac: DR2 }] }],
      pods: [{ name: 'new', port: bench.port('new'), network: 'net', ip: '10.244.1.7' }],
    })
    uplink?.neighbours.add('192.0.2.3', HOP)
    const pod = '0e:2a:0a:f4:01:07'
    const { fields } = outer(send('new', datagram(`${pod} > ${DR}, 10.244.1.7#1 > 10.244.3.7#2`)).uplink?.[0] as string)
    expect(fields).toContain('192.0.2.1 > 192.0.2.3')
    expect(send('uplink', wrapped(datagram(`${DR2} > ${DR}, 10.244.2.7#53 > 10.244.1.7#1`)))).toEqual({})
    expect(pool.report().dropped).toMatchObject({ UnknownPeer: 1 })
    built.change({ ...settings, networks: [], pods: [] })
    expect(built.vteps).toEqual([])
    expect(send('uplink', wrapped(datagram(`${DR2} > ${DR}, 10.244.2.7#53 > 10.244.1.7#1`))).web).toBeUndefined()
  })
})

describe('what HNS refuses', () => {
  const net = { name: 'net', vni: 4096, subnet: '10.244.1.0/24' }
  const remote = { to: '10.244.2.0/24', providerAddress: '192.0.2.2', drMac: DR2 }
  const pod = (ip: string): Partial<HnsOverlayModeOptions> => ({
    pods: [{ name: 'a', port: null as never, network: 'net', ip }],
  })
  it.each([
    ['a VNI below 4096', {}, { vni: 42 }, /vni must be 4096 to 16777215, not 42/],
    [
      'a VNI of more than 16 bits elsewhere',
      {},
      { remoteSubnets: [{ ...remote, vni: 70_000 }] },
      /remoteSubnets\[0\]\.vni must be 4096 to 65535, not 70000: RemoteSubnetRoute has 16 bits/,
    ],
    ['IPv6 endpoints', pod('fd00::5'), {}, /pod a: ip fd00::5 is IPv6, which HNS refuses/],
    ['an endpoint elsewhere', pod('10.244.9.5'), {}, /pod a: ip 10\.244\.9\.5 is not in 10\.244\.1\.0\/24/],
    ['the gateway as an endpoint', pod('10.244.1.1'), {}, /is the gateway's/],
    ['two networks of a VNI', { networks: [net, { ...net, name: 'other' }] }, {}, /vni 4096 is network net's already/],
    [
      'a node port in two networks',
      {
        networks: [4096, 4097].map((vni) => ({
          ...net,
          name: `n${vni}`,
          vni,
          services: [{ name: 's', port: 80, nodePort: 30080 }],
        })),
      },
      {},
      /port tcp 30080 of the host is network n4096's already/,
    ],
    [
      'itself as another node',
      {},
      { remoteSubnets: [{ ...remote, providerAddress: '192.0.2.1' }] },
      /providerAddress 192\.0\.2\.1 is the node itself/,
    ],
    [
      'policy Local without DSR',
      {},
      {
        balancer: { lbMode: 'nondsr' },
        services: [{ name: 's', port: 80, clusterIps: ['10.96.0.1'], internalTrafficPolicy: 'Local' }],
      },
      /internalTrafficPolicy Local needs DSR/,
    ],
    ['a group as the router', { drMac: '01:00:5e:00:00:01' }, {}, /drMac: 01:00:5e:00:00:01 is a group's/],
  ] as [string, object, object, RegExp][])('%s', (_, more, network, message) => {
    expect(() => node(more, network)).toThrow(message)
  })
  it('takes VNIs of 24 bits where it is told to, and writes all of them', () => {
    const wide = { isolationIds: 'uint24' } as const
    expect(() => node(wide, { vni: 70_000, remoteSubnets: [remote] })).not.toThrow()
    const { send } = node(wide, { remoteSubnets: [{ ...remote, vni: 0x0a_bcde }] })
    const out = send('web', datagram(`${WEB} > ${DR}, 10.244.1.5#1 > 10.244.2.7#2`)).uplink?.[0] as string
    expect(outer(out).fields).toContain('080000000abcde00')
  })
})
