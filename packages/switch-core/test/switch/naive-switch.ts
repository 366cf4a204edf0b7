/**
 * The same switch, written to be obviously right: entries in a Map with text keys, frames as text, no batches, no
 * sharing. The property test runs it beside the real one.
 */
import type { DropName, PortVlans, SwitchPortOptions } from '../../src/index.ts'

interface Entry {
  port: number
  kind: 'dynamic' | 'sticky' | 'static'
  heard: number
}

interface NaivePort {
  options: SwitchPortOptions
  up: boolean
}

const RESERVED = /^0180c200000([1-9a-f])$/

function inList(list: readonly (number | string)[], vid: number): boolean {
  return list.some((r) => {
    const [low, high = low] = String(r).split('-').map(Number) as [number, number?]
    return vid >= low && vid <= high
  })
}

/** 'no', 'tagged' or 'untagged'. */
function membership(vlan: PortVlans, vid: number): 'no' | 'tagged' | 'untagged' {
  if ('access' in vlan) return vlan.access === vid ? 'untagged' : 'no'
  if ('tunnel' in vlan) return vlan.tunnel === vid ? 'untagged' : 'no'
  if (vlan.native === vid || inList(vlan.untagged ?? [], vid)) return 'untagged'
  return inList(vlan.trunk, vid) ? 'tagged' : 'no'
}

function pvidOf(vlan: PortVlans): number {
  return 'access' in vlan ? vlan.access : 'tunnel' in vlan ? vlan.tunnel : (vlan.native ?? 0)
}

export class NaiveSwitch {
  /** Milliseconds. */
  now = 0
  readonly ports: NaivePort[]
  readonly table: Map<string, Entry> = new Map()
  readonly drops: Partial<Record<DropName, number>> = {}
  readonly #aware: boolean
  readonly #ageing: number

  constructor(ports: SwitchPortOptions[], aware: boolean, ageing: number) {
    this.ports = ports.map((options) => ({ options, up: true }))
    this.#aware = aware
    this.#ageing = ageing * 1000
  }

  /** Switches one frame and says what leaves by which port. */
  send(from: number, frame: string): [port: number, frame: string][] {
    const port = this.ports[from] as NaivePort
    const o = port.options
    const dst = frame.slice(0, 12)
    const src = frame.slice(12, 24)
    const size = frame.length / 2
    if (!port.up) return this.#drop('PortDown')
    if (size < 14) return this.#drop('Runt')
    if (o.macs && !o.macs.some((m) => m.replaceAll(':', '') === src)) return this.#drop('MacGuard')
    if (Number.parseInt(src.slice(0, 2), 16) & 1) return this.#drop('GroupSource')
    if (/^0+$/.test(src)) return this.#drop('ZeroSource')

    let vid = 0
    let form: 'tagged' | 'untagged' | 'priority' = 'untagged'
    if (this.#aware) {
      const vlan = o.vlan ?? { access: 1 }
      vid = pvidOf(vlan)
      if (!('tunnel' in vlan) && frame.slice(24, 28) === '8100') {
        if (size < 18) return this.#drop('Runt')
        const id = Number.parseInt(frame.slice(28, 32), 16) & 0xfff
        if (id === 4095) return this.#drop('VlanReserved')
        form = id === 0 ? 'priority' : 'tagged'
        if (id > 0) vid = id
      }
      if (vid === 0) return this.#drop('Untagged')
      if (membership(vlan, vid) === 'no') return this.#drop('VlanIngress')
    }

    if (dst === '0180c2000001') return this.#drop('ReservedGroup')
    if (o.learning !== false) this.#learn(`${src}/${vid}`, from, o.learning === 'sticky')
    if (RESERVED.test(dst)) return this.#drop('ReservedGroup')

    const known = this.#find(`${dst}/${vid}`)
    const group = (Number.parseInt(dst.slice(0, 2), 16) & 1) === 1
    if (!group && known !== undefined) {
      if (known.port === from && !o.hairpin) return this.#drop('SamePort')
      const out = this.ports[known.port] as NaivePort
      if (!out.up) return this.#drop('PortDown')
      if (o.isolated && out.options.isolated) return this.#drop('Isolated')
      const m = this.#aware ? membership(out.options.vlan ?? { access: 1 }, vid) : 'untagged'
      if (m === 'no') return this.#drop('VlanEgress')
      return [[known.port, this.#retag(frame, form, m, vid)]]
    }
    const kind = !group ? 'unknownUnicastFlood' : dst === 'ffffffffffff' ? 'broadcastFlood' : 'multicastFlood'
    const sent: [number, string][] = []
    for (const [to, out] of this.ports.entries()) {
      const m = this.#aware ? membership(out.options.vlan ?? { access: 1 }, vid) : 'untagged'
      if ((to === from && !o.hairpin) || !out.up || out.options[kind] === false || m === 'no') continue
      if (o.isolated && out.options.isolated) continue
      sent.push([to, this.#retag(frame, form, m, vid)])
    }
    return sent.length > 0 ? sent : this.#drop('NoDestination')
  }

  /** Changes settings; what was learnt in a VLAN that the port leaves is forgotten. */
  set(port: number, change: SwitchPortOptions): void {
    const target = this.ports[port] as NaivePort
    const before = target.options.vlan ?? { access: 1 }
    target.options = { ...target.options, ...change }
    const after = target.options.vlan ?? { access: 1 }
    for (const [key, e] of this.table) {
      const vid = Number(key.split('/')[1])
      if (e.port !== port || e.kind === 'static') continue
      if (membership(before, vid) !== 'no' && membership(after, vid) === 'no') this.table.delete(key)
    }
  }

  /** Forgets learnt entries; configured ones too where `all` is set. */
  flush(port: number | undefined, vlan: number | undefined, all = false): void {
    for (const [key, e] of this.table) {
      if (!all && e.kind === 'static') continue
      if (port !== undefined && e.port !== port) continue
      if (vlan !== undefined && Number(key.split('/')[1]) !== vlan) continue
      this.table.delete(key)
    }
  }

  /** Entries that have not aged out: "mac/vlan port kind". */
  list(): string[] {
    return [...this.table]
      .filter(([key]) => this.#find(key) !== undefined)
      .map(([key, e]) => `${key} ${e.port} ${e.kind}`)
      .sort()
  }

  #find(key: string): Entry | undefined {
    const e = this.table.get(key)
    return e !== undefined && (e.kind === 'static' || this.now - e.heard < this.#ageing) ? e : undefined
  }

  #learn(key: string, port: number, sticky: boolean): void {
    const kind = sticky ? 'sticky' : 'dynamic'
    const old = this.#find(key)
    // An entry that has aged out, heard again where it was, is taken up again as it was.
    const stale = this.table.get(key)
    if (old === undefined) {
      const same = stale !== undefined && stale.port === port
      this.table.set(key, { port, kind: same ? stale.kind : kind, heard: this.now })
    } else if (old.port === port) old.heard = this.now
    else if (old.kind === 'dynamic') this.table.set(key, { port, kind, heard: this.now })
  }

  /** What the sweep does: entries that have aged out are gone. */
  sweep(): void {
    for (const key of [...this.table.keys()]) if (this.#find(key) === undefined) this.table.delete(key)
  }

  #retag(frame: string, form: 'tagged' | 'untagged' | 'priority', want: 'tagged' | 'untagged', vid: number): string {
    const pcp = form === 'untagged' ? 0 : Number.parseInt(frame.slice(28, 32), 16) & 0xf000
    const bare = form === 'untagged' ? frame : frame.slice(0, 24) + frame.slice(32)
    if (!this.#aware || form === want) return frame
    if (want === 'untagged') return bare
    return `${bare.slice(0, 24)}8100${(pcp | vid).toString(16).padStart(4, '0')}${bare.slice(24)}`
  }

  #drop(why: DropName): [] {
    this.drops[why] = (this.drops[why] ?? 0) + 1
    return []
  }
}
