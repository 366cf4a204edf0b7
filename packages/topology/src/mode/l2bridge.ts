import { type L2BridgeNode, type L2BridgeSettings, l2bridge } from '@l2l3/modes'
import { AZURE_LINUX, type L2BridgeOptions, type SwitchPort } from '@l2l3/switch-core'
import { parseIp, parseMac } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { FdbRow, Mode, PortRow, Report } from '../mode.ts'
import type { EndpointSpec, NodeSpec, PortSpec } from '../topology.ts'
import { ModeNode } from './mode-node.ts'

/* mode: l2bridge - see `l2bridge` in @l2l3/modes. */

const options = {
  hostMac: {
    type: 'string',
    description:
      "The node's MAC: the only one that is seen on the uplink. The endpoint that has it is the node itself.",
  },
  hostIps: {
    type: 'array',
    items: { type: 'string' },
    description:
      "The node's own addresses: ARP for them is answered with hostMac. Default: those of the endpoint that is the node.",
  },
  tunnelMac: {
    type: 'string',
    description: 'Tunnel mode (l2tunnel): all that pods send leaves to this MAC. Default: none.',
  },
  preset: {
    enum: ['windows', 'azure-linux'],
    description:
      'The defaults of the options below: as documented of Windows (the default), or as the rules of Azure CNI on Linux.',
  },
  arpReplyMode: {
    enum: ['unicast-tha', 'broadcast-azure'],
    description:
      "How an ARP reply from outside reaches its pod: to the pod's MAC, tha too (unicast-tha), or to everybody with " +
      'tha as it is (broadcast-azure).',
  },
  foreignArpAnswer: {
    enum: ['host-mac', 'pod-mac'],
    description: "What ARP from outside for a pod is answered with: the node's MAC, or the pod's.",
  },
  floodLeak: {
    type: 'boolean',
    description: 'Whether the first frame to a pod that has not spoken is flooded, and leaks to the uplink.',
  },
  unknownDestination: {
    enum: ['host', 'flood'],
    description: 'What becomes of a frame from outside that is for no pod: for the host alone, or flooded.',
  },
  answerOwner: { type: 'boolean', description: 'Whether a pod that asks for its own address is answered.' },
} as const

interface Options extends Partial<Omit<L2BridgeOptions, 'maxAddresses'>> {
  preset?: 'windows' | 'azure-linux'
}

/** Whether a port leads to the node itself. */
function isHost(node: NodeSpec, { endpoint }: PortSpec): boolean {
  return endpoint !== null && endpoint.mac === parseMac((node.options as Options).hostMac ?? '')
}

function check(node: NodeSpec, report: Report): void {
  const { hostMac, tunnelMac, hostIps = [] } = node.options as Options
  if (hostMac === undefined) report([], 'the key "hostMac" is missing')
  for (const [key, mac] of Object.entries({ hostMac, tunnelMac })) {
    if (mac !== undefined) attempt(report, [key], () => parseMac(mac))
  }
  const own = hostMac?.toLowerCase().replaceAll('-', ':')
  hostIps.forEach((text, i) => {
    const ip = attempt(report, ['hostIps', i], () => parseIp(text))
    const pod = node.ports.find((p) => p.endpoint?.addresses.some((a) => a.text === ip?.text))
    if (pod !== undefined && pod.endpoint?.mac !== own)
      report(['hostIps', i], `address ${text} is given twice: ${pod.label} has it already`)
  })
  for (const { endpoint, path, name } of node.ports) {
    if (endpoint === null && name !== 'uplink') report(path, 'an l2bridge has one port without a host, the uplink')
  }
}

class L2BridgeModeNode extends ModeNode {
  #node: L2BridgeNode | null = null

  protected become(): void {
    const { preset, hostMac = '', hostIps = [], ...fixed } = this.spec.options as Options
    const uplink = this.plugged.find(({ spec }) => spec.endpoint === null)
    const host = this.plugged.find(({ spec }) => isHost(this.spec, spec))
    const own = host?.spec.endpoint?.addresses.map((a) => a.text) ?? []
    const settings: L2BridgeSettings = {
      hostIps: [...new Set([...hostIps.map((text) => parseIp(text).text), ...own])],
      host: host === undefined ? null : { port: host.port, label: host.spec.label },
      pods: this.plugged.flatMap(({ spec, port }) => {
        if (spec.endpoint === null || spec === host?.spec) return []
        const { name, mac, addresses } = spec.endpoint
        const more = spec.options as { mtu?: number }
        return [{ name, label: spec.label, port, mac, ips: addresses.map((a) => a.text), ...more }]
      }),
    }
    if (this.#node !== null) this.#node.change(settings)
    else {
      this.#node = l2bridge(this.ground, {
        ...(preset === 'azure-linux' ? AZURE_LINUX : {}),
        ...{ ...fixed, ...settings, hostMac },
        uplink: uplink === undefined ? null : { port: uplink.port, label: uplink.spec.label },
      })
    }
  }

  forget({ mac }: EndpointSpec): void {
    this.#node?.forget(mac)
  }

  ports(): PortRow[] {
    return this.plugged.flatMap(({ spec: { name }, port }) => {
      const side = this.#side(name)
      if (side === undefined) return []
      const state = port.failure !== null ? port.failure.message : port.closed || !side.up ? 'down' : 'up'
      const { rxFrames, rxBytes, txFrames, txBytes, rxDropped, txDropped } = port.counters
      return [
        {
          ...{ node: this.spec.name, port: name, state },
          ...{ rxFrames, rxBytes, txFrames, txBytes },
          ...{ dropped: side.counters.dropped, portDropped: rxDropped + txDropped, offloads: port.offloadText },
        },
      ]
    })
  }

  fdb(): FdbRow[] {
    const names = new Map(this.plugged.map(({ spec: { name } }) => [this.#side(name)?.index, name]))
    return Array.from(this.#node?.engine.switch.fdb.list() ?? [], ({ mac, vlan, port, kind, age }) => {
      return { node: this.spec.name, mac, vlan, port: names.get(port) ?? String(port), kind, age }
    })
  }

  #side(name: string): SwitchPort | undefined {
    const spec = this.spec.ports.find((p) => p.name === name) as PortSpec
    if (spec.endpoint === null) return this.#node?.engine.uplinkPort
    return isHost(this.spec, spec) ? (this.#node?.engine.hostPort ?? undefined) : this.#node?.pods.get(name)?.port
  }
}

/** Pods behind the node's MAC address. */
export const l2bridgeMode: Mode = {
  name: 'l2bridge',
  options,
  portOptions: {
    mtu: {
      type: 'integer',
      minimum: 68,
      maximum: 65_535,
      description: 'At an endpoint: longest payload of a frame that it gets, and MTU of its interface. Default 1500.',
    },
  },
  check,
  changes: ['hostIps'],
  build: (node, ground) => new L2BridgeModeNode(node, ground),
}
