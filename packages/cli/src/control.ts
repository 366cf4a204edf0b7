import { chmodSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Snapshot } from '@l2l3/topology'

/*
 * The socket by which `l2l3 show` asks a running topology: a Unix socket of mode 0600 in a directory of mode 0700, so
 * that only its owner may use it. One question a line, one answer a line, both JSON:
 *
 *     {"ask":"snapshot"}     ->  {"snapshot":{"name":"two","ports":[...],"fdb":[...],"ledger":{...}}}
 *     anything else          ->  {"error":"..."}
 */

/** Longest question, in characters. */
const LONGEST = 1024
/** Milliseconds that an answer may take. */
const PATIENCE = 5000

/** Answers questions at `path` until closed. */
export class ControlServer {
  readonly #server: Server
  readonly #path: string
  readonly #sockets: Set<Socket> = new Set()

  private constructor(server: Server, path: string) {
    this.#server = server
    this.#path = path
  }

  static listen(path: string, snapshot: () => Snapshot): Promise<ControlServer> {
    return new Promise((resolve, reject) => {
      const server = createServer()
      const control = new ControlServer(server, path)
      server.on('connection', (socket) => control.#serve(socket, snapshot))
      server.on('error', reject)
      server.listen(path, () => {
        chmodSync(path, 0o600)
        resolve(control)
      })
    })
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    rmSync(this.#path, { force: true })
  }

  #serve(socket: Socket, snapshot: () => Snapshot): void {
    this.#sockets.add(socket)
    let text = ''
    socket.setEncoding('utf8')
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.on('data', (data: string) => {
      text += data
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        socket.write(`${JSON.stringify(answer(text.slice(0, end), snapshot))}\n`)
        text = text.slice(end + 1)
      }
      if (text.length > LONGEST) socket.destroy()
    })
  }
}

function answer(line: string, snapshot: () => Snapshot): { snapshot: Snapshot } | { error: string } {
  try {
    const question = JSON.parse(line) as { ask?: unknown } | null
    if (question?.ask === 'snapshot') return { snapshot: snapshot() }
    return { error: 'the only question is {"ask":"snapshot"}' }
  } catch (error) {
    return { error: (error as Error).message }
  }
}

/** Asks a running topology for its snapshot. */
export function askSnapshot(path: string): Promise<Snapshot> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    let text = ''
    socket.setTimeout(PATIENCE, () => socket.destroy(new Error('no answer from the running topology')))
    socket.setEncoding('utf8')
    socket.on('connect', () => socket.write('{"ask":"snapshot"}\n'))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the running topology ended before it answered')))
    socket.on('data', (data: string) => {
      text += data
      if (!text.endsWith('\n')) return
      try {
        const message = JSON.parse(text) as { snapshot?: Snapshot; error?: string }
        if (message.snapshot === undefined) reject(new Error(message.error ?? 'an answer without a snapshot'))
        else resolve(message.snapshot)
      } catch (error) {
        reject(error as Error)
      }
      socket.destroy()
    })
  })
}
