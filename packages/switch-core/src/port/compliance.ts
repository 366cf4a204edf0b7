import { Batch } from '../batch.ts'
import { VirtualClock } from '../clock.ts'
import { Drop } from '../drop.ts'
import { type Frame, NO_FRAME } from '../frame-pool.ts'
import { Loop } from '../loop.ts'
import { check, checkSame, frameOf, type PortUnderTest, Rig } from './compliance-rig.ts'
import { MemoryPort } from './memory.ts'
import { Offload } from './port.ts'

/*
 * The suite that every kind of port passes: whatever stands behind it, a port keeps frames whole and in order, counts
 * what it cannot do, keeps to its frames' bytes, survives what comes, and gives every row back. It knows no test
 * framework:
 *
 *     for (const { name, run } of portCompliance(makePort)) it(name, run)
 *
 * Each case gets a port of its own. Beside what its name says, each checks that the ledger balances before and after
 * the port is closed, that no byte outside the port's frames was written, and that no row is lost.
 */

export type { PortUnderTest } from './compliance-rig.ts'

/** One case of the suite. */
export interface PortCase {
  readonly name: string
  /** What the case wants of the far side; leave it out where the port under test has not got it. */
  readonly needs: readonly ('inject' | 'taken')[]
  /** Rejects, with a sentence, where the port does not comply. */
  run(): Promise<void>
}

type Body = (rig: Rig, make: () => PortUnderTest | Promise<PortUnderTest>) => Promise<void>
const CASES: [name: string, needs: ('inject' | 'taken')[], body: Body][] = []

/** The suite for one kind of port; `make` makes one with a pool of its own, of 64 rows or more. */
export function portCompliance(make: () => PortUnderTest | Promise<PortUnderTest>): PortCase[] {
  return CASES.map(([name, needs, body]) => ({
    name,
    needs,
    async run() {
      const rig = new Rig(await make())
      let failed = true
      try {
        await body(rig, make)
        failed = false
      } finally {
        // A case that has failed is reported for itself, not for what it left behind.
        await rig.finish().catch((error: unknown) => {
          if (!failed) throw error
        })
      }
    },
  }))
}

/** Lengths at which things go wrong: the shortest frames, around powers of two, and the longest. */
function lengths(max: number): number[] {
  const around = [14, 16, 59, 60, 61, 63, 64, 65, 127, 128, 129, 255, 256, 1023, 1024, 1500, 1514, 1518]
  return [...around.filter((n) => n < max - 1), max - 1, max]
}

CASES.push([
  'has a name, and a number that no other port has',
  [],
  async ({ port }, make) => {
    const other = await make()
    other.port.close()
    await other.close?.()
    for (const { id, name } of [port, other.port]) {
      check(name.length > 0, 'a port has no name')
      check(Number.isInteger(id) && id >= 1 && id <= 65_535, `the id ${id} is not from 1 to 65,535`)
    }
    check(port.id !== other.port.id, `two ports have the id ${port.id}`)
  },
])

CASES.push([
  'takes in frames of every length as they are, with clean columns',
  ['inject'],
  async (rig) => {
    const { pool, port } = rig
    let bytes = 0
    for (const length of lengths(rig.maxFrame)) {
      const sent = frameOf(length)
      check(await rig.inject(sent), `the far side does not carry ${length} bytes`)
      const [got] = await rig.collect(1, {
        each: (f) => {
          check(pool.port[f] === port.id, `the column port says ${pool.port[f]}, not ${port.id}`)
          check(pool.refs[f] === 1, `a fresh frame has ${pool.refs[f]} holders`)
          check((pool.off[f] as number) % 4 === 2, `the frame starts at ${pool.off[f]}, which is not 2 modulo 4`)
          check((pool.off[f] as number) - f * pool.stride >= 32, 'the frame has hardly any headroom')
          const unfinished = (pool.flags[f] as number) & 1 || pool.gsoType[f]
          check(!unfinished, 'a complete frame has offload metadata')
        },
      })
      checkSame(got, sent, `received, of ${length} bytes`)
      bytes += length
    }
    const { rxFrames, rxBytes, rxDropped } = port.counters
    check(rxFrames === rig.received && rxBytes >= bytes, `counted ${rxFrames} frames and ${rxBytes} bytes received`)
    check(rxDropped === 0, `counted ${rxDropped} frames as dropped that were taken in`)
  },
])

CASES.push([
  'sends frames of every length as they are',
  ['taken'],
  async (rig) => {
    let bytes = 0
    const all = lengths(rig.maxFrame)
    for (const length of all) {
      rig.send(frameOf(length))
      checkSame((await rig.taken(1))[0], frameOf(length), `sent, of ${length} bytes`)
      bytes += length
    }
    const { txFrames, txBytes, txDropped } = rig.port.counters
    check(txFrames === all.length && txBytes === bytes, `counted ${txFrames} frames and ${txBytes} bytes sent`)
    check(txDropped === 0, `counted ${txDropped} frames as dropped that were sent`)
  },
])

CASES.push([
  'keeps the order of frames, and takes in no more than a batch has room for',
  ['inject'],
  async (rig) => {
    const wanted = Array.from({ length: 24 }, (_, i) => frameOf(60 + i, 1000 + i))
    for (const frame of wanted) check(await rig.inject(frame), 'the far side does not carry 60 bytes')
    const got = [...(await rig.collect(5, { capacity: 1 })), ...(await rig.collect(wanted.length - 5, { capacity: 7 }))]
    check(got.length === wanted.length, `${got.length} of ${wanted.length} frames came`)
    for (const [i, frame] of wanted.entries()) checkSame(got[i], frame, `frame ${i}`)
  },
])

CASES.push([
  'sends a batch in order',
  ['taken'],
  async (rig) => {
    const wanted = Array.from({ length: 24 }, (_, i) => frameOf(60 + i, 2000 + i))
    rig.send(...wanted)
    const got = await rig.taken(wanted.length)
    check(got.length === wanted.length, `${got.length} of ${wanted.length} frames arrived`)
    for (const [i, frame] of wanted.entries()) checkSame(got[i], frame, `frame ${i}`)
  },
])

CASES.push([
  'has nothing to do with empty batches, and nothing to give when nothing came',
  [],
  async (rig) => {
    rig.process([])
    rig.port.process(new Batch())
    check(rig.port.counters.txFrames === 0, 'an empty batch was counted')
    check((await rig.collect(1)).length === 0, 'frames came from nowhere')
  },
])

CASES.push([
  'takes in or counts what is shorter than a frame',
  ['inject'],
  async (rig) => {
    for (const length of [0, 1, 5, 12, 13]) {
      const before = rig.port.counters
      const sent = frameOf(length)
      if (!(await rig.inject(sent))) continue
      const ours = (bytes: Uint8Array) => bytes.length === length
      const [got] = await rig.collect(1, { ours })
      if (got !== undefined) checkSame(got, sent, `received, of ${length} bytes`)
      else {
        const dropped = rig.port.counters.rxDropped - before.rxDropped
        check(dropped === 1, `a frame of ${length} bytes was neither taken in nor counted as dropped`)
      }
    }
    check(await rig.inject(frameOf(60)), 'the far side does not carry 60 bytes')
    checkSame((await rig.collect(1))[0], frameOf(60), 'the frame after runts')
  },
])

CASES.push([
  'sends or counts what is shorter than a frame',
  ['taken'],
  async (rig) => {
    for (const length of [0, 1, 13]) rig.send(frameOf(length))
    const { txFrames, txDropped } = rig.port.counters
    check(txFrames + txDropped === 3, `of 3 runts, ${txFrames} were sent and ${txDropped} dropped`)
    await rig.taken(txFrames, () => true)
    check(rig.port.failure === null, 'the port failed of a runt')
    rig.send(frameOf(60))
    checkSame((await rig.taken(1))[0], frameOf(60), 'the frame after runts')
  },
])

CASES.push([
  'counts what is too long for the pool as Oversize, and goes on',
  ['inject'],
  async (rig) => {
    const { drops } = rig.pool.ledger
    for (const length of [rig.pool.frameSize + 1, rig.pool.frameSize + 700]) {
      const before = drops[Drop.Oversize] as number
      if (!(await rig.inject(frameOf(length)))) continue
      check((await rig.collect(1)).length === 0, `a frame of ${length} bytes came through`)
      check(drops[Drop.Oversize] === before + 1, `a frame of ${length} bytes was not counted as Oversize`)
    }
    check(await rig.inject(frameOf(60)), 'the far side does not carry 60 bytes')
    checkSame((await rig.collect(1))[0], frameOf(60), 'the frame after one too long')
  },
])

CASES.push([
  'survives garbage from the far side',
  ['inject'],
  async (rig) => {
    let seed = 0x2545f491
    const dice = () => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) >>> 8
    for (let i = 0; i < 200; i++) {
      const garbage = Uint8Array.from({ length: dice() % Math.min(rig.maxFrame, 300) }, dice)
      await rig.inject(garbage)
      if (i % 20 === 19) await rig.collect(1, { ours: () => true })
    }
    check(rig.port.failure === null, `the port failed: ${rig.port.failure}`)
    check(await rig.inject(frameOf(60)), 'the far side does not carry 60 bytes')
    const got = await rig.collect(1)
    checkSame(got.at(-1), frameOf(60), 'the frame after garbage')
  },
])

CASES.push([
  'counts or holds back what comes while the pool is spent, and goes on when it is not',
  ['inject'],
  async (rig) => {
    const { pool } = rig
    const rows: Frame[] = []
    for (let f = pool.alloc(); f !== NO_FRAME; f = pool.alloc()) rows.push(f as Frame)
    pool.ledger.originate(rows.length)
    let injected = 0
    for (let i = 0; i < 3; i++) if (await rig.inject(frameOf(60, 100 + i))) injected++
    check((await rig.collect(1)).length === 0, 'a frame came out of a spent pool')
    check(rig.port.failure === null, 'the port failed of a spent pool')
    rig.checkBalanced('with the pool spent')
    for (const f of rows) pool.sent(f)
    check(await rig.inject(frameOf(60, 200)), 'the far side does not carry 60 bytes')
    const got = await rig.collect(injected + 1)
    checkSame(got.at(-1), frameOf(60, 200), 'the frame after the pool was spent')
    const dropped = pool.ledger.drops[Drop.PoolSpent] as number
    check(got.length - 1 + dropped >= injected, `${injected} frames came, ${got.length - 1} got in, ${dropped} counted`)
  },
])

CASES.push([
  'counts what it cannot send at the moment, and goes on when it can',
  ['taken'],
  async (rig) => {
    const { pool, port } = rig
    const wanted: Uint8Array[] = []
    for (let burst = 0; burst < 64 && pool.spare > 0; burst++) {
      const frames: Frame[] = []
      for (let i = 0; i < 64 && pool.spare > 0; i++) {
        wanted.push(frameOf(60, wanted.length))
        frames.push(rig.make(wanted.at(-1) as Uint8Array))
      }
      rig.process(frames)
    }
    const { txFrames, txDropped } = port.counters
    check(
      txFrames + txDropped === wanted.length,
      `of ${wanted.length} frames, ${txFrames} sent and ${txDropped} dropped`,
    )
    check(pool.ledger.dropped === txDropped, `${txDropped} drops of the port are ${pool.ledger.dropped} in the ledger`)
    let at = -1
    for (const frame of await rig.taken(txFrames)) {
      const number = ((frame[14] as number) << 8) | (frame[15] as number)
      check(number > at, `frame ${number} arrived behind frame ${at}`)
      at = number
      checkSame(frame, wanted[number] as Uint8Array, `frame ${number}`)
    }
    rig.send(frameOf(60, 9999))
    checkSame((await rig.taken(1))[0], frameOf(60, 9999), 'the frame after the queue was full')
  },
])

CASES.push([
  'leaves alone the bytes of a frame that others hold',
  ['taken'],
  async (rig) => {
    const { pool } = rig
    const other = new MemoryPort(pool, 'the other port of a flood')
    const bytes = frameOf(200)
    const f = rig.make(bytes)
    pool.share(f, 3)
    rig.process([f, f])
    const batch = new Batch()
    batch.push(f)
    other.process(batch)
    for (const got of await rig.taken(2)) checkSame(got, bytes, 'the frame that two ports sent')
    check(rig.port.counters.txFrames === 2, `a frame given twice was sent ${rig.port.counters.txFrames} times`)
    checkSame(other.take(), bytes, 'the frame on the other port')
    checkSame(pool.copyOut(f), bytes, 'the frame that was kept')
    pool.sent(f)
    other.close()
  },
])

/** A UDP or TCP packet in IPv4 in Ethernet from a to b, with the sum of the pseudo header in the checksum field. */
function packet(protocol: 6 | 17, payload: number): Uint8Array {
  const header = protocol === 6 ? 20 : 8
  const frame = frameOf(34 + header + payload, 77)
  const ip = [0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 10, 10, 0, 0, 11]
  // Ports 5001 -> 5002; TCP: sequence 0xfffffff0, acknowledgment 1, ACK PSH FIN, window 512.
  const tcp = [0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 1, 0x50, 0x19, 2, 0, 0, 0, 0, 0]
  const l4 = [0x13, 0x89, 0x13, 0x8a, ...(protocol === 6 ? tcp : [0, 0, 0, 0])]
  frame.set([8, 0, ...ip, ...l4], 12)
  const view = new DataView(frame.buffer)
  view.setUint16(16, 20 + header + payload)
  view.setUint16(24, ~sum(frame.subarray(14, 34)))
  if (protocol === 17) view.setUint16(38, header + payload)
  view.setUint16(34 + (protocol === 6 ? 16 : 6), sum(pseudoHeader(frame)))
  return frame
}

/** The Internet checksum's sum (RFC 1071), the plain way. */
function sum(bytes: Uint8Array): number {
  let s = 0
  for (let i = 0; i < bytes.length; i++) s += i % 2 === 0 ? (bytes[i] as number) * 256 : (bytes[i] as number)
  while (s > 0xffff) s = (s & 0xffff) + (s >>> 16)
  return s
}

function pseudoHeader(frame: Uint8Array): Uint8Array {
  const length = frame.length - 34
  return Uint8Array.of(...frame.subarray(26, 34), 0, frame[23] as number, length >> 8, length)
}

function checkSums(frame: Uint8Array): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.length)
  check(view.getUint16(16) === frame.length - 14, `the IP length is ${view.getUint16(16)} in ${frame.length} bytes`)
  check(sum(frame.subarray(14, 34)) === 0xffff, 'the IP header checksum is wrong')
  check(sum(Uint8Array.of(...pseudoHeader(frame), ...frame.subarray(34))) === 0xffff, 'the L4 checksum is wrong')
}

/** Gives a frame the metadata of a checksum that is still to be computed. */
function leaveChecksum({ pool }: Rig, f: Frame, csumOffset: number): void {
  pool.flags[f] = 1
  pool.csumStart[f] = 34
  pool.csumOffset[f] = csumOffset
}

CASES.push([
  'computes checksums that were left to it, unless its far side does, and not in a frame that others hold',
  ['taken'],
  async (rig) => {
    for (const [protocol, field] of [
      [17, 6],
      [6, 16],
    ] as const) {
      const bytes = packet(protocol, 101)
      const f = rig.make(bytes)
      leaveChecksum(rig, f, field)
      rig.pool.share(f, 1)
      rig.process([f])
      const [got] = await rig.taken(1)
      check(got?.length === bytes.length, 'the frame did not arrive')
      if ((rig.port.offloads & Offload.Checksum) === 0) {
        checkSums(got)
        got.set(bytes.subarray(34 + field, 36 + field), 34 + field)
        checkSame(got, bytes, 'the frame besides its checksum')
      }
      checkSame(rig.pool.copyOut(f), bytes, 'the frame that was kept')
      check(rig.pool.flags[f] === 1, 'the metadata of the frame that was kept has changed')
      rig.pool.sent(f)
    }
  },
])

CASES.push([
  'cuts super-frames that its far side does not cut',
  ['taken'],
  async (rig) => {
    for (const [protocol, gsoType, offload, header] of [
      [6, 1, Offload.Tso4, 20],
      [17, 5, Offload.Uso, 8],
    ] as const) {
      const payload = 1000
      const bytes = packet(protocol, payload)
      const f = rig.make(bytes)
      leaveChecksum(rig, f, protocol === 6 ? 16 : 6)
      rig.pool.gsoType[f] = gsoType
      rig.pool.gsoSize[f] = 300
      rig.pool.hdrLen[f] = 34 + header
      const before = rig.port.counters.txFrames
      rig.process([f])
      if (rig.port.offloads & offload) {
        check(rig.port.counters.txFrames === before + 1, 'the super-frame was not sent')
        await rig.taken(1)
        continue
      }
      const got = await rig.taken(4)
      check(got.length === 4, `${payload} bytes in segments of 300 are 4 frames, not ${got.length}`)
      check(rig.port.counters.txFrames === before + 4, 'the segments were not counted as frames')
      const pieces: number[] = []
      for (const [i, frame] of got.entries()) {
        checkSums(frame)
        pieces.push(...frame.subarray(34 + header))
        if (protocol === 17) continue
        const view = new DataView(frame.buffer, frame.byteOffset)
        check(
          view.getUint32(38) === (0xfffffff0 + 300 * i) % 2 ** 32,
          `segment ${i} has sequence ${view.getUint32(38)}`,
        )
        check(
          frame[47] === (i === 3 ? 0x19 : 0x10),
          `segment ${i} has the flags ${frame[47]}: PSH and FIN are the last's`,
        )
      }
      checkSame(Uint8Array.from(pieces), bytes.subarray(34 + header), 'the payload of all segments')
    }
  },
])

CASES.push([
  'counts offload requests that make no sense',
  ['taken'],
  async (rig) => {
    const { pool, port } = rig
    const broken: ((f: Frame) => void)[] = [
      (f) => leaveChecksum(rig, f, 65_535),
      (f) => {
        leaveChecksum(rig, f, 16)
        pool.csumStart[f] = pool.len[f] as number
      },
      (f) => {
        pool.gsoType[f] = 1
        pool.gsoSize[f] = 0
      },
      (f) => {
        leaveChecksum(rig, f, 16)
        pool.gsoType[f] = 0x7f
        pool.gsoSize[f] = 100
        pool.hdrLen[f] = 65_535
      },
    ]
    for (const [i, spoil] of broken.entries()) {
      const before = port.counters
      const f = rig.make(packet(6, 300))
      spoil(f)
      rig.process([f])
      const { txFrames, txDropped } = port.counters
      check(txFrames + txDropped > before.txFrames + before.txDropped, `request ${i} was neither sent nor dropped`)
    }
    await rig.taken(port.counters.txFrames)
    check(port.failure === null, `the port failed of a bad offload request: ${port.failure}`)
    rig.send(frameOf(60))
    checkSame((await rig.taken(1))[0], frameOf(60), 'the frame after bad requests')
  },
])

CASES.push([
  'gives back what waits in it when it is closed, and drops as PortClosed what comes after',
  [],
  async (rig) => {
    rig.send(frameOf(60, 1), frameOf(60, 2), frameOf(60, 3))
    await rig.inject(frameOf(60, 4)).catch(() => false)
    rig.port.close()
    check(rig.port.closed, 'the port does not say that it is closed')
    rig.port.close()
    rig.checkBalanced('after closing twice')
    const { drops } = rig.pool.ledger
    const before = drops[Drop.PortClosed] as number
    const { txDropped } = rig.port.counters
    rig.send(frameOf(60, 5), frameOf(60, 6))
    check(drops[Drop.PortClosed] === before + 2, 'frames for a closed port were not dropped as PortClosed')
    check(rig.port.counters.txDropped === txDropped + 2, 'frames for a closed port were not counted by it')
    const batch = new Batch()
    rig.port.receive(batch)
    check(batch.length === 0, 'a closed port gave out frames')
  },
])

CASES.push([
  'is reported once by the loop when it fails, and the others go on',
  [],
  async (rig) => {
    const { pool, port } = rig
    const reported: unknown[] = []
    const loop = new Loop(pool, new VirtualClock(), { onPortFailed: (which, error) => reported.push([which, error]) })
    const [left, right] = [new MemoryPort(pool, 'left'), new MemoryPort(pool, 'right')]
    loop.add(port, right)
    loop.add(left, right)
    const error = new Error('the world behind the port is gone')
    ;(port as unknown as { fail(error: Error): void }).fail(error)
    for (let i = 0; i < 3; i++) {
      left.inject(frameOf(60, i))
      loop.turn()
      checkSame(right.take(), frameOf(60, i), 'the frame of another port')
    }
    const [[which, why] = []] = reported as [unknown, unknown][]
    check(reported.length === 1 && which === port && why === error, `the failure was reported ${reported.length} times`)
    check(!loop.ports.includes(port), 'the loop has kept a port that failed')
    const before = pool.ledger.drops[Drop.PortError] as number
    rig.send(frameOf(60))
    check(pool.ledger.drops[Drop.PortError] === before + 1, 'a frame for a failed port was not dropped as PortError')
    left.close()
    right.close()
  },
])
