/**
 * What is known of Linux' NAT (modes.md 18, facts 1 to 10, and A3, A4), each fact run on the kernel and on ours: the same
 * frames in by the same ports, the same expectation of what comes out where. All checksums of all that comes out are
 * looked at. The router is that of `nat-worlds`.
 */
import { icmp } from '@l2l3/switch-core/wire'
import { afterEach, describe, expect, it } from 'vitest'
import {
  complaint,
  datagram,
  echo,
  embedded,
  fragments,
  GATEWAY,
  line,
  MAC,
  OUTSIDE,
  P1,
  P2,
  packet,
  read,
  type Side,
  segment,
  X,
  Y,
} from './nat-packets.ts'
import { kernels, noConntrack, noKernel, type Out, ours, SIX, type World, type WorldOptions } from './nat-worlds.ts'

type Make = (options?: WorldOptions) => Promise<World>

const worlds = [
  { world: 'ours', make: (options: WorldOptions): Promise<World> => ours(options), skip: '' },
  { world: "the kernel's", make: kernels, skip: noKernel },
]

/** What came out, a line a frame. */
const lines = (out: Out): Partial<Record<Side, string[]>> =>
  Object.fromEntries(Object.entries(out).map(([side, frames]) => [side, frames.map(line)]))

/** The one frame that came out, by a port. */
function only(out: Out, side: Side): string {
  expect(Object.fromEntries(Object.entries(out).map(([s, f]) => [s, f.length]))).toEqual({ [side]: 1 })
  return (out[side] as string[])[0] as string
}

/** The router's classes of ports (modes.md 18.2). */
function classOf(port: number): [number, number] {
  return port < 512 ? [1, 511] : port < 1024 ? [600, 1023] : [1024, 65_535]
}

describe.each(worlds)('$world NAT', ({ make, skip }) => {
  let world: World | undefined
  afterEach(() => {
    world?.close()
    world = undefined
  })
  const fact = (name: string, run: (make: Make) => Promise<void>): void => {
    it(name, async (context) => {
      if (skip) context.skip(skip)
      await run(async (options = {}) => (world = await make(options)))
    })
  }
  const sent = async (nat: World, from: Side, frame: string, out: Side): Promise<string> =>
    only(await nat.send(from, frame), out)

  fact('A3: a datagram leaves as another’s, byte for byte', async (make) => {
    const nat = await make()
    const inside = `${MAC.gateway}${MAC.p1}0800 4500001d54b64000 40 11 9ff6 0a16000b cb007102 1392 270f 0009 0717 78`
    const outside = `${MAC.x}${MAC.uplink}0800 4500001d54b64000 3f 11 6f15 cb007101 cb007102 1392 270f 0009 d535 78`
    const hex = (text: string): string => text.replaceAll(' ', '')
    expect(await nat.send('p1', hex(inside))).toEqual({ up: [hex(outside)] })
    // A4: what is said about it comes back as if about the first one.
    const error = `45c0003987e30000 40 01 7a1c cb007102 cb007101 0303 751c 00000000`
    const quote = '4500001d54b64000 3f 11 6f15 cb007101 cb007102 1392 270f 0009 d535 78'
    const back = `45c0003987e30000 3f 01 acfd cb007102 0a16000b 0303 433b 00000000`
    const restored = '4500001d54b64000 3f 11 a0f6 0a16000b cb007102 1392 270f 0009 0717 78'
    expect(await nat.send('up', hex(`${MAC.uplink}${MAC.x}0800${error}${quote}`))).toEqual({
      p1: [hex(`${MAC.p1}${MAC.gateway}0800${back}${restored}`)],
    })
  })

  fact('1: keeps the source port where it is free, and leads answers back', async (make) => {
    const nat = await make()
    expect(lines(await nat.send('p1', datagram(`${P1}:5000`, `${X}:9999`)))).toEqual({
      up: [`udp ${OUTSIDE}:5000 > ${X}:9999`],
    })
    expect(lines(await nat.send('up', datagram(`${X}:9999`, `${OUTSIDE}:5000`)))).toEqual({
      p1: [`udp ${X}:9999 > ${P1}:5000`],
    })
  })

  for (const port of [400, 700, 5000]) {
    fact(`2: gives another port of the same class where the port is taken: ${port}`, async (make) => {
      const nat = await make()
      await nat.send('p1', datagram(`${P1}:${port}`, `${X}:9999`))
      const second = read(await sent(nat, 'p2', datagram(`${P2}:${port}`, `${X}:9999`), 'up'))
      const [low, high] = classOf(port)
      expect(second.sport).not.toBe(port)
      expect(second.sport).toBeGreaterThanOrEqual(low)
      expect(second.sport).toBeLessThanOrEqual(high)
      for (const [to, who, side] of [
        [port, P1, 'p1'],
        [second.sport, P2, 'p2'],
      ] as const) {
        expect(lines(await nat.send('up', datagram(`${X}:9999`, `${OUTSIDE}:${to}`)))).toEqual({
          [side]: [`udp ${X}:9999 > ${who}:${port}`],
        })
      }
    })
  }

  fact('2: the same of TCP, and of the ids of echo requests', async (make) => {
    const nat = await make()
    await nat.send('p1', segment(`${P1}:5000`, `${X}:80`, 'S'))
    const second = read(await sent(nat, 'p2', segment(`${P2}:5000`, `${X}:80`, 'S'), 'up'))
    expect(second.sport).not.toBe(5000)
    expect(second.sport).toBeGreaterThanOrEqual(1024)
    await nat.send('p1', echo(P1, X, 77))
    const other = read(await sent(nat, 'p2', echo(P2, X, 77), 'up'))
    expect(other.sport).not.toBe(77)
    expect(lines(await nat.send('up', echo(X, OUTSIDE, other.sport, { reply: true })))).toEqual({
      p2: [`icmp ${X} > ${P2} 0/0 id 77`],
    })
  })

  fact('3: a mapping is used again towards other destinations while it is free there', async (make) => {
    const nat = await make()
    await nat.send('p1', datagram(`${P1}:5000`, `${X}:9999`))
    const { sport } = read(await sent(nat, 'p2', datagram(`${P2}:5000`, `${X}:9999`), 'up'))
    for (const to of [`${X}:9998`, `${Y}:9999`, `${Y}:53`]) {
      expect(lines(await nat.send('p2', datagram(`${P2}:5000`, to)))).toEqual({
        up: [`udp ${OUTSIDE}:${sport} > ${to}`],
      })
    }
  })

  fact('3: one outside port serves two inside where their destinations differ', async (make) => {
    const nat = await make()
    await nat.send('p1', datagram(`${P1}:5000`, `${X}:9999`))
    expect(lines(await nat.send('p2', datagram(`${P2}:5000`, `${Y}:9999`)))).toEqual({
      up: [`udp ${OUTSIDE}:5000 > ${Y}:9999`],
    })
    expect(lines(await nat.send('up', datagram(`${Y}:9999`, `${OUTSIDE}:5000`)))).toEqual({
      p2: [`udp ${Y}:9999 > ${P2}:5000`],
    })
  })

  fact('random ports, where they are asked for', async (make) => {
    const nat = await make({ random: true })
    const ports = new Set<number>()
    for (const port of [5000, 5001, 5002]) {
      const { sport } = read(await sent(nat, 'p1', datagram(`${P1}:${port}`, `${X}:9999`), 'up'))
      ports.add(sport)
      expect(sport).toBeGreaterThanOrEqual(1024)
    }
    // One in twenty thousand that any of the three is its own.
    expect(ports.has(5000) || ports.has(5001) || ports.has(5002)).toBe(false)
    // And another for each destination.
    const { sport } = read(await sent(nat, 'p1', datagram(`${P1}:5000`, `${Y}:9999`), 'up'))
    expect(ports.has(sport)).toBe(false)
  })

  fact('filters by address and port: what others send to a mapped port is for the node itself', async (make) => {
    const nat = await make()
    await nat.send('p1', datagram(`${P1}:5000`, `${X}:9999`))
    for (const from of [`${Y}:9999`, `${X}:9998`]) {
      const frame = datagram(from, `${OUTSIDE}:5000`)
      const error = await sent(nat, 'up', frame, 'up')
      expect(line(error)).toBe(`icmp ${OUTSIDE} > ${from.split(':')[0]} 3/3`)
      expect(line(embedded(error))).toBe(line(frame))
    }
  })

  fact('4: keeps the id of echo requests', async (make) => {
    const nat = await make()
    expect(lines(await nat.send('p1', echo(P1, X, 0x4d2)))).toEqual({ up: [`icmp ${OUTSIDE} > ${X} 8/0 id 1234`] })
    expect(lines(await nat.send('up', echo(X, OUTSIDE, 0x4d2, { reply: true })))).toEqual({
      p1: [`icmp ${X} > ${P1} 0/0 id 1234`],
    })
  })

  for (const [name, type, code, rest] of [
    ['host unreachable', 3, 1, 0],
    ['fragmentation needed', 3, 4, 1400],
    ['time exceeded', 11, 0, 0],
    ['parameter problem', 12, 0, 0],
  ] as const) {
    fact(`4: ${name} about a datagram, a segment and an echo comes back translated inside and out`, async (make) => {
      const nat = await make()
      const ask = [
        datagram(`${P1}:5000`, `${X}:9999`),
        segment(`${P1}:5001`, `${X}:80`, 'S', { data: 'hello' }),
        echo(P1, X, 9),
      ]
      for (const frame of ask) {
        const left = await sent(nat, 'p1', frame, 'up')
        const error = await sent(nat, 'up', complaint(Y, left, type, code, { rest, quote: 28 }), 'p1')
        expect(line(error)).toBe(`icmp ${Y} > ${P1} ${type}/${code}`)
        expect(read(error).rest).toBe(type === 3 ? rest : 0)
        const about = embedded(error)
        expect(line(about)).toBe(line(frame))
        // Its time to live is left as it was when it was quoted.
        expect(about.ttl).toBe(63)
      }
    })
  }

  fact('4: an error from inside about what came in is translated outwards', async (make) => {
    const nat = await make({ mappings: [{ protocol: 'udp', port: 8080, to: P2, toPort: 7000 }] })
    const ask = datagram(`${X}:6000`, `${OUTSIDE}:8080`)
    const came = await sent(nat, 'up', ask, 'p2')
    const error = await sent(nat, 'p2', complaint(P2, came, 3, 3), 'up')
    expect(line(error)).toBe(`icmp ${OUTSIDE} > ${X} 3/3`)
    expect(line(embedded(error))).toBe(line(ask))
  })

  fact('4: an error about nothing that was sent reaches nobody inside', async (make) => {
    const nat = await make()
    await nat.send('p1', datagram(`${P1}:5000`, `${X}:9999`))
    const forged = datagram(`${OUTSIDE}:5001`, `${X}:9999`, { from: MAC.uplink, to: MAC.x })
    expect(lines(await nat.send('up', complaint(X, forged, 3, 3, { dst: OUTSIDE })))).toEqual({})
  })

  fact('5: fragments leave with their id and in their sizes', async (make) => {
    const nat = await make()
    const whole = datagram(`${P1}:5020`, `${X}:7000`, { data: 'n'.repeat(4000), id: 0x54ba })
    const out = await nat.send('p1', ...fragments(whole, 1480))
    expect(out.up?.map((f) => [read(f).id, read(f).src, read(f).offset, read(f).length - 20, read(f).more])).toEqual([
      [0x54ba, OUTSIDE, 0, 1480, true],
      [0x54ba, OUTSIDE, 1480, 1480, true],
      [0x54ba, OUTSIDE, 2960, 1048, false],
    ])
    // Put together, they are the datagram from the outside address.
    expect(together(out.up as string[])).toBe(
      datagram(`${OUTSIDE}:5020`, `${X}:7000`, {
        data: 'n'.repeat(4000),
        id: 0x54ba,
        ttl: 63,
        from: MAC.uplink,
        to: MAC.x,
      }),
    )
    // And back.
    const answer = datagram(`${X}:7000`, `${OUTSIDE}:5020`, { data: 'm'.repeat(2500), id: 0x1111 })
    const back = await nat.send('up', ...fragments(answer, 1480))
    expect(back.p1?.map((f) => [read(f).dst, read(f).offset, read(f).length - 20])).toEqual([
      [P1, 0, 1480],
      [P1, 1480, 1028],
    ])
  })

  for (const sizes of [
    [800, 1200, 1480],
    [1480, 8, 600],
  ]) {
    fact(`5: fragments of ${sizes.join(', ')} bytes keep those sizes`, async (make) => {
      const nat = await make()
      const whole = datagram(`${P1}:5020`, `${X}:7000`, { data: 'n'.repeat(3000), id: 0x54bb })
      const pieces = fragments(whole, ...sizes)
      const out = await nat.send('p1', ...pieces)
      expect(out.up?.map((f) => read(f).length)).toEqual(pieces.map((f) => read(f).length))
      expect(read(together(out.up as string[])).wrong).toEqual([])
    })
  }

  fact('5: fragments that come in another order get there all the same', async (make) => {
    const nat = await make()
    const whole = datagram(`${P1}:5020`, `${X}:7000`, { data: 'n'.repeat(4000), id: 0x54bc })
    const [a, b, c] = fragments(whole, 1480) as [string, string, string]
    const out = await nat.send('p1', c, b, a)
    expect(out.up?.map((f) => read(f).offset).sort((x, y) => x - y)).toEqual([0, 1480, 2960])
    expect(line(together(out.up as string[]))).toBe(`udp ${OUTSIDE}:5020 > ${X}:7000`)
  })

  fact('6: what is too long and must not be cut is refused by the inside gateway', async (make) => {
    const nat = await make({ uplinkMtu: 1400 })
    const long = echo(P1, X, 5, { flags: 0x4000, data: 'l'.repeat(1450) })
    const error = await sent(nat, 'p1', long, 'p1')
    const { tos, rest, length, data } = read(error)
    expect(line(error)).toBe(`icmp ${GATEWAY} > ${P1} 3/4`)
    expect([tos, rest, length]).toEqual([0xc0, 1400, 576])
    // The packet as its sender sent it, up to the hop that was taken off.
    const quoted = Buffer.from(long, 'hex').subarray(14, 14 + data.length)
    expect(data.subarray(12).equals(quoted.subarray(12))).toBe(true)
    expect(embedded(error).wrong).toEqual([])
    // A refused packet leaves no trace that would hinder the next one.
    expect(line(await sent(nat, 'p1', echo(P1, X, 5), 'up'))).toBe(`icmp ${OUTSIDE} > ${X} 8/0 id 5`)
  })

  fact('7: takes one hop off; what has none left is told of by the inside gateway', async (make) => {
    const nat = await make()
    expect(read(await sent(nat, 'p1', echo(P1, X, 6, { ttl: 9 }), 'up')).ttl).toBe(8)
    const last = echo(P1, X, 6, { ttl: 1 })
    const error = await sent(nat, 'p1', last, 'p1')
    expect(line(error)).toBe(`icmp ${GATEWAY} > ${P1} 11/0`)
    expect(line(embedded(error))).toBe(line(last))
    expect(read(await sent(nat, 'up', echo(X, OUTSIDE, 6, { ttl: 9, reply: true }), 'p1')).ttl).toBe(8)
    // From outside: of the uplink's address, about the packet as it was sent.
    const late = echo(X, OUTSIDE, 6, { ttl: 1, reply: true })
    const told = await sent(nat, 'up', late, 'up')
    expect(line(told)).toBe(`icmp ${OUTSIDE} > ${X} 11/0`)
    expect(line(embedded(told))).toBe(line(late))
  })

  const mapping = { protocol: 'udp', port: 8080, to: P2, toPort: 7000 } as const

  fact(
    '8: by way of the outside address and without masquerade a server inside sees the client itself',
    async (make) => {
      const nat = await make({ mappings: [mapping] })
      const came = await sent(nat, 'p1', datagram(`${P1}:6001`, `${OUTSIDE}:8080`), 'p2')
      expect(line(came)).toBe(`udp ${P1}:6001 > ${P2}:7000`)
      expect([read(came).ttl, read(came).ethSrc]).toEqual([63, MAC.gateway])
      // The answer goes straight over the bridge, from an address that the client never asked.
      const answer = datagram(`${P2}:7000`, `${P1}:6001`, { to: MAC.p1 })
      expect(await nat.send('p2', answer)).toEqual({ p1: [answer] })
      // What it sends to itself that way comes from its own address, which no host takes. (Where a bridge's frames pass
      // netfilter as well, br_netfilter, it does not even come: the bridge sends nothing back where it came from.)
      expect(lines(await nat.send('p2', datagram(`${P2}:6002`, `${OUTSIDE}:8080`)))).toEqual({
        p2: [`udp ${P2}:6002 > ${P2}:7000`],
      })
    },
  )

  fact('8: with masquerade it works, also for the server itself', async (make) => {
    const nat = await make({ mappings: [mapping], hairpin: true })
    for (const [side, who, mac] of [
      ['p1', P1, MAC.p1],
      ['p2', P2, MAC.p2],
    ] as const) {
      const came = await sent(nat, side, datagram(`${who}:6011`, `${OUTSIDE}:8080`), 'p2')
      const { src, sport, ethSrc } = read(came)
      expect([src, ethSrc, line(came)]).toEqual([GATEWAY, MAC.gateway, `udp ${GATEWAY}:${sport} > ${P2}:7000`])
      const answer = await sent(nat, 'p2', datagram(`${P2}:7000`, `${GATEWAY}:${sport}`), side)
      expect([line(answer), read(answer).ethDst]).toEqual([`udp ${OUTSIDE}:8080 > ${who}:6011`, mac])
    }
  })

  /** A segment: where it comes in, flags, sequence number, acknowledgement. */
  type Step = ['p1' | 'up', string, number, number]

  /** Seconds that are left, had no time passed since: the kernel's clock goes on. */
  function full(left: number): number {
    return Math.ceil(left / 10) * 10
  }

  describe('9: how connections end and begin anew', () => {
    // The kernel's flows are listed by conntrack-tools.
    const traced: typeof fact = (name, run) =>
      make === kernels && noConntrack !== '' ? it.skip(`${name}: ${noConntrack}`, () => undefined) : fact(name, run)
    const open: Step[] = [
      ['p1', 'S', 100, 0],
      ['up', 'SA', 900, 101],
      ['p1', 'A', 101, 901],
    ]
    const closing: Step[] = [...open, ['p1', 'FA', 101, 901], ['up', 'A', 901, 102], ['up', 'FA', 901, 102]]
    const anew: Step[] = [
      ['p1', 'S', 70_000, 0],
      ['up', 'SA', 555, 70_001],
      ['p1', 'A', 70_001, 556],
    ]
    for (const [name, steps, states] of [
      [
        'opening and closing',
        [...closing, ['p1', 'A', 102, 902]],
        'SYN_SENT 120, SYN_RECV 60, ESTABLISHED 432000 assured, FIN_WAIT 120 assured, CLOSE_WAIT 60 assured, LAST_ACK 30 assured, TIME_WAIT 120 assured',
      ],
      [
        'after a reset of the client',
        [...open, ['p1', 'R', 101, 0], ...anew],
        'CLOSE 10 assured, SYN_SENT 120, SYN_RECV 60, ESTABLISHED 432000 assured',
      ],
      [
        'before the last ACK',
        [...closing, ...anew],
        'LAST_ACK 30 assured, LAST_ACK 30 assured, SYN_RECV 60 assured, ESTABLISHED 432000 assured',
      ],
      [
        'picked up in mid-stream',
        [
          ['p1', 'A', 100, 5],
          ['up', 'A', 5, 100],
          ['p1', 'A', 100, 5],
        ],
        'ESTABLISHED 300, ESTABLISHED 300, ESTABLISHED 432000 assured',
      ],
    ] as [string, Step[], string][]) {
      traced(name, async (make) => {
        const nat = await make({ liberal: true })
        const seen: string[] = []
        for (const [side, flags, seq, ack] of steps) {
          const [from, to] = side === 'p1' ? [`${P1}:5000`, `${X}:80`] : [`${X}:80`, `${OUTSIDE}:5000`]
          await nat.send(side, segment(from, to, flags, { seq, ack }))
          const [[state, left, assured] = ['none', 0, false], ...more] = nat.flows('tcp', 5000)
          expect(more).toEqual([])
          seen.push(`${state} ${full(left)}${assured ? ' assured' : ''}`)
        }
        expect(seen.slice(-states.split(', ').length).join(', ')).toBe(states)
      })
    }

    traced('the first answer of UDP makes no stream, however late it comes', async (make) => {
      const nat = await make()
      await nat.send('p1', datagram(`${P1}:5000`, `${X}:9999`))
      await nat.wait(2.5)
      const seen: unknown[] = []
      for (let i = 0; i < 2; i++) {
        await nat.send('up', datagram(`${X}:9999`, `${OUTSIDE}:5000`))
        const [[, left, assured] = ['', 0, false]] = nat.flows('udp', 5000)
        seen.push([full(left), assured])
      }
      expect(seen).toEqual([
        [30, false],
        [120, true],
      ])
    })
  })

  fact('9: timeouts', async (make) => {
    const nat = await make()
    expect(nat.timeouts()).toMatchObject({
      udp_timeout: 30,
      udp_timeout_stream: 120,
      tcp_timeout_established: 432_000,
      tcp_timeout_syn_sent: 120,
      tcp_timeout_syn_recv: 60,
      tcp_timeout_fin_wait: 120,
      tcp_timeout_close_wait: 60,
      tcp_timeout_last_ack: 30,
      tcp_timeout_time_wait: 120,
      tcp_timeout_close: 10,
      tcp_timeout_unacknowledged: 300,
      icmp_timeout: 30,
      generic_timeout: 600,
    })
  })

  fact('9: a mapping that is not used ends, and one that is used does not', async (make) => {
    const nat = await make({ timeouts: { udp_timeout: 2 } })
    await nat.send('p1', datagram(`${P1}:5000`, `${X}:9999`))
    await nat.wait(1.2)
    await nat.send('p1', datagram(`${P1}:5000`, `${X}:9999`))
    await nat.wait(1.2)
    expect(lines(await nat.send('up', datagram(`${X}:9999`, `${OUTSIDE}:5000`)))).toEqual({
      p1: [`udp ${X}:9999 > ${P1}:5000`],
    })
    await nat.send('p1', datagram(`${P1}:5001`, `${X}:9999`))
    await nat.wait(3.2)
    expect(lines(await nat.send('up', datagram(`${X}:9999`, `${OUTSIDE}:5001`)))).toEqual({
      up: [`icmp ${OUTSIDE} > ${X} 3/3`],
    })
  })

  fact('10: what is mapped inwards keeps its source; the answer comes from where it was asked', async (make) => {
    const nat = await make({ mappings: [mapping] })
    const came = await sent(nat, 'up', datagram(`${X}:6000`, `${OUTSIDE}:8080`), 'p2')
    expect([line(came), read(came).ttl]).toEqual([`udp ${X}:6000 > ${P2}:7000`, 63])
    expect(lines(await nat.send('p2', datagram(`${P2}:7000`, `${X}:6000`)))).toEqual({
      up: [`udp ${OUTSIDE}:8080 > ${X}:6000`],
    })
    // What the server sends unasked is a flow of its own.
    expect(lines(await nat.send('p2', datagram(`${P2}:7000`, `${Y}:6000`)))).toEqual({
      up: [`udp ${OUTSIDE}:7000 > ${Y}:6000`],
    })
  })

  fact('a TCP connection from its first segment to its last', async (make) => {
    const nat = await make()
    const a = (flags: string, o: object): string => segment(`${P1}:5000`, `${X}:80`, flags, o)
    const b = (flags: string, o: object): string => segment(`${X}:80`, `${OUTSIDE}:5000`, flags, o)
    for (const [from, frame, side, ends] of [
      ['p1', a('S', { seq: 100, mss: 1460 }), 'up', `${OUTSIDE}:5000 > ${X}:80`],
      ['up', b('SA', { seq: 900, ack: 101, mss: 1460 }), 'p1', `${X}:80 > ${P1}:5000`],
      ['p1', a('A', { seq: 101, ack: 901 }), 'up', `${OUTSIDE}:5000 > ${X}:80`],
      ['p1', a('PA', { seq: 101, ack: 901, data: 'GET' }), 'up', `${OUTSIDE}:5000 > ${X}:80`],
      ['up', b('PA', { seq: 901, ack: 104, data: 'here it is' }), 'p1', `${X}:80 > ${P1}:5000`],
      ['up', b('FA', { seq: 911, ack: 104 }), 'p1', `${X}:80 > ${P1}:5000`],
      ['p1', a('FA', { seq: 104, ack: 912 }), 'up', `${OUTSIDE}:5000 > ${X}:80`],
      ['up', b('A', { seq: 912, ack: 105 }), 'p1', `${X}:80 > ${P1}:5000`],
    ] as const) {
      const out = await sent(nat, from, frame, side)
      expect(line(out)).toBe(`tcp ${ends}`)
      // Nothing but addresses, hops and checksums has changed.
      expect(out.slice(76, 100)).toBe(frame.slice(76, 100))
    }
  })

  fact('a connection that was there before is taken up in its middle', async (make) => {
    const nat = await make()
    expect(lines(await nat.send('p1', segment(`${P1}:5000`, `${X}:80`, 'PA', { data: 'x', ack: 7 })))).toEqual({
      up: [`tcp ${OUTSIDE}:5000 > ${X}:80`],
    })
  })

  fact('a datagram without a checksum has none behind', async (make) => {
    const nat = await make()
    const out = await sent(nat, 'p1', datagram(`${P1}:5000`, `${X}:9999`, { checksum: 'none' }), 'up')
    expect([line(out), out.slice(80, 84)]).toEqual([`udp ${OUTSIDE}:5000 > ${X}:9999`, '0000'])
  })

  fact('the node answers pings to both of its addresses, and forwards none to itself', async (make) => {
    const nat = await make()
    expect(lines(await nat.send('p1', echo(P1, GATEWAY, 3)))).toEqual({ p1: [`icmp ${GATEWAY} > ${P1} 0/0 id 3`] })
    expect(lines(await nat.send('p1', echo(P1, OUTSIDE, 4)))).toEqual({ p1: [`icmp ${OUTSIDE} > ${P1} 0/0 id 4`] })
    expect(lines(await nat.send('up', echo(X, OUTSIDE, 3)))).toEqual({ up: [`icmp ${OUTSIDE} > ${X} 0/0 id 3`] })
  })

  for (const protocol of [47, 50, 253]) {
    fact(`protocol ${protocol}, which has no ports: addresses alone are translated`, async (make) => {
      const nat = await make()
      const load = Buffer.from('0000080012345678', 'hex')
      expect(lines(await nat.send('p1', packet({ src: P1, dst: X }, protocol, load)))).toEqual({
        up: [`${protocol} ${OUTSIDE}:0 > ${X}:0`],
      })
      expect(lines(await nat.send('up', packet({ src: X, dst: OUTSIDE }, protocol, load)))).toEqual({
        p1: [`${protocol} ${X}:0 > ${P1}:0`],
      })
      // A second host to the same one: whose answers would be whose?
      expect(await nat.send('p2', packet({ src: P2, dst: X }, protocol, load))).toEqual({})
    })
  }

  fact('SCTP: a checksum over all of the packet stays right', async (make) => {
    const nat = await make()
    const init = sctp(5000, 36412, '010000140000002a0000ffff000100010000002b')
    const ask = packet({ src: P1, dst: X }, 132, init)
    expect(await nat.send('p1', ask)).toEqual({
      up: [packet({ src: OUTSIDE, dst: X, from: MAC.uplink, to: MAC.x, ttl: 63 }, 132, init)],
    })
    const out = await sent(nat, 'p2', packet({ src: P2, dst: X }, 132, init), 'up')
    const b = Buffer.from(out, 'hex').subarray(34)
    expect(b.readUInt16BE(0)).not.toBe(5000)
    expect(b.readUInt32LE(8)).toBe(sctp(b.readUInt16BE(0), 36412, b.toString('hex', 12)).readUInt32LE(8))
  })

  fact('ICMP timestamps have identifiers, too', async (make) => {
    const nat = await make()
    const stamp = (type: number): Buffer => {
      const b = Buffer.alloc(20)
      b.writeUInt8(type, 0)
      b.writeUInt16BE(99, 4)
      icmp.fillChecksum(b, 0, 20)
      return b
    }
    expect(lines(await nat.send('p1', packet({ src: P1, dst: X }, 1, stamp(13))))).toEqual({
      up: [`icmp ${OUTSIDE} > ${X} 13/0`],
    })
    expect(lines(await nat.send('up', packet({ src: X, dst: OUTSIDE }, 1, stamp(14))))).toEqual({
      p1: [`icmp ${X} > ${P1} 14/0`],
    })
  })

  fact(
    'a connection to a port that leads inside, from an address that is inside the mapped host’s range',
    async (make) => {
      const nat = await make({ mappings: [{ protocol: 'tcp', port: 8080, to: P2, toPort: 80 }] })
      for (const [from, frame, side, ends] of [
        ['up', segment(`${X}:6000`, `${OUTSIDE}:8080`, 'S'), 'p2', `${X}:6000 > ${P2}:80`],
        ['p2', segment(`${P2}:80`, `${X}:6000`, 'SA', { ack: 1001 }), 'up', `${OUTSIDE}:8080 > ${X}:6000`],
        ['up', segment(`${X}:6000`, `${OUTSIDE}:8080`, 'A', { seq: 1001, ack: 1001 }), 'p2', `${X}:6000 > ${P2}:80`],
        ['p2', segment(`${P2}:80`, `${X}:6000`, 'RA', { seq: 1001, ack: 1001 }), 'up', `${OUTSIDE}:8080 > ${X}:6000`],
      ] as const) {
        expect(line(await sent(nat, from, frame, side))).toBe(`tcp ${ends}`)
      }
    },
  )

  fact('IPv6: fragments', async (make) => {
    const nat = await make()
    const whole = (from: string, to: string, o: object = {}): string =>
      datagram(from, to, { data: 'n'.repeat(2500), ...o })
    const out = await nat.send('p1', ...fragments6(whole(`[${SIX.p1}]:5000`, `[${SIX.x}]:9`), 1400))
    const left = fragments6(
      whole(`[${SIX.outside}]:5000`, `[${SIX.x}]:9`, { ttl: 63, from: MAC.uplink, to: MAC.x }),
      1400,
    )
    expect(out.up?.map(apart)).toEqual(left.map(apart))
    const back = await nat.send('up', ...fragments6(whole(`[${SIX.x}]:9`, `[${SIX.outside}]:5000`), 1400))
    const came = fragments6(whole(`[${SIX.x}]:9`, `[${SIX.p1}]:5000`, { ttl: 63, from: MAC.gateway, to: MAC.p1 }), 1400)
    expect(back.p1?.map(apart)).toEqual(came.map(apart))
  })

  fact('IPv6: datagrams, echoes and errors', async (make) => {
    const nat = await make()
    const ask = datagram(`[${SIX.p1}]:5000`, `[${SIX.x}]:9999`)
    const left = await sent(nat, 'p1', ask, 'up')
    expect([line(left), read(left).ttl]).toEqual([`udp [${SIX.outside}]:5000 > [${SIX.x}]:9999`, 63])
    expect(lines(await nat.send('up', datagram(`[${SIX.x}]:9999`, `[${SIX.outside}]:5000`)))).toEqual({
      p1: [`udp [${SIX.x}]:9999 > [${SIX.p1}]:5000`],
    })
    const second = read(await sent(nat, 'p2', datagram(`[${SIX.p2}]:5000`, `[${SIX.x}]:9999`), 'up'))
    expect([second.src, second.sport === 5000]).toEqual([SIX.outside, false])
    const error = await sent(nat, 'up', complaint(SIX.y, left, 1, 4), 'p1')
    expect(line(error)).toBe(`icmp6 ${SIX.y} > ${SIX.p1} 1/4`)
    expect(line(embedded(error))).toBe(line(ask))
    expect(lines(await nat.send('p1', echo(SIX.p1, SIX.x, 8)))).toEqual({
      up: [`icmp6 ${SIX.outside} > ${SIX.x} 128/0 id 8`],
    })
    expect(lines(await nat.send('up', echo(SIX.x, SIX.outside, 8, { reply: true })))).toEqual({
      p1: [`icmp6 ${SIX.x} > ${SIX.p1} 129/0 id 8`],
    })
    const late = await sent(nat, 'p1', echo(SIX.p1, SIX.x, 8, { ttl: 1 }), 'p1')
    expect(line(late)).toBe(`icmp6 ${SIX.gateway} > ${SIX.p1} 3/0`)
  })
})

/** A frame without the identification of its IPv6 fragment, which Linux draws anew. */
const apart = (frame: string): string => frame.slice(0, 116) + frame.slice(124)

/** Cuts the UDP datagram in an IPv6 frame into two fragments (RFC 8200, 4.5), the first with so many bytes. */
function fragments6(frame: string, first: number): string[] {
  const b = Buffer.from(frame, 'hex')
  const payload = b.subarray(54)
  return [
    [0, first],
    [first, payload.length],
  ].map(([from = 0, to = 0]) => {
    const header = Buffer.from(
      `1100${(from | (to < payload.length ? 1 : 0)).toString(16).padStart(4, '0')}0badcafe`,
      'hex',
    )
    const f = Buffer.concat([b.subarray(0, 54), header, payload.subarray(from, to)])
    f[20] = 44
    f.writeUInt16BE(8 + to - from, 18)
    return f.toString('hex')
  })
}

// Where the two differ.
describe('differences', () => {
  const both = async (
    context: { skip(note?: string): void },
    run: (nat: World) => Promise<unknown>,
  ): Promise<[mine: unknown, theirs: unknown]> => {
    const worlds = [await ours({})]
    try {
      const mine = await run(worlds[0] as World)
      if (noKernel) context.skip(noKernel)
      const kernel = await kernels({})
      worlds.push(kernel as never)
      return [mine, await run(kernel)]
    } finally {
      for (const world of worlds) world.close()
    }
  }

  it('what belongs to no flow ends here; Linux lets it out as it is, with its inside address', async (context) => {
    const found = await both(context, async (nat) => [
      lines(await nat.send('p1', echo(P1, X, 5, { reply: true }))),
      lines(await nat.send('p1', segment(`${P1}:5000`, `${X}:80`, 'SA'))),
    ])
    const leaks = [{ up: [`icmp ${P1} > ${X} 0/0 id 5`] }, { up: [`tcp ${P1}:5000 > ${X}:80`] }]
    expect(found).toEqual([[{}, {}], leaks])
  })

  it('a wrong checksum stays as wrong as it was; Linux does not translate what has one', async (context) => {
    const found = await both(context, async (nat) =>
      lines(await nat.send('p1', datagram(`${P1}:5000`, `${X}:9`, { checksum: 'wrong' }))),
    )
    expect(found).toEqual([
      { up: [`udp ${OUTSIDE}:5000 > ${X}:9 WRONG udp checksum`] },
      { up: [`udp ${P1}:5000 > ${X}:9 WRONG udp checksum`] },
    ])
  })

  it('fragments go on as they come; Linux waits for all of them', async (context) => {
    const [first] = fragments(datagram(`${P1}:5020`, `${X}:7000`, { data: 'n'.repeat(3000) }), 1480) as [string]
    const found = await both(context, async (nat) => lines(await nat.send('p1', first)))
    expect(found).toEqual([{ up: [`udp ${OUTSIDE}:5020 > ${X}:7000 first fragment`] }, {}])
  })

  it('a port that an outsider has tried belongs to nobody; Linux has a flow of its own for that', async (context) => {
    const found = await both(context, async (nat) => {
      await nat.send('up', datagram(`${X}:9999`, `${OUTSIDE}:5000`))
      const out = await nat.send('p1', datagram(`${P1}:5000`, `${X}:9999`))
      return read((out.up as string[])[0] as string).sport === 5000
    })
    expect(found).toEqual([true, false])
  })

  it('a SYN on a connection that was reset opens anew; Linux waits for the answer to it', async (context) => {
    const found = await both(context, async (nat) => {
      const a = (flags: string, o: object): string => segment(`${P1}:5000`, `${X}:80`, flags, o)
      const b = (flags: string, o: object): string => segment(`${X}:80`, `${OUTSIDE}:5000`, flags, o)
      await nat.send('p1', a('S', { seq: 100 }))
      await nat.send('up', b('SA', { seq: 900, ack: 101 }))
      await nat.send('p1', a('A', { seq: 101, ack: 901 }))
      await nat.send('up', b('RA', { seq: 901, ack: 101 }))
      const again = lines(await nat.send('p1', a('S', { seq: 5000 })))
      // An end that was never begun: it belongs to the old connection, or to none.
      const end = lines(await nat.send('p1', a('FA', { seq: 5001, ack: 1 })))
      return [again, end]
    })
    const out = { up: [`tcp ${OUTSIDE}:5000 > ${X}:80`] }
    expect(found).toEqual([
      [out, {}],
      [out, out],
    ])
  })
})

/** An SCTP packet with its checksum (RFC 9260, appendix A), bit by bit. */
function sctp(from: number, to: number, chunks: string): Buffer {
  const b = Buffer.concat([Buffer.alloc(12), Buffer.from(chunks, 'hex')])
  b.writeUInt16BE(from, 0)
  b.writeUInt16BE(to, 2)
  let crc = 0xffff_ffff
  for (const byte of b) {
    crc ^= byte
    for (let i = 0; i < 8; i++) crc = (crc & 1) !== 0 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1
  }
  b.writeUInt32LE(~crc >>> 0, 8)
  return b
}

/** Puts fragments together, whatever their order. */
function together(frames: readonly string[]): string {
  const list = frames.map((f) => [read(f), Buffer.from(f, 'hex')] as const).sort(([a], [b]) => a.offset - b.offset)
  const head = Buffer.from(list[0]![1].subarray(0, 34))
  const data = Buffer.concat(list.map(([r, b]) => b.subarray(34, 14 + r.length)))
  head.writeUInt16BE(20 + data.length, 16)
  head.writeUInt16BE(0, 20)
  head.writeUInt16BE(0, 24)
  let sum = 0
  for (let i = 14; i < 34; i += 2) sum += head.readUInt16BE(i)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  head.writeUInt16BE(~sum & 0xffff, 24)
  return head.toString('hex') + data.toString('hex')
}
