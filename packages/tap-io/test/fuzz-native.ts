/*
 * A program that the tests run: calls every function of the addon with garbage, and reads and writes batches whose columns
 * are garbage, on a real TAP and with the arena between two guards. Says how much of it there was; whatever it must not do
 * - crash, write outside the slots of the rows it was given - ends it with another status.
 */
import { execFileSync } from 'node:child_process'
import { FramePool, MAX_FRAME } from '@l2l3/switch-core'
import { tunnelFrame } from '../../switch-core/test/offload/tunnel-frames.ts'
import { type Native, native, poolArrays } from '../src/native.ts'

let seed = Number(process.argv[2] ?? 1) >>> 0
function dice(n: number): number {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((seed / 2 ** 32) * n)
}
const pick = <T>(...of: T[]): T => of[dice(of.length)] as T

const addon: Native = native()
let calls = 0
let frames = 0

function wrongCalls(): void {
  const garbage = (): unknown =>
    pick<() => unknown>(
      () => undefined,
      () => null,
      () => dice(40) - 5,
      () => 2 ** 31 * dice(5),
      () => Number.NaN,
      () => 'x'.repeat(dice(5000)),
      () => 'lo\0',
      () => new Uint8Array(dice(8)),
      () => new Int32Array(dice(4)),
      () => new Float64Array(3),
      () => new DataView(new ArrayBuffer(4)),
      () => [new Uint8Array(1), new Uint32Array(0)],
      () => ({}),
      () => () => {},
      () => 10n,
      () => Symbol('x'),
    )()
  for (let i = 0; i < 20_000; i++) {
    const name = pick(...(Object.keys(addon) as (keyof Native)[]))
    // Not those that would act on descriptors of this program that are none of its business.
    const args = Array.from({ length: dice(6) }, garbage)
    if (name === 'idle' && typeof args[2] === 'number') args[2] = 0
    if (name === 'idle' && typeof args[1] === 'number') args[1] = 0
    try {
      const result = (addon[name] as (...args: unknown[]) => unknown)(...args)
      if (name === 'watch' && result === true) addon.close(args[0] as number)
      if (
        (name === 'open' || name === 'openUdp' || name === 'openPacket' || name === 'icmp') &&
        (result as { handle?: number }).handle !== undefined
      ) {
        addon.close((result as { handle: number }).handle)
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error
    }
    calls++
  }
}

/** Columns full of garbage, some of it nearly right. */
function garbageColumns(vnet: boolean): void {
  const pool = new FramePool({ frames: 16, frameSize: vnet ? MAX_FRAME : 300 })
  // The arena of the addon is the middle of a larger one, so that what it writes outside is seen.
  const { stride } = pool
  const whole = new Uint8Array(18 * stride)
  const arena = whole.subarray(stride, 17 * stride)
  const rows = new Uint32Array(64)
  const result = new Int32Array(5 + 64)
  const opened = addon.open(null, 'fuzz%d', (vnet ? 4 | 16 : 0) | 8, null, Int32Array.of(0, -1, 0))
  if (opened.errno !== 0) throw new Error(`open: step ${opened.step} errno ${opened.errno}`)
  const { off, len, flags, gsoType, gsoSize, hdrLen, csumStart, csumOffset, outerL4, innerL3 } = pool
  const columns = [arena, ...poolArrays(pool, rows, result).slice(1)]
  addon.bind(opened.handle, pool.frames, stride, pool.frameSize, columns)

  // What comes in: echo requests of all sizes, of which the kernel has many to send on this interface.
  const ip = (...args: string[]) => execFileSync('ip', args)
  ip('addr', 'add', '10.1.0.1/24', 'dev', opened.name)
  ip('neigh', 'add', '10.1.0.2', 'lladdr', '02:00:00:00:00:0b', 'dev', opened.name)
  const echo = addon.icmp(null, 4, '10.1.0.2', opened.name)
  const message = new Uint8Array(3000)
  let read = 0

  const offset = (row: number) =>
    pick(dice(2 ** 32), row * stride + dice(stride), row * stride, (row + 1) * stride - dice(20), 0, 2 ** 32 - 1)
  const length = () => pick(dice(2 ** 32), dice(100), dice(stride + 20), stride, 0, 2 ** 32 - 1)
  for (let round = 0; round < 4000; round++) {
    const guarded = round % 50 === 0
    if (guarded) whole.fill(0xa5)
    const given = new Set<number>()
    const n = dice(64)
    for (let i = 0; i < n; i++) {
      const row = pick(dice(16), dice(16), dice(16), dice(2 ** 32), 16)
      rows[i] = row
      if (row >= 16) continue
      off[row] = offset(row)
      len[row] = length()
      flags[row] = dice(256)
      gsoType[row] = pick(0, 0, 1, 4, 5, 0x21, 0x44, dice(256))
      gsoSize[row] = pick(1400, dice(65_536))
      hdrLen[row] = dice(65_536)
      csumStart[row] = pick(34, 84, dice(65_536))
      outerL4[row] = pick(34, 54, dice(65_536))
      innerL3[row] = pick(64, 84, dice(65_536))
      csumOffset[row] = pick(6, 16, dice(65_536))
    }
    frames += addon.write(opened.handle, pick(n, n, dice(2 ** 32)))
    if (guarded && whole.some((byte) => byte !== 0xa5)) throw new Error('a write has changed the arena')
    if (dice(2) === 0)
      for (let i = 0; i < n; i++) off[(rows[i] = (rows[i] as number) % 16)] = (rows[i] as number) * stride + dice(130)
    // A count that is too high takes in all rows there are: those of earlier rounds too.
    for (const row of rows) given.add(row)
    for (let i = dice(20); i > 0; i--) addon.send(echo.handle, message.subarray(0, 1 + dice(3000)))
    read += addon.read(opened.handle, pick(n, n, dice(2 ** 32)))
    if (dice(20) === 0) frames += addon.discard(opened.handle, dice(2 ** 32))
    calls += 2
    if (!guarded) continue
    for (let at = 0; at < whole.length; at++) {
      const row = Math.floor(at / stride) - 1
      if (whole[at] !== 0xa5 && !given.has(row))
        throw new Error(`a read has changed byte ${at - stride}, of no row of its own`)
    }
  }
  addon.close(opened.handle)
  addon.close(echo.handle)
  if (read < 1000) throw new Error(`only ${read} frames were read`)
  frames += read
}

/** The same on UDP sockets, which send what they are given to themselves: super-frames of a tunnel, some of them spoilt. */
function garbageUdp(): void {
  const pool = new FramePool({ frames: 16, frameSize: MAX_FRAME })
  const { stride, off, len, flags, gsoType, gsoSize, csumStart, csumOffset, outerL4, innerL3 } = pool
  const whole = new Uint8Array(18 * stride)
  const arena = whole.subarray(stride, 17 * stride)
  const rows = new Uint32Array(64)
  const result = new Int32Array(5 + 64)
  execFileSync('ip', ['link', 'set', 'lo', 'up'])
  const numbers = Int32Array.of(0, 3, 1 | 8 | 16 | 32, 64, 1 << 20, 1, 1450)
  const opened = addon.openUdp(null, '127.0.0.1', '', numbers, new Uint8Array(0))
  if (opened.errno !== 0) throw new Error(`openUdp: step ${opened.step} errno ${opened.errno}`)
  addon.bind(opened.handle, pool.frames, stride, pool.frameSize, [arena, ...poolArrays(pool, rows, result).slice(1)])
  const big = tunnelFrame(
    { transport: 'tcp', version: 4, payload: 6000, size: 1000 },
    { over: 4, header: 8, summed: false },
  )
  big.bytes.set([127, 0, 0, 1], 30)
  const [port = 0] = opened.ports
  big.bytes.set([port >> 8, port & 255], 36)
  let read = 0
  for (let round = 0; round < 6000; round++) {
    const guarded = round % 100 === 0
    if (guarded) whole.fill(0xa5)
    const n = dice(12)
    for (let i = 0; i < n; i++) {
      const row = pick(i, i, i, i, dice(2 ** 32), 16)
      rows[i] = row
      if (row >= 16) continue
      off[row] = row * stride + 130
      arena.set(big.bytes, off[row] as number)
      len[row] = big.bytes.length
      flags[row] = 1
      gsoType[row] = 0x21
      gsoSize[row] = pick(1000, 1000, 100, 5999)
      csumStart[row] = big.csumStart
      csumOffset[row] = 16
      outerL4[row] = 34
      innerL3[row] = big.innerL3
      for (let k = dice(4); k > 0; k--) arena[(off[row] as number) + pick(dice(110), 14 + dice(28))] = dice(256)
      pick<() => unknown>(
        () => (len[row] = dice(big.bytes.length + 10)),
        () => (len[row] = dice(2 ** 32)),
        () => (off[row] = pick(dice(2 ** 32), row * stride + dice(stride))),
        () => (gsoSize[row] = dice(65_536)),
        () => (csumStart[row] = dice(65_536)),
        () => (innerL3[row] = dice(65_536)),
        () => (gsoType[row] = pick(0, 0, 5, dice(256))),
        () => (flags[row] = dice(256)),
        () => (csumOffset[row] = dice(65_536)),
        ...Array.from({ length: 20 }, () => () => 0),
      )()
    }
    const before = guarded ? Buffer.from(whole) : null
    frames += addon.write(opened.handle, pick(n, n, n, dice(2 ** 32)))
    if (before?.equals(whole) === false) throw new Error('a write has changed the arena')
    if (guarded) whole.fill(0xa5)
    for (let i = 0; i < 8; i++) {
      rows[i] = 8 + (i % 8)
      off[8 + i] = pick((8 + i) * stride + 130, (8 + i) * stride + dice(stride), (9 + i) * stride - dice(100))
    }
    read += addon.read(opened.handle, pick(8, 1, dice(9)))
    if (dice(20) === 0) frames += addon.discard(opened.handle, dice(2 ** 32))
    calls += 2
    if (guarded && whole.subarray(0, 9 * stride).some((byte) => byte !== 0xa5)) {
      throw new Error('a read has changed the slot of a row that it was not given')
    }
  }
  addon.close(opened.handle)
  if (read < 1000) throw new Error(`only ${read} datagrams were read`)
  frames += read
}

/** And on packet sockets at both ends of a veth: what one writes, the other reads. */
function garbagePackets(vnet: boolean): void {
  const pool = new FramePool({ frames: 16, frameSize: vnet ? MAX_FRAME : 300 })
  const { stride, off, len, flags, gsoType, gsoSize, hdrLen, csumStart, csumOffset } = pool
  const whole = new Uint8Array(18 * stride)
  const arena = whole.subarray(stride, 17 * stride)
  const rows = new Uint32Array(64)
  const result = new Int32Array(5 + 64)
  const ip = (...args: string[]) => execFileSync('ip', args)
  ip('link', 'add', 'fza', 'type', 'veth', 'peer', 'name', 'fzb')
  for (const dev of ['fza', 'fzb']) ip('link', 'set', dev, 'up')
  const [a, b] = ['fza', 'fzb'].map((dev) => {
    const opened = addon.openPacket(null, dev, Int32Array.of(1, -1, 1 << 20))
    if (opened.errno !== 0) throw new Error(`openPacket: step ${opened.step} errno ${opened.errno}`)
    addon.bind(opened.handle, pool.frames, stride, pool.frameSize, [arena, ...poolArrays(pool, rows, result).slice(1)])
    return opened.handle
  }) as [number, number]
  let read = 0
  const tcp = tunnelFrame(
    { transport: 'tcp', version: 4, payload: 200, size: 100 },
    { over: 4, header: 8, summed: true },
  )
  for (let round = 0; round < 3000; round++) {
    const guarded = round % 50 === 0
    if (guarded) whole.fill(0xa5)
    const n = dice(40)
    for (let i = 0; i < n; i++) {
      const row = pick(i % 8, i % 8, i % 8, dice(2 ** 32), 16)
      rows[i] = row
      if (row >= 16) continue
      off[row] = pick(row * stride + 130, row * stride + 130, row * stride + dice(stride), dice(2 ** 32))
      len[row] = pick(tcp.bytes.length, tcp.bytes.length, dice(1500), dice(2 ** 32))
      if (!guarded) arena.set(pick(tcp.bytes, tcp.bytes.subarray(50)), row * stride + 130)
      if (!guarded && dice(4) === 0) arena.set([0x81, 0, 0, dice(256)], row * stride + 142)
      for (let k = dice(3); k > 0 && !guarded; k--) arena[row * stride + 130 + dice(110)] = dice(256)
      flags[row] = pick(1, 0, dice(256))
      gsoType[row] = pick(0, 1, 1, 5, dice(256))
      gsoSize[row] = pick(100, dice(65_536))
      hdrLen[row] = dice(65_536)
      csumStart[row] = pick(tcp.csumStart, 34, dice(65_536))
      csumOffset[row] = pick(16, 6, dice(65_536))
    }
    const before = guarded ? Buffer.from(whole) : null
    frames += addon.write(a, pick(n, n, dice(2 ** 32)))
    if (before?.equals(whole) === false) throw new Error('a write has changed the arena')
    for (let i = 0; i < 64; i++) {
      rows[i] = 8 + (i % 8)
      off[8 + (i % 8)] = pick((8 + (i % 8)) * stride + 130, (8 + (i % 8)) * stride + dice(stride))
    }
    read += addon.read(b, pick(8, 8, dice(2 ** 32)))
    if (dice(20) === 0) frames += addon.discard(b, dice(2 ** 32))
    calls += 2
    if (guarded && whole.subarray(0, 9 * stride).some((byte) => byte !== 0xa5)) {
      throw new Error('a read has changed the slot of a row that it was not given')
    }
  }
  addon.close(a)
  addon.close(b)
  ip('link', 'del', 'fza')
  if (read < 1000) throw new Error(`only ${read} packets were read`)
  frames += read
}

wrongCalls()
for (const vnet of [false, true]) garbageColumns(vnet)
garbageUdp()
for (const vnet of [false, true]) garbagePackets(vnet)
console.log(JSON.stringify({ calls, frames }))
