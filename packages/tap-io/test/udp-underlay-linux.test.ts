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

it('hears its own address and its groups, no other, and speaks from its own', async () => {
  const [a, b] = await cable()
  ip('-n', b, 'addr', 'add', '192.0.2.3/24', 'dev', 'eth0')
  const pool = new FramePool({ frames: 128, frameSize: MAX_FRAME })
  using from = UdpUnderlayPort.open(pool, { netns: a, device: 'eth0', ttl: 4 })
  const options = { netns: b, device: 'eth0', groups: ['239.1.1.1', '239.1.1.2'], sockets: 2 }
  // 192.0.2.3 is not what the kernel would choose.
  using to = UdpUnderlayPort.open(pool, { ...options, address: '192.0.2.3' })
  for (const last of [
    [239, 1, 1, 1],
    [192, 0, 2, 2],
    [239, 1, 1, 3],
    [192, 0, 2, 3],
    [239, 1, 1, 2],
  ]) {
    const f = superFrame(pool, 100, 1398)
    pool.bytes.set(last, (pool.off[f] as number) + 30)
    send(from, f)
  }
  const heard: string[] = []
  await until(() => {
    for (const frame of drain(to)) heard.push(frame.subarray(30, 34).join('.'))
    return heard.length >= 3
  })
  expect(heard).toEqual(['239.1.1.1', '192.0.2.3', '239.1.1.2'])
  // By either socket; 49,200 and 49,201 pick them.
  for (const port of [0, 1]) {
    const f = superFrame(pool, 100, 1398)
    const at = pool.off[f] as number
    pool.bytes.set([192, 0, 2, 1], at + 30)
    pool.bytes[at + 35] = (pool.bytes[at + 35] as number) + port
    send(to, f)
  }
  const came: string[] = []
  await until(() => {
    for (const frame of drain(from))
      came.push(`${frame.subarray(26, 30).join('.')} ${Buffer.from(frame).readUInt16BE(34)}`)
    return came.length >= 2
  })
  expect(came.sort()).toEqual(to.info.sourcePorts.map((port) => `192.0.2.3 ${port}`).sort())
  expect(to.info.sourcePorts[0]).toBe(4789)
  expect(() => UdpUnderlayPort.open(pool, { ...options, port: 5000, address: '192.0.2.99' })).toThrow(
    /address "192.0.2.99 port 5000": no interface here has this address/,
  )
})

it('hears its own address and its groups by IPv6, too', async () => {
  const [a, b] = await cable()
  for (const [i, netns] of [a, b].entries()) {
    ip('netns', 'exec', netns, 'sysctl', '-qw', 'net.ipv6.conf.eth0.disable_ipv6=0')
    for (const host of i === 0 ? ['1'] : ['2', '3']) {
      ip('-n', netns, 'addr', 'add', `fd00::${host}/64`, 'dev', 'eth0', 'nodad')
    }
  }
  const pool = new FramePool({ frames: 128, frameSize: MAX_FRAME })
  using from = UdpUnderlayPort.open(pool, { address: '::', netns: a, device: 'eth0' })
  const options = { netns: b, device: 'eth0', groups: ['ff05::1:2', 'ff05::1:3'], sockets: 1 }
  using to = UdpUnderlayPort.open(pool, { ...options, address: 'fd00::3' })
  const over6 = (host: string): Frame => {
    const big = tunnelFrame({ transport: 'tcp', version: 4, payload: 100, size: 1398 }, { ...TUNNEL, over: 6 })
    big.bytes.set(Buffer.from(host, 'hex'), 38)
    return frameOf(pool, big.bytes)
  }
  const hosts = { own: 'fd00%3', second: 'ff05%10003', other: 'fd00%2', strange: 'ff05%10004' }
  const full = (host: string): string => host.replace('%', '0'.repeat(33 - host.length))
  const heard: string[] = []
  await until(() => {
    if (heard.length === 0) for (const host of Object.values(hosts)) send(from, over6(full(host)))
    for (const frame of drain(to)) heard.push(Buffer.from(frame.subarray(38, 54)).toString('hex'))
    return new Set(heard).size >= 2
  })
  await new Promise((done) => setTimeout(done, 50))
  for (const frame of drain(to)) heard.push(Buffer.from(frame.subarray(38, 54)).toString('hex'))
  expect([...new Set(heard)].sort()).toEqual([full(hosts.own), full(hosts.second)])
  send(to, over6(full('fd00%1')))
  let came: Uint8Array[] = []
  await until(() => (came = drain(from)).length === 1)
  expect(Buffer.from((came[0] as Uint8Array).subarray(22, 38)).toString('hex')).toBe(full(hosts.own))
})

it('counts each frame of a row by itself where the kernel refuses the row', async () => {
  const [a, b] = await cable()
  const pool = new FramePool({ frames: 128, frameSize: MAX_FRAME })
  using strict = UdpUnderlayPort.open(pool, { netns: a, dontFragment: true, sockets: 1 })
  using to = UdpUnderlayPort.open(pool, { netns: b, receive: 'split' })
  // One row: three that are longer than the MTU, and a short one that ends it.
  const frames = [1500, 1500, 1500, 600].map((payload) => {
    const f = superFrame(pool, payload, 1398)
    pool.flags[f] = pool.gsoType[f] = 0
    return f
  })
  send(strict, ...frames)
  expect(strict.counters).toMatchObject({ txFrames: 1, txDropped: 3 })
  expect(pool.report().dropped).toEqual({ TooBig: 3 })
  const got: number[] = []
  await until(() => {
    for (const frame of drain(to)) got.push(frame.length)
    return got.length > 0
  })
  expect(got).toEqual([600 + 42 + 8 + 54])
})

it('fails when the interface that it is bound to is deleted, whoever notices', async () => {
  for (const how of ['loop', 'write', 'check'] as const) {
    const [a] = await cable()
    const pool = new FramePool({ frames: 32, frameSize: MAX_FRAME })
    using port = UdpUnderlayPort.open(pool, { netns: a, device: 'eth0' })
    const loop = new Loop(pool, new RealClock())
    loop.add(port, port)
    const runner = how === 'loop' ? runOnEventLoop(loop, [port]) : null
    send(port, superFrame(pool, 100, 1398))
    expect(port.failure).toBeNull()
    ip('-n', a, 'link', 'del', 'eth0')
    await until(() => {
      if (how === 'check') port.check()
      if (how === 'write') send(port, superFrame(pool, 100, 1398))
      return port.failure !== null
    })
    expect(port.failure?.message).toMatch(/port "udp 0.0.0.0:4789": the device was deleted \(ENODEV\)/)
    expect(port.fd).toBe(-1)
    expect(pool.report()).toMatchObject({ held: 0, balanced: true })
    await runner?.stop()
  }
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
