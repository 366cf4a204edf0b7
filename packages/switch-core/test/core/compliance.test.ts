import { Batch, type Frame, FramePool, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import { type PortUnderTest, portCompliance } from '@l2l3/switch-core/compliance'
import { CapturePort, CaptureReader, PcapngWriter, PcapWriter } from '@l2l3/switch-core/pcap'
import { describe, it } from 'vitest'

/** The suite that every kind of port passes, on the ports of this package. */

function freeStanding(pool = new FramePool({ frames: 2100 })): PortUnderTest {
  const port = new MemoryPort(pool, 'web')
  return { port, inject: (frame) => port.inject(frame), taken: () => port.takeAll() }
}

/** web ===cable=== db: the far side is the port at the other end. */
function cabled(pool = new FramePool({ frames: 2100 })): PortUnderTest {
  const port = new MemoryPort(pool, 'web')
  const db = new MemoryPort(pool, 'db')
  MemoryPort.connect(port, db)
  const batch = new Batch()
  return {
    port,
    inject(bytes) {
      const f = pool.from(bytes)
      if (f < 0) return false
      pool.ledger.originate(1)
      batch.push(f as Frame)
      db.process(batch)
      return true
    },
    taken() {
      const frames: Uint8Array[] = []
      for (db.receive(batch); batch.length > 0; db.receive(batch)) {
        for (const f of batch.frames.subarray(0, batch.length)) {
          frames.push(pool.copyOut(f as Frame))
          pool.sent(f as Frame)
        }
        batch.length = 0
      }
      return frames
    },
    close: () => db.close(),
  }
}

/** The far side writes one capture file and reads the other. */
function capture(Kind: typeof PcapWriter | typeof PcapngWriter, pool = new FramePool({ frames: 200 })): PortUnderTest {
  const clock = new VirtualClock(1_700_000_000_000_000_000n)
  const from = new CaptureReader()
  const source = new Kind((chunk) => from.push(chunk), { chunk: 0 })
  source.interface('wire')
  const written = new CaptureReader()
  const to = new Kind((chunk) => written.push(chunk))
  return {
    port: new CapturePort(pool, 'pod1', { clock, from, to }),
    inject(data) {
      source.write({ time: clock.epoch, data })
      return true
    },
    taken() {
      to.flush()
      return Array.from(written, (record) => record.data)
    },
  }
}

const jumbo = () => new FramePool({ frames: 200, frameSize: 65_553 })

describe.each<[string, () => PortUnderTest]>([
  ['a free-standing memory port', freeStanding],
  ['a memory port with the slots of super-frames', () => freeStanding(jumbo())],
  ['a memory port on a cable', cabled],
  ['a pcap port', () => capture(PcapWriter)],
  ['a pcapng port', () => capture(PcapngWriter)],
  ['a pcapng port with the slots of super-frames', () => capture(PcapngWriter, jumbo())],
])('%s', (_, make) => {
  for (const { name, run } of portCompliance(make)) it(name, run)
})
