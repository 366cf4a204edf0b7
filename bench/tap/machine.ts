/** Where a run took place, and how busy the machine was besides. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type MachineFacts, machineFacts } from '../machine.ts'

/** Facts that figures depend on. */
export interface Machine extends MachineFacts {
  readonly hypervisor: boolean
  readonly cc: string
}

function said(command: string, ...args: string[]): string {
  return (execFileSync(command, args, { encoding: 'utf8' }).split('\n')[0] ?? '').trim()
}

export function machine(): Machine {
  return {
    ...machineFacts(),
    hypervisor: /^flags.*\bhypervisor\b/m.test(readFileSync('/proc/cpuinfo', 'utf8')),
    cc: said('cc', '--version'),
  }
}

const TICK = 0.01 // USER_HZ is 100 on every architecture that Node runs on

function numbers(path: string, from: string): number[] {
  const text = readFileSync(path, 'utf8')
  return (
    text
      .slice(text.indexOf(from) + from.length)
      .split('\n', 1)[0]
      ?.trim()
      .split(/\s+/)
      .map(Number) ?? []
  )
}

/** CPU seconds of a process from its `stat`: its own threads', and of children that have ended. */
function used(pid: number | 'self'): number {
  const [user = 0, system = 0, childUser = 0, childSystem = 0] = numbers(`/proc/${pid}/stat`, ') ').slice(11, 15)
  return (user + system + childUser + childSystem) * TICK
}

/** CPU seconds of children of this process that have ended, to a hundredth. */
export function childrenSeconds(): number {
  const [user = 0, system = 0] = numbers('/proc/self/stat', ') ').slice(13, 15)
  return (user + system) * TICK
}

/** CPU seconds that all cores together have spent until now on others than this process, its children that have ended, and
 * `pids`. The time of interrupts is in the times of the processes that they interrupt. */
export function othersSeconds(pids: readonly number[]): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = numbers('/proc/stat', 'cpu ')
  return (
    (user + nice + system + irq + softirq + steal) * TICK - used('self') - pids.reduce((sum, pid) => sum + used(pid), 0)
  )
}

/** Waits until others leave the machine alone, for so many seconds at most. */
export async function quiet(seconds: number): Promise<void> {
  const until = performance.now() + seconds * 1e3
  for (let busy = seconds > 0 ? 1 : 0; busy > 0.2 && performance.now() < until; ) {
    const before = othersSeconds([])
    await sleep(100)
    busy = (othersSeconds([]) - before) / 0.1
  }
}
