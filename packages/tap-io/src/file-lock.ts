import { closeSync, constants, openSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { native } from './native.ts'

/*
 * flock(2), which Node has no call for: the lock that programs of other languages take on the same file. It belongs to an
 * open file, so it keeps out other openings of the file in this process as well, and the kernel gives it up when a
 * process dies.
 */

const EWOULDBLOCK = 11

/**
 * Takes the exclusive lock of a file, which is made where it is missing (mode 0750); gives the function that ends it. Waits
 * without stopping the thread, and asks again every few milliseconds: who asks has no place in a queue.
 *
 * @param patience - Milliseconds to wait at most.
 * @throws Error - where another holds it for longer, where there is no addon, or with the code of a system error, such as
 *   EACCES.
 */
export async function lockFile(path: string, patience = 10_000): Promise<() => void> {
  const { lockFile } = native()
  const fd = openSync(path, constants.O_RDONLY | constants.O_CREAT, 0o750)
  try {
    for (let waited = 0; ; ) {
      const errno = lockFile(fd)
      if (errno === 0) break
      if (errno !== EWOULDBLOCK) throw new Error(`${path} cannot be locked: flock failed with errno ${errno}`)
      if (waited >= patience) throw new Error(`${path} is locked by another for more than ${patience / 1000} s`)
      // A few milliseconds are what the others need; who comes later is not to be beaten by who waits in step.
      const next = 1 + 4 * Math.random()
      await pause(next)
      waited += next
    }
  } catch (error) {
    closeSync(fd)
    throw error
  }
  let held = true
  return () => {
    if (held) closeSync(fd)
    held = false
  }
}
