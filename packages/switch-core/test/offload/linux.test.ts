import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import fc from 'fast-check'
import { expect, type TestContext, test } from 'vitest'
import { Batch } from '../../src/batch.ts'
import { type Frame, FramePool, MAX_FRAME } from '../../src/frame-pool.ts'
import { finish } from '../../src/offload.ts'
import { show } from '../wire/hex.ts'
import { type Shape, type SuperFrame, superFrame } from './super-frames.ts'
import { type Outer, type TunnelFrame, tunnelFrame } from './tunnel-frames.ts'

/* The same super-frames through a Linux kernel and through `finish`: the same bytes. */

type Whole = SuperFrame & Partial<TunnelFrame>

function ours(s: Shape, big: Whole, summed = false): string[] {
  const pool = new FramePool({ frames: 160, frameSize: MAX_FRAME })
  const f = pool.from(big.bytes) as Frame
  pool.flags[f] = summed ? 9 : 1
  pool.gsoType[f] = big.gsoType
  pool.gsoSize[f] = s.size
  pool.csumStart[f] = big.csumStart
  pool.csumOffset[f] = big.csumOffset
  pool.outerL4[f] = big.outerL4 ?? 0
  pool.innerL3[f] = big.innerL3 ?? 0
  const batch = new Batch()
  batch.push(f)
  const frames: string[] = []
  const write = (b: Batch) => {
    for (const g of b.frames.subarray(0, b.length)) {
      frames.push(show(pool.view(g as Frame)))
      pool.release(g as Frame)
    }
  }
  finish(pool, batch, 0, write, (_, why) => frames.push(`lost ${why}`))
  return frames
}

function virtioHeader(s: Shape, big: Whole, size: 10 | 24, summed = false): string {
  const b = Buffer.alloc(size)
  b[0] = summed ? 9 : 1
  b[1] = big.gsoType | ((s.flags ?? 0) & 0x80 && s.transport === 'tcp' ? 0x80 : 0)
  b.writeUInt16LE(big.data, 2)
  b.writeUInt16LE(s.size, 4)
  b.writeUInt16LE(big.csumStart, 6)
  b.writeUInt16LE(big.csumOffset, 8)
  if (size === 24) {
    b.writeUInt16LE(big.outerL4 ?? 0, 20)
    b.writeUInt16LE(big.innerL3 ?? 0, 22)
  }
  return b.toString('hex')
}

const missing =
  process.getuid?.() !== 0
    ? 'not root'
    : !existsSync('/dev/net/tun')
      ? 'no /dev/net/tun'
      : spawnSync('unshare', ['-n', 'python3', '-c', '']).status !== 0
        ? 'no unshare or python3'
        : ''

const shape = fc.record({
  transport: fc.constantFrom('tcp' as const, 'udp' as const),
  version: fc.constantFrom(4 as const, 6 as const),
  tags: fc.constantFrom<number[]>([], [100], [200, 100]),
  segments: fc.integer({ min: 2, max: 60 }),
  size: fc.constantFrom(100, 536, 1000, 1440, 1448, 1460, 8000),
  rest: fc.integer({ min: 1, max: 100 }),
  flags: fc.constantFrom(0x10, 0x18, 0x19, 0x90, 0x99, 0x50),
  seq: fc.nat(0xffffffff),
  id: fc.nat(0xffff),
  ipOptions: fc.constantFrom(0, 0, 8),
  tcpOptions: fc.constantFrom(0, 12),
})

function sample(numRuns: number, seed: number): Shape[] {
  return fc
    .sample(shape, { numRuns, seed })
    .map((s) => ({ ...s, payload: Math.min((s.segments - 1) * s.size + s.rest, 64_000) }))
}

/** What the kernel makes of [virtio-net header, frame, number of segments] each; undefined where it cannot be asked. */
function ask(context: TestContext, input: unknown[], headerSize: 10 | 24): string[][] {
  const script = new URL('linux-segments.py', import.meta.url).pathname
  const kernel = spawnSync('unshare', ['-n', 'python3', script, String(headerSize)], {
    input: JSON.stringify(input),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  if (kernel.status !== 0) context.skip(`the kernel did not answer: ${kernel.stderr.trim().split('\n').at(-1)}`)
  return JSON.parse(kernel.stdout) as string[][]
}

const skipped = missing && ` (skipped: ${missing})`

test.skipIf(missing)(`a Linux kernel cuts the same segments${skipped}`, (context) => {
  const shapes = sample(120, 42)
  const expected = shapes.map((s) => ours(s, superFrame(s)))
  const input = shapes.map((s, i) => {
    const big = superFrame(s)
    return [virtioHeader(s, big, 10), show(big.bytes), expected[i]?.length]
  })
  // A kernel before 6.2 refuses UDP super-frames, one without bridges everything: then there is nobody to ask.
  const answers = ask(context, input, 10)
  for (const [i, s] of shapes.entries()) expect(expected[i], JSON.stringify(s)).toEqual(answers[i])
})

test.skipIf(missing)(`a Linux kernel cuts the same segments out of tunnels${skipped}`, (context) => {
  const outer = fc.record({
    over: fc.constantFrom(4 as const, 6 as const),
    header: fc.constantFrom(8, 8, 12, 40),
    summed: fc.boolean(),
    outerId: fc.constantFrom(0, 1, 0xfffe),
  })
  const tunnels = fc.sample(outer, { numRuns: 160, seed: 43 })
  const shapes = sample(tunnels.length, 44).map((s) => ({ ...s, payload: Math.min(s.payload, 63_000) }))
  const wholes = shapes.map((s, i) => tunnelFrame(s, tunnels[i] as Outer))
  const expected = shapes.map((s, i) => ours(s, wholes[i] as TunnelFrame, tunnels[i]?.summed))
  const input = shapes.map((s, i) => {
    const big = wholes[i] as TunnelFrame
    return [virtioHeader(s, big, 24, tunnels[i]?.summed), show(big.bytes), expected[i]?.length]
  })
  // Before 6.17 there is no header of 24 bytes.
  const answers = ask(context, input, 24)
  for (const [i, s] of shapes.entries()) {
    expect(expected[i], JSON.stringify([s, tunnels[i]])).toEqual(answers[i])
  }
})
