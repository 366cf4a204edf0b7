import { fileURLToPath } from 'node:url'
import type { Lab, Program } from './lab.ts'

/** Starts a program of this folder as this process was started: from source, or from what was built. */
export function ours(lab: Lab, script: string, ...args: string[]): Program {
  const path = fileURLToPath(new URL(script, import.meta.url))
  return lab.start(null, process.execPath, ...process.execArgv, path, ...args)
}
