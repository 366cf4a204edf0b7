import {
  Batch,
  type Clock,
  Drop,
  FaultPort,
  type Frame,
  FramePool,
  type LedgerReport,
  Loop,
  MAX_FRAME,
  MemoryPort,
  SECOND,
  VirtualClock,
} from '@l2l3/switch-core'
import {
  CaptureError,
  CapturePort,
  type CaptureReader,
  type CaptureSink,
  type CaptureWriter,
  LinkType,
  openCapture,
  type PacketRecord,
  PcapWriter,
} from '@l2l3/switch-core/pcap'
import { didYouMean } from './did-you-mean.ts'
import { buildFabric } from './fabric.ts'
import type { Topology } from './topology.ts'

/*
 * A topology whose world is capture files: frames come in from some, at their own times, and what every port sends is
 * written to others. The clock is virtual and nothing else goes in, so the same captures give the same bytes.
 *
 *     red.pcap  --at its time-->  sw1/red  ->  sw1  ->  sw1/blue  --at the clock's time-->  sw1.blue.pcap
 *
 * Captures are read twice: once to see that they are whole and what time and room they take, and once to play them. So
 * a malformed capture is refused before anything is written. A port that is an end of a link is joined to its other
 * end, and what crosses it is written down on the way.
 */

/** A capture that comes in by a port. */
export interface ReplayInput {
  /** The port's label, "node/port". */
  readonly port: string
  /** The capture's name, for errors. */
  readonly file: string
  /** Gives the capture's bytes from the start; called twice. */
  readonly open: () => Iterable<Uint8Array>
}

/** Which way frames went where they were captured: in by the port, or out. */
export type ReplayDirection = 'in' | 'out'

/** Settings of a replay. */
export interface ReplayOptions {
  readonly inputs: readonly ReplayInput[]
  /** Plays the frames that went this way, and those of which the capture does not say which way they went. Default: all. */
  readonly direction?: ReplayDirection | undefined
  /** Says where the capture of what a port sends goes: a pcap file with nanoseconds. Called for every port. */
  readonly output: (port: string) => CaptureSink
}

/** What a replay found. */
export interface ReplayReport {
  /** The account of all frames. */
  readonly ledger: LedgerReport
  /** Whether it came to rest after every record; false where frames went round in a loop of links and were dropped. */
  readonly settled: boolean
  /** Where a direction was asked for: frames that were played though their captures do not say which way they went. Else 0. */
  readonly undirected: number
}

/** Where the time of a pcap file ends: 2^32 seconds after 1970. */
const PCAP_END: bigint = (1n << 32n) * 1_000_000_000n
/** Turns of the loop that a moment may take after its last record, before what still goes round is dropped. */
const TURNS = 2000
/** Moments after the last record at which frames may still come out of wires with delays: more than any way has. */
const MOMENTS = 20_000

/**
 * Plays captures into the ports of a topology and records what each port sends.
 *
 * @throws RangeError where a port is unknown, is given two captures, or is an end of a link
 * @throws CaptureError where a capture is malformed; nothing has been written then
 */
export function replay(topology: Topology, options: ReplayOptions): ReplayReport {
  const inputs = checkInputs(topology, options.inputs)
  const others = options.direction === undefined ? null : options.direction === 'in' ? 'outbound' : 'inbound'
  let undirected = 0
  const accept = ({ direction }: PacketRecord): boolean => {
    if (direction === undefined && others !== null) undirected++
    return direction === undefined || direction !== others
  }
  const extent = measure(options.inputs)
  const clock = new VirtualClock(extent.start)
  const frameSize = Math.min(MAX_FRAME, Math.max(1918, extent.longest + 8))
  const pool = new FramePool({ frames: 4096, frameSize })
  const loop = new Loop(pool, clock)
  const players: CapturePort[] = []
  const writers: CaptureWriter[] = []
  const writer = (label: string): CaptureWriter => {
    const to = new PcapWriter(options.output(label))
    writers.push(to)
    return to
  }
  const cables: RecordedEnd[] = []
  const fabric = buildFabric(
    topology,
    { pool, clock, loop },
    {
      plug: ({ label }) => {
        const input = inputs.get(label)
        const from = input === undefined ? {} : { from: reader(input), accept }
        const port = new CapturePort(pool, label, { clock, to: writer(label), ...from })
        if (input !== undefined) players.push(port)
        return port
      },
      cableEnd: (label) => {
        const end = new RecordedEnd(pool, label, clock, writer(label))
        cables.push(end)
        return end
      },
    },
  )
  // Once frames have gone round, a moment gets what it takes to cross all nodes and come back, and little more: each
  // further broadcast would go round as long as the first, and all of it is written down.
  let turns = TURNS
  const due = (): boolean => players.some((port) => port.nextTime <= clock.now)
  const settle = (): void => {
    for (let left = turns; left > 0; ) {
      if (loop.turn() === 0 && !loop.busy) return
      if (!due()) left--
    }
    turns = 16 + 4 * topology.nodes.length
    loop.abandon()
    for (const end of cables) end.abandon()
  }
  const bad = Array.from(fabric.ports.values()).filter((port) => port instanceof FaultPort)
  for (let moments = MOMENTS; moments > 0; ) {
    settle()
    for (const { failure } of players) if (failure !== null) throw failure
    let next = Math.min(...players.map((port) => port.nextTime))
    if (next === Number.POSITIVE_INFINITY) {
      // What is under way on wires with delays still arrives.
      next = Math.min(...bad.map((port) => port.next))
      if (next === Number.POSITIVE_INFINITY) break
      if (--moments === 0) turns = 0
    }
    advance(loop, clock, next, settle)
  }
  for (const port of fabric.ports.values()) {
    port.close()
    if (port.failure !== null) throw port.failure
  }
  for (const to of writers) to.flush()
  return { ledger: pool.report(), settled: turns === TURNS, undirected }
}

/** How long after a record timers run at their own times: what waits for an answer has given up by then. */
const TIMERS: number = 600 * SECOND

/** Moves the clock to `time`. In a long gap between records timers run once more at its end. */
function advance(loop: Loop, clock: VirtualClock, time: number, settle: () => void): void {
  const end = Math.min(time, clock.now + TIMERS)
  for (let next = loop.nextTick; next < end; next = loop.nextTick) {
    clock.set(Math.max(clock.now, next))
    settle()
  }
  clock.set(Math.max(clock.now, time))
}

function reader(input: ReplayInput): CaptureReader {
  return openCapture(input.open(), { file: input.file })
}

function checkInputs(topology: Topology, inputs: readonly ReplayInput[]): Map<string, ReplayInput> {
  const labels = topology.nodes.flatMap((node) => node.ports.map((port) => port.label))
  const linked = new Set(topology.links.flat())
  const byPort = new Map<string, ReplayInput>()
  for (const input of inputs) {
    const { port, file } = input
    if (!labels.includes(port)) {
      const hint = didYouMean(port, labels) || `; there are ${labels.join(', ')}`
      throw new RangeError(`${file}: there is no port "${port}" in ${topology.name} (expected node/port)${hint}`)
    }
    if (linked.has(port)) {
      throw new RangeError(`${file}: port ${port} is joined by a link, so frames come to it from its other end`)
    }
    if (byPort.has(port)) throw new RangeError(`${file}: port ${port} has ${byPort.get(port)?.file} already`)
    byPort.set(port, input)
  }
  return byPort
}

/** Reads all captures and says when they start and how long their longest frame is. */
function measure(inputs: readonly ReplayInput[]): { start: bigint; longest: number } {
  let start: bigint | undefined
  let last: bigint | undefined
  let longest = 0
  for (const input of inputs) {
    for (const record of reader(input)) {
      const { linkType, id } = record.interface
      if (linkType !== LinkType.Ethernet) {
        const reason = `interface ${id} has link type ${linkType}; only Ethernet (${LinkType.Ethernet}) can be replayed`
        throw new CaptureError(input.file, record.position, reason)
      }
      longest = Math.max(longest, record.data.length)
      const { time } = record
      if (time === undefined) continue
      if (time < 0n || time >= PCAP_END) {
        throw new CaptureError(input.file, record.position, 'a time that a pcap file cannot have')
      }
      if (start === undefined || time < start) start = time
      if (last === undefined || time > last) last = time
      if (last - start > BigInt(Number.MAX_SAFE_INTEGER)) {
        throw new CaptureError(input.file, record.position, 'the captures span more than 104 days')
      }
    }
  }
  return { start: start ?? 0n, longest }
}

/** An end of a cable that writes down what leaves by it. */
class RecordedEnd extends MemoryPort {
  readonly #clock: Clock
  readonly #to: CaptureWriter

  constructor(pool: FramePool, name: string, clock: Clock, to: CaptureWriter) {
    // Room for all frames of the pool: a cable does not lose any.
    super(pool, name, { capacity: pool.frames })
    this.#clock = clock
    this.#to = to
  }

  /** Drops what waits to be received, as `PathTooLong`. */
  abandon(): void {
    const batch = new Batch()
    for (this.receive(batch); batch.length > 0; this.receive(batch)) {
      for (let i = 0; i < batch.length; i++) this.pool.drop(batch.frames[i] as Frame, Drop.PathTooLong)
      batch.length = 0
    }
  }

  protected override leaving(f: Frame): void {
    super.leaving(f)
    this.#to.write({ time: this.#clock.epoch + BigInt(this.#clock.now), data: this.pool.view(f) })
  }
}
