import type { CaptureSink } from '@l2l3/switch-core/pcap'
import type { CheckResult } from './check-result.ts'
import type { Snapshot } from './fabric.ts'
import type { CheckSpec, Topology } from './topology.ts'
import type { LiveTraceOptions, LiveTraceReport } from './trace/live.ts'

/*
 * A topology that runs, wherever it runs: what the worlds have in common, and all that the command and tests use. It is
 * asked, not looked into, because nodes may be processes of their own: every answer is a promise.
 */

/** A topology that runs in memory, in this process on Linux, or as processes of its own. */
export interface World extends AsyncDisposable {
  /** What runs now: `apply` changes it. */
  readonly topology: Topology
  /** Settles when the world stops, and rejects where it has failed. */
  readonly stopped: Promise<void>
  /** Tables and ledger at this moment. */
  snapshot(): Promise<Snapshot>
  /** Tries a check. Rejects with the signal's reason when that stops it. */
  check(check: CheckSpec, signal?: AbortSignal): Promise<CheckResult>
  /** Tries the checks of the topology, one after the other; `onResult` is told of each. */
  runChecks(onResult?: (result: CheckResult) => void, signal?: AbortSignal): Promise<CheckResult[]>
  /**
   * Makes what runs into what `next` says, while traffic flows: nothing is lost at what stays.
   *
   * @throws TopologyError where a change cannot be made in what runs; nothing is changed then
   */
  apply(next: Topology): Promise<void>
  /** Writes what passes every port, both ways, to captures from now on: `sink` is called once a port, with its label.
   * Gives the function that ends it. */
  capture(sink: (label: string) => CaptureSink): Promise<() => Promise<void>>
  /**
   * Traces frames that come in from now on and fit a filter, until there are enough or the signal ends it.
   *
   * @param filter in words of tcpdump (docs/trace.md); the empty one takes all
   * @throws FilterError, RangeError
   */
  trace(filter: string, options?: LiveTraceOptions): Promise<LiveTraceReport>
  /** Stops, and removes all that was made. May be called again. */
  close(): Promise<void>
}
