/** VDE's switch in a namespace, on TAPs of its own. It ends when its standard input does. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ip, type Lab, type Program } from '../tap/lab.ts'
import type { Needed } from '../tap/scene.ts'
import { until } from './until.ts'

export const VDE: Needed = { program: 'vde_switch', apt: 'vde2' }

/** Starts a switch with a TAP for each name, all of them in `namespace` to begin with. */
export async function vdeSwitch(lab: Lab, namespace: string, taps: readonly string[]): Promise<Program> {
  const folder = mkdtempSync(join(tmpdir(), 'l2l3-vde-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  for (const tap of taps) ip('-n', namespace, 'tuntap', 'add', 'dev', tap, 'mode', 'tap')
  const control = join(folder, 'switch')
  const program = lab.start(namespace, 'vde_switch', '-s', control, ...taps.flatMap((tap) => ['-t', tap]))
  await until('control socket of vde_switch', () => existsSync(join(control, 'ctl')))
  return program
}
