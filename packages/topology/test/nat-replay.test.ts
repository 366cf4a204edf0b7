/**
 * What Linux' NAT was recorded to do, done again: what the hosts sent in the captures goes in, and what the node sent must
 * come out, on both sides, byte for byte. fixtures/README.md says what is in them.
 *
 * What is not compared is the identification of ICMP errors that the node itself makes, which Linux draws, and with it their
 * header checksum. (The ports are the same: all were free.)
 */
import { readFileSync } from 'node:fs'
import { openCapture, PcapWriter } from '@l2l3/switch-core/pcap'
import { parseTopology, replay } from '@l2l3/topology'
import { expect, it } from 'vitest'

const GATEWAY = 'baccf06f5a39'
const UPLINK = '56ebb68a6420'
const P1 = '020000000001'
const P2 = '020000000002'
const X = '925173dbca0f'
/** From here on, after the first frame, netfilter is on the bridge and changes frames there. */
const END = 2_500_000_000n

interface Frame {
  time: bigint
  hex: string
}

function recorded(file: string): Frame[] {
  const bytes = readFileSync(new URL(`fixtures/${file}`, import.meta.url))
  const all = Array.from(openCapture(bytes, { file }), ({ time = 0n, data }) => {
    return { time, hex: Buffer.from(data).toString('hex') }
  })
  return all.filter((f) => f.time < (all[0] as Frame).time + END)
}

const inside = recorded('nat-inside.pcap')
const uplink = recorded('nat-uplink.pcap')
const from = (mac: string, list: Frame[]): Frame[] => list.filter((f) => f.hex.slice(12, 24) === mac)
const start = (inside[0] as Frame).time

/** A question for the gateway a second before, so that the node knows the host: the captures have its answers only later. */
function hello(mac: string, ip: string, gateway: string): Frame {
  return {
    time: start - 1_000_000_000n,
    hex: `ffffffffffff${mac}08060001080006040001${mac}${ip}000000000000${gateway}`,
  }
}

const HOSTS = {
  'node/p1': [hello(P1, '0a16000b', '0a160001'), ...from(P1, inside)],
  'node/p2': [hello(P2, '0a16000c', '0a160001'), ...from(P2, inside)],
  'node/uplink': [hello(X, 'cb007102', 'cb007101'), ...from(X, uplink)],
} as const

/** Plays frames into a node with this MTU outside; gives what it sent, ARP aside. */
function played(mtu: number, wanted: (f: Frame) => boolean): { inside: string[]; uplink: string[] } {
  const topology = parseTopology(
    `nodes:
  node:
    mode: nat
    inside: { ip: 10.22.0.1/24, mac: "${colons(GATEWAY)}" }
    endpoints:
      p1: { ip: 10.22.0.11/24, mac: "${colons(P1)}" }
      p2: { ip: 10.22.0.12/24, mac: "${colons(P2)}" }
    uplink: { ip: 203.0.113.1/24, mac: "${colons(UPLINK)}", mtu: ${mtu} }
    portMappings: [{ protocol: udp, port: 8080, to: p2, toPort: 7000 }]`,
    'nat.yaml',
  )
  const out = new Map<string, Uint8Array[]>()
  const { ledger, settled } = replay(topology, {
    inputs: Object.entries(HOSTS).map(([port, list]) => ({
      port,
      file: port,
      open: () => [capture(list.filter(wanted))],
    })),
    output: (port) => {
      const chunks: Uint8Array[] = []
      out.set(port, chunks)
      return (chunk) => chunks.push(Uint8Array.from(chunk))
    },
  })
  expect([ledger.balanced, ledger.held, settled]).toEqual([true, 0, true])
  const sent = (port: string): Frame[] =>
    Array.from(openCapture(out.get(port) ?? []), ({ time = 0n, data }) => ({
      time,
      hex: Buffer.from(data).toString('hex'),
    }))
  const inOrder = (...ports: string[]): string[] =>
    ports
      .flatMap(sent)
      .filter((f) => f.hex.slice(24, 28) === '0800')
      .sort((a, b) => Number(a.time - b.time))
      .map((f) => masked(f.hex))
  return { inside: inOrder('node/p1', 'node/p2'), uplink: inOrder('node/uplink') }
}

function capture(list: readonly Frame[]): Uint8Array {
  const chunks: Uint8Array[] = []
  const writer = new PcapWriter((chunk) => chunks.push(Uint8Array.from(chunk)))
  for (const { time, hex } of list) writer.write({ time, data: Buffer.from(hex, 'hex') })
  writer.flush()
  return Buffer.concat(chunks)
}

function colons(mac: string): string {
  return mac.replace(/..(?!$)/g, '$&:')
}

/** Blanks the identification of an ICMP error of the gateway. */
function masked(hex: string): string {
  const b = Buffer.from(hex, 'hex')
  if (b[23] === 1 && [3, 11].includes(b[34] as number) && b.readUInt32BE(26) === 0x0a160001) {
    b.fill(0, 18, 20)
    b.fill(0, 24, 26)
  }
  return b.toString('hex')
}

/** The request that did not fit, and the error about it: of a moment when the uplink's MTU was 1,400. */
const long = (f: Frame): boolean => [1492, 590].includes(f.hex.length / 2)
const short = (f: Frame): boolean => !long(f)
const lines = (list: Frame[]): string[] => list.map((f) => masked(f.hex))

it('nat-inside.pcap gives nat-uplink.pcap, and the other way round', () => {
  const out = played(1500, short)
  const expected = { uplink: from(UPLINK, uplink), inside: from(GATEWAY, inside).filter(short) }
  expect(out.uplink).toEqual(lines(expected.uplink))
  expect(out.inside).toEqual(lines(expected.inside))
  // A ping, a datagram, three fragments, the answer from the mapped port; and back a ping, an error, an answer, time
  // exceeded, and what came for the mapped port.
  expect([out.uplink.length, out.inside.length]).toEqual([6, 5])
})

it('a packet that did not fit is refused as it was', () => {
  const out = played(1400, (f) => long(f) || f.hex.slice(24, 28) === '0806')
  expect(out).toEqual({ uplink: [], inside: lines(from(GATEWAY, inside).filter(long)) })
  expect(out.inside).toHaveLength(1)
})
