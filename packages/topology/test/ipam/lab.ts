import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { HostLocal, type HostLocalOptions } from '../../src/ipam/host-local.ts'

/* Directories of networks, removed after each test, and what stands in them. */

const made: string[] = []
afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true })
})

/** An empty place for the directories of networks. */
export function dataDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'l2l3-ipam-'))
  made.push(dir)
  return dir
}

/** An allocator of the network "blue" in a place of its own. */
export function blue(options: Partial<HostLocalOptions>, place: string = dataDir()): HostLocal {
  return new HostLocal({ network: 'blue', ranges: [[{ subnet: '10.1.0.0/29' }]], dataDir: place, ...options })
}

/** The files of "blue": their names, and what is in them; none where nothing has been done yet. */
export function files(place: string): Record<string, string> {
  const dir = join(place, 'blue')
  if (!existsSync(dir)) return {}
  return Object.fromEntries(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), 'utf8')]))
}

export const ann = { containerId: 'ann', ifname: 'eth0' }
export const ben = { containerId: 'ben', ifname: 'eth0' }
