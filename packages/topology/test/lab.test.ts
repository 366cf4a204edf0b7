import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCapture } from '@l2l3/switch-core/pcap'
import { test as base, describe, expect, it } from 'vitest'
import { type Lab, type LabTopology, linuxProblem, runBase, TopologyError, topology } from '../src/index.ts'

const TWO: LabTopology = {
  nodes: {
    sw1: {
      mode: 'switch',
      endpoints: {
        red: { mac: '02:00:00:00:00:0a', ip: ['10.0.0.1/24', 'fd00::1/64'] },
        blue: { mac: '02:00:00:00:00:0b', ip: ['10.0.0.2/24', 'fd00::2/64'] },
      },
    },
  },
  checks: [{ ping: { from: 'red', to: 'blue' } }, { ping: { from: 'red', to: '10.0.0.9', count: 1 }, expect: 'fail' }],
}
const GREEN: LabTopology = {
  ...TWO,
  nodes: {
    sw1: { mode: 'switch', endpoints: { ...(TWO.nodes.sw1?.endpoints ?? {}), green: { ip: '10.0.0.3/24' } } },
  },
}

describe('a lab', () => {
  it('is a topology that runs until the end of its scope, and that hosts can try things in', async () => {
    await using lab = await topology(TWO)
    const red = lab.host('red')
    expect([red.mac, red.namespace, red.addresses.map((a) => a.text)]).toEqual([
      '02:00:00:00:00:0a',
      null,
      ['10.0.0.1', 'fd00::1'],
    ])
    expect(await red.ping('blue')).toMatchObject({
      ok: true,
      text: 'ping red -> blue (IPv4, 10.0.0.2)',
      detail: '3 of 3 answered',
    })
    expect(await red.ping('fd00::2', { count: 1 })).toMatchObject({ ok: true, detail: '1 of 1 answered' })
    expect(await red.ping('blue', { family: 6 })).toMatchObject({ text: 'ping red -> blue (IPv6, fd00::2)' })
    expect(await red.tcp('blue', { bytes: '20 kB' })).toMatchObject({ ok: true, detail: '20000 bytes, all intact' })
    expect(await red.udp('blue')).toMatchObject({ ok: true })
    expect(await red.http('blue')).toMatchObject({ ok: true })
    expect(await red.arp('blue')).toMatchObject({ ok: true })
    expect(await red.traceroute('blue')).toMatchObject({ ok: true })
    expect(await red.neigh('blue', { mac: '02:00:00:00:00:0b' })).toMatchObject({ ok: true })
  })

  it('says of what does not work that it does not, and does not throw', async () => {
    await using lab = await topology(TWO)
    const red = lab.host('red')
    expect(await red.ping('10.0.0.9', { count: 1 })).toMatchObject({ ok: false, detail: '0 of 1 answered: no answer' })
    expect(await red.ping('192.0.2.1')).toMatchObject({ ok: false, detail: expect.stringContaining('no route') })
    expect(await red.neigh('blue', { mac: '02:00:00:00:00:0c' })).toMatchObject({ ok: false })
  })

  it('runs its checks, and further ones in the form of a file', async () => {
    await using lab = await topology(TWO)
    expect((await lab.checks()).map((result) => [result.ok, result.text])).toEqual([
      [true, 'ping red -> blue (IPv4, 10.0.0.2)'],
      [true, 'ping red -> blue (IPv6, fd00::2)'],
      [true, 'ping red -> 10.0.0.9 (IPv4, must fail)'],
    ])
    const both = await lab.check({ tcp: { from: 'blue', to: 'red', bytes: 1000 } })
    expect(both.map((result) => result.text)).toEqual([
      'tcp blue -> red (IPv4, 10.0.0.1)',
      'tcp blue -> red (IPv6, fd00::1)',
    ])
  })

  it('can be looked into: tables, nodes, the world in memory', async () => {
    await using lab = await topology(TWO)
    await lab.host('red').ping('blue')
    expect((await lab.show('fdb')).map((e) => `${e.mac} ${e.port}`).sort()).toEqual([
      '02:00:00:00:00:0a red',
      '02:00:00:00:00:0b blue',
    ])
    expect((await lab.show('ledger')).balanced).toBe(true)
    expect(await lab.show('drops')).toEqual([])
    expect(lab.node('sw1').ports()).toEqual((await lab.snapshot()).ports)
    // Time is virtual, and passes when it is asked to.
    await lab.wait(301)
    expect(await lab.show('fdb')).toEqual([])
    lab.memory?.port('sw1/red').inject(new Uint8Array(10))
    lab.memory?.settle()
    const [drop] = await lab.show('drops')
    expect(drop).toMatchObject({ frames: 1, meaning: expect.stringMatching(/\.$/) })
  })

  it('follows what a host sends', async () => {
    await using lab = await topology(TWO)
    await lab.host('red').ping('blue')
    const { question, frames } = lab.trace('red', 'blue', { udp: 7 })
    expect(question).toContain('red -> blue')
    // Who blue is, is known from the ping.
    expect(frames.map((frame) => frame.role)).toEqual(['sent', 'answer'])
    expect(frames[0]?.steps.map((step) => step.kind)).toEqual(expect.arrayContaining(['enter', 'note', 'leave']))
  })

  it('takes changes while it runs', async () => {
    await using lab = await topology(TWO)
    expect((await lab.host('red').ping('10.0.0.3', { count: 1 })).ok).toBe(false)
    // Until red has given up asking who has the address, as any host would.
    await lab.wait(3)
    await lab.apply(GREEN)
    expect(await lab.host('red').ping('green')).toMatchObject({ ok: true })
    expect(await lab.host('green').ping('blue')).toMatchObject({ ok: true })
    await lab.apply(TWO)
    expect(() => lab.host('green')).toThrow('there is no host "green" in lab; there are red, blue')
    expect((await lab.host('red').ping('10.0.0.3', { count: 1 })).ok).toBe(false)
    await expect(lab.apply({ nodes: { sw1: { mode: 'swich' } } })).rejects.toThrow(TopologyError)
    expect((await lab.host('red').ping('blue')).ok).toBe(true)
  })

  it('captures what passes each port, for the test or into files', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'l2l3-lab-'))
    try {
      await using lab = await topology(TWO)
      const capture = await lab.capture(join(dir, 'captures'))
      await lab.host('red').ping('blue', { count: 2 })
      const captures = await capture.stop()
      await lab.host('red').ping('blue')
      expect(await capture.stop()).toBe(captures)
      expect([...captures.keys()].sort()).toEqual(['sw1/blue', 'sw1/red'])
      for (const [label, bytes] of captures) {
        expect(readFileSync(join(dir, 'captures', `${label.replace('/', '.')}.pcapng`)).equals(bytes)).toBe(true)
        // Two requests and two answers; ARP's request and answer.
        expect(frames(bytes)).toHaveLength(6)
      }
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  it('is made of a text or of a file as well', async () => {
    const text = 'name: written\nnodes:\n  sw1: { mode: switch, endpoints: { red: { ip: 10.0.0.1/24 } } }\n'
    const path = join(mkdtempSync(join(tmpdir(), 'l2l3-lab-')), 'filed.yaml')
    writeFileSync(path, text.replace('name: written\n', ''))
    for (const [source, name] of [
      [text, 'written'],
      [JSON.stringify({ ...TWO, name: 'json' }), 'json'],
      [path, 'filed'],
      [new URL(`file://${path}`), 'filed'],
    ] as const) {
      await using lab = await topology(source)
      expect(lab.topology.name).toBe(name)
      expect((await lab.host('red').ping('10.0.0.1')).text).toBe('ping red -> 10.0.0.1 (IPv4)')
    }
    await expect(topology('/nowhere/net.yaml')).rejects.toThrow('cannot read the topology /nowhere/net.yaml')
    rmSync(join(path, '..'), { recursive: true })
  })

  it('is refused by key where it is wrong, and by line where it has lines', async () => {
    const wrong = { nodes: { sw1: { mode: 'switch', endpoints: { red: { maac: 'x', ip: '10.0.0.1/33' } } } } }
    await expect(topology(wrong)).rejects.toThrow(
      /^lab: nodes\.sw1\.endpoints\.red\.maac: unknown key "maac"; did you mean "mac"\?$/,
    )
    await expect(topology('nodes:\n  sw1: { mode: swich }\n')).rejects.toThrow(/^lab:2:16: nodes\.sw1\.mode: /)
    await using lab = await topology(TWO)
    await expect(lab.check({ pnig: { from: 'red', to: 'blue' } })).rejects.toThrow(
      /^lab: checks\[0\]\.pnig: unknown key/,
    )
    await expect(lab.host('red').ping('bleu')).rejects.toThrow(
      'lab: checks[0].ping.to: there is no endpoint "bleu"; did you mean "blue"?',
    )
    await expect(lab.host('red').ping('blue', { count: 0 })).rejects.toThrow('checks[0].ping.count')
    expect(() => lab.host('rde')).toThrow('there is no host "rde" in lab; did you mean "red"?')
    expect(() => lab.node('sw2')).toThrow('there is no node "sw2" in lab; did you mean "sw1"?')
  })

  it('is stopped by a signal', async () => {
    await expect(topology(TWO, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
    const abort = new AbortController()
    await using lab = await topology(TWO, { signal: abort.signal })
    const long = lab.host('red').tcp('blue', { bytes: '100 GB', timeout: 3600 })
    setTimeout(() => abort.abort(new Error('enough')), 20)
    await expect(long).rejects.toThrow('enough')
  })
})

/** What a process holds that a lab could have left: files, sockets, namespaces, directories of runs, interfaces. */
function held(): string[] {
  const files = readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`]
    } catch {
      // The one by which the directory was read.
      return []
    }
  })
  const own = (dir: string): string[] => {
    return existsSync(dir) ? readdirSync(dir).filter((name) => name.includes(`-${process.pid}-`)) : []
  }
  const devices = existsSync('/sys/class/net')
    ? readdirSync('/sys/class/net').filter((name) => name.startsWith('l2l3-'))
    : []
  return [...files, ...own('/run/netns'), ...own(runBase()), ...devices]
}

/** How many things keep the process going, or wait for its end. */
function waiting(): number {
  const { _getActiveHandles: handles } = process as unknown as { _getActiveHandles(): unknown[] }
  return handles.call(process).length + process.getActiveResourcesInfo().length + process.listenerCount('exit')
}

/** Runs something, and expects that the process holds nothing more than before. */
async function leavesNothing(work: () => Promise<void>): Promise<void> {
  // What is there in any case once it has run: the addon, a worker.
  await work()
  const [files, before] = [held(), waiting()]
  await work()
  // Handles are gone when the event loop has come round.
  for (let i = 0; i < 50 && waiting() > before; i++) await new Promise((resolve) => setImmediate(resolve))
  expect(held().filter((name) => !files.includes(name))).toEqual([])
  expect(waiting()).toBeLessThanOrEqual(before)
}

it('leaves nothing behind, 100 in a row, of which some fail', async () => {
  let n = 0
  await leavesNothing(async () => {
    for (let i = 0; i < 50; i++) {
      if (i % 10 === 9) {
        await expect(topology({ nodes: { sw1: { mode: 'none' } } })).rejects.toThrow(TopologyError)
        continue
      }
      await using lab = await topology(TWO)
      await lab.capture()
      n += (await lab.host('red').ping('blue')).ok ? 1 : 0
    }
  })
  expect(n).toBe(90)
})

describe('a lab on Linux', async () => {
  const problem = await linuxProblem()

  it('is the same in namespaces, many side by side and in a row, and leaves nothing behind', async (context) => {
    if (problem !== null) return context.skip(problem)
    const one = async (): Promise<void> => {
      await using lab = await topology(TWO, { world: 'linux' })
      const { namespace } = lab.host('red')
      expect(existsSync(`/run/netns/${namespace}`)).toBe(true)
      expect(await lab.host('red').ping('blue')).toMatchObject({ ok: true, text: 'ping red -> blue (IPv4, 10.0.0.2)' })
      expect((await lab.show('fdb')).map((e) => e.mac)).toEqual(
        expect.arrayContaining(['02:00:00:00:00:0a', '02:00:00:00:00:0b']),
      )
    }
    await leavesNothing(async () => {
      await Promise.all([one(), one(), one()])
      for (let i = 0; i < 5; i++) await one()
      // A scope that ends by an error ends it as well.
      await expect(async () => {
        await using lab = await topology(TWO, { world: 'linux' })
        lab.host('nobody')
      }).rejects.toThrow(RangeError)
    })
    expect(readdirSync('/run/netns').filter((name) => name.includes(`-${process.pid}-`))).toEqual([])
  }, 120_000)

  it('takes changes and captures as in memory', async (context) => {
    if (problem !== null) return context.skip(problem)
    await using lab = await topology(TWO, { world: 'linux' })
    const capture = await lab.capture()
    await lab.apply(GREEN)
    expect(await lab.host('green').ping('red')).toMatchObject({ ok: true })
    const captures = await capture.stop()
    expect(frames(captures.get('sw1/red') as Uint8Array).length).toBeGreaterThanOrEqual(6)
    expect(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })).toContain(lab.host('green').namespace)
  }, 60_000)

  it('is where that can be had, and else in memory, with auto', async () => {
    await using lab = await topology(TWO, { world: 'auto' })
    expect(lab.memory === null).toBe(problem === null)
    expect((await lab.host('red').ping('blue')).ok).toBe(true)
  })
})

// As docs/lab.md has it.
const test = base.extend<{ lab: Lab }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of fixtures here
  lab: async ({}, use) => {
    await using lab = await topology(TWO)
    await use(lab)
  },
})

test('as a fixture', async ({ lab }) => {
  expect(await lab.host('red').ping('blue')).toMatchObject({ ok: true })
})

function frames(bytes: Uint8Array): Uint8Array[] {
  return Array.from(openCapture(bytes), (record) => record.data)
}
