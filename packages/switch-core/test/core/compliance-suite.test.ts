import { type Batch, Drop, type Frame, FramePool, Port } from '@l2l3/switch-core'
import { type PortUnderTest, portCompliance } from '@l2l3/switch-core/compliance'
import { expect, it } from 'vitest'

/**
 * The compliance suite itself: ports that are broken in one way each are found out, by the case that ought to.
 *
 * The port here is the plainest there is, two lists of frames, and each sabotage changes one thing of it.
 */

class Plain extends Port {
  readonly inbox: Uint8Array[] = []
  readonly outbox: Uint8Array[] = []

  constructor(pool: FramePool, offloads = 0) {
    super(pool, 'plain', offloads)
  }

  accept(bytes: Uint8Array): void {
    this.inbox.push(bytes)
  }

  protected override read(batch: Batch): void {
    while (this.inbox.length > 0 && batch.length < batch.capacity) {
      const bytes = this.inbox.shift() as Uint8Array
      if (bytes.length > this.pool.frameSize) this.refused(Drop.Oversize)
      else if (this.pool.spare === 0) this.refused(Drop.PoolSpent)
      else {
        this.pool.ledger.receive(1)
        batch.push(this.pool.from(bytes) as Frame)
      }
    }
  }

  protected override write(batch: Batch): void {
    for (let i = 0; i < batch.length; i++) this.one(batch.frames[i] as Frame)
  }

  protected one(f: Frame): void {
    this.outbox.push(this.pool.copyOut(f))
    this.left(f)
  }
}

const on = (port: Plain): PortUnderTest => ({
  port,
  inject: (bytes) => {
    port.accept(bytes)
    return true
  },
  taken: () => port.outbox.splice(0),
})

/** Names of the cases that the port does not pass. */
async function failures(Kind: new (pool: FramePool) => Plain): Promise<string[]> {
  const failed: string[] = []
  for (const { name, run } of portCompliance(() => on(new Kind(new FramePool({ frames: 128 }))))) {
    await run().catch(() => failed.push(name))
  }
  return failed
}

it('passes the plain port', async () => {
  expect(await failures(Plain)).toEqual([])
})

it.each<[what: string, Kind: new (pool: FramePool) => Plain, by: RegExp]>([
  [
    'changes a byte on the way in',
    class extends Plain {
      override accept(bytes: Uint8Array) {
        super.accept(bytes.map((b, i) => (i === 127 ? b ^ 1 : b)))
      }
    },
    /takes in frames of every length/,
  ],
  [
    'pads short frames on the way out',
    class extends Plain {
      override one(f: Frame) {
        const bytes = this.pool.copyOut(f)
        this.outbox.push(bytes.length < 60 ? Uint8Array.from({ length: 60 }, (_, i) => bytes[i] ?? 0) : bytes)
        this.left(f)
      }
    },
    /sends frames of every length/,
  ],
  [
    'gives frames out in reverse',
    class extends Plain {
      override accept(bytes: Uint8Array) {
        this.inbox.unshift(bytes)
      }
    },
    /order of frames/,
  ],
  [
    'sends in reverse',
    class extends Plain {
      override one(f: Frame) {
        this.outbox.unshift(this.pool.copyOut(f))
        this.left(f)
      }
    },
    /sends a batch in order/,
  ],
  [
    'writes a byte in front of the frame, beyond its slot',
    class extends Plain {
      override one(f: Frame) {
        this.pool.bytes[f * this.pool.stride - 1] = 0
        super.one(f)
      }
    },
    /sends frames of every length/,
  ],
  [
    'writes into a frame that others hold',
    class extends Plain {
      override one(f: Frame) {
        super.one(f)
        this.pool.bytes[this.pool.off[f] as number] = 0xff
      }
    },
    /that others hold/,
  ],
  [
    'forgets to give rows back',
    class extends Plain {
      override one(f: Frame) {
        this.outbox.push(this.pool.copyOut(f))
        this.leaving(f)
      }
    },
    /sends frames of every length/,
  ],
  [
    'gives rows back twice',
    class extends Plain {
      override one(f: Frame) {
        this.pool.share(f, 1)
        super.one(f)
        this.pool.release(f)
      }
    },
    /sends frames of every length/,
  ],
  [
    'drops without counting',
    class extends Plain {
      override accept(bytes: Uint8Array) {
        if (bytes.length <= this.pool.frameSize) super.accept(bytes)
      }
    },
    /too long for the pool/,
  ],
  [
    'fails of a runt',
    class extends Plain {
      override one(f: Frame) {
        if (this.pool.len[f] === 0) this.fail(new Error('write: invalid argument'))
        super.one(f)
      }
    },
    /sends or counts what is shorter/,
  ],
  [
    'throws when the pool is spent',
    class extends Plain {
      override read(batch: Batch) {
        if (this.pool.spare === 0) throw new Error('no room')
        super.read(batch)
      }
    },
    /while the pool is spent/,
  ],
  [
    'hands on unfinished what its far side cannot finish',
    class extends Plain {
      override process(batch: Batch) {
        this.write(batch)
        batch.length = 0
      }
    },
    /computes checksums|cuts super-frames/,
  ],
  [
    'leaves its batch full',
    class extends Plain {
      override process(batch: Batch) {
        const { length } = batch
        super.process(batch)
        batch.length = length
      }
    },
    /sends frames of every length/,
  ],
  [
    'sends after it was closed',
    class extends Plain {
      override process(batch: Batch) {
        this.write(batch)
        batch.length = 0
      }
    },
    /when it is closed/,
  ],
  [
    'gives out frames with a stale checksum request',
    class extends Plain {
      override read(batch: Batch) {
        super.read(batch)
        for (const f of batch.frames.subarray(0, batch.length)) this.pool.flags[f] = 1
      }
    },
    /takes in frames of every length/,
  ],
])('finds out a port that %s', async (_, Kind, by) => {
  expect(await failures(Kind)).toContainEqual(expect.stringMatching(by))
})
