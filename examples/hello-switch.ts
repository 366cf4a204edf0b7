import { FramePool, Loop, MemoryPort, RealClock, SECOND, Switch } from '@l2l3/switch-core'

const pool = new FramePool() // every frame is a row of this arena
const loop = new Loop(pool, new RealClock()) // polls ports, delivers links
const sw = new Switch(pool, loop.clock, { ageing: 300 })
loop.every(SECOND, sw)

const ports = ['a', 'b', 'c'].map((name) => new MemoryPort(pool, name))
for (const port of ports) loop.add(port, sw.addPort(loop.link(port), { name: port.name }))

ports[0]?.inject(Buffer.from('ffffffffffff02000000000a0806', 'hex')) // a broadcast from 02:00:00:00:00:0a
loop.settle()
for (const port of ports) console.log(port.name, port.takeAll().length) // a 0, b 1, c 1
console.log([...sw.fdb.list()], pool.report()) // who was heard where; in = out + held + dropped
