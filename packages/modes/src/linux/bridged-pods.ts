import { ArpGuard, PortBindings, SourceGuard } from '@l2l3/arp'
import type { Element, Link, Port } from '@l2l3/switch-core'
import type { BridgePort } from '../bridge.ts'
import type { Ground } from '../ground.ts'
import type { PortTranslation } from '../port-translation.ts'

/** A pod on a bridge. */
export interface BridgedPod {
  readonly name: string
  /** Name of the link to it, in a trace. Default: its name. */
  readonly label?: string
  readonly port: Port
  readonly mac: string
  /** Its addresses, without prefix. */
  readonly ips: readonly string[]
  readonly mtu?: number
}

/** A pod's port on a bridge. */
export function podPort({ name, label, port, mtu }: BridgedPod): BridgePort {
  return { name, port, ...(label === undefined ? {} : { label }), ...(mtu === undefined ? {} : { mtu }) }
}

/** Makes what is at a port; for one with the same settings the same again, so that the port stays as it is. */
class AtPorts<P extends BridgedPod, T, A extends readonly unknown[]> {
  readonly #make: (pod: P, ...args: A) => T
  #before: ReadonlyMap<string, (...args: A) => T> = new Map()
  #now: Map<string, (...args: A) => T> = new Map()

  constructor(make: (pod: P, ...args: A) => T) {
    this.#make = make
  }

  /** Begins a new list of ports. */
  begin(): void {
    this.#before = this.#now
    this.#now = new Map()
  }

  /** What is at a pod's port. */
  of(pod: P): (...args: A) => T {
    const key = [pod.name, pod.port.id, pod.mac, ...pod.ips].join(' ')
    const made = this.#before.get(key) ?? ((...args: A) => this.#make(pod, ...args))
    this.#now.set(key, made)
    return made
  }
}

/** What stands before ports. */
export class PortGuards<P extends BridgedPod = BridgedPod> extends AtPorts<P, readonly Element[], [back: Link]> {}

/** What translates at ports. */
export class PortTranslations<P extends BridgedPod = BridgedPod> extends AtPorts<P, PortTranslation, []> {}

/** Guards that let a pod send only with its own addresses, in IP, ARP and ND. */
export function spoofGuards({ pool }: Ground, { mac, ips }: BridgedPod): readonly Element[] {
  const bindings = new PortBindings(ips.map((address) => ({ mac, address })))
  return [new SourceGuard(pool, bindings), new ArpGuard(pool, bindings)]
}
