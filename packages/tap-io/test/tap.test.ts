import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { Drop, FramePool, Loop, MAX_FRAME, Offload, Pipeline, RealClock } from '@l2l3/switch-core'
import { ping, runOnEventLoop, TapPort } from '@l2l3/tap-io'
import { describe, expect, it } from 'vitest'
import {
  drain,
  frameOf,
  inNamespace,
  ip,
  namespace,
  needsTun,
  nodeIn,
  receive,
  removeNamespace,
  send,
  until,
} from './lab.ts'

/* TAPs and TUNs of the kernel, in namespaces of our own. Alice is the kernel's end, we are the port. */
needsTun()

const ALICE = '02:00:00:00:00:0a'

/** An ARP request for 10.1.0.1 (Alice) from 10.1.0.2 at 02:00:00:00:00:0b: RFC 826. */
const WHO_HAS_ALICE = Buffer.from(
  `ffffffffffff 02000000000b 0806
   0001 0800 06 04 0001 02000000000b 0a010002 000000000000 0a010001`.replace(/\s/g, ''),
  'hex',
)

describe('a TAP', () => {
  it('is made in a namespace with MAC, MTU and state, and goes when it is closed', () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 8 })
    const tap = TapPort.open(pool, { name: 'eth0', netns, mac: ALICE, mtu: 1400 })
    const [link] = JSON.parse(ip('-n', netns, '-j', 'link', 'show', 'eth0'))
    expect(link).toMatchObject({ ifname: 'eth0', mtu: 1400, address: ALICE })
    expect(link.flags).toContain('UP')
    expect(tap.info()).toMatchObject({ ifname: 'eth0', kind: 'tap', mac: ALICE, mtu: 1400, up: true, persist: false })
    expect(tap.info().offloads).toEqual({ checksum: false, tso4: false, tso6: false, uso: false, tunnel: false })
    expect(tap.ifname).toBe('eth0')
    tap.close()
    expect(tap.fd).toBe(-1)
    expect(() => ip('-n', netns, 'link', 'show', 'eth0')).toThrow()
    expect(() => tap.info()).toThrow(/closed/)
  })

  it('gets a name from the kernel when it is given none', () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 8 })
    using one = TapPort.open(pool, { netns })
    using two = TapPort.open(pool, { netns, kind: 'tun' })
    using three = TapPort.open(pool, { netns, name: 'veth%d-x' })
    expect([one.ifname, two.ifname, three.ifname]).toEqual(['tap0', 'tun0', 'veth0-x'])
  })

  it('answers through the kernel: an ARP request comes back as a reply', () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 8 })
    using tap = TapPort.open(pool, { name: 'eth0', netns, mac: ALICE })
    ip('-n', netns, 'addr', 'add', '10.1.0.1/24', 'dev', 'eth0')
    send(tap, frameOf(pool, WHO_HAS_ALICE))
    const [reply] = receive(tap)
    expect(Buffer.from(reply as Uint8Array).toString('hex')).toBe(
      `02000000000b 02000000000a 0806
       0001 0800 06 04 0002 02000000000a 0a010001 02000000000b 0a010002`.replace(/\s/g, ''),
    )
    expect(pool.report()).toMatchObject({ received: 1, originated: 1, sent: 2, held: 0, balanced: true })
  })

  it('is changed while it is open: MAC, MTU, down and up, persistence', () => {
    const netns = namespace()
    const tap = TapPort.open(new FramePool({ frames: 8 }), { name: 'eth0', netns, up: false })
    expect(tap.info().up).toBe(false)
    tap.setMac('02:00:00:00:00:33')
    tap.setMtu(9000)
    tap.setUp(true)
    tap.setPersist(true)
    expect(tap.info()).toMatchObject({ mac: '02:00:00:00:00:33', mtu: 9000, up: true, persist: true })
    tap.setUp(false)
    expect(tap.info().up).toBe(false)
    tap.close()
    expect(ip('-n', netns, 'link', 'show', 'eth0')).toContain('eth0')
    using again = TapPort.open(new FramePool({ frames: 8 }), { name: 'eth0', netns, persist: false })
    expect(again.info()).toMatchObject({ mac: '02:00:00:00:00:33', mtu: 9000, up: true, persist: false })
    again.close()
    expect(() => ip('-n', netns, 'link', 'show', 'eth0')).toThrow()
  })

  it('moves into a namespace by name, path and process, and works on there', async () => {
    const [home, byName, byPath, byPid] = [namespace(), namespace(), namespace(), namespace()]
    const pool = new FramePool({ frames: 8 })
    using tap = TapPort.open(pool, { name: 'eth0', netns: home, mac: ALICE })
    for (const [target, where] of [
      [byName, byName],
      [`/run/netns/${byPath}`, byPath],
    ] as const) {
      tap.moveToNamespace(target)
      expect(ip('-n', where, 'link', 'show', 'eth0')).toContain('UP')
    }
    const sleeper = spawn('ip', ['netns', 'exec', byPid, 'sleep', '20'])
    await until(() => ip('netns', 'pids', byPid).trim() === String(sleeper.pid))
    tap.moveToNamespace(sleeper.pid as number)
    sleeper.kill()
    expect(() => ip('-n', home, 'link', 'show', 'eth0')).toThrow()
    ip('-n', byPid, 'addr', 'add', '10.1.0.1/24', 'dev', 'eth0')
    send(tap, frameOf(pool, WHO_HAS_ALICE))
    expect(receive(tap)).toHaveLength(1)
    ip('-n', byPid, 'link', 'set', 'eth0', 'down')
    ip('-n', byPid, 'link', 'set', 'eth0', 'name', 'renamed')
    tap.setMtu(1300)
    expect(tap.info()).toMatchObject({ ifname: 'renamed', mtu: 1300, up: false })
  })

  it('keeps the namespace that it was made in, also when that has lost its name', () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 8 })
    using tap = TapPort.open(pool, { name: 'eth0', netns })
    ip('-n', netns, 'addr', 'add', '10.1.0.1/24', 'dev', 'eth0')
    removeNamespace(netns)
    send(tap, frameOf(pool, WHO_HAS_ALICE))
    expect(receive(tap)).toHaveLength(1)
    expect(tap.info().up).toBe(true)
  })

  it('leaves this process in its own namespace', () => {
    const before = execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' })
    using tap = TapPort.open(new FramePool({ frames: 8 }), { netns: namespace() })
    tap.setMtu(1400)
    const inside = execFileSync('readlink', ['/proc/self/ns/net'], { encoding: 'utf8' })
    expect(inside).toBe(before)
  })

  it('has as many queues as ports were opened with multiQueue', () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 64 })
    using one = TapPort.open(pool, { name: 'eth0', netns, multiQueue: true, mac: ALICE })
    using two = TapPort.open(pool, { name: 'eth0', netns, multiQueue: true })
    ip('-n', netns, 'addr', 'add', '10.1.0.1/24', 'dev', 'eth0')
    expect([one.info().multiQueue, two.info().multiQueue]).toEqual([true, true])
    expect(one.info().ifindex).toBe(two.info().ifindex)
    send(one, frameOf(pool, WHO_HAS_ALICE))
    send(two, frameOf(pool, WHO_HAS_ALICE))
    expect([...drain(one), ...drain(two)]).toHaveLength(2)
    one.close()
    send(two, frameOf(pool, WHO_HAS_ALICE))
    expect(receive(two)).toHaveLength(1)
  })
})

describe('the longest MTU', () => {
  it('is 65,521 of a TAP and 65,535 of a TUN, at opening and later', () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 8 })
    for (const [kind, most] of [
      ['tap', 65_521],
      ['tun', 65_535],
    ] as const) {
      using port = TapPort.open(pool, { kind, netns, mtu: most })
      expect(port.info().mtu).toBe(most)
      port.setMtu(68)
      port.setMtu(most)
      expect(port.info().mtu).toBe(most)
      expect(() => port.setMtu(most + 1)).toThrow(`mtu ${most + 1}: must be a whole number from 68 to ${most}`)
      expect(() => TapPort.open(pool, { kind, netns, mtu: most + 1 })).toThrow(/ERR_OUT_OF_RANGE/)
    }
  })
})

describe('a TUN', () => {
  it('carries bare IP packets', async () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 8 })
    using tun = TapPort.open(pool, { kind: 'tun', name: 'tun0', netns })
    expect(tun.info()).toMatchObject({ kind: 'tun', mac: '00:00:00:00:00:00' })
    ip('-n', netns, 'addr', 'add', '10.1.0.1/24', 'dev', 'tun0')
    const pinging = ping({ netns, to: '10.1.0.2', count: 1, timeoutMs: 5000 })
    let request: Uint8Array | undefined
    await until(() => (request ??= receive(tun)[0]) !== undefined)
    const packet = request as Uint8Array
    expect([packet[0], packet[9], packet[20]]).toEqual([0x45, 1, 8])
    // The answer: addresses swapped, type 0; the ICMP checksum grows by what the type shrinks.
    const reply = Uint8Array.from(packet)
    reply.set(packet.subarray(16, 20), 12)
    reply.set(packet.subarray(12, 16), 16)
    reply[20] = 0
    const sum = (((packet[22] as number) << 8) | (packet[23] as number)) + 0x0800
    reply[22] = ((sum + (sum >> 16)) >> 8) & 0xff
    reply[23] = (sum + (sum >> 16)) & 0xff
    send(tun, frameOf(pool, reply))
    expect(await pinging).toMatchObject({ sent: 1, received: 1 })
    send(tun, frameOf(pool, Uint8Array.of(0x45, 0, 0, 19)), frameOf(pool, new Uint8Array(40).fill(0x99)))
    expect(pool.report().dropped).toEqual({ Runt: 1, Malformed: 1 })
  })
})

describe('offloads', () => {
  it('say which the kernel has', () => {
    const pool = new FramePool({ frames: 8, frameSize: MAX_FRAME })
    using tap = TapPort.open(pool, { netns: namespace() })
    const { offloads } = tap.info()
    expect(offloads).toMatchObject({ checksum: true, tso4: true, tso6: true })
    expect(tap.offloads & Offload.Uso).toBe(offloads.uso ? Offload.Uso : 0)
    using plain = TapPort.open(pool, { netns: namespace(), offloads: false })
    expect(plain.offloads).toBe(0)
  })

  it('let TCP cross in super-frames with unfinished checksums, and be right at the other end', async () => {
    const [alice, bob] = [namespace(), namespace()]
    const pool = new FramePool({ frames: 256, frameSize: MAX_FRAME })
    using a = TapPort.open(pool, { name: 'eth0', netns: alice })
    using b = TapPort.open(pool, { name: 'eth0', netns: bob })
    ip('-n', alice, 'addr', 'add', '10.1.0.1/24', 'dev', 'eth0')
    ip('-n', bob, 'addr', 'add', '10.1.0.2/24', 'dev', 'eth0')
    let longest = 0
    let unfinished = 0
    const look = new Pipeline(
      {
        process(batch) {
          for (let i = 0; i < batch.length; i++) {
            const f = batch.frames[i] as number
            longest = Math.max(longest, pool.len[f] as number)
            if (pool.gsoType[f] === 1 && pool.flags[f] === 1 && (pool.gsoSize[f] as number) <= 1460) unfinished++
          }
        },
      },
      b,
    )
    const loop = new Loop(pool, new RealClock())
    loop.add(a, look)
    loop.add(b, a)
    const runner = runOnEventLoop(loop, [a, b])
    const heard = nodeIn(
      bob,
      `const h = require('crypto').createHash('sha256'); let n = 0
      require('net').createServer((c) => {
        c.on('data', (d) => { h.update(d); n += d.length })
        c.on('end', () => { console.log(n, h.digest('hex')); process.exit() })
      }).listen(5000, '10.1.0.2')`,
    )
    await nodeIn(
      alice,
      `const data = Buffer.alloc(256 * 4096, Uint8Array.from({ length: 256 }, (_, i) => i))
      const go = () => {
        const c = require('net').connect(5000, '10.1.0.2')
        c.on('error', () => setTimeout(go, 50))
        c.on('connect', () => { for (let i = 0; i < 50; i++) c.write(data); c.end() })
      }
      go()`,
    )
    const data = Buffer.alloc(
      256 * 4096,
      Uint8Array.from({ length: 256 }, (_, i) => i),
    )
    const hash = createHash('sha256')
    for (let i = 0; i < 50; i++) hash.update(data)
    expect((await heard).trim()).toBe(`${50 * data.length} ${hash.digest('hex')}`)
    await runner.stop()
    expect(longest).toBeGreaterThan(20_000)
    expect(unfinished).toBeGreaterThan(10)
    expect(pool.report()).toMatchObject({ held: 0, balanced: true })
  })

  it('send one row by several ports without touching it', () => {
    const [alice, bob] = [namespace(), namespace()]
    const pool = new FramePool({ frames: 8, frameSize: MAX_FRAME })
    using a = TapPort.open(pool, { name: 'eth0', netns: alice })
    using b = TapPort.open(pool, { name: 'eth0', netns: bob })
    for (const netns of [alice, bob]) ip('-n', netns, 'addr', 'add', '10.1.0.1/24', 'dev', 'eth0')
    const f = frameOf(pool, WHO_HAS_ALICE)
    const slot = () => Buffer.from(pool.bytes.subarray(f * pool.stride, (f + 1) * pool.stride)).toString('hex')
    const before = slot()
    pool.share(f, 2)
    send(a, f)
    send(b, f)
    expect(slot()).toBe(before)
    expect([receive(a).length, receive(b).length]).toEqual([1, 1])
    pool.sent(f)
    expect(pool.report()).toMatchObject({ received: 2, originated: 1, copied: 2, sent: 5, held: 0, balanced: true })
  })

  it('that contradict the frame are counted, by us or by the kernel', () => {
    const pool = new FramePool({ frames: 8, frameSize: MAX_FRAME })
    using tap = TapPort.open(pool, { netns: namespace() })
    const spoil: ((f: number) => void)[] = [
      (f) => (pool.csumStart[f] = 65_535),
      (f) => (pool.csumStart[f] = 13),
      (f) => (pool.csumOffset[f] = 65_535),
      (f) => {
        pool.gsoType[f] = 1
        pool.gsoSize[f] = 0
      },
      (f) => {
        pool.gsoType[f] = 0x42
        pool.gsoSize[f] = 100
      },
    ]
    for (const wrong of spoil) {
      const f = frameOf(pool, new Uint8Array(200))
      pool.flags[f] = 1
      pool.csumStart[f] = 34
      pool.csumOffset[f] = 16
      wrong(f)
      send(tap, f)
    }
    expect(pool.report()).toMatchObject({ sent: 0, dropped: { BadOffload: spoil.length }, balanced: true })
    expect(tap.failure).toBeNull()
  })
})

describe('the queue of a TAP', () => {
  /** Ten datagrams that Alice sends while nobody reads. */
  async function talk(netns: string): Promise<void> {
    await nodeIn(
      netns,
      `const s = require('dgram').createSocket('udp4')
      const say = (n) => n ? s.send('x', 9, '10.1.0.2', () => say(n - 1)) : s.close()
      say(10)`,
    )
  }

  it('is asked for one frame when it was empty, for twice as many each time while all of them come', async () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 64 })
    using tap = TapPort.open(pool, { name: 'eth0', netns })
    ip('-n', netns, 'addr', 'add', '10.1.0.1/24', 'dev', 'eth0')
    ip('-n', netns, 'neigh', 'add', '10.1.0.2', 'lladdr', '02:00:00:00:00:0b', 'dev', 'eth0')
    await talk(netns)
    expect([1, 2, 3, 4, 5].map(() => receive(tap).length)).toEqual([1, 2, 4, 3, 0])
    expect(pool.report()).toMatchObject({ received: 10, held: 0, balanced: true })
  })

  it('is as long as it was made, and what finds no room is dropped by the kernel', async () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 64 })
    // Without a queueing discipline before it, there is no room but that of the TAP.
    using tap = TapPort.open(pool, { name: 'eth0', netns, queueLength: 4 })
    await inNamespace(netns, 'tc', 'qdisc', 'replace', 'dev', 'eth0', 'root', 'noqueue')
    ip('-n', netns, 'addr', 'add', '10.1.0.1/24', 'dev', 'eth0')
    ip('-n', netns, 'neigh', 'add', '10.1.0.2', 'lladdr', '02:00:00:00:00:0b', 'dev', 'eth0')
    expect(tap.info().queueLength).toBe(4)
    expect(JSON.parse(ip('-n', netns, '-j', 'link', 'show', 'eth0'))).toMatchObject([{ txqlen: 4 }])
    await talk(netns)
    expect(drain(tap)).toHaveLength(4)
    using usual = TapPort.open(pool, { name: 'eth1', netns })
    expect(usual.info().queueLength).toBeGreaterThan(4)
  })

  it('keeps its length when the device is attached again', () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 8 })
    TapPort.open(pool, { name: 'eth0', netns, persist: true, queueLength: 10_000 }).close()
    using again = TapPort.open(pool, { name: 'eth0', netns, persist: false })
    expect(again.info().queueLength).toBe(10_000)
  })
})

describe('frames too long for the pool', () => {
  it('are counted as Oversize and not cut, at the very byte', async () => {
    // 130 + 1000 leaves spare bytes behind the frame in its slot; 130 + 1086 is a slot to the last byte.
    for (const frameSize of [1000, 1086]) {
      const netns = namespace()
      const pool = new FramePool({ frames: 8, frameSize })
      using tap = TapPort.open(pool, { name: 'eth0', netns })
      ip('-n', netns, 'addr', 'add', '10.1.0.1/24', 'dev', 'eth0')
      ip('-n', netns, 'neigh', 'add', '10.1.0.2', 'lladdr', '02:00:00:00:00:0b', 'dev', 'eth0')
      await nodeIn(
        netns,
        `const s = require('dgram').createSocket('udp4')
        const say = ([n, ...more]) => n ? s.send(Buffer.alloc(n), 9, '10.1.0.2', () => say(more)) : s.close()
        say([${frameSize - 42}, ${frameSize - 41}, 1400, 100])`,
      )
      expect(receive(tap).map((frame) => frame.length)).toEqual([frameSize])
      expect(tap.longest).toBe(frameSize)
      expect(drain(tap).map((frame) => frame.length)).toEqual([142])
      expect(tap.longest).toBe(142)
      expect(pool.report().dropped).toEqual({ Oversize: 2 })
      expect(tap.counters.rxDropped).toBe(2)
    }
  })
})

describe('a spent pool', () => {
  it('empties the queue and counts', async () => {
    const netns = namespace()
    const pool = new FramePool({ frames: 2 })
    using tap = TapPort.open(pool, { name: 'eth0', netns })
    const all = [frameOf(pool, WHO_HAS_ALICE), frameOf(pool, WHO_HAS_ALICE)]
    ip('-n', netns, 'addr', 'add', '10.1.0.1/24', 'dev', 'eth0')
    await ping({ netns, to: '10.1.0.2', count: 1, timeoutMs: 0 })
    expect(receive(tap)).toEqual([])
    expect(pool.ledger.drops[Drop.PoolSpent]).toBeGreaterThanOrEqual(1)
    send(tap, ...all)
    // Two replies of ARP (0806), and the echo request (0800) that had waited for what Alice has learnt from being asked.
    const types = drain(tap).map((frame) => Buffer.from(frame.subarray(12, 14)).toString('hex'))
    expect(types.sort()).toEqual(['0800', '0806', '0806'])
    expect(pool.report()).toMatchObject({ held: 0, balanced: true })
  })
})
