import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Snapshot } from '@l2l3/topology'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { askApply, askDown, askSnapshot, askTrace } from '../src/ask.ts'
import { type Answers, type ControlLimits, ControlServer } from '../src/control.ts'

/*
 * The control socket by itself: a running topology is stood for by a few functions. What is put on the socket is written out
 * where it is not a question of ours.
 */

const SNAPSHOT = { name: 'two', ports: [], ledger: { balanced: true } } as unknown as Snapshot

let dir: string
let path: string
let server: ControlServer | undefined

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'l2l3-control-'))
  path = join(dir, 'control.sock')
})
afterEach(() => {
  server?.close()
  rmSync(dir, { recursive: true })
})

async function serve(answers: Partial<Answers> = {}, limits: Partial<ControlLimits> = {}): Promise<void> {
  const all: Answers = {
    snapshot: async () => SNAPSHOT,
    apply: async () => [],
    trace: async () => ({}),
    down: () => {},
    ...answers,
  }
  server = await ControlServer.listen(path, all, limits)
}

/** Says something, and gives what comes back until the other end closes. With `end` this side is closed after it. */
function talk(said: string | Uint8Array, end = true): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ path, allowHalfOpen: true })
    let text = ''
    socket.on('connect', () => {
      socket.write(said)
      if (end) socket.end()
    })
    socket.on('data', (data) => {
      text += data
    })
    socket.on('error', () => {})
    socket.on('end', () => socket.end())
    socket.on('close', () => resolve(text))
  })
}

const lines = (text: string): Record<string, unknown>[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))

it('is its owner’s alone, and gone when closed', async () => {
  await serve()
  expect((statSync(path).mode & 0o777).toString(8)).toBe('600')
  server?.close()
  expect(existsSync(path)).toBe(false)
})

it('answers each question with what it asks for', async () => {
  const heard: unknown[] = []
  await serve({
    apply: async (topology, file, dry) => {
      heard.push([topology, file, dry])
      return [{ text: '+ endpoint sw1/green', restart: null }]
    },
    trace: async (question, onTrace) => {
      heard.push(question)
      onTrace({ steps: 1 })
      onTrace({ steps: 2 })
      return { seen: 9, matched: 3, traced: 2 }
    },
    down: () => heard.push('down'),
  })
  expect(await askSnapshot(path)).toEqual(SNAPSHOT)
  expect(await askApply(path, 'nodes: {}\n', 'two.yaml', true)).toEqual([
    { text: '+ endpoint sw1/green', restart: null },
  ])
  const traces: unknown[] = []
  expect(await askTrace(path, { filter: 'icmp', count: 2 }, (trace) => traces.push(trace))).toEqual({
    ...{ seen: 9, matched: 3, traced: 2, skipped: 0 },
  })
  expect(traces).toEqual([{ steps: 1 }, { steps: 2 }])
  await askDown(path)
  expect(heard).toEqual([['nodes: {}\n', 'two.yaml', true], { filter: 'icmp', count: 2 }, 'down'])
})

it('hands on what an answer throws, and lives', async () => {
  await serve({ apply: () => Promise.reject(new Error('net.yaml:3:5: nodes.a: a mode takes a restart')) })
  await expect(askApply(path, '', 'net.yaml', false)).rejects.toThrow('net.yaml:3:5: nodes.a: a mode takes a restart')
  expect(await askSnapshot(path)).toEqual(SNAPSHOT)
})

it('answers what is no question with an error, in order with what is one', async () => {
  await serve()
  const said = await talk(
    'nonsense\nnull\n[]\n7\n\n{"ask":1}\n{"ask":"apply"}\n{"ask":"apply","topology":"x","dry":"yes"}\n' +
      '{"ask":"trace","count":-1}\n{"ask":"trace","filter":{}}\n{"ask":"snapshot"}\n',
  )
  expect(lines(said).map((line) => Object.keys(line)[0])).toEqual([...Array(9).fill('error'), 'snapshot'])
})

it('answers all that was asked by one who has closed its side, once each, in order', async () => {
  let n = 0
  await serve({ snapshot: async () => ({ ...SNAPSHOT, name: String(n++) }) })
  const said = lines(await talk('{"ask":"snapshot"}\n'.repeat(50)))
  expect(said.map((line) => (line.snapshot as Snapshot).name)).toEqual(Array.from({ length: 50 }, (_, i) => String(i)))
})

it('survives anything at all', async () => {
  await serve({}, { longest: 512, idle: 200 })
  const anything = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }),
    fc.string({ maxLength: 600 }).map((text) => Buffer.from(`${text}\n`)),
    fc.json().map((text) => Buffer.from(`${text}\n`)),
    fc.json().map((value) => Buffer.from(`{"ask":"trace","filter":${value},"count":${value}}\n`)),
  )
  await fc.assert(
    fc.asyncProperty(anything, async (bytes) => {
      for (const line of lines(await talk(bytes))) expect(Object.keys(line)).not.toContain('snapshot')
    }),
    { numRuns: 100 },
  )
  expect(await askSnapshot(path)).toEqual(SNAPSHOT)
})

it('closes on a line that has no end, and on one who says nothing', async () => {
  await serve({}, { longest: 1000, idle: 100 })
  expect(await talk('x'.repeat(1001), false)).toBe('')
  expect(await talk('{"ask":', false)).toBe('')
})

it('closes on one who does not read, and answers others meanwhile', async () => {
  const large = { ...SNAPSHOT, name: 'x'.repeat(4_000_000) }
  await serve({ snapshot: async () => large }, { patience: 2000 })
  const socket = connect(path)
  const closed = new Promise((resolve) => socket.on('close', resolve))
  socket.on('error', () => {})
  socket.write('{"ask":"snapshot"}\n'.repeat(3))
  socket.pause()
  expect((await askSnapshot(path)).name).toHaveLength(4_000_000)
  await new Promise((resolve) => setTimeout(resolve, 3000))
  let got = 0
  socket.on('data', (data) => {
    got += data.length
  })
  socket.resume()
  await closed
  expect(got).toBeLessThan(4_000_000)
})

it('answers so many at once and no more', async () => {
  await serve({}, { clients: 3 })
  const sockets = await Promise.all(
    [1, 2, 3].map(
      () =>
        new Promise<Socket>((resolve) => {
          const socket = connect(path, () => resolve(socket))
        }),
    ),
  )
  await new Promise((resolve) => setTimeout(resolve, 50))
  await expect(askSnapshot(path)).rejects.toThrow('3 clients are being answered already')
  for (const socket of sockets) socket.destroy()
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(await askSnapshot(path)).toEqual(SNAPSHOT)
})

it('answers one while another waits for a long answer', async () => {
  let finish = (): void => {}
  await serve({
    apply: () =>
      new Promise((resolve) => {
        finish = () => resolve([])
      }),
  })
  const waiting = askApply(path, '', '', false)
  expect(await askSnapshot(path)).toEqual(SNAPSHOT)
  finish()
  expect(await waiting).toEqual([])
})

it('stops tracing when its client goes or has had enough, and counts what a slow one has no room for', async () => {
  const stopped: string[] = []
  const trace: Answers['trace'] = async (question, onTrace, signal) => {
    for (let i = 0; i < 3000 && !signal.aborted; i++) {
      onTrace({ i, bytes: 'x'.repeat(1000) })
      if (question.filter === 'forever') {
        await new Promise((resolve) => setTimeout(resolve, 1))
        i = 0
      }
    }
    stopped.push(question.filter ?? '')
    return { seen: 1, matched: 1, traced: 1 }
  }
  await serve({ trace }, { waiting: 100_000 })
  const abort = new AbortController()
  // What it has to say at the end is still heard.
  expect(await askTrace(path, { filter: 'forever' }, () => abort.abort(), abort.signal)).toMatchObject({ seen: 1 })
  for (let i = 0; i < 100 && stopped.length === 0; i++) await new Promise((resolve) => setTimeout(resolve, 10))
  expect(stopped).toEqual(['forever'])
  // 3 MB at once, of which 100 kB may wait.
  let heard = 0
  const { skipped } = await askTrace(path, { filter: 'burst' }, () => heard++)
  expect(heard + skipped).toBe(3000)
  expect(heard).toBeGreaterThan(50)
  expect(skipped).toBeGreaterThan(1000)
})

it('says in a sentence that nobody answers', async () => {
  await expect(askSnapshot(path)).rejects.toThrow(`the running topology does not answer questions at ${path}`)
  await serve({ snapshot: () => new Promise(() => {}) })
  const asked = askSnapshot(path)
  await new Promise((resolve) => setTimeout(resolve, 50))
  server?.close()
  await expect(asked).rejects.toThrow('the running topology ended before it answered')
})
