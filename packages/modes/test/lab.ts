import { FramePool, Loop, MemoryPort, VirtualClock } from '@l2l3/switch-core'
import { expect } from 'vitest'
import type { Ground } from '../src/ground.ts'

/* A ground with memory ports, to put a mode on and to send frames through, in hex. */

export interface Lab {
  readonly ground: Ground
  readonly pool: FramePool
  port(name: string): MemoryPort
  /** Sends a frame in by a port; gives what came out, by port. */
  send(name: string, frame: string): Record<string, string[]>
}

export function lab(): Lab {
  const pool = new FramePool({ frames: 256 })
  const clock = new VirtualClock()
  const loop = new Loop(pool, clock)
  const ports = new Map<string, MemoryPort>()
  return {
    ground: { pool, clock, loop },
    pool,
    port: (name) => {
      const port = new MemoryPort(pool, name)
      ports.set(name, port)
      return port
    },
    send: (name, frame) => {
      ports.get(name)?.inject(hex(frame))
      loop.settle()
      expect(pool.report().balanced).toBe(true)
      const out: Record<string, string[]> = {}
      for (const [at, port] of ports) {
        const heard = port.takeAll().map((b) => b.toString('hex'))
        if (heard.length > 0) out[at] = heard
      }
      return out
    },
  }
}

/** Bytes of a frame written with spaces. */
export function hex(frame: string): Buffer {
  return Buffer.from(frame.replaceAll(' ', ''), 'hex')
}

/** Frames written with spaces, as `send` gives them. */
export function frames(...list: string[]): string[] {
  return list.map((frame) => frame.replaceAll(' ', ''))
}
