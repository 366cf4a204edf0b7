/**
 * A scene: two namespaces that are joined in different ways, and what is measured between them. Its players take turns; figures of
 * each are put beside those of the first ones named in `beside`.
 *
 *     switch    one segment: our switch, the Linux bridge, a switch in C ...
 *     nat       a network behind another: our NAT, the kernel's masquerade ...
 *     tunnel    two nodes and an underlay: our VTEPs, the kernel's vxlan ...
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { ip, type Lab } from './lab.ts'
import type { Figures, Load, Metric } from './load.ts'

/** What does the work where it is a process, or several. */
export interface Works {
  readonly pids: readonly number[]
  signal(signal: NodeJS.Signals): void
  /** CPU time until now, in seconds. */
  cpu(): number
  /** Tells it to end; gives what it said last of the frames it had, where it says that. */
  finish?(): Promise<unknown>
}

/** Two namespaces that are joined. */
export interface Contender {
  readonly name: string
  /** The near namespace, which sends. */
  readonly a: string
  /** The far one. */
  readonly b: string
  /** Its address. */
  readonly far: string
  /** The switch, where it is a process. */
  readonly process: Works | null
}

/** A program that somebody needs, and the package that has it. */
export interface Needed {
  readonly program: string
  readonly apt: string
}

/** Who takes part in a scene. */
export interface Player {
  readonly name: string
  readonly title: string
  /** It is measured only when peers are asked for. */
  readonly peer?: true
  readonly needs?: Needed
}

/** What is wanted of a player: a median, or a ratio to another player. */
export interface Wanted {
  readonly who: string
  readonly metric: Metric
  readonly to: string | null
  readonly sign: '>=' | '<='
  readonly bound: number
}

export type Measure = (at: Contender) => Promise<Figures>

export interface Scene {
  readonly name: string
  readonly title: string
  readonly players: readonly Player[]
  /** Names of those to whom ratios are given: one or two. */
  readonly beside: readonly string[]
  readonly wanted: readonly Wanted[]
  measurements(load: Load): Measure[]
  /** Sets a player up, and leaves its switch running. */
  setUp(lab: Lab, name: string): Promise<Contender>
}

/** Whether a program can be started. */
export function installed(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).error === undefined
}

/** Joins an interface in one namespace and one in another. */
export function cable(one: string, name: string, other: string, port: string): void {
  ip('link', 'add', name, 'netns', one, 'type', 'veth', 'peer', 'name', port, 'netns', other)
  ip('-n', other, 'link', 'set', port, 'up')
}

/** A bridge of the kernel, without what it would do unasked: where br_netfilter is there, it is on in every new namespace, and
 * would cost the bridge a sixth to a third. */
export function plainBridge(netns: string, name: string, ports: readonly string[]): void {
  const sysctl = '/proc/sys/net/bridge/bridge-nf-call-iptables'
  ip('-n', netns, 'link', 'add', name, 'type', 'bridge')
  for (const port of ports) ip('-n', netns, 'link', 'set', port, 'master', name, 'up')
  ip('netns', 'exec', netns, 'sh', '-c', `[ ! -e ${sysctl} ] || echo 0 > ${sysctl}`)
  ip('-n', netns, 'link', 'set', name, 'up')
}

/** Turns off on an interface what userspace that reads frames as they are cannot have left undone. */
export function withoutOffloads(netns: string, name: string): void {
  const off = ['tx', 'tso', 'gso', 'gro'].flatMap((feature) => [feature, 'off'])
  execFileSync('ip', ['netns', 'exec', netns, 'ethtool', '-K', name, ...off], { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** Gives the interface e0 of a namespace its address, and takes it up. */
export function address(netns: string, cidr: string, mtu?: number): void {
  if (mtu !== undefined) ip('-n', netns, 'link', 'set', 'e0', 'mtu', String(mtu))
  ip('-n', netns, 'addr', 'add', cidr, 'dev', 'e0')
  ip('-n', netns, 'link', 'set', 'e0', 'up')
}
