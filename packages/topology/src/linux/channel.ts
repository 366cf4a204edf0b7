/*
 * Questions and answers between a process and one that it has forked, over the channel that Node keeps between them.
 *
 *     { ask: 7, what: 'snapshot', body }   ->
 *                                          <-   { answer: 7, value }  or  { answer: 7, error: 'a sentence' }
 *                                          <-   { tell: 'failed', body }       wants no answer
 *
 * Both ends may ask and tell. A question is answered with an error where the other end goes away first.
 */

/** An end: a child process, or `process` in the child. */
interface End {
  send?(message: unknown, ...rest: unknown[]): boolean
  on(event: 'message', listener: (message: unknown) => void): unknown
}

/** What is asked and told, by name: what comes back is the answer, or a promise of it. */
export type Ears = Readonly<Record<string, (body: never) => unknown>>

interface Message {
  readonly ask?: number
  readonly what?: string
  readonly tell?: string
  readonly answer?: number
  readonly body?: unknown
  readonly value?: unknown
  readonly error?: string
}

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

/** One end of a channel. */
export class Channel {
  readonly #end: End
  readonly #ears: Ears
  readonly #waiting: Map<number, Waiting> = new Map()
  #asked = 0
  #closed: string | null = null

  constructor(end: End, ears: Ears) {
    this.#end = end
    this.#ears = ears
    end.on('message', (message) => this.#hear(message as Message))
  }

  /** Asks; rejects with an Error of the sentence that the other end answers with. */
  ask<T>(what: string, body?: unknown): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed !== null) {
        reject(new Error(this.#closed))
        return
      }
      const ask = this.#asked++
      this.#waiting.set(ask, { resolve: resolve as (value: unknown) => void, reject })
      this.#send({ ask, what, body })
    })
  }

  /** Says something that wants no answer. */
  tell(what: string, body?: unknown): void {
    if (this.#closed === null) this.#send({ tell: what, body })
  }

  /** The other end is gone, and why: what waits for its answer is rejected. */
  close(why: string): void {
    this.#closed ??= why
    for (const { reject } of this.#waiting.values()) reject(new Error(why))
    this.#waiting.clear()
  }

  #send(message: Message): void {
    // What cannot be sent any more is heard of by the end of the other process.
    this.#end.send?.(message, undefined, undefined, () => {})
  }

  #hear(message: Message): void {
    const { ask, what, tell, answer, body } = message
    if (answer !== undefined) {
      const waiting = this.#waiting.get(answer)
      this.#waiting.delete(answer)
      if (message.error === undefined) waiting?.resolve(message.value)
      else waiting?.reject(new Error(message.error))
    } else if (tell !== undefined) {
      this.#ears[tell]?.(body as never)
    } else if (ask !== undefined && what !== undefined) {
      void this.#answer(ask, what, body)
    }
  }

  async #answer(answer: number, what: string, body: unknown): Promise<void> {
    try {
      const ear = this.#ears[what]
      if (ear === undefined) throw new Error(`nobody here knows "${what}"`)
      this.#send({ answer, value: await ear(body as never) })
    } catch (error) {
      this.#send({ answer, error: (error as Error).message })
    }
  }
}
