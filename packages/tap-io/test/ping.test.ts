import { FramePool, Loop, MAX_FRAME, RealClock } from '@l2l3/switch-core'
import { ping, runOnEventLoop, TapPort } from '@l2l3/tap-io'
import { describe, expect, it } from 'vitest'
import { descriptors, ip, namespace, needsTun } from './lab.ts'

/* Alice and Bob in namespaces, a cable of two TAPs between them, and the echo client asking from Alice's. */
needsTun()

function cable() {
  const [alice, bob] = [namespace(), namespace()]
  const pool = new FramePool({ frames: 64, frameSize: MAX_FRAME })
  const ends = [alice, bob].map((netns) => {
    ip(
      'netns',
      'exec',
      netns,
      'sh',
      '-c',
      'for i in all default; do echo 0 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done',
    )
    return TapPort.open(pool, { name: 'eth0', netns })
  }) as [TapPort, TapPort]
  for (const [i, netns] of [alice, bob].entries()) {
    ip('-n', netns, 'addr', 'add', `10.1.0.${i + 1}/24`, 'dev', 'eth0')
    ip('-n', netns, 'addr', 'add', `fd00::${i + 1}/64`, 'dev', 'eth0', 'nodad')
    ip('-n', netns, 'addr', 'add', `fe80::${i + 1}/64`, 'dev', 'eth0', 'nodad')
  }
  const loop = new Loop(pool, new RealClock())
  loop.add(ends[0], ends[1])
  loop.add(ends[1], ends[0])
  const runner = runOnEventLoop(loop, ends)
  return {
    alice,
    bob,
    pool,
    async [Symbol.asyncDispose]() {
      await runner.stop()
      for (const end of ends) end.close()
    },
  }
}

describe('ping', () => {
  for (const to of ['10.1.0.2', 'fd00::2', 'fe80::2%eth0']) {
    it(`gets every answer of ${to} across the cable, through one event loop`, async () => {
      await using line = cable()
      const before = descriptors()
      const { sent, received, rttMs } = await ping({ to, netns: line.alice, count: 5, intervalMs: 10 })
      expect({ sent, received }).toEqual({ sent: 5, received: 5 })
      expect(rttMs).toHaveLength(5)
      for (const ms of rttMs) {
        expect(ms).toBeGreaterThan(0)
        expect(ms).toBeLessThan(1000)
      }
      expect(line.pool.ledger.sent).toBeGreaterThanOrEqual(10)
      expect(descriptors()).toBe(before)
    })
  }

  it('counts as lost what nobody answers', async () => {
    await using line = cable()
    const asked = { netns: line.alice, count: 3, intervalMs: 5, timeoutMs: 50 }
    expect(await ping({ ...asked, to: '10.1.0.77' })).toEqual({ sent: 3, received: 0, rttMs: [] })
    expect(await ping({ ...asked, to: 'fd00::77' })).toEqual({ sent: 3, received: 0, rttMs: [] })
  })

  it('does not take the answers of another for its own', async () => {
    await using line = cable()
    const asked = { netns: line.alice, to: '10.1.0.2', count: 20, intervalMs: 1 }
    const all = await Promise.all([ping(asked), ping(asked), ping(asked)])
    for (const { sent, received } of all) expect({ sent, received }).toEqual({ sent: 20, received: 20 })
  })

  it('says what is missing: a namespace, a route, an interface', async () => {
    const netns = namespace()
    await expect(ping({ to: '10.1.0.2', netns: 'tio-no-such' })).rejects.toThrow(/netns .*ENOENT/)
    await expect(ping({ to: '10.1.0.2', netns })).rejects.toThrow(/to "10.1.0.2": no route leads there .*ENETUNREACH/)
    await expect(ping({ to: '10.1.0.2', netns, device: 'eth9' })).rejects.toThrow(/device "eth9": .*ENODEV/)
    await expect(ping({ to: 'fe80::1', netns })).rejects.toThrow(/device/)
  })
})
