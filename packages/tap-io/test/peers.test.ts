import { fileURLToPath } from 'node:url'
import { FramePool } from '@l2l3/switch-core'
import { CapPort } from '@l2l3/tap-io/cap'
import { RawSocketPort } from '@l2l3/tap-io/raw-socket'
import { beforeAll, describe, expect, it } from 'vitest'
import { FROM_SOURCE, inNamespace, ip, namespace, needsTun } from './lab.ts'

/* Ports on the optional peers, between two ends of a veth in a namespace; they skip where the peer is not there or not built. */
needsTun()

let said: { found: Record<string, string | null>; missing: string[] } = { found: {}, missing: [] }

beforeAll(async () => {
  if (process.getuid?.() !== 0) return
  const netns = namespace()
  ip('-n', netns, 'link', 'add', 'near', 'mtu', '4000', 'type', 'veth', 'peer', 'name', 'far', 'mtu', '4000')
  for (const name of ['lo', 'near', 'far']) ip('-n', netns, 'link', 'set', name, 'up')
  const program = fileURLToPath(new URL('peers.ts', import.meta.url))
  const lines = await inNamespace(netns, process.execPath, ...FROM_SOURCE, program)
  said = JSON.parse(lines.trim().split('\n').at(-1) as string)
})

for (const peer of ['cap', 'raw-socket']) {
  describe(`a port on ${peer}`, () => {
    it('does what it should', (context) => {
      const missing = said.missing.find((sentence) => sentence.startsWith(`${peer} `))
      if (missing !== undefined) context.skip(missing)
      const found = Object.entries(said.found).filter(([name]) => name.startsWith(`${peer}: `))
      expect(found.length).toBeGreaterThan(2)
      expect(found.filter(([, wrong]) => wrong !== null)).toEqual([])
    })
  })
}

describe('a peer that is not there', () => {
  it('is named, with the command that installs it', (context) => {
    if (said.missing.length === 0) context.skip('both peers are installed and built here')
    for (const sentence of said.missing) {
      expect(sentence).toMatch(/^(cap|raw-socket) .*: the optional package is not there or not built; .*npm install/)
    }
  })

  it('is asked for only after the options were checked', () => {
    const pool = new FramePool({ frames: 1 })
    expect(() => CapPort.open(pool, { device: '' })).toThrow(/device ""/)
    expect(() => CapPort.open(pool, { device: 'eth0', filter: 5 as never })).toThrow(/filter 5/)
    expect(() => RawSocketPort.open(pool, { protocol: 0 })).toThrow(/protocol .* 1 to 254, not 0/)
  })
})
