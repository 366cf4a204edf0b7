/**
 * What the Windows modes are made of. Read in this order: `place` (where in a node policies are), `services` (what kube-proxy has HNS do,
 * and what not), `vfp-nat` (the flows of a node and who decides), `port-policies` (a pod's port) with `address-fix-up`, `host-redirect`
 * and `broadcast-guard`.
 */
export type { LocalEndpoints } from './address-fix-up.ts'
export type { Place } from './place.ts'
export { type GuardOptions, type PortGround, PortPolicies, type PortPolicyOptions } from './port-policies.ts'
export {
  MOST_BACKENDS,
  type PlacedServices,
  placeServices,
  type WindowsService,
  type WindowsServiceOptions,
} from './services.ts'
export {
  type OutboundEndpoint,
  type OutboundNatPolicy,
  VfpNat,
  type VfpNatOptions,
  type VfpPolicies,
} from './vfp-nat.ts'
