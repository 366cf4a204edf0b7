import type { NatGateOptions } from '../nat-gate.ts'

/** Those settings that are the NAT's, of a node's.
 * @param cluster networks whose sources count as inside the cluster (kube-proxy's `--cluster-cidr`) where `balancer` says none */
export function gateOf(options: NatGateOptions, cluster: readonly string[] = []): NatGateOptions {
  const { ownAddresses, conntrack, fragments, mss, invalid, balancer } = options
  const given = Object.entries({ ownAddresses, conntrack, fragments, mss, invalid }).filter(
    ([, value]) => value !== undefined,
  )
  return {
    ...Object.fromEntries(given),
    balancer: { ...(cluster.length > 0 ? { clusterPrefixes: cluster } : {}), ...balancer },
  }
}
