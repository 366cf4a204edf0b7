import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Batch } from '../../src/batch.ts'
import { type Frame, FramePool, MAX_FRAME } from '../../src/frame-pool.ts'
import { finish } from '../../src/offload.ts'
import { show } from '../wire/hex.ts'
import { type Shape, superFrame } from './super-frames.ts'

/* The same super-frames through a Linux kernel and through `finish`: the same bytes. */

function ours(s: Shape): string[] {
  const pool = new FramePool({ frames: 160, frameSize: MAX_FRAME })
  const big = superFrame(s)
  const f = pool.from(big.bytes) as Frame
  pool.flags[f] = 1
  pool.gsoType[f] = big.gsoType
  pool.gsoSize[f] = s.size
  pool.csumStart[f] = big.csumStart
  pool.csumOffset[f] = big.csumOffset
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

function virtioHeader(s: Shape): string {
  const big = superFrame(s)
  const b = Buffer.alloc(10)
  b[0] = 1
  b[1] = big.gsoType | ((s.flags ?? 0) & 0x80 && s.transport === 'tcp' ? 0x80 : 0)
  b.writeUInt16LE(big.data, 2)
  b.writeUInt16LE(s.size, 4)
  b.writeUInt16LE(big.csumStart, 6)
  b.writeUInt16LE(big.csumOffset, 8)
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

test.skipIf(missing)(`a Linux kernel cuts the same segments${missing && ` (skipped: ${missing})`}`, (context) => {
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
  const shapes: Shape[] = fc
    .sample(shape, { numRuns: 120, seed: 42 })
    .map((s) => ({ ...s, payload: Math.min((s.segments - 1) * s.size + s.rest, 64_000) }))
  const expected = shapes.map(ours)
  const input = shapes.map((s, i) => [virtioHeader(s), show(superFrame(s).bytes), expected[i]?.length])
  const script = new URL('linux-segments.py', import.meta.url).pathname
  const kernel = spawnSync('unshare', ['-n', 'python3', script], {
    input: JSON.stringify(input),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  })
  // A kernel before 6.2 refuses UDP super-frames, one without bridges everything: then there is nobody to ask.
  if (kernel.status !== 0) context.skip(`the kernel did not answer: ${kernel.stderr.trim().split('\n').at(-1)}`)
  const answers = JSON.parse(kernel.stdout) as string[][]
  for (const [i, s] of shapes.entries()) expect(expected[i], JSON.stringify(s)).toEqual(answers[i])
})
