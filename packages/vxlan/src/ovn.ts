import { checkRange } from '@l2l3/switch-core'
import { put32, u32 } from '@l2l3/switch-core/wire'
import * as geneve from './geneve.ts'

/*
 * How OVN says in a tunnel header which logical datapath a packet is in, by which logical port it came in and by which it
 * goes out (modes.md 14.1; OVN's controller/physical.c and ovn-architecture(7)).
 *
 *     GENEVE   VNI = datapath, 24 bits        one critical option, class 0x0102, type 0x80:
 *                                             | 0 | ingress port, 15 bits | egress port, 16 bits; 0x8000 up: a group |
 *     VXLAN    VNI = | egress port, 12 bits; 2,048 up: a group | datapath, 12 bits |         (no ingress port)
 */

/** Class and type of OVN's option. */
export const CLASS = 0x0102
export const TYPE = 0x80
/** The option as `checkOptions` of geneve wants it. */
export const OPTION: number = (CLASS << 8) | TYPE
/** From here on, an egress port of the option is a multicast group. */
export const FIRST_GROUP = 0x8000
/** The same in VXLAN mode. */
export const FIRST_VXLAN_GROUP = 2048

/** OVN's option for a packet from one logical port to another. */
export function option(ingress: number, egress: number): geneve.GeneveOption {
  checkRange('ingress', ingress, 0, 0x7fff)
  checkRange('egress', egress, 0, 0xffff)
  const data = new Uint8Array(4)
  put32(data, 0, (ingress << 16) | egress)
  return { class: CLASS, type: TYPE, data }
}

/** Finds OVN's option in the GENEVE header at `o`, whose options passed `checkOptions`: ingress port << 16 | egress port, or
 * -1 where it is not there or not of one word. */
export function ports(b: Uint8Array, o: number): number {
  const at = geneve.option(b, o, CLASS, TYPE)
  return at === -1 || geneve.optionSize(b, at) !== 8 ? -1 : u32(b, at + 4) & 0x7fffffff
}

/** The VNI of VXLAN mode. */
export function vxlanVni(datapath: number, egress: number): number {
  checkRange('datapath', datapath, 0, 0xfff)
  checkRange('egress', egress, 0, 0xfff)
  return (egress << 12) | datapath
}

/** The datapath of a VNI in VXLAN mode. */
export function vxlanDatapath(vni: number): number {
  return vni & 0xfff
}

/** The egress port of a VNI in VXLAN mode. */
export function vxlanEgress(vni: number): number {
  return vni >>> 12
}
