import {
  checkWinNat,
  type HostNode,
  WINNAT_PREFIX,
  type WinNatNode,
  type WinNatOptions,
  type WinNatSettings,
  winnat,
} from '@l2l3/modes'
import {
  type Address,
  derivedMac,
  ipText,
  onLink,
  parseHostAddress,
  parseIp,
  parseMac,
  parseNetwork,
} from '../address.ts'
import { attempt } from '../attempt.ts'
import { didYouMean } from '../did-you-mean.ts'
import type { Mode, Report, Schema } from '../mode.ts'
import type { NodeSpec, PortSpec } from '../topology.ts'
import { checkAcl } from './firewall.ts'
import { expandHns, hnsKeys } from './hns-key.ts'
import { winnatHns } from './hns-modes.ts'
import { HostModeNode } from './host-mode-node.ts'
import { acl } from './l2bridge-schema.ts'
import { endpointOptions as natEndpoint, options as natOptions } from './nat-schema.ts'
import { checkPolicies, policiesOf, type RawPolicies } from './policies.ts'
import {
  checkRouted,
  icmpOf,
  mtu,
  type RoutedOptions,
  routedOptions,
  routedPort,
  routesOf,
  uplinkKeys,
} from './routed.ts'

/* mode: winnat - see `winnat` in @l2l3/modes. */

const choice = (values: readonly string[], description: string): Schema => ({ enum: values, description })
const behaviours = ['endpoint-independent', 'address-dependent', 'address-and-port-dependent'] as const

const options: Readonly<Record<string, Schema>> = {
  ...routedOptions,
  prefix: {
    type: 'string',
    description: `The prefix that is translated, one on each host, of which all networks are parts. Default ${WINNAT_PREFIX}.`,
  },
  networks: {
    type: 'object',
    minProperties: 1,
    description:
      'Networks behind the NAT, by name; nothing goes from one to another. Default: one, `nat`, which is the whole prefix.',
    propertyNames: { pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$' },
    additionalProperties: {
      type: 'object',
      required: ['gateway'],
      additionalProperties: false,
      properties: {
        gateway: {
          type: 'string',
          description: "The host's address there, and the length of the network's prefix: 172.16.0.1/20.",
        },
        mac: { type: 'string', description: "MAC of the host's vNIC there. Default: made from the names, 02:...." },
        mtu: { type: 'integer', minimum: 68, maximum: 65_535, description: 'MTU of it. Default 1500.' },
      },
    },
  },
  portMappings: {
    ...(natOptions.portMappings as Schema),
    description: 'Ports of the host that lead to containers: all that other nodes reach of them.',
  },
  portMappingRules: {
    enum: ['docker-windows', 'linux'],
    description:
      "Which port mappings there may be: what Docker on Windows takes, one port of TCP or UDP at all of the host's addresses " +
      '(docker-windows, the default), or any, as of New-NetNatStaticMapping (linux).',
  },
  nat: {
    type: 'object',
    additionalProperties: false,
    description: 'What is not public of WinNAT, and what it is here.',
    properties: {
      mapping: choice(behaviours, 'RFC 4787, 4.1. Default endpoint-independent.'),
      filtering: choice(
        behaviours,
        'RFC 4787, 5. Default address-dependent: what Get-NetNat says of TCP and UDP (AddressDependentFiltering).',
      ),
      ports: choice(['preserve', 'random'], 'Whether a port is kept where it is free. Default preserve.'),
      portClass: choice(
        ['linux', 'any'],
        'From which ports another is chosen: of the same class, below 512, below 1024 and above (linux, the default), or any.',
      ),
      pooling: choice(['paired', 'arbitrary'], 'RFC 4787, REQ-2. Default paired.'),
    },
  },
  conntrack: {
    ...(natOptions.conntrack as Schema),
    description: 'The table of flows; its timeouts are WinNAT’s, in seconds: ICMP 30, TCP 1800 and 120, UDP 120.',
  },
  mss: natOptions.mss as Schema,
  invalid: natOptions.invalid as Schema,
}

interface RawNetwork {
  gateway: string
  mac?: string
  mtu?: number
}

interface Options extends RoutedOptions, RawPolicies, Pick<WinNatOptions, 'prefix' | 'nat'> {
  networks?: Record<string, RawNetwork>
}

const of = (node: NodeSpec): Options => node.options as Options

/** The networks of a node; those with a gateway that is none are left out. */
function networksOf(node: NodeSpec, report: Report = () => {}): { name: string; raw: RawNetwork; gateway: Address }[] {
  const { networks, prefix = WINNAT_PREFIX } = of(node)
  if (networks === undefined) {
    const whole = attempt(report, ['prefix'], () => parseNetwork(prefix))
    if (whole === undefined) return []
    const gateway = `${ipText(whole.bytes.map((b, i) => (i === whole.bytes.length - 1 ? b + 1 : b)))}/${whole.prefix}`
    return [{ name: 'nat', raw: { gateway }, gateway: parseHostAddress(gateway) }]
  }
  return Object.entries(networks).flatMap(([name, raw]) => {
    const gateway = attempt(report, ['networks', name, 'gateway'], () => parseHostAddress(raw.gateway))
    return gateway === undefined ? [] : [{ name, raw, gateway }]
  })
}

/** The network of a container: the one it says, else the first. */
function networkOf(node: NodeSpec, { options: own }: PortSpec): string {
  return (own.network as string | undefined) ?? networksOf(node)[0]?.name ?? ''
}

function check(node: NodeSpec, report: Report): void {
  const networks = networksOf(node, report)
  const { prefix = WINNAT_PREFIX } = of(node)
  const whole = attempt(report, ['prefix'], () => parseNetwork(prefix))
  if (whole === undefined) return
  networks.forEach(({ name, raw, gateway }, i) => {
    const path = of(node).networks === undefined ? ['prefix'] : ['networks', name, 'gateway']
    attempt(report, path, () => {
      // Each for itself, and with those before it.
      const all = networks
        .slice(0, i + 1)
        .map((n) => ({ name: n.name, gateway: `${n.gateway.text}/${n.gateway.prefix}` }))
      try {
        checkWinNat(prefix, all)
      } catch (error) {
        const { message } = error as Error
        if (!message.startsWith(`networks[${i}]`) && i > 0) return
        throw new RangeError(message.replace(/^networks\[\d+\]\.gateway: /, ''), { cause: error })
      }
    })
    if (raw.mac !== undefined) attempt(report, ['networks', name, 'mac'], () => parseMac(raw.mac as string))
    const port = node.ports.find((p) => p.name === name)
    if (port !== undefined) report(port.path, `"${name}" is the name of a network; choose another`, 'key')
    for (const p of node.ports.filter((one) => one.endpoint === null)) {
      const own = p.interface.addresses.find((a) => onLink(gateway, a.bytes) || onLink(a, gateway.bytes))
      if (own !== undefined) {
        report([...p.path, 'ip'], `${own.text} is in the network ${name}, ${gateway.text}/${gateway.prefix}`)
      }
    }
  })
  for (const port of node.ports) checkContainer(node, port, networks, report)
  checkRouted(node, report)
  checkPolicies(
    { ...node, options: { portMappingRules: 'docker-windows', ...node.options } },
    networks.map((n) => n.gateway),
    report,
  )
}

function checkContainer(
  node: NodeSpec,
  port: PortSpec,
  networks: readonly { name: string; gateway: Address }[],
  report: Report,
): void {
  const { endpoint, path } = port
  if (endpoint === null) {
    for (const key of ['network', 'isolated', 'acl']) {
      if (port.options[key] !== undefined) report([...path, key], 'is a key of ports with a container', 'key')
    }
    return
  }
  checkAcl(port.options.acl, [...path, 'acl'], report)
  const names = networks.map((n) => n.name)
  const name = networkOf(node, port)
  const network = networks.find((n) => n.name === name)
  if (network === undefined) {
    if (port.options.network === undefined) return
    const hint = didYouMean(name, names) || `; it has ${names.join(', ')}`
    report([...path, 'network'], `node ${node.name} has no network "${name}"${hint}`)
    return
  }
  const { text: own, prefix, bytes } = network.gateway
  for (const a of endpoint.addresses) {
    if (a.family === 6) report([...path, 'ip'], `${a.text}/${a.prefix}: WinNAT has no IPv6`)
    else if (a.text === own) report([...path, 'ip'], `${a.text} is the address of the gateway`)
    else if (!onLink(network.gateway, a.bytes) || a.prefix !== prefix) {
      const net = `${ipText(bytes)}/${prefix}`
      report([...path, 'ip'], `${a.text}/${a.prefix} is not of network ${name}, whose gateway is ${net}`)
    }
  }
}

class WinNatModeNode extends HostModeNode {
  #node: WinNatNode | null = null

  protected get host(): HostNode | null {
    return this.#node?.host ?? null
  }

  protected become(): void {
    const { spec, plugged } = this
    const settings: WinNatSettings = {
      networks: networksOf(spec).map(({ name, raw, gateway }) => ({
        ...{ name, gateway: `${gateway.text}/${gateway.prefix}` },
        mac: parseMac(raw.mac ?? derivedMac('inside', spec.name, name, 'interface')),
        ...(raw.mtu === undefined ? {} : { mtu: raw.mtu }),
        ports: plugged.flatMap(({ spec: port, port: wire }) => {
          const { network: _, ...own } = port.options
          if (port.endpoint === null || networkOf(spec, port) !== name) return []
          return [{ ...own, name: port.name, label: port.label, port: wire }]
        }),
      })),
      uplinks: plugged.filter((p) => p.spec.endpoint === null).map((p) => routedPort(p, spec)),
      routes: routesOf(spec, plugged),
      portMappings: policiesOf(spec).portMappings,
    }
    if (this.#node !== null) this.#node.change(settings)
    else this.#node = winnat(this.ground, { ...this.#fixed(), ...settings })
  }

  /** What stays as long as the node runs. */
  #fixed(): Omit<WinNatOptions, keyof WinNatSettings> {
    const { prefix, nat, portMappingRules, conntrack, mss, invalid } = of(this.spec)
    return {
      ...icmpOf(this.spec),
      ...(prefix === undefined ? {} : { prefix }),
      ...(nat === undefined ? {} : { nat }),
      ...(portMappingRules === undefined ? {} : { portMappingRules }),
      ...(conntrack === undefined ? {} : { conntrack }),
      ...(mss === undefined ? {} : { mss }),
      ...(invalid === undefined ? {} : { invalid }),
    }
  }
}

/** Containers behind the host's address, as Windows' NAT has them. */
export const winnatMode: Mode = {
  name: 'winnat',
  options: { ...options, hns: hnsKeys.hns },
  expand: (raw, at) => expandHns(raw, at, winnatHns),
  portOptions: {
    mtu: { ...mtu, description: 'MTU of the interface, the container’s at an endpoint. Default 1500.' },
    network: { type: 'string', description: 'At an endpoint: the network that it is in. Default: the first.' },
    ...natEndpoint,
    acl: { ...acl, description: 'At an endpoint: the rules of its firewall, host rules alone. Default: none.' },
  },
  uplinkKeys,
  check,
  changes: ['routes', 'portMappings', 'networks'],
  gateways: (node, port) => {
    const name = networkOf(node, port)
    return networksOf(node).flatMap((n) => (n.name === name ? [parseIp(n.gateway.text)] : []))
  },
  build: (node, ground) => new WinNatModeNode(node, ground),
}
