import { type AwsVpcOptions, type AwsVpcSettings, awsVpc, POD_GATEWAY } from '@l2l3/modes'
import { type Address, derivedMac, parseIp, parseNetwork } from '../address.ts'
import { attempt } from '../attempt.ts'
import type { Mode, Report } from '../mode.ts'
import type { NodeSpec, PortSpec } from '../topology.ts'
import {
  type Build,
  checkAlone,
  checkUnused,
  gateOptions,
  KUBE_CHANGES,
  kubeOptions,
  LinuxModeNode,
  podsOf,
  type SettingsOf,
  tryToBuild,
  uplinksOf,
} from './linux-node.ts'
import { checkPolicies, policiesOf } from './policies.ts'
import {
  checkRouted,
  icmpOf,
  mtu,
  type RoutedOptions,
  routedOptions,
  routesOf,
  rpFilter,
  uplinkKeys,
} from './routed.ts'

/* mode: aws-vpc - see `awsVpc` in @l2l3/modes. */

const texts = { type: 'array', items: { type: 'string' } } as const

const options = {
  ...routedOptions,
  rpFilter: {
    ...rpFilter('off'),
    description: 'Which sources may come in by ENIs; the plugin sets loose. Default off.',
  },
  ...kubeOptions,
  vpc: { ...texts, description: 'CIDRs of the VPC. Needed.' },
  excludeSnat: {
    ...texts,
    description:
      'Further networks to which pods keep their addresses (AWS_VPC_K8S_CNI_EXCLUDE_SNAT_CIDRS). Default: none.',
  },
  externalSnat: {
    type: 'boolean',
    description: 'Whether nothing is translated (AWS_VPC_K8S_CNI_EXTERNALSNAT). Default false.',
  },
  randomizeSnat: {
    enum: ['prng', 'hashrandom', 'none'],
    description:
      'How ports are chosen (AWS_VPC_K8S_CNI_RANDOMIZESNAT): at random, or as they are (none). Default prng.',
  },
  branchEnis: { ...texts, description: 'Ports that are branch ENIs, by which nothing is translated. Default: none.' },
} as const

interface Options
  extends RoutedOptions,
    Partial<Pick<AwsVpcOptions, 'vpc' | 'excludeSnat' | 'externalSnat' | 'randomizeSnat' | 'branchEnis'>> {}

/** The IPv6 gateway of every pod. */
const GATEWAY6 = 'fe80::1'

const of = (node: NodeSpec): Options => node.options as Options

/** The node's end of a pod's link. */
const hostMac = (node: NodeSpec, name: string): string => derivedMac('veth', node.name, name, 'interface')

/** The primary ENI first: the port named "uplink", else the first. */
function enis(node: NodeSpec): readonly PortSpec[] {
  const all = node.ports.filter((p) => p.endpoint === null)
  return [...all.filter((p) => p.name === 'uplink'), ...all.filter((p) => p.name !== 'uplink')]
}

const settings: SettingsOf<AwsVpcSettings> = (spec, plugged) => {
  const uplinks = uplinksOf(spec, plugged)
  return {
    pods: podsOf(plugged).map((pod) => ({ ...pod, hostMac: hostMac(spec, pod.name) })),
    uplinks: enis(spec).flatMap(({ name }) => uplinks.find((link) => link.name === name) ?? []),
    routes: routesOf(spec, plugged),
    ...policiesOf(spec),
  }
}

const build: Build<AwsVpcSettings> = (ground, now, node) => {
  const { vpc = [], excludeSnat, externalSnat, randomizeSnat, branchEnis } = of(node)
  const known = Object.entries({ excludeSnat, externalSnat, randomizeSnat, branchEnis })
  const given = Object.fromEntries(known.filter(([, value]) => value !== undefined))
  return awsVpc(ground, { ...icmpOf(node), ...gateOptions(node), ...given, ...now, vpc })
}

function gateways({ endpoint }: PortSpec): Address[] {
  return [POD_GATEWAY, GATEWAY6]
    .map(parseIp)
    .filter(({ family }) => endpoint?.addresses.some((a) => a.family === family))
}

function check(node: NodeSpec, report: Report): void {
  let fine = true
  const note: Report = (path, message, at) => {
    fine = false
    report(path, message, at)
  }
  const { vpc, excludeSnat = [], branchEnis = [] } = of(node)
  if (vpc === undefined) note([], 'the key "vpc" is missing: CIDRs of the VPC')
  for (const [key, list] of Object.entries({ vpc: vpc ?? [], excludeSnat })) {
    list.forEach((text, i) => void attempt(note, [key, i], () => parseNetwork(text)))
  }
  branchEnis.forEach((name, i) => {
    if (!enis(node).some((p) => p.name === name)) note(['branchEnis', i], `node ${node.name} has no port "${name}"`)
  })
  if (of(node).externalSnat) {
    checkUnused(node, ['excludeSnat', 'randomizeSnat', 'branchEnis'], 'means nothing where externalSnat is true', note)
  }
  checkAlone(node, note)
  checkRouted(node, note)
  checkPolicies(node, [], note)
  if (fine) tryToBuild(node, settings, build, report)
}

/** Pods as the plugin of AWS has them. */
export const awsVpcMode: Mode = {
  name: 'aws-vpc',
  options,
  portOptions: { mtu },
  uplinkKeys,
  check,
  gateways: (_node, port) => gateways(port),
  neighbours: (node, port) => gateways(port).map((address) => ({ address, mac: hostMac(node, port.name) })),
  changes: ['routes', ...KUBE_CHANGES],
  build: (node, ground) => new LinuxModeNode<AwsVpcSettings>(node, ground, settings, build),
}
