import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { Batch, type Frame, FramePool, finish, GsoType, Loop, MAX_FRAME, Offload, RealClock } from '@l2l3/switch-core'
import { runOnEventLoop, TapPort } from '@l2l3/tap-io'
import { describe, expect, it, type TestContext } from 'vitest'
import { type Outer, tunnelFrame } from '../../switch-core/test/offload/tunnel-frames.ts'
import { drain, frameOf, ip, namespace, needsTun, nodeIn, send, until } from './lab.ts'

/* Super-frames inside tunnels, on TAPs: what a kernel's VXLAN hands over, and what a kernel makes of ours. */
needsTun()

/** Skips where the kernel has no tunnel offloads on TAPs (before Linux 6.17). */
function needsTunnels(context: TestContext, tap: TapPort): void {
  if ((tap.offloads & Offload.Tunnel) === 0) context.skip('the kernel has no tunnel offloads on TAPs')
}

/** A pool's frame with the metadata of a tunnel super-frame. */
function put(pool: FramePool, frame: ReturnType<typeof tunnelFrame>, size: number, summed: boolean): Frame {
  const f = frameOf(pool, frame.bytes)
  pool.flags[f] = summed ? 9 : 1
  pool.gsoType[f] = frame.gsoType
  pool.gsoSize[f] = size
  pool.hdrLen[f] = frame.data
  pool.csumStart[f] = frame.csumStart
  pool.csumOffset[f] = frame.csumOffset
  pool.outerL4[f] = frame.outerL4
  pool.innerL3[f] = frame.innerL3
  return f
}

describe('what a TAP is given', () => {
  //   our port -- in0 -- bridge of the kernel -- out0, without offloads -- what is on the wire
  function rig(tunnelOffloads: boolean) {
    const netns = namespace()
    ip('-n', netns, 'link', 'add', 'br0', 'mtu', '9216', 'type', 'bridge', 'mcast_snooping', '0')
    ip('-n', netns, 'link', 'set', 'br0', 'up')
    const pool = new FramePool({ frames: 128, frameSize: MAX_FRAME })
    const far = new FramePool({ frames: 256, frameSize: 9300 })
    const port = TapPort.open(pool, { name: 'in0', netns, mtu: 9216, tunnelOffloads })
    const wire = TapPort.open(far, { name: 'out0', netns, mtu: 9216, offloads: false })
    for (const dev of ['in0', 'out0']) ip('-n', netns, 'link', 'set', dev, 'master', 'br0')
    return { pool, far, port, wire }
  }

  for (const tunnelOffloads of [true, false]) {
    it(`is on the wire what it stands for, ${tunnelOffloads ? 'cut by the kernel' : 'cut here'}`, async (context) => {
      const { pool, port, wire } = rig(tunnelOffloads)
      using _port = port
      using _wire = wire
      if (tunnelOffloads) needsTunnels(context, port)
      expect((port.offloads & Offload.Tunnel) !== 0).toBe(tunnelOffloads)
      for (const over of [4, 6] as const) {
        for (const header of [8, 16]) {
          for (const summed of [false, true]) {
            for (const [transport, version] of [
              ['tcp', 4],
              ['tcp', 6],
              ['udp', 4],
              ['udp', 6],
            ] as const) {
              const t: Outer = { over, header, summed, outerId: 7 }
              const big = tunnelFrame({ transport, version, payload: 5000, size: 1200, id: 3 }, t)
              const whole = put(pool, big, 1200, summed)
              const wanted: string[] = []
              const batch = new Batch()
              pool.share(whole, 1)
              batch.push(whole)
              const write = (b: Batch): void => {
                for (const f of b.frames.subarray(0, b.length)) {
                  wanted.push(Buffer.from(pool.view(f as Frame)).toString('hex'))
                  pool.sent(f as Frame)
                }
              }
              finish(pool, batch, 0, write, (f, why) => pool.drop(f, why))
              send(port, whole)
              const got: string[] = []
              await until(() => {
                got.push(
                  ...drain(wire)
                    .map((b) => Buffer.from(b).toString('hex'))
                    .filter((b) => b.startsWith(wanted[0]?.slice(0, 24) as string)),
                )
                return got.length >= 5
              })
              expect([t, got]).toEqual([t, wanted])
            }
          }
        }
      }
      expect(pool.report()).toMatchObject({ held: 0, dropped: {}, balanced: true })
      expect(port.counters.txFrames).toBe(32 * (tunnelOffloads ? 1 : 5))
    })
  }

  it('is refused where its offsets make no sense', (context) => {
    const { pool, port, wire } = rig(true)
    using _port = port
    using _wire = wire
    needsTunnels(context, port)
    const spoil: ((f: Frame) => void)[] = [
      (f) => (pool.outerL4[f] = 33),
      (f) => (pool.innerL3[f] = 41),
      (f) => (pool.innerL3[f] = 65),
      (f) => (pool.csumStart[f] = 34),
      (f) => (pool.gsoType[f] = 0x61),
      (f) => (pool.gsoType[f] = 0x20),
      (f) => (pool.flags[f] = 0),
    ]
    for (const wrong of spoil) {
      const t: Outer = { over: 4, header: 8, summed: false }
      const f = put(pool, tunnelFrame({ transport: 'tcp', version: 4, payload: 5000, size: 1200 }, t), 1200, false)
      wrong(f)
      send(port, f)
    }
    expect(pool.report()).toMatchObject({ sent: 0, dropped: { BadOffload: spoil.length }, balanced: true })
    expect(port.failure).toBeNull()
  })
})

describe('VXLAN of two kernels over two TAPs and us in between', () => {
  const data = Buffer.alloc(
    256 * 4096,
    Uint8Array.from({ length: 256 }, (_, i) => i),
  )
  const hash = createHash('sha256')
  for (let i = 0; i < 20; i++) hash.update(data)
  const wanted = `${20 * data.length} ${hash.digest('hex')}`

  for (const [outer, inner, checksum] of [
    [4, 4, false],
    [4, 4, true],
    [4, 6, false],
    [6, 4, true],
    [6, 6, false],
  ] as const) {
    const name = `TCPv${inner} over IPv${outer}${checksum ? ' with outer checksums' : ''}`
    it(`crosses in super-frames: ${name}`, async (context) => {
      const names = [namespace(), namespace()] as const
      const pool = new FramePool({ frames: 256, frameSize: MAX_FRAME })
      using a = TapPort.open(pool, { name: 'eth0', netns: names[0] })
      using b = TapPort.open(pool, { name: 'eth0', netns: names[1] })
      needsTunnels(context, a)
      for (const [i, netns] of names.entries()) {
        execFileSync('ip', [
          'netns',
          'exec',
          netns,
          'sh',
          '-c',
          'for i in all default lo eth0; do echo 0 > /proc/sys/net/ipv6/conf/$i/disable_ipv6; done',
        ])
        const at = (n: number): string => (outer === 4 ? `192.0.2.${n + 1}` : `fd00::${n + 1}`)
        ip(
          '-n',
          netns,
          'addr',
          'add',
          `${at(i)}/${outer === 4 ? 24 : 64}`,
          'dev',
          'eth0',
          ...(outer === 6 ? ['nodad'] : []),
        )
        const sums =
          outer === 4
            ? [checksum ? 'udpcsum' : 'noudpcsum']
            : checksum
              ? ['udp6zerocsumrx']
              : ['udp6zerocsumtx', 'udp6zerocsumrx']
        const remote = ['remote', at(1 - i), 'local', at(i), 'dev', 'eth0', 'dstport', '4789', ...sums]
        ip('-n', netns, 'link', 'add', 'vx', 'mtu', '1400', 'type', 'vxlan', 'id', '42', ...remote)
        ip('-n', netns, 'link', 'set', 'vx', 'up')
        if (inner === 4) ip('-n', netns, 'addr', 'add', `10.9.0.${i + 1}/24`, 'dev', 'vx')
        else ip('-n', netns, 'addr', 'add', `fd09::${i + 1}/64`, 'dev', 'vx', 'nodad')
      }
      const kinds = new Map<number, number>()
      const flags = new Set<number>()
      const look = (to: TapPort) => ({
        process(batch: Batch) {
          for (let i = 0; i < batch.length; i++) {
            const f = batch.frames[i] as number
            const kind = pool.gsoType[f] as number
            if (kind === 0) continue
            kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
            flags.add(pool.flags[f] as number)
            const l4 = outer === 4 ? 34 : 54
            // What the columns say is where it is.
            expect([pool.outerL4[f], pool.innerL3[f], pool.csumStart[f]]).toEqual([
              l4,
              l4 + 30,
              l4 + 30 + (inner === 4 ? 20 : 40),
            ])
          }
          to.process(batch)
        },
      })
      const loop = new Loop(pool, new RealClock())
      loop.add(a, look(b))
      loop.add(b, look(a))
      const runner = runOnEventLoop(loop, [a, b])
      const address = inner === 4 ? '10.9.0.2' : 'fd09::2'
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
      const kind = (inner === 4 ? GsoType.Tcp4 : GsoType.Tcp6) | (outer === 4 ? GsoType.TunnelIpv4 : GsoType.TunnelIpv6)
      expect([...kinds.keys()]).toEqual([kind])
      expect(kinds.get(kind)).toBeGreaterThan(100)
      expect([...flags]).toEqual([checksum ? 9 : 1])
      expect(pool.report()).toMatchObject({ held: 0, dropped: {}, balanced: true })
    })
  }
})
