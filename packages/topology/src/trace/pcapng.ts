import { PcapngWriter } from '@l2l3/switch-core/pcap'
import { bytesAt, type Trace, type TraceStep } from './path.ts'

/*
 * Traces as a capture file for Wireshark: a record for every step, with the frame's bytes after it and what the text says as
 * the comment. An interface stands for each port, and one for the inside of each node: what elements say has no port.
 *
 *     tshark -r trace.pcapng -T fields -e frame.interface_name -e frame.comment
 */

/** Writes traces as a pcapng file. */
export function tracePcapng(traces: readonly Trace[]): Uint8Array {
  const chunks: Uint8Array[] = []
  const writer = new PcapngWriter((chunk) => chunks.push(chunk))
  const interfaces = new Map<string, number>()
  const on = (name: string, description?: string): number => {
    const known = interfaces.get(name) ?? writer.interface(name, description === undefined ? {} : { description })
    interfaces.set(name, known)
    return known
  }
  traces.forEach((trace, t) => {
    trace.steps.forEach((step, i) => {
      const atPort = step.kind === 'enter' || step.kind === 'leave'
      writer.write({
        time: BigInt(trace.time) + BigInt(Math.round(step.time)),
        data: bytesAt(trace, i),
        interface: atPort ? on(step.where) : on(step.node, `inside ${step.node}`),
        ...(atPort ? { direction: step.kind === 'enter' ? ('inbound' as const) : ('outbound' as const) } : {}),
        comments: [comment(step, `${traces.length > 1 ? `${t + 1}.` : ''}${i + 1}`)],
      })
    })
  })
  writer.flush()
  const file = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
  let at = 0
  for (const chunk of chunks) {
    file.set(chunk, at)
    at += chunk.length
  }
  return file
}

function comment(step: TraceStep, number: string): string {
  const { kind, where, by, why, branch, from } = step
  const what = kind === 'note' ? by : kind
  const of = from === undefined ? '' : ` of [${from}]`
  const who = kind !== 'note' && by !== '' ? `${by}: ` : ''
  const changed = step.fields.filter((f) => f.before !== null && f.after !== null)
  const fields = changed.map((f) => `${f.name} ${f.before} -> ${f.after}`).join(', ')
  const told = [`${what}${of}${why === '' ? '' : `: ${who}${why}`}`, ...(fields === '' ? [] : [fields])].join('; ')
  return `step ${number}${branch === 0 ? '' : ` [${branch}]`} ${where} ${told}`.slice(0, 2000)
}
