import { Batch, type Frame, type FramePool, type Port } from '@l2l3/switch-core'

/* What one does with ports by hand. */

/** A frame of the pool with these bytes, entered in the ledger. */
export function frameOf(pool: FramePool, bytes: Uint8Array): Frame {
  const f = pool.from(bytes) as Frame
  pool.ledger.originate(1)
  return f
}

/** Has a port send rows. */
export function send(port: Port, ...frames: Frame[]): void {
  const batch = new Batch(Math.max(1, frames.length))
  for (const f of frames) batch.push(f)
  port.process(batch)
}

/** Has a port receive once; gives copies of the frames. */
export function receive(port: Port): Uint8Array[] {
  const batch = new Batch()
  port.receive(batch)
  return Array.from(batch.frames.subarray(0, batch.length), (f) => {
    const bytes = Uint8Array.from(port.pool.view(f as Frame))
    port.pool.sent(f as Frame)
    return bytes
  })
}

/** Has a port receive until nothing comes any more; gives copies of the frames. */
export function drain(port: Port): Uint8Array[] {
  const all: Uint8Array[] = []
  for (let some = receive(port); some.length > 0; some = receive(port)) all.push(...some)
  return all
}
