import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { filesAlone, filesMocking } from './test-support/alone.ts'

// Tests run from source: the packages' `@l2l3/source` export condition leads to src/, not dist/.
const conditions = ['@l2l3/source', 'module', 'node', 'development|production']

const folders = ['packages', 'docs/test', 'examples', 'bench', 'test-support']
const root = fileURLToPath(new URL('.', import.meta.url))
const alone = filesAlone(root, folders)
// What shares a process, but for the files that mock a module.
const tests = (...folders: string[]): string[] => folders.map((folder) => `${folder}/**/*.test.ts`)
const shared = tests(
  ...['switch-core', 'arp', 'nat', 'vxlan', 'modes', 'topology'].map((name) => `packages/${name}/test`),
)
const others = tests('packages/tap-io/test', 'packages/cli/test', 'docs/test', 'examples', 'test-support')
const mocking = filesMocking(root, folders)
const nowhere = ['**/node_modules/**', ...alone]

// Times as many runs of property tests (`test-support/more-runs.ts`).
const runs = Number(process.env.L2L3_RUNS ?? 1)
if (!(runs >= 1)) throw new RangeError(`L2L3_RUNS must be a number from 1 on, not ${process.env.L2L3_RUNS}`)

const test = {
  pool: 'forks' as const,
  // A machine may have much else to do.
  testTimeout: 60_000 * runs,
  hookTimeout: 60_000,
  execArgv: ['--expose-gc'],
  setupFiles: runs > 1 ? ['./test-support/more-runs.ts'] : [],
}

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    // Many of them wait for time to pass, so one more than there are cores; more than a few wait for each other in the kernel.
    maxWorkers: Math.min(4, availableParallelism() + 1),
    projects: [
      {
        extends: true,
        test: { ...test, name: 'shared', include: shared, exclude: [...nowhere, ...mocking], isolate: false },
      },
      { extends: true, test: { ...test, name: 'together', include: [...others, ...mocking], exclude: nowhere } },
      // Of its own, and last.
      { extends: true, test: { ...test, name: 'alone', include: alone, fileParallelism: false } },
    ],
    coverage: {
      provider: 'v8',
      include: ['packages/*/src/**/*.ts'],
      // The command is tested as people run it, in processes of its own, which the count does not see.
      exclude: ['packages/cli/**'],
      reporter: ['text-summary', 'lcov'],
      thresholds: {
        'packages/{switch-core,arp}/src/**': { statements: 95 },
        // Without root half of what touches the system is skipped.
        ...(process.getuid?.() === 0 ? { statements: 90 } : {}),
      },
    },
  },
})
