/**
 * A private Open vSwitch in a namespace: its own database and its own switch, the datapath in userspace. The system's service is
 * not touched.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab, Program } from './lab.ts'

const SCHEMA = '/usr/share/openvswitch/vswitch.ovsschema'

/** Whether Open vSwitch is installed. */
export function ovsInstalled(): boolean {
  const found = (program: string): boolean => spawnSync(program, ['--version']).error === undefined
  return existsSync(SCHEMA) && ['ovs-vswitchd', 'ovsdb-server', 'ovs-vsctl', 'ovs-ofctl'].every(found)
}

/** Open vSwitch in one namespace. */
export class Ovs {
  readonly switch: Program
  readonly #namespace: string
  readonly #folder: string

  private constructor(namespace: string, folder: string, program: Program) {
    this.#namespace = namespace
    this.#folder = folder
    this.switch = program
  }

  static async start(lab: Lab, namespace: string): Promise<Ovs> {
    const folder = mkdtempSync(join(tmpdir(), 'l2l3-ovs-'))
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
    const at = (name: string): string => join(folder, name)
    execFileSync('ovsdb-tool', ['create', at('conf.db'), SCHEMA])
    const run = (program: string, ...args: string[]): Program =>
      lab.start(namespace, 'env', `OVS_RUNDIR=${folder}`, program, ...args)
    run('ovsdb-server', at('conf.db'), `--remote=punix:${at('db.sock')}`, `--unixctl=${at('db.ctl')}`)
    await appears(at('db.sock'))
    const db = `--db=unix:${at('db.sock')}`
    execFileSync('ovs-vsctl', ['--timeout=15', db, '--no-wait', 'init'])
    const program = run('ovs-vswitchd', `unix:${at('db.sock')}`, `--unixctl=${at('sw.ctl')}`)
    await appears(at('sw.ctl'))
    return new Ovs(namespace, folder, program)
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

async function appears(path: string): Promise<void> {
  for (let i = 0; i < 100 && !existsSync(path); i++) await sleep(100)
  if (!existsSync(path)) throw new Error(`Open vSwitch did not come up: no ${path}`)
}
