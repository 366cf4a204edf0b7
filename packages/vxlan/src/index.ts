/**
 * Tunnels: VXLAN and GENEVE, then IPIP, GRE and the UDP relatives.
 *
 * Of VXLAN and GENEVE read in this order: `vxlan`, `geneve` (headers as views), `profile` (what a tunnel's end may choose),
 * `outer` (headers in front of frames), with `flow-hash` and `ecn` (what they take from inside), `unwrap` (what is taken and
 * dropped, and why), `encap` and `decap` (a tunnel with one far end), `vtep`, `network`, `far-ends` and `labels` (a node's end of
 * many), `nesting`. Then `ip-tunnel` and what it names (IPIP, 6in4, GRE, STT), `flannel-udp`, `sleeve-tunnel`, and `mtu` and
 * `path-mtu`, which all share.
 */

export { Decap, type DecapOptions } from './decap.ts'
export { describeTunnel, type TunnelPorts } from './describe.ts'
export { Ecn, type EcnIngress, ecnEgress, ecnIngress } from './ecn.ts'
export { Encap, type EncapOptions, type TunnelHeaderOptions } from './encap.ts'
export { FanMapping, type FanOptions } from './fan.ts'
export type { FarEnd } from './far-ends.ts'
export { type FlannelRoute, FlannelUdp, type FlannelUdpOptions } from './flannel-udp.ts'
export * as geneve from './geneve.ts'
export * as gre from './gre.ts'
export type { GreOptions } from './gre-shim.ts'
export { IpTunnel, type IpTunnelCounters, type IpTunnelOptions } from './ip-tunnel.ts'
export { greTunnel, gretapTunnel, type IpIpKind, ipipTunnel, type SttOptions, sttTunnel } from './ip-tunnel-kinds.ts'
export type { RemoteOptions } from './ip-tunnel-remote.ts'
export {
  IdentityLabels,
  type Labels,
  type LogicalPort,
  NETWORK,
  NOWHERE,
  OvnLabels,
} from './labels.ts'
export { Fate, fateOf, MIN_MTU4, MIN_MTU6, OVERHEAD, packetLength, TooBig, V6_OVERHEAD } from './mtu.ts'
export { TunnelNetwork } from './network.ts'
export type { NetworkCounters, NetworkEntry, NetworkOptions, PrefixRoute, RemoteSpec } from './network-options.ts'
export { type OuterOptions, OuterTable } from './outer.ts'
export { CUT_FIRST, WRAPPED, WRAPPED_TUNNEL, type Wrap, type WrapRun } from './outer-loops.ts'
export * as ovn from './ovn.ts'
export { PathMtu, type PathMtuOptions, plateauBelow, readTooBig, TooBigReport } from './path-mtu.ts'
export { PROFILES, type ProfileName, type ProfileOptions, type TunnelSettings, tunnelSettings } from './profile.ts'
export * as sleeve from './sleeve.ts'
export { type SleeveCounters, type SleeveOptions, SleeveTunnel } from './sleeve-tunnel.ts'
export * as stt from './stt.ts'
export { takers } from './takers.ts'
export type { Underlay } from './underlay.ts'
export { Vtep, type VtepCounters, type VtepOptions } from './vtep.ts'
export { calicoMac, conjuredMac, dockerMac, ovnMac, windowsOverlayMac } from './vtep-mac.ts'
export * as vxlan from './vxlan.ts'
