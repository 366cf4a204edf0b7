import { type Router, SECOND } from '@l2l3/switch-core'
import { PROFILES, type ProfileOptions, tunnelSettings, Vtep, type VtepOptions } from '@l2l3/vxlan'
import type { Ground } from './ground.ts'

/** A VTEP as it is configured with each of its networks. */
export interface VtepEnd extends ProfileOptions, Pick<VtepOptions, 'local' | 'port' | 'gbp' | 'knownOptions'> {
  readonly encapsulation: 'vxlan' | 'geneve'
}

/** The fields of a profile among other settings. */
export function outerOf(settings: ProfileOptions): ProfileOptions {
  const keys = ['profile', ...Object.keys(PROFILES.linux)]
  return Object.fromEntries(
    Object.entries(settings).filter(([key, value]) => keys.includes(key) && value !== undefined),
  )
}

/**
 * The VTEPs of a node. Packets are told apart by encapsulation, address and UDP port before their VNI is looked at: networks
 * that share those share a VTEP, and what is a VTEP's, not a network's, has to be the same for them.
 */
export class VtepEnds {
  readonly #ground: Ground
  readonly #router: Router
  readonly #settings: Pick<VtepOptions, 'ageing' | 'maxEntries' | 'groups'>
  readonly #byKey: Map<string, { vtep: Vtep; settings: string; first: string }> = new Map()

  /** @param settings what is the same for all */
  constructor(ground: Ground, router: Router, settings: Pick<VtepOptions, 'ageing' | 'maxEntries' | 'groups'> = {}) {
    this.#ground = ground
    this.#router = router
    this.#settings = settings
  }

  get vteps(): Vtep[] {
    return Array.from(this.#byKey.values(), ({ vtep }) => vtep)
  }

  /** Gives the VTEP of a network, made if it is not there. Throws where the network wants another than those before. */
  of(network: string, end: VtepEnd): Vtep {
    const { encapsulation, local, port, gbp, knownOptions } = end
    const outer = outerOf(end)
    const key = `${encapsulation} ${local} ${port ?? 'usual'}`
    const settings = JSON.stringify([tunnelSettings(outer, encapsulation), gbp ?? false, knownOptions ?? []])
    const there = this.#byKey.get(key)
    if (there !== undefined) {
      if (there.settings === settings) return there.vtep
      throw new Error(
        `outer headers and what is understood must be as in ${there.first}, whose end it shares: ` +
          `${encapsulation} at ${local}`,
      )
    }
    const { pool, clock, loop, seed = 0 } = this.#ground
    const vtep = new Vtep(pool, clock, {
      ...{ ...outer, ...this.#settings, local, encapsulation, out: this.#router, seed },
      ...(port === undefined ? {} : { port }),
      ...(gbp === undefined ? {} : { gbp }),
      ...(knownOptions === undefined ? {} : { knownOptions }),
    })
    loop.every(SECOND, vtep)
    this.#byKey.set(key, { vtep, settings, first: network })
    return vtep
  }
}
