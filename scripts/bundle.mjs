/**
 * Puts the compiled command into one file, packages/cli/build/l2l3.mjs, and the program of a node that is a process of its own into
 * another beside it, node-program.js, where the first one finds it: Node finds, opens and links some 700 modules otherwise, which is
 * more than half of the time that a short command takes (0.64 s of CPU against 0.28, measured with `l2l3 up --check --memory`).
 *
 * The command runs what `tsc -b` compiled all the same: packages/cli/bin/l2l3.js takes the bundle only while no package was compiled
 * after it. Files that a module finds beside itself - the addon, programs of hosts - are found where they are: a module's own address
 * is kept.
 */
import { existsSync, readdirSync, readFileSync, renameSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const build = join(root, 'packages/cli/build')
/** Made last: while it is older than a package, all of this is made anew. */
const command = join(build, 'l2l3.mjs')

/** When the last of the packages was compiled, or what bundles them changed. */
function changedAt() {
  const notes = readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name, 'tsconfig.tsbuildinfo'))
  const files = [...notes.filter(existsSync), join(root, 'pnpm-lock.yaml'), fileURLToPath(import.meta.url)]
  return Math.max(...files.map((path) => statSync(path).mtimeMs))
}

/** A module of ours, with its own address in place of the bundle's; but who starts nodes is to find their bundle. */
const ownAddress = {
  name: 'own-address',
  setup(esbuild) {
    esbuild.onLoad({ filter: /\/packages\/[^/]+\/dist\/.*\.js$/ }, ({ path }) => {
      const contents = readFileSync(path, 'utf8')
      if (path.endsWith('/linux/node-process.js')) return { contents, loader: 'js' }
      const address = `new URL(${JSON.stringify(relative(build, path))}, import.meta.url).href`
      return { contents: contents.replaceAll('import.meta.url', address), loader: 'js' }
    })
  },
}

/** Makes a file of a module and all that it imports. */
async function make(entry, output) {
  const esbuild = await import('esbuild')
  const made = `${output}.${process.pid}.mjs`
  await esbuild.build({
    entryPoints: [join(root, entry)],
    outfile: made,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'silent',
    // Optional peers, which are asked for only where a NIC is.
    external: ['cap', 'raw-socket'],
    // Packages in CommonJS ask for Node's own modules so.
    banner: {
      js: "import { createRequire as requireOf } from 'node:module'\nconst require = requireOf(import.meta.url)",
    },
    plugins: [ownAddress],
  })
  renameSync(made, output)
}

/** Makes the bundles if need be; gives 'built' or 'unchanged'. */
export async function bundle() {
  if (existsSync(command) && statSync(command).mtimeMs > changedAt()) return 'unchanged'
  await make('packages/topology/dist/linux/node-program.js', join(build, 'node-program.js'))
  await make('packages/cli/dist/main.js', command)
  return 'built'
}
