/** OVN's load balancers at the ports of pods: who gets what, how a service comes and goes, and that nothing else is touched. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type OvnNode, type OvnSettings, ovn } from '../../src/index.ts'
import { hex, type Lab, lab } from '../lab.ts'

const WEB = '0a580a010002'
const DB = '0a580a010003'
const ROUTER = '0a580a010001'
const [WEB_IP, DB_IP, VIP, HAIRPIN] = ['0a010002', '0a010003', '0a60000a', 'a9fea905']
const colons = (mac: string): string => mac.replace(/..(?!$)/g, '$&:')
const u16 = (n: number): string => n.toString(16).padStart(4, '0')

/** An IPv4 packet in a frame, its header with a checksum.
 * @param fragment flags and offset */
function packet(
  macs: string,
  src: string,
  dst: string,
  ttl: number,
  protocol: string,
  rest: string,
  fragment = '4000',
): string {
  const payload = rest.replaceAll(' ', '')
  const head = `4500${u16(20 + payload.length / 2)}0000${fragment}${ttl.toString(16)}${protocol}0000${src}${dst}`
  let sum = 0
  for (let i = 0; i < 40; i += 4) sum += Number.parseInt(head.slice(i, i + 4), 16)
  sum = (sum & 0xffff) + (sum >>> 16)
  return `${macs}0800${head.slice(0, 20)}${u16(~sum & 0xffff)}${head.slice(24)}${payload}`
}

/** A datagram without a checksum, "to port <- from port". */
const udp = (to: string, from: string, src: string, dst: string, ports: string, ttl = 0x40): string =>
  packet(to + from, src, dst, ttl, '11', `${ports} 000c 0000 61626364`)

interface Made extends Pick<Lab, 'send' | 'pool'> {
  readonly node: OvnNode
  change(services: OvnSettings['services'], pods?: 'both' | 'web'): void
}

function made(services: OvnSettings['services']): Made {
  const { ground, port, send, pool } = lab()
  const blue = { name: 'blue', key: 7, gateway: { mac: colons(ROUTER), addresses: ['10.1.0.1/24'] } }
  const pods = [
    { name: 'web', port: port('web'), mac: colons(WEB), ips: ['10.1.0.2'], switch: 'blue', key: 5 },
    { name: 'db', port: port('db'), mac: colons(DB), ips: ['10.1.0.3'], switch: 'blue', key: 6 },
  ]
  const uplinks = [{ name: 'eth0', mac: '02:00:00:00:00:aa', addresses: ['192.0.2.1/24'], port: port('eth0') }]
  const base = { switches: [blue], uplinks, ...(services === undefined ? {} : { services }) }
  const node = ovn(ground, { ...base, pods, conntrack: { maxFlows: 64 } })
  const change: Made['change'] = (next = [], who = 'both') =>
    node.change({ ...base, pods: who === 'both' ? pods : pods.slice(0, 1), services: next })
  return { node, send, pool, change }
}

const shop = (address: string) =>
  ({
    name: 'shop',
    protocol: 'udp',
    port: 53,
    clusterIps: ['10.96.0.10'],
    backends: [{ address, port: 5353 }],
  }) as const

/** web's question to the service, and what db gets and answers. */
const ASK = udp(ROUTER, WEB, WEB_IP, VIP, '8000 0035')
const ASKED = udp(DB, ROUTER, WEB_IP, DB_IP, '8000 14e9', 0x3f)
const TELL = udp(WEB, DB, DB_IP, WEB_IP, '14e9 8000')
const TOLD = udp(WEB, DB, VIP, WEB_IP, '0035 8000')

describe('a service of a logical switch', () => {
  it('goes by the router, and its answer straight: each is what it was at the client’s port', () => {
    const { send } = made([shop('10.1.0.3')])
    expect(send('web', ASK)).toEqual({ db: [ASKED] })
    expect(send('db', TELL)).toEqual({ web: [TOLD] })
  })

  it('goes with its fragments, in whatever order they come', () => {
    const { send } = made([shop('10.1.0.3')])
    const [first, second] = ['8000 0035 0018 0000 6162636465666768', '696a6b6c6d6e6f70']
    const half = (macs: string, dst: string, ttl: number, bytes: string, fragment: string): string =>
      packet(macs, WEB_IP, dst, ttl, '11', bytes, fragment)
    expect(send('web', half(ROUTER + WEB, VIP, 0x40, second, '0002'))).toEqual({})
    const { db = [] } = send('web', half(ROUTER + WEB, VIP, 0x40, first, '2000'))
    const translated = first.replace('0035', '14e9')
    expect(db.sort()).toEqual(
      [half(DB + ROUTER, DB_IP, 0x3f, translated, '2000'), half(DB + ROUTER, DB_IP, 0x3f, second, '0002')].sort(),
    )
  })

  it('of a pod that is its own backend turns round at its port', () => {
    const { send } = made([shop('10.1.0.2')])
    expect(send('web', ASK)).toEqual({ web: [udp(WEB, ROUTER, HAIRPIN, WEB_IP, '8000 14e9')] })
    expect(send('web', udp(ROUTER, WEB, WEB_IP, HAIRPIN, '14e9 8000'))).toEqual({
      web: [udp(WEB, ROUTER, VIP, WEB_IP, '0035 8000')],
    })
  })

  it('without backends is refused: port unreachable, of the service', () => {
    const { send, pool } = made([{ ...shop('10.1.0.3'), backends: [] }])
    const { web = [] } = send('web', ASK)
    expect(web).toHaveLength(1)
    // From the router's MAC and the service's address: type 3, code 3, and the packet.
    expect(web[0]).toMatch(new RegExp(`^${WEB}${ROUTER}0800.{24}${VIP}${WEB_IP}0303.{12}${ASK.slice(28)}$`))
    expect(pool.report().dropped).toEqual({ NoBackend: 1 })
  })

  it('comes and goes while packets pass; flows of UDP end with their backend', () => {
    const { send, change, node } = made(undefined)
    expect(node.balancer.made).toBe(null)
    const plain = udp(DB, WEB, WEB_IP, DB_IP, '8000 14e9')
    expect(send('web', plain)).toEqual({ db: [plain] })
    change([shop('10.1.0.3')])
    expect(send('web', ASK)).toEqual({ db: [ASKED] })
    change([shop('10.1.0.2')])
    expect(send('web', ASK).web).toHaveLength(1)
    change([])
    expect(send('web', ASK).db ?? []).toEqual([])
    expect([...(node.balancer.made?.balancer.services.list() ?? [])]).toEqual([])
    expect(send('web', plain)).toEqual({ db: [plain] })
  })

  it('knows flows of pods for as long as they are there', () => {
    const { send, change, node } = made([shop('10.1.0.3')])
    send('web', ASK)
    expect(node.balancer.made?.nat.conntrack.size).toBeGreaterThan(0)
    change([shop('10.1.0.3')], 'web')
    change([shop('10.1.0.3')])
    expect(send('web', ASK)).toEqual({ db: [ASKED] })
    expect(send('db', TELL)).toEqual({ web: [TOLD] })
    node.balancer.forget(['10.1.0.2'])
    expect(node.balancer.made?.nat.conntrack.size).toBe(0)
  })

  it('leaves alone what is no flow of IP', () => {
    const { send } = made([shop('10.1.0.3')])
    const tagged = `${DB}${WEB}8100000a${ASK.slice(24)}`
    expect(send('web', `${DB}${WEB}88b5${'00'.repeat(46)}`).db).toHaveLength(1)
    expect(send('web', tagged)).toEqual({ db: [tagged] })
    expect(send('web', `${DB}${WEB}0800`)).toEqual({ db: [`${DB}${WEB}0800`] })
  })

  it('survives any bytes, and the ledger balances', () => {
    const { send } = made([shop('10.1.0.3'), { ...shop('10.1.0.2'), name: 'self', clusterIps: ['10.96.0.11'] }])
    const start = fc.constantFrom(ASK, TELL, udp(ROUTER, WEB, WEB_IP, HAIRPIN, '14e9 8000'), `${ROUTER}${WEB}86dd60`)
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 60 }), fc.nat(60), fc.nat(120), (frame, noise, at, cut) => {
        const bytes = hex(frame)
        bytes.set(noise.subarray(0, Math.max(0, bytes.length - at)), Math.min(at, bytes.length))
        // `send` asks whether the ledger balances.
        send('web', bytes.subarray(0, Math.max(14, Math.min(cut, bytes.length))).toString('hex'))
      }),
      { numRuns: 300 },
    )
    expect(send('web', ASK)).toEqual({ db: [ASKED] })
  })
})

describe('settings of services', () => {
  it('that make no sense are told', () => {
    expect(() => made([{ ...shop('10.1.0.3'), nodePort: 30_053 }])).toThrow(
      'service shop: externalTrafficPolicy Cluster: must be Local',
    )
    expect(() => made([{ ...shop('10.1.0.3'), clusterIps: ['10.1.0.77'] }])).toThrow(
      'service shop: clusterIps[0]: 10.1.0.77 is in the network of the inside, 10.1.0.0/24',
    )
    const { ground, port } = lab()
    const uplinks = [{ name: 'eth0', mac: '02:00:00:00:00:aa', addresses: ['192.0.2.1/24'], port: port('eth0') }]
    const base = { pods: [], switches: [{ name: 'blue', key: 7 }], uplinks }
    expect(() => ovn(ground, { ...base, hairpinSnat: ['192.0.2.7', '192.0.2.8'] })).toThrow(
      'hairpinSnat: 192.0.2.8 is the second of its IP version',
    )
    expect(() => ovn(ground, { ...base, hairpinSnat: ['192.0.2'] })).toThrow('hairpinSnat: ')
  })
})
