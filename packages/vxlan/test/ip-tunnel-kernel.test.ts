/**
 * What Linux 6.1's ipip, sit, gre, gretap, ip6tnl and ip6gre devices sent, in user-mode Linux: each packet is unwrapped, what
 * was inside is wrapped again, and the bytes are the same but for the IPv4 identification and the IPv6 flow label, which the
 * kernel chooses for itself.
 */
import { readFileSync } from 'node:fs'
import { openCapture } from '@l2l3/switch-core/pcap'
import { ipv4 } from '@l2l3/switch-core/wire'
import { expect, test } from 'vitest'
import {
  type GreOptions,
  gre,
  greTunnel,
  gretapTunnel,
  type IpTunnel,
  type IpTunnelOptions,
  ipipTunnel,
} from '../src/index.ts'
import { Lab, MAC, show } from './ip-tunnel-lab.ts'

const frames = [...openCapture(readFileSync(new URL('fixtures/linux-6.1-ip-tunnels.pcap', import.meta.url)))].map(
  (record) => new Uint8Array(record.data),
)

type Make = (options: Partial<IpTunnelOptions & GreOptions>) => Lab<IpTunnel>
const lab =
  (make: typeof greTunnel): Make =>
  (options) =>
    new Lab((pool, clock, links) =>
      make(pool, clock, { local: '192.168.77.1', remote: '192.168.77.2', mac: MAC, ...links, ...options }),
    )
const ip = lab((p, c, o) => ipipTunnel(p, c, o, 'any'))
const packets = lab(greTunnel)
const tap = lab(gretapTunnel)
const six = { local: 'fd00::1', remote: 'fd00::2' }

/** Each device with the end that is like it, and the end across from it. */
const DEVICES: Record<string, { near: Lab<IpTunnel>; far: Lab<IpTunnel> }> = {}
function device(name: string, make: Make, options: Partial<IpTunnelOptions & GreOptions>): void {
  const local = options.local ?? '192.168.77.1'
  const remote = (options.remote as string | undefined) ?? '192.168.77.2'
  DEVICES[name] = { near: make(options), far: make({ ...options, local: remote, remote: local }) }
}
device('ip', ip, {})
device('gre 3735928559', packets, { key: 0xdeadbeef, sequence: true })
device('gretap 100', tap, { key: 100 })
device('ip6tnl', ip, six)
// The kernel's ip6gre does not copy ECN: it takes its own header for what is inside.
device('ip6gre', packets, { ...six, ecnIngress: 'compatibility' })

function deviceOf(b: Uint8Array): string {
  const v6 = b[12] === 0x86
  const protocol = v6 ? b[54] : b[23]
  const at = v6 ? 62 : 34
  if (protocol !== ipv4.Protocol.Gre) return v6 ? 'ip6tnl' : 'ip'
  if (v6) return 'ip6gre'
  return `${gre.protocol(b, at) === 0x6558 ? 'gretap' : 'gre'} ${gre.key(b, at)}`
}

/** Bytes without the outer MACs, the IPv4 identification and checksum, the IPv6 flow label. */
function masked(frame: Uint8Array): string {
  const b = frame.slice()
  b.fill(0, 0, 12)
  if (b[12] === 0x86) {
    b[15]! &= 0xf0
    b.fill(0, 16, 18)
  } else {
    b.fill(0, 18, 20)
    b.fill(0, 24, 26)
  }
  return show(b)
}

/** Packets of each device, as tshark counts them. */
const RECORDED = { 'gre 3735928559': 5, 'gretap 100': 11, ip: 3, ip6gre: 6, ip6tnl: 6 }

test('every device is in the recording, with and without DF inside', () => {
  const seen = new Map<string, number>()
  for (const b of frames) seen.set(deviceOf(b), (seen.get(deviceOf(b)) ?? 0) + 1)
  expect(Object.fromEntries([...seen].sort())).toEqual(RECORDED)
})

test('unwrapped and wrapped again, the bytes are the same', () => {
  for (const [i, b] of frames.entries()) {
    const name = deviceOf(b)
    const { near, far } = DEVICES[name] as (typeof DEVICES)[string]
    const inside = far.unwrap(b)
    expect([i, name, inside.length, far.drops]).toEqual([i, name, 1, {}])
    const [again = ''] = near.wrap(...inside)
    expect([i, name, masked(new Uint8Array(Buffer.from(again, 'hex')))]).toEqual([i, name, masked(b)])
    if (again.startsWith('0800', 24)) expect(ipv4.checksumOk(Buffer.from(again, 'hex'), 14)).toBe(true)
  }
})
