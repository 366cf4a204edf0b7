/**
 * Tunnels: VXLAN and GENEVE, then IPIP, GRE and the UDP relatives. Read in this order: `profile` (what a tunnel's end may
 * choose), `outer` (headers in front of frames), `flow-hash` and `ecn` (what they take from inside and give back).
 */
export { Ecn, type EcnIngress, ecnEgress, ecnIngress } from './ecn.ts'
export { CUT_FIRST, type OuterOptions, OuterTable, WRAPPED, type Wrap } from './outer.ts'
export { PROFILES, type ProfileName, type ProfileOptions, type TunnelSettings, tunnelSettings } from './profile.ts'
