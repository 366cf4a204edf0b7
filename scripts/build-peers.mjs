/**
 * Builds the optional peers of tap-io, `cap` and `raw-socket`, so that their ports are tested: by the node-gyp that npm has
 * with it, against the headers that came with Node (else node-gyp downloads them). Needs g++, make, python3, libpcap-dev.
 * Says what could not be built; that is no failure, the tests of that peer are skipped then.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { root } from './run.mjs'
import './setup.mjs'

const { stdout: global } = spawnSync('npm', ['root', '--global'], { encoding: 'utf8' })
const gyp = join(global.trim(), 'npm/node_modules/node-gyp/bin/node-gyp.js')
const prefix = dirname(dirname(realpathSync(process.execPath)))
const headers = existsSync(join(prefix, 'include/node/node.h')) ? [`--nodedir=${prefix}`] : []

for (const [name, built] of [
  ['cap', 'build/Release/cap.node'],
  ['raw-socket', 'build/Release/raw.node'],
]) {
  const path = join(root, 'packages/tap-io/node_modules', name)
  if (existsSync(join(path, built))) continue
  const { status, stderr, error } = spawnSync(process.execPath, [gyp, 'rebuild', ...headers], {
    ...{ cwd: path, encoding: 'utf8', timeout: 120_000 },
  })
  const why = error?.message ?? /gyp ERR! stack (.*)/.exec(stderr ?? '')?.[1] ?? ''
  process.stderr.write(status === 0 ? `built ${name}\n` : `could not build ${name}: ${why}\n`)
}
