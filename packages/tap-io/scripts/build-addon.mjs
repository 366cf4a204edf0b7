/*
 * Builds the tun-tap addon: plain C against Node-API 8, by `cc`, in a fraction of a second. No node-gyp, no Python, and no
 * headers but those of `node-api-headers`: one binary serves all versions of Node from 20 on.
 *
 * Nothing is done when the sources, the flags and the compiler are those of the last build. `buildAddon` says what it did,
 * or throws with a message that names what is missing and the command that installs it.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const sources = join(root, 'addon')
const output = join(root, 'build', 'tun-tap.node')
const stamp = join(root, 'build', 'tun-tap.stamp')
const flags = [
  '-std=gnu11',
  '-O2',
  '-Wall',
  '-Wextra',
  '-Werror',
  '-fPIC',
  '-fvisibility=hidden',
  '-shared',
  '-pthread',
]

function readOr(path, otherwise) {
  try {
    return readFileSync(path)
  } catch {
    return otherwise
  }
}

function headers() {
  try {
    return dirname(createRequire(import.meta.url).resolve('node-api-headers/include/node_api.h'))
  } catch {
    throw new Error('The package node-api-headers is not installed: run `npm run setup` at the root of the repository.')
  }
}

/** Builds the addon if need be; gives 'built' or 'unchanged'. */
export function buildAddon() {
  if (process.platform !== 'linux') throw new Error(`The tun-tap addon is for Linux, not for ${process.platform}.`)
  const cc = process.env.CC || 'cc'
  const include = headers()
  const files = readdirSync(sources).sort()
  const hash = createHash('sha256')
  hash.update([cc, process.arch, include, ...flags].join('\0'))
  for (const file of files) hash.update(`\0${file}\0`).update(readFileSync(join(sources, file)))
  const wanted = hash.digest('hex')
  if (String(readOr(stamp, '')) === wanted && readOr(output, null) !== null) return 'unchanged'

  mkdirSync(dirname(output), { recursive: true })
  const made = `${output}.${process.pid}`
  const units = files.filter((file) => file.endsWith('.c')).map((file) => join(sources, file))
  const run = spawnSync(cc, [...flags, `-I${include}`, '-o', made, ...units], { encoding: 'utf8' })
  if (run.error?.code === 'ENOENT') {
    throw new Error(
      `The C compiler (${cc}) is missing. On Debian and Ubuntu: apt-get install --no-install-recommends gcc libc6-dev`,
    )
  }
  if (run.error) throw new Error(`The C compiler (${cc}) did not start: ${run.error.message}`)
  if (run.status !== 0) {
    rmSync(made, { force: true })
    const lost = /fatal error: (\S+): No such file/.exec(run.stderr)
    const advice = lost ? `\nThe C library's headers are missing: apt-get install libc6-dev linux-libc-dev` : ''
    throw new Error(`The tun-tap addon does not compile:\n${run.stderr}${advice}`)
  }
  renameSync(made, output)
  writeFileSync(stamp, wanted)
  return 'built'
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    console.log(`tun-tap addon: ${buildAddon()}`)
  } catch (error) {
    console.error(error.message)
    process.exitCode = 1
  }
}
