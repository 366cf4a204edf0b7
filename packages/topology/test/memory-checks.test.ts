import { buildInMemory, type CheckResult, type MemoryWorld, memoryWorld, parseTopology } from '@l2l3/topology/memory'
import { describe, expect, it } from 'vitest'

/*
 *    red 10.0.0.1     blue 10.0.0.2      twin 10.0.0.2, in VLAN 20
 *     |                |                  |
 *   +-+----------------+------------------+-+            far 10.9.0.2
 *   |                 sw1                   |               |
 *   +----------------+----------------------+      +--------+------+
 *                    +------------------ lan ------+ r 10.0.0.254  |
 *                                                  +---------------+
 */
const NET = (checks: string, red = ''): string => `
name: net
segments: { lan: { hosts: { red: { mac: 02:00:00:00:00:0a, ip: [10.0.0.1/24, "fd00::1/64"], gateway: [10.0.0.254, "fd00::fe"] } } } }
nodes:
  sw1:
    mode: switch
    uplink: { segment: lan }
    endpoints:
      blue: { mac: 02:00:00:00:00:0b, ip: [10.0.0.2/24, "fd00::2/64"]${red} }
      green: { mac: 02:00:00:00:00:0c, ip: 10.0.0.3/24, macs: [02:00:00:00:00:99] }
  r:
    mode: router
    uplink: { segment: lan, ip: [10.0.0.254/24, "fd00::fe/64"], mac: 02:00:00:00:00:fe }
    routes: [{ to: 10.8.0.0/16, blackhole: true }]
    endpoints: { far: { ip: [10.9.0.2/24, "fd09::2/64"], gateway: [10.9.0.1/24, "fd09::1/64"] } }
checks:
${checks
  .trim()
  .split('\n')
  .map((line) => `  ${line.trim().startsWith('-') ? '' : '  '}${line.trim()}`)
  .join('\n')}
`
const world = (checks: string, more?: string): MemoryWorld =>
  buildInMemory(parseTopology(NET(checks, more), 'net.yaml'))
const results = (checks: string, more?: string): (readonly [boolean, string, string])[] => {
  const w = world(checks, more)
  const found = w.runChecks().map((r) => [r.ok, r.text, r.detail] as const)
  expect(w.pool.report()).toMatchObject({ balanced: true })
  return found
}

describe('udp', () => {
  it('has datagrams come back as they were, over either IP version, from the port that serves', () => {
    expect(
      results(`
        - udp: { from: red, to: far }
        - udp: { from: red, to: blue, bytes: 0, family: 4 }
        - udp: { from: red, to: blue, count: 300, bytes: 1472, port: 5353, family: 4 }
        - udp: { from: red, to: blue, bytes: 1453, count: 1, family: 6 }`),
    ).toEqual([
      [true, 'udp red -> far (IPv4, 10.9.0.2)', '3 of 3 came back'],
      [true, 'udp red -> far (IPv6, fd09::2)', '3 of 3 came back'],
      [true, 'udp red -> blue (IPv4, 10.0.0.2)', '3 of 3 came back'],
      [true, 'udp red -> blue (IPv4, 10.0.0.2 port 5353)', '300 of 300 came back'],
      [false, 'udp red -> blue (IPv6, fd00::2)', '0 of 1 came back: 1453 bytes do not fit the MTU'],
    ])
  })

  it('says why they do not come back', () => {
    expect(
      results(`
        - udp: { from: red, to: 10.0.0.254, port: 9, count: 1 }
        - udp: { from: red, to: "fd00::fe", port: 9, count: 1 }
        - udp: { from: red, to: far, port: 9, serverPort: 10, count: 1 }
        - udp: { from: red, to: blue, count: 1, server: green, port: 7, family: 4 }
        - udp: { from: red, to: 10.0.0.77, count: 1 }
          expect: fail`),
    ).toEqual([
      [false, 'udp red -> 10.0.0.254 (IPv4 port 9)', '0 of 1 came back: port unreachable from 10.0.0.254'],
      [false, 'udp red -> fd00::fe (IPv6 port 9)', '0 of 1 came back: port unreachable from fd00::fe'],
      [false, 'udp red -> far (IPv4, 10.9.0.2 port 9)', '0 of 1 came back: port unreachable from 10.9.0.2'],
      [false, 'udp red -> far (IPv6, fd09::2 port 9)', '0 of 1 came back: port unreachable from fd09::2'],
      [false, 'udp red -> blue (IPv4, 10.0.0.2 port 7)', 'it came back from another than green'],
      [true, 'udp red -> 10.0.0.77 (IPv4, must fail)', '0 of 1 came back: no answer'],
    ])
  })

  it('knows a payload that is not what was sent, and one that comes twice', () => {
    expect(results('- udp: { from: red, to: blue, family: 4, count: 20 }', ', faults: { duplicate: 1 }')).toEqual([
      [true, 'udp red -> blue (IPv4, 10.0.0.2)', '20 of 20 came back'],
    ])
    const w = world('- udp: { from: red, to: blue, family: 4, count: 1, timeout: 1 }')
    const [udp] = w.topology.checks
    // What answers is not the echo service but one who changes a byte: the checksum is left out.
    w.host('blue').receive = (frame: Uint8Array): void => {
      const answer = Buffer.from(frame)
      if (answer.readUInt16BE(12) === 0x0806) {
        const reply = '02000000000a 02000000000b 0806 0001 0800 0604 0002 02000000000b 0a000002 02000000000a 0a000001'
        w.port('sw1/blue').inject(Buffer.from(reply.replaceAll(' ', ''), 'hex'))
        return
      }
      answer.set(frame.subarray(6, 12), 0)
      answer.set(frame.subarray(0, 6), 6)
      answer.writeUInt32BE(0x0a000002, 26)
      answer.writeUInt32BE(0x0a000001, 30)
      answer.set(frame.subarray(36, 38), 34)
      answer.set(frame.subarray(34, 36), 36)
      answer.writeUInt16BE(0, 40)
      answer.writeUInt8(answer.readUInt8(60) ^ 1, 60)
      w.port('sw1/blue').inject(answer)
    }
    expect(w.check(udp as never)).toMatchObject({ ok: false, detail: 'a payload came back damaged' })
  })
})

describe('http', () => {
  it('has status and text arrive as the server was given them', () => {
    expect(
      results(`
        - http: { from: red, to: far }
        - http: { from: red, to: blue, family: 4, url: "/x?y=1", status: 503, body: "grüß Gott\\n" }
        - http: { from: red, to: blue, family: 4, port: 8080, body: "${'0123456789'.repeat(1000)}" }`),
    ).toEqual([
      [true, 'http red -> far (IPv4, 10.9.0.2 port 80)', 'status 200, 4 bytes'],
      [true, 'http red -> far (IPv6, fd09::2 port 80)', 'status 200, 4 bytes'],
      [true, 'http red -> blue (IPv4, 10.0.0.2 port 80)', 'status 503, 12 bytes'],
      [true, 'http red -> blue (IPv4, 10.0.0.2 port 8080)', 'status 200, 10000 bytes'],
    ])
  })

  it('says why they do not', () => {
    expect(
      results(`
        - http: { from: red, to: 10.0.0.254, timeout: 1 }
        - http: { from: red, to: blue, family: 4, port: 8080, serverPort: 9090 }
        - http: { from: red, to: blue, family: 4, server: green }
        - http: { from: red, to: 10.0.0.77, timeout: 20 }
          expect: fail`),
    ).toEqual([
      [false, 'http red -> 10.0.0.254 (IPv4 port 80)', 'no answer in time'],
      [false, 'http red -> blue (IPv4, 10.0.0.2 port 8080)', 'connection: refused'],
      [false, 'http red -> blue (IPv4, 10.0.0.2 port 80)', 'connection: refused'],
      [true, 'http red -> 10.0.0.77 (IPv4 port 80, must fail)', 'connection: timeout'],
    ])
  })

  it('speaks HTTP as others do: the bytes', () => {
    const w = world('- http: { from: red, to: blue, family: 4, url: /a }')
    const said: string[] = []
    w.loop.observer = {
      received: (port, _element, batch) => {
        for (const f of batch.frames.subarray(0, batch.length)) {
          const text = Buffer.from(w.pool.copyOut(f as never)).toString('latin1', 54)
          if (/HTTP/.test(text) && !port.name.startsWith('sw1/up') && !port.name.startsWith('lan/sw')) said.push(text)
        }
      },
    }
    w.runChecks()
    expect(said).toEqual([
      'GET /a HTTP/1.1\r\nHost: 10.0.0.2\r\nUser-Agent: l2l3\r\nAccept: */*\r\nConnection: close\r\n\r\n',
      'HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\nConnection: close\r\n\r\nblue\n',
    ])
  })
})

describe('arp', () => {
  it('says who answers, whatever is in the cache', () => {
    expect(
      results(`
        - arp: { from: red, to: blue, mac: 02-00-00-00-00-0B }
        - arp: { from: red, to: 10.0.0.254, mac: 02:00:00:00:00:0b, count: 1 }
        - arp: { from: red, to: 10.0.0.77, count: 2 }
          expect: fail`),
    ).toEqual([
      [true, 'arp red -> blue (IPv4, 10.0.0.2)', '3 of 3 answered: 10.0.0.2 is at 02:00:00:00:00:0b'],
      [false, 'arp red -> 10.0.0.254 (IPv4)', '1 of 1 answered: 10.0.0.254 is at 02:00:00:00:00:fe'],
      [true, 'arp red -> 10.0.0.77 (IPv4, must fail)', '0 of 2 answered'],
    ])
  })
})

describe('what must come of a check', () => {
  it('may be a drop: nothing answers, and nodes count it', () => {
    expect(
      results(`
        - ping: { from: red, to: 10.8.0.1, count: 2, timeout: 1 }
          expect: { drop: Blackhole }
        - ping: { from: green, to: blue, count: 1, timeout: 1 }
          expect: { drop: MacGuard }
        - ping: { from: red, to: 10.8.0.1, count: 1, timeout: 1 }
          expect: { drop: NoRoute }
        - ping: { from: red, to: blue, family: 4, count: 1 }
          expect: { drop: Isolated }`),
    ).toEqual([
      [
        true,
        'ping red -> 10.8.0.1 (IPv4, must be dropped: Blackhole)',
        '0 of 2 answered: no answer; 2 dropped: Blackhole',
      ],
      [
        true,
        'ping green -> blue (IPv4, 10.0.0.2, must be dropped: MacGuard)',
        // It asks for blue's MAC, and again a second later.
        '0 of 1 answered: no answer; 2 dropped: MacGuard',
      ],
      [
        false,
        'ping red -> 10.8.0.1 (IPv4, must be dropped: NoRoute)',
        expect.stringMatching(/^0 of 1 answered: no answer; none dropped: NoRoute \(but .*1 Blackhole\)$/),
      ],
      [
        false,
        'ping red -> blue (IPv4, 10.0.0.2, must be dropped: Isolated)',
        expect.stringMatching(/^1 of 1 answered; /),
      ],
    ])
  })

  it('may be that there is no hop, or any', () => {
    const checks = [
      '{ from: red, to: blue, family: 4, via: [] }',
      '{ from: red, to: far, family: 4, via: [] }',
      '{ from: red, to: far, family: 4, via: ["fd00::9"] }',
      '{ from: red, to: far, family: 4 }',
    ]
    const all = results(checks.map((check) => `\n        - traceroute: ${check}`).join(''))
    expect(all.map(([ok]) => ok)).toEqual([true, false, true, true])
  })

  it('may be a way', () => {
    const ways = results(`
      - ping: { from: red, to: far, family: 4, count: 1 }
        path: [lan, lan/r.uplink, r/uplink, r, r/far]
      - ping: { from: red, to: blue, family: 4, count: 1 }
        path: [lan, sw1/uplink, sw1/blue]
      - arp: { from: red, to: blue, count: 1 }
        path: [sw1, sw1/blue]
      - ping: { from: red, to: far, family: 4, count: 1 }
        path: [r, lan]`)
    expect(ways.map(([ok]) => ok)).toEqual([true, true, true, false])
    expect(ways[3]?.[2]).toMatch(
      /^1 of 1 answered; its first packet went .*lan\/red lan .* r .*, and not by way of r lan$/,
    )
  })
})

describe('the way of a check', () => {
  it('is that of the first packet that a bad wire lets in', () => {
    const w = buildInMemory(
      parseTopology(
        `
nodes:
  sw1:
    mode: switch
    endpoints:
      red: { mac: 02:00:00:00:00:0a, ip: 10.0.0.1/24, faults: { loss: 60% } }
      blue: { mac: 02:00:00:00:00:0b, ip: 10.0.0.2/24 }
checks:
  - arp: { from: blue, to: red, count: 1 }
  - tcp: { from: red, to: blue, bytes: 1000 }
    path: [sw1/red, sw1, sw1/blue]`,
        'net.yaml',
      ),
    )
    expect(w.runChecks().map(({ ok, detail }) => [ok, detail])).toEqual([
      [true, '1 of 1 answered: 10.0.0.1 is at 02:00:00:00:00:0a'],
      [true, '1000 bytes, all intact'],
    ])
  })
})

describe('a world that is asked as others are', () => {
  const CHECKS = `
    - ping: { from: red, to: far }
    - tcp: { from: red, to: blue, bytes: 200 kB, family: 4 }
    - http: { from: blue, to: red, family: 6 }`

  it('finds the same as the one that is asked at once', async () => {
    const topology = parseTopology(NET(CHECKS), 'net.yaml')
    await using w = memoryWorld(topology)
    const told: CheckResult[] = []
    const found = await w.runChecks((result) => told.push(result))
    expect(found).toEqual(buildInMemory(topology).runChecks())
    expect(told).toEqual(found)
    expect((await w.snapshot()).ledger).toMatchObject({ balanced: true, held: 0 })
  })

  it('stops a check when it is told to, and all when it is closed', async () => {
    const w = memoryWorld(parseTopology(NET('- tcp: { from: red, to: blue, bytes: 100 MB, family: 4 }'), 'net.yaml'))
    const [tcp] = w.topology.checks
    const abort = new AbortController()
    const check = w.check(tcp as never, abort.signal)
    abort.abort(new Error('enough'))
    await expect(check).rejects.toThrow('enough')
    const other = w.check(tcp as never)
    await w.close()
    await w.close()
    await expect(other).rejects.toThrow('net was stopped')
    await expect(w.stopped).resolves.toBe(undefined)
    expect(w.memory.pool.report()).toMatchObject({ balanced: true, held: 0 })
  })
})

describe('what must fail', () => {
  it('has not failed where one of many gets through, nor where a stranger answers for the address', () => {
    const checks = `
        - ping: { from: red, to: blue, count: 40, timeout: 0.1, family: 4 }
          expect: EXPECTED
        - udp: { from: red, to: blue, count: 40, timeout: 0.1, family: 4 }
          expect: EXPECTED
        - arp: { from: red, to: blue, count: 9, timeout: 0.1, mac: 02:00:00:00:00:99 }
          expect: EXPECTED`
    for (const expected of ['pass', 'fail', '{ drop: Fault }']) {
      const found = results(checks.replaceAll('EXPECTED', expected), ', faults: { loss: 30% }')
      expect(found.map(([ok, , detail]) => [ok, /^[1-9]\d* of/.test(detail)])).toEqual(Array(3).fill([false, true]))
    }
  })

  it('is said at once where a node has no way for a connection, which is not tried again', () => {
    const w = world(`
        - tcp: { from: red, to: 10.7.0.1, port: 80, timeout: 20 }
          expect: fail
        - tcp: { from: red, to: 10.8.0.1, port: 80, timeout: 0.5 }
          expect: { drop: Blackhole }`)
    const found = w.runChecks()
    expect(found.map(({ ok, detail }) => [ok, detail.replace(/\d+ dropped/, 'some dropped')])).toEqual([
      [true, 'connection: refused'],
      [true, 'no answer in time; some dropped: Blackhole'],
    ])
    const { Blackhole } = w.pool.report().dropped
    w.advance(20e9)
    expect(w.pool.report().dropped).toMatchObject({ NoRoute: 1, Blackhole })
  })
})
