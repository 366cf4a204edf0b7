/**
 * One segment again, asked two questions about our own process.
 *
 * `latency`: what does the way of waiting cost? The loop is turned by Node's event loop - as `l2l3 up --wait` has it: asleep at once, after
 * a spin, never - or by a thread that sleeps in the addon at once, by one that first spins for so many microseconds (50 is the default
 * of `runBlocking`), or by one that polls without ever sleeping.
 * A ping as fast as it goes meets a switch that is awake; one each millisecond meets it asleep.
 *
 * `workers`: what does a second thread bring? Worker threads share the queues of multi-queue TAPs; one flow is with one of them.
 */
import type { Contender, Player, Scene, Wanted } from './scene.ts'
import { setUpSegment } from './switch.ts'

const BESIDE: readonly Player[] = [
  { name: 'bridge', title: 'Linux bridge' },
  { name: 'c', title: 'C switch, sleeps' },
]

/** A scene whose contenders are those of the switch's, by other names. */
function segment(
  name: string,
  title: string,
  players: readonly Player[],
  wanted: readonly Wanted[],
  measurements: Scene['measurements'],
): Scene {
  return {
    name,
    title,
    players: [...BESIDE, ...players],
    beside: ['bridge', 'c'],
    wanted,
    measurements,
    setUp: (lab, player): Promise<Contender> => setUpSegment(lab, player, `${name}-`),
  }
}

export const LATENCY: Scene = segment(
  'latency',
  'ways of waiting',
  [
    { name: 'l2l3-event-loop', title: 'event loop' },
    { name: 'l2l3-event-loop-50', title: 'event loop, spins 50 us' },
    { name: 'l2l3-event-loop-busy', title: 'event loop, busy' },
    { name: 'l2l3-spin-0', title: 'sleeps at once' },
    { name: 'l2l3-spin-50', title: 'spins 50 us' },
    { name: 'l2l3-spin-500', title: 'spins 500 us' },
    { name: 'l2l3-busy', title: 'busy polling' },
  ],
  [
    { who: 'l2l3-busy', metric: 'pingMean', to: 'bridge', sign: '<=', bound: 1.3 },
    { who: 'l2l3-spin-50', metric: 'pingMean', to: 'bridge', sign: '<=', bound: 1.6 },
    { who: 'l2l3-spin-50', metric: 'idle', to: null, sign: '<=', bound: 3 },
    { who: 'l2l3-spin-0', metric: 'pingMean', to: 'c', sign: '<=', bound: 1 },
    { who: 'l2l3-event-loop', metric: 'pingMean', to: 'c', sign: '<=', bound: 1 },
    { who: 'l2l3-spin-50', metric: 'besideTcp', to: null, sign: '<=', bound: 60 },
  ],
  (load) => load.delays,
)

export const WORKERS: Scene = segment(
  'workers',
  'one thread and several',
  [
    { name: 'l2l3', title: 'l2l3, its own thread' },
    { name: 'l2l3-workers-1', title: '1 worker' },
    { name: 'l2l3-workers-2', title: '2 workers' },
  ],
  [],
  (load) => load.acrossWorkers,
)
