import { parseInterfaceAddress, type Router, type RouterInterface } from '@l2l3/switch-core'
import { parseIpv4, parseIpv6 } from '@l2l3/switch-core/wire'

/*
 * What tunnels need to know of the router that carries them.
 */

/** The longest IP packet that leaves whole to all of these addresses; to those to which no route leads, and where there are
 * none, what all interfaces take. */
export function underlayMtu(router: Router, to: readonly string[], interfaces: readonly RouterInterface[]): number {
  const least = (list: readonly number[]): number => Math.min(65_535, ...list)
  const any = interfaces.length === 0 ? 1500 : least(interfaces.map((i) => i.mtu))
  if (to.length === 0) return any
  return least(
    to.map((text) => {
      const mtu = text.includes(':') ? router.mtuTo6(parseIpv6(text), 0) : router.mtuTo4(parseIpv4(text))
      return mtu === 0 ? any : mtu
    }),
  )
}

/** Tells whether an address is in the network of an interface's address, `10.0.0.1/24`. */
export function isWithin(address: string, of: string): boolean {
  const own = parseInterfaceAddress(of)
  const { words } = parseInterfaceAddress(address)
  if (words.length !== own.words.length) return false
  return words.every((word, i) => {
    const bits = Math.min(32, Math.max(0, own.length - 32 * i))
    return bits === 0 || (word ^ (own.words[i] as number)) >>> (32 - bits) === 0
  })
}
