/** What tunnel headers say besides the network: logical ports of OVN, identities of Cilium (modes.md 14.1, 15). */
import { type Frame, FramePool, type Link, Loop, VirtualClock } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import {
  IdentityLabels,
  type Labels,
  type NetworkOptions,
  OvnLabels,
  ovn,
  Vtep,
  type VtepOptions,
} from '../src/index.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const INNER = '0a580a010003 0a580a010002 0800 4500001c000040004001 0000 0a010002 0a010003 0800f7ff00000000'.replaceAll(
  ' ',
  '',
)

/** Two ends with a network each: what goes in at one comes out at the other, by name of the way. */
class Ends {
  readonly pool: FramePool = new FramePool({ frames: 64, frameSize: 2048 })
  readonly loop: Loop = new Loop(this.pool, new VirtualClock())
  readonly wire: string[] = []
  readonly came: string[] = []
  readonly near: Vtep
  readonly far: Vtep

  constructor(options: Omit<VtepOptions, 'local' | 'out'>) {
    const { pool, loop } = this
    this.far = new Vtep(pool, loop.clock, { ...options, local: '192.0.2.2', out: this.way('underlay') })
    const out = loop.link({
      process: (batch) => {
        for (let i = 0; i < batch.length; i++) this.wire.push(hex(pool.copyOut(batch.frames[i] as Frame)))
        this.far.process(batch)
        for (let i = 0; i < batch.length; i++) pool.sent(batch.frames[i] as Frame)
        batch.length = 0
      },
    })
    this.near = new Vtep(pool, loop.clock, { ...options, local: '192.0.2.1', out })
  }

  /** A link that notes what comes. */
  way(name: string): Link {
    return this.loop.link({
      process: (batch) => {
        for (let i = 0; i < batch.length; i++) {
          this.came.push(name)
          this.pool.sent(batch.frames[i] as Frame)
        }
        batch.length = 0
      },
    })
  }

  add(end: Vtep, options: Omit<NetworkOptions, 'out'>) {
    return end.addNetwork({ ...options, out: this.way('network') })
  }

  /** Sends a frame that came by a port into a network; gives the tunnel header. */
  send(network: ReturnType<Vtep['addNetwork']>, port: number, inner = INNER): string | undefined {
    const f = this.pool.from(Buffer.from(inner, 'hex')) as Frame
    this.pool.ledger.originate(1)
    this.pool.port[f] = port
    const into = this.loop.link(network)
    into.push(f)
    this.loop.settle()
    expect(this.pool.report().balanced).toBe(true)
    return this.wire.pop()?.slice(84, -inner.length)
  }
}

const OVN_END = {
  encapsulation: 'geneve',
  profile: 'ovs',
  knownOptions: [{ class: ovn.CLASS, type: ovn.TYPE }],
} as const

describe('OVN in GENEVE', () => {
  const make = (): { ends: Ends; labels: OvnLabels; there: OvnLabels; network: ReturnType<Vtep['addNetwork']> } => {
    const ends = new Ends(OVN_END)
    const [labels, there] = [new OvnLabels('geneve'), new OvnLabels('geneve')]
    labels.setPorts([{ key: 5, port: 70, out: ends.way('nobody') }], 0x7fff)
    there.setPorts([{ key: 6, port: 80, out: ends.way('port 6') }])
    const network = ends.add(ends.near, { vni: 7, labels, options: [ovn.option(0, 0x8000)] })
    network.addStatic('0a:58:0a:01:00:03', { address: '192.0.2.2', options: [ovn.option(0, 6)] })
    network.addStatic('0a:58:0a:01:00:09', { address: '192.0.2.2', options: [ovn.option(0, 9)] })
    network.addFlood('192.0.2.2')
    ends.add(ends.far, { vni: 7, labels: there })
    return { ends, labels, there, network }
  }

  it('says by which port a frame came, and goes to the port that is named', () => {
    const { ends, network } = make()
    expect(ends.send(network, 70)).toBe('0240655800000700' + '0102800100050006')
    expect(ends.came).toEqual(['port 6'])
  })

  it('says the router’s port of what was routed', () => {
    const { ends, network } = make()
    expect(ends.send(network, 0)).toBe('0240655800000700' + '010280017fff0006')
  })

  it('goes to the group for all: the worked frame A9', () => {
    const { ends, network } = make()
    expect(ends.send(network, 70, INNER.replace('0a580a010003', 'ffffffffffff'))).toBe(
      '02406558000007000102800100058000',
    )
    expect(ends.came).toEqual(['network'])
  })

  it('ends where no such port is', () => {
    const { ends, network } = make()
    ends.send(network, 70, INNER.replace('0a580a010003', '0a580a010009'))
    expect(ends.came).toEqual([])
    expect(ends.pool.report().dropped.NoDestination).toBe(1)
  })

  it('ends where the header has no option', () => {
    const ends = new Ends(OVN_END)
    const network = ends.add(ends.near, { vni: 7 })
    network.addFlood('192.0.2.2')
    ends.add(ends.far, { vni: 7, labels: new OvnLabels('geneve') })
    ends.send(network, 70)
    expect(ends.pool.report().dropped.NoDestination).toBe(1)
  })
})

describe('OVN in VXLAN', () => {
  it('has the port in the VNI: the worked frame A10', () => {
    const ends = new Ends({ profile: 'ovs' })
    const there = new OvnLabels('vxlan')
    there.setPorts([{ key: 3, port: 80, out: ends.way('port 3') }])
    const network = ends.add(ends.near, { vni: ovn.vxlanVni(7, 2048), labels: new OvnLabels('vxlan') })
    network.addStatic('0a:58:0a:01:00:03', { address: '192.0.2.2', vni: ovn.vxlanVni(7, 3) })
    network.addFlood('192.0.2.2')
    const far = ends.add(ends.far, { vni: ovn.vxlanVni(7, 2048), vnis: [ovn.vxlanVni(7, 3)], labels: there })
    expect(ends.send(network, 70)).toBe('0800000000300700')
    expect(ends.send(network, 70, INNER.replace('0a580a010003', 'ffffffffffff'))).toBe('0800000080000700')
    expect(ends.came).toEqual(['port 3', 'network'])
    // Its VNIs come and go.
    ends.far.setVnis(far, [ovn.vxlanVni(7, 2048)])
    ends.send(network, 70)
    expect(ends.pool.report().dropped.UnknownVni).toBe(1)
  })
})

describe('identities', () => {
  const make = (encapsulation: 'vxlan' | 'geneve'): { ends: Ends; network: ReturnType<Vtep['addNetwork']> } => {
    const ends = new Ends({ encapsulation, udpChecksum: false })
    const labels = new IdentityLabels(1)
    labels.setIdentities(
      new Map([
        ['10.1.0.2', 4711],
        ['fd00::2', 0xabcdef],
      ]),
    )
    const network = ends.add(ends.near, { vni: 'any', labels })
    network.addFlood('192.0.2.2')
    ends.add(ends.far, { vni: 'any' })
    return { ends, network }
  }

  it.each(['vxlan', 'geneve'] as const)(
    'are the VNI of %s, by the inner source; of the node where it is none',
    (kind) => {
      const { ends, network } = make(kind)
      const six = `0a580a010003 0a580a010002 86dd 60000000 0000 3b 40 fd00${'00'.repeat(13)}02 fd00${'00'.repeat(13)}03`
      const vni = (header: string | undefined): string | undefined => header?.slice(8, 14)
      expect(vni(ends.send(network, 0))).toBe('001267')
      expect(vni(ends.send(network, 0, six.replaceAll(' ', '')))).toBe('abcdef')
      expect(vni(ends.send(network, 0, INNER.replace('400100000a010002', '400100000a010009')))).toBe('000001')
      expect(ends.came).toEqual(['network', 'network', 'network'])
    },
  )

  it('are refused with key and value', () => {
    expect(() => new IdentityLabels(-1)).toThrow('identity must be from 0 to 16777215, not -1')
    const labels = new IdentityLabels(1)
    expect(() => labels.setIdentities(new Map([['10.1.0.2', 0x1000000]]))).toThrow('not 16777216')
  })
})

describe('settings', () => {
  it('refuse labels where a UDP checksum covers them, and VNIs that are another network’s', () => {
    const ends = new Ends({})
    const labels: Labels = new OvnLabels('vxlan')
    expect(() => ends.add(ends.near, { vni: 7, labels })).toThrow(
      'labels of network 7 need a UDP header without a checksum',
    )
    const one = ends.add(ends.near, { vni: 7, vnis: [8] })
    expect(() => ends.add(ends.near, { vni: 9, vnis: [8] })).toThrow('there is a network 8 already')
    ends.near.removeNetwork(one)
    const two = ends.add(ends.near, { vni: 9, vnis: [8] })
    expect(() => ends.near.setVnis(two, [1 << 24])).toThrow('vnis')
    expect(() => ends.near.setVnis(one, [1])).toThrow('not this VTEP')
  })
})
