/**
 * What the Windows modes are made of. Read in this order: `place` (where in a node policies are), `services` (what kube-proxy has HNS do,
 * and what not), `vfp-nat` (the flows of a node and who decides), `port-policies` (a pod's port) with `address-fix-up`, `host-redirect`
 * and `broadcast-guard`.
 */
export type { LocalEndpoints } from './address-fix-up.ts'
export { DistributedRouter } from './distributed-router.ts'
export { HostStack, type HostStackOptions } from './host-stack.ts'
export {
  type L2BridgeModeOptions,
  type L2BridgeNode,
  type L2BridgePodPort,
  type L2BridgeSettings,
  l2bridge,
  type PodPortMapping,
} from './l2bridge.ts'
export {
  type HnsOverlayModeOptions,
  type HnsOverlayNode,
  type HnsOverlaySettings,
  MOST_NETWORKS,
  overlay,
} from './overlay.ts'
export { checkOverlay, FIRST_VNI } from './overlay-check.ts'
export type { HnsOverlayNetwork, HnsOverlayPod, RemoteEndpoint, RemoteSubnet } from './overlay-network.ts'
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
