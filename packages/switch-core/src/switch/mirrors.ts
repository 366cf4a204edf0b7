import type { SwitchPort } from './port.ts'

/** A copy of all frames of some ports to another port. */
export interface MirrorOptions {
  /** Ports to look at. */
  ports: readonly SwitchPort[]
  /** Frames that come in by them, that leave by them, or both. Default both. */
  direction?: 'in' | 'out' | 'both'
  /** The port that gets the copies. It takes no part in switching while the mirror is there. */
  to: SwitchPort
}

interface Mirror {
  ports: readonly SwitchPort[]
  readonly direction: 'in' | 'out' | 'both'
  readonly to: SwitchPort
}

/** The mirrors of a switch. At each change every port is told where copies of its frames go, so that a frame asks nobody. */
export class Mirrors {
  #all: Mirror[] = []

  /** Adds a mirror; the function that is returned takes it away. Throws for a mirror to a port that it looks at. */
  add(options: MirrorOptions, live: () => readonly SwitchPort[]): () => void {
    if (options.ports.includes(options.to)) throw new Error(`${options.to.name}: a port cannot be mirrored to itself`)
    const direction = options.direction ?? 'both'
    if (direction !== 'in' && direction !== 'out' && direction !== 'both') {
      throw new RangeError(`direction must be 'in', 'out' or 'both', not ${String(direction)}`)
    }
    const mirror = { ports: [...options.ports], direction, to: options.to }
    this.#all.push(mirror)
    this.#tell(live())
    return () => {
      this.#all = this.#all.filter((m) => m !== mirror)
      this.#tell(live())
    }
  }

  /** Ends the mirrors that lead to a port, and takes it from those that look at it. */
  remove(port: SwitchPort, live: readonly SwitchPort[]): void {
    for (const mirror of this.#all) mirror.ports = mirror.ports.filter((p) => p !== port)
    this.#all = this.#all.filter((m) => m.to !== port && m.ports.length > 0)
    this.#tell(live)
  }

  #tell(live: readonly SwitchPort[]): void {
    for (const port of live) {
      const outputs = (direction: 'in' | 'out'): SwitchPort[] =>
        this.#all
          .filter((m) => m.ports.includes(port) && (m.direction === 'both' || m.direction === direction))
          .map((m) => m.to)
      port.setMirrors(
        outputs('in'),
        outputs('out'),
        this.#all.some((m) => m.to === port),
      )
    }
  }
}
