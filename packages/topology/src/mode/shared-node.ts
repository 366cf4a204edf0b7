import type { Plug } from '@l2l3/modes'
import { type Address, derivedMac, isLinkLocal, onLink, parseIp, parseMac } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { FdbRow, PortRow, Report, Schema } from '../mode.ts'
import type { NodeSpec, PortSpec } from '../topology.ts'
import { ModeNode, type Plugged } from './mode-node.ts'

/* What macvlan and ipvlan have in common: an interface that is shared, the uplink; the endpoint that is the node itself; pods whose
 * gateway is a router of the network outside. */

/** Options of the node. */
export const sharedOptions: Readonly<Record<string, Schema>> = {
  parentMac: {
    type: 'string',
    description: "MAC of the interface. Default: made from the node's name, 02:....",
  },
  parent: {
    type: 'string',
    description:
      "The endpoint that is the node itself: its own stack on the interface, with the interface's MAC. Default: none.",
  },
  gateway: {
    type: ['string', 'array'],
    items: { type: 'string' },
    description: "The pods' default gateway, of each IP version: a router outside. Default: none.",
  },
}

/** Those options, as the schema assures them. */
export interface SharedOptions {
  parentMac?: string
  parent?: string
  gateway?: string | string[]
}

const of = (node: NodeSpec): SharedOptions => node.options as SharedOptions

/** The MAC of the interface. Throws a RangeError for one that is none. */
export function parentMac({ name, options }: Pick<NodeSpec, 'name' | 'options'>): string {
  const { parentMac: given } = options as SharedOptions
  return given === undefined ? derivedMac('parent', name, 'interface') : parseMac(given)
}

/** The pods' gateways; those that are none are reported. */
export function sharedGateways(node: NodeSpec, report: Report = () => {}): Address[] {
  return [of(node).gateway ?? []].flat().flatMap((text) => attempt(report, ['gateway'], () => parseIp(text)) ?? [])
}

/** Reports what both modes cannot be told. */
export function checkShared(node: NodeSpec, report: Report): void {
  const { parent, parentMac: mac } = of(node)
  if (mac !== undefined) attempt(report, ['parentMac'], () => parseMac(mac))
  const gateways = sharedGateways(node, report)
  gateways.forEach(({ family, text }, i) => {
    if (gateways.findIndex((other) => other.family === family) < i)
      report(['gateway'], `${text} is the second of IPv${family}: pods have one`)
  })
  const hosts = node.ports.filter((p) => p.endpoint !== null).map((p) => p.name)
  if (parent !== undefined && !hosts.includes(parent)) {
    report(['parent'], `there is no endpoint "${parent}" on node ${node.name}; it has ${hosts.join(', ') || 'none'}`)
  }
  for (const { endpoint, path, name } of node.ports) {
    if (endpoint === null && name !== 'uplink')
      report(path, 'there is one port without a host, the uplink: the interface')
    for (const gateway of gateways) {
      const { text, family, bytes } = gateway
      const own = endpoint?.addresses.filter((a) => a.family === family) ?? []
      if (own.some((a) => a.text === text)) report([...path, 'ip'], `${text} is the address of the gateway`)
      else if (own.length > 0 && !isLinkLocal(gateway) && !own.some((a) => onLink(a, bytes)))
        report([...path, 'ip'], `the gateway, ${text}, is in no network of ${endpoint?.name}`)
    }
  }
}

/** A node whose pods share an interface. */
export abstract class SharedNode extends ModeNode {
  /** What frames of a pod were dropped for is counted by reasons, not by ports. */
  ports(): PortRow[] {
    return this.plugged.map(({ spec: { name }, port }) => {
      const { rxFrames, rxBytes, txFrames, txBytes, rxDropped, txDropped } = port.counters
      return {
        ...{ node: this.spec.name, port: name },
        state: port.failure !== null ? port.failure.message : port.closed ? 'down' : 'up',
        ...{ rxFrames, rxBytes, txFrames, txBytes },
        ...{ dropped: 0, portDropped: rxDropped + txDropped, offloads: port.offloadText },
      }
    })
  }

  /** Nothing is learnt. */
  fdb(): FdbRow[] {
    return []
  }

  forget(): void {}

  /** The interface. */
  protected get uplink(): Plug | null {
    return plugOf(this.plugged.find(({ spec }) => spec.endpoint === null))
  }

  /** The node's own stack. */
  protected get parent(): Plug | null {
    return plugOf(this.plugged.find(({ spec }) => isParent(this.spec, spec)))
  }

  /** The pods. */
  protected get pods(): readonly Plugged[] {
    return this.plugged.filter(({ spec }) => spec.endpoint !== null && !isParent(this.spec, spec))
  }
}

/** Whether a port leads to the node itself. */
export function isParent(node: NodeSpec, { endpoint, name }: PortSpec): boolean {
  return endpoint !== null && name === of(node).parent
}

function plugOf(plugged: Plugged | undefined): Plug | null {
  return plugged === undefined ? null : { port: plugged.port, label: plugged.spec.label }
}
