import { formatWords } from '@l2l3/switch-core'
import type { Addresses6 } from '../addresses6.ts'
import { ANY_ADDRESS, type OutsidePorts } from '../outbound/outside-ports.ts'
import { IPV6 } from '../tuple.ts'
import type { BalancerSettings } from './balancer-options.ts'
import { NODE_PORT } from './frontends.ts'
import { type FrontendKind, kindOf, type ReadFrontend, type ReadService } from './options.ts'
import { mix } from './rendezvous.ts'
import type { Service } from './service.ts'
import { type Treatment, treatment } from './treatment.ts'

/*
 * A frontend: an address, a protocol and a port where a service is reached, and what is done with packets that come there.
 * One that has an IPv6 address holds its number for as long as it is there.
 */

/** Where a service is reached. */
export interface Frontend {
  readonly service: Service
  readonly kind: FrontendKind
  /** IPv4 address, or number in `Addresses6`, of which the frontend has a hold; 0 for a node port. */
  readonly address: number
  /** The `kind` word of its packets. */
  readonly word: number
  /** The port, and `NODE_PORT`. */
  readonly port: number
  /** 32 bits of its own. */
  readonly salt: number
  /** Where its port is reserved, if it is. */
  readonly reserved: OutsidePorts | null
  readonly text: string
  readonly treatment: Treatment
}

/** Makes a frontend of a service. Throws where `Addresses6` has no room for its address, or `OutsidePorts` for its port. */
export function makeFrontend(
  addresses: Addresses6,
  settings: BalancerSettings,
  service: Service,
  read: ReadService,
  one: ReadFrontend,
): Frontend {
  const { kind, words, family } = one
  const node = kind === 'NodePort'
  const text = node ? '*' : words.length === 4 ? `[${formatWords(words)}]` : formatWords(words)
  const { style, masqueradeAll, pods } = settings
  const { outsidePorts } = settings
  const reserved = outsidePorts !== null && kind !== 'ClusterIP'
  let salt = mix(one.port)
  for (const word of words) salt = mix(salt ^ word)
  const word = kindOf(read.protocol, family, read.zone)
  const address = node ? 0 : holdAddress(`service ${read.name}`, addresses, words)
  if (reserved && !outsidePorts.reserve(word, node ? ANY_ADDRESS : address, one.port)) {
    if (family === 6) addresses.release(address)
    throw new RangeError(`service ${read.name}: no room to reserve port ${one.port} (maxPorts of OutsidePorts)`)
  }
  return {
    service,
    kind,
    address,
    word,
    reserved: reserved ? outsidePorts : null,
    port: node ? one.port | NODE_PORT : one.port,
    salt,
    text: `${kind} ${text}:${one.port}`,
    treatment: treatment(kind, read, { style, masqueradeAll, knowsPods: !pods.empty }),
  }
}

/** Gives up what a frontend holds. */
export function letGo(addresses: Addresses6, { word, address, port, reserved }: Frontend): void {
  reserved?.unreserve(word, address, port & 0xffff)
  if ((word & IPV6) !== 0) addresses.release(address)
}

/** The number of an address: one word of IPv4 is it itself; four words of IPv6 get one of `Addresses6`, with a hold on it. Throws
 * where there is no room. */
export function holdAddress(key: string, addresses: Addresses6, words: Uint32Array): number {
  if (words.length === 1) return words[0]
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  words.forEach((word, i) => {
    view.setUint32(4 * i, word)
  })
  const number = addresses.intern(bytes, 0)
  if (number === 0) throw new RangeError(`${key}: no room for ${formatWords(words)} (max of Addresses6)`)
  return number
}
