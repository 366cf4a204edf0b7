// Writes topology.schema.json from the source of the schema: after changing an option of a mode run
// `npx tsx --conditions @l2l3/source packages/topology/schema.mjs`.
import { writeFileSync } from 'node:fs'
import { topologySchema } from './src/schema.ts'

writeFileSync(new URL('topology.schema.json', import.meta.url), `${JSON.stringify(topologySchema(), null, 2)}\n`)
