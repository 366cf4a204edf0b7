/**
 * A NAT that is written to be seen through: Maps with text for keys, packets as objects, nothing shared, nothing fast. It masquerades what
 * goes from inside to outside, forwards one port of the outside address to a host inside, and keeps flows as long as Linux does.
 */

export interface Packet {
  proto: 'udp' | 'tcp' | 'echo'
  src: string
  sport: number
  dst: string
  dport: number
  /** Of TCP: "S", "SA", "A", "F" (with ACK), "R". */
  flags?: string
  /** Of an echo: it is the answer. */
  answer?: boolean
}

interface Flow {
  original: string
  reply: string
  /** What packets of either direction become. */
  there: Partial<Packet>
  back: Partial<Packet>
  state: string
  replied: boolean
  assured: boolean
  /** A SYN of the opener passed and changed nothing. */
  ignored: boolean
  /** In whose name the flow was reset: the opener's, the other's. */
  reset: [boolean, boolean]
  made: number
  ends: number
}

const OUT = '203.0.113.1'
const UDP = { first: 30, stream: 120 }
const ECHO = 30
const TCP: Record<string, number> = { SS: 120, SR: 60, ES: 432_000, FW: 120, CW: 60, LA: 30, TW: 120, CL: 10, S2: 120 }

const key = (p: Packet): string => `${p.proto}${p.answer ? ' answer' : ''} ${p.src}#${p.sport} > ${p.dst}#${p.dport}`

/** The state of TCP after a segment, `-` where it cannot be, `.` where it changes nothing: as a story, and not as a table. */
function next(state: string, flags: string, fromOpener: boolean): string {
  switch (flags) {
    case 'S':
      if (!fromOpener) return state === 'SS' || state === 'S2' ? 'S2' : state === 'TW' ? 'SS' : '-'
      if (state === 'SS' || state === 'TW' || state === 'CL') return 'SS'
      return state === 'S2' ? 'S2' : '.'
    case 'SA':
      if (fromOpener) return state === 'SR' || state === 'S2' ? 'SR' : '-'
      return state === 'SS' || state === 'S2' ? 'SR' : '.'
    case 'F':
      if (state === 'SS' || state === 'S2') return '-'
      if (state === 'SR' || state === 'ES') return 'FW'
      return state === 'TW' || state === 'CL' ? state : 'LA'
    case 'A':
      if (state === 'SS' || state === 'S2') return fromOpener ? '-' : '.'
      if (state === 'SR') return fromOpener ? 'ES' : 'SR'
      if (state === 'FW') return 'CW'
      return state === 'LA' ? 'TW' : state
    default:
      return 'CL'
  }
}

export class NaiveNat {
  readonly flows: Map<string, Flow> = new Map()
  /** What stands between: the answer of the NAT under test to a conflict of ports is taken for granted if it is free. */
  readonly forwards: ReadonlyMap<string, string>
  now = 0

  /** @param forwards `udp 8080` -> `10.22.0.11#80` */
  constructor(forwards: Record<string, string>) {
    this.forwards = new Map(Object.entries(forwards))
  }

  #alive(flow: Flow | undefined): Flow | undefined {
    if (flow === undefined || flow.ends > this.now) return flow
    this.#remove(flow)
    return undefined
  }

  #remove(flow: Flow): void {
    this.flows.delete(flow.original)
    this.flows.delete(flow.reply)
  }

  /** What becomes of a packet: the packet, or null where it goes nowhere. `seen` is what came out of the NAT under test: its choice of a
   * port is believed where one had to be chosen. */
  pass(p: Packet, seen: Packet | null): Packet | null {
    let flow = this.#alive(this.flows.get(key(p)))
    if (flow !== undefined) {
      const opener = key(p) === flow.original
      const verdict = this.#change(flow, p, opener)
      if (verdict === 'invalid') return null
      if (verdict !== 'again') {
        if (verdict === 'last') this.#remove(flow)
        return { ...p, ...(opener ? flow.there : flow.back) }
      }
      this.#remove(flow)
      flow = undefined
    }
    return this.#open(p, seen)
  }

  #change(flow: Flow, p: Packet, opener: boolean): string {
    if (p.proto === 'echo') {
      flow.ends = this.now + ECHO
      return 'ok'
    }
    if (p.proto === 'udp') {
      // The first answer makes no stream.
      const stream = flow.replied && this.now - flow.made > 2
      if (!opener) flow.replied = true
      if (stream) flow.assured = true
      flow.ends = this.now + (flow.assured ? UDP.stream : UDP.first)
      return 'ok'
    }
    const flags = p.flags as string
    let after = next(flow.state, flags, opener)
    if (after === '-') return 'invalid'
    if (after === 'SS' && (flow.state === 'TW' || flow.state === 'CL')) return 'again'
    // The answer to a SYN that changed nothing is no last acknowledgement.
    if (!opener && flow.state === 'LA' && flags === 'A' && flow.ignored) after = '.'
    if (after === '.') {
      if (opener && flags === 'S') flow.ignored = true
      if (!opener) flow.replied = true
      return 'ok'
    }
    const answered = flow.replied
    const before = flow.state
    const side = opener ? 0 : 1
    // Who goes on after a reset in its name has not sent it.
    const revived = before === 'CL' && flow.reset[side] && flow.assured && flags !== 'R'
    if (flags === 'R') flow.reset[side] = true
    if (revived) {
      after = flags === 'F' ? 'FW' : 'ES'
      flow.reset = [false, false]
    }
    flow.state = after
    if (!opener) flow.replied = true
    if (!answered && flags === 'R') return 'last'
    if (!answered && flags === 'S' && before === 'SS') return 'ok'
    let time = flags === 'R' ? (TCP.CL as number) : (TCP[after] as number)
    if (after === 'ES' && (!answered || revived)) time = Math.min(time, 300)
    if (after === 'ES' && answered && !revived && (before === 'SR' || before === 'ES')) flow.assured = true
    flow.ends = this.now + time
    return 'ok'
  }

  #open(p: Packet, seen: Packet | null): Packet | null {
    if (p.answer) return null
    let state = ''
    if (p.proto === 'tcp') {
      if (p.flags !== 'S' && p.flags !== 'A') return null
      state = p.flags === 'S' ? 'SS' : 'ES'
    }
    const fromInside = p.src.startsWith('10.')
    const there: Partial<Packet> = {}
    const back: Partial<Packet> = {}
    let reply: Packet = {
      ...p,
      src: p.dst,
      sport: p.dport,
      dst: p.src,
      dport: p.sport,
      ...(p.proto === 'echo' ? { answer: true } : {}),
    }
    if (fromInside && !p.dst.startsWith('10.')) {
      let port = p.sport
      const free = (n: number): boolean =>
        this.#alive(
          this.flows.get(key({ ...reply, dst: OUT, dport: n, ...(p.proto === 'echo' ? { sport: n } : {}) })),
        ) === undefined
      if (!free(port)) {
        // Any free port of the same class will do.
        if (seen === null) throw new Error(`a port was to be had for ${key(p)}`)
        port = seen.sport
        if (!free(port)) throw new Error(`port ${port} was taken`)
        const low = p.proto !== 'echo' && p.sport < 1024
        if (low !== port < 1024 && p.proto !== 'echo')
          throw new Error(`port ${port} is of another class than ${p.sport}`)
      } else if (seen !== null && seen.sport !== port && seen.sport !== this.#earlier(p)) {
        throw new Error(`port ${port} was free and not kept for ${key(p)}`)
      } else if (seen !== null) {
        // An earlier mapping of the same endpoint is used again.
        port = seen.sport
        if (!free(port)) throw new Error(`port ${port} was taken`)
      }
      Object.assign(there, { src: OUT, sport: port }, p.proto === 'echo' ? { dport: port } : {})
      Object.assign(back, { dst: p.src, dport: p.sport }, p.proto === 'echo' ? { sport: p.sport } : {})
      reply = { ...reply, dst: OUT, dport: port, ...(p.proto === 'echo' ? { sport: port } : {}) }
    } else if (p.dst === OUT) {
      const to = this.forwards.get(`${p.proto} ${p.dport}`)
      if (to === undefined || fromInside) return null
      const [host, port] = to.split('#') as [string, string]
      Object.assign(there, { dst: host, dport: Number(port) })
      Object.assign(back, { src: OUT, sport: p.dport })
      reply = { ...reply, src: host, sport: Number(port) }
    }
    if (this.#alive(this.flows.get(key(reply))) !== undefined) {
      // Its answers would be taken for those of another: its port has to change.
      if (seen === null) throw new Error(`a port was to be had for ${key(p)}`)
      reply = { ...reply, dport: seen.sport, ...(p.proto === 'echo' ? { sport: seen.sport } : {}) }
      if (this.#alive(this.flows.get(key(reply))) !== undefined) throw new Error(`port ${seen.sport} was taken`)
      Object.assign(there, { sport: seen.sport }, p.proto === 'echo' ? { dport: seen.sport } : {})
      Object.assign(back, { dport: p.sport }, p.proto === 'echo' ? { sport: p.sport } : {})
    }
    const time =
      p.proto === 'udp' ? UDP.first : p.proto === 'echo' ? ECHO : state === 'ES' ? 300 : (TCP[state] as number)
    const flow: Flow = {
      original: key(p),
      reply: key(reply),
      there,
      back,
      state,
      replied: false,
      assured: false,
      ignored: false,
      reset: [false, false],
      made: this.now,
      ends: this.now + time,
    }
    this.flows.set(flow.original, flow)
    this.flows.set(flow.reply, flow)
    return { ...p, ...there }
  }

  /** The outside port of another flow of the same inside endpoint. */
  #earlier(p: Packet): number | undefined {
    for (const flow of this.flows.values()) {
      if (flow.ends > this.now && flow.original.startsWith(`${p.proto} ${p.src}#${p.sport} >`)) return flow.there.sport
    }
    return undefined
  }

  /** Flows that have not ended. */
  get size(): number {
    return new Set([...this.flows.values()].filter((f) => f.ends > this.now)).size
  }
}
