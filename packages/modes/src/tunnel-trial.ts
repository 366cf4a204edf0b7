import { FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import type { Ground } from './ground.ts'
import type { RoutedPort } from './routed-link.ts'
import { router } from './router.ts'
import type { Route } from './routes.ts'
import type { RoutedTunnel } from './tunnels.ts'
import { type OverlayNetwork, vtep } from './vtep.ts'
import type { SocketUplink } from './vtep-ends.ts'

/** What a node that is not there yet has beneath its tunnels. */
export interface TrialUnderlay {
  readonly uplinks: readonly Pick<RoutedPort, 'name' | 'mac' | 'addresses' | 'mtu'>[]
  readonly sockets?: readonly Omit<SocketUplink, 'port'>[]
  readonly routes?: readonly Route[]
}

/** Tries the networks of a node one by one, before there is a node: throws a TypeError or RangeError with key and value where
 * `vtep` would. */
export interface VtepTrial {
  network(spec: OverlayNetwork): void
}

/** A ground that nothing else is built in. */
function ground(): Ground {
  const pool = new FramePool({ frames: 8, frameSize: 2048 })
  const clock = new VirtualClock()
  return { pool, clock, loop: new Loop(pool, clock) }
}

/** Gives each of a list a port. */
function plugged<T extends { readonly name: string }>(on: Ground, list: readonly T[]): (T & { port: MemoryPort })[] {
  return list.map((spec) => ({ ...spec, port: new MemoryPort(on.pool, spec.name) }))
}

/** Begins to try networks: those that were tried before count for those that follow. */
export function vtepTrial({ uplinks, sockets = [], routes = [] }: TrialUnderlay): VtepTrial {
  const before: OverlayNetwork[] = []
  return {
    network: (spec) => {
      const on = ground()
      vtep(on, {
        ...{ ports: [], uplinks: plugged(on, uplinks), sockets: plugged(on, sockets), routes },
        networks: [...before, spec],
      })
      before.push(spec)
    },
  }
}

/** Tries tunnels of a router, and throws where `router` would. */
export function tunnelTrial(tunnels: readonly RoutedTunnel[], { uplinks, routes = [] }: TrialUnderlay): void {
  const on = ground()
  router(on, { ports: plugged(on, uplinks), tunnels, routes })
}
