import {
  checkTransparent,
  type HostNode,
  type TransparentNode,
  type TransparentOptions,
  type TransparentPod,
  type TransparentSettings,
  transparent,
} from '@l2l3/modes'
import { type Address, derivedMac, onLink, parseHostAddress, parseIp, parseMac } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Mode, Report, Schema } from '../mode.ts'
import type { NodeSpec, PortSpec } from '../topology.ts'
import { checkAcl } from './firewall.ts'
import { expandHns, hnsKeys } from './hns-key.ts'
import { transparentHns } from './hns-modes.ts'
import { HostModeNode } from './host-mode-node.ts'
import { acl } from './l2bridge-schema.ts'
import {
  checkRouted,
  icmpOf,
  mtu,
  type Plugged,
  type RoutedOptions,
  routedOptions,
  routesOf,
  uplinkKeys,
} from './routed.ts'

/* mode: transparent - see `transparent` in @l2l3/modes. */

const vlan = (description: string): Schema => ({ type: 'integer', minimum: 1, maximum: 4094, description })

const options: Readonly<Record<string, Schema>> = {
  ...routedOptions,
  interfaces: {
    type: 'object',
    description: 'vNICs of the container host on the switch, by name: between their subnets it routes. Default: none.',
    propertyNames: { pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$' },
    additionalProperties: {
      type: 'object',
      required: ['ip'],
      additionalProperties: false,
      properties: {
        ip: { ...uplinkKeys.ip, description: "The host's addresses there with their prefixes: one, or a list." },
        mac: { type: 'string', description: 'Its MAC address. Default: made from the names, 02:....' },
        vlan: vlan('Its VLAN. Default: none, untagged.'),
        mtu: { type: 'integer', minimum: 68, maximum: 65_535, description: 'Its MTU. Default 1500.' },
      },
    },
  },
  macSpoofing: {
    type: 'boolean',
    description:
      'Whether containers may send with other MACs than their own (Set-VMNetworkAdapter -MacAddressSpoofing). Default false.',
  },
  firewall: {
    type: 'boolean',
    description:
      "Whether the host's firewall is at each container, with HNS' default port ACLs: TCP, UDP, ICMP and IGMP, and answers. " +
      'Default true.',
  },
  untaggedVlan: vlan('The number that untagged frames have inside, which is no port’s VLAN. Default 4094.'),
  ageing: {
    type: 'number',
    minimum: 0,
    maximum: 1_000_000,
    description: 'Seconds until an address that is not heard is forgotten. Default 300.',
  },
  maxEntries: {
    type: 'integer',
    minimum: 1,
    maximum: 1_048_576,
    description: 'Addresses the switch holds at most. Default 8192.',
  },
}

interface RawInterface {
  ip: string | string[]
  mac?: string
  vlan?: number
  mtu?: number
}

interface Options
  extends RoutedOptions,
    Pick<TransparentOptions, 'macSpoofing' | 'untaggedVlan' | 'ageing' | 'maxEntries'> {
  interfaces?: Record<string, RawInterface>
  firewall?: boolean
}

const of = (node: NodeSpec): Options => node.options as Options

interface Vnic {
  readonly name: string
  readonly raw: RawInterface
  readonly addresses: readonly Address[]
  readonly mac: string
}

/** The host's vNICs; addresses that are none are left out. */
function vnicsOf(node: NodeSpec, report: Report = () => {}): Vnic[] {
  return Object.entries(of(node).interfaces ?? {}).map(([name, raw]) => {
    const addresses = [raw.ip].flat().flatMap((text, i) => {
      const at = ['interfaces', name, 'ip', ...(Array.isArray(raw.ip) ? [i] : [])]
      return attempt(report, at, () => parseHostAddress(text)) ?? []
    })
    const given =
      raw.mac === undefined
        ? undefined
        : attempt(report, ['interfaces', name, 'mac'], () => parseMac(raw.mac as string))
    return { name, raw, addresses, mac: given ?? derivedMac('vnic', node.name, name, 'interface') }
  })
}

/** The node with a port for each vNIC, as what routes needs to see it. */
function withVnics(node: NodeSpec, vnics: readonly Vnic[]): NodeSpec {
  const ports = vnics.map(({ name, mac, addresses }): PortSpec => {
    const path = ['interfaces', name]
    return {
      ...{ name, label: `${node.name}/${name}`, endpoint: null, device: null, options: {}, path },
      interface: { mac, addresses },
    }
  })
  return { ...node, ports: [...node.ports, ...ports] }
}

function check(node: NodeSpec, report: Report): void {
  const vnics = vnicsOf(node, report)
  for (const { endpoint, path, name, options: own } of node.ports) {
    if (endpoint !== null) {
      checkAcl(own.acl, [...path, 'acl'], report)
      continue
    }
    if (name !== 'uplink') report(path, 'a transparent node has one port without a host, the uplink', 'key')
    for (const key of ['vlan', 'acl', 'isolated']) {
      if (own[key] !== undefined) report([...path, key], 'the uplink is a trunk: this is a key of endpoints', 'key')
    }
  }
  const trial: [Parameters<typeof checkTransparent>[0], (string | number)[]][] = [
    ...node.ports.flatMap((spec): [TransparentSettings, string[]][] =>
      spec.endpoint === null ? [] : [[{ pods: [podOf(spec)] }, [...spec.path, 'vlan']]],
    ),
    ...vnics.map(({ name, raw, mac }): [TransparentSettings, string[]] => [
      { pods: [], interfaces: [{ name, mac, addresses: [], ...(raw.vlan === undefined ? {} : { vlan: raw.vlan }) }] },
      ['interfaces', name, 'vlan'],
    ]),
  ]
  for (const [settings, path] of trial) {
    attempt(report, path, () => {
      try {
        checkTransparent(settings, of(node).untaggedVlan)
      } catch (error) {
        throw new RangeError((error as Error).message.replace(/^\w+\[0\]\.\w+: /, ''), { cause: error })
      }
    })
  }
  for (const { name } of vnics) {
    const port = node.ports.find((p) => p.name === name)
    if (port !== undefined) report(port.path, `"${name}" is the name of a vNIC of the host; choose another`, 'key')
  }
  checkRouted(withVnics(node, vnics), report)
}

function podOf({ name, label, endpoint, options: own }: PortSpec, port?: Plugged['port']): TransparentPod {
  return { ...(own as { vlan?: number; mtu?: number }), name, label, mac: endpoint?.mac ?? '', port: port as never }
}

class TransparentModeNode extends HostModeNode {
  #node: TransparentNode | null = null

  protected get host(): HostNode | null {
    return this.#node?.host ?? null
  }

  protected become(): void {
    const { spec, plugged } = this
    const vnics = vnicsOf(spec)
    const { firewall = true, macSpoofing, untaggedVlan, ageing, maxEntries } = of(spec)
    const seen = withVnics(spec, vnics)
    const unplugged = seen.ports.slice(spec.ports.length).map((own): Plugged => ({ spec: own, port: null as never }))
    const settings: TransparentSettings = {
      pods: plugged.flatMap(({ spec: own, port }) =>
        own.endpoint === null ? [] : [{ ...podOf(own, port), ...(firewall ? {} : { acl: null }) }],
      ),
      interfaces: vnics.map(({ name, raw, mac, addresses }) => ({
        ...{ name, mac, addresses: addresses.map(({ text, prefix }) => `${text}/${prefix}`) },
        ...(raw.vlan === undefined ? {} : { vlan: raw.vlan }),
        ...(raw.mtu === undefined ? {} : { mtu: raw.mtu }),
      })),
      routes: routesOf(seen, [...plugged, ...unplugged]),
    }
    if (this.#node !== null) {
      this.#node.change(settings)
      return
    }
    const uplink = plugged.find((p) => p.spec.endpoint === null)
    this.#node = transparent(this.ground, {
      ...icmpOf(spec),
      ...(macSpoofing === undefined ? {} : { macSpoofing }),
      ...(untaggedVlan === undefined ? {} : { untaggedVlan }),
      ...(ageing === undefined ? {} : { ageing }),
      ...(maxEntries === undefined ? {} : { maxEntries }),
      ...settings,
      uplink:
        uplink === undefined
          ? null
          : { ...(uplink.spec.options as { mtu?: number }), port: uplink.port, label: uplink.spec.label },
    })
  }
}

/** Containers with MACs of their own on the physical network. */
export const transparentMode: Mode = {
  name: 'transparent',
  options: { ...options, hns: hnsKeys.hns },
  expand: (raw, at) => expandHns(raw, at, transparentHns),
  portOptions: {
    mtu: { ...mtu, description: 'Longest payload of a frame that leaves by the port; at an endpoint also its MTU.' },
    vlan: vlan('At an endpoint: its port is an access port of this VLAN, tagged on the uplink. Default: none.'),
    acl: {
      ...acl,
      description: "At an endpoint: the rules of its firewall, host rules alone. Default: HNS' default port ACLs.",
    },
    isolated: {
      type: 'boolean',
      description: 'At an endpoint: it exchanges no frames with other isolated ones. Default false.',
    },
  },
  check,
  changes: ['routes', 'interfaces'],
  gateways: (node, { endpoint, options: own }) => {
    const near = vnicsOf(node).filter(({ raw }) => raw.vlan === own.vlan)
    return [4, 6].flatMap((family) => {
      const address = near
        .flatMap((v) => v.addresses)
        .find((g) => g.family === family && endpoint?.addresses.some((a) => a.family === family && onLink(g, a.bytes)))
      return address === undefined ? [] : [parseIp(address.text)]
    })
  },
  build: (node, ground) => new TransparentModeNode(node, ground),
}
