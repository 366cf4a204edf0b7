import { Drop, FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import { openCapture, PortCapture } from '@l2l3/switch-core/pcap'
import { expect, it } from 'vitest'

const FRAME = Uint8Array.from({ length: 60 }, (_, i) => i)

function rig() {
  const pool = new FramePool({ frames: 16 })
  const clock = new VirtualClock(1_700_000_000_000_000_000n)
  const loop = new Loop(pool, clock)
  const port = new MemoryPort(pool, 'web', { capacity: 2 })
  // What comes in leaves again.
  const link = loop.link(port)
  loop.add(port, {
    process: (batch) => {
      link.pushAll(batch.frames, 0, batch.length)
      batch.length = 0
    },
  })
  return { pool, clock, loop, port }
}

it('writes what passes a port, both ways, with times and the name of the port', () => {
  const { clock, loop, port } = rig()
  const chunks: Uint8Array[] = []
  const capture = new PortCapture(port, clock, (chunk) => chunks.push(chunk), 'sw1/web')
  expect(() => new PortCapture(port, clock, () => {})).toThrow('being captured already')
  clock.advance(5)
  for (let i = 0; i < 2; i++) port.inject(FRAME)
  loop.settle()
  // The third and fourth find no room, and are not in the capture of what left.
  for (let i = 0; i < 2; i++) port.inject(FRAME)
  clock.advance(1)
  loop.settle()
  capture.close()
  capture.close()
  port.takeAll()
  port.inject(FRAME)
  loop.settle()
  const all = Array.from(openCapture(Buffer.concat(chunks)))
  expect(all.map((r) => [r.direction, r.time])).toEqual([
    ['inbound', 1_700_000_000_000_000_005n],
    ['inbound', 1_700_000_000_000_000_005n],
    ['outbound', 1_700_000_000_000_000_005n],
    ['outbound', 1_700_000_000_000_000_005n],
    ['inbound', 1_700_000_000_000_000_006n],
    ['inbound', 1_700_000_000_000_000_006n],
  ])
  for (const { data, interface: on } of all) {
    expect(new Uint8Array(data)).toEqual(FRAME)
    expect(on.name).toBe('sw1/web')
  }
  expect(port.pool.ledger.drops[Drop.PortFull]).toBe(2)
})

it('goes on without the capture when the sink fails', () => {
  const { pool, clock, loop, port } = rig()
  const capture = new PortCapture(port, clock, () => {
    throw new Error('disk full')
  })
  const large = new Uint8Array(1514)
  for (let i = 0; i < 100; i++) {
    port.inject(large)
    loop.settle()
    port.takeAll()
  }
  expect(capture.failure?.message).toBe('disk full')
  capture.close()
  expect(pool.report()).toMatchObject({ received: 100, sent: 100, held: 0, balanced: true })
})
