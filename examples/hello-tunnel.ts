import { vtep } from '@l2l3/modes'
import { FramePool, Loop, MemoryPort, RealClock } from '@l2l3/switch-core'

const pool = new FramePool()
const loop = new Loop(pool, new RealClock())
const [host, wire] = ['host', 'wire'].map((name) => new MemoryPort(pool, name)) as [MemoryPort, MemoryPort]
const node = vtep(
  { pool, clock: loop.clock, loop },
  {
    ports: [{ name: 'host', port: host, network: 'blue' }],
    networks: [{ name: 'blue', vni: 42, local: '192.0.2.1', remotes: ['192.0.2.2'], udpChecksum: false }],
    uplinks: [{ name: 'eth0', port: wire, mac: '02:00:00:00:02:01', addresses: ['192.0.2.1/24'] }],
  },
)
node.links[0]?.neighbours.add('192.0.2.2', '02:00:00:00:02:02') // else it asks by ARP

// A frame to a MAC that nobody knows goes to all far ends: Ethernet, IPv4, UDP to port 4789, VXLAN with VNI 42, the frame.
const frame = '02000000000b02000000000a88b5cafe'
host.inject(Buffer.from(frame, 'hex'))
loop.settle()
const sent = wire.take() as Buffer
console.log(sent.toString('hex')) // 020000000202 020000000201 0800 45 ... 12b5 ... 0800000000002a00 02000000000b ...

// Back it comes from the other end: addresses and MACs change places, the header checksum stays right.
const answer = Buffer.from(sent)
sent.copy(answer, 0, 6, 12)
sent.copy(answer, 6, 0, 6)
sent.copy(answer, 26, 30, 34)
sent.copy(answer, 30, 26, 30)
Buffer.from('02000000000a02000000000b', 'hex').copy(answer, 50)
wire.inject(answer)
loop.settle()
console.log(host.take()?.toString('hex')) // 02000000000a 02000000000b 88b5 cafe
for (const network of node.vteps[0]?.networks ?? []) {
  for (const { mac, remote } of network.entries()) console.log(`${mac} is behind ${remote} vni ${network.vni}`)
}
