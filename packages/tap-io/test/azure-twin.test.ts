/**
 * The Linux twin of l2bridge and l2tunnel, alive: a kernel bridge with the rules of Azure CNI (ebtables; modes.md 7.1, 1 to 6), and ours
 * with the options that say the same, are given the same frames, one after the other; what comes out where is compared, byte for byte.
 *
 *     pod1 02:..:01 10.240.0.11     pod2 02:..:02 10.240.0.12
 *       |                             |
 *     +-+-----------------------------+-+
 *     |  azure0  00:0d:3a:00:00:01      |-- eth0 -- fabric 12:34:56:78:9a:bc 10.240.0.1
 *     |  the host, 10.240.0.4           |
 *     +---------------------------------+
 *
 * The host of the kernel's has no stack (its address is known to the rules alone), so that it says nothing unasked.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  AZURE_FABRIC_MAC,
  AZURE_LINUX,
  Batch,
  FramePool,
  L2BridgeEngine,
  Loop,
  MemoryPort,
  type Port,
  VirtualClock,
} from '@l2l3/switch-core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { TapPort, tunAvailable } from '../src/index.ts'

const HOST = '00:0d:3a:00:00:01'
const FABRIC = AZURE_FABRIC_MAC
const POD = ['02:00:00:00:00:01', '02:00:00:00:00:02'] as const
const IP = { pod1: '10.240.0.11', pod2: '10.240.0.12', host: '10.240.0.4', fabric: '10.240.0.1' }

const PARTIES = ['pod1', 'pod2', 'fabric'] as const
type Party = (typeof PARTIES)[number]
type Out = Partial<Record<Party, string[]>>

interface World {
  send(from: Party, frame: string): Promise<Out>
  close(): void
}

/** What each got, its frames in an order that does not depend on whose turn came first. */
function sorted(lists: readonly string[][]): Out {
  return Object.fromEntries(PARTIES.map((p, i) => [p, lists[i]?.toSorted() ?? []]).filter(([, l]) => l?.length))
}

function ours(tunnel: boolean): World {
  const pool = new FramePool({ frames: 128 })
  const loop = new Loop(pool, new VirtualClock())
  const [pod1, pod2, fabric, host] = ['pod1', 'pod2', 'fabric', 'host'].map((n) => new MemoryPort(pool, n)) as [
    MemoryPort,
    MemoryPort,
    MemoryPort,
    MemoryPort,
  ]
  const more = tunnel ? { tunnelMac: FABRIC } : {}
  const engine = new L2BridgeEngine(loop, fabric, { ...AZURE_LINUX, ...more, hostMac: HOST, hostIps: [IP.host] })
  loop.add(fabric, engine.ingress)
  loop.add(host, engine.attachHost(loop.link(host)))
  loop.add(pod1, engine.addPod(loop.link(pod1), { mac: POD[0], ips: [IP.pod1], linkLocal: false }))
  loop.add(pod2, engine.addPod(loop.link(pod2), { mac: POD[1], ips: [IP.pod2], linkLocal: false }))
  const ports = { pod1, pod2, fabric }
  return {
    async send(from, frame) {
      ports[from].inject(Buffer.from(frame, 'hex'))
      loop.settle()
      host.takeAll()
      const out = PARTIES.map((p) => ports[p].takeAll().map((b) => b.toString('hex')))
      expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
      return sorted(out)
    },
    close: () => {},
  }
}

let serial = 0

function kernels(tunnel: boolean): World {
  const netns = `l2l3-az-${process.pid}-${serial++}`
  const run = (...args: string[]): string => execFileSync('ip', ['netns', 'exec', netns, ...args], { encoding: 'utf8' })
  const rule = (text: string): string => run('ebtables-nft', '-t', 'nat', '-A', ...text.split(' '))
  execFileSync('ip', ['netns', 'add', netns])
  const pool = new FramePool({ frames: 512 })
  const taps: TapPort[] = []
  const close = (): void => {
    for (const tap of taps) tap.close()
    spawnSync('ip', ['netns', 'del', netns])
  }
  try {
    run('sh', '-c', 'for i in all default; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done')
    run('ip', 'link', 'add', 'azure0', 'address', HOST, 'type', 'bridge', 'mcast_snooping', '0')
    run('ip', 'link', 'set', 'azure0', 'up')
    const devices = [
      ['azv1', '0e:00:00:00:00:01'],
      ['azv2', '0e:00:00:00:00:02'],
      ['eth0', HOST],
    ] as const
    for (const [name, mac] of devices) {
      taps.push(TapPort.open(pool, { name, netns, mac }))
      run('ip', 'link', 'set', name, 'master', 'azure0')
    }
    for (const i of [1, 2]) run('bridge', 'link', 'set', 'dev', `azv${i}`, 'hairpin', 'on')
    rule(`POSTROUTING -s unicast -o eth0 -j snat --to-src ${HOST} --snat-arp --snat-target ACCEPT`)
    const asked = 'PREROUTING -p ARP --arp-op Request --arp-ip-dst'
    rule(`${asked} ${IP.host} -j arpreply --arpreply-mac ${HOST} --arpreply-target DROP`)
    rule('PREROUTING -p ARP -i eth0 --arp-op Reply -j dnat --to-dst ff:ff:ff:ff:ff:ff --dnat-target ACCEPT')
    for (const [i, ip] of [IP.pod1, IP.pod2].entries()) {
      const answer = tunnel ? FABRIC : POD[i]
      rule(`${asked} ${ip} -j arpreply --arpreply-mac ${answer} --arpreply-target DROP`)
      rule(`PREROUTING -p IPv4 -i eth0 --ip-dst ${ip} -j dnat --to-dst ${POD[i]} --dnat-target ACCEPT`)
    }
    // Behind the answers of all pods, as the table of modes.md 7.1 has it: what would be answered does not leave.
    if (tunnel) for (const i of [1, 2]) rule(`PREROUTING -i azv${i} -j dnat --to-dst ${FABRIC} --dnat-target ACCEPT`)
  } catch (error) {
    close()
    throw error
  }
  const batch = new Batch()
  const drain = (tap: Port): string[] => {
    const frames: string[] = []
    for (;;) {
      tap.receive(batch)
      if (batch.length === 0) return frames
      for (const f of batch.frames.subarray(0, batch.length)) {
        frames.push(pool.view(f as never).toString('hex'))
        pool.sent(f as never)
      }
      batch.length = 0
    }
  }
  return {
    async send(from, frame) {
      pool.ledger.originate(1)
      batch.push(pool.from(Buffer.from(frame, 'hex')) as never)
      taps[PARTIES.indexOf(from)]?.process(batch)
      const out: string[][] = taps.map(() => [])
      // The kernel forwards in a soft interrupt: wait until nothing has come for a while.
      for (let quiet = 0; quiet < 3; quiet++) {
        await sleep(2)
        for (const [i, tap] of taps.entries()) {
          const came = drain(tap)
          if (came.length > 0) quiet = -1
          out[i]?.push(...came)
        }
      }
      return sorted(out)
    },
    close,
  }
}

const hex = (mac: string): string => mac.replaceAll(':', '')
const ipHex = (ip: string): string =>
  ip
    .split('.')
    .map((n) => Number(n).toString(16).padStart(2, '0'))
    .join('')

function arp(dst: string, src: string, op: number, sha: string, spa: string, tha: string, tpa: string): string {
  const head = `${hex(dst)}${hex(src)}080600010800060400${op.toString(16).padStart(2, '0')}`
  return `${head}${hex(sha)}${ipHex(spa)}${hex(tha)}${ipHex(tpa)}`
}

/** An IPv4 packet without a payload; its header checksum is right, since the bridge looks at it. */
function packet(dst: string, src: string, from: string, to: string): string {
  const b = Buffer.from(`4500001400010000403b0000${ipHex(from)}${ipHex(to)}`, 'hex')
  let sum = 0
  for (let i = 0; i < 20; i += 2) sum += b.readUInt16BE(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  b.writeUInt16BE(~sum & 0xffff, 10)
  return `${hex(dst)}${hex(src)}0800${b.toString('hex')}`
}

const ALL = 'ff:ff:ff:ff:ff:ff'
const NONE = '00:00:00:00:00:00'
const MAC: Record<Party, string> = { pod1: POD[0], pod2: POD[1], fabric: FABRIC }

/** A frame that a party may send. */
const frames: fc.Arbitrary<{ from: Party; frame: string }> = fc
  .record({
    from: fc.constantFrom(...PARTIES),
    dst: fc.constantFrom(...POD, FABRIC, HOST, ALL, '02:00:00:00:00:99', '01:00:5e:00:00:09'),
    what: fc.constantFrom('request', 'reply', 'announcement', 'ip', 'other'),
    to: fc.constantFrom(IP.pod1, IP.pod2, IP.host, IP.fabric, '10.240.0.99'),
  })
  .map(({ from, dst, what, to }) => {
    const src = MAC[from]
    const own = IP[from]
    if (what === 'request') return { from, frame: arp(ALL, src, 1, src, own, NONE, to) }
    if (what === 'reply') return { from, frame: arp(dst, src, 2, src, own, dst, to) }
    if (what === 'announcement') return { from, frame: arp(ALL, src, 1, src, own, NONE, own) }
    if (what === 'ip') return { from, frame: packet(dst, src, own, to) }
    return { from, frame: `${hex(dst)}${hex(src)}88b50102${'00'.repeat(44)}` }
  })

function problem(): string {
  if (process.getuid?.() !== 0) return 'needs root (namespaces, TAP, ebtables)'
  const tun = tunAvailable()
  if (!tun.ok) return tun.reason
  if (spawnSync('ebtables-nft', ['-V']).status !== 0) return 'needs ebtables-nft'
  try {
    kernels(true).close()
    return ''
  } catch (error) {
    return `the kernel has not all of it: ${String((error as Error).message).split('\n')[0]}`
  }
}

const why = problem()

describe.skipIf(why !== '').each([
  ['bridge mode', false],
  ['tunnel mode', true],
] as const)(`Azure CNI on Linux, %s${why === '' ? '' : `: ${why}`}`, (_, tunnel) => {
  it('does what ours does with its options, frame by frame', async () => {
    const worlds = [ours(tunnel), kernels(tunnel)] as const
    // The address that frames to a pod begin with is unknown at first, and learnt later: one long run has both.
    const list = fc.sample(frames, { seed: 7, numRuns: 120 })
    const met = new Set<string>()
    try {
      for (const [i, { from, frame }] of list.entries()) {
        const [mine, theirs] = await Promise.all(worlds.map((world) => world.send(from, frame)))
        expect({ i, from, frame, ...mine }).toEqual({ i, from, frame, ...theirs })
        met.add(Object.keys(theirs as Out).join())
      }
    } finally {
      for (const world of worlds) world.close()
    }
    // That frames met all there is to meet: answers, floods, leaks, deliveries.
    expect(met.size).toBeGreaterThanOrEqual(5)
  })
})
