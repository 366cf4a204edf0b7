import { expect, it } from 'vitest'
import { type RouterModeOptions, router } from '../src/index.ts'
import { frames, type Lab, lab } from './lab.ts'

/*
 *     red 10.0.1.2           blue 10.0.2.2
 *        | .1 02:..:11          | .1 02:..:12
 *     +--+----------------------+--+
 *     |             r              |
 *     +----------------------------+
 */
function node(options: Partial<RouterModeOptions> = {}): Lab & { node: ReturnType<typeof router> } {
  const it = lab()
  const port = (name: string, mac: string, addresses: string[]) => ({ name, port: it.port(name), mac, addresses })
  const built = router(it.ground, {
    ports: [
      port('red', '02:00:00:00:00:11', ['10.0.1.1/24', 'fd00:1::1/64']),
      port('blue', '02:00:00:00:00:12', ['10.0.2.1/24']),
    ],
    ...options,
  })
  for (const [name, address, mac] of [
    ['red', '10.0.1.2', '02:00:00:00:00:0a'],
    ['blue', '10.0.2.2', '02:00:00:00:00:0b'],
  ] as const) {
    built.links.find((l) => l.name === name)?.neighbours.add(address, mac)
  }
  return { ...it, node: built }
}

/** UDP 1 to 2, no data, from red. */
const fromRed = (ttl: string, sum: string, to: string): string =>
  `020000000011 02000000000a 0800 4500001c00000000 ${ttl} 11 ${sum} 0a000102 ${to} 0001 0002 0008 0000`

it('routes between its ports: both MACs are the next link’s, the time to live is one less', () => {
  expect(node().send('red', fromRed('40', '63ce', '0a000202'))).toEqual({
    blue: frames('02000000000b 020000000012 0800 4500001c00000000 3f 11 64ce 0a000102 0a000202 0001 0002 0008 0000'),
  })
})

it('answers for its addresses, the link-local one included, and has one only where it speaks IPv6', () => {
  const { node: built, send } = node()
  expect(built.links.map((l) => l.iface.addresses)).toEqual([
    ['10.0.1.1/24', 'fd00:1::1/64', 'fe80::ff:fe00:11/64'],
    ['10.0.2.1/24'],
  ])
  const request = 'ffffffffffff 02000000000a 0806 0001080006040001 02000000000a 0a000102 000000000000 0a000101'
  expect(send('red', request)).toEqual({
    red: frames('02000000000a 020000000011 0806 0001080006040002 020000000011 0a000101 02000000000a 0a000102'),
  })
})

it('takes one gateway as it takes a list of one', () => {
  const to = '10.9.0.0/16'
  for (const via of ['10.0.2.2', ['10.0.2.2']]) {
    expect(Object.keys(node({ routes: [{ to, via }] }).send('red', fromRed('40', '65c5', '0a090002')))).toEqual([
      'blue',
    ])
  }
  expect(() => node({ routes: [{ to, via: { address: '10.0.2.2' } as never }] })).toThrow(
    'route 10.9.0.0/16: via must be an address, or a list of them, not {"address":"10.0.2.2"}',
  )
})

it('takes static routes by port and by gateway, and says where there is no port of that name', () => {
  const routes = [
    { to: '10.9.0.0/16', via: ['10.0.2.2'] },
    { to: 'fd00:9::/64', via: ['fe80::2'], port: 'blue' },
    { to: '10.8.0.0/16', type: 'unreachable' as const },
  ]
  const { node: built, send } = node({ routes })
  const listed = Array.from(built.router.routes(), (r) => `${r.to} ${r.kind} ${r.hops.map((h) => h.dev).join()}`)
  expect(listed).toEqual(expect.arrayContaining(['10.9.0.0/16 static blue', 'fd00:9::/64 static blue']))
  expect(send('red', fromRed('40', '65c7', '0a090000')).blue?.[0]).toMatch(/^02000000000b020000000012/)
  // Host unreachable, from the port's address.
  expect(send('red', fromRed('40', '65c7', '0a080001')).red?.[0]).toMatch(
    /^02000000000a020000000011080045c0.{16}....0a0001010a0001020301/,
  )
  expect(() => node({ routes: [{ to: '0.0.0.0/0', via: ['fe80::1'], port: 'green' }] })).toThrow(
    'route 0.0.0.0/0: there is no port green',
  )
})

it('says no more by ICMP than it may', () => {
  const { send } = node({ icmpRate: 1, icmpBurst: 2 })
  const answers = [1, 2, 3].map(() => send('red', fromRed('01', 'a2ce', '0a000202')).red?.length ?? 0)
  expect(answers).toEqual([1, 1, 0])
})
