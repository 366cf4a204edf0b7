// Places come back when the garbage collector finds that their arrays are held no longer.
// @alone in a process that other tests share, a registry of theirs may have died, and V8 tells no other anything more
import { expect, test } from 'vitest'
import { makeBuffer } from '../../src/wasm/memory.ts'
import { Room } from '../../src/wasm/room.ts'

const END = 65_000

test('places of arrays that nobody holds any more come back', async () => {
  const { gc } = globalThis as { gc?: () => void }
  const room = new Room(makeBuffer(END, false), 0, END)
  const fits = (): boolean => room.has(room.array(Uint32Array, 4096))
  let made = 0
  while (fits()) made++
  expect(made).toBe(3)
  // The collector takes its time: it is asked until it has found them.
  for (let tries = 0; tries < 200 && !fits(); tries++) {
    gc?.()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  expect(fits()).toBe(true)
})
