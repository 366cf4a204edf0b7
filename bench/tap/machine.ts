/** Where a run took place, and how busy the machine was besides. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/** Facts that figures depend on. */
export interface Machine {
  readonly kernel: string
  readonly arch: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly hypervisor: boolean
  readonly node: string
  readonly v8: string
  readonly cc: string
}

function said(command: string, ...args: string[]): string {
  return (execFileSync(command, args, { encoding: 'utf8' }).split('\n')[0] ?? '').trim()
}

export function machine(): Machine {
  return {
    kernel: `${type()} ${release()}`,
    arch: arch(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    hypervisor: /^flags.*\bhypervisor\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')),
    node: process.versions.node,
    v8: process.versions.v8,
    cc: said('cc', '--version'),
  }
}

/** Ticks of all cores, and those of them that were idle. */
function ticks(): [all: number, idle: number] {
  const line = (readFileSync('/proc/stat', 'utf8').split('\n')[0] as string).trim().split(/\s+/).slice(1, 9).map(Number)
  return [line.reduce((sum, n) => sum + n, 0), (line[3] as number) + (line[4] as number)]
}

/** Cores that others keep busy right now; looks for `ms`. */
async function busyCores(ms: number): Promise<number> {
  const [all, idle] = ticks()
  await sleep(ms)
  const [allThen, idleThen] = ticks()
  const passed = allThen - all
  return passed <= 0 ? 0 : (1 - (idleThen - idle) / passed) * availableParallelism()
}

/** Waits until the machine is quiet, for so long at most; gives how many cores were busy at the end. */
export async function quiet(seconds: number): Promise<number> {
  const until = performance.now() + seconds * 1e3
  for (;;) {
    const busy = await busyCores(100)
    if (busy < 0.25 || performance.now() > until) return busy
  }
}
