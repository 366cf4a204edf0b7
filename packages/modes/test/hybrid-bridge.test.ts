// The rules of ovn-kubernetes' br-ext, frame by frame: modes.md 4.4.
import { KnownNeighbours } from '@l2l3/arp'
import { type Frame, FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import { checksum, ipv4, parseIpv4, tcp } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HybridBridge } from '../src/linux/hybrid-bridge.ts'
import { datagram, sentence } from './windows/packets.ts'

const DR = '0a:58:0a:f4:03:03'
const WIN = '00:15:5d:00:10:01'
const POD = '0a:58:0a:f4:03:05'
const ROUTER = '0a:58:0a:f4:03:01'

function bench(): {
  pool: FramePool
  send(way: 'fromOvn' | 'fromTunnel', frame: string | Uint8Array, mark?: (f: Frame) => void): Record<string, string[]>
} {
  const pool = new FramePool({ frames: 32 })
  const loop = new Loop(pool, new VirtualClock())
  const sinks = ['ovn', 'tunnel'].map((name) => new MemoryPort(pool, name)) as [MemoryPort, MemoryPort]
  const pods = new KnownNeighbours()
  pods.set('10.244.3.5', POD)
  const rules = new HybridBridge(pool, {
    ...{ subnet: '10.244.3.0/24', drIp: '10.244.3.3', drMac: DR, pods },
    ...{
      gatewayRouter: { ip: '100.64.0.2', mac: ROUTER },
      toOvn: loop.link(sinks[0]),
      toPods: loop.link(sinks[0]),
      toTunnel: loop.link(sinks[1]),
    },
  })
  rules.setPeers([{ subnet: '10.244.1.0/24', address: '192.0.2.1', drMac: WIN }])
  const ports = { fromOvn: new MemoryPort(pool, 'ext'), fromTunnel: new MemoryPort(pool, 'ext-vxlan') }
  for (const way of ['fromOvn', 'fromTunnel'] as const) loop.add(ports[way], rules[way])
  return {
    pool,
    send(way, frame, mark) {
      const bytes = typeof frame === 'string' ? Buffer.from(frame.replaceAll(/[ :]/g, ''), 'hex') : frame
      const f = pool.from(bytes) as Frame
      mark?.(f)
      ports[way].injectFrame(f)
      loop.settle()
      const out: Record<string, string[]> = {}
      for (const sink of sinks) {
        const sent = sink.takeAll().map((b) => b.toString('hex'))
        if (sent.length > 0) out[sink.name] = sent
      }
      expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
      return out
    },
  }
}

describe('from OVN', () => {
  it('wraps IP for a subnet with Windows, to its distributed router, source MAC and TTL as they are', () => {
    const { send } = bench()
    const out = send('fromOvn', datagram(`${ROUTER} > ${DR}, 10.244.3.5#1 > 10.244.1.5#2`, 63))
    expect(out.tunnel?.map(sentence)).toEqual([`${ROUTER} > ${WIN}, 10.244.3.5#1 > 10.244.1.5#2, ttl 63`])
  })

  it('has the gateway router speak as the distributed router', () => {
    const { send } = bench()
    const out = send('fromOvn', datagram(`${ROUTER} > ${DR}, 100.64.0.2#1 > 10.244.1.5#2`))
    expect(out.tunnel?.map(sentence)).toEqual([`${ROUTER} > ${WIN}, 10.244.3.3#1 > 10.244.1.5#2, ttl 128`])
  })

  it('answers ARP in place, for itself and for the nodes with Windows', () => {
    const { send } = bench()
    const ask = (tpa: string): string =>
      `ffffffffffff ${ROUTER} 0806 0001 0800 0604 0001 ${ROUTER} 0af40301 000000000000 ${tpa}`
    const told = (mac: string, spa: string): string[] => {
      return [`${ROUTER}${mac}0806 0001 0800 0604 0002 ${mac}${spa}${ROUTER}0af40301`.replaceAll(/[ :]/g, '')]
    }
    expect(send('fromOvn', ask('0af40303'))).toEqual({ ovn: told(DR, '0af40303') })
    expect(send('fromOvn', ask('0af40109'))).toEqual({ ovn: told(WIN, '0af40109') })
  })

  it.each([
    ['IP to elsewhere', datagram(`${ROUTER} > ${DR}, 10.244.3.5#1 > 8.8.8.8#2`), 'NoRemote'],
    [
      'ARP for elsewhere',
      `ffffffffffff${ROUTER}0806 0001 0800 0604 0001 ${ROUTER}0af40301 000000000000 0af40309`,
      'ArpFilter',
    ],
    [
      'an ARP answer for itself',
      `${DR}${ROUTER}0806 0001 0800 0604 0002 ${ROUTER}0af40301 ${DR} 0af40303`,
      'ArpFilter',
    ],
    ['IPv6', `${DR}${ROUTER}86dd${'60'.padEnd(80, '0')}`, 'BlockNonIp'],
    ['nothing', `${DR}${ROUTER}`, 'BlockNonIp'],
  ])('drops %s', (_, frame, why) => {
    const { send, pool } = bench()
    expect(send('fromOvn', frame)).toEqual({})
    expect(pool.report().dropped).toEqual({ [why]: 1 })
  })
})

describe('from the tunnel', () => {
  it('gives a pod what is for it, from the distributed router', () => {
    const { send } = bench()
    const out = send('fromTunnel', datagram(`${WIN} > ${DR}, 10.244.1.5#2 > 10.244.3.5#1`, 127))
    expect(out.ovn?.map(sentence)).toEqual([`${DR} > ${POD}, 10.244.1.5#2 > 10.244.3.5#1, ttl 127`])
  })

  it('gives the gateway router what is for the distributed router', () => {
    const { send } = bench()
    const out = send('fromTunnel', datagram(`${WIN} > ${DR}, 10.244.1.5#2 > 10.244.3.3#1`))
    expect(out.ovn?.map(sentence)).toEqual([`${DR} > ${ROUTER}, 10.244.1.5#2 > 100.64.0.2#1, ttl 128`])
  })

  it('answers ARP for any address of the subnet, back into the tunnel', () => {
    const { send } = bench()
    const frame = `ffffffffffff ${WIN} 0806 0001 0800 0604 0001 ${WIN} 0af40101 000000000000 0af403c8`
    const told = `${WIN}${DR}0806 0001 0800 0604 0002 ${DR}0af403c8 ${WIN}0af40101`.replaceAll(/[ :]/g, '')
    expect(send('fromTunnel', frame)).toEqual({ tunnel: [told] })
  })

  it.each([
    ['for another MAC', datagram(`${WIN} > ${POD}, 10.244.1.5#2 > 10.244.3.5#1`), 'OtherHost'],
    ['for another subnet', datagram(`${WIN} > ${DR}, 10.244.1.5#2 > 10.244.9.5#1`), 'OtherHost'],
    ['for another node with Windows', datagram(`${WIN} > ${DR}, 10.244.2.5#2 > 10.244.1.5#1`), 'OtherHost'],
    ['for an address that no pod has', datagram(`${WIN} > ${DR}, 10.244.1.5#2 > 10.244.3.9#1`), 'UnknownEndpoint'],
  ])('drops what is %s', (_, frame, why) => {
    const { send, pool } = bench()
    expect(send('fromTunnel', frame)).toEqual({})
    expect(pool.report().dropped).toEqual({ [why]: 1 })
  })
})

describe('checksums', () => {
  /** TCP from the gateway router, with the checksum or with what a sender left to do. */
  const segment = (partial: boolean, src = '100.64.0.2'): Buffer => {
    const b = Buffer.alloc(54 + 5)
    Buffer.from(`${DR}${ROUTER}0800`.replaceAll(':', ''), 'hex').copy(b)
    ipv4.write(b, 14, { src: parseIpv4(src), dst: parseIpv4('10.244.1.5'), protocol: 6, payload: 25, ttl: 64 })
    b.writeUInt16BE(1, 34)
    b.writeUInt16BE(2, 36)
    b.writeUInt8(0x50, 46)
    b.set([1, 2, 3, 4, 5], 54)
    const pseudo = checksum.pseudo4(b, 14, 6, 25)
    b.writeUInt16BE(partial ? checksum.fold(pseudo) : checksum.checksum(b, 34, 59, pseudo), 34 + 16)
    return b
  }
  it('are right of TCP, whole and where a sender left it to the device', () => {
    const whole = bench().send('fromOvn', segment(false)).tunnel?.[0]
    expect(whole?.slice(28)).toBe(segment(false, '10.244.3.3').toString('hex').slice(28))
    const { send, pool } = bench()
    const out = send('fromOvn', segment(true), (f) => {
      pool.flags[f] = 1
      pool.csumStart[f] = 34
      pool.csumOffset[f] = tcp.CHECKSUM
    })
    // The port finishes what was left.
    expect(out.tunnel?.[0]).toBe(whole)
  })
})

describe('whatever comes', () => {
  it('is answered, passed on or dropped, and nothing behind the frame is touched', () => {
    const { send, pool } = bench()
    const seeds = [
      datagram(`${ROUTER} > ${DR}, 100.64.0.2#1 > 10.244.1.5#2`),
      datagram(`${WIN} > ${DR}, 10.244.1.5#2 > 10.244.3.3#1`),
      `ffffffffffff${WIN}080600010800060400 01${WIN}0af401010000000000000af403c8`.replaceAll(/[ :]/g, ''),
    ].map((hex) => Buffer.from(hex.replaceAll(/[ :]/g, ''), 'hex'))
    fc.assert(
      fc.property(
        fc.constantFrom('fromOvn' as const, 'fromTunnel' as const),
        fc.oneof(
          fc.uint8Array({ maxLength: 80 }),
          fc
            .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(79), fc.nat(255)), { maxLength: 4 }), fc.nat(80))
            .map(([seed, changes, length]) => {
              const b = Uint8Array.from(seed)
              for (const [at, value] of changes) if (at < b.length) b[at] = value
              return b.subarray(0, length)
            }),
        ),
        (way, frame) => {
          let behind = 0
          const out = send(way, frame, (f) => {
            behind = (pool.off[f] as number) + frame.length
            pool.bytes.fill(0xa5, behind, behind + 32)
          })
          for (const sent of Object.values(out).flat()) expect(sent).toHaveLength(2 * frame.length)
          expect(pool.bytes.subarray(behind, behind + 32).every((b) => b === 0xa5)).toBe(true)
        },
      ),
      { numRuns: 2000 },
    )
  })
})
