/*
 * What crossed a wire, as tshark decodes it: all checksums are verified, and headers said in words.
 */
import { join } from 'node:path'
import { run } from './lab.ts'
import { scratch, start } from './tunnel-lab.ts'

/** A packet, as tshark decodes it: the values of each field that was asked for, from the outermost header inwards. */
export type Decoded<K extends string> = Readonly<Record<K, string>>

/** Records what crosses a device. */
export async function record(netns: string, device: string, filter = '') {
  const file = join(scratch, `${netns}-${device}-${Math.random().toString(36).slice(2)}.pcap`)
  const dump = await start(
    netns,
    /listening on/,
    ...['tcpdump', '--immediate-mode', '-U', '-Z', 'root', '-B', '16384', '-s', '0', '-i', device, '-w', file, filter],
  )
  return {
    /** Ends the recording, and has tshark decode it, all checksums verified. */
    async stop<K extends string>(fields: readonly K[], only = ''): Promise<Decoded<K>[]> {
      await dump.end('SIGINT')
      const checks = ['ip', 'udp', 'tcp'].flatMap((p) => ['-o', `${p}.check_checksum:TRUE`])
      const said = await run(
        'tshark',
        ...['-n', '-r', file, ...checks, ...(only === '' ? [] : ['-Y', only])],
        ...['-T', 'fields', '-E', 'separator=/t', '-E', 'occurrence=a', '-E', 'aggregator=,'],
        ...fields.flatMap((field) => ['-e', field]),
      )
      return said
        .split('\n')
        .filter((line) => line.includes('\t'))
        .map((line) => {
          const values = line.split('\t')
          return Object.fromEntries(fields.map((field, i) => [field, values[i] ?? ''])) as Decoded<K>
        })
    },
  }
}

/** Fields of outer headers. */
export const OUTER = [
  ...['eth.src', 'frame.len', 'ip.ttl', 'ip.dsfield', 'ip.flags.df', 'ip.checksum.status', 'ipv6.hlim', 'ipv6.tclass'],
  ...['ipv6.flow', 'udp.srcport', 'udp.dstport', 'udp.checksum', 'udp.checksum.status', 'vxlan.flags', 'vxlan.vni'],
  'ip.proto',
] as const
/** Checksums inside. */
export const INNER = ['tcp.checksum.status', 'icmp.checksum.status', 'icmpv6.checksum.status'] as const

/** The different values of a field, in all headers. */
export function valuesOf<K extends string>(frames: readonly Decoded<K>[], field: K): string[] {
  return [...new Set(frames.flatMap((f) => f[field].split(',')))].filter((v) => v !== '').sort()
}

/** The different outer headers, in words. */
export function outerOf(frames: readonly Decoded<(typeof OUTER)[number]>[], outer: 4 | 6): string[] {
  const lines = frames.map((frame) => {
    const f = (field: (typeof OUTER)[number]): string => frame[field].split(',')[0] as string
    // tshark says 1 of a checksum that is right; an IPv4 header's must be. Older ones say False of a flag, newer ones 0.
    const sum = Number(f('udp.checksum')) === 0 ? 'none' : f('udp.checksum.status') === '1' ? 'good' : 'bad'
    const ip =
      outer === 4
        ? `TTL ${f('ip.ttl')}, TOS ${f('ip.dsfield')}, DF ${/^(0|False)$/.test(f('ip.flags.df')) ? 0 : 1}`
        : `TTL ${f('ipv6.hlim')}, TOS 0x${f('ipv6.tclass').slice(-2)}, flow 0x${f('ipv6.flow').slice(-6)}`
    const bad = outer === 4 && f('ip.checksum.status') !== '1' ? ', IP checksum bad' : ''
    const vxlan = f('vxlan.vni') === '' ? '' : `VXLAN ${f('vxlan.flags')} ${f('vxlan.vni')} `
    const what =
      f('udp.dstport') === '' ? `protocol ${f('ip.proto')}` : `${vxlan}to ${f('udp.dstport')}, checksum ${sum}`
    return `${what}, ${ip}${bad}`
  })
  return [...new Set(lines)].sort()
}
