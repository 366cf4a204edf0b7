import { Drop } from '../drop.ts'
import type { Frame, FramePool } from '../frame-pool.ts'
import type { FrameTrace } from '../trace.ts'
import { formatMac } from '../wire/ethernet.ts'
import { ago, destinationMac, listText } from '../words.ts'
import type { FdbEntry } from './fdb.ts'
import { BROADCAST, MULTICAST } from './storm.ts'
import { PRIORITY, TAGGED } from './vlan.ts'

/*
 * What the switch says of a frame that is followed (`trace.ts`). It is asked only while somebody traces.
 */

const BY = 'switch'

/** In which VLAN a frame is, and why. */
export function vlan(trace: FrameTrace, f: Frame, port: string, id: number, form: number, tunnel: boolean): void {
  if (!trace.follows(f)) return
  if (form === TAGGED) trace.note(f, BY, `VLAN ${id}, by its tag`)
  else {
    const how = tunnel
      ? 'whatever its tag, since it is a tunnel port'
      : form === PRIORITY
        ? 'by a tag for VLAN 0'
        : 'untagged'
    trace.note(f, BY, `VLAN ${id} of port ${port}: ${how}`)
  }
}

/** A VLAN that a frame may not come in by. */
export function notIn(trace: FrameTrace, f: Frame, port: string, id: number, form: number): void {
  if (!trace.follows(f)) return
  if (id === 0) trace.note(f, BY, `untagged, and port ${port} has no VLAN for such frames`)
  else if (form === TAGGED) trace.note(f, BY, `tagged VLAN ${id}, of which port ${port} is no member`)
  else trace.note(f, BY, `VLAN ${id}, of which port ${port} is no member`)
}

/** What was learnt of a frame's source, by the entry before and the one after. */
export function learnt(
  pool: FramePool,
  f: Frame,
  before: FdbEntry | null,
  after: FdbEntry | null,
  port: number,
  name: string,
  nameOf: (port: number) => string,
): void {
  const { trace } = pool
  if (trace === null || !trace.follows(f)) return
  const mac = formatMac(pool.bytes, (pool.off[f] as number) + 6)
  if (after === null) trace.note(f, BY, `${mac} is not learnt: the FDB has no room`)
  else if (after.port !== port) {
    trace.note(f, BY, `${mac} is heard on port ${name}; its ${after.kind} entry stays on port ${nameOf(after.port)}`)
  } else if (before === null) trace.note(f, BY, `${mac} is learnt on port ${name}`)
  else if (before.port !== port) {
    trace.note(f, BY, `${mac} moves to port ${name}; it was heard on port ${nameOf(before.port)} ${ago(before.age)}`)
  }
}

/** Where a known destination is. */
export function hit(trace: FrameTrace, f: Frame, entry: FdbEntry | null, port: string): void {
  if (!trace.follows(f) || entry === null) return
  trace.note(f, BY, `FDB hit: ${entry.mac}${inVlan(entry.vlan)} on port ${port}, ${howKnown(entry)}`)
}

/** How an entry came to be, and how old it is. */
export function howKnown({ kind, age }: Pick<FdbEntry, 'kind' | 'age'>): string {
  if (kind === 'static') return 'static'
  return `${kind === 'sticky' ? 'learnt for good' : 'learnt'}, last heard ${ago(age)}`
}

/** Why a port does not get a frame. */
export function kept(trace: FrameTrace, f: Frame, port: string, why: Drop, mtu: number): void {
  if (trace.follows(f)) trace.note(f, BY, `may not leave by port ${port}: ${refusal(why, mtu)}`)
}

/** Why a port does not get a frame, in a word or two. */
export function refusal(why: Drop, mtu: number): string {
  switch (why) {
    case Drop.PortDown:
      return 'down'
    case Drop.Isolated:
      return 'isolated'
    case Drop.VlanEgress:
      return 'not in this VLAN'
    case Drop.TooBig:
      return `its MTU is ${mtu}`
    default:
      return 'the output of a mirror'
  }
}

/** That a frame is flooded, why, and to whom not. */
export function flood(
  pool: FramePool,
  f: Frame,
  vlanId: number,
  kind: number,
  ports: readonly string[],
  not: readonly string[],
): void {
  const { trace } = pool
  if (trace === null || !trace.follows(f)) return
  const to = destinationMac(pool.bytes, pool.off[f] as number)
  const why = kind === BROADCAST || kind === MULTICAST ? to : `${to} is not in the FDB`
  const where = ports.length === 0 ? 'there is no port for it' : `flooded to ${listText(ports)}`
  trace.note(f, BY, `${why}: ${where}${inVlan(vlanId)}${not.length === 0 ? '' : `; not to ${listText(not)}`}`)
}

/** What was done to a frame's tag. */
export function retagged(trace: FrameTrace, f: Frame, id: number, tagged: boolean, form: number, ports: number): void {
  if (!trace.follows(f)) return
  const what = tagged
    ? form === PRIORITY
      ? `VLAN ${id} put into the tag`
      : `tag of VLAN ${id} put on`
    : `tag of VLAN ${id} taken off`
  trace.note(f, BY, ports > 1 ? `${what}, in one copy for ${ports} ports` : what)
}

/** That a port may not use the frame's source. */
export function guarded(pool: FramePool, f: Frame, port: string): void {
  const { trace } = pool
  if (trace === null || !trace.follows(f)) return
  trace.note(f, BY, `port ${port} may not send as ${formatMac(pool.bytes, (pool.off[f] as number) + 6)}`)
}

/** That the output of a mirror gets a copy. */
export function mirrored(trace: FrameTrace, f: Frame, port: string): void {
  if (trace.follows(f)) trace.note(f, BY, `a copy for the mirror on port ${port}`)
}

function inVlan(id: number): string {
  return id === 0 ? '' : ` in VLAN ${id}`
}
