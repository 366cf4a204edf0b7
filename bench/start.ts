/**
 * `npm run bench:start`: how long from `l2l3 up` to the first frame across, and how long for a thousand endpoints more? In memory and,
 * as root, on Linux, where an endpoint is a namespace with a TAP.
 *
 *     npm run bench:start -- [--quick] [--rounds N] [--endpoints N] [--json FILE]
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { number } from './figures.ts'
import { machineFacts } from './machine.ts'
import { benchOptions, positive, progress } from './options.ts'
import { obstacle } from './tap/run.ts'
import { startAll } from './weigh.ts'

const options = benchOptions('start', { endpoints: { type: 'string' } })
const endpoints = Math.ceil(positive('endpoints', options.endpoints ?? (options.quick ? '100' : '1000')))
const { rounds } = options
const why = obstacle()
const rows = await startAll({ memory: true, rounds, endpoints }, progress)
if (why === null) rows.push(...(await startAll({ memory: false, rounds, endpoints }, progress)))
progress('')
for (const { what, entries, value } of rows)
  process.stdout.write(`${number(value).padStart(8)} ms  ${what}, ${entries}\n`)
if (why !== null) process.stdout.write(`On Linux: not measured. ${why}\n`)
mkdirSync(dirname(options.json), { recursive: true })
writeFileSync(options.json, `${JSON.stringify({ machine: machineFacts(), rounds, rows }, null, 2)}\n`)
