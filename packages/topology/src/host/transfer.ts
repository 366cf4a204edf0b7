import type { Connection, Listener, Speech } from './tcp.ts'

/*
 * A transfer: so many bytes of a pattern over a TCP connection, which the other end knows and compares. The pattern is a
 * block whose length is a prime, over and over, so that a piece that is lost, doubled or out of its place does not fit.
 */

const BLOCK = 65_521
/** Twice in a row, so that any piece of it lies in one place. */
const PATTERN: Uint8Array = Uint8Array.from({ length: 2 * BLOCK }, (_, i) => ((i % BLOCK) * 167) ^ ((i % BLOCK) >> 8))

/** The `n` bytes of a transfer from its byte `start` on; `n` is at most the block. */
function payload(start: number, n: number): Uint8Array {
  return PATTERN.subarray(start % BLOCK, (start % BLOCK) + n)
}

/** What the sending end says. */
export function pattern(bytes: number): Speech {
  return { length: bytes, piece: payload }
}

/** The end that takes a transfer in, compares it, and closes after the other end has. */
export class Receiver implements Listener {
  /** Bytes that have come in order. */
  bytes = 0
  /** Whether each of them was the pattern's. */
  intact = true
  /** Whether the other end has closed. */
  closed = false
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** The number that the other end's stream started with; -1 before. */
  get peerIsn(): number {
    return this.#connection.peerIsn
  }

  received(data: Uint8Array): void {
    const expected = payload(this.bytes, data.length)
    for (let i = 0; i < data.length; i++) if (data[i] !== expected[i]) this.intact = false
    this.bytes += data.length
  }

  ended(): void {
    this.closed = true
    this.#connection.end()
  }
}
