/** Facts about the machine that figures depend on. */
import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os'

export interface MachineFacts {
  readonly kernel: string
  readonly arch: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly node: string
  readonly v8: string
}

export function machineFacts(): MachineFacts {
  return {
    kernel: `${type()} ${release()}`,
    arch: arch(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.versions.node,
    v8: process.versions.v8,
  }
}
