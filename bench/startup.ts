/**
 * How long does it take to start, and to grow? The command is run as people run it, on a switch with two hosts:
 *
 *   first frame      from the start of `l2l3 up` until a ping has crossed the switch and come back: Node's own start, the modules, the
 *                    file, what is built, the first check
 *   endpoints        from the question to the answer of `apply` over the control socket: so many endpoints more, all of them working
 *
 * In memory, or on Linux, where an endpoint is a namespace with a TAP device, and the system's commands take their time.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runBase } from '@l2l3/topology'

const COMMAND: string = fileURLToPath(new URL('../packages/cli/bin/l2l3.js', import.meta.url))

/** What a start took, in milliseconds. */
export interface StartFigures {
  readonly firstFrame: number
  /** How long it took to add endpoints; null where none were. */
  readonly grow: number | null
}

function topology(name: string, endpoints: number): string {
  const hosts = Array.from(
    { length: endpoints },
    (_, i) => `      h${i + 1}: { ip: 10.0.${(i + 1) >> 8}.${(i + 1) & 255}/16 }`,
  )
  return `name: ${name}
nodes:
  sw1:
    mode: switch
    endpoints:
${hosts.join('\n')}
checks:
  - ping: { from: h1, to: h2, count: 1 }
`
}

interface Started {
  readonly child: ReturnType<typeof spawn>
  readonly ended: Promise<number | null>
  /** Milliseconds since the start until it has said `word`. */
  until(word: string): Promise<number>
}

function start(...args: string[]): Started {
  const began = performance.now()
  const child = spawn(process.execPath, [COMMAND, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  // A run that is interrupted takes what it has started with it.
  const leave = (): boolean => child.kill('SIGTERM')
  process.on('exit', leave)
  let said = ''
  let heard = (): void => {}
  const ended = new Promise<number | null>((resolve) => {
    child.on('close', (code) => {
      process.off('exit', leave)
      resolve(code)
      heard()
    })
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      said += text
      heard()
    })
  }
  const until = async (word: string): Promise<number> => {
    while (!said.includes(word)) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`l2l3 ${args.join(' ')}:\n${said}`)
      await new Promise<void>((resolve) => {
        heard = resolve
      })
    }
    return performance.now() - began
  }
  return { child, ended, until }
}

/** Asks a running topology over its control socket; gives the answer. */
function ask(name: string, question: object): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const socket = connect(join(runBase(), name, 'control.sock'))
    let said = ''
    socket.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (!said.includes('\n')) return
      socket.end()
      resolve(JSON.parse(said) as Record<string, unknown>)
    })
    socket.on('error', reject)
    socket.write(`${JSON.stringify(question)}\n`)
  })
}

/** Starts once and, if `endpoints` is above 0, adds so many to a running one. */
export async function startUp({ memory, endpoints }: { memory: boolean; endpoints: number }): Promise<StartFigures> {
  if (!existsSync(COMMAND.replace('bin/l2l3.js', 'dist/main.js'))) throw new Error('not compiled: npm run setup')
  const folder = mkdtempSync(join(tmpdir(), 'l2l3-start-'))
  const name = `bench-start-${process.pid}`
  const file = join(folder, 'net.yaml')
  writeFileSync(file, topology(name, 2))
  const where = memory ? ['--memory'] : []
  try {
    const first = start('up', file, '--check', ...where)
    const firstFrame = await first.until('answered')
    const status = await first.ended
    if (status !== 0) throw new Error(`l2l3 up --check: exit status ${status}`)
    if (endpoints === 0) return { firstFrame, grow: null }
    const runs = start('up', file, ...where)
    await runs.until(' is up ')
    const began = performance.now()
    const answer = await ask(name, {
      ask: 'apply',
      topology: topology(name, 2 + endpoints),
      file: 'net.yaml',
      dry: false,
    })
    const grow = performance.now() - began
    runs.child.kill('SIGTERM')
    await runs.ended
    if (!Array.isArray(answer.changes) || answer.changes.length < endpoints)
      throw new Error(`apply: ${JSON.stringify(answer)}`)
    return { firstFrame, grow }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
