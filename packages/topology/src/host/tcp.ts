import { type Clock, SECOND } from '@l2l3/switch-core'
import { tcp } from '@l2l3/switch-core/wire'

/*
 * As much TCP as a transfer over a link takes (RFC 9293): handshake, data in order, acknowledgement of every segment,
 * a window of 64 KiB, FIN both ways. What is lost or comes out of order is sent again from where the receiver stands
 * (go-back-N) after a second. No options but the segment size, no congestion control: the link is a virtual one.
 *
 *     sender                      receiver
 *     SYN (MSS)          ->
 *                        <-       SYN ACK (MSS)
 *     ACK, data ...      ->       compares every byte with the pattern
 *                        <-       ACK ...
 *     FIN                ->
 *                        <-       FIN ACK
 *     ACK                ->
 */

const RETRANSMIT: number = SECOND
const ATTEMPTS = 5
const WINDOW = 65_535

/** What a segment says, as far as it matters here. */
export interface Segment {
  readonly seq: number
  readonly ack: number
  readonly flags: number
  readonly window: number
  /** Segment size of the other end, or -1. */
  readonly mss: number
  readonly data: Uint8Array
}

/** Sends a segment; `fill` writes its `length` data bytes. */
export type SendSegment = (
  fields: Omit<tcp.TcpFields, 'srcPort' | 'dstPort'>,
  length: number,
  fill: (bytes: Uint8Array, at: number) => void,
) => void

/** What a transfer consists of, over and over: a block whose length is a prime, so that a piece that is lost, doubled
 * or out of its place does not fit. Twice in a row, so that any piece of it lies in one place. */
const BLOCK = 65_521
const PATTERN: Uint8Array = Uint8Array.from({ length: 2 * BLOCK }, (_, i) => ((i % BLOCK) * 167) ^ ((i % BLOCK) >> 8))

/** The `n` bytes of a transfer from its byte `start` on; `n` is at most the block. */
function payload(start: number, n: number): Uint8Array {
  return PATTERN.subarray(start % BLOCK, (start % BLOCK) + n)
}

/** `a - b` in sequence space: negative where `a` is before `b`. */
function distance(a: number, b: number): number {
  return (a - b) | 0
}

const NOTHING = (): void => {}
const { Syn, Ack, Fin, Rst, Psh } = tcp.Flag

function mssOption(mss: number): Uint8Array {
  return Uint8Array.of(tcp.Option.Mss, 4, mss >> 8, mss & 0xff)
}

/** How a transfer stands. */
export type TransferState = 'connecting' | 'sending' | 'done' | 'refused' | 'timeout'

/** The end that opens a connection, sends `bytes` bytes of the pattern and closes. */
export class Sender {
  state: TransferState = 'connecting'
  readonly bytes: number
  /** The number that its stream starts with: what the connection is known by on the other end, whatever address and port it
   * seems to come from there. */
  readonly isn: number
  readonly #clock: Clock
  readonly #send: SendSegment
  readonly #own: number
  #mss = 536
  #window = 0
  /** Bytes of the stream acknowledged and sent; the FIN is the byte at `bytes`. */
  #acked = 0
  #sent = 0
  /** The most that was ever sent: what may be acknowledged. */
  #high = 0
  #rcvNext = 0
  #attempts = 0
  #timer: number

  constructor(clock: Clock, bytes: number, isn: number, mss: number, send: SendSegment) {
    this.bytes = bytes
    this.isn = isn
    this.#clock = clock
    this.#send = send
    this.#own = mss
    this.#timer = clock.now + RETRANSMIT
    this.#syn()
  }

  get nextTimer(): number {
    return this.#open ? this.#timer : Number.POSITIVE_INFINITY
  }

  get #open(): boolean {
    return this.state === 'connecting' || this.state === 'sending'
  }

  receive(s: Segment): void {
    if ((s.flags & Rst) !== 0) {
      if (this.#open) this.state = 'refused'
      return
    }
    if ((s.flags & Ack) === 0 || this.state === 'refused' || this.state === 'timeout') return
    if (this.state === 'connecting') {
      if ((s.flags & Syn) === 0 || s.ack !== (this.isn + 1) >>> 0) return
      this.state = 'sending'
      this.#rcvNext = (s.seq + 1) >>> 0
      this.#mss = Math.min(this.#own, s.mss < 0 ? 536 : s.mss)
      this.#window = s.window
      this.#progress()
      this.#ackNow()
      this.#push()
      return
    }
    const acked = this.#acked + distance(s.ack, (this.isn + 1 + this.#acked) >>> 0)
    if (acked > this.#acked && acked <= this.#high) {
      this.#acked = acked
      this.#sent = Math.max(this.#sent, acked)
      this.#progress()
    }
    this.#window = s.window
    if ((s.flags & Fin) !== 0 && s.seq === this.#rcvNext && this.#acked > this.bytes) {
      this.#rcvNext = (this.#rcvNext + 1) >>> 0
      this.state = 'done'
      this.#ackNow()
    } else if (this.state === 'done') this.#ackNow()
    else this.#push()
  }

  /** Makes segments no longer than `mss` from now on, and sends again what was not acknowledged: the way does not take
   * more. */
  shrink(mss: number): void {
    if (this.state !== 'sending' || mss >= this.#mss) return
    this.#mss = mss
    this.#sent = Math.min(this.#acked, this.bytes)
    this.#push()
  }

  /** Sends again what was not acknowledged in time, or gives up. */
  tick(): void {
    if (this.nextTimer > this.#clock.now) return
    if (++this.#attempts > ATTEMPTS) {
      this.state = 'timeout'
      return
    }
    this.#timer = this.#clock.now + RETRANSMIT
    if (this.state === 'connecting') this.#syn()
    else {
      // Where only the other end's FIN is missing, ours again makes it answer.
      this.#sent = Math.min(this.#acked, this.bytes)
      this.#push()
    }
  }

  #progress(): void {
    this.#attempts = 0
    this.#timer = this.#clock.now + RETRANSMIT
  }

  #syn(): void {
    this.#send({ seq: this.isn, flags: Syn, window: WINDOW, options: mssOption(this.#own) }, 0, NOTHING)
  }

  #ackNow(): void {
    const seq = (this.isn + 1 + this.#sent) >>> 0
    this.#send({ seq, ack: this.#rcvNext, flags: Ack, window: WINDOW }, 0, NOTHING)
  }

  /** Sends what the window allows. */
  #push(): void {
    while (this.#sent < this.bytes && this.#sent - this.#acked < this.#window) {
      const start = this.#sent
      const n = Math.min(this.#mss, this.bytes - start, this.#window - (start - this.#acked))
      const flags = start + n === this.bytes ? Ack | Psh : Ack
      this.#emit(start, flags, n)
      this.#sent += n
    }
    if (this.#sent === this.bytes) {
      this.#emit(this.bytes, Ack | Fin, 0)
      this.#sent++
    }
  }

  #emit(start: number, flags: number, n: number): void {
    this.#high = Math.max(this.#high, start + Math.max(n, 1))
    const seq = (this.isn + 1 + start) >>> 0
    this.#send({ seq, ack: this.#rcvNext, flags, window: WINDOW }, n, (b, at) => {
      b.set(payload(start, n), at)
    })
  }
}

/** The end that waits for a connection, takes the data in and compares it. */
export class Receiver {
  /** Bytes that have come in order. */
  received = 0
  /** Whether each of them was the pattern's. */
  intact = true
  /** Whether the other end has closed. */
  closed = false
  /** The number that the other end's stream started with; -1 before. */
  peerIsn = -1
  readonly #send: SendSegment
  readonly #isn: number
  readonly #mss: number
  #next = 0
  #open = false

  constructor(isn: number, mss: number, send: SendSegment) {
    this.#send = send
    this.#isn = isn
    this.#mss = mss
  }

  receive(s: Segment): void {
    if ((s.flags & Rst) !== 0) return
    if ((s.flags & Syn) !== 0) {
      this.#open = true
      this.peerIsn = s.seq
      this.#next = (s.seq + 1) >>> 0
      const options = mssOption(this.#mss)
      this.#send({ seq: this.#isn, ack: this.#next, flags: Syn | Ack, window: WINDOW, options }, 0, NOTHING)
      return
    }
    if (!this.#open) {
      this.#send({ seq: s.ack, flags: Rst }, 0, NOTHING)
      return
    }
    const n = s.data.length
    if (n === 0 && (s.flags & Fin) === 0) return
    if (s.seq === this.#next && !this.closed) {
      const expected = payload(this.received, n)
      for (let i = 0; i < n; i++) if (s.data[i] !== expected[i]) this.intact = false
      this.received += n
      this.closed = (s.flags & Fin) !== 0
      this.#next = (this.#next + n + (this.closed ? 1 : 0)) >>> 0
    }
    const flags = this.closed ? Ack | Fin : Ack
    this.#send({ seq: (this.#isn + 1) >>> 0, ack: this.#next, flags, window: WINDOW }, 0, NOTHING)
  }
}
