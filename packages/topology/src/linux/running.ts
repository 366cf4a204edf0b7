import type { CaptureSink } from '@l2l3/switch-core/pcap'
import type { CheckResult } from '../check-result.ts'
import type { Snapshot } from '../fabric.ts'
import type { RunDirectory } from '../run-directory.ts'
import type { CheckSpec, Topology } from '../topology.ts'
import type { PathWatch } from '../trace/check-path.ts'
import type { LiveTraceOptions, LiveTraceReport } from '../trace/live.ts'
import type { World } from '../world.ts'
import { namespaceName } from './dataplane.ts'
import { type CheckPlace, linuxCheck } from './linux-checks.ts'
import type { Site } from './site.ts'

/*
 * What worlds on Linux have in common, wherever their nodes run: checks, which are programs in the namespaces of the hosts, and the
 * end. The end waits for checks that run, lets the nodes say that they go, and removes all that was made.
 */

/** A topology that runs on Linux. */
export abstract class RunningOnLinux implements World {
  abstract readonly topology: Topology
  abstract readonly stopped: Promise<void>
  protected readonly site: Site
  readonly #abort: AbortController = new AbortController()
  readonly #running: Set<Promise<unknown>> = new Set()
  #closed: Promise<void> | undefined

  protected constructor(site: Site, signal: AbortSignal | undefined) {
    this.site = site
    const { signal: own } = this.#abort
    signal?.addEventListener('abort', () => this.#abort.abort(signal.reason), { once: true, signal: own })
  }

  abstract snapshot(): Promise<Snapshot>
  abstract apply(next: Topology): Promise<void>
  abstract capture(sink: (label: string) => CaptureSink): Promise<() => Promise<void>>
  abstract trace(filter: string, options?: LiveTraceOptions): Promise<LiveTraceReport>
  /** Follows the first packet of a check, where the nodes are in one process; else null. */
  protected abstract watch(check: CheckSpec): PathWatch | null
  /** Stops the nodes; must not reject. */
  protected abstract stop(): Promise<void>

  /** The directory of this run. */
  get directory(): RunDirectory {
    return this.site.directory
  }

  /** Aborts when the world is closed. */
  protected get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Aborts when the world is closed, or this signal says so. */
  protected or(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.signal : AbortSignal.any([this.signal, signal])
  }

  check(check: CheckSpec, signal?: AbortSignal): Promise<CheckResult> {
    const { topology } = this
    const place: CheckPlace = {
      from: namespaceName(topology, check.from),
      servers: check.servers.map((endpoint) => namespaceName(topology, endpoint)),
      signal: this.or(signal),
      ledger: async () => (await this.snapshot()).ledger,
      watch: (one) => this.watch(one),
    }
    const result = linuxCheck(check, place)
    const running: Promise<unknown> = result.catch(() => {}).then(() => this.#running.delete(running))
    this.#running.add(running)
    return result
  }

  async runChecks(onResult: (result: CheckResult) => void = () => {}, signal?: AbortSignal): Promise<CheckResult[]> {
    const results: CheckResult[] = []
    for (const check of this.topology.checks) {
      const result = await this.check(check, signal)
      // What Ctrl-C ended has not failed.
      this.signal.throwIfAborted()
      results.push(result)
      onResult(result)
    }
    return results
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    this.#abort.abort(new Error('the topology is being removed'))
    await Promise.all(this.#running)
    await this.stop()
    this.site.remove()
  }
}
