/**
 * The facts about a learning switch, each run on ours and on the kernel's bridge: the same frames in by the same ports,
 * the same expectation of what comes out where. The kernel's bridge stands in a namespace of its own, with a TAP for each
 * port whose other end is held here.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Batch, FramePool, Loop, MemoryPort, type Port, SECOND, Switch, VirtualClock } from '@l2l3/switch-core'
import { afterEach, describe, expect, it } from 'vitest'
import { TapPort, tunAvailable } from '../src/index.ts'

interface PortSettings {
  hairpin?: boolean
  isolated?: boolean
  learning?: boolean
  unknownUnicastFlood?: boolean
  multicastFlood?: boolean
  broadcastFlood?: boolean
}

interface Bridge {
  send(port: number, ...frames: string[]): Promise<Record<number, string[]>>
  set(port: number, settings: PortSettings): void
  addStatic(mac: string, port: number, sticky?: boolean): void
  /** Learnt unicast addresses: "mac port". */
  fdb(): string[]
  wait(seconds: number): Promise<void>
  close(): void
}

interface BridgeOptions {
  ports: number
  /** Seconds. */
  ageing?: number
  groupForwardMask?: number
}

function collect(ports: readonly string[][]): Record<number, string[]> {
  return Object.fromEntries(ports.map((frames, i) => [i, frames] as const).filter(([, frames]) => frames.length > 0))
}

function ours({ ports, ageing, groupForwardMask }: BridgeOptions): Bridge {
  const pool = new FramePool({ frames: 128 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const sw = new Switch(pool, clock, { ageing: ageing ?? 300, groupForwardMask: groupForwardMask ?? 0 })
  loop.every(SECOND, sw)
  const outside = Array.from({ length: ports }, (_, i) => new MemoryPort(pool, `p${i}`))
  const inside = outside.map((port) => sw.addPort(loop.link(port)))
  for (const [i, port] of outside.entries()) loop.add(port, inside[i]!)
  return {
    async send(i, ...frames) {
      for (const frame of frames) outside[i]?.inject(Buffer.from(frame, 'hex'))
      loop.settle()
      const out = collect(outside.map((p) => p.takeAll().map((b) => b.toString('hex'))))
      expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
      return out
    },
    set: (i, settings) => inside[i]?.set(settings),
    addStatic: (mac, i, sticky) => sw.addStatic(mac, inside[i]!, 0, sticky ? 'sticky' : 'static'),
    fdb: () => [...sw.fdb.list()].map((e) => `${e.mac} ${e.port}`).sort(),
    async wait(seconds) {
      for (let i = 0; i < seconds * 10; i++) {
        clock.advance(SECOND / 10)
        loop.turn()
      }
    },
    close() {
      for (const port of outside) port.close()
    },
  }
}

let serial = 0

function kernels({ ports, ageing, groupForwardMask }: BridgeOptions): Bridge {
  const netns = `l2l3-kb-${process.pid}-${serial++}`
  const run = (...args: string[]): string => execFileSync('ip', ['netns', 'exec', netns, ...args], { encoding: 'utf8' })
  execFileSync('ip', ['netns', 'add', netns])
  const pool = new FramePool({ frames: 512 })
  const taps: TapPort[] = []
  const close = (): void => {
    for (const tap of taps) tap.close()
    spawnSync('ip', ['netns', 'del', netns])
  }
  try {
    // No neighbour discovery and no group reports of the bridge's own between the frames.
    run('sh', '-c', 'for i in all default; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done')
    const type = ['type', 'bridge', 'mcast_snooping', '0', 'ageing_time', String((ageing ?? 300) * 100)]
    run('ip', 'link', 'add', 'br0', 'address', '0e:00:00:00:00:ff', ...type)
    if (groupForwardMask) run('sh', '-c', `echo ${groupForwardMask} > /sys/class/net/br0/bridge/group_fwd_mask`)
    run('ip', 'link', 'set', 'br0', 'up')
    for (let i = 0; i < ports; i++) {
      taps.push(TapPort.open(pool, { name: `p${i}`, netns, mac: `0e:00:00:00:00:0${i}` }))
      run('ip', 'link', 'set', `p${i}`, 'master', 'br0')
    }
  } catch (error) {
    close()
    throw error
  }
  const batch = new Batch()
  const drain = (tap: Port): string[] => {
    const frames: string[] = []
    for (;;) {
      tap.receive(batch)
      if (batch.length === 0) return frames
      for (const f of batch.frames.subarray(0, batch.length)) {
        frames.push(pool.view(f as never).toString('hex'))
        pool.sent(f as never)
      }
      batch.length = 0
    }
  }
  return {
    async send(i, ...frames) {
      for (const frame of frames) {
        const f = pool.from(Buffer.from(frame, 'hex'))
        pool.ledger.originate(1)
        batch.push(f as never)
        taps[i]?.process(batch)
      }
      const out: string[][] = taps.map(() => [])
      // The kernel forwards in a soft interrupt: wait until nothing has come for a while.
      for (let quiet = 0; quiet < 4; quiet++) {
        await sleep(3)
        for (const [j, tap] of taps.entries()) {
          const came = drain(tap)
          if (came.length > 0) quiet = -1
          out[j]?.push(...came)
        }
      }
      return collect(out)
    },
    set(i, s) {
      const on = (value: boolean): string => (value ? 'on' : 'off')
      const words: string[] = []
      if (s.hairpin !== undefined) words.push('hairpin', on(s.hairpin))
      if (s.isolated !== undefined) words.push('isolated', on(s.isolated))
      if (s.learning !== undefined) words.push('learning', on(s.learning))
      if (s.unknownUnicastFlood !== undefined) words.push('flood', on(s.unknownUnicastFlood))
      if (s.multicastFlood !== undefined) words.push('mcast_flood', on(s.multicastFlood))
      if (s.broadcastFlood !== undefined) words.push('bcast_flood', on(s.broadcastFlood))
      run('bridge', 'link', 'set', 'dev', `p${i}`, ...words)
    },
    addStatic(mac, i, sticky) {
      run('bridge', 'fdb', 'add', mac, 'dev', `p${i}`, 'master', 'static', ...(sticky ? ['sticky'] : []))
    },
    fdb() {
      const rows = JSON.parse(run('bridge', '-j', 'fdb', 'show', 'br', 'br0')) as {
        mac: string
        ifname: string
        state?: string
        flags?: string[]
      }[]
      return rows
        .filter((r) => r.state !== 'permanent' && !r.flags?.includes('self'))
        .map((r) => `${r.mac} ${r.ifname.slice(1)}`)
        .sort()
    },
    wait: (seconds) => sleep(seconds * 1000),
    close,
  }
}

const tun = tunAvailable()
const why = process.getuid?.() !== 0 ? 'needs root (namespaces, TAP)' : tun.ok ? '' : tun.reason
const worlds = [
  { world: 'ours', make: ours, skip: '' },
  { world: "the kernel's", make: kernels, skip: why },
]

const A = '02000000000a'
const B = '02000000000b'
const C = '02000000000c'
const ALL = 'ffffffffffff'
const GROUP = '01005e010203'
const f = (dst: string, src: string, payload = '88b5c0ffee'): string => dst + src + payload + '00'.repeat(43)
const tagged = (dst: string, src: string, tci: string): string => f(dst, src, `8100${tci}88b5c0ffee`)
const keys = (out: object): string => Object.keys(out).join(' ')

describe.each(worlds)('$world bridge', ({ make, skip }) => {
  let bridge: Bridge | undefined
  afterEach(() => {
    bridge?.close()
    bridge = undefined
  })
  const fact = (name: string, run: (make: (o: BridgeOptions) => Bridge) => Promise<void>): void => {
    it(name, async (context) => {
      if (skip) context.skip(skip)
      await run((o) => (bridge = make(o)))
    })
  }

  fact('floods the unknown, then forwards to where the address was heard', async (make) => {
    const br = make({ ports: 3 })
    expect(await br.send(0, f(B, A))).toEqual({ 1: [f(B, A)], 2: [f(B, A)] })
    expect(await br.send(1, f(A, B))).toEqual({ 0: [f(A, B)] })
    expect(await br.send(0, f(B, A))).toEqual({ 1: [f(B, A)] })
    expect(br.fdb()).toEqual(['02:00:00:00:00:0a 0', '02:00:00:00:00:0b 1'])
  })

  fact('floods broadcast and multicast to all but the port they came from', async (make) => {
    const br = make({ ports: 3 })
    expect(await br.send(0, f(ALL, A))).toEqual({ 1: [f(ALL, A)], 2: [f(ALL, A)] })
    expect(await br.send(1, f(GROUP, B))).toEqual({ 0: [f(GROUP, B)], 2: [f(GROUP, B)] })
  })

  fact('moves a station at once', async (make) => {
    const br = make({ ports: 3 })
    await br.send(0, f(ALL, A))
    await br.send(2, f(ALL, A))
    expect(keys(await br.send(1, f(A, B)))).toBe('2')
  })

  fact('drops and does not learn group and zero sources', async (make) => {
    const br = make({ ports: 2 })
    expect(await br.send(0, f(B, GROUP), f(B, ALL), f(B, '000000000000'))).toEqual({})
    expect(br.fdb()).toEqual([])
  })

  fact('forgets an address that has not been heard for the ageing time', async (make) => {
    const br = make({ ports: 3, ageing: 1 })
    await br.send(0, f(ALL, A))
    expect(keys(await br.send(1, f(A, B)))).toBe('0')
    await br.wait(2.5)
    expect(keys(await br.send(1, f(A, B)))).toBe('0 2')
  })

  fact('sends nothing back to its port, unless hairpin is on', async (make) => {
    const br = make({ ports: 2 })
    await br.send(0, f(ALL, A), f(ALL, B))
    expect(await br.send(0, f(B, A))).toEqual({})
    br.set(0, { hairpin: true })
    expect(keys(await br.send(0, f(B, A)))).toBe('0')
    expect(keys(await br.send(0, f(ALL, A)))).toBe('0 1')
  })

  fact('ends 01-80-C2-00-00-01..0F, floods ..00 and from ..10 on', async (make) => {
    const br = make({ ports: 2 })
    for (let x = 0; x <= 0x11; x++) {
      const dst = `0180c20000${x.toString(16).padStart(2, '0')}`
      expect([x, keys(await br.send(0, f(dst, A)))]).toEqual([x, x === 0 || x >= 0x10 ? '1' : ''])
    }
  })

  fact('forwards reserved groups that the mask names (LLDP)', async (make) => {
    const br = make({ ports: 2, groupForwardMask: 1 << 0xe })
    expect(keys(await br.send(0, f('0180c200000e', A)))).toBe('1')
    expect(keys(await br.send(0, f('0180c200000d', A)))).toBe('')
  })

  fact('learns from frames to reserved groups', async (make) => {
    const br = make({ ports: 3 })
    await br.send(0, f('0180c200000e', A))
    expect(keys(await br.send(1, f(A, B)))).toBe('0')
  })

  fact('does not look at VLAN tags: forwarded unchanged, whatever is in them', async (make) => {
    const br = make({ ports: 2 })
    for (const tci of ['0005', '6fff', '0000']) {
      expect(await br.send(0, tagged(ALL, A, tci))).toEqual({ 1: [tagged(ALL, A, tci)] })
    }
    expect(keys(await br.send(1, tagged(A, B, '0007')))).toBe('0')
  })

  fact('keeps a static entry past the ageing time', async (make) => {
    const br = make({ ports: 3, ageing: 1 })
    br.addStatic('02:00:00:00:00:0a', 0)
    await br.wait(2.5)
    expect(keys(await br.send(1, f(A, B)))).toBe('0')
  })

  fact('keeps a sticky static entry on its port, and forwards what comes from elsewhere', async (make) => {
    const br = make({ ports: 3 })
    br.addStatic('02:00:00:00:00:0a', 0, true)
    expect(keys(await br.send(2, f(C, A)))).toBe('0 1')
    expect(keys(await br.send(1, f(A, B)))).toBe('0')
  })

  fact('keeps isolated ports apart', async (make) => {
    const br = make({ ports: 3 })
    br.set(0, { isolated: true })
    br.set(1, { isolated: true })
    expect(keys(await br.send(0, f(ALL, A)))).toBe('2')
    expect(keys(await br.send(1, f(A, B)))).toBe('')
    expect(keys(await br.send(2, f(A, C)))).toBe('0')
  })

  fact('does not learn where learning is off', async (make) => {
    const br = make({ ports: 3 })
    br.set(0, { learning: false })
    await br.send(0, f(ALL, A))
    expect(keys(await br.send(1, f(A, B)))).toBe('0 2')
  })

  fact('floods each kind only where it is on', async (make) => {
    const br = make({ ports: 4 })
    br.set(1, { unknownUnicastFlood: false })
    br.set(2, { multicastFlood: false })
    br.set(3, { broadcastFlood: false })
    expect(keys(await br.send(0, f(B, A)))).toBe('2 3')
    expect(keys(await br.send(0, f(GROUP, A)))).toBe('1 3')
    expect(keys(await br.send(0, f(ALL, A)))).toBe('1 2')
  })

  fact('does not pad: a frame of 42 bytes leaves as 42 bytes', async (make) => {
    const br = make({ ports: 2 })
    const arp = `${ALL}${A}08060001080006040001${A}0a000001${'00'.repeat(6)}0a000002`
    expect(await br.send(0, arp)).toEqual({ 1: [arp] })
  })
})

// Where the two differ on purpose: 802.1Q's static entries are not changed by learning (8.8.1), and ours are not. Linux'
// move, unless they are sticky as well.
describe('a static entry whose address is heard elsewhere', () => {
  it.for(worlds)('$world bridge', async ({ world, make, skip }, context) => {
    if (skip) context.skip(skip)
    const br = make({ ports: 3 })
    try {
      br.addStatic('02:00:00:00:00:0a', 0)
      expect(keys(await br.send(2, f(C, A)))).toBe('0 1')
      expect(keys(await br.send(1, f(A, B)))).toBe(world === 'ours' ? '0' : '2')
    } finally {
      br.close()
    }
  })
})
