import { type Clock, SECOND } from '@l2l3/switch-core'
import { tcp } from '@l2l3/switch-core/wire'

/*
 * As much TCP as talk over a link takes (RFC 9293): handshake, data in order both ways, acknowledgement of every segment, a
 * window of 64 KiB, FIN both ways. What comes ahead of its turn is kept until then. What is lost is sent again when three
 * acknowledgements have asked for it (RFC 5681 3.2, RFC 6582), and all that is missing after a second without any. No options
 * but the segment size, no congestion control: the link is a virtual one.
 *
 *     who connects                who listens
 *     SYN (MSS)          ->
 *                        <-       SYN ACK (MSS)
 *     ACK, data ...      ->       its user gets the bytes in order
 *                        <-       ACK, data ...
 *     FIN                ->
 *                        <-       FIN ACK
 *     ACK                ->
 */

const RETRANSMIT: number = SECOND
const ATTEMPTS = 5
const WINDOW = 65_535
/** Acknowledgements of the same byte that ask for it again. */
const DUPLICATES = 3
/** Segments ahead of their turn that are kept at most. */
const AHEAD = 256

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

/** What an end has to say: `length` bytes, of which it is asked for pieces again and again. */
export interface Speech {
  readonly length: number
  /** The `n` bytes from `start` on. */
  piece(start: number, n: number): Uint8Array
}

/** Whoever listens to what comes in by a connection. */
export interface Listener {
  /** The next bytes, in order. */
  received(data: Uint8Array): void
  /** The other end has said all. */
  ended(): void
}

/** How a connection stands: before a SYN came, or was answered; while it lasts; when all was said both ways; and where the
 * other end said no, or nothing. */
export type ConnectionState = 'listening' | 'connecting' | 'open' | 'done' | 'refused' | 'timeout'

/** Bytes as a speech. */
export function speech(bytes: Uint8Array): Speech {
  return { length: bytes.length, piece: (start, n) => bytes.subarray(start, start + n) }
}

/** `a - b` in sequence space: negative where `a` is before `b`. */
function distance(a: number, b: number): number {
  return (a - b) | 0
}

const NOTHING = (): void => {}
const SILENCE: Speech = speech(new Uint8Array(0))
const { Syn, Ack, Fin, Rst, Psh } = tcp.Flag

function mssOption(mss: number): Uint8Array {
  return Uint8Array.of(tcp.Option.Mss, 4, mss >> 8, mss & 0xff)
}

/** One end of a connection. */
export class Connection {
  state: ConnectionState = 'listening'
  /** The number that its own stream starts with: what the connection is known by on the other end, whatever address and port
   * it seems to come from there. */
  readonly isn: number
  /** The number that the other end's stream started with; -1 before. */
  peerIsn = -1
  /** Who hears what comes in. */
  listener: Listener = { received: NOTHING, ended: NOTHING }
  readonly #clock: Clock
  readonly #send: SendSegment
  readonly #own: number
  #mss = 536
  #window = WINDOW
  #speech: Speech = SILENCE
  #last = false
  /** Whether it has begun the connection. */
  #active = false
  /** Bytes of the stream acknowledged and sent; the FIN is the byte behind the last. */
  #acked = 0
  #sent = 0
  /** The most that was ever sent: what may be acknowledged. */
  #high = 0
  /** How often the other end has said again where it stands, and up to where it had been sent when it was last believed. */
  #duplicates = 0
  #recover = 0
  #rcvNext = 0
  /** Segments that came ahead of their turn, by sequence number. */
  readonly #ahead: Map<number, Segment> = new Map()
  #heardAll = false
  /** Segments sent with something in them. */
  #emitted = 0
  #attempts = 0
  #timer = 0

  /** @param mss longest segment that it sends and takes */
  constructor(clock: Clock, isn: number, mss: number, send: SendSegment) {
    this.#clock = clock
    this.isn = isn
    this.#own = mss
    this.#send = send
  }

  /** When it has to do something without being told to; Infinity for never. */
  get nextTimer(): number {
    const waits = this.#active || this.#acked < this.#high
    return this.#alive && waits ? this.#timer : Number.POSITIVE_INFINITY
  }

  get #alive(): boolean {
    return this.state === 'connecting' || this.state === 'open'
  }

  /** Opens the connection. */
  connect(): void {
    this.#active = true
    this.state = 'connecting'
    this.#progress()
    this.#syn()
  }

  /** Says something, once it is open; only once. `last` says that there is nothing more to come. */
  say(what: Speech, last: boolean): void {
    this.#speech = what
    this.#last = last
  }

  /** There is nothing more to say. */
  end(): void {
    this.#last = true
  }

  receive(s: Segment): void {
    if ((s.flags & Rst) !== 0) {
      if (this.#alive) this.state = 'refused'
      return
    }
    if ((s.flags & Syn) !== 0) {
      this.#opened(s)
      return
    }
    if (this.state === 'listening') {
      this.#send({ seq: s.ack, flags: Rst }, 0, NOTHING)
      return
    }
    if ((s.flags & Ack) === 0 || !(this.state === 'open' || this.state === 'done')) return
    const asks = s.data.length > 0 || (s.flags & Fin) !== 0
    this.#acknowledged(this.#acked + distance(s.ack, (this.isn + 1 + this.#acked) >>> 0), asks)
    this.#window = s.window
    if (asks) this.#hear(s)
    const before = this.#emitted
    this.#push()
    if (asks && this.#emitted === before) this.#acknowledge()
    if (this.#heardAll && this.#acked > this.#speech.length) this.state = 'done'
  }

  /** Makes segments no longer than `mss` from now on, and sends again what was not acknowledged: the way does not take
   * more. */
  shrink(mss: number): void {
    if (this.state !== 'open' || mss >= this.#mss) return
    this.#mss = mss
    this.#again()
  }

  /** Nobody waits for it any more: it says nothing further. */
  abandon(): void {
    if (this.#alive) this.state = 'timeout'
  }

  /** What asked for the connection did not get there. */
  unreachable(): void {
    if (this.state === 'connecting') this.state = 'refused'
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
    // Where only the other end's FIN is missing, ours again makes it answer.
    else this.#again()
  }

  /** A SYN has come, as a question or as an answer. */
  #opened(s: Segment): void {
    if (this.state === 'connecting') {
      if ((s.flags & Ack) === 0 || s.ack !== (this.isn + 1) >>> 0) return
    } else if (this.#active) return
    else if (this.state !== 'listening') {
      // It came twice, or the answer was lost: what was heard since stays heard.
      this.#welcome()
      return
    }
    this.peerIsn = s.seq
    this.#rcvNext = (s.seq + 1) >>> 0
    this.#mss = Math.min(this.#own, s.mss < 0 ? 536 : s.mss)
    this.#window = s.window
    this.state = 'open'
    this.#progress()
    if (this.#active) {
      this.#acknowledge()
      this.#push()
    } else this.#welcome()
  }

  /** Answers the other end's SYN. */
  #welcome(): void {
    const ack = (this.peerIsn + 1) >>> 0
    this.#send({ seq: this.isn, ack, flags: Syn | Ack, window: WINDOW, options: mssOption(this.#own) }, 0, NOTHING)
  }

  /** The other end has all bytes of the stream before `acked`. */
  #acknowledged(acked: number, asks: boolean): void {
    if (acked > this.#acked && acked <= this.#high) {
      this.#acked = acked
      this.#sent = Math.max(this.#sent, acked)
      this.#duplicates = 0
      this.#progress()
      // More than one was missing: this is where the next hole is.
      if (acked < this.#recover) this.#missing()
    } else if (acked === this.#acked && acked < this.#high && !asks && acked >= this.#recover) {
      if (++this.#duplicates < DUPLICATES) return
      this.#recover = this.#high
      this.#missing()
    }
  }

  /** Sends again what the other end waits for. */
  #missing(): void {
    const { length } = this.#speech
    const n = Math.min(this.#mss, length - this.#acked)
    if (n > 0) this.#emit(this.#acked, Ack, n)
    else this.#emit(length, Ack | Fin, 0)
  }

  /** Takes in what is next in order, and keeps what is ahead of its turn. */
  #hear(s: Segment): void {
    if (this.#heardAll) return
    const ahead = distance(s.seq, this.#rcvNext)
    if (ahead > 0 && ahead + s.data.length <= WINDOW && this.#ahead.size < AHEAD) {
      this.#ahead.set(s.seq, { ...s, data: s.data.slice() })
    }
    if (ahead !== 0) return
    this.#progress()
    for (let next: Segment | undefined = s; next !== undefined; next = this.#ahead.get(this.#rcvNext)) {
      this.#ahead.delete(next.seq)
      this.#rcvNext = (this.#rcvNext + next.data.length) >>> 0
      if (next.data.length > 0) this.listener.received(next.data)
      if ((next.flags & Fin) === 0) continue
      this.#heardAll = true
      this.#rcvNext = (this.#rcvNext + 1) >>> 0
      this.#ahead.clear()
      this.listener.ended()
      return
    }
    for (const seq of this.#ahead.keys()) if (distance(seq, this.#rcvNext) < 0) this.#ahead.delete(seq)
  }

  #progress(): void {
    this.#attempts = 0
    this.#timer = this.#clock.now + RETRANSMIT
  }

  #syn(): void {
    this.#send({ seq: this.isn, flags: Syn, window: WINDOW, options: mssOption(this.#own) }, 0, NOTHING)
  }

  /** Acknowledges; with the FIN again where that was sent and is not acknowledged itself. */
  #acknowledge(): void {
    if (this.#sent > this.#speech.length && this.#acked === this.#speech.length) {
      this.#emit(this.#speech.length, Ack | Fin, 0)
      return
    }
    const seq = (this.isn + 1 + this.#sent) >>> 0
    this.#send({ seq, ack: this.#rcvNext, flags: Ack, window: WINDOW }, 0, NOTHING)
  }

  /** Sends again from where the other end stands. */
  #again(): void {
    this.#sent = Math.min(this.#acked, this.#speech.length)
    this.#push()
  }

  /** Sends what the window allows. */
  #push(): void {
    const { length } = this.#speech
    while (this.#sent < length && this.#sent - this.#acked < this.#window) {
      const start = this.#sent
      const n = Math.min(this.#mss, length - start, this.#window - (start - this.#acked))
      this.#emit(start, start + n === length ? Ack | Psh : Ack, n)
      this.#sent += n
    }
    if (this.#sent === length && this.#last) {
      this.#emit(length, Ack | Fin, 0)
      this.#sent++
    }
  }

  #emit(start: number, flags: number, n: number): void {
    this.#emitted++
    if (this.#acked === this.#high) this.#timer = this.#clock.now + RETRANSMIT
    this.#high = Math.max(this.#high, start + Math.max(n, 1))
    const seq = (this.isn + 1 + start) >>> 0
    this.#send({ seq, ack: this.#rcvNext, flags, window: WINDOW }, n, (b, at) => {
      b.set(this.#speech.piece(start, n), at)
    })
  }
}
