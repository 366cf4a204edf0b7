import { type Batch, FramePool, Loop, MAX_FRAME, MemoryPort, RealClock } from '@l2l3/switch-core'
import { ping, runBlocking, runOnEventLoop, TapPort } from '@l2l3/tap-io'
import { describe, expect, it, vi } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../test-support/heap.ts'
import { native } from '../src/native.ts'
import { descriptors, frameOf, ip, namespace, needsTun, until, workerOf } from './lab.ts'

/* Who turns the loop: the event loop of this thread, or a thread that does nothing else. */
needsTun()

const FRAME = Buffer.concat([Buffer.from('02000000000b02000000000a88b5', 'hex'), Buffer.alloc(46)])

/** Two TAPs on a bridge of the kernel: what one sends, the other receives. */
function pair(pool: FramePool): [TapPort, TapPort] {
  const netns = namespace()
  ip('-n', netns, 'link', 'add', 'br0', 'type', 'bridge')
  ip('-n', netns, 'link', 'set', 'br0', 'up')
  const ends = ['one', 'two'].map((name) => TapPort.open(pool, { name, netns })) as [TapPort, TapPort]
  for (const { ifname } of ends) ip('-n', netns, 'link', 'set', ifname, 'master', 'br0')
  return ends
}

describe('on the event loop', () => {
  it('shares the thread: a loop that never rests leaves timers and immediates their turn', async () => {
    const pool = new FramePool({ frames: 64 })
    const loop = new Loop(pool, new RealClock())
    const [one, two] = pair(pool)
    // One frame runs in a circle for ever, from link to link.
    loop.add(one, one)
    loop.add(two, { process: (batch) => two.process(batch) })
    let turns = 0
    const circle = loop.link({
      process(batch: Batch) {
        turns++
        for (let i = 0; i < batch.length; i++) circle.push(batch.frames[i] as never)
        batch.length = 0
      },
    })
    circle.push(frameOf(pool, FRAME))
    const runner = runOnEventLoop(loop, [one, two])
    let timers = 0
    let late = 0
    let last = performance.now()
    const timer = setInterval(() => {
      timers++
      const now = performance.now()
      late = Math.max(late, now - last)
      last = now
    }, 5)
    await new Promise((done) => setTimeout(done, 500))
    clearInterval(timer)
    await runner.stop()
    expect(turns).toBeGreaterThan(1000)
    expect(timers).toBeGreaterThan(10)
    expect(late).toBeLessThan(250)
    loop.abandon()
    one.close()
    two.close()
    expect(pool.report()).toMatchObject({ held: 0, balanced: true })
  })

  it('ticks without traffic, is woken for ports without a descriptor, and stops', async () => {
    const pool = new FramePool({ frames: 16 })
    const loop = new Loop(pool, new RealClock())
    const [left, right] = [new MemoryPort(pool, 'left'), new MemoryPort(pool, 'right')]
    loop.add(left, right)
    const ticks: number[] = []
    loop.every(20e6, { tick: (now) => ticks.push(now) })
    const runner = runOnEventLoop(loop, [])
    await new Promise((done) => setTimeout(done, 210))
    expect(ticks.length).toBeGreaterThan(5)
    expect(ticks.length).toBeLessThan(12)
    left.inject(FRAME)
    runner.wake()
    await until(() => right.waiting === 1)
    await runner.stop()
    await runner.done
    const after = ticks.length
    await new Promise((done) => setTimeout(done, 50))
    expect(ticks.length).toBe(after)
    runner.wake()
    await runner.stop()
  })

  it('ends with the error of an element that throws', async () => {
    const pool = new FramePool({ frames: 16 })
    const loop = new Loop(pool, new RealClock())
    const port = new MemoryPort(pool, 'left')
    loop.add(port, {
      process() {
        throw new Error('an element is broken')
      },
    })
    port.inject(FRAME)
    const before = descriptors()
    const runner = runOnEventLoop(loop, [])
    await expect(runner.done).rejects.toThrow('an element is broken')
    expect(descriptors()).toBe(before)
    await expect(runner.stop()).rejects.toThrow('an element is broken')
  })

  it('leaves nothing behind when the event loop does not take its ports', () => {
    const loop = new Loop(new FramePool({ frames: 16 }), new RealClock())
    const timers = () => process.getActiveResourcesInfo().filter((what) => what === 'Timeout').length
    const before = [descriptors(), timers()]
    const watch = vi.spyOn(native(), 'watch').mockReturnValue(false)
    try {
      expect(() => runOnEventLoop(loop, [])).toThrow('the event loop did not take the ports')
    } finally {
      watch.mockRestore()
    }
    expect([descriptors(), timers()]).toEqual(before)
  })

  it('does not spin for a port that the loop does not read', async () => {
    const pool = new FramePool({ frames: 16 })
    const [one, two] = pair(pool)
    const loop = new Loop(pool, new RealClock())
    const runner = runOnEventLoop(loop, [one, two])
    const batch = { frames: Uint32Array.of(frameOf(pool, FRAME)), length: 1 } as Batch
    one.process(batch)
    await new Promise((done) => setTimeout(done, 50))
    const { user, system } = process.cpuUsage()
    await new Promise((done) => setTimeout(done, 500))
    const spent = process.cpuUsage({ user, system })
    expect((spent.user + spent.system) / 1000).toBeLessThan(150)
    await runner.stop()
    one.close()
    two.close()
  })

  for (const spinMicros of [1000, Number.POSITIVE_INFINITY]) {
    it(`passes frames and ticks while it spins for ${spinMicros} us, and leaves timers their turn`, async () => {
      const pool = new FramePool({ frames: 64 })
      const [one, two] = pair(pool)
      const loop = new Loop(pool, new RealClock())
      const memory = new MemoryPort(pool, 'memory')
      loop.add(one, memory)
      // No port of the loop reads what comes in by `two`: a spin meets it again and again.
      let ticks = 0
      loop.every(5e6, { tick: () => ticks++ })
      const runner = runOnEventLoop(loop, [one, two], { spinMicros })
      let timers = 0
      const timer = setInterval(() => timers++, 5)
      // The first ones may be lost: the kernel takes note of carriers now and then.
      await until(() => {
        two.process({ frames: Uint32Array.of(frameOf(pool, FRAME)), length: 1 } as Batch)
        return memory.waiting > 5
      })
      one.process({ frames: Uint32Array.of(frameOf(pool, FRAME)), length: 1 } as Batch)
      const before = [ticks, timers] as const
      await until(() => ticks > before[0] + 5 && timers > before[1] + 5).finally(() => {
        clearInterval(timer)
        return runner.stop()
      })
      memory.takeAll()
      loop.abandon()
      one.close()
      two.close()
      expect(pool.report()).toMatchObject({ held: 0, balanced: true })
    })
  }

  it('takes a spin for an error that is too long for a guest', () => {
    const loop = new Loop(new FramePool({ frames: 16 }), new RealClock())
    for (const spinMicros of [-1, 1001, Number.NaN]) {
      expect(() => runOnEventLoop(loop, [], { spinMicros })).toThrow('spinMicros')
    }
  })

  it('grows the heap by less than 64 KiB over many frames', async () => {
    const pool = new FramePool({ frames: 256 })
    const [one, two] = pair(pool)
    const loop = new Loop(pool, new RealClock())
    // Every frame is sent back as it came: its addresses are swapped, so that the bridge knows where to.
    const back = (port: TapPort) => ({
      process(batch: Batch) {
        const { bytes, off } = pool
        for (let i = 0; i < batch.length; i++) {
          const o = off[batch.frames[i] as number] as number
          for (let k = 0; k < 6; k++) {
            const octet = bytes[o + k] as number
            bytes[o + k] = bytes[o + 6 + k] as number
            bytes[o + 6 + k] = octet
          }
        }
        port.process(batch)
      },
    })
    loop.add(one, back(one))
    loop.add(two, back(two))
    for (let i = 0; i < 32; i++) {
      const batch = { frames: Uint32Array.of(frameOf(pool, FRAME)), length: 1 } as Batch
      one.process(batch)
    }
    const turn = (frames: number) => {
      const end = two.counters.rxFrames + frames
      while (two.counters.rxFrames < end) for (let i = 0; i < 100; i++) loop.turn()
    }
    turn(50_000)
    expect(heapGrowth(() => turn(200_000))).toBeLessThan(HEAP_LIMIT)
    one.close()
    two.close()
    expect(pool.report()).toMatchObject({ held: 0, balanced: true })
  })
})

describe('blocking', () => {
  it('runs until it is told to stop, by function, flag or shared array, and ticks meanwhile', () => {
    const pool = new FramePool({ frames: 16 })
    const loop = new Loop(pool, new RealClock())
    let ticks = 0
    loop.every(10e6, { tick: () => ticks++ })
    runBlocking(loop, [], { until: () => ticks >= 5 })
    expect(ticks).toBe(5)
    const flag = { aborted: false }
    loop.every(10e6, { tick: () => (flag.aborted = ticks >= 10) })
    runBlocking(loop, [], { until: flag })
    expect(ticks).toBeGreaterThanOrEqual(10)
    const shared = new Int32Array(new SharedArrayBuffer(4))
    loop.every(10e6, { tick: () => Atomics.store(shared, 0, 1) })
    runBlocking(loop, [], { until: shared, spinMicros: 0 })
  })

  async function switchInWorker(options?: { spinMicros: number }) {
    const [alice, bob] = [namespace(), namespace()]
    const over = new Int32Array(new SharedArrayBuffer(4))
    const worker = workerOf('worker-cable.ts', { alice, bob, over, options })
    const said: { ready?: boolean; report?: unknown; failed?: string[] }[] = []
    const ended = new Promise<number>((resolve, reject) => worker.on('exit', resolve).on('error', reject))
    worker.on('message', (message) => said.push(message))
    await until(() => said.length > 0, 10_000)
    for (const [i, netns] of [alice, bob].entries()) ip('-n', netns, 'addr', 'add', `10.1.0.${i + 1}/24`, 'dev', 'eth0')
    return { alice, bob, over, worker, said, ended }
  }

  it('switches in a worker thread, sees its flag, and rests when there is nothing to do', async () => {
    const before = descriptors()
    const { alice, over, said, ended } = await switchInWorker()
    const result = await ping({ to: '10.1.0.2', netns: alice, count: 50, intervalMs: 1 })
    expect(result).toMatchObject({ sent: 50, received: 50 })
    await new Promise((done) => setTimeout(done, 300))
    const { user, system } = process.cpuUsage()
    await new Promise((done) => setTimeout(done, 1000))
    const spent = process.cpuUsage({ user, system })
    expect((spent.user + spent.system) / 1000).toBeLessThan(100)
    Atomics.store(over, 0, 1)
    expect(await ended).toBe(0)
    expect(said[1]?.report).toMatchObject({ held: 0, balanced: true })
    expect(descriptors()).toBeLessThanOrEqual(before)
  })

  it('never sleeps where it is to poll busily, and still sees its flag', async () => {
    const { alice, over, said, ended } = await switchInWorker({ spinMicros: Number.POSITIVE_INFINITY })
    expect(await ping({ to: '10.1.0.2', netns: alice, count: 5, intervalMs: 1 })).toMatchObject({ received: 5 })
    const { user, system } = process.cpuUsage()
    await new Promise((done) => setTimeout(done, 1000))
    const spent = process.cpuUsage({ user, system })
    // Others may want the core as well. One that rests takes 20 ms at most.
    expect((spent.user + spent.system) / 1000).toBeGreaterThan(150)
    Atomics.store(over, 0, 1)
    expect(await ended).toBe(0)
    expect(said[1]?.report).toMatchObject({ held: 0, balanced: true })
  })

  it('goes on in a worker thread when one device is deleted', async () => {
    const { alice, bob, over, said, ended } = await switchInWorker()
    ip('-n', bob, 'link', 'del', 'eth0')
    expect(await ping({ to: '10.1.0.2', netns: alice, count: 2, intervalMs: 1, timeoutMs: 100 })).toMatchObject({
      received: 0,
    })
    const { user, system } = process.cpuUsage()
    await new Promise((done) => setTimeout(done, 500))
    const spent = process.cpuUsage({ user, system })
    expect((spent.user + spent.system) / 1000).toBeLessThan(150)
    Atomics.store(over, 0, 1)
    expect(await ended).toBe(0)
    expect(said[1]?.failed).toEqual([expect.stringMatching(/the device was deleted/)])
  })

  it('lets a worker thread be terminated, and its devices go with it', async () => {
    const before = descriptors()
    const { alice, worker } = await switchInWorker()
    await worker.terminate()
    expect(() => ip('-n', alice, 'link', 'show', 'eth0')).toThrow()
    expect(descriptors()).toBeLessThanOrEqual(before)
  })
})

describe('a worker thread', () => {
  it('may be terminated while it runs on its event loop', async () => {
    const netns = namespace()
    const before = descriptors()
    for (let i = 0; i < 3; i++) {
      const worker = workerOf('worker-event-loop.ts', { netns })
      await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))
      expect(ip('-n', netns, 'link', 'show', 'eth0')).toContain('UP')
      await worker.terminate()
      expect(() => ip('-n', netns, 'link', 'show', 'eth0')).toThrow()
    }
    expect(descriptors()).toBeLessThanOrEqual(before)
  })
})

describe('a pool for super-frames', () => {
  it('is shared by worker and owner: an arena in shared memory works as well', () => {
    const pool = new FramePool({ frames: 8, frameSize: MAX_FRAME, shared: true })
    using tap = TapPort.open(pool, { netns: namespace() })
    const batch = { frames: Uint32Array.of(frameOf(pool, FRAME)), length: 1 } as Batch
    tap.process(batch)
    expect(tap.counters.txFrames).toBe(1)
  })
})
