/**
 * Makes a fresh clone ready: installs the packages, compiles TypeScript, puts the command into one file, builds the addon. What
 * `npm start`, `npm test` and the benches call first. Quick when there is nothing to do: the install is skipped while the lock
 * file is the one that was installed, the compilers look for themselves.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const PNPM = 'pnpm@12.21.0'
const stamp = join(root, '.l2l3', 'installed')

/** Says what is being done, on standard error: standard output belongs to the program that runs next. */
function say(text) {
  process.stderr.write(`${text}\n`)
}

function fail(text) {
  process.stderr.write(`set-up: ${text}\n`)
  process.exit(1)
}

function writable(path) {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Directories that set-up writes to. */
function outputs() {
  const packages = readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name))
  return [
    ...[root, join(root, '.l2l3'), join(root, 'node_modules')],
    ...packages.flatMap((path) => [path, join(path, 'dist'), join(path, 'build')]),
  ]
}

function run(command, args, hint, { env = process.env, show = false } = {}) {
  const stdio = show ? ['ignore', 2, 2] : ['ignore', 'pipe', 'pipe']
  const result = spawnSync(command, args, { cwd: root, encoding: 'utf8', env, stdio })
  if (result.status === 0) return
  if (result.signal === 'SIGINT' || result.status === 130) process.exit(130)
  process.stderr.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
  const said = `\`${[command, ...args].join(' ')}\` ${result.error ? `could not start: ${result.error.message}` : 'failed'}.`
  const closed = outputs().find((path) => existsSync(path) && !writable(path))
  if (closed) fail(`${said} ${closed} belongs to somebody else, from a run as root, say: sudo chown -R "$USER" ${root}`)
  fail(`${said} ${hint}`)
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  fail(`Node ${process.versions.node} is too old, l2l3 needs 20.19 or later: https://nodejs.org/en/download`)
}

/** What decides whether an install is needed: the lock file and every package's manifest. */
function fingerprint() {
  const hash = createHash('sha256')
  const manifests = [
    'package.json',
    'pnpm-lock.yaml',
    'pnpm-workspace.yaml',
    'examples/package.json',
    'bench/package.json',
  ]
  for (const p of readdirSync(join(root, 'packages'))) manifests.push(`packages/${p}/package.json`)
  for (const file of manifests) if (existsSync(join(root, file))) hash.update(readFileSync(join(root, file)))
  return `${hash.digest('hex')} node-${process.versions.modules} ${process.platform}-${process.arch}\n`
}

/** The environment of the install: who has no home to keep a cache in (`nobody`, many containers) keeps it here. */
function homely() {
  const home = homedir()
  if (writable(home)) return process.env
  const own = join(root, '.l2l3', 'home')
  mkdirSync(own, { recursive: true })
  return { ...process.env, HOME: own, npm_config_cache: join(own, '.npm') }
}

const wanted = fingerprint()
const installed = existsSync(stamp) ? readFileSync(stamp, 'utf8') : ''
if (installed !== wanted || !existsSync(join(root, 'node_modules'))) {
  say('Installing packages ...')
  run(
    'npx',
    ['--yes', PNPM, 'install', '--frozen-lockfile'],
    `Is the npm registry reachable? After a change to a package.json: npx --yes ${PNPM} install`,
    // A person sees pnpm's own progress.
    { env: homely(), show: process.stderr.isTTY },
  )
  mkdirSync(dirname(stamp), { recursive: true })
  writeFileSync(stamp, wanted)
}

say('Compiling ...')
// `tsc -b` believes its notes, also where what they are about was deleted.
for (const name of readdirSync(join(root, 'packages'))) {
  const path = join(root, 'packages', name)
  if (!existsSync(join(path, 'dist'))) rmSync(join(path, 'tsconfig.tsbuildinfo'), { force: true })
}
run(join(root, 'node_modules/.bin/tsc'), ['-b'], 'The sources do not compile.')

const { bundle } = await import('./bundle.mjs')
try {
  await bundle()
} catch (error) {
  // It only starts faster so.
  process.stderr.write(`set-up: going on without the command in one file: ${error.message}\n`)
}

const { buildAddon } = await import(pathToFileURL(join(root, 'packages/tap-io/scripts/build-addon.mjs')).href)
try {
  buildAddon()
} catch (error) {
  // All but TAP works without the addon: memory, replay, the browser.
  process.stderr.write(
    `set-up: ${error.message}\nset-up: going on without the addon: no TAP devices, only memory and replay.\n`,
  )
}
say('Ready.')
