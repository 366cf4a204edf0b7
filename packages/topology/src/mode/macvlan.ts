import { type MacvlanNode, type MacvlanSettings, macvlan } from '@l2l3/modes'
import type { MacvlanMode } from '@l2l3/switch-core'
import type { MacvlanConf } from '../cni/plugins.ts'
import type { Expanding, Mode, RawNode, Report } from '../mode.ts'
import type { NodeSpec } from '../topology.ts'
import { type CniNode, cniKey, type Expanded, expandCni, runtimeKey } from './cni-key.ts'
import { defaultRouted, hostRoutes, hostRoutesKey } from './cni-routes.ts'
import { mtu } from './routed.ts'
import {
  checkShared,
  isParent,
  parentMac,
  SharedNode,
  type SharedOptions,
  sharedGateways,
  sharedOptions,
} from './shared-node.ts'

/* mode: macvlan - see `macvlan` in @l2l3/modes. */

const VARIANTS = ['bridge', 'private', 'vepa', 'passthru'] as const

/** The longest queue here; the plugin lets the kernel have any. */
const MAX_QUEUE = 65_536

const options = {
  ...sharedOptions,
  cni: cniKey,
  variant: {
    enum: VARIANTS,
    description:
      'How pods see each other: straight (bridge, the default), not at all (private), by a switch outside that sends frames back ' +
      '(vepa); or one pod alone has the interface (passthru).',
  },
  bcqueuelen: {
    type: 'integer',
    minimum: 1,
    maximum: MAX_QUEUE,
    description: 'Broadcasts from outside that wait to be copied at most. Default 1000.',
  },
} as const

interface Options extends SharedOptions {
  variant?: MacvlanMode
  bcqueuelen?: number
}

const of = (node: NodeSpec): Options => node.options as Options

function check(node: NodeSpec, report: Report): void {
  checkShared(node, report)
  const pods = node.ports.filter((p) => p.endpoint !== null && !isParent(node, p))
  const variant = of(node).variant ?? 'bridge'
  const modes = pods.map((pod) => (pod.options.variant as MacvlanMode | undefined) ?? variant)
  const second = pods[1]
  if (modes.includes('passthru') && second !== undefined) {
    report(second.path, 'passthru takes one pod, and there are others', 'key')
  }
  const own = quiet(() => parentMac(node))
  const stack = node.ports.find((port) => isParent(node, port))
  if (stack?.endpoint && own !== undefined && stack.endpoint.mac !== own) {
    const what = `${stack.name} is the node's own stack, and has the MAC of the interface, ${own}`
    report([...stack.path, 'mac'], `${what}: the key "parentMac" gives it another`)
  }
  for (const { endpoint, path } of pods) {
    if (endpoint?.mac === own && variant !== 'passthru') {
      report([...path, 'mac'], `${endpoint?.mac} is the interface's own: needs variant passthru`)
    }
  }
}

function quiet(read: () => string): string | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}

class MacvlanModeNode extends SharedNode {
  #node: MacvlanNode | null = null

  protected become(): void {
    const settings: MacvlanSettings = {
      parent: this.parent,
      pods: this.pods.flatMap(({ spec: { name, label, endpoint, options: own }, port }) => {
        const { variant: mode } = own as { variant?: MacvlanMode }
        return endpoint === null
          ? []
          : [{ name, label, port, mac: endpoint.mac, ...(mode === undefined ? {} : { mode }) }]
      }),
    }
    if (this.#node !== null) this.#node.change(settings)
    else {
      const { variant: mode = 'bridge', bcqueuelen } = of(this.spec)
      this.#node = macvlan(this.ground, {
        ...{ ...settings, mode, parentMac: parentMac(this.spec), uplink: this.uplink },
        ...(bcqueuelen === undefined ? {} : { broadcastQueue: bcqueuelen }),
      })
    }
  }
}

/** Keys that a configuration decides. */
const DECIDED = ['variant', 'bcqueuelen', 'gateway']

/** What the plugin's configuration says, in the mode's keys. The interface, `master`, is the node's uplink. */
function fromCni({ plugin, networks, routes }: CniNode<MacvlanConf>): Expanded {
  const gateway = defaultRouted(networks, routes)
  return {
    node: {
      variant: plugin.mode,
      ...(plugin.bcqueuelen === 0 ? {} : { bcqueuelen: Math.min(plugin.bcqueuelen, MAX_QUEUE) }),
      ...(gateway.length === 0 ? {} : { gateway }),
    },
    pod: (pod) => {
      const { mac, mtu: longest } = pod.plugin as MacvlanConf
      return {
        ...(pod.ips.length === 0 ? {} : { ip: pod.ips.map((ip) => ip.address) }),
        ...(mac === null ? {} : { mac }),
        ...(longest === 0 ? {} : { mtu: longest }),
        ...hostRoutes(pod.ips, routes),
      }
    },
  }
}

function expand(raw: RawNode, at: Expanding): RawNode {
  const read = expandCni(raw, at, 'macvlan', DECIDED, fromCni)
  const { parent } = read as SharedOptions
  const mac = quiet(() => parentMac({ name: at.name, options: read }))
  const own = parent === undefined ? undefined : read.endpoints?.[parent]
  if (parent === undefined || own === undefined || mac === undefined) return read
  return { ...read, endpoints: { ...read.endpoints, [parent]: { mac, ...own } } }
}

/** Pods with MACs of their own on one interface. */
export const macvlanMode: Mode = {
  name: 'macvlan',
  options,
  portOptions: {
    mtu: { ...mtu, description: 'At an endpoint: the MTU of its interface. Default 1500.' },
    variant: { enum: VARIANTS, description: 'At an endpoint: how it sees others. Default: the node’s.' },
  },
  endpointKeys: { runtimeConfig: runtimeKey, routes: hostRoutesKey },
  expand,
  check,
  gateways: (node, { endpoint }) =>
    sharedGateways(node).filter(({ family }) => endpoint?.addresses.some((a) => a.family === family)),
  build: (node, ground) => new MacvlanModeNode(node, ground),
}
