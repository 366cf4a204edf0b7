/*
 * Parts of a node that come and go while it runs. A node is made of lists - ports, tunnels, networks - and each knows how to
 * make a part of its settings and how to end it:
 *
 *     become   [ red, blue ]  ->  [ red, blue', green ]      red stays as it is, whatever passes it
 *                                                            blue ends and is made anew, or is told what is new
 *                                                            green is made
 *
 * All happens between two turns of the loop, so that a frame meets a node before the change or after it.
 */

/** What can be taken down. */
export interface Part {
  /** Takes it out of the node; frames that it holds are dropped. */
  end(): void
}

/** Settings of a part. */
export interface Named {
  readonly name: string
}

/** A list of parts by name. */
export class Parts<S extends Named, T extends Part> {
  readonly #make: (spec: S) => T
  readonly #update: (part: T, spec: S, before: S) => boolean
  #byName: Map<string, { spec: S; part: T }> = new Map()

  /** @param make makes a part; throws where its settings make no sense
   * @param update has a part take other settings as it is; false where it has to be made anew. Default: always */
  constructor(make: (spec: S) => T, update: (part: T, spec: S, before: S) => boolean = () => false) {
    this.#make = make
    this.#update = update
  }

  /** The parts, in the order of their settings. */
  get list(): readonly T[] {
    return Array.from(this.#byName.values(), ({ part }) => part)
  }

  get size(): number {
    return this.#byName.size
  }

  /** The parts by name. */
  get byName(): ReadonlyMap<string, T> {
    return new Map(Array.from(this.#byName, ([name, { part }]) => [name, part]))
  }

  get(name: string): T | undefined {
    return this.#byName.get(name)?.part
  }

  /** Adds a part. Throws where one has its name. */
  add(spec: S): T {
    if (this.#byName.has(spec.name))
      throw new RangeError(`there is one of the name ${JSON.stringify(spec.name)} already`)
    const part = this.#make(spec)
    this.#byName.set(spec.name, { spec, part })
    return part
  }

  /** Takes a part away; false where there is none of this name. */
  remove(name: string): boolean {
    const there = this.#byName.get(name)
    if (there === undefined) return false
    this.#byName.delete(name)
    there.part.end()
    return true
  }

  /** Makes the list what `specs` say: parts whose settings are as before stay. Says whether one was ended or made. */
  become(specs: readonly S[]): boolean {
    const next = new Map(specs.map((spec) => [spec.name, spec]))
    if (next.size < specs.length) {
      const twice = specs.find((spec) => next.get(spec.name) !== spec)?.name
      throw new RangeError(`there are two of the name ${JSON.stringify(twice)}`)
    }
    let changed = false
    for (const [name, entry] of [...this.#byName]) {
      const spec = next.get(name)
      if (spec !== undefined && (same(entry.spec, spec) || this.#update(entry.part, spec, entry.spec)))
        entry.spec = spec
      else changed = this.remove(name)
    }
    for (const spec of specs) {
      if (this.#byName.has(spec.name)) continue
      this.add(spec)
      changed = true
    }
    this.#byName = new Map(specs.map(({ name }) => [name, this.#byName.get(name) as { spec: S; part: T }]))
    return changed
  }

  /** Takes all away. */
  clear(): void {
    for (const name of [...this.#byName.keys()]) this.remove(name)
  }
}

/** Tells whether two settings say the same. What is no plain data - a port, a function - is the same only as itself. */
export function same(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => same(item, b[i]))
  if (!isPlain(a) || !isPlain(b)) return false
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].every((key) => same(a[key], b[key]))
}

function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false
  const above: unknown = Object.getPrototypeOf(value)
  return above === Object.prototype || above === null
}
