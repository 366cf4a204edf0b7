/**
 * Answers to what does not fit, ours beside the kernel's: the same frames go into a bridge with a vxlan device over a link of
 * 1,450 bytes.
 *
 *     our TAP ── br0 ── vxlan 16 ── 192.168.77.1, MTU 1,450
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { Batch, type Element, type Frame, FramePool, Loop, RealClock } from '@l2l3/switch-core'
import { eth, ipv4 } from '@l2l3/switch-core/wire'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { type Runner, runOnEventLoop, TapPort, tunAvailable } from '../../tap-io/src/index.ts'
import { packetLength, TooBig } from '../src/index.ts'
import { flat, hex, packet, show } from './ip-tunnel-lab.ts'

const netns = `l2l3-toobig-${process.pid}`
const tun = tunAvailable()
const why = process.getuid?.() !== 0 ? 'needs root (namespaces, TAP)' : tun.ok ? '' : tun.reason

const SET_UP = `
ip link set lo up
sysctl -qw net.ipv6.conf.all.disable_ipv6=1
ip link add under type veth peer name wire
ip link set wire up mtu 1450
ip link set under up mtu 1450
ip addr add 192.168.77.1/24 dev under
ip neigh add 192.168.77.2 lladdr 02:00:00:00:00:0b dev under
ip link add br0 type bridge mcast_snooping 0
ip link set br0 up
ip link add vx0 mtu 1500 type vxlan id 16 local 192.168.77.1 remote 192.168.77.2 dstport 4789
ip link set vx0 master br0 up
ip link set tap0 master br0 up
`
const FITS = 1400

/** What the kernel answered, by the MAC of who asked. */
const answers = new Map<string, string[]>()
let pool: FramePool
let tap: TapPort
let runner: Runner

beforeAll(async () => {
  if (why) return
  execFileSync('ip', ['netns', 'add', netns])
  pool = new FramePool({ frames: 512, frameSize: 2000 })
  const loop = new Loop(pool, new RealClock())
  tap = TapPort.open(pool, { name: 'tap0', netns, mac: '0e:00:00:00:00:01', offloads: false })
  execFileSync('ip', ['netns', 'exec', netns, 'sh', '-ec', SET_UP])
  const listen: Element = {
    process(batch) {
      for (let i = 0; i < batch.length; i++) {
        const text = show(pool.view(batch.frames[i] as Frame))
        answers.set(text.slice(0, 12), [...(answers.get(text.slice(0, 12)) ?? []), text])
        pool.sent(batch.frames[i] as Frame)
      }
      batch.length = 0
    },
  }
  loop.add(tap, listen)
  runner = runOnEventLoop(loop, [tap])
  // A bridge's port learns before it forwards.
  for (let i = 0; i < 50; i++) {
    const said = execFileSync('ip', ['netns', 'exec', netns, 'bridge', 'link', 'show', 'dev', 'tap0'], {
      encoding: 'utf8',
    })
    if (said.includes('state forwarding')) break
    await new Promise((done) => setTimeout(done, 100))
  }
})
afterAll(async () => {
  if (why) return
  await runner?.stop()
  tap?.close()
  spawnSync('ip', ['netns', 'del', netns])
})
beforeEach((context) => {
  if (why) context.skip(why)
})

/** The first, or one time in six another. */
const mostly = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) })

/** Frames of all kinds, most of which are near to what fits. */
const frames = fc.record({
  v6: fc.boolean(),
  length: fc.constantFrom(900, 1400, 1401, 1402, 1450, 1499, 1500),
  to: mostly('020000000002', 'ffffffffffff', '33330000000a'),
  ttl: fc.integer({ min: 1, max: 255 }),
  tos: fc.nat(255),
  bits: mostly(0x4000, 0, 0x2000, 0x6000, 0x4001),
  protocol: fc.constantFrom(1, 6, 17, 58),
  src4: mostly('10.244.1.5', '0.0.0.0', '127.0.0.1', '224.1.2.3', '255.255.255.255'),
  dst4: mostly('10.244.2.7', '224.1.2.3', '255.255.255.255'),
  // The kernel answers to ::1 and to groups, too, and we do not: no packet comes from there over a wire.
  src6: mostly('fd01::1', '::'),
  type4: fc.constantFrom(0, 3, 4, 5, 8, 11, 12, 13),
  // The kernel takes types of errors that there are not for no errors.
  type6: fc.constantFrom(1, 2, 3, 4, 128, 129, 137),
})

it('the kernel gives the same answers to the same frames, and none where we give none', async () => {
  const cases = fc.sample(frames, { numRuns: 250, seed: 4 }).map((c, i) => {
    const from = `0200000001${i.toString(16).padStart(2, '0')}`
    const header = c.v6 ? 40 : 20
    const type = c.v6 ? c.type6 : c.type4
    const payload = `${type.toString(16).padStart(2, '0')}00${'00'.repeat(c.length - header - 2)}`
    const addresses = c.v6 ? { src: c.src6, dst: 'fd01::2' } : { src: c.src4, dst: c.dst4 }
    const ip = hex(packet({ ...addresses, ttl: c.ttl, tos: c.tos, protocol: c.protocol, payload }))
    if (!c.v6) {
      ip[6] = c.bits >>> 8
      ip[7] = c.bits & 255
      ipv4.fillChecksum(ip, 0)
    }
    return { from, frame: hex(flat(`${c.to} ${from} ${c.v6 ? '86dd' : '0800'} ${show(ip)}`)) }
  })
  const own = new TooBig(pool)
  let given = 0
  const ours = new Map<string, string[]>()
  for (const { from, frame } of cases) {
    const f = pool.from(frame) as Frame
    pool.ledger.originate(1)
    if (packetLength(pool, f, pool.off[f]! + eth.HLEN) > FITS) {
      const g = own.answer(f, FITS)
      if (g !== -1) {
        ours.set(from, [show(pool.view(g))])
        pool.sent(g)
        given++
      }
    }
    pool.sent(f)
  }
  expect(given).toBeGreaterThan(50)
  const batch = new Batch()
  for (const { frame } of cases) {
    const f = pool.from(frame) as Frame
    pool.ledger.originate(1)
    batch.push(f)
    tap.process(batch)
    batch.length = 0
    await new Promise((done) => setTimeout(done, 1))
  }
  for (let i = 0; i < 30 && answers.size < given; i++) await new Promise((done) => setTimeout(done, 50))
  await new Promise((done) => setTimeout(done, 200))
  const ofKernel = new Map([...answers].filter(([mac]) => mac.startsWith('0200000001')))
  for (const { from, frame } of cases) {
    expect([show(frame.subarray(0, 60)), ofKernel.get(from) ?? null]).toEqual([
      show(frame.subarray(0, 60)),
      ours.get(from) ?? null,
    ])
  }
})
