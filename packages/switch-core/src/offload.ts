import { BATCH, Batch } from './batch.ts'
import { Drop } from './drop.ts'
import { type Frame, type FramePool, NO_FRAME } from './frame-pool.ts'
import * as explain from './offload/explain.ts'
import { GSO_KIND, GsoType, OffloadFlag, TUNNEL } from './offload/kinds.ts'
import { cut } from './offload/segment.ts'
import { Offload } from './port/port.ts'
import { put16 } from './wire/bytes.ts'
import { complement, complementUdp, sum } from './wire/checksum.ts'
import { HLEN } from './wire/ethernet.ts'
import * as udp from './wire/udp.ts'

/*
 * Finishing what a sender left to the wire.
 *
 * A kernel or a guest that speaks virtio-net hands over frames that are not done: the transport checksum is missing
 * (CHECKSUM_PARTIAL), or the frame is a super-frame of up to 64 KiB that stands for a row of segments. Whoever passes it on
 * keeps the metadata true and does none of the work: that is worth 5-10 times the throughput of TCP (measured). The work is
 * done here, at the last moment, for a port that cannot carry such frames: a capture file, a socket, a program.
 *
 *     batch  [ plain ][ checksum missing ][ super-frame, 3 segments ][ plain ]
 *                 |          |                 |                        |
 *     write  [ plain ][ checksum filled  ][ 1st ][ 2nd ][ 3rd, shorter ][ plain ]      in batches, order kept
 *
 * What the port does carry is passed as it is. Metadata that points outside the frame or contradicts its headers is the
 * end of the frame: `BadOffload`.
 */

/** The virtio flag that says: the checksum is missing (VIRTIO_NET_HDR_F_NEEDS_CSUM). */
const NEEDS_CSUM = 1

/** Tells whether a frame with this metadata is more than a port with these `offloads` can carry. */
function lacks(flags: number, gsoType: number, offloads: number): boolean {
  if (gsoType === 0) return (flags & NEEDS_CSUM) !== 0 && (offloads & Offload.Checksum) === 0
  // No port takes a super-frame and leaves its checksums: each segment needs one.
  if ((offloads & Offload.Checksum) === 0) return true
  if ((gsoType & TUNNEL) !== 0) {
    const wanted = (flags & OffloadFlag.TunnelChecksum) !== 0 ? Offload.Tunnel | Offload.TunnelChecksum : Offload.Tunnel
    if ((gsoType & TUNNEL) === TUNNEL || (offloads & wanted) !== wanted) return true
  }
  switch (gsoType & GSO_KIND) {
    case GsoType.Tcp4:
      return (offloads & Offload.Tso4) === 0
    case GsoType.Tcp6:
      return (offloads & Offload.Tso6) === 0
    case GsoType.Udp:
      return (offloads & Offload.Uso) === 0
    default:
      return true
  }
}

/** Tells whether the batch has a frame that a port with these `offloads` (bits of `Offload`) cannot carry as it is. One
 * pass over two columns where, as mostly, no frame has metadata. */
export function needsFinishing(pool: FramePool, batch: Batch, offloads: number): boolean {
  const { flags, gsoType } = pool
  const { frames, length } = batch
  let some = 0
  for (let i = 0; i < length; i++) {
    const f = frames[i] as number
    some |= ((flags[f] as number) & NEEDS_CSUM) | (gsoType[f] as number)
  }
  if (some === 0) return false
  for (let i = 0; i < length; i++) {
    const f = frames[i] as number
    if (lacks(flags[f] as number, gsoType[f] as number, offloads)) return true
  }
  return false
}

/**
 * Frames on their way to `write`: a batch that is written whenever it is full. It is made once and taken in turns, so
 * that a `write` which sends by another port, and comes back here, has one of its own.
 */
export class Outgoing {
  readonly batch: Batch = new Batch(BATCH)
  /** Frames written at a time at most. */
  limit: number = BATCH
  write: (batch: Batch) => void = nobody

  put(f: Frame): void {
    this.batch.push(f)
    if (this.batch.length >= this.limit) this.flush()
  }

  flush(): void {
    if (this.batch.length > 0) this.write(this.batch)
    this.batch.length = 0
  }
}

function nobody(): void {}

let idle: Outgoing | null = null

/**
 * Makes of every frame what a port with these `offloads` can carry, and gives them to `write`, in their order, in batches
 * no larger than `batch`. `write` disposes of the frames it is given. Frames that cannot be finished go to `lost`, which
 * ends them: `BadOffload` for metadata that makes no sense, `PoolSpent` where there is no row for a segment or a copy (what
 * waits is written first, which frees rows). The caller empties `batch`.
 *
 * A super-frame of k segments counts in the ledger as k - 1 copies made of one frame. If rows run out at segment j, the
 * segments before it have left, and the rest is one drop.
 */
export function finish(
  pool: FramePool,
  batch: Batch,
  offloads: number,
  write: (batch: Batch) => void,
  lost: (f: Frame, why: Drop) => void,
): void {
  const out = idle ?? new Outgoing()
  idle = null
  out.write = write
  out.limit = Math.min(BATCH, batch.capacity)
  for (let i = 0; i < batch.length; i++) {
    const f = batch.frames[i] as Frame
    const kind = pool.gsoType[f] as number
    if (!lacks(pool.flags[f] as number, kind, offloads)) out.put(f)
    else if (kind !== 0) cut(pool, f, out, lost)
    else complete(pool, f, out, lost)
  }
  out.flush()
  out.write = nobody
  idle = out
}

/**
 * Fills in a missing checksum (virtio 1.2, 5.1.6.2): the sum from `csumStart` to the end of the frame goes to `csumStart +
 * csumOffset`, where the sum of the pseudo-header already stands. Which protocol it is does not matter, but for UDP's rule
 * about zero (RFC 768): UDP is who has the field at 6.
 */
function complete(pool: FramePool, f: Frame, out: Outgoing, lost: (f: Frame, why: Drop) => void): void {
  const start = pool.csumStart[f] as number
  const field = start + (pool.csumOffset[f] as number)
  if (start < HLEN || field + 2 > (pool.len[f] as number)) {
    lost(f, Drop.BadOffload)
    return
  }
  if ((pool.refs[f] as number) > 1 && pool.spare === 0) {
    out.flush()
    if ((pool.refs[f] as number) > 1 && pool.spare === 0) {
      lost(f, Drop.PoolSpent)
      return
    }
  }
  const g = pool.own(f)
  if (g === NO_FRAME) return
  const o = pool.off[g] as number
  const s = sum(pool.data, o + start, o + (pool.len[g] as number))
  put16(pool.bytes, o + field, pool.csumOffset[g] === udp.CHECKSUM ? complementUdp(s) : complement(s))
  pool.flags[g] = (pool.flags[g] as number) & ~NEEDS_CSUM
  if (pool.trace !== null) explain.summed(pool, g)
  out.put(g)
}
