/**
 * The l2bridge engine as one would write it on paper: frames are records, tables are Maps, every rule is an `if`. It knows
 * nothing of the engine's code; both are given the same frames.
 */
import type { L2BridgeOptions } from '../../src/index.ts'
import { ALL, arpFrame, FABRIC, HOST, IP, ipFrame, type Party, POD1, POD2 } from './lab.ts'

export interface ArpFrame {
  readonly kind: 'arp'
  readonly dst: string
  readonly src: string
  readonly op: 1 | 2
  readonly sha: string
  readonly spa: string
  readonly tha: string
  readonly tpa: string
}
export interface IpFrame {
  readonly kind: 'ip'
  readonly dst: string
  readonly src: string
  readonly from: string
  readonly to: string
}
export type Sent = ArpFrame | IpFrame

export function render(f: Sent): string {
  return f.kind === 'arp'
    ? arpFrame(f.dst, f.src, f.op, f.sha, f.spa, f.tha, f.tpa)
    : ipFrame(f.dst, f.src, f.from, f.to)
}

const isGroup = (mac: string): boolean => (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1
const POD_OF: Readonly<Record<string, string>> = { [IP.pod1]: POD1, [IP.pod2]: POD2 }

export class NaiveL2Bridge {
  readonly #o: Partial<L2BridgeOptions>
  readonly #heard: Map<string, Party> = new Map()
  readonly #bound: Map<string, Party> = new Map([[HOST, 'host']])

  constructor(options: Partial<L2BridgeOptions>) {
    this.#o = options
    if (options.floodLeak !== true) {
      this.#bound.set(POD1, 'pod1').set(POD2, 'pod2')
      if (options.tunnelMac !== undefined) this.#bound.set(FABRIC, 'fabric')
    }
  }

  send(from: Party, sent: Sent): Partial<Record<Party, string[]>> {
    const out: Partial<Record<Party, string[]>> = {}
    const give = (to: Party, f: Sent): void => void (out[to] ??= []).push(render(f))
    let f = sent
    if (from === 'pod1' || from === 'pod2') {
      const answer = this.#answer(f, from === 'pod1' ? IP.pod1 : IP.pod2, false)
      if (answer) {
        give(from, answer)
        return out
      }
      if (this.#o.tunnelMac !== undefined) f = { ...f, dst: FABRIC }
    }
    if (from === 'fabric') {
      const answer = this.#answer(f, '', true)
      if (answer) {
        give('fabric', answer)
        return out
      }
      const in_ = this.#in(f)
      if (in_ === 'nobody') return out
      if (in_ === 'host') {
        give('host', f)
        return out
      }
      f = in_
    }
    this.#switch(from, f, give)
    return out
  }

  /** The answer to an ARP request, if there is one. */
  #answer(f: Sent, own: string, abroad: boolean): ArpFrame | null {
    if (f.kind !== 'arp' || f.op !== 1) return null
    const pod = POD_OF[f.tpa]
    if (f.tpa === own && this.#o.answerOwner !== true) return null
    let mac: string
    if (f.tpa === IP.host) mac = HOST
    else if (pod === undefined) return null
    else if (abroad && this.#o.foreignArpAnswer !== 'pod-mac') mac = HOST
    else mac = this.#o.tunnelMac === undefined ? pod : FABRIC
    return { kind: 'arp', dst: f.sha, src: mac, op: 2, sha: mac, spa: f.tpa, tha: f.sha, tpa: f.spa }
  }

  #in(f: Sent): Sent | 'host' | 'nobody' {
    if (f.kind === 'arp' && f.op === 2 && this.#o.arpReplyMode === 'broadcast-azure') return { ...f, dst: ALL }
    const pod = POD_OF[f.kind === 'arp' ? f.tpa : f.to]
    if (pod !== undefined) return f.kind === 'arp' && f.op === 2 ? { ...f, dst: pod, tha: pod } : { ...f, dst: pod }
    if (this.#o.unknownDestination === 'flood') return f
    const forAll = f.kind === 'ip' || (f.spa === f.tpa && f.tpa !== IP.host)
    if (isGroup(f.dst)) return forAll ? f : 'host'
    return f.dst === HOST ? f : 'nobody'
  }

  #switch(from: Party, f: Sent, give: (to: Party, f: Sent) => void): void {
    if (isGroup(f.src) || f.src === '000000000000') return
    if (!this.#bound.has(f.src)) this.#heard.set(f.src, from)
    const leak = this.#o.floodLeak === true
    const hairpin = leak && (from === 'pod1' || from === 'pod2')
    const known = isGroup(f.dst) ? undefined : (this.#bound.get(f.dst) ?? this.#heard.get(f.dst))
    let to: Party[]
    if (known !== undefined) to = known === from && !hairpin ? [] : [known]
    else {
      const all: Party[] = ['pod1', 'pod2', 'host', 'fabric']
      const takes = (p: Party): boolean => isGroup(f.dst) || p === 'fabric' || (leak && p !== 'host')
      to = all.filter((p) => takes(p) && (p !== from || hairpin))
    }
    for (const p of to) {
      if (p !== 'fabric') give(p, f)
      else give(p, f.kind === 'arp' ? { ...f, src: HOST, sha: HOST } : { ...f, src: HOST })
    }
  }
}
