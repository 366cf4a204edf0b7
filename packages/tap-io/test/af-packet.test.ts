import { createHash } from 'node:crypto'
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

  it('shares flows with others of its fanout group', () => {
    const netns = cable()
    const pool = new FramePool({ frames: 256 })
    using a = AfPacketPort.open(pool, { device: 'va', netns })
    const fanout = { group: process.pid & 0xffff, mode: 'balance' } as const
    using one = AfPacketPort.open(pool, { device: 'vb', netns, fanout })
    using two = AfPacketPort.open(pool, { device: 'vb', netns, fanout })
    for (let i = 0; i < 20; i++) send(a, frameOf(pool, FRAME))
    expect([drain(one).length, drain(two).length]).toEqual([10, 10])
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
  it('drops as PortDown while the interface is down, what is too big, and lives on', () => {
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

/** Frames that come within a moment. */
function frames(port: AfPacketPort): Frame[] {
  const rows: Frame[] = []
  const batch = { frames: new Uint32Array(32), length: 0, capacity: 32 }
  port.receive(batch as unknown as Batch)
  for (let i = 0; i < batch.length; i++) rows.push(batch.frames[i] as Frame)
  return rows
}
