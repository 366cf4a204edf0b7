import { parseInterfaceAddress } from '@l2l3/switch-core'
import { parseIpv4, parseMac } from '@l2l3/switch-core/wire'
import { isWithin } from '../underlay.ts'
import { gatewayOf, macOf } from './distributed-router.ts'
import { type HnsOverlayModeOptions, MOST_NETWORKS } from './overlay.ts'
import type { HnsOverlayNetwork } from './overlay-network.ts'

/* What HNS refuses of an overlay, and what could not work (modes.md 4.1). Each error has key and value. */

/** VNIs begin here in Windows. */
export const FIRST_VNI = 4096

/** Throws a TypeError or RangeError with key and value. */
export function checkOverlay(options: HnsOverlayModeOptions): void {
  const { drMac, uplink, networks, pods, isolationIds = 'uint16' } = options
  checkMac('drMac', drMac)
  if (!['uint16', 'uint24'].includes(isolationIds)) {
    throw new TypeError(`isolationIds must be uint16 or uint24, not ${JSON.stringify(isolationIds)}`)
  }
  const own = (uplink?.addresses ?? []).filter((a) => !a.includes(':'))
  if (own.length === 0) throw new RangeError('uplink: the host needs an IPv4 address, the provider address')
  if (networks.length > MOST_NETWORKS) {
    throw new RangeError(`networks: ${networks.length} are more than ${MOST_NETWORKS}, for which the host has ports`)
  }
  const vnis = new Map<number, string>()
  const ports = new Map<string, string>()
  for (const network of networks) {
    checkNetwork(network, isolationIds)
    const { name, vni } = network
    const other = vnis.get(vni)
    if (other !== undefined) throw new RangeError(`network ${name}: vni ${vni} is network ${other}'s already`)
    vnis.set(vni, name)
    for (const port of hostPorts(network)) {
      const taken = ports.get(port)
      if (taken !== undefined)
        throw new RangeError(`network ${name}: port ${port} of the host is network ${taken}'s already`)
      ports.set(port, name)
    }
    for (const { providerAddress } of [...(network.remoteSubnets ?? []), ...(network.remoteEndpoints ?? [])]) {
      if (own.some((a) => a.startsWith(`${providerAddress}/`))) {
        throw new RangeError(`network ${name}: providerAddress ${providerAddress} is the node itself`)
      }
    }
  }
  for (const pod of pods) {
    const { name, ip, network: named } = pod
    const network = networks.find((n) => n.name === named)
    if (network === undefined) throw new RangeError(`pod ${name}: there is no network ${JSON.stringify(named)}`)
    if (ip.includes(':')) throw new RangeError(`pod ${name}: ip ${ip} is IPv6, which HNS refuses on an overlay`)
    if (!isWithin(ip, network.subnet)) throw new RangeError(`pod ${name}: ip ${ip} is not in ${network.subnet}`)
    if (ip === gatewayOf(network)) throw new RangeError(`pod ${name}: ip ${ip} is the gateway's`)
    if (ip === network.sourceVip) throw new RangeError(`pod ${name}: ip ${ip} is the SourceVIP`)
    const twin = pods.find((p) => p !== pod && p.network === named && (p.ip === ip || macOf(p) === macOf(pod)))
    if (twin !== undefined) throw new RangeError(`pod ${name}: ip ${ip}, or its MAC ${macOf(pod)}, is ${twin.name}'s`)
  }
}

function checkNetwork(network: HnsOverlayNetwork, ids: 'uint16' | 'uint24'): void {
  const { name, vni, subnet, gateway, sourceVip, remoteSubnets = [], remoteEndpoints = [] } = network
  checkVni(`network ${name}: vni`, vni, 'uint24')
  const { words, length } = parseInterfaceAddress(subnet)
  if (words.length !== 1) throw new RangeError(`network ${name}: subnet ${subnet} is IPv6, which overlays do not have`)
  if (length > 30 || (((words[0] as number) << length) >>> 0 !== 0 && length > 0)) {
    throw new RangeError(`network ${name}: subnet ${subnet} must be a network with room for a gateway and pods`)
  }
  for (const [key, ip] of Object.entries({ gateway, sourceVip })) {
    if (ip !== undefined && !isWithin(ip, subnet))
      throw new RangeError(`network ${name}: ${key} ${ip} is not in ${subnet}`)
  }
  if (sourceVip !== undefined && sourceVip === gatewayOf(network)) {
    throw new RangeError(`network ${name}: sourceVip ${sourceVip} is the gateway's address`)
  }
  for (const [i, remote] of remoteSubnets.entries()) {
    const key = `network ${name}: remoteSubnets[${i}]`
    checkMac(`${key}.drMac`, remote.drMac)
    parseIpv4(remote.providerAddress)
    if (remote.vni !== undefined || vni > 0) checkVni(`${key}.vni`, remote.vni ?? vni, ids)
    if (isWithin(remote.to.slice(0, remote.to.indexOf('/')), subnet)) {
      throw new RangeError(`${key}.to: ${remote.to} is in the node's own ${subnet}`)
    }
  }
  for (const [i, remote] of remoteEndpoints.entries()) {
    const key = `network ${name}: remoteEndpoints[${i}]`
    checkMac(`${key}.mac`, remote.mac)
    if (!isWithin(remote.ip, subnet)) throw new RangeError(`${key}.ip: ${remote.ip} is not in ${subnet}`)
    checkVni(`${key}.vni`, remote.vni ?? vni, ids)
  }
}

function checkVni(key: string, vni: number, ids: 'uint16' | 'uint24'): void {
  const most = ids === 'uint16' ? 0xffff : 0xff_ffff
  if (!Number.isInteger(vni) || vni < FIRST_VNI || vni > most) {
    const why = ids === 'uint16' ? ': RemoteSubnetRoute has 16 bits for it (isolationIds: uint16)' : ''
    throw new RangeError(`${key} must be ${FIRST_VNI} to ${most}, not ${vni}${why}`)
  }
}

function checkMac(key: string, mac: string): void {
  try {
    if (((parseMac(mac)[0] as number) & 1) === 1) throw new Error(`${mac} is a group's`)
  } catch (error) {
    throw new TypeError(`${key}: ${(error as Error).message}`, { cause: error })
  }
}

/** Ports of the host that lead to a network: "tcp 30080". */
function hostPorts({ services = [], portMappings = [] }: HnsOverlayNetwork): string[] {
  return [
    ...services.flatMap(({ protocol = 'tcp', nodePort }) => (nodePort === undefined ? [] : `${protocol} ${nodePort}`)),
    ...portMappings.map(
      ({ protocol, port }) => `${protocol === 17 ? 'udp' : protocol === 6 ? 'tcp' : protocol} ${port}`,
    ),
  ]
}
