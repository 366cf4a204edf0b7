import { existsSync } from 'node:fs'
import { FramePool, MAX_FRAME } from '@l2l3/switch-core'
import { closeTogether, configureInterface, makeNetns, removeNetns, TapError, TapPort } from '@l2l3/tap-io'
import { afterEach, expect, it } from 'vitest'
import { ip, needsTun } from './lab.ts'

/* Hosts are set up without a program; `ip` says whether they are as it would have set them up itself. */
needsTun()

const names: string[] = []
afterEach(() => {
  for (const name of names.splice(0)) removeNetns(name)
})

/** A namespace with a TAP in it, which is down. */
function host(): { name: string; pool: FramePool; tap: TapPort } {
  const name = `tio-${process.pid}-conf${names.length}`
  names.push(name)
  makeNetns(name)
  const pool = new FramePool({ frames: 8, frameSize: MAX_FRAME })
  return { name, pool, tap: TapPort.open(pool, { name: 'eth0', netns: name, mac: '02:00:00:00:00:01', up: false }) }
}

const v4 = (text: string): Uint8Array => Uint8Array.from(text.split('.'), Number)
/** fd00:: with these last two octets. */
const v6 = (...end: number[]): Uint8Array => Uint8Array.from([0xfd, ...Array(15 - end.length).fill(0), ...end])
const code = (work: () => void): unknown => {
  try {
    work()
    return null
  } catch (error) {
    return error instanceof TapError ? [error.code, error.key, error.value] : error
  }
}

/** Everything that `ip` says of a namespace but what the kernel numbers by itself. */
function said(name: string): string[] {
  const show = (...args: string[]): string[] => ip('-n', name, '-o', ...args).split('\n')
  return [
    ...show('addr', 'show', 'scope', 'global').map((line) => line.replace(/^\d+: /, '').replace(/\\.*/, '')),
    ...show('-4', 'route', 'show', 'table', 'all'),
    ...show('-6', 'route', 'show').filter((line) => !line.startsWith('fe80')),
    ...show('neigh', 'show', 'nud', 'permanent'),
    ip(
      'netns',
      'exec',
      name,
      'sh',
      '-c',
      'cat /proc/sys/net/ipv6/conf/eth0/accept_dad /proc/sys/net/ipv6/conf/eth0/router_solicitations',
    ),
    ip('-n', name, '-br', 'link', 'show', 'up').replace(/@\S+/g, ''),
  ].map((line) => line.trim().replace(/\s+/g, ' '))
}

it('sets a host up as ip does', () => {
  const [ours, theirs] = [host(), host()]
  configureInterface(ours.name, 'eth0', {
    addresses: [
      { bytes: v4('10.0.0.5'), prefix: 24 },
      { bytes: v6(0, 5), prefix: 64 },
    ],
    neighbours: [
      { address: v4('10.0.0.9'), mac: '02:00:00:00:00:99' },
      { address: v6(0, 9), mac: '02:00:00:00:00:99' },
    ],
    routes: [
      { to: { bytes: v4('169.254.1.1'), prefix: 32 }, via: null },
      { to: { bytes: v4('0.0.0.0'), prefix: 0 }, via: v4('169.254.1.1') },
      { to: { bytes: v4('10.9.0.0'), prefix: 16 }, via: v4('192.0.2.7'), onlink: true },
      { to: { bytes: new Uint8Array(16), prefix: 0 }, via: v6(0, 1) },
      { to: { bytes: v6(1, 0), prefix: 120 }, via: v6(0, 2), onlink: true },
    ],
  })
  const script = `
    echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad; echo 0 > /proc/sys/net/ipv6/conf/eth0/router_solicitations
    ip link set lo up; ip link set eth0 up
    ip addr add 10.0.0.5/24 dev eth0; ip addr add fd00::5/64 dev eth0 nodad
    ip neigh replace 10.0.0.9 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
    ip neigh replace fd00::9 lladdr 02:00:00:00:00:99 dev eth0 nud permanent
    ip -4 route add 169.254.1.1 dev eth0 scope link; ip -4 route add default via 169.254.1.1 dev eth0
    ip -4 route add 10.9.0.0/16 via 192.0.2.7 dev eth0 onlink
    ip -6 route add default via fd00::1 dev eth0; ip -6 route add fd00::100/120 via fd00::2 dev eth0 onlink`
  ip('netns', 'exec', theirs.name, 'sh', '-e', '-c', script)
  expect(said(ours.name)).toEqual(said(theirs.name))
  expect(said(ours.name).join('\n')).toContain('10.9.0.0/16 via 192.0.2.7 dev eth0 onlink')
  expect(said(ours.name).join('\n')).toContain('default via fd00::1 dev eth0')
  closeTogether([ours.tap, theirs.tap])
})

it('says what was refused', () => {
  const { name, tap } = host()
  const addresses = [{ bytes: v4('10.0.0.5'), prefix: 24 }]
  const route = { to: { bytes: v4('0.0.0.0'), prefix: 0 }, via: v4('192.0.2.1') }
  const set = (device: string, more: object = {}) =>
    code(() => configureInterface(name, device, { addresses, ...more }))
  expect(set('eth7')).toEqual(['ENODEV', 'device', 'eth7'])
  expect(code(() => configureInterface(`${name}x`, 'eth0', { addresses }))).toEqual(['ENOENT', 'device', 'eth0'])
  expect(set('eth0', { routes: [route] })).toEqual(['ENETUNREACH', 'route', 'default via 192.0.2.1'])
  expect(set('eth0')).toEqual(['EEXIST', 'address', '10.0.0.5/24'])
  tap.close()
})

it('makes a namespace once', () => {
  const { name, tap } = host()
  expect(ip('netns', 'list')).toContain(name)
  expect(code(() => makeNetns(name))).toEqual(['EEXIST', 'netns', name])
  expect(removeNetns(name)).toBe(0)
  expect(existsSync(`/run/netns/${name}`)).toBe(false)
  expect(() => makeNetns('a/b')).toThrow('netns')
  tap.close()
})

it('closes many ports together, once', () => {
  const hosts = Array.from({ length: 40 }, host)
  const [first] = hosts
  first?.tap.close()
  closeTogether(hosts.map(({ tap }) => tap))
  closeTogether(hosts.map(({ tap }) => tap))
  expect(hosts.map(({ tap }) => tap.fd)).toEqual(hosts.map(() => -1))
  for (const { name } of hosts) expect(ip('-n', name, '-br', 'link')).not.toContain('eth0')
})
