import { FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import type { Ground } from './ground.ts'
import { type RouterModeOptions, router } from './router.ts'
import type { RoutedTunnel } from './tunnels.ts'
import { type OverlayNetwork, vtep } from './vtep.ts'

/** Tries the networks of a node one by one, before there is a node: throws a TypeError or RangeError with key and value where
 * `vtep` would. Uplinks are taken for granted. */
export interface VtepTrial {
  network(spec: OverlayNetwork): void
}

/** A ground that nothing else is built in. */
function ground(): Ground {
  const pool = new FramePool({ frames: 8, frameSize: 2048 })
  const clock = new VirtualClock()
  return { pool, clock, loop: new Loop(pool, clock) }
}

/** An uplink that is in the networks of these addresses, or in none. */
function uplink(on: Ground, name: string, addresses: readonly string[]): RouterModeOptions['ports'][number] {
  const port = new MemoryPort(on.pool, name)
  return { name, port, mac: '02:00:00:00:00:01', addresses }
}

/** Begins to try networks: those that were tried before count for those that follow. */
export function vtepTrial(): VtepTrial {
  const before: OverlayNetwork[] = []
  return {
    network: (spec) => {
      const on = ground()
      const names = new Set([spec, ...before].flatMap((n) => n.multicast?.uplink ?? []))
      const uplinks = Array.from(names, (name, i) => ({ ...uplink(on, name, []), mac: `02:00:00:00:01:${i + 10}` }))
      vtep(on, { ports: [], uplinks, networks: [...before, spec] })
      before.push(spec)
    },
  }
}

/** Tries tunnels of a router, and throws where `router` would. */
export function tunnelTrial(tunnels: readonly RoutedTunnel[]): void {
  const on = ground()
  router(on, { ports: [uplink(on, 'trial', [])], tunnels })
}
