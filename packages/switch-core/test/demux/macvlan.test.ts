// A macvlan in memory: what the kernel cannot be asked - limits, removal, sharing. Who gets what is held against the
// kernel's in tap-io's tests, mode by mode.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  FramePool,
  Loop,
  Macvlan,
  type MacvlanChild,
  type MacvlanMode,
  type MacvlanOptions,
  MemoryPort,
  VirtualClock,
} from '../../src/index.ts'
import { Listener } from '../listener.ts'

const PARENT = '0e00000000ff'
const A = '02000000000a'
const B = '02000000000b'
const OUTSIDE = '02000000eeee'
const ALL = 'ffffffffffff'
const f = (dst: string, src: string): string => `${dst}${src}88b5c0ffee`
const colons = (mac: string): string => mac.replace(/(..)(?!$)/g, '$1:')

class Lab {
  readonly pool: FramePool = new FramePool({ frames: 256 })
  readonly loop: Loop = new Loop(this.pool, new VirtualClock())
  readonly ports: Record<string, MemoryPort> = {}
  readonly macvlan: Macvlan
  readonly children: MacvlanChild[] = []

  constructor(modes: readonly MacvlanMode[], options: Partial<MacvlanOptions> = {}, parent = true) {
    const wire = this.#plug('wire')
    this.macvlan = new Macvlan(this.loop, this.loop.link(wire), { parentMac: colons(PARENT), ...options })
    this.loop.add(wire, this.macvlan.ingress)
    if (parent) {
      const port = this.#plug('parent')
      this.macvlan.attachParent(this.loop.link(port))
      this.loop.add(port, this.macvlan.fromParent)
    }
    for (const [i, mode] of modes.entries()) this.add([A, B][i] ?? `0200000001${i.toString(16).padStart(2, '0')}`, mode)
  }

  add(mac: string, mode?: MacvlanMode): MacvlanChild {
    const port = this.#plug(mac)
    const how = mode === undefined ? { mac: colons(mac) } : { mac: colons(mac), mode }
    const child = this.macvlan.addChild(this.loop.link(port), how)
    this.loop.add(port, child)
    this.children.push(child)
    return child
  }

  #plug(name: string): MemoryPort {
    return (this.ports[name] = new MemoryPort(this.pool, name))
  }

  send(from: string, ...frames: (string | Uint8Array)[]): Record<string, number> {
    for (const frame of frames) {
      this.ports[from]?.inject(typeof frame === 'string' ? Buffer.from(frame, 'hex') : frame)
    }
    this.loop.settle()
    const out: Record<string, number> = {}
    for (const [name, port] of Object.entries(this.ports)) {
      const n = port.takeAll().length
      if (n > 0) out[name] = n
    }
    expect(this.pool.report()).toMatchObject({ balanced: true, held: 0 })
    return out
  }

  get drops(): object {
    return this.pool.report().dropped
  }
}

describe('limits', () => {
  it('broadcasts from the wire wait in a queue that is bounded', () => {
    const lab = new Lab(['bridge', 'bridge'], { broadcastQueue: 3 })
    expect(lab.send('wire', ...new Array(10).fill(f(ALL, OUTSIDE)))).toEqual({ parent: 3, [A]: 3, [B]: 3 })
    expect(lab.drops).toEqual({ LinkFull: 7 })
  })

  it('unicast passes beside the queue', () => {
    const lab = new Lab(['bridge'], { broadcastQueue: 1 })
    const frames = [f(ALL, OUTSIDE), f(ALL, OUTSIDE), f(A, OUTSIDE), f(A, OUTSIDE)]
    expect(lab.send('wire', ...frames)).toEqual({ parent: 1, [A]: 3 })
  })

  it('takes as many children as it may', () => {
    const lab = new Lab(['bridge', 'bridge'], { maxChildren: 2 })
    expect(() => lab.add('02000000000c')).toThrow('maxChildren is 2')
    expect(lab.macvlan.children).toHaveLength(2)
  })
})

describe('without a parent', () => {
  it('what is for it, or for nobody, ends', () => {
    const lab = new Lab([], {}, false)
    expect(lab.send('wire', f(PARENT, OUTSIDE), f(ALL, OUTSIDE), f(A, OUTSIDE))).toEqual({})
    expect(lab.drops).toEqual({ UnknownEndpoint: 3 })
  })

  it('a broadcast is the children’s, and none of it is lost', () => {
    const lab = new Lab(['bridge', 'private'], {}, false)
    expect(lab.send('wire', f(ALL, OUTSIDE))).toEqual({ [A]: 1, [B]: 1 })
    expect(lab.drops).toEqual({})
  })
})

describe('children', () => {
  it('that go are found no more, and what they still send ends', () => {
    const lab = new Lab(['bridge', 'bridge'])
    const [a] = lab.children as [MacvlanChild]
    lab.macvlan.removeChild(a)
    expect(lab.send(B, f(A, B))).toEqual({ wire: 1 })
    expect(lab.send('wire', f(ALL, OUTSIDE))).toEqual({ parent: 1, [B]: 1 })
    expect(lab.send(A, f(B, A))).toEqual({})
    expect(lab.drops).toEqual({ PortDown: 1 })
    expect(() => lab.macvlan.removeChild(a)).toThrow('not a child')
  })

  it('leave their number and their MAC to the next, passthru too', () => {
    const lab = new Lab(['passthru'])
    lab.macvlan.removeChild(lab.children[0] as MacvlanChild)
    const again = lab.macvlan.addChild(lab.loop.link(lab.ports[A] as MemoryPort), { mac: colons(A) })
    expect([again.index, again.mode]).toEqual([0, 'bridge'])
  })

  it('have links of the same pool', () => {
    const [lab, other] = [new Lab([]), new Lab([])]
    const link = other.loop.link(other.ports.wire as MemoryPort, 'elsewhere')
    const message = 'macvlan: link elsewhere has another frame pool than the loop'
    expect(() => lab.macvlan.addChild(link, { mac: colons(A) })).toThrow(message)
    expect(() => new Macvlan(lab.loop, link, { parentMac: colons(PARENT) })).toThrow(message)
    const bare = new Macvlan(lab.loop, lab.loop.link(lab.ports.wire as MemoryPort), { parentMac: colons(PARENT) })
    expect(() => bare.attachParent(link)).toThrow(message)
    expect(lab.macvlan.children).toEqual([])
  })

  it('in passthru mode are alone', () => {
    expect(() => new Lab(['bridge', 'passthru'])).toThrow('takes one child')
    expect(() => new Lab(['passthru', 'bridge'])).toThrow('the only one')
  })

  it.each([
    [{ mode: 'hub' as never }, 'hub'],
    [{ parentMac: 'ff:ff:ff:ff:ff:ff' }, 'parentMac'],
    [{ broadcastQueue: 0 }, 'broadcastQueue'],
    [{ maxChildren: 5000 }, 'maxChildren'],
  ])('are not had with %j', (options, key) => {
    expect(() => new Lab([], options)).toThrow(key)
  })
})

it('garbage from anywhere is passed on or dropped for a reason', () => {
  const mode = fc.constantFrom<MacvlanMode>('bridge', 'private', 'vepa')
  const mac = fc.constantFrom(A, B, PARENT, OUTSIDE, ALL, '01005e000001', '000000000000')
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.tuple(mac, mac).map(([dst, src]) => Buffer.from(f(dst, src), 'hex')),
  )
  fc.assert(
    fc.property(mode, mode, fc.array(fc.tuple(fc.constantFrom('wire', 'parent', A, B), bytes)), (a, b, sent) => {
      const lab = new Lab([a, b])
      const traced = new Lab([a, b])
      new Listener(traced.pool)
      for (const [from, frame] of sent) {
        const out = lab.send(from, frame)
        expect(traced.send(from, frame)).toEqual(out)
        expect(traced.drops).toEqual(lab.drops)
        // Child and parent never meet, and nobody hears himself but who asks for it.
        if (from === A || from === B) expect(out.parent).toBeUndefined()
        const toSelf = Buffer.from(frame.subarray(0, 6)).toString('hex') === from
        if (from !== 'wire' && !toSelf) expect(out[from]).toBeUndefined()
        if (from === 'parent') expect(out).toEqual({ wire: 1 })
      }
    }),
    { numRuns: 200 },
  )
})
