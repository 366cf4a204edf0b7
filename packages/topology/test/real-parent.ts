/* A process of the tests: builds the topology on its standard input with a real underlay, says which processes its nodes
 * are, and goes on until it is killed. */
import { readFileSync } from 'node:fs'
import { parseTopology, upOnLinux } from '@l2l3/topology'

const world = await upOnLinux(parseTopology(readFileSync(0, 'utf8'), 'real.yaml'), { real: true })
process.stdout.write(`${JSON.stringify([...world.processes.values()])}\n`)
setInterval(() => {}, 1000)
