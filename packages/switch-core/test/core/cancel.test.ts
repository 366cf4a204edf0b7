// A ticker that is taken off, also by itself.
import { expect, it } from 'vitest'
import { FramePool, Loop, VirtualClock } from '../../src/index.ts'

it('ticks until it is taken off', () => {
  const clock = new VirtualClock()
  const loop = new Loop(new FramePool({ frames: 4 }), clock)
  const ticks: string[] = []
  const stop = loop.every(10, {
    tick: (now) => {
      ticks.push(`a${now}`)
      if (now === 20) stop()
    },
  })
  const other = loop.every(10, { tick: (now) => void ticks.push(`b${now}`) })
  for (let i = 0; i < 4; i++) {
    clock.advance(10)
    loop.turn()
    if (i === 2) other()
  }
  expect(ticks).toEqual(['a10', 'b10', 'a20', 'b20', 'b30'])
  expect(loop.nextTick).toBe(Number.POSITIVE_INFINITY)
})
