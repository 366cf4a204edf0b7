/**
 * The load, the same for all, and what is read off it: one function a measurement.
 *
 * Datagrams have 64 bytes of payload: frames of 106 bytes. A delay is one way, from the sender's stamp to the receiver's
 * read. The switch's CPU is what its process used, all threads, the kernel's work in its system calls included; a bridge has
 * no process, it works in the sender's. So what all used is counted as well: sender, receiver and switch.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab, Program } from './lab.ts'
import { childrenSeconds } from './machine.ts'
import { program } from './native.ts'
import type { Contender, Measure } from './scene.ts'

/** What is read off the measurements: its unit, and what it is called. */
export const METRICS = {
  tcp1: ['Gbit/s', 'TCP, 1 stream'],
  tcp1Cores: ['cores', 'CPU of the switch, TCP 1 stream'],
  tcp1All: ['s/GB', 'CPU of all, TCP 1 stream'],
  tcp4: ['Gbit/s', 'TCP, 4 streams'],
  tcp4Cores: ['cores', 'CPU of the switch, TCP 4 streams'],
  tcp4All: ['s/GB', 'CPU of all, TCP 4 streams'],
  udp: ['kpps', 'UDP 64 B flat out, delivered'],
  udpFrame: ['us', 'CPU of the switch, a frame'],
  udpAll: ['us', 'CPU of all, a frame'],
  udpDelay: ['ms', 'one-way delay flat out, p99'],
  udpFlows: ['kpps', 'UDP 64 B of 16 flows, delivered'],
  udpFlowsFrame: ['us', 'CPU of the switch, a frame of 16 flows'],
  lossless: ['kpps', 'UDP 64 B, highest rate with < 0.1 % loss'],
  pingMean: ['us', 'flood ping, mean'],
  pingP50: ['us', 'flood ping, p50'],
  pingSlow: ['us', 'ping each millisecond, p50'],
  pingSlowP99: ['us', 'ping each millisecond, p99'],
  besideTcp: ['us', 'UDP round trip beside TCP, p50'],
  besideTcpP99: ['us', 'UDP round trip beside TCP, p99'],
  besideUdp: ['us', 'UDP round trip beside 50,000 datagrams a second, p50'],
  besideUdpP99: ['us', 'UDP round trip beside 50,000 datagrams a second, p99'],
  idle: ['%', 'CPU of the idle switch'],
} as const satisfies Record<string, readonly [unit: string, title: string]>

export type Metric = keyof typeof METRICS
/** What a measurement gave. A metric that does not apply is not in it. */
export type Figures = Partial<Record<Metric, number>>

export interface LoadSettings {
  /** Length of a measurement, in seconds. */
  readonly seconds: number
  /** Trials in the search for the highest lossless rate; 0 leaves it out. */
  readonly trials: number
  /** Whether iperf3 makes the TCP load, which then takes whole seconds. */
  readonly iperf3: boolean
}

interface Sent {
  seconds: number
  datagrams: number
}
interface Received {
  seconds: number
  bytes: number
  datagrams: number
  p99: number
}
interface Trips {
  mean: number
  p50: number
  p99: number
}

const PORT = '5201'
const SIZE = '64'
/** Frames that are under way when the sender ends arrive within this, in milliseconds. */
const DRAIN = 60
/** Share of datagrams that may be lost at the highest lossless rate. */
const LOSS = 0.001

/** CPU seconds until now: of the switch, and of programs that have ended. */
function cpuNow(at: Contender): { works: number; children: number } {
  return { works: at.process?.cpu() ?? 0, children: childrenSeconds() }
}

/** CPU seconds since then: of the switch, and of the switch, senders and receivers. */
function cpuSince(at: Contender, before: { works: number; children: number }): { works: number; all: number } {
  const now = cpuNow(at)
  const works = now.works - before.works
  return { works, all: works + now.children - before.children }
}

/** Makes load for one contender at a time. */
export class Load {
  readonly settings: LoadSettings
  readonly #lab: Lab
  readonly #traffic: string = program('traffic')

  constructor(lab: Lab, settings: LoadSettings) {
    this.#lab = lab
    this.settings = settings
  }

  /** What a switch is measured by. */
  get acrossSwitch(): Measure[] {
    return [
      (at) => this.#streams(at, 1),
      (at) => this.#streams(at, 4),
      (at) => this.#besideTcp(at),
      (at) => this.#datagrams(at, this.settings.trials),
      (at) => this.#ping(at),
      (at) => this.#idle(at),
    ]
  }

  /** Those that say how long a frame takes. */
  get delays(): Measure[] {
    return [
      (at) => this.#ping(at),
      (at) => this.#pingSlowly(at),
      (at) => this.#besideTcp(at),
      (at) => this.#besideUdp(at),
      (at) => this.#streams(at, 1),
      (at) => this.#idle(at),
    ]
  }

  /** Those that several workers are measured by: one flow, which one of them has, and several. */
  get acrossWorkers(): Measure[] {
    return [
      (at) => this.#streams(at, 1),
      (at) => this.#streams(at, 4),
      (at) => this.#datagrams(at, 0),
      (at) => this.#flows(at),
      (at) => this.#ping(at),
      (at) => this.#idle(at),
    ]
  }

  /** Those that a NAT is measured by. */
  get acrossNat(): Measure[] {
    return [
      (at) => this.#streams(at, 1),
      (at) => this.#streams(at, 4),
      (at) => this.#datagrams(at, 0),
      (at) => this.#ping(at),
    ]
  }

  /** Those that a tunnel is measured by. */
  get acrossTunnel(): Measure[] {
    return this.acrossNat
  }

  /** Shows a contender each kind of load, unmeasured: code is compiled, addresses are learnt. */
  async warmUp(at: Contender): Promise<void> {
    await this.#ping(at)
    await this.#flood(at, 0.3, 0)
    await this.#tcp(at, 2, 0.2)
  }

  #near(at: Contender, ...args: string[]): Program {
    return this.#lab.start(at.a, this.#traffic, ...args)
  }

  #far(at: Contender, mode: string): Promise<Program> {
    return this.#lab.start(at.b, this.#traffic, mode, PORT).ready()
  }

  /** Streams from one thread for a while; gives bytes received, and in what time. */
  async #tcp(at: Contender, streams: number, seconds: number): Promise<{ bytes: number; seconds: number }> {
    const sink = await this.#far(at, 'tcp-sink')
    await this.#near(at, 'tcp-send', at.far, PORT, String(streams), String(seconds)).result()
    await sleep(DRAIN)
    return sink.stop<Received>()
  }

  async #iperf3(at: Contender, streams: number, seconds: number): Promise<{ bytes: number; seconds: number }> {
    const server = this.#lab.start(at.b, 'iperf3', '-s', '-1', '-p', PORT, '--forceflush')
    await server.ready('listening')
    const args = ['-c', at.far, '-p', PORT, '-t', String(Math.ceil(seconds)), '-P', String(streams)]
    const report = await this.#lab.start(at.a, 'iperf3', ...args, '-J').output()
    await server.output()
    return JSON.parse(report).end.sum_received
  }

  async #streams(at: Contender, streams: 1 | 4): Promise<Figures> {
    const { seconds, iperf3 } = this.settings
    const before = cpuNow(at)
    const got = await (iperf3 ? this.#iperf3(at, streams, seconds) : this.#tcp(at, streams, seconds))
    const used = cpuSince(at, before)
    const figures: Figures = { [`tcp${streams}`]: (got.bytes * 8) / got.seconds / 1e9 }
    figures[`tcp${streams}All`] = used.all / (got.bytes / 1e9)
    if (at.process !== null) figures[`tcp${streams}Cores`] = used.works / (iperf3 ? Math.ceil(seconds) : seconds)
    return figures
  }

  /** Datagrams at a rate (0: flat out) for a while. */
  async #flood(at: Contender, seconds: number, rate: number, flows = 1): Promise<{ sent: Sent; got: Received }> {
    const sink = await this.#far(at, 'udp-sink')
    const args = [SIZE, seconds, rate, flows].map(String)
    const sent = await this.#near(at, 'udp-send', at.far, PORT, ...args).result<Sent>()
    await sleep(DRAIN)
    return { sent, got: await sink.stop<Received>() }
  }

  async #datagrams(at: Contender, trials: number): Promise<Figures> {
    const before = cpuNow(at)
    const { sent, got } = await this.#flood(at, this.settings.seconds, 0)
    const used = cpuSince(at, before)
    const figures: Figures = { udp: got.datagrams / sent.seconds / 1e3, udpDelay: got.p99 / 1e3 }
    figures.udpAll = (used.all / got.datagrams) * 1e6
    if (at.process !== null) figures.udpFrame = (used.works / got.datagrams) * 1e6
    if (trials > 0) {
      const rate = await this.#lossless(at, trials, got.datagrams / sent.seconds, sent.datagrams / sent.seconds)
      if (rate > 0) figures.lossless = rate / 1e3
    }
    return figures
  }

  async #flows(at: Contender): Promise<Figures> {
    const before = cpuNow(at)
    const { sent, got } = await this.#flood(at, this.settings.seconds, 0, 16)
    const figures: Figures = { udpFlows: got.datagrams / sent.seconds / 1e3 }
    if (at.process !== null) figures.udpFlowsFrame = (cpuSince(at, before).works / got.datagrams) * 1e6
    return figures
  }

  /** Searches the highest rate without loss by halving; most of the range above what was delivered flat out is hopeless,
   * so it begins a little below. 0 where no trial went without loss. */
  async #lossless(at: Contender, trials: number, delivered: number, offered: number): Promise<number> {
    const seconds = Math.min(0.3, this.settings.seconds)
    let low = 0
    let high = offered
    let rate = Math.min(0.8 * delivered, offered)
    for (let i = 0; i < trials; i++) {
      const { sent, got } = await this.#flood(at, seconds, rate)
      const kept = sent.datagrams >= 0.97 * rate * seconds && got.datagrams >= (1 - LOSS) * sent.datagrams
      if (kept) low = rate
      else high = rate
      rate = (low + high) / 2
    }
    return low
  }

  async #ping(at: Contender): Promise<Figures> {
    const seconds = String(this.settings.seconds / 3)
    const { mean, p50 } = await this.#near(at, 'icmp-rtt', at.far, '50000', seconds, '0').result<Trips>()
    return { pingMean: mean, pingP50: p50 }
  }

  /** A ping each millisecond: the switch has gone to sleep since the last one. */
  async #pingSlowly(at: Contender): Promise<Figures> {
    const seconds = String(this.settings.seconds)
    const { p50, p99 } = await this.#near(at, 'icmp-rtt', at.far, '50000', seconds, '1000').result<Trips>()
    return { pingSlow: p50, pingSlowP99: p99 }
  }

  /** Round trips while a stream flows. */
  async #besideTcp(at: Contender): Promise<Figures> {
    const { seconds } = this.settings
    const [sink, echo] = await Promise.all([this.#far(at, 'tcp-sink'), this.#far(at, 'echo')])
    const stream = this.#near(at, 'tcp-send', at.far, PORT, '1', String(seconds))
    await sleep(seconds * 250)
    const trips = await this.#near(at, 'udp-rtt', at.far, PORT, '2000', String(seconds / 2)).result<Trips>()
    await stream.result()
    await Promise.all([sink.stop(), echo.stop()])
    return { besideTcp: trips.p50, besideTcpP99: trips.p99 }
  }

  /** Round trips while datagrams flow, at a rate that all can carry. */
  async #besideUdp(at: Contender): Promise<Figures> {
    const { seconds } = this.settings
    const echo = await this.#far(at, 'echo')
    // To a port where nobody reads: what is measured is the switch, not another receiver.
    const flood = this.#near(at, 'udp-send', at.far, '9', SIZE, String(seconds), '50000', '1')
    await sleep(seconds * 250)
    const trips = await this.#near(at, 'udp-rtt', at.far, PORT, '5000', String(seconds / 2)).result<Trips>()
    await flood.output()
    await echo.stop()
    return { besideUdp: trips.p50, besideUdpP99: trips.p99 }
  }

  async #idle(at: Contender): Promise<Figures> {
    if (at.process === null) return {}
    await sleep(100)
    const start = performance.now()
    const before = at.process.cpu()
    await sleep(this.settings.seconds * 1000)
    return { idle: ((at.process.cpu() - before) / ((performance.now() - start) / 1e3)) * 100 }
  }
}
