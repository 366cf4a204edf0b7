import { type AclOptions, Filter, type FilterPort } from '@l2l3/nat'
import type { Ground } from '../ground.ts'
import { type Part, Parts, same } from '../parts.ts'

/*
 * The firewall of the host at the ports of containers: all that there is of ACLs on networks of type Transparent and NAT (modes.md 16).
 *
 *     before ports change     ports()    those that come get theirs, and other rules count from the next packet on
 *     after                   settle()   those that are gone are taken off, when nothing comes by them any more
 */

/** The rules of a container: HNS' default port ACLs and these; `null`: no firewall. */
export interface Judged {
  readonly name: string
  readonly acl?: AclOptions | null
}

/** Rules of the switch are an error. */
const LAYERS = ['host'] as const

interface Spec {
  readonly name: string
  readonly acl: AclOptions
}

/** The firewalls of a node. */
export class Firewalls {
  readonly #parts: Parts<Spec, Part & { readonly port: FilterPort }>

  constructor(ground: Ground) {
    let filter: Filter | null = null
    this.#parts = new Parts(
      ({ name, acl }) => {
        const own = (filter ??= new Filter(ground.loop, { seed: ground.seed ?? 0 }))
        const port = own.addPort(name, { ...acl, layers: LAYERS })
        return { port, end: () => own.removePort(port) }
      },
      ({ port }, { acl }, before) => {
        if (!same(acl, before.acl)) port.setRules({ ...acl, layers: LAYERS })
        return true
      },
    )
  }

  /** What a container's port of a bridge has for `acl`. Throws a TypeError or RangeError for rules that make no sense. */
  of({ name, acl = {} }: Judged): { readonly acl?: FilterPort } {
    if (acl === null) return {}
    const there = this.#parts.get(name) ?? this.#parts.add({ name, acl })
    return { acl: there.port }
  }

  /** Makes rules what is said, and takes off those of containers that are not there. */
  settle(all: readonly Judged[]): void {
    this.#parts.become(all.flatMap(({ name, acl = {} }) => (acl === null ? [] : [{ name, acl }])))
  }
}
