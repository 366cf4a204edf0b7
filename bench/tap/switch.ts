/**
 * One segment: two namespaces with an interface e0, at 10.0.0.1 and 10.0.0.2.
 *
 *   veth        A --------------------- B            no switch at all: the ceiling
 *   bridge      A ---- [ br0 ] ---- B                Linux, in a namespace of its own, without br_netfilter
 *   l2l3 ...    A ==== [ our process ] ==== B        TAPs with offloads
 *   c           A ==== [ tap-switch.c ] ==== B       the same TAPs, the least that C can do
 *   ovs ...     A ==== [ Open vSwitch ] ==== B       TAPs of its own, in userspace, with and without TSO
 *   vde         A ==== [ vde_switch ] ==== B         TAPs of its own
 */
import { execFileSync } from 'node:child_process'
import { OVS, Ovs } from '../peers/ovs.ts'
import { VDE, vdeSwitch } from '../peers/vde.ts'
import { ip, type Lab } from './lab.ts'
import { program } from './native.ts'
import { ours } from './ours.ts'
import { address, type Contender, cable, plainBridge, type Scene, type Works } from './scene.ts'

const FAR = '10.0.0.2'

function bridge(middle: string, a: string, b: string): void {
  cable(a, 'e0', middle, 'p1')
  cable(b, 'e0', middle, 'p2')
  plainBridge(middle, 'br0', ['p1', 'p2'])
}

/** TAPs of another's making, moved to where hosts are. */
function moveTaps(from: string, names: readonly [string, string], a: string, b: string): void {
  for (const [i, netns] of [a, b].entries()) {
    ip('-n', from, 'link', 'set', names[i] as string, 'netns', netns)
    ip('-n', netns, 'link', 'set', names[i] as string, 'name', 'e0')
  }
}

async function openVSwitch(lab: Lab, middle: string, tso: boolean, a: string, b: string): Promise<Works> {
  const ovs = await Ovs.start(lab, middle, { tso })
  ovs.vsctl('add-br', 'br0', '--', 'set', 'bridge', 'br0', 'datapath_type=netdev')
  for (const tap of ['t1', 't2']) ovs.vsctl('add-port', 'br0', tap, '--', 'set', 'interface', tap, 'type=tap')
  moveTaps(middle, ['t1', 't2'], a, b)
  return ovs
}

/** @param middle name of the namespace that a switch has of its own, where it needs one */
async function join(lab: Lab, name: string, a: string, b: string, middle: string): Promise<Works | null> {
  switch (name) {
    case 'veth':
      cable(a, 'e0', b, 'e0')
      return null
    case 'bridge':
      bridge(lab.namespace(middle), a, b)
      return null
    case 'c':
      return lab.start(null, program('tap-switch'), a, b).ready()
    case 'ovs':
    case 'ovs-tso':
      return openVSwitch(lab, lab.namespace(middle), name === 'ovs-tso', a, b)
    case 'vde': {
      const netns = lab.namespace(middle)
      const vde = await vdeSwitch(lab, netns, ['t1', 't2'])
      moveTaps(netns, ['t1', 't2'], a, b)
      return vde
    }
    default:
      return ours(lab, 'switch-process.ts', name === 'l2l3' ? 'blocking' : name.slice('l2l3-'.length), a, b).ready()
  }
}

function mac(netns: string): string {
  return execFileSync('ip', ['netns', 'exec', netns, 'cat', '/sys/class/net/e0/address']).toString().trim()
}

/** Joins two namespaces by a player's switch.
 * @param prefix of their names, which tells scenes apart */
export async function setUpSegment(lab: Lab, name: string, prefix: string): Promise<Contender> {
  const [a, b] = [lab.namespace(`${prefix}${name}-a`), lab.namespace(`${prefix}${name}-b`)]
  const works = await join(lab, name, a, b, `${prefix}${name}-s`)
  for (const [i, netns] of [a, b].entries()) address(netns, `10.0.0.${i + 1}/24`)
  // Addresses are known beforehand, so that no measurement begins or stalls with a question for one.
  ip('-n', a, 'neigh', 'replace', FAR, 'lladdr', mac(b), 'dev', 'e0')
  ip('-n', b, 'neigh', 'replace', '10.0.0.1', 'lladdr', mac(a), 'dev', 'e0')
  return { name, a, b, far: FAR, process: works }
}

export const SWITCH: Scene = {
  name: 'switch',
  title: 'one segment',
  players: [
    { name: 'veth', title: 'veth, no switch' },
    { name: 'bridge', title: 'Linux bridge' },
    { name: 'l2l3', title: 'l2l3' },
    { name: 'l2l3-event-loop', title: 'l2l3 event loop' },
    { name: 'l2l3-busy', title: 'l2l3 busy polling' },
    { name: 'c', title: 'C switch' },
    { name: 'ovs', title: 'OVS userspace', peer: true, needs: OVS },
    { name: 'ovs-tso', title: 'OVS userspace, TSO', peer: true, needs: OVS },
    { name: 'vde', title: 'VDE', peer: true, needs: VDE },
  ],
  beside: ['bridge', 'c'],
  wanted: [
    { who: 'l2l3', metric: 'tcp1', to: 'bridge', sign: '>=', bound: 1 },
    { who: 'l2l3', metric: 'tcp1Cores', to: null, sign: '<=', bound: 0.65 },
    { who: 'l2l3', metric: 'tcp4', to: 'c', sign: '>=', bound: 1 },
    { who: 'l2l3', metric: 'tcp4', to: 'ovs-tso', sign: '>=', bound: 1 },
    { who: 'l2l3', metric: 'udp', to: 'bridge', sign: '>=', bound: 1.3 },
    { who: 'l2l3', metric: 'udp', to: 'ovs', sign: '>=', bound: 1 },
    { who: 'l2l3', metric: 'udpFrame', to: 'c', sign: '<=', bound: 1.15 },
    { who: 'l2l3', metric: 'udpDelay', to: null, sign: '<=', bound: 2 },
    { who: 'l2l3', metric: 'lossless', to: 'c', sign: '>=', bound: 1 },
    { who: 'l2l3', metric: 'besideTcp', to: null, sign: '<=', bound: 60 },
    { who: 'l2l3-busy', metric: 'pingMean', to: 'bridge', sign: '<=', bound: 1.3 },
    { who: 'l2l3', metric: 'pingMean', to: 'bridge', sign: '<=', bound: 1.6 },
    { who: 'l2l3', metric: 'idle', to: null, sign: '<=', bound: 3 },
    { who: 'l2l3-event-loop', metric: 'pingMean', to: 'c', sign: '<=', bound: 1 },
  ],
  measurements: (load) => load.acrossSwitch,
  setUp: (lab, name) => setUpSegment(lab, name, ''),
}
