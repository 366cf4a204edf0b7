import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { l2l3 } from './command.ts'

/*
 * What Linux was seen to put on the wire, asked of `l2l3 replay`: captures in, captures out, byte for byte.
 */

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'l2l3-replay-modes-'))
})
afterAll(() => rmSync(dir, { recursive: true }))

/** pcap, nanoseconds, little-endian, Ethernet. */
const HEADER = '4d3cb2a1 0200 0400 00000000 00000000 00000400 01000000'

/** A capture: frames of 42 bytes with their nanoseconds after 2024-01-01 00:00:00 (0x65920080). */
function capture(...frames: readonly [ns: number, hex: string][]): Buffer {
  const records = frames.map(([ns, hex]) => {
    const time = Buffer.alloc(4)
    time.writeUInt32LE(ns)
    return `80009265 ${time.toString('hex')} 2a000000 2a000000 ${hex}`
  })
  return Buffer.from([HEADER, ...records].join('').replaceAll(' ', ''), 'hex')
}

/** Replays captures into ports of a node; gives what each of `outputs` sent, in hex, and the ledger. */
async function replay(node: string, topology: string, inputs: Record<string, Buffer>, outputs: readonly string[]) {
  const path = join(dir, `${node}.yaml`)
  writeFileSync(path, topology)
  const ins = Object.entries(inputs).flatMap(([port, bytes]) => {
    const file = join(dir, `${node}.${port}.in.pcap`)
    writeFileSync(file, bytes)
    return ['--in', `${node}/${port}=${file}`]
  })
  const { status, stdout, stderr } = await l2l3(['replay', path, ...ins, '--out', join(dir, node)])
  expect([status, stderr]).toEqual([0, ''])
  const sent = outputs.map((port) => [port, readFileSync(join(dir, node, `${node}.${port}.pcap`)).toString('hex')])
  return { ledger: JSON.parse(stdout), sent: Object.fromEntries(sent) as Record<string, string> }
}

const REQUEST = '0806 0001 0800 06 04 0001'
const REPLY = '0806 0001 0800 06 04 0002'

/*
 *     pod1 02:..:01 10.240.0.11     pod2 02:..:02
 *     +--+----------------------------+--+
 *     |  azure: host 00:0d:3a:00:00:01   +-- uplink -- fabric 12:34:56:78:9a:bc 10.240.0.1
 *     +----------------------------------+
 */
const azure = (preset: string): string => `
nodes:
  azure:
    mode: l2bridge
    hostMac: 00:0d:3a:00:00:01
    preset: ${preset}
    endpoints:
      pod1: { mac: 02:00:00:00:00:01, ip: 10.240.0.11/24 }
      pod2: { mac: 02:00:00:00:00:02, ip: 10.240.0.12/24 }
    uplink: {}
`
const FROM_POD = `ffffffffffff 020000000001 ${REQUEST} 020000000001 0af0000b 000000000000 0af00001`
const ON_THE_WIRE = `ffffffffffff 000d3a000001 ${REQUEST} 000d3a000001 0af0000b 000000000000 0af00001`
const FROM_FABRIC = `000d3a000001 123456789abc ${REPLY} 123456789abc 0af00001 000d3a000001 0af0000b`
const inputs = { pod1: capture([1, FROM_POD]), uplink: capture([60_000, FROM_FABRIC]) }

it('an l2bridge as Azure CNI on Linux: ARP on both sides of the rewrite', async () => {
  const { ledger, sent } = await replay('azure', azure('azure-linux'), inputs, ['uplink', 'pod1', 'pod2'])
  // To everybody, and tha is the host's still.
  const broadcast = `ffffffffffff 123456789abc ${REPLY} 123456789abc 0af00001 000d3a000001 0af0000b`
  const pods = capture([1, FROM_POD], [60_000, broadcast]).toString('hex')
  expect(sent).toEqual({
    uplink: capture([1, ON_THE_WIRE]).toString('hex'),
    // By hairpin the pod hears itself.
    pod1: pods,
    pod2: pods,
  })
  expect(ledger).toMatchObject({ received: 2, sent: 5, held: 0, dropped: {}, balanced: true })
})

it('an l2bridge as documented of Windows: the reply reaches its pod alone, with its MAC', async () => {
  const { sent } = await replay('azure', azure('windows'), inputs, ['uplink', 'pod1', 'pod2'])
  const own = `020000000001 123456789abc ${REPLY} 123456789abc 0af00001 020000000001 0af0000b`
  expect(sent).toEqual({
    uplink: capture([1, ON_THE_WIRE]).toString('hex'),
    pod1: capture([60_000, own]).toString('hex'),
    pod2: capture([1, FROM_POD]).toString('hex'),
  })
})

it('l3: the proxy ARP answer for 169.254.1.1, as Calico on Linux', async () => {
  const topology = (routes: string): string => `
nodes:
  n1:
    mode: l3
    endpoints:
      pod: { mac: 02:00:00:00:00:01, ip: 10.244.1.5/32 }
    uplink: { ip: 192.168.77.1/24 }
    routes: ${routes}
`
  const pod = capture([1, `ffffffffffff 020000000001 ${REQUEST} 020000000001 0af40105 000000000000 a9fe0101`])
  const answer = `020000000001 eeeeeeeeeeee ${REPLY} eeeeeeeeeeee a9fe0101 020000000001 0af40105`
  const { ledger, sent } = await replay('n1', topology('[{ to: 0.0.0.0/0, via: 192.168.77.2 }]'), { pod }, [
    'pod',
    'uplink',
  ])
  expect(sent).toEqual({ pod: capture([1, answer]).toString('hex'), uplink: capture().toString('hex') })
  expect(ledger).toMatchObject({ originated: 1, sent: 1, dropped: { Consumed: 1 }, balanced: true })
  // Without a route to it, nobody answers.
  const silent = await replay('n1', topology('[]'), { pod }, ['pod'])
  expect(silent.sent).toEqual({ pod: capture().toString('hex') })
})
