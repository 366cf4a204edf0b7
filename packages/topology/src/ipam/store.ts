import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { addonAvailable, lockFile } from '@l2l3/tap-io'
import { type Address, parseIp } from '../address.ts'

/*
 * The directory of a network, as CNI's host-local keeps it (modes.md 22.2), shared with that plugin:
 *
 *     /var/lib/cni/networks/blue/
 *       10.1.0.2              "4f2a...\r\neth0"    who has it: the container, CR LF, the interface
 *       fd00::2               "4f2a...\r\neth0"
 *       last_reserved_ip.0    "10.1.0.2"           the last of each set of ranges: the next search begins behind it
 *       last_reserved_ip.1    "fd00::2"
 *       lock                                       flock(2) for as long as an operation takes
 *
 * An address belongs to who creates its file: open(2) with O_EXCL succeeds for one process only, whatever locks say. What
 * the lock adds is that a search and what it finds are one step: without it, two calls for the same interface at the same
 * moment could each get an address, and the order of addresses would suffer. It needs the addon of tap-io; where there is
 * none (no C compiler, not Linux), that is how it is.
 */

/** An interface of a container. */
export interface Attachment {
  /** Letters, digits, "_", "." and "-", the first one a letter or digit. */
  readonly containerId: string
  /** Name of the interface inside, up to 15 bytes. */
  readonly ifname: string
}

/** An address and what stands in its file. */
export interface Reservation {
  readonly address: Address
  readonly containerId: string
  /** Empty where an old version of the plugin has written the file. */
  readonly ifname: string
}

const LAST = 'last_reserved_ip.'

/** The files of one network. Its methods are to be called inside `locked`. */
export class Store {
  readonly dir: string

  constructor(dataDir: string, network: string) {
    this.dir = join(dataDir, network)
  }

  /** Runs `work` while nobody else changes the directory, which is made where it is missing. */
  async locked<T>(work: () => T): Promise<T> {
    mkdirSync(this.dir, { recursive: true, mode: 0o755 })
    const unlock = addonAvailable().ok ? await lockFile(join(this.dir, 'lock')) : () => {}
    try {
      return work()
    } finally {
      unlock()
    }
  }

  /** All addresses that are taken, in no order. */
  list(): Reservation[] {
    return readdirSync(this.dir).flatMap((name) => {
      const address = addressOf(name)
      const said = address === undefined ? undefined : this.#read(name)
      if (address === undefined || said === undefined) return []
      const [containerId = '', ifname = ''] = said.trim().split('\r\n')
      return [{ address, containerId, ifname }]
    })
  }

  /** Those that an interface has: of its own, or by the container's name alone as old versions wrote it. */
  of({ containerId, ifname }: Attachment): Reservation[] {
    return this.list().filter((r) => r.containerId === containerId && (r.ifname === ifname || r.ifname === ''))
  }

  /** Takes an address for an interface, as the last one of a set; false where somebody has it. */
  reserve({ containerId, ifname }: Attachment, address: string, set: number): boolean {
    const path = join(this.dir, address)
    try {
      writeFileSync(path, '', { flag: 'wx', mode: 0o644 })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
      throw error
    }
    try {
      writeFileSync(path, `${containerId}\r\n${ifname}`)
      writeFileSync(join(this.dir, `${LAST}${set}`), address, { mode: 0o644 })
    } catch (error) {
      // A disk that is full: a file without a name in it would keep the address for ever.
      rmSync(path, { force: true })
      throw error
    }
    return true
  }

  /** Gives an address back; that it is free already is no error. */
  release(address: string): void {
    rmSync(join(this.dir, address), { force: true })
  }

  /** The address that a set gave out last. */
  last(set: number): Address | undefined {
    return addressOf(this.#read(`${LAST}${set}`)?.trim() ?? '')
  }

  #read(name: string): string | undefined {
    try {
      return readFileSync(join(this.dir, name), 'utf8')
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      // Given back meanwhile, by who holds no lock; or no file.
      if (code === 'ENOENT' || code === 'EISDIR') return undefined
      throw error
    }
  }
}

function addressOf(text: string): Address | undefined {
  try {
    return parseIp(text)
  } catch {
    return undefined
  }
}
