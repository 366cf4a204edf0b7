// A million frames through the whole path: nothing is allocated per frame, nothing is lost, nothing gets out.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { HEAP_LIMIT, heapGrowth } from '../../../../test-support/heap.ts'
import { type Batch, type Frame, FramePool, Loop, NO_FRAME, Port, Switch, VirtualClock } from '../../src/index.ts'
import { Lab } from './lab.ts'

/** Makes frames between random stations behind random ports, a batch a turn; ends what it is given. */
class Traffic extends Port {
  /** Share of frames to unknown or group addresses, in 1/256. */
  readonly #flooded: number
  readonly #number: number
  #state = 1
  constructor(pool: FramePool, number: number, flooded: number) {
    super(pool, `t${number}`)
    this.#number = number
    this.#flooded = flooded
  }
  protected override read(batch: Batch): void {
    const { data, off, len, ledger } = this.pool
    for (let i = 0; i < 32; i++) {
      const f = this.pool.alloc()
      if (f === NO_FRAME) {
        this.refused(4)
        continue
      }
      this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0
      const o = off[f] as number
      const flood = this.#state >>> 24 < this.#flooded
      data.setUint16(o, flood ? 0xffff : 0x0002, true)
      data.setInt32(o + 2, flood ? -1 : (this.#state >>> 8) & 0x1ff, true)
      data.setUint16(o + 6, 0x0002, true)
      data.setInt32(o + 8, ((this.#state >>> 16) & 0x7f) | (this.#number << 7), true)
      data.setUint32(o + 12, this.#state % 3 === 0 ? 0x0a000081 : 0x45000008, true)
      len[f] = 60
      ledger.receive(1)
      batch.push(f as Frame)
    }
  }
  protected override write(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) this.left(batch.frames[i] as Frame)
  }
}

function growth(vlanAware: boolean, flooded: number): number {
  const pool = new FramePool({ frames: 1024 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const sw = new Switch(pool, clock, { vlanAware, ageing: 1 })
  for (let i = 0; i < 4; i++) {
    const port = new Traffic(pool, i, flooded)
    const vlan = i === 3 ? { trunk: [10], native: 1 } : { trunk: [10], native: 1, untagged: [10] }
    loop.add(port, sw.addPort(loop.link(port), vlanAware ? { vlan } : {}))
  }
  loop.every(1e7, sw)
  const spin = (frames: number): void => {
    const until = pool.ledger.received + frames
    while (pool.ledger.received < until) {
      loop.turn()
      clock.advance(1e5)
    }
  }
  spin(200_000)
  const grown = heapGrowth(() => spin(1_000_000))
  expect(pool.report()).toMatchObject({ balanced: true })
  expect(pool.report().sent).toBeGreaterThan(800_000)
  return grown
}

describe('a million frames', () => {
  it.each([
    ['known unicast', false, 0],
    ['a tenth of it flooded', false, 26],
    ['VLANs, retagged copies, a tenth flooded', true, 26],
  ])(
    '%s: the heap grows by less than 64 KiB',
    (_, vlanAware, flooded) => {
      expect(growth(vlanAware, flooded)).toBeLessThan(HEAP_LIMIT)
    },
    120_000,
  )
})

describe('garbage', () => {
  it('is dropped for a reason or forwarded, on every kind of port', () => {
    const frame = fc.uint8Array({ minLength: 0, maxLength: 100 })
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(4), frame), { maxLength: 50 }), fc.boolean(), (sent, vlanAware) => {
        const ports = vlanAware
          ? [{}, { vlan: { trunk: ['1-4094'] } }, { vlan: { tunnel: 7 } }, { vlan: { access: 7 } }, {}]
          : [{}, { macs: ['02:00:00:00:00:01'] }, { isolated: true }, { mtu: 68 }, { storm: { rate: 1 } }]
        const lab = new Lab(ports, { vlanAware })
        for (const [port, bytes] of sent) {
          const out = lab.send(port, bytes)
          // Without VLANs every copy is the frame, byte for byte; with them the payload is.
          const text = Buffer.from(bytes).toString('hex')
          for (const copies of Object.values(out)) {
            for (const copy of copies) {
              expect(copy.slice(0, 24)).toBe(text.slice(0, 24))
              if (vlanAware) expect(text.endsWith(copy.slice(32)) || copy.endsWith(text.slice(32))).toBe(true)
              else expect(copy).toBe(text)
            }
          }
        }
      }),
      { numRuns: 200 },
    )
  })
})
