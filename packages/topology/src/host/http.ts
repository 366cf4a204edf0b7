import { type Connection, type Listener, speech } from './tcp.ts'

/*
 * As much HTTP/1.1 (RFC 9112) as a check takes: one GET a connection, answered and closed.
 *
 *     GET / HTTP/1.1        ->
 *     Host: 10.0.0.2
 *                           <-    HTTP/1.1 200 OK
 *                                 Content-Length: 4
 *
 *                                 web
 */

/** The most that a request, or an answer, may have, in bytes. */
const LONGEST = 65_536
const END = '\r\n\r\n'

const REASONS: Readonly<Record<number, string>> = { 200: 'OK', 204: 'No Content', 404: 'Not Found' }

/** What a server answers. */
export interface Page {
  readonly url: string
  readonly status: number
  readonly body: string
}

/** What has come of a request; it changes as time goes on. */
export interface HttpAnswer {
  /** Null until the answer is whole. */
  status: number | null
  body: string
  /** Whether there is nothing more to wait for; without status where it was no answer. */
  done: boolean
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Bytes as they come, up to the longest there may be. */
class Text {
  #bytes: Uint8Array = new Uint8Array(0)

  add(data: Uint8Array): void {
    const all = new Uint8Array(Math.min(LONGEST, this.#bytes.length + data.length))
    all.set(this.#bytes)
    all.set(data.subarray(0, all.length - this.#bytes.length), this.#bytes.length)
    this.#bytes = all
  }

  /** Head and body; null while the head is not whole. */
  get parts(): { head: string; body: Uint8Array } | null {
    // The head is ASCII: as many characters as bytes.
    const text = Array.from(this.#bytes, (byte) => String.fromCharCode(byte)).join('')
    const end = text.indexOf(END)
    return end < 0 ? null : { head: text.slice(0, end), body: this.#bytes.subarray(end + END.length) }
  }
}

/** Serves pages over a connection: the first request is answered, and the connection closed. */
export function servePages(connection: Connection, page: (url: string) => Page | undefined): Listener {
  const request = new Text()
  let answered = false
  return {
    received(data) {
      if (answered) return
      request.add(data)
      const { head } = request.parts ?? {}
      if (head === undefined) return
      answered = true
      const [, method, url = ''] = /^(\S+) (\S+) HTTP\/1\.[01](\r\n|$)/.exec(head) ?? []
      const found = method === 'GET' ? page(url) : undefined
      const { status, body } = found ?? { status: 404, body: 'there is nothing here\n' }
      connection.say(speech(answer(status, body)), true)
    },
    ended: () => connection.end(),
  }
}

function answer(status: number, body: string): Uint8Array {
  const text = bytes(body)
  const lines = [
    `HTTP/1.1 ${status} ${REASONS[status] ?? 'As Asked For'}`,
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${text.length}`,
    'Connection: close',
  ]
  return Uint8Array.of(...bytes(lines.join('\r\n') + END), ...text)
}

/** Asks for a page over a connection that is not open yet; `host` is whom, as a URL has it. */
export function getPage(connection: Connection, host: string, url: string): HttpAnswer {
  const found: HttpAnswer = { status: null, body: '', done: false }
  const text = new Text()
  const read = (whole: boolean): void => {
    const parts = text.parts
    if (parts === null) return
    const [, status] = /^HTTP\/1\.[01] (\d{3})/.exec(parts.head) ?? []
    const [, given] = /\r\ncontent-length: *(\d+)/i.exec(parts.head) ?? []
    const length = given === undefined ? parts.body.length : Number(given)
    if (status === undefined || parts.body.length < length || (given === undefined && !whole)) return
    found.status = Number(status)
    found.body = new TextDecoder().decode(parts.body.subarray(0, length))
    found.done = true
  }
  connection.listener = {
    received(data) {
      if (found.done) return
      text.add(data)
      read(false)
    },
    ended() {
      if (!found.done) read(true)
      found.done = true
      connection.end()
    },
  }
  const lines = [`GET ${url} HTTP/1.1`, `Host: ${host}`, 'User-Agent: l2l3', 'Accept: */*', 'Connection: close']
  connection.say(speech(bytes(lines.join('\r\n') + END)), false)
  connection.connect()
  return found
}
