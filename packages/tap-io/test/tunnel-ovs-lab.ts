/*
 * Open vSwitch with its userspace datapath, in a namespace of a wire; of its own, no service of the system:
 *
 *     br-int 10.9.0.2 --- t0, a tunnel --- br-phy 192.0.2.2 --- eth0 === wire
 */
import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { inNamespace, ip, until } from './lab.ts'
import { at, type Started, scratch, start, type Wire } from './tunnel-lab.ts'

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'

/** An Open vSwitch that runs. */
export interface Ovs {
  /** The namespace that it is in, with its host 10.9.0.2. */
  readonly netns: string
  /** What `ovs-vsctl`, `ovs-ofctl`, `ovs-appctl` say. */
  vsctl(...args: string[]): Promise<string>
  ofctl(...args: string[]): Promise<string>
  appctl(...args: string[]): Promise<string>
  /** Has it one tunnel, in place of any that it had. */
  tunnel(type: 'vxlan' | 'geneve', ...options: string[]): Promise<void>
  /** Makes what has changed count at once. */
  purge(): Promise<void>
  /** What it has logged. */
  log(): string
  end(): Promise<void>
}

/** Starts one in the first namespace of a bare wire; its neighbour, our node, has this MAC. */
export async function startOvs(wire: Wire, neighbour: string): Promise<Ovs> {
  const [netns] = wire.far as [string]
  const dir = mkdtempSync(join(scratch, 'ovs-'))
  const env = ['RUNDIR', 'LOGDIR', 'DBDIR', 'SYSCONFDIR'].map((name) => `OVS_${name}=${dir}`)
  const within = (...command: string[]): Promise<string> => inNamespace(netns, 'env', ...env, ...command)
  const vsctl = (...args: string[]): Promise<string> =>
    within('ovs-vsctl', '--timeout=10', `--db=unix:${dir}/db`, ...args)
  const appctl = (...args: string[]): Promise<string> => within('ovs-appctl', '-t', `${dir}/ctl`, ...args)
  const log = join(dir, 'log')
  const running: Started[] = []
  const server = (...command: string[]): Promise<void> =>
    start(netns, /^/, 'env', ...env, ...command, '-vconsole:off').then((s) => void running.push(s))
  const end = async (): Promise<void> => {
    for (const s of running.reverse()) await s.end('SIGTERM')
  }
  try {
    await within('ovsdb-tool', 'create', `${dir}/conf`, SCHEMA)
    await server('ovsdb-server', `${dir}/conf`, `--remote=punix:${dir}/db`, `--unixctl=${dir}/db.ctl`)
    await until(() => existsSync(`${dir}/db`))
    await vsctl('--no-wait', 'init')
    await server('ovs-vswitchd', `unix:${dir}/db`, `--unixctl=${dir}/ctl`, `--log-file=${log}`)
    await until(() => existsSync(`${dir}/ctl`))
    const bridge = (name: string): string[] => ['add-br', name, '--', 'set', 'bridge', name, 'datapath_type=netdev']
    await vsctl(...bridge('br-int'), '--', ...bridge('br-phy'), '--', 'add-port', 'br-phy', 'eth0')
    // eth0 is OVS', and the kernel shall not answer there for what is on br-phy.
    await inNamespace(netns, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/conf/all/arp_ignore')
    ip('-n', netns, 'addr', 'add', `${at(1)}/24`, 'dev', 'br-phy')
    ip('-n', netns, 'addr', 'add', '10.9.0.2/24', 'dev', 'br-int')
    ip('-n', netns, 'link', 'set', 'br-int', 'mtu', '1400')
    for (const dev of ['br-phy', 'br-int']) ip('-n', netns, 'link', 'set', dev, 'up')
  } catch (error) {
    await end()
    throw error
  }
  const ofctl = (...args: string[]): Promise<string> => within('ovs-ofctl', ...args)
  return {
    ...{ netns, vsctl, appctl, ofctl, end },
    async tunnel(type, ...options) {
      const all = [`options:remote_ip=${at(0)}`, ...options.map((o) => `options:${o}`)]
      await vsctl(
        '--if-exists',
        'del-port',
        't0',
        '--',
        'add-port',
        'br-int',
        't0',
        '--',
        'set',
        'interface',
        't0',
        `type=${type}`,
        ...all,
      )
      // It would ask by ARP, and lose what comes before the answer.
      await appctl('tnl/neigh/set', 'br-phy', at(0), neighbour)
    },
    purge: () => appctl('revalidator/purge').then(() => {}),
    log: () => readFileSync(log, 'utf8'),
  }
}
