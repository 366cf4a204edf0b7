import { hnsHostEndpoint, hnsNodeOptions, type PlannedEndpoint } from '@l2l3/modes/hns'
import type { RawNode } from '../mode.ts'
import type { HnsKeys } from './hns-key.ts'
import { rawMappings, rawOutboundNat, rawServices } from './hns-key.ts'

/* What each of Windows' modes makes of documents: its own keys. See `hns-key.ts`. */

const policiesOf = (planned: PlannedEndpoint): Record<string, unknown> => {
  const { acl, sdnRoutes } = planned
  const outboundNat = rawOutboundNat(planned)
  const portMappings = rawMappings(planned)
  return {
    acl,
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

/** Mode l2bridge; the host endpoint is there where the host is. */
export const l2bridgeHns: HnsKeys = {
  types: ['L2Bridge'],
  node(plan, raw) {
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
  node: () => ({}),
  pod: ({ acl, vlan, endpoint }) => ({
    ...(vlan === null ? {} : { vlan }),
    ...{ acl, isolated: endpoint.isolated },
  }),
}

/** Mode winnat. */
export const winnatHns: HnsKeys = {
  types: ['NAT'],
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
