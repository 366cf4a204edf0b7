// docs/life-of-a-frame.md, run: what the page says about bytes and figures is what happens.
import { readFileSync } from 'node:fs'
import { FramePool, Loop, MemoryPort, Switch, VirtualClock } from '@l2l3/switch-core'
import { expect, it } from 'vitest'

const page = readFileSync(new URL('../life-of-a-frame.md', import.meta.url), 'utf8')

/** The bytes of the page's block "```hex NAME", as hex. */
function block(name: string): string {
  const text = new RegExp(`\`\`\`hex ${name}\\n([^\`]+)\`\`\``).exec(page)?.[1]
  if (text === undefined) throw new Error(`the page has no block "hex ${name}"`)
  return text.replace(/\s/g, '')
}

it('is what happens to the frame of the page', () => {
  const pool = new FramePool()
  const loop = new Loop(pool, new VirtualClock())
  const sw = new Switch(pool, loop.clock, { vlanAware: true })
  const [a, b, t] = ['a', 'b', 't'].map((name) => new MemoryPort(pool, name)) as [MemoryPort, MemoryPort, MemoryPort]
  loop.add(a, sw.addPort(loop.link(a), { vlan: { access: 10 } }))
  loop.add(b, sw.addPort(loop.link(b), { vlan: { access: 10 } }))
  loop.add(t, sw.addPort(loop.link(t), { vlan: { trunk: [10, 20] } }))

  const rows: string[] = []
  pool.observer = {
    copied: (from, to) => rows.push(`refs ${pool.refs[from]} off ${(pool.off[to] ?? 0) % pool.stride}`),
  }
  loop.observer = {
    received: (port, _, batch) => {
      const f = batch.frames[0] as number
      rows.push(
        `off ${(pool.off[f] ?? 0) % pool.stride} len ${pool.len[f]} ${pool.port[f] === port.id} ${pool.refs[f]}`,
      )
    },
    delivering: (link, batch) => {
      if (link.target === t) rows.push(`to t: off ${(pool.off[batch.frames[0] as number] ?? 0) % pool.stride}`)
    },
  }
  a.inject(Buffer.from(block('in'), 'hex'))
  loop.settle()
  expect(rows).toEqual(['off 130 len 42 true 1', 'refs 2 off 130', 'to t: off 126'])
  for (const row of ['| `off` | 130', '| `len` | 42', '| `refs` | 1', '`off` goes from 130 to 126'])
    expect(page.replace(/ +/g, ' ')).toContain(row)

  expect(t.takeAll().map((f) => f.toString('hex'))).toEqual([block('t')])
  expect(b.takeAll().map((f) => f.toString('hex'))).toEqual([block('b')])
  expect([...sw.fdb.list()].map((e) => `${e.mac} v${e.vlan} -> ${e.port}`)).toEqual(['02:00:00:00:00:0a v10 -> 0'])
  expect(page).toContain('02:00:00:00:00:0a v10 -> 0')
  const { received, originated, copied, sent, held, dropped } = pool.report()
  const drops = Object.values(dropped).reduce((sum, n) => sum + n, 0)
  expect(page).toContain(
    `received ${received} + originated ${originated} + copied ${copied} = sent ${sent} + held ${held} + dropped ${drops}`,
  )

  b.inject(Buffer.from(block('answer'), 'hex'))
  loop.settle()
  expect([a, b, t].map((p) => p.takeAll().map((f) => f.toString('hex')))).toEqual([[block('answer')], [], []])

  const answer = block('answer')
  const short = answer.slice(0, 26)
  const tagged = `${answer.slice(0, 24)}8100001e${answer.slice(24)}`
  for (const [port, frame] of [
    [b, short],
    [b, `${answer.slice(0, 12)}010000000000${answer.slice(24)}`],
    [a, `${answer.slice(0, 24)}0800`],
    [t, tagged],
  ] as const) {
    port.inject(Buffer.from(frame, 'hex'))
    loop.settle()
  }
  expect(pool.report().dropped).toEqual({ Runt: 1, GroupSource: 1, SamePort: 1, VlanIngress: 1 })
  for (const name of Object.keys(pool.report().dropped)) expect(page).toContain(`\`${name}\``)
})
