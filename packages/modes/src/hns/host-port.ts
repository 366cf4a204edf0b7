import type { WindowsService } from '../windows/services.ts'
import type { HnsEndpointPolicy } from './endpoint-policies.ts'
import { type At, refuse } from './error.ts'
import { NetworkFlag } from './flags.ts'
import type { HnsNetwork } from './network.ts'

/*
 * Networks with DisableHostPort: the switch has the adapter and containers, and no port of the host.
 *
 *     container    container                              container    container
 *         |            |         host                         |            |
 *     +---+------------+----------+---+                   +---+------------+---+
 *     |            switch             |                   |       switch       |      DisableHostPort
 *     +---------------+---------------+                   +---------+----------+
 *                  adapter                                       adapter
 *
 * What would be the host's is not there, and policies that need it are refused: routes by it, services that are done there, and its
 * address as a source or as that of a mapped port.
 */

/** Whether the host has a port on the network. */
export function hasHostPort({ flags }: Pick<HnsNetwork, 'flags'>): boolean {
  return (flags & NetworkFlag.DisableHostPort) === 0
}

/** Throws an HnsError for a policy that needs the host. */
export function checkWithoutHost(at: At, p: HnsEndpointPolicy): void {
  if (p.kind === 'route') refuse(at, p.prefix, 'a ROUTE leads to the host, and DisableHostPort leaves it no port')
  if (p.kind !== 'outbound-nat' && p.kind !== 'port-mapping') return
  const { policy } = p
  const address = 'Settings' in policy ? ipOf(policy.Settings) : ipOf(policy)
  if (address === undefined || address === '') {
    refuse(
      at,
      policy,
      `${policy.Type} without an address of its own is the host's, and DisableHostPort leaves it no port`,
    )
  }
}

function ipOf(settings: object): string | undefined {
  const { VIP, VirtualIP = VIP } = settings as { VIP?: string; VirtualIP?: string }
  return VirtualIP
}

/** Throws an HnsError for a service that needs the host. */
export function checkServiceWithoutHost(at: At, { lbMode, nodePort }: WindowsService): void {
  if (lbMode !== 'dsr') refuse(at, lbMode, 'without DSR it is the host’s, and DisableHostPort leaves it no port')
  if (nodePort !== undefined) refuse(at, nodePort, 'a node port is at the host, and DisableHostPort leaves it no port')
}
