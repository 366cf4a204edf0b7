import { defineConfig } from 'vitest/config'

// Tests run from source: the packages' `@l2l3/source` export condition leads to src/, not dist/.
const conditions = ['@l2l3/source', 'module', 'node', 'development|production']

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions } },
  test: {
    include: [
      'packages/*/test/**/*.test.ts',
      'docs/test/**/*.test.ts',
      'examples/**/*.test.ts',
      'bench/**/*.test.ts',
      'test-support/**/*.test.ts',
    ],
    pool: 'forks',
    testTimeout: 30_000,
    hookTimeout: 30_000,
    execArgv: ['--expose-gc'],
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
