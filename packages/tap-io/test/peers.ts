/*
 * A program that the tests run in a namespace of its own, with a veth from `near` to `far`: ports on the optional peers.
 * Prints, as JSON, what each check found: null, or what is wrong; and which peers are missing.
 */
import { type Batch, type Frame, FramePool, Loop, RealClock } from '@l2l3/switch-core'
import { portCompliance } from '@l2l3/switch-core/compliance'
import { runOnEventLoop, type TapError } from '@l2l3/tap-io'
import { CapPort } from '@l2l3/tap-io/cap'
import { RawSocketPort } from '@l2l3/tap-io/raw-socket'
import { frameOf, receive, send } from './frames.ts'

const found: Record<string, string | null> = {}

async function check(name: string, body: () => void | Promise<void>): Promise<void> {
  try {
    await body()
    found[name] = null
  } catch (error) {
    found[name] = (error as Error).message
  }
}

function same(a: unknown, b: unknown, what: string): void {
  const [one, two] = [JSON.stringify(a), JSON.stringify(b)]
  if (one !== two) throw new Error(`${what}: ${one} instead of ${two}`)
}

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms))
const hex = (frame: Uint8Array) => Buffer.from(frame).toString('hex')

async function cap(): Promise<void> {
  const make = async () => {
    const port = CapPort.open(new FramePool({ frames: 300 }), { device: 'near', mtu: 1900 })
    const far = new FramePool({ frames: 64, frameSize: 4000 })
    const other = CapPort.open(far, { device: 'far', mtu: 3000 })
    // The first frame that a fresh port sees is lost in libpcap: let it be one of these.
    const first = new FramePool({ frames: 2 })
    using there = CapPort.open(first, { device: 'near' })
    send(there, frameOf(first, new Uint8Array(60)))
    send(other, frameOf(far, new Uint8Array(60)))
    await pause(10)
    return {
      port,
      maxFrame: 1918,
      patience: 60,
      async inject(bytes: Uint8Array) {
        if (bytes.length < 14 || bytes.length > 3000) return false
        send(other, frameOf(far, bytes))
        await pause(1)
        return true
      },
      taken: () => receive(other),
      close: () => other.close(),
    }
  }
  for (const { name, run } of portCompliance(make)) await check(`cap: ${name}`, run)

  await check('cap: what this host sends does not come in, neither ours nor the kernel’s', async () => {
    const pool = new FramePool({ frames: 16 })
    using near = CapPort.open(pool, { device: 'near', filter: 'ether proto 0x88b5' })
    using also = CapPort.open(pool, { device: 'near', filter: 'ether proto 0x88b5' })
    const frame = Buffer.concat([Buffer.from('02000000000b02000000000a88b5', 'hex'), Buffer.alloc(46)])
    send(near, frameOf(pool, frame))
    await pause(50)
    same([receive(near).length, receive(also).length], [0, 0], 'frames that came back')
  })

  await check('cap: says what is wrong', () => {
    const pool = new FramePool({ frames: 1 })
    for (const [options, says] of [
      [{ device: 'nope' }, /device "nope": .*no such device/i],
      [{ device: 'a/b' }, /device "a\/b"/],
      [{ device: 'near', filter: 'no such filter' }, /device "near": .*(syntax|parse)/i],
      [{ device: 'near', mtu: 1 }, /mtu/],
    ] as const) {
      try {
        CapPort.open(pool, options).close()
      } catch (error) {
        if (!says.test((error as Error).message)) throw error
        continue
      }
      throw new Error(`it was opened: ${JSON.stringify(options)}`)
    }
  })
}

/** An IPv4 packet of protocol 253 (for experiments, RFC 3692) from and to this host; its checksum is left to the kernel. */
function packet(payload: number): Uint8Array {
  const bytes = new Uint8Array(20 + payload).fill(0x5a)
  const length = bytes.length
  bytes.set([0x45, 0, length >> 8, length & 255, 0x12, 0x34, 0x40, 0, 64, 253, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1])
  return bytes
}

async function rawSocket(): Promise<void> {
  await check('raw-socket: a packet that is sent comes in as it was, from its IPv4 header on', async () => {
    const pool = new FramePool({ frames: 600 })
    let woken = 0
    using port = RawSocketPort.open(pool, { protocol: 253, onArrival: () => woken++ })
    for (const payload of [0, 1, 100, 1400]) {
      const sent = packet(payload)
      send(port, frameOf(pool, sent))
      await pause(50)
      const [got] = receive(port)
      if (got === undefined) throw new Error(`${payload} bytes did not arrive`)
      got.fill(0, 10, 12)
      same(hex(got), hex(sent), 'the packet')
    }
    same(woken, 4, 'calls of onArrival')
    const many = Array.from({ length: 300 }, () => frameOf(pool, packet(8)))
    send(port, ...many)
    same(pool.ledger.drops[7], 44, 'PortFull beyond 256 under way')
    await pause(300)
    same(receive(port).length > 0, true, 'some of many arrived')
    port.close()
    const { balanced, held } = pool.report()
    same({ balanced, held }, { balanced: true, held: 0 }, 'the ledger')
  })

  await check('raw-socket: what is no such packet is counted', async () => {
    const pool = new FramePool({ frames: 32, frameSize: 65_000 })
    using port = RawSocketPort.open(pool, { protocol: 253 })
    const wrong: [number, number][] = [
      [0, 0x65],
      [0, 0x44],
      [0, 0x4f],
      [2, 0xff],
      [9, 47],
    ]
    for (const [at, value] of wrong) {
      const bytes = packet(20)
      bytes[at] = value
      send(port, frameOf(pool, bytes))
    }
    send(port, frameOf(pool, packet(20).subarray(0, 19)))
    const far = packet(20)
    far.set([203, 0, 113, 1], 16)
    send(port, frameOf(pool, far))
    await pause(50)
    same(pool.report().dropped, { Runt: 1, Malformed: 5, PortDown: 1 }, 'drops')
    same([pool.report().balanced, port.failure], [true, null], 'ledger and port')
  })

  await check('raw-socket: closing drops what is under way and what waits', async () => {
    const pool = new FramePool({ frames: 32 })
    const port = RawSocketPort.open(pool, { protocol: 253 })
    send(port, frameOf(pool, packet(1)))
    await pause(50)
    send(port, frameOf(pool, packet(2)), frameOf(pool, packet(3)))
    port.close()
    port.close()
    await pause(50)
    const { balanced, held, dropped } = pool.report()
    same({ balanced, held, dropped }, { balanced: true, held: 0, dropped: { PortClosed: 3 } }, 'the ledger')
  })

  await check('raw-socket: wakes a runner', async () => {
    const pool = new FramePool({ frames: 32 })
    const loop = new Loop(pool, new RealClock())
    using port = RawSocketPort.open(pool, { protocol: 253, onArrival: () => runner.wake() })
    const got: number[] = []
    loop.add(port, {
      process(batch: Batch) {
        for (let i = 0; i < batch.length; i++) {
          got.push(pool.len[batch.frames[i] as number] as number)
          pool.sent(batch.frames[i] as Frame)
        }
        batch.length = 0
      },
    })
    const runner = runOnEventLoop(loop, [])
    send(port, frameOf(pool, packet(4)))
    await pause(100)
    await runner.stop()
    same(got, [24], 'what the loop got')
  })
}

const missing: string[] = []
for (const [open, run] of [
  [() => CapPort.open(new FramePool({ frames: 1 }), { device: 'near' }), cap],
  [() => RawSocketPort.open(new FramePool({ frames: 1 }), { protocol: 253 }), rawSocket],
] as const) {
  try {
    open().close()
  } catch (error) {
    if ((error as TapError).code !== 'ERR_PEER_MISSING') throw error
    missing.push((error as TapError).message)
    continue
  }
  await run()
}
console.log(JSON.stringify({ found, missing }))
process.exit()
