/**
 * Anything at all, into the kernel's NAT and into ours, packet by packet: the same comes out of both. TCP with any flags, in any
 * order, from both ends; datagrams; pings, answers that nobody asked for; ICMP errors about what was sent, and forged ones.
 *
 * Both pass on what belongs to no flow (`invalid: 'pass'`), the kernel does not look at windows (tcp_be_liberal), and no port is
 * drawn by lot: those of the two hosts differ, and the kernel takes nothing for itself that could stand in their way. One thing is
 * left out, which differs (nat-conformance says how): a SYN on a connection that the other side has reset.
 */
import { it } from 'vitest'
import { complaint, datagram, echo, line, OUTSIDE, P1, P2, read, type Side, segment, X, Y } from './nat-packets.ts'
import { kernels, noKernel, type Out, ours, type World } from './nat-worlds.ts'

/** Packets of a run. */
const PACKETS = 250
const SEEDS = [1, 2, 3]

function dice(seed: number): <T>(list: readonly T[]) => T {
  let a = seed
  return (list) => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return list[((t ^ (t >>> 14)) >>> 0) % list.length] as never
  }
}

const HOSTS = [
  { side: 'p1', ip: P1, ports: [5001, 5002] },
  { side: 'p2', ip: P2, ports: [6001, 6002] },
] as const
const FLAGS = [
  'S',
  'S',
  'SA',
  'SA',
  'A',
  'A',
  'A',
  'PA',
  'FA',
  'FA',
  'R',
  'RA',
  'F',
  'SF',
  'SR',
  'FR',
  '',
  'P',
  'SFRPA',
]
const KINDS = ['tcp', 'tcp', 'tcp', 'tcp', 'tcp', 'tcp', 'udp', 'udp', 'echo', 'unasked', 'error', 'forged'] as const

interface Step {
  side: Side
  frame: string
  what: string
}

/** The next packet; `left` is what left by the uplink, `came` what came to a host, `reset` connections that were. */
function next(pick: <T>(list: readonly T[]) => T, left: string[], came: [Side, string][], reset: Set<string>): Step {
  const host = pick(HOSTS)
  const port = pick(host.ports)
  const remote = pick([X, Y])
  const service = pick([80, 443])
  const outward = pick([true, true, false])
  const seqs = { seq: 1000, ack: 1000 }
  switch (pick(KINDS)) {
    case 'tcp': {
      const drawn = pick(FLAGS)
      const key = `${port} ${remote} ${service}`
      if (!outward && drawn.includes('R')) reset.add(key)
      const flags = outward && drawn === 'S' && reset.has(key) ? 'A' : drawn
      return outward
        ? { side: host.side, frame: segment(`${host.ip}:${port}`, `${remote}:${service}`, flags, seqs), what: flags }
        : { side: 'up', frame: segment(`${remote}:${service}`, `${OUTSIDE}:${port}`, flags, seqs), what: flags }
    }
    case 'udp':
      return outward
        ? { side: host.side, frame: datagram(`${host.ip}:${port}`, `${remote}:${service}`), what: '' }
        : { side: 'up', frame: datagram(`${remote}:${service}`, `${OUTSIDE}:${port}`), what: '' }
    case 'echo':
      return outward
        ? { side: host.side, frame: echo(host.ip, remote, port), what: '' }
        : { side: 'up', frame: echo(remote, OUTSIDE, port, { reply: true }), what: '' }
    case 'unasked':
      return { side: host.side, frame: echo(host.ip, remote, port, { reply: true }), what: 'unasked' }
    case 'error': {
      const [type, code] = pick([
        [3, 1],
        [3, 3],
        [11, 0],
        [12, 0],
      ] as const)
      const quote = pick([28, 60])
      const inwards = came.length > 0 && pick([true, false])
      if (inwards) {
        const [side, about] = pick(came.slice(-5))
        const who = side === 'p1' ? P1 : P2
        return { side, frame: complaint(who, about, type, code, { quote }), what: 'about what came' }
      }
      if (left.length === 0) return { side: host.side, frame: echo(host.ip, remote, port), what: '' }
      const about = pick(left.slice(-5))
      return {
        side: 'up',
        frame: complaint(pick([X, Y]), about, type, code, { quote, dst: OUTSIDE }),
        what: 'about what left',
      }
    }
    case 'forged': {
      const about = datagram(`${OUTSIDE}:${pick([1, port])}`, `${pick([X, Y])}:${pick([7, service])}`)
      return { side: 'up', frame: complaint(X, about, 3, 3, { dst: OUTSIDE }), what: 'forged' }
    }
  }
}

/** What is compared: what came out where, frame by frame. What the node itself says to those outside is left out. */
function seen(out: Out, asked: Step): Record<string, string[]> {
  const kept = Object.entries(out).map(([side, frames]) => {
    return [side, side === 'up' && asked.side === 'up' ? [] : frames.map(blank)] as const
  })
  return Object.fromEntries(kept.filter(([, frames]) => frames.length > 0))
}

/** Blanks the identification of what the node itself makes: errors, and answers to pings. */
function blank(frame: string): string {
  const b = Buffer.from(frame, 'hex')
  if (b[23] === 1 && read(frame).src === OUTSIDE && b[22] === 64) {
    b.fill(0, 18, 20)
    b.fill(0, 24, 26)
  }
  return b.toString('hex')
}

it.for(SEEDS)('both do the same: seed %i', { timeout: 60_000 }, async (seed, { skip, expect }) => {
  if (noKernel) skip(noKernel)
  const pick = dice(seed)
  const kernel = await kernels({ liberal: true, sealed: true })
  let mine: World | undefined
  const said: string[] = []
  try {
    mine = await ours({}, { invalid: 'pass', icmpRate: Number.POSITIVE_INFINITY })
    const left: string[] = []
    const came: [Side, string][] = []
    const reset = new Set<string>()
    for (let i = 0; i < PACKETS; i++) {
      const step = next(pick, left, came, reset)
      said.push(`${i} ${step.side}: ${line(step.frame)} ${step.what}`)
      const theirs = await kernel.send(step.side, step.frame)
      const own = await mine.send(step.side, step.frame)
      const [a, b] = [seen(own, step), seen(theirs, step)]
      if (JSON.stringify(a) !== JSON.stringify(b)) {
        const text = (out: Out): string => JSON.stringify(Object.entries(out).map(([s, f]) => [s, f.map(line)]))
        expect.fail(`${said.slice(-40).join('\n')}\nours:   ${text(own)}\nkernel: ${text(theirs)}`)
      }
      if (step.side !== 'up') left.push(...(theirs.up ?? []).filter((f) => read(f).src === OUTSIDE))
      for (const side of ['p1', 'p2'] as const) came.push(...(theirs[side] ?? []).map((f): [Side, string] => [side, f]))
    }
  } finally {
    kernel.close()
    mine?.close()
  }
  expect(said).toHaveLength(PACKETS)
})
