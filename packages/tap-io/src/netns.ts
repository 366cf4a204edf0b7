import { native } from './native.ts'
import { errnoName, errnoText, TapError } from './tap-error.ts'

/*
 * Ways to say which network namespace is meant. The kernel knows namespaces by open files, so each becomes a path:
 *
 *     'blue'                 /run/netns/blue          made by `ip netns add blue`
 *     '/proc/42/ns/net'      as it stands             any bind mount of a namespace
 *     42                     /proc/42/ns/net          the namespace of a process
 */

/** A network namespace: its name, the path of its file, or the number of a process inside it. */
export type Netns = string | number

/** The file that stands for a namespace; throws a `TapError` where `target` cannot be one. */
export function netnsPath(target: Netns, key = 'netns'): string {
  if (typeof target === 'number') {
    if (Number.isInteger(target) && target >= 1 && target <= 4_194_304) return `/proc/${target}/ns/net`
    throw new TapError('ERR_INVALID_ARG_VALUE', key, target, 'is not a process id (1 to 4194304)')
  }
  if (typeof target !== 'string') {
    throw new TapError('ERR_INVALID_ARG_TYPE', key, target, 'must be a name, a path or a process id')
  }
  if (target.includes('\0') || Buffer.byteLength(target) > 4000) {
    throw new TapError('ERR_INVALID_ARG_VALUE', key, target, 'is not a path: it has a NUL byte or more than 4000 bytes')
  }
  if (target.startsWith('/')) return target
  if (target === '' || target === '.' || target === '..' || target.includes('/')) {
    throw new TapError('ERR_INVALID_ARG_VALUE', key, target, 'is neither the name of a namespace nor an absolute path')
  }
  return `/run/netns/${target}`
}

/**
 * Makes a network namespace that has a name, as `ip netns add` does.
 *
 * @throws TapError - for what cannot be a name, and with the errno's name as its code: EEXIST where there is one, EPERM without root
 */
export function makeNetns(name: string): void {
  const errno = native().makeNetns(netnsPath(name))
  if (errno !== 0) throw new TapError(errnoName(errno), 'netns', name, `cannot be made: ${errnoText(errno)}`)
}

/**
 * Removes a network namespace that has a name, as `ip netns del` does; what is in it goes when no process and no socket uses
 * it any more. No other program is run, which a signal to the terminal's process group could end before it began.
 *
 * @throws TapError - for what cannot be a name
 * @returns 0, or the errno of the system: ENOENT (2) where there is none, EPERM (1) without root
 */
export function removeNetns(name: string): number {
  return native().removeNetns(netnsPath(name))
}
