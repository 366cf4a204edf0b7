import { Drop, type Frame, FramePool, Loop, MAX_FRAME, RealClock } from '@l2l3/switch-core'
import { runOnEventLoop, UdpUnderlayPort } from '@l2l3/tap-io'
import { expect, it } from 'vitest'
import { type Outer, tunnelFrame, tunnelSegmentsOf } from '../../switch-core/test/offload/tunnel-frames.ts'
import { drain, frameOf, ip, namespace, needsTun, removeNamespace, send, until } from './lab.ts'

/* UDP underlays of two namespaces, with a veth of the kernel's in between: 192.0.2.1 and 192.0.2.2, MTU 1500. */
needsTun()

const TUNNEL: Outer = { over: 4, header: 8, summed: false }

async function cable(): Promise<[string, string]> {
  const [a, b] = [namespace(), namespace()]
  ip('-n', a, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', b)
  for (const [i, netns] of [a, b].entries()) {
    ip('-n', netns, 'addr', 'add', `192.0.2.${i + 1}/24`, 'dev', 'eth0')
    ip('-n', netns, 'link', 'set', 'eth0', 'up')
  }
  // An end that has not seen the other come up yet sends nothing.
  for (const netns of [a, b]) await until(() => ip('-n', netns, 'link', 'show', 'eth0').includes('state UP'))
  return [a, b]
}

/** A frame for 192.0.2.2, port 4789, of the kind that an Encap hands over. */
function superFrame(pool: FramePool, payload: number, size: number): Frame {
  const big = tunnelFrame({ transport: 'tcp', version: 4, payload, size }, TUNNEL)
  const f = frameOf(pool, big.bytes)
  pool.flags[f] = 1
  pool.gsoType[f] = big.gsoType
  pool.gsoSize[f] = size
  pool.csumStart[f] = big.csumStart
  pool.csumOffset[f] = big.csumOffset
  pool.outerL4[f] = big.outerL4
  pool.innerL3[f] = big.innerL3
  return f
}

const payloads = (payload: number, size: number): string[] =>
  tunnelSegmentsOf({ transport: 'tcp', version: 4, payload, size }, TUNNEL).map((b) =>
    Buffer.from(b.subarray(42)).toString('hex'),
  )

it('sends segments that are longer than the MTU as fragments, or drops them as TooBig', async () => {
  const [a, b] = await cable()
  const pool = new FramePool({ frames: 128, frameSize: MAX_FRAME })
  using from = UdpUnderlayPort.open(pool, { netns: a, port: 4789 })
  using strict = UdpUnderlayPort.open(pool, { netns: a, port: 4790, dontFragment: true })
  using to = UdpUnderlayPort.open(pool, { netns: b, port: 4789, receive: 'split' })
  for (const size of [1398, 1460, 4000]) {
    const wanted = payloads(20_000, size)
    const got: string[] = []
    send(from, superFrame(pool, 20_000, size))
    await until(() => {
      got.push(...drain(to).map((frame) => Buffer.from(frame.subarray(42)).toString('hex')))
      return got.length >= wanted.length
    })
    expect([size, got]).toEqual([size, wanted])
  }
  send(strict, superFrame(pool, 20_000, 1398))
  expect(pool.report()).toMatchObject({ dropped: {}, balanced: true })
  send(strict, superFrame(pool, 20_000, 1460))
  expect(pool.report()).toMatchObject({ dropped: { TooBig: 1 }, balanced: true })
})

it('says that there is no route, that the interface is down, and lives on', async () => {
  const [a, b] = await cable()
  const pool = new FramePool({ frames: 128, frameSize: MAX_FRAME })
  using from = UdpUnderlayPort.open(pool, { netns: a })
  using to = UdpUnderlayPort.open(pool, { netns: b })
  const elsewhere = superFrame(pool, 100, 1398)
  pool.bytes.set([198, 51, 100, 1], (pool.off[elsewhere] as number) + 30)
  send(from, elsewhere)
  expect(pool.report().dropped).toEqual({ NoRoute: 1 })
  ip('-n', a, 'link', 'set', 'eth0', 'down')
  send(from, superFrame(pool, 100, 1398))
  expect(pool.ledger.drops[Drop.NoRoute]).toBe(2)
  ip('-n', a, 'link', 'set', 'eth0', 'up')
  send(from, superFrame(pool, 100, 1398))
  await until(() => drain(to).length === 1)
  expect([from.failure, to.failure]).toEqual([null, null])
})

it('hears a multicast group that it has joined, and not itself', async () => {
  const [a, b] = await cable()
  const pool = new FramePool({ frames: 128, frameSize: MAX_FRAME })
  const options = { device: 'eth0', groups: ['239.1.1.1'], ttl: 4 }
  using from = UdpUnderlayPort.open(pool, { netns: a, ...options })
  using to = UdpUnderlayPort.open(pool, { netns: b, ...options })
  const f = superFrame(pool, 100, 1398)
  pool.bytes.set([239, 1, 1, 1], (pool.off[f] as number) + 30)
  send(from, f)
  let got: Uint8Array[] = []
  await until(() => (got = drain(to)).length === 1)
  // It says to which group it was sent, and with which TTL it came.
  expect([...(got[0] as Uint8Array).subarray(26, 34)]).toEqual([192, 0, 2, 1, 239, 1, 1, 1])
  expect(drain(from)).toEqual([])
})

it('does not spin when its namespace is deleted', async () => {
  const [a] = await cable()
  const pool = new FramePool({ frames: 128, frameSize: MAX_FRAME })
  using port = UdpUnderlayPort.open(pool, { netns: a })
  const loop = new Loop(pool, new RealClock())
  let turns = 0
  const turn = loop.turn.bind(loop)
  loop.turn = () => {
    turns++
    return turn()
  }
  loop.add(port, port)
  const runner = runOnEventLoop(loop, [port])
  removeNamespace(a)
  await new Promise((done) => setTimeout(done, 300))
  expect(turns).toBeLessThan(30)
  expect(port.failure).toBeNull()
  await runner.stop()
})
