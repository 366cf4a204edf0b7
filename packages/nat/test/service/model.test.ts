import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { BackendOptions, Distribution, ServiceOptions, TrafficPolicy } from '../../src/service/options.ts'
import type { Style } from '../../src/service/treatment.ts'
import { Asking } from './asking.ts'

/*
 * A naive balancer beside ours. It does not draw lots: it says who may be picked, who must be where a client is
 * remembered, and what may change about earlier picks when backends come and go. Everything else - whether the source is
 * masqueraded, what happens where nobody may serve - it says outright, from the tables in `treatment.ts` read as
 * prose.
 */

interface Known {
  backend: string
  until: number
}

interface State {
  style: Style
  dsr: boolean
  external: TrafficPolicy
  internal: TrafficPolicy
  preserve: boolean
  distribution: Distribution
  timeout: number
  backends: Map<string, Required<Omit<BackendOptions, 'weight'>>>
}

type Via = 'cluster' | 'external' | 'balancer' | 'node'

/** Who may serve, by the rules; and whether anybody could anywhere. */
function candidates(s: State, via: Via, pod: boolean): string[] {
  const kept = s.preserve && (via === 'external' || via === 'balancer')
  let local = false
  if (via === 'cluster') local = s.internal === 'Local'
  else if (kept) local = true
  else if (s.style === 'windows') local = s.external === 'Local' || (s.preserve && via === 'node')
  else local = s.external === 'Local' && !pod
  const here = [...s.backends.values()].filter((b) => !local || b.local)
  const ready = here.filter((b) => !b.draining)
  return (ready.length > 0 ? ready : here).map((b) => b.address)
}

/** Whether the source is masqueraded. */
function masqueraded(s: State, via: Via, pod: boolean): boolean {
  if (s.preserve && (via === 'external' || via === 'balancer')) return false
  if (s.style === 'linux') {
    if (s.dsr) return false
    return via === 'cluster' ? !pod : s.external === 'Cluster'
  }
  if (via === 'cluster') return !s.dsr
  if (via === 'balancer' && s.dsr) return false
  return s.external === 'Cluster'
}

const TO: Record<Via, { to: string; toPort: number; toLocal?: boolean }> = {
  cluster: { to: '10.96.0.10', toPort: 80 },
  external: { to: '198.51.100.9', toPort: 80 },
  balancer: { to: '203.0.113.80', toPort: 80 },
  node: { to: '192.0.2.1', toPort: 30_080, toLocal: true },
}

const address = fc.integer({ min: 1, max: 6 }).map((n) => `10.244.${n <= 3 ? 1 : 2}.${n}`)
const policy = fc.constantFrom<TrafficPolicy>('Cluster', 'Local')
const rules = fc.record({
  dsr: fc.boolean(),
  external: policy,
  internal: policy,
  preserve: fc.boolean(),
  distribution: fc.constantFrom<Distribution>('5-tuple', 'source-ip', 'source-ip-protocol'),
  timeout: fc.constantFrom(0, 10, 100),
})
const question = fc.record({
  do: fc.constant('ask' as const),
  via: fc.constantFrom<Via>('cluster', 'external', 'balancer', 'node'),
  from: fc.constantFrom('10.244.1.1', '10.244.1.77', '10.244.2.5', '203.0.113.5', '203.0.113.6'),
  fromPort: fc.integer({ min: 1, max: 3 }),
  wait: fc.constantFrom(0, 0, 1, 9, 10, 60, 100),
})
const step = fc.oneof(
  { weight: 6, arbitrary: question },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('put' as const), address, draining: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('take' as const), address }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('rules' as const), rules }) },
)

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

function options(s: State): ServiceOptions {
  return {
    name: 'web',
    port: 80,
    clusterIps: ['10.96.0.10'],
    externalIps: ['198.51.100.9'],
    loadBalancerIps: ['203.0.113.80'],
    nodePort: 30_080,
    dsr: s.dsr,
    externalTrafficPolicy: s.external,
    internalTrafficPolicy: s.internal,
    preserveDestination: s.preserve,
    distribution: s.distribution,
    ...(s.distribution !== '5-tuple' && { affinityTimeout: s.timeout }),
    backends: [...s.backends.values()],
  }
}

function runModel(style: Style, first: object, steps: readonly unknown[]): void {
  const s: State = { style, backends: new Map(), ...(first as Omit<State, 'style' | 'backends'>) }
  const asking = new Asking({ style, clusterPrefixes: ['10.244.0.0/16'] })
  asking.balancer.services.add(options(s))
  const known = new Map<string, Known>()
  const picks = new Map<string, { backend: string; among: string[] }>()
  let now = 0
  for (const one of steps as Step[]) {
    if (one.do === 'put') {
      const b = { address: one.address, port: 8080, local: one.address.startsWith('10.244.1.'), draining: one.draining }
      s.backends.set(one.address, b)
      asking.balancer.services.setBackends('web', [...s.backends.values()])
    } else if (one.do === 'take') {
      const had = s.backends.delete(one.address)
      expect(asking.balancer.services.removeBackend('web', one.address, 8080)).toBe(had)
      for (const [client, k] of known) if (k.backend === one.address) known.delete(client)
    } else if (one.do === 'rules') {
      Object.assign(s, one.rules)
      asking.balancer.services.update(options(s))
    } else {
      now += one.wait
      const { from, fromPort, via } = one
      const pod = from.startsWith('10.244.')
      const among = candidates(s, via, pod)
      const answer = asking.ask({ from, fromPort, ...TO[via], at: now })
      if (among.length === 0) {
        const nowhere = s.backends.size === 0
        expect(answer).toBe(style === 'windows' ? 'pass' : nowhere ? 'reject' : 'drop')
        continue
      }
      const backend = /^(?:via )?([0-9.]+)/.exec(answer)![1]!
      expect(among).toContain(backend)
      const kept = s.preserve && (via === 'external' || via === 'balancer')
      const snat = masqueraded(s, via, pod) || (style === 'linux' && from === backend)
      expect(answer).toBe(kept ? `via ${backend}` : `${backend}:8080${snat ? ' snat' : ''}`)
      // A client that is remembered, and whose backend may still serve, goes there.
      const client = s.distribution === 'source-ip' ? from : `${from} tcp`
      if (s.distribution !== '5-tuple' && s.timeout > 0) {
        const k = known.get(client)
        const bound = k !== undefined && k.until > now && among.includes(k.backend)
        if (bound) expect(backend).toBe(k.backend)
        known.set(client, { backend, until: now + s.timeout })
        if (bound) continue
      }
      // Whoever was picked before is picked again, but for one who was not there then.
      const key = s.distribution === '5-tuple' ? `${from} ${fromPort} ${via}` : `by ${client}`
      const last = picks.get(key)
      if (last !== undefined && last.backend !== backend && among.includes(last.backend)) {
        expect(last.among).not.toContain(backend)
      }
      picks.set(key, { backend, among })
    }
  }
}

describe('our balancer and a naive one agree', () => {
  it.each(['linux', 'windows'] as const)('style %s', (style) => {
    fc.assert(
      fc.property(rules, fc.array(step, { maxLength: 80 }), (first, steps) => runModel(style, first, steps)),
      { numRuns: 400 },
    )
  })
})
