import { topology } from '@l2l3/topology'

// Two networks and a router between them. In memory that takes milliseconds; { world: 'linux' } makes namespaces.
const nets = {
  nodes: {
    gw: {
      mode: 'router',
      endpoints: {
        red: { ip: '10.0.1.2/24', gateway: '10.0.1.1/24' },
        blue: { ip: '10.0.2.2/24', gateway: '10.0.2.1/24' },
      },
    },
  },
}
await using lab = await topology(nets, { world: 'memory' })
const capture = await lab.capture()

const red = lab.host('red')
const { ok, text, detail } = await red.ping('blue')
console.log(ok, text, detail) // true ping red -> blue (IPv4, 10.0.2.2) 3 of 3 answered
console.log((await red.traceroute('blue')).detail) // by way of 10.0.1.1
console.log((await red.tcp('blue', { bytes: '1 MB' })).detail) // 1000000 bytes, all intact

console.log((await red.ping('10.0.9.9', { count: 1 })).ok) // false
for (const { reason, frames } of await lab.show('drops')) console.log(reason, frames) // NoRoute 1, and others

const green = { ip: '10.0.3.2/24', gateway: '10.0.3.1/24' }
await lab.apply({ nodes: { gw: { ...nets.nodes.gw, endpoints: { ...nets.nodes.gw.endpoints, green } } } })
console.log((await red.ping('green')).ok) // true

console.log([...(await capture.stop()).keys()]) // [ 'gw/red', 'gw/blue', 'gw/green' ], each with its pcapng
