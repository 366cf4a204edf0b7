/** Runs a program in the foreground of a script: its output is ours, a signal is passed on, its status becomes ours. */
import { spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Root of the repository. */
export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Runs `command` in the root; resolves to its exit status (128 + signal number where a signal ended it). */
export function run(command, args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } })
    const pass = (signal) => child.kill(signal)
    // A terminal's Ctrl-C reaches the child as well; here it must only not end this process before the child is done.
    // Without a terminal it may have come to this process alone; to hear it twice does the child no harm.
    let asked = process.stdin.isTTY
    const interrupt = () => {
      if (!asked) child.kill('SIGINT')
      asked = true
    }
    process.on('SIGINT', interrupt).on('SIGTERM', pass).on('SIGHUP', pass)
    // npm starts scripts by way of a shell that passes no signal on. Where npm is ended, what it started shall end too, and
    // clean up: this process notices that it has another parent.
    const parent = process.ppid
    const watch = setInterval(() => {
      if (process.ppid === parent) return
      clearInterval(watch)
      child.kill('SIGTERM')
    }, 200)
    const done = () => {
      clearInterval(watch)
      process.off('SIGINT', interrupt).off('SIGTERM', pass).off('SIGHUP', pass)
    }
    child.on('error', (error) => {
      done()
      reject(error)
    })
    child.on('exit', (code, signal) => {
      done()
      resolve(code ?? 128 + ({ SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 }[signal] ?? 0))
    })
  })
}
