import { nat } from '@l2l3/modes'
import { FramePool, Loop, MemoryPort, RealClock } from '@l2l3/switch-core'

const pool = new FramePool()
const loop = new Loop(pool, new RealClock())
const [pod, wire] = ['pod', 'wire'].map((name) => new MemoryPort(pool, name)) as [MemoryPort, MemoryPort]
const node = nat(
  { pool, clock: loop.clock, loop },
  {
    gateway: { mac: '02:00:00:00:00:fe', addresses: ['10.22.0.1/24'] },
    inside: [{ name: 'pod', port: pod }],
    uplinks: [{ name: 'eth0', port: wire, mac: '02:00:00:00:02:01', addresses: ['203.0.113.1/24'] }],
    portMappings: [{ protocol: 'tcp', port: 8080, to: '10.22.0.11', toPort: 80 }],
    conntrack: { profile: 'linux', maxFlows: 65_536 },
  },
)
node.uplinks[0]?.neighbours.add('203.0.113.2', '02:00:00:00:02:02') // else it asks by ARP

// UDP 10.22.0.11:5010 > 203.0.113.2:9999 "x", as a pod sends it to its gateway.
const ethernet = '0200000000fe0200000000010800'
const packet = '4500001d54b6400040119ff60a16000bcb0071021392270f0009071778'
pod.inject(Buffer.from(ethernet + packet, 'hex'))
loop.settle()

console.log(wire.take()?.toString('hex')) // ... cb007101 cb007102 1392 ...: from 203.0.113.1:5010
for (const { original, reply, expiresIn } of node.nat.flows()) {
  console.log(`${original.src}:${original.srcPort} > ${original.dst}:${original.dstPort}`, expiresIn)
  console.log(`answers: ${reply.src}:${reply.srcPort} > ${reply.dst}:${reply.dstPort}`)
}
console.log(node.portMappings.list()) // [ 'tcp *:8080 -> 10.22.0.11:80' ]
