/**
 * Who is measured: ways to join two namespaces, each with an interface e0 at 10.0.0.1 or 10.0.0.2.
 *
 *   veth        A --------------------- B            no switch at all: the ceiling
 *   bridge      A ---- [ br0 ] ---- B                Linux, in a namespace of its own, without br_netfilter
 *   l2l3 ...    A ==== [ our process ] ==== B        TAPs with offloads
 *   c           A ==== [ tap-switch.c ] ==== B       the same TAPs, the least that C can do
 *
 * All are set up at once and take turns; a switch that is a process is stopped while it is not its turn.
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ip, type Lab, type Program } from './lab.ts'
import { program } from './native.ts'

/** Names of contenders, in the order of the table. */
export const CONTENDERS = ['veth', 'bridge', 'l2l3', 'l2l3-event-loop', 'l2l3-busy', 'c'] as const
export type ContenderName = (typeof CONTENDERS)[number]

/** What the table says about them. */
export const TITLES: Readonly<Record<ContenderName, string>> = {
  veth: 'veth',
  bridge: 'Linux bridge',
  l2l3: 'l2l3',
  'l2l3-event-loop': 'l2l3 event loop',
  'l2l3-busy': 'l2l3 busy',
  c: 'C switch',
}

const FAR = '10.0.0.2'

/** What does the work where it is a process, or several. */
export interface Works {
  readonly pids: readonly number[]
  signal(signal: NodeJS.Signals): void
  /** CPU time until now, in seconds. */
  cpu(): number
}

/** Two namespaces that are joined. */
export interface Contender<N extends string = string, W extends Works = Works> {
  readonly name: N
  /** The near namespace, which sends. */
  readonly a: string
  /** The far one. */
  readonly b: string
  /** Its address. */
  readonly far: string
  /** The switch, where it is a process. */
  readonly process: W | null
}

/** Joins an interface in one namespace and one in another. */
export function cable(one: string, name: string, other: string, port: string): void {
  ip('link', 'add', name, 'netns', one, 'type', 'veth', 'peer', 'name', port, 'netns', other)
  ip('-n', other, 'link', 'set', port, 'up')
}

function bridge(lab: Lab, a: string, b: string): void {
  const middle = lab.namespace('bridge-s')
  cable(a, 'e0', middle, 'p1')
  cable(b, 'e0', middle, 'p2')
  ip('-n', middle, 'link', 'add', 'br0', 'type', 'bridge')
  for (const port of ['p1', 'p2']) ip('-n', middle, 'link', 'set', port, 'master', 'br0')
  // Where it is there, it is on in every new namespace, and would cost the bridge a sixth to a third.
  const sysctl = '/proc/sys/net/bridge/bridge-nf-call-iptables'
  ip('netns', 'exec', middle, 'sh', '-c', `[ ! -e ${sysctl} ] || echo 0 > ${sysctl}`)
  ip('-n', middle, 'link', 'set', 'br0', 'up')
}

function join(lab: Lab, name: ContenderName, a: string, b: string): Program | null {
  switch (name) {
    case 'veth':
      cable(a, 'e0', b, 'e0')
      return null
    case 'bridge':
      bridge(lab, a, b)
      return null
    case 'c':
      return lab.start(null, program('tap-switch'), a, b)
    default: {
      const mode = name === 'l2l3' ? 'blocking' : name.slice('l2l3-'.length)
      const script = fileURLToPath(new URL('switch-process.ts', import.meta.url))
      // Started as this process was: from source, or from what was built.
      return lab.start(null, process.execPath, ...process.execArgv, script, mode, a, b)
    }
  }
}

/** Sets a contender up, and leaves its switch stopped. */
export async function setUp(lab: Lab, name: ContenderName): Promise<Contender<ContenderName, Program>> {
  const a = lab.namespace(`${name}-a`)
  const b = lab.namespace(`${name}-b`)
  const contender = { name, a, b, far: FAR, process: join(lab, name, a, b) }
  await contender.process?.ready()
  for (const [i, netns] of [a, b].entries()) {
    ip('-n', netns, 'addr', 'add', `10.0.0.${i + 1}/24`, 'dev', 'e0')
    ip('-n', netns, 'link', 'set', 'e0', 'up')
  }
  // Addresses are known beforehand, so that no measurement begins or stalls with a question for one.
  const mac = (netns: string) => execFileSync('ip', ['netns', 'exec', netns, 'cat', '/sys/class/net/e0/address'])
  const macs = [a, b].map((netns) => mac(netns).toString().trim())
  ip('-n', a, 'neigh', 'replace', FAR, 'lladdr', macs[1] as string, 'dev', 'e0')
  ip('-n', b, 'neigh', 'replace', '10.0.0.1', 'lladdr', macs[0] as string, 'dev', 'e0')
  contender.process?.signal('SIGSTOP')
  return contender
}
