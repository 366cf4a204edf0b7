/**
 * A private Open vSwitch in a namespace: its own database and its own switch, the datapath in userspace. The system's service is
 * not touched.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Lab, Programs } from '../tap/lab.ts'
import type { Needed } from '../tap/scene.ts'
import { until } from './until.ts'

export const OVS: Needed = { program: 'ovs-vswitchd', apt: 'openvswitch-switch' }

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'

/** Open vSwitch in one namespace: the switch and its database, as one. */
export class Ovs extends Programs {
  readonly #namespace: string
  readonly #folder: string

  private constructor(namespace: string, folder: string, programs: ConstructorParameters<typeof Programs>[0]) {
    super(programs)
    this.#namespace = namespace
    this.#folder = folder
  }

  /** Starts one.
   * @param tso whether super-frames stay whole in it (userspace-tso-enable) */
  static async start(lab: Lab, namespace: string, { tso = false }: { tso?: boolean } = {}): Promise<Ovs> {
    const folder = mkdtempSync(join(tmpdir(), 'l2l3-ovs-'))
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
    const at = (name: string): string => join(folder, name)
    execFileSync('ovsdb-tool', ['create', at('conf.db'), SCHEMA])
    const run = (program: string, ...args: string[]) =>
      lab.start(namespace, 'env', `OVS_RUNDIR=${folder}`, program, ...args)
    const database = run('ovsdb-server', at('conf.db'), `--remote=punix:${at('db.sock')}`, `--unixctl=${at('db.ctl')}`)
    await until('db.sock', () => existsSync(at('db.sock')))
    const vsctl = (...args: string[]) =>
      execFileSync('ovs-vsctl', ['--timeout=15', `--db=unix:${at('db.sock')}`, '--no-wait', ...args])
    vsctl('init')
    if (tso) vsctl('set', 'Open_vSwitch', '.', 'other_config:userspace-tso-enable=true')
    const program = run('ovs-vswitchd', `unix:${at('db.sock')}`, `--unixctl=${at('sw.ctl')}`)
    await until('sw.ctl', () => existsSync(at('sw.ctl')))
    return new Ovs(namespace, folder, [program, database])
  }

  vsctl(...args: string[]): void {
    this.#exec('ovs-vsctl', '--timeout=15', `--db=unix:${this.#folder}/db.sock`, ...args)
  }

  ofctl(command: string, bridge: string, ...args: string[]): void {
    this.#exec('ovs-ofctl', command, `unix:${this.#folder}/${bridge}.mgmt`, ...args)
  }

  #exec(...line: string[]): void {
    execFileSync('ip', ['netns', 'exec', this.#namespace, ...line], { stdio: ['ignore', 'pipe', 'pipe'] })
  }
}
