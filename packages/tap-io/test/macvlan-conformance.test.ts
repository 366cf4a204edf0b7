/**
 * The facts about macvlan, each run on ours and on the kernel's: the same frames in by the wire, the children and the
 * parent, the same expectation of who gets what.
 *
 * The kernel's children stand in a namespace, on a TAP whose file end is the wire and is held here. A child has no file
 * end: a netfilter rule forwards what a child receives to a TAP of its own, and what that TAP is given out by the child;
 * a further TAP is so put in front of the parent's way out. What reaches the parent's stack is counted, by the hook of ARP.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  Batch,
  FramePool,
  Loop,
  Macvlan,
  type MacvlanMode,
  MemoryPort,
  type Port,
  VirtualClock,
} from '@l2l3/switch-core'
import { afterEach, describe, expect, it } from 'vitest'
import { TapPort, tunAvailable } from '../src/index.ts'

const PARENT = '0e00000000ff'
/** MACs of the children, by number. */
const CHILD = ['02000000000a', '02000000000b', '02000000000c']
const OUTSIDE = '02000000eeee'
const ALL = 'ffffffffffff'
const GROUP = '01005e010203'

/** Who got a frame, and how often: `{ wire: 1, c0: 1, parent: 1 }`. */
type Got = Record<string, number>

interface World {
  /** Sends an ARP request from "wire", "parent", "c0", "c1" ...; gives who got it, unchanged. */
  send(from: string, dst: string, src: string): Promise<Got>
  /** Adds one more child; throws where that is refused. */
  add(mac: string, mode: MacvlanMode): void
  close(): void
}

const colons = (mac: string): string => mac.replace(/(..)(?!$)/g, '$1:')
const arp = (dst: string, src: string): string =>
  `${dst}${src}08060001080006040001${src}0a000001${'00'.repeat(6)}0a000002${'00'.repeat(18)}`

/** Counts who got the frame; that it is the same, byte for byte, is expected of all. */
function count(came: Record<string, string[]>, frame: string): Got {
  const got: Got = {}
  for (const [who, frames] of Object.entries(came)) {
    for (const f of frames) expect([who, f]).toEqual([who, frame])
    if (frames.length > 0) got[who] = frames.length
  }
  return got
}

function ours(modes: readonly MacvlanMode[]): World {
  const pool = new FramePool({ frames: 128 })
  const loop = new Loop(pool, new VirtualClock())
  const ports: Record<string, MemoryPort> = {}
  const plug = (name: string): MemoryPort => (ports[name] = new MemoryPort(pool, name))
  const wire = plug('wire')
  const macvlan = new Macvlan(loop, loop.link(wire), { parentMac: colons(PARENT) })
  const parent = plug('parent')
  macvlan.attachParent(loop.link(parent))
  loop.add(wire, macvlan.ingress)
  loop.add(parent, macvlan.fromParent)
  const add = (mac: string, mode: MacvlanMode): void => {
    const port = new MemoryPort(pool, mac)
    const child = macvlan.addChild(loop.link(port), { mac: colons(mac), mode })
    ports[`c${child.index}`] = port
    loop.add(port, child)
  }
  for (const [i, mode] of modes.entries()) add(CHILD[i] as string, mode)
  return {
    async send(from, dst, src) {
      const frame = arp(dst, src)
      ports[from]?.inject(Buffer.from(frame, 'hex'))
      loop.settle()
      const came = Object.entries(ports).map(([who, p]) => [who, p.takeAll().map((b) => b.toString('hex'))])
      expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
      return count(Object.fromEntries(came), frame)
    },
    add,
    close() {
      for (const port of Object.values(ports)) port.close()
    },
  }
}

let serial = 0

function kernels(modes: readonly MacvlanMode[]): World {
  const netns = `l2l3-mv-${process.pid}-${serial++}`
  const run = (...args: string[]): string =>
    execFileSync('ip', ['netns', 'exec', netns, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  execFileSync('ip', ['netns', 'add', netns])
  const pool = new FramePool({ frames: 512 })
  const taps: Record<string, TapPort> = {}
  let children = 0
  const close = (): void => {
    for (const tap of Object.values(taps)) tap.close()
    spawnSync('ip', ['netns', 'del', netns])
  }
  const add = (mac: string, mode: MacvlanMode): void => {
    const i = children
    // In passthru mode the child has the parent's MAC, and changing it changes the parent's.
    const address = mode === 'passthru' ? [] : ['address', colons(mac)]
    run('ip', 'link', 'add', `c${i}`, 'link', 'wire', ...address, 'type', 'macvlan', 'mode', mode)
    children++
    run('ip', 'link', 'set', `c${i}`, 'up', 'allmulticast', 'on')
    taps[`c${i}`] = TapPort.open(pool, { name: `t${i}`, netns })
    run('nft', `add chain netdev l2l3 c${i} { type filter hook ingress device c${i} priority 0; }`)
    run('nft', `add rule netdev l2l3 c${i} fwd to t${i}`)
    run('nft', `add chain netdev l2l3 t${i} { type filter hook ingress device t${i} priority 0; }`)
    run('nft', `add rule netdev l2l3 t${i} fwd to c${i}`)
  }
  const parentsCount = (): number => {
    const text = run('nft', 'list', 'table', 'arp', 'l2l3')
    return Number(/counter packets (\d+)/.exec(text)?.[1])
  }
  try {
    run('sh', '-c', 'for i in all default; do echo 1 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done')
    taps.wire = TapPort.open(pool, { name: 'wire', netns, mac: colons(PARENT) })
    taps.parent = TapPort.open(pool, { name: 'tp', netns })
    run('nft', 'add table netdev l2l3')
    run('nft', 'add chain netdev l2l3 tp { type filter hook ingress device tp priority 0; }')
    run('nft', 'add rule netdev l2l3 tp fwd to wire')
    run('nft', 'add table arp l2l3')
    run('nft', 'add chain arp l2l3 parent { type filter hook input priority 0; }')
    run('nft', 'add rule arp l2l3 parent iifname wire counter drop')
    for (const [i, mode] of modes.entries()) add(CHILD[i] as string, mode)
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
    async send(from, dst, src) {
      const frame = arp(dst, src)
      const before = parentsCount()
      const f = pool.from(Buffer.from(frame, 'hex'))
      pool.ledger.originate(1)
      batch.push(f as never)
      taps[from]?.process(batch)
      const came: Record<string, string[]> = {}
      for (let quiet = 0; quiet < 4; quiet++) {
        await sleep(3)
        for (const [who, tap] of Object.entries(taps)) {
          const frames = drain(tap)
          if (frames.length > 0) quiet = -1
          came[who] = [...(came[who] ?? []), ...frames]
        }
      }
      const got = count(came, frame)
      const parents = parentsCount() - before
      return parents > 0 ? { ...got, parent: parents } : got
    },
    add,
    close,
  }
}

const tun = tunAvailable()
const nft = spawnSync('nft', ['--version']).status === 0
const why =
  process.getuid?.() !== 0 ? 'needs root (namespaces, TAP)' : !tun.ok ? tun.reason : nft ? '' : 'nft is not installed'
const worlds = [
  { world: 'ours', make: ours, skip: '' },
  { world: "the kernel's", make: kernels, skip: why },
]
const [A, B] = CHILD as [string, string, string]

describe.each(worlds)('$world macvlan', ({ make, skip }) => {
  let world: World | undefined
  afterEach(() => {
    world?.close()
    world = undefined
  })
  const fact = (name: string, run: (make: (...modes: MacvlanMode[]) => World) => Promise<void>): void => {
    it(name, async (context) => {
      if (skip) context.skip(skip)
      await run((...modes) => (world = make(modes)))
    })
  }

  fact('bridge: siblings reach each other straight, the outside by the wire, the parent not at all', async (make) => {
    const m = make('bridge', 'bridge')
    expect(await m.send('c0', B, A)).toEqual({ c1: 1 })
    expect(await m.send('c0', A, A)).toEqual({ c0: 1 })
    expect(await m.send('c0', OUTSIDE, A)).toEqual({ wire: 1 })
    expect(await m.send('c0', PARENT, A)).toEqual({ wire: 1 })
    expect(await m.send('parent', A, PARENT)).toEqual({ wire: 1 })
  })

  fact('private, vepa: siblings are reached by the wire only', async (make) => {
    const m = make('private', 'private')
    expect(await m.send('c0', B, A)).toEqual({ wire: 1 })
    world?.close()
    const v = make('vepa', 'vepa')
    expect(await v.send('c0', B, A)).toEqual({ wire: 1 })
    // The switch outside reflects it.
    expect(await v.send('wire', B, A)).toEqual({ c1: 1 })
  })

  fact('from the wire: by destination MAC, to the parent what is its own, nothing else', async (make) => {
    const m = make('bridge', 'private', 'vepa')
    expect(await m.send('wire', A, OUTSIDE)).toEqual({ c0: 1 })
    expect(await m.send('wire', B, OUTSIDE)).toEqual({ c1: 1 })
    expect(await m.send('wire', CHILD[2] as string, OUTSIDE)).toEqual({ c2: 1 })
    expect(await m.send('wire', PARENT, OUTSIDE)).toEqual({ parent: 1 })
    expect(await m.send('wire', '02000000dddd', OUTSIDE)).toEqual({})
  })

  fact('a broadcast from the wire: all children and the parent', async (make) => {
    const m = make('bridge', 'private', 'vepa')
    expect(await m.send('wire', ALL, OUTSIDE)).toEqual({ c0: 1, c1: 1, c2: 1, parent: 1 })
    expect(await m.send('wire', GROUP, OUTSIDE)).toEqual({ c0: 1, c1: 1, c2: 1, parent: 1 })
  })

  fact(
    'a broadcast of a child: bridge siblings and the wire; of a private or vepa child the wire only',
    async (make) => {
      const m = make('bridge', 'bridge', 'vepa')
      expect(await m.send('c0', ALL, A)).toEqual({ c1: 1, wire: 1 })
      expect(await m.send('c2', ALL, CHILD[2] as string)).toEqual({ wire: 1 })
      world?.close()
      const p = make('private', 'private')
      expect(await p.send('c0', ALL, A)).toEqual({ wire: 1 })
      expect(await p.send('c0', GROUP, A)).toEqual({ wire: 1 })
    },
  )

  fact('a broadcast of the parent: the wire only', async (make) => {
    const m = make('bridge', 'bridge')
    expect(await m.send('parent', ALL, PARENT)).toEqual({ wire: 1 })
  })

  fact('a broadcast that comes back: who has had it gets it no more', async (make) => {
    const m = make('bridge', 'bridge', 'vepa')
    expect(await m.send('wire', ALL, A)).toEqual({ c2: 1, parent: 1 })
    expect(await m.send('wire', ALL, CHILD[2] as string)).toEqual({ c0: 1, c1: 1, parent: 1 })
  })

  fact('a broadcast of a private child that comes back: its sender’s alone', async (make) => {
    const m = make('private', 'private', 'bridge')
    expect(await m.send('wire', ALL, A)).toEqual({ c0: 1 })
    // What is sent to one MAC is not looked at for where it came from.
    expect(await m.send('wire', B, A)).toEqual({ c1: 1 })
  })

  fact('unlike modes do not meet: a bridge child reaches a private or vepa one by the wire', async (make) => {
    const m = make('bridge', 'private', 'vepa')
    expect(await m.send('c0', B, A)).toEqual({ wire: 1 })
    expect(await m.send('c0', CHILD[2] as string, A)).toEqual({ wire: 1 })
    expect(await m.send('c1', A, B)).toEqual({ wire: 1 })
  })

  fact('passthru: one child has all unicast, whatever the MAC; a second one is refused', async (make) => {
    const m = make('passthru')
    expect(await m.send('wire', OUTSIDE, A)).toEqual({ c0: 1 })
    expect(await m.send('wire', PARENT, OUTSIDE)).toEqual({ c0: 1 })
    expect(await m.send('wire', ALL, OUTSIDE)).toEqual({ c0: 1, parent: 1 })
    expect(await m.send('c0', OUTSIDE, '020000000123')).toEqual({ wire: 1 })
    expect(() => m.add(B, 'passthru')).toThrow()
    expect(() => m.add(B, 'bridge')).toThrow()
  })

  fact('a MAC is one child’s, and not the parent’s', async (make) => {
    const m = make('bridge')
    expect(() => m.add(A, 'bridge')).toThrow()
    expect(() => m.add(PARENT, 'bridge')).toThrow()
  })
})
