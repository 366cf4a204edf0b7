import {
  AZURE_GATEWAY6,
  AZURE_HOST_MAC,
  type AzureSettings,
  azure,
  type OutboundOptions,
  POD_GATEWAY,
} from '@l2l3/modes'
import { AZURE_FABRIC_MAC } from '@l2l3/switch-core'
import { type Address, parseIp } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Mode, Report, Schema } from '../mode.ts'
import type { NodeSpec, PortSpec } from '../topology.ts'
import { oneOrTwo } from './cluster-keys.ts'
import { l2bridgeMode } from './l2bridge.ts'
import {
  type Build,
  checkAlone,
  gateOptions,
  KUBE_CHANGES,
  kubeOptions,
  LinuxModeNode,
  podsOf,
  type SettingsOf,
  tryToBuild,
  uplinksOf,
} from './linux-node.ts'
import { options as natOptions } from './nat-schema.ts'
import { checkPolicies, policiesOf } from './policies.ts'
import { checkRouted, icmpOf, mtu, routedOptions, routesOf, uplinkKeys } from './routed.ts'

/* mode: azure - see `azure` in @l2l3/modes; and mode l2bridge with the rules of Azure CNI on Linux, under one name. */

const ofTransparent: Readonly<Record<string, Schema>> = {
  ...routedOptions,
  ...kubeOptions,
  outbound: {
    ...natOptions.outbound,
    description: 'Whose source the node translates. Default: none, the fabric does.',
  },
}

const ofBridge: Readonly<Record<string, Schema>> = {
  hostMac: l2bridgeMode.options.hostMac as Schema,
  hostIps: l2bridgeMode.options.hostIps as Schema,
  gateway: oneOrTwo(
    "The fabric's address in the hosts' network: their default gateway, of each IP version. Default: none.",
  ),
}

const options = {
  variant: {
    enum: ['transparent', 'bridge', 'tunnel'],
    description:
      "The plugin's mode: pods on links of their own (transparent, the default), on a bridge behind the node's MAC, or likewise " +
      'with all that they send to the fabric (tunnel).',
  },
  ...ofTransparent,
  ...ofBridge,
} as const

type Variant = 'transparent' | 'bridge' | 'tunnel'

const variantOf = (node: NodeSpec): Variant => (node.options as { variant?: Variant }).variant ?? 'transparent'

/** The node as mode l2bridge knows it. */
function asL2Bridge(node: NodeSpec): NodeSpec {
  const { variant, gateway, ...rest } = node.options
  const tunnel = variant === 'tunnel' ? { tunnelMac: AZURE_FABRIC_MAC } : {}
  return { ...node, options: { ...rest, preset: 'azure-linux', ...tunnel } }
}

const settings: SettingsOf<AzureSettings> = (spec, plugged) => ({
  pods: podsOf(plugged),
  uplinks: uplinksOf(spec, plugged),
  routes: routesOf(spec, plugged),
  outbound: (spec.options as { outbound?: OutboundOptions[] }).outbound ?? [],
  ...policiesOf(spec),
})

const build: Build<AzureSettings> = (ground, now, node) =>
  azure(ground, { ...icmpOf(node), ...gateOptions(node), ...now })

/** By which addresses a host reaches other networks: nowhere's, or the fabric's. */
function gateways(node: NodeSpec, { endpoint }: PortSpec): Address[] {
  const { gateway = [] } = node.options as { gateway?: string | string[] }
  return (variantOf(node) === 'transparent' ? [POD_GATEWAY, AZURE_GATEWAY6] : [gateway].flat())
    .map(parseIp)
    .filter(({ family }) => endpoint?.addresses.some((a) => a.family === family))
}

function check(node: NodeSpec, report: Report): void {
  const variant = variantOf(node)
  const transparent = variant === 'transparent'
  for (const key of Object.keys(transparent ? ofBridge : ofTransparent)) {
    if (key in node.options) report([key], `has no meaning in variant ${variant}`, 'key')
  }
  if (!transparent) {
    for (const { endpoint, interface: own, path } of node.ports) {
      if (endpoint === null && own.addresses.length > 0)
        report([...path, 'ip'], `has no meaning in variant ${variant}: the node is an endpoint with hostMac`)
    }
    const { gateway = [] } = node.options as { gateway?: string | string[] }
    for (const text of [gateway].flat()) attempt(report, ['gateway'], () => parseIp(text))
    l2bridgeMode.check(asL2Bridge(node), report)
    return
  }
  let fine = true
  const note: Report = (path, message, at) => {
    fine = false
    report(path, message, at)
  }
  checkAlone(node, note)
  checkRouted(node, note)
  checkPolicies(node, [], note)
  if (fine) tryToBuild(node, settings, build, report)
}

/** Pods as Azure CNI has them on Linux. */
export const azureMode: Mode = {
  name: 'azure',
  options,
  portOptions: { mtu },
  uplinkKeys,
  check,
  gateways,
  neighbours: (node, port) =>
    variantOf(node) === 'transparent' ? gateways(node, port).map((address) => ({ address, mac: AZURE_HOST_MAC })) : [],
  changes: ['routes', 'outbound', 'hostIps', ...KUBE_CHANGES],
  build: (node, ground) =>
    variantOf(node) === 'transparent'
      ? new LinuxModeNode<AzureSettings>(node, ground, settings, build)
      : l2bridgeMode.build(asL2Bridge(node), ground),
}
