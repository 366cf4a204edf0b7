import { ArpGuard, PortBindings, SourceGuard } from '@l2l3/arp'
import type { Element, Link, Port } from '@l2l3/switch-core'
import type { BridgePort } from '../bridge.ts'
import type { Ground } from '../ground.ts'

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

/** Makes what stands before a port; for one with the same settings the same again, so that the port stays as it is. */
export class PortGuards<P extends BridgedPod = BridgedPod> {
  readonly #make: (pod: P, back: Link) => readonly Element[]
  #before: ReadonlyMap<string, (back: Link) => readonly Element[]> = new Map()
  #now: Map<string, (back: Link) => readonly Element[]> = new Map()

  constructor(make: (pod: P, back: Link) => readonly Element[]) {
    this.#make = make
  }

  /** Begins a new list of ports. */
  begin(): void {
    this.#before = this.#now
    this.#now = new Map()
  }

  /** What stands before a pod's port. */
  of(pod: P): (back: Link) => readonly Element[] {
    const key = [pod.name, pod.port.id, pod.mac, ...pod.ips].join(' ')
    const made = this.#before.get(key) ?? ((back) => this.#make(pod, back))
    this.#now.set(key, made)
    return made
  }
}

/** Guards that let a pod send only with its own addresses, in IP, ARP and ND. */
export function spoofGuards({ pool }: Ground, { mac, ips }: BridgedPod): readonly Element[] {
  const bindings = new PortBindings(ips.map((address) => ({ mac, address })))
  return [new SourceGuard(pool, bindings), new ArpGuard(pool, bindings)]
}
