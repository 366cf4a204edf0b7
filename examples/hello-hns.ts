import { HnsNode } from '@l2l3/modes/hns'
import { FramePool, Loop, MemoryPort, RealClock } from '@l2l3/switch-core'

const pool = new FramePool()
const loop = new Loop(pool, new RealClock())
const [web, db, uplink] = ['web', 'db', 'uplink'].map((name) => new MemoryPort(pool, name)) as MemoryPort[]
const node = new HnsNode(
  { pool, clock: loop.clock, loop },
  { mac: '00:15:5d:00:00:aa', addresses: ['10.240.0.4/16'], uplink: { port: uplink as MemoryPort } },
)
const { hns } = node

// What a CNI plugin says to HNS, as it says it: a network, endpoints in the first schema or the second, policies, load balancers.
const network = hns.createNetwork({
  Name: 'cbr0',
  Type: 'L2Bridge',
  Subnets: [{ AddressPrefix: '10.244.3.0/24', GatewayAddress: '10.244.3.1' }],
})
const first = hns.createEndpoint(network.id, { Name: 'web', IPAddress: '10.244.3.5', MacAddress: '00-15-5D-00-03-05' })
const second = hns.createEndpoint(network.id, {
  SchemaVersion: { Major: 2, Minor: 0 },
  Name: 'db',
  IpConfigurations: [{ IpAddress: '10.244.3.6', PrefixLength: 24 }],
  MacAddress: '00-15-5D-00-03-06',
})
node.attach(first.id, web as MemoryPort) // from here on frames pass
node.attach(second.id, db as MemoryPort)
hns.createLoadBalancer({
  SchemaVersion: { Major: 2, Minor: 0 },
  HostComputeEndpoints: [second.id],
  FrontendVIPs: ['10.96.0.20'],
  PortMappings: [{ Protocol: 17, InternalPort: 5353, ExternalPort: 53 }],
  Flags: 1, // DSR
})

// UDP 10.244.3.5:4660 > 10.96.0.20:53 "x", as web sends it to its gateway.
const ethernet = '00155d00030200155d0003050800'
const packet = '4500001d00014000401122630af403050a6000141234003500095d0678'
web?.inject(Buffer.from(ethernet + packet, 'hex'))
loop.settle()
console.log(db?.take()?.toString('hex')) // 00155d000306 ... 0af40306 1234 14e9: to 10.244.3.6:5353

// Each call is tried on the node before it stands.
try {
  hns.addPolicy(first.id, [{ Type: 'VLAN', VLAN: 7 }])
} catch (error) {
  console.log((error as Error).message)
}
node.detach(second.id)
