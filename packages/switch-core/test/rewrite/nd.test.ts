// Neighbour discovery through the l2bridge engine: no message that leaves names a pod's MAC, and every checksum is right.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AddressTable, Batch, type Frame, FramePool, L2BridgeEgress } from '../../src/index.ts'
import { finish } from '../../src/offload.ts'
import { PcapWriter } from '../../src/pcap/index.ts'
import { eth, formatMac, icmpv6, ipv6, parseIpv6, parseMac } from '../../src/wire/index.ts'
import { FABRIC, HOST, Node, POD1, POD2 } from './lab.ts'

const { Option, Type } = icmpv6
const HOST_MAC = '00:0d:3a:00:00:01'
const POD = parseMac('02:00:00:00:00:01')
const WRITTEN = { hi: 0x0d00, lo: 0x0100003a }
const POD6 = parseIpv6('fd00::1')
const POD2_6 = parseIpv6('fd00::2')
const ROUTER6 = parseIpv6('fe80::1')
const ALL_NODES = parseIpv6('ff02::1')
const SOLICITED = parseIpv6('ff02::1:ff00:2')

interface Message {
  readonly type: number
  readonly src?: Uint8Array
  readonly dst?: Uint8Array
  readonly target?: Uint8Array
  /** Options as they stand: type, length in eights, body. */
  readonly options: readonly Uint8Array[]
  /** Puts a hop-by-hop header in front. */
  readonly hopByHop?: boolean
  readonly padding?: number
}

const lla = (type: number, mac: Uint8Array): Uint8Array => Uint8Array.from([type, 1, ...mac])

/** An Ethernet frame with a message of neighbour discovery from pod 1, its checksum right. */
function frameOf(m: Message, to: Uint8Array = parseMac('33:33:00:00:00:01'), from: Uint8Array = POD): Uint8Array {
  const fixed = icmpv6.optionsAt(m.type)
  const before = m.hopByHop ? 8 : 0
  const size = fixed + m.options.reduce((n, o) => n + o.length, 0)
  const b = new Uint8Array(14 + 40 + before + size + (m.padding ?? 0))
  const ip = eth.write(b, 0, to, from, 0x86dd)
  let at = ipv6.write(b, ip, {
    src: m.src ?? POD6,
    dst: m.dst ?? ALL_NODES,
    nextHeader: m.hopByHop ? 0 : 58,
    payload: before + size,
    hopLimit: 255,
  })
  if (m.hopByHop) {
    b.set([58, 0, 1, 4, 0, 0, 0, 0], at)
    at += 8
  }
  b[at] = m.type
  if (fixed >= 24) b.set(m.target ?? POD6, at + 8)
  let o = at + fixed
  for (const option of m.options) {
    b.set(option, o)
    o += option.length
  }
  icmpv6.fillChecksum(b, ip, at, o)
  return b
}

/** Where the message stands in a frame that `frameOf` made. */
const messageAt = (m: Message): number => 54 + (m.hopByHop ? 8 : 0)

function egress(frame: Uint8Array, set?: (pool: FramePool, f: Frame) => void, endpoints: string[] = []): Buffer {
  const pool = new FramePool({ frames: 4 })
  const table = new AddressTable()
  for (const ip of endpoints) table.add(ip, 1)
  const f = pool.from(frame) as Frame
  pool.ledger.originate(1)
  set?.(pool, f)
  const batch = new Batch()
  batch.push(f)
  new L2BridgeEgress(pool, WRITTEN, table).process(batch)
  expect(batch.length).toBe(1)
  if (set !== undefined) {
    let out = Buffer.alloc(0)
    finish(
      pool,
      batch,
      0,
      (done) => {
        out = Buffer.from(pool.view(done.frames[0] as Frame))
      },
      () => expect.unreachable(),
    )
    return out
  }
  return Buffer.from(pool.view(batch.frames[0] as Frame))
}

const KINDS: readonly (readonly [string, Message])[] = [
  ['solicitation', { type: Type.NeighborSolicitation, dst: SOLICITED, target: POD2_6, options: [lla(1, POD)] }],
  ['advertisement', { type: Type.NeighborAdvertisement, options: [lla(2, POD)] }],
  ['router solicitation', { type: Type.RouterSolicitation, options: [lla(1, POD)] }],
  ['router advertisement', { type: Type.RouterAdvertisement, options: [lla(1, POD), mtu(1500)] }],
  ['redirect to itself', { type: Type.Redirect, options: [lla(2, POD)] }],
  [
    'solicitation behind hop-by-hop options',
    { type: Type.NeighborSolicitation, options: [lla(1, POD)], hopByHop: true },
  ],
  ['solicitation with padding', { type: Type.NeighborSolicitation, options: [lla(1, POD)], padding: 7 }],
  ['two options', { type: Type.NeighborAdvertisement, options: [mtu(1280), lla(2, POD), lla(2, POD)] }],
]

function mtu(size: number): Uint8Array {
  return Uint8Array.from([5, 1, 0, 0, 0, 0, size >> 8, size & 255])
}

describe('a message that leaves', () => {
  it.each(KINDS)('%s: its options name the host, and its checksum is right', (_, m) => {
    const out = egress(frameOf(m))
    expect(out.toString('hex')).not.toContain(POD1)
    expect(formatMac(out, 6)).toBe(HOST_MAC)
    const at = messageAt(m)
    expect(icmpv6.checksumOk(out, 14, at, out.length - (m.padding ?? 0))).toBe(true)
    expect(out).toEqual(Buffer.from(frameOf(withMac(m, parseMac(HOST_MAC)), undefined, parseMac(HOST_MAC))))
  })

  it.each(KINDS)('%s, its checksum missing: is right once it is filled in', (_, m) => {
    const at = messageAt(m)
    // A sender that leaves the checksum leaves no padding to be summed.
    const frame = frameOf({ ...m, padding: 0 })
    const partial = Uint8Array.from(frame)
    const pseudo = pseudoHeader(frame, at)
    partial[at + 2] = pseudo >> 8
    partial[at + 3] = pseudo
    const out = egress(partial, (pool, f) => {
      pool.flags[f] = 1
      pool.csumStart[f] = at
      pool.csumOffset[f] = 2
    })
    expect(out).toEqual(egress(frame))
  })

  it('a redirect to somebody outside keeps that MAC, one to another pod of the node does not', () => {
    const away = { type: Type.Redirect, target: ROUTER6, options: [lla(2, parseMac('12:34:56:78:9a:bc'))] }
    expect(egress(frameOf(away)).toString('hex')).toContain(FABRIC)
    const near = { type: Type.Redirect, target: POD2_6, options: [lla(2, parseMac('02:00:00:00:00:02'))] }
    const out = egress(frameOf(near), undefined, ['fd00::2'])
    expect(out.toString('hex')).not.toContain(POD2)
    expect(icmpv6.checksumOk(out, 14, messageAt(near), out.length)).toBe(true)
  })

  it('a checksum that is wrong stays wrong by as much', () => {
    const frame = frameOf(KINDS[0]![1])
    frame[57] = (frame[57] as number) ^ 0x10
    expect(icmpv6.checksumOk(egress(frame), 14, 54, frame.length)).toBe(false)
  })

  it('an echo whose payload looks like an option, and a fragment, keep their bytes', () => {
    const echo = frameOf({ type: Type.NeighborSolicitation, options: [lla(1, POD)] })
    echo[54] = Type.Echo
    expect(egress(echo).subarray(12)).toEqual(Buffer.from(echo.subarray(12)))
    const fragment = frameOf({ type: Type.NeighborSolicitation, options: [lla(1, POD)], hopByHop: true })
    fragment[20] = 44
    fragment.set([58, 0, 0, 1], 54)
    expect(egress(fragment).subarray(12)).toEqual(Buffer.from(fragment.subarray(12)))
  })

  it('an option whose length is zero ends the walk', () => {
    const frame = frameOf({ type: Type.RouterSolicitation, options: [lla(1, POD), Uint8Array.of(1, 0), lla(1, POD)] })
    const out = egress(frame).subarray(62).toString('hex')
    expect(out).toBe(`0101${HOST}01000101${POD1}`)
  })

  it('whatever its options: it is what writing it anew gives', () => {
    const address = fc.uint8Array({ minLength: 16, maxLength: 16 })
    const mac = fc.oneof(fc.constant(POD), fc.uint8Array({ minLength: 6, maxLength: 6 }))
    const option = fc.oneof(
      fc.tuple(fc.constantFrom(Option.SourceLinkLayer, Option.TargetLinkLayer), mac).map(([t, m]) => lla(t, m)),
      fc.tuple(fc.integer({ min: 3, max: 255 }), fc.integer({ min: 1, max: 3 })).map(([t, n]) => {
        const body = new Uint8Array(8 * n).fill(t)
        body[1] = n
        return body
      }),
    )
    const message = fc.record({
      type: fc.constantFrom(133, 134, 135, 136),
      src: address,
      dst: address,
      target: address,
      options: fc.array(option, { maxLength: 5 }),
      hopByHop: fc.boolean(),
      padding: fc.nat(10),
    })
    fc.assert(
      fc.property(message, (m) => {
        const host = parseMac(HOST_MAC)
        expect(egress(frameOf(m))).toEqual(Buffer.from(frameOf(withMac(m, host), undefined, host)))
      }),
      { numRuns: 500 },
    )
  })
})

/** The message as it would be with this MAC in all link-layer options. */
function withMac(m: Message, mac: Uint8Array): Message {
  return { ...m, options: m.options.map((o) => (o[0] === 1 || o[0] === 2 ? lla(o[0], mac) : o)) }
}

function pseudoHeader(frame: Uint8Array, at: number): number {
  let sum = 58 + (frame.length - at)
  for (let i = 22; i < 54; i += 2) sum += ((frame[i] as number) << 8) | (frame[i + 1] as number)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return sum
}

describe('a message that comes in', () => {
  const router = parseMac('12:34:56:78:9a:bc')
  const hexOf = (b: Uint8Array): string => Buffer.from(b).toString('hex')
  const solicited = parseMac('33:33:ff:00:00:02')

  it('a solicitation goes to the pod whose address is asked for, not to the group', () => {
    const ask = (to: Uint8Array): string =>
      hexOf(
        frameOf(
          { type: Type.NeighborSolicitation, src: ROUTER6, dst: SOLICITED, target: POD2_6, options: [lla(1, router)] },
          to,
          router,
        ),
      )
    expect(new Node().send('fabric', ask(solicited))).toEqual({ pod2: [ask(parseMac('02:00:00:00:00:02'))] })
  })

  it('a solicitation for nobody here is the host’s alone', () => {
    const target = parseIpv6('fd00::99')
    const m = { type: Type.NeighborSolicitation, src: ROUTER6, dst: SOLICITED, target, options: [lla(1, router)] }
    const ask = hexOf(frameOf(m, solicited, router))
    expect(new Node().send('fabric', ask)).toEqual({ host: [ask] })
  })

  it('an advertisement goes to the pod that asked, also at its link-local address; one to all nodes to all', () => {
    const tell = (dst: Uint8Array, to: Uint8Array): string => {
      const m = { type: Type.NeighborAdvertisement, src: ROUTER6, dst, target: ROUTER6, options: [lla(2, router)] }
      return hexOf(frameOf(m, to, router))
    }
    const host = parseMac(HOST_MAC)
    const node = new Node()
    expect(node.send('fabric', tell(POD6, host))).toEqual({ pod1: [tell(POD6, POD)] })
    const linkLocal = parseIpv6('fe80::ff:fe00:1')
    expect(node.send('fabric', tell(linkLocal, host))).toEqual({ pod1: [tell(linkLocal, POD)] })
    const all = tell(ALL_NODES, parseMac('33:33:00:00:00:01'))
    expect(node.send('fabric', all)).toEqual({ pod1: [all], pod2: [all], host: [all] })
  })

  it('a router advertisement is everybody’s', () => {
    const m = { type: Type.RouterAdvertisement, src: ROUTER6, options: [lla(1, router)] }
    const frame = hexOf(frameOf(m, parseMac('33:33:00:00:00:01'), router))
    expect(new Node().send('fabric', frame)).toEqual({ pod1: [frame], pod2: [frame], host: [frame] })
  })
})

const tshark = spawnSync('tshark', ['--version']).status === 0

describe('tshark', () => {
  it('finds the host’s MAC in every option, and every checksum right', (context) => {
    if (!tshark) context.skip('tshark is not installed')
    const dir = mkdtempSync(join(tmpdir(), 'l2l3-nd-'))
    try {
      const file = join(dir, 'nd.pcap')
      const chunks: Uint8Array[] = []
      const writer = new PcapWriter((chunk) => chunks.push(chunk))
      const on = writer.interface()
      for (const [i, [, m]] of KINDS.entries()) {
        const data = egress(frameOf(m))
        writer.write({ time: BigInt(i), data, length: data.length, interface: on })
      }
      writer.flush()
      writeFileSync(file, Buffer.concat(chunks))
      const fields = ['icmpv6.checksum.status', 'icmpv6.opt.linkaddr', 'eth.src', '_ws.malformed']
      const args = ['-r', file, '-n', '-T', 'fields', ...fields.flatMap((f) => ['-e', f])]
      const run = spawnSync('tshark', args, { encoding: 'utf8' })
      expect(run.status, run.stderr).toBe(0)
      const lines = run.stdout.split('\n').slice(0, -1)
      expect(lines).toHaveLength(KINDS.length)
      for (const [i, line] of lines.entries()) {
        const macs = i === KINDS.length - 1 ? `${HOST_MAC},${HOST_MAC}` : HOST_MAC
        expect(line.split('\t')).toEqual(['1', macs, HOST_MAC, ''])
      }
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
})
