/**
 * Documents of HNS and HCN, of win-bridge and of win-overlay: networks, endpoints, policies, load balancers, in both schemas, as they
 * are used in the field, read into objects that do not depend on the schema.
 *
 * Read in this order: `shape` (how JSON is read, and what is forgiven), `endpoint-policies`, `flags`, `network`, `endpoint`, `load-balancer`, `cni`;
 * then `api`: the calls of HNS, which keeps them and tells who listens; `plan` and `settings`: what they make of a node; `node`: one that runs.
 */

export {
  type CreatedEndpoint,
  type CreatedLoadBalancer,
  type CreatedNetwork,
  Hns,
  type HnsChange,
  type HnsGuard,
  type HnsOptions,
} from './api.ts'
export { type CniConf, type CniIpam, type CniPod, cniEndpointPolicies, overlayMac, readCniConf } from './cni.ts'
export type { HnsDns, HnsReadOptions, HnsRoute, HnsSchema, Unsupported } from './common.ts'
export { type HnsEndpoint, readEndpoint } from './endpoint.ts'
export { aclOf } from './endpoint-acl.ts'
export type { HnsEndpointPolicy } from './endpoint-policies.ts'
export { HnsError } from './error.ts'
export { EndpointFlag, NetworkFlag } from './flags.ts'
export { hasHostPort } from './host-port.ts'
export {
  type HnsDistribution,
  type HnsLoadBalancer,
  type HnsLoadBalancerPort,
  type HnsRouteList,
  LoadBalancerFlag,
  LoadBalancerPortFlag,
  readLoadBalancer,
  readPolicyList,
} from './load-balancer.ts'
export { type HnsNetwork, type HnsNetworkType, type HnsSubnet, readNetwork } from './network.ts'
export { type HnsNetworkPolicy, membersOf } from './network-policies.ts'
export { HnsNode } from './node.ts'
export { type HnsPlan, type HnsState, hnsPlan, type PlannedEndpoint } from './plan.ts'
export {
  checkHnsHost,
  type HnsHost,
  type HnsNodeOptions,
  hnsHostEndpoint,
  hnsNodeOptions,
  type PortOf,
} from './settings.ts'
