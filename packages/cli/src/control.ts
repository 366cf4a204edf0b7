import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import type { Snapshot } from '@l2l3/topology'

/*
 * The socket by which other commands ask a running topology: a Unix socket of mode 0600 in a directory of mode 0700, so
 * that only its owner may use it. One question a line, one answer a line, both JSON:
 *
 *     {"ask":"snapshot"}                                ->  {"snapshot":{"name":"two","ports":[...],"ledger":{...}}}
 *     {"ask":"apply","topology":TEXT,"file":NAME}       ->  {"changes":[{"text":"+ endpoint sw1/green",...}]}
 *     {"ask":"apply",...,"dry":true}                    ->  the same, not made
 *     {"ask":"trace","filter":F,"count":N,"rate":R}     ->  {"trace":{...}} for each, then
 *                                                           {"end":true,"skipped":0,"seen":9,"matched":2,"traced":2}
 *     {"ask":"down"}                                    ->  {"down":true}, and it ends
 *     anything else                                     ->  {"error":"..."}
 *
 * A client's questions are answered one after the other. Nobody can make it hold much: a line has a longest length,
 * clients a number and a time to say something, answers wait for a slow reader a while, and what traces a slow one has
 * no room for are counted and left out. A trace goes on while the client keeps its side open.
 */

/** What is asked, and by whom it is answered. */
export interface Answers {
  snapshot(): Promise<Snapshot>
  /** Says what `topology` changes of what runs; makes the changes unless `dry`. */
  apply(topology: string, file: string, dry: boolean): Promise<readonly ChangeText[]>
  /** Tells of every trace until there were enough, or until the signal; then how many frames there were. */
  trace(question: TraceQuestion, onTrace: (trace: unknown) => void, signal: AbortSignal): Promise<object>
  /** Ends what runs. */
  down(): void
}

/** A change, to people. */
export interface ChangeText {
  /** "+ endpoint sw1/green 10.0.0.3/24" */
  readonly text: string
  /** Why what runs cannot take it; null where it can. */
  readonly restart: string | null
}

/** What to trace. */
export interface TraceQuestion {
  /** Which frames; all where it is not given. */
  readonly filter?: string
  /** How many. */
  readonly count?: number
  /** At most so many a second. */
  readonly rate?: number
}

/** How much there may be; the defaults are what a running topology has. */
export interface ControlLimits {
  /** Longest question, in characters: a topology file fits. */
  readonly longest: number
  readonly clients: number
  /** Milliseconds that a slow reader may take for an answer. */
  readonly patience: number
  /** Milliseconds in which a client must ask something. */
  readonly idle: number
  /** Bytes of traces that wait for a slow reader. */
  readonly waiting: number
}

const LIMITS: ControlLimits = { longest: 1 << 22, clients: 64, patience: 5000, idle: 60_000, waiting: 1 << 22 }

/** Answers questions at `path` until closed. */
export class ControlServer {
  readonly #server: Server
  readonly #path: string
  readonly #clients: Set<Client> = new Set()

  private constructor(server: Server, path: string) {
    this.#server = server
    this.#path = path
  }

  /** Rejects where the socket cannot be opened. */
  static listen(path: string, answers: Answers, limits: Partial<ControlLimits> = {}): Promise<ControlServer> {
    const within = { ...LIMITS, ...limits }
    return new Promise((resolve, reject) => {
      // A client that has asked all may close its side and still read the answers: `echo ... | nc -U`.
      const server = createServer({ allowHalfOpen: true })
      const control = new ControlServer(server, path)
      server.on('connection', (socket) => control.#serve(socket, answers, within))
      server.on('error', reject)
      server.listen(path, () => {
        chmodSync(path, 0o600)
        resolve(control)
      })
    })
  }

  close(): void {
    this.#server.close()
    for (const client of this.#clients) client.socket.destroy()
    rmSync(this.#path, { force: true })
  }

  #serve(socket: Socket, answers: Answers, limits: ControlLimits): void {
    if (this.#clients.size >= limits.clients) {
      socket.on('error', () => {})
      socket.end(`${JSON.stringify({ error: `${limits.clients} clients are being answered already` })}\n`)
      return
    }
    const client = new Client(socket, answers, limits)
    this.#clients.add(client)
    socket.on('close', () => this.#clients.delete(client))
  }
}

/** One who asks. */
class Client {
  readonly socket: Socket
  readonly #answers: Answers
  readonly #limits: ControlLimits
  /** Aborted when the client has gone, or has closed its side. */
  readonly #gone: AbortController = new AbortController()
  #text = ''
  #answering = false
  #ended = false

  constructor(socket: Socket, answers: Answers, limits: ControlLimits) {
    this.socket = socket
    this.#answers = answers
    this.#limits = limits
    socket.setEncoding('utf8')
    socket.setTimeout(limits.idle, () => {
      if (!this.#answering) socket.destroy()
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => this.#gone.abort())
    socket.on('end', () => {
      this.#ended = true
      this.#gone.abort()
      void this.#next()
    })
    socket.on('data', (data: string) => {
      this.#text += data
      if (this.#text.length > limits.longest) socket.destroy()
      else if (data.includes('\n')) void this.#next()
    })
  }

  /** Answers what has been asked, line by line. */
  async #next(): Promise<void> {
    if (this.#answering) return
    this.#answering = true
    for (let end = this.#text.indexOf('\n'); end >= 0; end = this.#text.indexOf('\n')) {
      const line = this.#text.slice(0, end)
      this.#text = this.#text.slice(end + 1)
      if (line.trim() !== '') await this.#answer(line)
    }
    this.#answering = false
    if (this.#ended) this.socket.end()
  }

  async #answer(line: string): Promise<void> {
    try {
      const question = JSON.parse(line) as Record<string, unknown> | null
      switch (question?.ask) {
        case 'snapshot':
          return await this.#say({ snapshot: await this.#answers.snapshot() })
        case 'apply': {
          const { topology, file = 'topology', dry = false } = question
          if (typeof topology !== 'string' || typeof file !== 'string' || typeof dry !== 'boolean') {
            throw new Error('expected {"ask":"apply","topology":TEXT,"file":NAME,"dry":false}')
          }
          return await this.#say({ changes: await this.#answers.apply(topology, file, dry) })
        }
        case 'trace':
          return await this.#trace(question)
        case 'down':
          await this.#say({ down: true })
          return this.#answers.down()
        default:
          throw new Error('expected {"ask":"snapshot"}, or "apply", "trace" or "down"')
      }
    } catch (error) {
      await this.#say({ error: error instanceof Error ? error.message : String(error) })
    }
  }

  async #trace({ filter, count, rate }: Record<string, unknown>): Promise<void> {
    const number = (value: unknown): boolean => value === undefined || (Number.isFinite(value) && Number(value) > 0)
    if (!(filter === undefined || typeof filter === 'string') || !number(count) || !number(rate)) {
      throw new Error('expected {"ask":"trace","filter":TEXT,"count":NUMBER,"rate":NUMBER}')
    }
    let skipped = 0
    const onTrace = (trace: unknown): void => {
      if (this.socket.writableLength > this.#limits.waiting) skipped++
      else if (this.socket.writable) this.socket.write(`${JSON.stringify({ trace })}\n`)
    }
    const report = await this.#answers.trace({ filter, count, rate } as TraceQuestion, onTrace, this.#gone.signal)
    await this.#say({ end: true, skipped, ...report })
  }

  /** Sends an answer, and waits for a reader that is slow. */
  #say(answer: object): Promise<void> {
    const { socket } = this
    return new Promise((resolve) => {
      if (!socket.writable) return resolve()
      const late = setTimeout(() => socket.destroy(), this.#limits.patience)
      const done = (): void => {
        clearTimeout(late)
        socket.off('close', done)
        resolve()
      }
      socket.on('close', done)
      socket.write(`${JSON.stringify(answer)}\n`, done)
    })
  }
}
