/** Nodes of overlay modes whose peers and pods come and go while frames pass, and what is refused of their settings. */
import { describe, expect, it } from 'vitest'
import {
  type DockerOverlaySettings,
  dockerOverlay,
  fan,
  fanGateway,
  fastdpVni,
  type OvnSettings,
  ovn,
  type WeaveSettings,
  weave,
} from '../src/index.ts'
import { lab } from './lab.ts'

const RED = '02420a000902'
const FAR = '02420a000904'
const NODE2 = '0200000000bb'
const colons = (mac: string): string => mac.replace(/..(?!$)/g, '$&:')
const ask = (spa: string, tpa: string): string =>
  `ffffffffffff ${RED} 0806 0001 0800 06 04 0001 ${RED} ${spa} 000000000000 ${tpa}`
const udp = (dst: string, src: string): string =>
  `${dst} ${src} 0800 4500001c0000400040111c8d 0a000902 0a000904 1388 1b58 0008 0000`
const UPLINK = { name: 'eth0', mac: '02:00:00:00:00:aa', addresses: ['192.0.2.1/24'] }

describe('docker-overlay', () => {
  it('knows who is told of, as long as it is', () => {
    const { ground, port, send } = lab()
    const pods = [{ name: 'red', port: port('red'), mac: colons(RED), ips: ['10.0.9.2'] }]
    const uplinks = [{ ...UPLINK, port: port('eth0') }]
    const peer = (address: string) => ({ node: 'n2', address, stations: [{ mac: colons(FAR), ips: ['10.0.9.4'] }] })
    const node = dockerOverlay(ground, { pods, uplinks })
    for (const end of ['192.0.2.2', '192.0.2.3']) node.host.uplinks[0]?.neighbours.add(end, colons(NODE2))
    const become = (peers: DockerOverlaySettings['peers'] = []): void => node.change({ pods, uplinks, peers })
    const question = ask('0a000902', '0a000904')
    expect(send('red', question)).toEqual({})
    become([peer('192.0.2.2')])
    expect(send('red', question).red?.[0]).toContain(`0002${FAR}0a000904`)
    expect(send('red', udp(FAR, RED)).eth0?.[0]).toContain('c0000201c0000202')
    become([peer('192.0.2.3')])
    expect(send('red', udp(FAR, RED)).eth0?.[0]).toContain('c0000201c0000203')
    become()
    expect(send('red', question)).toEqual({})
    expect(send('red', udp(FAR, RED))).toEqual({})
  })
})

describe('ovn', () => {
  it('switches and ports come and go: far ones are answered for, and only as long', () => {
    const { ground, port, send } = lab()
    const red = { name: 'red', port: port('red'), mac: colons(RED), ips: ['10.0.9.2'], switch: 'blue', key: 5 }
    const blue = { name: 'blue', key: 7 }
    const far = { switch: 'blue', key: 6, mac: colons(FAR), ips: ['10.0.9.4'] }
    const base: OvnSettings = { pods: [red], switches: [blue], uplinks: [{ ...UPLINK, port: port('eth0') }] }
    const peers = [{ node: 'n2', address: '192.0.2.2', ports: [far] }]
    const node = ovn(ground, base)
    node.host.uplinks[0]?.neighbours.add('192.0.2.2', colons(NODE2))
    const question = ask('0a000902', '0a000904')
    expect(send('red', question)).toEqual({})
    node.change({ ...base, peers })
    expect(send('red', question).red?.[0]).toContain(`0002${FAR}0a000904`)
    expect(send('red', udp(FAR, RED)).eth0?.[0]).toContain('02406558000007000102800100050006')
    node.change({ ...base, peers: [{ node: 'n2', address: '192.0.2.2', ports: [{ ...far, key: 9 }] }] })
    expect(send('red', udp(FAR, RED)).eth0?.[0]).toContain('0102800100050009')
    // It moves to another switch: the first knows nothing of it.
    const green = { name: 'green', key: 8 }
    node.change({ ...base, switches: [blue, green], peers: [{ ...peers[0]!, ports: [{ ...far, switch: 'green' }] }] })
    expect(send('red', udp(FAR, RED))).toEqual({})
    node.change(base)
    expect(send('red', question)).toEqual({})
  })

  it('refuses keys that are another’s, and those that the encapsulation has no room for', () => {
    const make = (settings: Partial<OvnSettings>, encapsulation: 'geneve' | 'vxlan' = 'geneve') => {
      const { ground, port } = lab()
      const uplinks = [{ ...UPLINK, port: port('eth0') }]
      return ovn(ground, { pods: [], switches: [{ name: 'blue', key: 7 }], uplinks, encapsulation, ...settings })
    }
    const twice = [
      { name: 'blue', key: 7 },
      { name: 'green', key: 7 },
    ]
    expect(() => make({ switches: twice })).toThrow('key of switch blue: 7 is that of green')
    expect(() => make({ switches: [{ name: 'blue', key: 4096 }] }, 'vxlan')).toThrow('key of switch blue')
    const far = { switch: 'blue', mac: colons(FAR), ips: [] }
    const peer = (...ports: number[]) => [
      { node: 'n2', address: '192.0.2.2', ports: ports.map((key) => ({ ...far, key })) },
    ]
    expect(() => make({ peers: peer(6, 6) })).toThrow('6 is that of')
    expect(() => make({ peers: peer(2048) }, 'vxlan')).toThrow('key of n2')
    expect(() => make({ peers: peer(0x7fff) })).toThrow('key of n2')
  })
})

describe('weave', () => {
  it('has a connection with each peer, of the kind that both have', () => {
    const { ground, port, send } = lab()
    const base: WeaveSettings = {
      pods: [{ name: 'red', port: port('red'), mac: colons(RED), ips: ['10.0.9.2'] }],
      uplinks: [{ ...UPLINK, port: port('eth0') }],
    }
    const mine = { name: '7a:00:00:00:00:01', shortId: 0x111 }
    const peer = { node: 'n2', address: '192.0.2.2', name: '7a:00:00:00:00:02', shortId: 0x222 }
    const node = weave(ground, { ...base, ...mine, gateway: { mac: '02:00:00:00:00:01', addresses: ['10.0.9.1/24'] } })
    node.host.uplinks[0]?.neighbours.add('192.0.2.2', colons(NODE2))
    expect(send('red', udp(FAR, RED))).toEqual({})
    node.change({ ...base, peers: [peer] })
    expect(send('red', udp(FAR, RED)).eth0?.[0]).toContain(`0800000022211100${FAR}${RED}`)
    node.change({ ...base, peers: [{ ...peer, shortId: 0x333 }] })
    expect(send('red', udp(FAR, RED)).eth0?.[0]).toContain(`0800000033311100${FAR}${RED}`)
    node.change({ ...base, peers: [{ ...peer, sleeve: true }] })
    expect(send('red', udp(FAR, RED)).eth0?.[0]).toContain(`7a00000000017a00000000017a0000000002002a${FAR}${RED}`)
    node.change(base)
    expect(send('red', udp(FAR, RED))).toEqual({})
    expect(() => node.change({ ...base, peers: [{ ...peer, shortId: 0x111 }] })).toThrow('shortId of n2: 273')
    expect(() => fastdpVni(4096, 0)).toThrow('shortId must be from 0 to 4095, not 4096')
  })
})

describe('fan', () => {
  it('computes the gateway, and refuses a node that is not in the underlay', () => {
    const prefixes = { overlay: '250.0.0.0/8', underlay: '172.16.0.0/16' }
    expect(fanGateway(prefixes, '172.16.3.4')).toBe('250.3.4.1/24')
    expect(fanGateway({ overlay: '10.0.0.0/8', underlay: '192.0.2.0/24' }, '192.0.2.7')).toBe('10.7.0.1/16')
    const { ground, port } = lab()
    const uplinks = [{ ...UPLINK, port: port('eth0') }]
    const options = { ...prefixes, local: '192.0.2.1', bridge: { mac: '02:00:00:00:00:01' }, pods: [], uplinks }
    expect(() => fan(ground, options)).toThrow('local 192.0.2.1 is not in the underlay 172.16.0.0/16')
  })
})
