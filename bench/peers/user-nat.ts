/**
 * Outbound NAT without the kernel's: a process that reads a namespace's TAP and opens a socket for each flow, in a namespace of its
 * own that has a veth to B. Both have the MTU that podman gives them, 65,520 bytes: at 1,500 they are several times slower.
 */
import { execFileSync } from 'node:child_process'
import { ip, type Lab, type Program } from '../tap/lab.ts'
import { address, cable, type Needed } from '../tap/scene.ts'
import { until } from './until.ts'

export const PASTA: Needed = { program: 'pasta', apt: 'passt' }
export const SLIRP: Needed = { program: 'slirp4netns', apt: 'slirp4netns' }

const MTU = '65520'

/** Joins `a` and `b`, which is 10.73.1.2; gives the process that does it. */
export async function userNat(lab: Lab, name: 'pasta' | 'slirp4netns', a: string, b: string): Promise<Program> {
  const host = lab.namespace(`nat-${name}-h`)
  cable(b, 'e0', host, 'h0')
  address(b, '10.73.1.2/24')
  ip('-n', host, 'addr', 'add', '10.73.1.1/24', 'dev', 'h0')
  // Both want a default route, and pasta takes its gateway for the host itself: one that is not B.
  ip('-n', b, 'addr', 'add', '10.73.1.254/24', 'dev', 'e0')
  ip('-n', host, 'route', 'add', 'default', 'via', '10.73.1.254')
  for (const netns of [a, host]) {
    // They ask by ping sockets.
    const open = "echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range"
    execFileSync('ip', ['netns', 'exec', netns, 'sh', '-c', open])
  }
  const path = `/run/netns/${a}`
  const program =
    name === 'pasta'
      ? lab.start(
          host,
          ...(['pasta', '-f', '-q', '--config-net', '-4', '--no-map-gw', '--mtu', MTU] as const),
          ...['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none', '--runas', '0', '--netns', path],
        )
      : lab.start(host, 'slirp4netns', '-c', '-m', MTU, '--netns-type=path', path, 'tap0')
  await until(`route in the namespace of ${name}`, () => ip('-n', a, 'route').includes('default'))
  return program
}
