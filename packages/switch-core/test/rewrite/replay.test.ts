/**
 * The Linux twin of l2bridge, as it was recorded: everything that the captures' stations sent is sent again, in its order,
 * and what leaves the engine is compared with what was on the other side.
 */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { AZURE_LINUX, type L2BridgeOptions } from '../../src/index.ts'
import { openCapture } from '../../src/pcap/index.ts'
import { arpFrame, FABRIC, flat, HOST, IP, Node, type Party, POD1 } from './lab.ts'

interface Seen {
  readonly number: number
  readonly time: bigint
  readonly hex: string
}

function capture(name: string): Seen[] {
  const bytes = readFileSync(new URL(`fixtures/${name}`, import.meta.url))
  return [...openCapture(bytes)].map((record, i) => ({
    number: i + 1,
    time: record.time as bigint,
    hex: Buffer.from(record.data).toString('hex'),
  }))
}

const pod1 = capture('azure-bridge-pod1.pcap')
const fabric = capture('azure-bridge-fabric.pcap')

/* Who sent which frame. On pod 1's side, 2 and 9 are frames of its own that came back by hairpin, and 7 and 12 are answers
 * that the bridge made up in the name of pod 2 and the host; 10 was pod 2's, 14 and 16 the host's. */
const SENT: readonly (readonly [Party, readonly Seen[], readonly number[]])[] = [
  ['pod1', pod1, [1, 4, 6, 8, 11, 13, 15, 18]],
  ['pod2', pod1, [10]],
  ['host', pod1, [14, 16]],
  ['fabric', fabric, [2, 4, 7, 9]],
]

function replay(options: Partial<L2BridgeOptions>): Record<'pod1' | 'fabric', string[]> {
  const node = new Node(options)
  const sent = SENT.flatMap(([from, seen, numbers]) => numbers.map((n) => ({ from, ...(seen[n - 1] as Seen) })))
  sent.sort((a, b) => (a.time < b.time ? -1 : 1))
  const out = { pod1: [] as string[], fabric: [] as string[] }
  for (const { from, hex } of sent) {
    const got = node.send(from, hex)
    out.pod1.push(...(got.pod1 ?? []))
    out.fabric.push(...(got.fabric ?? []))
  }
  return out
}

/** What a station got, by the numbers of its capture. */
function received(seen: readonly Seen[], party: Party): Seen[] {
  const own = SENT.find(([from]) => from === party)?.[2] as readonly number[]
  return seen.filter((s) => !own.includes(s.number))
}

describe('the two captures of the Linux twin', () => {
  it('have the frames that this test takes them to have', () => {
    expect(received(pod1, 'pod1').map((s) => s.number)).toEqual([2, 3, 5, 7, 9, 10, 12, 14, 16, 17])
    expect(received(fabric, 'fabric').map((s) => s.number)).toEqual([1, 3, 5, 6, 8, 10])
    expect(pod1[1]?.hex).toBe(pod1[0]?.hex)
    expect(pod1[8]?.hex).toBe(pod1[7]?.hex)
  })

  it('come out frame for frame, byte for byte, with the options of the twin', () => {
    const out = replay(AZURE_LINUX)
    expect(out.pod1).toEqual(received(pod1, 'pod1').map((s) => s.hex))
    expect(out.fabric).toEqual(received(fabric, 'fabric').map((s) => s.hex))
  })

  it('come out as Windows does it by default: five frames differ, each by an option', () => {
    const out = replay({})
    // floodLeak: neither broadcast 2 nor leak 9 comes back to its sender. arpReplyMode: the reply (3) is pod 1's alone.
    const reply = arpFrame(POD1, FABRIC, 2, FABRIC, IP.gateway, POD1, IP.pod1)
    expect(out.pod1).toEqual(
      received(pod1, 'pod1')
        .filter((s) => s.number !== 2 && s.number !== 9)
        .map((s) => (s.number === 3 ? reply : s.hex)),
    )
    // floodLeak: 5 does not leak. foreignArpAnswer: pod 1 is at the host's MAC (8).
    const answer = arpFrame(FABRIC, HOST, 2, HOST, IP.pod1, FABRIC, IP.gateway)
    expect(out.fabric).toEqual(
      received(fabric, 'fabric')
        .filter((s) => s.number !== 5)
        .map((s) => (s.number === 8 ? answer : s.hex)),
    )
  })

  it.each<[string, Partial<L2BridgeOptions>, number[], number[]]>([
    ['arpReplyMode', { arpReplyMode: 'unicast-tha' }, [3], []],
    ['foreignArpAnswer', { foreignArpAnswer: 'host-mac' }, [], [8]],
    ['floodLeak', { floodLeak: false }, [2, 9], [5]],
    ['unknownDestination', { unknownDestination: 'host' }, [], []],
    ['answerOwner', { answerOwner: false }, [], []],
  ])('%s alone changes only its frames', (_, option, atPod1, atFabric) => {
    const out = replay({ ...AZURE_LINUX, ...option })
    const missing = (seen: readonly Seen[], party: Party, got: readonly string[]): number[] => {
      const rest = [...got]
      return received(seen, party)
        .filter((s) => {
          const i = rest.indexOf(s.hex)
          if (i >= 0) rest.splice(i, 1)
          return i < 0
        })
        .map((s) => s.number)
    }
    expect(missing(pod1, 'pod1', out.pod1)).toEqual(atPod1)
    expect(missing(fabric, 'fabric', out.fabric)).toEqual(atFabric)
  })

  it('have the frames of the specification, on both sides of the rewrite', () => {
    // modes.md 7.2 and A5.
    const node = new Node(AZURE_LINUX)
    const request = '0806 0001 0800 06 04 0001'
    const asked = `000000000000 0af00001`
    expect(node.send('pod1', `ffffffffffff 020000000001 ${request} 020000000001 0af0000b ${asked}`).fabric).toEqual([
      flat(`ffffffffffff 000d3a000001 ${request} 000d3a000001 0af0000b ${asked}`),
    ])
    const reply = '0806 0001 0800 06 04 0002 123456789abc 0af00001 000d3a000001 0af0000b'
    expect(node.send('fabric', `000d3a000001 123456789abc ${reply}`).pod1).toEqual([
      flat(`ffffffffffff 123456789abc ${reply}`),
    ])
  })
})
