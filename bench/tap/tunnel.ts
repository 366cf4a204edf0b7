/**
 * How do our tunnels do beside the kernel's, end to end? Two hosts on two nodes with a VXLAN tunnel between them, under one load,
 * in one run:
 *
 *     node --import tsx --conditions @l2l3/source bench/tap/tunnel.ts [--quick] [--rounds N] [--seconds S] [--json FILE]
 *
 *     kernel    A -- [ bridge, vxlan ] -- veth -- [ vxlan, bridge ] -- B          all of it in the sender's core
 *     l2l3      A == [ our process ] == bridge of the kernel == [ our process ] == B      TAPs with offloads
 *     mixed     A == [ our process ] == bridge of the kernel -- [ vxlan, bridge ] -- B
 *     ovs       A -- [ Open vSwitch in userspace ] -- veth -- [ the same ] -- B   where it is installed
 *
 *     --only A,B    contenders
 *
 * The underlay takes 1,500 bytes, hosts have an MTU of 1,450. Measurements and turns are those of run.ts; what two processes
 * use counts together.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { type Contender, cable, type Works } from './contenders.ts'
import { ip, Lab, Programs } from './lab.ts'
import { type Figures, Load, METRICS, type Metric } from './load.ts'
import { type Machine, machine } from './machine.ts'
import { Ovs, ovsInstalled } from './ovs.ts'
import { median, number } from './report.ts'
import { progress, turn, turnsOf } from './rounds.ts'
import { obstacle } from './run.ts'

const NAMES = ['kernel', 'l2l3', 'mixed', 'ovs'] as const
type Name = (typeof NAMES)[number]
const TITLES: Readonly<Record<Name, string>> = {
  kernel: 'kernel vxlan',
  l2l3: 'l2l3',
  mixed: 'l2l3 to kernel',
  ovs: 'OVS userspace',
}
const NET = '10.72.0'
const UNDERLAY = '172.30.72'

/** What is wanted of ours, times another's. */
const WANTED: readonly [metric: Metric, other: Name, bound: number][] = [
  ['tcp1', 'kernel', 1],
  ['tcp1', 'ovs', 12],
  ['tcp4', 'kernel', 0.6],
  ['udp', 'ovs', 2],
]

/** What a run has found. */
export interface TunnelReport {
  machine: Machine
  rounds: Partial<Record<Name, Figures[]>>
  /** Medians, and of the rounds' ratios to the kernel and to Open vSwitch. */
  rows: { contender: Name; metric: Metric; median: number; toKernel: number | null; toOvs: number | null }[]
  targets: { target: string; value: number; met: boolean }[]
  /** How our nodes hand super-frames to the underlay. */
  uplink: string
  /** What our nodes said at the end about the frames they had. */
  ledgers: unknown[]
}

/** Turns off what the kernel would do unasked in a bridge's namespace. */
function plainBridge(netns: string, name: string, ports: readonly string[]): void {
  const sysctl = '/proc/sys/net/bridge/bridge-nf-call-iptables'
  ip('netns', 'exec', netns, 'sh', '-c', `[ ! -e ${sysctl} ] || echo 0 > ${sysctl}`)
  ip('-n', netns, 'link', 'add', name, 'type', 'bridge')
  for (const port of ports) ip('-n', netns, 'link', 'set', port, 'master', name, 'up')
  ip('-n', netns, 'link', 'set', name, 'up')
}

/** A node of the kernel: its hosts' port, and its interface on the underlay, are there. */
function kernelNode(netns: string, node: number, uplink: string): void {
  ip('-n', netns, 'addr', 'add', `${UNDERLAY}.${node}/24`, 'dev', uplink)
  const ends = ['local', `${UNDERLAY}.${node}`, 'remote', `${UNDERLAY}.${3 - node}`]
  ip('-n', netns, 'link', 'add', 'vx0', 'type', 'vxlan', 'id', '42', ...ends, 'dstport', '4789', 'dev', uplink)
  plainBridge(netns, 'br0', ['vx0', 'p1'])
}

function ourNode(lab: Lab, node: number, hosts: string, underlay: string) {
  const script = fileURLToPath(new URL('tunnel-process.ts', import.meta.url))
  return lab.start(null, process.execPath, ...process.execArgv, script, String(node), hosts, underlay)
}

async function ovsNode(lab: Lab, netns: string, node: number): Promise<Ovs> {
  // A userspace datapath reads frames as they are: their checksums have to be there.
  const plain = (name: string): void => {
    execFileSync('ip', [
      'netns',
      'exec',
      netns,
      'ethtool',
      '-K',
      name,
      'tx',
      'off',
      'tso',
      'off',
      'gso',
      'off',
      'gro',
      'off',
    ])
  }
  for (const name of ['u0', 'p1']) plain(name)
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

/** Joins a host to its node's namespace by a veth. */
function hostPort(hosts: string, node: string): void {
  cable(hosts, 'e0', node, 'p1')
}

async function join(lab: Lab, name: Name, a: string, b: string): Promise<{ works: Works | null; uplink: string }> {
  const none = { works: null, uplink: '' }
  if (name === 'kernel' || name === 'ovs') {
    const [n1, n2] = [lab.namespace(`tun-${name}-n1`), lab.namespace(`tun-${name}-n2`)]
    ip('link', 'add', 'u0', 'netns', n1, 'type', 'veth', 'peer', 'name', 'u0', 'netns', n2)
    for (const [i, netns] of [n1, n2].entries()) {
      ip('-n', netns, 'link', 'set', 'u0', 'up')
      hostPort(i === 0 ? a : b, netns)
    }
    if (name === 'kernel') {
      for (const [i, netns] of [n1, n2].entries()) kernelNode(netns, i + 1, 'u0')
      return none
    }
    const both = [await ovsNode(lab, n1, 1), await ovsNode(lab, n2, 2)]
    return { works: new Programs(both.map((o) => o.switch)), uplink: '' }
  }
  const wire = lab.namespace(`tun-${name}-w`)
  const ours = [ourNode(lab, 1, a, wire)]
  if (name === 'l2l3') ours.push(ourNode(lab, 2, b, wire))
  const said = await Promise.all(ours.map((p) => p.ready()))
  if (name === 'mixed') {
    const far = lab.namespace(`tun-${name}-n2`)
    cable(far, 'u0', wire, 'u2')
    ip('-n', far, 'link', 'set', 'u0', 'up')
    hostPort(b, far)
    kernelNode(far, 2, 'u0')
  }
  plainBridge(wire, 'br0', ['u1', 'u2'])
  const uplink = said[0]?.said.split('\n')[0]?.replace('ready ', '') ?? ''
  return { works: new Programs(ours), uplink }
}

async function setUp(lab: Lab, name: Name): Promise<{ contender: Contender<Name>; uplink: string }> {
  const a = lab.namespace(`tun-${name}-a`)
  const b = lab.namespace(`tun-${name}-b`)
  const { works, uplink } = await join(lab, name, a, b)
  const contender = { name, a, b, far: `${NET}.2`, process: works }
  for (const [i, netns] of [a, b].entries()) {
    if (name === 'ovs') {
      const off = ['tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off']
      execFileSync('ip', ['netns', 'exec', netns, 'ethtool', '-K', 'e0', ...off])
    }
    ip('-n', netns, 'link', 'set', 'e0', 'mtu', '1450')
    ip('-n', netns, 'addr', 'add', `${NET}.${i + 1}/24`, 'dev', 'e0')
    ip('-n', netns, 'link', 'set', 'e0', 'up')
  }
  works?.signal('SIGSTOP')
  return { contender, uplink }
}

function rows(rounds: TunnelReport['rounds']): TunnelReport['rows'] {
  const ratio = (mine: readonly Figures[], metric: Metric, other: Name): number | null => {
    const ratios = mine.flatMap((f, i) => {
      const [one, two] = [f[metric], rounds[other]?.[i]?.[metric]]
      return one === undefined || two === undefined || two === 0 ? [] : [one / two]
    })
    return ratios.length === 0 ? null : median(ratios)
  }
  return (Object.keys(METRICS) as Metric[]).flatMap((metric) =>
    NAMES.flatMap((contender) => {
      const mine = rounds[contender] ?? []
      const values = mine.map((f) => f[metric]).filter((v) => v !== undefined)
      if (values.length === 0) return []
      const [toKernel, toOvs] = [ratio(mine, metric, 'kernel'), ratio(mine, metric, 'ovs')]
      return [{ contender, metric, median: median(values), toKernel, toOvs }]
    }),
  )
}

function print(found: TunnelReport): void {
  const plain = process.stdout.isTTY ? {} : { style: { head: [], border: [] } }
  const present = NAMES.filter((name) => found.rounds[name] !== undefined)
  const figures = new Table({ head: ['', '', ...present.map((name) => TITLES[name])], ...plain })
  for (const [metric, [unit, title]] of Object.entries(METRICS)) {
    const cells = present.map((name) => {
      const row = found.rows.find((r) => r.contender === name && r.metric === metric)
      if (row === undefined) return '-'
      const beside = [row.toKernel, row.toOvs].map((r) => (r === null ? '-' : r.toFixed(2)))
      return `${number(row.median)}\n${beside.join(' | ')}`
    })
    if (cells.some((cell) => cell !== '-')) figures.push([title, unit, ...cells])
  }
  const goals = new Table({ head: ['target', 'measured', ''], ...plain })
  for (const { target, value, met } of found.targets) goals.push([target, number(value), met ? 'met' : 'not met'])
  const head = 'VXLAN between two nodes, end to end: medians; below them, times the kernel | times Open vSwitch'
  process.stdout.write(`\n${head}\n${figures}\n${goals}\nOur uplinks carry unfinished: ${found.uplink}\n`)
}

/** Runs the bench and prints its tables. Where it cannot run, it says so and why. */
export async function benchTunnel(
  options: { quick?: boolean; rounds?: number; seconds?: number; only?: readonly string[] } = {},
): Promise<TunnelReport | { skipped: string }> {
  const skipped = obstacle()
  if (skipped !== null) {
    process.stdout.write(`Tunnels, end to end: not measured. ${skipped}\n`)
    return { skipped }
  }
  const { quick = false } = options
  const names = NAMES.filter((name) => options.only?.includes(name) ?? (name !== 'ovs' || ovsInstalled()))
  const lab = new Lab()
  try {
    const start = performance.now()
    const seconds = options.seconds ?? (quick ? 0.4 : 0.9)
    const load = new Load(lab, { seconds, trials: quick ? 0 : 5, iperf3: false })
    const contenders: Contender<Name>[] = []
    let uplink = ''
    for (const name of names) {
      progress(`setting up ${name}`)
      const made = await setUp(lab, name)
      await turn(made.contender, (at) => load.warmUp(at))
      contenders.push(made.contender)
      uplink ||= made.uplink
    }
    const wanted = options.rounds ?? (quick ? 3 : 5)
    const { rounds } = await turnsOf(contenders, load.acrossTunnel, { rounds: wanted, quick, start })
    const found = rows(rounds)
    const ledgers: unknown[] = []
    for (const { name, process: works } of contenders) {
      if (works instanceof Programs && name !== 'ovs') ledgers.push(...(await works.finishAll()))
    }
    const report: TunnelReport = {
      machine: machine(),
      rounds,
      rows: found,
      targets: WANTED.flatMap(([metric, other, bound]) => {
        const row = found.find((r) => r.contender === 'l2l3' && r.metric === metric)
        const value = (other === 'kernel' ? row?.toKernel : row?.toOvs) ?? null
        if (value === null) return []
        return [{ target: `${METRICS[metric][1]}: >= ${bound} times ${TITLES[other]}`, value, met: value >= bound }]
      }),
      uplink,
      ledgers,
    }
    print(report)
    return report
  } finally {
    lab.close()
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      seconds: { type: 'string' },
      only: { type: 'string' },
      json: { type: 'string' },
    },
  })
  const positive = (name: 'rounds' | 'seconds'): Record<string, number> => {
    const text = values[name]
    if (text === undefined) return {}
    if (Number(text) > 0 && Number.isFinite(Number(text))) return { [name]: Number(text) }
    process.stderr.write(`--${name} must be a number above 0, not ${text}\n`)
    process.exit(2)
  }
  const only = values.only === undefined ? {} : { only: values.only.split(',') }
  const report = await benchTunnel({ quick: values.quick, ...only, ...positive('rounds'), ...positive('seconds') })
  if ('skipped' in report) process.exit(1)
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
}
