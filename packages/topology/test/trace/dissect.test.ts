import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { openCapture } from '@l2l3/switch-core/pcap'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dissect } from '../../src/trace/dissect/dissect.ts'
import { fromHex } from '../../src/trace/splice.ts'

const PCAP = new URL('../fixtures/dissect.pcap', import.meta.url).pathname
const frames = Array.from(openCapture(readFileSync(PCAP)), (record) => record.data)

/** "name at+length value", as tshark's PDML has them. */
type Row = string

const row = (name: string, at: number, length: number, value: string): Row => {
  const plain = /^([0-9a-f]{2}:)+[0-9a-f]{2}$/.test(value) && length !== 6 ? value.replaceAll(':', '') : value
  return `${name} ${at}+${length} ${plain}`
}
const ours = (frame: Uint8Array): Row[] => {
  return dissect(frame).flatMap((layer) => layer.fields.map((f) => row(f.name, f.at, f.length, f.value)))
}

/** What tshark says of each frame of a capture. */
function tshark(path: string): { rows: Row[]; layers: string[] }[] {
  const off = ['ip.defragment:FALSE', 'ipv6.defragment:FALSE', 'tcp.desegment_tcp_streams:FALSE']
  const args = ['-r', path, '-T', 'pdml', ...off.flatMap((name) => ['-o', name]), '--disable-protocol', 'echo']
  const { stdout } = spawnSync('tshark', args, { encoding: 'utf8', maxBuffer: 1 << 26 })
  return stdout
    .split('<packet>')
    .slice(1)
    .map((packet) => {
      const attribute = (tag: string, name: string): string => new RegExp(` ${name}="([^"]*)"`).exec(tag)?.[1] ?? ''
      const tags = packet.match(/<(field|proto) [^>]*>/g) ?? []
      const rows = tags
        .filter((tag) => tag.startsWith('<field') && attribute(tag, 'hide') !== 'yes')
        .map((tag) => {
          return row(
            attribute(tag, 'name'),
            Number(attribute(tag, 'pos')),
            Number(attribute(tag, 'size')),
            attribute(tag, 'show'),
          )
        })
      const layers = tags.filter((tag) => tag.startsWith('<proto')).map((tag) => attribute(tag, 'name'))
      return { rows, layers }
    })
}

describe('what stands in a frame', () => {
  const installed = spawnSync('tshark', ['--version']).status === 0

  it('is what tshark finds: names, places, lengths, values, and every one of them', (context) => {
    if (!installed) context.skip('tshark is not installed')
    const theirs = tshark(PCAP)
    expect(theirs.length).toBe(frames.length)
    const names = new Set(frames.flatMap((frame) => ours(frame).map((r) => r.split(' ')[0])))
    // Of a redirect's quoted packet tshark says no payload.
    names.delete('data.data')
    const read = (frame: Uint8Array): Row[] => ours(frame).filter((r) => !r.startsWith('data.data'))
    frames.forEach((frame, i) => {
      const { rows, layers } = theirs[i] as { rows: Row[]; layers: string[] }
      const known = rows.filter((r) => names.has(r.split(' ')[0]))
      expect(read(frame).sort(), `frame ${i}`).toEqual(known.sort())
      const named = dissect(frame)
        .map((layer) => layer.name)
        .filter((name) => name !== 'data')
      const wanted = layers.filter(
        (name) => named.includes(name) || /^(eth|vlan|ip|ipv6|icmp.*|tcp|udp|vxlan|geneve|gre)$/.test(name),
      )
      expect(named, `layers of frame ${i}`).toEqual(wanted)
    })
  })

  it('is found through tunnels down to the innermost packet', () => {
    const paths = frames.map((frame) =>
      dissect(frame)
        .map((layer) => layer.name)
        .join(' '),
    )
    for (const path of [
      'eth ieee8021ad vlan ip udp data',
      'eth ip icmp ip udp data',
      'eth ip udp vxlan eth ip icmp data',
      'eth ip udp geneve eth ipv6 tcp data',
      'eth ip ip icmp',
      'eth ip ipv6 icmpv6',
      'eth ipv6 ip udp',
      'eth ip gre ip icmp',
      'eth ip gre eth arp',
    ]) {
      expect(paths).toContain(path)
    }
  })

  it("is a packet with nothing in front behind the port of flannel's UDP backend", () => {
    const outer = '02000000000b02000000000a0800 45000038000040004011 0000 c0000201c0000202 205d205d00240000'
    const inner = '4500001c 0000 4000 4001 0000 0af40105 0af40205 0800 f7fd 0001 0001'
    expect(dissect(fromHex(`${outer}${inner}`)).map((layer) => layer.name)).toEqual(['eth', 'ip', 'udp', 'ip', 'icmp'])
  })

  it('never lies outside the frame, whatever the bytes: random, cut short, or damaged', () => {
    const frame = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.tuple(fc.constantFrom(...frames), fc.nat(200)).map(([b, n]) => b.slice(0, n)),
      fc
        .tuple(fc.constantFrom(...frames), fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { maxLength: 6 }))
        .map(([b, writes]) => {
          const damaged = b.slice()
          for (const [at, byte] of writes) damaged[at % b.length] = byte
          return damaged
        }),
    )
    fc.assert(
      fc.property(frame, (b) => {
        let from = 0
        for (const layer of dissect(b)) {
          expect(layer.at).toBeGreaterThanOrEqual(from)
          expect(layer.at + layer.length).toBeLessThanOrEqual(b.length)
          for (const f of layer.fields)
            expect(f.at >= layer.at && f.at + f.length <= layer.at + layer.length).toBe(true)
          from = layer.at + layer.length
        }
      }),
      { numRuns: 2000 },
    )
  })
})
