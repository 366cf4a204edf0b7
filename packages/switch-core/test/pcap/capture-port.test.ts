import { Batch, type Frame, FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import {
  CaptureError,
  CapturePort,
  type CapturePortOptions,
  CaptureReader,
  DropCapture,
  openCapture,
  PcapngWriter,
  PcapWriter,
} from '@l2l3/switch-core/pcap'
import { describe, expect, it } from 'vitest'
import { hex, join } from './hex.ts'

/** Ports between capture files: web's frames come from web.pcap, and what is sent to it is written to another file. */

const HELLO = hex('02000000000b 02000000000a 88b5 68656c6c6f')
const EPOCH = 1_700_000_000_000_000_000n
const MS = 1_000_000

interface Row {
  ms: number
  data?: Uint8Array
  length?: number
  name?: string
}

/** A pcapng file with frames at so many milliseconds after the epoch. */
function file(rows: Row[]): Uint8Array {
  const chunks: Uint8Array[] = []
  const writer = new PcapngWriter((chunk) => chunks.push(chunk))
  const on = new Map(['web', 'db'].map((name) => [name, writer.interface(name)]))
  for (const { ms, data = HELLO, length = data.length, name = 'web' } of rows) {
    writer.write({ time: EPOCH + BigInt(ms * MS), data, length, interface: on.get(name) as number })
  }
  writer.flush()
  return join(...chunks)
}

/** web, plugged into a loop, with all that comes in kept in `got`. */
function replay(bytes: Uint8Array, options: Partial<CapturePortOptions> = {}, frames = 64) {
  const pool = new FramePool({ frames })
  const clock = new VirtualClock(EPOCH)
  const failed: [string, Error][] = []
  const loop = new Loop(pool, clock, { onPortFailed: (port, error) => failed.push([port.name, error]) })
  const web = new CapturePort(pool, 'web', { clock, from: openCapture(bytes, { file: 'web.pcapng' }), ...options })
  const got: [ms: number, bytes: string][] = []
  loop.add(web, {
    process(batch) {
      for (const f of batch.frames.subarray(0, batch.length)) {
        got.push([clock.now / MS, Buffer.from(pool.view(f as Frame)).toString('hex')])
        pool.sent(f as Frame)
      }
      batch.length = 0
    },
  })
  return { pool, clock, loop, web, got, failed }
}

const hello = Buffer.from(HELLO).toString('hex')

describe('frames that come in', () => {
  it('come when the clock reaches their time, not before', () => {
    const { clock, loop, web, got, pool } = replay(file([{ ms: 0 }, { ms: 1 }, { ms: 1 }, { ms: 7.5 }]))
    const times: number[] = []
    for (loop.settle(); web.nextTime < Number.POSITIVE_INFINITY; loop.settle()) {
      times.push(web.nextTime / MS)
      clock.set(web.nextTime - 1)
      loop.settle()
      clock.set(web.nextTime)
    }
    expect(times).toEqual([1, 7.5])
    expect(got).toEqual([0, 1, 1, 7.5].map((ms) => [ms, hello]))
    expect(web.counters).toMatchObject({ rxFrames: 4, rxBytes: 4 * 19, rxDropped: 0 })
    expect(pool.report()).toMatchObject({ received: 4, sent: 4, balanced: true })
  })

  it('come at once where their time is before the clock’s epoch or before that of the frame ahead', () => {
    const { clock, loop, web, got } = replay(file([{ ms: -5 }, { ms: 2 }, { ms: 1 }]))
    expect(web.nextTime).toBe(-5 * MS)
    loop.settle()
    expect(got.length).toBe(1)
    clock.set(web.nextTime)
    loop.settle()
    expect(got.map(([ms]) => ms)).toEqual([0, 2, 2])
  })

  it('come right behind the one ahead where they have no time', () => {
    const spb = hex('03000000 24000000 13000000 02000000000b02000000000a88b568656c6c6f 00 24000000')
    const { loop, web, got, clock } = replay(join(file([{ ms: 3 }]), spb))
    clock.set(web.nextTime)
    loop.settle()
    expect(got).toEqual([
      [3, hello],
      [3, hello],
    ])
  })

  it('are more than a batch, and come in as many turns as it takes', () => {
    const { loop, got } = replay(file(Array.from({ length: 150 }, () => ({ ms: 0 }))))
    expect(loop.turn()).toBe(64)
    loop.settle()
    expect(got.length).toBe(150)
  })

  it('are those that are asked for', () => {
    const rows = [{ ms: 0 }, { ms: 1, name: 'db' }, { ms: 2 }]
    const { web } = replay(file(rows), { accept: (record) => record.interface.name === 'db' })
    expect(web.nextTime).toBe(1 * MS)
  })

  it('are refused where they are too long, cut by the capture, or find the pool spent', () => {
    const rows = [{ ms: 0, data: new Uint8Array(1919) }, { ms: 0, length: 60 }, { ms: 1 }, { ms: 2 }]
    const { clock, loop, web, got, pool } = replay(file(rows), {}, 1)
    loop.settle()
    expect(pool.report().dropped).toEqual({ Oversize: 1, Malformed: 1 })
    clock.set(1 * MS)
    const held = pool.alloc() as Frame
    loop.settle()
    pool.release(held)
    clock.set(2 * MS)
    loop.settle()
    expect(got.map(([ms]) => ms)).toEqual([2])
    expect(web.counters).toMatchObject({ rxFrames: 1, rxDropped: 3 })
    expect(pool.report()).toMatchObject({
      received: 4,
      dropped: { Oversize: 1, Malformed: 1, PoolSpent: 1 },
      balanced: true,
    })
  })

  it('come without the frame check sequence that the file says they end with', () => {
    // Link type field: bit 26 and 2 words of FCS; one frame of 14 bytes and its FCS.
    const bytes = hex(`d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000024
      00000000 00000000 12000000 12000000 ffffffffffff 02000000000a 0806 deadbeef`)
    const { loop, got } = replay(bytes)
    loop.settle()
    expect(got.map(([, frame]) => frame)).toEqual(['ffffffffffff02000000000a0806'])
  })
})

describe('a port fails', () => {
  it('where its file is malformed, after the frames before that', () => {
    const good = file([{ ms: 0 }, { ms: 0 }])
    const { loop, web, got, failed, pool } = replay(good.subarray(0, good.length - 3))
    loop.settle()
    expect(got.length).toBe(1)
    expect(failed).toEqual([['web', expect.any(CaptureError)]])
    expect(web.failure?.message).toMatch(
      /^web.pcapng: at byte \d+: the file ends within a block of type 6 and 52 bytes$/,
    )
    expect(web.nextTime).toBe(Number.POSITIVE_INFINITY)
    expect(loop.ports).toEqual([])
    expect(pool.report().balanced).toBe(true)
  })

  it('where frames are not Ethernet', () => {
    const { loop, failed } = replay(hex(`d4c3b2a1 0200 0400 00000000 00000000 ffff0000 65000000 ${'00'.repeat(16)}`))
    loop.settle()
    expect(failed[0]?.[1].message).toBe(
      'web.pcapng: at byte 24: interface 0 has link type 101; a port takes only Ethernet (1)',
    )
  })

  it('where its file cannot be written any more; what is given to it then is counted', () => {
    let room = 1
    const to = new PcapWriter(
      () => {
        if (room-- <= 0) throw new Error('ENOSPC: no space left on device, write')
      },
      { chunk: 0 },
    )
    const { pool, web } = replay(file([]), { to })
    const batch = new Batch()
    for (let i = 0; i < 3; i++) {
      pool.ledger.originate(1)
      batch.push(pool.from(HELLO) as Frame)
    }
    web.process(batch)
    expect(web.failure?.message).toContain('ENOSPC')
    expect(web.counters).toMatchObject({ txFrames: 0, txDropped: 3 })
    expect(pool.report()).toMatchObject({ held: 0, dropped: { PortError: 3 }, balanced: true })
    web.close()
  })

  it('where the last piece cannot be written when it is closed', () => {
    const to = new PcapWriter(() => {
      throw new Error('ENOSPC: no space left on device, write')
    })
    const { web } = replay(file([]), { to })
    web.close()
    expect(web.failure?.message).toContain('ENOSPC')
  })
})

describe('frames that are sent', () => {
  it('are written with the clock’s time, as outbound, on the port’s interface', () => {
    const written = new CaptureReader()
    const to = new PcapngWriter((chunk) => written.push(chunk))
    to.interface('another port of the same file')
    const { pool, clock, web } = replay(file([]), { to })
    const batch = new Batch()
    for (const now of [0, 999_999_999, 1_000_000_000, 86_400_000_000_001]) {
      clock.set(now)
      pool.ledger.originate(1)
      batch.push(pool.from(HELLO) as Frame)
      web.process(batch)
    }
    expect(written.next()).toBe(undefined)
    web.close()
    const records = Array.from(written)
    expect(records.map((r) => (r.time as bigint) - EPOCH)).toEqual([
      0n,
      999_999_999n,
      1_000_000_000n,
      86_400_000_000_001n,
    ])
    for (const record of records) {
      expect(record).toMatchObject({ data: HELLO, length: 19, direction: 'outbound', comments: [] })
      expect(record.interface).toMatchObject({ id: 1, name: 'web' })
    }
  })

  it('carry the nanoseconds of an epoch that is no whole second', () => {
    const written = new CaptureReader()
    const pool = new FramePool({ frames: 4 })
    const clock = new VirtualClock(EPOCH + 999_999_999n)
    const to = new PcapWriter((chunk) => written.push(chunk), { chunk: 0 })
    const web = new CapturePort(pool, 'web', { clock, to })
    const batch = new Batch()
    for (const now of [0, 1, 1_000_000_000, 1_000_000_001]) {
      clock.set(now)
      batch.push(pool.from(HELLO) as Frame)
      web.process(batch)
    }
    expect(Array.from(written, (r) => (r.time as bigint) - clock.epoch)).toEqual([
      0n,
      1n,
      1_000_000_000n,
      1_000_000_001n,
    ])
  })

  it('are dropped as PortDown where there is no file', () => {
    const { pool, web } = replay(file([]))
    const batch = new Batch()
    pool.ledger.originate(1)
    batch.push(pool.from(HELLO) as Frame)
    web.process(batch)
    expect(pool.report()).toMatchObject({ dropped: { PortDown: 1 }, held: 0, balanced: true })
  })
})

describe('a capture of drops', () => {
  it('has every dropped frame, on the interface of the port it came by, with the reason', () => {
    const pool = new FramePool({ frames: 8 })
    const clock = new VirtualClock(EPOCH)
    const web = new MemoryPort(pool, 'web')
    const db = new MemoryPort(pool, 'db')
    const written = new CaptureReader()
    const to = new PcapngWriter((chunk) => written.push(chunk))
    pool.observer = new DropCapture(pool, clock, to, [web, db])
    const loop = new Loop(pool, clock)
    loop.add(db, { process() {} })
    db.inject(HELLO)
    clock.set(5)
    loop.settle()
    web.close()
    const batch = new Batch()
    pool.ledger.originate(1)
    batch.push(pool.from(HELLO.subarray(0, 3)) as Frame)
    web.process(batch)
    to.flush()
    expect(Array.from(written, (r) => [r.time, r.interface.name, r.direction, r.data, ...r.comments])).toEqual([
      [
        EPOCH + 5n,
        'db',
        'inbound',
        HELLO,
        'Unclaimed: The last element of the path left the frame in its batch: nothing was there to take it.',
      ],
      [
        EPOCH + 5n,
        'here',
        'inbound',
        HELLO.subarray(0, 3),
        'PortClosed: The port was closed while the frame waited in it or on the way to it.',
      ],
    ])
  })

  it('goes quiet where its file cannot be written, and the frames go their way', () => {
    const pool = new FramePool({ frames: 8 })
    let room = 2
    const sink = () => {
      if (room-- <= 0) throw new Error('ENOSPC: no space left on device, write')
    }
    const seen: string[] = []
    const drops = new DropCapture(pool, new VirtualClock(), new PcapWriter(sink, { chunk: 0 }), [], {
      dropped: (_, why) => seen.push(`dropped ${why}`),
      copied: (from, to) => seen.push(`copied ${from} ${to}`),
    })
    pool.observer = drops
    for (let i = 0; i < 3; i++) {
      pool.ledger.originate(1)
      pool.drop(pool.from(HELLO) as Frame, 0)
    }
    expect(drops.failure?.message).toContain('ENOSPC')
    const f = pool.from(HELLO) as Frame
    pool.copy(f)
    expect(seen).toEqual(['dropped 0', 'dropped 0', 'dropped 0', 'copied 0 1'])
    expect(pool.ledger.dropped).toBe(3)
  })
})
