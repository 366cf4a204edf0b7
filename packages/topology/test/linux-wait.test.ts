import { linuxProblem, parseTopology, upOnLinux, type Wait } from '@l2l3/topology'
import { beforeEach, expect, it, vi } from 'vitest'

/* Ways of waiting: frames pass, and everything else that the process does goes on meanwhile. */

vi.setConfig({ testTimeout: 60_000 })

const problem = await linuxProblem()
beforeEach((context) => {
  if (problem !== null) context.skip(problem)
})

const text = (name: string, more = ''): string => `
name: ${name}
nodes: { sw1: { mode: switch, endpoints: { red: { ip: 10.79.0.1/24 }, blue: { ip: 10.79.0.2/24 }${more} } } }
checks:
  - ping: { from: red, to: blue, count: 3 }
  - tcp: { from: blue, to: red, bytes: 2 MB }
`

for (const wait of ['event-loop', 'spin', 'busy'] satisfies Wait[]) {
  it(`${wait}: passes frames, is asked, changed and captured, and ends`, async () => {
    const name = `wait${process.pid}`
    const world = await upOnLinux(parseTopology(text(name), 'wait.yaml'), { wait })
    let captured = 0
    const end = await world.capture(() => (chunk) => {
      captured += chunk.length
    })
    let timers = 0
    const timer = setInterval(() => timers++, 5)
    expect((await world.runChecks()).map((result) => result.detail)).toEqual(['3 of 3 answered', expect.any(String)])
    const next = parseTopology(
      text(name, ', green: { ip: 10.79.0.3/24 }').replace('to: blue', 'to: green'),
      'wait.yaml',
    )
    await world.apply(next)
    expect((await world.runChecks()).every((result) => result.ok)).toBe(true)
    await end()
    expect(captured).toBeGreaterThan(2_000_000)
    expect(timers).toBeGreaterThan(5)
    const { ledger, ports } = await world.snapshot()
    expect([ledger.balanced, ports.map((port) => port.port)]).toEqual([true, ['red', 'blue', 'green']])
    clearInterval(timer)
    await world.close()
    await world.stopped
  })
}

it('has the processes of a real underlay wait so', async () => {
  const name = `wait${process.pid}`
  const nodeArguments = ['--conditions=@l2l3/source', '--import', import.meta.resolve('tsx')]
  await using world = await upOnLinux(parseTopology(text(name), 'wait.yaml'), {
    wait: 'busy',
    real: true,
    nodeArguments,
  })
  expect((await world.runChecks()).every((result) => result.ok)).toBe(true)
})
