/**
 * arping, ndisc6 and ping against ours, over a TAP: the kernel in a namespace asks for 10.77.0.2 and fe80::2, which
 * are our interface's and our responder's.
 *
 *     arping, ndisc6, ping [ kernel, 10.77.0.1 ] tap0 ── TapPort ── table.input ── Responder ── echo
 */
import { type ExecFileException, execFile, execFileSync, spawnSync } from 'node:child_process'
import { type Batch, type Element, type Frame, FramePool, Loop, Pipeline, RealClock } from '@l2l3/switch-core'
import { copy, eth, icmp, ipv4, u32 } from '@l2l3/switch-core/wire'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Runner, runOnEventLoop, TapPort, tunAvailable } from '../../tap-io/src/index.ts'
import { KnownNeighbours, NeighbourTable, Responder } from '../src/index.ts'

const OURS = '02:00:00:00:00:02'
const POD = '02:00:00:00:00:33'

/** Answers echo requests, and sends the answer to the next hop that the table knows: what a router would do. */
class Echo implements Element {
  readonly #pool: FramePool
  readonly #table: NeighbourTable
  constructor(pool: FramePool, table: NeighbourTable) {
    this.#pool = pool
    this.#table = table
  }
  process(batch: Batch): void {
    const { bytes: b, off, len } = this.#pool
    for (let i = 0; i < batch.length; i++) {
      const f = batch.frames[i] as Frame
      const o = off[f] as number
      const l3 = o + eth.HLEN
      const l4 = eth.type(b, o) === eth.EtherType.IPv4 ? ipv4.check(b, l3, o + (len[f] as number)) : -1
      if (l4 === -1 || ipv4.protocol(b, l3) !== ipv4.Protocol.Icmp || b[l4] !== icmp.Type.Echo) {
        this.#pool.drop(f, 17)
        continue
      }
      const asker = u32(b, l3 + ipv4.SRC)
      copy(b, l3 + ipv4.SRC, b, l3 + ipv4.DST, 4)
      new DataView(b.buffer).setUint32(l3 + ipv4.DST, asker)
      b[l4] = icmp.Type.EchoReply
      icmp.fillChecksum(b, l4, l3 + ipv4.totalLength(b, l3))
      eth.copyMac(b, o + eth.SRC, this.#table.mac)
      if (this.#table.resolve4(f, asker)) this.#table.client.resolved(f)
    }
    batch.length = 0
  }
}

const netns = `arp-tools-${process.pid}`
const tun = tunAvailable()
const why = process.getuid?.() !== 0 ? 'needs root (namespaces, TAP)' : tun.ok ? '' : tun.reason
const has = (tool: string): boolean => spawnSync('which', [tool]).status === 0

/** Runs a tool in the namespace, while the loop here turns. */
function tool(...command: string[]): Promise<{ code: number; said: string }> {
  return new Promise((done) => {
    execFile('ip', ['netns', 'exec', netns, ...command], (error: ExecFileException | null, out, err) => {
      done({ code: typeof error?.code === 'number' ? error.code : 0, said: out + err })
    })
  })
}

describe('over a TAP', () => {
  let tap: TapPort
  let runner: Runner
  let table: NeighbourTable
  let pool: FramePool
  beforeAll(async () => {
    if (why) return
    execFileSync('ip', ['netns', 'add', netns])
    pool = new FramePool({ frames: 256 })
    const loop = new Loop(pool, new RealClock())
    tap = TapPort.open(pool, { name: 'tap0', netns, mac: '0e:00:00:00:00:01' })
    execFileSync('ip', ['netns', 'exec', netns, 'sh', '-ec', 'ip addr add 10.77.0.1/24 dev tap0; ip link set lo up'])
    const out = loop.link(tap)
    table = new NeighbourTable(pool, loop.clock, {
      mac: OURS,
      out,
      addresses: ['10.77.0.2/24', 'fe80::2/64'],
      client: { resolved: (f) => out.push(f), failed: (f) => pool.drop(f, 17) },
    })
    const known = new KnownNeighbours()
    known.set('10.77.0.33', POD)
    known.set('fe80::33', POD)
    loop.add(tap, new Pipeline(table.input, new Responder(pool, { out, known }), new Echo(pool, table)))
    loop.every(1e8, table)
    runner = runOnEventLoop(loop, [tap])
    // The kernel's own link-local address takes a second or two to come out of duplicate address detection.
    for (let i = 0; i < 60; i++) {
      const { said } = await tool('ip', '-6', 'addr', 'show', 'dev', 'tap0')
      if (said.includes('fe80') && !said.includes('tentative')) break
      await new Promise((done) => setTimeout(done, 100))
    }
  })
  afterAll(async () => {
    if (why) return
    await runner.stop()
    tap.close()
    spawnSync('ip', ['netns', 'del', netns])
    expect(pool.report()).toMatchObject({ balanced: true })
  })
  beforeEach((context) => {
    if (why) context.skip(why)
  })
  const needs = (context: { skip(note: string): void }, name: string): void => {
    if (!has(name)) context.skip(`needs ${name}`)
  }

  it('arping hears our interface, and the address that we answer for', async (context) => {
    needs(context, 'arping')
    const own = await tool('arping', '-c', '2', '-w', '3', '-I', 'tap0', '10.77.0.2')
    expect(own.said).toContain(`[${OURS.toUpperCase()}]`)
    expect(own.said).toContain('Received 2 response')
    const pod = await tool('arping', '-c', '1', '-w', '3', '-I', 'tap0', '10.77.0.33')
    expect(pod.said).toContain(`[${POD.toUpperCase()}]`)
    expect(table.get('10.77.0.1')).toMatchObject({ mac: '0e:00:00:00:00:01', state: 'stale' })
  })

  it('arping -D finds our addresses taken, and another free', async (context) => {
    needs(context, 'arping')
    expect((await tool('arping', '-D', '-c', '1', '-w', '2', '-I', 'tap0', '10.77.0.2')).code).toBe(1)
    expect((await tool('arping', '-D', '-c', '1', '-w', '2', '-I', 'tap0', '10.77.0.33')).code).toBe(1)
    expect((await tool('arping', '-D', '-c', '1', '-w', '1', '-I', 'tap0', '10.77.0.99')).code).toBe(0)
  })

  it('ndisc6 hears our interface, and the address that we answer for', async (context) => {
    needs(context, 'ndisc6')
    const own = await tool('ndisc6', '-1', 'fe80::2', 'tap0')
    expect(own.said).toContain(`Target link-layer address: ${OURS}`)
    const pod = await tool('ndisc6', '-1', 'fe80::33', 'tap0')
    expect(pod.said).toContain(`Target link-layer address: ${POD}`)
    const nobody = await tool('ndisc6', '-1', '-r', '1', '-w', '300', 'fe80::99', 'tap0')
    expect(nobody.said).not.toContain('link-layer address')
  })

  it('the kernel refuses fe80::2 for itself: our answer to its duplicate address detection', async () => {
    await tool('ip', '-6', 'addr', 'add', 'fe80::2/64', 'dev', 'tap0')
    let said = ''
    for (let i = 0; i < 40 && !said.includes('dadfailed'); i++) {
      said = (await tool('ip', '-6', 'addr', 'show', 'dev', 'tap0')).said
      await new Promise((done) => setTimeout(done, 50))
    }
    expect(said).toContain('dadfailed')
    await tool('ip', '-6', 'addr', 'del', 'fe80::2/64', 'dev', 'tap0')
  })

  it('ping gets answers by a neighbour that we had to ask for', async (context) => {
    needs(context, 'ping')
    table.remove('10.77.0.1')
    const { said } = await tool('ping', '-c', '3', '-i', '0.2', '-w', '5', '10.77.0.2')
    expect(said).toContain('3 received')
    expect(table.get('10.77.0.1')).toMatchObject({ mac: '0e:00:00:00:00:01' })
    const neigh = await tool('ip', 'neigh', 'show', '10.77.0.2')
    expect(neigh.said).toContain(`lladdr ${OURS}`)
  })
})
