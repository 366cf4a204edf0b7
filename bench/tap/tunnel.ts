/**
 * Two hosts on two nodes with a VXLAN tunnel between them. The underlay takes 1,500 bytes, hosts have an MTU of 1,450; what two
 * processes use counts together.
 *
 *     kernel    A -- [ bridge, vxlan ] -- veth -- [ vxlan, bridge ] -- B          all of it in the sender's core
 *     l2l3      A == [ our process ] == bridge of the kernel == [ our process ] == B      TAPs with offloads
 *     mixed     A == [ our process ] == bridge of the kernel -- [ vxlan, bridge ] -- B
 *     ovs       A -- [ Open vSwitch in userspace ] -- veth -- [ the same ] -- B
 */
import { OVS, Ovs } from '../peers/ovs.ts'
import { ip, type Lab, Programs } from './lab.ts'
import { ours } from './ours.ts'
import { address, type Contender, cable, plainBridge, type Scene, type Works, withoutOffloads } from './scene.ts'

const NET = '10.72.0'
const UNDERLAY = '172.30.72'

/** A node of the kernel: its hosts' port p1, and its interface on the underlay, are there. */
function kernelNode(netns: string, node: number, uplink: string): void {
  ip('-n', netns, 'addr', 'add', `${UNDERLAY}.${node}/24`, 'dev', uplink)
  const ends = ['local', `${UNDERLAY}.${node}`, 'remote', `${UNDERLAY}.${3 - node}`]
  ip('-n', netns, 'link', 'add', 'vx0', 'type', 'vxlan', 'id', '42', ...ends, 'dstport', '4789', 'dev', uplink)
  plainBridge(netns, 'br0', ['vx0', 'p1'])
}

async function ovsNode(lab: Lab, netns: string, node: number): Promise<Ovs> {
  for (const name of ['u0', 'p1']) withoutOffloads(netns, name)
  const ovs = await Ovs.start(lab, netns)
  const mac = `other_config:hwaddr=02:00:00:00:75:0${node}`
  ovs.vsctl('add-br', 'br-phy', '--', 'set', 'bridge', 'br-phy', 'datapath_type=netdev', mac)
  ovs.vsctl('add-port', 'br-phy', 'u0')
  ovs.ofctl('del-flows', 'br-phy')
  ovs.ofctl('add-flow', 'br-phy', 'in_port=LOCAL,actions=u0')
  ovs.ofctl('add-flow', 'br-phy', 'in_port=u0,actions=LOCAL')
  ip('-n', netns, 'addr', 'add', `${UNDERLAY}.${node}/24`, 'dev', 'br-phy')
  ip('-n', netns, 'link', 'set', 'br-phy', 'up')
  ovs.vsctl('add-br', 'br-int', '--', 'set', 'bridge', 'br-int', 'datapath_type=netdev')
  const ends = [`options:remote_ip=${UNDERLAY}.${3 - node}`, 'options:key=42']
  ovs.vsctl('add-port', 'br-int', 't0', '--', 'set', 'interface', 't0', 'type=vxlan', ...ends)
  ovs.vsctl('add-port', 'br-int', 'p1')
  return ovs
}

/** Two nodes on a veth that are not ours. */
async function others(lab: Lab, name: string, a: string, b: string): Promise<Works | null> {
  const nodes = [lab.namespace(`tun-${name}-n1`), lab.namespace(`tun-${name}-n2`)] as const
  ip('link', 'add', 'u0', 'netns', nodes[0], 'type', 'veth', 'peer', 'name', 'u0', 'netns', nodes[1])
  const running: Ovs[] = []
  for (const [i, netns] of nodes.entries()) {
    ip('-n', netns, 'link', 'set', 'u0', 'up')
    cable(i === 0 ? a : b, 'e0', netns, 'p1')
  }
  for (const [i, netns] of nodes.entries()) {
    if (name === 'kernel') kernelNode(netns, i + 1, 'u0')
    else running.push(await ovsNode(lab, netns, i + 1))
  }
  if (name === 'kernel') return null
  for (const netns of [a, b]) withoutOffloads(netns, 'e0')
  return new Programs(running)
}

/** A node of ours, and another one or one of the kernel's. */
async function withOurs(lab: Lab, name: string, a: string, b: string): Promise<Works> {
  const wire = lab.namespace(`tun-${name}-w`)
  const nodes = [ours(lab, 'tunnel-process.ts', '1', a, wire)]
  if (name === 'l2l3') nodes.push(ours(lab, 'tunnel-process.ts', '2', b, wire))
  await Promise.all(nodes.map((node) => node.ready()))
  if (name === 'mixed') {
    const far = lab.namespace(`tun-${name}-n2`)
    cable(far, 'u0', wire, 'u2')
    ip('-n', far, 'link', 'set', 'u0', 'up')
    cable(b, 'e0', far, 'p1')
    kernelNode(far, 2, 'u0')
  }
  plainBridge(wire, 'br0', ['u1', 'u2'])
  return new Programs(nodes)
}

export const TUNNEL: Scene = {
  name: 'tunnel',
  title: 'VXLAN between two nodes',
  players: [
    { name: 'kernel', title: 'kernel vxlan' },
    { name: 'l2l3', title: 'l2l3' },
    { name: 'mixed', title: 'l2l3 to kernel' },
    { name: 'ovs', title: 'OVS userspace', peer: true, needs: OVS },
  ],
  beside: ['kernel', 'ovs'],
  wanted: [
    { who: 'l2l3', metric: 'tcp1', to: 'kernel', sign: '>=', bound: 1 },
    { who: 'l2l3', metric: 'tcp1', to: 'ovs', sign: '>=', bound: 12 },
    { who: 'l2l3', metric: 'tcp4', to: 'kernel', sign: '>=', bound: 0.6 },
    { who: 'l2l3', metric: 'udp', to: 'ovs', sign: '>=', bound: 2 },
  ],
  measurements: (load) => load.acrossTunnel,
  async setUp(lab, name): Promise<Contender> {
    const [a, b] = [lab.namespace(`tun-${name}-a`), lab.namespace(`tun-${name}-b`)]
    const isOthers = name === 'kernel' || name === 'ovs'
    const works = await (isOthers ? others(lab, name, a, b) : withOurs(lab, name, a, b))
    for (const [i, netns] of [a, b].entries()) address(netns, `${NET}.${i + 1}/24`, 1450)
    return { name, a, b, far: `${NET}.2`, process: works }
  },
}
