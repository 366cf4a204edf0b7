import { closeSync, fstatSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Drop, FramePool, Loop, MAX_FRAME, RealClock } from '@l2l3/switch-core'
import { runOnEventLoop, TapError, TapPort } from '@l2l3/tap-io'
import { describe, expect, it } from 'vitest'
import { native, OPEN_UP, STEPS } from '../src/native.ts'
import { netnsPath } from '../src/netns.ts'
import { EAGAIN, EBADFD, EINVAL, EIO, EMSGSIZE, ENOBUFS, ENODEV, ENOMEM, explain } from '../src/tap-error.ts'
import { dropFor, isGone } from '../src/write-status.ts'
import {
  descriptors,
  FROM_SOURCE,
  frameOf,
  ip,
  namespace,
  needsTun,
  receive,
  removeNamespace,
  run,
  send,
  until,
} from './lab.ts'

/* What goes wrong, and what is said and counted then. */
needsTun()

const FRAME = Buffer.concat([Buffer.from('ffffffffffff02000000000b88b5', 'hex'), Buffer.alloc(46)])

function failure(open: () => TapPort): TapError {
  try {
    open().close()
  } catch (error) {
    expect(error).toBeInstanceOf(TapError)
    return error as TapError
  }
  throw new Error('it was opened')
}

describe('a TAP that cannot be had', () => {
  const pool = new FramePool({ frames: 8 })

  it('says that the device is busy', () => {
    const netns = namespace()
    using _first = TapPort.open(pool, { name: 'eth0', netns })
    const error = failure(() => TapPort.open(pool, { name: 'eth0', netns }))
    expect(error).toMatchObject({ code: 'EBUSY', key: 'name', value: 'eth0' })
    expect(error.message).toMatch(/name "eth0": the device is in use by another program .*multiQueue.* \(EBUSY\)/)
  })

  it('says that the name belongs to a device of another kind', () => {
    const netns = namespace()
    const error = failure(() => TapPort.open(pool, { name: 'lo', netns }))
    expect(error).toMatchObject({ code: 'EINVAL', key: 'name', value: 'lo' })
    using _tun = TapPort.open(pool, { kind: 'tun', name: 'tun0', netns, multiQueue: true })
    expect(failure(() => TapPort.open(pool, { name: 'tun0', netns }))).toMatchObject({ code: 'EINVAL', key: 'name' })
  })

  it('says that the namespace is not there, or none', () => {
    const error = failure(() => TapPort.open(pool, { netns: 'tio-no-such' }))
    expect(error).toMatchObject({ code: 'ENOENT', key: 'netns', value: 'tio-no-such' })
    expect(error.message).toContain('ip netns add')
    expect(failure(() => TapPort.open(pool, { netns: '/etc/passwd' }))).toMatchObject({ code: 'EINVAL', key: 'netns' })
    expect(failure(() => TapPort.open(pool, { netns: 4_194_303 }))).toMatchObject({ code: 'ENOENT', key: 'netns' })
  })

  it('says which setting the kernel refused, and leaves no device behind', () => {
    const netns = namespace()
    const before = descriptors()
    // An MTU that the options do not let through.
    const refused = native().open(netnsPath(netns), 'eth0', OPEN_UP, null, Int32Array.of(65_535, 1, 0))
    expect(refused).toEqual({ step: STEPS.indexOf('mtu'), errno: EINVAL })
    expect(explain(refused)).toBe('the kernel refuses the MTU; a TAP takes 68 to 65521, a TUN to 65535')
    expect(() => ip('-n', netns, 'link', 'show', 'eth0')).toThrow()
    expect(descriptors()).toBe(before)
  })

  it('says so when it cannot be moved', () => {
    const [one, two] = [namespace(), namespace()]
    using here = TapPort.open(pool, { name: 'eth0', netns: one })
    using _there = TapPort.open(pool, { name: 'eth0', netns: two })
    expect(() => here.moveToNamespace(two)).toThrow(/target .*an interface of the same name .*EEXIST/)
    expect(() => here.moveToNamespace('tio-no-such')).toThrow(/ENOENT/)
    expect(() => here.moveToNamespace('/etc/passwd')).toThrow(/EINVAL/)
    expect(here.info().up).toBe(true)
  })

  const program = fileURLToPath(new URL('say-what-is-available.ts', import.meta.url))
  const say = async (...wrap: [string, ...string[]]) =>
    JSON.parse(await run(...wrap, process.execPath, ...FROM_SOURCE, program))

  it('says what is not allowed, and how it would be', async () => {
    const said = await say('setpriv', '--bounding-set=-all', '--inh-caps=-all')
    expect(said.addon).toEqual({ ok: true })
    expect(said.tun.reason).toMatch(/no permission to .*; run as root .*unshare -Urnm/)
    expect(said.open).toMatch(/name "tap%d": no permission to .*\(EPERM\)/)
  })

  it('says how to make /dev/net/tun where it is missing', async () => {
    const said = await say('unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh')
    expect(said.tun.reason).toMatch(/\/dev\/net\/tun is missing; make it: .*mknod \/dev\/net\/tun c 10 200/)
    expect(said.open).toContain('(ENOENT)')
  })

  it('is had by an ordinary user in a user namespace', async (context) => {
    const allowed = await run('unshare', '-Urnm', 'true').catch((error: Error) => error)
    if (allowed instanceof Error) context.skip(`user namespaces are not allowed here: ${allowed.message}`)
    expect(await say('unshare', '-Urnm')).toEqual({ addon: { ok: true }, tun: { ok: true }, open: 'opened' })
  })
})

describe('a TAP that goes wrong', () => {
  it('drops as PortDown while the interface is down, and lives on', () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 8 })
    using tap = TapPort.open(pool, { name: 'eth0', netns })
    tap.setUp(false)
    send(tap, frameOf(pool, FRAME), frameOf(pool, FRAME))
    expect(receive(tap)).toEqual([])
    expect(pool.report()).toMatchObject({ sent: 0, dropped: { PortDown: 2 }, balanced: true })
    expect(tap.counters.txDropped).toBe(2)
    expect(tap.failure).toBeNull()
    tap.setUp(true)
    send(tap, frameOf(pool, FRAME))
    expect(pool.report()).toMatchObject({ sent: 1, balanced: true })
  })

  it('drops runts and rows whose columns point outside their slot', () => {
    const pool = new FramePool({ frames: 8 })
    using tap = TapPort.open(pool, { netns: namespace() })
    send(tap, frameOf(pool, FRAME.subarray(0, 13)), frameOf(pool, FRAME.subarray(0, 0)))
    for (const [off, len] of [
      [0, 60],
      [0xffff_ffff, 60],
      [3 * pool.stride - 10, 60],
      [undefined, pool.stride],
      [undefined, 0xffff_ffff],
    ] as const) {
      const f = frameOf(pool, FRAME)
      if (off !== undefined) pool.off[f] = off === 0 && f === 0 ? pool.stride : off
      pool.len[f] = len
      send(tap, f)
    }
    expect(pool.report()).toMatchObject({ sent: 0, held: 0, dropped: { Runt: 2, Oversize: 5 }, balanced: true })
  })

  const endings: [what: string, code: string, says: RegExp, end: (tap: TapPort, netns: string) => void][] = [
    ['its device is deleted', 'EBADFD', /the device was deleted/, (_, netns) => ip('-n', netns, 'link', 'del', 'eth0')],
    [
      'the namespace that it was moved to is deleted',
      'EBADFD',
      /the device was deleted/,
      (tap) => {
        const other = namespace()
        tap.moveToNamespace(other)
        removeNamespace(other)
      },
    ],
  ]
  for (const [what, code, says, end] of endings) {
    it(`fails with a reason when ${what}: found by a read, by a write, by its owner`, async () => {
      for (const find of ['read', 'write', 'check'] as const) {
        const netns = namespace()
        const pool = new FramePool({ frames: 8 })
        const before = descriptors()
        const tap = TapPort.open(pool, { name: 'eth0', netns })
        end(tap, netns)
        await until(() => {
          if (find === 'read') receive(tap)
          if (find === 'write') send(tap, frameOf(pool, FRAME))
          if (find === 'check') tap.check()
          return tap.failure !== null
        })
        expect(tap.failure).toMatchObject({ code, key: 'port', value: 'eth0', message: expect.stringMatching(says) })
        expect(tap.fd).toBe(-1)
        send(tap, frameOf(pool, FRAME))
        expect(receive(tap)).toEqual([])
        expect(() => tap.setMtu(1400)).toThrow(/failed: .*ERR_PORT_CLOSED/)
        tap.close()
        tap.close()
        expect(pool.ledger.drops[Drop.PortError]).toBeGreaterThanOrEqual(1)
        expect(pool.report()).toMatchObject({ held: 0, balanced: true })
        expect(descriptors()).toBe(before)
      }
    })
  }

  it('fails when its descriptor is closed under it: found by its owner, and it works on until then', () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 8 })
    const before = descriptors()
    const tap = TapPort.open(pool, { name: 'eth0', netns })
    closeSync(tap.fd)
    send(tap, frameOf(pool, FRAME))
    expect(receive(tap)).toEqual([])
    expect(pool.report()).toMatchObject({ sent: 1, balanced: true })
    expect(tap.failure).toBeNull()
    tap.check()
    expect(tap.failure).toMatchObject({
      code: 'EBADF',
      key: 'port',
      value: 'eth0',
      message: expect.stringMatching(/closed under the port/),
    })
    expect(tap.fd).toBe(-1)
    send(tap, frameOf(pool, FRAME))
    expect(pool.ledger.drops[Drop.PortError]).toBe(1)
    expect(() => ip('-n', netns, 'link', 'show', 'eth0')).toThrow()
    tap.close()
    expect(descriptors()).toBe(before)
  })

  it("does not take another TAP for its own when that has got its descriptor's number", () => {
    const [alices, bobs] = [namespace(), namespace()]
    const pool = new FramePool({ frames: 8 })
    const a = TapPort.open(pool, { name: 'eth0', netns: alices, mac: '02:00:00:00:00:0a' })
    const { fd } = a
    closeSync(fd)
    using b = TapPort.open(pool, { name: 'eth0', netns: bobs, mac: '02:00:00:00:00:0b' })
    expect(b.fd).toBe(fd)
    // Each still speaks for itself: what is told one interface arrives there and at no other.
    a.setMtu(1300)
    expect([a.info().mac, a.info().mtu]).toEqual(['02:00:00:00:00:0a', 1300])
    expect([b.info().mac, b.info().mtu]).toEqual(['02:00:00:00:00:0b', 1500])
    send(a, frameOf(pool, FRAME), frameOf(pool, FRAME))
    const received = (netns: string) => JSON.parse(ip('-n', netns, '-s', '-j', 'link', 'show', 'eth0'))[0].stats64.rx
    expect([received(alices).packets, received(bobs).packets]).toEqual([2, 0])
    a.check()
    expect(a.failure).toMatchObject({ code: 'ENOTTY', message: expect.stringMatching(/is something else now/) })
    a.close()
    b.check()
    expect(b.failure).toBeNull()
    expect(b.info().mac).toBe('02:00:00:00:00:0b')
    expect(() => ip('-n', alices, 'link', 'show', 'eth0')).toThrow()
  })

  it('does not take another queue of its device for its own', () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 8 })
    const one = TapPort.open(pool, { name: 'eth0', netns, multiQueue: true })
    const { fd } = one
    closeSync(fd)
    using two = TapPort.open(pool, { name: 'eth0', netns, multiQueue: true })
    expect(two.fd).toBe(fd)
    one.check()
    expect(one.failure).toMatchObject({ code: 'ENOTTY' })
    two.check()
    expect(two.failure).toBeNull()
  })

  it('is taken out of a running loop when its device is deleted, without a spin; the others go on', async () => {
    const [home, gone, stays] = [namespace(), namespace(), namespace()]
    const pool = new FramePool({ frames: 64, frameSize: MAX_FRAME })
    const failed: string[] = []
    const loop = new Loop(pool, new RealClock(), {
      onPortFailed: (port, { message }) => failed.push(`${port.name} ${message}`),
    })
    const dying = TapPort.open(pool, { name: 'dying', netns: home })
    using living = TapPort.open(pool, { name: 'living', netns: stays })
    // One that the loop writes to and never reads: only the runner can notice its end.
    const written = TapPort.open(pool, { name: 'written', netns: home })
    for (const port of [dying, written]) port.moveToNamespace(gone)
    loop.add(dying, living)
    loop.add(living, written)
    const runner = runOnEventLoop(loop, [dying, living, written])
    await new Promise((done) => setTimeout(done, 50))
    removeNamespace(gone)
    await until(() => failed.length > 0 && written.failure !== null)
    const { user, system } = process.cpuUsage()
    await new Promise((done) => setTimeout(done, 500))
    const spent = process.cpuUsage({ user, system })
    expect(failed).toEqual([expect.stringMatching(/^dying .*the device was deleted/)])
    expect(loop.ports).toEqual([living])
    expect((spent.user + spent.system) / 1000).toBeLessThan(150)
    await runner.stop()
  })
})

describe('descriptors', () => {
  it('are given back: 100 ports opened and closed, and as many that could not be opened', () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 2 })
    const cycle = () => {
      TapPort.open(pool, { name: 'eth0', netns }).close()
      expect(() => TapPort.open(pool, { name: 'lo', netns })).toThrow()
    }
    cycle()
    const before = descriptors()
    for (let i = 0; i < 100; i++) cycle()
    expect(descriptors()).toBe(before)
  })

  it('are not closed twice: what got the number meanwhile stays open', () => {
    const pool = new FramePool({ frames: 2 })
    const tap = TapPort.open(pool, { name: 'eth0', netns: namespace() })
    const { fd } = tap
    closeSync(fd)
    const other = TapPort.open(pool, { name: 'eth1', netns: namespace(), up: false })
    expect(other.fd).toBe(fd)
    tap.close()
    other.check()
    expect(other.failure).toBeNull()
    other.close()
    const second = TapPort.open(pool, { name: 'eth0', netns: namespace() })
    const number = second.fd
    closeSync(number)
    const files = [openSync('/dev/null', 'r')]
    while ((files.at(-1) as number) < number) files.push(openSync('/dev/null', 'r'))
    expect(files.at(-1)).toBe(number)
    second.close()
    for (const file of files) {
      expect(fstatSync(file).isCharacterDevice()).toBe(true)
      closeSync(file)
    }
  })
})

describe('what a status means', () => {
  it('for the frame', () => {
    expect([EAGAIN, ENOBUFS, ENOMEM].map((errno) => dropFor(errno, false))).toEqual([
      Drop.PortFull,
      Drop.PortFull,
      Drop.PortFull,
    ])
    expect(dropFor(EIO, false)).toBe(Drop.PortDown)
    expect(dropFor(EMSGSIZE, false)).toBe(Drop.Oversize)
    expect([dropFor(EINVAL, true), dropFor(EINVAL, false)]).toEqual([Drop.BadOffload, Drop.Malformed])
    expect(dropFor(EBADFD, false)).toBe(Drop.PortError)
  })

  it('for the port', () => {
    expect([EBADFD, ENODEV].every(isGone)).toBe(true)
    expect([EAGAIN, ENOBUFS, ENOMEM, EIO, EINVAL].some(isGone)).toBe(false)
  })
})
