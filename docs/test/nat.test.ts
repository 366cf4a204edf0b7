// docs/nat.md: its program is an example that runs and says what it says; its tables are what the code has.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { BEHAVIOUR, Conntrack, TIMEOUTS } from '../../packages/nat/src/index.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const page = readFileSync(join(root, 'docs/nat.md'), 'utf8')

it('shows examples/hello-nat.ts, which runs', () => {
  expect(/```ts\n([\s\S]+?)```/.exec(page)?.[1]).toBe(readFileSync(join(root, 'examples/hello-nat.ts'), 'utf8'))
  const tsx = join(root, 'node_modules/.bin/tsx')
  const out = String(execFileSync(tsx, ['--conditions', '@l2l3/source', 'examples/hello-nat.ts'], { cwd: root }))
  expect(out).toContain('cb007101cb0071021392270f0009d53578')
  expect(out).toContain('answers: 203.0.113.2:9999 > 203.0.113.1:5010')
  expect(out).toContain("[ 'tcp *:8080 -> 10.22.0.11:80' ]")
})

it('names the behaviours and profiles that there are, with their values', () => {
  for (const [name, { mapping, filtering }] of Object.entries(BEHAVIOUR)) {
    expect(page).toMatch(new RegExp(`\\| \`${name}\`[^|]* \\| \`${mapping}\` \\| \`${filtering}\` \\|`))
  }
  const n = (value: number): string => value.toLocaleString('en')
  for (const [name, t] of Object.entries(TIMEOUTS)) {
    expect(page).toContain(`| \`${name}\` | ${n(t.udp)}, ${n(t.udpStream)} | ${n(t.tcpEstablished)}, `)
    expect(page).toMatch(new RegExp(`\\| \`${name}\` \\|[^|]+\\|[^|]+\\| ${t.icmp} \\| ${n(t.generic)} \\|`))
  }
})

it('says how much memory flows take', () => {
  const { bytes } = new Conntrack({ maxFlows: 1_048_576 })
  const said = /1,048,576 flows\s+(\d+) MB/.exec(page)?.[1]
  expect(said).toBe(String(Math.round(bytes / 1e6)))
  expect(page).toContain(`A flow takes ${Math.round(bytes / 1_048_576)} bytes`)
})
