/**
 * A neighbour table as one would write it on an afternoon: a Map by text, objects, no bounds but a queue limit. What
 * the real one must agree with while it is not full. Times in nanoseconds; dice always show 0.5.
 */
export interface NaiveEntry {
  state: 'incomplete' | 'reachable' | 'stale' | 'delay' | 'probe' | 'failed' | 'permanent'
  mac: string | null
  router: boolean
  due: number
  asked: number
  updated: number
  queue: number[]
}

const S = 1e9

export class NaiveTable {
  readonly entries: Map<string, NaiveEntry> = new Map()
  /** What it did since it was last asked: "ask ip", "ask ip mac", "send tag mac", "fail tag", "drop tag". */
  log: string[] = []
  now = 0
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  send(ip: string, tag: number): void {
    const e = this.entries.get(ip) ?? this.#make(ip)
    if (e.mac !== null) {
      this.log.push(`send ${tag} ${e.mac}`)
      if (e.state === 'stale' || (e.state === 'reachable' && this.now >= e.due)) this.#enter(ip, e, 'delay')
      return
    }
    e.queue.push(tag)
    if (e.queue.length > this.#limit) this.log.push(`drop ${e.queue.shift()}`)
    if (e.state !== 'incomplete') this.#enter(ip, e, 'incomplete')
  }

  /** ARP, or a solicitation for us: the sender is at `mac`. */
  heard(ip: string, mac: string, how: { solicited: boolean; create: boolean; lock: boolean }): void {
    let e = this.entries.get(ip)
    if (e === undefined) {
      if (!how.create) return
      e = this.#make(ip)
    } else if (how.lock && e.mac !== null && e.mac !== mac && this.now - e.updated < S) return
    if (e.state === 'permanent') return
    const differs = e.mac !== mac
    if (differs || how.solicited) {
      e.mac = mac
      e.updated = this.now
    }
    if (how.solicited) this.#enter(ip, e, 'reachable')
    else if (differs) this.#enter(ip, e, 'stale')
  }

  /** RFC 4861, 7.2.5 and its appendix C, case by case. */
  advertised(ip: string, mac: string | null, f: { r: boolean; s: boolean; o: boolean }): void {
    const e = this.entries.get(ip)
    if (e === undefined || e.state === 'failed' || e.state === 'permanent') return
    if (e.state === 'incomplete') {
      if (mac === null) return
      e.mac = mac
      e.updated = this.now
      e.router = f.r
      this.#enter(ip, e, f.s ? 'reachable' : 'stale')
      return
    }
    const same = mac === null || mac === e.mac
    if (!same && !f.o) {
      if (e.state === 'reachable') this.#enter(ip, e, 'stale')
      return
    }
    e.router = f.r
    if (!same) {
      e.mac = mac
      e.updated = this.now
    }
    if (f.s) this.#enter(ip, e, 'reachable')
    else if (!same) this.#enter(ip, e, 'stale')
  }

  permanent(ip: string, mac: string): void {
    const e = this.entries.get(ip) ?? this.#make(ip)
    e.mac = mac
    this.#enter(ip, e, 'permanent')
  }

  remove(ip: string): void {
    const e = this.entries.get(ip)
    this.entries.delete(ip)
    for (const tag of e?.queue ?? []) this.log.push(`fail ${tag}`)
  }

  tick(): void {
    for (const [ip, e] of [...this.entries]) {
      if (e.due > this.now) continue
      if (e.state === 'reachable') this.#enter(ip, e, 'stale')
      else if (e.state === 'delay') this.#enter(ip, e, 'probe')
      else if (e.state === 'stale' || e.state === 'failed') this.entries.delete(ip)
      else if (e.asked < 3) this.#ask(ip, e)
      else {
        this.#enter(ip, e, 'failed')
        for (const tag of e.queue.splice(0)) this.log.push(`fail ${tag}`)
      }
    }
  }

  #make(ip: string): NaiveEntry {
    const e: NaiveEntry = { state: 'failed', mac: null, router: false, due: 0, asked: 0, updated: -1e18, queue: [] }
    this.entries.set(ip, e)
    return e
  }

  #enter(ip: string, e: NaiveEntry, state: NaiveEntry['state']): void {
    e.state = state
    e.asked = 0
    const last = { reachable: 30, stale: 60, failed: 60, delay: 5, permanent: Number.POSITIVE_INFINITY } as const
    if (state === 'incomplete' || state === 'failed') e.mac = null
    if (state === 'incomplete' || state === 'probe') this.#ask(ip, e)
    else e.due = this.now + last[state] * S
    if (e.mac === null || e.queue.length === 0) return
    for (const tag of e.queue.splice(0)) this.log.push(`send ${tag} ${e.mac}`)
    if (e.state === 'stale') this.#enter(ip, e, 'delay')
  }

  #ask(ip: string, e: NaiveEntry): void {
    e.asked++
    e.due = this.now + S
    this.log.push(e.mac === null ? `ask ${ip}` : `ask ${ip} ${e.mac}`)
  }
}
