import { formatIpv6, formatMac, parseIpv4, parseIpv6 } from '@l2l3/switch-core/wire'
import { sha1, sha256 } from './digest.ts'

/*
 * MAC addresses that container networks make of addresses and names, so that all nodes know them without being told. Each
 * gives the address as text.
 *
 *     Calico's VTEP       66 + SHA-1(node name)[0..4]                            modes.md 10.3
 *     Windows overlay     0e:2a + the IPv4 address                               modes.md 4.1
 *     OVN, pods           0a:58 + the IPv4 address; IPv6: + SHA-256(text)[0..3]  modes.md 14.2
 *     Docker              02:42 + the IPv4 address                               modes.md 8
 *     kube-proxy, remote  02:11 + the IPv4 address; IPv6: its last four bytes from the end      modes.md 4.3
 */

/** UTF-8, as names are hashed. */
function utf8(name: string): Uint8Array {
  const escaped = encodeURIComponent(name)
  const bytes: number[] = []
  for (let i = 0; i < escaped.length; i++) {
    if (escaped[i] !== '%') bytes.push(escaped.charCodeAt(i))
    else {
      bytes.push(Number.parseInt(escaped.slice(i + 1, i + 3), 16))
      i += 2
    }
  }
  return Uint8Array.from(bytes)
}

function ip4(address: string): number[] {
  const ip = parseIpv4(address)
  return [ip >>> 24, (ip >>> 16) & 255, (ip >>> 8) & 255, ip & 255]
}

function text(...bytes: number[]): string {
  return formatMac(Uint8Array.from(bytes))
}

/** Calico's VTEP MAC of a node; its IPv6 device's with `v6`. */
export function calicoMac(node: string, v6 = false): string {
  return text(0x66, ...sha1(utf8(v6 ? `${node}-v6` : node)).subarray(0, 5))
}

/** The MAC of a Windows overlay endpoint. Throws a RangeError for a prefix that is not like `0E-2A`.
 * @param prefix two bytes, as the CNI configuration's `endpointMacPrefix` has them */
export function windowsOverlayMac(address: string, prefix = '0E-2A'): string {
  const found = /^([0-9a-f]{2})-([0-9a-f]{2})$/i.exec(prefix)
  if (found === null) throw new RangeError(`prefix must be two bytes like 0E-2A, not ${JSON.stringify(prefix)}`)
  return text(Number.parseInt(found[1] as string, 16), Number.parseInt(found[2] as string, 16), ...ip4(address))
}

/** The MAC that OVN-Kubernetes gives a pod. */
export function ovnMac(address: string): string {
  if (!address.includes(':')) return text(0x0a, 0x58, ...ip4(address))
  return text(0x0a, 0x58, ...sha256(utf8(formatIpv6(parseIpv6(address)))).subarray(0, 4))
}

/** The MAC that Docker gives a container. */
export function dockerMac(address: string): string {
  return text(0x02, 0x42, ...ip4(address))
}

/** The MAC that kube-proxy makes up for a remote endpoint on Windows; it is never on a wire. */
export function conjuredMac(address: string): string {
  if (!address.includes(':')) return text(0x02, 0x11, ...ip4(address))
  return text(0x02, 0x11, ...parseIpv6(address).subarray(12).reverse())
}
