// docs/trace.md: what it shows is what the commands print (UPDATE_GOLDEN=1 writes it anew), and what it names is there.
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import * as memory from '../../packages/topology/src/memory.ts'

const root = new URL('../../', import.meta.url)
const path = fileURLToPath(new URL('docs/trace.md', root))
const page = readFileSync(path, 'utf8')

/** What a command line of the page prints: one that asks for a trace in a topology file. */
function printed(command: string): string {
  const [file = '', from = '', to = '', kind = 'icmp', port] = command.split(' ').slice(3)
  const topology = memory.parseTopology(readFileSync(new URL(file, root), 'utf8'), file)
  const what = kind === 'tcp' ? { tcp: Number(port) } : 'icmp'
  return memory.reportText(memory.trace(topology, from, to, { what })).join('\n')
}

it('shows what the commands print', () => {
  const now = page.replace(/```\n(\$ l2l3 trace .*)\n[^`]*```/g, (_, command: string) => {
    return `\`\`\`\n${command}\n${printed(command)}\n\`\`\``
  })
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(path, now)
  expect(readFileSync(path, 'utf8'), 'docs/trace.md (UPDATE_GOLDEN=1 writes it anew)').toBe(now)
  expect(now.match(/^ +\d+ {2}/gm)?.length).toBeGreaterThan(20)
})

it('has filters that are filters, and one that is not, with what is said of it', () => {
  const table = page.slice(page.indexOf('## Filters'), page.indexOf('The outermost'))
  const words = Array.from(table.matchAll(/`([a-z][^`]*)`/g), (match) => match[1] as string)
  const whole = words.filter((text) => !['and', 'or', 'not', 'ether src', 'ether dst'].includes(text))
  expect(whole.length).toBeGreaterThan(20)
  for (const text of whole) expect(() => memory.frameFilter(text), text).not.toThrow()
  const shown = /l2l3: (the filter is wrong[^.]*)\.\.\.\n {2}(.*)\n( +\^)/.exec(page)
  expect(() => memory.frameFilter(shown?.[2] ?? '')).toThrow(shown?.[1])
  expect(() => memory.frameFilter(shown?.[2] ?? '')).toThrow(shown?.[3])
})

it('names what there is', () => {
  for (const name of [
    'trace',
    'reportText',
    'bytesAt',
    'outputs',
    'traceText',
    'tracePcapng',
    'parseTraceText',
    'dissect',
  ]) {
    expect(memory).toHaveProperty(name)
    expect(page).toContain(name)
  }
})
