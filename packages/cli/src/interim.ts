import { buildInMemory, type Topology } from '@l2l3/topology'

// biome-ignore-start lint: interim
export function interimMemoryWorld(topology: Topology): any {
  const memory = buildInMemory(topology)
  return {
    topology,
    fabric: memory.fabric,
    stopped: new Promise(() => {}),
    snapshot: async () => memory.snapshot(),
    runChecks: async (onResult: (r: unknown) => void, signal: AbortSignal) => {
      const results = []
      for (const check of topology.checks) {
        const result = await memory.checkInTurns(check, signal)
        results.push(result)
        onResult(result)
      }
      return results
    },
    close: async () => {},
  }
}
// biome-ignore-end lint: interim
