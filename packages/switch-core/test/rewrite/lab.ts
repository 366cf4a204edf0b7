/**
 * A node with pods in memory: the captures' addresses, a cable to each party, and `send` and what came out by name.
 */
import { expect } from 'vitest'
import {
  FramePool,
  L2BridgeEngine,
  type L2BridgeOptions,
  type L2BridgePod,
  Loop,
  MemoryPort,
  SECOND,
  VirtualClock,
} from '../../src/index.ts'

export const HOST = '000d3a000001'
export const FABRIC = '123456789abc'
export const POD1 = '020000000001'
export const POD2 = '020000000002'
export const ALL = 'ffffffffffff'
/** 10.240.0.x */
export const IP = { gateway: '0af00001', host: '0af00004', pod1: '0af0000b', pod2: '0af0000c', nobody: '0af00063' }

export type Party = 'pod1' | 'pod2' | 'host' | 'fabric'

export class Node {
  readonly pool: FramePool = new FramePool({ frames: 256 })
  readonly clock: VirtualClock = new VirtualClock()
  readonly loop: Loop = new Loop(this.pool, this.clock)
  readonly outside: Record<Party, MemoryPort>
  readonly engine: L2BridgeEngine
  readonly pods: L2BridgePod[] = []

  constructor(options: Partial<L2BridgeOptions> = {}, host = true) {
    const port = (name: string): MemoryPort => new MemoryPort(this.pool, name, { offloads: 15 })
    this.outside = { pod1: port('pod1'), pod2: port('pod2'), host: port('host'), fabric: port('fabric') }
    const { pod1, pod2, fabric } = this.outside
    const hostIps = host ? ['10.240.0.4'] : []
    this.engine = new L2BridgeEngine(this.loop, fabric, { hostMac: '00:0d:3a:00:00:01', hostIps, ...options })
    this.loop.every(SECOND, this.engine)
    if (host) this.loop.add(this.outside.host, this.engine.attachHost(this.loop.link(this.outside.host)))
    this.loop.add(fabric, this.engine.ingress)
    for (const [i, p] of [pod1, pod2].entries()) {
      const ips = [`10.240.0.1${i + 1}`, `fd00::${i + 1}`]
      const pod = this.engine.addPod(this.loop.link(p), { mac: `02:00:00:00:00:0${i + 1}`, ips })
      this.pods.push(pod)
      this.loop.add(p, pod)
    }
  }

  /** Sends a frame (hex) and gives what came out where. */
  send(from: Party, frame: string): Partial<Record<Party, string[]>> {
    this.outside[from].inject(Buffer.from(flat(frame), 'hex'))
    return this.settle()
  }

  settle(): Partial<Record<Party, string[]>> {
    this.loop.settle()
    const out: Partial<Record<Party, string[]>> = {}
    for (const [name, port] of Object.entries(this.outside)) {
      const frames = port.takeAll().map((b) => Buffer.from(b).toString('hex'))
      if (frames.length > 0) out[name as Party] = frames
    }
    expect(this.pool.report()).toMatchObject({ balanced: true, held: 0 })
    return out
  }

  get drops(): Partial<Record<string, number>> {
    return this.pool.report().dropped
  }
}

export function flat(text: string): string {
  return text.replace(/[\s|]/g, '')
}

/** An ARP packet for IPv4 over Ethernet, in an Ethernet frame. */
export function arpFrame(
  dst: string,
  src: string,
  op: 1 | 2,
  sha: string,
  spa: string,
  tha: string,
  tpa: string,
): string {
  return `${dst}${src}08060001080006040 00${op}${sha}${spa}${tha}${tpa}`.replace(' ', '')
}

/** A UDP packet without payload; the header checksum is not looked at by anything here. */
export function ipFrame(dst: string, src: string, from: string, to: string): string {
  return `${dst}${src}08004500001c0001000009110000${from}${to}1388138800080000`
}
