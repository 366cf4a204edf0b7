// The rules of the l2bridge engine, one by one (modes.md 2.2, 3, 7.1), each with what is Windows' way and what is Linux'.
import { describe, expect, it } from 'vitest'
import {
  AZURE_FABRIC_MAC,
  AZURE_LINUX,
  FramePool,
  L2BridgeEngine,
  Loop,
  MemoryPort,
  VirtualClock,
} from '../../src/index.ts'
import { ALL, arpFrame, FABRIC, HOST, IP, ipFrame, Node, POD1, POD2 } from './lab.ts'

const ROUTER = '02000000ffff'
const ZERO = '000000000000'

describe('rule 1: what leaves has the MAC of the host', () => {
  it('as its source, and nothing else is changed', () => {
    const node = new Node()
    const out = node.send('pod1', ipFrame(ROUTER, POD1, IP.pod1, '08080808'))
    expect(out).toEqual({ fabric: [ipFrame(ROUTER, HOST, IP.pod1, '08080808')] })
  })

  it('in ARP requests, replies and announcements, sender included', () => {
    const node = new Node()
    const announce = (mac: string): string => arpFrame(ALL, mac, 1, mac, IP.pod1, ZERO, IP.pod1)
    expect(node.send('pod1', announce(POD1))).toEqual({
      fabric: [announce(HOST)],
      host: [announce(POD1)],
      pod2: [announce(POD1)],
    })
    expect(node.send('pod1', arpFrame(ROUTER, POD1, 2, POD1, IP.pod1, ROUTER, IP.gateway)).fabric).toEqual([
      arpFrame(ROUTER, HOST, 2, HOST, IP.pod1, ROUTER, IP.gateway),
    ])
  })

  it('in ARP of another hardware type, from which Linux learns too (6, IEEE 802)', () => {
    const node = new Node()
    const of6 = (frame: string): string => frame.replace('08060001', '08060006')
    const ask = (mac: string): string => of6(arpFrame(ALL, mac, 1, mac, IP.pod1, ZERO, IP.gateway))
    expect(node.send('pod1', ask(POD1)).fabric).toEqual([ask(HOST)])
    // And back: to the pod, tha too.
    const reply = (mac: string): string => of6(arpFrame(mac, ROUTER, 2, ROUTER, IP.gateway, mac, IP.pod1))
    expect(node.send('fabric', reply(HOST))).toEqual({ pod1: [reply(POD1)] })
    const foreign = of6(arpFrame(ALL, ROUTER, 1, ROUTER, IP.gateway, ZERO, IP.pod2))
    expect(node.send('fabric', foreign).fabric).toEqual([
      of6(arpFrame(ROUTER, HOST, 2, HOST, IP.pod2, ROUTER, IP.gateway)),
    ])
  })

  it('behind VLAN tags too', () => {
    const node = new Node()
    const tagged = (mac: string): string =>
      arpFrame(ALL, mac, 1, mac, IP.pod1, ZERO, IP.nobody).replace('0806', '810000050806')
    expect(node.send('pod1', tagged(POD1)).fabric).toEqual([tagged(HOST)])
  })

  it('whatever else it is: a frame of an unknown protocol, an ARP packet that is cut short', () => {
    const node = new Node()
    for (const rest of ['88b5c0ffee', '0806000108000604', '0800', '86dd6000']) {
      expect(node.send('pod1', `${ROUTER}${POD1}${rest}`)).toEqual({ fabric: [`${ROUTER}${HOST}${rest}`] })
    }
  })
})

describe('rule 2: what comes in goes by its IP address', () => {
  it('to the pod, or to the host', () => {
    const node = new Node()
    expect(node.send('fabric', ipFrame(HOST, FABRIC, IP.gateway, IP.pod2))).toEqual({
      pod2: [ipFrame(POD2, FABRIC, IP.gateway, IP.pod2)],
    })
    expect(node.send('fabric', ipFrame(HOST, FABRIC, IP.gateway, IP.host))).toEqual({
      host: [ipFrame(HOST, FABRIC, IP.gateway, IP.host)],
    })
  })

  it('to the host where no pod has it, or to nobody: never to pods', () => {
    const stray = ipFrame(HOST, FABRIC, IP.gateway, IP.nobody)
    expect(new Node().send('fabric', stray)).toEqual({ host: [stray] })
    const alone = new Node({}, false)
    expect(alone.send('fabric', stray)).toEqual({})
    expect(alone.drops).toEqual({ UnknownEndpoint: 1 })
  })

  it('and not by its MAC address: a frame to a MAC that is not the host is nobody’s', () => {
    for (const dst of [POD1, ROUTER]) {
      const node = new Node()
      expect(node.send('fabric', ipFrame(dst, FABRIC, IP.gateway, IP.nobody))).toEqual({})
      expect(node.drops).toEqual({ UnknownEndpoint: 1 })
    }
  })

  it('as a broadcast or multicast to all', () => {
    const node = new Node()
    for (const dst of [ALL, '01005e0000fb']) {
      const frame = ipFrame(dst, FABRIC, IP.gateway, 'e00000fb')
      expect(node.send('fabric', frame)).toEqual({ pod1: [frame], pod2: [frame], host: [frame] })
    }
  })

  it('an ARP request for nobody here is the host’s alone, an announcement is everybody’s', () => {
    const node = new Node()
    const request = arpFrame(ALL, FABRIC, 1, FABRIC, IP.gateway, ZERO, IP.nobody)
    expect(node.send('fabric', request)).toEqual({ host: [request] })
    const announcement = arpFrame(ALL, FABRIC, 1, FABRIC, IP.gateway, ZERO, IP.gateway)
    expect(node.send('fabric', announcement)).toEqual({
      pod1: [announcement],
      pod2: [announcement],
      host: [announcement],
    })
  })

  it('unless the switch is to flood it, as Linux does', () => {
    const node = new Node({ unknownDestination: 'flood' })
    const request = arpFrame(ALL, FABRIC, 1, FABRIC, IP.gateway, ZERO, IP.nobody)
    expect(node.send('fabric', request)).toEqual({ pod1: [request], pod2: [request], host: [request] })
  })
})

describe('rules 3 and 4: ARP', () => {
  it('a reply is delivered by its target, tha included, or to everybody', () => {
    const reply = arpFrame(HOST, FABRIC, 2, FABRIC, IP.gateway, HOST, IP.pod2)
    expect(new Node().send('fabric', reply)).toEqual({
      pod2: [arpFrame(POD2, FABRIC, 2, FABRIC, IP.gateway, POD2, IP.pod2)],
    })
    const all = arpFrame(ALL, FABRIC, 2, FABRIC, IP.gateway, HOST, IP.pod2)
    expect(new Node({ arpReplyMode: 'broadcast-azure' }).send('fabric', reply)).toEqual({
      pod1: [all],
      pod2: [all],
      host: [all],
    })
  })

  it('a reply for the host is the host’s', () => {
    const reply = arpFrame(HOST, FABRIC, 2, FABRIC, IP.gateway, HOST, IP.host)
    expect(new Node().send('fabric', reply)).toEqual({ host: [reply] })
  })

  it('a reply whose Ethernet header names the pod already still gets its tha', () => {
    const reply = arpFrame(POD2, FABRIC, 2, FABRIC, IP.gateway, HOST, IP.pod2)
    expect(new Node().send('fabric', reply).pod2).toEqual([
      arpFrame(POD2, FABRIC, 2, FABRIC, IP.gateway, POD2, IP.pod2),
    ])
  })

  it('the uplink asks for a pod: the MAC of the host, or of the pod', () => {
    const request = arpFrame(ALL, FABRIC, 1, FABRIC, IP.gateway, ZERO, IP.pod1)
    expect(new Node().send('fabric', request)).toEqual({
      fabric: [arpFrame(FABRIC, HOST, 2, HOST, IP.pod1, FABRIC, IP.gateway)],
    })
    expect(new Node({ foreignArpAnswer: 'pod-mac' }).send('fabric', request)).toEqual({
      fabric: [arpFrame(FABRIC, POD1, 2, POD1, IP.pod1, FABRIC, IP.gateway)],
    })
  })

  it('the uplink or a pod asks for the host', () => {
    const node = new Node()
    expect(node.send('fabric', arpFrame(ALL, FABRIC, 1, FABRIC, IP.gateway, ZERO, IP.host))).toEqual({
      fabric: [arpFrame(FABRIC, HOST, 2, HOST, IP.host, FABRIC, IP.gateway)],
    })
    expect(node.send('pod1', arpFrame(ALL, POD1, 1, POD1, IP.pod1, ZERO, IP.host))).toEqual({
      pod1: [arpFrame(POD1, HOST, 2, HOST, IP.host, POD1, IP.pod1)],
    })
  })

  it('a pod asks for another: answered here, and padding is not sent back', () => {
    const node = new Node()
    const request = arpFrame(ALL, POD1, 1, POD1, IP.pod1, ZERO, IP.pod2)
    expect(node.send('pod1', `${request}${'00'.repeat(18)}`)).toEqual({
      pod1: [arpFrame(POD1, POD2, 2, POD2, IP.pod2, POD1, IP.pod1)],
    })
  })

  it('a pod that asks for its own address gets no answer, but with answerOwner', () => {
    const probe = arpFrame(ALL, POD1, 1, POD1, '00000000', ZERO, IP.pod1)
    expect(new Node().send('pod1', probe).pod1).toBeUndefined()
    expect(new Node({ answerOwner: true }).send('pod1', probe)).toEqual({
      pod1: [arpFrame(POD1, POD1, 2, POD1, IP.pod1, POD1, '00000000')],
    })
  })

  it('the host’s own requests are flooded: it asks behind the rules', () => {
    const request = arpFrame(ALL, HOST, 1, HOST, IP.host, ZERO, IP.pod1)
    expect(new Node().send('host', request)).toEqual({ pod1: [request], pod2: [request], fabric: [request] })
  })
})

describe('rule 5: between pods of a node', () => {
  it('nothing is rewritten, and only the other pod gets it', () => {
    const frame = ipFrame(POD2, POD1, IP.pod1, IP.pod2)
    expect(new Node().send('pod1', frame)).toEqual({ pod2: [frame] })
  })

  it('floodLeak: the first frame goes everywhere, the wire and its sender included, until the other pod has spoken', () => {
    const node = new Node({ floodLeak: true })
    const frame = ipFrame(POD2, POD1, IP.pod1, IP.pod2)
    expect(node.send('pod1', frame)).toEqual({
      pod1: [frame],
      pod2: [frame],
      fabric: [ipFrame(POD2, HOST, IP.pod1, IP.pod2)],
    })
    node.send('pod2', ipFrame(POD1, POD2, IP.pod2, IP.pod1))
    expect(node.send('pod1', frame)).toEqual({ pod2: [frame] })
  })

  it('to the host and back', () => {
    const node = new Node()
    const there = ipFrame(HOST, POD1, IP.pod1, IP.host)
    expect(node.send('pod1', there)).toEqual({ host: [there] })
    const back = ipFrame(POD1, HOST, IP.host, IP.pod1)
    expect(node.send('host', back)).toEqual({ pod1: [back] })
  })
})

describe('tunnel mode (l2tunnel)', () => {
  const tunnel = { tunnelMac: AZURE_FABRIC_MAC }

  it('every frame of a pod leaves to the fabric, also one for a pod of the node, and comes back by the uplink', () => {
    const node = new Node(tunnel)
    expect(node.send('pod1', ipFrame(POD2, POD1, IP.pod1, IP.pod2))).toEqual({
      fabric: [ipFrame(FABRIC, HOST, IP.pod1, IP.pod2)],
    })
    expect(node.send('fabric', ipFrame(HOST, FABRIC, IP.pod1, IP.pod2))).toEqual({
      pod2: [ipFrame(POD2, FABRIC, IP.pod1, IP.pod2)],
    })
    // A broadcast, too: the fabric knows what is to become of it.
    expect(node.send('pod1', ipFrame(ALL, POD1, IP.pod1, 'ffffffff'))).toEqual({
      fabric: [ipFrame(FABRIC, HOST, IP.pod1, 'ffffffff')],
    })
  })

  it('asking for a pod gives the MAC of the fabric', () => {
    const node = new Node(tunnel)
    expect(node.send('pod1', arpFrame(ALL, POD1, 1, POD1, IP.pod1, ZERO, IP.pod2))).toEqual({
      pod1: [arpFrame(POD1, FABRIC, 2, FABRIC, IP.pod2, POD1, IP.pod1)],
    })
  })

  it('asking for the gateway leaves to the fabric, and its answer comes to the pod', () => {
    const node = new Node(tunnel)
    expect(node.send('pod1', arpFrame(ALL, POD1, 1, POD1, IP.pod1, ZERO, IP.gateway))).toEqual({
      fabric: [arpFrame(FABRIC, HOST, 1, HOST, IP.pod1, ZERO, IP.gateway)],
    })
    expect(node.send('fabric', arpFrame(HOST, FABRIC, 2, FABRIC, IP.gateway, HOST, IP.pod1))).toEqual({
      pod1: [arpFrame(POD1, FABRIC, 2, FABRIC, IP.gateway, POD1, IP.pod1)],
    })
  })

  it('with floodLeak the fabric’s port is learnt, not known', () => {
    const node = new Node({ ...AZURE_LINUX, ...tunnel })
    const frame = ipFrame(POD2, POD1, IP.pod1, IP.pod2)
    const sent = ipFrame(FABRIC, POD1, IP.pod1, IP.pod2)
    expect(node.send('pod1', frame)).toEqual({
      pod1: [sent],
      pod2: [sent],
      fabric: [ipFrame(FABRIC, HOST, IP.pod1, IP.pod2)],
    })
    node.send('fabric', ipFrame(HOST, FABRIC, IP.gateway, IP.pod1))
    expect(node.send('pod1', frame)).toEqual({ fabric: [ipFrame(FABRIC, HOST, IP.pod1, IP.pod2)] })
  })
})

describe('what is shared', () => {
  it('a broadcast of a pod is copied for the wire only, and its other holders keep its MAC', () => {
    const node = new Node()
    const frame = ipFrame(ALL, POD1, IP.pod1, 'ffffffff')
    expect(node.send('pod1', frame)).toEqual({
      pod2: [frame],
      host: [frame],
      fabric: [ipFrame(ALL, HOST, IP.pod1, 'ffffffff')],
    })
  })

  it('offload metadata stays with the frame; an ARP answer has none', () => {
    const node = new Node()
    const { pool } = node
    const send = (hex: string): void => {
      const f = pool.from(Buffer.from(hex, 'hex'))
      if (f === -1) throw new Error('pool spent')
      pool.flags[f] = 1
      pool.csumStart[f] = 34
      pool.csumOffset[f] = 6
      node.outside.pod1.injectFrame(f)
    }
    const seen: number[][] = []
    const { fabric, pod1 } = node.outside
    for (const port of [fabric, pod1]) {
      const process = port.process.bind(port)
      port.process = (batch) => {
        for (const f of batch.frames.subarray(0, batch.length)) {
          seen.push([pool.flags[f] as number, pool.csumStart[f] as number, pool.csumOffset[f] as number])
        }
        process(batch)
      }
    }
    send(ipFrame(ROUTER, POD1, IP.pod1, '08080808'))
    node.settle()
    expect(seen).toEqual([[1, 34, 6]])
    send(arpFrame(ALL, POD1, 1, POD1, IP.pod1, ZERO, IP.pod2))
    node.settle()
    expect(seen[1]?.[0]).toBe(0)
  })
})

describe('setting up', () => {
  it('a pod that has gone is found no more, and its addresses are free', () => {
    const node = new Node()
    const [pod1] = node.pods
    if (pod1 === undefined) throw new Error('no pod')
    node.engine.removePod(pod1)
    const frame = ipFrame(HOST, FABRIC, IP.gateway, IP.pod1)
    expect(node.send('fabric', frame)).toEqual({ host: [frame] })
    expect(node.send('pod1', ipFrame(ROUTER, POD1, IP.pod1, '08080808'))).toEqual({})
    expect(node.send('pod1', arpFrame(ALL, POD1, 1, POD1, IP.pod1, ZERO, IP.pod2))).toEqual({})
    expect(node.drops).toEqual({ PortDown: 2 })
    expect(() => node.engine.removePod(pod1)).toThrow('not a pod of this bridge')
    const again = node.engine.addPod(node.loop.link(node.outside.pod1), { mac: pod1.mac, ips: ['10.240.0.11'] })
    expect(again.index).toBe(pod1.index)
  })

  it('refuses what is wrong or taken, and then nothing has changed', () => {
    const node = new Node()
    const add =
      (mac: string, ...ips: string[]) =>
      () =>
        node.engine.addPod(node.loop.link(node.outside.pod1), { mac, ips })
    const before = node.engine.endpoints.size
    expect(add('02:00:00:00:00:03', '10.0.0.3', '10.240.0.11')).toThrow('10.240.0.11 is taken')
    expect(add('02:00:00:00:00:03', '10.240.0.4')).toThrow('10.240.0.4 is taken')
    expect(add('02:00:00:00:00:03', '224.0.0.1')).toThrow('224.0.0.1')
    expect(add('02:00:00:00:00:03', 'ff02::1')).toThrow('ff02::1')
    expect(add('02:00:00:00:00:03', '10.0.0')).toThrow('10.0.0')
    expect(add('02:00:00:00:00:01', '10.0.0.3')).toThrow('02:00:00:00:00:01 is taken')
    expect(add('00:0d:3a:00:00:01', '10.0.0.3')).toThrow('00:0d:3a:00:00:01 is taken')
    expect(add('03:00:00:00:00:03', '10.0.0.3')).toThrow('mac')
    expect(node.engine.endpoints.size).toBe(before)
    expect(node.engine.pods).toHaveLength(2)
    expect(node.engine.switch.ports).toHaveLength(4)
    expect(() => node.engine.attachHost(node.loop.link(node.outside.host))).toThrow('attached already')
  })

  it.each([
    [{ hostMac: 'ff:ff:ff:ff:ff:ff' }, 'hostMac'],
    [{ hostIps: ['10.0.0.1', '10.0.0'] }, 'hostIps[1]: not an IPv4 address: "10.0.0"'],
    [{ hostMac: 'banana' }, 'hostMac: not a MAC'],
    [{ tunnelMac: 'banana' }, 'tunnelMac: not a MAC'],
    [{ tunnelMac: '00:00:00:00:00:00' }, 'tunnelMac'],
    [{ arpReplyMode: 'unicast' as never }, 'arpReplyMode'],
    [{ foreignArpAnswer: 'both' as never }, 'foreignArpAnswer'],
    [{ floodLeak: 'on' as never }, 'floodLeak'],
    [{ unknownDestination: 'drop' as never }, 'unknownDestination'],
    [{ answerOwner: 1 as never }, 'answerOwner'],
    [{ maxAddresses: 0 }, 'maxAddresses'],
    [{ floodleak: true } as never, 'floodleak'],
  ])('%j: the error names the key', (options: object, key) => {
    const pool = new FramePool({ frames: 8 })
    const loop = new Loop(pool, new VirtualClock())
    const uplink = new MemoryPort(pool, 'uplink')
    expect(() => new L2BridgeEngine(loop, uplink, { hostMac: '00:0d:3a:00:00:01', ...options })).toThrow(key)
  })
})
