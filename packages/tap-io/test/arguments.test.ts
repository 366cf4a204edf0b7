import { FramePool, Loop, MAX_FRAME, VirtualClock } from '@l2l3/switch-core'
import { ping, runBlocking, runOnEventLoop, TapError, type TapOptions, TapPort } from '@l2l3/tap-io'
import { describe, expect, it } from 'vitest'
import { netnsPath } from '../src/netns.ts'

/* What is refused before the kernel is asked: needs neither root nor TAPs. */

const small = new FramePool({ frames: 4 })

describe('options of a TAP', () => {
  const wrong: [options: Record<string, unknown>, code: string, key: string, says: RegExp][] = [
    [{ name: '' }, 'ERR_INVALID_ARG_VALUE', 'name', /1 to 15 bytes/],
    [{ name: 'sixteen-bytes-xx' }, 'ERR_INVALID_ARG_VALUE', 'name', /1 to 15 bytes/],
    [{ name: 'ärgerärgerärger' }, 'ERR_INVALID_ARG_VALUE', 'name', /1 to 15 bytes/],
    [{ name: 'a/b' }, 'ERR_INVALID_ARG_VALUE', 'name', /slash/],
    [{ name: 'a b' }, 'ERR_INVALID_ARG_VALUE', 'name', /white space/],
    [{ name: 'a\0b' }, 'ERR_INVALID_ARG_VALUE', 'name', /white space/],
    [{ name: '..' }, 'ERR_INVALID_ARG_VALUE', 'name', /not a name/],
    [{ name: 'tap%s' }, 'ERR_INVALID_ARG_VALUE', 'name', /%d/],
    [{ name: 'tap%d%d' }, 'ERR_INVALID_ARG_VALUE', 'name', /%d/],
    [{ name: 7 }, 'ERR_INVALID_ARG_TYPE', 'name', /string/],
    [{ kind: 'veth' }, 'ERR_INVALID_ARG_VALUE', 'kind', /'tap' or 'tun'/],
    [{ persist: 1 }, 'ERR_INVALID_ARG_TYPE', 'persist', /true or false/],
    [{ multiQueue: 'yes' }, 'ERR_INVALID_ARG_TYPE', 'multiQueue', /true or false/],
    [{ offloads: 1 }, 'ERR_INVALID_ARG_TYPE', 'offloads', /true or false/],
    [{ offloads: true }, 'ERR_INVALID_ARG_VALUE', 'offloads', /frameSize of 65553.*this one has 1918/],
    [{ up: 'up' }, 'ERR_INVALID_ARG_TYPE', 'up', /true or false/],
    [{ mac: '02:00:00:00:00' }, 'ERR_INVALID_ARG_VALUE', 'mac', /MAC address/],
    [{ mac: '03:00:00:00:00:01' }, 'ERR_INVALID_ARG_VALUE', 'mac', /group address/],
    [{ mac: '00:00:00:00:00:00' }, 'ERR_INVALID_ARG_VALUE', 'mac', /zero/],
    [{ mac: '02:00:00:00:00:01', kind: 'tun' }, 'ERR_INVALID_ARG_VALUE', 'mac', /TUN/],
    [{ mtu: 67 }, 'ERR_OUT_OF_RANGE', 'mtu', /68 to 65521/],
    [{ mtu: 1500.5 }, 'ERR_OUT_OF_RANGE', 'mtu', /68 to 65521/],
    [{ mtu: Number.NaN }, 'ERR_OUT_OF_RANGE', 'mtu', /68 to 65521/],
    [{ mtu: 65_522 }, 'ERR_OUT_OF_RANGE', 'mtu', /68 to 65521/],
    [{ mtu: 65_536, kind: 'tun' }, 'ERR_OUT_OF_RANGE', 'mtu', /68 to 65535/],
    [{ queueLength: 0 }, 'ERR_OUT_OF_RANGE', 'queueLength', /1 to 10000/],
    [{ queueLength: 10_001 }, 'ERR_OUT_OF_RANGE', 'queueLength', /1 to 10000/],
    [{ queueLength: '200' }, 'ERR_OUT_OF_RANGE', 'queueLength', /1 to 10000/],
    [{ netns: 'a/b' }, 'ERR_INVALID_ARG_VALUE', 'netns', /neither/],
    [{ netns: '..' }, 'ERR_INVALID_ARG_VALUE', 'netns', /neither/],
    [{ netns: '' }, 'ERR_INVALID_ARG_VALUE', 'netns', /neither/],
    [{ netns: 0 }, 'ERR_INVALID_ARG_VALUE', 'netns', /process id/],
    [{ netns: 1.5 }, 'ERR_INVALID_ARG_VALUE', 'netns', /process id/],
    [{ netns: `/${'x'.repeat(4096)}` }, 'ERR_INVALID_ARG_VALUE', 'netns', /4000 bytes/],
    [{ netns: {} }, 'ERR_INVALID_ARG_TYPE', 'netns', /name, a path or a process id/],
    [{ mtuu: 1500 }, 'ERR_INVALID_ARG_VALUE', 'mtuu', /not an option/],
  ]
  for (const [options, code, key, says] of wrong) {
    it(`refuses ${JSON.stringify(options).slice(0, 60)}`, () => {
      let error: unknown
      try {
        TapPort.open(small, options as TapOptions).close()
      } catch (caught) {
        error = caught
      }
      expect(error).toBeInstanceOf(TapError)
      expect(error).toMatchObject({ code, key, value: options[key], message: expect.stringMatching(says) })
      expect((error as TapError).message).toContain(key)
    })
  }
})

describe('a namespace', () => {
  it('is known by name, path or process', () => {
    expect(netnsPath('blue')).toBe('/run/netns/blue')
    expect(netnsPath('/proc/self/ns/net')).toBe('/proc/self/ns/net')
    expect(netnsPath(42)).toBe('/proc/42/ns/net')
  })
})

describe('a runner', () => {
  const loop = new Loop(new FramePool({ frames: 4, frameSize: MAX_FRAME }), new VirtualClock())

  it('refuses ports without a descriptor', () => {
    const closed = { fd: -1 }
    expect(() => runOnEventLoop(loop, [closed])).toThrow(/fd -1: is not an open descriptor/)
    expect(() => runBlocking(loop, [closed], { until: () => true })).toThrow(/fd -1/)
    expect(() => runOnEventLoop(loop, [{ fd: 1_000_000 }])).toThrow(/EBADF/)
  })

  it('refuses settings out of range', () => {
    expect(() => runOnEventLoop(loop, [], { budgetMicros: 1 })).toThrow(/budgetMicros .* 10 to 100000, not 1/)
    expect(() => runBlocking(loop, [], { spinMicros: -1, until: () => true })).toThrow(/spinMicros/)
    expect(() => runBlocking(loop, [], { until: 5 as never })).toThrow(/until/)
  })
})

describe('ping', () => {
  it('refuses what is no address, count or time', async () => {
    await expect(ping({ to: 'localhost' })).rejects.toThrow(/to "localhost": is not an IP address/)
    await expect(ping({ to: '::1', family: 4 })).rejects.toThrow(/family 4: ::1 is an IPv6 address/)
    await expect(ping({ to: '127.0.0.1', count: 0 })).rejects.toThrow(/count 0/)
    await expect(ping({ to: '127.0.0.1', intervalMs: -1 })).rejects.toThrow(/intervalMs -1/)
    await expect(ping({ to: '127.0.0.1', device: 'a/b' })).rejects.toThrow(/device "a\/b"/)
  })
})
