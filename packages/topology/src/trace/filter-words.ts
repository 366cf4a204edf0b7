/* The words of a filter, each with its place, and what is said where one is wrong. */

/** Words of a filter at most: each may be a call within another for every frame. */
const MOST = 500
/** Characters of a filter that are shown where it is wrong. */
const LINE = 200

/** A filter that cannot be read: says what is wrong, and where. */
export class FilterError extends Error {
  /** The character that it is about, from 0. */
  readonly at: number
  /** What is wrong there, without the place. */
  readonly reason: string

  constructor(filter: string, at: number, reason: string) {
    const from = filter.length <= LINE ? 0 : Math.max(0, at - LINE / 2)
    const part = filter.slice(from, from + LINE)
    super(`the filter is wrong at character ${at + 1}: ${reason}\n  ${part}\n  ${' '.repeat(at - from)}^`)
    this.name = 'FilterError'
    this.at = at
    this.reason = reason
  }
}

interface Word {
  readonly text: string
  readonly at: number
}

const SIGNS: Readonly<Record<string, string>> = { '&&': 'and', '||': 'or', '!': 'not' }

/** The words of a filter, one after the other. */
export class Words {
  readonly #filter: string
  readonly #words: readonly Word[]
  #next = 0

  constructor(filter: string) {
    this.#filter = filter
    this.#words = Array.from(filter.matchAll(/\(|\)|&&|\|\||!|[^\s()!&|]+|[&|]/g), (match) => ({
      text: SIGNS[match[0]] ?? match[0],
      at: match.index,
    }))
    const beyond = this.#words[MOST]
    if (beyond !== undefined) throw new FilterError(filter, beyond.at, `it has more than ${MOST} words`)
  }

  /** The next word, which stays; '' at the end. */
  get next(): string {
    return this.#words[this.#next]?.text ?? ''
  }

  /** Takes the next word. */
  take(): string {
    const text = this.next
    this.#next++
    return text
  }

  /** Takes the next word where it is one of these. */
  takeIf(...texts: readonly string[]): string | null {
    return texts.includes(this.next) ? this.take() : null
  }

  /** Says that the next word is wrong (`back` 0), or one before it. */
  fail(reason: string, back = 0): never {
    const word = this.#words[this.#next - back]
    throw new FilterError(this.#filter, word?.at ?? this.#filter.length, reason)
  }

  /** The next word for people. */
  get said(): string {
    return this.next === '' ? 'nothing' : `"${this.next}"`
  }
}
