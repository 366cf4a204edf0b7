/**
 * A network behind another: A sends, and what answers is B at 10.73.1.2.
 *
 *     direct     A 10.73.1.3 ------------------- 10.73.1.2 B               a veth, no router at all: the ceiling
 *     kernel     A 10.73.0.2 -- [ nftables masquerade ] -- 10.73.1.2 B     veths, in a namespace of its own
 *     l2l3       A 10.73.0.2 == [ our process: mode nat ] == 10.73.1.2 B   TAPs with offloads
 *     pasta ...  A == [ a process with sockets, in a namespace ] -- 10.73.1.2 B    a TAP and the sockets of its own namespace
 *
 * All connections are tracked and leave from 10.73.1.1 but those of the first.
 */
import { execFileSync } from 'node:child_process'
import { PASTA, SLIRP, userNat } from '../peers/user-nat.ts'
import { ip, type Lab } from './lab.ts'
import { ours } from './ours.ts'
import { address, type Contender, cable, type Scene, type Works } from './scene.ts'

const FAR = '10.73.1.2'

function kernel(lab: Lab, a: string, b: string): void {
  const middle = lab.namespace('nat-kernel-s')
  cable(a, 'e0', middle, 'in0')
  cable(b, 'e0', middle, 'out0')
  ip('-n', middle, 'addr', 'add', '10.73.0.1/24', 'dev', 'in0')
  ip('-n', middle, 'addr', 'add', '10.73.1.1/24', 'dev', 'out0')
  ip('netns', 'exec', middle, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')
  const rules = `table ip nat {
    chain post { type nat hook postrouting priority srcnat; oifname "out0" masquerade
    }
  }`
  execFileSync('ip', ['netns', 'exec', middle, 'nft', '-f', '-'], { input: rules })
}

async function join(lab: Lab, name: string, a: string, b: string): Promise<Works | null> {
  switch (name) {
    case 'direct':
      cable(a, 'e0', b, 'e0')
      return null
    case 'kernel':
      kernel(lab, a, b)
      return null
    default:
      return ours(lab, 'nat-process.ts', a, b).ready()
  }
}

export const NAT: Scene = {
  name: 'nat',
  title: 'outbound NAT',
  players: [
    { name: 'direct', title: 'veth, no router' },
    { name: 'kernel', title: 'kernel masquerade', needs: { program: 'nft', apt: 'nftables' } },
    { name: 'l2l3', title: 'l2l3 NAT' },
    { name: 'pasta', title: 'pasta', peer: true, needs: PASTA },
    { name: 'slirp4netns', title: 'slirp4netns', peer: true, needs: SLIRP },
  ],
  beside: ['kernel'],
  wanted: [
    { who: 'l2l3', metric: 'tcp1', to: 'kernel', sign: '>=', bound: 0.95 },
    { who: 'l2l3', metric: 'tcp1', to: 'pasta', sign: '>=', bound: 3 },
    { who: 'l2l3', metric: 'tcp1', to: 'slirp4netns', sign: '>=', bound: 3 },
    { who: 'l2l3', metric: 'udp', to: 'kernel', sign: '>=', bound: 1.2 },
  ],
  measurements: (load) => load.acrossNat,
  async setUp(lab, name): Promise<Contender> {
    const [a, b] = [lab.namespace(`nat-${name}-a`), lab.namespace(`nat-${name}-b`)]
    if (name === 'pasta' || name === 'slirp4netns') {
      return { name, a, b, far: FAR, process: await userNat(lab, name, a, b) }
    }
    const works = await join(lab, name, a, b)
    address(a, name === 'direct' ? '10.73.1.3/24' : '10.73.0.2/24')
    address(b, `${FAR}/24`)
    if (name !== 'direct') ip('-n', a, 'route', 'add', 'default', 'via', '10.73.0.1')
    return { name, a, b, far: FAR, process: works }
  },
}
