/**
 * The network modes, each a short function that puts elements together and reads like the drawing above it: ports in,
 * a node out. Read in this order: `ground` (what a node is built in), `routed-link` (a router's link with its
 * neighbour table), `router`, `l3` (pods on /32 links, as Calico has them), `l2bridge` (pods behind the node's MAC),
 * `nat` (pods behind the node's address), `vtep` (networks that span nodes).
 * What people configure and how it is checked is in `@l2l3/topology`.
 */
export type { Ground } from './ground.ts'
export { type L2BridgeModeOptions, type L2BridgeNode, type L2BridgePodPort, l2bridge } from './l2bridge.ts'
export {
  type L3Options,
  type L3Pod,
  l3,
  POD_GATEWAY,
  POD_GATEWAY_MAC,
  type PodProxyOptions,
  podGateway6,
} from './l3.ts'
export { type InsidePort, type NatModeOptions, type NatNode, nat } from './nat.ts'
export type { PortMappingOptions, PortMappingRules } from './nat-mappings.ts'
export type { OutboundOptions } from './nat-outbound.ts'
export { type NatTrial, natTrial } from './nat-trial.ts'
export type { InterfaceSpec, JoinedLink, RoutedLink, RoutedPort, Uplink } from './routed-link.ts'
export { type Route, type RoutedNode, type RouterModeOptions, router } from './router.ts'
export { type TrialUnderlay, tunnelTrial, type VtepTrial, vtepTrial } from './tunnel-trial.ts'
export type { RoutedTunnel, TunnelLink, TunnelSubnet, TunnelType } from './tunnels.ts'
export {
  type Overlay,
  type OverlayEntry,
  type OverlayNetwork,
  type OverlayPort,
  type OverlayTunnel,
  type VtepModeOptions,
  type VtepNode,
  vtep,
} from './vtep.ts'
export type { SocketUplink } from './vtep-ends.ts'
