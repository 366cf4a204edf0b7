import { type Native, native } from './native.ts'
import { errnoName, TapError } from './tap-error.ts'

/*
 * Ports that are waited for together. The set wakes its owner while any of them has something to read - and also for ever when
 * the device behind a descriptor was deleted, which is why a wake-up that brought no work is looked into: ports in error
 * are asked to `check` themselves, which fails them, and whoever stays in error is taken out.
 */

/** What can be waited for: a port with a descriptor. */
export interface Pollable {
  /** The descriptor; -1 once it is closed. */
  readonly fd: number
  /** Length in bytes of the longest frame of the last batch that was not empty, where it is known. */
  readonly longest?: number
  /** Looks whether what is behind the descriptor still exists, and fails the port where it does not. */
  check?(): void
}

/** A set of ports to wait for; holds descriptors until it is closed. */
export class WaitSet {
  readonly #native: Native
  readonly #waiter: number
  readonly #ports: Map<number, Pollable> = new Map()
  readonly #errors: Int32Array = new Int32Array(64)
  #closed = false

  constructor(ports: Iterable<Pollable>) {
    this.#native = native()
    const waiter = this.#native.waiter()
    if (waiter < 0) throw new TapError(errnoName(-waiter), 'ports', 'epoll', 'no descriptor to be had for waiting')
    this.#waiter = waiter
    try {
      for (const port of ports) this.add(port)
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Waits for another port, too. Throws a `TapError` where it has no open descriptor. */
  add(port: Pollable): void {
    const fd = port?.fd
    if (!Number.isInteger(fd) || fd < 0) {
      throw new TapError('ERR_INVALID_ARG_VALUE', 'fd', fd, 'is not an open descriptor: is the port closed?')
    }
    const errno = this.#native.add(this.#waiter, fd)
    if (errno !== 0) throw new TapError(errnoName(errno), 'fd', fd, 'cannot be waited for')
    this.#ports.set(fd, port)
  }

  /** Calls `callback` from the event loop for as long as something is readable. */
  watch(callback: () => void): void {
    if (!this.#native.watch(this.#waiter, callback)) throw new Error('the event loop did not take the ports')
  }

  /** Stops (and takes up again) the calls of `watch`. */
  pause(on: boolean): void {
    if (!this.#closed) this.#native.pause(this.#waiter, on)
  }

  /** Spins, then sleeps, in nanoseconds each, until something is readable. */
  idle(spin: number, sleep: number): boolean {
    return this.#native.idle(this.#waiter, spin, sleep)
  }

  /** Whether super-frames flow: the longest frame of any port's last batch was over 4 kB. */
  get bulk(): boolean {
    for (const port of this.#ports.values()) if ((port.longest ?? 0) > 4096) return true
    return false
  }

  /** After a wake-up for nothing: has ports that are in error check themselves, and takes out those that stay so. */
  examine(): void {
    const n = this.#native.errors(this.#waiter, this.#errors)
    for (let i = 0; i < n; i++) {
      const fd = this.#errors[i] as number
      const port = this.#ports.get(fd)
      port?.check?.()
      if (port === undefined || port.fd === fd) this.#native.remove(this.#waiter, fd)
      this.#ports.delete(fd)
    }
  }

  /** Has every port check itself, and forgets those that are closed: the kernel has taken them out. */
  checkAll(): void {
    for (const [fd, port] of this.#ports) {
      port.check?.()
      if (port.fd !== fd) this.#ports.delete(fd)
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#ports.clear()
    this.#native.close(this.#waiter)
  }
}
