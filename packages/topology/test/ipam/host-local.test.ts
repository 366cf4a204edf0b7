import { mkdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { HostLocal, IpamError } from '../../src/ipam/host-local.ts'
import { parseResolvConf } from '../../src/ipam/resolv-conf.ts'
import { ann, ben, blue, dataDir, files } from './lab.ts'

/* Addresses are given out in turn and given back, and the directory says what the plugin's would say. */

const DUAL = [[{ subnet: '10.1.0.0/29' }], [{ subnet: 'fd00::/64' }]]

describe('addresses', () => {
  it('are given out one of each set, and stand in the directory as the plugin writes them', async () => {
    const place = dataDir()
    const routes = [{ dst: '0.0.0.0/0' }, { dst: 'fd00:9::/64', gw: 'fd00::9', mtu: 1400 }]
    const ipam = blue({ ranges: DUAL, routes }, place)
    expect(await ipam.add(ann)).toEqual({
      ips: [
        { address: '10.1.0.2/29', gateway: '10.1.0.1' },
        { address: 'fd00::2/64', gateway: 'fd00::1' },
      ],
      routes,
      dns: {},
    })
    expect(files(place)).toEqual({
      '10.1.0.2': 'ann\r\neth0',
      'fd00::2': 'ann\r\neth0',
      'last_reserved_ip.0': '10.1.0.2',
      'last_reserved_ip.1': 'fd00::2',
      lock: '',
    })
    expect(await ipam.check(ann)).toBe(true)
    expect(await ipam.check(ben)).toBe(false)
    await ipam.del(ann)
    expect(Object.keys(files(place)).sort()).toEqual(['last_reserved_ip.0', 'last_reserved_ip.1', 'lock'])
    expect(await ipam.check(ann)).toBe(false)
  })

  it('go around: one that was given back rests until all others had their turn', async () => {
    const ipam = blue({})
    const given: string[] = []
    for (let i = 0; i < 7; i++) {
      given.push((await ipam.add(ann)).ips[0]?.address ?? '')
      await ipam.del(ann)
    }
    expect(given.map((address) => address.slice(7))).toEqual(['2/29', '3/29', '4/29', '5/29', '6/29', '2/29', '3/29'])
  })

  it('end: then nothing is taken, of no set', async () => {
    const place = dataDir()
    const ipam = blue({ ranges: [[{ subnet: 'fd00::/64' }], [{ subnet: '10.1.0.0/30' }]] }, place)
    await ipam.add(ann)
    const before = files(place)
    const none = 'blue: no IP addresses available in range set 1: 10.1.0.1-10.1.0.2'
    await expect(ipam.add(ben)).rejects.toThrow(new IpamError(none))
    // The plugin's directory looks the same after that: the address of the first set had its turn.
    expect(files(place)).toEqual({ ...before, 'last_reserved_ip.0': 'fd00::3' })
    await ipam.del(ann)
    expect((await ipam.add(ben)).ips[1]?.address).toBe('10.1.0.2/30')
  })

  it('are one to an interface and set: again is refused, or gives the same', async () => {
    const place = dataDir()
    const ipam = blue({ ranges: DUAL }, place)
    const first = await ipam.add(ann)
    await expect(ipam.add(ann)).rejects.toThrow('blue: ann eth0 has the address 10.1.0.2 already')
    const before = files(place)
    expect(await ipam.add(ann, { again: 'same' })).toEqual(first)
    expect(files(place)).toEqual(before)
    // What has one of one set only gets the other.
    expect((await blue({ ranges: [DUAL[0]!] }, place).add(ben)).ips).toHaveLength(1)
    const { ips } = await ipam.add(ben, { again: 'same' })
    expect(ips.map((ip) => ip.address)).toEqual(['10.1.0.3/29', 'fd00::3/64'])
    // Another interface of the same container is another.
    expect((await ipam.add({ ...ann, ifname: 'eth1' })).ips[0]?.address).toBe('10.1.0.4/29')
  })

  it('may be wished for', async () => {
    const place = dataDir()
    const ipam = blue({ ranges: DUAL }, place)
    const { ips } = await ipam.add(ann, { requested: ['fd00::0042', '10.1.0.5'] })
    expect(ips.map((ip) => ip.address)).toEqual(['10.1.0.5/29', 'fd00::42/64'])
    // As with the plugin, the search goes on from there.
    expect((await ipam.add(ben)).ips.map((ip) => ip.address)).toEqual(['10.1.0.6/29', 'fd00::43/64'])
    const cam = { containerId: 'cam', ifname: 'eth0' }
    const before = Object.keys(files(place))
    for (const [requested, message] of [
      [['10.1.0.5'], '10.1.0.5 is taken'],
      [['fd00::42'], 'fd00::42 is taken'],
      [['10.1.0.1'], "10.1.0.1 is the gateway's address"],
      [['10.9.0.1'], 'the requested address 10.9.0.1 is in no range'],
      [['10.1.0.3', '10.1.0.4'], 'the requested address 10.1.0.4 is in no range, or the second of its set'],
    ] as const) {
      await expect(ipam.add(cam, { requested })).rejects.toThrow(message)
      expect(Object.keys(files(place))).toEqual(before)
    }
    await expect(ipam.add(ann, { requested: ['10.1.0.3'], again: 'same' })).rejects.toThrow('has the address 10.1.0.5')
    expect((await ipam.add(ann, { requested: ['10.1.0.5'], again: 'same' })).ips[0]?.address).toBe('10.1.0.5/29')
  })
})

describe('giving back', () => {
  it('is of one interface, and no error where there is nothing', async () => {
    const place = dataDir()
    const ipam = blue({}, place)
    await ipam.del(ann)
    await ipam.add(ann)
    await ipam.add({ ...ann, ifname: 'eth1' })
    await ipam.del(ann)
    await ipam.del(ann)
    expect((await ipam.list()).map((r) => [r.address.text, r.ifname])).toEqual([['10.1.0.3', 'eth1']])
  })

  it('knows files of old versions, with the container alone', async () => {
    const place = dataDir()
    mkdirSync(join(place, 'blue'))
    writeFileSync(join(place, 'blue', '10.1.0.2'), 'ann\n')
    const ipam = blue({}, place)
    await expect(ipam.add(ann)).rejects.toThrow('has the address 10.1.0.2 already')
    expect(await ipam.check(ann)).toBe(true)
    writeFileSync(join(place, 'blue', '10.1.0.3'), 'ann\r\neth0')
    await ipam.del(ann)
    expect(Object.keys(files(place))).toEqual(['10.1.0.2', 'lock'])
    await ipam.del(ann)
    expect(Object.keys(files(place))).toEqual(['lock'])
  })

  it('is done for those that are not there any more', async () => {
    const place = dataDir()
    const ipam = blue({ ranges: DUAL }, place)
    for (const who of [ann, ben, { ...ann, ifname: 'eth1' }]) await ipam.add(who)
    writeFileSync(join(place, 'blue', '10.1.0.5'), 'ben')
    const lost = await ipam.gc([ann, { ...ben, ifname: 'eth7' }])
    expect(lost.map((r) => `${r.containerId} ${r.ifname} ${r.address.text}`).sort()).toEqual([
      ...['ann eth1 10.1.0.4', 'ann eth1 fd00::4', 'ben eth0 10.1.0.3', 'ben eth0 fd00::3'],
    ])
    expect((await ipam.list()).map((r) => r.address.text).sort()).toEqual(['10.1.0.2', '10.1.0.5', 'fd00::2'])
  })
})

describe('the directory', () => {
  it('may hold what is none of ours', async () => {
    const place = dataDir()
    const dir = join(place, 'blue')
    mkdirSync(join(dir, '10.1.0.3'), { recursive: true })
    writeFileSync(join(dir, '10.1.0.2'), '')
    writeFileSync(join(dir, 'last_reserved_ip.0'), 'rubbish')
    writeFileSync(join(dir, 'notes'), 'ann\r\neth0')
    const ipam = blue({}, place)
    expect((await ipam.add(ann)).ips[0]?.address).toBe('10.1.0.4/29')
    await ipam.del(ann)
    expect(statSync(join(dir, 'notes')).size).toBe(9)
  })

  it('is worked on by many at once: nobody gets what another has', async () => {
    const place = dataDir()
    const everyone = Array.from({ length: 25 }, (_, i) => ({ containerId: `c${i}`, ifname: 'eth0' }))
    const ranges = [[{ subnet: '10.1.0.0/26' }], [{ subnet: 'fd00::/64' }]]
    const given = await Promise.all(everyone.map((who) => blue({ ranges }, place).add(who)))
    for (const set of [0, 1]) expect(new Set(given.map(({ ips }) => ips[set]?.address)).size).toBe(25)
    // One after the other, as nobody came between a search and what it found.
    const numbers = (await blue({}, place).list()).flatMap((r) =>
      r.address.family === 4 ? [r.address.bytes[3] as number] : [],
    )
    expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: 25 }, (_, i) => 2 + i))
    const same = await Promise.allSettled(Array.from({ length: 10 }, () => blue({ ranges }, place).add(ann)))
    expect(same.filter((r) => r.status === 'fulfilled')).toHaveLength(1)
  })
})

describe('names', () => {
  it.each(['', '.', '..', '../etc', 'a/b', '-x', 'a b', 'ä'])(
    '%j is none of a network, nor of a container',
    async (name) => {
      expect(() => blue({ network: name })).toThrow('network: expected a name of letters')
      await expect(blue({}).add({ ...ann, containerId: name })).rejects.toThrow(
        'containerId: expected a name of letters',
      )
    },
  )

  it.each(['', '.', '..', 'a/b', 'a:b', 'a b', 'x'.repeat(16)])('%j is none of an interface', async (ifname) => {
    const ipam = blue({})
    for (const call of ['add', 'check', 'del'] as const) {
      await expect(ipam[call]({ ...ann, ifname })).rejects.toThrow('ifname: expected the name of an interface')
    }
  })

  it('of the network goes into messages, keys of the ranges too', () => {
    expect(() => new HostLocal({ network: 'blue', ranges: [[{ subnet: '10.0.0.0/31' }]] })).toThrow(
      'ranges[0][0].subnet: 10.0.0.0/31 is too small',
    )
  })
})

describe('name servers', () => {
  it('are read from a resolv.conf, each time', async () => {
    const resolvConf = join(dataDir(), 'resolv.conf')
    const ipam = blue({ resolvConf })
    await expect(ipam.add(ann)).rejects.toThrow('ENOENT')
    expect(await blue({}).list()).toEqual([])
    writeFileSync(resolvConf, 'nameserver 192.0.2.53\n')
    expect((await ipam.add(ann)).dns).toEqual({ nameservers: ['192.0.2.53'] })
    writeFileSync(resolvConf, '')
    expect((await ipam.add(ben)).dns).toEqual({})
  })

  it('the last domain counts, lists add up', () => {
    const text = [
      '# by hand',
      '; nameserver 9.9.9.9',
      '  nameserver 192.0.2.1 192.0.2.2',
      'nameserver\t2001:db8::53',
      'nameserver',
      'domain one.example two.example',
      'domain three.example',
      'search a.example b.example',
      'search c.example',
      'options ndots:5 rotate',
      'sortlist 10.0.0.0',
    ].join('\n')
    expect(parseResolvConf(text)).toEqual({
      nameservers: ['192.0.2.1', '2001:db8::53'],
      domain: 'three.example',
      search: ['a.example', 'b.example', 'c.example'],
      options: ['ndots:5', 'rotate'],
    })
  })
})
