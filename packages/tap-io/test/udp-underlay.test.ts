import { createSocket, type Socket } from 'node:dgram'
import { Batch, Drop, type Frame, FramePool, finish, Loop, MAX_FRAME, RealClock } from '@l2l3/switch-core'
import { addonAvailable, runOnEventLoop, type UdpUnderlayOptions, UdpUnderlayPort } from '@l2l3/tap-io'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished } from 'vitest'
import type { Shape } from '../../switch-core/test/offload/super-frames.ts'
import { type Outer, tunnelFrame, tunnelSegmentsOf } from '../../switch-core/test/offload/tunnel-frames.ts'
import { frameOf, receive, send } from './frames.ts'
import { until } from './lab.ts'

/* UDP sockets on the loopback interface, for which nobody needs to be root. The far side is a socket of Node's, or another port. */

const built = addonAvailable()
const hex = (b: Uint8Array): string => Buffer.from(b.buffer, b.byteOffset, b.length).toString('hex')
const host = (family: 4 | 6): string => (family === 4 ? '127.0.0.1' : '::1')

/** A socket of Node's, and what came to it. */
async function farSocket(family: 4 | 6): Promise<{ socket: Socket; port: number; came: Buffer[]; from: number[] }> {
  const socket = createSocket({ type: family === 4 ? 'udp4' : 'udp6', recvBufferSize: 4 << 20 })
  onTestFinished(() => void socket.close())
  await new Promise<void>((done) => socket.bind(0, host(family), done))
  const came: Buffer[] = []
  const from: number[] = []
  socket.on('message', (bytes, { port }) => {
    came.push(bytes)
    from.push(port)
  })
  return { socket, port: socket.address().port, came, from }
}

function underlay(pool: FramePool, options: UdpUnderlayOptions = {}): UdpUnderlayPort {
  const port = UdpUnderlayPort.open(pool, { address: '127.0.0.1', port: 0, inside: 'vxlan', ...options })
  onTestFinished(() => port.close())
  return port
}

/** Sends the outer packet of `b` to the loopback address and `port` instead of where it says; `from` is the source port. */
function readdress(b: Uint8Array, port: number, from = 49_200): Uint8Array {
  const v4 = (b[14] as number) >>> 4 === 4
  if (v4) b.set([127, 0, 0, 1], 30)
  else b.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 38)
  const l4 = v4 ? 34 : 54
  b.set([from >> 8, from & 255, port >> 8, port & 255], l4)
  return b
}

function superFrame(pool: FramePool, s: Shape, t: Outer, port: number): Frame {
  const big = tunnelFrame(s, t)
  const f = frameOf(pool, readdress(big.bytes, port))
  pool.flags[f] = t.summed ? 9 : 1
  pool.gsoType[f] = big.gsoType
  pool.gsoSize[f] = s.size
  pool.hdrLen[f] = big.data
  pool.csumStart[f] = big.csumStart
  pool.csumOffset[f] = big.csumOffset
  pool.outerL4[f] = big.outerL4
  pool.innerL3[f] = big.innerL3
  return f
}

/** The UDP payloads of what a super-frame stands for. */
const payloads = (s: Shape, t: Outer): Uint8Array[] =>
  tunnelSegmentsOf(s, t).map((b) => b.subarray((t.over === 4 ? 34 : 54) + 8))

const shape: fc.Arbitrary<Shape> = fc
  .record({
    transport: fc.constantFrom('tcp' as const, 'udp' as const),
    version: fc.constantFrom(4 as const, 6 as const),
    payload: fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 60_000 })),
    size: fc.oneof(fc.integer({ min: 40, max: 300 }), fc.integer({ min: 300, max: 9000 }), fc.constantFrom(1398, 1410)),
    flags: fc.constantFrom(0x10, 0x18, 0x11, 0x19, 0x50, 0x90),
    seq: fc.nat(0xffffffff),
    id: fc.nat(0xffff),
    ipOptions: fc.constantFrom(0, 8),
    tcpOptions: fc.constantFrom(0, 12),
  })
  .map((s) => ({ ...s, payload: Math.min(s.payload, s.size * 100) }))

describe.skipIf(!built.ok)('a UDP underlay', () => {
  for (const how of ['rows', 'single'] as const) {
    for (const over of [4, 6] as const) {
      it(`sends a super-frame as the datagrams that it stands for: IPv${over}, ${how}`, async () => {
        const far = await farSocket(over)
        const pool = new FramePool({ frames: 8, frameSize: MAX_FRAME })
        const port = underlay(pool, { address: host(over), send: how })
        expect(port.info.send).toBe(how)
        await fc.assert(
          fc.asyncProperty(shape, fc.constantFrom(8, 16), async (s, header) => {
            const t: Outer = { over, header, summed: false }
            const wanted = payloads(s, t).map(hex)
            far.came.length = 0
            send(port, superFrame(pool, s, t, far.port))
            await until(() => far.came.length >= wanted.length)
            expect(far.came.map(hex)).toEqual(wanted)
          }),
          { numRuns: 60 },
        )
        expect(pool.report()).toMatchObject({ held: 0, dropped: {}, balanced: true })
      })

      it(`makes a train a super-frame again, or frames: IPv${over}, ${how}`, async () => {
        const pool = new FramePool({ frames: 256, frameSize: MAX_FRAME })
        const from = underlay(pool, { address: host(over), send: how, sockets: 1 })
        const merging = underlay(pool, { address: host(over) })
        const splitting = underlay(pool, { address: host(over), receive: 'split' })
        const single = underlay(pool, { address: host(over), receive: 'single' })
        expect([merging, splitting, single].map((p) => p.info.receive)).toEqual(['merge', 'split', 'single'])
        let whole = 0
        await fc.assert(
          fc.asyncProperty(shape, async (s) => {
            const t: Outer = { over, header: 8, summed: false }
            const wanted = payloads(s, t)
            for (const to of [merging, splitting, single]) {
              send(from, superFrame(pool, s, t, to.info.port))
              const got: string[] = []
              const batch = new Batch(40)
              await until(() => {
                to.receive(batch)
                for (const f of batch.frames.subarray(0, batch.length) as unknown as Frame[]) {
                  if (pool.gsoType[f] !== 0) {
                    expect(to).toBe(merging)
                    expect([pool.gsoSize[f], pool.gsoType[f]].join()).toBe([s.size, tunnelFrame(s, t).gsoType].join())
                    whole++
                  }
                }
                // Cutting it again makes the same datagrams.
                const write = (b: Batch): void => {
                  for (const f of b.frames.subarray(0, b.length) as unknown as Frame[]) {
                    got.push(hex(pool.view(f).subarray(over === 4 ? 42 : 62)))
                    pool.sent(f)
                  }
                }
                finish(pool, batch, 0, write, (f, why) => pool.drop(f, why))
                batch.length = 0
                return got.length >= wanted.length
              })
              expect(got).toEqual(wanted.map(hex))
            }
          }),
          { numRuns: 40 },
        )
        expect(pool.report()).toMatchObject({ held: 0, dropped: {}, balanced: true })
        if (how === 'rows') expect(whole).toBeGreaterThan(5)
        else expect(whole).toBe(0)
      })
    }
  }

  it('makes the outer headers again: addresses, ports, lengths, TOS, TTL, and what of checksums is true', async () => {
    for (const family of [4, 6] as const) {
      const pool = new FramePool({ frames: 64, frameSize: MAX_FRAME })
      const from = underlay(pool, { address: host(family), sockets: 2 })
      const to = underlay(pool, { address: family === 4 ? '0.0.0.0' : '::' })
      const frame = readdress(payloadFrame(family, 101), to.info.port, 50_001)
      if (family === 4) {
        frame[15] = 0xb9
        frame[22] = 7
      } else {
        frame.set([0x6b, 0x90], 14)
        frame[21] = 7
      }
      send(from, frameOf(pool, frame))
      const batch = new Batch()
      await until(() => {
        to.receive(batch)
        return batch.length > 0
      })
      const f = batch.frames[0] as Frame
      const l4 = family === 4 ? 34 : 54
      const got = Buffer.from(pool.copyOut(f))
      const wanted = Buffer.from(frame)
      wanted.fill(0, 0, 12)
      wanted.writeUInt16BE(from.info.sourcePorts[50_001 % 2] as number, l4)
      if (family === 4) {
        Buffer.from([127, 0, 0, 1]).copy(wanted, 26)
        // The header checksum is right: the words sum up to 0xffff.
        let sum = 0
        for (let i = 14; i < 34; i += 2) sum += got.readUInt16BE(i)
        expect(sum % 0xffff).toBe(0)
        got.copy(wanted, 24, 24, 26)
        expect([got.readUInt16BE(l4 + 6), pool.flags[f]]).toEqual([0, 0])
      } else {
        wanted.fill(0, 22, 38)
        wanted[37] = 1
        expect([pool.flags[f], pool.csumStart[f], pool.csumOffset[f]]).toEqual([1, 54, 6])
        expect(got.readUInt16BE(l4 + 6)).toBe(17 + 109 + 2)
        got.copy(wanted, l4 + 6, l4 + 6, l4 + 8)
      }
      expect(hex(got)).toBe(hex(wanted))
      pool.sent(f)
      expect(pool.report()).toMatchObject({ held: 0, balanced: true })
    }
  })

  it('sends flows from different ports, and each from one', async () => {
    const far = await farSocket(4)
    const pool = new FramePool({ frames: 64 })
    const port = underlay(pool, { sockets: 4 })
    expect(new Set(port.info.sourcePorts).size).toBe(4)
    const flows = Array.from({ length: 32 }, (_, i) => 49_152 + i)
    send(port, ...flows.map((from) => frameOf(pool, readdress(payloadFrame(4, from % 7 ? 10 : 20), far.port, from))))
    await until(() => far.from.length === flows.length)
    const count = new Map<number, number>()
    for (const p of far.from) count.set(p, (count.get(p) ?? 0) + 1)
    expect(count).toEqual(new Map(port.info.sourcePorts.map((p) => [p, 8])))
    expect(port.info.sourcePorts[0]).toBe(port.info.port)
  })

  it('drops what it cannot carry, with a reason, and lives on', async () => {
    const far = await farSocket(4)
    const pool = new FramePool({ frames: 64, frameSize: MAX_FRAME })
    const port = underlay(pool)
    const spoiled = (spoil: (b: Uint8Array, f: Frame) => void): Frame => {
      const f = frameOf(pool, readdress(payloadFrame(4, 50), far.port))
      spoil(pool.view(f), f)
      return f
    }
    const t: Outer = { over: 4, header: 8, summed: false }
    const big = (spoil: (f: Frame) => void): Frame => {
      const f = superFrame(pool, { transport: 'tcp', version: 4, payload: 3000, size: 1000 }, t, far.port)
      spoil(f)
      return f
    }
    const cases: [Drop, Frame][] = [
      [Drop.Runt, frameOf(pool, new Uint8Array(13))],
      [Drop.NotIp, spoiled((b) => (b[12] = 0x86))],
      [Drop.Malformed, spoiled((b) => (b[14] = 0x65))],
      [Drop.Malformed, spoiled((b) => (b[14] = 0x44))],
      [Drop.Malformed, spoiled((b) => (b[23] = 6))],
      [Drop.Malformed, spoiled((b) => (b[39] = 200))],
      [Drop.Malformed, spoiled((b) => b.fill(0, 36, 38))],
      [Drop.OuterFragment, spoiled((b) => (b[20] = 0x20))],
      [
        Drop.BadOffload,
        spoiled((_, f) => {
          pool.flags[f] = 1
          pool.csumStart[f] = 20
        }),
      ],
      [Drop.BadOffload, big((f) => (pool.gsoType[f] = 0x41))],
      [Drop.BadOffload, big((f) => (pool.gsoType[f] = 0x24))],
      [Drop.BadOffload, big((f) => (pool.gsoSize[f] = 0))],
      [Drop.BadOffload, big((f) => (pool.outerL4[f] = 36))],
      [Drop.BadOffload, big((f) => (pool.innerL3[f] = 40))],
      [Drop.BadOffload, big((f) => (pool.csumStart[f] = 65_000))],
      [Drop.BadOffload, big((f) => (pool.flags[f] = 0))],
    ]
    for (const [why, f] of cases) {
      const before = pool.ledger.drops[why] as number
      send(port, f)
      expect([why, pool.ledger.drops[why]]).toEqual([why, before + 1])
    }
    send(port, frameOf(pool, readdress(payloadFrame(4, 33), far.port)))
    await until(() => far.came.length > 0)
    expect(far.came.map((b) => b.length)).toEqual([33])
    expect(port.failure).toBeNull()
    expect(pool.report()).toMatchObject({ held: 0, balanced: true })
  })

  it('completes an inner checksum without touching the frame', async () => {
    const far = await farSocket(4)
    const pool = new FramePool({ frames: 8 })
    const port = underlay(pool)
    // 42 bytes of outer headers, then 20 of something, then a checksum over the rest at 6.
    const f = frameOf(pool, readdress(payloadFrame(4, 61), far.port))
    pool.flags[f] = 1
    pool.csumStart[f] = 62
    pool.csumOffset[f] = 6
    const before = hex(pool.view(f))
    let sum = 0
    const part = pool.copyOut(f).subarray(62)
    for (let i = 0; i < part.length; i++) sum += (part[i] as number) << (i % 2 === 0 ? 8 : 0)
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
    pool.share(f, 1)
    send(port, f)
    await until(() => far.came.length > 0)
    expect(far.came[0]?.readUInt16BE(26)).toBe(~sum & 0xffff || 0xffff)
    expect(hex(pool.view(f))).toBe(before)
    pool.sent(f)
  })

  it('finds inner checksums that a kernel has left undone, and super-frames that it has left whole', async () => {
    for (const over of [4, 6] as const) {
      const far = await farSocket(over)
      const pool = new FramePool({ frames: 64, frameSize: MAX_FRAME })
      const port = underlay(pool, { address: host(over) })
      const l4 = over === 4 ? 34 : 54
      for (const [transport, version, payload, size] of [
        ['tcp', 4, 20_000, over === 4 ? 1410 : 1390],
        ['tcp', 6, 20_000, over === 4 ? 1390 : 1370],
        ['tcp', 4, 0, 1000],
        ['tcp', 6, 101, 1000],
        ['udp', 4, 100, 1000],
        ['udp', 6, 1001, 2000],
      ] as const) {
        const s: Shape = { transport, version, payload, size }
        const t: Outer = { over, header: 8, summed: false }
        const wanted = payloads(s, t).map(hex)
        const big = tunnelFrame(s, t)
        // As it is, with the sum of the pseudo-header for a checksum; then complete, which stays as it is.
        for (const undone of [true, false]) {
          if (!undone && payload > 2000) continue
          const datagram = undone ? big.bytes.subarray(l4 + 8) : Buffer.from(wanted[0] as string, 'hex')
          far.socket.send(datagram, port.info.port, host(over))
          const batch = new Batch()
          await until(() => {
            port.receive(batch)
            return batch.length > 0
          })
          const f = batch.frames[0] as Frame
          const super_ = undone && payload > 2000
          expect([pool.gsoType[f], pool.gsoType[f] === 0 ? size : pool.gsoSize[f]]).toEqual([
            super_ ? big.gsoType : 0,
            size,
          ])
          if (undone) expect([(pool.flags[f] as number) & 1, pool.csumStart[f]]).toEqual([1, big.csumStart])
          else expect(pool.flags[f]).toBe(over === 4 ? 0 : 1)
          const got: string[] = []
          const write = (b: Batch): void => {
            for (const g of b.frames.subarray(0, b.length) as unknown as Frame[]) {
              const frame = Buffer.from(pool.view(g))
              got.push(hex(frame.subarray(l4 + 8)))
              // The outer checksum, where there is one, is right.
              let sum = 17 + frame.length - l4
              for (let i = over === 4 ? 26 : 22; i < frame.length; i++) sum += (frame[i] as number) << (i % 2 ? 0 : 8)
              if (over === 6) expect(sum % 0xffff).toBe(0)
              else expect(frame.readUInt16BE(l4 + 6)).toBe(0)
              pool.sent(g)
            }
          }
          finish(pool, batch, 0, write, (g, why) => pool.drop(g, why))
          expect([s, got]).toEqual([s, wanted])
        }
      }
      // Datagrams in one cannot be told apart.
      const lost = tunnelFrame(
        { transport: 'udp', version: 4, payload: 5000, size: 1000 },
        { over, header: 8, summed: false },
      )
      far.socket.send(lost.bytes.subarray(l4 + 8), port.info.port, host(over))
      await until(() => {
        expect(receive(port)).toEqual([])
        return pool.ledger.drops[Drop.Oversize] === 1
      })
      expect(pool.report()).toMatchObject({ held: 0, balanced: true })
    }
  })

  it('rests in a loop when there is nothing to do, and wakes for a frame', async () => {
    const far = await farSocket(4)
    const pool = new FramePool({ frames: 64 })
    const port = underlay(pool)
    const loop = new Loop(pool, new RealClock())
    let turns = 0
    let frames = 0
    loop.add(port, {
      process(batch) {
        frames += batch.length
        for (let i = 0; i < batch.length; i++) pool.sent(batch.frames[i] as Frame)
        batch.length = 0
      },
    })
    const turn = loop.turn.bind(loop)
    loop.turn = () => {
      turns++
      return turn()
    }
    const runner = runOnEventLoop(loop, [port])
    await new Promise((done) => setTimeout(done, 100))
    expect(turns).toBeLessThan(20)
    far.socket.send('hello', port.info.port, '127.0.0.1')
    await until(() => frames === 1)
    await runner.stop()
  })

  it('cuts what finish() cuts, refuses what that refuses, and makes the same of it', async () => {
    const far = await farSocket(4)
    const pool = new FramePool({ frames: 256, frameSize: MAX_FRAME })
    const port = underlay(pool, { sockets: 1 })
    const t: Outer = { over: 4, header: 8, summed: false }
    const kind = fc.record({
      transport: fc.constantFrom('tcp' as const, 'udp' as const),
      version: fc.constantFrom(4 as const, 6 as const),
      payload: fc.integer({ min: 1, max: 5000 }),
      size: fc.integer({ min: 100, max: 1400 }),
    })
    let refused = 0
    await fc.assert(
      fc.asyncProperty(kind, fc.nat(59), fc.nat(255), async (s, place, byte) => {
        const { innerL3 } = tunnelFrame(s, t)
        const make = (): Frame => {
          const f = superFrame(pool, s, t, far.port)
          pool.bytes[(pool.off[f] as number) + innerL3 + place] = byte
          return f
        }
        const wanted: string[] = []
        const write = (b: Batch): void => {
          for (const f of b.frames.subarray(0, b.length) as unknown as Frame[]) {
            wanted.push(hex(pool.view(f).subarray(42)))
            pool.sent(f)
          }
        }
        const batch = new Batch()
        batch.push(make())
        finish(pool, batch, 0, write, (f, why) => pool.drop(f, why))
        far.came.length = 0
        const before = port.counters.txFrames
        send(port, make())
        expect(port.counters.txFrames - before).toBe(wanted.length > 0 ? 1 : 0)
        if (wanted.length === 0) refused++
        await until(() => far.came.length >= wanted.length)
        expect(far.came.map(hex)).toEqual(wanted)
      }),
      { numRuns: 400 },
    )
    expect(refused).toBeGreaterThan(20)
    expect(pool.report()).toMatchObject({ held: 0, dropped: { BadOffload: 2 * refused }, balanced: true })
  })

  it('lets no datagram wait behind those that it refuses, or has no rows for', async () => {
    for (const spent of [false, true]) {
      const pool = new FramePool({ frames: spent ? 8 : 256, frameSize: 600 })
      const port = underlay(pool, { receive: 'split', inside: 'other', sockets: 1 })
      const many = new FramePool({ frames: 400 })
      const from = underlay(many, { sockets: 1 })
      const sendRow = (n: number, size: number): void => {
        const frame = readdress(payloadFrame(4, size), port.info.port)
        send(from, ...Array.from({ length: n }, () => frameOf(many, frame)))
      }
      const held: Frame[] = []
      const loop = new Loop(pool, new RealClock())
      loop.add(port, {
        process(batch) {
          for (let i = 0; i < batch.length; i++) held.push(batch.frames[i] as Frame)
          batch.length = 0
        },
      })
      // Trains of 60 in the buffer: longer than the pool's frames, with short ones behind them, or more than it has rows.
      if (spent) for (let i = 0; i < 6; i++) sendRow(60, 500)
      else
        for (const [n, size] of [
          [45, 900],
          [45, 900],
          [5, 100],
        ] as const)
          sendRow(n, size)
      const runner = runOnEventLoop(loop, [port])
      await until(() => held.length + port.counters.rxDropped === (spent ? 360 : 95))
      expect(held.length).toBe(spent ? 8 : 5)
      for (const f of held) pool.sent(f)
      expect(pool.report()).toMatchObject({ dropped: spent ? { PoolSpent: 352 } : { Oversize: 90 }, balanced: true })
      await runner.stop()
    }
  })

  it('says what cannot be had, with key and value', () => {
    const pool = new FramePool({ frames: 8 })
    const taken = underlay(pool)
    const failure = (options: UdpUnderlayOptions): string => {
      try {
        UdpUnderlayPort.open(pool, options).close()
        return 'opened'
      } catch (error) {
        return (error as Error).message
      }
    }
    expect(failure({ address: '127.0.0.1', port: taken.info.port })).toMatch(
      /address "127.0.0.1 port \d+": the port is taken/,
    )
    expect(failure({ address: '192.0.2.77' })).toMatch(/no interface here has this address \(EADDRNOTAVAIL\)/)
    expect(failure({ address: 'localhost' })).toBe(
      'address "localhost": is not an IP address without a zone (ERR_INVALID_ARG_VALUE)',
    )
    expect(failure({ device: 'no-such-dev' })).toMatch(/device "no-such-dev": there is no such interface \(ENODEV\)/)
    expect(failure({ receive: 'merge' })).toMatch(/receive "merge": super-frames need a pool/)
    expect(failure({ groups: ['10.0.0.1'] })).toMatch(/groups "10.0.0.1": is not a multicast address of IPv4/)
    expect(failure({ groups: new Array(65).fill('239.1.1.1') })).toMatch(/groups .*must be 64 at most/)
    expect(failure({ sockets: 65 })).toMatch(/sockets 65: must be a whole number from 1 to 64/)
    expect(failure({ sendd: 1 } as UdpUnderlayOptions)).toMatch(/sendd 1: is not an option of a UDP underlay/)
    expect(failure({ send: 'row' as 'rows' })).toMatch(/send "row": must be one of rows, single/)
    expect(failure({ netns: 'tio-no-such' })).toMatch(/netns "tio-no-such": there is no such network namespace/)
  })

  it('says how it carries super-frames', () => {
    const pool = new FramePool({ frames: 8, frameSize: MAX_FRAME })
    expect(underlay(pool).offloadText).toBe('out UDP_SEGMENT, in UDP_GRO, merged')
    expect(underlay(pool, { send: 'single', receive: 'split' }).offloadText).toBe(
      'out a datagram each, in UDP_GRO, split',
    )
    expect(underlay(pool, { checksum: false, receive: 'single' }).offloadText).toBe(
      'out a datagram each, in a datagram each',
    )
  })

  it('gives a spent pool no frames, counts them, and goes on', async () => {
    const far = await farSocket(4)
    const pool = new FramePool({ frames: 2 })
    const port = underlay(pool)
    const held = [frameOf(pool, new Uint8Array(60)), frameOf(pool, new Uint8Array(60))]
    for (let i = 0; i < 3; i++) far.socket.send('hello', port.info.port, '127.0.0.1')
    await until(() => {
      receive(port)
      return pool.ledger.drops[Drop.PoolSpent] === 3
    })
    for (const f of held) pool.sent(f)
    far.socket.send('hello', port.info.port, '127.0.0.1')
    await until(() => receive(port).length === 1)
    expect(pool.report()).toMatchObject({ held: 0, balanced: true })
  })
})

/** A frame with `n` bytes in UDP, of a pattern. */
function payloadFrame(family: 4 | 6, n: number): Uint8Array {
  const l4 = family === 4 ? 34 : 54
  const b = Buffer.alloc(l4 + 8 + n)
  b.writeUInt16BE(family === 4 ? 0x0800 : 0x86dd, 12)
  if (family === 4) {
    b[14] = 0x45
    b.writeUInt16BE(28 + n, 16)
    b[22] = 64
    b[23] = 17
  } else {
    b[14] = 0x60
    b.writeUInt16BE(8 + n, 18)
    b[20] = 17
    b[21] = 64
  }
  b.writeUInt16BE(8 + n, l4 + 4)
  for (let i = 0; i < n; i++) b[l4 + 8 + i] = i * 5 + n
  return b
}
