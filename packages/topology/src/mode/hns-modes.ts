import {
  HnsError,
  type HnsPlan,
  hasHostPort,
  hnsHostEndpoint,
  hnsNodeOptions,
  type PlannedEndpoint,
} from '@l2l3/modes/hns'
import type { RawNode } from '../mode.ts'
import type { HnsKeys } from './hns-key.ts'
import { rawMappings, rawOutboundNat, rawServices } from './hns-key.ts'

/* What each of Windows' modes makes of documents: its own keys. See `hns-key.ts`. */

const policiesOf = (planned: PlannedEndpoint): Record<string, unknown> => {
  const { acl, sdnRoutes, blockBroadcast } = planned
  const outboundNat = rawOutboundNat(planned)
  const portMappings = rawMappings(planned)
  return {
    acl,
    ...(blockBroadcast === null ? {} : { guards: { blockBroadcast } }),
    ...(outboundNat.length === 0 ? {} : { outboundNat }),
    ...(sdnRoutes.length === 0 ? {} : { sdnRoutes }),
    ...(portMappings.length === 0 ? {} : { portMappings }),
  }
}

/** Port mappings of all pods, as a key of the node. */
function mappingsOf(endpoints: readonly PlannedEndpoint[]): object[] {
  return endpoints.flatMap((planned) => {
    const to = planned.endpoint.name ?? planned.endpoint.id
    return planned.endpoint.remote ? [] : rawMappings(planned).map((mapping) => ({ ...mapping, to }))
  })
}

/** Throws where a file has the host at a network that leaves it no port (`DisableHostPort`). */
function checkHost({ networks }: HnsPlan, key: string, there: unknown): void {
  const without = networks.find((n) => !hasHostPort(n))
  if (without === undefined || there === undefined) return
  const at = { document: `network ${without.name ?? without.id}`, path: '$.Flags' }
  throw new HnsError(at, without.flags, `DisableHostPort leaves the host no port: the key "${key}" cannot be`)
}

/** Mode l2bridge; the host endpoint is there where the host is. */
export const l2bridgeHns: HnsKeys = {
  types: ['L2Bridge'],
  host: ({ host, hostIps = [] }) => {
    const { ip } = (host ?? {}) as { ip?: string | string[] }
    return [ip ?? (hostIps as string[])].flat()
  },
  node(plan, raw) {
    checkHost(plan, 'host', raw.host)
    const { subnets = [] } = plan.networks[0] ?? {}
    const vlan = subnets.find((s) => s.vlan !== null)?.vlan
    const endpoint = raw.host === undefined ? null : hnsHostEndpoint(subnets, plan)
    return {
      ...(endpoint === null ? {} : { hostEndpoint: { ip: endpoint.addresses, mac: endpoint.mac } }),
      ...(vlan === null || vlan === undefined ? {} : { vlan }),
      ...(plan.services.length === 0 ? {} : { services: rawServices(plan.services) }),
      ...(plan.sourceVips.length === 0 ? {} : { sourceVips: plan.sourceVips }),
    }
  },
  pod: policiesOf,
}

/** Mode l2tunnel: the gateway is the fabric's. */
export const l2tunnelHns: HnsKeys = {
  types: ['L2Tunnel'],
  host: l2bridgeHns.host,
  node(plan, raw) {
    const { hostEndpoint: _, ...keys } = l2bridgeHns.node(plan, raw) as Record<string, unknown>
    const gateway = (plan.networks[0]?.subnets ?? []).flatMap((s) => s.gateway ?? [])
    return { ...keys, ...(gateway.length === 0 ? {} : { gateway }) }
  },
  pod: policiesOf,
}

/** The host's addresses on the underlay, as the file has them. */
function hostOf(raw: RawNode): { mac: string; addresses: string[]; uplink: null } {
  const { ip = [], mac = '' } = (raw.uplink ?? {}) as { ip?: string | string[]; mac?: string }
  return { mac, addresses: [ip].flat(), uplink: null }
}

/** Mode overlay. */
export const overlayHns: HnsKeys = {
  types: ['Overlay'],
  host: (raw) => hostOf(raw).addresses,
  node(plan, raw) {
    const made = hnsNodeOptions(plan, hostOf(raw), () => undefined)
    if (made.mode !== 'overlay') return {}
    const { networks, vxlanPort } = made.options
    const said = plan.networks.some((n) => n.policies.some((p) => p.kind === 'dr-mac'))
    return {
      ...(said ? { drMac: made.options.drMac } : {}),
      ...(vxlanPort === undefined ? {} : { vxlan: { port: vxlanPort, ...(raw.vxlan as object) } }),
      networks: Object.fromEntries(
        networks.map(({ name, services: _s, portMappings: _p, ...network }) => {
          const own = plan.endpoints.filter((p) => (p.network.name ?? p.network.id) === name)
          const services = rawServices(plan.services.filter((s) => s.network === name))
          return [name, { ...network, services, portMappings: mappingsOf(own) }]
        }),
      ),
    }
  },
  pod(planned) {
    const { portMappings: _, sdnRoutes: _r, ...keys } = policiesOf(planned)
    return { ...keys, network: planned.network.name ?? planned.network.id }
  },
}

/** Mode transparent. */
export const transparentHns: HnsKeys = {
  types: ['Transparent'],
  host: ({ interfaces }) =>
    Object.values((interfaces ?? {}) as Record<string, { ip?: string | string[] }>).flatMap(({ ip = [] }) => ip),
  node(plan, raw) {
    checkHost(plan, 'interfaces', raw.interfaces)
    return {}
  },
  pod: ({ acl, vlan, endpoint }) => ({
    ...(vlan === null ? {} : { vlan }),
    ...{ acl, isolated: endpoint.isolated },
  }),
}

/** Mode winnat. */
export const winnatHns: HnsKeys = {
  types: ['NAT'],
  host: (raw) => hostOf(raw).addresses,
  node(plan, raw) {
    const made = hnsNodeOptions(plan, hostOf(raw), () => undefined)
    if (made.mode !== 'winnat') return {}
    const { prefix, networks } = made.options
    const portMappings = mappingsOf(plan.endpoints)
    return {
      ...(prefix === undefined ? {} : { prefix }),
      networks: Object.fromEntries(networks.map(({ name, gateway, mac }) => [name, { gateway, mac }])),
      ...(portMappings.length === 0 ? {} : { portMappings, portMappingRules: 'linux' }),
    }
  },
  pod: ({ acl, endpoint, network }) => ({ acl, isolated: endpoint.isolated, network: network.name ?? network.id }),
}
