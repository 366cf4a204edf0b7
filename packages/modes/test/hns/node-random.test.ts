// Any sequence of calls: pods that nobody touches ping each other after each of them, refusals change nothing, and the ledger balances.
import type { MemoryPort } from '@l2l3/switch-core'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { echo, line } from '../../../tap-io/test/nat-packets.ts'
import { HnsError, HnsNode } from '../../src/hns/index.ts'
import { lab } from '../lab.ts'

const [WEB, DB] = ['10.244.3.5', '10.244.3.6'] as const
const macOf = (n: number): string => `00-15-5D-00-01-${n.toString(16).padStart(2, '0')}`
const bare = (mac: string): string => mac.replaceAll('-', '').toLowerCase()
const numberOf = (ip: string): number => Number(ip.split('.')[3])

/** Policies, some of which no L2Bridge takes. */
const POLICIES = [
  { Type: 'OutBoundNAT', ExceptionList: ['10.0.0.0/8'] },
  { Type: 'OutBoundNAT', Destinations: ['10.244.3.7'] },
  { Type: 'ROUTE', DestinationPrefix: '10.96.0.0/12', NeedEncap: true },
  { Type: 'ROUTE', DestinationPrefix: '10.96.0.0/12' },
  { Type: 'ACL', Action: 'Block', Direction: 'In', Priority: 100 },
  { Type: 'NAT', Protocol: 'TCP', InternalPort: 80, ExternalPort: 8080 },
  { Type: 'VLAN', VLAN: 9 },
  { Type: 'QOS', MaximumOutgoingBandwidthInBytes: 9 },
]

type Call = readonly [
  what: 'create' | 'attach' | 'detach' | 'delete' | 'add' | 'remove' | 'balance' | 'unbalance',
  n: number,
  p: number,
]
const call: fc.Arbitrary<Call> = fc.tuple(
  fc.constantFrom('create', 'attach', 'detach', 'delete', 'add', 'remove', 'balance', 'unbalance'),
  fc.integer({ min: 7, max: 10 }),
  fc.nat(POLICIES.length - 1),
)

it('goes on for others whatever is called for', () => {
  fc.assert(
    fc.property(fc.array(call, { maxLength: 25 }), (calls) => {
      const l = lab()
      const node = new HnsNode(l.ground, {
        ...{ mac: '00:15:5d:00:00:aa', addresses: ['10.240.0.4/16'], uplink: { port: l.port('up') } },
      })
      const { hns } = node
      const network = hns.createNetwork({
        Type: 'L2Bridge',
        Subnets: [{ AddressPrefix: '10.244.3.0/24', GatewayAddress: '10.244.3.1' }],
      })
      const make = (n: number): string => {
        return hns.createEndpoint(network.id, { Name: `p${n}`, IPAddress: `10.244.3.${n}`, MacAddress: macOf(n) }).id
      }
      const ports = new Map<number, MemoryPort>()
      const portOf = (n: number): MemoryPort => {
        const port = l.port(`p${n}`)
        ports.set(n, port)
        return port
      }
      node.attach(make(5), portOf(5))
      node.attach(make(6), portOf(6))
      const idOf = (n: number): string => hns.getEndpointByName(`p${n}`)?.id ?? 'none'
      const ping = (from: string, to: string): void => {
        const way = { from: bare(macOf(numberOf(from))), to: bare(macOf(numberOf(to))) }
        const out = l.send(`p${numberOf(from)}`, echo(from, to, 7, way))
        expect(out[`p${numberOf(to)}`]?.map(line)).toEqual([`icmp ${from} > ${to} 8/0 id 7`])
      }
      for (const [what, n, p] of calls) {
        const before = JSON.stringify([hns.listEndpoints(), hns.listLoadBalancers()])
        try {
          if (what === 'create') make(n)
          else if (what === 'attach') node.attach(idOf(n), portOf(n))
          else if (what === 'detach') node.detach(idOf(n))
          else if (what === 'delete') hns.deleteEndpoint(idOf(n))
          else if (what === 'add') hns.addPolicy(idOf(n), [POLICIES[p]])
          else if (what === 'remove') hns.removePolicy(idOf(n), [POLICIES[p]])
          else if (what === 'balance') {
            hns.createLoadBalancer({
              ...{ HostComputeEndpoints: [idOf(n)], FrontendVIPs: [`10.96.0.${p}`], Flags: n % 2 },
              ...{
                PortMappings: [{ Protocol: 6, InternalPort: 80, ExternalPort: 80 }],
                SchemaVersion: { Major: 2, Minor: 0 },
              },
            })
          } else hns.deleteLoadBalancer(hns.listLoadBalancers()[0]?.id ?? 'none')
        } catch (error) {
          expect(error).toBeInstanceOf(HnsError)
          expect(JSON.stringify([hns.listEndpoints(), hns.listLoadBalancers()])).toBe(before)
        }
        ping(WEB, DB)
        ping(DB, WEB)
      }
    }),
    { numRuns: 40 },
  )
})
