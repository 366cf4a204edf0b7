import type { LocalTaker } from '@l2l3/switch-core'

/** Asks several takers, one after the other, until one takes the packet: for the `Router.onLocal` of a node with several
 * tunnels. Ends that are told apart by less (a GRE key, a peer) may stand in any order, one that takes anybody's packets last.
 * @example router.onLocal = takers(vtep.take, ipip.take, flannel.take) */
export function takers(...all: readonly LocalTaker[]): LocalTaker {
  for (const [i, taker] of all.entries()) {
    if (typeof taker !== 'function') throw new TypeError(`takers[${i}] must be a function, not ${String(taker)}`)
  }
  return (f, iface) => {
    for (let i = 0; i < all.length; i++) if ((all[i] as LocalTaker)(f, iface)) return true
    return false
  }
}
