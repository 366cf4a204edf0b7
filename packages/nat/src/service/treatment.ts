import type { FrontendKind, ReadService } from './options.ts'

/*
 * Who may serve a packet that came by a frontend, and whether the backend sees who sent it.
 *
 * Linux, as kube-proxy's iptables rules do it (modes.md 17.2):
 *
 *     | by            | policy  | from a pod               | from elsewhere                | no backend, but others elsewhere |
 *     | ClusterIP     | Cluster | all, source kept         | all, masqueraded              |                                  |
 *     | ClusterIP     | Local   | local, source kept       | local, masqueraded            | dropped                          |
 *     | from outside  | Cluster | all, masqueraded         | all, masqueraded              |                                  |
 *     | from outside  | Local   | all, source kept         | local, source kept            | dropped                          |
 *
 * "From a pod" is: the source is in `clusterPrefixes`; where none are given nobody can tell, every source counts as
 * one at ClusterIPs and none does at the others. `masqueradeAll` masquerades all that comes by ClusterIPs. With `dsr` no
 * source is masqueraded.
 *
 * Windows, as kube-proxy has HNS do it (modes.md 17.1): the source is kept where the load balancer is DSR, and becomes
 * the SourceVIP or that of the node where it is not. Where a load balancer would have no backends there is none: the packet
 * passes.
 *
 *     | by           | only local backends with           | DSR with                                          |
 *     | ClusterIP    | internalTrafficPolicy Local        | `dsr`                                             |
 *     | NodePort     | Local, or preserve-destination     | externalTrafficPolicy Local                       |
 *     | ExternalIP   | Local, or preserve-destination     | externalTrafficPolicy Local                       |
 *     | LoadBalancer | Local, or preserve-destination     | `dsr`, externalTrafficPolicy Local, or preserve-destination |
 *
 * The hairpin, a client that is its own backend, is not here: it is known only when the backend is.
 */

/** Whose source is masqueraded. */
export const Source = { Keep: 0, Masquerade: 1, Outsiders: 2 } as const
/** A value of `Source`. */
export type Source = (typeof Source)[keyof typeof Source]

/** Which rules hold. */
export type Style = 'linux' | 'windows'

/** What is done with packets that come by a frontend. */
export interface Treatment {
  /** Only backends on this node. */
  readonly local: boolean
  /** Pods get all backends even so. */
  readonly podsGetAll: boolean
  readonly source: Source
  /** The destination stays, and the backend is where the packet is routed. */
  readonly preserve: boolean
  /** Where other nodes have backends and this one has none that may serve: dropped, or passed on as it is. */
  readonly elsewhere: 'drop' | 'pass'
}

/** What the balancer knows that matters here. */
export interface Surroundings {
  readonly style: Style
  readonly masqueradeAll: boolean
  /** Whether it is known which sources are pods. */
  readonly knowsPods: boolean
}

/** What is done with packets that come to a service by a frontend of this kind. Treatments that are alike are one object:
 * there are few, so that with thousands of services they are all in the cache. */
export function treatment(kind: FrontendKind, service: ReadService, around: Surroundings): Treatment {
  const made = around.style === 'linux' ? linux(kind, service, around) : windows(kind, service)
  const key = JSON.stringify(made)
  const known = TREATMENTS.get(key)
  if (known === undefined) TREATMENTS.set(key, made)
  return known ?? made
}

/** By what they say: 2 x 2 x 3 x 2 x 2 at most. */
const TREATMENTS: Map<string, Treatment> = new Map()

function linux(kind: FrontendKind, service: ReadService, around: Surroundings): Treatment {
  if (kind === 'ClusterIP') {
    const outsiders = around.knowsPods ? Source.Outsiders : Source.Keep
    return {
      local: service.internalLocal,
      podsGetAll: false,
      source: service.dsr ? Source.Keep : around.masqueradeAll ? Source.Masquerade : outsiders,
      preserve: false,
      elsewhere: 'drop',
    }
  }
  const preserve = service.preserve && kind !== 'NodePort'
  return {
    local: service.externalLocal || preserve,
    podsGetAll: service.externalLocal && !preserve && around.knowsPods,
    source: service.externalLocal || service.dsr || preserve ? Source.Keep : Source.Masquerade,
    preserve,
    elsewhere: 'drop',
  }
}

function windows(kind: FrontendKind, service: ReadService): Treatment {
  const { externalLocal, preserve } = service
  let local = externalLocal
  let dsr = externalLocal
  if (kind === 'ClusterIP') {
    local = service.internalLocal
    dsr = service.dsr
  } else if (kind === 'NodePort') local ||= preserve
  else if (kind === 'LoadBalancer') {
    local ||= preserve
    dsr ||= preserve || service.dsr
  }
  const kept = preserve && (kind === 'LoadBalancer' || kind === 'ExternalIP')
  return {
    local: local || kept,
    podsGetAll: false,
    source: dsr || kept ? Source.Keep : Source.Masquerade,
    preserve: kept,
    elsewhere: 'pass',
  }
}
