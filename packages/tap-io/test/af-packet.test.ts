import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { writeSync } from 'node:fs'
import { type Batch, Drop, type Frame, FramePool, GsoType, Loop, MAX_FRAME, RealClock, TUNNEL } from '@l2l3/switch-core'
import { portCompliance } from '@l2l3/switch-core/compliance'
import { AfPacketPort, runOnEventLoop, TapPort } from '@l2l3/tap-io'
import { describe, expect, it } from 'vitest'
import { drain, frameOf, ip, namespace, needsTun, nodeIn, receive, removeNamespace, send, until } from './lab.ts'

/* Packet sockets on veths of the kernel, in namespaces of our own. */
needsTun()

const FRAME = Buffer.concat([Buffer.from('02000000000b02000000000a88b5', 'hex'), Buffer.alloc(46, 7)])

/** Two ends of a veth in one namespace: `va` and `vb`, up. */
function cable(mtu = 1500): string {
  const netns = namespace()
  ip('-n', netns, 'link', 'add', 'va', 'mtu', `${mtu}`, 'type', 'veth', 'peer', 'name', 'vb', 'mtu', `${mtu}`)
  for (const dev of ['va', 'vb']) ip('-n', netns, 'link', 'set', dev, 'up')
  return netns
}

for (const offloads of [false, true]) {
  describe(`a packet socket ${offloads ? 'with' : 'without'} offloads complies`, () => {
    //   port under test -- va == vb -- bridge of the kernel -- tap -- the far side, without offloads
    function make() {
      const netns = cable(9000)
      ip('-n', netns, 'link', 'add', 'br0', 'mtu', '9000', 'type', 'bridge')
      ip('-n', netns, 'link', 'set', 'br0', 'up')
      const pool = new FramePool({ frames: 300, frameSize: offloads ? MAX_FRAME : 1918 })
      const far = new FramePool({ frames: 64, frameSize: 9018 })
      const port = AfPacketPort.open(pool, { device: 'va', netns })
      const other = TapPort.open(far, { name: 'far', netns, mtu: 9000 })
      for (const dev of ['vb', 'far']) ip('-n', netns, 'link', 'set', dev, 'master', 'br0')
      return {
        port,
        maxFrame: offloads ? 9000 : 1918,
        patience: 30,
        inject(bytes: Uint8Array): boolean {
          if (bytes.length < 14 || bytes.length > 9000) return false
          send(other, frameOf(far, bytes))
          return true
        },
        taken: () => receive(other),
        close(): void {
          other.close()
          removeNamespace(netns)
        },
      }
    }
    for (const { name, run } of portCompliance(make)) it(name, run)
  })
}

describe('a packet socket', () => {
  it('receives what comes in, not what leaves', () => {
    const netns = cable()
    const pool = new FramePool({ frames: 32 })
    using a = AfPacketPort.open(pool, { device: 'va', netns })
    using same = AfPacketPort.open(pool, { device: 'va', netns })
    using b = AfPacketPort.open(pool, { device: 'vb', netns })
    expect(a.mac).toMatch(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
    send(a, frameOf(pool, FRAME))
    expect([drain(a), drain(same), drain(b)]).toEqual([[], [], [Uint8Array.from(FRAME)]])
    send(b, frameOf(pool, FRAME))
    expect([drain(a).length, drain(same).length, drain(b).length]).toEqual([1, 1, 0])
  })

  it('receives what is for others only where it is promiscuous', () => {
    const netns = cable()
    const pool = new FramePool({ frames: 32 })
    using a = AfPacketPort.open(pool, { device: 'va', netns })
    const flags = (): string => ip('-n', netns, '-d', 'link', 'show', 'vb')
    expect(flags()).toContain('promiscuity 0')
    {
      using _b = AfPacketPort.open(pool, { device: 'vb', netns })
      expect(flags()).toContain('promiscuity 1')
    }
    using b = AfPacketPort.open(pool, { device: 'vb', netns, promiscuous: false })
    expect(flags()).toContain('promiscuity 0')
    send(a, frameOf(pool, FRAME))
    // A veth has no filter of its own: the frame is there, for another host.
    expect(drain(b).length).toBe(1)
  })

  it('puts back the tag that the kernel has taken out, with the metadata', () => {
    const netns = cable()
    const pool = new FramePool({ frames: 32, frameSize: MAX_FRAME })
    using a = AfPacketPort.open(pool, { device: 'va', netns })
    using b = AfPacketPort.open(pool, { device: 'vb', netns })
    for (const tags of ['81006064', '88a80065 81000066']) {
      const tag = Buffer.from(tags.replaceAll(' ', ''), 'hex')
      const bytes = Buffer.concat([FRAME.subarray(0, 12), tag, FRAME.subarray(12)])
      send(a, frameOf(pool, bytes))
      const [got] = drain(b)
      expect(Buffer.from(got as Uint8Array).toString('hex')).toBe(bytes.toString('hex'))
    }
    // UDP in IPv4 with a checksum to be done, in a VLAN.
    const udp = Buffer.concat([
      Buffer.from('02000000000b02000000000a 81000064 0800'.replaceAll(' ', ''), 'hex'),
      Buffer.from('4500001e00000000401166ad0a0000010a000002', 'hex'),
      Buffer.from('1388138900 0a 1419 6869'.replaceAll(' ', ''), 'hex'),
    ])
    const f = frameOf(pool, udp)
    pool.flags[f] = 1
    pool.csumStart[f] = 38
    pool.csumOffset[f] = 6
    send(a, f)
    const batch = frames(b)
    const g = batch[0] as Frame
    expect(Buffer.from(pool.view(g)).toString('hex')).toBe(udp.toString('hex'))
    expect([pool.flags[g], pool.csumStart[g], pool.csumOffset[g], (pool.off[g] as number) % 4]).toEqual([1, 38, 6, 2])
    pool.sent(g)
  })

  it('receives nothing that leaves in a fanout group either', async (context) => {
    // As the first of a group, and in one that somebody else has made, who had nothing against it.
    for (const theirs of [false, true]) {
      const netns = cable()
      const pool = new FramePool({ frames: 32 })
      const fanout = { group: (process.pid + (theirs ? 1 : 2)) & 0xffff, mode: 'balance' } as const
      using a = AfPacketPort.open(pool, { device: 'va', netns })
      const other = theirs ? await groupOfAnother(netns, fanout.group) : null
      if (other === undefined) context.skip('python3 is not here, to make a fanout group')
      using shared = AfPacketPort.open(pool, { device: 'va', netns, fanout })
      await other?.()
      using b = AfPacketPort.open(pool, { device: 'vb', netns })
      for (let i = 0; i < 4; i++) send(a, frameOf(pool, FRAME))
      await until(() => drain(b).length > 0)
      expect(drain(shared)).toEqual([])
      send(b, frameOf(pool, FRAME))
      await until(() => drain(shared).length === 1)
      // Nor does a spent pool count it.
      const held = Array.from({ length: pool.spare }, () => frameOf(pool, FRAME))
      for (let i = 0; i < 4; i++) send(a, held.pop() as Frame)
      held.push(...Array.from({ length: pool.spare }, () => frameOf(pool, FRAME)))
      receive(shared)
      expect(pool.ledger.drops[Drop.PoolSpent]).toBe(0)
      for (const f of held) pool.sent(f)
    }
  })

  it('shares flows with others of its fanout group', async () => {
    const netns = cable()
    const pool = new FramePool({ frames: 256 })
    using a = AfPacketPort.open(pool, { device: 'va', netns })
    const fanout = { group: process.pid & 0xffff, mode: 'balance' } as const
    using one = AfPacketPort.open(pool, { device: 'vb', netns, fanout })
    using two = AfPacketPort.open(pool, { device: 'vb', netns, fanout })
    for (let i = 0; i < 20; i++) send(a, frameOf(pool, FRAME))
    const got = [0, 0] as [number, number]
    await until(() => {
      got[0] += drain(one).length
      got[1] += drain(two).length
      return got[0] + got[1] >= 20
    })
    expect(got).toEqual([10, 10])
    const wrong = { group: fanout.group, mode: 'hash' } as const
    expect(() => AfPacketPort.open(pool, { device: 'vb', netns, fanout: wrong })).toThrow(/fanout .*another mode/)
  })

  it('says what cannot be had, with key and value', () => {
    const netns = cable()
    const pool = new FramePool({ frames: 8 })
    const open = (options: object) => () => AfPacketPort.open(pool, { device: 'va', netns, ...options }).close()
    expect(open({ device: 'no-such' })).toThrow('device "no-such": there is no such interface (ENODEV)')
    expect(open({ netns: 'tio-no-such' })).toThrow(/netns "tio-no-such": there is no such network namespace/)
    expect(open({ offloads: true })).toThrow(/offloads true: super-frames need a pool/)
    expect(open({ fanout: { group: 1, mode: 'round' } })).toThrow(/fanout.mode "round": must be one of hash,/)
    expect(open({ fanout: { group: -1 } })).toThrow(/fanout.group -1/)
    expect(open({ promisc: true })).toThrow(/promisc true: is not an option of a packet socket/)
    expect(open({ bufferSize: 1 })).toThrow(/bufferSize 1/)
    using tun = TapPort.open(pool, { kind: 'tun', name: 'tun0', netns })
    expect(open({ device: tun.ifname })).toThrow(/device "tun0": the interface is not an Ethernet one/)
  })
})

describe('a packet socket that goes wrong', () => {
  it('refuses a super-frame that its header has no word for, and lives on', () => {
    const netns = namespace()
    // A guest's TAP, by which it sends a UDP packet to be cut into fragments (UFO): the kernel knows that kind, a socket does not.
    using guest = TapPort.open(new FramePool({ frames: 2, frameSize: MAX_FRAME }), { name: 'vm0', netns })
    const packet = Buffer.alloc(42 + 4000)
    packet.fill(0xff, 0, 6)
    packet.set([2, 0, 0, 0, 0, 9, 8, 0, 0x45, 0], 6)
    packet.writeUInt16BE(4028, 16)
    packet.set([64, 17, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1], 22)
    packet.writeUInt16BE(4008, 38)
    // The TAP's header is of 24 bytes where the kernel knows tunnels, else of 12.
    const header = Buffer.alloc(guest.info().offloads.tunnel ? 24 : 12)
    const ufo = Buffer.from(header)
    ufo.set([1, 3])
    for (const [i, word] of [42, 1480, 34, 6].entries()) ufo.writeUInt16LE(word, 2 + 2 * i)
    const pool = new FramePool({ frames: 32, frameSize: MAX_FRAME })
    using port = AfPacketPort.open(pool, { device: 'vm0', netns })
    const say = (...kinds: Buffer[]) => {
      for (const kind of kinds) writeSync(guest.fd, Buffer.concat([kind, kind === ufo ? packet : FRAME]))
    }
    say(ufo, header, header, ufo, header, ufo)
    expect(drain(port).length + drain(port).length).toBe(3)
    receive(port)
    expect(port.failure).toBeNull()
    expect(pool.report()).toMatchObject({ held: 0, dropped: { BadOffload: 3 }, balanced: true })
    expect(port.counters).toMatchObject({ rxFrames: 3, rxDropped: 3 })
    // With no row for it, it is one of those that are forgotten.
    const held = Array.from({ length: 32 }, () => frameOf(pool, FRAME))
    say(ufo, header)
    receive(port)
    expect(port.failure).toBeNull()
    expect(pool.ledger.drops[Drop.PoolSpent]).toBe(2)
    for (const f of held) pool.sent(f)
  })

  it('drops as PortDown while the interface is down, what is too big, and lives on', async () => {
    const netns = cable()
    const pool = new FramePool({ frames: 32, frameSize: 3000 })
    using a = AfPacketPort.open(pool, { device: 'va', netns })
    using b = AfPacketPort.open(pool, { device: 'vb', netns })
    send(a, frameOf(pool, Buffer.concat([FRAME, Buffer.alloc(2000)])))
    expect(pool.report()).toMatchObject({ dropped: { TooBig: 1 }, balanced: true })
    ip('-n', netns, 'link', 'set', 'va', 'down')
    expect(receive(a)).toEqual([])
    send(a, frameOf(pool, FRAME), frameOf(pool, FRAME))
    expect(pool.report()).toMatchObject({ dropped: { TooBig: 1, PortDown: 2 }, balanced: true })
    expect([a.failure, b.failure]).toEqual([null, null])
    ip('-n', netns, 'link', 'set', 'va', 'up')
    // The kernel takes note of carriers once a second, where many come and go.
    for (const dev of ['va', 'vb']) await until(() => ip('-n', netns, 'link', 'show', dev).includes('state UP'))
    send(a, frameOf(pool, FRAME))
    expect(drain(b).length).toBe(1)
    send(b, frameOf(pool, FRAME))
    expect(drain(a).length).toBe(1)
  })

  const endings: [what: string, end: (netns: string) => void][] = [
    ['its interface is deleted', (netns) => ip('-n', netns, 'link', 'del', 'vb')],
    ['its interface is moved away', (netns) => ip('-n', netns, 'link', 'set', 'va', 'netns', namespace())],
  ]
  for (const [what, end] of endings) {
    it(`fails when ${what}, without a spin, whoever notices`, async () => {
      for (const how of ['loop', 'receive', 'write', 'check'] as const) {
        const netns = cable()
        const pool = new FramePool({ frames: 32 })
        using a = AfPacketPort.open(pool, { device: 'va', netns })
        if (how === 'loop') {
          const failed: string[] = []
          const loop = new Loop(pool, new RealClock(), { onPortFailed: (_, error) => failed.push(error.message) })
          let turns = 0
          const turn = loop.turn.bind(loop)
          loop.turn = () => {
            turns++
            return turn()
          }
          loop.add(a, a)
          const runner = runOnEventLoop(loop, [a])
          end(netns)
          await until(() => failed.length > 0)
          const before = turns
          await new Promise((done) => setTimeout(done, 100))
          expect(turns - before).toBeLessThan(5)
          expect(turns).toBeLessThan(50)
          expect(failed[0]).toMatch(/port "va": the device was deleted \(ENODEV\)/)
          await runner.stop()
        } else {
          end(netns)
          await until(() => {
            if (how === 'receive') receive(a)
            else if (how === 'check') a.check()
            else send(a, frameOf(pool, FRAME))
            return a.failure !== null
          })
        }
        expect(a.fd).toBe(-1)
        expect(pool.report()).toMatchObject({ held: 0, balanced: true })
        if (how === 'write') expect(pool.ledger.drops[Drop.PortError]).toBeGreaterThan(0)
      }
    })
  }
})

it('keeps a namespace alive whose name was deleted, and does not spin', async () => {
  const netns = cable()
  const pool = new FramePool({ frames: 32 })
  using a = AfPacketPort.open(pool, { device: 'va', netns })
  using b = AfPacketPort.open(pool, { device: 'vb', netns })
  let turns = 0
  let frames = 0
  const loop = new Loop(pool, new RealClock())
  const turn = loop.turn.bind(loop)
  loop.turn = () => {
    turns++
    return turn()
  }
  loop.add(b, {
    process(batch) {
      frames += batch.length
      for (let i = 0; i < batch.length; i++) pool.sent(batch.frames[i] as Frame)
      batch.length = 0
    },
  })
  const runner = runOnEventLoop(loop, [b])
  removeNamespace(netns)
  await new Promise((done) => setTimeout(done, 200))
  expect(turns).toBeLessThan(30)
  send(a, frameOf(pool, FRAME))
  await until(() => frames === 1)
  expect([a.failure, b.failure]).toEqual([null, null])
  await runner.stop()
})

describe('super-frames', () => {
  const data = Buffer.alloc(
    256 * 4096,
    Uint8Array.from({ length: 256 }, (_, i) => i),
  )
  const hash = createHash('sha256')
  for (let i = 0; i < 20; i++) hash.update(data)
  const wanted = `${20 * data.length} ${hash.digest('hex')}`

  //   alice: kernel -- veth == veth -- packet socket -- us -- packet socket -- veth == veth -- kernel: bob
  for (const tunnel of [false, true]) {
    it(`of TCP${tunnel ? ' inside VXLAN' : ''} cross, and are right at the other end`, async () => {
      const names = [namespace(), namespace()] as const
      const middle = namespace()
      const pool = new FramePool({ frames: 512, frameSize: MAX_FRAME })
      for (const [i, netns] of names.entries()) {
        ip('-n', netns, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', `v${i}`, 'netns', middle)
        ip('-n', netns, 'link', 'set', 'eth0', 'up')
        ip('-n', middle, 'link', 'set', `v${i}`, 'up')
        ip('-n', netns, 'addr', 'add', `192.0.2.${i + 1}/24`, 'dev', 'eth0')
        const to = ['remote', `192.0.2.${2 - i}`, 'local', `192.0.2.${i + 1}`, 'dev', 'eth0', 'dstport', '4789']
        ip('-n', netns, 'link', 'add', 'vx', 'mtu', '1450', 'type', 'vxlan', 'id', '42', ...to)
        ip('-n', netns, 'link', 'set', 'vx', 'up')
        ip('-n', netns, 'addr', 'add', `10.9.0.${i + 1}/24`, 'dev', 'vx')
      }
      using a = AfPacketPort.open(pool, { device: 'v0', netns: middle })
      using b = AfPacketPort.open(pool, { device: 'v1', netns: middle })
      const kinds = new Set<number>()
      const look = (to: AfPacketPort) => ({
        process(batch: Batch) {
          for (let i = 0; i < batch.length; i++) kinds.add(pool.gsoType[batch.frames[i] as number] as number)
          to.process(batch)
        },
      })
      const loop = new Loop(pool, new RealClock())
      loop.add(a, look(b))
      loop.add(b, look(a))
      const runner = runOnEventLoop(loop, [a, b])
      const address = tunnel ? '10.9.0.2' : '192.0.2.2'
      const heard = nodeIn(
        names[1],
        `const h = require('crypto').createHash('sha256'); let n = 0
        require('net').createServer((c) => {
          c.on('data', (d) => { h.update(d); n += d.length })
          c.on('end', () => { console.log(n, h.digest('hex')); process.exit() })
        }).listen(5000, '${address}')`,
      )
      await nodeIn(
        names[0],
        `const data = Buffer.alloc(256 * 4096, Uint8Array.from({ length: 256 }, (_, i) => i))
        const go = () => {
          const c = require('net').connect(5000, '${address}')
          c.on('error', () => setTimeout(go, 50))
          c.on('connect', () => { for (let i = 0; i < 20; i++) c.write(data); c.end() })
        }
        go()`,
      )
      expect((await heard).trim()).toBe(wanted)
      await runner.stop()
      expect(kinds).toContain(tunnel ? GsoType.Tcp4 | GsoType.TunnelIpv4 : GsoType.Tcp4)
      if (tunnel) for (const kind of kinds) expect(kind === 0 || (kind & TUNNEL) !== 0).toBe(true)
      expect(pool.report()).toMatchObject({ held: 0, balanced: true })
      expect(pool.ledger.drops[Drop.BadOffload]).toBe(0)
    })
  }
})

//   alice: kernel -- veth == veth -- packet socket -- a small pool -- packet socket -- veth == veth -- kernel: bob
for (const offloads of [undefined, false]) {
  it(`checksums that a kernel has left undone cross a pool for small frames, offloads ${offloads}`, async () => {
    const names = [namespace(), namespace()] as const
    const middle = namespace()
    const pool = new FramePool({ frames: 64 })
    for (const [i, netns] of names.entries()) {
      ip('-n', netns, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', `v${i}`, 'netns', middle)
      ip('-n', netns, 'link', 'set', 'eth0', 'up')
      ip('-n', middle, 'link', 'set', `v${i}`, 'up')
      ip('-n', netns, 'addr', 'add', `192.0.2.${i + 1}/24`, 'dev', 'eth0')
    }
    using a = AfPacketPort.open(pool, { device: 'v0', netns: middle })
    using b = AfPacketPort.open(pool, { device: 'v1', netns: middle, ...(offloads === false && { offloads }) })
    expect([a.offloadText, b.offloadText]).toEqual(['checksum', offloads === false ? 'none' : 'checksum'])
    const undone = { frames: 0 }
    const loop = new Loop(pool, new RealClock())
    loop.add(a, {
      process(batch) {
        for (let i = 0; i < batch.length; i++) undone.frames += (pool.flags[batch.frames[i] as number] as number) & 1
        b.process(batch)
      },
    })
    loop.add(b, a)
    const runner = runOnEventLoop(loop, [a, b])
    const heard = nodeIn(
      names[1],
      `const s = require('dgram').createSocket('udp4')
      s.on('message', (m) => { console.log(String(m)); process.exit() })
      s.bind(5000, '192.0.2.2')
      setTimeout(() => process.exit(console.log('nothing came')), 5000)`,
    )
    await nodeIn(
      names[0],
      `const s = require('dgram').createSocket('udp4')
      let n = 0
      const go = () => { s.send('hello', 5000, '192.0.2.2'); if (++n < 10) setTimeout(go, 50); else s.close() }
      go()`,
    )
    expect((await heard).trim()).toBe('hello')
    await runner.stop()
    expect(undone.frames).toBeGreaterThan(0)
    expect(pool.report()).toMatchObject({ held: 0, dropped: {}, balanced: true })
  })
}

/** A fanout group of va, by turns, that a program of somebody else's has made; ends the program. Undefined: there is none. */
function groupOfAnother(netns: string, group: number): Promise<(() => Promise<void>) | undefined> {
  const program = `import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(('va', 3))
s.setsockopt(263, 18, ${group} | 1 << 16)
print('made', flush=True)
sys.stdin.readline()`
  const child = spawn('ip', ['netns', 'exec', netns, 'python3', '-c', program], { stdio: ['pipe', 'pipe', 'ignore'] })
  const closed = new Promise<void>((done) => child.on('close', () => done()))
  const end = () => {
    child.stdin.end('\n')
    return closed
  }
  return new Promise((done) => {
    child.stdout.on('data', () => done(end))
    child.on('error', () => done(undefined))
    child.on('close', () => done(undefined))
  })
}

/** Frames that come within a moment. */
function frames(port: AfPacketPort): Frame[] {
  const rows: Frame[] = []
  const batch = { frames: new Uint32Array(32), length: 0, capacity: 32 }
  port.receive(batch as unknown as Batch)
  for (let i = 0; i < batch.length; i++) rows.push(batch.frames[i] as Frame)
  return rows
}
