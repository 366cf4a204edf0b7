// What standards and implementations do differently is a switch (docs/modes.md, "Where implementations differ"): each key of that table is
// in the schema, and what a file says by it reaches the frames.
import { readFileSync } from 'node:fs'
import { FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import { ipv4, parseIpv4, udp } from '@l2l3/switch-core/wire'
import { parseTopology, topologySchema } from '@l2l3/topology'
import { describe, expect, it } from 'vitest'
import { MODES } from '../src/mode.ts'

const HOST = '00155d0000aa'
const WEB = '00155d000005'
const DB = '00155d000006'
const FAR = '020000000099'
const ALL = 'ffffffffffff'
const colons = (mac: string): string => mac.replace(/..(?!$)/g, '$&:')

/** A node of a file's keys, with memory ports; gives what comes out by port, in hex, for a frame that goes in. */
function node(keys: object): (port: string, frame: string) => Record<string, string[]> {
  const [spec] = parseTopology(JSON.stringify({ nodes: { n: keys } }), 'net.yaml').nodes
  const pool = new FramePool({ frames: 64 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const built = MODES.get(spec?.mode as string)?.build(spec as never, { pool, clock, loop })
  const ports = new Map((spec?.ports ?? []).map(({ name }) => [name, new MemoryPort(pool, name)]))
  for (const [name, port] of ports) built?.attach(name, port)
  built?.ready()
  return (at, frame) => {
    ports.get(at)?.inject(Buffer.from(frame.replaceAll(' ', ''), 'hex'))
    loop.settle()
    expect(pool.report().balanced).toBe(true)
    return Object.fromEntries(
      [...ports].flatMap(([name, port]) => {
        const out = port.takeAll().map((b) => b.toString('hex'))
        return out.length === 0 ? [] : [[name, out]]
      }),
    )
  }
}

const ip = (address: string): string => parseIpv4(address).toString(16).padStart(8, '0')

function arp(macs: [to: string, from: string], op: 1 | 2, sender: [string, string], target: [string, string]): string {
  return `${macs[0]}${macs[1]}080600010800060400 0${op}${sender[0]}${ip(sender[1])}${target[0]}${ip(target[1])}`.replace(
    ' ',
    '',
  )
}

function packet(macs: [to: string, from: string], src: string, dst: string, echo = false): string {
  const b = Buffer.alloc(29)
  ipv4.write(b, 0, { src: parseIpv4(src), dst: parseIpv4(dst), protocol: echo ? 1 : 17, payload: 9, ttl: 64 })
  if (echo) b.set([8, 0, 0xf7, 0xfd, 0, 1, 0, 1, 0], 20)
  else {
    udp.write(b, 20, 1000, 53, 1)
    udp.fillChecksum(b, 0, 20)
  }
  return `${macs.join('')}0800${b.toString('hex')}`
}
/** The source address of a frame with IPv4. */
const sourceOf = (frame = ''): string => [...Buffer.from(frame.slice(52, 60), 'hex')].join('.')

const pods = { web: { mac: colons(WEB), ip: '10.0.0.5/24' }, db: { mac: colons(DB), ip: '10.0.0.6/24' } }
const bridged = { mode: 'l2bridge', hostMac: colons(HOST), gateway: '10.0.0.1', hostIps: ['10.0.0.9'], uplink: {} }

describe('l2bridge', () => {
  const of = (more: object) => node({ ...bridged, endpoints: pods, ...more })

  it.each([
    ['unicast-tha', WEB, WEB],
    ['broadcast-azure', ALL, HOST],
  ])('arpReplyMode %s: Ethernet for %s, target %s', (arpReplyMode, to, target) => {
    const out = of({ arpReplyMode })('uplink', arp([HOST, FAR], 2, [FAR, '10.0.0.1'], [HOST, '10.0.0.5']))
    expect(out.web).toEqual([arp([to, FAR], 2, [FAR, '10.0.0.1'], [target, '10.0.0.5'])])
  })

  it.each([
    ['host-mac', HOST],
    ['pod-mac', WEB],
  ])('foreignArpAnswer %s', (foreignArpAnswer, mac) => {
    const asked = arp([ALL, FAR], 1, [FAR, '10.0.0.1'], ['000000000000', '10.0.0.5'])
    expect(of({ foreignArpAnswer })('uplink', asked)).toEqual({
      uplink: [arp([FAR, mac], 2, [mac, '10.0.0.5'], [FAR, '10.0.0.1'])],
    })
  })

  it.each([
    [false, { db: 1 }],
    [true, { db: 1, uplink: 1 }],
  ])('floodLeak %s: the first frame to a pod that has said nothing', (floodLeak, counts) => {
    const out = of({ preset: 'azure-linux', floodLeak })('web', packet([DB, WEB], '10.0.0.5', '10.0.0.6'))
    expect(Object.fromEntries(Object.entries(out).map(([at, list]) => [at, list.length]))).toMatchObject(counts)
    expect(out.uplink?.length ?? 0).toBe(floodLeak ? 1 : 0)
  })

  it.each([
    [{}, '10.0.0.5'],
    [{ icmpTransposition: true }, '10.0.0.9'],
    [{ untransposed: 'drop' }, undefined],
    [{ untransposed: 'drop', icmpTransposition: true }, '10.0.0.9'],
  ])('%j: a ping leaves from %s', (more, from) => {
    const endpoints = { ...pods, web: { ...pods.web, outboundNat: [{ exceptions: ['10.0.0.0/24'] }] } }
    const out = of({ ...more, endpoints })('web', packet([FAR, WEB], '10.0.0.5', '198.51.100.9', true))
    expect(out.uplink === undefined ? undefined : sourceOf(out.uplink[0])).toBe(from)
  })
})

describe('overlay', () => {
  const DR = '00155d001001'
  const of = (more: object) =>
    node({
      ...{ mode: 'overlay', drMac: colons(DR), uplink: { ip: '192.0.2.1/24', mac: colons(HOST) } },
      networks: {
        net: {
          ...{ vni: 4096, subnet: '10.244.1.0/24', outboundNat: [{ exceptions: ['10.244.0.0/16'] }] },
          remoteSubnets: [{ to: '10.244.2.0/24', providerAddress: '192.0.2.2', drMac: '00:15:5d:00:10:02' }],
        },
      },
      endpoints: { web: { ip: '10.244.1.5/24' } },
      routes: [{ to: '0.0.0.0/0', via: '192.0.2.2' }],
      ...more,
    })
  const POD = '0e2a0af40105'
  /** What leaves by the uplink once its next hop has answered. */
  const sent = (send: ReturnType<typeof node>, dst: string, echo = false): string | undefined => {
    const asked = send('web', packet([DR, POD], '10.244.1.5', dst, echo)).uplink?.[0] ?? ''
    if (!asked.startsWith(ALL)) return undefined
    return send('uplink', arp([HOST, FAR], 2, [FAR, '192.0.2.2'], [HOST, '192.0.2.1'])).uplink?.[0]
  }

  it.each([
    [undefined, '3f'],
    [false, '40'],
  ])('drDecrementTtl %s: the inner TTL is %s', (drDecrementTtl, ttl) => {
    const out = sent(of({ drDecrementTtl }), '10.244.2.7')
    expect(out?.slice(100 + 44, 100 + 46)).toBe(ttl)
  })

  it.each([
    [{}, { ttl: 128, df: 0, checksum: false }],
    [
      { ttl: 9, df: 'set', udpChecksum: true },
      { ttl: 9, df: 0x40, checksum: true },
    ],
    [
      { ttl: 'inherit', sportRange: '50000-50000' },
      { ttl: 63, df: 0, checksum: false, sport: 50_000 },
    ],
    [{ port: 8472 }, { dport: 8472 }],
  ])('vxlan %j', (vxlan, fields) => {
    const b = Buffer.from(sent(of({ vxlan }), '10.244.2.7') as string, 'hex')
    expect({
      ...{ ttl: b[22], df: (b[20] as number) & 0x40, checksum: b.readUInt16BE(40) !== 0 },
      ...{ sport: b.readUInt16BE(34), dport: b.readUInt16BE(36) },
    }).toMatchObject(fields)
  })

  it.each([
    [{}, '10.244.1.5'],
    [{ icmpTransposition: true }, '192.0.2.1'],
    [{ untransposed: 'drop' }, undefined],
    [{ untransposed: 'drop', icmpTransposition: true }, '192.0.2.1'],
  ])('%j: a ping leaves from %s', (more, from) => {
    const out = sent(of(more), '198.51.100.9', true)
    expect(out === undefined ? undefined : sourceOf(out)).toBe(from)
  })
})

describe('switch and bridge', () => {
  const group = `0180c2000000${WEB}0026424203${'00'.repeat(40)}`
  it.each([
    [undefined, 1],
    ['flood', 1],
    ['filter', 0],
  ])('stpGroupWhenOff %s: of BPDUs %i', (stpGroupWhenOff, count) => {
    const send = node({ mode: 'switch', endpoints: pods, ...(stpGroupWhenOff && { stpGroupWhenOff }) })
    expect(send('web', group).db?.length ?? 0).toBe(count)
  })

  it.each([false, true])('hairpin of a port %s, hairpinMode of a bridge', (on) => {
    const all = packet([ALL, WEB], '10.0.0.5', '10.0.0.255')
    const back = on ? [all] : undefined
    expect(node({ mode: 'switch', endpoints: { ...pods, web: { ...pods.web, hairpin: on } } })('web', all).web).toEqual(
      back,
    )
    const bridge = { mode: 'bridge', gateway: { ip: '10.0.0.1/24' }, hairpinMode: on, endpoints: pods }
    expect(node(bridge)('web', all).web).toEqual(back)
  })
})

describe('l3', () => {
  it.each([
    [{}, '10.9.9.9', '10.0.0.5', 0],
    [{ requireRoute: false }, '10.9.9.9', '10.0.0.5', 1],
    [{}, '192.0.2.7', '0.0.0.0', 0],
    [{ answerProbes: true }, '192.0.2.7', '0.0.0.0', 1],
    [{}, '192.0.2.7', '10.0.0.5', 1],
  ])('proxyArp %j: who has %s? tell %s: %i answers', (proxyArp, wanted, asker, answers) => {
    const endpoints = { web: { mac: colons(WEB), ip: '10.0.0.5/32' } }
    const send = node({ mode: 'l3', proxyArp, endpoints, uplink: { ip: '192.0.2.1/24' } })
    const out = send('web', arp([ALL, WEB], 1, [WEB, asker], ['000000000000', wanted]))
    expect(out.web?.length ?? 0).toBe(answers)
  })
})

describe('nat', () => {
  const of = (outbound: object) =>
    node({
      ...{ mode: 'nat', inside: { ip: '10.0.0.1/24', mac: colons(HOST) }, endpoints: pods, outbound: [outbound] },
      uplink: { ip: '192.0.2.1/24', mac: '02:00:00:00:00:01' },
    })

  it.each([
    [{}, false, false],
    [{ mapping: 'endpoint-independent', filtering: 'endpoint-independent' }, true, true],
    [{ mapping: 'endpoint-independent', filtering: 'address-dependent' }, false, true],
    [{ mapping: 'endpoint-independent', filtering: 'address-and-port-dependent' }, false, false],
  ])('%j: heard from another address %s, from another port %s', (outbound, address, port) => {
    const heard = (src: string, number: number): boolean => {
      const send = of(outbound)
      expect(send('web', packet([HOST, WEB], '10.0.0.5', '192.0.2.9')).uplink).toHaveLength(1)
      const known = arp(['020000000001', FAR], 2, [FAR, '192.0.2.9'], ['020000000001', '192.0.2.1'])
      const [sent = ''] = send('uplink', known).uplink ?? []
      const b = Buffer.from(packet(['020000000001', FAR], src, '192.0.2.1'), 'hex')
      udp.write(b, 34, number, Buffer.from(sent, 'hex').readUInt16BE(34), 1)
      udp.fillChecksum(b, 14, 34)
      // The pod's MAC is asked for first.
      return send('uplink', b.toString('hex')).web !== undefined
    }
    expect(heard('192.0.2.9', 53)).toBe(true)
    expect([heard('192.0.2.8', 53), heard('192.0.2.9', 54)]).toEqual([address, port])
  })
})

describe('the table of switches', () => {
  it('names keys that there are', () => {
    const text = readFileSync(new URL('../../../docs/modes.md', import.meta.url), 'utf8')
    const [, table = ''] = text.split('## Where implementations differ')
    const rows = table.split('\n').filter((line) => line.startsWith('| `'))
    expect(rows.length).toBeGreaterThanOrEqual(19)
    const schema = JSON.stringify(topologySchema())
    for (const row of rows) {
      const keys = [...(row.split('|')[2] ?? '').matchAll(/`([^`]+)`/g)].flatMap(
        ([, code = '']) => code.match(/\w+/g) ?? [],
      )
      expect(keys.length, row).toBeGreaterThan(0)
      for (const key of keys) expect(schema, row).toContain(`"${key}":{`)
    }
  })
})
