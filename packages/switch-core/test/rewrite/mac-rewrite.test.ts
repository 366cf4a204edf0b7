// Rules that set MAC addresses: each condition, the first match, sharing; then all of it against a naive model.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  Batch,
  type Frame,
  FramePool,
  type MacMatch,
  MacRewrite,
  type MacRewriteOptions,
  type MacRule,
} from '../../src/index.ts'
import { Listener } from '../listener.ts'
import { ALL, arpFrame, flat, HOST, IP, ipFrame, POD1, POD2 } from './lab.ts'

const HOST_MAC = '00:0d:3a:00:00:01'
const NEW = '02:aa:bb:cc:dd:ee'
const new6 = '02aabbccddee'
const POD6 = 'fd000000000000000000000000000001'
const OTHER6 = 'fd000000000000000000000000000002'
const GROUP6 = 'ff0200000000000000000001ff000002'
/** A neighbour solicitation for fd00::2 of fd00::1, without options. */
const NS = `3333ff000002${POD1}86dd6000000000183aff${POD6}${GROUP6}` + `8700000000000000${OTHER6}`
/** A UDP packet from fd00::1 to fd00::2, without payload. */
const UDP6 = `${POD2}${POD1}86dd60000000000811 09${POD6}${OTHER6}1388138800080000`.replace(' ', '')

function run(rules: readonly MacRule[], hex: string, options?: MacRewriteOptions, port = 0): string | null {
  const pool = new FramePool({ frames: 4 })
  const element = new MacRewrite(pool, rules, options)
  const f = pool.from(Buffer.from(flat(hex), 'hex')) as Frame
  pool.ledger.originate(1)
  pool.port[f] = port
  const batch = new Batch()
  batch.push(f)
  element.process(batch)
  expect(element.hits.reduce((a, b) => a + b, 0)).toBe(hex.length >= 28 ? 1 : 0)
  if (batch.length === 0) {
    expect(pool.report()).toMatchObject({ balanced: true, held: 0 })
    return null
  }
  return Buffer.from(pool.view(batch.frames[0] as Frame)).toString('hex')
}

const frame = ipFrame(POD2, POD1, IP.pod1, IP.pod2)
const changed = ipFrame(POD2, new6, IP.pod1, IP.pod2)

describe('a rule', () => {
  it.each<[string, MacMatch, string, number, boolean]>([
    ['no condition', {}, frame, 0, true],
    ['port, this one', { port: 7 }, frame, 7, true],
    ['port, another', { port: 7 }, frame, 8, false],
    ['source MAC', { srcMac: '02:00:00:00:00:01' }, frame, 0, true],
    ['source MAC, another', { srcMac: '02:00:00:00:00:02' }, frame, 0, false],
    ['source MAC, another first byte', { srcMac: '06:00:00:00:00:01' }, frame, 0, false],
    ['source MAC and mask', { srcMac: '02:00:00:00:00:00/ff:ff:ff:00:00:00' }, frame, 0, true],
    ['source MAC and mask, outside', { srcMac: '02:00:01:00:00:00/ff:ff:ff:00:00:00' }, frame, 0, false],
    ['unicast destination', { dstMac: 'unicast' }, frame, 0, true],
    ['multicast destination', { dstMac: 'multicast' }, frame, 0, false],
    ['multicast, a broadcast too', { dstMac: 'multicast' }, ipFrame(ALL, POD1, IP.pod1, 'ffffffff'), 0, true],
    ['broadcast destination', { dstMac: 'broadcast' }, ipFrame(ALL, POD1, IP.pod1, 'ffffffff'), 0, true],
    ['broadcast, not a multicast', { dstMac: 'broadcast' }, NS, 0, false],
    ['EtherType', { etherType: 0x0800 }, frame, 0, true],
    ['EtherType, another', { etherType: 0x0806 }, frame, 0, false],
    ['EtherType behind a tag', { etherType: 0x0800 }, frame.replace('0800', '810000050800'), 0, true],
    ['protocol', { protocol: 17 }, frame, 0, true],
    ['protocol, another', { protocol: 6 }, frame, 0, false],
    ['protocol of IPv6', { protocol: 17 }, UDP6, 0, true],
    ['protocol, none in ARP', { protocol: 1 }, arpFrame(ALL, POD1, 1, POD1, IP.pod1, ALL, IP.pod2), 0, false],
    ['from, an address', { from: '10.240.0.11' }, frame, 0, true],
    ['from, a prefix', { from: '10.240.0.0/28' }, frame, 0, true],
    ['from, another prefix', { from: '10.240.0.16/28' }, frame, 0, false],
    ['to, a prefix', { to: '10.240.0.12/30' }, frame, 0, true],
    ['to, everything IPv4', { to: '0.0.0.0/0' }, frame, 0, true],
    ['to, everything IPv6', { to: '::/0' }, frame, 0, false],
    ['from, spa of ARP', { from: '10.240.0.11' }, arpFrame(ALL, POD1, 1, POD1, IP.pod1, ALL, IP.pod2), 0, true],
    ['to, tpa of ARP', { to: '10.240.0.12' }, arpFrame(ALL, POD1, 1, POD1, IP.pod1, ALL, IP.pod2), 0, true],
    ['from, IPv6', { from: 'fd00::/127' }, UDP6, 0, true],
    ['to, IPv6', { to: 'fd00::2' }, UDP6, 0, true],
    ['to, IPv6, another', { to: 'fd00::4/126' }, UDP6, 0, false],
    ['to, the target of a solicitation', { to: 'fd00::2' }, NS, 0, true],
    ['to, not its destination', { to: 'ff02::/16' }, NS, 0, false],
    ['from and to', { from: '10.240.0.11', to: '10.240.0.13' }, frame, 0, false],
    ['an IP header that is cut short has no addresses', { to: '0.0.0.0/0' }, frame.slice(0, 60), 0, false],
  ])('matches by %s', (_, match, hex, port, matches) => {
    const out = run([{ match, setSrc: NEW }], hex, {}, port)
    expect(out).toBe(matches ? hex.slice(0, 12) + new6 + hex.slice(24) : hex)
  })

  it('sets the source, the destination, both, or neither', () => {
    expect(run([{ setSrc: NEW }], frame)).toBe(changed)
    expect(run([{ setDst: NEW }], frame)).toBe(ipFrame(new6, POD1, IP.pod1, IP.pod2))
    expect(run([{ setSrc: HOST_MAC, setDst: NEW }], frame)).toBe(ipFrame(new6, HOST, IP.pod1, IP.pod2))
    expect(run([{}], frame)).toBe(frame)
  })

  it('ends frames, as does what is left over', () => {
    expect(run([{ match: { etherType: 0x0800 }, action: 'drop' }], frame)).toBeNull()
    expect(run([{ match: { port: 1 } }], frame, { otherwise: 'drop' })).toBeNull()
    expect(run([], frame, { otherwise: 'drop' })).toBeNull()
    expect(run([], frame)).toBe(frame)
  })

  it('wins where it matches first', () => {
    const accept: MacRule = { match: { to: '10.240.0.12' } }
    expect(run([accept, { setSrc: NEW }], frame)).toBe(frame)
    expect(run([{ setSrc: NEW }, { action: 'drop' }], frame)).toBe(changed)
    const rules: MacRule[] = [{ match: { port: 2 } }, { match: { protocol: 6 }, action: 'drop' }, { setSrc: NEW }]
    expect(run(rules, frame)).toBe(changed)
  })

  it('does nothing to a runt but end it', () => {
    expect(run([{ setSrc: NEW }], '020000')).toBeNull()
  })
})

describe('a frame that others hold too', () => {
  const shared = (rules: MacRule[], frames = 4): { pool: FramePool; f: Frame; out: Batch } => {
    const pool = new FramePool({ frames })
    const f = pool.from(Buffer.from(frame, 'hex')) as Frame
    pool.ledger.originate(1)
    pool.share(f, 1)
    const out = new Batch()
    out.push(f)
    new MacRewrite(pool, rules).process(out)
    expect(pool.report().balanced).toBe(true)
    expect(Buffer.from(pool.view(f)).toString('hex')).toBe(frame)
    return { pool, f, out }
  }

  it('is copied before it is written to', () => {
    const { pool, f, out } = shared([{ setSrc: NEW }])
    expect(out.frames[0]).not.toBe(f)
    expect(Buffer.from(pool.view(out.frames[0] as Frame)).toString('hex')).toBe(changed)
  })

  it('is not copied where the addresses are right as they stand', () => {
    const { f, out } = shared([{ setSrc: '02:00:00:00:00:01' }])
    expect(out.frames[0]).toBe(f)
  })

  it('ends where there is no room for the copy', () => {
    const { pool, out } = shared([{ setSrc: NEW }], 1)
    expect(out.length).toBe(0)
    expect(pool.report().dropped).toEqual({ PoolSpent: 1 })
  })
})

describe('a wrong rule', () => {
  it.each([
    [{ setSrc: 'nonsense' }, 'rules[1]: setSrc'],
    [{ setDst: '02:00' }, 'rules[1]: setDst'],
    [{ match: { srcMac: 'everybody' } }, 'match.srcMac'],
    [{ match: { dstMac: '02:00:00:00:00:01/ff:ff:ff:00:00:00' } }, 'outside its mask'],
    [{ match: { dstMac: '02:00:00:00:00:01/1/2' } }, 'match.dstMac'],
    [{ match: { etherType: 0x10000 } }, 'match.etherType'],
    [{ match: { protocol: -1 } }, 'match.protocol'],
    [{ match: { port: 65_536 } }, 'match.port'],
    [{ match: { from: '10.0.0.1/8' } }, 'host bits: 10.0.0.0'],
    [{ match: { to: 'fd00::1/64' } }, 'match.to'],
    [{ match: { to: '10.0.0.0/33' } }, 'match.to'],
    [{ match: { to: '10.0.0.0/' } }, 'match.to'],
    [{ match: { from: 'banana' } }, 'rules[1]: match.from: not an IPv4 address: "banana"'],
    [{ match: { to: '::g' } }, 'rules[1]: match.to: not an IPv6 address: "::g"'],
    [{ match: { vlan: 5 } as never }, 'match.vlan'],
    [{ action: 'reject' as never }, 'action'],
    [{ action: 'drop' as const, setSrc: NEW }, 'sets no address'],
  ])('%j is refused, with its place and its key', (rule: MacRule, key) => {
    expect(() => new MacRewrite(new FramePool({ frames: 1 }), [{}, rule])).toThrow(key)
  })
})

/* The model reads a frame into text, and compares prefixes bit by bit. */

interface Told {
  readonly src: string
  readonly dst: string
  readonly port: number
  readonly etherType: number
  readonly from: string
  readonly to: string
  readonly protocol: number
}

const bits = (address: string): string =>
  address.includes(':')
    ? address
        .split(':')
        .map((g) => Number.parseInt(g, 16).toString(2).padStart(16, '0'))
        .join('')
    : address
        .split('.')
        .map((n) => Number(n).toString(2).padStart(8, '0'))
        .join('')

function model(rules: readonly MacRule[], otherwise: string, told: Told): { src: string; dst: string } | null {
  const inPrefix = (address: string, prefix: string): boolean => {
    const [net = '', length] = prefix.split('/')
    return net.includes(':') === address.includes(':') && bits(address).startsWith(bits(net).slice(0, Number(length)))
  }
  for (const { match: m = {}, ...rule } of rules) {
    if (m.port !== undefined && m.port !== told.port) continue
    if (m.srcMac !== undefined && m.srcMac !== told.src) continue
    if (m.dstMac !== undefined && m.dstMac !== told.dst) continue
    if (m.etherType !== undefined && m.etherType !== told.etherType) continue
    if (m.protocol !== undefined && m.protocol !== told.protocol) continue
    if (m.from !== undefined && !inPrefix(told.from, m.from)) continue
    if (m.to !== undefined && !inPrefix(told.to, m.to)) continue
    return rule.action === 'drop' ? null : { src: rule.setSrc ?? told.src, dst: rule.setDst ?? told.dst }
  }
  return otherwise === 'drop' ? null : told
}

describe('any rules, any frames', () => {
  const mac = fc.nat(3).map((n) => `02:00:00:00:00:0${n}`)
  const port = fc.nat(2)
  const protocol = fc.constantFrom(6, 17, 50)
  // Few bits differ, at both ends, so that prefixes of all lengths tell something.
  const v4 = fc.tuple(fc.constantFrom(10, 138), fc.nat(3)).map(([a, d]) => `${a}.0.0.${d}`)
  const v6 = fc.tuple(fc.constantFrom('fd00', '7d00'), fc.nat(3)).map(([a, d]) => `${a}:0:0:0:0:0:0:${d}`)
  const prefix = fc.tuple(fc.oneof(v4, v6), fc.double({ min: 0, max: 1, noNaN: true })).map(([address, share]) => {
    const six = address.includes(':')
    const length = Math.round(share * (six ? 128 : 32))
    const kept = bits(address)
      .slice(0, length)
      .padEnd(six ? 128 : 32, '0')
    const groups = kept.match(six ? /.{16}/g : /.{8}/g) as RegExpMatchArray
    return `${groups.map((g) => Number.parseInt(g, 2).toString(six ? 16 : 10)).join(six ? ':' : '.')}/${length}`
  })
  const some = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined, freq: 1 })
  const clean = <T extends object>(o: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
    Object.fromEntries(Object.entries(o).filter(([, v]) => v !== undefined)) as never
  const match = fc
    .record({
      port: some(port),
      srcMac: some(mac),
      dstMac: some(mac),
      etherType: some(fc.constantFrom(0x0800, 0x86dd)),
      protocol: some(protocol),
      from: some(prefix),
      to: some(prefix),
    })
    .map((m) => {
      // Two conditions at most, or nothing ever matches.
      return Object.fromEntries(Object.entries(clean(m)).slice(0, 2)) as MacMatch
    })
  const rule: fc.Arbitrary<MacRule> = fc.oneof(
    fc.record({ match, setSrc: some(mac), setDst: some(mac) }).map((r) => clean(r) as MacRule),
    match.map((m) => ({ match: m, action: 'drop' as const })),
  )
  const pair = fc.oneof(fc.tuple(v4, v4), fc.tuple(v6, v6))

  it('are what a naive model says', () => {
    const one = fc.tuple(mac, mac, port, pair, protocol)
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 4 }),
        fc.boolean(),
        fc.array(one, { maxLength: 20 }),
        fc.boolean(),
        (rules, drop, all, traced) => {
          const pool = new FramePool({ frames: 32 })
          if (traced) new Listener(pool)
          const otherwise = drop ? 'drop' : 'accept'
          const element = new MacRewrite(pool, rules, { otherwise })
          const batch = new Batch()
          const wanted: string[] = []
          for (const [src, dst, port, [from, to], protocol] of all) {
            const six = from.includes(':')
            const hex = (text: string): string =>
              BigInt(`0b${bits(text)}`)
                .toString(16)
                .padStart(six ? 32 : 8, '0')
            const ip = six
              ? `6000000000${'00'}${protocol.toString(16).padStart(2, '0')}40${hex(from)}${hex(to)}`
              : `4500001400000000 40${protocol.toString(16).padStart(2, '0')}0000${hex(from)}${hex(to)}`.replace(
                  ' ',
                  '',
                )
            const body = (six ? '86dd' : '0800') + ip
            const told = { src, dst, port, etherType: six ? 0x86dd : 0x0800, from, to, protocol }
            const as = model(rules, otherwise, told)
            if (as !== null) wanted.push(`${as.dst}${as.src}`.replaceAll(':', '') + body)
            const bytes = Buffer.from(`${dst}${src}`.replaceAll(':', '') + body, 'hex')
            const f = pool.from(bytes) as Frame
            pool.ledger.originate(1)
            pool.port[f] = port
            batch.push(f)
          }
          element.process(batch)
          const out = [...batch.frames.subarray(0, batch.length)].map((f) =>
            Buffer.from(pool.view(f as Frame)).toString('hex'),
          )
          expect(out).toEqual(wanted)
          expect(element.hits.reduce((a, b) => a + b, 0)).toBe(all.length)
          expect(pool.report().balanced).toBe(true)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('of garbage: nothing beyond the addresses is changed, and the ledger balances', () => {
    const garbage = fc.array(fc.uint8Array({ maxLength: 120 }), { maxLength: 30 })
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), garbage, (rules, all) => {
        const pool = new FramePool({ frames: 32 })
        pool.bytes.fill(0xa5)
        const element = new MacRewrite(pool, rules)
        const batch = new Batch()
        const by = new Map<number, Uint8Array>()
        for (const bytes of all) {
          const f = pool.from(bytes) as Frame
          pool.ledger.originate(1)
          batch.push(f)
          by.set(f, bytes)
        }
        element.process(batch)
        for (const f of batch.frames.subarray(0, batch.length)) {
          const bytes = by.get(f) as Uint8Array
          expect(pool.view(f as Frame).subarray(12)).toEqual(Buffer.from(bytes.subarray(12)))
          const around = pool.bytes.subarray(pool.off[f]! - 8, pool.off[f])
          expect([...around, pool.bytes[pool.off[f]! + bytes.length]]).toEqual(new Array(9).fill(0xa5))
        }
        expect(pool.report().balanced).toBe(true)
      }),
      { numRuns: 200 },
    )
  })
})
