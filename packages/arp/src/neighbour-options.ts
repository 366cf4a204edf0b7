import { checkRange, type FramePool, MILLISECOND, type NeighbourClient } from '@l2l3/switch-core'
import { parseHost } from './address.ts'
import type { Dice } from './dice.ts'
import type { Defence } from './own-addresses.ts'
import type { FrameSink } from './speaker.ts'

/** States of a neighbour: those of RFC 4861, 7.3.2, for IPv4 too; `failed` does not answer, `permanent` is
 * configured. */
export type NeighbourState = 'incomplete' | 'reachable' | 'stale' | 'delay' | 'probe' | 'failed' | 'permanent'

/** What has become of a neighbour. `removed`: by configuration, by time, or to make room for another. */
export type NeighbourChange = 'added' | 'updated' | 'removed'

/** A neighbour as people see it. */
export interface Neighbour {
  /** e.g. "10.0.0.2" or "fe80::2" */
  readonly address: string
  /** e.g. "02:00:00:00:00:02"; null where it is not known. */
  readonly mac: string | null
  readonly state: NeighbourState
  /** Whether it has said that it is a router (R flag); false in IPv4. */
  readonly router: boolean
  /** Frames that wait for its MAC. */
  readonly waiting: number
}

/** Counts of what happened at a table. */
export interface NeighbourCounters {
  /** Entries that were made, for a frame or from a message. */
  created: number
  /** Entries that made room for others. */
  evicted: number
  /** Entries that were wanted and not made: for a message, the table was full of neighbours in use; for a frame, of
   * permanent ones. */
  refused: number
  /** Neighbours that did not answer. */
  failed: number
  /** Frames that had to wait. */
  queued: number
  /** Frames that waited and were put out by later ones. */
  queueDrops: number
  /** Messages that every receiver must ignore: dropped as `Malformed`. */
  malformed: number
  /** Messages with addresses that nobody can have, or with our own MAC: dropped as `ArpFilter`. */
  ignored: number
  /** Questions about our addresses that were answered. */
  answered: number
  /** Watchers that were taken off because they threw. */
  watchersLost: number
}

/** Settings of a neighbour table; times in milliseconds. */
export interface NeighbourOptions {
  /** MAC of the interface. */
  mac: string
  /** Where requests and answers go. */
  out: FrameSink
  /** Gets frames back that had to wait; may be set later (`NeighbourTable.client`), before frames come. */
  client?: NeighbourClient
  /** Addresses of the interface, with prefix: `10.0.0.1/24`, `fe80::1/64`. Ours at once; `addresses.add` can probe
   * first. */
  addresses?: readonly string[]
  /** Which IPv4 address asks where the interface has none of its own, as on a host's end of a pod's link: the
   * host's. */
  askFrom?: string
  /** Sets the R flag in advertisements. Default false. */
  router?: boolean
  /** What happens when somebody else claims an address of ours. Default `always`. */
  defence?: Defence
  /** Neighbours at most; 1 to 65,536. Default 1,024 (Linux gc_thresh3). */
  maxEntries?: number
  /** Frames that wait for one neighbour at most. Default 16. */
  queuePerNeighbour?: number
  /** Frames that wait for all neighbours at most. Default 256, or a quarter of the pool where that is less. */
  queueTotal?: number
  /** Between two questions (RFC 4861 RetransTimer; Linux retrans_time_ms); 10 to 60,000. Default 1,000. */
  retransMs?: number
  /** Questions to all before a neighbour has failed; 1 to 100. Default 3. */
  multicastProbes?: number
  /** Questions to the neighbour alone before it has failed; 1 to 100. Default 3. */
  unicastProbes?: number
  /** How long a neighbour that has answered is taken to be there: this times a random factor from 0.5 to 1.5 (RFC 4861,
   * 6.3.2); 10 to 86,400,000. Default 30,000. */
  reachableMs?: number
  /** How long a neighbour that is sent to may confirm by other means before it is asked; 10 to 600,000. Default
   * 5,000. */
  delayMs?: number
  /** How long a neighbour that is not sent to, or has failed, is remembered; 1,000 to 86,400,000. Default 60,000. */
  staleMs?: number
  /** How long the first of several IPv4 answers stands against others that differ, announcements excepted (Linux
   * locktime: the neighbour itself and a proxy may both answer); 0 to 60,000. Default 1,000. */
  lockMs?: number
  /** Dice for randomised times. Default: seeded by the MAC. */
  random?: Dice
  /** Seed of the hash: 32 bits that stations should not know. Default 0, for runs that must repeat: on a real wire,
   * draw it at random, since who knows the seed can choose addresses that fall on a neighbour's slots and so put that
   * neighbour out, again and again. */
  seed?: number
}

/** Settings that have been checked and filled in; times in nanoseconds of the clock. */
export interface NeighbourSettings {
  readonly maxEntries: number
  readonly queuePerNeighbour: number
  readonly queueTotal: number
  readonly retrans: number
  readonly multicastProbes: number
  readonly unicastProbes: number
  readonly reachable: number
  readonly delay: number
  readonly stale: number
  readonly lock: number
  readonly askFrom: number
}

const KEYS: readonly string[] = [
  'mac',
  'out',
  'client',
  'addresses',
  'askFrom',
  'router',
  'defence',
  'maxEntries',
  'queuePerNeighbour',
  'queueTotal',
  'retransMs',
  'multicastProbes',
  'unicastProbes',
  'reachableMs',
  'delayMs',
  'staleMs',
  'lockMs',
  'random',
  'seed',
] satisfies (keyof NeighbourOptions)[]

/** Checks settings; throws a RangeError or TypeError with key and value. */
export function checkNeighbourOptions(pool: FramePool, o: NeighbourOptions): NeighbourSettings {
  for (const key of Object.keys(o)) if (!KEYS.includes(key)) throw new TypeError(`unknown key ${JSON.stringify(key)}`)
  if (o.router !== undefined && typeof o.router !== 'boolean') {
    throw new TypeError(`router must be true or false, not ${JSON.stringify(o.router)}`)
  }
  const ms = (key: keyof NeighbourOptions, fallback: number, low: number, high: number): number =>
    checkRange(key, (o[key] as number | undefined) ?? fallback, low, high) * MILLISECOND
  const askFrom = o.askFrom === undefined ? null : parseHost('askFrom', o.askFrom)
  if (askFrom !== null && askFrom.family !== 4) throw new TypeError(`askFrom: ${o.askFrom} is no IPv4 address`)
  return {
    maxEntries: checkRange('maxEntries', o.maxEntries ?? 1024, 1, 65_536),
    queuePerNeighbour: o.queuePerNeighbour ?? Math.min(16, pool.frames),
    queueTotal: o.queueTotal ?? Math.max(1, Math.min(256, pool.frames >> 2)),
    retrans: ms('retransMs', 1000, 10, 60_000),
    multicastProbes: checkRange('multicastProbes', o.multicastProbes ?? 3, 1, 100),
    unicastProbes: checkRange('unicastProbes', o.unicastProbes ?? 3, 1, 100),
    reachable: ms('reachableMs', 30_000, 10, 86_400_000),
    delay: ms('delayMs', 5000, 10, 600_000),
    stale: ms('staleMs', 60_000, 1000, 86_400_000),
    lock: ms('lockMs', 1000, 0, 60_000),
    askFrom: askFrom?.v4 ?? 0,
  }
}
