import type { Element } from '@l2l3/switch-core'
import { describe, expect, it } from 'vitest'
import { ArpGuard, ArpLimiter, DhcpGuard, PortBindings, SourceGuard } from '../src/index.ts'
import { ALL, ANN, arp, BEN, Bench, EVE, hex4, hex6, icmp6, isAt, mac, na, ns, O, S, whoHas, ZERO } from './lab.ts'

/** A port of Ann's: 02:00:00:00:00:0a with 10.0.0.10, 10.0.0.11 and fd00::a; and of a second MAC, Ben's, with
 * 10.0.0.20. */
const bindings = new PortBindings([
  { mac: mac(ANN), address: '10.0.0.10' },
  { mac: mac(ANN), address: '10.0.0.11' },
  { mac: mac(ANN), address: 'fd00::a' },
  { mac: mac(BEN), address: '10.0.0.20' },
])
const LOCAL = 'fe80::ff:fe00:a'

function behind(make: (bench: Bench) => Element): (frame: string) => string {
  const bench = new Bench()
  bench.attach(make(bench))
  let before: Record<string, number> = {}
  /** "passes", or the reason. */
  return (frame) => {
    expect(bench.send(frame)).toEqual([])
    if (bench.through.take().length > 0) return 'passes'
    const drops = { ...bench.drops } as Record<string, number>
    const why = Object.keys(drops).find((k) => drops[k] !== (before[k] ?? 0))
    before = drops
    return why ?? 'vanished'
  }
}

const tagged = (frame: string, ...tags: string[]): string => frame.slice(0, 24) + tags.join('') + frame.slice(24)

describe('ARP guard', () => {
  const judge = behind((bench) => new ArpGuard(bench.pool, bindings))
  it.each([
    ['a question of its own', whoHas(ANN, '10.0.0.10', '10.0.0.1'), 'passes'],
    ['a question of its second address', whoHas(ANN, '10.0.0.11', '10.0.0.1'), 'passes'],
    ['an answer for itself', isAt(EVE, '10.0.0.1', ANN, '10.0.0.10'), 'passes'],
    ['a probe', whoHas(ANN, '0.0.0.0', '10.0.0.50'), 'passes'],
    ['padding', whoHas(ANN, '10.0.0.10', '10.0.0.1') + '00'.repeat(18), 'passes'],
    ['a tagged question', tagged(whoHas(ANN, '10.0.0.10', '10.0.0.1'), '81000005'), 'passes'],
    ['IPv4', `${ALL}${EVE}0800`, 'passes'],
    ['an answer for the gateway', isAt(EVE, '10.0.0.9', ANN, '10.0.0.1'), 'ArpGuard'],
    ['an announcement of another’s address', whoHas(ANN, '10.0.0.1', '10.0.0.1'), 'ArpGuard'],
    ['its second MAC with the first’s address', whoHas(BEN, '10.0.0.10', '10.0.0.1'), 'ArpGuard'],
    ['a foreign MAC with its address', arp(ALL, ANN, 1, EVE, '10.0.0.10', ZERO, '10.0.0.1'), 'ArpGuard'],
    ['a probe with a foreign MAC', whoHas(EVE, '0.0.0.0', '10.0.0.50'), 'ArpGuard'],
    ['a lie behind a tag', tagged(isAt(EVE, '10.0.0.9', ANN, '10.0.0.1'), '81000005'), 'ArpGuard'],
    ['a lie behind two tags', tagged(isAt(EVE, '10.0.0.9', ANN, '10.0.0.1'), '88a80005', '81000006'), 'ArpGuard'],
    [
      'anything behind three tags',
      tagged(whoHas(ANN, '10.0.0.10', '10.0.0.1'), '81000005', '81000006', '81000007'),
      'ArpGuard',
    ],
    [
      'hardware type 6, which Linux believes',
      whoHas(ANN, '10.0.0.10', '10.0.0.1').replace('08060001', '08060006'),
      'ArpGuard',
    ],
    ['a message cut short', whoHas(ANN, '10.0.0.10', '10.0.0.1').slice(0, 80), 'ArpGuard'],
  ])('%s', (_, frame, verdict) => {
    expect(judge(frame)).toBe(verdict)
  })
})

/** An IPv4 packet with a UDP header; no checksums. */
function udp4(src: string, from: string, sport: number, dport: number, fragment = '0000'): string {
  const port = (p: number): string => p.toString(16).padStart(4, '0')
  const ip = `450000200000${fragment}40110000${hex4(from)}0a000001`
  return `${ALL}${src}0800${ip}${port(sport)}${port(dport)}000c000001020304`
}

/** An IPv6 packet. */
function ip6(src: string, from: string, next: string, body: string): string {
  const length = (body.length / 2).toString(16).padStart(4, '0')
  return `${ALL}${src}86dd60000000${length}${next}ff${hex6(from)}${hex6('ff02::1')}${body}`
}

describe('source guard', () => {
  const judge = behind((bench) => new SourceGuard(bench.pool, bindings))
  const strict = behind((bench) => new SourceGuard(bench.pool, bindings, { dhcpClient: false, blockNonIp: true }))
  const router = behind((bench) => new SourceGuard(bench.pool, bindings, { router: true }))
  const TCP = `00500051${'00'.repeat(16)}`
  const advert = `86000000${'00'.repeat(12)}`
  it.each([
    ['its IPv4', udp4(ANN, '10.0.0.10', 1000, 53), 'passes'],
    ['its second MAC’s IPv4', udp4(BEN, '10.0.0.20', 1000, 53), 'passes'],
    ['a DHCP client', udp4(ANN, '0.0.0.0', 68, 67), 'passes'],
    ['a later fragment', udp4(ANN, '10.0.0.10', 1, 2, '0001'), 'passes'],
    ['another’s IPv4', udp4(ANN, '10.0.0.1', 1000, 53), 'IPv4Guard'],
    ['the first MAC with the second’s IPv4', udp4(ANN, '10.0.0.20', 1000, 53), 'IPv4Guard'],
    ['0.0.0.0, no DHCP', udp4(ANN, '0.0.0.0', 1000, 53), 'IPv4Guard'],
    ['0.0.0.0, a fragment', udp4(ANN, '0.0.0.0', 68, 67, '2000'), 'IPv4Guard'],
    ['another’s IPv4 behind a tag', tagged(udp4(ANN, '10.0.0.1', 1, 2), '81000005'), 'IPv4Guard'],
    ['a foreign MAC', udp4(EVE, '10.0.0.10', 1000, 53), 'MacGuard'],
    ['a foreign MAC with ARP', whoHas(EVE, '10.0.0.10', '10.0.0.1'), 'MacGuard'],
    ['an IPv4 header cut short', udp4(ANN, '10.0.0.10', 1, 2).slice(0, 60), 'Malformed'],
    ['an Ethernet header cut short', udp4(ANN, '10.0.0.10', 1, 2).slice(0, 26), 'Runt'],
    ['three tags', tagged(udp4(ANN, '10.0.0.10', 1, 2), '81000005', '81000005', '81000005'), 'Malformed'],
    ['ARP, which is the ARP guard’s', whoHas(ANN, '10.0.0.99', '10.0.0.1'), 'passes'],
    ['LLDP', `0180c200000e${ANN}88cc00`, 'passes'],
    ['its IPv6', ip6(ANN, 'fd00::a', '06', TCP), 'passes'],
    ['its link-local IPv6', ip6(ANN, LOCAL, '06', TCP), 'passes'],
    ['another’s IPv6', ip6(ANN, 'fd00::b', '06', TCP), 'IPv6Guard'],
    ['another MAC’s link-local IPv6', ip6(BEN, LOCAL, '06', TCP), 'IPv6Guard'],
    [':: with TCP', ip6(ANN, '::', '06', TCP), 'IPv6Guard'],
    ['an IPv6 header cut short', ip6(ANN, 'fd00::a', '06', TCP).slice(0, 100), 'Malformed'],
    ['extension headers that do not fit', ip6(ANN, 'fd00::a', '00', '3a09000000000000'), 'Malformed'],
    ['a solicitation', ns(ANN, 'fd00::a', 'fd00::1'), 'passes'],
    ['duplicate address detection', ns(ANN, '::', 'fd00::a'), 'passes'],
    ['a listener’s report from ::', icmp6('333300000016', ANN, '::', 'ff02::16', `8f${'00'.repeat(7)}`), 'passes'],
    ['a router solicitation from ::', icmp6('333300000002', ANN, '::', 'ff02::2', `85${'00'.repeat(7)}`), 'passes'],
    ['an echo from ::', icmp6(EVE, ANN, '::', 'fd00::1', `80${'00'.repeat(7)}`), 'IPv6Guard'],
    [
      'a solicitation with a foreign MAC inside',
      ns(EVE, 'fd00::a', 'fd00::1').replace(/^(.{12}).{12}/, `$1${ANN}`),
      'IPv6Guard',
    ],
    ['an advertisement of itself', na(EVE, ANN, 'fd00::a', 'fd00::1', 'fd00::a', S | O, ANN), 'passes'],
    ['an advertisement of another', na(EVE, ANN, 'fd00::a', 'fd00::1', 'fd00::1', S | O, ANN), 'IPv6Guard'],
    ['an advertisement with a foreign MAC', na(EVE, ANN, 'fd00::a', 'fd00::1', 'fd00::a', S | O, EVE), 'IPv6Guard'],
    ['an advertisement from another', na(EVE, ANN, 'fd00::1', 'fd00::9', 'fd00::a', S | O, ANN), 'IPv6Guard'],
    ['malformed ND', ns(ANN, 'fd00::a', 'fd00::1').replace('3aff', '3afe'), 'IPv6Guard'],
    ['a router advertisement', icmp6('333300000001', ANN, LOCAL, 'ff02::1', advert), 'IPv6Guard'],
    [
      'ND behind a hop-by-hop header',
      ip6(ANN, 'fd00::a', '00', `3a000502000001008800000000000000${hex6('fd00::1')}`),
      'IPv6Guard',
    ],
    [
      'ND in a fragment (RFC 6980)',
      ip6(ANN, 'fd00::a', '2c', `3a000001000000018800000000000000${hex6('fd00::1')}`),
      'IPv6Guard',
    ],
  ])('%s', (_, frame, verdict) => {
    expect(judge(frame)).toBe(verdict)
  })

  it('as strict as can be', () => {
    expect(strict(udp4(ANN, '0.0.0.0', 68, 67))).toBe('IPv4Guard')
    expect(strict(`0180c200000e${ANN}88cc00`)).toBe('BlockNonIp')
    expect(strict(whoHas(ANN, '10.0.0.10', '10.0.0.1'))).toBe('passes')
  })

  it('at a router’s port', () => {
    expect(router(icmp6('333300000001', ANN, LOCAL, 'ff02::1', advert))).toBe('passes')
    expect(router(icmp6('333300000001', ANN, '::', 'ff02::1', advert))).toBe('IPv6Guard')
  })
})

describe('DHCP guard', () => {
  const judge = behind((bench) => new DhcpGuard(bench.pool))
  const dhcp6 = (sport: string): string => ip6(ANN, LOCAL, '11', `${sport}022200080000`)
  it.each([
    ['a client', udp4(ANN, '0.0.0.0', 68, 67), 'passes'],
    ['a server', udp4(ANN, '10.0.0.10', 67, 68), 'DhcpGuard'],
    ['a relay', udp4(ANN, '10.0.0.10', 67, 67), 'DhcpGuard'],
    ['a server behind a tag', tagged(udp4(ANN, '10.0.0.10', 67, 68), '81000005'), 'DhcpGuard'],
    ['IPv4 from 547', udp4(ANN, '10.0.0.10', 547, 68), 'passes'],
    ['a server over IPv6', dhcp6('0223'), 'DhcpGuard'],
    ['a client over IPv6', dhcp6('0222'), 'passes'],
    ['IPv6 from 67', dhcp6('0043'), 'passes'],
    ['ARP', whoHas(ANN, '10.0.0.10', '10.0.0.1'), 'passes'],
  ])('%s', (_, frame, verdict) => {
    expect(judge(frame)).toBe(verdict)
  })
})

it('ARP limiter: lets a burst through, then so many a second, and all else always', () => {
  const bench = new Bench()
  bench.attach(new ArpLimiter(bench.pool, bench.clock, 10, 5))
  const question = whoHas(ANN, '10.0.0.10', '10.0.0.1')
  const solicitation = ns(ANN, 'fd00::a', 'fd00::1')
  for (let i = 0; i < 10; i++) bench.send(question, solicitation)
  expect(bench.through.take().length).toBe(5)
  expect(bench.drops).toEqual({ ArpLimiter: 15 })
  bench.send(udp4(ANN, '10.0.0.10', 1, 2))
  expect(bench.through.take().length).toBe(1)
  bench.wait(0.3)
  for (let i = 0; i < 10; i++) bench.send(question)
  expect(bench.through.take().length).toBe(3)
  expect(() => new ArpLimiter(bench.pool, bench.clock, 0)).toThrow(/perSecond.*0/)
})

it('bindings refuse what is no address of a host', () => {
  expect(() => new PortBindings([{ mac: mac(ALL), address: '10.0.0.1' }])).toThrow(/ff:ff/)
  expect(() => new PortBindings([{ mac: mac(ANN), address: '10.0.0.0/24' }])).toThrow(/10\.0\.0\.0\/24/)
})
