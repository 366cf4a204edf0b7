/**
 * The network modes, each a short function that puts elements together and reads like the drawing above it: ports in,
 * a node out. Read in this order: `ground` (what a node is built in), `parts` (what comes and goes), `routed-link` (a
 * router's link with its neighbour table), `host-node` (a router with bridges, pods, uplinks, tunnels and NAT); and what is
 * made of it: `router`, `l3` (pods on /32 links, as Calico has them), `nat` (pods behind the node's address); then `l2bridge`
 * (pods behind the node's MAC), `vtep` (networks that span nodes). Each node has `change`, by which it becomes another while
 * frames pass.
 * What people configure and how it is checked is in `@l2l3/topology`.
 */

export { Bridge, type BridgePort, type BridgeSide, type BridgeSpec, bridgePort, forgetStation } from './bridge.ts'
export { type Ground, Wires } from './ground.ts'
export { overlayMac } from './hns/cni.ts'
export { HostNode, type HostOptions, type HostSettings } from './host-node.ts'
export { type L3Options, type L3Pod, type L3Settings, l3, POD_GATEWAY, POD_GATEWAY_MAC, podGateway6 } from './l3.ts'
export { ANTREA_MAC, type AntreaOptions, type AntreaSettings, antrea, antreaGatewayMac } from './linux/antrea.ts'
export { type AwsPod, type AwsVpcOptions, type AwsVpcSettings, awsVpc } from './linux/aws-vpc.ts'
export { AZURE_GATEWAY6, AZURE_HOST_MAC, type AzureOptions, type AzureSettings, azure } from './linux/azure.ts'
export {
  type BridgeMasquerade,
  type BridgeVlans,
  bridge,
  DOCKER0,
  dockerMac,
  KUBENET,
  type LinuxBridgeOptions,
  type LinuxBridgePod,
  type LinuxBridgePort,
  type LinuxBridgeSettings,
} from './linux/bridge.ts'
export { type BridgedNode, type BridgeTunnel, BridgeTunnels } from './linux/bridge-tunnels.ts'
export type { BridgedPod } from './linux/bridged-pods.ts'
export {
  type CalicoEncapsulation,
  type CalicoOptions,
  type CalicoPool,
  type CalicoSettings,
  calico,
} from './linux/calico.ts'
export { CILIUM_HOST, type CiliumOptions, type CiliumPod, type CiliumSettings, cilium } from './linux/cilium.ts'
export {
  DOCKER_BRIDGE,
  type DockerOverlayOptions,
  type DockerOverlaySettings,
  dockerOverlay,
  type StationsPeer,
} from './linux/docker-overlay.ts'
export { type FanModeOptions, type FanSettings, fan, fanGateway } from './linux/fan.ts'
export {
  FLANNEL_BRIDGE,
  type FlannelBackend,
  type FlannelOptions,
  type FlannelSettings,
  flannel,
} from './linux/flannel.ts'
export type { HybridPeer } from './linux/hybrid-bridge.ts'
export {
  type IpvlanL2Node,
  type IpvlanL2Options,
  type IpvlanL2Settings,
  type IpvlanL3Options,
  type IpvlanL3Settings,
  type IpvlanPod,
  ipvlanL2,
  ipvlanL3,
} from './linux/ipvlan.ts'
export {
  type MacvlanModeOptions,
  type MacvlanNode,
  type MacvlanPod,
  type MacvlanSettings,
  macvlan,
} from './linux/macvlan.ts'
export {
  type LogicalSwitch,
  type OvnNode,
  type OvnOptions,
  type OvnPeer,
  type OvnPod,
  type OvnSettings,
  ovn,
  ROUTER_KEY,
} from './linux/ovn.ts'
export { HAIRPIN_SNAT, OvnBalancer, type OvnBalancerOptions } from './linux/ovn-balancer.ts'
export {
  HYBRID_VNI,
  type OvnHybridNode,
  type OvnHybridOptions,
  type OvnHybridSettings,
  ovnHybrid,
} from './linux/ovn-hybrid.ts'
export type { ClusterPeer } from './linux/peers.ts'
export {
  type PtpMasquerade,
  type PtpOptions,
  type PtpPod,
  type PtpSettings,
  ptp,
} from './linux/ptp.ts'
export type { Plug } from './linux/shared-interface.ts'
export { fastdpVni, WEAVE_BRIDGE, type WeaveOptions, type WeavePeer, type WeaveSettings, weave } from './linux/weave.ts'
export { type InsidePort, type NatModeOptions, type NatNode, type NatSettings, nat } from './nat.ts'
export { NatGate, type NatGateOptions, type NatPolicies, natProfile } from './nat-gate.ts'
export type { PortMappingOptions, PortMappingRules } from './nat-mappings.ts'
export type { Chain, ChainGround, OutboundOptions } from './nat-outbound.ts'
export { type NatTrial, natTrial } from './nat-trial.ts'
export { type Named, type Part, Parts } from './parts.ts'
export type { InterfaceSpec, JoinedLink, RoutedLink, RoutedPort, Uplink } from './routed-link.ts'
export type { PodProxyOptions, RoutedPod } from './routed-pod.ts'
export { type RoutedNode, type RouterModeOptions, type RouterSettings, router } from './router.ts'
export type { Route } from './routes.ts'
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
  type VtepSettings,
  vtep,
} from './vtep.ts'
export type { SocketUplink } from './vtep-ends.ts'
export { gatewayOf } from './windows/distributed-router.ts'
export { type FabricNode, type FabricOptions, type FabricSettings, type FabricVm, fabric } from './windows/fabric.ts'
export {
  type L2BridgeModeOptions,
  type L2BridgeNode,
  type L2BridgePodPort,
  type L2BridgeSettings,
  l2bridge,
  type PodPortMapping,
} from './windows/l2bridge.ts'
export {
  type HnsOverlayModeOptions,
  type HnsOverlayNode,
  type HnsOverlaySettings,
  MOST_NETWORKS,
  overlay,
} from './windows/overlay.ts'
export { checkOverlay, FIRST_VNI } from './windows/overlay-check.ts'
export type {
  HnsOverlayNetwork,
  HnsOverlayPod,
  RemoteEndpoint,
  RemoteSubnet,
} from './windows/overlay-network.ts'
export type { GuardOptions } from './windows/port-policies.ts'
export { placeServices, type WindowsService, type WindowsServiceOptions } from './windows/services.ts'
export {
  checkTransparent,
  type TransparentInterface,
  type TransparentNode,
  type TransparentOptions,
  type TransparentPod,
  type TransparentSettings,
  transparent,
} from './windows/transparent.ts'
export {
  checkWinNat,
  WINNAT_PREFIX,
  type WinNatBehaviour,
  type WinNatNetwork,
  type WinNatNode,
  type WinNatOptions,
  type WinNatSettings,
  winnat,
} from './windows/winnat.ts'
