// docs/tunnels.md: its program is an example that runs and says what it says; its tables are what the code has.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { DROP_NAMES } from '../../packages/switch-core/src/index.ts'
import * as tunnels from '../../packages/vxlan/src/index.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const page = readFileSync(join(root, 'docs/tunnels.md'), 'utf8')

it('shows examples/hello-tunnel.ts, which runs', () => {
  expect(/```ts\n([\s\S]+?)```/.exec(page)?.[1]).toBe(readFileSync(join(root, 'examples/hello-tunnel.ts'), 'utf8'))
  const tsx = join(root, 'node_modules/.bin/tsx')
  const out = String(execFileSync(tsx, ['--conditions', '@l2l3/source', 'examples/hello-tunnel.ts'], { cwd: root }))
  const [sent, back, where] = out.split('\n')
  expect(sent).toMatch(/^020000000202020000000201080045000034000100004011....c0000201c0000202....12b500200000/)
  expect(sent).toMatch(/12b5002000000800000000002a0002000000000b02000000000a88b5cafe$/)
  expect(back).toBe('02000000000a02000000000b88b5cafe')
  expect(where).toBe('02:00:00:00:00:0b is behind 192.0.2.2 vni 42')
})

it('has the profiles with their values', () => {
  const { linux, rfc, ovs } = tunnels.PROFILES
  const profiles = [linux, rfc, tunnels.PROFILES['windows-vfp'], ovs]
  const text = (value: unknown): string =>
    Array.isArray(value) ? value.join('-') : value === true ? 'yes' : value === false ? 'no' : String(value)
  for (const key of Object.keys(linux) as (keyof typeof linux)[]) {
    expect(page).toContain(`| \`${key}\` | ${profiles.map((p) => text(p[key])).join(' | ')} |`)
  }
})

it('names what there is: elements, overheads, drops', () => {
  for (const name of [
    'Vtep',
    'Encap',
    'Decap',
    'ipipTunnel',
    'greTunnel',
    'gretapTunnel',
    'FlannelUdp',
    'SleeveTunnel',
    'sttTunnel',
  ]) {
    expect(page).toContain(`\`${name}\``)
    expect(tunnels).toHaveProperty(name)
  }
  const { vxlan, geneve, gretap, ipip, gre, udp } = tunnels.OVERHEAD
  expect(vxlan).toBe(geneve)
  expect(page.replaceAll('\n', ' ')).toContain(
    `${vxlan} bytes for VXLAN and GENEVE, ${gretap} for GRETAP, ${ipip} for IPIP, ${gre} for GRE, ${udp} for flannel-udp`,
  )
  for (const name of ['NestedTunnel', 'UnknownVni', 'TunnelFlags', 'CriticalOption', 'OuterFragment', 'EcnMismatch']) {
    expect(page).toContain(`\`${name}\``)
    expect(DROP_NAMES).toContain(name)
  }
})
